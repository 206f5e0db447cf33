//! `Idempotency-Key`: the same write asked for again has no second effect, and the same answer.

use std::sync::Arc;

use jiff::SignedDuration;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use store::StoreError;

use crate::builders::{app_with_accounts, app_with_second_operator};
use crate::concurrency::all_at_once;
use crate::support::{MEDIA_TYPE, Reply, TestApp, linkage};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

/// A write with this key.
async fn keyed(app: &TestApp, key: &str, method: &str, path: &str, document: &Value) -> Reply {
    app.write_with(&[("idempotency-key", key)], method, path, document.to_string()).await
}

/// The document of a payment into account 1.
fn payment(amount: impl Into<Value>) -> Value {
    let links = json!({"account": linkage("accounts", "1")});
    let attributes = json!({"amount": amount.into()});
    json!({"data": {"type": "payments", "attributes": attributes, "relationships": links}})
}

fn is_replay(reply: &Reply) -> bool {
    reply.headers.contains_key("idempotent-replayed")
}

/// Asserts that `again` is the answer `first` once more, and says so.
#[track_caller]
fn assert_replays(first: &Reply, again: &Reply) {
    assert!(!is_replay(first), "{first:?}");
    assert_eq!(again.header("idempotent-replayed"), "true", "{again:?}");
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let lasting = |reply: &Reply| -> HeaderMap {
        let mut headers = reply.headers.clone();
        for name in ["idempotent-replayed", "x-request-id", "x-runtime"] {
            headers.remove(name);
        }
        headers
    };
    assert_eq!(lasting(again), lasting(first));
}

/// Asserts that the key is refused because it has named another write, and that nothing changes.
async fn assert_reused(app: &TestApp, key: &str, method: &str, path: &str, document: &Value) {
    let before = app.dump();
    let reply = keyed(app, key, method, path, document).await;
    reply.refuses(422);
    let error = &reply.json()["errors"][0];
    assert_eq!(
        (&error["code"], &error["title"]),
        (&json!("422"), &json!("Idempotency key reused"))
    );
    assert!(!is_replay(&reply));
    assert_eq!(app.dump(), before, "{method} {path}");
}

#[tokio::test]
async fn every_kind_of_write_has_one_effect_and_one_answer() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let template = json!({"name": "t"});
    app.create("invoice-templates", template, json!({})).await;
    let account = |name: &str| {
        let links = json!({"contractor": linkage("contractors", "1")});
        let attributes = json!({"name": name});
        json!({"data": {"type": "accounts", "attributes": attributes, "relationships": links}})
    };
    let update = |id: &str, vat: i64| json!({"data": {"type": "accounts", "id": id, "attributes": {"vat": vat}}});
    let links = json!({"account": linkage("accounts", "1")});
    let charge = json!({"data": {
        "type": "transactions", "attributes": {"amount": 3}, "relationships": links,
    }});
    let balance = |balance: i64| {
        let attributes = json!({"balance": balance});
        json!({"data": {"type": "balances", "id": "1001", "attributes": attributes}})
    };
    let correction = json!({"data": {
        "type": "balance-correction", "id": "1", "attributes": {"correction": 7},
    }});
    let link = linkage("invoice-templates", "1");
    let second = format!("/accounts/{}", app.second_account().await);
    let relationship = "/accounts/1/relationships/invoice-template";
    for (at, (method, path, document, status)) in [
        ("POST", "/accounts", account("c"), 201),
        ("POST", "/payments", payment("2.5"), 201),
        ("POST", "/transactions", charge, 201),
        ("PATCH", "/accounts/1", update("1", 1), 200),
        ("PUT", "/accounts/1?include=contractor", update("1", 2), 200),
        ("PATCH", "/accounts/1/balance", balance(40), 200),
        ("PUT", "/accounts/1001/balance", balance(50), 200),
        ("PATCH", "/accounts/1/balance-correction", correction.clone(), 200),
        ("PUT", "/accounts/1/balance-correction", correction, 200),
        ("POST", "/payments/1/rollback", Value::Null, 200),
        ("PATCH", relationship, link.clone(), 204),
        ("PUT", relationship, link, 204),
        ("DELETE", relationship, Value::Null, 204),
        ("DELETE", &second, Value::Null, 204),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key {at}");
        let before = app.dump();
        let first = keyed(&app, &key, method, path, &document).await;
        assert_eq!(first.status, status, "{method} {path}: {}", first.body);
        let after = app.dump();
        assert_ne!(after, before, "{method} {path}");
        for _ in 0..2 {
            assert_replays(&first, &keyed(&app, &key, method, path, &document).await);
        }
        assert_eq!(app.dump(), after, "{method} {path}");
    }
    assert_eq!(app.balances().await, ["59.0", "0.0"]);
}

#[tokio::test]
async fn the_answer_is_the_first_one_whatever_has_happened_since() {
    let app = app_with_accounts().await;
    let first = keyed(&app, KEY, "POST", "/payments", &payment(5)).await;
    assert_eq!(first.header("location"), first.json()["data"]["links"]["self"]);
    assert_eq!(app.roll_back("1").await.status, 200);
    assert_replays(&first, &keyed(&app, KEY, "POST", "/payments", &payment(5)).await);
    assert_eq!(app.delete("/accounts/1").await.status, 204);
    assert_replays(&first, &keyed(&app, KEY, "POST", "/payments", &payment(5)).await);
    assert_eq!(app.total("/payments").await, 0);
}

#[tokio::test]
async fn a_key_names_one_write() {
    let app = app_with_accounts().await;
    let first = keyed(&app, KEY, "POST", "/payments", &payment(5)).await;
    assert_eq!(first.status, 201);
    let update = json!({"data": {"type": "accounts", "id": "1", "attributes": {"vat": 5}}});
    for (method, path, document) in [
        ("POST", "/payments", payment(6)),
        ("POST", "/payments", payment("5")),
        ("POST", "/payments", json!({"data": payment(5)["data"], "meta": {}})),
        ("POST", "/payments?include=account", payment(5)),
        ("POST", "/payments/1/rollback", payment(5)),
        ("PATCH", "/accounts/1", update.clone()),
        ("DELETE", "/accounts/1", Value::Null),
    ] {
        assert_reused(&app, KEY, method, path, &document).await;
    }
    assert_eq!(keyed(&app, "other", "PATCH", "/accounts/1", &update).await.status, 200);
    assert_reused(&app, "other", "PUT", "/accounts/1", &update).await;
    assert_reused(
        &app,
        "other",
        "PATCH",
        "/accounts/1/balance",
        &json!({"data": {
            "type": "balances", "id": "1001", "attributes": {"balance": 5},
        }}),
    )
    .await;
    // Keys are compared as they are.
    let upper = KEY.to_uppercase();
    assert_eq!(keyed(&app, &upper, "POST", "/payments", &payment(6)).await.status, 201);
    assert_replays(&first, &keyed(&app, KEY, "POST", "/payments", &payment(5)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_has_an_effect_and_all_have_its_answer() {
    for many in [2, 50] {
        let app = Arc::new(app_with_accounts().await);
        let mut replies = all_at_once((0..many).map(|_| {
            let app = Arc::clone(&app);
            async move { keyed(&app, KEY, "POST", "/payments", &payment(5)).await }
        }))
        .await;
        replies.sort_by_key(is_replay);
        let (first, others) = replies.split_first().unwrap();
        assert_eq!(first.status, 201);
        for other in others {
            assert_replays(first, other);
        }
        assert_eq!(app.balances().await, ["5.0", "0.0"]);
        for list in ["/payments", "/journal-entries", "/audit-records?filter[item-type]=payments"] {
            assert_eq!(app.total(list).await, 1, "{list}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_different_writes_at_once_with_one_key_one_has_an_effect() {
    let app = Arc::new(app_with_accounts().await);
    let replies = all_at_once((1..=20).map(|amount| {
        let app = Arc::clone(&app);
        async move { keyed(&app, KEY, "POST", "/payments", &payment(amount)).await }
    }))
    .await;
    let done: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(done.len(), 1);
    assert_eq!(app.balances().await[0], done[0].attribute("amount"));
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        refused.refuses(422);
    }
}

#[tokio::test]
async fn operators_do_not_share_keys() {
    let (app, token) = app_with_second_operator("billing").await;
    let headers = [
        ("accept", MEDIA_TYPE),
        ("content-type", MEDIA_TYPE),
        ("authorization", token.as_str()),
        ("idempotency-key", KEY),
    ];
    let mine = keyed(&app, KEY, "POST", "/payments", &payment(5)).await;
    let theirs = app.send("POST", "/payments", &headers, payment(5).to_string()).await;
    assert_eq!((mine.status, theirs.status), (201, 201));
    assert!(!is_replay(&theirs));
    assert_eq!(app.balances().await, ["10.0", "0.0"]);
    let again = app.send("POST", "/payments", &headers, payment(5).to_string()).await;
    assert_replays(&theirs, &again);
    assert_replays(&mine, &keyed(&app, KEY, "POST", "/payments", &payment(5)).await);
}

#[tokio::test]
async fn a_refusal_by_the_operation_is_an_answer_too() {
    let app = app_with_accounts().await;
    let stale = "W/\"0123456789abcdef0123456789abcdef\"";
    let update = |id: &str, name: &str| json!({"data": {"type": "accounts", "id": id, "attributes": {"name": name}}});
    let mut refused = Vec::new();
    for (key, status, if_match, method, path, document) in [
        ("taken", 422, "*", "PATCH", "/accounts/1", update("1", "b")),
        ("unknown", 404, "*", "PATCH", "/accounts/99", update("99", "x")),
        ("stale", 412, stale, "PATCH", "/accounts/1", update("1", "x")),
        ("no delete", 404, "*", "DELETE", "/accounts/99", Value::Null),
        ("dependent", 422, "*", "DELETE", "/contractors/1", Value::Null),
        ("no rollback", 404, "*", "POST", "/payments/1/rollback", Value::Null),
        ("no amount", 422, "*", "POST", "/payments", payment(0)),
    ] {
        let headers = [("idempotency-key", key), ("if-match", if_match)];
        let reply = app.write_with(&headers, method, path, document.to_string()).await;
        assert_eq!(reply.status, status, "{key}: {}", reply.body);
        refused.push((key, method, path, document, reply));
    }
    // What was refused for would be no reason any more.
    let second = app.second_account().await;
    assert_eq!(app.update("accounts", &second, json!({"name": "c"})).await.status, 200);
    app.alter(&format!("UPDATE accounts SET id = 99 WHERE id = {second}"));
    assert_eq!(app.attributes("/accounts/99").await["name"], "c");
    app.pay("1", 5).await;
    let before = app.dump();
    for (key, method, path, document, first) in &refused {
        assert_replays(first, &keyed(&app, key, method, path, document).await);
    }
    assert_eq!(app.dump(), before);
    let renamed = keyed(&app, "fresh", "PATCH", "/accounts/1", &update("1", "b")).await;
    assert_eq!(renamed.attribute("name"), "b");
}

#[tokio::test]
async fn what_fails_before_the_operation_leaves_the_key_free() {
    let app = app_with_accounts().await;
    let token = app.token.as_str();
    let key = ("idempotency-key", KEY);
    let (accept, content) = (("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE));
    let (text, html) = (("content-type", "text/plain"), ("accept", "text/html"));
    let authorization = ("authorization", token);
    let unknown = json!({"data": {"type": "payments", "attributes": {"nonesuch": 1}}}).to_string();
    let good = payment(5).to_string();
    let before = app.dump();
    for (status, method, path, headers, body) in [
        (400, "POST", "/payments", [accept, content, authorization, key], "{oops"),
        (400, "POST", "/payments", [accept, content, authorization, key], &unknown),
        (400, "POST", "/payments?fields[x]=y", [accept, content, authorization, key], &good),
        (415, "POST", "/payments", [accept, text, authorization, key], &good),
        (406, "POST", "/payments", [html, content, authorization, key], &good),
        (401, "POST", "/payments", [accept, content, ("authorization", "x"), key], &good),
        (405, "DELETE", "/payments", [accept, content, authorization, key], &good),
        (404, "POST", "/nonesuch", [accept, content, authorization, key], &good),
    ] {
        let reply = app.send(method, path, &headers, body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        assert!(!is_replay(&reply));
    }
    assert_eq!(app.dump(), before);
    let first = keyed(&app, KEY, "POST", "/payments", &payment(5)).await;
    assert_eq!(first.status, 201);
    // Once the key has named a write, who fails before it is still told why.
    let reply = app.send("POST", "/payments", &[accept, text, authorization, key], good).await;
    assert_eq!(reply.status, 415);
    assert_replays(&first, &keyed(&app, KEY, "POST", "/payments", &payment(5)).await);
}

#[tokio::test]
async fn a_key_is_1_to_255_printable_characters_sent_once() {
    let app = app_with_accounts().await;
    let longest = "k".repeat(255);
    let too_long = "k".repeat(256);
    let before = app.dump();
    for keys in [&[""][..], &[&too_long], &["ключ"], &["é"], &["a", "b"], &["a", "a"], &["", "a"]]
    {
        let headers: Vec<(&str, &str)> = keys.iter().map(|key| ("idempotency-key", *key)).collect();
        for (method, path) in [
            ("POST", "/payments"),
            ("PATCH", "/accounts/1"),
            ("PUT", "/accounts/1/balance"),
            ("DELETE", "/accounts/1"),
            ("DELETE", "/accounts/1/relationships/invoice-template"),
            ("POST", "/payments/1/rollback"),
        ] {
            let reply = app.write_with(&headers, method, path, payment(5).to_string()).await;
            reply.refuses(400);
            assert_eq!(reply.json()["errors"][0]["code"], "400", "{keys:?}");
        }
    }
    assert_eq!(app.dump(), before);
    for key in [&longest, "k", "0", "two words", "\"quoted\"", "~!@#$%^&*(),;"] {
        let first = keyed(&app, key, "POST", "/payments", &payment(1)).await;
        assert_eq!(first.status, 201, "{key}: {}", first.body);
        assert_replays(&first, &keyed(&app, key, "POST", "/payments", &payment(1)).await);
    }
    assert_eq!(app.balances().await, ["6.0", "0.0"]);
}

#[tokio::test]
async fn reads_and_sign_in_take_no_notice_of_keys() {
    let app = app_with_accounts().await;
    for key in [KEY, "", &"k".repeat(256)] {
        for method in ["GET", "HEAD"] {
            for path in ["/accounts", "/accounts/1", "/accounts/1/relationships/contractor"] {
                let reply = keyed(&app, key, method, path, &Value::Null).await;
                assert_eq!((reply.status, is_replay(&reply)), (200, false), "{method} {path}");
            }
        }
    }
    let credentials = json!({"auth": {"username": "admin", "password": "wrong"}});
    assert_eq!(keyed(&app, KEY, "POST", "/auth", &credentials).await.status, 401);
    assert_eq!(keyed(&app, KEY, "POST", "/payments", &payment(5)).await.status, 201);
}

#[tokio::test]
async fn a_token_in_the_query_may_be_another_one_at_the_next_attempt() {
    let app = app_with_accounts().await;
    let earlier = app.app.now() - SignedDuration::from_secs(60);
    let other = app.app.tokens.issue(1, 0, earlier).unwrap();
    assert_ne!(other, app.token);
    let first = keyed(&app, KEY, "POST", "/payments?fields[payments]=amount", &payment(5)).await;
    assert_eq!(first.status, 201);
    for query in [
        format!("token={other}&fields[payments]=amount"),
        format!("fields[payments]=amount&token={}", app.token),
    ] {
        let again = keyed(&app, KEY, "POST", &format!("/payments?{query}"), &payment(5)).await;
        assert_replays(&first, &again);
    }
    assert_reused(&app, KEY, "POST", &format!("/payments?token={other}"), &payment(5)).await;
    assert_eq!(app.balances().await, ["5.0", "0.0"]);
}

#[tokio::test]
async fn a_kept_answer_gives_no_secret_away() {
    let app = TestApp::start().await;
    let attributes = json!({
        "name": "s", "host": "mail.example.com", "from-address": "noc@example.com",
        "auth-password": "correct horse",
    });
    let document = json!({"data": {"type": "smtp-connections", "attributes": attributes}});
    let first = keyed(&app, KEY, "POST", "/smtp-connections", &document).await;
    assert_eq!(first.attribute("auth-password"), Value::Null);
    assert_replays(&first, &keyed(&app, KEY, "POST", "/smtp-connections", &document).await);
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM first_answers"), 1);
    assert_eq!(
        app.stored::<i64>(
            "SELECT count(*) FROM first_answers WHERE CAST(body AS TEXT) LIKE '%correct horse%'"
        ),
        0
    );
}

#[tokio::test]
async fn forgotten_answers_free_their_keys() {
    let app = app_with_accounts().await;
    for key in ["a", "b", "c"] {
        assert_eq!(keyed(&app, key, "POST", "/payments", &payment(5)).await.status, 201);
    }
    let purge = async |cutoff, limit| {
        let forget = async move |tx: &mut store::Tx| tx.forget_answers(cutoff, limit).await;
        app.app.store.write::<_, StoreError, _>(forget).await.unwrap()
    };
    let now = app.app.now();
    assert_eq!(purge(now - SignedDuration::from_hours(1), 9).await, 0);
    assert_eq!(purge(now + SignedDuration::from_secs(1), 2).await, 2);
    for (key, replayed) in [("a", false), ("b", false), ("c", true)] {
        let reply = keyed(&app, key, "POST", "/payments", &payment(5)).await;
        assert_eq!((reply.status, is_replay(&reply)), (201, replayed), "{key}");
    }
    assert_eq!(app.balances().await, ["25.0", "0.0"]);
}
