//! Events on the wire.

use jsonapi::{Resource, Verbs, json, text, timestamp, to_one};

/// The event.
pub static EVENTS: Resource = Resource {
    kind: "events",
    meaning: "Something worth telling; written in the transaction that made it happen.",
    attributes: &[
        text("event-type", "What happened, as the reference spells it.")
            .filterable()
            .exact_filter()
            .unsortable(),
        text("event-type-alias", "What happened, spelled right.")
            .filterable()
            .exact_filter()
            .unsortable(),
        json("data", "The account as it was left, names as the reference's events have them.")
            .filterable(),
        timestamp("created-at", "When.").filterable().not_null(),
        json("document", "The account's document, as webhooks get it.").internal(),
    ],
    relationships: &[to_one("account", "accounts").filterable()],
    verbs: Verbs::READ,
    cursors: true,
    audited: false,
    ..Resource::PLAIN
};
