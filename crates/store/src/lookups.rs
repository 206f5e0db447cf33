//! Single records of PostgreSQL, read together: what is asked while a query is under way goes with
//! the next. A query for many costs both sides little more than a query for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonapi::{Record, Resource, Value};
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::postgres::pool::Pool;
use crate::row::Row;
use crate::session::Session;
use crate::statement::Statement;
use crate::table::Tables;

/// Requests that may wait before new ones are turned away.
const QUEUE_MAX: usize = 2048;
/// Records that are read together at most.
const BATCH_MAX: usize = 256;

/// A record as clients see it, if there is one.
type Found = Result<Option<Record>, StoreError>;

/// Who asks for a record now, and whether somebody reads.
#[derive(Debug)]
pub struct Lookups {
    pool: Pool,
    tables: Arc<Tables>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Asked>,
    is_read: bool,
}

#[derive(Debug)]
struct Asked {
    resource: &'static Resource,
    id: i64,
    answer: oneshot::Sender<Found>,
}

impl Lookups {
    /// Reads with one connection of `pool`.
    pub fn new(pool: Pool, tables: Arc<Tables>) -> Self {
        Self { pool, tables, queue: Mutex::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record, in a state not older than this call.
    pub async fn find(self: &Arc<Self>, resource: &'static Resource, id: i64) -> Found {
        let (answer, answered) = oneshot::channel();
        let is_read = {
            let mut queue = self.queue();
            if queue.waiting.len() >= QUEUE_MAX {
                return Err(StoreError::Busy);
            }
            queue.waiting.push(Asked { resource, id, answer });
            std::mem::replace(&mut queue.is_read, true)
        };
        if !is_read {
            let reader = Reader(Arc::clone(self));
            tokio::spawn(async move { reader.answer_all().await });
        }
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// Whoever reads, as long as somebody asks.
struct Reader(Arc<Lookups>);

impl Reader {
    async fn answer_all(&self) {
        while let Some(asked) = self.next() {
            let found = read(&self.0.pool, &self.0.tables, &asked).await;
            answer(asked, &found);
        }
    }

    /// Who waits; nobody means that the reader has left.
    fn next(&self) -> Option<Vec<Asked>> {
        let mut queue = self.0.queue();
        let count = queue.waiting.len().min(BATCH_MAX);
        queue.is_read = count > 0;
        (count > 0).then(|| queue.waiting.drain(..count).collect())
    }
}

impl Drop for Reader {
    /// One that panicked leaves nobody waiting.
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.queue() = Queue::default();
        }
    }
}

/// Records by type and id, each by itself: one that is malformed is no other's fault.
type Records = HashMap<(&'static str, i64), Result<Record, StoreError>>;

async fn read(pool: &Pool, tables: &Tables, asked: &[Asked]) -> Result<Records, StoreError> {
    let mut ids: HashMap<&'static str, Vec<i64>> = HashMap::new();
    for Asked { resource, id, .. } in asked {
        ids.entry(resource.kind).or_default().push(*id);
    }
    let session = Session::postgres(pool.get().await?);
    let (wanted, ids): (Vec<_>, Vec<_>) =
        ids.into_iter().map(|(kind, ids)| (tables.named(kind), ids)).unzip();
    let queries: Vec<Statement> = wanted
        .iter()
        .zip(ids)
        .map(|(table, ids)| Statement::new(table.shown_many.clone(), vec![Value::Ids(ids)]))
        .collect();
    let mut found = Records::with_capacity(asked.len());
    let visit = |position: usize, row: Row<'_>| {
        let table = wanted[position];
        found.insert((table.resource.kind, row.int(0)?), table.record(row));
        Ok(())
    };
    session.read_all(&queries, visit).await?;
    Ok(found)
}

fn answer(asked: Vec<Asked>, found: &Result<Records, StoreError>) {
    for Asked { resource, id, answer, .. } in asked {
        let record = match found.as_ref().map(|found| found.get(&(resource.kind, id))) {
            // Somebody else may have asked for the same.
            Ok(Some(Ok(record))) => Ok(resource.shows(record).then(|| record.clone())),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) | Err(error) => Err(error.repeated()),
        };
        // A caller that went away has no use for the answer.
        let _ = answer.send(record);
    }
}
