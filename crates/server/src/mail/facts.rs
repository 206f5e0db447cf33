//! What texts of mails may tell: the variables, and where they come from.

use std::collections::BTreeMap;

use billing::timezone;
use jiff::Timestamp;
use jsonapi::Record;
use minijinja::Value;
use serde_json::{Map, Value as Json, json};

use crate::accounts::ACCOUNTS;
use crate::events::{
    ALERT_CLEARED, ALERT_RAISED, DELIVERY_DEAD_LETTERED, EVENTS, EventKind, HIGH_CLEARED,
    HIGH_REACHED, LOW_CLEARED, LOW_REACHED,
};

/// Everything that a text may use. In a digest, all but the last three are null, and each of its
/// `events` has all the others.
pub const VARIABLES: &[(&str, &str)] = &[
    ("event_type", "The event's name, spelled right."),
    ("title", "What happened, in a few words: `low balance`."),
    ("meaning", "What happened, in a sentence."),
    ("advice", "What to do about it; null where there is nothing to do."),
    ("time", "When, in the account's time zone, with its abbreviation."),
    ("time_utc", "When, in UTC, as the API shows times."),
    ("account_id", "The account's id; null where the event is about none."),
    ("account_name", "Its name."),
    ("balance", "Its balance then."),
    ("floor", "Its `min-balance`."),
    ("ceiling", "Its `max-balance`."),
    ("low_threshold", "Its low threshold."),
    ("high_threshold", "Its high threshold."),
    ("threshold", "The threshold or alert value that the event is about."),
    ("alert_id", "The alert's id; null where the event is about none."),
    ("alert_name", "The alert's name, or its kind and value."),
    ("alert_kind", "`low`, `high` or `forecast`."),
    ("alert_percentage", "The alert's percentage."),
    ("data", "All of the event's data, by its own names: `data.external_id`."),
    ("count", "How many events a digest tells of."),
    ("events", "The first of them, up to 100."),
    ("more", "How many of them it does not list."),
];

/// Most events that a digest lists.
pub const LISTED_MAX: usize = 100;
/// What to do about a low balance.
const TOP_UP: &str = "Calls may be refused once the balance is down at the floor. To top up, pay as \
    agreed and name the account's id; the payment counts as soon as it is posted.";

/// The variables of one event.
#[must_use]
pub fn facts_of_event(event: &Record) -> Value {
    let text = |name| EVENTS.value(event, name).as_text().unwrap_or_default();
    let data = match EVENTS.value(event, "data") {
        jsonapi::Value::Json(data) => serde_json::from_str(data).unwrap_or_default(),
        _ => Json::Null,
    };
    let time = EVENTS.value(event, "created-at").as_time().unwrap_or_default();
    one_event(text("event-type"), time, event.links[0], &data)
}

/// The variables of a digest of so many events, of which these are the first.
#[must_use]
pub fn facts_of_digest(first: &[Record], count: usize) -> Value {
    digest(first.iter().map(facts_of_event).collect(), count)
}

/// What a text is tried with that is for this kind of event, or for the digest.
#[must_use]
pub fn sample(event_type: &str) -> Value {
    let of_kind =
        |kind: &EventKind| one_event(kind.name, Timestamp::UNIX_EPOCH, Some(4), &sample_data(kind));
    match EventKind::named(event_type) {
        Some(kind) => of_kind(kind),
        None => digest(vec![of_kind(&LOW_REACHED), of_kind(&ALERT_RAISED)], 2),
    }
}

/// Data of an event as a text may expect them: every column of an account, and what else there is.
fn sample_data(kind: &EventKind) -> Json {
    let name = |name: &str| name.replace('-', "_");
    let told = ACCOUNTS.attributes.iter().filter(|attribute| attribute.audited);
    let attributes = told.map(|attribute| name(attribute.name));
    let links = ACCOUNTS.relationships.iter().map(|link| name(link.name) + "_id");
    let mut data: Map<String, Json> = attributes.chain(links).map(|n| (n, Json::Null)).collect();
    for (name, value) in [
        ("id", json!(4)),
        ("name", json!("Example <Carrier>")),
        ("balance", json!("9.5")),
        ("min_balance", json!("-10.0")),
        ("max_balance", json!("100.0")),
        ("balance_low_threshold", json!("10.0")),
        ("balance_high_threshold", json!("90.0")),
        ("timezone", json!("UTC")),
        ("external_id", json!(1004)),
        ("send_balance_notifications_to", json!(["noc@example.com"])),
    ] {
        data.insert(name.to_owned(), value);
    }
    let is_alert = kind == &ALERT_RAISED || kind == &ALERT_CLEARED;
    let (more, details) = if is_alert {
        let (name, value) = ("night reserve", "10.0");
        ("alert", json!({"id": 7, "name": name, "kind": "low", "value": value, "percentage": null}))
    } else if kind == &DELIVERY_DEAD_LETTERED {
        let names = ["webhook_id", "contact_id", "account_id", "event_id", "event_type", "error"];
        let mut details: Map<String, Json> =
            names.map(|name| (name.to_owned(), Json::Null)).into_iter().collect();
        details.insert("id".to_owned(), json!(9));
        details.insert("channel".to_owned(), json!("webhook"));
        details.insert("attempts".to_owned(), json!(30));
        ("delivery", Json::Object(details))
    } else {
        return Json::Object(data);
    };
    data.insert(more.to_owned(), details);
    Json::Object(data)
}

fn digest(listed: Vec<Value>, count: usize) -> Value {
    let mut facts: BTreeMap<&str, Value> =
        VARIABLES.iter().map(|(name, _)| (*name, Value::from(()))).collect();
    facts.insert("more", Value::from(count.saturating_sub(listed.len())));
    facts.insert("count", Value::from(count));
    facts.insert("events", Value::from(listed));
    Value::from_iter(facts)
}

fn one_event(name: &str, time: Timestamp, account: Option<i64>, data: &Json) -> Value {
    let kind = EventKind::named(name);
    let is_any = |kinds: &[&'static EventKind]| kind.is_some_and(|kind| kinds.contains(&kind));
    let alias = kind.map_or(name, |kind| kind.alias);
    let alert = &data["alert"];
    let threshold = if is_any(&[&LOW_REACHED, &LOW_CLEARED]) {
        &data["balance_low_threshold"]
    } else if is_any(&[&HIGH_REACHED, &HIGH_CLEARED]) {
        &data["balance_high_threshold"]
    } else {
        &alert["value"]
    };
    let is_low_alert = is_any(&[&ALERT_RAISED]) && alert["kind"] != "high";
    let advice = (is_any(&[&LOW_REACHED]) || is_low_alert).then_some(TOP_UP);
    let alert_name = match &alert["name"] {
        Json::Null if alert.is_object() => {
            let parts = [&alert["kind"], threshold].map(|part| part.as_str().unwrap_or_default());
            Value::from(parts.join(" ").trim())
        }
        name => one_line(name),
    };
    let or_null = |value: Option<&str>| value.map_or_else(|| Value::from(()), Value::from);
    let null = || Value::from(());
    Value::from_iter([
        ("event_type", Value::from(alias)),
        ("title", Value::from(title(alias))),
        ("meaning", or_null(kind.map(|kind| kind.meaning))),
        ("advice", or_null(advice)),
        ("time", Value::from(timezone::shown(time, data["timezone"].as_str().unwrap_or("UTC")))),
        ("time_utc", Value::from(time.to_string())),
        ("account_id", account.map_or_else(null, Value::from)),
        ("account_name", one_line(&data["name"])),
        ("balance", of_json(&data["balance"])),
        ("floor", of_json(&data["min_balance"])),
        ("ceiling", of_json(&data["max_balance"])),
        ("low_threshold", of_json(&data["balance_low_threshold"])),
        ("high_threshold", of_json(&data["balance_high_threshold"])),
        ("threshold", of_json(threshold)),
        ("alert_id", of_json(&alert["id"])),
        ("alert_name", alert_name),
        ("alert_kind", of_json(&alert["kind"])),
        ("alert_percentage", of_json(&alert["percentage"])),
        ("data", of_json(data)),
        ("count", null()),
        ("events", null()),
        ("more", null()),
    ])
}

/// What happened, in a few words: of thresholds as the reference says it, else the name in words.
fn title(alias: &str) -> String {
    match alias {
        "AccountLowThresholdReached" => return "low balance".to_owned(),
        "AccountLowThresholdCleared" => return "low balance cleared".to_owned(),
        "AccountHighThresholdReached" => return "high balance".to_owned(),
        "AccountHighThresholdCleared" => return "high balance cleared".to_owned(),
        _ => {}
    }
    let mut words = String::with_capacity(alias.len() + 8);
    for c in alias.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

/// A text without what would begin another line.
fn one_line(text: &Json) -> Value {
    match text.as_str() {
        Some(text) => Value::from(clean_line(text)),
        None => of_json(text),
    }
}

/// The same of any text: blanks of every kind and control characters become single spaces.
#[must_use]
pub fn clean_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// JSON as templates take it. Numbers go by their text: they are exact there.
fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::from(number.to_string()), Value::from)
        }
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(of_json).collect::<Vec<_>>()),
        Json::Object(members) => {
            members.iter().map(|(name, value)| (name.as_str(), of_json(value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::events::CATALOGUE;

    fn names(facts: &Value) -> BTreeSet<String> {
        facts.try_iter().unwrap().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_variable_is_there_and_no_other() {
        let all: BTreeSet<String> = VARIABLES.iter().map(|(name, _)| (*name).to_owned()).collect();
        for kind in CATALOGUE {
            assert_eq!(names(&sample(kind.name)), all, "{}", kind.name);
        }
        assert_eq!(names(&sample("digest")), all);
        assert_eq!(names(&one_event("?", Timestamp::UNIX_EPOCH, None, &Json::Null)), all);
    }

    #[test]
    fn an_event_tells_of_its_threshold_and_an_alert_of_its_value() {
        let fact = |kind: &EventKind, name: &str| sample(kind.name).get_attr(name).unwrap();
        assert_eq!(fact(&LOW_CLEARED, "threshold").as_str(), Some("10.0"));
        assert_eq!(fact(&HIGH_REACHED, "threshold").as_str(), Some("90.0"));
        assert_eq!(fact(&ALERT_RAISED, "threshold").as_str(), Some("10.0"));
        assert_eq!(fact(&ALERT_CLEARED, "title").as_str(), Some("balance alert cleared"));
        assert_eq!(fact(&LOW_REACHED, "event_type").as_str(), Some("AccountLowThresholdReached"));
        assert!(fact(&HIGH_REACHED, "advice").is_none() && !fact(&LOW_REACHED, "advice").is_none());
    }

    #[test]
    fn an_alert_without_a_name_is_called_by_what_it_is() {
        let data = json!({"alert": {"name": null, "kind": "low", "value": "10.0"}});
        let facts = one_event(ALERT_RAISED.name, Timestamp::UNIX_EPOCH, Some(4), &data);
        assert_eq!(facts.get_attr("alert_name").unwrap().as_str(), Some("low 10.0"));
    }

    #[test]
    fn names_are_one_line_and_numbers_exact() {
        let data: Json = serde_json::from_str(
            r#"{"name": " a\r\nBcc: x@y.zz\u2028\u0000b ", "external_id": 12345678901234567890.5}"#,
        )
        .unwrap();
        let facts = one_event("?", Timestamp::UNIX_EPOCH, Some(4), &data);
        let of = |value: Value, name| value.get_attr(name).unwrap();
        assert_eq!(of(facts.clone(), "account_name").as_str(), Some("a Bcc: x@y.zz b"));
        let exact = of(of(facts, "data"), "external_id");
        assert_eq!(exact.as_str(), Some("12345678901234567890.5"));
    }
}
