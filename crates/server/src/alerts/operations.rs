//! Alerts are made, changed and deleted while their account is locked. Those that mirror a
//! threshold change the account instead, by the account's own rules.

use jsonapi::{Error, Fault, Input, Record, Value, validation_errors};
use store::{StoreError, Tx};

use super::look::{announce, judged, turned};
use super::mirror::attribute_of;
use super::resource::BALANCE_ALERTS;
use super::rules::{faults, is_forecast, is_own, is_raised};
use crate::accounts::ACCOUNTS;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::rest::{self, Draft, Endpoint, Precondition, amend, insert};

/// Alerts of an account at most, beside those that mirror its thresholds: a move of its balance
/// may have to look at all of them.
const ALERTS_MAX: usize = 100;

/// An alert that stands for itself, as a row with rules.
static OWN_ALERT: Endpoint = Endpoint::plain(&BALANCE_ALERTS).with_faults(faults);

/// Makes an alert, which may be raised from the beginning.
///
/// # Errors
/// 422 with the broken rules, or what the database says.
pub async fn create(
    tx: &mut Tx,
    caller: &Caller,
    input: &Input,
    moment: Moment,
) -> Result<Record, ApiError> {
    let mut draft = Draft::of_create(&BALANCE_ALERTS, input);
    let account = match draft.link("account") {
        Some(id) => tx.find(&ACCOUNTS, id).await?,
        None => None,
    };
    if let Some(account) = &account {
        judge(&mut draft, account, moment);
    }
    let alert = insert(tx, caller, &OWN_ALERT, draft, moment).await?;
    let account = account.ok_or_else(Error::save_failed)?;
    refuse_too_many(tx, account.key()).await?;
    if is_raised(&alert) {
        announce(tx, &account, &alert, None, moment.now).await?;
    }
    count(tx, &account, &alert, 1).await?;
    Ok(alert)
}

/// Changes an alert, which may raise or clear it; or the threshold that it mirrors, by the rules
/// of `accounts`.
///
/// # Errors
/// 404, 412, 422 with the broken rules, or what the database says.
pub async fn change(
    tx: &mut Tx,
    caller: &Caller,
    accounts: &Endpoint,
    id: i64,
    input: &Input,
    precondition: &Precondition,
    moment: Moment,
) -> Result<Record, ApiError> {
    let shown_id = input.id.clone().unwrap_or_else(|| id.to_string());
    let (account, alert) = find(tx, id, &shown_id).await?;
    precondition.check(tx, &BALANCE_ALERTS, &alert).await?;
    let mut draft = Draft::of_update(&BALANCE_ALERTS, alert.clone(), input);
    if !is_own(&alert) {
        let faults = faults_of_mirrored(&draft);
        if !faults.is_empty() {
            return Err(validation_errors(&BALANCE_ALERTS, &faults).into());
        }
        let value = draft.given("value").cloned().map_err(Clone::clone);
        let position = ACCOUNTS.attribute(attribute_of(&alert)).ok_or_else(Error::save_failed)?;
        let threshold = Input { values: vec![(position, value)], ..Input::default() };
        let draft = Draft::of_update(&ACCOUNTS, account, &threshold);
        let written = amend(tx, caller, accounts, draft, moment).await;
        written.map_err(as_of_alert)?;
        let alert = tx.find(&BALANCE_ALERTS, id).await?;
        return alert.ok_or_else(|| Error::save_failed().into());
    }
    judge(&mut draft, &account, moment);
    let changed = amend(tx, caller, &OWN_ALERT, draft, moment).await?;
    if is_raised(&changed) != is_raised(&alert) {
        announce(tx, &account, &changed, None, moment.now).await?;
    }
    Ok(changed)
}

/// Deletes an alert, which clears it; or removes the threshold that it mirrors, by the rules of
/// `accounts`.
///
/// # Errors
/// 404, 412, 422 with the broken rules, or what the database says.
pub async fn remove(
    tx: &mut Tx,
    caller: &Caller,
    accounts: &Endpoint,
    id: i64,
    shown_id: &str,
    precondition: &Precondition,
    moment: Moment,
) -> Result<(), ApiError> {
    let (account, alert) = find(tx, id, shown_id).await?;
    precondition.check(tx, &BALANCE_ALERTS, &alert).await?;
    if !is_own(&alert) {
        let mut draft = Draft::of_update(&ACCOUNTS, account, &Input::default());
        draft.set(attribute_of(&alert), Value::Null);
        amend(tx, caller, accounts, draft, moment).await.map_err(as_of_alert)?;
        return Ok(());
    }
    rest::remove(tx, caller, &OWN_ALERT, &alert, moment).await?;
    if is_raised(&alert) {
        announce(tx, &account, &turned(&alert, moment.now), None, moment.now).await?;
    }
    count(tx, &account, &alert, -1).await?;
    Ok(())
}

/// An alert and its account, which is locked first, as everywhere.
async fn find(tx: &mut Tx, id: i64, shown_id: &str) -> Result<(Record, Record), ApiError> {
    let not_found = || Error::record_not_found(shown_id);
    let seen = tx.read(&BALANCE_ALERTS, id).await?.ok_or_else(not_found)?;
    let account = match seen.links[0] {
        Some(account) => tx.find(&ACCOUNTS, account).await?,
        None => None,
    };
    let account = account.ok_or_else(not_found)?;
    let alert = tx.find(&BALANCE_ALERTS, id).await?.ok_or_else(not_found)?;
    Ok((account, alert))
}

/// Finds out whether the balance raises or clears the alert that the draft becomes. One with unfit
/// values is going to be refused.
fn judge(draft: &mut Draft, account: &Record, moment: Moment) {
    let turned = draft.settled().ok().and_then(|alert| judged(&alert, account, moment.now));
    if let Some(turned) = turned {
        for name in ["raised", "changed-at"] {
            draft.set(name, BALANCE_ALERTS.value(&turned, name).clone());
        }
    }
}

/// What cannot be changed of an alert that mirrors a threshold: all but its value.
fn faults_of_mirrored(draft: &Draft) -> Vec<Fault> {
    let mut faults = Vec::new();
    for attribute in BALANCE_ALERTS.attributes {
        if attribute.name == "value" {
            if draft.value("value").is_some_and(Value::is_null) {
                faults.push(Fault::on("value", "can't be blank"));
            }
        } else if draft.changes(attribute.name) {
            let message = "cannot be changed: the alert mirrors a threshold of its account";
            faults.push(Fault::on(attribute.name, message));
        }
    }
    faults
}

/// A refusal of an account as one of the alert that mirrors its threshold. What is wrong with the
/// account elsewhere has no place in the alert's document.
fn as_of_alert(error: ApiError) -> ApiError {
    let ApiError::Refused(mut errors) = error else { return error };
    let thresholds = ["balance-low-threshold", "balance-high-threshold"];
    for error in &mut errors {
        let pointed = error.pointer.as_deref().and_then(|at| at.strip_prefix("/data/attributes/"));
        error.pointer = Some(if pointed.is_some_and(|name| thresholds.contains(&name)) {
            error.detail = format!("value - {}", error.title).into();
            "/data/attributes/value".to_owned()
        } else {
            "/data".to_owned()
        });
    }
    ApiError::Refused(errors)
}

async fn refuse_too_many(tx: &mut Tx, account: i64) -> Result<(), ApiError> {
    let alerts = tx.belonging(&BALANCE_ALERTS, ("account", account)).await?;
    if alerts.iter().filter(|alert| is_own(alert)).count() > ALERTS_MAX {
        let message = format!("has too many alerts (maximum is {ALERTS_MAX})");
        let fault = Fault::on("account", message);
        return Err(validation_errors(&BALANCE_ALERTS, &[fault]).into());
    }
    Ok(())
}

/// Keeps how many alerts the account has that look at every change of its balance.
async fn count(
    tx: &mut Tx,
    account: &Record,
    alert: &Record,
    change: i64,
) -> Result<(), StoreError> {
    if is_forecast(alert) {
        return Ok(());
    }
    let alerts = ACCOUNTS.value(account, "own-alerts").as_int().unwrap_or_default();
    let mut counted = account.clone();
    ACCOUNTS.set(&mut counted, "own-alerts", Value::Int(alerts + change));
    tx.update(&ACCOUNTS, account, &counted).await
}
