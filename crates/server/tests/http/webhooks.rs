//! Webhooks as operators see them: their addresses and secrets, their deliveries, a test.

use std::collections::BTreeSet;

use base64::Engine as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tollkeeper::courier::Courier;
use tollkeeper::events::CATALOGUE;

use crate::support::TestApp;

/// An address that nobody listens at.
const NOWHERE: &str = "http://127.0.0.1:1/";

fn document(attributes: &Value) -> Value {
    json!({"data": {"type": "webhooks", "attributes": attributes}})
}

#[tokio::test]
async fn the_secret_is_told_where_it_is_made_and_nowhere_else() {
    let app = TestApp::start().await;
    let made = app.webhook(NOWHERE, &["*"]).await;
    let key = made.secret.strip_prefix("whsec_").expect("the standard's prefix");
    let key = base64::engine::general_purpose::STANDARD.decode(key).unwrap();
    assert_eq!(key.len(), 32);
    let path = format!("/webhooks/{}", made.id);
    let change =
        json!({"data": {"type": "webhooks", "id": made.id, "attributes": {"active": true}}});
    for body in [
        app.get(&path).await.body,
        app.get("/webhooks").await.body,
        app.patch(&path, change).await.body,
        app.get("/audit-records").await.body,
        app.get("/webhooks?filter[url_cont]=127").await.body,
    ] {
        assert!(body.contains("\"webhooks\""), "{body}");
        assert!(!body.contains("secret") && !body.contains(&made.secret), "{body}");
    }
    let error = "104 secret is not a valid field for webhooks.";
    assert_eq!(app.get(&format!("{path}?fields[webhooks]=secret")).await.errors(), [error]);
    let attributes = json!({"url": NOWHERE, "events": ["*"], "secret": "whsec_own"});
    let reply = app.post("/webhooks", document(&attributes)).await;
    assert_eq!(reply.errors(), ["105 secret is not allowed."]);
    let stored = app.dump();
    assert!(stored.contains(NOWHERE) && !stored.contains(&made.secret[6..]));
}

#[tokio::test]
async fn a_repeated_create_or_rotation_tells_the_same_secret_which_is_kept_encrypted() {
    let app = TestApp::start().await;
    let body = document(&json!({"url": NOWHERE, "events": ["PaymentPosted"]})).to_string();
    let key = [("idempotency-key", "one")];
    let first = app.write_with(&key, "POST", "/webhooks", body.clone()).await;
    let secret = first.attribute("secret").as_str().unwrap().to_owned();
    let again = app.write_with(&key, "POST", "/webhooks", body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(app.total("/webhooks").await, 1);
    let key = [("idempotency-key", "two")];
    let rotated = app.write_with(&key, "POST", "/webhooks/1/rotate-secret", "").await;
    let next = rotated.attribute("secret").as_str().unwrap().to_owned();
    assert_ne!(next, secret);
    let again = app.write_with(&key, "POST", "/webhooks/1/rotate-secret", "").await;
    assert_eq!((again.status, &again.body), (200, &rotated.body));
    let stored = app.dump();
    for secret in [&secret, &next] {
        assert!(!stored.contains(&secret[6..]), "a secret is stored as it is");
    }
    // Answers without a secret are kept as they are.
    let key = [("idempotency-key", "three")];
    let tested = app.write_with(&key, "POST", "/webhooks/1/test", "").await;
    let again = app.write_with(&key, "POST", "/webhooks/1/test", "").await;
    assert_eq!((tested.status, &again.body), (201, &tested.body));
    assert_eq!(app.total("/deliveries").await, 1);
}

#[tokio::test]
async fn a_rotation_is_audited_without_the_secrets_and_obeys_if_match() {
    let app = TestApp::start().await;
    let made = app.webhook(NOWHERE, &["*"]).await;
    let path = format!("/webhooks/{}", made.id);
    let rotate = format!("{path}/rotate-secret");
    let refused = app.write_with(&[("if-match", "W/\"other\"")], "POST", &rotate, "").await;
    refused.refuses(412);
    let tag = app.get(&path).await.header("etag").to_owned();
    let rotated = app.write_with(&[("if-match", &tag)], "POST", &rotate, "").await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    let only = app.order(&format!("{rotate}?fields[webhooks]=secret")).await;
    let only = only.json()["data"]["attributes"].take();
    assert_eq!(only.as_object().unwrap().len(), 1);
    let audit = app.listed("/audit-records?filter[item-type_eq]=webhooks&sort=id").await;
    let events: Vec<&Value> = audit.iter().map(|record| &record["event"]).collect();
    assert_eq!(events, ["create", "update", "update"]);
    for (path, status) in [
        ("/webhooks/99/rotate-secret", 404),
        ("/webhooks/x/rotate-secret", 400),
        ("/webhooks/99/test", 404),
    ] {
        app.order(path).await.refuses(status);
    }
    app.get(&rotate).await.refuses(405);
}

#[tokio::test]
async fn addresses_are_http_with_a_host_and_nobodys_password() {
    let app = TestApp::start().await;
    let long = format!("http://example.org/{}", "x".repeat(1_982));
    let longest = &long[..2_000];
    for good in ["https://example.org/hooks?key=1", "HTTP://[::1]:8080", longest] {
        app.webhook(good, &["*"]).await;
    }
    let reply = app.post("/webhooks", document(&json!({"url": long, "events": ["*"]}))).await;
    assert_eq!(reply.refuses(422).pointers(), ["/data/attributes/url"]);
    for bad in [
        json!("example.org"),
        json!("ftp://example.org"),
        json!("http://"),
        json!("http://ann:pass@example.org"),
        json!("http://ann@example.org"),
        json!("http://a b"),
        json!("http://example.org:70000"),
    ] {
        let reply = app.post("/webhooks", document(&json!({"url": bad, "events": ["*"]}))).await;
        assert_eq!(reply.refuses(422).errors(), ["100 url - is invalid"], "{bad}");
        assert_eq!(reply.pointers(), ["/data/attributes/url"]);
        let reply = app.update("webhooks", "1", json!({ "url": bad })).await;
        assert_eq!(reply.refuses(422).errors(), ["100 url - is invalid"], "{bad}");
    }
    let reply = app.post("/webhooks", document(&json!({"events": ["*"]}))).await;
    assert_eq!(reply.errors(), ["100 url - can't be blank"]);
}

#[tokio::test]
async fn there_are_a_hundred_webhooks_at_most() {
    let app = TestApp::start().await;
    for _ in 0..100 {
        app.webhook(NOWHERE, &["PaymentPosted"]).await;
    }
    let one_more = document(&json!({"url": NOWHERE, "events": ["*"]}));
    let reply = app.post("/webhooks", one_more.clone()).await;
    assert_eq!(reply.refuses(422).pointers(), ["/data"]);
    assert_eq!(app.total("/webhooks").await, 100);
    assert_eq!(app.delete("/webhooks/1").await.status, 204);
    assert_eq!(app.post("/webhooks", one_more).await.status, 201);
}

#[tokio::test]
async fn a_test_reaches_its_webhook_alone() {
    let app = TestApp::start().await;
    let all = app.webhook(NOWHERE, &["*"]).await;
    let one = app.webhook(NOWHERE, &["PaymentPosted"]).await;
    let reply = app.order(&format!("/webhooks/{}/test?include=event", one.id)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let json = reply.json();
    assert_eq!(json["data"]["relationships"]["webhook"]["data"]["id"], one.id);
    assert_eq!(json["included"][0]["attributes"]["event-type"], "WebhookTest");
    let id = json["data"]["id"].as_str().unwrap();
    assert!(reply.header("location").ends_with(&format!("/deliveries/{id}")));
    assert_eq!((app.total(&one.deliveries()).await, app.total(&all.deliveries()).await), (1, 0));
}

#[tokio::test]
async fn the_deliveries_of_a_webhook_are_a_list_with_everything_that_lists_have() {
    let app = TestApp::start().await;
    let (one, other) = (app.webhook(NOWHERE, &["*"]).await, app.webhook(NOWHERE, &["*"]).await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let delivery = app.test_webhook(&one).await;
        ids.push(delivery.rsplit('/').next().unwrap().to_owned());
        app.test_webhook(&other).await;
    }
    let list = one.deliveries();
    assert_eq!(app.ids(&list).await, ids);
    ids.reverse();
    assert_eq!(app.ids(&format!("{list}?sort=-id")).await, ids);
    assert_eq!(
        app.ids(&format!("{list}?page[size]=1&page[number]=2&sort=-id")).await,
        [ids[1].clone()]
    );
    assert_eq!(app.total(&format!("{list}?filter[state_eq]=delivered")).await, 0);
    assert_eq!(app.total(&format!("{list}?filter[state_eq]=pending")).await, 3);
    // The path decides, whatever the filter says.
    assert_eq!(app.total(&format!("{list}?filter[webhook.id]={}", other.id)).await, 3);
    let included =
        app.get(&format!("{list}?include=webhook&fields[deliveries]=state")).await.json();
    assert_eq!(included["included"].as_array().unwrap().len(), 1);
    // A walk by cursors along the links meets each once.
    let mut path = format!("{list}?page[after]=&page[size]=1&sort=-id");
    let mut met = Vec::new();
    loop {
        let page = app.get(&path).await.json();
        met.extend(page["data"].as_array().unwrap().iter().map(|one| one["id"].clone()));
        let Some(next) = page["links"]["next"].as_str() else { break };
        path = next.split_once("/api/rest/admin").unwrap().1.to_owned();
    }
    assert_eq!(met, ids);
    for path in ["/webhooks/99/deliveries", "/webhooks/99/deliveries/1/redeliver"] {
        let method = if path.ends_with("redeliver") { "POST" } else { "GET" };
        app.write(method, path, "").await.refuses(404);
    }
    app.get(&format!("{list}?filter[nonesuch]=1")).await.refuses(400);
    app.get("/webhooks/x/deliveries").await.refuses(400);
    app.order(&list).await.refuses(405);
}

#[tokio::test]
async fn only_deliveries_of_the_webhook_are_delivered_again() {
    let app = TestApp::start().await;
    let (one, other) = (app.webhook(NOWHERE, &["*"]).await, app.webhook(NOWHERE, &["*"]).await);
    let delivery = app.test_webhook(&one).await;
    let id = delivery.rsplit('/').next().unwrap();
    app.order(&format!("{}/{id}/redeliver", other.deliveries())).await.refuses(404);
    app.get(&format!("{}/{id}/redeliver", one.deliveries())).await.refuses(405);
    // One that has ended stands in its line again, since now.
    app.alter("UPDATE deliveries SET state = 'dead', attempts = 7, error = 'refused'");
    app.alter("DELETE FROM delivery_lines");
    let path = format!("{}/{id}/redeliver", one.deliveries());
    let key = [("idempotency-key", "again")];
    let first = app.write_with(&key, "POST", &path, "").await;
    assert_eq!((first.status, first.attribute("state")), (200, json!("pending")));
    assert_eq!(app.stored::<i64>("SELECT joined FROM delivery_lines"), 1);
    let again = app.write_with(&key, "POST", &path, "").await;
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, "true"));
    assert_eq!(app.stored::<i64>("SELECT joined FROM delivery_lines"), 1);
    // One that waits for a later time is due now.
    let later = app.app.now() + SignedDuration::from_hours(1);
    let later = app.database.literal(&jsonapi::Value::Time(later));
    app.alter(&format!("UPDATE delivery_lines SET due_at = {later}"));
    app.redeliver(&one, &delivery).await;
    let due = format!("SELECT count(*) FROM delivery_lines WHERE due_at < {later}");
    assert_eq!(app.stored::<i64>(&due), 1);
}

#[tokio::test]
async fn a_deleted_webhook_takes_its_deliveries_along_and_leaves_no_line() {
    let app = TestApp::start().await;
    let (one, other) = (app.webhook(NOWHERE, &["*"]).await, app.webhook(NOWHERE, &["*"]).await);
    app.test_webhook(&one).await;
    app.test_webhook(&other).await;
    assert_eq!(app.delete(&format!("/webhooks/{}", one.id)).await.status, 204);
    assert_eq!((app.total("/deliveries").await, app.total("/events").await), (1, 2));
    app.get(&one.deliveries()).await.refuses(404);
    let courier = Courier::start(&app.app);
    let lines = "SELECT count(*) FROM delivery_lines";
    while app.stored::<i64>(lines) > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let left: String = app.stored("SELECT target FROM delivery_lines");
    assert_eq!(left, format!("webhook {}", other.id));
    courier.stop().await;
}

#[tokio::test]
async fn every_kind_of_event_is_described_and_all_references_lead_somewhere() {
    let app = TestApp::start().await;
    let document = app.get("//api/openapi.json").await.json();
    let described = document["webhooks"].as_object().expect("a section of webhooks");
    let names: BTreeSet<&str> = described.keys().map(String::as_str).collect();
    assert_eq!(names, CATALOGUE.iter().map(|kind| kind.name).collect());
    for (name, item) in described {
        let schema = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(schema["properties"]["event_type"]["const"], **name);
        let headers: Vec<&Value> =
            item["post"]["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(headers, ["webhook-id", "webhook-timestamp", "webhook-signature"]);
    }
    for below in ["/rotate-secret", "/test", "/deliveries", "/deliveries/{delivery}/redeliver"] {
        assert!(document["paths"][format!("/api/rest/admin/webhooks/{{id}}{below}")].is_object());
    }
    let secret = "/components/schemas/webhooks.with-secret/properties/attributes/properties/secret";
    assert!(document.pointer(secret).is_some());
    let answered = "/components/schemas/webhooks/properties/attributes/properties/secret";
    assert!(document.pointer(answered).is_none());
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

fn references<'d>(json: &'d Value, found: &mut Vec<&'d str>) {
    match json {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
