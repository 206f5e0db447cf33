//! Sends what is due to a contact, one mail at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonapi::{Record, Value};
use minijinja::Value as Facts;
use serde_json::json;
use store::{Snapshot, StoreError};
use tokio::time::Instant;

use super::facts::{LISTED_MAX, facts_of_digest, facts_of_event};
use super::log::LogEntry;
use super::message::{Enclosure, Parts, compose};
use super::smtp::{Answer, Server, Trouble, address};
use super::templates::{DIGEST, EMAIL_TEMPLATES, Letter, write};
use crate::app::App;
use crate::contacts::CONTACTS;
use crate::contractors::CONTRACTORS;
use crate::events::{EVENTS, EventKind, HIGH_CLEARED, HIGH_REACHED, LOW_CLEARED, LOW_REACHED};
use crate::outbox::{Attempt, DELIVERIES, Due, Outcome, Served, count, mark};
use crate::smtp_connections::SMTP_CONNECTIONS;

/// What the limit of mails to a contact is for.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// Deliveries that one digest is for; what is more comes with the next one.
const DIGEST_MAX: u32 = 500;
/// SMTP connections that are looked through for a global one.
const CONNECTIONS_MAX: u32 = 10_000;
/// More than there are kinds of texts.
const TEMPLATES_MAX: u32 = 100;

/// Sends the first mail that is due, or says until when it has to wait. What the next one needs is
/// looked up when it is sent.
///
/// # Errors
/// When something cannot be read, or what became of the attempt cannot be written down.
pub async fn serve(app: &Arc<App>, due: Vec<Due>) -> Result<Served, StoreError> {
    let Some(first) = due.into_iter().next() else { return Ok(Served::All) };
    if let Some(outcome) = not_to_be_sent(app, &first) {
        return settle(app, Mail::bare(vec![first.delivery]), outcome).await;
    }
    let Some(contact) = first.delivery.links[2] else {
        let outcome = Outcome::Refused("it is to no contact".to_owned());
        return settle(app, Mail::bare(vec![first.delivery]), outcome).await;
    };
    let limit = app.delivering.mails_per_hour;
    let held_until = match app.store.nth_latest_mail(contact, limit).await? {
        Some(sent) => sent + WINDOW,
        None => Timestamp::MIN,
    };
    if held_until > app.now() {
        return Ok(Served::Until(held_until));
    }
    let since = DELIVERIES.value(&first.delivery, "queued-at").as_time();
    let told = if since.is_some_and(|since| held_until > since) {
        // It has waited for the limit, and with it what has joined the line meanwhile.
        everything_in_line(app, first).await?
    } else {
        vec![first]
    };
    let desk = Desk::of(app, contact).await?;
    let mut mail = Mail::about(app, told, &desk);
    let outcome = mail.send(app, &desk).await;
    settle(app, mail, outcome).await
}

/// What becomes of a delivery that is not for sending.
fn not_to_be_sent(app: &App, due: &Due) -> Option<Outcome> {
    let Some(event) = &due.event else {
        return Some(Outcome::Refused("the event is gone".to_owned()));
    };
    let kind = EVENTS.value(event, "event-type").as_text().and_then(EventKind::named);
    let of_account = [&LOW_REACHED, &LOW_CLEARED, &HIGH_REACHED, &HIGH_CLEARED];
    let is_of_account = kind.is_some_and(|kind| of_account.contains(&kind));
    (is_of_account && !app.delivering.account_notifications).then(|| {
        let why = "accounts' own contacts are not mailed (account_notifications is off)";
        Outcome::Suppressed(why.to_owned())
    })
}

/// The deliveries that wait behind the first one, as far as they are for sending.
async fn everything_in_line(app: &Arc<App>, first: Due) -> Result<Vec<Due>, StoreError> {
    let line = DELIVERIES.value(&first.delivery, "line").as_text().unwrap_or_default().to_owned();
    let waiting =
        app.store.waiting_in_line(&DELIVERIES, &EVENTS, &line, (0, 0), DIGEST_MAX).await?;
    let due = |(delivery, event)| Due { delivery, event };
    let mut all: Vec<Due> = waiting.into_iter().map(due).collect();
    all.retain(|due| not_to_be_sent(app, due).is_none());
    // Another node may have been quicker.
    Ok(if all.is_empty() { vec![first] } else { all })
}

/// What a mail to a contact needs of the database.
struct Desk {
    contact: Option<Record>,
    connection: Option<Record>,
    templates: Vec<Record>,
}

impl Desk {
    async fn of(app: &App, contact: i64) -> Result<Self, StoreError> {
        app.store
            .look(async move |snapshot| {
                let contact = snapshot.find(&CONTACTS, contact).await?;
                let connection = match &contact {
                    Some(contact) => connection_for(snapshot, contact).await?,
                    None => None,
                };
                let templates = snapshot.following(&EMAIL_TEMPLATES, 0, TEMPLATES_MAX).await?;
                Ok(Self { contact, connection, templates })
            })
            .await
    }

    fn template(&self, event_type: &str) -> Option<&Record> {
        let is_for = |template: &&Record| {
            EMAIL_TEMPLATES.value(template, "event-type").as_text() == Some(event_type)
        };
        self.templates.iter().find(is_for)
    }
}

/// The contractor's own connection, else the first global one (contract, resources 5).
async fn connection_for(
    snapshot: &Snapshot<'_>,
    contact: &Record,
) -> Result<Option<Record>, StoreError> {
    let contractor = match contact.links[0] {
        Some(contractor) => snapshot.find(&CONTRACTORS, contractor).await?,
        None => None,
    };
    if let Some(own) = contractor.and_then(|contractor| contractor.links[0])
        && let Some(own) = snapshot.find(&SMTP_CONNECTIONS, own).await?
    {
        return Ok(Some(own));
    }
    let all = snapshot.following(&SMTP_CONNECTIONS, 0, CONNECTIONS_MAX).await?;
    let is_global =
        |server: &Record| SMTP_CONNECTIONS.value(server, "global") == &Value::Bool(true);
    Ok(all.into_iter().find(is_global))
}

/// A mail on its way, with what is to be written down of it.
struct Mail {
    deliveries: Vec<Record>,
    /// The event, unless it is a digest.
    event: Option<i64>,
    contact: Option<i64>,
    connection: Option<i64>,
    from: Option<String>,
    to: String,
    message_id: Option<String>,
    /// What it says; without it there is nothing to log.
    letter: Option<Letter>,
    enclosure: Option<Enclosure>,
    answer: Option<Answer>,
    took: Duration,
}

impl Mail {
    /// Nothing but deliveries that come to their end.
    fn bare(deliveries: Vec<Record>) -> Self {
        Self {
            deliveries,
            event: None,
            contact: None,
            connection: None,
            from: None,
            to: String::new(),
            message_id: None,
            letter: None,
            enclosure: None,
            answer: None,
            took: Duration::ZERO,
        }
    }

    /// One event, or a digest of several.
    fn about(app: &App, told: Vec<Due>, desk: &Desk) -> Self {
        let (deliveries, events): (Vec<_>, Vec<_>) =
            told.into_iter().map(|due| (due.delivery, due.event)).unzip();
        let events: Vec<Record> = events.into_iter().flatten().collect();
        let (event_type, facts, enclosure) = subject_matter(&events);
        let contact = desk.contact.as_ref();
        let to = contact.and_then(|contact| CONTACTS.value(contact, "email").as_text());
        let connection = desk.connection.as_ref();
        let from =
            connection.and_then(|server| SMTP_CONNECTIONS.value(server, "from-address").as_text());
        Self {
            event: if let [event] = &events[..] { Some(event.key()) } else { None },
            contact: contact.map(Record::key),
            connection: connection.map(Record::key),
            from: from.map(str::to_owned),
            to: to.unwrap_or_default().to_owned(),
            message_id: from.map(|from| message_id(app, &deliveries, from)),
            letter: contact.map(|_| write(event_type, desk.template(event_type), &facts)),
            enclosure: Some(enclosure),
            ..Self::bare(deliveries)
        }
    }

    /// Sends it, and says how that ended.
    async fn send(&mut self, app: &App, desk: &Desk) -> Outcome {
        let refused = |why: &str| Outcome::Refused(why.to_owned());
        let Some(letter) = &self.letter else { return refused("the contact is gone") };
        let Some(connection) = &desk.connection else {
            return refused("there is no SMTP connection for the contact");
        };
        let Some(to) = address(&self.to) else {
            return Outcome::Refused(format!("{:?} is not an address", self.to));
        };
        let server = match Server::of(app, connection) {
            Ok(server) => server,
            Err(why) => return Outcome::Failed(why),
        };
        let parts = Parts {
            from: &server.sender,
            to: &to,
            message_id: self.message_id.as_deref().unwrap_or_default(),
            letter,
            enclosure: self.enclosure.as_ref(),
            now: app.now(),
        };
        let message = match compose(&parts) {
            Ok(message) => message,
            Err(why) => return Outcome::Refused(why),
        };
        let began = Instant::now();
        let sent = server.send(&to, &message).await;
        self.took = began.elapsed();
        match sent {
            Ok(answer) => {
                self.answer = Some(answer);
                Outcome::Delivered
            }
            Err(Trouble { reason, answer, is_final }) => {
                self.answer = answer;
                if is_final { Outcome::Refused(reason) } else { Outcome::Failed(reason) }
            }
        }
    }

    fn attempt(&self, outcome: Outcome) -> Attempt {
        let request = self.letter.as_ref().map(|letter| {
            let sent = json!({
                "from": self.from,
                "to": self.to,
                "subject": letter.subject,
                "message-id": self.message_id,
            });
            sent.to_string().into_boxed_str()
        });
        Attempt {
            deliveries: self.deliveries.clone(),
            outcome,
            request,
            status: self.answer.as_ref().map(|answer| i64::from(answer.code)),
            response: self.answer.as_ref().map(|answer| answer.line.clone()),
            took: self.took,
        }
    }

    fn log(&self, outcome: &Outcome, now: Timestamp) -> Option<LogEntry> {
        let letter = self.letter.as_ref()?;
        let attempts = self
            .deliveries
            .iter()
            .filter_map(|delivery| DELIVERIES.value(delivery, "attempts").as_int());
        Some(LogEntry {
            from: self.from.clone(),
            to: self.to.clone(),
            letter: letter.clone(),
            attachment: self.enclosure.as_ref().map(|enclosure| enclosure.name),
            attempt: attempts.max().unwrap_or_default() + 1,
            response: self.answer.as_ref().map(|answer| answer.line.clone()),
            error: match outcome {
                Outcome::Delivered => None,
                Outcome::Failed(why) | Outcome::Refused(why) | Outcome::Suppressed(why) => {
                    Some(why.clone())
                }
            },
            message_id: self.message_id.clone(),
            links: vec![self.contact, self.connection, self.event],
            now,
        })
    }
}

/// What a mail about these events is: the kind of its text, what that may tell, and the file.
fn subject_matter(events: &[Record]) -> (&str, Facts, Enclosure) {
    let data = |event: &Record| match EVENTS.value(event, "data") {
        Value::Json(data) => data.to_string(),
        _ => "null".to_owned(),
    };
    if let [event] = events {
        let event_type = EVENTS.value(event, "event-type").as_text().unwrap_or_default();
        let enclosure = Enclosure { name: "event.json", json: data(event) };
        return (event_type, facts_of_event(event), enclosure);
    }
    let listed = &events[..events.len().min(LISTED_MAX)];
    let all: Vec<String> = listed.iter().map(data).collect();
    let enclosure = Enclosure { name: "events.json", json: format!("[{}]", all.join(",")) };
    (DIGEST, facts_of_digest(listed, events.len()), enclosure)
}

/// The same for every attempt at the same deliveries, and no other mail's, wherever it comes from.
fn message_id(app: &App, deliveries: &[Record], from: &str) -> String {
    let keys: Vec<String> = deliveries.iter().map(|delivery| delivery.key().to_string()).collect();
    let parts: Vec<&[u8]> =
        std::iter::once("mail").chain(keys.iter().map(String::as_str)).map(str::as_bytes).collect();
    let mark = app.fingerprint(&parts);
    let mark = mark.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let domain = from.rsplit('@').next().unwrap_or_default();
    let first = keys.first().map_or("", String::as_str);
    let kind = if keys.len() > 1 { "digest" } else { "delivery" };
    format!("<{kind}-{first}.{mark:016x}@{domain}>")
}

/// Writes down how an attempt ended: of the deliveries, and in the log of mails.
async fn settle(app: &App, mail: Mail, outcome: Outcome) -> Result<Served, StoreError> {
    let now = app.now();
    let served = match outcome {
        Outcome::Failed(_) => Served::Failed { anew: false },
        _ => Served::Some,
    };
    let (entry, attempt) = (mail.log(&outcome, now), Arc::new(mail.attempt(outcome)));
    let kept = Arc::clone(&attempt);
    app.store
        .write(async move |tx| {
            if let Some(entry) = &entry {
                entry.write(tx).await?;
            }
            mark(tx, &kept, now).await
        })
        .await?;
    count(&attempt);
    Ok(served)
}
