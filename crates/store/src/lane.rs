//! The write lane: many waiting operations, one commit.
//!
//! One thread owns a writing connection. It takes whatever operations are waiting, runs them in
//! one shared transaction, commits once, and only then answers them all. Nothing is acknowledged
//! before it is durable. When one of them fails after it has decided something, or the database
//! refuses what they decided together, all run again, each in a savepoint: who fails fails alone.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::ops::AsyncFn;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{JoinHandle, yield_now};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::error::StoreError;
use crate::fetch::Needs;
use crate::postgres;
use crate::session::Session;
use crate::sqlite::connection::Place;
use crate::table::Tables;
use crate::tx::{Fate, Outlook, Tx};

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

/// A job, what it needs, and where its caller waits.
struct Queued {
    job: Box<dyn Job>,
    needs: Needs,
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
    pub fn start(
        source: Source,
        tables: Arc<Tables>,
        stir: &Arc<Notify>,
        slot: i64,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let mut builder = Builder::new_current_thread();
        match source {
            Source::Sqlite(_) => builder.enable_time(),
            Source::Postgres(_) => builder.enable_all(),
        };
        let runtime = builder.build()?;
        let writer = Writer::new(source, tables, Arc::clone(stir), slot);
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
    pub async fn write<T, E, F>(&self, needs: Needs, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Waiting { operation, result: None, answer });
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.try_send(Queued { job, needs, runtime: Handle::current() }).map_err(|error| {
            match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            }
        })?;
        let answered = answered.await;
        // Many are answered at once. The writer's thread, for which all others wait, may have to wait
        // on this processor until this one has done with its answer, and goes first.
        yield_now();
        answered.map_err(|_| StoreError::Closed)?
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
    stir: Arc<Notify>,
    slot: i64,
    tx: Option<Tx>,
    /// For how many of those that wait the next transaction has begun already.
    begun: usize,
    /// Whether the last shared transaction failed.
    failing: bool,
}

impl Writer {
    fn new(source: Source, tables: Arc<Tables>, stir: Arc<Notify>, slot: i64) -> Self {
        let (pool, place, tx) = match source {
            Source::Sqlite(connection) => {
                let place = Place::of(&connection);
                let session = Session::sqlite(connection);
                let tx = Tx::new(session, Arc::clone(&tables), Arc::clone(&stir), slot);
                (None, Some(place), Some(tx))
            }
            Source::Postgres(pool) => (Some(pool), None, None),
        };
        Self { pool, place, tables, stir, slot, tx, begun: 0, failing: false }
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
            let ended = self.commit(&mut waiting, &mut jobs).await;
            self.log_change(&ended);
        }
    }

    /// Commits as many of the waiting operations as can share a transaction, the first of them at
    /// least, and answers them.
    async fn commit(
        &mut self,
        waiting: &mut VecDeque<Queued>,
        jobs: &mut mpsc::Receiver<Queued>,
    ) -> Result<(), StoreError> {
        receive(waiting, jobs);
        let begun = self.take_begun();
        let count = if begun > 0 { begun } else { waiting.len() };
        let mut run = Run { count, is_begun: begun > 0, is_careful: false, is_closed: false };
        let mut wait = REPEAT_AFTER;
        for _ in 0..REPEATS_MAX {
            let ended = match self.connect().await {
                Ok(tx) => run.end(tx, waiting, jobs).await,
                Err(error) => Err(error),
            };
            run.is_begun = false;
            match ended {
                Ok(Ended::Committed { begun }) => {
                    self.begun = begun;
                    return Ok(());
                }
                Ok(Ended::FirstWantsOtherRows) => (run.count, run.is_closed) = (1, true),
                Ok(Ended::Refused) if !run.is_careful => run.is_careful = true,
                Ok(Ended::Refused | Ended::Collided) => {
                    tokio::time::sleep(wait + jitter(wait)).await;
                    wait *= 2;
                }
                Err(error) => {
                    answer(waiting.drain(..run.count).collect(), Err(error.repeated()));
                    return Err(error);
                }
            }
        }
        let error = StoreError::Unavailable("others are writing the same rows".to_owned());
        answer(waiting.drain(..run.count).collect(), Err(error.repeated()));
        Err(error)
    }

    /// For how many of those that wait a transaction has begun. It ends with its connection: on
    /// another one, what they write would not be one transaction.
    fn take_begun(&mut self) -> usize {
        let begun = std::mem::take(&mut self.begun);
        if self.tx.as_ref().is_some_and(|tx| !tx.session.is_useless()) { begun } else { 0 }
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
            let (tables, stir) = (Arc::clone(&self.tables), Arc::clone(&self.stir));
            self.tx = Some(Tx::new(session, tables, stir, self.slot));
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
    /// Its operations are durable, and answered; for so many more, a transaction has begun.
    Committed { begun: usize },
    /// It must run again, each operation by itself.
    Refused,
    /// It must run again, when whoever is in the way may have ended.
    Collided,
    /// It must run again without the rows that the first operation's neighbours want.
    FirstWantsOtherRows,
}

/// Takes what has come in the meantime.
fn receive(waiting: &mut VecDeque<Queued>, jobs: &mut mpsc::Receiver<Queued>) {
    while waiting.len() < BATCH_MAX
        && let Ok(next) = jobs.try_recv()
    {
        waiting.push_back(next);
    }
}

/// Waits until somebody waits, or if nobody does now, until somebody comes whose rows are at hand:
/// to begin for one who comes by himself would keep those apart who come with him.
async fn arrive(
    waiting: &mut VecDeque<Queued>,
    jobs: &mut mpsc::Receiver<Queued>,
    is_at_hand: &dyn Fn(&Needs) -> bool,
) {
    if !waiting.is_empty() {
        return;
    }
    while waiting.len() < BATCH_MAX
        && let Some(queued) = jobs.recv().await
    {
        let ends = is_at_hand(&queued.needs);
        waiting.push_back(queued);
        if ends {
            return receive(waiting, jobs);
        }
    }
    std::future::pending::<()>().await;
}

/// How operations are run that share a transaction.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first so many of those that wait.
    count: usize,
    /// Whether their transaction has begun.
    is_begun: bool,
    /// Each by itself.
    is_careful: bool,
    /// Whether nobody may join.
    is_closed: bool,
}

impl Run {
    /// Runs the operations and takes back what cannot be committed.
    async fn end(
        &mut self,
        tx: &mut Tx,
        waiting: &mut VecDeque<Queued>,
        jobs: &mut mpsc::Receiver<Queued>,
    ) -> Result<Ended, StoreError> {
        let ended = self.commit(tx, waiting, jobs).await;
        if !matches!(ended, Ok(Ended::Committed { .. })) && !tx.session.is_useless() {
            let rolled_back = tx.rollback().await;
            if ended.is_ok() {
                rolled_back?;
            }
        }
        ended
    }

    async fn commit(
        &mut self,
        tx: &mut Tx,
        waiting: &mut VecDeque<Queued>,
        jobs: &mut mpsc::Receiver<Queued>,
    ) -> Result<Ended, StoreError> {
        if !self.is_begun {
            let needs = waiting.iter().take(self.count).map(|queued| &queued.needs);
            match tx.begin(self.is_careful, self.count, needs).await {
                // It locks rows already.
                Err(StoreError::Serialization) => return Ok(Ended::Collided),
                begun => begun?,
            }
        }
        if !self.is_closed {
            // Who came while the others' rows were read joins, if nothing else has to be read.
            receive(waiting, jobs);
            let joins = |queued: &&Queued| tx.has(&queued.needs);
            self.count += waiting.iter().skip(self.count).take_while(joins).count();
            tx.expect(self.count);
        }
        let mut done = 0;
        for queued in waiting.iter_mut().take(self.count) {
            queued.job.run(tx).await;
            if tx.session.is_useless() {
                let reason = "the connection was lost, or leads to a server that takes no writes";
                return Err(StoreError::Unavailable(reason.to_owned()));
            }
            match tx.fate() {
                Fate::Good => done += 1,
                Fate::Collided => return Ok(Ended::Collided),
                Fate::Repeat => return Ok(Ended::Refused),
                Fate::OutOfOrder if done == 0 => return Ok(Ended::FirstWantsOtherRows),
                // It begins the next transaction.
                Fate::OutOfOrder => break,
            }
        }
        receive(waiting, jobs);
        let mut batch: Vec<Queued> = waiting.drain(..done).collect();
        let next = async |outlook: Outlook, has: &dyn Fn(&Needs) -> bool| {
            arrive(waiting, jobs, has).await;
            let (fetch, queries) =
                outlook.fetch(waiting.len(), waiting.iter().map(|queued| &queued.needs));
            (waiting.len(), fetch, queries)
        };
        let answered = || answer(std::mem::take(&mut batch), Ok(()));
        // The answer is not waited for: the database has something to do in the meantime.
        let committed = tx.commit_and_begin(next, answered).await;
        // Those that have to run again are still the first.
        batch.into_iter().rev().for_each(|queued| waiting.push_front(queued));
        match committed {
            Ok(begun) => Ok(Ended::Committed { begun }),
            Err(StoreError::Serialization) => Ok(Ended::Collided),
            Err(StoreError::Conflict | StoreError::Statement(_)) if !self.is_careful => {
                Ok(Ended::Refused)
            }
            Err(_) if tx.session.is_closed() => Err(StoreError::Unknown),
            Err(error) => Err(error),
        }
    }
}

/// Up to `wait`, by chance: those that have collided must not meet again.
fn jitter(wait: Duration) -> Duration {
    let chance = RandomState::new().hash_one(()) % 1024;
    wait * u32::try_from(chance).unwrap_or_default() / 1024
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
        (Queued { job, needs: Needs::default(), runtime: Handle::current() }, answered)
    }

    async fn ends(
        writer: &mut Writer,
        batch: Vec<(Queued, oneshot::Receiver<Result<(), StoreError>>)>,
    ) -> Vec<bool> {
        let (mut waiting, answered): (VecDeque<_>, Vec<_>) = batch.into_iter().unzip();
        let (_, mut nobody) = mpsc::channel(1);
        let _ = writer.commit(&mut waiting, &mut nobody).await;
        assert!(waiting.is_empty());
        let mut ends = Vec::new();
        for answer in answered {
            ends.push(answer.await.expect("an answer").is_ok());
        }
        ends
    }

    #[test]
    fn a_transaction_that_has_begun_ends_with_its_connection() {
        let connection = rusqlite::Connection::open_in_memory().expect("a database");
        let tables = Arc::new(Tables::new(&Api { prefix: "", resources: &[] }));
        let mut writer = Writer::new(Source::Sqlite(connection), tables, Arc::default(), 0);
        writer.begun = 2;
        assert_eq!(writer.take_begun(), 2);
        assert_eq!(writer.take_begun(), 0);
        writer.begun = 2;
        writer.tx = None;
        assert_eq!(writer.take_begun(), 0);
    }

    #[tokio::test]
    async fn nothing_is_written_after_sqlite_has_rolled_back_by_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("lane.db");
        let mut connection = connection::writer(&file).expect("a database");
        migrate(&mut connection, "lane.db").expect("a schema");
        let tables = Arc::new(Tables::new(&Api { prefix: "", resources: &[] }));
        let mut writer = Writer::new(Source::Sqlite(connection), tables, Arc::default(), 0);
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
