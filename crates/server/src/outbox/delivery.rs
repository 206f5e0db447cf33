//! Deliveries on the wire: what was told to whom, and how that went.

use jsonapi::{Resource, Verbs, enumeration, integer, json, text, timestamp, to_one};

/// By mail.
pub const EMAIL: &str = "email";
/// By a request to a webhook.
pub const WEBHOOK: &str = "webhook";
/// It waits for its first or next attempt.
pub const PENDING: &str = "pending";
/// The receiver has taken it.
pub const DELIVERED: &str = "delivered";
/// It is not tried any more.
pub const DEAD: &str = "dead";
/// It was not to be sent, and the error says why.
pub const SUPPRESSED: &str = "suppressed";

/// One event on its way to one receiver.
pub static DELIVERIES: Resource = Resource {
    kind: "deliveries",
    meaning: "An event on its way to a webhook or a contact; the answer is that to the last attempt.",
    attributes: &[
        enumeration("channel", &[EMAIL, WEBHOOK], "How it goes.").filterable().unsortable(),
        enumeration(
            "state",
            &[PENDING, DELIVERED, DEAD, SUPPRESSED],
            "How far it is. Dead ones are not tried any more, suppressed ones were not to be sent.",
        )
        .filterable()
        .unsortable(),
        integer("attempts", 0, i64::MAX, "How often it was tried.").unsortable(),
        timestamp("created-at", "When it was due.").filterable().not_null(),
        timestamp("attempted-at", "When it was last tried.").unsortable(),
        json("request", "What was sent: address, headers and body, or the subject of a mail."),
        integer("response-status", 0, i64::MAX, "Status of the answer.").filterable().unsortable(),
        text("response-body", "The beginning of the answer, 1 KB at most.").unsortable(),
        integer("duration-ms", 0, i64::MAX, "How long the last attempt took, in milliseconds.")
            .unsortable(),
        text("error", "Why it was not taken, or is not to be sent.").filterable().unsortable(),
        text("line", "The line it stands in.").internal(),
        timestamp("queued-at", "Since when it stands there.").internal(),
    ],
    relationships: &[
        to_one("event", "events").filterable(),
        to_one("webhook", "webhooks").filterable(),
        to_one("contact", "contacts").filterable(),
        to_one("account", "accounts"),
    ],
    verbs: Verbs::READ,
    cursors: true,
    audited: false,
    is_queue: true,
    ..Resource::PLAIN
};
