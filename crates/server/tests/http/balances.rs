//! Balances: set by external id, corrected by the account's own id, traced either way.

use serde_json::{Value, json};

use crate::builders::app_with_accounts;
use crate::support::TestApp;

#[tokio::test]
async fn a_balance_is_set_by_external_id() {
    let app = app_with_accounts().await;
    let root = format!("http://{}/api/rest/admin", app.address);
    for (url, id) in [("1001", json!("1001")), ("1", json!("1001")), ("1001", json!(1001))] {
        let reply = app.set_balance(url, id, json!("500.25")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let expected = json!({"data": {
            "id": "1001",
            "type": "balances",
            "links": {"self": format!("{root}/balances")},
            "attributes": {"balance": "500.25"},
        }});
        assert_eq!(reply.body, expected.to_string());
    }
    assert_eq!(app.balances().await, ["500.25", "0.0"]);
    // The URL may hold the account's own id; 1 is also the external id of the other account.
    assert_eq!(app.set_balance("1", "1", json!(-7)).await.status, 200);
    assert_eq!(app.balances().await, ["500.25", "-7.0"]);
}

#[tokio::test]
async fn the_url_and_the_document_name_the_same_account() {
    let app = app_with_accounts().await;
    for (url, id) in [("2", "1001"), ("4242", "1001"), ("abc", "1001"), ("1001", "1")] {
        let reply = app.set_balance(url, id, json!(5)).await;
        let error = format!("110 The URL does not support the key {id}");
        assert_eq!((reply.status, reply.errors()), (400, vec![error]), "{url}, {id}");
    }
    for id in ["4242", "2", "abc"] {
        let reply = app.set_balance("1", id, json!(5)).await;
        let error = format!("404 The record identified by {id} could not be found.");
        assert_eq!((reply.status, reply.errors()), (404, vec![error]), "{id}");
    }
    for (url, id) in [("1", "2"), ("1001", "1"), ("2", "1")] {
        let reply = app.correct(url, id, json!(5)).await;
        let error = format!("110 The URL does not support the key {id}");
        assert_eq!((reply.status, reply.errors()), (400, vec![error]), "{url}, {id}");
    }
    for id in ["1001", "abc"] {
        let reply = app.correct(id, id, json!(5)).await;
        let error = format!("404 The record identified by {id} could not be found.");
        assert_eq!((reply.status, reply.errors()), (404, vec![error]), "{id}");
    }
    assert_eq!(app.balances().await, ["0.0", "0.0"]);
    assert_eq!(app.total("/audit-records?filter[event_eq]=update").await, 0);
}

#[tokio::test]
async fn external_ids_at_the_ends_of_64_bits_are_told_apart() {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    for (name, external_id) in [("a", i64::MIN), ("b", i64::MIN + 1), ("c", i64::MAX)] {
        let attributes = json!({"name": name, "external-id": external_id});
        app.account(&contractor, attributes).await;
    }
    for beyond in ["9223372036854775808", "99999999999999999999", "-9223372036854775809"] {
        let reply = app.set_balance(beyond, beyond, json!(5)).await;
        assert_eq!(reply.status, 404, "{beyond}: {}", reply.body);
    }
    assert_eq!(app.balances().await, ["0.0", "0.0", "0.0"]);
    for (balance, id) in [i64::MIN, i64::MIN + 1, i64::MAX].into_iter().enumerate() {
        let id = id.to_string();
        assert_eq!(app.set_balance(&id, id.as_str(), json!(balance)).await.status, 200, "{id}");
    }
    assert_eq!(app.balances().await, ["0.0", "1.0", "2.0"]);
}

#[tokio::test]
async fn a_balance_is_a_number_within_the_range_of_all_money() {
    let app = app_with_accounts().await;
    for (sent, stored) in [
        (json!("1e2"), "100.0"),
        (json!(" .5 "), "0.5"),
        (json!("-100000000000000000000000000"), "-100000000000000000000000000.0"),
        (json!("0.000000000001"), "0.000000000001"),
    ] {
        assert_eq!(app.set_balance("1", "1001", sent).await.attribute("balance"), stored);
    }
    let before = app.balances().await;
    for (sent, message) in [
        (json!("abc"), "is not a number"),
        (json!("12abc"), "is not a number"),
        (json!(null), "is not a number"),
        (json!(""), "is not a number"),
        (json!(true), "is not a number"),
        (json!([1]), "is not a number"),
        (json!("0.0000000000001"), "has too many decimal places"),
        (json!("1e27"), "must be less than or equal to 100000000000000000000000000"),
    ] {
        let reply = app.set_balance("1", "1001", sent.clone()).await;
        assert_eq!((reply.status, reply.errors()), (422, vec![format!("100 balance - {message}")]));
        assert_eq!(reply.pointers(), ["/data/attributes/balance"], "{sent}");
    }
    assert_eq!(app.balances().await, before);
}

#[tokio::test]
async fn a_correction_adds_to_the_balance() {
    let app = app_with_accounts().await;
    let root = format!("http://{}/api/rest/admin", app.address);
    for (sent, balance) in
        [(json!(10), "10.0"), (json!("-2.5"), "7.5"), (json!("1e-12"), "7.500000000001")]
    {
        let reply = app.correct("1", "1", sent).await;
        let expected = json!({"data": {
            "id": "1",
            "type": "balance-correction",
            "links": {"self": format!("{root}/balance-correction")},
            "attributes": {"name": "a", "balance": balance},
        }});
        assert_eq!((reply.status, reply.body), (200, expected.to_string()));
    }
    for (sent, message) in [
        (json!(null), "can't be blank"),
        (json!(""), "can't be blank"),
        (json!("abc"), "is not a number"),
        (json!(true), "is not a number"),
        (json!("1e-13"), "has too many decimal places"),
        (json!("1e26"), "takes the balance out of range"),
    ] {
        let reply = app.correct("1", "1", sent.clone()).await;
        let error = format!("100 correction - {message}");
        assert_eq!((reply.status, reply.errors()), (422, vec![error]), "{sent}");
        assert_eq!(reply.pointers(), ["/data/attributes/correction"], "{sent}");
    }
    let nothing = json!({"data": {"type": "balance-correction", "id": "1"}});
    let reply = app.patch("/accounts/1/balance-correction", nothing).await;
    assert_eq!(reply.errors(), ["100 correction - can't be blank"]);
    assert_eq!(app.balances().await, ["7.500000000001", "0.0"]);
}

#[tokio::test]
async fn limits_do_not_bind_the_balance_but_an_invalid_account_is_not_touched() {
    let app = app_with_accounts().await;
    assert_eq!(app.set_balance("1", "1001", json!(-999_990)).await.status, 200);
    app.alter("UPDATE accounts SET timezone = 'Gone/Zone'");
    let error = ["100 timezone - Gone/Zone is not a valid timezone"];
    assert_eq!(app.set_balance("1", "1001", json!(5)).await.errors(), error);
    assert_eq!(app.correct("1", "1", json!(5)).await.errors(), error);
    assert_eq!(app.balances().await, ["-999990.0", "0.0"]);
}

#[tokio::test]
async fn every_movement_is_audited_and_standing_still_is_not() {
    let app = app_with_accounts().await;
    assert_eq!(app.set_balance("1", "1001", json!(5)).await.status, 200);
    assert_eq!(app.set_balance("1", "1001", json!("5.000")).await.status, 200);
    assert_eq!(app.correct("1", "1", json!("-1.5")).await.status, 200);
    assert_eq!(app.correct("1", "1", json!(0)).await.status, 200);
    let path = "/audit-records?filter[item-type]=accounts&filter[event_eq]=update&sort=id";
    let records = app.get(path).await.json();
    let changes: Vec<(Value, Value)> = records["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["attributes"])
        .map(|record| (record["before"].clone(), record["after"].clone()))
        .collect();
    assert_eq!(
        changes,
        [
            (json!({"balance": "0.0"}), json!({"balance": "5.0"})),
            (json!({"balance": "5.0"}), json!({"balance": "3.5"})),
        ]
    );
}

#[tokio::test]
async fn the_documents_are_checked_like_all_others() {
    let app = app_with_accounts().await;
    let own = json!({"type": "balances", "id": "1001"});
    for (path, data, error) in [
        ("1/balance", json!(null), "106 The required parameter, data, is missing."),
        (
            "1/balance",
            json!({"type": "balances"}),
            "109 The resource object does not contain a key.",
        ),
        ("1/balance", json!({"id": "1001"}), "106 The required parameter, type, is missing."),
        (
            "1/balance",
            json!({"type": "accounts", "id": "1001"}),
            "101 accounts is not a valid resource.",
        ),
        (
            "1/balance",
            json!({"type": "balances", "id": "1001", "attributes": {"name": "x"}}),
            "105 name is not allowed.",
        ),
        (
            "1/balance",
            json!({"type": "balances", "id": "1001", "relationships": {"contractor": {}}}),
            "105 contractor is not allowed.",
        ),
        (
            "1/balance-correction",
            json!({"type": "balance-corrections", "id": "1"}),
            "101 balance-corrections is not a valid resource.",
        ),
        (
            "1/balance-correction",
            json!({"type": "balance-correction", "id": "1", "attributes": {"balance": 1}}),
            "105 balance is not allowed.",
        ),
    ] {
        let reply = app.patch(&format!("/accounts/{path}"), json!({ "data": data })).await;
        assert_eq!((reply.status, reply.errors()), (400, vec![error.to_owned()]), "{data}");
    }
    let unchanged = app.patch("/accounts/1/balance", json!({ "data": own })).await;
    assert_eq!(unchanged.attribute("balance"), "0.0");
    for path in ["/accounts/1/balance", "/accounts/1/balance-correction"] {
        for method in ["GET", "POST", "DELETE"] {
            let reply = app.write(method, path, "").await;
            assert_eq!((reply.status, reply.header("allow")), (405, "PATCH, PUT"), "{method}");
        }
    }
    for path in ["/balances", "/balance-correction", "/balances/1001"] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
}
