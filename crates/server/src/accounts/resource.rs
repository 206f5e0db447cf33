//! Accounts on the wire (contract, resources 1).

use billing::limits::LimitState;
use decimal::Decimal;
use jsonapi::{
    Attribute, OnDelete, Resource, decimal, enumeration, id_list, integer, text, timestamp, to_one,
    uuid,
};

use super::limits::judge_limits;

const fn money(name: &'static str, meaning: &'static str) -> Attribute {
    decimal(name, meaning).filterable()
}

const fn capacity(name: &'static str, meaning: &'static str) -> Attribute {
    integer(name, 1, 32_767, meaning).digits_only().filterable()
}

/// The account.
pub static ACCOUNTS: Resource = Resource {
    kind: "accounts",
    meaning: "A contractor's balance with its limits, capacities, alerts and invoice settings.",
    attributes: &[
        text("name", "Unique name.").required().unique().filterable().exact_filter(),
        money("balance", "What the contractor has; moved by the balance endpoints, never here.")
            .or_decimal(Decimal::ZERO)
            .read_only(),
        money("min-balance", "Floor of the balance; a negative one is a credit limit.")
            .or_decimal(Decimal::ZERO),
        money("max-balance", "Ceiling of the balance, not below the floor.")
            .or_decimal(Decimal::ZERO),
        money("vat", "Value added tax in percent, 0 to 100.").or_decimal(Decimal::ZERO),
        money("balance-low-threshold", "Alert when the balance falls below this.").unsortable(),
        money("balance-high-threshold", "Alert when the balance rises above this.").unsortable(),
        id_list("send-balance-notifications-to", "Ids of the contacts who get balance alerts.")
            .unsortable(),
        money("destination-rate-limit", "Highest rate per minute that calls may cost."),
        integer("max-call-duration", 1, 2_147_483_647, "Longest call, in seconds.").filterable(),
        integer("external-id", i64::MIN, i64::MAX, "The integrator's own unique id.")
            .unique()
            .filterable(),
        uuid("uuid", "Unique; generated when not given.").unique().filterable(),
        capacity("origination-capacity", "Calls at once as the customer; null is no limit."),
        capacity("termination-capacity", "Calls at once as the vendor; null is no limit."),
        capacity("total-capacity", "Calls at once in both roles; null is no limit."),
        id_list("send-invoices-to", "Ids of the contacts who get invoices."),
        integer("invoice-period-id", 1, 7, "Invoice period; null is none.")
            .one_of(&[1, 2, 3, 4, 5, 6, 7]),
        text("timezone", "IANA zone that days and invoice periods follow.").or_text("UTC"),
        timestamp("next-invoice-at", "End of the current invoice period.")
            .on_request()
            .read_only()
            .unsortable(),
        integer("next-invoice-type-id", 1, 3, "Type of the next invoice.").internal(),
        integer("journal-sequence", 0, i64::MAX, "Number of the last journal entry.")
            .internal()
            .unaudited()
            .or_int(0),
        text("journal-hash", "Hash of the last journal entry.").internal().unaudited().or_text(""),
        timestamp("journal-at", "Time of the last journal entry.").internal().unaudited(),
        integer(
            "threshold-state",
            0,
            2,
            "Threshold that the balance is beyond: 0 is none, 1 the low one, 2 the high one.",
        )
        .one_of(&[0, 1, 2])
        .on_request()
        .read_only()
        .unsortable()
        .unaudited()
        .filterable()
        .or_int(0),
        integer("own-alerts", 0, i64::MAX, "Alerts that look at every change of the balance.")
            .internal()
            .unaudited()
            .or_int(0),
        timestamp("notifications-muted-until", "Until when nobody is mailed of the balance.")
            .shown_when_set()
            .unsortable(),
        enumeration(
            "limit-state",
            LimitState::NAMES,
            "Where the balance is: blocked (on the floor or below), near-floor or near-ceiling \
             (within a tenth of the span between them), at-ceiling (on the ceiling or above); null \
             in between.",
        )
        .on_request()
        .read_only()
        .unsortable()
        .unaudited()
        .filterable(),
    ],
    relationships: &[
        to_one("contractor", "contractors").required().filterable(),
        to_one("invoice-template", "invoice-templates").filterable(),
    ],
    on_delete: &[
        OnDelete::Takes { kind: "payments", relationship: "account" },
        OnDelete::Takes { kind: "transactions", relationship: "account" },
        OnDelete::Takes { kind: "services", relationship: "account" },
        OnDelete::Takes { kind: "balance-alerts", relationship: "account" },
    ],
    derive: Some(judge_limits),
    ..Resource::PLAIN
};
