//! The journal of an account's balance: appended to, never edited. Each entry carries the balance
//! after it and a hash over itself and the hash before it, so that [`Chain`] can tell whether the
//! journal is still what was written, and whether it leads to where the account stands.
//! Where entries are kept is not known here.
//!
//! [`Chain`]: crate::chain::Chain

use std::io::{self, Write};

use decimal::{Decimal, TEXT_LEN_MAX};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// Why a balance moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A payment came in, or was taken back.
    Payment,
    /// An operator charged or credited the account.
    Transaction,
    /// The balance was corrected by an amount.
    Correction,
    /// The balance was set to an amount.
    Adjustment,
    /// A service was charged.
    Service,
    /// A call was charged.
    Call,
    /// What an earlier entry moved was moved back.
    Rollback,
    /// The balance that the account had before it had a journal.
    Opening,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 8] = [
        EntryKind::Payment,
        EntryKind::Transaction,
        EntryKind::Correction,
        EntryKind::Adjustment,
        EntryKind::Service,
        EntryKind::Call,
        EntryKind::Rollback,
        EntryKind::Opening,
    ];

    /// The words of [`EntryKind::ALL`], as they stand on the wire, in rows and in hashes.
    pub const WORDS: &'static [&'static str] = &[
        "payment",
        "transaction",
        "correction",
        "adjustment",
        "service",
        "call",
        "rollback",
        "opening",
    ];

    /// The kind's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The kind of exactly this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One entry: everything that its hash covers but the hash before it. Possibly as read from where
/// it was kept, so nothing here need be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whose balance moved.
    pub account_id: i64,
    /// The entry's number within the account's journal, from 1, without gaps.
    pub sequence: i64,
    /// The word of an [`EntryKind`].
    pub kind: &'a str,
    /// By how much; below zero when the balance fell.
    pub amount: Decimal,
    /// The balance from then on.
    pub balance_after: Decimal,
    /// The type of the record that the entry is about.
    pub reference_type: Option<&'a str>,
    /// The id of that record.
    pub reference_id: Option<&'a str>,
    /// Who asked for it; nobody when the system itself did.
    pub actor: Option<&'a str>,
    /// The request that asked for it.
    pub request_id: Option<&'a str>,
    /// When, in whole milliseconds; never before the entry before it.
    pub created_at: Timestamp,
}

/// A movement of a balance that is yet to be entered.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// Why the balance moves.
    pub kind: EntryKind,
    /// By how much; below zero to take from it.
    pub amount: Decimal,
    /// Type and id of the record that the movement is about.
    pub reference: Option<(&'a str, &'a str)>,
    /// Who asks for it; nobody when the system itself does.
    pub actor: Option<&'a str>,
    /// The request that asks for it.
    pub request_id: Option<&'a str>,
}

/// Where a journal stands: what the account's row carries. The default is a journal without entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of the last entry; 0 before the first.
    pub sequence: i64,
    /// The balance after it.
    pub balance: Decimal,
    /// Its hash; empty before the first.
    pub hash: String,
    /// Its time.
    pub at: Option<Timestamp>,
}

/// The balance after a movement would be beyond what a [`Decimal`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the balance would be out of range")]
pub struct OutOfRange;

impl Entry<'_> {
    /// The entry's hash: SHA-256 as 64 lower-case hex digits. `previous` is the hash of the entry
    /// before it, or empty.
    ///
    /// Covered is a compact JSON array: `[previous, account_id, sequence, kind, amount,
    /// balance_after, reference_type, reference_id, actor, request_id, created_at]`. Numbers of
    /// money are strings as `Decimal` prints them, what is missing is `null`, and times are like
    /// `2026-01-02T12:37:41.123Z`. Strings are raw UTF-8 with no more escapes than JSON demands,
    /// the short ones where there are any, so that other programs can compute the same.
    ///
    /// # Panics
    /// Never: nothing in the array is refused by JSON, and hashing takes all that is written.
    #[must_use]
    pub fn hash(&self, previous: &str) -> String {
        // No entry has a finer time. One that was made so must not hide behind the old hash.
        let is_fine = nanoseconds_beyond_millisecond(self.created_at) != 0;
        let fraction_digits = if is_fine { 9 } else { 3 };
        let (mut amount, mut balance_after) = ([0; TEXT_LEN_MAX], [0; TEXT_LEN_MAX]);
        let contents = (
            previous,
            self.account_id,
            self.sequence,
            self.kind,
            self.amount.write_to(&mut amount),
            self.balance_after.write_to(&mut balance_after),
            self.reference_type,
            self.reference_id,
            self.actor,
            self.request_id,
            format_args!("{:.*}", fraction_digits, self.created_at),
        );
        let mut covered = Hashing(Sha256::new());
        serde_json::to_writer(&mut covered, &contents).expect("texts and integers are JSON");
        hex(&covered.0.finalize())
    }
}

/// What a time has that whole milliseconds cannot tell; below zero before 1970.
fn nanoseconds_beyond_millisecond(time: Timestamp) -> i32 {
    time.subsec_nanosecond() % 1_000_000
}

/// Hashes what is written, without keeping it.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

impl Head {
    /// Makes the next entry, and says where the journal stands with it; its hash is the new head's.
    ///
    /// The entry's time is `now` without what is finer than a millisecond, or that of the last
    /// entry if the clock was turned back: the balance at a past moment has one answer only while
    /// times never run backwards.
    ///
    /// # Errors
    /// [`OutOfRange`] when the balance would not fit.
    pub fn append<'a>(
        &self,
        account_id: i64,
        posting: &Posting<'a>,
        now: Timestamp,
    ) -> Result<(Entry<'a>, Head), OutOfRange> {
        let balance = self.balance.checked_add(posting.amount).ok_or(OutOfRange)?;
        let finer = SignedDuration::from_nanos(nanoseconds_beyond_millisecond(now).into());
        let now = now - finer;
        let entry = Entry {
            account_id,
            sequence: self.sequence + 1,
            kind: posting.kind.word(),
            amount: posting.amount,
            balance_after: balance,
            reference_type: posting.reference.map(|(kind, _)| kind),
            reference_id: posting.reference.map(|(_, id)| id),
            actor: posting.actor,
            request_id: posting.request_id,
            created_at: self.at.map_or(now, |last| now.max(last)),
        };
        let head = Head {
            sequence: entry.sequence,
            balance,
            hash: entry.hash(&self.hash),
            at: Some(entry.created_at),
        };
        Ok((entry, head))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) type Stored = (Entry<'static>, String);

    pub(crate) fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    pub(crate) fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(crate) fn posting(amount: Decimal) -> Posting<'static> {
        Posting {
            kind: EntryKind::Payment,
            amount,
            reference: Some(("payments", "7")),
            actor: Some("ann"),
            request_id: None,
        }
    }

    /// A journal of these amounts, a second apart, and where it stands.
    pub(crate) fn journal(amounts: impl IntoIterator<Item = Decimal>) -> (Vec<Stored>, Head) {
        let mut now = time("2026-01-02T12:37:41.123456Z");
        let mut head = Head::default();
        let mut entries = Vec::new();
        for amount in amounts {
            let (entry, next) = head.append(23, &posting(amount), now).unwrap();
            entries.push((entry, next.hash.clone()));
            head = next;
            now += SignedDuration::from_secs(1);
        }
        (entries, head)
    }

    /// Entries 1 to 6 with balances 1.0, 3.0, 6.0, 10.0, 15.0 and 21.0.
    pub(crate) fn six() -> (Vec<Stored>, Head) {
        journal((1..=6).map(Decimal::from_int))
    }

    #[test]
    fn kinds_have_their_words() {
        assert_eq!(EntryKind::ALL.map(EntryKind::word), EntryKind::WORDS);
        for kind in EntryKind::ALL {
            assert_eq!(format!("{kind:?}").to_lowercase(), kind.word());
            assert_eq!(EntryKind::from_word(kind.word()), Some(kind));
        }
        for word in ["", "Payment", "payments", " call"] {
            assert_eq!(EntryKind::from_word(word), None);
        }
    }

    /// The digests are those of Python: `sha256(json.dumps([...], ensure_ascii=False,
    /// separators=(",", ":")).encode()).hexdigest()`.
    #[test]
    fn hashes_are_what_another_program_computes() {
        let first = Entry {
            account_id: 23,
            sequence: 1,
            kind: "opening",
            amount: number("10.5"),
            balance_after: number("10.5"),
            reference_type: None,
            reference_id: None,
            actor: None,
            request_id: None,
            created_at: time("2026-01-02T12:37:41.123Z"),
        };
        let hash = first.hash("");
        assert_eq!(hash, "803f1b910d06883d4317b19b4ce2d07027f140e0fcaa65c060361a6b7493ee0f");

        let controls: String = ('\0'..' ').collect();
        let second = Entry {
            sequence: 2,
            kind: "payment",
            amount: number("-0.000000000001"),
            balance_after: number("10.499999999999"),
            reference_type: Some("payments"),
            reference_id: Some(r#""quo\ted/""#),
            actor: Some("Zoë 会計 🧾 \u{2028}\u{7f}"),
            request_id: Some(&controls),
            created_at: time("2026-01-02T12:37:41Z"),
            ..first
        };
        assert_eq!(
            second.hash(&hash),
            "6c2b2fc4af3113bf29fa7a148bd285c33843026653a4a4633fd84d96b7433ac9"
        );
    }

    #[test]
    fn an_entry_says_what_was_posted() {
        let now = time("2026-01-02T12:37:41.123999Z");
        let start = Head { balance: number("5"), ..Head::default() };
        let posting = Posting { request_id: Some("r-1"), ..posting(number("-7.5")) };
        let (entry, head) = start.append(23, &posting, now).unwrap();
        let expected = Entry {
            account_id: 23,
            sequence: 1,
            kind: "payment",
            amount: number("-7.5"),
            balance_after: number("-2.5"),
            reference_type: Some("payments"),
            reference_id: Some("7"),
            actor: Some("ann"),
            request_id: Some("r-1"),
            created_at: time("2026-01-02T12:37:41.123Z"),
        };
        assert_eq!(entry, expected);
        let hash = entry.hash("");
        let at = Some(entry.created_at);
        assert_eq!(head, Head { sequence: 1, balance: number("-2.5"), hash, at });
    }

    #[test]
    fn times_stand_still_when_the_clock_is_turned_back() {
        let (_, head) = six();
        let (entry, next) = head.append(23, &posting(Decimal::ZERO), Timestamp::MIN).unwrap();
        assert_eq!(Some(entry.created_at), head.at);
        assert_eq!(next.at, head.at);
    }

    #[test]
    fn times_at_the_ends_of_the_calendar_are_cut_too() {
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let (entry, _) = Head::default().append(23, &posting(Decimal::ZERO), now).unwrap();
            assert_eq!(entry.created_at.as_millisecond(), now.as_millisecond());
        }
    }

    #[test]
    fn a_balance_out_of_range_is_refused() {
        let unit = Decimal::from_units(1).unwrap();
        let full = Head { balance: Decimal::MAX, ..Head::default() };
        assert_eq!(full.append(23, &posting(unit), Timestamp::MIN), Err(OutOfRange));
        assert!(full.append(23, &posting(-unit), Timestamp::MIN).is_ok());
        let empty = Head { balance: Decimal::MIN, ..Head::default() };
        assert_eq!(empty.append(23, &posting(-unit), Timestamp::MIN), Err(OutOfRange));
    }
}
