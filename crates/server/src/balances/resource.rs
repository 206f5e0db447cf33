//! Balances on the wire (contract, resources 2 and 3).

use jsonapi::{Resource, SelfLink, Verbs, decimal, text};

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
