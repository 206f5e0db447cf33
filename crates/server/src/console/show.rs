//! The page of any record: all it has with a sentence each, what may be done with it, what belongs
//! to it, and who changed it.

use askama::Template;
use hyper::{Method, StatusCode};
use jsonapi::{Resource, SelfLink};
use serde_json::{Value as Json, json};

use super::cells::{Cell, Member, moment, title};
use super::list::fields;
use super::page::{Frame, heading, html, see_other};
use super::pairs::query;
use super::refusal::Refusal;
use super::visit::{Page, Visit, random_key};
use crate::api::ENDPOINTS;
use crate::audit::AUDIT_RECORDS;

/// Audit records of a page.
const CHANGES_MAX: &str = "20";

/// Something that can be done with a record, beyond its own form.
#[derive(Debug)]
pub struct Action {
    kind: &'static str,
    /// The word in the address.
    pub name: &'static str,
    /// What its button says.
    pub label: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What it asks for: the attribute that the API takes, and what it is called.
    pub asks: Option<(&'static str, &'static str)>,
    /// Where the API has it, for this record, if it can be done.
    target: fn(&Json) -> Option<String>,
}

/// All of them.
static ACTIONS: [Action; 5] = [
    Action {
        kind: "payments",
        name: "rollback",
        label: "Roll back",
        meaning: "Takes the payment back, once: the balance moves by the opposite of its amount.",
        asks: None,
        target: |record| {
            let is_completed = record["attributes"]["status"] == "completed";
            below(record, "payments", "rollback").filter(|_| is_completed)
        },
    },
    Action {
        kind: "smtp-connections",
        name: "test",
        label: "Send a test mail",
        meaning: "Sends a mail at once, and tells what the server says.",
        asks: Some(("to", "To")),
        target: |record| below(record, "smtp-connections", "test"),
    },
    Action {
        kind: "webhooks",
        name: "test",
        label: "Send a test event",
        meaning: "Posts an event to the address, signed like any other. Its fate is among the \
                  deliveries.",
        asks: None,
        target: |record| below(record, "webhooks", "test"),
    },
    Action {
        kind: "webhooks",
        name: "rotate-secret",
        label: "Rotate the secret",
        meaning: "Makes a new secret, shown once. For a day deliveries are signed with both.",
        asks: None,
        target: |record| below(record, "webhooks", "rotate-secret"),
    },
    Action {
        kind: "deliveries",
        name: "redeliver",
        label: "Deliver again",
        meaning: "Posts the same event once more, with the same id.",
        asks: None,
        target: |record| {
            let webhook = record["relationships"]["webhook"]["data"]["id"].as_str()?;
            let id = record["id"].as_str()?;
            Some(format!("/webhooks/{webhook}/deliveries/{id}/redeliver"))
        },
    },
];

fn below(record: &Json, kind: &str, name: &str) -> Option<String> {
    record["id"].as_str().map(|id| format!("/{kind}/{id}/{name}"))
}

/// A line of a record.
#[derive(Debug)]
pub struct Line {
    /// The name on the wire.
    pub name: &'static str,
    /// What it is called.
    pub label: String,
    /// One sentence about it.
    pub meaning: String,
    /// What the record has.
    pub cell: Cell,
    /// Where it can be changed in its place; empty where it cannot.
    pub edit: String,
}

/// A change of a record.
#[derive(Debug)]
pub struct Change {
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// From where, and in which request.
    pub from: String,
    /// What happened.
    pub event: String,
    /// What differs: a name, what was and what is.
    pub differences: Vec<(String, String, String)>,
}

/// A list of what belongs to a record.
#[derive(Debug)]
pub struct Belonging {
    /// What it is called.
    pub label: String,
    /// The list; empty where it cannot be narrowed to these.
    pub url: String,
    /// The form that adds one; empty where there is none.
    pub new: String,
}

#[derive(Template)]
#[template(path = "show.html")]
struct Show {
    frame: Frame,
    heading: String,
    url: String,
    kind: &'static str,
    kind_label: String,
    lines: Vec<Line>,
    actions: Vec<&'static Action>,
    belongings: Vec<Belonging>,
    changes: Vec<Change>,
    can_update: bool,
    can_delete: bool,
    notice: String,
    key: String,
}

/// Answers the page of a record.
///
/// # Errors
/// What the API refuses.
pub async fn show(visit: &Visit, resource: &'static Resource, id: &str) -> Page {
    let document = whole(visit, resource, id).await?;
    let record = &document["data"];
    let page = Show {
        frame: visit.frame(format!("{}: {}", heading(resource.kind), title(record))),
        heading: title(record),
        url: format!("/{}/{id}", resource.kind),
        kind: resource.kind,
        kind_label: heading(resource.kind),
        lines: lines(resource, &document),
        actions: actions(resource, record),
        belongings: belongings(resource, id),
        changes: changes(visit, resource, id).await?,
        can_update: resource.verbs.update,
        can_delete: resource.verbs.delete,
        notice: notice(resource, visit.param("done").unwrap_or_default()),
        key: random_key()?,
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// A record with all that it has, what it is related to included.
///
/// # Errors
/// What the API refuses.
pub async fn whole(visit: &Visit, resource: &'static Resource, id: &str) -> Result<Json, Refusal> {
    let members: Vec<Member> = Member::all(resource).collect();
    let (fields, include) = fields(resource, &members);
    let mut pairs = vec![(fields.0.as_str(), fields.1.as_str())];
    if !include.is_empty() {
        pairs.push(("include", &include));
    }
    let target = format!("/{}/{id}?{}", resource.kind, query(pairs));
    Ok(visit.get(&target).await?.json())
}

/// Everything that a record has.
#[must_use]
pub fn lines(resource: &'static Resource, document: &Json) -> Vec<Line> {
    Member::all(resource).map(|member| line(resource, document, &member)).collect()
}

/// One thing that a record has.
#[must_use]
pub fn line(resource: &'static Resource, document: &Json, member: &Member) -> Line {
    let record = &document["data"];
    let can_change = resource.verbs.update && member.is_updatable();
    let edit = || format!("/{}/{}/field/{}", resource.kind, shown(&record["id"]), member.name());
    Line {
        name: member.name(),
        label: member.label(),
        meaning: member.meaning(),
        cell: member.whole(record, document),
        edit: if can_change { edit() } else { String::new() },
    }
}

fn shown(id: &Json) -> &str {
    id.as_str().unwrap_or_default()
}

fn actions(resource: &Resource, record: &Json) -> Vec<&'static Action> {
    let of_kind = ACTIONS.iter().filter(|action| action.kind == resource.kind);
    of_kind.filter(|action| (action.target)(record).is_some()).collect()
}

/// The lists of what is related to a record, from all definitions.
#[must_use]
pub fn belongings(resource: &Resource, id: &str) -> Vec<Belonging> {
    let others = ENDPOINTS.iter().map(|endpoint| endpoint.resource);
    let pointing = others.flat_map(|other| {
        let links = other.relationships.iter();
        links.filter(|link| link.kind == resource.kind).map(move |link| (other, link))
    });
    pointing
        .map(|(other, link)| {
            let filter = match (link.filterable, link.as_key) {
                (true, _) => format!("filter[{}.id]", link.name),
                (_, true) => format!("filter[{}-id_eq]", link.name),
                _ => String::new(),
            };
            let list = format!("/{}?{}", other.kind, query([(filter.as_str(), id)]));
            let new = format!("/{}/new?{}", other.kind, query([(link.name, id)]));
            Belonging {
                label: heading(other.kind),
                url: if filter.is_empty() { filter } else { list },
                new: if other.verbs.create && link.creatable { new } else { String::new() },
            }
        })
        .filter(|belonging| !belonging.url.is_empty() || !belonging.new.is_empty())
        .collect()
}

/// Who changed a record, the latest first.
///
/// # Errors
/// What the API refuses.
pub async fn changes(visit: &Visit, resource: &Resource, id: &str) -> Result<Vec<Change>, Refusal> {
    if !resource.audited || resource.self_link != SelfLink::Member {
        return Ok(Vec::new());
    }
    let pairs = [
        ("filter[item-type]", resource.kind),
        ("filter[item-id_eq]", id),
        ("sort", "-id"),
        ("page[size]", CHANGES_MAX),
    ];
    let target = format!("/{}?{}", AUDIT_RECORDS.kind, query(pairs));
    let document = visit.get(&target).await?.json();
    let records = document["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(records.iter().map(|record| change(&record["attributes"])).collect())
}

fn change(record: &Json) -> Change {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let actor = text("actor");
    let (before, after) = (&record["before"], &record["after"]);
    let members = |state: &Json| {
        state.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let mut names = members(before);
    names.extend(members(after).into_iter().filter(|name| before.get(name).is_none()));
    let shown = |state: &Json, name: &str| match &state[name] {
        Json::Null => "–".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let differences = names
        .into_iter()
        .map(|name| (heading(&name), shown(before, &name), shown(after, &name)))
        .filter(|(_, before, after)| before != after)
        .collect();
    Change {
        at: moment(&text("created-at")),
        actor: if actor.is_empty() { "the system".to_owned() } else { actor },
        from: [text("ip"), text("request-id")].join(" ").trim().to_owned(),
        event: text("event"),
        differences,
    }
}

fn notice(resource: &Resource, done: &str) -> String {
    let mut of_kind = ACTIONS.iter().filter(|action| action.kind == resource.kind);
    let action = of_kind.find(|action| action.name == done);
    action.map_or_else(String::new, |action| format!("{}: done.", action.label))
}

#[derive(Template)]
#[template(path = "acted.html")]
struct Acted {
    frame: Frame,
    label: &'static str,
    back: String,
    said: Vec<String>,
}

/// Does something with a record.
///
/// # Errors
/// What the API refuses, unless it is about what the form asks for.
pub async fn act(visit: &Visit, resource: &'static Resource, id: &str, name: &str) -> Page {
    let back = format!("/{}/{id}", resource.kind);
    let record = visit.get(&back).await?.json();
    let found = ACTIONS.iter().find(|action| action.kind == resource.kind && action.name == name);
    let found = found.and_then(|action| Some((action, (action.target)(&record["data"])?)));
    let Some((action, target)) = found else {
        return Err(jsonapi::Error::path_not_found().into());
    };
    let body = action.asks.map(|(attribute, _)| {
        let attributes = json!({attribute: visit.field(attribute).unwrap_or_default().trim()});
        json!({"data": {"type": resource.kind, "id": id, "attributes": attributes}})
    });
    let key = visit.field("form-key").unwrap_or_default();
    let headers = [(hyper::header::HeaderName::from_static("idempotency-key"), key)];
    // A test mail is sent each time that somebody asks for it.
    let headers = if key.is_empty() || body.is_some() { &headers[..0] } else { &headers[..] };
    let answer = visit.send(Method::POST, &target, body.as_ref(), headers).await;
    if answer.status.is_success() {
        let changed = answer.json();
        if let Some(secret) = changed["data"]["attributes"]["secret"].as_str() {
            return self::secret(visit, resource, &changed["data"], secret);
        }
        return Ok(see_other(&format!("{back}?{}", query([("done", name)]))));
    }
    let said: Vec<String> = answer
        .errors()
        .into_iter()
        .map(|wrong| match wrong.member {
            Some(member) => format!("{} {}", heading(&member), wrong.message),
            None => wrong.detail,
        })
        .collect();
    let status = answer.status;
    let page = Acted { frame: visit.frame(action.label), label: action.label, back, said };
    Ok(html(status, &page)?)
}

/// Deletes a record.
///
/// # Errors
/// What the API refuses.
pub async fn remove(visit: &Visit, resource: &'static Resource, id: &str) -> Page {
    let target = format!("/{}/{id}", resource.kind);
    let answer = visit.send(Method::DELETE, &target, None, &[]).await;
    if answer.status.is_success() {
        return Ok(see_other(&format!("/{}", resource.kind)));
    }
    Err(Refusal::Told(Box::new(answer)))
}

#[derive(Template)]
#[template(path = "secret.html")]
struct Told {
    frame: Frame,
    url: String,
    secret: String,
}

/// The page that tells a secret, once.
///
/// # Errors
/// When the page cannot be written.
pub fn secret(visit: &Visit, resource: &Resource, record: &Json, secret: &str) -> Page {
    let id = record["id"].as_str().unwrap_or_default();
    let page = Told {
        frame: visit.frame("The secret"),
        url: format!("/{}/{id}", resource.kind),
        secret: secret.to_owned(),
    };
    Ok(html(StatusCode::OK, &page)?)
}
