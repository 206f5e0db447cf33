//! What became of an attempt to deliver, written down.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonapi::{Record, Value};
use serde_json::json;
use store::{Errand, Left, Line, StoreError, Tx};

use super::delivery::{DEAD, DELIVERED, DELIVERIES, EMAIL, PENDING, SUPPRESSED, WEBHOOK};
use super::tell::{News, tell, webhook_line, webhook_target};
use super::webhook::WEBHOOKS;
use crate::events::{DELIVERY_DEAD_LETTERED, EVENTS};
use crate::http::count_delivery;

/// Time to the second attempt; doubled for each one more, up to [`PAUSE_MAX`].
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(5);
/// Longest time between two attempts.
const PAUSE_MAX: SignedDuration = SignedDuration::from_hours(1);
/// An attempt that fails later than this after the delivery was due is the last one.
const TRIED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 1_000;

/// A delivery that is due, with its event, unless that is gone.
#[derive(Clone, Debug)]
pub struct Due {
    /// The delivery.
    pub delivery: Record,
    /// The event.
    pub event: Option<Record>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has taken it.
    Delivered,
    /// It may be taken another time.
    Failed(String),
    /// It will never be taken.
    Refused(String),
    /// It was not to be sent.
    Suppressed(String),
}

/// An attempt, as it is written down.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The deliveries that it was for: a digest is for several.
    pub deliveries: Vec<Record>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was sent, as JSON.
    pub request: Option<Box<str>>,
    /// The status of the answer.
    pub status: Option<i64>,
    /// The beginning of the answer.
    pub response: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// How a line was left that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// What was tried has come to its end: the next one may be tried.
    All,
    /// Some of it has come to its end.
    Some,
    /// The last attempt failed: what waits is tried again later.
    Failed {
        /// Whether others before it were taken.
        anew: bool,
    },
    /// What waits is to wait until then.
    Until(Timestamp),
}

/// When to try again after so many attempts in a row have failed: after 5 s, 10 s, 20 s … one hour,
/// by chance up to a half less, so that what failed together does not come back together. `chance`
/// is 0 to 1023.
#[must_use]
pub fn backoff(failures: i64, chance: u32, now: Timestamp) -> Timestamp {
    let doublings = u32::try_from(failures.saturating_sub(1).clamp(0, 20)).unwrap_or_default();
    let pause = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let less = pause / 2 * i32::try_from(chance.min(1023)).unwrap_or_default() / 1024;
    now + (pause - less)
}

/// Writes down what became of an attempt. One that failed for a day was the last; a delivery that
/// died is an event of its own, unless it was to tell of that.
///
/// # Errors
/// When a statement fails.
pub async fn mark(tx: &mut Tx, attempt: &Attempt, now: Timestamp) -> Result<(), StoreError> {
    for delivery in &attempt.deliveries {
        if attempt.outcome == Outcome::Delivered {
            let after = tried(delivery, attempt, DELIVERED, None, now);
            tx.update_if_still(&DELIVERIES, "state", delivery, &after).await?;
            continue;
        }
        let Some(before) = tx.find(&DELIVERIES, delivery.key()).await? else { continue };
        if DELIVERIES.value(&before, "state").as_text() != Some(PENDING) {
            // Another node has delivered it meanwhile.
            continue;
        }
        let (state, error) = judge(&attempt.outcome, &before, now);
        let after = tried(&before, attempt, state, error, now);
        tx.update(&DELIVERIES, &before, &after).await?;
        if state == DEAD {
            tell_of_death(tx, &after, now).await?;
        }
    }
    Ok(())
}

/// Ends an errand, and writes down the delivery that it is from now on, with what became of the
/// first attempt. If that is to be tried again, it waits in its line. To a webhook that is gone,
/// nothing was delivered. `chance` is 0 to 1023.
///
/// # Errors
/// When a statement fails.
pub async fn settle(
    tx: &mut Tx,
    errand: &Errand,
    attempt: &Attempt,
    chance: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.end_errand(errand).await?;
    let is_there = tx.all(&WEBHOOKS).await?.iter().any(|hook| hook.key() == errand.webhook());
    let Some(before) = attempt.deliveries.first().filter(|_| is_there) else { return Ok(()) };
    let (state, error) = judge(&attempt.outcome, before, now);
    let Record { values, links, .. } = tried(before, attempt, state, error, now);
    let delivery = tx.insert(&DELIVERIES, values, links).await?;
    match state {
        PENDING => {
            let line = webhook_line(errand.webhook(), delivery.links[3]);
            let due = backoff(1, chance, now);
            tx.join_line(&line, &webhook_target(errand.webhook()), due, 1).await
        }
        DEAD => tell_of_death(tx, &delivery, now).await,
        _ => Ok(()),
    }
}

/// A delivery after an attempt that left it in this state.
fn tried(
    before: &Record,
    attempt: &Attempt,
    state: &str,
    error: Option<&str>,
    now: Timestamp,
) -> Record {
    let mut after = before.clone();
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    let attempts = DELIVERIES.value(before, "attempts").as_int().unwrap_or_default();
    let took = i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX);
    let request = attempt.request.clone().map_or(Value::Null, Value::Json);
    let is_tried = state != SUPPRESSED;
    for (name, value) in [
        ("state", Value::text(state)),
        ("attempts", Value::Int(attempts + i64::from(is_tried))),
        ("attempted-at", if is_tried { Value::Time(now) } else { Value::Null }),
        ("request", request),
        ("response-status", attempt.status.map_or(Value::Null, Value::Int)),
        ("response-body", text(attempt.response.as_deref())),
        ("duration-ms", if is_tried { Value::Int(took) } else { Value::Null }),
        ("error", error.map_or(Value::Null, |error| Value::text(cut(error)))),
    ] {
        DELIVERIES.set(&mut after, name, value);
    }
    after
}

/// The state after an attempt, and the error.
fn judge<'a>(
    outcome: &'a Outcome,
    delivery: &Record,
    now: Timestamp,
) -> (&'static str, Option<&'a str>) {
    match outcome {
        Outcome::Delivered => (DELIVERED, None),
        Outcome::Suppressed(why) => (SUPPRESSED, Some(why)),
        Outcome::Refused(why) => (DEAD, Some(why)),
        Outcome::Failed(why) => (if is_last(delivery, now) { DEAD } else { PENDING }, Some(why)),
    }
}

/// Whether an attempt that fails now is the delivery's last.
#[must_use]
pub fn is_last(delivery: &Record, now: Timestamp) -> bool {
    let since = DELIVERIES.value(delivery, "queued-at").as_time().unwrap_or(now);
    now.duration_since(since) >= TRIED_FOR
}

/// Counts an attempt that was written down, in the metrics; its time, if anything was sent.
pub fn count(attempt: &Attempt) {
    let Some(first) = attempt.deliveries.first() else { return };
    let is_mail = DELIVERIES.value(first, "channel").as_text() == Some(EMAIL);
    let outcome = match attempt.outcome {
        Outcome::Delivered => "delivered",
        Outcome::Failed(_) => "failed",
        Outcome::Refused(_) => "refused",
        Outcome::Suppressed(_) => "suppressed",
    };
    let took = attempt.request.as_ref().map(|_| attempt.took);
    let channel = if is_mail { EMAIL } else { WEBHOOK };
    count_delivery(channel, outcome, attempt.deliveries.len(), took);
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(ERROR_CHARS_MAX).collect()
}

async fn tell_of_death(tx: &mut Tx, delivery: &Record, now: Timestamp) -> Result<(), StoreError> {
    let event = match delivery.links[0] {
        Some(event) => tx.read(&EVENTS, event).await?,
        None => None,
    };
    let name = event.as_ref().and_then(|event| EVENTS.value(event, "event-type").as_text());
    if name == Some(DELIVERY_DEAD_LETTERED.name) {
        return Ok(());
    }
    let text = |name| DELIVERIES.value(delivery, name).as_text();
    let details = json!({"delivery": {
        "id": delivery.key(),
        "channel": text("channel"),
        "attempts": DELIVERIES.value(delivery, "attempts").as_int(),
        "error": text("error"),
        "event_id": delivery.links[0],
        "event_type": name,
        "webhook_id": delivery.links[1],
        "contact_id": delivery.links[2],
        "account_id": delivery.links[3],
    }});
    let details = details.as_object().cloned().unwrap_or_default();
    tell(tx, News { kind: &DELIVERY_DEAD_LETTERED, account: None, details, now }).await?;
    Ok(())
}

/// Lets go of a line that was served.
///
/// # Errors
/// When a statement fails.
pub async fn leave(
    tx: &mut Tx,
    line: &Line,
    holder: &str,
    served: Served,
    chance: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    let left = match served {
        Served::All => Left::Empty,
        Served::Some => Left::Waiting { due: now, failures: 0 },
        Served::Until(due) => Left::Waiting { due, failures: 0 },
        Served::Failed { anew } => {
            let failures = if anew { 1 } else { line.failures.saturating_add(1) };
            Left::Waiting { due: backoff(failures, chance, now), failures }
        }
    };
    tx.leave_line(line, holder, left, now).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_differ_by_chance() {
        let now = Timestamp::UNIX_EPOCH;
        let pause = |failures, chance| backoff(failures, chance, now).duration_since(now).as_secs();
        let without: Vec<i64> = (1..=12).map(|failures| pause(failures, 0)).collect();
        assert_eq!(without, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(pause(i64::MAX, 0), 3600);
        assert_eq!(pause(0, 0), 5);
        assert_eq!((pause(11, 512), pause(11, 1023), pause(11, u32::MAX)), (2700, 1801, 1801));
    }
}
