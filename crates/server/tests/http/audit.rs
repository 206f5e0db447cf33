//! The audit log: who changed what, when, from where, and what it was before.

use serde_json::{Value, json};

use crate::support::{MEDIA_TYPE, TestApp, linkage};

/// The attributes of the records that a filter finds, oldest first.
async fn records(app: &TestApp, filter: &str) -> Vec<Value> {
    app.listed(&format!("/audit-records?sort=id&{filter}")).await
}

#[tokio::test]
async fn a_change_is_recorded_with_its_author_and_its_request() {
    let app = TestApp::start().await;
    let started = app.app.now();
    let headers = [
        ("accept", MEDIA_TYPE),
        ("content-type", MEDIA_TYPE),
        ("authorization", &app.token),
        ("x-request-id", "change 42!"),
    ];
    let attributes = json!({"name": "acme", "enabled": true, "vendor": true, "customer": false});
    let document = json!({"data": {"type": "contractors", "attributes": attributes}});
    let reply = app.send("POST", "/contractors", &headers, document.to_string()).await;
    assert_eq!((reply.status, reply.header("x-request-id")), (201, "change42"));
    let mut found = records(&app, "").await;
    assert_eq!(found.len(), 1);
    let at: jiff::Timestamp = found[0]["created-at"].take().as_str().unwrap().parse().unwrap();
    assert!(at.as_millisecond() >= started.as_millisecond() && at <= app.app.now());
    assert_eq!(
        found[0],
        json!({
            "event": "create",
            "item-type": "contractors",
            "item-id": 1,
            "actor": "admin",
            "ip": "127.0.0.1",
            "request-id": "change42",
            "created-at": null,
            "before": null,
            "after": {
                "name": "acme", "enabled": true, "vendor": true, "customer": false,
                "description": null, "address": null, "phones": null, "external-id": null,
                "smtp-connection": null,
            },
        })
    );
}

#[tokio::test]
async fn an_update_records_what_changed_and_a_delete_everything() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let other = app.contractor("other").await;
    let id = app.account(&contractor, json!({"name": "x", "vat": 5})).await;
    app.update("accounts", &id, json!({"name": "y", "vat": "5.0", "external-id": 7})).await;
    let path = format!("/accounts/{id}/relationships/contractor");
    assert_eq!(app.patch(&path, linkage("contractors", &other)).await.status, 204);
    let before = app.attributes(&format!("/accounts/{id}")).await;
    assert_eq!(app.delete(&format!("/accounts/{id}")).await.status, 204);
    let found = records(&app, "filter[item-type]=accounts").await;
    let events: Vec<&str> = found.iter().map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["create", "update", "update", "delete"]);
    assert_eq!(found[1]["before"], json!({"name": "x", "external-id": null}));
    assert_eq!(found[1]["after"], json!({"name": "y", "external-id": 7}));
    assert_eq!(found[2]["before"], json!({"contractor": 1}));
    assert_eq!(found[2]["after"], json!({"contractor": other.parse::<i64>().unwrap()}));
    assert_eq!(found[3]["after"], Value::Null);
    let mut deleted = found[3]["before"].as_object().unwrap().clone();
    let links = ["contractor", "invoice-template"];
    let unset = ["next-invoice-at", "next-invoice-type-id", "notifications-muted-until"];
    for hidden in links.into_iter().chain(unset) {
        assert!(deleted.remove(hidden).is_some(), "{hidden}");
    }
    assert_eq!(Value::Object(deleted), before);
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_record() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let id =
        app.account(&contractor, json!({"name": "x", "vat": 5, "send-invoices-to": [1]})).await;
    let total = app.total("/audit-records").await;
    let same = json!({"name": "x", "vat": "5.00", "send-invoices-to": 1, "timezone": "UTC"});
    assert_eq!(app.update("accounts", &id, same).await.status, 200);
    let path = format!("/accounts/{id}/relationships/contractor");
    assert_eq!(app.patch(&path, linkage("contractors", &contractor)).await.status, 204);
    assert_eq!(
        app.delete(&format!("/accounts/{id}/relationships/invoice-template")).await.status,
        204
    );
    for path in ["/accounts", "/accounts/1", "/audit-records"] {
        assert_eq!(app.get(path).await.status, 200);
    }
    assert_eq!(app.total("/audit-records").await, total);
}

#[tokio::test]
async fn what_is_refused_leaves_no_record() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    let total = app.total("/audit-records").await;
    let account = format!("/accounts/{id}");
    let update = json!({"data": {"type": "accounts", "id": id, "attributes": {"vat": 5}}});
    let stale = "W/\"0123456789abcdef0123456789abcdef\"";
    for (status, reply) in [
        (422, app.open(&contractor, json!({"name": "x"})).await),
        (422, app.open("999", json!({"name": "y"})).await),
        (400, app.open(&contractor, json!({"nonesuch": 1})).await),
        (422, app.update("accounts", &id, json!({"vat": 101})).await),
        (404, app.update("accounts", "999", json!({"vat": 5})).await),
        (404, app.delete("/accounts/999").await),
        (422, app.delete(&format!("/contractors/{contractor}")).await),
        (422, app.delete(&format!("{account}/relationships/contractor")).await),
        (412, app.write_if("PATCH", &account, stale, &update).await),
        (412, app.write_if("DELETE", &account, stale, &json!(null)).await),
        (401, app.send("DELETE", &account, &[("authorization", "x")], "").await),
        (
            406,
            app.send(
                "DELETE",
                &account,
                &[("authorization", &app.token), ("accept", "text/html")],
                "",
            )
            .await,
        ),
    ] {
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    assert_eq!(app.total("/audit-records").await, total);
}

#[tokio::test]
async fn records_are_found_by_item_author_event_and_time() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    app.update("accounts", &id, json!({"vat": 5})).await;
    app.delete(&format!("/accounts/{id}")).await;
    for (filter, found) in [
        ("filter[item-type]=accounts", 3),
        ("filter[item_type_in]=accounts,contractors", 4),
        ("filter[item-type]=accounts&filter[item-id-eq]=1", 3),
        ("filter[item-type]=accounts&filter[item-id-eq]=2", 0),
        ("filter[actor]=admin", 4),
        ("filter[actor_eq]=nobody", 0),
        ("filter[event_eq]=create", 2),
        ("filter[event_in]=update,delete", 2),
        ("filter[ip_eq]=127.0.0.1", 4),
        ("filter[created_at_gt]=2020-01-01", 4),
        ("filter[created_at_lt]=2020-01-01T00:00:00Z", 0),
        ("filter[created_at_gteq]=2020-01-01%2012:30&filter[created_at_lteq]=2999-12-31", 4),
    ] {
        assert_eq!(app.total(&format!("/audit-records?{filter}")).await, found, "{filter}");
    }
    for (filter, error) in [
        ("filter[event_eq]=destroy", "107 destroy is not a valid value for event_eq."),
        (
            "filter[created_at_gt]=yesterday",
            "107 yesterday is not a valid value for created_at_gt.",
        ),
        ("filter[item_id_eq]=abc", "107 abc is not a valid value for item_id_eq."),
        ("filter[before_eq]=1", "102 before_eq is not allowed."),
    ] {
        assert_eq!(app.get(&format!("/audit-records?{filter}")).await.errors(), [error]);
    }
}

#[tokio::test]
async fn records_between_two_moments_are_those_of_that_time() {
    let app = TestApp::start().await;
    app.contractor("before").await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let from = app.app.now();
    app.contractor("between").await;
    let until = app.app.now();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    app.contractor("after").await;
    let range = format!("filter[created_at_gteq]={from}&filter[created_at_lteq]={until}");
    let found = records(&app, &range).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["after"]["name"], "between");
}

#[tokio::test]
async fn nobody_changes_the_log() {
    let app = TestApp::start().await;
    app.contractor("acme").await;
    let before = app.get("/audit-records").await.body;
    let document =
        json!({"data": {"type": "audit-records", "id": "1", "attributes": {"actor": "x"}}});
    for (method, path) in [
        ("POST", "/audit-records"),
        ("DELETE", "/audit-records"),
        ("PATCH", "/audit-records/1"),
        ("PUT", "/audit-records/1"),
        ("DELETE", "/audit-records/1"),
    ] {
        let reply = app.write(method, path, document.to_string()).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(app.get("/audit-records").await.body, before);
}
