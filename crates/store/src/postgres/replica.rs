//! A read-only copy of the database, which may be a moment behind, or away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pool::Pool;
use crate::error::StoreError;
use crate::session::Session;

/// How long a replica that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// A replica. Whatever it cannot answer is asked of the primary.
#[derive(Debug)]
pub struct Replica {
    pool: Pool,
    /// While it fails: when to try it again.
    failing: Mutex<Option<Instant>>,
}

impl Replica {
    pub fn new(pool: Pool) -> Self {
        Self { pool, failing: Mutex::default() }
    }

    /// A connection, unless the replica fails. Of those who ask meanwhile, one at a time tries it.
    pub async fn take(&self) -> Option<Session> {
        if let Some(again_at) = self.failing().as_mut() {
            let now = Instant::now();
            if now < *again_at {
                return None;
            }
            *again_at = now + PAUSE;
        }
        match self.pool.get().await {
            Ok(client) => Some(Session::postgres(client)),
            Err(error) => {
                self.fails(&error);
                None
            }
        }
    }

    /// Takes note of how reading went; says whether the primary must be asked instead. The log gets
    /// a line when the replica begins to fail, and one when it is used again.
    pub fn ended<T>(&self, result: &Result<T, StoreError>) -> bool {
        match result {
            Ok(_) => {
                if self.failing().take().is_some() {
                    tracing::info!("the replica is read again");
                }
            }
            // What is replayed there takes precedence over queries that stand in its way. And
            // whether more than one connection is lost shows when the next one is made.
            Err(
                error @ (StoreError::Serialization
                | StoreError::Deadline
                | StoreError::Unavailable(_)),
            ) => tracing::debug!(%error, "the replica broke off a query"),
            Err(error) => self.fails(error),
        }
        result.is_err()
    }

    fn fails(&self, error: &StoreError) {
        if self.failing().replace(Instant::now() + PAUSE).is_none() {
            tracing::warn!(reason = error.reason(), "the replica fails: reading from the primary");
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
