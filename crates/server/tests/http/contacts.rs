//! Contacts: visible while they belong to a contractor, and on lists while they exist.

use serde_json::{Value, json};

use crate::support::{TestApp, linkage};

#[tokio::test]
async fn a_deleted_contact_leaves_every_recipient_list() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let first = app.contact(&contractor, "a@example.com").await;
    let second = app.contact(&contractor, "b@example.com").await;
    let (one, two): (i64, i64) = (first.parse().unwrap(), second.parse().unwrap());
    let both = json!({
        "name": "x", "send-invoices-to": [two, one, two, 7], "send-balance-notifications-to": [one],
    });
    let both = app.account(&contractor, both).await;
    let other = app.account(&contractor, json!({"name": "y", "send-invoices-to": [two]})).await;
    assert_eq!(app.delete(&format!("/contacts/{first}")).await.status, 204);
    let lists = app.attributes(&format!("/accounts/{both}")).await;
    assert_eq!(lists["send-invoices-to"], json!([two, two, 7]));
    assert_eq!(lists["send-balance-notifications-to"], json!([]), "emptied, not unset");
    assert_eq!(app.delete(&format!("/contacts/{second}")).await.status, 204);
    let lists = app.attributes(&format!("/accounts/{both}")).await;
    assert_eq!(lists["send-invoices-to"], json!([7]));
    let lists = app.attributes(&format!("/accounts/{other}")).await;
    assert_eq!(lists["send-invoices-to"], json!([]));
    assert_eq!(lists["send-balance-notifications-to"], json!(null));
    let audit = "/audit-records?filter[item-type]=accounts&filter[event_eq]=update&sort=id";
    let records = app.get(audit).await.json();
    let changes: Vec<(Value, Value, Value)> = records["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["attributes"].clone())
        .map(|record| {
            (record["item-id"].clone(), record["before"].clone(), record["after"].clone())
        })
        .collect();
    let change = |account: &str, list: &str, before: Value, after: Value| {
        (json!(account.parse::<i64>().unwrap()), json!({ list: before }), json!({ list: after }))
    };
    assert_eq!(
        changes,
        [
            change(&both, "send-invoices-to", json!([two, one, two, 7]), json!([two, two, 7])),
            change(&both, "send-balance-notifications-to", json!([one]), json!([])),
            change(&both, "send-invoices-to", json!([two, two, 7]), json!([7])),
            change(&other, "send-invoices-to", json!([two]), json!([])),
        ]
    );
}

#[tokio::test]
async fn a_list_that_changes_is_followed() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let mut ids: Vec<i64> = Vec::new();
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        ids.push(app.contact(&contractor, email).await.parse().unwrap());
    }
    let id = app.account(&contractor, json!({"name": "x", "send-invoices-to": ids[..2]})).await;
    let lists = json!({"send-invoices-to": [ids[2]], "send-balance-notifications-to": [ids[1]]});
    assert_eq!(app.update("accounts", &id, lists).await.status, 200);
    for contact in ids {
        assert_eq!(app.delete(&format!("/contacts/{contact}")).await.status, 204);
    }
    let lists = app.attributes(&format!("/accounts/{id}")).await;
    assert_eq!(lists["send-invoices-to"], json!([]));
    assert_eq!(lists["send-balance-notifications-to"], json!([]));
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM list_members"), 0);
}

#[tokio::test]
async fn a_contact_without_a_contractor_is_created_but_never_seen() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let lost = json!({"data": {"type": "contacts", "attributes": {"email": "lost@example.com"}}});
    let reply = app.post("/contacts", lost).await;
    assert_eq!((reply.status, reply.attribute("notes")), (201, json!(null)));
    let gone = ["404 The record identified by 1 could not be found."];
    for path in ["/contacts/1", "/contacts/1/contractor", "/contacts/1/relationships/contractor"] {
        assert_eq!(app.get(path).await.errors(), gone);
    }
    assert_eq!(app.update("contacts", "1", json!({"notes": "x"})).await.errors(), gone);
    assert_eq!(app.delete("/contacts/1").await.errors(), gone);
    assert_eq!(app.total("/contacts").await, 0);
    let seen = app.contact(&contractor, "seen@example.com").await;
    assert_eq!(app.total("/contacts").await, 1);
    let path = format!("/contacts/{seen}/relationships/contractor");
    assert_eq!(app.delete(&path).await.status, 204);
    assert_eq!(app.get(&path).await.status, 404);
    assert_eq!(app.total("/contacts").await, 0);
    assert_eq!(app.total("/contacts?filter[email_cont]=example").await, 0);
}

#[tokio::test]
async fn an_address_is_not_checked_but_must_be_there() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let id = app.contact(&contractor, "a@example.com").await;
    for (sent, stored) in [
        (json!("no address"), json!("no address")),
        (json!(""), json!("")),
        (json!(5), json!("5")),
        (json!("a@example.com"), json!("a@example.com")),
    ] {
        let reply = app.update("contacts", &id, json!({"email": sent})).await;
        assert_eq!(reply.attribute("email"), stored);
    }
    let missing = json!({"data": {"type": "contacts", "relationships": {
        "contractor": linkage("contractors", &contractor),
    }}});
    let blank = ["100 email - can't be blank"];
    assert_eq!(app.post("/contacts", missing).await.errors(), blank);
    assert_eq!(app.update("contacts", &id, json!({"email": null})).await.errors(), blank);
    app.contact(&contractor, "a@example.com").await;
    assert_eq!(app.total("/contacts?filter[email_eq]=a@example.com").await, 2);
}

#[tokio::test]
async fn a_contractor_that_is_named_must_exist() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let id = app.contact(&contractor, "a@example.com").await;
    let unknown = json!({"data": {"type": "contacts", "attributes": {"email": "x"}, "relationships": {
        "contractor": linkage("contractors", "999"),
    }}});
    let error = ["100 contractor - must exist"];
    assert_eq!(app.post("/contacts", unknown).await.errors(), error);
    let path = format!("/contacts/{id}/relationships/contractor");
    assert_eq!(app.patch(&path, linkage("contractors", "999")).await.errors(), error);
    let by_contractor = app.get("/contacts?filter[contractor.id]=1").await;
    assert_eq!(by_contractor.errors(), ["102 id is not allowed."]);
}
