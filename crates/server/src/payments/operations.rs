//! Payments are posted and rolled back: each time the balance moves with them.

use billing::journal::EntryKind;
use jsonapi::{Error, Fault, Input, Record, Value, validation_errors};
use serde_json::json;
use store::{StoreError, Tx};

use super::ENDPOINT;
use super::resource::PAYMENTS;
use crate::accounts::{ACCOUNTS, faults_of_stored};
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::events::{EventKind, PAYMENT_POSTED, PAYMENT_ROLLED_BACK};
use crate::journal;
use crate::outbox::{News, is_wanted, tell};
use crate::rest::{Draft, Precondition, audit, insert};

/// Posts a payment: the balance moves by its amount, whatever the account's limits (contract,
/// resources 10).
///
/// # Errors
/// 422 with the broken rules; code 121 when the account itself has become invalid.
pub async fn post_payment(
    tx: &mut Tx,
    caller: &Caller,
    input: &Input,
    moment: Moment,
) -> Result<Record, ApiError> {
    let mut draft = Draft::of_create(&PAYMENTS, input);
    let account = match draft.link("account") {
        Some(id) => tx.find(&ACCOUNTS, id).await?,
        None => None,
    };
    if let Some(account) = &account {
        draft.set("balance-before-payment", ACCOUNTS.value(account, "balance").clone());
    }
    let payment = insert(tx, caller, &ENDPOINT, draft, moment).await?;
    let standing = account.filter(|account| faults_of_stored(account).is_empty());
    let account = standing.ok_or_else(Error::save_failed)?;
    let moved = move_balance(tx, caller, &account, EntryKind::Payment, &payment, moment).await?;
    tell_of(tx, &PAYMENT_POSTED, &moved, &payment, moment).await?;
    Ok(payment)
}

/// Takes a completed payment back, once: the balance moves by the opposite of its amount.
///
/// # Errors
/// 404; 412; 422 when the payment is not completed.
pub async fn roll_back(
    tx: &mut Tx,
    caller: &Caller,
    id: i64,
    shown_id: &str,
    precondition: &Precondition,
    moment: Moment,
) -> Result<Record, ApiError> {
    let not_found = || Error::record_not_found(shown_id);
    // The account is locked before its payment, as everywhere.
    let seen = tx.read(&PAYMENTS, id).await?.ok_or_else(not_found)?;
    let account = match seen.links[0] {
        Some(account) => tx.find(&ACCOUNTS, account).await?,
        None => None,
    };
    let payment = tx.find(&PAYMENTS, id).await?.ok_or_else(not_found)?;
    precondition.check(tx, &PAYMENTS, &payment).await?;
    if PAYMENTS.value(&payment, "status").as_text() != Some("completed") {
        return Err(Error::base("Status of payment should be completed").into());
    }
    let mut rolled_back = payment.clone();
    PAYMENTS.set(&mut rolled_back, "status", Value::text("rolled_back"));
    PAYMENTS.set(&mut rolled_back, "rolledback-at", Value::Time(moment.now));
    tx.update(&PAYMENTS, &payment, &rolled_back).await?;
    audit(tx, caller, &PAYMENTS, Some(&payment), Some(&rolled_back), moment).await?;
    let account = account.ok_or_else(Error::save_failed)?;
    let moved = move_balance(tx, caller, &account, EntryKind::Rollback, &payment, moment).await?;
    tell_of(tx, &PAYMENT_ROLLED_BACK, &moved, &rolled_back, moment).await?;
    Ok(rolled_back)
}

async fn move_balance(
    tx: &mut Tx,
    caller: &Caller,
    account: &Record,
    kind: EntryKind,
    payment: &Record,
    moment: Moment,
) -> Result<Record, ApiError> {
    let amount = PAYMENTS.value(payment, "amount").as_decimal().unwrap_or_default();
    let amount = if matches!(kind, EntryKind::Rollback) { -amount } else { amount };
    let cause = Some((PAYMENTS.kind, payment.key()));
    let posted = journal::post(tx, caller, account, kind, amount, cause, moment).await;
    posted.map_err(|error| {
        error.or(|| {
            let fault = Fault::on("amount", "takes the balance out of range");
            validation_errors(&PAYMENTS, &[fault]).into()
        })
    })
}

/// Tells whoever wants to hear of it what a payment did to its account. What is told of it is what
/// its customer may see.
async fn tell_of(
    tx: &mut Tx,
    kind: &'static EventKind,
    account: &Record,
    payment: &Record,
    moment: Moment,
) -> Result<(), StoreError> {
    if !is_wanted(tx, kind).await? {
        return Ok(());
    }
    let value = |name| PAYMENTS.value(payment, name);
    let decimal = |name| value(name).as_decimal().map(|decimal| decimal.to_string());
    let details = json!({"payment": {
        "id": payment.key(),
        "amount": decimal("amount"),
        "notes": value("notes").as_text(),
        "status": value("status").as_text(),
        "external_id": value("external-id").as_text(),
        "balance_before_payment": decimal("balance-before-payment"),
    }});
    let details = details.as_object().cloned().unwrap_or_default();
    tell(tx, News { kind, account: Some(account), details, now: moment.now }).await?;
    Ok(())
}
