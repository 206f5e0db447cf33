//! A transaction charges the account, or credits it.

use billing::journal::EntryKind;
use jsonapi::{Error, Fault, Input, Record, validation_errors};
use store::Tx;

use super::ENDPOINT;
use super::resource::TRANSACTIONS;
use crate::accounts::{ACCOUNTS, faults_of_stored};
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::journal;
use crate::rest::{Draft, faults_of, insert};
use crate::services::SERVICES;

/// Charges an account, whatever its limits (contract, resources 11).
///
/// # Errors
/// 422 with the broken rules, or why the account cannot be charged.
pub async fn charge(
    tx: &mut Tx,
    caller: &Caller,
    input: &Input,
    moment: Moment,
) -> Result<Record, ApiError> {
    let draft = Draft::of_create(&TRANSACTIONS, input);
    if is_anothers_service(tx, &draft).await? {
        let mut faults = faults_of(tx, &ENDPOINT, &draft).await?;
        faults.push(Fault::on("service", "belongs to different account"));
        return Err(validation_errors(&TRANSACTIONS, &faults).into());
    }
    // Locked before a row points at it, so that of two charges one waits for the other.
    let account = match draft.link("account") {
        Some(id) => tx.find(&ACCOUNTS, id).await?,
        None => None,
    };
    let transaction = insert(tx, caller, &ENDPOINT, draft, moment).await?;
    let account = account.ok_or_else(Error::save_failed)?;
    let wrong = faults_of_stored(&account);
    if !wrong.is_empty() {
        return Err(unable(&wrong));
    }
    let amount = -TRANSACTIONS.value(&transaction, "amount").as_decimal().unwrap_or_default();
    let (kind, cause) = (EntryKind::Transaction, Some((TRANSACTIONS.kind, transaction.key())));
    let posted = journal::post(tx, caller, &account, kind, amount, cause, moment).await;
    posted
        .map_err(|error| error.or(|| unable(&[Fault::on("balance", "would be out of range")])))?;
    Ok(transaction)
}

async fn is_anothers_service(tx: &mut Tx, draft: &Draft) -> Result<bool, ApiError> {
    let (Some(account), Some(service)) = (draft.link("account"), draft.link("service")) else {
        return Ok(false);
    };
    let service = tx.read(&SERVICES, service).await?;
    Ok(service.is_some_and(|service| service.links[0] != Some(account)))
}

/// What is wrong with the account, each fault as a sentence (contract, resources 11).
fn unable(faults: &[Fault]) -> ApiError {
    let sentences: Vec<String> = faults.iter().map(Fault::sentence).collect();
    Error::base(format!("Unable to charge account: {}", sentences.join(", "))).into()
}
