//! Work that goes on beside the requests: looking at journals and ahead, forgetting what is old.
//!
//! All of it goes in slices, so that requests wait for one slice at most. Of the nodes on one
//! database each job has one that does it, by a lease.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use store::StoreError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::app::App;
use crate::forecasts::forecast_slice;
use crate::http::{show_drift, show_held};
use crate::journal::{Drift, Sampler};
use crate::mail::EMAIL_LOGS;
use crate::notifications::BALANCE_NOTIFICATIONS;
use crate::outbox::{DELIVERIES, PENDING};

/// Time between two looks at journals.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);
/// Time between two looks at all forecasts.
const FORECAST_PAUSE: Duration = Duration::from_mins(1);
/// Time between two rounds of forgetting.
const FORGET_PAUSE: Duration = Duration::from_mins(1);
/// First answers are kept for a day at least.
const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(25);
/// Counters of failures are kept beyond their end, for nodes whose clocks are behind.
const FAILURES_KEPT: SignedDuration = SignedDuration::from_mins(1);
/// Where operators have signed in from is kept for so long after the last time.
const ADDRESSES_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Tasks are kept for so long after their end.
const TASKS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Unfinished tasks whose answers are kept for longer; there are never so many that have begun.
const TASKS_MINDED: u32 = 1_000;
/// Rows that one slice forgets.
const FORGOTTEN_AT_ONCE: u32 = 200;
/// For how long a node takes a job: so long does nobody do it when the node dies.
const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// Time between two questions whose the job is. Well below [`LEASE`], so that a node knows in time
/// that it has lost a job, though a slice is slow or clocks are a few seconds apart.
const LEASE_ASKED: SignedDuration = SignedDuration::from_secs(5);
/// How long the jobs may take to end, all together.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// For how long is kept what need not be kept for ever; `None` is for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// Rows of the balance notification log.
    pub notifications: Option<SignedDuration>,
    /// Deliveries that have come to their end, and the log of mails.
    pub deliveries: Option<SignedDuration>,
}

/// The jobs of a running server.
#[derive(Debug)]
pub struct Jobs {
    stop: watch::Sender<bool>,
    running: [JoinHandle<()>; 3],
}

impl Jobs {
    /// Starts them.
    #[must_use]
    pub fn start(app: &Arc<App>, kept: Kept) -> Self {
        let (stop, stopped) = watch::channel(false);
        let duty = |name, pause| Duty::new(app, name, pause, stopped.clone());
        let running = [
            tokio::spawn(sample_journals(duty("sample-journals", SAMPLE_PAUSE))),
            tokio::spawn(forecast(duty("forecast", FORECAST_PAUSE))),
            tokio::spawn(forget(duty("forget", FORGET_PAUSE), kept)),
        ];
        Self { stop, running }
    }

    /// Ends them, each after the slice that it is in, and gives them to other nodes.
    pub async fn stop(self) {
        // Jobs that have ended do not listen.
        let _ = self.stop.send(true);
        let ended = async {
            for job in self.running {
                // One that has panicked has said so.
                let _ = job.await;
            }
        };
        if tokio::time::timeout(STOP_TIME_MAX, ended).await.is_err() {
            tracing::warn!("a job did not end in time: its lease runs out by itself");
        }
    }
}

/// One job, which one node does at a time.
struct Duty {
    app: Arc<App>,
    name: &'static str,
    pause: Interval,
    asks: Interval,
    stopped: watch::Receiver<bool>,
    is_held: bool,
    /// When the database last said whose it is.
    asked_at: Option<Timestamp>,
    is_failing: bool,
}

/// What a job is to do next.
enum Turn {
    /// Its work.
    Work,
    /// Nothing, for another node may do it now.
    Lost,
    /// It has ended.
    Over,
}

impl Duty {
    fn new(
        app: &Arc<App>,
        name: &'static str,
        pause: Duration,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let every = |pause| {
            let mut interval = interval(pause);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self {
            app: Arc::clone(app),
            name,
            pause: every(pause),
            asks: every(LEASE_ASKED.unsigned_abs()),
            stopped,
            is_held: false,
            asked_at: None,
            is_failing: false,
        }
    }

    /// Waits until there is something to do, and keeps the lease meanwhile.
    async fn next(&mut self) -> Turn {
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stopped) => break,
                _ = self.asks.tick() => {
                    let was_held = self.is_held;
                    self.ask().await;
                    if was_held && !self.is_held {
                        return Turn::Lost;
                    }
                }
                _ = self.pause.tick(), if self.is_held => return Turn::Work,
            }
        }
        if self.is_held {
            // It runs out by itself, if the database cannot be told.
            let _ = self.app.store.release(self.name, &self.app.node).await;
        }
        Turn::Over
    }

    /// Whether this node may do one more slice.
    async fn goes_on(&mut self) -> bool {
        let now = self.app.now();
        // A clock that was set back asks again, too.
        let is_recent = |asked: Timestamp| (asked..asked + LEASE_ASKED).contains(&now);
        if !self.asked_at.is_some_and(is_recent) {
            self.ask().await;
        }
        self.is_held && !*self.stopped.borrow()
    }

    /// Takes the lease, or renews it, if it can be had.
    async fn ask(&mut self) {
        let now = self.app.now();
        match self.app.store.lease(self.name, &self.app.node, now, now + LEASE).await {
            Ok(is_held) => {
                self.is_held = is_held;
                self.asked_at = Some(now);
            }
            Err(error) => {
                // It lasts for a while yet, but not to its very end: clocks differ.
                let lasts = |asked: Timestamp| (asked..asked + LEASE - LEASE_ASKED).contains(&now);
                self.is_held &= self.asked_at.is_some_and(lasts);
                self.failed(&error);
            }
        }
        show_held(self.name, self.is_held);
    }

    /// Tells an outage once, not each time.
    fn failed(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(%error, job = self.name, "a job cannot be done");
        }
    }
}

async fn stopped(stopped: &mut watch::Receiver<bool>) {
    // Without a sender nobody waits for the end.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Looks at journals, and shows what it finds in the metrics.
async fn sample_journals(mut duty: Duty) {
    let mut sampler = Sampler::default();
    loop {
        match duty.next().await {
            Turn::Work => look(&mut duty, &mut sampler).await,
            Turn::Lost => {
                // What was found is for another node to find, and to tell.
                sampler = Sampler::default();
                show_drift(0, 0, sampler.drift().amount);
            }
            Turn::Over => return,
        }
    }
}

async fn look(duty: &mut Duty, sampler: &mut Sampler) {
    let faulty_before = sampler.drift().accounts;
    let sampled = match sampler.step(&duty.app.store).await {
        Ok(sampled) => sampled,
        Err(error) => return duty.failed(&error),
    };
    duty.is_failing = false;
    let Drift { amount, accounts } = sampler.drift();
    show_drift(sampled, accounts, amount);
    if accounts > faulty_before {
        tracing::error!(
            accounts, %amount, "balances and journals disagree: run `tollkeeper verify`"
        );
    }
}

/// Raises and clears the alerts that forecast.
async fn forecast(mut duty: Duty) {
    loop {
        match duty.next().await {
            Turn::Work => forecast_all(&mut duty).await,
            Turn::Lost => {}
            Turn::Over => return,
        }
    }
}

async fn forecast_all(duty: &mut Duty) {
    let mut after = 0;
    while duty.goes_on().await {
        match forecast_slice(&duty.app, after).await {
            Ok(last) => {
                duty.is_failing = false;
                let Some(last) = last else { return };
                after = last;
            }
            Err(error) => return duty.failed(&error),
        }
    }
}

/// Forgets what need not be kept.
async fn forget(mut duty: Duty, kept: Kept) {
    loop {
        match duty.next().await {
            Turn::Work => forget_all(&mut duty, kept).await,
            Turn::Lost => {}
            Turn::Over => return,
        }
    }
}

async fn forget_all(duty: &mut Duty, kept: Kept) {
    while duty.goes_on().await {
        match forget_slice(&duty.app, kept).await {
            Ok(is_more) => {
                duty.is_failing = false;
                if !is_more {
                    return;
                }
            }
            Err(error) => return duty.failed(&error),
        }
    }
}

/// Forgets first answers that are older than a day, counters of failures that are over, addresses
/// that operators have not signed in from for 90 days, sessions of the console that have ended,
/// tasks that ended 30 days ago, and what need not be `kept`.
///
/// # Errors
/// When a statement fails.
pub async fn forget_once(app: &App, kept: Kept) -> Result<(), StoreError> {
    while forget_slice(app, kept).await? {}
    Ok(())
}

/// Forgets a slice of each; whether there may be more.
async fn forget_slice(app: &App, kept: Kept) -> Result<bool, StoreError> {
    let before = |kept: SignedDuration| app.now().checked_sub(kept).unwrap_or(Timestamp::MIN);
    let is_full = |forgotten: usize| forgotten >= FORGOTTEN_AT_ONCE as usize;
    // Whoever goes on with a task asks for its last slice again.
    let tasks = app.store.unfinished_tasks(TASKS_MINDED).await?;
    let begun = tasks.iter().filter_map(|task| task.started_at).min();
    let cutoff = before(ANSWERS_KEPT).min(begun.unwrap_or(Timestamp::MAX));
    let answers: usize =
        app.store.write(async move |tx| tx.forget_answers(cutoff, FORGOTTEN_AT_ONCE).await).await?;
    let cutoff = before(FAILURES_KEPT);
    let failures: usize = app
        .store
        .write(async move |tx| tx.forget_old_failures(cutoff, FORGOTTEN_AT_ONCE).await)
        .await?;
    let cutoff = before(ADDRESSES_KEPT);
    let addresses: usize = app
        .store
        .write(async move |tx| tx.forget_addresses(cutoff, FORGOTTEN_AT_ONCE).await)
        .await?;
    let cutoff = before(app.staying.idle);
    let sessions: usize = app
        .store
        .write(async move |tx| tx.forget_console_sessions(cutoff, FORGOTTEN_AT_ONCE).await)
        .await?;
    let cutoff = before(TASKS_KEPT);
    let tasks: usize =
        app.store.write(async move |tx| tx.forget_tasks(cutoff, FORGOTTEN_AT_ONCE).await).await?;
    let mut is_more = [answers, failures, addresses, sessions, tasks].into_iter().any(is_full);
    let waiting = Some(("state", PENDING));
    for (resource, but, kept) in [
        (&BALANCE_NOTIFICATIONS, None, kept.notifications),
        (&DELIVERIES, waiting, kept.deliveries),
        (&EMAIL_LOGS, None, kept.deliveries),
    ] {
        let Some(kept) = kept else { continue };
        let cutoff = before(kept);
        let rows: usize = app
            .store
            .write(async move |tx| {
                tx.forget(resource, "created-at", but, cutoff, FORGOTTEN_AT_ONCE).await
            })
            .await?;
        is_more |= is_full(rows);
    }
    Ok(is_more)
}
