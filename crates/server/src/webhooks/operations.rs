//! Webhooks are made, get another secret, are tried out; deliveries go out once more.

use jiff::{SignedDuration, Timestamp};
use jsonapi::{Error, Input, Record, Value};
use serde_json::json;
use store::{StoreError, Tx};

use super::ENDPOINT;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::events::WEBHOOK_TEST;
use crate::outbox::{DELIVERIES, News, PENDING, WEBHOOKS, tell_only, webhook_target};
use crate::rest::{Change, Draft, Precondition, audit, insert};

/// Most webhooks that there may be.
pub const WEBHOOKS_MAX: usize = 100;
/// How long the secret before the last one signs, too.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// Makes a webhook with this encrypted secret.
///
/// # Errors
/// 422 with the broken rules, or what the database says.
pub async fn open(
    tx: &mut Tx,
    caller: &Caller,
    input: &Input,
    secret: &str,
    moment: Moment,
) -> Result<Record, ApiError> {
    // Nodes that make one at the same moment may each find room for it: the limit is about size.
    if tx.all(&WEBHOOKS).await?.len() >= WEBHOOKS_MAX {
        return Err(Error::base(format!("No more than {WEBHOOKS_MAX} webhooks are kept")).into());
    }
    let mut draft = Draft::of_create(&WEBHOOKS, input);
    draft.set("secret", Value::text(secret));
    insert(tx, caller, &ENDPOINT, draft, moment).await
}

/// Gives a webhook another encrypted secret; the one before signs for a day more.
///
/// # Errors
/// 404; 412; what the database says.
pub async fn rotate(
    tx: &mut Tx,
    caller: &Caller,
    id: i64,
    shown_id: &str,
    secret: &str,
    precondition: &Precondition,
    moment: Moment,
) -> Result<Record, ApiError> {
    let found = tx.find(&WEBHOOKS, id).await?;
    let before = found.ok_or_else(|| Error::record_not_found(shown_id))?;
    precondition.check(tx, &WEBHOOKS, &before).await?;
    let mut after = before.clone();
    let previous = WEBHOOKS.value(&before, "secret").clone();
    WEBHOOKS.set(&mut after, "previous-secret", previous);
    WEBHOOKS.set(&mut after, "previous-secret-until", Value::Time(moment.now + OVERLAP));
    WEBHOOKS.set(&mut after, "secret", Value::text(secret));
    tx.update(&WEBHOOKS, &before, &after).await?;
    // It tells who and when; the secrets stay out of it.
    audit(tx, caller, &WEBHOOKS, Some(&before), Some(&after), moment).await?;
    Ok(after)
}

/// Writes a test for a webhook, whatever it wants to hear of; the delivery.
///
/// # Errors
/// 404, or what the database says.
pub async fn test(
    tx: &mut Tx,
    id: i64,
    shown_id: &str,
    now: Timestamp,
) -> Result<Record, ApiError> {
    let found = tx.read(&WEBHOOKS, id).await?;
    let webhook = found.ok_or_else(|| Error::record_not_found(shown_id))?;
    let details = json!({"webhook": {
        "id": webhook.key(),
        "description": WEBHOOKS.value(&webhook, "description").as_text(),
    }});
    let details = details.as_object().cloned().unwrap_or_default();
    let news = News { kind: &WEBHOOK_TEST, account: None, details, now };
    Ok(tell_only(tx, id, news).await?)
}

/// Puts a delivery to a webhook that has come to its end back into its line; one that waits goes
/// out now, if nothing stands before it.
///
/// # Errors
/// 404, or what the database says.
pub async fn redeliver(
    tx: &mut Tx,
    webhook: i64,
    id: i64,
    shown_id: &str,
    now: Timestamp,
) -> Result<Record, ApiError> {
    let found = tx.find(&DELIVERIES, id).await?;
    let its_own = found.filter(|delivery| delivery.links[1] == Some(webhook));
    let before = its_own.ok_or_else(|| Error::record_not_found(shown_id))?;
    let mut after = before.clone();
    if DELIVERIES.value(&before, "state").as_text() != Some(PENDING) {
        DELIVERIES.set(&mut after, "state", Value::text(PENDING));
        DELIVERIES.set(&mut after, "queued-at", Value::Time(now));
        tx.update(&DELIVERIES, &before, &after).await?;
    }
    let line = DELIVERIES.value(&before, "line").as_text().unwrap_or_default().to_owned();
    tx.join_line(&line, &webhook_target(webhook), now, 0).await?;
    tx.hurry_line(&line, now).await?;
    Ok(after)
}

/// Switches a webhook off that has said that it is gone, unless it has got another address since.
///
/// # Errors
/// When a statement fails.
pub async fn switch_off(tx: &mut Tx, id: i64, url: &str, moment: Moment) -> Result<(), StoreError> {
    let Some(before) = tx.find(&WEBHOOKS, id).await? else { return Ok(()) };
    let is_same = WEBHOOKS.value(&before, "url").as_text() == Some(url);
    if !is_same || WEBHOOKS.value(&before, "active") != &Value::Bool(true) {
        return Ok(());
    }
    let mut after = before.clone();
    WEBHOOKS.set(&mut after, "active", Value::Bool(false));
    tx.update(&WEBHOOKS, &before, &after).await?;
    audit(tx, &Caller::default(), &WEBHOOKS, Some(&before), Some(&after), moment).await
}

/// What waits for a webhook need not wait any longer when it was switched on or moved. When it is
/// gone, so are its deliveries, and the lines end that had them.
///
/// # Errors
/// When a statement fails.
pub async fn follow(tx: &mut Tx, change: Change<'_>) -> Result<(), ApiError> {
    let Some(before) = change.before else { return Ok(()) };
    if change.after.is_none() {
        tx.drop_errands(before.key()).await?;
    }
    let differs = |after: &Record| {
        let differs = |name| WEBHOOKS.value(before, name) != WEBHOOKS.value(after, name);
        differs("active") || differs("url")
    };
    if change.after.is_none_or(differs) {
        tx.hurry_target(&webhook_target(before.key()), change.moment.now).await?;
    }
    Ok(())
}
