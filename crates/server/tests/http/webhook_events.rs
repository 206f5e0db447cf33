//! Which events there are beside crossed thresholds, and what they tell.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tollkeeper::jobs::{Kept, forget_once};

use crate::receiver::Webhook;
use crate::support::{PASSWORD, Reply, Setup, TestApp, linkage};

/// Types and data of all events, the first first.
async fn events(app: &TestApp) -> Vec<(String, Value)> {
    let listed = app.listed("/events?sort=id&page[size]=1000").await;
    let kind = |event: &Value| event["event-type"].as_str().unwrap().to_owned();
    listed.into_iter().map(|mut event| (kind(&event), event["data"].take())).collect()
}

async fn kinds(app: &TestApp) -> Vec<String> {
    events(app).await.into_iter().map(|(kind, _)| kind).collect()
}

async fn wanting(events: &[&str]) -> (TestApp, Webhook, String) {
    let app = TestApp::start().await;
    let webhook = app.webhook("http://127.0.0.1:1/", events).await;
    let contractor = app.contractor("acme").await;
    (app, webhook, contractor)
}

#[tokio::test]
async fn an_account_is_told_of_as_it_comes_changes_and_goes() {
    let (app, webhook, contractor) = wanting(&["*"]).await;
    let account = app.account(&contractor, json!({"name": "a", "min-balance": "-5"})).await;
    let other = app.contractor("other").await;
    let update = async |attributes: Value| {
        assert_eq!(app.update("accounts", &account, attributes).await.status, 200);
    };
    update(json!({"name": "b", "timezone": "Europe/Kyiv"})).await;
    // What is there already is no change.
    update(json!({"name": "b"})).await;
    update(json!({"total-capacity": 10, "max-balance": "7.5"})).await;
    let links = json!({"contractor": linkage("contractors", &other)});
    let data = json!({"type": "accounts", "id": account, "relationships": links});
    assert_eq!(
        app.patch(&format!("/accounts/{account}"), json!({ "data": data })).await.status,
        200
    );
    assert_eq!(app.delete(&format!("/accounts/{account}")).await.status, 204);
    let told = events(&app).await;
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    let expected = [
        "AccountCreated",
        "AccountUpdated",
        "AccountUpdated",
        "AccountLimitsChanged",
        "AccountUpdated",
        "AccountDeleted",
    ];
    assert_eq!(kinds, expected);
    let changes = |at: usize| &told[at].1["changes"];
    assert_eq!(told[0].1["min_balance"], "-5.0");
    assert_eq!(changes(1), &json!({"name": ["a", "b"], "timezone": ["UTC", "Europe/Kyiv"]}));
    let limits = json!({"max_balance": ["0.0", "7.5"], "total_capacity": [null, 10]});
    assert_eq!((changes(2), changes(3)), (&limits, &limits));
    let ids = [&contractor, &other].map(|id| id.parse::<i64>().unwrap());
    assert_eq!(changes(4), &json!({ "contractor_id": ids }));
    assert_eq!((&told[5].1["name"], &told[5].1["id"].to_string()), (&json!("b"), &account));
    // All of one account are in one line.
    assert_eq!(app.total(&webhook.deliveries()).await, 6);
    assert_eq!(app.stored::<i64>("SELECT count(DISTINCT line) FROM deliveries"), 1);
}

#[tokio::test]
async fn each_limit_is_one_and_nothing_else_is() {
    let (app, _, contractor) = wanting(&["AccountLimitsChanged"]).await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    for (name, value) in [
        ("min-balance", json!("-1")),
        ("max-balance", json!("1")),
        ("destination-rate-limit", json!("0.5")),
        ("max-call-duration", json!(60)),
        ("origination-capacity", json!(1)),
        ("termination-capacity", json!(2)),
        ("total-capacity", json!(3)),
    ] {
        assert_eq!(app.update("accounts", &account, json!({ name: value })).await.status, 200);
        let (_, data) = events(&app).await.pop().unwrap();
        let changes: Vec<String> = data["changes"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(changes, [name.replace('-', "_")]);
    }
    for other in [json!({"vat": 20}), json!({"name": "b"}), json!({"balance-low-threshold": -10})] {
        assert_eq!(app.update("accounts", &account, other).await.status, 200);
    }
    assert_eq!(app.correct(&account, account.clone(), json!(5)).await.status, 200);
    app.pay(&account, 1).await;
    assert_eq!(kinds(&app).await.len(), 7);
}

#[tokio::test]
async fn a_payment_is_told_of_without_what_its_customer_may_not_see() {
    let (app, _, contractor) = wanting(&["PaymentPosted", "PaymentRolledBack"]).await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    app.pay(&account, "2.5").await;
    let paid =
        json!({"amount": "10.25", "notes": "n", "private-notes": "hush", "external-id": "e"});
    let payment = app.payment(&account, paid).await.json()["data"]["id"].take();
    let payment = payment.as_str().unwrap();
    assert_eq!(app.roll_back(payment).await.status, 200);
    let told = events(&app).await;
    assert_eq!(kinds(&app).await, ["PaymentPosted", "PaymentPosted", "PaymentRolledBack"]);
    let described = |status: &str| {
        json!({
            "id": payment.parse::<i64>().unwrap(),
            "amount": "10.25",
            "notes": "n",
            "status": status,
            "external_id": "e",
            "balance_before_payment": "2.5",
        })
    };
    for (at, status, balance) in [(1, "completed", "12.75"), (2, "rolled_back", "2.5")] {
        assert_eq!(told[at].1["payment"], described(status));
        assert_eq!(told[at].1["balance"], balance);
    }
    assert!(!format!("{told:?}").contains("hush"));
    // One that is refused is not told of.
    app.payment(&account, json!({"amount": 0})).await.refuses(422);
    app.roll_back(payment).await.refuses(422);
    assert_eq!(kinds(&app).await.len(), 3);
}

#[tokio::test]
async fn what_nobody_wants_to_hear_of_is_not_written() {
    let (app, webhook, contractor) = wanting(&["BalanceAlertRaised"]).await;
    let account = app.account(&contractor, json!({"name": "a", "balance-low-threshold": 5})).await;
    app.pay(&account, 10).await;
    assert_eq!(app.update("accounts", &account, json!({"max-balance": 7})).await.status, 200);
    // Crossings are written anyway.
    let crossings = ["AccountLowThesholdReached", "AccountLowThesholdCleared"];
    assert_eq!(kinds(&app).await, crossings);
    assert_eq!(app.total("/deliveries").await, 0);
    // By its name spelled right, from now on.
    let events = json!({"events": ["AccountLowThresholdReached"]});
    assert_eq!(app.update("webhooks", &webhook.id, events).await.status, 200);
    app.pay(&account, -10).await;
    assert_eq!(app.total(&webhook.deliveries()).await, 1);
}

async fn sign_in(app: &TestApp, from: &str, password: &str) -> Reply {
    let body = json!({"auth": {"username": "admin", "password": password}}).to_string();
    let headers = [("content-type", "application/json"), ("x-forwarded-for", from)];
    app.send("POST", "/auth", &headers, body).await
}

/// A server that believes the tests who they come from.
async fn trusting() -> TestApp {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    TestApp::start_as(Setup { trusted_proxies, ..Setup::default() }).await
}

#[tokio::test]
async fn an_operator_from_a_new_address_is_told_of_but_not_the_first() {
    let app = trusting().await;
    let first = ["192.0.2.1", "192.0.2.1"];
    let then = ["192.0.2.2", "2001:db8::1", "2001:db8::2", "192.0.2.1", "::ffff:192.0.2.2"];
    for from in first {
        assert_eq!(sign_in(&app, from, PASSWORD).await.status, 201);
    }
    assert_eq!(kinds(&app).await, [""; 0]);
    assert_eq!(sign_in(&app, "192.0.2.9", "a guess").await.status, 401);
    for from in then {
        assert_eq!(sign_in(&app, from, PASSWORD).await.status, 201, "{from}");
    }
    let told = events(&app).await;
    let data = |address: &str| json!({"operator": {"id": 1, "name": "admin"}, "address": address});
    let kind = "OperatorSignedInFromNewAddress".to_owned();
    assert_eq!(told, [(kind.clone(), data("192.0.2.2")), (kind, data("2001:db8::1"))]);
}

#[tokio::test]
async fn addresses_are_forgotten_after_90_days_but_for_the_last() {
    let app = trusting().await;
    for from in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert_eq!(sign_in(&app, from, PASSWORD).await.status, 201);
    }
    let at = |days: i64| -> String {
        let time: Timestamp = app.app.now() - SignedDuration::from_hours(24 * days);
        app.database.literal(&jsonapi::Value::Time(time))
    };
    let seen = |address: &str, days| {
        let sql = "UPDATE operator_addresses SET seen_at =";
        app.alter(&format!("{sql} {} WHERE address = '{address}'", at(days)));
    };
    let kept = || {
        let rows = app.database.rows("SELECT address FROM operator_addresses ORDER BY address");
        rows.iter().map(|row| row.get::<String>("address")).collect::<Vec<_>>()
    };
    seen("192.0.2.1", 91);
    seen("192.0.2.2", 89);
    forget_once(&app.app, Kept::default()).await.unwrap();
    assert_eq!(kept(), ["192.0.2.2", "192.0.2.3"]);
    seen("192.0.2.2", 200);
    seen("192.0.2.3", 100);
    forget_once(&app.app, Kept::default()).await.unwrap();
    assert_eq!(kept(), ["192.0.2.3"]);
    let before = kinds(&app).await.len();
    assert_eq!(sign_in(&app, "192.0.2.4", PASSWORD).await.status, 201);
    assert_eq!(kinds(&app).await.len(), before + 1);
}
