//! A small API for tests: every kind of attribute, every sort of resource.
//!
//! Compiled into the unit tests, the property tests and the fuzz targets, which is why it names
//! the crate as strangers do.

use ::decimal::Decimal;
use jsonapi::{
    Api, Attribute, Numbering, OnDelete, Relationship, Resource, SelfLink, Verbs, boolean, decimal,
    enumeration, id_list, integer, json, text, timestamp, to_one, uuid,
};

/// Everything below.
pub static API: Api = Api {
    prefix: "/api/test",
    resources: &[
        &ACCOUNTS,
        &CONTRACTORS,
        &MAILERS,
        &TEMPLATES,
        &ZONES,
        &BALANCES,
        &ENTRIES,
        &REASONS,
    ],
};

/// All kinds of attributes.
pub static ACCOUNTS: Resource = Resource {
    kind: "accounts",
    meaning: "Who pays.",
    attributes: &[
        text("name", "Name.").required().unique().filterable().exact_filter(),
        decimal("balance", "Money.").read_only().or_decimal(Decimal::ZERO).filterable(),
        decimal("min-balance", "Least money.").required().or_decimal(Decimal::ZERO).filterable(),
        decimal("vat", "Percent.").filterable(),
        integer("external-id", i64::MIN, i64::MAX, "Their id.").filterable(),
        integer("total-capacity", 1, 32_767, "Calls.").digits_only(),
        integer("max-call-duration", 1, 2_147_483_647, "Seconds."),
        integer("invoice-period-id", 1, 6, "Period.").one_of(&[1, 2, 6]),
        id_list("send-invoices-to", "Contacts.").unsortable(),
        boolean("enabled", "Whether in use.").or_bool(true).filterable(),
        uuid("uuid", "Name for machines.").filterable(),
        timestamp("opened-at", "Opening.").filterable(),
        enumeration("state", &["New", "Paid"], "State.").filterable(),
        Attribute { updatable: false, ..text("currency", "Code.") },
        text("secret", "Password.").write_only().unsortable(),
        text("remark", "Ours.").shown_when_set(),
        enumeration("rank", &["low", "high"], "Ours, for those who ask.")
            .on_request()
            .read_only()
            .filterable(),
        json("history", "What was."),
        text("search-key", "Folded name.").internal(),
    ],
    relationships: &[
        to_one("contractor", "contractors").required().filterable(),
        to_one("invoice-template", "invoice-templates").filterable(),
        Relationship { updatable: false, ..to_one("parent", "accounts") },
    ],
    ..Resource::PLAIN
};

/// A relationship to follow further.
pub static CONTRACTORS: Resource = Resource {
    kind: "contractors",
    meaning: "Whom we deal with.",
    attributes: &[text("name", "Name.").required().exact_filter()],
    relationships: &[to_one("mailer", "mailers")],
    on_delete: &[OnDelete::RestrictedBy { kind: "accounts", relationship: "contractor" }],
    ..Resource::PLAIN
};

/// Sorted by name, the largest first.
pub static MAILERS: Resource = Resource {
    kind: "mailers",
    meaning: "Who sends.",
    attributes: &[text("name", "Name.")],
    default_sort: "-name",
    ..Resource::PLAIN
};

/// A list that only grows, walked by cursor.
pub static ENTRIES: Resource = Resource {
    kind: "entries",
    meaning: "What moved money.",
    attributes: &[
        integer("sequence", i64::MIN, i64::MAX, "Place in the account.").not_null().filterable(),
        timestamp("created-at", "When.").not_null(),
        timestamp("settled-at", "When it was final."),
        decimal("amount", "Money.").not_null(),
        text("code", "Word.").required().chars_max(8),
        json("detail", "What for.").filterable(),
    ],
    relationships: &[
        to_one("account", "accounts").required().filterable().as_key(),
        to_one("parent", "entries").filterable().as_key(),
        to_one("reason", "reasons"),
    ],
    verbs: Verbs::APPEND,
    cursors: true,
    numbering: Some(Numbering {
        owner: "account",
        number: "sequence",
        rises_with: &["created-at"],
    }),
    filterable_id: true,
    ..Resource::PLAIN
};

/// Known only as the other end of a relationship.
pub static REASONS: Resource = Resource {
    kind: "reasons",
    meaning: "Why.",
    attributes: &[text("name", "Name.")],
    verbs: Verbs::NONE,
    ..Resource::PLAIN
};

/// Under two paths.
pub static TEMPLATES: Resource = Resource {
    kind: "invoice-templates",
    alias: Some("invoice-template"),
    meaning: "What invoices look like.",
    attributes: &[text("name", "Name.")],
    ..Resource::PLAIN
};

/// Neither pages nor links.
pub static ZONES: Resource = Resource {
    kind: "timezones",
    meaning: "Names of zones.",
    attributes: &[text("name", "Name.").read_only()],
    verbs: Verbs::READ,
    paged: false,
    self_link: SelfLink::None,
    ..Resource::PLAIN
};

/// Below accounts, without a path of its own.
pub static BALANCES: Resource = Resource {
    kind: "balances",
    meaning: "An account's money.",
    attributes: &[decimal("balance", "Money.").required()],
    verbs: Verbs::UPDATE,
    self_link: SelfLink::Collection,
    ..Resource::PLAIN
};
