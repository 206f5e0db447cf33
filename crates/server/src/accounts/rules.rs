//! From a draft to the terms that `billing` judges, and back to faults.

use billing::account::{Given, Terms, refusals};
use billing::{InvoicePeriod, next_invoice, timezone};
use decimal::Decimal;
use jsonapi::{Fault, Value};

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

/// Gives a new account its uuid, and follows a change of period or zone with the end of the
/// current invoice period (contract, resources 1.4 with D13).
pub fn prepare(draft: &mut Draft, moment: Moment) {
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
