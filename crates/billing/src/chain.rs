//! The proof of a journal: that its entries are as they were written, and all of them.

use decimal::Decimal;
use jiff::Timestamp;

use crate::journal::{Entry, EntryKind, Head};

/// Something about a journal that cannot be as it was written. The messages are for operators and
/// stand behind the account's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Break {
    /// `after` is 0 where the journal should begin.
    #[error("{}", missing_text(*after, *found))]
    Missing { after: i64, found: i64 },
    /// An entry that is there twice, or behind one with a higher number.
    #[error("entry {found} is out of order: it follows {after}")]
    OutOfOrder { after: i64, found: i64 },
    /// A word that no [`EntryKind`] has.
    #[error("entry {sequence}: there is no kind {kind:?}")]
    Kind { sequence: i64, kind: String },
    /// Not the balance before and the amount.
    #[error("entry {sequence}: balance after is {found}, not {due}")]
    Balance { sequence: i64, found: Decimal, due: Decimal },
    /// The balance before and the amount have no sum that could have been entered.
    #[error("entry {sequence}: balance after is {found}, but no balance is that large")]
    BalanceOutOfRange { sequence: i64, found: Decimal },
    /// The entry or its hash was changed.
    #[error("entry {sequence}: the hash does not fit its contents")]
    Hash { sequence: i64 },
    /// Earlier than the entry before it.
    #[error("entry {sequence}: its time is {found}, before {previous} of the entry before it")]
    Time { sequence: i64, found: Timestamp, previous: Timestamp },
    /// Entries were cut off, or the account's row was changed.
    #[error("the account stands at entry {account}, but the journal ends with {journal}")]
    HeadSequence { account: i64, journal: i64 },
    /// The account does not hold what the journal says.
    #[error("the balance is {account}, but the journal says {journal}")]
    HeadBalance { account: Decimal, journal: Decimal },
    /// The account's row and the last entry are not of one writing.
    #[error("the hash is not that of entry {sequence}, the last one")]
    HeadHash { sequence: i64 },
    /// The account's row and the last entry are not of one writing.
    #[error("the time is {}, but the journal says {}", time_text(*account), time_text(*journal))]
    HeadTime { account: Option<Timestamp>, journal: Option<Timestamp> },
}

fn missing_text(after: i64, found: i64) -> String {
    let (first, last) = (after.saturating_add(1), found.saturating_sub(1));
    let missing = if first == last {
        format!("entry {first} is missing")
    } else {
        format!("entries {first} to {last} are missing")
    };
    match after {
        0 => format!("{missing}: the journal begins with {found}"),
        _ => format!("{missing}: {found} follows {after}"),
    }
}

fn time_text(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "missing".to_owned(), |time| time.to_string())
}

/// Follows the entries of one account in order and tells every break, in constant memory.
///
/// After a break it goes on from what is stored, so that one fault is not told for every later
/// entry. It also remembers what should have been stored: the entry after a changed balance or hash
/// was made from the true one, and has no fault.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The last entry, as stored.
    last: Head,
    /// Its balance, as it should be.
    due_balance: Decimal,
    /// Its hash, as it should be.
    due_hash: String,
}

impl Chain {
    /// A chain that begins behind entries which are taken as they are: those up to `head`.
    #[must_use]
    pub fn behind(head: Head) -> Chain {
        Chain { due_balance: head.balance, due_hash: head.hash.clone(), last: head }
    }

    /// Goes on to the next stored entry and its stored hash. No breaks: the entry is as written.
    #[must_use]
    pub fn follow(&mut self, entry: &Entry<'_>, hash: &str) -> Vec<Break> {
        let (after, found) = (self.last.sequence, entry.sequence);
        let mut breaks = Vec::new();
        if EntryKind::from_word(entry.kind).is_none() {
            breaks.push(Break::Kind { sequence: found, kind: entry.kind.to_owned() });
        }
        if found.checked_sub(1) == Some(after) {
            breaks.extend(self.balance_break(entry));
            breaks.extend(self.hash_break(entry, hash));
            breaks.extend(self.time_break(entry));
        } else {
            // The entry that this one was made after is not at hand, so nothing else can be told.
            breaks.push(if after < found {
                Break::Missing { after, found }
            } else {
                Break::OutOfOrder { after, found }
            });
            self.due_balance = entry.balance_after;
            hash.clone_into(&mut self.due_hash);
        }
        self.last.sequence = entry.sequence;
        self.last.balance = entry.balance_after;
        self.last.at = Some(entry.created_at);
        hash.clone_into(&mut self.last.hash);
        breaks
    }

    fn balance_break(&mut self, entry: &Entry<'_>) -> Option<Break> {
        let (sequence, found) = (entry.sequence, entry.balance_after);
        let mut due = self.last.balance.checked_add(entry.amount);
        if due != Some(found) {
            due = self.due_balance.checked_add(entry.amount);
        }
        self.due_balance = due.unwrap_or(found);
        match due {
            Some(due) if due == found => None,
            Some(due) => Some(Break::Balance { sequence, found, due }),
            None => Some(Break::BalanceOutOfRange { sequence, found }),
        }
    }

    fn hash_break(&mut self, entry: &Entry<'_>, hash: &str) -> Option<Break> {
        let mut due = entry.hash(&self.last.hash);
        if due != hash && self.due_hash != self.last.hash {
            due = entry.hash(&self.due_hash);
        }
        self.due_hash = due;
        (self.due_hash != hash).then_some(Break::Hash { sequence: entry.sequence })
    }

    fn time_break(&self, entry: &Entry<'_>) -> Option<Break> {
        let (sequence, found) = (entry.sequence, entry.created_at);
        let previous = self.last.at.filter(|previous| found < *previous)?;
        Some(Break::Time { sequence, found, previous })
    }

    /// Compares the end of the journal with where the account says it stands.
    #[must_use]
    pub fn finish(&self, account: &Head) -> Vec<Break> {
        let journal = &self.last;
        let mut breaks = Vec::new();
        if account.balance != journal.balance {
            let (account, journal) = (account.balance, journal.balance);
            breaks.push(Break::HeadBalance { account, journal });
        }
        if account.sequence != journal.sequence {
            // Hash and time are those of another entry then: the same fault.
            let (account, journal) = (account.sequence, journal.sequence);
            breaks.push(Break::HeadSequence { account, journal });
            return breaks;
        }
        if account.hash != journal.hash {
            breaks.push(Break::HeadHash { sequence: journal.sequence });
        }
        if account.at != journal.at {
            breaks.push(Break::HeadTime { account: account.at, journal: journal.at });
        }
        breaks
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::journal::tests::{Stored, journal, number, posting, six, time};

    fn breaks(entries: &[Stored], head: &Head) -> Vec<String> {
        let mut chain = Chain::default();
        let mut told: Vec<Break> =
            entries.iter().flat_map(|(entry, hash)| chain.follow(entry, hash)).collect();
        told.extend(chain.finish(head));
        told.iter().map(Break::to_string).collect()
    }

    #[track_caller]
    fn tells(change: impl FnOnce(&mut Vec<Stored>, &mut Head), told: &[&str]) {
        let (mut entries, mut head) = six();
        change(&mut entries, &mut head);
        assert_eq!(breaks(&entries, &head), told);
    }

    #[test]
    fn a_journal_as_written_has_no_breaks() {
        tells(|_, _| (), &[]);
        assert_eq!(breaks(&[], &Head::default()), [""; 0]);
    }

    #[test]
    fn missing_entries_are_told_once() {
        let missing =
            |range| move |entries: &mut Vec<Stored>, _: &mut Head| drop(entries.drain(range));
        tells(missing(4..5), &["entry 5 is missing: 6 follows 4"]);
        tells(missing(1..4), &["entries 2 to 4 are missing: 5 follows 1"]);
        tells(missing(0..1), &["entry 1 is missing: the journal begins with 2"]);
        tells(
            missing(4..6),
            &[
                "the balance is 21.0, but the journal says 10.0",
                "the account stands at entry 6, but the journal ends with 4",
            ],
        );
        tells(
            missing(0..6),
            &[
                "the balance is 21.0, but the journal says 0.0",
                "the account stands at entry 6, but the journal ends with 0",
            ],
        );
    }

    #[test]
    fn repeated_and_swapped_entries_are_told() {
        tells(
            |entries, _| entries.insert(3, entries[2].clone()),
            &["entry 3 is out of order: it follows 3"],
        );
        tells(
            |entries, _| entries.swap(2, 3),
            &[
                "entry 3 is missing: 4 follows 2",
                "entry 3 is out of order: it follows 4",
                "entry 4 is missing: 5 follows 3",
            ],
        );
    }

    #[test]
    fn a_changed_entry_is_told_at_that_entry_only() {
        let hash = "entry 4: the hash does not fit its contents";
        tells(
            |entries, _| entries[3].0.amount = number("5"),
            &["entry 4: balance after is 10.0, not 11.0", hash],
        );
        tells(
            |entries, _| entries[3].0.balance_after = number("12"),
            &["entry 4: balance after is 12.0, not 10.0", hash],
        );
        tells(
            |entries, _| entries[3].0.kind = "gift",
            &[r#"entry 4: there is no kind "gift""#, hash],
        );
        tells(|entries, _| entries[3].0.actor = None, &[hash]);
        tells(|entries, _| entries[3].1 = "0".repeat(64), &[hash]);
        tells(|entries, _| entries[3].1.make_ascii_uppercase(), &[hash]);
        tells(|entries, _| entries[3].1.clear(), &[hash]);
        tells(
            |entries, _| entries[3].0.created_at = time("2026-01-02T12:37:43.122Z"),
            &[
                hash,
                "entry 4: its time is 2026-01-02T12:37:43.122Z, before 2026-01-02T12:37:43.123Z of \
                 the entry before it",
            ],
        );
        tells(|entries, _| entries[3].0.created_at += SignedDuration::from_micros(1), &[hash]);
    }

    #[test]
    fn neighbours_that_were_both_changed_are_both_told() {
        let (third, fourth) = (
            "entry 3: the hash does not fit its contents",
            "entry 4: the hash does not fit its contents",
        );
        tells(
            |entries, _| entries[2..4].iter_mut().for_each(|(_, hash)| *hash = "f".repeat(64)),
            &[third, fourth],
        );
        tells(
            |entries, _| {
                entries[2].0.balance_after = number("7");
                entries[3].0.balance_after = number("8");
            },
            &[
                "entry 3: balance after is 7.0, not 6.0",
                third,
                "entry 4: balance after is 8.0, not 10.0",
                fourth,
            ],
        );
    }

    #[test]
    fn a_rewritten_entry_is_betrayed_by_the_next() {
        tells(
            |entries, _| {
                entries[3].0.actor = Some("eve");
                entries[3].1 = entries[3].0.hash(&entries[2].1);
            },
            &["entry 5: the hash does not fit its contents"],
        );
    }

    #[test]
    fn a_sum_beyond_every_balance_is_told() {
        tells(
            |entries, _| entries[3].0.amount = Decimal::MAX,
            &[
                "entry 4: balance after is 10.0, but no balance is that large",
                "entry 4: the hash does not fit its contents",
            ],
        );
    }

    #[test]
    fn an_account_that_stands_elsewhere_is_told() {
        tells(
            |_, head| head.balance = number("10"),
            &["the balance is 10.0, but the journal says 21.0"],
        );
        tells(
            |_, head| head.sequence = 7,
            &["the account stands at entry 7, but the journal ends with 6"],
        );
        tells(|_, head| head.hash.clear(), &["the hash is not that of entry 6, the last one"]);
        tells(
            |_, head| head.at = None,
            &["the time is missing, but the journal says 2026-01-02T12:37:46.123Z"],
        );
    }

    #[test]
    fn numbers_at_the_ends_of_their_range_are_followed() {
        for sequence in [i64::MIN, i64::MAX] {
            let (mut entries, head) = six();
            entries[2].0.sequence = sequence;
            assert_eq!(breaks(&entries, &head).len(), 2);
        }
    }

    fn any_amount() -> impl Strategy<Value = Decimal> {
        let large = 1_000_000_000_000_000_000_000_000_i128;
        prop_oneof![-large..large, -9_i128..9]
            .prop_map(|units| Decimal::from_units(units).expect("in range"))
    }

    fn any_journal() -> impl Strategy<Value = (Vec<Stored>, Head)> {
        vec(any_amount(), 1..20).prop_map(journal)
    }

    /// Every way to change one field of a stored entry.
    const CHANGES: [fn(&mut Stored); 13] = [
        |(entry, _)| entry.account_id += 1,
        |(entry, _)| entry.sequence += 1,
        |(entry, _)| entry.sequence -= 1,
        |(entry, _)| entry.kind = "call",
        |(entry, _)| entry.amount = -entry.amount,
        |(entry, _)| entry.balance_after = -entry.balance_after,
        |(entry, _)| entry.reference_type = Some("payment"),
        |(entry, _)| entry.reference_id = None,
        |(entry, _)| entry.actor = Some(""),
        |(entry, _)| entry.request_id = Some("null"),
        |(entry, _)| entry.created_at += SignedDuration::from_millis(1),
        |(entry, _)| entry.created_at += SignedDuration::from_nanos(1),
        |(_, hash)| *hash = hash.replace(|digit: char| digit.is_ascii_digit(), "a"),
    ];

    proptest! {
        #[test]
        fn what_was_appended_has_no_breaks_and_the_exact_sum(
            amounts in vec((any_amount(), -5_000_i64..5_000), 0..50),
        ) {
            let mut now = time("2026-01-02T12:37:41Z");
            let mut head = Head::default();
            let mut entries = Vec::new();
            for (amount, elapsed_us) in &amounts {
                now += SignedDuration::from_micros(*elapsed_us);
                let (entry, next) = head.append(23, &posting(*amount), now).unwrap();
                entries.push((entry, next.hash.clone()));
                head = next;
            }
            prop_assert_eq!(breaks(&entries, &head), [""; 0]);
            let sum: i128 = amounts.iter().map(|(amount, _)| amount.units()).sum();
            prop_assert_eq!(head.balance.units(), sum);
        }

        #[test]
        fn any_change_of_an_entry_is_found(
            (mut entries, head) in any_journal(),
            at in any::<prop::sample::Index>(),
            change in prop::sample::select(&CHANGES),
        ) {
            let changed = at.get_mut(&mut entries);
            let before = changed.clone();
            change(changed);
            prop_assume!(*changed != before);
            prop_assert!(!breaks(&entries, &head).is_empty());
        }

        #[test]
        fn any_change_of_their_order_is_found(
            (entries, head) in any_journal(),
            at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(entries.len());
            let mut removed = entries.clone();
            removed.remove(at);
            prop_assert!(!breaks(&removed, &head).is_empty());
            let mut repeated = entries.clone();
            repeated.insert(at, entries[at].clone());
            prop_assert!(!breaks(&repeated, &head).is_empty());
            let mut swapped = entries;
            let with = (at + 1) % swapped.len();
            swapped.swap(at, with);
            prop_assert_eq!(breaks(&swapped, &head).is_empty(), at == with);
        }
    }
}
