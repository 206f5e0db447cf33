//! An event, and a delivery for everybody who wants to hear of it, in the transaction that makes it
//! happen.

use std::sync::Arc;

use jiff::Timestamp;
use jsonapi::{Base, Id, Included, Query, Record, Value, Visibility, write_member, write_value};
use serde_json::{Map, Value as Json};
use store::{Errand, StoreError, Tx};

use super::delivery::{DELIVERIES, EMAIL, PENDING, WEBHOOK};
use super::webhook::WEBHOOKS;
use crate::accounts::ACCOUNTS;
use crate::contacts::CONTACTS;
use crate::contractors::CONTRACTORS;
use crate::events::{EVENTS, EventKind};
use crate::smtp_connections::SMTP_CONNECTIONS;

/// The contacts that are mailed of an account's thresholds.
const RECIPIENTS: &str = "send-balance-notifications-to";

/// Something that has happened.
#[derive(Clone, Debug)]
pub struct News<'a> {
    /// What.
    pub kind: &'static EventKind,
    /// The account that it happened to, as it is now, or was last.
    pub account: Option<&'a Record>,
    /// What else is to be told: beside the account's columns, or alone.
    pub details: Map<String, Json>,
    /// When.
    pub now: Timestamp,
}

/// Writes an event down, with an errand or a delivery for every webhook that wants it. `None`
/// where nobody wants an event that is not always written.
///
/// # Errors
/// When a statement fails.
pub async fn tell(tx: &mut Tx, news: News<'_>) -> Result<Option<Arc<Record>>, StoreError> {
    let webhooks = tx.all(&WEBHOOKS).await?;
    let wanting: Vec<i64> =
        webhooks.iter().filter(|hook| wants(hook, news.kind)).map(Record::key).collect();
    if wanting.is_empty() && !news.kind.always {
        return Ok(None);
    }
    let event = write(tx, &news, !wanting.is_empty()).await?;
    for webhook in wanting {
        if !tx.add_errand(webhook, &event, news.now).await? {
            deliver_to_webhook(tx, webhook, (event.key(), event.links[0]), news.now).await?;
        }
    }
    Ok(Some(event))
}

/// Whether any webhook wants to hear of such events: if none does, what is told of them need not
/// be put together.
///
/// # Errors
/// When a statement fails.
pub async fn is_wanted(tx: &mut Tx, kind: &EventKind) -> Result<bool, StoreError> {
    Ok(tx.all(&WEBHOOKS).await?.iter().any(|hook| wants(hook, kind)))
}

/// Writes an event down for one webhook alone, whatever that one and others want; the delivery.
///
/// # Errors
/// When a statement fails.
pub async fn tell_only(tx: &mut Tx, webhook: i64, news: News<'_>) -> Result<Record, StoreError> {
    let event = write(tx, &news, true).await?;
    deliver_to_webhook(tx, webhook, (event.key(), event.links[0]), news.now).await
}

/// As [`tell`], to no webhook: for what is to be mailed only.
///
/// # Errors
/// When a statement fails.
pub async fn write_down(tx: &mut Tx, news: News<'_>) -> Result<Arc<Record>, StoreError> {
    write(tx, &news, false).await
}

/// Whether a webhook is to hear of such events.
fn wants(webhook: &Record, kind: &EventKind) -> bool {
    let value = |name| WEBHOOKS.value(webhook, name);
    if value("active") != &Value::Bool(true) {
        return false;
    }
    let Value::Json(events) = value("events") else { return false };
    let events: Vec<String> = serde_json::from_str(events).unwrap_or_default();
    events.iter().any(|event| event == "*" || event == kind.name || event == kind.alias)
}

async fn write(tx: &mut Tx, news: &News<'_>, is_posted: bool) -> Result<Arc<Record>, StoreError> {
    let mut data = Vec::with_capacity(1_024);
    if let Some(account) = news.account {
        write_columns(tx, account, &mut data).await?;
    }
    for (name, value) in &news.details {
        write_name(&mut data, name);
        data.extend(value.to_string().into_bytes());
    }
    if data.is_empty() {
        data.push(b'{');
    }
    data.push(b'}');
    let document = news.account.filter(|_| is_posted).map(account_document);
    let values = vec![
        Value::text(news.kind.name),
        Value::text(news.kind.alias),
        Value::Json(text(data)),
        Value::Time(news.now),
        document.map_or(Value::Null, Value::Json),
    ];
    let event = tx.insert(&EVENTS, values, vec![news.account.map(Record::key)]).await?;
    Ok(Arc::new(event))
}

/// Writes the account's columns into an object that is yet to be closed, by the names that the
/// reference's events have, recipients as addresses (contract, resources 20).
async fn write_columns(tx: &mut Tx, account: &Record, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let mut recipients = Vec::new();
    for id in recipients_of(account) {
        let contact = tx.read(&CONTACTS, *id).await?;
        let email = contact.as_ref().and_then(|found| CONTACTS.value(found, "email").as_text());
        recipients.extend(email.map(Json::from));
    }
    let recipients = Value::Json(Json::Array(recipients).to_string().into_boxed_str());
    write_name(out, "id");
    write_value(out, &Value::Int(account.key()));
    for (attribute, value) in ACCOUNTS.attributes.iter().zip(&account.values) {
        // What the reference does not have is told only where it says something.
        let is_ours = attribute.visibility == Visibility::WhenSet;
        if !attribute.audited || is_ours && value == &Value::Null {
            continue;
        }
        write_name(out, attribute.name);
        write_value(out, if attribute.name == RECIPIENTS { &recipients } else { value });
    }
    for (relationship, link) in ACCOUNTS.relationships.iter().zip(&account.links) {
        write_name(out, &format!("{}_id", relationship.name));
        write_value(out, &link.map_or(Value::Null, Value::Int));
    }
    Ok(())
}

/// Writes the name of an object's next member: plain letters, of ours.
fn write_name(out: &mut Vec<u8>, name: &str) {
    out.extend(if out.is_empty() { b"{\"" } else { b",\"" });
    out.extend(name.bytes().map(|byte| if byte == b'-' { b'_' } else { byte }));
    out.extend(b"\":");
}

/// Bytes that were written as text.
fn text(bytes: Vec<u8>) -> Box<str> {
    String::from_utf8(bytes).unwrap_or_default().into_boxed_str()
}

/// The contacts that are mailed of an account's thresholds.
fn recipients_of(account: &Record) -> &[i64] {
    match ACCOUNTS.value(account, RECIPIENTS) {
        Value::Ids(ids) => ids,
        _ => &[],
    }
}

/// The account's own document, links relative to the server.
fn account_document(account: &Record) -> Box<str> {
    let base = Base(crate::API_PREFIX.to_owned());
    let query = Query::plain(&ACCOUNTS);
    text(write_member(&base, &ACCOUNTS, Some(account), &query, &Included::default()))
}

/// Adds a delivery of an event, which has an id and perhaps an account, to a webhook.
///
/// # Errors
/// When a statement fails.
pub async fn deliver_to_webhook(
    tx: &mut Tx,
    webhook: i64,
    (event, account): (i64, Option<i64>),
    now: Timestamp,
) -> Result<Record, StoreError> {
    let line = webhook_line(webhook, account);
    let links = vec![Some(event), Some(webhook), None, account];
    enqueue(tx, WEBHOOK, &line, &webhook_target(webhook), links, now).await
}

/// The delivery that an errand would be if it waited in its line; it has no id.
#[must_use]
pub fn delivery_of(errand: &Errand) -> Record {
    let account = errand.event.links[0];
    let since = EVENTS.value(&errand.event, "created-at").as_time().unwrap_or(errand.until);
    Record {
        id: Id::Int(0),
        values: pending(WEBHOOK, &webhook_line(errand.webhook(), account), since),
        links: vec![Some(errand.event.key()), Some(errand.webhook()), None, account],
    }
}

/// Adds a mail of an event to each of these contacts, once. Contacts without a mail server of
/// their contractor's, where there is no global one either, get none (contract, resources 5).
///
/// # Errors
/// When a statement fails.
pub async fn mail(
    tx: &mut Tx,
    event: &Record,
    contacts: &[i64],
    now: Timestamp,
) -> Result<(), StoreError> {
    let servers = tx.all(&SMTP_CONNECTIONS).await?;
    if servers.is_empty() {
        return Ok(());
    }
    let is_global =
        |server: &&Record| SMTP_CONNECTIONS.value(server, "global") == &Value::Bool(true);
    let global = servers.iter().find(is_global).map(Record::key);
    let account = event.links[0];
    for (at, contact) in contacts.iter().enumerate() {
        if contacts[..at].contains(contact) {
            continue;
        }
        let Some(found) = tx.read(&CONTACTS, *contact).await? else { continue };
        let contractor = match found.links[0] {
            Some(contractor) => tx.read(&CONTRACTORS, contractor).await?,
            None => None,
        };
        let own = contractor.and_then(|contractor| contractor.links[0]);
        let Some(server) = own.or(global) else { continue };
        let (line, target) = (mail_line(*contact), format!("mail server {server}"));
        let links = vec![Some(event.key()), None, Some(*contact), account];
        enqueue(tx, EMAIL, &line, &target, links, now).await?;
    }
    Ok(())
}

/// What is slow or away together, of a webhook.
pub fn webhook_target(webhook: i64) -> String {
    format!("webhook {webhook}")
}

/// All deliveries of one account to a webhook go one after another.
pub fn webhook_line(webhook: i64, account: Option<i64>) -> String {
    format!("{}, account {}", webhook_target(webhook), account.unwrap_or_default())
}

/// All mail to one contact goes one after another.
fn mail_line(contact: i64) -> String {
    format!("contact {contact}")
}

async fn enqueue(
    tx: &mut Tx,
    channel: &str,
    line: &str,
    target: &str,
    links: Vec<Option<i64>>,
    now: Timestamp,
) -> Result<Record, StoreError> {
    let delivery = tx.insert(&DELIVERIES, pending(channel, line, now), links).await?;
    tx.join_line(line, target, now, 0).await?;
    Ok(delivery)
}

/// The values of a delivery that waits since then.
fn pending(channel: &str, line: &str, since: Timestamp) -> Vec<Value> {
    let nothing_yet = std::iter::repeat_n(Value::Null, 6);
    [Value::text(channel), Value::text(PENDING), Value::Int(0), Value::Time(since)]
        .into_iter()
        .chain(nothing_yet)
        .chain([Value::text(line), Value::Time(since)])
        .collect()
}
