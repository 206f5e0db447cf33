//! A look at an account's own alerts: what its balance raises or clears is told.

use decimal::Decimal;
use jiff::Timestamp;
use jsonapi::{Record, Value};
use serde_json::{Map, Value as Json, json};
use store::{StoreError, Tx};

use super::resource::{BALANCE_ALERTS, EMAIL, WEBHOOK};
use super::rules::{is_forecast, is_own, is_raised, limit_of, money};
use crate::accounts::{ACCOUNTS, is_muted};
use crate::events::{ALERT_CLEARED, ALERT_RAISED};
use crate::outbox::{News, mail, tell, write_down};

/// What a forecast has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Money spent in an hour, rounded down.
    pub pace_per_hour: Decimal,
    /// Hours until the balance is at the floor, rounded down; `None` is never.
    pub hours_left: Option<Decimal>,
}

/// Looks at every alert of an account, which is locked and as it is now, that stands for itself
/// and has a threshold. Costs nothing where there is none.
///
/// # Errors
/// When a statement fails.
pub async fn look(tx: &mut Tx, account: &Record, now: Timestamp) -> Result<(), StoreError> {
    if ACCOUNTS.value(account, "own-alerts").as_int().unwrap_or_default() == 0 {
        return Ok(());
    }
    for alert in tx.belonging(&BALANCE_ALERTS, ("account", account.key())).await? {
        if is_own(&alert)
            && let Some(turned) = judged(&alert, account, now)
        {
            tx.update(&BALANCE_ALERTS, &alert, &turned).await?;
            announce(tx, account, &turned, None, now).await?;
        }
    }
    Ok(())
}

/// The alert after a look at its threshold, if that changes it.
pub(super) fn judged(alert: &Record, account: &Record, now: Timestamp) -> Option<Record> {
    let limit = limit_of(alert, account)?;
    let is = limit.is_raised(is_raised(alert), money(account, "balance"));
    (is != is_raised(alert)).then(|| turned(alert, now))
}

/// The alert raised, or cleared if it was raised.
#[must_use]
pub fn turned(alert: &Record, now: Timestamp) -> Record {
    let mut turned = alert.clone();
    BALANCE_ALERTS.set(&mut turned, "raised", Value::Bool(!is_raised(alert)));
    BALANCE_ALERTS.set(&mut turned, "changed-at", Value::Time(now));
    turned
}

/// Tells, in the ways that the alert wants, that it was raised or cleared.
///
/// # Errors
/// When a statement fails.
pub async fn announce(
    tx: &mut Tx,
    account: &Record,
    alert: &Record,
    outlook: Option<Outlook>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let kind = if is_raised(alert) { &ALERT_RAISED } else { &ALERT_CLEARED };
    let details = Map::from_iter([("alert".to_owned(), described(alert, account, outlook))]);
    let news = News { kind, account: Some(account), details, now };
    let channels = BALANCE_ALERTS.value(alert, "channels").as_text();
    let event = if channels == Some(EMAIL) {
        Some(write_down(tx, news).await?)
    } else {
        tell(tx, news).await?
    };
    let Some(event) = event.filter(|_| channels != Some(WEBHOOK) && !is_muted(account, now)) else {
        return Ok(());
    };
    let recipients = match BALANCE_ALERTS.value(alert, "recipients") {
        Value::Null => ACCOUNTS.value(account, "send-balance-notifications-to"),
        own => own,
    };
    match recipients {
        Value::Ids(contacts) => mail(tx, &event, contacts, now).await,
        _ => Ok(()),
    }
}

/// The alert as an event tells of it. The threshold of a forecast is the floor.
fn described(alert: &Record, account: &Record, outlook: Option<Outlook>) -> Json {
    let value = |name| BALANCE_ALERTS.value(alert, name);
    let text = |number: Option<Decimal>| number.map(|number| number.to_string());
    let threshold = match limit_of(alert, account) {
        Some(limit) => limit.threshold,
        None => Some(money(account, "min-balance")),
    };
    let mut described = json!({
        "id": alert.key(),
        "name": value("name").as_text(),
        "kind": value("kind").as_text(),
        "value": text(value("value").as_decimal()),
        "percentage": text(value("percentage").as_decimal()),
        "threshold": text(threshold),
        "hysteresis": text(value("hysteresis").as_decimal()),
        "pace_hours": value("pace-hours").as_int(),
        "within_hours": value("within-hours").as_int(),
    });
    if is_forecast(alert) {
        described["pace_per_hour"] = json!(text(outlook.map(|outlook| outlook.pace_per_hour)));
        described["hours_left"] = json!(text(outlook.and_then(|outlook| outlook.hours_left)));
    }
    described
}
