//! Audit records on the wire: who changed what, when and from where.

use jsonapi::{Resource, Verbs, enumeration, integer, json, text, timestamp};

/// The audit record.
pub static AUDIT_RECORDS: Resource = Resource {
    kind: "audit-records",
    meaning: "One create, update or delete of one record, written in the same transaction.",
    attributes: &[
        enumeration("event", &["create", "update", "delete"], "What happened.").filterable(),
        text("item-type", "Type of the record.").filterable().exact_filter(),
        integer("item-id", i64::MIN, i64::MAX, "Id of the record.").filterable(),
        text("actor", "Operator who did it; null is the system itself.")
            .filterable()
            .exact_filter(),
        text("ip", "Address the request came from.").filterable(),
        text("request-id", "Id of the request.").filterable(),
        timestamp("created-at", "When.").filterable(),
        json("before", "State before: everything for a delete, what changed for an update."),
        json("after", "State after: everything for a create, what changed for an update."),
    ],
    verbs: Verbs::READ,
    audited: false,
    ..Resource::PLAIN
};
