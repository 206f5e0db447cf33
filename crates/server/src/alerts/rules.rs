//! From records to what `billing` judges, and back to faults.

use billing::account::Given;
use billing::alert::{AlertKind, Level, Limit, Terms, refusals};
use decimal::Decimal;
use jsonapi::{Fault, Record, Value};

use super::resource::{BALANCE_ALERTS, OWN};
use crate::accounts::ACCOUNTS;
use crate::rest::{Draft, Truth};

/// Every rule that the draft breaks.
pub(super) fn faults(draft: &Draft, truth: &Truth) -> Vec<Fault> {
    let mut faults = draft.shape_faults(truth);
    let refused = refusals(&terms(draft));
    faults.extend(refused.into_iter().map(|(member, message)| Fault::on(member, message)));
    faults
}

fn terms(draft: &Draft) -> Terms {
    let money = |name| given(draft, name, Value::as_decimal);
    let kind = draft.value("kind").and_then(Value::as_text);
    Terms {
        kind: kind.and_then(AlertKind::named),
        value: money("value"),
        percentage: money("percentage"),
        hysteresis: money("hysteresis"),
        pace_hours: given(draft, "pace-hours", Value::as_int),
        within_hours: given(draft, "within-hours", Value::as_int),
    }
}

fn given<T>(draft: &Draft, name: &str, read: impl Fn(&Value) -> Option<T>) -> Given<T> {
    draft.given(name).map(read).map_err(|unfit| unfit.0.clone())
}

/// Whether an alert stands for itself.
#[must_use]
pub fn is_own(alert: &Record) -> bool {
    BALANCE_ALERTS.value(alert, "origin").as_text() == Some(OWN)
}

/// Whether an alert forecasts, rather than to look at each balance.
#[must_use]
pub fn is_forecast(alert: &Record) -> bool {
    kind_of(alert) == Some(AlertKind::Forecast)
}

/// Whether an alert is raised.
#[must_use]
pub fn is_raised(alert: &Record) -> bool {
    BALANCE_ALERTS.value(alert, "raised") == &Value::Bool(true)
}

pub(super) fn kind_of(alert: &Record) -> Option<AlertKind> {
    BALANCE_ALERTS.value(alert, "kind").as_text().and_then(AlertKind::named)
}

/// What raises and clears a low or high alert of this account.
pub(super) fn limit_of(alert: &Record, account: &Record) -> Option<Limit> {
    let is_high = match kind_of(alert)? {
        AlertKind::Low => false,
        AlertKind::High => true,
        AlertKind::Forecast => return None,
    };
    let number = |name| BALANCE_ALERTS.value(alert, name).as_decimal();
    let level =
        number("value").map(Level::Value).or_else(|| number("percentage").map(Level::Percentage));
    let threshold = level.and_then(|level| level.threshold(money(account, "min-balance")));
    Some(Limit { is_high, threshold, hysteresis: number("hysteresis").unwrap_or_default() })
}

pub(super) fn money(account: &Record, name: &str) -> Decimal {
    ACCOUNTS.value(account, name).as_decimal().unwrap_or_default()
}
