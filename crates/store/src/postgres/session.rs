//! One connection to PostgreSQL: what is sent does not wait for the answers to what was sent before,
//! as far as no more than one transaction is at stake.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, Either, join, select};
use futures_util::{FutureExt as _, TryStreamExt as _, pin_mut, poll};
use jsonapi::Value;
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;
use tokio_postgres::{RowStream, SimpleQueryStream};

use super::column::Param;
use crate::error::{StoreError, is_last_word};
use crate::row::Row;
use crate::statement::{PARAMS_KEPT_MAX, Statement};

/// Statements that one connection keeps prepared.
const STATEMENTS_KEPT_MAX: usize = 256;

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
struct Answer(Mutex<Option<Awaited>>);

type Awaited = BoxFuture<'static, Result<(), tokio_postgres::Error>>;

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

impl Postgres {
    pub fn new(client: Option<Arc<Object>>) -> Self {
        Self {
            client,
            in_transaction: AtomicBool::new(false),
            beginning: Answer::default(),
            ahead: Answer::default(),
            is_useless: AtomicBool::new(false),
        }
    }

    pub fn client(&self) -> Result<&Arc<Object>, StoreError> {
        self.client.as_ref().ok_or_else(|| {
            self.is_useless.store(true, Ordering::Relaxed);
            StoreError::Closed
        })
    }

    pub fn client_mut(&mut self) -> Option<&mut Object> {
        self.client.as_mut().and_then(Arc::get_mut)
    }

    /// Whether the server is gone.
    pub fn is_closed(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.is_closed())
    }

    /// Whether another connection is needed: the server is gone, or is not the one to write to.
    pub fn is_useless(&self) -> bool {
        self.is_closed() || self.is_useless.load(Ordering::Relaxed)
    }

    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let statement = self.prepare(sql).await?;
        self.begun().await?;
        let client = self.client()?;
        let executed = client.execute_raw(&statement, params.iter().map(Param::One)).await;
        executed.map_err(|error| self.failed(error))
    }

    /// Runs statements in their order, without waiting for one before the next is sent.
    pub async fn execute_all(&self, statements: &[Statement]) -> Result<(), StoreError> {
        let prepared = self.prepare_all(statements).await?;
        self.begun().await?;
        let client = self.client()?;
        self.all(start(execute(client, &prepared, statements)).await).await
    }

    pub async fn read(
        &self,
        sql: &str,
        params: &[Value],
        mut visit: impl FnMut(Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        let client = self.client()?;
        let statement = if params.len() > PARAMS_KEPT_MAX {
            client.prepare(sql).await.map_err(|error| self.failed(error))?
        } else {
            self.prepare(sql).await?
        };
        let rows = client.query_raw(&statement, params.iter().map(Param::One)).await;
        let rows = rows.map_err(|error| self.failed(error))?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            visit(Row::Postgres(&row))?;
        }
        self.begun().await
    }

    /// Asks queries in their order, without waiting for one before the next is sent.
    pub async fn read_all(
        &self,
        queries: &[Statement],
        visit: impl FnMut(usize, Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        let prepared = self.prepare_all(queries).await?;
        let client = self.client()?;
        let asked = start(query(client, &prepared, queries)).await;
        self.visit_all(asked, visit).await
    }

    pub async fn begin_reading(&self, limit: Option<Duration>) -> Result<(), StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let limit = limit.map_or(0, |limit| limit.as_millis());
        self.begin(&format!("{begin}; SET LOCAL statement_timeout = {limit}")).await
    }

    pub async fn end_reading(&self) -> Result<(), StoreError> {
        // Nobody needs to wait until it has ended, or has been ended.
        drop(self.send("COMMIT").await?);
        self.in_transaction.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Sends what begins a transaction.
    pub async fn begin(&self, sql: &str) -> Result<(), StoreError> {
        self.in_transaction.store(true, Ordering::Relaxed);
        let answer = self.send(sql).await?.try_for_each(async |_| Ok(())).boxed();
        *self.beginning.lock() = Some(answer);
        Ok(())
    }

    /// Whether the transaction has begun indeed. An operator may break off any statement, this one
    /// too, and each that follows would stand alone: none that writes may be sent before this is
    /// known. Where anything else has been answered, that takes no time.
    pub async fn begun(&self) -> Result<(), StoreError> {
        let Some(answer) = self.beginning.lock().take() else { return Ok(()) };
        answer.await.map_err(|error| match self.failed(error) {
            // It may be begun again.
            StoreError::Deadline => StoreError::Serialization,
            other => other,
        })
    }

    /// Runs the last statements of a transaction, its commit among them.
    pub async fn commit(&self, statements: &[Statement]) -> Result<(), StoreError> {
        self.execute_all(statements).await?;
        self.in_transaction.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// As [`Self::commit`]; begins another transaction as soon as `next` says what to ask in it, if
    /// that is before the answer to the commit is there. When that is, `committed` is called, and
    /// what was decided ahead is sent behind the queries. Returns what `next` has begun, and how the
    /// queries ended, which others may keep waiting; nothing where no transaction has begun.
    pub async fn commit_and_begin<N: Send, A: Future<Output = Vec<Statement>>>(
        &self,
        statements: &[Statement],
        next: impl Future<Output = Next<N, A>>,
        committed: impl FnOnce(),
        mut visit: impl FnMut(&mut N, usize, Row<'_>) -> Result<(), StoreError> + Send,
    ) -> Result<Option<(N, Result<(), StoreError>)>, StoreError> {
        let to_write = self.prepare_all(statements).await?;
        self.begun().await?;
        let client = self.client()?;
        let written = self.all(start(execute(client, &to_write, statements)).await);
        pin_mut!(written, next);
        let next = match select(next, written.as_mut()).await {
            Either::Left((next, _)) => {
                self.prepare_all(&next.queries).await.ok().map(|to_ask| (next, to_ask))
            }
            Either::Right((written, _)) => return written.map(|()| self.ended(committed)),
        };
        let Some((Next { mut begun, queries, ahead, answered }, to_ask)) = next else {
            return written.await.map(|()| self.ended(committed));
        };
        self.begin("BEGIN").await?;
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
        let visited = self.visit_all(asked, |place, row| visit(&mut begun, place, row));
        let (written, visited) = join(self.write_ahead(to_write), visited).await;
        Ok(Some((begun, written.and(visited))))
    }

    /// A transaction that none has begun behind.
    fn ended<T>(&self, committed: impl FnOnce()) -> Option<T> {
        self.in_transaction.store(false, Ordering::Relaxed);
        committed();
        None
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
                *self.ahead.lock() = Some(written);
                Ok(())
            }
        }
    }

    pub async fn rollback(&self) -> Result<(), StoreError> {
        self.ahead.lock().take();
        let rolled_back = self.client()?.batch_execute("ROLLBACK").await;
        if let Err(error) = rolled_back {
            self.is_useless.store(true, Ordering::Relaxed);
            return Err(self.failed(error));
        }
        self.in_transaction.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether all has worked, and what was written ahead; if not, the first error.
    async fn all(
        &self,
        executed: Started<impl Future<Output = Result<u64, tokio_postgres::Error>>>,
    ) -> Result<(), StoreError> {
        let ahead = self.ahead.lock().take();
        let ahead = match ahead {
            Some(answer) => answer.await,
            None => Ok(()),
        };
        ahead.and(all(executed).await).map_err(|error| self.failed(error))
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

    /// Sends statements without awaiting the answer: what is sent next is answered after them.
    async fn send(&self, sql: &str) -> Result<SimpleQueryStream, StoreError> {
        let client = self.client()?;
        client.simple_query_raw(sql).await.map_err(|error| self.failed(error))
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

impl Drop for Postgres {
    /// A caller that went away in the middle of a transaction leaves a connection nobody can use.
    fn drop(&mut self) {
        if (*self.in_transaction.get_mut() || *self.is_useless.get_mut())
            && let Some(client) = self.client.take()
        {
            // It holds the connection, too.
            self.ahead.lock().take();
            drop(Arc::into_inner(client).map(Object::take));
        }
    }
}

impl Answer {
    fn lock(&self) -> MutexGuard<'_, Option<Awaited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answer").finish_non_exhaustive()
    }
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
