//! One connection to either database: statements in, rows out.
//!
//! The statements are the same for both; what differs is here and in the two drivers' folders.
//! SQLite answers at once, so a future of its session never waits.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, Either, join, select};
use futures_util::{FutureExt as _, TryStreamExt as _, pin_mut, poll};
use jsonapi::{Kind, Value};
use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;
use tokio_postgres::{RowStream, SimpleQueryStream};

use crate::error::{StoreError, is_last_word};
use crate::postgres::column::{self as postgres_column, Param, Raw};
use crate::sqlite::column as sqlite_column;
use crate::statement::Statement;

/// Virtual machine steps of SQLite between two looks at the clock.
const DEADLINE_STEPS: i32 = 10_000;
/// Parameters of a statement that is worth keeping. Keeps long filters, each of its own shape,
/// from filling the memory with their plans.
const PARAMS_KEPT_MAX: usize = 32;
/// Statements that one connection to PostgreSQL keeps prepared.
const STATEMENTS_KEPT_MAX: usize = 256;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A connection.
#[derive(Debug)]
pub enum Session {
    /// The lock is never waited for: a session has one user at a time.
    Sqlite(Mutex<Connection>),
    Postgres(Postgres),
}

/// A connection that goes back to its pool.
#[derive(Debug)]
pub struct Postgres {
    /// Where nothing may be asked, there is none.
    client: Option<Arc<Object>>,
    in_transaction: AtomicBool,
    /// To what was to begin a transaction.
    beginning: Answer,
    /// To what was written ahead.
    ahead: Answer,
    /// Whether what it leads to has ended, or takes no writes.
    is_useless: AtomicBool,
}

/// The answer to what was sent, until it has been looked at.
#[derive(Default)]
struct Answer(Mutex<Option<BoxFuture<'static, Result<(), tokio_postgres::Error>>>>);

/// What comes after a transaction, while the answer to its commit is waited for.
pub struct Next<N, A> {
    /// What has begun.
    pub begun: N,
    /// What is asked first.
    pub queries: Vec<Statement>,
    /// What else is done, until `answered` is told: then it says what is to be written.
    pub ahead: A,
    pub answered: oneshot::Sender<()>,
}

impl Session {
    pub fn sqlite(connection: Connection) -> Self {
        Self::Sqlite(Mutex::new(connection))
    }

    pub fn postgres(client: Object) -> Self {
        Self::Postgres(Postgres::new(Some(Arc::new(client))))
    }

    /// Stands for the session with PostgreSQL where nothing may be asked: whatever is, fails, and
    /// makes it useless.
    pub fn nowhere() -> Self {
        Self::Postgres(Postgres::new(None))
    }

    /// Whether there is somebody to ask.
    pub fn reach(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(postgres) => postgres.client().map(|_| ()),
        }
    }

    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Whether the server is gone.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(postgres) => {
                postgres.client.as_ref().is_some_and(|client| client.is_closed())
            }
        }
    }

    /// Whether another connection is needed: the server is gone, or is not the one to write to.
    pub fn is_useless(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(postgres) => {
                self.is_closed() || postgres.is_useless.load(Ordering::Relaxed)
            }
        }
    }

    /// Runs a statement; says how many rows it changed.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(connection) => sqlite_execute(&lock(connection), sql, params),
            Self::Postgres(postgres) => postgres.execute(sql, params).await,
        }
    }

    /// Runs statements in their order, without waiting for one before the next is sent. After the
    /// first that fails, none has an effect: they are part of one transaction.
    pub async fn execute_all(&self, statements: &[Statement]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let connection = lock(connection);
                let mut changed = 0;
                for statement in statements {
                    if changed == 0 || !statement.is_or_else {
                        changed = sqlite_execute(&connection, &statement.sql, &statement.params)?;
                    }
                }
                Ok(())
            }
            Self::Postgres(postgres) => {
                let prepared = postgres.prepare_all(statements).await?;
                postgres.begun().await?;
                let client = postgres.client()?;
                postgres.all(start(execute(client, &prepared, statements)).await).await
            }
        }
    }

    /// Visits the rows that a query finds.
    pub async fn read(
        &self,
        sql: &str,
        params: &[Value],
        mut visit: impl FnMut(Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let connection = lock(connection);
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(sqlite_column::params(params))?;
                while let Some(row) = rows.next()? {
                    visit(Row::Sqlite(row))?;
                }
                drop(rows);
                if params.len() > PARAMS_KEPT_MAX {
                    statement.discard();
                }
                Ok(())
            }
            Self::Postgres(postgres) => {
                let rows = postgres.query(sql, params).await?;
                pin_mut!(rows);
                while let Some(row) =
                    rows.try_next().await.map_err(|error| postgres.failed(error))?
                {
                    visit(Row::Postgres(&row))?;
                }
                postgres.begun().await
            }
        }
    }

    /// Runs a statement that changes rows, and visits those that it returns.
    pub async fn change(
        &self,
        sql: &str,
        params: &[Value],
        visit: impl FnMut(Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        if let Self::Postgres(postgres) = self {
            postgres.begun().await?;
        }
        self.read(sql, params, visit).await
    }

    /// Asks queries in their order, without waiting for one before the next is sent, and visits
    /// the rows that each of them finds; says the position of the query with each.
    pub async fn read_all(
        &self,
        queries: &[Statement],
        mut visit: impl FnMut(usize, Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => {
                for (position, query) in queries.iter().enumerate() {
                    self.read(&query.sql, &query.params, |row| visit(position, row)).await?;
                }
                Ok(())
            }
            Self::Postgres(postgres) => {
                let prepared = postgres.prepare_all(queries).await?;
                let client = postgres.client()?;
                let asked = start(query(client, &prepared, queries)).await;
                postgres.visit_all(asked, visit).await
            }
        }
    }

    /// Reads the first row that a query finds.
    pub async fn read_one<T: Send>(
        &self,
        sql: &str,
        params: &[Value],
        mut read: impl FnMut(Row<'_>) -> Result<T, StoreError> + Send,
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        self.read(sql, params, |row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Begins to read one state of the database, until [`Self::end_reading`]. Without a limit, it
    /// may take as long as it takes.
    pub async fn begin_reading(&self, limit: Option<Duration>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let mut connection = lock(connection);
                if let Some(limit) = limit {
                    let deadline = Instant::now() + limit;
                    let expired = move || Instant::now() > deadline;
                    connection.progress_handler(DEADLINE_STEPS, Some(expired))?;
                }
                connection.prepare_cached("BEGIN")?.execute([])?;
                Ok(())
            }
            Self::Postgres(postgres) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                let limit = limit.map_or(0, |limit| limit.as_millis());
                postgres.begin(&format!("{begin}; SET LOCAL statement_timeout = {limit}")).await
            }
        }
    }

    /// Ends what [`Self::begin_reading`] began.
    pub async fn end_reading(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let mut connection = lock(connection);
                connection.progress_handler(0, None::<fn() -> bool>)?;
                if !connection.is_autocommit() {
                    connection.prepare_cached("COMMIT")?.execute([])?;
                }
                Ok(())
            }
            Self::Postgres(postgres) => {
                // Nobody needs to wait until it has ended, or has been ended.
                drop(postgres.send("COMMIT").await?);
                postgres.in_transaction.store(false, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Begins a transaction that writes.
    pub async fn begin_writing(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                lock(connection).prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
                Ok(())
            }
            Self::Postgres(postgres) => postgres.begin("BEGIN").await,
        }
    }

    /// Runs the last statements of a transaction and commits it.
    pub async fn commit(&self, mut statements: Vec<Statement>) -> Result<(), StoreError> {
        statements.push(Statement::new("COMMIT", Vec::new()));
        self.execute_all(&statements).await?;
        if let Self::Postgres(postgres) = self {
            postgres.in_transaction.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// As [`Self::commit`]; begins another transaction as soon as `next` says what to ask in it, if
    /// that is before the answer to the commit is there. When that is, `committed` is called, and
    /// what was decided ahead is sent behind the queries. Returns what `next` has begun, and how the
    /// queries ended, which others may keep waiting; nothing where no transaction has begun.
    pub async fn commit_and_begin<N: Send, A: Future<Output = Vec<Statement>>>(
        &self,
        mut statements: Vec<Statement>,
        next: impl Future<Output = Next<N, A>>,
        committed: impl FnOnce(),
        mut visit: impl FnMut(&mut N, usize, Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<Option<(N, Result<(), StoreError>)>, StoreError> {
        let Self::Postgres(postgres) = self else {
            self.commit(statements).await?;
            committed();
            return Ok(None);
        };
        statements.push(Statement::new("COMMIT", Vec::new()));
        let to_write = postgres.prepare_all(&statements).await?;
        postgres.begun().await?;
        let client = postgres.client()?;
        let written = postgres.all(start(execute(client, &to_write, &statements)).await);
        pin_mut!(written, next);
        let Next { mut begun, queries, ahead, answered } =
            match select(next, written.as_mut()).await {
                Either::Left((next, _)) => next,
                Either::Right((written, _)) => {
                    written?;
                    postgres.in_transaction.store(false, Ordering::Relaxed);
                    committed();
                    return Ok(None);
                }
            };
        let Ok(to_ask) = postgres.prepare_all(&queries).await else {
            written.await?;
            postgres.in_transaction.store(false, Ordering::Relaxed);
            committed();
            return Ok(None);
        };
        postgres.begin("BEGIN").await?;
        let asked = start(query(client, &to_ask, &queries)).await;
        pin_mut!(ahead);
        match select(written, ahead.as_mut()).await {
            Either::Left((written, _)) => written?,
            Either::Right((_, written)) => written.await?,
        }
        committed();
        let _ = answered.send(());
        let to_write = ahead.await;
        // Rows are taken meanwhile: a statement that has to be prepared first is answered behind them.
        let visited = postgres.visit_all(asked, |place, row| visit(&mut begun, place, row));
        let (written, visited) = join(postgres.write_ahead(to_write), visited).await;
        Ok(Some((begun, written.and(visited))))
    }

    /// Takes a transaction back, if there still is one.
    pub async fn rollback(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let connection = lock(connection);
                if !connection.is_autocommit() {
                    connection.prepare_cached("ROLLBACK")?.execute([])?;
                }
                Ok(())
            }
            Self::Postgres(postgres) => {
                lock(&postgres.ahead.0).take();
                if let Err(error) = postgres.batch("ROLLBACK").await {
                    postgres.is_useless.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                postgres.in_transaction.store(false, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// The connection of SQLite.
    pub fn as_sqlite(&self) -> Option<MutexGuard<'_, Connection>> {
        match self {
            Self::Sqlite(connection) => Some(lock(connection)),
            Self::Postgres(_) => None,
        }
    }

    /// The connection to PostgreSQL.
    pub fn as_postgres(&self) -> Option<&Object> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(postgres) => postgres.client.as_deref(),
        }
    }
}

/// Whether all has worked; if not, the first error.
async fn all(
    executed: Started<impl Future<Output = Result<u64, tokio_postgres::Error>>>,
) -> Result<(), tokio_postgres::Error> {
    let mut done = Ok(());
    // What failed later fails because of it.
    for executed in executed.outputs() {
        done = done.and(executed.await.map(|_| ()));
    }
    done
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sqlite_execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
    let changed = connection.prepare_cached(sql)?.execute(sqlite_column::params(params))?;
    Ok(changed as u64)
}

/// Futures of the same kind that are started in their order before the first is awaited.
struct Started<F: Future> {
    futures: Vec<Pin<Box<F>>>,
    polled: Vec<Poll<F::Output>>,
}

/// Polls each once: a request to PostgreSQL is sent by that.
async fn start<F: Future>(futures: impl Iterator<Item = F>) -> Started<F> {
    let mut started = Started { futures: futures.map(Box::pin).collect(), polled: Vec::new() };
    for future in &mut started.futures {
        started.polled.push(poll!(future));
    }
    started
}

impl<F: Future> Started<F> {
    /// What they come to, in their order.
    fn outputs(self) -> impl Iterator<Item = impl Future<Output = F::Output>> {
        self.futures.into_iter().zip(self.polled).map(async |(future, polled)| match polled {
            Poll::Ready(output) => output,
            Poll::Pending => future.await,
        })
    }
}

fn execute<'a>(
    client: &'a Object,
    prepared: &'a [tokio_postgres::Statement],
    statements: &'a [Statement],
) -> impl Iterator<Item = impl Future<Output = Result<u64, tokio_postgres::Error>> + 'a> {
    let both = prepared.iter().zip(statements);
    both.map(|(prepared, statement)| client.execute_raw(prepared, statement.sent()))
}

fn query<'a>(
    client: &'a Object,
    prepared: &'a [tokio_postgres::Statement],
    queries: &'a [Statement],
) -> impl Iterator<Item = impl Future<Output = Result<RowStream, tokio_postgres::Error>> + 'a> {
    let both = prepared.iter().zip(queries);
    both.map(|(prepared, query)| client.query_raw(prepared, query.sent()))
}

impl Postgres {
    fn new(client: Option<Arc<Object>>) -> Self {
        Self {
            client,
            in_transaction: AtomicBool::new(false),
            beginning: Answer::default(),
            ahead: Answer::default(),
            is_useless: AtomicBool::new(false),
        }
    }

    /// Whether all has worked, and what was written ahead; if not, the first error.
    async fn all(
        &self,
        executed: Started<impl Future<Output = Result<u64, tokio_postgres::Error>>>,
    ) -> Result<(), StoreError> {
        let ahead = lock(&self.ahead.0).take();
        let ahead = match ahead {
            Some(answer) => answer.await,
            None => Ok(()),
        };
        ahead.and(all(executed).await).map_err(|error| self.failed(error))
    }

    /// Sends statements that write, without awaiting the answers: whoever writes next looks at them.
    async fn write_ahead(&self, statements: Vec<Statement>) -> Result<(), StoreError> {
        if statements.is_empty() {
            return Ok(());
        }
        let prepared = self.prepare_all(&statements).await?;
        self.begun().await?;
        let client = Arc::clone(self.client()?);
        let mut written =
            async move { all(start(execute(&client, &prepared, &statements)).await).await }.boxed();
        // They are sent by that.
        match poll!(&mut written) {
            Poll::Ready(written) => written.map_err(|error| self.failed(error)),
            Poll::Pending => {
                *lock(&self.ahead.0) = Some(written);
                Ok(())
            }
        }
    }

    async fn visit_all(
        &self,
        asked: Started<impl Future<Output = Result<RowStream, tokio_postgres::Error>>>,
        mut visit: impl FnMut(usize, Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        // Rows are read before the next answer is waited for: it does not come while they are not.
        for (position, answer) in asked.outputs().enumerate() {
            let rows = answer.await.map_err(|error| self.failed(error))?;
            pin_mut!(rows);
            while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
                visit(position, Row::Postgres(&row))?;
            }
        }
        self.begun().await
    }

    fn client(&self) -> Result<&Arc<Object>, StoreError> {
        self.client.as_ref().ok_or_else(|| {
            self.is_useless.store(true, Ordering::Relaxed);
            StoreError::Closed
        })
    }

    pub fn client_mut(&mut self) -> Option<&mut Object> {
        self.client.as_mut().and_then(Arc::get_mut)
    }

    async fn prepare(&self, sql: &str) -> Result<tokio_postgres::Statement, StoreError> {
        let client = self.client()?;
        if client.statement_cache.size() > STATEMENTS_KEPT_MAX {
            client.statement_cache.clear();
        }
        client.prepare_cached(sql).await.map_err(|error| self.failed(error))
    }

    async fn prepare_all(
        &self,
        statements: &[Statement],
    ) -> Result<Vec<tokio_postgres::Statement>, StoreError> {
        let mut prepared = Vec::with_capacity(statements.len());
        for statement in statements {
            prepared.push(self.prepare(&statement.sql).await?);
        }
        Ok(prepared)
    }

    async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let statement = self.prepare(sql).await?;
        self.begun().await?;
        let client = self.client()?;
        let executed = client.execute_raw(&statement, params.iter().map(Param::One)).await;
        executed.map_err(|error| self.failed(error))
    }

    async fn query(&self, sql: &str, params: &[Value]) -> Result<RowStream, StoreError> {
        let client = self.client()?;
        let statement = if params.len() > PARAMS_KEPT_MAX {
            client.prepare(sql).await.map_err(|error| self.failed(error))?
        } else {
            self.prepare(sql).await?
        };
        let rows = client.query_raw(&statement, params.iter().map(Param::One)).await;
        rows.map_err(|error| self.failed(error))
    }

    /// Sends statements without awaiting the answer: what is sent next is answered after them.
    async fn send(&self, sql: &str) -> Result<SimpleQueryStream, StoreError> {
        let client = self.client()?;
        client.simple_query_raw(sql).await.map_err(|error| self.failed(error))
    }

    /// Sends what begins a transaction.
    async fn begin(&self, sql: &str) -> Result<(), StoreError> {
        self.in_transaction.store(true, Ordering::Relaxed);
        let answer = self.send(sql).await?.try_for_each(async |_| Ok(())).boxed();
        *lock(&self.beginning.0) = Some(answer);
        Ok(())
    }

    /// Whether the transaction has begun indeed. An operator may break off any statement, this one
    /// too, and each that follows would stand alone: none that writes may be sent before this is
    /// known. Where anything else has been answered, that takes no time.
    async fn begun(&self) -> Result<(), StoreError> {
        let Some(answer) = lock(&self.beginning.0).take() else { return Ok(()) };
        answer.await.map_err(|error| match self.failed(error) {
            // It may be begun again.
            StoreError::Deadline => StoreError::Serialization,
            other => other,
        })
    }

    async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        let client = self.client()?;
        client.batch_execute(sql).await.map_err(|error| self.failed(error))
    }

    /// What the error means, for the connection too.
    fn failed(&self, error: tokio_postgres::Error) -> StoreError {
        if error.as_db_error().is_some_and(|error| {
            is_last_word(error) || *error.code() == SqlState::READ_ONLY_SQL_TRANSACTION
        }) {
            self.is_useless.store(true, Ordering::Relaxed);
        }
        error.into()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Drop for Postgres {
    /// A caller that went away in the middle of a transaction leaves a connection nobody can use.
    fn drop(&mut self) {
        if (*self.in_transaction.get_mut() || *self.is_useless.get_mut())
            && let Some(client) = self.client.take()
        {
            // It holds the connection, too.
            lock(&self.ahead.0).take();
            drop(Arc::into_inner(client).map(Object::take));
        }
    }
}

/// A row of either database.
#[derive(Clone, Copy, Debug)]
pub enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

pub const INTEGER: Kind =
    Kind::Integer { min: i64::MIN, max: i64::MAX, digits_only: false, listed: &[] };

impl Row<'_> {
    /// The column at `index` as an attribute's kind.
    pub fn value(&self, index: usize, kind: Kind) -> Result<Value, StoreError> {
        let read = match self {
            Self::Sqlite(row) => sqlite_column::read(row.get_ref(index)?, kind),
            Self::Postgres(row) => {
                postgres_column::read(row.try_get::<_, Option<Raw<'_>>>(index)?, kind)
            }
        };
        read.ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    fn name(&self, index: usize) -> String {
        match self {
            Self::Sqlite(row) => row.as_ref().column_name(index).unwrap_or_default().to_owned(),
            Self::Postgres(row) => {
                row.columns().get(index).map(|column| column.name().to_owned()).unwrap_or_default()
            }
        }
    }

    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        let value = self.value(index, INTEGER)?;
        value.as_int().ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    pub fn optional_int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        Ok(self.value(index, INTEGER)?.as_int())
    }

    pub fn text(&self, index: usize) -> Result<String, StoreError> {
        self.optional_text(index)?.ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    pub fn optional_text(&self, index: usize) -> Result<Option<String>, StoreError> {
        Ok(self.value(index, Kind::Text)?.as_text().map(str::to_owned))
    }

    pub fn bool(&self, index: usize) -> Result<bool, StoreError> {
        Ok(self.value(index, Kind::Boolean)? == Value::Bool(true))
    }

    pub fn time(&self, index: usize) -> Result<jiff::Timestamp, StoreError> {
        let value = self.value(index, Kind::Timestamp)?;
        value.as_time().ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    pub fn optional_time(&self, index: usize) -> Result<Option<jiff::Timestamp>, StoreError> {
        Ok(self.value(index, Kind::Timestamp)?.as_time())
    }
}
