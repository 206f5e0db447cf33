//! Transactions on the wire (contract, resources 11).

use jsonapi::{Resource, Value, Verbs, decimal, text, timestamp, to_one, uuid};

use crate::clock::Moment;
use crate::rest::Draft;

/// The transaction.
pub static TRANSACTIONS: Resource = Resource {
    kind: "transactions",
    meaning: "A charge: a positive amount is taken from the balance, a negative one is credited.",
    attributes: &[
        text("description", "What for.").filterable().unsortable(),
        decimal("amount", "What is taken from the balance; negative is credited; never 0.")
            .required()
            .nonzero()
            .filterable(),
        timestamp("created-at", "When.").read_only().filterable(),
        uuid("uuid", "Generated.").read_only().unique().filterable().unsortable(),
    ],
    relationships: &[
        to_one("account", "accounts").required().as_key(),
        to_one("service", "services").as_key(),
    ],
    verbs: Verbs::APPEND,
    audited: false,
    ..Resource::PLAIN
};

/// Says when, and gives it its uuid.
pub fn prepare(draft: &mut Draft, moment: Moment) {
    draft.set("created-at", Value::Time(moment.now));
    draft.set("uuid", Value::Uuid(moment.uuid));
}
