//! Alerts that forecast: each minute one node looks whether accounts will be at their floor soon,
//! at the pace of their journals.
//!
//! Looking locks nothing. Only where an alert is to be raised or cleared, the account is locked,
//! and all is read and decided again.

use billing::forecast::Spending;
use jiff::Timestamp;
use jsonapi::{Record, Value};
use store::{Needs, Snapshot, StoreError, Target, Tx};

use crate::accounts::ACCOUNTS;
use crate::alerts::{BALANCE_ALERTS, Outlook, announce, is_forecast, is_raised, turned};
use crate::app::App;
use crate::journal::{JOURNAL_ENTRIES, head};

/// Accounts of one slice.
const SLICE: u32 = 50;
/// Entries that are read at once.
const ENTRIES_AT_ONCE: u32 = 200;

/// Looks at all forecasts.
///
/// # Errors
/// When a statement fails.
pub async fn forecast_once(app: &App) -> Result<(), StoreError> {
    let mut after = Some(0);
    while let Some(last) = after {
        after = forecast_slice(app, last).await?;
    }
    Ok(())
}

/// Looks at the forecasts of the next accounts behind `after`; says which was the last of them, or
/// `None` where there are no more.
///
/// # Errors
/// When a statement fails.
pub async fn forecast_slice(app: &App, after: i64) -> Result<Option<i64>, StoreError> {
    let look =
        async move |snapshot: &Snapshot<'_>| snapshot.accounts_with_forecasts(after, SLICE).await;
    let accounts = app.store.look(look).await?;
    for id in &accounts {
        forecast(app, *id).await?;
    }
    Ok(accounts.last().copied())
}

async fn forecast(app: &App, id: i64) -> Result<(), StoreError> {
    let now = app.now();
    let look = async move |snapshot: &Snapshot<'_>| {
        let Some(account) = snapshot.find(&ACCOUNTS, id).await? else { return Ok(false) };
        Ok(!turns(snapshot, &account, now).await?.is_empty())
    };
    if !app.store.look(look).await? {
        return Ok(());
    }
    let target = Some(Target { resource: &ACCOUNTS, id });
    let needs = Needs { target, ..Needs::default() };
    app.store.write_with(needs, async move |tx: &mut Tx| turn(tx, id, now).await).await
}

/// Raises and clears what is to be.
async fn turn(tx: &mut Tx, id: i64, now: Timestamp) -> Result<(), StoreError> {
    let Some(account) = tx.find(&ACCOUNTS, id).await? else { return Ok(()) };
    for (alert, outlook) in turns(&tx.snapshot().await?, &account, now).await? {
        let turned = turned(&alert, now);
        tx.update(&BALANCE_ALERTS, &alert, &turned).await?;
        announce(tx, &account, &turned, Some(outlook), now).await?;
    }
    Ok(())
}

/// The forecasts of an account that are to be raised or cleared, with what they see.
async fn turns(
    snapshot: &Snapshot<'_>,
    account: &Record,
    now: Timestamp,
) -> Result<Vec<(Record, Outlook)>, StoreError> {
    let mut alerts = snapshot.belonging(&BALANCE_ALERTS, ("account", account.key())).await?;
    alerts.retain(is_forecast);
    let hours =
        |alert: &Record, name| BALANCE_ALERTS.value(alert, name).as_int().unwrap_or_default();
    let paces = alerts.iter().map(|alert| Spending::within(hours(alert, "pace-hours"), now));
    let mut spendings: Vec<Spending> = paces.collect();
    read_spendings(snapshot, account, &mut spendings).await?;
    let min_balance = ACCOUNTS.value(account, "min-balance");
    let min_balance = min_balance.as_decimal().unwrap_or_default();
    let balance = head(account).balance;
    let mut turns = Vec::new();
    for (alert, spending) in alerts.into_iter().zip(spendings) {
        let pace = spending.pace();
        let left = pace.time_left(balance, min_balance);
        let was = is_raised(&alert);
        if left.is_raised(was, hours(&alert, "within-hours")) != was {
            let outlook = Outlook { pace_per_hour: pace.per_hour(), hours_left: left.hours() };
            turns.push((alert, outlook));
        }
    }
    Ok(turns)
}

/// Reads the account's journal backwards, for as long as one of these wants to know more.
async fn read_spendings(
    snapshot: &Snapshot<'_>,
    account: &Record,
    spendings: &mut [Spending],
) -> Result<(), StoreError> {
    let mut reading: Vec<&mut Spending> = spendings.iter_mut().collect();
    let mut last = head(account).sequence;
    while last > 0 && !reading.is_empty() {
        let first = (last - i64::from(ENTRIES_AT_ONCE)).max(0);
        let owner = ("account", account.key());
        let range = (first, last);
        let entries =
            snapshot.between(&JOURNAL_ENTRIES, owner, "sequence", range, ENTRIES_AT_ONCE).await?;
        for entry in entries.iter().rev() {
            let value = |name| JOURNAL_ENTRIES.value(entry, name);
            let amount = value("amount").as_decimal().unwrap_or_default();
            if let Value::Time(at) = value("created-at") {
                reading.retain_mut(|spending| spending.add(*at, amount));
            }
        }
        last = first;
    }
    Ok(())
}
