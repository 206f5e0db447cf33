//! The service, as far as transactions name it (contract, resources 11 and 13).

use jsonapi::{Resource, Verbs, text, to_one};

/// The service.
pub static SERVICES: Resource = Resource {
    kind: "services",
    meaning: "A recurring charge of an account.",
    attributes: &[text("name", "Name.")],
    relationships: &[to_one("account", "accounts").required()],
    verbs: Verbs::NONE,
    ..Resource::PLAIN
};
