//! The transaction that operations share: what they read is locked, what they decide is written
//! together before the commit.

pub mod ahead;

use std::collections::{BTreeMap, HashMap};
use std::ops::AsyncFnOnce;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use jsonapi::{Record, Resource, Value};

use crate::error::StoreError;
use crate::fetch::{Fetch, Needs, Place};
use crate::handover::{Errand, Handover, Room};
use crate::ids::Ids;
use crate::outlook::Outlook;
use crate::row::Row;
use crate::session::{Dialect, Session};
use crate::statement::Statement;
use crate::table::{Table, Tables, take_ids};
use crate::work::{Known, Mark, Work};

/// The part by which the largest batch of late is forgotten with each that is smaller.
const USUAL_PART: usize = 8;

/// All records of resources that have few, by type.
type Standing = HashMap<&'static str, Arc<[Record]>>;

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
    locked: Option<Place>,
    /// The ids that are next, by type.
    ids: HashMap<&'static str, Ids>,
    /// How many ids were given out since the transaction began, by type.
    given: BTreeMap<&'static str, usize>,
    /// Operations that have run before the database has answered.
    ahead: usize,
    /// Whether all was as foreseen, the last time. Where others write the same rows, it is not.
    foresees: bool,
    /// Where the one began that has not ended yet.
    under_way: Option<Mark>,
    /// Operations in the batch.
    operations: usize,
    /// Operations that a batch has at most, of late.
    usual: usize,
    /// Which rows of the totals this writer counts in.
    slot: i64,
    /// All records of resources that have few, as far as they were read.
    standing: Standing,
    /// Told of a commit that has something to be delivered.
    handover: Arc<Handover>,
    is_stirring: bool,
}

/// What becomes of a shared transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// So far it can be committed.
    Good,
    /// Another transaction was in the way: it must run again.
    Collided,
    /// It must run again, each operation by itself.
    Repeat,
    /// This operation wants a row that must be locked before those that are.
    OutOfOrder,
}

impl Tx {
    pub(crate) fn new(
        session: Session,
        tables: Arc<Tables>,
        handover: Arc<Handover>,
        slot: i64,
    ) -> Self {
        Self {
            session,
            tables,
            work: Work::default(),
            careful: false,
            in_order: false,
            fate: Fate::Good,
            locked: None,
            ids: HashMap::new(),
            given: BTreeMap::new(),
            ahead: 0,
            foresees: true,
            under_way: None,
            operations: 1,
            usual: 1,
            slot,
            standing: HashMap::new(),
            handover,
            is_stirring: false,
        }
    }

    /// Begins a transaction for so many operations, and reads what they need; rows are locked in
    /// their order.
    pub(crate) async fn begin(
        &mut self,
        careful: bool,
        operations: usize,
        needs: impl Iterator<Item = &Needs>,
    ) -> Result<(), StoreError> {
        // In SQLite nothing is gained by reading together.
        let (mut fetch, queries) = match self.session.dialect() {
            Dialect::Sqlite => (Fetch::default(), Vec::new()),
            Dialect::Postgres => self.outlook().fetch(operations, needs, false),
        };
        self.session.begin_writing().await?;
        let tables = Arc::clone(&self.tables);
        let visit = |position: usize, row: Row<'_>| fetch.take(&tables, position, row);
        let read = self.session.read_all(&queries, visit).await;
        self.open(careful, operations, fetch);
        self.noted(read)
    }

    /// What the operations so far tell of those that come next.
    fn outlook(&mut self) -> Outlook {
        let before = self.operations;
        // Down to one at last.
        self.usual = before.max(self.usual - self.usual.div_ceil(USUAL_PART));
        let left = self.ids.iter().map(|(kind, ids)| (*kind, ids.count())).collect();
        let (tables, given) = (Arc::clone(&self.tables), self.given.clone());
        Outlook { tables, given, left, before, usual: self.usual }
    }

    /// From here on, operations run in the transaction that was begun last.
    fn open(&mut self, careful: bool, operations: usize, fetch: Fetch) {
        // Others may have given out more ids in the meantime.
        self.ids = fetch.ids.iter().map(|(kind, ids)| (*kind, Ids::taken(ids))).collect();
        self.standing = fetch.standing.into_iter().map(|(kind, all)| (kind, all.into())).collect();
        self.start(careful, operations, fetch.work, fetch.locked);
    }

    fn start(&mut self, careful: bool, operations: usize, work: Work, locked: Option<Place>) {
        self.work = work;
        (self.careful, self.fate, self.locked) = (careful, Fate::Good, locked);
        (self.ahead, self.under_way) = (0, None);
        self.is_stirring = false;
        self.given.clear();
        self.expect(operations);
    }

    /// So many operations are going to run.
    pub(crate) fn expect(&mut self, operations: usize) {
        self.operations = operations;
        // Alone in its transaction, an operation locks as it likes.
        self.in_order = operations > 1;
    }

    /// Notes that the commit puts something into a line of deliveries.
    pub(crate) fn stir(&mut self) {
        self.is_stirring = true;
    }

    /// Whether the commit can hand an errand to this webhook over.
    pub(crate) fn room(&self, webhook: i64) -> Room {
        self.handover.room(webhook)
    }

    /// Has the commit hand an errand over.
    pub(crate) fn hand_over(&mut self, errand: Errand) {
        self.work.hand_over(errand);
    }

    /// Forgets what was read of all records of a resource, one of which changes.
    pub(crate) fn unsettle(&mut self, resource: &Resource) {
        self.standing.remove(resource.kind);
    }

    /// Every record of a resource that has few, in the order of their keys: read once for all
    /// operations that share the transaction, and of [`Resource::standing`] ones in advance.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn all(&mut self, resource: &'static Resource) -> Result<Arc<[Record]>, StoreError> {
        let kind = resource.kind;
        if let Some(all) = self.standing.get(kind) {
            return Ok(Arc::clone(all));
        }
        if !self.work.inserts(kind).is_empty() || self.work.changes(kind, |_, _| true) {
            self.flush().await?;
        }
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        let mut all = Vec::new();
        let visit = |row: Row<'_>| {
            all.push(table.record(row)?);
            Ok(())
        };
        let read = self.session.read(&table.select_all, &[], visit).await;
        self.noted(read)?;
        let all: Arc<[Record]> = all.into();
        self.standing.insert(kind, Arc::clone(&all));
        Ok(all)
    }

    /// Leaves a statement to be run before the commit, when rows are locked only for a moment.
    pub(crate) async fn leave(&mut self, statement: Statement) -> Result<(), StoreError> {
        let mark = self.work.mark();
        self.work.statement(statement);
        self.write_through(mark).await
    }

    /// Leaves a row to a statement of SQLite's for `one`, or of PostgreSQL's for `many`, to whom all
    /// rows go together. Neither sees what else is written.
    pub(crate) async fn leave_row(
        &mut self,
        one: &'static str,
        many: &'static str,
        row: Vec<Value>,
    ) -> Result<(), StoreError> {
        let mark = self.work.mark();
        match self.session.dialect() {
            Dialect::Sqlite => self.work.statement(Statement::new(one, row)),
            Dialect::Postgres => self.work.row(many, row),
        }
        self.write_through(mark).await
    }

    fn last_statements(&mut self) -> Result<Vec<Statement>, StoreError> {
        self.check_begun()?;
        Ok(self.work.take(self.session.dialect(), &self.tables, Some(self.slot)))
    }

    /// Forgets everything since [`Self::begin`].
    pub(crate) async fn rollback(&mut self) -> Result<(), StoreError> {
        self.work = Work::default();
        self.session.rollback().await
    }

    pub(crate) fn fate(&self) -> Fate {
        self.fate
    }

    /// Another transaction was in the way: this one has to run again.
    pub(crate) fn collide(&mut self) {
        self.fate = Fate::Collided;
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
        // What it has changed of these may have been read.
        self.standing.clear();
        let ids = &mut self.ids;
        self.work.forget(mark, |kind, id| {
            if let Some(ids) = ids.get_mut(kind) {
                ids.take_back(id);
            }
        });
    }

    /// Writes what was decided so far, for a query that must see it.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.work.is_empty() {
            return Ok(());
        }
        // Where nobody can be asked, what was decided is kept.
        let reached = self.session.reach();
        self.noted(reached)?;
        let statements = self.work.take(self.session.dialect(), &self.tables, None);
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
    pub(crate) fn noted<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Err(StoreError::Serialization) => self.fate = Fate::Collided,
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
        self.flush().await?;
        self.work.flushed();
        let changed = self.session.execute(sql, params).await;
        self.noted(changed).map(|changed| usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Runs a statement beside the records that returns what it has changed.
    pub(crate) async fn change(
        &mut self,
        sql: &str,
        params: &[Value],
        visit: impl FnMut(Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        self.check_begun()?;
        self.flush().await?;
        self.work.flushed();
        let changed = self.session.change(sql, params, visit).await;
        self.noted(changed)
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

    /// The row as this transaction leaves it so far. One that it has added is written first.
    pub(crate) async fn known(
        &mut self,
        kind: &'static str,
        id: i64,
    ) -> Result<Known<Record>, StoreError> {
        match self.work.held((kind, id)) {
            Known::There(record) => return Ok(Known::There(record.clone())),
            Known::Absent => return Ok(Known::Absent),
            Known::Not => {}
        }
        if self.work.inserts(kind).iter().any(|record| record.key() == id) {
            self.flush().await?;
        }
        Ok(Known::Not)
    }

    /// Reads a row and locks it until the end of the transaction.
    pub(crate) async fn lock(
        &mut self,
        resource: &'static Resource,
        id: i64,
    ) -> Result<Option<Record>, StoreError> {
        match self.known(resource.kind, id).await? {
            Known::There(record) => return Ok(Some(record)),
            Known::Absent => return Ok(None),
            Known::Not => {}
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

    /// An id that no record of this table has or had, above those of all records that were made
    /// under the locks of this transaction.
    pub(crate) async fn next_id(&mut self, table: &Table) -> Result<i64, StoreError> {
        let kind = table.resource.kind;
        *self.given.entry(kind).or_default() += 1;
        if let Some(id) = self.ids.get_mut(kind).and_then(Ids::give) {
            return Ok(id);
        }
        match self.session.dialect() {
            Dialect::Sqlite => {
                let last = self.read_one(&table.last_id, &[], |row| row.int(0)).await?;
                self.ids.insert(kind, Ids::from(last.unwrap_or_default() + 1));
            }
            Dialect::Postgres => self.take_ids(table).await?,
        }
        self.ids.get_mut(kind).and_then(Ids::give).ok_or(StoreError::Closed)
    }

    /// Ids of this table, and of those that ran out with it or are about to.
    async fn take_ids(&mut self, table: &Table) -> Result<(), StoreError> {
        let tables = Arc::clone(&self.tables);
        let wanted: Vec<(&Table, usize)> = match self.operations {
            // One id that is not needed would be a gap.
            1 => vec![(table, 1)],
            many => {
                let count = |(kind, given): (&&str, &usize)| (tables.named(kind), many.max(*given));
                self.given.iter().map(count).collect()
            }
        };
        let Statement { sql, params, .. } = take_ids(&wanted);
        let mut taken = vec![Vec::new(); wanted.len()];
        let read = self.session.read(&sql, &params, |row| {
            for (column, ids) in taken.iter_mut().enumerate() {
                ids.extend(row.optional_int(column)?);
            }
            Ok(())
        });
        let read = read.await;
        self.noted(read)?;
        for ((table, _), ids) in wanted.iter().zip(&taken) {
            self.ids.insert(table.resource.kind, Ids::taken(ids));
        }
        Ok(())
    }

    /// Gives no id out that is in the table already, or below one that is.
    pub(crate) fn pass_id(&mut self, kind: &'static str, id: i64) {
        if let Some(ids) = self.ids.get_mut(kind) {
            ids.pass(id);
        }
    }
}
