//! The journal on the wire: every change of a balance, and the journals of deleted accounts.

use billing::journal::EntryKind;
use jsonapi::{Numbering, Resource, Verbs, decimal, enumeration, integer, text, timestamp, to_one};

/// The journal entry.
pub static JOURNAL_ENTRIES: Resource = Resource {
    kind: "journal-entries",
    meaning: "One change of an account's balance; appended with it, and never changed after.",
    attributes: &[
        integer(
            "sequence",
            1,
            i64::MAX,
            "Number of the entry in its account, from 1, without gaps.",
        )
        .not_null(),
        enumeration("kind", EntryKind::WORDS, "Why the balance changed.")
            .filterable()
            .exact_filter()
            .unsortable(),
        decimal("amount", "What was added to the balance; negative was taken away.")
            .filterable()
            .unsortable(),
        decimal("balance-after", "The balance after this entry.").unsortable(),
        text("reference-type", "Type of the record that caused the entry.").unsortable(),
        text("reference-id", "Id of the record that caused the entry.").unsortable(),
        text("actor", "Operator who caused it; null is the system itself.").unsortable(),
        text("request-id", "Id of the request that caused it.").unsortable(),
        timestamp("created-at", "When; never before the account's entry before.")
            .filterable()
            .not_null(),
        text("hash", "SHA-256 over this entry and the hash of the account's entry before.")
            .unsortable(),
    ],
    relationships: &[to_one("account", "accounts").required().filterable()],
    verbs: Verbs::READ,
    cursors: true,
    numbering: Some(Numbering {
        owner: "account",
        number: "sequence",
        rises_with: &["created-at"],
    }),
    audited: false,
    ..Resource::PLAIN
};

/// The journal of a deleted account.
pub static JOURNAL_CLOSURES: Resource = Resource {
    kind: "journal-closures",
    meaning: "How the journal of a deleted account stood: closed, its entries are kept.",
    attributes: &[
        integer("account-id", 1, i64::MAX, "Id that the account had; no other account gets it.")
            .filterable(),
        text("account-name", "Name that the account had.").filterable().exact_filter(),
        integer("sequence", 1, i64::MAX, "Number of the last entry."),
        decimal("balance", "The last balance."),
        text("hash", "Hash of the last entry.").unsortable(),
        timestamp("last-entry-at", "When the last entry was made."),
        timestamp("closed-at", "When the account was deleted.").filterable(),
    ],
    verbs: Verbs::READ,
    audited: false,
    ..Resource::PLAIN
};
