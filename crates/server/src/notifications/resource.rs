//! The log of balance notifications on the wire.

use jsonapi::{Resource, Verbs, decimal, integer, timestamp, to_one};

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
