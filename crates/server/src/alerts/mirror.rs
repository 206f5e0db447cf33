//! The alerts that mirror an account's two thresholds: whoever writes the account keeps them in
//! step, in its transaction.

use billing::alert::AlertKind;
use billing::threshold::ThresholdState;
use decimal::Decimal;
use jiff::Timestamp;
use jsonapi::{Record, Value};
use store::{StoreError, Tx};

use super::resource::{ACCOUNT, BALANCE_ALERTS};
use super::rules::{is_forecast, is_own, is_raised, kind_of};
use crate::accounts::{ACCOUNTS, threshold_state, thresholds};

/// A threshold, and whether the balance is beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mirrored {
    value: Decimal,
    is_raised: bool,
}

/// What the alerts of each kind are to show of an account.
fn mirrored(account: &Record) -> [(AlertKind, Option<Mirrored>); 2] {
    let (thresholds, state) = (thresholds(account), threshold_state(account));
    let side = |value: Option<Decimal>, beyond| {
        value.map(|value| Mirrored { value, is_raised: state == beyond })
    };
    [
        (AlertKind::Low, side(thresholds.low, ThresholdState::Low)),
        (AlertKind::High, side(thresholds.high, ThresholdState::High)),
    ]
}

/// Brings the alerts that mirror an account's thresholds in step with it, when it is new or has
/// changed. Costs nothing where thresholds and state are as before.
///
/// # Errors
/// When a statement fails.
pub async fn mirror(
    tx: &mut Tx,
    before: Option<&Record>,
    after: &Record,
    now: Timestamp,
) -> Result<(), StoreError> {
    let before = before.map(mirrored);
    for (side, (kind, is)) in mirrored(after).into_iter().enumerate() {
        let was = before.and_then(|before| before[side].1);
        if was == is {
            continue;
        }
        let stored = match was {
            Some(_) => stored(tx, after.key(), kind).await?,
            None => None,
        };
        match (stored, is) {
            (Some(alert), Some(is)) => {
                let mut next = alert.clone();
                show(&mut next, is, now);
                tx.update(&BALANCE_ALERTS, &alert, &next).await?;
            }
            (Some(alert), None) => tx.delete(&BALANCE_ALERTS, &alert).await?,
            (None, Some(is)) => insert(tx, after.key(), kind, is, now).await?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// The alert of this kind that mirrors the account's threshold.
async fn stored(tx: &mut Tx, account: i64, kind: AlertKind) -> Result<Option<Record>, StoreError> {
    let alerts = tx.belonging(&BALANCE_ALERTS, ("account", account)).await?;
    Ok(alerts.into_iter().find(|alert| !is_own(alert) && kind_of(alert) == Some(kind)))
}

async fn insert(
    tx: &mut Tx,
    account: i64,
    kind: AlertKind,
    is: Mirrored,
    now: Timestamp,
) -> Result<(), StoreError> {
    let links = vec![Some(account)];
    let mut alert = Record { id: jsonapi::Id::Int(0), values: BALANCE_ALERTS.defaults(), links };
    BALANCE_ALERTS.set(&mut alert, "kind", Value::text(kind.name()));
    BALANCE_ALERTS.set(&mut alert, "origin", Value::text(ACCOUNT));
    show(&mut alert, is, now);
    tx.insert(&BALANCE_ALERTS, alert.values, alert.links).await?;
    Ok(())
}

fn show(alert: &mut Record, is: Mirrored, now: Timestamp) {
    BALANCE_ALERTS.set(alert, "value", Value::Decimal(is.value));
    if is.is_raised != is_raised(alert) {
        BALANCE_ALERTS.set(alert, "raised", Value::Bool(is.is_raised));
        BALANCE_ALERTS.set(alert, "changed-at", Value::Time(now));
    }
}

/// The attribute of an account that an alert mirrors.
pub(super) fn attribute_of(alert: &Record) -> &'static str {
    match kind_of(alert) {
        Some(AlertKind::High) => "balance-high-threshold",
        _ => "balance-low-threshold",
    }
}

/// What is found of one account's alerts, to be compared with what the account says of them.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    mirrored: Vec<(AlertKind, Option<Mirrored>)>,
    looking: i64,
}

impl Tally {
    /// Takes an alert of the account.
    pub fn add(&mut self, alert: &Record) {
        if is_own(alert) {
            self.looking += i64::from(!is_forecast(alert));
        } else if let Some(kind) = kind_of(alert) {
            let value = BALANCE_ALERTS.value(alert, "value").as_decimal().unwrap_or_default();
            let is_raised = is_raised(alert);
            self.mirrored.push((kind, Some(Mirrored { value, is_raised })));
        }
    }

    /// Where the alerts are not what the account says.
    #[must_use]
    pub fn faults(&self, account: &Record) -> Vec<String> {
        let mut faults = Vec::new();
        for (kind, due) in mirrored(account) {
            let found: Vec<_> = self.mirrored.iter().filter(|(of, _)| *of == kind).collect();
            let is_right = match due {
                None => found.is_empty(),
                Some(_) => matches!(found.as_slice(), [(_, only)] if *only == due),
            };
            if !is_right {
                faults.push(format!("the alert of the {} threshold is not in step", kind.name()));
            }
        }
        let said = ACCOUNTS.value(account, "own-alerts").as_int().unwrap_or_default();
        if said != self.looking {
            let looking = self.looking;
            faults.push(format!("own-alerts is {said}, but there are {looking} such alerts"));
        }
        faults
    }
}
