//! Webhooks on the wire.

use jsonapi::{Attribute, OnDelete, Resource, boolean, text, timestamp, words};

use crate::events::WANTED;

/// Longest address of a webhook, in characters.
const URL_CHARS_MAX: usize = 2_000;
const SECRET: Attribute =
    text("secret", "The key of its signatures: `whsec_`, and 32 bytes in base64. Told once.");

const fn attributes(secret: Attribute) -> [Attribute; 8] {
    [
        text("url", "Where to: http or https.").required().chars_max(URL_CHARS_MAX).filterable(),
        words("events", WANTED, "Which events, by name; `*` is all of them.").required(),
        boolean("active", "Whether events are posted.").required().or_bool(true).filterable(),
        text("description", "Free text.").filterable(),
        secret,
        text("previous-secret", "The key before, encrypted.").internal().unaudited(),
        timestamp("previous-secret-until", "Until when the key before signs, too.")
            .internal()
            .unaudited(),
        timestamp("created-at", "When.").read_only().filterable(),
    ]
}

/// Where events are posted to. The secret is encrypted.
pub static WEBHOOKS: Resource = Resource {
    kind: "webhooks",
    meaning: "An address that events are posted to, signed.",
    attributes: &attributes(SECRET.internal().unaudited()),
    on_delete: &[OnDelete::Takes { kind: "deliveries", relationship: "webhook" }],
    standing: true,
    ..Resource::PLAIN
};

/// The same as it is shown when a secret was made: with that secret, as whoever signs needs it.
pub static WEBHOOKS_WITH_SECRET: Resource = Resource {
    kind: WEBHOOKS.kind,
    meaning: WEBHOOKS.meaning,
    attributes: &attributes(SECRET.read_only().unsortable().unaudited()),
    ..Resource::PLAIN
};
