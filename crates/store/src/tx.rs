//! The transaction that operations share: what they read is locked, what they decide is written
//! together before the commit.

use std::collections::HashMap;
use std::ops::AsyncFnOnce;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use jsonapi::{Record, Resource, Value};

use crate::error::StoreError;
use crate::session::{Dialect, Row, Session};
use crate::table::{Table, Tables};
use crate::work::{Mark, Work};

/// The record that an operation is going to change.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its resource.
    pub resource: &'static Resource,
    /// Its id.
    pub id: i64,
}

/// The transaction that an operation runs in, shared with its neighbours.
#[derive(Debug)]
pub struct Tx {
    pub(crate) session: Session,
    pub(crate) tables: Arc<Tables>,
    pub(crate) work: Work,
    /// Each operation in a savepoint and each write at once, so that who fails fails alone.
    careful: bool,
    /// Whether rows are locked in their order, so that shared transactions wait for each other
    /// but never in a circle.
    in_order: bool,
    /// How far what is decided came to its end.
    fate: Fate,
    /// The highest row locked so far.
    locked: Option<(usize, i64)>,
    /// The ids that are next, by type.
    ids: HashMap<&'static str, Ids>,
    /// Operations in the batch: so many ids are taken at once.
    operations: usize,
    /// Which rows of the totals this writer counts in.
    slot: i64,
}

/// Ids that are ours to give out.
#[derive(Clone, Copy, Debug)]
struct Ids {
    next: i64,
    end: i64,
}

/// What becomes of a shared transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// So far it can be committed.
    Good,
    /// It must run again, each operation by itself.
    Repeat,
    /// This operation wants a row that must be locked before those that are.
    OutOfOrder,
}

impl Tx {
    pub(crate) fn new(session: Session, tables: Arc<Tables>, slot: i64) -> Self {
        Self {
            session,
            tables,
            work: Work::default(),
            careful: false,
            in_order: false,
            fate: Fate::Good,
            locked: None,
            ids: HashMap::new(),
            operations: 1,
            slot,
        }
    }

    /// Begins a transaction for so many operations and locks `targets`, in their order.
    pub(crate) async fn begin(
        &mut self,
        careful: bool,
        operations: usize,
        targets: &[Target],
    ) -> Result<(), StoreError> {
        self.work = Work::default();
        // Alone in its transaction, an operation locks as it likes.
        (self.careful, self.in_order) = (careful, operations > 1);
        (self.fate, self.locked) = (Fate::Good, None);
        self.operations = operations;
        // Others may have given ids out in the meantime.
        self.ids.clear();
        self.session.begin_writing().await?;
        if self.session.dialect() == Dialect::Postgres {
            self.lock_all(targets).await?;
        }
        Ok(())
    }

    /// Writes what was decided, and commits.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        self.check_begun()?;
        let mut statements = self.work.take(self.session.dialect(), &self.tables);
        statements.append(&mut self.work.totals(self.slot));
        self.session.commit(statements).await
    }

    /// Forgets everything since [`Self::begin`].
    pub(crate) async fn rollback(&mut self) -> Result<(), StoreError> {
        self.work = Work::default();
        self.session.rollback().await
    }

    pub(crate) fn fate(&self) -> Fate {
        self.fate
    }

    /// Lets the shared transaction run again.
    pub(crate) fn repeat(&mut self) {
        self.fate = Fate::Repeat;
    }

    /// Whether there is a shared transaction: it may not have begun, and a full disk or an I/O
    /// error makes SQLite roll it back. What is written without one commits by itself.
    fn check_begun(&self) -> Result<(), StoreError> {
        if self.session.as_sqlite().is_some_and(|connection| connection.is_autocommit()) {
            return Err(StoreError::Unavailable("the shared transaction is gone".to_owned()));
        }
        Ok(())
    }

    /// Runs a part of an operation that may fail alone: a refusal, error or panic of the part
    /// leaves nothing of it behind, and the operation goes on.
    ///
    /// # Errors
    /// The part's own, or why it could not run.
    pub async fn attempt<T, E, F>(&mut self, part: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: AsyncFnOnce(&mut Tx) -> Result<T, E>,
    {
        self.check_begun()?;
        let mark = self.work.mark();
        if self.careful {
            self.session.execute("SAVEPOINT operation", &[]).await?;
        }
        let result = AssertUnwindSafe(part(self)).catch_unwind().await;
        let result = result.unwrap_or_else(|_| Err(StoreError::Panicked.into()));
        if self.careful && self.check_begun().is_ok() {
            if result.is_err() {
                self.session.execute("ROLLBACK TO SAVEPOINT operation", &[]).await?;
            }
            self.session.execute("RELEASE SAVEPOINT operation", &[]).await?;
        }
        if result.is_err() {
            // What it decided was not written yet: perhaps the database would have refused it
            // first, and for another reason.
            let may_mislead = !self.careful && self.work.has_decided_since(mark);
            if may_mislead && self.fate == Fate::Good {
                self.fate = Fate::Repeat;
            }
            self.undo(mark);
        }
        result
    }

    fn undo(&mut self, mark: Mark) {
        let ids = &mut self.ids;
        self.work.forget(mark, |kind, id| {
            if let Some(ids) = ids.get_mut(kind)
                && ids.next == id + 1
            {
                ids.next = id;
            }
        });
    }

    /// Writes what was decided so far, for a query that must see it.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.work.is_empty() {
            return Ok(());
        }
        let statements = self.work.take(self.session.dialect(), &self.tables);
        let nested = self.careful && self.session.dialect() == Dialect::Postgres;
        if nested {
            // A statement that fails must not take the operation's others with it.
            self.session.execute("SAVEPOINT statement", &[]).await?;
        }
        let result = self.session.execute_all(&statements).await;
        if nested {
            if result.is_err() {
                self.session.execute("ROLLBACK TO SAVEPOINT statement", &[]).await?;
            }
            self.session.execute("RELEASE SAVEPOINT statement", &[]).await?;
        }
        self.noted(result)
    }

    /// When operations run each by itself, a write is refused where it is made.
    pub(crate) async fn write_through(&mut self, mark: Mark) -> Result<(), StoreError> {
        if !self.careful {
            return Ok(());
        }
        let result = self.flush().await;
        if result.is_err() {
            self.undo(mark);
        }
        result
    }

    /// Takes note of an error that others in the transaction must not suffer from.
    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Err(StoreError::Serialization) => self.fate = Fate::Repeat,
            Err(_) if !self.careful => self.fate = Fate::Repeat,
            _ => {}
        }
        result
    }

    /// Runs a statement beside the records; says how many rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<usize, StoreError> {
        self.check_begun()?;
        self.work.flushed();
        let changed = self.session.execute(sql, params).await;
        self.noted(changed).map(|changed| usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(crate) async fn read_one<T: Send>(
        &mut self,
        sql: &str,
        params: &[Value],
        read: impl FnMut(Row<'_>) -> Result<T, StoreError> + Send,
    ) -> Result<Option<T>, StoreError> {
        let found = self.session.read_one(sql, params, read).await;
        self.noted(found)
    }

    pub(crate) async fn read_keys(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<i64>, StoreError> {
        let mut keys = Vec::new();
        let visit = |row: Row<'_>| {
            keys.push(row.int(0)?);
            Ok(())
        };
        let read = self.session.read(sql, params, visit).await;
        self.noted(read)?;
        Ok(keys)
    }

    /// Reads a row and locks it until the end of the transaction.
    pub(crate) async fn lock(
        &mut self,
        resource: &'static Resource,
        id: i64,
    ) -> Result<Option<Record>, StoreError> {
        if let Some(held) = self.work.held((resource.kind, id)) {
            return Ok(held.now().cloned());
        }
        if self.work.inserts(resource.kind).iter().any(|record| record.key() == id) {
            self.flush().await?;
        }
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        let sql = match self.session.dialect() {
            Dialect::Sqlite => &table.select_one,
            Dialect::Postgres => {
                let place = (table.rank, id);
                if self.in_order && self.locked.is_some_and(|locked| place < locked) {
                    self.fate = Fate::OutOfOrder;
                    return Err(StoreError::Busy);
                }
                self.locked = Some(place);
                // Others may have had the row: what follows it there needs ids above theirs.
                self.ids.clear();
                &table.lock_one
            }
        };
        let stored = self.read_one(sql, &[Value::Int(id)], |row| table.record(row)).await?;
        self.work.hold((resource.kind, id), stored.clone());
        Ok(stored)
    }

    async fn lock_all(&mut self, targets: &[Target]) -> Result<(), StoreError> {
        let tables = Arc::clone(&self.tables);
        let mut places: Vec<(usize, &'static str, i64)> = targets
            .iter()
            .map(|target| (tables.of(target.resource).rank, target.resource.kind, target.id))
            .collect();
        places.sort_unstable();
        places.dedup();
        for group in places.chunk_by(|(_, one, _), (_, other, _)| one == other) {
            let Some((rank, kind, _)) = group.first().copied() else { continue };
            let table = tables.named(kind);
            let ids: Vec<i64> = group.iter().map(|(_, _, id)| *id).collect();
            for id in &ids {
                self.work.hold((kind, *id), None);
            }
            let last = ids.last().copied();
            let mut found = Vec::new();
            let visit = |row: Row<'_>| {
                found.push(table.record(row)?);
                Ok(())
            };
            let read = self.session.read(&table.lock_many, &[Value::Ids(ids)], visit).await;
            self.noted(read)?;
            for record in found {
                self.work.hold((kind, record.key()), Some(record));
            }
            self.locked = self.locked.max(last.map(|id| (rank, id)));
        }
        Ok(())
    }

    /// An id that no record of this table has or had, above those of all records that were made
    /// under the locks of this transaction.
    pub(crate) async fn next_id(&mut self, table: &Table) -> Result<i64, StoreError> {
        let kind = table.resource.kind;
        if let Some(ids) = self.ids.get_mut(kind)
            && ids.next < ids.end
        {
            ids.next += 1;
            return Ok(ids.next - 1);
        }
        let (first, end) = match self.session.dialect() {
            Dialect::Sqlite => {
                let last = self.read_one(&table.last_id, &[], |row| row.int(0)).await?;
                (last.unwrap_or_default() + 1, i64::MAX)
            }
            Dialect::Postgres => {
                let wanted = i64::try_from(self.operations).unwrap_or(1);
                let ids = self.read_keys(&table.next_ids, &[Value::Int(wanted)]).await?;
                let first = ids.first().copied().unwrap_or_default();
                // Others may take from the sequence in between: the part up to there is ours.
                let run = ids.iter().zip(first..).take_while(|(id, next)| **id == *next).count();
                (first, first + i64::try_from(run).unwrap_or_default())
            }
        };
        self.ids.insert(kind, Ids { next: first + 1, end });
        Ok(first)
    }

    /// Gives no id out that is in the table already, or below one that is.
    pub(crate) fn pass_id(&mut self, kind: &'static str, id: i64) {
        if let Some(ids) = self.ids.get_mut(kind) {
            ids.next = ids.next.max(id.saturating_add(1));
        }
    }
}
