//! What a transaction has decided and not yet written.
//!
//! Operations read rows, decide, and hand over what should be there; the rows are kept here and
//! written together. So what an operation leaves behind when it fails is forgotten, not rolled
//! back by the database; many changes of one row are one statement; and a database at the other
//! end of a network is asked once, not once for each statement.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jsonapi::{Record, Value};

use crate::first_answers::{FirstAnswer, Kept};
use crate::handover::Errand;
use crate::session::Dialect;
use crate::statement::Statement;
use crate::table::{Tables, insert_rows};
use crate::writing::Writing;

/// The columns of the table of totals.
const TOTALS: [(&str, &str); 3] = [("kind", "text"), ("slot", "bigint"), ("total", "bigint")];

/// A type and an id.
pub type Key = (&'static str, i64);

/// What can be said without a query.
#[derive(Clone, Copy, Debug)]
pub enum Known<T> {
    /// Nothing.
    Not,
    /// There is no such thing.
    Absent,
    There(T),
}

/// A row that the transaction has locked.
#[derive(Clone, Debug)]
pub struct Held {
    stored: Option<Record>,
    next: Next,
}

/// What is to become of a row.
#[derive(Clone, Debug)]
enum Next {
    Same,
    Changed(Record),
    Deleted,
}

impl Held {
    fn now(&self) -> Option<&Record> {
        match &self.next {
            Next::Same => self.stored.as_ref(),
            Next::Changed(record) => Some(record),
            Next::Deleted => None,
        }
    }

    fn waits(&self) -> bool {
        !matches!(self.next, Next::Same)
    }
}

/// How to forget one step.
#[derive(Debug)]
enum Undo {
    Held(Key, Option<Held>),
    Insert(&'static str, i64),
    Inserted(&'static str, i64),
    Statement,
    Row(&'static str),
    Answer,
    Errand,
    Total(&'static str, i64),
    /// The database has taken the step over.
    Nothing,
}

/// The steps so far.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    undo: usize,
    flushes: usize,
}

/// Rows locked, and writes to come.
#[derive(Debug, Default)]
pub struct Work {
    held: HashMap<Key, Held>,
    /// By type.
    inserts: Vec<(&'static str, Vec<Record>)>,
    statements: Vec<Statement>,
    /// Rows of PostgreSQL's statements that take many, none of which sees what else is written.
    rows: Vec<(&'static str, Vec<Vec<Value>>)>,
    /// Ids that sequences must not give out any more, by type. (Never undone: they may skip some.)
    passed: BTreeMap<&'static str, i64>,
    answers: Vec<Kept>,
    /// What was read under each key.
    known_answers: HashMap<(i64, String), Option<FirstAnswer>>,
    /// Changes of the totals by type.
    totals: Vec<(&'static str, i64)>,
    /// To be handed over after the commit.
    errands: Vec<Errand>,
    undo: Vec<Undo>,
    flushes: usize,
}

impl Work {
    pub fn mark(&self) -> Mark {
        Mark { undo: self.undo.len(), flushes: self.flushes }
    }

    /// Whether anything was decided since then, beyond what to lock.
    pub fn has_decided_since(&self, mark: Mark) -> bool {
        self.flushes != mark.flushes
            || self.undo.iter().skip(mark.undo).any(|step| match step {
                Undo::Held(key, _) => self.held.get(key).is_some_and(Held::waits),
                _ => true,
            })
    }

    /// Forgets every step since the mark; tells each id that is free again.
    pub fn forget(&mut self, mark: Mark, mut freed: impl FnMut(&'static str, i64)) {
        for step in self.undo.drain(mark.undo.min(self.undo.len())..).rev() {
            match step {
                Undo::Held(key, Some(held)) => {
                    self.held.insert(key, held);
                }
                Undo::Held(key, None) => {
                    self.held.remove(&key);
                }
                Undo::Insert(kind, id) => {
                    if let Some((_, records)) = self.inserts.iter_mut().find(|(k, _)| *k == kind) {
                        records.pop();
                    }
                    freed(kind, id);
                }
                Undo::Inserted(kind, id) => freed(kind, id),
                Undo::Statement => {
                    self.statements.pop();
                }
                Undo::Row(sql) => {
                    if let Some((_, rows)) = self.rows.iter_mut().find(|(s, _)| *s == sql) {
                        rows.pop();
                    }
                }
                Undo::Answer => {
                    self.answers.pop();
                }
                Undo::Errand => {
                    self.errands.pop();
                }
                Undo::Total(kind, change) => count(&mut self.totals, kind, -change),
                Undo::Nothing => {}
            }
        }
    }

    /// The row as the transaction leaves it so far.
    pub fn held(&self, key: Key) -> Known<&Record> {
        match self.held.get(&key).map(Held::now) {
            None => Known::Not,
            Some(None) => Known::Absent,
            Some(Some(record)) => Known::There(record),
        }
    }

    /// Keeps a row that was read and locked.
    pub fn hold(&mut self, key: Key, stored: Option<Record>) {
        self.undo.push(Undo::Held(key, None));
        self.held.insert(key, Held { stored, next: Next::Same });
    }

    /// Keeps what a row is to become; `before` is as it was read.
    pub fn set(&mut self, key: Key, before: &Record, next: Option<Record>) {
        let held = self.held.remove(&key);
        let stored = held.as_ref().map_or_else(|| Some(before.clone()), |held| held.stored.clone());
        let next = next.map_or(Next::Deleted, Next::Changed);
        self.held.insert(key, Held { stored, next });
        self.undo.push(Undo::Held(key, held));
    }

    /// Notes that the database has removed the rows whose link at `position` is this one.
    pub fn gone(&mut self, kind: &str, position: usize, link: i64) {
        let points = |held: &Held| held.now().is_some_and(|row| row.links[position] == Some(link));
        for (key, held) in self.held.iter_mut().filter(|((k, _), held)| *k == kind && points(held))
        {
            let gone = Held { stored: None, next: Next::Same };
            self.undo.push(Undo::Held(*key, Some(std::mem::replace(held, gone))));
        }
    }

    pub fn insert(&mut self, kind: &'static str, record: Record) {
        self.undo.push(Undo::Insert(kind, record.key()));
        match self.inserts.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, records)) => records.push(record),
            None => self.inserts.push((kind, vec![record])),
        }
    }

    /// Notes that a record was added under an id that it had before.
    pub fn pass(&mut self, kind: &'static str, id: i64) {
        let passed = self.passed.entry(kind).or_insert(id);
        *passed = id.max(*passed);
    }

    pub fn statement(&mut self, statement: Statement) {
        self.undo.push(Undo::Statement);
        self.statements.push(statement);
    }

    /// Adds a row to those of a statement.
    pub fn row(&mut self, sql: &'static str, row: Vec<Value>) {
        self.undo.push(Undo::Row(sql));
        match self.rows.iter_mut().find(|(s, _)| *s == sql) {
            Some((_, rows)) => rows.push(row),
            None => self.rows.push((sql, vec![row])),
        }
    }

    pub fn hand_over(&mut self, errand: Errand) {
        self.undo.push(Undo::Errand);
        self.errands.push(errand);
    }

    /// Takes what the commit that follows is to hand over.
    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    pub fn count(&mut self, kind: &'static str, change: i64) {
        if change != 0 {
            self.undo.push(Undo::Total(kind, change));
            count(&mut self.totals, kind, change);
        }
    }

    pub fn keep_answer(&mut self, kept: Kept) {
        self.undo.push(Undo::Answer);
        // What was read is out of date.
        self.known_answers.remove(&(kept.operator, kept.key.clone()));
        self.answers.push(kept);
    }

    /// The answer under this key.
    pub fn answer(&self, operator: i64, key: &str) -> Known<&FirstAnswer> {
        let mut kept = self.answers.iter().rev();
        if let Some(kept) = kept.find(|kept| kept.operator == operator && kept.key == key) {
            return Known::There(&kept.answer);
        }
        match self.known_answers.get(&(operator, key.to_owned())) {
            None => Known::Not,
            Some(None) => Known::Absent,
            Some(Some(answer)) => Known::There(answer),
        }
    }

    /// The work of the next transaction, before anything was read for it: the rows that it wants
    /// are as this one leaves them, if it has them, and no key has an answer.
    pub fn foreseen(&self, wanted: &Self) -> Self {
        let mut work = Self::default();
        for key in wanted.held.keys() {
            if let Some(held) = self.held.get(key) {
                work.hold(*key, held.now().cloned());
            }
        }
        work.known_answers.clone_from(&wanted.known_answers);
        work
    }

    /// Whether what was read is what was foreseen; if so, whether all of it was.
    pub fn found(&self, read: &Self) -> Option<bool> {
        let is_found = |(key, held): (&Key, &Held)| {
            self.held.get(key).is_none_or(|foreseen| foreseen.stored == held.stored)
        };
        let is_answered = read.known_answers.values().any(Option::is_some);
        (read.held.iter().all(is_found) && !is_answered)
            .then(|| read.held.keys().all(|key| self.held.contains_key(key)))
    }

    /// Keeps the rows that were read and locked and not foreseen.
    pub fn take_over(&mut self, read: Self) {
        for (key, held) in read.held {
            if !self.held.contains_key(&key) {
                self.hold(key, held.stored);
            }
        }
    }

    /// Notes that none of these keys has an answer.
    pub fn know_answers(&mut self, keys: BTreeSet<(i64, String)>) {
        self.known_answers.extend(keys.into_iter().map(|key| (key, None)));
    }

    /// Notes the answer that a key has.
    pub fn know_answer(&mut self, (key, answer): ((i64, String), FirstAnswer)) {
        self.known_answers.insert(key, Some(answer));
    }

    /// Records of this type that are to be inserted.
    pub fn inserts(&self, kind: &str) -> &[Record] {
        self.inserts
            .iter()
            .find(|(k, _)| *k == kind)
            .map(|(_, records)| records.as_slice())
            .unwrap_or_default()
    }

    /// Whether a row of this type waits to be changed, in a way that `matters`, or deleted.
    pub fn changes(&self, kind: &str, matters: impl Fn(&Record, &Record) -> bool) -> bool {
        self.held.iter().any(|((k, _), held)| {
            *k == kind
                && match (&held.stored, &held.next) {
                    (Some(stored), Next::Changed(next)) => matters(stored, next),
                    (_, next) => !matches!(next, Next::Same),
                }
        })
    }

    /// Whether there is anything to write.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
            && self.rows.iter().all(|(_, rows)| rows.is_empty())
            && self.answers.is_empty()
            && self.inserts.iter().all(|(_, records)| records.is_empty())
            && !self.held.values().any(Held::waits)
    }

    /// Takes what there is to write: parents before those that point at them, deletes last and
    /// the other way round.
    /// In a transaction's last statements, `slot` says in which rows the totals are counted.
    pub fn take(&mut self, dialect: Dialect, tables: &Tables, slot: Option<i64>) -> Vec<Statement> {
        let totals = slot.and_then(|slot| self.totals(dialect, slot));
        let mut writing = Writing::new(dialect);
        self.inserts.sort_by_key(|(kind, _)| tables.named(kind).rank);
        for (kind, records) in &mut self.inserts {
            writing.insert(tables.named(kind), records.drain(..));
        }
        let mut changed: Vec<(&Key, &mut Held)> =
            self.held.iter_mut().filter(|(_, held)| held.waits()).collect();
        changed.sort_unstable_by_key(|((kind, id), _)| (tables.named(kind).rank, *kind, *id));
        for ((kind, _), held) in changed {
            let next = match std::mem::replace(&mut held.next, Next::Same) {
                Next::Same => continue,
                Next::Changed(record) => Some(record),
                Next::Deleted => None,
            };
            let stored = std::mem::replace(&mut held.stored, next);
            if let Some(before) = stored {
                writing.change(tables.named(kind), &before, held.stored.as_ref());
            }
        }
        for (sql, rows) in self.rows.drain(..) {
            let Some(width) = rows.first().map(Vec::len) else { continue };
            writing.beside(Statement::of_rows(sql, width, rows.into_iter().flatten()));
        }
        if let Some(totals) = totals {
            writing.beside(totals);
        }
        let mut statements = writing.finish();
        let passed = std::mem::take(&mut self.passed).into_iter();
        if dialect == Dialect::Postgres {
            statements.extend(passed.map(|(kind, id)| tables.named(kind).pass_id(id)));
        }
        statements.append(&mut self.statements);
        statements.append(&mut Kept::insert(dialect, self.answers.drain(..)));
        self.flushed();
        statements
    }

    /// What has been decided so far is the database's to take back.
    pub fn flushed(&mut self) {
        self.flushes += 1;
        for step in &mut self.undo {
            match step {
                Undo::Insert(kind, id) => *step = Undo::Inserted(kind, *id),
                Undo::Statement | Undo::Row(_) | Undo::Answer => *step = Undo::Nothing,
                Undo::Held(..)
                | Undo::Inserted(..)
                | Undo::Errand
                | Undo::Total(..)
                | Undo::Nothing => {}
            }
        }
    }

    /// How the totals change, in the order that every writer changes them in.
    fn totals(&mut self, dialect: Dialect, slot: i64) -> Option<Statement> {
        let mut totals = std::mem::take(&mut self.totals);
        totals.retain(|(_, change)| *change != 0);
        totals.sort_unstable();
        let params = totals
            .iter()
            .flat_map(|(kind, change)| [Value::text(kind), Value::Int(slot), Value::Int(*change)]);
        let merged = "ON CONFLICT (kind, slot) DO UPDATE SET total = totals.total + excluded.total";
        (!totals.is_empty()).then(|| match dialect {
            Dialect::Sqlite => {
                let row = |row| format!("(${}, ${}, ${})", 3 * row + 1, 3 * row + 2, 3 * row + 3);
                let rows = (0..totals.len()).map(row).collect::<Vec<_>>().join(", ");
                let sql = format!("INSERT INTO totals (kind, slot, total) VALUES {rows} {merged}");
                Statement::new(sql, params.collect())
            }
            Dialect::Postgres => {
                let sql = format!("{} {merged}", insert_rows("totals", &TOTALS));
                Statement::of_rows(sql, TOTALS.len(), params)
            }
        })
    }
}

fn count(totals: &mut Vec<(&'static str, i64)>, kind: &'static str, change: i64) {
    match totals.iter_mut().find(|(counted, _)| *counted == kind) {
        Some((_, total)) => *total += change,
        None => totals.push((kind, change)),
    }
}
