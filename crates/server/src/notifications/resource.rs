//! Events, and the log of balance notifications, on the wire.

use jsonapi::{Resource, Verbs, decimal, integer, json, text, timestamp, to_one};

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
    ],
    relationships: &[to_one("account", "accounts").required().filterable()],
    verbs: Verbs::READ,
    cursors: true,
    audited: false,
    ..Resource::PLAIN
};

/// One row of the balance notification log (contract, resources 20).
pub static BALANCE_NOTIFICATIONS: Resource = Resource {
    kind: "balance-notifications",
    meaning: "A balance that crossed a threshold; kept for a while, longer than the account.",
    attributes: &[
        integer(
            "event-id",
            1,
            4,
            "1 low threshold cleared, 2 high cleared, 3 low reached, 4 high reached.",
        )
        .filterable(),
        decimal("balance", "The balance that crossed it.").filterable(),
        decimal("balance-low-threshold", "The low threshold then."),
        decimal("balance-high-threshold", "The high threshold then."),
        timestamp("created-at", "When.").filterable(),
    ],
    relationships: &[to_one("account", "accounts").required().filterable()],
    verbs: Verbs::READ,
    audited: false,
    ..Resource::PLAIN
};
