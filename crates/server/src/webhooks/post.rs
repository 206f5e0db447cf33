//! Posts what is due to a webhook.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use jsonapi::{Record, Value};
use serde_json::{Value as Json, json};
use store::{Errand, Needs, StoreError, Target, Tx};
use tokio::time::Instant;

use super::operations::switch_off;
use super::secret::sign;
use crate::app::App;
use crate::clock::Moment;
use crate::events::EVENTS;
use crate::http::Answer;
use crate::outbox::{
    Attempt, DELIVERIES, Due, Outcome, Served, WEBHOOKS, count, delivery_of, is_last, mark, settle,
};

/// How long deliveries read together are served: with what comes before it and the last answer,
/// well below the time that a line is claimed for.
const TURN: Duration = Duration::from_secs(15);
/// The status of an address that is gone for good: it wants no more events.
const GONE: u16 = 410;

/// Delivers what waits in a line, in its order, until an attempt fails. One that had failed for a
/// day makes room for the next. The last attempt is the caller's to write down, together with what
/// becomes of the line.
///
/// # Errors
/// When what became of another attempt cannot be written down.
pub async fn serve(app: &Arc<App>, due: Vec<Due>) -> Result<(Served, Option<Tried>), StoreError> {
    let began = Instant::now();
    let mut anew = false;
    let mut last: Option<Tried> = None;
    for due in due {
        if let Some(tried) = last.take() {
            tried.write_down(app).await?;
        }
        if began.elapsed() >= TURN {
            return Ok((Served::Some, None));
        }
        let webhook = match due.delivery.links[1] {
            // With its secrets, which no client is shown.
            Some(webhook) => app.store.find(&WEBHOOKS, webhook).await?,
            None => None,
        };
        let tried = attempt(app, due, webhook.as_ref()).await;
        let now = app.now();
        let failed = matches!(tried.attempt.outcome, Outcome::Failed(_));
        let waits = failed && !tried.attempt.deliveries.iter().all(|one| is_last(one, now));
        last = Some(tried);
        if waits {
            return Ok((Served::Failed { anew }, last));
        }
        anew = !failed;
    }
    Ok((Served::All, last))
}

/// Tries to post an errand's event for the first time, to its webhook, unless that is gone.
pub async fn run(app: &App, errand: &Errand, webhook: Option<&Record>) -> Tried {
    let event = Some(Record::clone(&errand.event));
    attempt(app, Due { delivery: delivery_of(errand), event }, webhook).await
}

/// An attempt that was made.
#[derive(Debug)]
pub struct Tried {
    attempt: Attempt,
    /// The webhook that has said that it is gone, and its address.
    gone: Option<(i64, String)>,
}

impl Tried {
    /// What [`Self::write`] is going to ask for.
    pub fn needs(&self) -> Needs {
        if self.attempt.outcome == Outcome::Delivered {
            return Needs::default();
        }
        let delivery = self.attempt.deliveries.first().map(Record::key);
        let target = delivery.map(|id| Target { resource: &DELIVERIES, id });
        Needs { target, answer: None }
    }

    /// Writes down what became of the attempt, and switches a webhook off that is gone.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn write(&self, tx: &mut Tx, moment: Moment) -> Result<(), StoreError> {
        self.heed(tx, moment).await?;
        mark(tx, &self.attempt, moment.now).await
    }

    /// As [`Self::write`], of an attempt that was the first. `chance` is 0 to 1023.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn settle(
        &self,
        tx: &mut Tx,
        errand: &Errand,
        chance: u32,
        moment: Moment,
    ) -> Result<(), StoreError> {
        self.heed(tx, moment).await?;
        settle(tx, errand, &self.attempt, chance, moment.now).await
    }

    async fn heed(&self, tx: &mut Tx, moment: Moment) -> Result<(), StoreError> {
        match &self.gone {
            Some((webhook, url)) => switch_off(tx, *webhook, url, moment).await,
            None => Ok(()),
        }
    }

    /// Counts it in the metrics, now that it is written down.
    pub fn count(&self) {
        count(&self.attempt);
    }

    /// Does all that, in a transaction of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn write_down(self, app: &App) -> Result<(), StoreError> {
        let (tried, moment) = (Arc::new(self), app.moment());
        let written = Arc::clone(&tried);
        let operation = async move |tx: &mut Tx| written.write(tx, moment).await;
        app.store.write_with::<_, StoreError, _>(tried.needs(), operation).await?;
        tried.count();
        Ok(())
    }
}

/// What is posted.
struct Message {
    url: String,
    /// The names in the order of the standard, then ours.
    headers: [(&'static str, String); 4],
    body: String,
}

async fn attempt(app: &App, due: Due, webhook: Option<&Record>) -> Tried {
    let Due { delivery, event } = due;
    let id = delivery.links[1];
    let mut attempt = Attempt {
        deliveries: vec![delivery],
        outcome: Outcome::Delivered,
        request: None,
        status: None,
        response: None,
        took: Duration::ZERO,
    };
    let message = match message(app, webhook, event.as_ref()) {
        Ok(message) => message,
        Err(outcome) => {
            attempt.outcome = outcome;
            return Tried { attempt, gone: None };
        }
    };
    attempt.request = Some(message.shown());
    let url = message.url.clone();
    let began = Instant::now();
    let answer = post(app, message).await;
    attempt.took = began.elapsed();
    let mut gone = None;
    attempt.outcome = match answer {
        Ok(answer) => {
            gone = id.filter(|_| answer.status == GONE).map(|webhook| (webhook, url));
            attempt.status = Some(i64::from(answer.status));
            attempt.response = Some(answer.beginning);
            judge(answer.status)
        }
        Err(why) => Outcome::Failed(why),
    };
    Tried { attempt, gone }
}

/// What a status means for a delivery.
fn judge(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Delivered,
        GONE => Outcome::Refused("the answer was 410: the webhook was switched off".to_owned()),
        300..=399 => {
            Outcome::Failed(format!("the answer was {status}: redirects are not followed"))
        }
        _ => Outcome::Failed(format!("the answer was {status}")),
    }
}

/// What is to be posted, signed as of now; or why nothing is.
fn message(
    app: &App,
    webhook: Option<&Record>,
    event: Option<&Record>,
) -> Result<Message, Outcome> {
    let refused = |why: &str| Outcome::Refused(why.to_owned());
    let failed = |why: &str| Outcome::Failed(why.to_owned());
    let webhook = webhook.ok_or_else(|| refused("the webhook was deleted"))?;
    let event = event.ok_or_else(|| refused("the event was deleted"))?;
    if WEBHOOKS.value(webhook, "active") != &Value::Bool(true) {
        return Err(failed("the webhook is switched off"));
    }
    let url = WEBHOOKS.value(webhook, "url").as_text().unwrap_or_default().to_owned();
    let (id, now) = (event.key().to_string(), app.now());
    let body = body(event);
    let signatures: Option<Vec<String>> = secrets(webhook, now)
        .map(|sealed| sign(&app.open_text(sealed)?, &id, now.as_second(), &body))
        .collect();
    let signatures = signatures.filter(|made| !made.is_empty()).ok_or_else(|| {
        failed("the webhook's secret cannot be read: the server's own is another one now")
    })?;
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signatures.join(" ")),
        ("content-type", "application/json".to_owned()),
    ];
    Ok(Message { url, headers, body })
}

/// The secrets that sign at this time, encrypted, the newest first.
fn secrets(webhook: &Record, now: Timestamp) -> impl Iterator<Item = &str> {
    let text = |name| WEBHOOKS.value(webhook, name).as_text();
    let until = WEBHOOKS.value(webhook, "previous-secret-until").as_time();
    let previous = text("previous-secret").filter(|_| until.is_some_and(|until| now < until));
    [text("secret"), previous].into_iter().flatten()
}

/// The event as it is posted. What is stored as JSON goes out as it is: no number is read on the
/// way.
fn body(event: &Record) -> String {
    let value = |name| EVENTS.value(event, name);
    let text = |name| Json::from(value(name).as_text().unwrap_or_default());
    let json = |name| match value(name) {
        Value::Json(json) => json,
        _ => "null",
    };
    let time = value("created-at").as_time().unwrap_or_default();
    format!(
        r#"{{"id":"{}","event_type":{},"event_type_alias":{},"event_data":{},"event_time":"{}","account":{}}}"#,
        event.key(),
        text("event-type"),
        text("event-type-alias"),
        json("data"),
        time.strftime("%Y-%m-%d %H:%M:%S UTC"),
        json("document"),
    )
}

impl Message {
    /// As it is kept in the delivery.
    fn shown(&self) -> Box<str> {
        let headers: serde_json::Map<String, Json> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({"url": self.url, "headers": headers, "body": self.body}).to_string().into_boxed_str()
    }
}

async fn post(app: &App, message: Message) -> Result<Answer, String> {
    let outbound = app.outbound().await.map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "nothing can be posted to webhooks");
        "the server cannot post".to_owned()
    })?;
    let mut headers = HeaderMap::new();
    for (name, value) in message.headers {
        let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static(name), value);
    }
    let answer = outbound.post(&message.url, headers, message.body).await;
    answer.map_err(|unanswered| unanswered.to_string())
}
