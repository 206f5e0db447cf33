//! The one way a balance moves: a journal entry, the account's row, its audit record, its
//! thresholds and its alerts, in one transaction.

use billing::journal::{EntryKind, Head, OutOfRange, Posting};
use billing::threshold::{self, Pass};
use decimal::Decimal;
use jsonapi::{Record, Value};
use store::{StoreError, Tx};

use super::news::tell_of_change;
use super::resource::{JOURNAL_CLOSURES, JOURNAL_ENTRIES};
use crate::accounts::{ACCOUNTS, threshold_state, thresholds};
use crate::alerts;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::notifications;
use crate::rest::{Change, audit};

/// Why a balance did not move.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// It would leave the range of decimals.
    #[error("the balance would leave the range of decimals")]
    OutOfRange(#[from] OutOfRange),
    /// The database.
    #[error("the database failed")]
    Store(#[from] StoreError),
}

impl PostError {
    /// The refusal that the client hears of, where the balance is out of range.
    pub fn or(self, refusal: impl FnOnce() -> ApiError) -> ApiError {
        match self {
            Self::OutOfRange(_) => refusal(),
            Self::Store(error) => error.into(),
        }
    }
}

/// Where the journal of a stored account stands.
#[must_use]
pub fn head(account: &Record) -> Head {
    let value = |name| ACCOUNTS.value(account, name);
    Head {
        sequence: value("journal-sequence").as_int().unwrap_or_default(),
        balance: value("balance").as_decimal().unwrap_or_default(),
        hash: value("journal-hash").as_text().unwrap_or_default().into(),
        at: value("journal-at").as_time(),
    }
}

/// Adds `amount`, which is not 0, to the balance of a stored account, which no limit prevents.
/// Returns the account as it is now. `reference` is type and id of the record that is the cause.
///
/// # Errors
/// When the balance would leave the range of decimals, or a statement fails.
pub async fn post(
    tx: &mut Tx,
    caller: &Caller,
    account: &Record,
    kind: EntryKind,
    amount: Decimal,
    reference: Option<(&str, i64)>,
    moment: Moment,
) -> Result<Record, PostError> {
    let id = reference.map(|(_, id)| id.to_string());
    let posting = Posting {
        kind,
        amount,
        reference: reference.map(|(kind, _)| kind).zip(id.as_deref()),
        actor: caller.operator.as_ref().map(|operator| operator.name.as_str()),
        request_id: caller.request_id.as_deref(),
    };
    let (moved, pass) = append(tx, account, &head(account), &posting, moment).await?;
    tx.update(&ACCOUNTS, account, &moved).await?;
    audit(tx, caller, &ACCOUNTS, Some(account), Some(&moved), moment).await?;
    alerts::mirror(tx, Some(account), &moved, moment.now).await?;
    notifications::announce(tx, &moved, pass, moment).await?;
    alerts::look(tx, &moved, moment.now).await?;
    Ok(moved)
}

/// Appends an entry to a journal that stands at `head`. Returns the account as it becomes, yet to
/// be written, and what its thresholds make of it.
pub(super) async fn append(
    tx: &mut Tx,
    account: &Record,
    head: &Head,
    posting: &Posting<'_>,
    moment: Moment,
) -> Result<(Record, Pass), PostError> {
    let (entry, head) = head.append(account.key(), posting, moment.now)?;
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    let values = vec![
        Value::Int(entry.sequence),
        Value::text(entry.kind),
        Value::Decimal(entry.amount),
        Value::Decimal(entry.balance_after),
        text(entry.reference_type),
        text(entry.reference_id),
        text(entry.actor),
        text(entry.request_id),
        Value::Time(entry.created_at),
        Value::text(&head.hash),
    ];
    tx.insert(&JOURNAL_ENTRIES, values, vec![Some(account.key())]).await?;
    let mut moved = account.clone();
    let pass = threshold::pass(threshold_state(account), thresholds(account), head.balance);
    for (name, value) in [
        ("balance", Value::Decimal(head.balance)),
        ("journal-sequence", Value::Int(head.sequence)),
        ("journal-hash", Value::text(&head.hash)),
        ("journal-at", Value::Time(entry.created_at)),
        ("threshold-state", Value::Int(pass.state.id())),
    ] {
        ACCOUNTS.set(&mut moved, name, value);
    }
    Ok((moved, pass))
}

/// What a write of an account entails: whoever wants to hear of it is told, crossed thresholds are
/// announced, alerts follow the thresholds and the floor, the journal of a deleted account is
/// closed.
///
/// # Errors
/// When a statement fails.
pub async fn follow_account(tx: &mut Tx, change: Change<'_>) -> Result<(), ApiError> {
    tell_of_change(tx, change).await?;
    match (change.before, change.after) {
        (before, Some(after)) => {
            let state = before.map(threshold_state).unwrap_or_default();
            let pass = threshold::pass(state, thresholds(after), head(after).balance);
            alerts::mirror(tx, before, after, change.moment.now).await?;
            notifications::announce(tx, after, pass, change.moment).await?;
            let floor = |account| ACCOUNTS.value(account, "min-balance");
            if before.is_some_and(|before| floor(before) != floor(after)) {
                alerts::look(tx, after, change.moment.now).await?;
            }
        }
        (Some(before), None) => close(tx, before, change.moment).await?,
        (None, None) => {}
    }
    Ok(())
}

async fn close(tx: &mut Tx, account: &Record, moment: Moment) -> Result<(), StoreError> {
    let head = head(account);
    if head.sequence == 0 {
        return Ok(());
    }
    let values = vec![
        Value::Int(account.key()),
        ACCOUNTS.value(account, "name").clone(),
        Value::Int(head.sequence),
        Value::Decimal(head.balance),
        Value::text(&head.hash),
        ACCOUNTS.value(account, "journal-at").clone(),
        Value::Time(moment.now),
    ];
    tx.insert(&JOURNAL_CLOSURES, values, Vec::new()).await?;
    Ok(())
}
