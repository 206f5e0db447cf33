//! G: how many accounts this machine can insert durably, row and indexes, when waiting callers
//! share commits. Plain SQLite: none of the server's own write path is in it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use store::Store;
use tollkeeper::api::API;
use uuid::Uuid;

const PRODUCERS: usize = 64;

/// Inserts per second of 64 producers, each waiting for its commit, `synchronous=FULL`.
pub async fn inserts_per_sec(time: Duration) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("limit.db");
    drop(Store::open(&format!("sqlite:{}", file.display()), API).await?);
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let (queue, waiting) = channel::<Sender<()>>();
    let started = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let (answer, answered) = channel();
                while started.elapsed() < time {
                    if queue.send(answer.clone()).is_err() || answered.recv().is_err() {
                        break;
                    }
                }
            })
        })
        .collect();
    drop(queue);
    let inserted = write_all(&connection, &waiting)?;
    let elapsed = started.elapsed();
    for producer in producers {
        let _ = producer.join();
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok(inserted as f64 / elapsed.as_secs_f64())
}

const INSERT: &str = "INSERT INTO accounts (name, balance, min_balance, max_balance, vat, uuid, \
                      timezone, origination_capacity, contractor_id) \
                      VALUES ($1, $2, $2, $2, $2, $3, 'Europe/Kyiv', 100, 1)";

fn write_all(connection: &Connection, waiting: &Receiver<Sender<()>>) -> anyhow::Result<u64> {
    let mut inserted = 0_u64;
    connection.execute_batch("PRAGMA foreign_keys = OFF")?;
    while let Ok(first) = waiting.recv() {
        let mut callers = vec![first];
        callers.extend(waiting.try_iter());
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in &callers {
            inserted += 1;
            let uuid = Uuid::from_u64_pair(inserted.wrapping_mul(0x9E37_79B9_7F4A_7C15), inserted);
            let row = (format!("created {inserted}"), [0_u8; 16], uuid.into_bytes());
            connection.prepare_cached(INSERT)?.execute(row)?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        for caller in callers {
            // A producer that has finished no longer listens.
            let _ = caller.send(());
        }
    }
    Ok(inserted)
}
