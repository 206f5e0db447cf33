//! The write lane: many waiting operations, one commit.
//!
//! One thread owns a writing connection. It takes whatever operations are waiting, runs them in
//! one shared transaction, commits once, and only then answers them all. Nothing is acknowledged
//! before it is durable. When one of them fails after it has decided something, or the database
//! refuses what they decided together, all run again, each in a savepoint: who fails fails alone.
//!
//! PostgreSQL is not waited for before the next of them run: while it writes a batch, those who come
//! run on the rows as that batch leaves them, if they need nothing else. What they decided is sent
//! behind the query that locks the rows; if these are not so, it is taken back, and they run again.
//! Of a crowd that wants one row, half is left to run so: else PostgreSQL would have nothing to do
//! while all of them are answered and come again, and nobody else while it writes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::ops::AsyncFn;
use std::sync::Arc;
use std::thread::{JoinHandle, yield_now};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::fetch::Needs;
use crate::handover::Handover;
use crate::line::{Line, Queued, answer};
use crate::postgres;
use crate::session::Session;
use crate::sqlite::connection::Place;
use crate::table::Tables;
use crate::tx::ahead::Begun;
use crate::tx::{Fate, Tx};

/// Operations that may wait before new ones are turned away.
const QUEUE_MAX: usize = 2048;
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
        handover: &Arc<Handover>,
        slot: i64,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let mut builder = Builder::new_current_thread();
        match source {
            Source::Sqlite(_) => builder.enable_time(),
            Source::Postgres(_) => builder.enable_all(),
        };
        let runtime = builder.build()?;
        let writer = Writer::new(source, tables, Arc::clone(handover), slot);
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
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.try_send(Queued::new(needs, operation, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
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
    handover: Arc<Handover>,
    slot: i64,
    tx: Option<Tx>,
    /// The transaction that has begun already for those that wait.
    begun: Begun,
    /// Whether the last shared transaction failed.
    failing: bool,
}

impl Writer {
    fn new(source: Source, tables: Arc<Tables>, handover: Arc<Handover>, slot: i64) -> Self {
        let (pool, place, tx) = match source {
            Source::Sqlite(connection) => {
                let place = Place::of(&connection);
                let session = Session::sqlite(connection);
                let tx = Tx::new(session, Arc::clone(&tables), Arc::clone(&handover), slot);
                (None, Some(place), Some(tx))
            }
            Source::Postgres(pool) => (Some(pool), None, None),
        };
        Self { pool, place, tables, handover, slot, tx, begun: Begun::default(), failing: false }
    }

    async fn run(mut self, jobs: mpsc::Receiver<Queued>) {
        let mut line = Line::new(jobs, self.pool.is_some());
        while line.has_some().await {
            let ended = self.commit(&mut line).await;
            self.log_change(&ended);
        }
    }

    /// Commits as many of the waiting operations as can share a transaction, the first of them at
    /// least, and answers them.
    async fn commit(&mut self, line: &mut Line) -> Result<(), StoreError> {
        line.receive();
        let begun = self.take_begun();
        let is_begun = begun.operations > 0;
        let count = if is_begun { begun.operations } else { line.share(0) };
        // Who joined those whose changes are on their way already would need statements of his own.
        let (done, is_closed) = (begun.done, begun.done > 0);
        let mut run = Run { count, is_begun, done, is_careful: false, is_closed };
        let mut wait = REPEAT_AFTER;
        for _ in 0..REPEATS_MAX {
            let ended = match self.connect().await {
                Ok(tx) => run.end(tx, line).await,
                Err(error) => Err(error),
            };
            (run.is_begun, run.done) = (false, 0);
            match ended {
                Ok(Ended::Committed(begun)) => {
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
                    answer(line.leave(run.count), Err(error.repeated()));
                    return Err(error);
                }
            }
        }
        let error = StoreError::Unavailable("others are writing the same rows".to_owned());
        answer(line.leave(run.count), Err(error.repeated()));
        Err(error)
    }

    /// The transaction that has begun for those that wait. It ends with its connection: on another
    /// one, what they write would not be one transaction.
    fn take_begun(&mut self) -> Begun {
        let begun = std::mem::take(&mut self.begun);
        let is_there = self.tx.as_ref().is_some_and(|tx| !tx.session.is_useless());
        if is_there { begun } else { Begun::default() }
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
            let (tables, handover) = (Arc::clone(&self.tables), Arc::clone(&self.handover));
            self.tx = Some(Tx::new(session, tables, handover, self.slot));
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
    /// Its operations are durable, and answered; for others, a transaction has begun.
    Committed(Begun),
    /// It must run again, each operation by itself.
    Refused,
    /// It must run again, when whoever is in the way may have ended.
    Collided,
    /// It must run again without the rows that the first operation's neighbours want.
    FirstWantsOtherRows,
}

/// How operations are run that share a transaction.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first so many of those that wait.
    count: usize,
    /// Whether their transaction has begun.
    is_begun: bool,
    /// So many of them have run in it.
    done: usize,
    /// Each by itself.
    is_careful: bool,
    /// Whether nobody may join.
    is_closed: bool,
}

impl Run {
    /// Runs the operations and takes back what cannot be committed.
    async fn end(&mut self, tx: &mut Tx, line: &mut Line) -> Result<Ended, StoreError> {
        let ended = self.commit(tx, line).await;
        if !matches!(ended, Ok(Ended::Committed(_))) && !tx.session.is_useless() {
            let rolled_back = tx.rollback().await;
            if ended.is_ok() {
                rolled_back?;
            }
        }
        ended
    }

    async fn commit(&mut self, tx: &mut Tx, line: &mut Line) -> Result<Ended, StoreError> {
        if !self.is_begun {
            match tx.begin(self.is_careful, self.count, line.wanted().take(self.count)).await {
                // It locks rows already.
                Err(StoreError::Serialization) => return Ok(Ended::Collided),
                begun => begun?,
            }
        }
        if !self.is_closed {
            // Who came while the others' rows were read joins, if nothing else has to be read.
            line.receive();
            let joining = line.wanted().take(line.share(0)).skip(self.count);
            self.count += joining.take_while(|needs| tx.has(needs)).count();
            tx.expect(self.count);
        }
        let mut done = self.done;
        for queued in line.iter_mut().take(self.count).skip(self.done) {
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
        line.receive();
        let mut batch = line.leave(done);
        let answered = || answer(std::mem::take(&mut batch), Ok(()));
        // The answer is not waited for: the database has something to do in the meantime.
        let committed = tx.commit_and_begin(line, answered).await;
        // Those that have to run again are still the first.
        line.put_back(batch);
        match committed {
            Ok(begun) => Ok(Ended::Committed(begun)),
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
        (Queued::new(Needs::default(), operation, answer), answered)
    }

    async fn ends(
        writer: &mut Writer,
        batch: Vec<(Queued, oneshot::Receiver<Result<(), StoreError>>)>,
    ) -> Vec<bool> {
        let (batch, answered): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let mut line = Line::new(mpsc::channel(1).1, false);
        line.put_back(batch);
        let _ = writer.commit(&mut line).await;
        assert_eq!(line.len(), 0);
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
        let begun = Begun { operations: 2, done: 1 };
        writer.begun = begun;
        assert_eq!(writer.take_begun(), begun);
        assert_eq!(writer.take_begun(), Begun::default());
        writer.begun = begun;
        writer.tx = None;
        assert_eq!(writer.take_begun(), Begun::default());
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
