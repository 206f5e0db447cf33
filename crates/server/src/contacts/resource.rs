//! Contacts on the wire (contract, resources 5).

use jsonapi::{OnDelete, Resource, text, to_one};

/// The contact.
pub static CONTACTS: Resource = Resource {
    kind: "contacts",
    meaning: "Somebody at a contractor who gets mail.",
    attributes: &[
        text("email", "Address; its form is not checked.").not_null().filterable(),
        text("notes", "Free text.").filterable(),
    ],
    relationships: &[to_one("contractor", "contractors")],
    visible_with: Some("contractor"),
    on_delete: &[
        OnDelete::LeavesList { kind: "accounts", attribute: "send-invoices-to" },
        OnDelete::LeavesList { kind: "accounts", attribute: "send-balance-notifications-to" },
        OnDelete::LeavesList { kind: "balance-alerts", attribute: "recipients" },
    ],
    ..Resource::PLAIN
};
