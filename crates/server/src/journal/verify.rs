//! The proof: every balance is recomputed from its journal. Alerts must be what accounts say of them.

use std::cmp::Ordering;
use std::collections::HashMap;

use billing::chain::Chain;
use billing::journal::{Entry, Head};
use billing::limits::LimitState;
use billing::threshold;
use jsonapi::Record;
use store::{Snapshot, Store, StoreError};

use super::posting::head;
use super::resource::{JOURNAL_CLOSURES, JOURNAL_ENTRIES};
use crate::accounts::{ACCOUNTS, limit_state, threshold_state, thresholds};
use crate::alerts::{BALANCE_ALERTS, Tally};

/// Accounts that are checked against one state of the database.
const SLICE: u32 = 500;

/// Findings that are told of one slice; more are counted.
const FINDINGS_MAX: usize = 1_000;

/// Below every account, those too that only a forged entry can belong to.
const NOBODY: i64 = i64::MIN;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose journal.
    pub account: i64,
    /// What is wrong.
    pub message: String,
}

/// What has been checked so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Journals, of accounts that are there or were closed.
    pub journals: u64,
    /// Entries.
    pub entries: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What else is wrong, when that is very much.
    pub untold: u64,
}

/// Whose journals are checked: of accounts with ids above `after`, up to `last`.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Checked already.
    pub after: i64,
    /// The last to check.
    pub last: i64,
}

impl Range {
    /// All there are.
    pub const ALL: Self = Self { after: NOBODY, last: i64::MAX };

    /// One account.
    #[must_use]
    pub const fn of(account: i64) -> Self {
        Self { after: account.saturating_sub(1), last: account }
    }
}

/// Checks a slice of the range in one state of the database, in constant memory; what writers do
/// meanwhile waits for nobody and is not seen. Returns what is left of the range.
///
/// # Errors
/// When a statement fails.
pub async fn verify_slice(
    store: &Store,
    range: Range,
) -> Result<(Checked, Option<Range>), StoreError> {
    store.look(async move |snapshot| check(snapshot, range).await).await
}

/// What says where a journal should stand.
enum Owner {
    Account(Record),
    Closure(Record),
}

impl Owner {
    fn account(&self) -> i64 {
        match self {
            Self::Account(account) => account.key(),
            Self::Closure(closure) => {
                JOURNAL_CLOSURES.value(closure, "account-id").as_int().unwrap_or_default()
            }
        }
    }

    fn head(&self) -> Head {
        match self {
            Self::Account(account) => head(account),
            Self::Closure(closure) => {
                let value = |name| JOURNAL_CLOSURES.value(closure, name);
                Head {
                    sequence: value("sequence").as_int().unwrap_or_default(),
                    balance: value("balance").as_decimal().unwrap_or_default(),
                    hash: value("hash").as_text().unwrap_or_default().into(),
                    at: value("last-entry-at").as_time(),
                }
            }
        }
    }
}

async fn check(
    snapshot: &Snapshot<'_>,
    range: Range,
) -> Result<(Checked, Option<Range>), StoreError> {
    let mut accounts = snapshot.following(&ACCOUNTS, range.after, SLICE).await?;
    // The entries of a slice reach as far as its accounts, those of the last one to the end.
    let is_last = accounts.len() < SLICE as usize;
    accounts.retain(|account| account.key() <= range.last);
    let end = accounts.last().filter(|_| !is_last).map_or(range.last, Record::key);
    let bounds = (range.after, end);
    let mut owners: Vec<Owner> = accounts.into_iter().map(Owner::Account).collect();
    let visitor = |closure| owners.push(Owner::Closure(closure));
    snapshot.visit(&JOURNAL_CLOSURES, ("account-id", "sequence"), bounds, visitor).await?;
    owners.sort_by_key(Owner::account);
    let mut alerts: HashMap<i64, Tally> = HashMap::new();
    let visitor = |alert: Record| {
        alerts.entry(alert.links[0].unwrap_or_default()).or_default().add(&alert);
    };
    snapshot.visit(&BALANCE_ALERTS, ("account", "account"), bounds, visitor).await?;
    let mut walk = Walk::new(owners, alerts);
    let visitor = |entry| walk.on(&entry);
    snapshot.visit(&JOURNAL_ENTRIES, ("account", "sequence"), bounds, visitor).await?;
    let checked = walk.finish();
    let rest = (end < range.last).then_some(Range { after: end, ..range });
    Ok((checked, rest))
}

/// Entries and owners, both in the order of accounts, walked side by side.
struct Walk {
    owners: std::vec::IntoIter<Owner>,
    /// By account.
    alerts: HashMap<i64, Tally>,
    account: i64,
    chain: Chain,
    checked: Checked,
}

impl Walk {
    fn new(owners: Vec<Owner>, alerts: HashMap<i64, Tally>) -> Self {
        let owners = owners.into_iter();
        let (chain, checked) = (Chain::default(), Checked::default());
        Self { owners, alerts, account: NOBODY, chain, checked }
    }

    fn on(&mut self, stored: &Record) {
        let Some((entry, hash)) = read(stored) else {
            let account = stored.links[0].unwrap_or_default();
            return self
                .tell(account, format!("the entry with id {} cannot be read", stored.key()));
        };
        if entry.account_id != self.account {
            self.turn_to(entry.account_id);
        }
        self.checked.entries += 1;
        for found in self.chain.follow(&entry, hash) {
            self.tell(entry.account_id, found.to_string());
        }
    }

    /// Finishes the account before, and those without entries in between.
    fn turn_to(&mut self, account: i64) {
        self.finish_until(account);
        self.account = account;
        if self.owners.as_slice().first().is_none_or(|owner| owner.account() != account) {
            let message = "there are entries, but neither the account nor its closure";
            self.tell(account, message.to_owned());
        }
    }

    fn finish_until(&mut self, account: i64) {
        while self.owners.as_slice().first().is_some_and(|owner| owner.account() < account) {
            let Some(owner) = self.owners.next() else { break };
            let chain = match owner.account().cmp(&self.account) {
                Ordering::Equal => std::mem::take(&mut self.chain),
                _ => Chain::default(),
            };
            self.finish_one(&owner, &chain);
        }
        self.chain = Chain::default();
    }

    fn finish_one(&mut self, owner: &Owner, chain: &Chain) {
        self.checked.journals += 1;
        for found in chain.finish(&owner.head()) {
            self.tell(owner.account(), found.to_string());
        }
        if let Owner::Account(account) = owner {
            let (state, balance) = (threshold_state(account), owner.head().balance);
            for crossing in threshold::pass(state, thresholds(account), balance).crossings() {
                let event = crossing.event_type_alias();
                let message = format!("the threshold state is {state:?}, but {event} is due");
                self.tell(owner.account(), message);
            }
            let state = limit_state(&ACCOUNTS, account).map(LimitState::name);
            let stored = ACCOUNTS.value(account, "limit-state").as_text();
            if stored != state {
                let (stored, state) = (stored.unwrap_or("null"), state.unwrap_or("null"));
                let message = format!("the limit state is {stored}, but {state} is due");
                self.tell(owner.account(), message);
            }
            let alerts = self.alerts.remove(&account.key()).unwrap_or_default();
            for message in alerts.faults(account) {
                self.tell(owner.account(), message);
            }
        }
    }

    fn tell(&mut self, account: i64, message: String) {
        if self.checked.findings.len() < FINDINGS_MAX {
            self.checked.findings.push(Finding { account, message });
        } else {
            self.checked.untold += 1;
        }
    }

    fn finish(mut self) -> Checked {
        self.finish_until(i64::MAX);
        self.checked
    }
}

/// A stored entry and its stored hash.
pub(super) fn read(stored: &Record) -> Option<(Entry<'_>, &str)> {
    let [
        sequence,
        kind,
        amount,
        balance_after,
        reference_type,
        reference_id,
        actor,
        request_id,
        created_at,
        hash,
    ] = stored.values.as_slice()
    else {
        return None;
    };
    let entry = Entry {
        account_id: stored.links[0]?,
        sequence: sequence.as_int()?,
        kind: kind.as_text()?,
        amount: amount.as_decimal()?,
        balance_after: balance_after.as_decimal()?,
        reference_type: reference_type.as_text(),
        reference_id: reference_id.as_text(),
        actor: actor.as_text(),
        request_id: request_id.as_text(),
        created_at: created_at.as_time()?,
    };
    Some((entry, hash.as_text()?))
}
