//! Opens the books of a database that is older than its journal.

use billing::journal::{EntryKind, Head, Posting};
use billing::threshold;
use decimal::Decimal;
use jsonapi::{Record, Value};
use store::{Store, Tx};

use super::posting::{PostError, append, head};
use crate::accounts::{ACCOUNTS, threshold_state, thresholds};
use crate::alerts;
use crate::clock::Moment;
use crate::notifications;

/// The setting that tells that the books are open.
pub const BOOKS: &str = "journal";
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
    if tx.setting(BOOKS).await?.is_some() {
        return Ok(None);
    }
    let accounts = tx.snapshot().await?.following(&ACCOUNTS, after, SLICE).await?;
    for id in accounts.iter().map(Record::key) {
        // Read again: now that it is locked, it stays as it is.
        if let Some(account) = tx.find(&ACCOUNTS, id).await? {
            open(tx, &account, moment).await?;
        }
    }
    let last = accounts.last().map(Record::key);
    if last.is_none() {
        tx.setting_or(BOOKS, || "open".to_owned()).await?;
    }
    Ok(last)
}

async fn open(tx: &mut Tx, account: &Record, moment: Moment) -> Result<(), PostError> {
    let Head { sequence, balance, .. } = head(account);
    let (opened, pass) = if sequence == 0 && balance != Decimal::ZERO {
        append(tx, account, &Head::default(), &opening(balance, None), moment).await?
    } else {
        let pass = threshold::pass(threshold_state(account), thresholds(account), balance);
        let mut judged = account.clone();
        ACCOUNTS.set(&mut judged, "threshold-state", Value::Int(pass.state.id()));
        (judged, pass)
    };
    tx.update(&ACCOUNTS, account, &opened).await?;
    alerts::mirror(tx, Some(account), &opened, moment.now).await?;
    notifications::announce(tx, &opened, pass, moment).await?;
    Ok(())
}

/// Opens the journal of an account that is taken over from elsewhere, before its row is there: one
/// `opening` entry, or none for a balance of 0. Returns the account as it is to be written. The
/// threshold that it is beyond is told to nobody.
///
/// # Errors
/// When the statement fails: with [`store::StoreError::Conflict`] when there is such a journal already.
pub async fn open_journal(
    tx: &mut Tx,
    account: Record,
    request_id: &str,
    moment: Moment,
) -> Result<Record, PostError> {
    let balance = head(&account).balance;
    if balance == Decimal::ZERO {
        return Ok(account);
    }
    let posting = opening(balance, Some(request_id));
    let (opened, _) = append(tx, &account, &Head::default(), &posting, moment).await?;
    Ok(opened)
}

fn opening(balance: Decimal, request_id: Option<&str>) -> Posting<'_> {
    let kind = EntryKind::Opening;
    Posting { kind, amount: balance, reference: None, actor: None, request_id }
}
