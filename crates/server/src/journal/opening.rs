//! Opens the books of a database that is older than its journal.

use billing::journal::{EntryKind, Head, Posting};
use billing::threshold;
use decimal::Decimal;
use jsonapi::{Record, Value};
use store::{Store, Tx};

use super::posting::{PostError, append, head};
use crate::accounts::{ACCOUNTS, threshold_state, thresholds};
use crate::clock::Moment;
use crate::notifications;

/// The setting that tells that the books are open.
const SETTING: &str = "journal";
/// Accounts of one transaction.
const SLICE: u32 = 500;

/// Gives each account that has a balance but no journal its `opening` entry, and finds out which
/// thresholds balances are beyond. Does so once for a database, before anything moves a balance;
/// what an interrupted run has done is done.
///
/// # Errors
/// When a statement fails.
pub async fn open_books(store: &Store, moment: Moment) -> Result<(), PostError> {
    let mut after = Some(0);
    while let Some(last) = after {
        after = store.write(async move |tx| open_slice(tx, last, moment).await).await?;
    }
    Ok(())
}

/// Opens the accounts that follow `after`; returns the last one, or `None` when all are open.
async fn open_slice(tx: &mut Tx, after: i64, moment: Moment) -> Result<Option<i64>, PostError> {
    if tx.setting(SETTING).await?.is_some() {
        return Ok(None);
    }
    let accounts = tx.snapshot().following(&ACCOUNTS, after, SLICE)?;
    for account in &accounts {
        open(tx, account, moment).await?;
    }
    let last = accounts.last().map(Record::key);
    if last.is_none() {
        tx.setting_or(SETTING, || "open".to_owned()).await?;
    }
    Ok(last)
}

async fn open(tx: &mut Tx, account: &Record, moment: Moment) -> Result<(), PostError> {
    let Head { sequence, balance, .. } = head(account);
    let (opened, pass) = if sequence == 0 && balance != Decimal::ZERO {
        let posting = Posting {
            kind: EntryKind::Opening,
            amount: balance,
            reference: None,
            actor: None,
            request_id: None,
        };
        append(tx, account, &Head::default(), &posting, moment).await?
    } else {
        let pass = threshold::pass(threshold_state(account), thresholds(account), balance);
        let mut judged = account.clone();
        ACCOUNTS.set(&mut judged, "threshold-state", Value::Int(pass.state.id()));
        (judged, pass)
    };
    tx.update(&ACCOUNTS, account, &opened).await?;
    notifications::announce(tx, &opened, pass, moment).await?;
    Ok(())
}
