//! From a draft to the terms that `billing` judges, and back to faults.

use billing::account::{Given, Terms, refusals};
use billing::threshold::{self, ThresholdState, Thresholds};
use billing::{InvoicePeriod, next_invoice, timezone};
use decimal::Decimal;
use jiff::Timestamp;
use jsonapi::{Fault, Input, Record, Value};

use super::resource::ACCOUNTS;
use crate::clock::Moment;
use crate::rest::{Draft, Truth};

/// Every account rule that the draft breaks, in the order of the contract (protocol 6).
pub fn faults(draft: &Draft, truth: &Truth) -> Vec<Fault> {
    let resource = draft.resource;
    let truth = billing::account::Truth {
        contractor_missing: truth.is_missing(resource, "contractor"),
        invoice_template_missing: truth.is_missing(resource, "invoice-template"),
        name_taken: truth.is_taken(resource, "name"),
        uuid_taken: truth.is_taken(resource, "uuid"),
        external_id_taken: truth.is_taken(resource, "external-id"),
    };
    let refused = refusals(&terms(draft), truth);
    refused.into_iter().map(|(member, message)| Fault::on(member, message)).collect()
}

/// Every rule that a stored account breaks: one that has become invalid is not touched by what
/// moves balances (contract, resources 2, 3, 10 and 11).
#[must_use]
pub fn faults_of_stored(account: &Record) -> Vec<Fault> {
    let draft = Draft::of_update(&ACCOUNTS, account.clone(), &Input::default());
    faults(&draft, &Truth::unasked(&ACCOUNTS))
}

fn terms(draft: &Draft) -> Terms<'_> {
    Terms {
        has_contractor: draft.link("contractor").is_some(),
        name: given(draft, "name", Value::as_text),
        min_balance: money(draft, "min-balance"),
        max_balance: money(draft, "max-balance"),
        vat: money(draft, "vat"),
        balance_low_threshold: money(draft, "balance-low-threshold"),
        balance_high_threshold: money(draft, "balance-high-threshold"),
        destination_rate_limit: money(draft, "destination-rate-limit"),
        max_call_duration: given(draft, "max-call-duration", Value::as_int),
        external_id: given(draft, "external-id", Value::as_int),
        uuid: given(draft, "uuid", present),
        origination_capacity: given(draft, "origination-capacity", Value::as_int),
        termination_capacity: given(draft, "termination-capacity", Value::as_int),
        total_capacity: given(draft, "total-capacity", Value::as_int),
        invoice_period_id: given(draft, "invoice-period-id", Value::as_int),
        timezone: given(draft, "timezone", Value::as_text),
        send_invoices_to: given(draft, "send-invoices-to", present),
        send_balance_notifications_to: given(draft, "send-balance-notifications-to", present),
    }
}

fn money(draft: &Draft, name: &str) -> Given<Decimal> {
    given(draft, name, Value::as_decimal)
}

fn present(value: &Value) -> Option<()> {
    (!value.is_null()).then_some(())
}

fn given<'a, T>(draft: &'a Draft, name: &str, read: impl Fn(&'a Value) -> Option<T>) -> Given<T> {
    match draft.given(name) {
        Ok(value) => Ok(read(value)),
        Err(unfit) => Err(unfit.0.clone()),
    }
}

/// The thresholds of an account.
#[must_use]
pub fn thresholds(account: &Record) -> Thresholds {
    let threshold = |name| ACCOUNTS.value(account, name).as_decimal();
    Thresholds {
        low: threshold("balance-low-threshold"),
        high: threshold("balance-high-threshold"),
    }
}

/// The threshold that an account's balance was last found beyond.
#[must_use]
pub fn threshold_state(account: &Record) -> ThresholdState {
    let id = ACCOUNTS.value(account, "threshold-state").as_int();
    id.and_then(ThresholdState::from_id).unwrap_or_default()
}

/// Whether nobody is to be mailed of the account's balance now.
#[must_use]
pub fn is_muted(account: &Record, now: Timestamp) -> bool {
    let until = ACCOUNTS.value(account, "notifications-muted-until").as_time();
    until.is_some_and(|until| now < until)
}

/// Gives a new account its uuid, and follows a change of period or zone with the end of the
/// current invoice period (contract, resources 1.4 with D13).
pub fn prepare(draft: &mut Draft, moment: Moment) {
    judge_thresholds(draft);
    if draft.before.is_none() && draft.value("uuid").is_some_and(Value::is_null) {
        draft.set("uuid", Value::Uuid(moment.uuid));
    }
    if !draft.changes("invoice-period-id") && !draft.changes("timezone") {
        return;
    }
    let period = draft.value("invoice-period-id").and_then(Value::as_int);
    let zone = draft.value("timezone").and_then(Value::as_text);
    let next = period.and_then(InvoicePeriod::from_id).zip(zone.and_then(timezone::find));
    let (at, invoice_type) = match next {
        None => (Value::Null, Value::Null),
        Some((period, zone)) => {
            let next = next_invoice(period, &zone, moment.now, None);
            (Value::Time(next.at), Value::Int(next.invoice_type.id()))
        }
    };
    draft.set("next-invoice-at", at);
    draft.set("next-invoice-type-id", invoice_type);
}

/// Finds out anew which threshold the balance is beyond, when a threshold changes (contract,
/// resources 20 with D14). Whoever writes the account announces what was crossed.
fn judge_thresholds(draft: &mut Draft) {
    let changed = draft.changes("balance-low-threshold") || draft.changes("balance-high-threshold");
    if let Some(after) = changed.then(|| draft.settled().ok()).flatten() {
        let before = draft.before.as_ref().map(threshold_state).unwrap_or_default();
        let balance = ACCOUNTS.value(&after, "balance").as_decimal().unwrap_or_default();
        let pass = threshold::pass(before, thresholds(&after), balance);
        draft.set("threshold-state", Value::Int(pass.state.id()));
    }
}
