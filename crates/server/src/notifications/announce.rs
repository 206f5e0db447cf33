//! Crossed thresholds become rows: an event for whoever wants to hear of it, mail for the account's
//! contacts, and a line of the log.

use billing::threshold::{Crossing, Pass};
use jsonapi::{Record, Value};
use serde_json::Map;
use store::{StoreError, Tx};

use super::resource::BALANCE_NOTIFICATIONS;
use crate::accounts::{ACCOUNTS, is_muted};
use crate::clock::Moment;
use crate::events::EventKind;
use crate::outbox::{News, mail, tell};

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
        announce_one(tx, account, crossing, moment).await?;
    }
    Ok(())
}

async fn announce_one(
    tx: &mut Tx,
    account: &Record,
    crossing: Crossing,
    moment: Moment,
) -> Result<(), StoreError> {
    let value = |name| ACCOUNTS.value(account, name);
    let kind = EventKind::of(crossing);
    let news = News { kind, account: Some(account), details: Map::new(), now: moment.now };
    let event = tell(tx, news).await?;
    if let (Some(event), Value::Ids(contacts)) = (event, value("send-balance-notifications-to"))
        && !is_muted(account, moment.now)
    {
        mail(tx, &event, contacts, moment.now).await?;
    }
    let notification = vec![
        Value::Int(crossing.id()),
        value("balance").clone(),
        value("balance-low-threshold").clone(),
        value("balance-high-threshold").clone(),
        Value::Time(moment.now),
    ];
    tx.insert(&BALANCE_NOTIFICATIONS, notification, vec![Some(account.key())]).await?;
    Ok(())
}
