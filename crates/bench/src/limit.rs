//! G: how many single rows this machine can insert durably when waiting callers share commits.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

const PRODUCERS: usize = 64;

/// Inserts per second of 64 producers, each waiting for its commit, `synchronous=FULL`.
pub fn inserts_per_sec(time: Duration) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let connection = Connection::open(directory.path().join("limit.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE limit_rows (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount BLOB NOT NULL)",
    )?;
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

fn write_all(connection: &Connection, waiting: &Receiver<Sender<()>>) -> anyhow::Result<u64> {
    let mut inserted = 0_u64;
    while let Ok(first) = waiting.recv() {
        let mut callers = vec![first];
        callers.extend(waiting.try_iter());
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in &callers {
            inserted += 1;
            connection
                .prepare_cached("INSERT INTO limit_rows (name, amount) VALUES ($1, $2)")?
                .execute((format!("row {inserted}"), [0_u8; 16]))?;
        }
        connection.execute_batch("COMMIT")?;
        for caller in callers {
            // A producer that has finished no longer listens.
            let _ = caller.send(());
        }
    }
    Ok(inserted)
}
