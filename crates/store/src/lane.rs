//! The write lane: many waiting operations, one commit.
//!
//! One thread owns a writing connection. It takes whatever operations are waiting, runs them in
//! one shared transaction, commits once, and only then answers them all. Nothing is acknowledged
//! before it is durable. When one of them fails after it has decided something, or the database
//! refuses what they decided together, all run again, each in a savepoint: who fails fails alone.

use std::collections::VecDeque;
use std::ops::AsyncFn;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::postgres;
use crate::session::Session;
use crate::sqlite::connection::Place;
use crate::table::Tables;
use crate::tx::{Fate, Target, Tx};

/// Operations that may wait before new ones are turned away.
const QUEUE_MAX: usize = 2048;
/// Operations that share one commit at most.
const BATCH_MAX: usize = 256;
/// How often a batch that collides with other writers of the database runs again.
const REPEATS_MAX: u32 = 8;
/// How long it waits before the first time, doubled each time.
const REPEAT_AFTER: Duration = Duration::from_millis(2);

/// Where a lane has its connection from.
#[derive(Debug)]
pub enum Source {
    /// One connection for good.
    Sqlite(rusqlite::Connection),
    /// A new one whenever the server has gone away.
    Postgres(postgres::pool::Pool),
}

/// An operation that waits for its transaction.
trait Job: Send {
    /// Runs it; what it returns waits with it.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

    /// Tells its caller how it ended, now that the fate of the transaction is known.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Waiting<T, E, F> {
    operation: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Waiting<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: AsyncFn(&mut Tx) -> Result<T, E> + Send,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        Box::pin(async {
            self.result = Some(tx.attempt(&self.operation).await);
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        // It may hold the last reference to the store, which must not be let go of here.
        drop(self.operation);
        let result = match (self.result, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(E::from(error)),
            (None, Ok(())) => Err(E::from(StoreError::Closed)),
        };
        // A caller that went away has no use for the answer.
        let _ = self.answer.send(result);
    }
}

/// A job, the row that it will change, and where its caller waits.
struct Queued {
    job: Box<dyn Job>,
    target: Option<Target>,
    runtime: Handle,
}

/// The queue to a writer thread.
#[derive(Debug)]
pub struct Lane {
    queue: Option<mpsc::Sender<Queued>>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    /// Starts a lane that counts the totals in rows of its own, those of `slot`.
    pub fn start(source: Source, tables: Arc<Tables>, slot: i64) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let mut builder = Builder::new_current_thread();
        if matches!(source, Source::Postgres(_)) {
            builder.enable_all();
        }
        let runtime = builder.build()?;
        let writer = Writer::new(source, tables, slot);
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || runtime.block_on(writer.run(jobs)))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Operations waiting right now.
    pub fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Runs an operation and answers once it is durable, or refused.
    pub async fn write<T, E, F>(&self, target: Option<Target>, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Waiting { operation, result: None, answer });
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.try_send(Queued { job, target, runtime: Handle::current() }).map_err(|error| {
            match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            }
        })?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Lane {
    /// Lets the thread finish what is queued, so that nothing accepted is lost.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side of a lane.
struct Writer {
    /// Where a new connection comes from.
    pool: Option<postgres::pool::Pool>,
    /// Where the file of SQLite must be.
    place: Option<Place>,
    tables: Arc<Tables>,
    slot: i64,
    tx: Option<Tx>,
    /// Whether the last shared transaction failed.
    failing: bool,
}

impl Writer {
    fn new(source: Source, tables: Arc<Tables>, slot: i64) -> Self {
        let (pool, place, tx) = match source {
            Source::Sqlite(connection) => {
                let place = Place::of(&connection);
                let tx = Tx::new(Session::sqlite(connection), Arc::clone(&tables), slot);
                (None, Some(place), Some(tx))
            }
            Source::Postgres(pool) => (Some(pool), None, None),
        };
        Self { pool, place, tables, slot, tx, failing: false }
    }

    async fn run(mut self, mut jobs: mpsc::Receiver<Queued>) {
        let mut waiting = VecDeque::with_capacity(BATCH_MAX);
        loop {
            if waiting.is_empty() {
                match jobs.recv().await {
                    Some(first) => waiting.push_back(first),
                    None => return,
                }
            }
            while waiting.len() < BATCH_MAX
                && let Ok(next) = jobs.try_recv()
            {
                waiting.push_back(next);
            }
            let (done, committed) = self.commit(waiting.make_contiguous()).await;
            self.log_change(&committed);
            answer(waiting.drain(..done).collect(), committed);
        }
    }

    /// Commits as many of the waiting operations as can share a transaction, the first of them at
    /// least; says how many, and whether they are durable.
    async fn commit(&mut self, waiting: &mut [Queued]) -> (usize, Result<(), StoreError>) {
        let mut count = waiting.len();
        let mut careful = false;
        let mut wait = REPEAT_AFTER;
        for _ in 0..REPEATS_MAX {
            let ended = match self.connect().await {
                Ok(tx) => run_batch(tx, &mut waiting[..count], careful).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(Ended::Committed(done)) => return (done, Ok(())),
                Ok(Ended::FirstWantsOtherRows) => count = 1,
                Ok(Ended::Refused) if !careful => careful = true,
                Ok(Ended::Refused) => {
                    // Only at PostgreSQL are there others that could be in the way.
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return (count, Err(error)),
            }
        }
        (count, Err(StoreError::Unavailable("others are writing the same rows".to_owned())))
    }

    /// The transaction to work in, on a connection that is there.
    async fn connect(&mut self) -> Result<&mut Tx, StoreError> {
        if let Some(place) = &self.place {
            place.check()?;
        }
        if let Some(pool) = &self.pool
            && self.tx.as_ref().is_none_or(|tx| tx.session.is_useless())
        {
            if self.tx.take().is_some() {
                // Readers must not look at a primary of the past.
                pool.renew();
            }
            let session = Session::postgres(pool.get().await?);
            self.tx = Some(Tx::new(session, Arc::clone(&self.tables), self.slot));
        }
        self.tx.as_mut().ok_or(StoreError::Closed)
    }

    /// One line when writes begin to fail, and one when they go on: a full disk is not helped by
    /// a line for each write.
    fn log_change(&mut self, committed: &Result<(), StoreError>) {
        match committed {
            Err(error) if !self.failing => tracing::error!(%error, "writes fail"),
            Ok(()) if self.failing => tracing::warn!("writes go on"),
            _ => {}
        }
        self.failing = committed.is_err();
    }
}

/// How a shared transaction ended.
enum Ended {
    /// So many operations are durable.
    Committed(usize),
    /// It must run again, each operation by itself.
    Refused,
    /// It must run again without the rows that the first operation's neighbours want.
    FirstWantsOtherRows,
}

async fn run_batch(tx: &mut Tx, batch: &mut [Queued], careful: bool) -> Result<Ended, StoreError> {
    let ended = run_and_commit(tx, batch, careful).await;
    if !matches!(ended, Ok(Ended::Committed(_))) && !tx.session.is_useless() {
        let rolled_back = tx.rollback().await;
        if ended.is_ok() {
            rolled_back?;
        }
    }
    ended
}

async fn run_and_commit(
    tx: &mut Tx,
    batch: &mut [Queued],
    careful: bool,
) -> Result<Ended, StoreError> {
    let targets: Vec<Target> = batch.iter().filter_map(|queued| queued.target).collect();
    match tx.begin(careful, batch.len(), &targets).await {
        // It locks rows already.
        Err(StoreError::Serialization) => return Ok(Ended::Refused),
        begun => begun?,
    }
    let mut done = 0;
    for queued in batch {
        queued.job.run(tx).await;
        if tx.session.is_useless() {
            let reason = "the connection was lost, or leads to a server that takes no writes";
            return Err(StoreError::Unavailable(reason.to_owned()));
        }
        match tx.fate() {
            Fate::Good => done += 1,
            Fate::Repeat => return Ok(Ended::Refused),
            Fate::OutOfOrder if done == 0 => return Ok(Ended::FirstWantsOtherRows),
            // It begins the next transaction.
            Fate::OutOfOrder => break,
        }
    }
    match tx.commit().await {
        Ok(()) => Ok(Ended::Committed(done)),
        Err(StoreError::Serialization) => Ok(Ended::Refused),
        Err(StoreError::Conflict | StoreError::Statement(_)) if !careful => Ok(Ended::Refused),
        Err(_) if tx.session.is_closed() => Err(StoreError::Unknown),
        Err(error) => Err(error),
    }
}

fn answer(batch: Vec<Queued>, committed: Result<(), StoreError>) {
    let Some(runtime) = batch.first().map(|queued| queued.runtime.clone()) else { return };
    let is_lone = batch.len() == 1;
    let answer_all = move || {
        for queued in batch {
            queued.job.answer(committed.as_ref().copied().map_err(StoreError::repeated));
        }
    };
    if is_lone {
        answer_all();
    } else {
        // To wake each caller from here would take time from the next batch.
        runtime.spawn(async { answer_all() });
    }
}

#[cfg(test)]
mod tests {
    use jsonapi::Api;

    use super::*;
    use crate::migrations::migrate;
    use crate::sqlite::connection;

    /// An operation that waits, and where its end is told.
    fn queued<F>(operation: F) -> (Queued, oneshot::Receiver<Result<(), StoreError>>)
    where
        F: AsyncFn(&mut Tx) -> Result<(), StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Waiting { operation, result: None, answer });
        (Queued { job, target: None, runtime: Handle::current() }, answered)
    }

    async fn ends(
        writer: &mut Writer,
        batch: Vec<(Queued, oneshot::Receiver<Result<(), StoreError>>)>,
    ) -> Vec<bool> {
        let (mut waiting, answered): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let (done, committed) = writer.commit(&mut waiting).await;
        assert_eq!(done, waiting.len());
        answer(waiting, committed);
        let mut ends = Vec::new();
        for answer in answered {
            ends.push(answer.await.expect("an answer").is_ok());
        }
        ends
    }

    #[tokio::test]
    async fn nothing_is_written_after_sqlite_has_rolled_back_by_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("lane.db");
        let mut connection = connection::writer(&file).expect("a database");
        migrate(&mut connection, "lane.db").expect("a schema");
        let tables = Arc::new(Tables::new(&Api { prefix: "", resources: &[] }));
        let mut writer = Writer::new(Source::Sqlite(connection), tables, 0);
        let counts = async |tx: &mut Tx| {
            tx.work.count("accounts", 1);
            Ok(())
        };
        // What a full disk makes SQLite do, in the middle of a batch.
        let is_lost = async |tx: &mut Tx| {
            tx.session.rollback().await?;
            Err(StoreError::Unavailable("disk full".to_owned()))
        };
        let total = |writer: &Writer| -> Option<i64> {
            let connection = writer.tx.as_ref()?.session.as_sqlite()?;
            connection.query_row("SELECT sum(total) FROM totals", [], |row| row.get(0)).ok()?
        };
        let batch = vec![queued(counts), queued(is_lost), queued(counts)];
        assert_eq!(ends(&mut writer, batch).await, [false, false, false]);
        assert_eq!(total(&writer), None);
        assert_eq!(ends(&mut writer, vec![queued(counts)]).await, [true]);
        assert_eq!(total(&writer), Some(1));
    }
}
