//! What the dashboard knows: read in the background, and only while somebody looks at it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::pairs::query;
use crate::accounts::ACCOUNTS;
use crate::app::App;
use crate::auth::Caller;
use crate::inside::Inside;
use crate::outbox::{DEAD, DELIVERED, DELIVERIES, SUPPRESSED};
use crate::overview::{Overview, Reader};

/// How old figures may be that are shown, if they cost little.
const AGE_MAX: Duration = Duration::from_secs(5);
/// How much longer reading is paused than it takes, so that it never costs more than a twentieth of
/// the machine's time.
const PAUSE_RATIO: u32 = 20;
/// How long a page waits for figures that are being read: small databases answer within it.
const WAIT: Duration = Duration::from_millis(30);
/// For how long back deliveries are counted by state.
const COUNTED_BACK: SignedDuration = SignedDuration::from_hours(24);
/// Accounts at a limit that are named.
const NAMED_MAX: &str = "8";
/// The attribute of accounts that says where their balance stands between its limits.
pub const LIMIT_STATE: &str = "limit-state";
/// The filter that finds those whose balance needs somebody.
pub const AT_LIMIT: (&str, &str) =
    ("filter[limit-state_in]", "blocked,near-floor,near-ceiling,at-ceiling");

/// What is known of everything.
#[derive(Debug)]
pub struct Known {
    /// Balances, alerts and journals.
    pub overview: Overview,
    /// Accounts at a limit or near it, as the API lists them; `None` when it does not tell.
    pub at_limit: Option<Json>,
    /// Since when deliveries are counted.
    pub counted_since: Timestamp,
    /// Deliveries since then by their state; `None` when they could not be counted in time.
    pub deliveries: Vec<(&'static str, Option<u64>)>,
}

/// Keeps what is known.
#[derive(Debug)]
pub struct Keeper {
    app: Arc<App>,
    inside: Inside,
    known: watch::Sender<Option<Arc<Known>>>,
    reading: Arc<Mutex<Reading>>,
}

/// Held by whoever reads.
#[derive(Debug, Default)]
struct Reading {
    reader: Reader,
    not_before: Option<Instant>,
}

impl Keeper {
    /// Knows nothing yet.
    pub fn of(app: &Arc<App>, inside: &Inside) -> Self {
        Self {
            app: Arc::clone(app),
            inside: inside.clone(),
            known: watch::Sender::new(None),
            reading: Arc::default(),
        }
    }

    /// What is known; has it read anew when that is due, and waits a moment for it.
    pub async fn look(self: &Arc<Self>, caller: &Caller) -> Option<Arc<Known>> {
        let mut known = self.known.subscribe();
        let is_being_read = match Arc::clone(&self.reading).try_lock_owned() {
            Ok(reading) if reading.not_before.is_some_and(|at| Instant::now() < at) => false,
            Ok(reading) => {
                let (keeper, caller) = (Arc::clone(self), caller.clone());
                tokio::spawn(async move { keeper.read(reading, &caller).await });
                true
            }
            Err(_) => true,
        };
        if is_being_read {
            // What was known before will do, if it takes longer.
            let _ = tokio::time::timeout(WAIT, known.changed()).await;
        }
        known.borrow().clone()
    }

    async fn read(&self, mut reading: OwnedMutexGuard<Reading>, caller: &Caller) {
        let began = Instant::now();
        let now = self.app.now();
        match reading.reader.read(&self.app.store, now).await {
            Ok(overview) => {
                let counted_since = now.checked_sub(COUNTED_BACK).unwrap_or(Timestamp::MIN);
                let known = Known {
                    overview,
                    at_limit: at_limit(&self.inside, caller).await,
                    counted_since,
                    deliveries: deliveries(&self.inside, caller, counted_since).await,
                };
                self.known.send_replace(Some(Arc::new(known)));
            }
            Err(error) => tracing::warn!(%error, "the dashboard's figures cannot be read"),
        }
        let pause = AGE_MAX.max(began.elapsed() * PAUSE_RATIO);
        reading.not_before = Some(Instant::now() + pause);
    }
}

async fn at_limit(inside: &Inside, caller: &Caller) -> Option<Json> {
    ACCOUNTS.attribute(LIMIT_STATE)?;
    let fields = format!("name,balance,{LIMIT_STATE}");
    let pairs =
        [AT_LIMIT, ("sort", "id"), ("page[size]", NAMED_MAX), ("fields[accounts]", &fields)];
    listed(inside, caller, &format!("/{}?{}", ACCOUNTS.kind, query(pairs))).await
}

async fn deliveries(
    inside: &Inside,
    caller: &Caller,
    since: Timestamp,
) -> Vec<(&'static str, Option<u64>)> {
    let mut counts = Vec::new();
    for state in [DELIVERED, DEAD, SUPPRESSED] {
        let target = format!("{}&page[size]=1&fields[deliveries]=state", by_state(state, since));
        let listed = listed(inside, caller, &target).await;
        counts.push((state, listed.and_then(|list| list["meta"]["total-count"].as_u64())));
    }
    counts
}

/// The list of deliveries in a state that were due since then.
#[must_use]
pub fn by_state(state: &str, since: Timestamp) -> String {
    let since = since.to_string();
    let pairs = [("filter[state_eq]", state), ("filter[created-at_gteq]", &since)];
    format!("/{}?{}", DELIVERIES.kind, query(pairs))
}

async fn listed(inside: &Inside, caller: &Caller, target: &str) -> Option<Json> {
    let answer = inside.ask(caller, Method::GET, target, None, &[]).await;
    answer.status.is_success().then(|| answer.json())
}
