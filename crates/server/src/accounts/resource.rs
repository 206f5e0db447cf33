//! Accounts on the wire (contract, resources 1 to 3).

use decimal::Decimal;
use jsonapi::{
    Attribute, Resource, SelfLink, Verbs, decimal, id_list, integer, text, timestamp, to_one, uuid,
};

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
        timestamp("next-invoice-at", "End of the current invoice period.").internal(),
        integer("next-invoice-type-id", 1, 3, "Type of the next invoice.").internal(),
    ],
    relationships: &[
        to_one("contractor", "contractors").required().filterable(),
        to_one("invoice-template", "invoice-templates").filterable(),
    ],
    ..Resource::PLAIN
};

/// The balance alone, addressed by the account's external id.
pub static BALANCES: Resource = Resource {
    kind: "balances",
    meaning: "The balance of the account with this external id; setting it is an adjustment.",
    attributes: &[decimal("balance", "The new balance.")],
    verbs: Verbs::UPDATE,
    self_link: SelfLink::Collection,
    ..Resource::PLAIN
};

/// A signed change of a balance, addressed by the account's own id.
pub static BALANCE_CORRECTION: Resource = Resource {
    kind: "balance-correction",
    meaning: "A signed change of the balance of the account with this id.",
    attributes: &[
        decimal("correction", "What to add; negative takes away.").shown_when_set(),
        text("name", "The account's name.").read_only(),
        decimal("balance", "The balance after the correction.").read_only(),
    ],
    verbs: Verbs::UPDATE,
    self_link: SelfLink::Collection,
    ..Resource::PLAIN
};
