//! Connections to one PostgreSQL server, kept for whoever needs one next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Hook, HookError, Object, PoolBuilder, PoolError, TimeoutType};
use tokio_postgres::error::SqlState;

use crate::error::{OpenError, StoreError};

/// How long nobody tries again after a connection could not be made, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Up to a number of connections, made when needed.
#[derive(Debug)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    outage: Mutex<Option<Outage>>,
    renewal: Renewal,
}

/// Why there are no connections right now.
#[derive(Debug)]
struct Outage {
    reason: String,
    pause: Duration,
    until: Instant,
}

/// When connections to a server turned out to lead to the wrong one: those made before are not
/// used again, by any pool that shares this.
#[derive(Clone, Debug, Default)]
pub struct Renewal(Arc<Mutex<Option<Instant>>>);

impl Renewal {
    fn admits(&self, created: Instant) -> bool {
        lock(&self.0).is_none_or(|renewed| created > renewed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether somebody ended a statement that prepares a new connection, which says nothing of the
/// server.
fn is_broken_off(got: &Result<Object, PoolError>) -> bool {
    match got {
        Err(PoolError::PostCreateHook(HookError::Backend(error))) => {
            error.code() == Some(&SqlState::QUERY_CANCELED)
        }
        _ => false,
    }
}

impl Pool {
    pub fn new(builder: PoolBuilder, renewal: Renewal) -> Result<Self, OpenError> {
        let renewed = renewal.clone();
        let check = Hook::sync_fn(move |_, metrics| {
            let is_good = renewed.admits(metrics.created);
            is_good.then_some(()).ok_or_else(|| HookError::message("of another time"))
        });
        let connections = builder
            .pre_recycle(check)
            .build()
            .map_err(|error| OpenError::Url(error.to_string()))?;
        Ok(Self { connections, outage: Mutex::default(), renewal })
    }

    /// A connection. When none can be made, nobody tries again for a moment: a server that comes
    /// back must not be met by all requests at once.
    pub async fn get(&self) -> Result<Object, StoreError> {
        if self.connections.status().available == 0
            && let Some(outage) = lock(&self.outage).as_ref()
            && Instant::now() < outage.until
        {
            return Err(StoreError::Unavailable(outage.reason.clone()));
        }
        let mut got = self.connections.get().await;
        if is_broken_off(&got) {
            got = self.connections.get().await;
        }
        // All being in use is no outage.
        let is_wait = matches!(got, Err(PoolError::Timeout(TimeoutType::Wait)));
        let got = got.map_err(StoreError::from);
        if !is_wait {
            self.note(got.as_ref().err());
        }
        got
    }

    fn note(&self, failure: Option<&StoreError>) {
        let mut outage = lock(&self.outage);
        let Some(failure) = failure else {
            *outage = None;
            return;
        };
        let now = Instant::now();
        let pause = match outage.as_ref() {
            // Somebody else tried at the same time.
            Some(known) if now < known.until => return,
            Some(known) => (2 * known.pause).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        *outage = Some(Outage { reason: failure.reason(), pause, until: now + pause });
    }

    /// Lets go of all connections to this server that are made so far: what one of them led to is
    /// not what the address stands for any more.
    pub fn renew(&self) {
        *lock(&self.renewal.0) = Some(Instant::now());
    }
}
