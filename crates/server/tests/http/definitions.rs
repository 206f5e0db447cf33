//! Every definition answers to every name that it declares, and to no other.

use jsonapi::{Attribute, Kind, Relationship, Resource};
use serde_json::{Value, json};
use tollkeeper::api::API;

use crate::replay::fixture_app;
use crate::support::{TestApp, linkage};

const EQUALITY: &[&str] = &["eq", "not_eq", "in", "not_in"];
const ORDER: &[&str] = &["eq", "not_eq", "gt", "gteq", "lt", "lteq", "in", "not_in"];
const TEXT: &[&str] = &["eq", "not_eq", "cont", "start", "end", "in", "not_in", "cont_any"];
const ALL: &[&str] = &[
    "eq", "not_eq", "gt", "gteq", "lt", "lteq", "in", "not_in", "cont", "start", "end", "cont_any",
];

/// The operators of a kind, as the contract lists them (protocol 7.5), and a value they take.
pub fn operators(kind: Kind) -> (&'static [&'static str], &'static str) {
    match kind {
        Kind::Text | Kind::Json | Kind::Words(_) => (TEXT, "a"),
        Kind::Decimal => (ORDER, "1.5"),
        Kind::Integer { .. } => (ORDER, "1"),
        Kind::Timestamp => (ORDER, "2026-01-02"),
        Kind::Boolean => (&["eq", "not_eq"], "true"),
        Kind::Uuid => (EQUALITY, "00000000-0000-1000-8000-000000000001"),
        Kind::Enumeration(words) => (EQUALITY, words[0]),
        Kind::IdList => (&[], "1"),
    }
}

/// The operators of `filter[id_op]` and, by relationship, of `filter[name_id_op]`.
fn key_operators(resource: &Resource) -> Vec<(String, &'static [&'static str])> {
    let id = if resource.filterable_id { ORDER } else { &[] };
    let links = resource.relationships.iter().map(|link| {
        let operators = if link.as_key { EQUALITY } else { &[] };
        (format!("{}_id", link.name.replace('-', "_")), operators)
    });
    std::iter::once(("id".to_owned(), id)).chain(links).collect()
}

/// The resources that have lists and members.
fn readable() -> impl Iterator<Item = &'static Resource> {
    API.resources.iter().copied().filter(|resource| resource.verbs.read)
}

/// A member of each type that the fixture, and the change that [`walk`] makes, have.
fn member(kind: &str) -> String {
    let id = match kind {
        "accounts" => "3",
        "contractors" => "5",
        "timezones" => "Europe%2FKyiv",
        _ => "1",
    };
    format!("/{kind}/{id}")
}

fn on_the_wire(resource: &'static Resource) -> impl Iterator<Item = &'static Attribute> {
    resource.attributes.iter().filter(|attribute| attribute.on_the_wire())
}

/// The fixture's server with one record of every other type, each relationship set.
pub async fn walk() -> TestApp {
    let app = fixture_app().await;
    let document = json!({"data": {"type": "contacts", "id": "1", "attributes": {"notes": "x"}}});
    assert_eq!(app.patch("/contacts/1", document).await.status, 200);
    // No service can be made yet, so this one is put into the database.
    let service = "INSERT INTO services (id, name, account_id) VALUES (1, 'line', 3)";
    app.alter(service);
    let account = linkage("accounts", "3");
    app.create("payments", json!({"amount": 5}), json!({ "account": account })).await;
    let links = json!({"account": account, "service": linkage("services", "1")});
    app.create("transactions", json!({"amount": 2}), links).await;
    app.webhook("http://127.0.0.1:1/", &["AccountLowThesholdReached"]).await;
    let alert = json!({"kind": "low", "value": 0});
    app.create("balance-alerts", alert, json!({ "account": account })).await;
    let attributes = json!({"balance-low-threshold": 1_000_000});
    assert_eq!(app.update("accounts", "3", attributes).await.status, 200);
    // No delivery goes to both; this one shows both relationships.
    app.alter("UPDATE deliveries SET webhook_id = 1, contact_id = 1 WHERE id = 1");
    let deleted = app.account("5", json!({"name": "soon gone"})).await;
    let links = json!({"account": linkage("accounts", &deleted)});
    app.create("payments", json!({"amount": 5}), links).await;
    assert_eq!(app.delete(&format!("/accounts/{deleted}")).await.status, 204);
    let template =
        json!({"event-type": "digest", "subject": "s", "text-body": "t", "html-body": "h"});
    app.create("email-templates", template, json!({})).await;
    app.log_mail();
    app
}

async fn answers(app: &TestApp, path: &str) -> Value {
    let reply = app.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    reply.json()
}

/// Asserts that the request is refused with exactly this error.
async fn refuses(app: &TestApp, path: &str, error: &str) {
    let reply = app.get(path).await;
    assert_eq!(reply.status, 400, "{path}: {}", reply.body);
    assert_eq!(reply.errors(), [error], "{path}");
}

#[tokio::test]
async fn every_filter_of_every_definition_answers() {
    let app = walk().await;
    for resource in readable() {
        let (list, member) = (format!("/{}", resource.kind), member(resource.kind));
        let mut names = vec![("id".to_owned(), "1")];
        for attribute in on_the_wire(resource) {
            let name = attribute.name.replace('-', "_");
            let (operators, value) = operators(attribute.kind);
            if attribute.exact_filter {
                names.push((name.clone(), value));
            }
            for operator in operators.iter().filter(|_| attribute.filterable) {
                names.push((format!("{name}_{operator}"), value));
            }
        }
        for relationship in resource.relationships.iter().filter(|link| link.filterable) {
            names.push((format!("{}.id", relationship.name.replace('-', "_")), "1"));
        }
        for (name, operators) in key_operators(resource) {
            names.extend(operators.iter().map(|operator| (format!("{name}_{operator}"), "1")));
        }
        for (name, value) in names {
            for spelling in [name.clone(), name.replace('_', "-")] {
                let found = answers(&app, &format!("{list}?filter[{spelling}]={value}")).await;
                assert!(found["meta"]["total-count"].is_u64(), "{list}: {spelling}");
                answers(&app, &format!("{member}?filter[{spelling}]={value}")).await;
            }
        }
    }
}

#[tokio::test]
async fn every_other_filter_is_unknown() {
    let app = walk().await;
    for resource in readable() {
        let mut names = vec!["nonesuch".to_owned(), "nonesuch_eq".to_owned()];
        for attribute in resource.attributes {
            let name = attribute.name.replace('-', "_");
            let known: &[&str] = if attribute.filterable && attribute.on_the_wire() {
                operators(attribute.kind).0
            } else {
                &[]
            };
            let unknown = ALL.iter().filter(|operator| !known.contains(operator));
            names.extend(unknown.map(|operator| format!("{name}_{operator}")));
            if !attribute.exact_filter {
                names.push(name);
            }
        }
        for (name, known) in key_operators(resource) {
            let unknown = ALL.iter().filter(|operator| !known.contains(operator));
            names.extend(unknown.map(|operator| format!("{name}_{operator}")));
        }
        names.extend(
            resource.relationships.iter().map(|link| format!("{}_id", link.name.replace('-', "_"))),
        );
        for name in names {
            let error = format!("102 {name} is not allowed.");
            refuses(&app, &format!("/{}?filter[{name}]=1", resource.kind), &error).await;
            refuses(&app, &format!("{}?filter[{name}]=1", member(resource.kind)), &error).await;
        }
        for relationship in resource.relationships {
            let path = format!("/{}?filter[{}.name]=1", resource.kind, relationship.name);
            refuses(&app, &path, "102 name is not allowed.").await;
            if !relationship.filterable {
                let path = format!("/{}?filter[{}.id]=1", resource.kind, relationship.name);
                refuses(&app, &path, "102 id is not allowed.").await;
            }
        }
    }
}

#[tokio::test]
async fn every_declared_order_answers_and_no_other() {
    let app = walk().await;
    for resource in readable() {
        let kind = resource.kind;
        let mut known = vec!["id".to_owned()];
        let mut unknown = vec!["nonesuch".to_owned(), String::new()];
        for attribute in resource.attributes {
            let sorted = attribute.sortable && attribute.on_the_wire();
            if sorted { &mut known } else { &mut unknown }.push(attribute.name.to_owned());
        }
        for link in resource.relationships {
            unknown.push(link.name.to_owned());
            if link.as_key { &mut known } else { &mut unknown }.push(format!("{}-id", link.name));
        }
        for name in known {
            for spelling in [name.clone(), name.replace('-', "_")] {
                let up = answers(&app, &format!("/{kind}?sort={spelling}&page[size]=1000")).await;
                let path = format!("/{kind}?sort=-{spelling}&page[size]=1000");
                let mut down = answers(&app, &path).await["data"].take();
                // Order is total, so the other direction is the mirror image; zones stay as they
                // are (contract, resources 18).
                if kind != "timezones" {
                    down.as_array_mut().unwrap().reverse();
                }
                assert_eq!(up["data"], down, "{kind} by {spelling}");
            }
        }
        for name in unknown {
            let folded = name.replace('-', "_");
            let error = format!("114 {folded} is not a valid sort criteria for {kind}");
            for direction in ["", "-"].iter().filter(|_| !name.is_empty()) {
                refuses(&app, &format!("/{kind}?sort={direction}{name}"), &error).await;
            }
            refuses(&app, &format!("/{kind}?sort=id,{name}"), &error).await;
            answers(&app, &format!("{}?sort={name}", member(kind))).await;
        }
    }
}

#[tokio::test]
async fn every_list_has_cursors_where_declared_and_ignores_them_elsewhere() {
    let app = walk().await;
    for resource in readable() {
        let kind = resource.kind;
        for end in ["after", "before"] {
            let path = format!("/{kind}?page[{end}]=");
            let junk = format!("/{kind}?page[{end}]=junk");
            let answer = answers(&app, &path).await;
            if !resource.cursors {
                let plain = answers(&app, &format!("/{kind}")).await;
                assert_eq!(answer, plain, "{path}");
                assert_eq!(answers(&app, &junk).await, plain, "{junk}");
                continue;
            }
            let first = answer["links"]["first"].as_str().unwrap();
            assert!(first.contains("page%5Bafter%5D=&"), "{path}: {first}");
            let error = format!("118 junk is not a valid value for {end} page parameter.");
            refuses(&app, &junk, &error).await;
            answers(&app, &format!("{}?page[{end}]=junk", member(kind))).await;
            for name in walkable(resource) {
                assert_walks(&app, kind, &name, end).await;
            }
        }
    }
}

/// The orders that cursors follow.
fn walkable(resource: &Resource) -> Vec<String> {
    let attributes = resource.attributes.iter().filter(|attribute| {
        let followed = matches!(attribute.kind, Kind::Integer { .. } | Kind::Timestamp);
        attribute.sortable && attribute.never_null() && followed
    });
    let links = resource.relationships.iter().filter(|link| link.as_key && link.required);
    let names = attributes.map(|attribute| attribute.name.to_owned());
    ["id".to_owned()]
        .into_iter()
        .chain(names)
        .chain(links.map(|l| format!("{}-id", l.name)))
        .collect()
}

/// Walks a list, a record a page, and asserts that it meets what one large page has.
async fn assert_walks(app: &TestApp, kind: &str, name: &str, end: &str) {
    let onward = if end == "after" { "next" } else { "prev" };
    let mut all =
        answers(app, &format!("/{kind}?sort={name}&page[size]=1000")).await["data"].take();
    let all = all.as_array_mut().unwrap();
    if end == "before" {
        all.reverse();
    }
    let mut next = Some(format!("/{kind}?sort={name}&page[size]=1&page[{end}]="));
    let mut met = Vec::new();
    while let Some(path) = next {
        let mut answer = answers(app, &path).await;
        met.append(answer["data"].as_array_mut().unwrap());
        let link = answer["links"][onward].as_str();
        next = link.map(|url| url.split_once("/api/rest/admin").unwrap().1.to_owned());
    }
    assert_eq!(met, *all, "{kind} by {name} from {end}");
}

#[tokio::test]
async fn every_declared_include_answers_and_no_other() {
    let app = walk().await;
    for resource in readable() {
        let paths = [format!("/{}", resource.kind), member(resource.kind)];
        for path in &paths {
            for include in includes(resource) {
                let answer = answers(&app, &format!("{path}?include={include}")).await;
                let kinds: Vec<&str> = API.resources.iter().map(|known| known.kind).collect();
                for record in answer["included"].as_array().unwrap_or(&Vec::new()) {
                    assert!(kinds.contains(&record["type"].as_str().unwrap()), "{record}");
                }
                let wrong = format!("{path}?include={include}.nonesuch");
                let target = include.split('.').fold(resource, |at, name| {
                    API.target(&at.relationships[at.relationship(name).unwrap()])
                });
                let error = format!("112 nonesuch is not a valid relationship of {}", target.kind);
                refuses(&app, &wrong, &error).await;
            }
            let names = ["nonesuch"].into_iter().chain(resource.attributes.iter().map(|a| a.name));
            for name in names {
                let error = format!("112 {name} is not a valid relationship of {}", resource.kind);
                refuses(&app, &format!("{path}?include={name}"), &error).await;
            }
        }
    }
}

/// Every path of relationships from a resource; definitions have no cycles.
fn includes(resource: &'static Resource) -> Vec<String> {
    let mut paths = Vec::new();
    for relationship in resource.relationships {
        paths.push(relationship.name.to_owned());
        let below = includes(API.target(relationship));
        paths.extend(below.iter().map(|path| format!("{}.{path}", relationship.name)));
    }
    paths
}

#[tokio::test]
async fn every_field_can_be_asked_for_alone_and_no_other() {
    let app = walk().await;
    for resource in readable() {
        let kind = resource.kind;
        for path in [format!("/{kind}"), member(kind)] {
            for attribute in on_the_wire(resource) {
                let query = format!("{path}?fields[{kind}]={}", attribute.name);
                let names = vec![attribute.name];
                assert_eq!(members(&app, &query, "attributes").await, names, "{query}");
                assert!(members(&app, &query, "relationships").await.is_empty(), "{query}");
            }
            for relationship in resource.relationships {
                let query = format!("{path}?fields[{kind}]={}", relationship.name);
                let names = vec![relationship.name];
                assert_eq!(members(&app, &query, "relationships").await, names, "{query}");
                assert!(members(&app, &query, "attributes").await.is_empty(), "{query}");
            }
            let query = format!("{path}?fields[{kind}]=id");
            assert!(members(&app, &query, "attributes").await.is_empty(), "{query}");
            let internal = resource.attributes.iter().filter(|attribute| !attribute.on_the_wire());
            for name in internal.map(|attribute| attribute.name).chain(["nonesuch"]) {
                let error = format!("104 {name} is not a valid field for {kind}.");
                refuses(&app, &format!("{path}?fields[{kind}]={name}"), &error).await;
            }
            refuses(
                &app,
                &format!("{path}?fields[nonesuch]=name"),
                "101 nonesuch is not a valid resource.",
            )
            .await;
        }
    }
}

/// The names under `part` of the first record of an answer.
async fn members(app: &TestApp, path: &str, part: &str) -> Vec<String> {
    let mut answer = answers(app, path).await;
    let mut data = answer["data"].take();
    let record = if data.is_array() { data[0].take() } else { data };
    assert!(record["id"].is_string(), "{path}");
    record[part].as_object().map(|names| names.keys().cloned().collect()).unwrap_or_default()
}

#[tokio::test]
async fn every_relationship_has_its_two_addresses() {
    let app = walk().await;
    for resource in readable() {
        let at = member(resource.kind);
        for Relationship { name, kind, .. } in resource.relationships {
            let linkage = answers(&app, &format!("{at}/relationships/{name}")).await;
            let target = &linkage["data"];
            let root = format!("http://{}/api/rest/admin{at}", app.address);
            let links = json!({
                "self": format!("{root}/relationships/{name}"),
                "related": format!("{root}/{name}"),
            });
            assert_eq!(linkage["links"], links, "{at}");
            let related = answers(&app, &format!("{at}/{name}")).await;
            assert_eq!(target["type"], *kind, "{at}: {name}");
            assert_eq!(related["data"]["type"], *kind, "{at}: {name}");
            assert_eq!(related["data"]["id"], target["id"], "{at}: {name}");
            for path in [format!("{at}/relationships/nonesuch"), format!("{at}/nonesuch")] {
                assert_eq!(app.get(&path).await.status, 404, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_take_the_declared_names_and_no_other() {
    let app = walk().await;
    for resource in readable() {
        let kind = resource.kind;
        let (list, member) = (format!("/{kind}"), member(kind));
        let id = member.rsplit_once('/').unwrap().1;
        for attribute in resource.attributes {
            let attributes = json!({ attribute.name: null });
            let create = json!({"data": {"type": kind, "attributes": attributes}});
            let update = json!({"data": {"type": kind, "id": id, "attributes": attributes}});
            let error = format!("105 {} is not allowed.", attribute.name);
            let verbs = resource.verbs;
            for (offered, taken, reply) in [
                (verbs.create, attribute.creatable, app.post(&list, create).await),
                (verbs.update, attribute.updatable, app.patch(&member, update).await),
            ] {
                match (offered, taken) {
                    (false, _) => assert_eq!(reply.status, 405, "{kind}: {}", attribute.name),
                    (_, false) => assert_eq!(reply.errors(), [error.as_str()]),
                    _ => assert!([200, 201, 422].contains(&reply.status), "{}", reply.body),
                }
            }
        }
    }
}
