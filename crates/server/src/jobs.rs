//! Work that goes on beside the requests: looking at journals, forgetting what is old.
//!
//! All of it goes in slices, so that requests wait for one slice at most.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::http::show_drift;
use crate::journal::{Drift, Sampler};
use crate::notifications::BALANCE_NOTIFICATIONS;

/// Time between two looks at journals.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);
/// Time between two rounds of forgetting.
const FORGET_PAUSE: Duration = Duration::from_mins(1);
/// First answers are kept for a day at least.
const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(25);
/// Rows that one slice forgets.
const FORGOTTEN_AT_ONCE: u32 = 200;

/// Looks at journals until the process ends, and shows what it finds in the metrics.
pub async fn sample_journals(app: Arc<App>) {
    let mut sampler = Sampler::default();
    let mut is_failing = false;
    let mut pause = interval(SAMPLE_PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pause.tick().await;
        let faulty_before = sampler.drift().accounts;
        let sampled = match sampler.step(&app.store).await {
            Ok(sampled) => sampled,
            Err(error) => {
                // An outage is told once, not each second.
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "journals cannot be looked at");
                }
                continue;
            }
        };
        is_failing = false;
        let Drift { amount, accounts } = sampler.drift();
        show_drift(sampled, accounts, amount);
        if accounts > faulty_before {
            tracing::error!(
                accounts, %amount, "balances and journals disagree: run `tollkeeper verify`"
            );
        }
    }
}

/// Forgets what need not be kept, until the process ends.
pub async fn forget(app: Arc<App>, notifications_kept: Option<SignedDuration>) {
    let mut pause = interval(FORGET_PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pause.tick().await;
        if let Err(error) = forget_once(&app, notifications_kept).await {
            tracing::warn!(%error, "what is old cannot be forgotten");
        }
    }
}

/// Forgets first answers that are older than a day, and rows of the balance notification log that
/// are older than `notifications_kept`, if that has an end.
///
/// # Errors
/// When a statement fails.
pub async fn forget_once(
    app: &App,
    notifications_kept: Option<SignedDuration>,
) -> Result<(), StoreError> {
    let before = |kept: SignedDuration| app.now().checked_sub(kept).unwrap_or(Timestamp::MIN);
    let cutoff = before(ANSWERS_KEPT);
    in_slices(app, async move |tx| tx.forget_answers(cutoff, FORGOTTEN_AT_ONCE).await).await?;
    let Some(kept) = notifications_kept else { return Ok(()) };
    let cutoff = before(kept);
    in_slices(app, async move |tx| {
        tx.forget(&BALANCE_NOTIFICATIONS, "created-at", cutoff, FORGOTTEN_AT_ONCE).await
    })
    .await
}

async fn in_slices<F>(app: &App, slice: F) -> Result<(), StoreError>
where
    F: AsyncFn(&mut store::Tx) -> Result<usize, StoreError> + Clone + Send + 'static,
{
    loop {
        let slice = slice.clone();
        let forgotten = app.store.write(async move |tx: &mut store::Tx| slice(tx).await).await?;
        if forgotten < FORGOTTEN_AT_ONCE as usize {
            return Ok(());
        }
    }
}
