//! The write lane: many waiting operations, one commit.
//!
//! One thread owns the only writing connection. It takes whatever operations are waiting, runs
//! each in a savepoint of one shared transaction (a refusal rolls back only itself), commits
//! once, and only then answers them all. Nothing is acknowledged before it is durable.

use std::ops::AsyncFnOnce;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::connection::Place;
use crate::error::StoreError;
use crate::table::Tables;

/// Operations that may wait before new ones are turned away.
const QUEUE_MAX: usize = 2048;
/// Operations that share one commit at most.
const BATCH_MAX: usize = 256;

/// The transaction that an operation runs in, shared with its neighbours.
#[derive(Debug)]
pub struct Tx {
    pub(crate) connection: Connection,
    pub(crate) tables: Arc<Tables>,
    /// Changes of the totals by type, written once before the commit.
    pub(crate) totals: Vec<(&'static str, i64)>,
    place: Place,
    /// Whether the last shared transaction failed.
    failing: bool,
}

/// What is left to do when the fate of the shared transaction is known.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Job = Box<dyn FnOnce(&mut Tx) -> Answer + Send>;

/// A job, and where its caller waits.
type Queued = (Job, Handle);

/// The queue to the writer thread.
#[derive(Debug)]
pub struct Lane {
    queue: Option<mpsc::Sender<Queued>>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    pub fn start(connection: Connection, tables: Arc<Tables>) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let tx = Tx::new(connection, tables);
        let thread =
            std::thread::Builder::new().name("writer".into()).spawn(move || run(tx, jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Operations waiting right now.
    pub fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Runs an operation and answers once it is durable, or refused.
    pub async fn write<T, E, F>(&self, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: AsyncFnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let result = tx.run(operation);
            Box::new(move |committed| {
                let result = match (result, committed) {
                    (Ok(value), Ok(())) => Ok(value),
                    (Ok(_), Err(error)) => Err(E::from(error)),
                    (Err(error), _) => Err(error),
                };
                // A caller that went away has no use for the answer.
                let _ = answer.send(result);
            })
        });
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.try_send((job, Handle::current())).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
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

fn run(mut tx: Tx, mut jobs: mpsc::Receiver<Queued>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while let Some((first, runtime)) = jobs.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH_MAX
            && let Ok((job, _)) = jobs.try_recv()
        {
            batch.push(job);
        }
        let is_lone = batch.len() == 1;
        let answer_all = tx.run_batch(&mut batch);
        if is_lone {
            answer_all();
        } else {
            // To wake each caller from here would take time from the next batch.
            runtime.spawn(async { answer_all() });
        }
    }
}

impl Tx {
    fn new(connection: Connection, tables: Arc<Tables>) -> Self {
        let place = Place::of(&connection);
        Self { connection, tables, totals: Vec::new(), place, failing: false }
    }

    /// Runs a batch in one transaction. What is returned answers its callers.
    fn run_batch(&mut self, batch: &mut Vec<Job>) -> impl FnOnce() + Send + 'static {
        let begun = self.place.check().and_then(|()| self.execute("BEGIN IMMEDIATE"));
        let mut answers = Vec::with_capacity(batch.len());
        for job in batch.drain(..) {
            answers.push(job(self));
        }
        let committed = begun.and_then(|()| self.commit());
        self.log_change(&committed);
        move || {
            for answer in answers {
                answer(committed.as_ref().copied().map_err(StoreError::repeated));
            }
        }
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

    fn commit(&mut self) -> Result<(), StoreError> {
        let committed = self
            .check_begun()
            .and_then(|()| self.write_totals())
            .and_then(|()| self.execute("COMMIT"));
        self.totals.clear();
        if committed.is_err() && !self.connection.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        committed
    }

    /// Whether there is a shared transaction: it may not have begun, and a full disk or an I/O
    /// error makes SQLite roll it back. What is written without one commits by itself.
    fn check_begun(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Err(StoreError::Unavailable("the shared transaction is gone".to_owned()));
        }
        Ok(())
    }

    fn write_totals(&mut self) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO totals (kind, total) VALUES ($1, $2) \
             ON CONFLICT (kind) DO UPDATE SET total = total + excluded.total",
        )?;
        for (kind, change) in self.totals.iter().filter(|(_, change)| *change != 0) {
            statement.execute((kind, change))?;
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
        self.run(part)
    }

    /// Runs one operation in its savepoint; refusals, errors and panics leave nothing behind.
    fn run<T, E, F>(&mut self, operation: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: AsyncFnOnce(&mut Tx) -> Result<T, E>,
    {
        self.check_begun()?;
        let totals = self.totals.clone();
        self.execute("SAVEPOINT operation")?;
        let result = catch_unwind(AssertUnwindSafe(|| at_once(operation(self))))
            .unwrap_or_else(|_| Err(StoreError::Panicked.into()));
        if result.is_err() {
            self.totals = totals;
            if !self.connection.is_autocommit() {
                self.execute("ROLLBACK TO operation")?;
            }
        }
        if !self.connection.is_autocommit() {
            self.execute("RELEASE operation")?;
        }
        result
    }

    fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    pub(crate) fn count(&mut self, kind: &'static str, change: i64) {
        match self.totals.iter_mut().find(|(counted, _)| *counted == kind) {
            Some((_, total)) => *total += change,
            None => self.totals.push((kind, change)),
        }
    }
}

/// Runs an operation that waits on nothing but its transaction, which SQLite answers at once.
fn at_once<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("an operation waited for something other than its transaction"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection;
    use crate::migrations::migrate;
    use jsonapi::Api;

    /// A job that does `work` and reports how it ended.
    fn job(
        ends: &std::sync::mpsc::Sender<bool>,
        work: impl AsyncFnOnce(&mut Tx) -> Result<(), StoreError> + Send + 'static,
    ) -> Job {
        let ends = ends.clone();
        Box::new(move |tx| {
            let result = tx.run(work);
            Box::new(move |committed| {
                let _ = ends.send(result.and(committed).is_ok());
            })
        })
    }

    #[test]
    fn nothing_is_written_after_sqlite_has_rolled_back_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lane.db");
        let mut connection = connection::writer(&file).unwrap();
        migrate(&mut connection, "lane.db").unwrap();
        let tables = Arc::new(Tables::new(&Api { prefix: "", resources: &[] }));
        let mut tx = Tx::new(connection, tables);
        let (ends, ended) = std::sync::mpsc::channel();
        let counts = async |tx: &mut Tx| {
            tx.count("accounts", 1);
            Ok(())
        };
        // What a full disk makes SQLite do, in the middle of a batch.
        let is_lost = async |tx: &mut Tx| {
            tx.connection.execute_batch("ROLLBACK")?;
            Err(StoreError::Unavailable("disk full".to_owned()))
        };
        tx.run_batch(&mut vec![job(&ends, counts), job(&ends, is_lost), job(&ends, counts)])();
        assert_eq!(ended.try_iter().collect::<Vec<_>>(), [false, false, false]);
        let totals = "SELECT count(*) FROM totals";
        assert_eq!(tx.connection.query_row(totals, [], |row| row.get::<_, i64>(0)), Ok(0));
        tx.run_batch(&mut vec![job(&ends, counts)])();
        assert_eq!(ended.try_iter().collect::<Vec<_>>(), [true]);
    }
}
