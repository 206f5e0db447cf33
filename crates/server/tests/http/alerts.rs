//! Balance alerts: rules, what raises and clears them and whom that is told, and the two that
//! mirror an account's thresholds.

use jsonapi::Value as Stored;
use serde_json::{Value, json};
use tollkeeper::journal::{Range, verify_slice};

use crate::builders::{app_with_contractor, older};
use crate::postings::number;
use crate::proof::verify;
use crate::support::{Reply, Setup, TestApp, linkage};

impl TestApp {
    /// Asks for an alert of an account, with these attributes.
    pub async fn ask_alert(&self, account: &str, attributes: Value) -> Reply {
        let links = json!({"account": linkage("accounts", account)});
        let data =
            json!({"type": "balance-alerts", "attributes": attributes, "relationships": links});
        self.post("/balance-alerts", json!({ "data": data })).await
    }

    /// Makes an alert of an account, with these attributes, and returns its id.
    pub async fn alert(&self, account: &str, attributes: Value) -> String {
        let reply = self.ask_alert(account, attributes).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json()["data"]["id"].as_str().unwrap().to_owned()
    }

    /// The alerts that mirror thresholds of an account: `low 10.0 raised`.
    async fn mirrored(&self, account: &str) -> Vec<String> {
        let path = "/balance-alerts?filter[origin_eq]=account&sort=id";
        let alerts = self.listed(&format!("{path}&filter[account.id]={account}")).await;
        let text = |alert: &Value| {
            let raised = if alert["raised"] == true { " raised" } else { "" };
            format!("{} {}{raised}", unquoted(&alert["kind"]), unquoted(&alert["value"]))
        };
        alerts.iter().map(text).collect()
    }

    /// Whether an alert is raised.
    async fn is_raised(&self, alert: &str) -> bool {
        self.attributes(&format!("/balance-alerts/{alert}")).await["raised"] == true
    }

    /// Adds a webhook that wants everything.
    fn add_webhook(&self) {
        let text = |text| self.database.literal(&Stored::text(text));
        let now = self.database.literal(&Stored::Time(self.app.now()));
        let active = self.database.literal(&Stored::Bool(true));
        self.alter(&format!(
            "INSERT INTO webhooks (url, events, active, secret, created_at) \
             VALUES ({}, {}, {active}, 'sealed', {now})",
            text("http://127.0.0.1:9/"),
            text(r#"["*"]"#),
        ));
    }
}

fn unquoted(value: &Value) -> &str {
    value.as_str().unwrap_or("null")
}

/// What own alerts have told since this was last asked: `Raised name threshold balance`.
pub struct Told<'a> {
    app: &'a TestApp,
    seen: usize,
}

impl<'a> Told<'a> {
    pub fn by(app: &'a TestApp) -> Self {
        Self { app, seen: 0 }
    }

    pub async fn news(&mut self) -> Vec<String> {
        let path = "/events?filter[event-type-start]=BalanceAlert&sort=id&page[size]=1000";
        let events = self.app.listed(path).await;
        let lines = events.iter().skip(self.seen).map(|event| {
            let (data, alert) = (&event["data"], &event["data"]["alert"]);
            let kind = unquoted(&event["event-type"]).strip_prefix("BalanceAlert").unwrap();
            let (name, threshold) = (unquoted(&alert["name"]), unquoted(&alert["threshold"]));
            format!("{kind} {name} {threshold} {}", unquoted(&data["balance"]))
        });
        let lines: Vec<String> = lines.collect();
        self.seen = events.len();
        lines
    }
}

/// A server with account 1: external id 1001, floor -100, balance 50.
async fn app_with_account() -> TestApp {
    let (app, contractor) = app_with_contractor().await;
    let attributes = json!({"name": "a", "external-id": 1001, "min-balance": -100});
    app.account(&contractor, attributes).await;
    set(&app, "50").await;
    app
}

async fn set(app: &TestApp, balance: &str) {
    let reply = app.set_balance("1001", "1001", json!(balance)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

/// Checks the proof, and that `verify` agrees.
async fn proved(app: &TestApp) {
    verify(&app.database);
    let (checked, rest) = verify_slice(&app.app.store, Range::ALL).await.unwrap();
    assert_eq!((checked.findings, rest.is_some()), (Vec::new(), false));
}

#[tokio::test]
async fn a_threshold_is_crossed_once_in_each_direction() {
    let app = app_with_account().await;
    app.alert("1", json!({"name": "low", "kind": "low", "value": "20"})).await;
    app.alert("1", json!({"name": "lower", "kind": "low", "value": 10, "hysteresis": "5"})).await;
    app.alert("1", json!({"name": "high", "kind": "high", "value": 100, "hysteresis": 1})).await;
    let mut told = Told::by(&app);
    for (balance, news) in [
        ("20", &[][..]),
        ("19.999999999999", &["Raised low 20.0 19.999999999999"]),
        ("10", &[]),
        ("9", &["Raised lower 10.0 9.0"]),
        ("8", &[]),
        ("15", &[]),
        ("15.000000000001", &["Cleared lower 10.0 15.000000000001"]),
        ("20", &[]),
        ("100", &["Cleared low 20.0 100.0"]),
        ("100.01", &["Raised high 100.0 100.01"]),
        ("500", &[]),
        ("99", &[]),
        ("98.99", &["Cleared high 100.0 98.99"]),
        ("-5", &["Raised low 20.0 -5.0", "Raised lower 10.0 -5.0"]),
        ("101", &["Cleared low 20.0 101.0", "Cleared lower 10.0 101.0", "Raised high 100.0 101.0"]),
    ] {
        set(&app, balance).await;
        assert_eq!(told.news().await, news, "{balance}");
    }
    proved(&app).await;
}

#[tokio::test]
async fn whatever_moves_the_balance_is_looked_at() {
    let app = app_with_account().await;
    app.alert("1", json!({"name": "x", "kind": "low", "value": 20})).await;
    let mut told = Told::by(&app);
    let payment = app.pay("1", -45).await;
    assert_eq!(told.news().await, ["Raised x 20.0 5.0"]);
    assert_eq!(app.roll_back(&payment).await.status, 200);
    assert_eq!(told.news().await, ["Cleared x 20.0 50.0"]);
    app.charge("1", 45).await;
    assert_eq!(told.news().await, ["Raised x 20.0 5.0"]);
    app.correct("1", "1", json!(45)).await;
    assert_eq!(told.news().await, ["Cleared x 20.0 50.0"]);
    // Nothing else does.
    assert_eq!(app.update("accounts", "1", json!({"vat": 5})).await.status, 200);
    assert!(told.news().await.is_empty());
    proved(&app).await;
}

#[tokio::test]
async fn a_percentage_follows_the_credit_line() {
    let app = app_with_account().await;
    let alert = app.alert("1", json!({"name": "80%", "kind": "low", "percentage": "80"})).await;
    let mut told = Told::by(&app);
    set(&app, "-80").await;
    assert!(told.news().await.is_empty());
    set(&app, "-80.01").await;
    assert_eq!(told.news().await, ["Raised 80% -80.0 -80.01"]);
    for (floor, news) in [
        // The threshold is -100.0125 now.
        ("-125.015625", &["Cleared 80% -100.0125 -80.01"][..]),
        ("-100", &["Raised 80% -80.0 -80.01"]),
        ("0", &["Cleared 80% null -80.01"]),
        ("5", &[]),
        ("-1", &["Raised 80% -0.8 -80.01"]),
    ] {
        let reply =
            app.update("accounts", "1", json!({"min-balance": floor, "max-balance": 9})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(told.news().await, news, "{floor}");
    }
    assert!(app.is_raised(&alert).await);
    proved(&app).await;
}

#[tokio::test]
async fn an_alert_that_changes_is_looked_at() {
    let app = app_with_account().await;
    let mut told = Told::by(&app);
    let reply = app.ask_alert("1", json!({"name": "x", "kind": "low", "value": 60})).await;
    assert_eq!((reply.status, reply.attribute("raised")), (201, json!(true)));
    assert!(reply.attribute("changed-at").is_string());
    let alert = reply.json()["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(told.news().await, ["Raised x 60.0 50.0"]);
    for (attributes, raised, news) in [
        (json!({"value": 50}), true, &[][..]),
        (json!({"value": "49.99"}), false, &["Cleared x 49.99 50.0"]),
        (json!({"value": 60, "hysteresis": 10}), true, &["Raised x 60.0 50.0"]),
        (json!({"value": 45}), true, &[]),
        (json!({"hysteresis": "4.99"}), false, &["Cleared x 45.0 50.0"]),
        (json!({"name": "y", "channels": "email"}), false, &[]),
        (json!({"value": null, "percentage": 0}), false, &[]),
        (json!({"value": 51, "percentage": null}), true, &["Raised y 51.0 50.0"]),
    ] {
        let reply = app.update("balance-alerts", &alert, attributes.clone()).await;
        assert_eq!((reply.status, reply.attribute("raised")), (200, json!(raised)), "{attributes}");
        assert_eq!(told.news().await, news, "{attributes}");
    }
    assert_eq!(app.delete(&format!("/balance-alerts/{alert}")).await.status, 204);
    assert_eq!(told.news().await, ["Cleared y 51.0 50.0"]);
    set(&app, "5").await;
    assert!(told.news().await.is_empty());
    assert_eq!(app.stored::<i64>("SELECT own_alerts FROM accounts"), 0);
    proved(&app).await;
}

#[tokio::test]
async fn an_event_tells_of_the_alert_beside_the_account() {
    let app = app_with_account().await;
    let attributes = json!({"name": "x", "kind": "low", "percentage": "12.5", "hysteresis": "1.5"});
    let alert = app.alert("1", attributes).await;
    set(&app, "-13").await;
    let event = app.listed("/events").await.remove(0);
    assert_eq!(event["event-type"], "BalanceAlertRaised");
    assert_eq!(event["data"]["name"], "a");
    assert_eq!(event["data"]["balance"], "-13.0");
    assert_eq!(
        event["data"]["alert"],
        json!({
            "id": alert.parse::<i64>().unwrap(), "name": "x", "kind": "low", "value": null,
            "percentage": "12.5", "threshold": "-12.5", "hysteresis": "1.5",
            "pace_hours": null, "within_hours": null,
        })
    );
    let changed_at = app.attributes(&format!("/balance-alerts/{alert}")).await["changed-at"].take();
    assert_eq!(event["created-at"], changed_at);
}

/// Deliveries so far: the channel, and whom a mail is for.
async fn deliveries(app: &TestApp) -> Vec<String> {
    let reply = app.get("/deliveries?sort=id").await.json();
    let line = |delivery: &Value| {
        let contact = &delivery["relationships"]["contact"]["data"]["id"];
        let channel = unquoted(&delivery["attributes"]["channel"]);
        contact.as_str().map_or(channel.to_owned(), |contact| format!("{channel} {contact}"))
    };
    reply["data"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn channels_and_recipients_say_who_is_told() {
    let app = app_with_account().await;
    app.add_webhook();
    let server = json!({"name": "s", "host": "localhost", "from-address": "noc@example.com"});
    app.create("smtp-connections", server, json!({})).await;
    let noc = app.contact("1", "noc@example.com").await;
    let billing = app.contact("1", "billing@example.com").await;
    let to = json!({"send-balance-notifications-to": [noc]});
    assert_eq!(app.update("accounts", "1", to).await.status, 200);
    let mails = [&noc, &billing].map(|contact| format!("email {contact}"));
    let [to_noc, to_billing] = mails.each_ref().map(String::as_str);
    let mut seen = deliveries(&app).await.len();
    for (attributes, told) in [
        (json!({}), vec!["webhook", to_noc]),
        (json!({"channels": "both", "recipients": [billing]}), vec!["webhook", to_billing]),
        (json!({"channels": "email"}), vec![to_noc]),
        (json!({"channels": "email", "recipients": [billing, noc]}), vec![to_billing, to_noc]),
        (json!({"channels": "webhook", "recipients": [billing]}), vec!["webhook"]),
        (json!({"recipients": []}), vec!["webhook", to_noc]),
        (json!({"recipients": [99999]}), vec!["webhook"]),
    ] {
        let mut all = attributes.clone();
        all["kind"] = json!("low");
        all["value"] = json!(60);
        let alert = app.alert("1", all).await;
        let now = deliveries(&app).await;
        assert_eq!(now[seen..], told, "{attributes}");
        assert_eq!(app.delete(&format!("/balance-alerts/{alert}")).await.status, 204);
        let after = deliveries(&app).await;
        assert_eq!(after[now.len()..], told, "{attributes}, cleared");
        seen = after.len();
    }
    let mute = json!({"notifications-muted-until": "2999-01-01T00:00:00Z"});
    assert_eq!(app.update("accounts", "1", mute).await.status, 200);
    let mut seen = deliveries(&app).await.len();
    for (channels, told) in [("both", &["webhook"][..]), ("email", &[]), ("webhook", &["webhook"])]
    {
        app.alert("1", json!({"kind": "low", "value": 60, "channels": channels})).await;
        let now = deliveries(&app).await;
        assert_eq!(now[seen..], *told, "{channels}, muted");
        seen = now.len();
    }
    assert_eq!(app.delete(&format!("/contacts/{noc}")).await.status, 204);
}

#[tokio::test]
async fn a_contact_that_goes_leaves_the_recipients() {
    let app = app_with_account().await;
    let noc: i64 = app.contact("1", "noc@example.com").await.parse().unwrap();
    let attributes = json!({"kind": "low", "value": 1, "recipients": [noc, 77]});
    let alert = app.alert("1", attributes).await;
    assert_eq!(app.delete(&format!("/contacts/{noc}")).await.status, 204);
    let alert = app.attributes(&format!("/balance-alerts/{alert}")).await;
    assert_eq!(alert["recipients"], json!([77]));
}

#[tokio::test]
async fn what_an_alert_must_be() {
    let app = app_with_account().await;
    let at = |name: &str| format!("/data/attributes/{name}");
    for (attributes, pointers) in [
        (json!({}), vec![at("kind")]),
        (json!({"kind": "middle", "value": 1}), vec![at("kind")]),
        (json!({"kind": "low"}), vec![at("value")]),
        (json!({"kind": "high", "value": 1, "percentage": 1}), vec![at("percentage")]),
        (json!({"kind": "low", "value": "abc"}), vec![at("value")]),
        (json!({"kind": "low", "percentage": -1}), vec![at("percentage")]),
        (json!({"kind": "low", "percentage": 1001}), vec![at("percentage")]),
        (json!({"kind": "low", "value": 1, "hysteresis": -1}), vec![at("hysteresis")]),
        (json!({"kind": "low", "value": 1, "hysteresis": null}), vec![at("hysteresis")]),
        (json!({"kind": "low", "value": 1, "channels": "fax"}), vec![at("channels")]),
        (json!({"kind": "low", "value": 1, "channels": null}), vec![at("channels")]),
        (json!({"kind": "low", "value": 1, "recipients": ["x"]}), vec![at("recipients")]),
        (json!({"kind": "low", "value": 1, "name": "x".repeat(256)}), vec![at("name")]),
        (
            json!({"kind": "low", "value": 1, "pace-hours": 1, "within-hours": 2}),
            vec![at("pace-hours"), at("within-hours")],
        ),
        (json!({"kind": "forecast"}), vec![at("pace-hours"), at("within-hours")]),
        (
            json!({"kind": "forecast", "pace-hours": 0, "within-hours": 721}),
            vec![at("pace-hours"), at("within-hours")],
        ),
        (
            json!({
                "kind": "forecast", "pace-hours": 1, "within-hours": 1, "value": 1, "hysteresis": 1,
            }),
            vec![at("value"), at("hysteresis")],
        ),
    ] {
        let before = app.dump();
        let reply = app.ask_alert("1", attributes.clone()).await;
        reply.refuses(422);
        assert_eq!(reply.pointers(), pointers, "{attributes}");
        assert_eq!(app.dump(), before);
    }
    let reply = app.ask_alert("77", json!({"kind": "low", "value": 1})).await;
    assert_eq!(reply.refuses(422).pointers(), ["/data/relationships/account"]);
    let document = json!({"data": {"type": "balance-alerts",
        "attributes": {"kind": "low", "value": 1}}});
    let reply = app.post("/balance-alerts", document).await;
    assert_eq!(reply.refuses(422).pointers(), ["/data/relationships/account"]);
    for attributes in [
        json!({"kind": "low", "value": 1, "origin": "account"}),
        json!({"kind": "low", "value": 1, "raised": true}),
        json!({"kind": "low", "value": 1, "changed-at": null}),
    ] {
        app.ask_alert("1", attributes).await.refuses(400);
    }
    let alert = app.alert("1", json!({"kind": "low", "value": 1})).await;
    let reply = app.update("balance-alerts", &alert, json!({"kind": "high"})).await;
    assert_eq!(reply.refuses(400).errors(), ["105 kind is not allowed."]);
    let reply = app.update("balance-alerts", &alert, json!({"percentage": 5})).await;
    assert_eq!(reply.refuses(422).pointers(), [at("percentage")]);
    for reply in [
        app.update("balance-alerts", "99999", json!({"value": 1})).await,
        app.delete("/balance-alerts/99999").await,
    ] {
        reply.refuses(404);
    }
    app.write_if(
        "PATCH",
        &format!("/balance-alerts/{alert}"),
        "\"other\"",
        &json!({"data": {
            "type": "balance-alerts", "id": alert, "attributes": {"value": 2},
        }}),
    )
    .await
    .refuses(412);
    proved(&app).await;
}

#[tokio::test]
async fn an_account_has_a_hundred_alerts_at_most() {
    let app = app_with_account().await;
    let both = json!({"balance-low-threshold": 1, "balance-high-threshold": 99});
    assert_eq!(app.update("accounts", "1", both).await.status, 200);
    let mut last = String::new();
    for value in 0..100 {
        last = app.alert("1", json!({"kind": "low", "value": value - 200})).await;
    }
    let before = app.dump();
    let reply = app.ask_alert("1", json!({"kind": "low", "value": 0})).await;
    assert_eq!(reply.refuses(422).pointers(), ["/data/relationships/account"]);
    assert_eq!(app.dump(), before);
    assert_eq!(app.delete(&format!("/balance-alerts/{last}")).await.status, 204);
    app.alert("1", json!({"kind": "low", "value": 0})).await;
    assert_eq!(app.total("/balance-alerts?filter[account.id]=1").await, 102);
    assert_eq!(app.total("/balance-alerts").await, 102);
    let mut told = Told::by(&app);
    set(&app, "-500").await;
    assert_eq!(told.news().await.len(), 100);
    proved(&app).await;
}

#[tokio::test]
async fn thresholds_are_alerts_in_step() {
    let (app, contractor) = app_with_contractor().await;
    let attributes = json!({
        "name": "a", "external-id": 1001, "balance-low-threshold": 10,
        "balance-high-threshold": 100,
    });
    app.account(&contractor, attributes).await;
    assert_eq!(app.mirrored("1").await, ["low 10.0 raised", "high 100.0"]);
    for (balance, alerts) in [
        ("50", ["low 10.0", "high 100.0"]),
        ("101", ["low 10.0", "high 100.0 raised"]),
        ("5", ["low 10.0 raised", "high 100.0"]),
    ] {
        set(&app, balance).await;
        assert_eq!(app.mirrored("1").await, alerts, "{balance}");
    }
    for (attributes, alerts) in [
        (json!({"balance-low-threshold": 5}), &["low 5.0 raised", "high 100.0"][..]),
        (json!({"balance-low-threshold": 4}), &["low 4.0", "high 100.0"]),
        (json!({"balance-low-threshold": null}), &["high 100.0"]),
        (json!({"balance-high-threshold": 4}), &["high 4.0 raised"]),
        (json!({"balance-high-threshold": null, "balance-low-threshold": 6}), &["low 6.0 raised"]),
        (json!({"balance-low-threshold": null}), &[]),
        (json!({"balance-low-threshold": 1}), &["low 1.0"]),
    ] {
        assert_eq!(app.update("accounts", "1", attributes.clone()).await.status, 200);
        assert_eq!(app.mirrored("1").await, alerts, "{attributes}");
    }
    // They tell what the reference tells, and nothing of their own.
    assert!(Told::by(&app).news().await.is_empty());
    assert_eq!(app.stored::<i64>("SELECT own_alerts FROM accounts"), 0);
    let audited = "SELECT count(*) FROM audit_records WHERE item_type = 'balance-alerts'";
    assert_eq!(app.stored::<i64>(audited), 0, "the account's records tell of them");
    proved(&app).await;
}

#[tokio::test]
async fn a_mirroring_alert_changes_its_account() {
    let app = app_with_account().await;
    let both = json!({"balance-low-threshold": 10, "balance-high-threshold": 100});
    assert_eq!(app.update("accounts", "1", both).await.status, 200);
    let ids = app.ids("/balance-alerts?sort=id").await;
    let (low, high) = (ids[0].as_str(), ids[1].as_str());
    let account = async |name: &str| app.attributes("/accounts/1").await[name].take();
    let reply = app.update("balance-alerts", low, json!({"value": "60.5"})).await;
    assert_eq!((reply.status, reply.attribute("raised")), (200, json!(true)));
    assert_eq!(reply.attribute("value"), "60.5");
    assert_eq!(account("balance-low-threshold").await, "60.5");
    let events = app.listed("/events?sort=id").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["event-type"], "AccountLowThesholdReached");
    let audit = app.listed("/audit-records?sort=-id&page[size]=1").await.remove(0);
    assert_eq!((&audit["item-type"], &audit["event"]), (&json!("accounts"), &json!("update")));
    for (id, value, detail) in [
        (low, json!(100), "value - must be less than balance high threshold"),
        (high, json!("60.5"), "value - must be less than balance high threshold"),
        (low, json!("x"), "value - is not a number"),
        (low, json!(null), "value - can't be blank"),
        (low, json!("1e30"), "value - must be less than or equal to 100000000000000000000000000"),
    ] {
        let reply = app.update("balance-alerts", id, json!({"value": value})).await;
        assert_eq!(reply.refuses(422).errors(), [format!("100 {detail}")]);
        assert_eq!(reply.pointers(), ["/data/attributes/value"]);
    }
    for (name, value) in [
        ("name", json!("x")),
        ("percentage", json!(1)),
        ("hysteresis", json!(1)),
        ("channels", json!("email")),
        ("recipients", json!([1])),
        ("pace-hours", json!(1)),
        ("within-hours", json!(1)),
    ] {
        let reply = app.update("balance-alerts", low, json!({name: value, "value": 1})).await;
        let why = "cannot be changed: the alert mirrors a threshold of its account";
        assert_eq!(reply.refuses(422).errors(), [format!("100 {name} - {why}")]);
        assert_eq!(reply.pointers(), [format!("/data/attributes/{name}")]);
    }
    let same = json!({"value": "60.5", "hysteresis": 0, "channels": "both", "name": null});
    assert_eq!(app.update("balance-alerts", low, same).await.status, 200);
    assert_eq!(app.delete(&format!("/balance-alerts/{low}")).await.status, 204);
    assert_eq!(account("balance-low-threshold").await, json!(null));
    assert_eq!(app.mirrored("1").await, ["high 100.0"]);
    let events = app.listed("/events?sort=id").await;
    assert_eq!(events[1]["event-type"], "AccountLowThesholdCleared");
    app.get(&format!("/balance-alerts/{low}")).await.refuses(404);
    // An account that has become invalid is not touched.
    app.alter("UPDATE accounts SET timezone = 'Gone/Zone'");
    let reply = app.update("balance-alerts", high, json!({"value": 90})).await;
    assert_eq!(reply.refuses(422).pointers(), ["/data"]);
    app.delete(&format!("/balance-alerts/{high}")).await.refuses(422);
    app.alter("UPDATE accounts SET timezone = 'UTC'");
    proved(&app).await;
}

#[tokio::test]
async fn a_second_mirroring_alert_cannot_be_stored() {
    let app = app_with_account().await;
    let low = json!({"balance-low-threshold": 10});
    assert_eq!(app.update("accounts", "1", low).await.status, 200);
    let again = std::panic::AssertUnwindSafe(|| {
        app.alter(
            "INSERT INTO balance_alerts (kind, value, hysteresis, channels, origin, raised, \
             account_id) SELECT kind, value, hysteresis, channels, origin, raised, account_id \
             FROM balance_alerts",
        );
    });
    assert!(std::panic::catch_unwind(again).is_err());
    assert_eq!(app.mirrored("1").await, ["low 10.0"]);
}

#[tokio::test]
async fn the_account_takes_its_alerts_along() {
    let app = app_with_account().await;
    let other = app.account("1", json!({"name": "b", "balance-low-threshold": -5})).await;
    let low = json!({"balance-low-threshold": 10});
    assert_eq!(app.update("accounts", "1", low).await.status, 200);
    let contact = app.contact("1", "noc@example.com").await;
    app.alert("1", json!({"kind": "low", "value": 60, "recipients": [contact]})).await;
    app.alert("1", json!({"kind": "forecast", "pace-hours": 1, "within-hours": 1})).await;
    let events = app.total("/events").await;
    assert_eq!(app.delete("/accounts/1").await.status, 204);
    assert_eq!(app.total("/balance-alerts").await, 1);
    assert_eq!(app.mirrored(&other).await, ["low -5.0"]);
    assert_eq!(app.total("/events").await, events);
    let members = "SELECT count(*) FROM list_members WHERE list = 'balance-alerts.recipients'";
    assert_eq!(app.stored::<i64>(members), 0);
    assert_eq!(app.delete(&format!("/contacts/{contact}")).await.status, 204);
    proved(&app).await;
}

#[tokio::test]
async fn alerts_are_found_by_what_they_say_and_audited() {
    let app = app_with_account().await;
    let both = json!({"balance-low-threshold": 60, "balance-high-threshold": 100});
    assert_eq!(app.update("accounts", "1", both).await.status, 200);
    app.alert("1", json!({"name": "x", "kind": "low", "value": 60})).await;
    app.alert("1", json!({"name": "y", "kind": "forecast", "pace-hours": 1, "within-hours": 1}))
        .await;
    for (filter, found) in [
        ("kind_eq]=low", 2),
        ("kind_in]=high,forecast", 2),
        ("origin_eq]=own", 2),
        ("raised_eq]=true", 2),
        ("raised_eq]=false", 2),
        ("account.id]=1", 4),
        ("account.id]=2", 0),
    ] {
        assert_eq!(app.total(&format!("/balance-alerts?filter[{filter}")).await, found, "{filter}");
    }
    let audit = app.listed("/audit-records?filter[item-type_eq]=balance-alerts&sort=id").await;
    let events: Vec<_> = audit.iter().map(|record| unquoted(&record["event"])).collect();
    assert_eq!(events, ["create", "create"]);
}

#[tokio::test]
async fn an_alert_is_made_once_by_requests_with_one_key() {
    let app = app_with_account().await;
    let links = json!({"account": linkage("accounts", "1")});
    let attributes = json!({"kind": "low", "value": 60});
    let data = json!({"type": "balance-alerts", "attributes": attributes, "relationships": links});
    let document = json!({ "data": data }).to_string();
    let key = [("idempotency-key", "k")];
    for _ in 0..2 {
        let reply = app.write_with(&key, "POST", "/balance-alerts", document.clone()).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
    }
    assert_eq!(Told::by(&app).news().await.len(), 1);
    proved(&app).await;
}

#[tokio::test]
async fn verify_finds_alerts_that_are_not_in_step() {
    let app = app_with_account().await;
    let low = json!({"balance-low-threshold": 10});
    assert_eq!(app.update("accounts", "1", low).await.status, 200);
    app.alert("1", json!({"kind": "high", "value": 60})).await;
    let findings = async || {
        let (checked, _) = verify_slice(&app.app.store, Range::ALL).await.unwrap();
        checked.findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(findings().await, [""; 0]);
    let [eleven, ten] =
        ["11", "10"].map(|text| app.database.literal(&Stored::Decimal(number(text))));
    let [yes, no] = [true, false].map(|bool| app.database.literal(&Stored::Bool(bool)));
    let step = "the alert of the low threshold is not in step";
    for (wrong, right, message) in [
        (format!("value = {eleven}"), format!("value = {ten}"), step),
        (format!("raised = {yes}"), format!("raised = {no}"), step),
        (
            "origin = 'own'".to_owned(),
            "origin = 'account'".to_owned(),
            "own-alerts is 1, but there are 2 such alerts",
        ),
    ] {
        app.alter(&format!("UPDATE balance_alerts SET {wrong} WHERE kind = 'low'"));
        assert_eq!(findings().await.last().unwrap(), message);
        app.alter(&format!("UPDATE balance_alerts SET {right} WHERE kind = 'low'"));
    }
    app.alter("UPDATE accounts SET own_alerts = 0");
    assert_eq!(findings().await, ["own-alerts is 0, but there are 1 such alerts"]);
}

#[tokio::test]
async fn a_database_from_before_has_the_alerts_of_its_thresholds() {
    let database = older(4, 2);
    let yes = database.literal(&Stored::Bool(true));
    database.execute(&format!(
        "INSERT INTO contractors (id, name, enabled, vendor, customer) \
         VALUES (1, 'acme', {yes}, {yes}, {yes})"
    ));
    let money = |text: &str| database.literal(&Stored::Decimal(number(text)));
    for (id, low, high, state) in [
        (1, Some("10"), Some("100"), 0),
        (2, Some("60.5"), None, 1),
        (3, None, Some("-5"), 2),
        (4, None, None, 0),
    ] {
        let bound = |text: Option<&str>| text.map_or("NULL".to_owned(), money);
        let uuid = uuid::Uuid::from_u128(id);
        database.execute(&format!(
            "INSERT INTO accounts (id, name, balance, min_balance, max_balance, vat, \
             balance_low_threshold, balance_high_threshold, uuid, timezone, contractor_id, \
             threshold_state) VALUES ({id}, 'a{id}', {}, {zero}, {zero}, {zero}, {}, {}, {}, \
             'UTC', 1, {state})",
            money("50"),
            bound(low),
            bound(high),
            database.literal(&Stored::Uuid(uuid)),
            zero = money("0"),
        ));
    }
    database.execute("INSERT INTO totals (kind, slot, total) VALUES ('accounts', 0, 4)");
    let app = TestApp::start_on(database, Setup::default()).await;
    assert_eq!(app.mirrored("1").await, ["low 10.0", "high 100.0"]);
    assert_eq!(app.mirrored("2").await, ["low 60.5 raised"]);
    assert_eq!(app.mirrored("3").await, ["high -5.0 raised"]);
    assert_eq!(app.total("/balance-alerts").await, 4);
    tollkeeper::journal::open_books(&app.app.store, app.app.moment()).await.unwrap();
    let (checked, _) = verify_slice(&app.app.store, Range::ALL).await.unwrap();
    assert_eq!(checked.findings, []);
    app.pay("2", 100).await;
    assert_eq!(app.mirrored("2").await, ["low 60.5"]);
    let alert = app.alert("4", json!({"kind": "low", "value": 60})).await;
    assert!(app.is_raised(&alert).await);
    let (checked, _) = verify_slice(&app.app.store, Range::ALL).await.unwrap();
    assert_eq!(checked.findings, []);
}
