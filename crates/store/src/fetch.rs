//! What a batch of operations needs at PostgreSQL, read and locked in one go.

use std::collections::{BTreeSet, HashMap};

use jsonapi::{Record, Resource, Value};

use crate::error::StoreError;
use crate::first_answers::FirstAnswer;
use crate::row::Row;
use crate::statement::Statement;
use crate::table::{Table, Tables, take_ids};
use crate::work::Work;

/// The record that an operation is going to change.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its resource.
    pub resource: &'static Resource,
    /// Its id.
    pub id: i64,
}

/// What an operation is going to ask for first: it is read together with what its neighbours need.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The record that it is going to change. Operations on one record share a lane.
    pub target: Option<Target>,
    /// The operator and the `Idempotency-Key` of its request.
    pub answer: Option<(i64, String)>,
}

/// A row's table and id, in the order that all transactions lock rows in.
pub type Place = (usize, i64);

/// Queries, and what they have found so far.
#[derive(Debug, Default)]
pub struct Fetch {
    asked: Vec<Asked>,
    pub work: Work,
    /// The highest row that is locked.
    pub locked: Option<Place>,
    /// Ids from the sequences, by type.
    pub ids: Vec<(&'static str, Vec<i64>)>,
    /// All records of the standing resources, by type.
    pub standing: HashMap<&'static str, Vec<Record>>,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Rows(&'static str),
    All(&'static str),
    Ids,
    Answers,
}

impl Fetch {
    /// What operations need, and so many ids of each of these types.
    pub fn new<'a>(
        tables: &Tables,
        needs: impl Iterator<Item = &'a Needs>,
        ids: &[(&'static str, usize)],
    ) -> (Self, Vec<Statement>) {
        let (mut fetch, mut queries) = (Self::default(), Vec::new());
        let mut places = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for need in needs {
            if let Some(Target { resource, id }) = need.target {
                places.insert((tables.of(resource).rank, resource.kind, id));
            }
            keys.extend(need.answer.clone());
        }
        let places: Vec<_> = places.into_iter().collect();
        for group in places.chunk_by(|(_, one, _), (_, other, _)| one == other) {
            let Some((_, kind, _)) = group.first() else { continue };
            let ids: Vec<i64> = group.iter().map(|(_, _, id)| *id).collect();
            for id in &ids {
                fetch.work.hold((kind, *id), None);
            }
            fetch.asked.push(Asked::Rows(kind));
            let lock = tables.named(kind).lock_many.clone();
            queries.push(Statement::new(lock, vec![Value::Ids(ids)]));
        }
        fetch.locked = places.last().map(|(rank, _, id)| (*rank, *id));
        for table in tables.standing() {
            fetch.standing.insert(table.resource.kind, Vec::new());
            fetch.asked.push(Asked::All(table.resource.kind));
            queries.push(Statement::new(table.select_all.clone(), Vec::new()));
        }
        if !ids.is_empty() {
            // Behind the locks, so that they are above those of whoever had the rows before.
            let wanted: Vec<(&Table, usize)> =
                ids.iter().map(|(kind, count)| (tables.named(kind), *count)).collect();
            fetch.ids = ids.iter().map(|(kind, _)| (*kind, Vec::new())).collect();
            fetch.asked.push(Asked::Ids);
            queries.push(take_ids(&wanted));
        }
        if !keys.is_empty() {
            fetch.asked.push(Asked::Answers);
            queries.push(FirstAnswer::of(&keys));
            fetch.work.know_answers(keys);
        }
        (fetch, queries)
    }

    /// Takes a row of the query at `position`.
    pub fn take(
        &mut self,
        tables: &Tables,
        position: usize,
        row: Row<'_>,
    ) -> Result<(), StoreError> {
        match self.asked[position] {
            Asked::Rows(kind) => {
                let record = tables.named(kind).record(row)?;
                self.work.hold((kind, record.key()), Some(record));
            }
            Asked::All(kind) => {
                let record = tables.named(kind).record(row)?;
                self.standing.entry(kind).or_default().push(record);
            }
            Asked::Ids => {
                for (column, (_, ids)) in self.ids.iter_mut().enumerate() {
                    ids.extend(row.optional_int(column)?);
                }
            }
            Asked::Answers => self.work.know_answer(FirstAnswer::with_key(row)?),
        }
        Ok(())
    }
}
