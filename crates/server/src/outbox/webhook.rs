//! Webhooks on the wire.

use jsonapi::{Resource, boolean, text, timestamp, words};

use crate::events::WANTED;

/// Longest address of a webhook, in characters.
const URL_CHARS_MAX: usize = 2_000;

/// Where events are posted to.
pub static WEBHOOKS: Resource = Resource {
    kind: "webhooks",
    meaning: "An address that events are posted to, signed.",
    attributes: &[
        text("url", "Where to: http or https.").required().chars_max(URL_CHARS_MAX).filterable(),
        words("events", WANTED, "Which events, by name; `*` is all of them.").required(),
        boolean("active", "Whether events are posted.").required().or_bool(true).filterable(),
        text("description", "Free text.").filterable(),
        text("secret", "The key of its signatures, encrypted.").internal().unaudited(),
        text("previous-secret", "The key before.").internal().unaudited(),
        timestamp("previous-secret-until", "Until when the key before signs, too.")
            .internal()
            .unaudited(),
        timestamp("created-at", "When.").read_only().filterable(),
    ],
    standing: true,
    ..Resource::PLAIN
};
