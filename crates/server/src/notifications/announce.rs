//! Crossed thresholds become rows: an event for whoever delivers, and a line of the log.

use billing::threshold::{Crossing, Pass};
use jsonapi::{Record, Value, snapshot};
use serde_json::{Map, Value as Json};
use store::{StoreError, Tx};

use super::resource::{BALANCE_NOTIFICATIONS, EVENTS};
use crate::accounts::ACCOUNTS;
use crate::clock::Moment;
use crate::contacts::CONTACTS;

/// Writes down what a look at the thresholds found, if it found anything.
///
/// # Errors
/// When a statement fails.
pub async fn announce(
    tx: &mut Tx,
    account: &Record,
    pass: Pass,
    moment: Moment,
) -> Result<(), StoreError> {
    for crossing in pass.crossings() {
        tell(tx, account, crossing, moment).await?;
    }
    Ok(())
}

async fn tell(
    tx: &mut Tx,
    account: &Record,
    crossing: Crossing,
    moment: Moment,
) -> Result<(), StoreError> {
    let event = vec![
        Value::text(crossing.event_type()),
        Value::text(crossing.event_type_alias()),
        Value::Json(data(tx, account).await?),
        Value::Time(moment.now),
    ];
    tx.insert(&EVENTS, event, vec![Some(account.key())]).await?;
    let value = |name| ACCOUNTS.value(account, name).clone();
    let notification = vec![
        Value::Int(crossing.id()),
        value("balance"),
        value("balance-low-threshold"),
        value("balance-high-threshold"),
        Value::Time(moment.now),
    ];
    tx.insert(&BALANCE_NOTIFICATIONS, notification, vec![Some(account.key())]).await?;
    Ok(())
}

/// The account's columns by the names that the reference's events have, recipients as addresses
/// (contract, resources 20).
async fn data(tx: &mut Tx, account: &Record) -> Result<Box<str>, StoreError> {
    let stored: Map<String, Json> =
        serde_json::from_str(&snapshot(&ACCOUNTS, account, None)).unwrap_or_default();
    let mut data = Map::with_capacity(stored.len() + 1);
    data.insert("id".to_owned(), account.key().into());
    for (name, value) in stored {
        let key = ACCOUNTS.relationship(&name).map_or("", |_| "_id");
        data.insert(name.replace('-', "_") + key, value);
    }
    let mut recipients = Vec::new();
    if let Value::Ids(ids) = ACCOUNTS.value(account, "send-balance-notifications-to") {
        for id in ids {
            let contact = tx.read(&CONTACTS, *id).await?;
            let email = contact.as_ref().and_then(|found| CONTACTS.value(found, "email").as_text());
            recipients.extend(email.map(Json::from));
        }
    }
    data.insert("send_balance_notifications_to".to_owned(), Json::Array(recipients));
    Ok(Json::Object(data).to_string().into_boxed_str())
}
