//! Payments on the wire (contract, resources 10).

use jsonapi::{Resource, Value, Verbs, decimal, enumeration, text, timestamp, to_one};

use crate::clock::Moment;
use crate::rest::Draft;

const STATUSES: &[&str] = &["completed", "pending", "canceled", "rolled_back"];
const TYPES: &[&str] = &["manual", "cryptomus"];

/// The payment.
pub static PAYMENTS: Resource = Resource {
    kind: "payments",
    meaning: "Money that came in, or with a negative amount went out; moves the balance at once.",
    attributes: &[
        timestamp("created-at", "When.").read_only().filterable(),
        decimal("amount", "What is added to the balance; negative is taken away; never 0.")
            .required()
            .nonzero()
            .filterable(),
        text("notes", "Shown to the customer.").filterable().unsortable(),
        text("private-notes", "Never shown to the customer.").filterable().unsortable(),
        enumeration("status", STATUSES, "How far it has come.")
            .or_text("completed")
            .read_only()
            .filterable()
            .unsortable(),
        enumeration("type-name", TYPES, "How it was made.")
            .or_text("manual")
            .read_only()
            .filterable()
            .unsortable(),
        decimal("balance-before-payment", "The balance just before; null while not applied.")
            .read_only()
            .unsortable(),
        timestamp("rolledback-at", "When it was rolled back.")
            .read_only()
            .filterable()
            .unsortable(),
        text("external-id", "The integrator's own id, unique among the account's payments.")
            .chars_max(255)
            .unique_within("account")
            .filterable()
            .exact_filter()
            .unsortable()
            .shown_when_set(),
    ],
    relationships: &[to_one("account", "accounts").required().filterable()],
    verbs: Verbs::APPEND,
    filterable_id: true,
    ..Resource::PLAIN
};

/// Says when.
pub fn prepare(draft: &mut Draft, moment: Moment) {
    draft.set("created-at", Value::Time(moment.now));
}
