//! One connection to either database: statements in, rows out.
//!
//! The statements are the same for both; what differs is here and in the two drivers' folders.
//! SQLite answers at once, so a future of its session never waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use jsonapi::Value;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::postgres::session::{Next, Postgres};
use crate::row::Row;
use crate::sqlite::column as sqlite_column;
use crate::statement::{PARAMS_KEPT_MAX, Statement};

/// Virtual machine steps of SQLite between two looks at the clock.
const DEADLINE_STEPS: i32 = 10_000;
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
            Self::Postgres(postgres) => postgres.is_closed(),
        }
    }

    /// Whether another connection is needed: the server is gone, or is not the one to write to.
    pub fn is_useless(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(postgres) => postgres.is_useless(),
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
            Self::Postgres(postgres) => postgres.execute_all(statements).await,
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
            Self::Postgres(postgres) => postgres.read(sql, params, visit).await,
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
            Self::Postgres(postgres) => postgres.read_all(queries, visit).await,
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
            Self::Postgres(postgres) => postgres.begin_reading(limit).await,
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
            Self::Postgres(postgres) => postgres.end_reading().await,
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
        match self {
            Self::Sqlite(_) => self.execute_all(&statements).await,
            Self::Postgres(postgres) => postgres.commit(&statements).await,
        }
    }

    /// As [`Self::commit`], where PostgreSQL may begin with what comes next
    /// ([`Postgres::commit_and_begin`]).
    pub async fn commit_and_begin<N: Send, A: Future<Output = Vec<Statement>>>(
        &self,
        mut statements: Vec<Statement>,
        next: impl Future<Output = Next<N, A>>,
        committed: impl FnOnce(),
        visit: impl FnMut(&mut N, usize, Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<Option<(N, Result<(), StoreError>)>, StoreError> {
        statements.push(Statement::new("COMMIT", Vec::new()));
        match self {
            Self::Sqlite(_) => {
                self.execute_all(&statements).await?;
                committed();
                Ok(None)
            }
            Self::Postgres(postgres) => {
                postgres.commit_and_begin(&statements, next, committed, visit).await
            }
        }
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
            Self::Postgres(postgres) => postgres.rollback().await,
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
            Self::Postgres(postgres) => postgres.client().ok().map(|client| &**client),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sqlite_execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
    let changed = connection.prepare_cached(sql)?.execute(sqlite_column::params(params))?;
    Ok(changed as u64)
}
