//! Mails on the wire: every attempt to send one.

use jsonapi::{Resource, Verbs, integer, json, text, timestamp, to_one};

/// One attempt to send a mail (contract, resources 20).
pub static EMAIL_LOGS: Resource = Resource {
    kind: "email-logs",
    meaning: "An attempt to send a mail.",
    attributes: &[
        text("from-address", "Sender; null where there was no mail server.").unsortable(),
        text("to-address", "Recipient.").filterable().unsortable(),
        text("subject", "Subject.").filterable().unsortable(),
        text("body", "Text.").unsortable(),
        json("attachments", "Names of the attachments."),
        timestamp("created-at", "When it was tried.").filterable().not_null(),
        timestamp("sent-at", "When the mail server took it; null when it did not.")
            .filterable()
            .unsortable(),
        integer("attempt", 1, i64::MAX, "Which attempt it was.").unsortable(),
        text("response", "What the mail server said.").unsortable(),
        text("error", "Why it was not sent.").filterable().unsortable(),
        text("message-id", "The mail's Message-ID; null where there was no mail server.")
            .filterable()
            .unsortable(),
    ],
    relationships: &[
        to_one("contact", "contacts").filterable(),
        to_one("smtp-connection", "smtp-connections"),
        to_one("event", "events").filterable(),
    ],
    verbs: Verbs::READ,
    cursors: true,
    audited: false,
    ..Resource::PLAIN
};
