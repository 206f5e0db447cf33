//! Time zones on the wire (contract, resources 18): a list that no database holds.

use jsonapi::{Resource, SelfLink, Verbs, text};

/// The time zone.
pub static TIMEZONES: Resource = Resource {
    kind: "timezones",
    meaning: "A time zone that accounts may be in; the id is the name.",
    attributes: &[text("name", "IANA name.").exact_filter()],
    verbs: Verbs::READ,
    paged: false,
    self_link: SelfLink::None,
    keyed_by_text: true,
    audited: false,
    ..Resource::PLAIN
};
