//! Thresholds: a balance or a threshold that moves across the other is told once, in the write
//! that moved it, as an event and as a line of the log.

use serde_json::{Value, json};

use crate::builders::{Made, app_with_contractor};
use crate::support::{TestApp, linkage};

/// What happened since this was last asked, as the events' proper names without the common start
/// and the log's ids with the balance: `LowReached 3 5.0`.
struct Told<'a> {
    app: &'a TestApp,
    account: String,
    seen: usize,
}

impl<'a> Told<'a> {
    /// Of account 1.
    fn of(app: &'a TestApp) -> Self {
        Self::by(app, "1")
    }

    fn by(app: &'a TestApp, account: &str) -> Self {
        Self { app, account: account.to_owned(), seen: 0 }
    }

    async fn news(&mut self) -> Vec<String> {
        let of_account = format!("filter[account.id]={}&sort=id", self.account);
        let events = self.app.listed(&format!("/events?{of_account}")).await;
        let log = self.app.listed(&format!("/balance-notifications?{of_account}")).await;
        assert_eq!(events.len(), log.len(), "one line of the log for each event");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let lines = events.iter().zip(&log).skip(self.seen).map(|(event, row)| {
            assert_eq!(event["data"]["balance"], row["balance"]);
            assert_eq!(event["created-at"], row["created-at"]);
            let alias = text(&event["event-type-alias"]);
            assert_eq!(text(&event["event-type"]), alias.replace("Threshold", "Theshold"));
            let name = alias.strip_prefix("Account").unwrap().replace("Threshold", "");
            format!("{name} {} {}", row["event-id"], text(&row["balance"]))
        });
        let lines: Vec<String> = lines.collect();
        self.seen = events.len();
        lines
    }
}

/// A server with account 1: external id 1001, balance 50, thresholds 10 and 100.
async fn app_between() -> TestApp {
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "a", "external-id": 1001})).await;
    set(&app, "50").await;
    let thresholds = json!({"balance-low-threshold": 10, "balance-high-threshold": 100});
    assert_eq!(app.update("accounts", "1", thresholds).await.status, 200);
    app
}

async fn set(app: &TestApp, balance: &str) {
    let reply = app.set_balance("1001", "1001", json!(balance)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

async fn move_thresholds(app: &TestApp, low: Value, high: Value) {
    let thresholds = json!({"balance-low-threshold": low, "balance-high-threshold": high});
    let reply = app.update("accounts", "1", thresholds).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn whatever_moves_the_balance_crosses_thresholds() {
    let app = app_between().await;
    let mut told = Told::of(&app);
    assert!(told.news().await.is_empty());
    app.pay("1", -45).await;
    assert_eq!(told.news().await, ["LowReached 3 5.0"]);
    app.pay("1", 45).await;
    assert_eq!(told.news().await, ["LowCleared 1 50.0"]);
    app.charge("1", 45).await;
    assert_eq!(told.news().await, ["LowReached 3 5.0"]);
    app.charge("1", -45).await;
    assert_eq!(told.news().await, ["LowCleared 1 50.0"]);
    app.correct("1", "1", json!(51)).await;
    assert_eq!(told.news().await, ["HighReached 4 101.0"]);
    app.correct("1", "1", json!(-51)).await;
    assert_eq!(told.news().await, ["HighCleared 2 50.0"]);
    set(&app, "5").await;
    assert_eq!(told.news().await, ["LowReached 3 5.0"]);
    set(&app, "50").await;
    assert_eq!(told.news().await, ["LowCleared 1 50.0"]);
    let payment = app.pay("1", 60).await;
    assert_eq!(told.news().await, ["HighReached 4 110.0"]);
    assert_eq!(app.roll_back(&payment).await.status, 200);
    assert_eq!(told.news().await, ["HighCleared 2 50.0"]);
}

#[tokio::test]
async fn a_balance_on_a_threshold_neither_fires_nor_clears() {
    let app = app_between().await;
    let mut told = Told::of(&app);
    for (balance, news) in [
        ("10", None),
        ("9.999999999999", Some("LowReached 3 9.999999999999")),
        ("10", None),
        ("10.000000000001", Some("LowCleared 1 10.000000000001")),
        ("10", None),
        ("100", None),
        ("100.000000000001", Some("HighReached 4 100.000000000001")),
        ("100", None),
        ("99.999999999999", Some("HighCleared 2 99.999999999999")),
        ("100", None),
    ] {
        set(&app, balance).await;
        assert_eq!(told.news().await, Vec::from_iter(news), "{balance}");
    }
}

#[tokio::test]
async fn a_balance_that_stays_beyond_is_not_told_again() {
    let app = app_between().await;
    let mut told = Told::of(&app);
    for balance in ["5", "4", "-3", "9.5"] {
        set(&app, balance).await;
    }
    assert_eq!(told.news().await, ["LowReached 3 5.0"]);
    for balance in ["101", "1000", "102"] {
        set(&app, balance).await;
    }
    assert_eq!(told.news().await, ["LowCleared 1 101.0", "HighReached 4 101.0"]);
    assert_eq!(app.update("accounts", "1", json!({"vat": 5})).await.status, 200);
    assert!(told.news().await.is_empty());
}

#[tokio::test]
async fn a_jump_across_both_is_told_in_order() {
    let app = app_between().await;
    let mut told = Told::of(&app);
    set(&app, "5").await;
    set(&app, "200").await;
    set(&app, "-1").await;
    assert_eq!(
        told.news().await,
        [
            "LowReached 3 5.0",
            "LowCleared 1 200.0",
            "HighReached 4 200.0",
            "HighCleared 2 -1.0",
            "LowReached 3 -1.0",
        ]
    );
}

#[tokio::test]
async fn a_threshold_that_moves_is_looked_at_too() {
    let app = app_between().await;
    let mut told = Told::of(&app);
    for (low, high, news) in [
        (json!(60), json!(100), &["LowReached 3 50.0"][..]),
        (json!(70), json!(100), &[]),
        (json!(50), json!(100), &[]),
        (json!("49.999999999999"), json!(100), &["LowCleared 1 50.0"]),
        (json!(50), json!(100), &[]),
        (json!("50.5"), json!(null), &["LowReached 3 50.0"]),
        (json!(null), json!(null), &["LowCleared 1 50.0"]),
        (json!(null), json!(50), &[]),
        (json!(null), json!(45), &["HighReached 4 50.0"]),
        (json!(null), json!(50), &[]),
        (json!(null), json!(null), &["HighCleared 2 50.0"]),
        (json!(60), json!(null), &["LowReached 3 50.0"]),
        (json!(null), json!(40), &["LowCleared 1 50.0", "HighReached 4 50.0"]),
        (json!(60), json!(70), &["HighCleared 2 50.0", "LowReached 3 50.0"]),
    ] {
        move_thresholds(&app, low.clone(), high.clone()).await;
        assert_eq!(told.news().await, news, "{low}, {high}");
    }
    assert_eq!(app.balances().await, ["50.0"]);
}

#[tokio::test]
async fn a_threshold_may_be_crossed_from_the_beginning() {
    let (app, contractor) = app_with_contractor().await;
    for (name, thresholds, news) in [
        ("low", json!({"balance-low-threshold": 1}), &["LowReached 3 0.0"][..]),
        ("high", json!({"balance-high-threshold": -1}), &["HighReached 4 0.0"]),
        ("on both", json!({"balance-low-threshold": 0}), &[]),
        ("none", json!({}), &[]),
    ] {
        let mut attributes = thresholds;
        attributes["name"] = json!(name);
        let account = app.account(&contractor, attributes).await;
        assert_eq!(Told::by(&app, &account).news().await, news, "{name}");
    }
    let mut told = Told::by(&app, "1");
    assert_eq!(told.news().await.len(), 1);
    app.pay("1", 1).await;
    assert!(told.news().await.is_empty(), "on the threshold");
    app.pay("1", 1).await;
    assert_eq!(told.news().await, ["LowCleared 1 2.0"]);
}

#[tokio::test]
async fn an_event_tells_of_the_account_as_the_reference_does() {
    let (app, contractor) = app_with_contractor().await;
    let noc: i64 = app.contact(&contractor, "noc@example.com").await.parse().unwrap();
    let billing: i64 = app.contact(&contractor, "billing@example.com").await.parse().unwrap();
    let attributes = json!({
        "name": "a", "external-id": 1001, "vat": "20", "min-balance": -5, "max-balance": 1000,
        "balance-low-threshold": 10, "balance-high-threshold": "99.5", "total-capacity": 3,
        "send-balance-notifications-to": [billing, 77, noc], "send-invoices-to": [noc],
    });
    let account = app.open(&contractor, attributes).await;
    let uuid = account.attribute("uuid");
    app.pay("1", "2.5").await;
    app.pay("1", "100").await;
    let id = app.ids("/events?filter[account.id]=1&sort=-id").await.remove(0);
    let reply = app.get(&format!("/events/{id}")).await;
    let root = format!("http://{}/api/rest/admin/events/{id}", app.address);
    let expected = json!({"data": {
        "id": id,
        "type": "events",
        "links": {"self": root},
        "attributes": {
            "event-type": "AccountHighThesholdReached",
            "event-type-alias": "AccountHighThresholdReached",
            "data": {
                "id": 1,
                "name": "a",
                "balance": "102.5",
                "min_balance": "-5.0",
                "max_balance": "1000.0",
                "vat": "20.0",
                "balance_low_threshold": "10.0",
                "balance_high_threshold": "99.5",
                "send_balance_notifications_to": ["billing@example.com", "noc@example.com"],
                "destination_rate_limit": null,
                "max_call_duration": null,
                "external_id": 1001,
                "uuid": uuid,
                "origination_capacity": null,
                "termination_capacity": null,
                "total_capacity": 3,
                "send_invoices_to": [noc],
                "invoice_period_id": null,
                "timezone": "UTC",
                "next_invoice_at": null,
                "next_invoice_type_id": null,
                "contractor_id": 1,
                "invoice_template_id": null,
            },
            "created-at": reply.attribute("created-at"),
        },
        "relationships": {
            "account": {
                "links": {
                    "self": format!("{root}/relationships/account"),
                    "related": format!("{root}/account"),
                },
                "data": {"type": "accounts", "id": "1"},
            },
        },
    }});
    assert_eq!(reply.body, expected.to_string());
    let row = &app.listed("/balance-notifications?sort=-id").await[0];
    assert_eq!(
        row,
        &json!({
            "event-id": 4, "balance": "102.5", "balance-low-threshold": "10.0",
            "balance-high-threshold": "99.5", "created-at": reply.attribute("created-at"),
        })
    );
    let nobody = app.account(&contractor, json!({"name": "b", "balance-low-threshold": 1})).await;
    let event = &app.listed(&format!("/events?filter[account.id]={nobody}")).await[0];
    assert_eq!(event["data"]["send_balance_notifications_to"], json!([]));
}

#[tokio::test]
async fn events_and_the_log_are_found_by_what_they_say() {
    let app = app_between().await;
    let other = app.account("1", json!({"name": "b", "balance-low-threshold": 1})).await;
    for balance in ["5", "200", "50"] {
        set(&app, balance).await;
    }
    // The other account's comes first, then those of account 1.
    let made = async |list: &str| {
        let mut ids = app.ids(&format!("{list}?filter[account.id]={other}")).await;
        ids.extend(app.ids(&format!("{list}?filter[account.id]=1&sort=id")).await);
        Made::new(ids)
    };
    let (events, notifications) = (made("/events").await, made("/balance-notifications").await);
    let notification = |filter: &str| format!("/balance-notifications?filter[{filter}");
    let event = |filter: &str| format!("/events?filter[{filter}");
    for (path, found) in [
        (event("event-type]=AccountLowThesholdReached"), &[1, 2][..]),
        (event("event-type-eq]=AccountHighThesholdCleared"), &[5]),
        (event("event_type_in]=AccountLowThesholdCleared,AccountHighThesholdReached"), &[3, 4]),
        (event("event-type]=AccountLowThresholdReached"), &[]),
        (event("event-type-alias]=AccountLowThresholdReached"), &[1, 2]),
        (event("event-type-alias-cont]=cleared"), &[3, 5]),
        (event("account.id]=1"), &[2, 3, 4, 5]),
        (event(&format!("account.id]={other}")), &[1]),
        (event("account.id]=9999"), &[]),
        (event("created-at-gteq]=2026-01-01"), &[1, 2, 3, 4, 5]),
        (event("created-at-lt]=2026-01-01"), &[]),
        (event(r#"data-cont]="name":"b""#), &[1]),
        (notification("event-id-eq]=3"), &[1, 2]),
        (notification("event_id_gt]=3"), &[4]),
        (notification("balance-lt]=5"), &[1]),
        (notification("balance_eq]=200.0"), &[3, 4]),
        (notification(&format!("account.id]={other}")), &[1]),
        (notification("created-at-gteq]=2026-01-01"), &[1, 2, 3, 4, 5]),
        (notification("created-at-lt]=2026-01-01"), &[]),
    ] {
        let made = if path.starts_with("/events") { &events } else { &notifications };
        let found = made.ordered(found.iter().copied());
        assert_eq!(made.on(&app, &path).await, found, "{path}");
    }
    for (path, error) in [
        (event("data]=1"), "102 data is not allowed."),
        (
            notification("balance-low-threshold-eq]=1"),
            "102 balance_low_threshold_eq is not allowed.",
        ),
    ] {
        let reply = app.get(&path).await;
        assert_eq!(reply.errors(), [error], "{path}");
    }
}

#[tokio::test]
async fn events_and_the_log_outlive_the_account_and_nobody_changes_them() {
    let app = app_between().await;
    set(&app, "5").await;
    let (events, log) = (app.listed("/events").await, app.listed("/balance-notifications").await);
    assert_eq!(app.delete("/accounts/1").await.status, 204);
    assert_eq!(app.listed("/events").await, events);
    assert_eq!(app.listed("/balance-notifications").await, log);
    let before = app.dump();
    for kind in ["events", "balance-notifications"] {
        assert_eq!(app.total(&format!("/{kind}?filter[account.id]=1")).await, 1);
        let linked = app.get(&format!("/{kind}/1/relationships/account")).await.json();
        assert_eq!(linked["data"], json!({"type": "accounts", "id": "1"}));
        assert_eq!(app.get(&format!("/{kind}/1/account")).await.json(), json!({"data": null}));
        let data = json!({"type": kind, "id": "1", "attributes": {}});
        for (method, path) in [
            ("POST", format!("/{kind}")),
            ("PATCH", format!("/{kind}/1")),
            ("PUT", format!("/{kind}/1")),
            ("DELETE", format!("/{kind}/1")),
        ] {
            let reply = app.write(method, &path, json!({ "data": data }).to_string()).await;
            assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method}");
        }
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn a_refused_write_tells_nothing() {
    let app = app_between().await;
    app.account("1", json!({"name": "taken"})).await;
    let before = app.dump();
    for (status, reply) in [
        (
            422,
            app.update("accounts", "1", json!({"name": "taken", "balance-low-threshold": 60}))
                .await,
        ),
        (422, app.update("accounts", "1", json!({"balance-low-threshold": 100})).await),
        (422, app.open("1", json!({"name": "taken", "balance-low-threshold": 1})).await),
        (422, app.open("9", json!({"name": "b", "balance-low-threshold": 1})).await),
        (422, app.payment("1", json!({"amount": "-1e27"})).await),
        (422, app.transaction("1", json!({"amount": ""})).await),
    ] {
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    assert_eq!(app.dump(), before);
    app.alter("UPDATE accounts SET timezone = 'Gone/Zone'");
    let before = app.dump();
    for reply in [
        app.payment("1", json!({"amount": -45})).await,
        app.transaction("1", json!({"amount": 45})).await,
        app.correct("1", "1", json!(-45)).await,
        app.set_balance("1001", "1001", json!(5)).await,
    ] {
        assert_eq!(reply.status, 422, "{}", reply.body);
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn a_contact_that_goes_is_no_recipient_of_later_events() {
    let (app, contractor) = app_with_contractor().await;
    let mut contacts: Vec<i64> = Vec::new();
    for email in ["noc@example.com", "billing@example.com"] {
        contacts.push(app.contact(&contractor, email).await.parse().unwrap());
    }
    let attributes = json!({
        "name": "a", "balance-low-threshold": 1, "send-balance-notifications-to": contacts,
    });
    app.account(&contractor, attributes).await;
    assert_eq!(app.delete(&format!("/contacts/{}", contacts[0])).await.status, 204);
    let links = json!({"contractor": linkage("contractors", &contractor)});
    app.create("contacts", json!({"email": "new@example.com"}), links).await;
    app.pay("1", 5).await;
    let recipients: Vec<Value> = app
        .listed("/events?sort=id")
        .await
        .iter()
        .map(|event| event["data"]["send_balance_notifications_to"].clone())
        .collect();
    assert_eq!(
        recipients,
        [json!(["noc@example.com", "billing@example.com"]), json!(["billing@example.com"])]
    );
}
