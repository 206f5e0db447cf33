//! A look at a few journals after another, for as long as the server runs.

use billing::chain::Chain;
use billing::journal::Head;
use decimal::Decimal;
use jsonapi::Record;
use store::{Snapshot, Store, StoreError};

use super::posting::head;
use super::resource::JOURNAL_ENTRIES;
use super::verify::read;
use crate::accounts::ACCOUNTS;

/// Accounts of one look.
const SLICE: u32 = 50;
/// Entries of an account that are looked at, the last ones: a look costs the same on any journal.
const ENTRIES: u32 = 100;

/// What looking at journals has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// How far balances and journals are apart, summed up over accounts.
    pub amount: Decimal,
    /// Accounts with anything wrong.
    pub accounts: u64,
}

/// Goes through all accounts, and then again.
#[derive(Debug, Default)]
pub struct Sampler {
    after: i64,
    this_pass: Drift,
    last_pass: Drift,
}

impl Sampler {
    /// Looks at the next few accounts; returns how many.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn step(&mut self, store: &Store) -> Result<u64, StoreError> {
        let after = self.after;
        let (accounts, found) =
            store.look(async move |snapshot| look(snapshot, after).await).await?;
        self.this_pass = self.this_pass.and(found);
        self.after = accounts.last().copied().unwrap_or_default();
        if accounts.len() < SLICE as usize {
            self.last_pass = std::mem::take(&mut self.this_pass);
            self.after = 0;
        }
        Ok(accounts.len() as u64)
    }

    /// What the last whole pass found, or this one if that is more already.
    #[must_use]
    pub fn drift(&self) -> Drift {
        Drift {
            amount: self.this_pass.amount.max(self.last_pass.amount),
            accounts: self.this_pass.accounts.max(self.last_pass.accounts),
        }
    }
}

impl Drift {
    fn and(self, other: Self) -> Self {
        let most = if self.amount > other.amount { self.amount } else { other.amount };
        Self {
            amount: self.amount.checked_add(other.amount).unwrap_or(most),
            accounts: self.accounts + other.accounts,
        }
    }
}

async fn look(snapshot: &Snapshot<'_>, after: i64) -> Result<(Vec<i64>, Drift), StoreError> {
    let accounts = snapshot.following(&ACCOUNTS, after, SLICE).await?;
    let mut drift = Drift::default();
    for account in &accounts {
        let owner = ("account", account.key());
        let entries = snapshot.last_of(&JOURNAL_ENTRIES, owner, "sequence", ENTRIES).await?;
        drift = drift.and(drift_of(account, &entries));
    }
    Ok((accounts.iter().map(Record::key).collect(), drift))
}

/// Compares an account with the end of its journal.
fn drift_of(account: &Record, entries: &[Record]) -> Drift {
    let wrong = |amount| Drift { amount, accounts: 1 };
    let mut entries: Vec<_> = entries.iter().filter_map(read).collect();
    let mut chain = Chain::default();
    if entries.len() == ENTRIES as usize {
        // What lies before is taken as it is.
        let (first, hash) = entries.remove(0);
        chain = Chain::behind(Head {
            sequence: first.sequence,
            balance: first.balance_after,
            hash: hash.to_owned(),
            at: Some(first.created_at),
        });
    }
    let broken =
        entries.iter().filter(|(entry, hash)| !chain.follow(entry, hash).is_empty()).count();
    let stands = head(account);
    let journal = entries.last().map_or(Decimal::ZERO, |(entry, _)| entry.balance_after);
    if broken == 0 && chain.finish(&stands).is_empty() {
        return Drift::default();
    }
    let apart = stands.balance.checked_sub(journal).unwrap_or(stands.balance);
    wrong(if apart < Decimal::ZERO { -apart } else { apart })
}
