//! Alerts that forecast when an account will be at its floor.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use decimal::Decimal;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tollkeeper::forecasts::forecast_once;
use tollkeeper::jobs::{Jobs, Kept};

use crate::alerts::Told;
use crate::builders::app_with_contractor;
use crate::postings::{number, post_all, time};
use crate::proof::verify;
use crate::support::{Setup, TestApp};

/// The first moment of the tests.
const START: &str = "2026-03-01T12:00:00Z";
/// Minutes that have gone since then in the test of the pace.
static MINUTES: AtomicI64 = AtomicI64::new(0);

fn ticking() -> Timestamp {
    time(START) + SignedDuration::from_mins(MINUTES.load(Ordering::Relaxed))
}

fn still() -> Timestamp {
    time(START)
}

/// A server with account 1 at noon.
async fn app_at(clock: fn() -> Timestamp) -> TestApp {
    let app = TestApp::start_as(Setup { clock, token_lifetime_secs: 0, ..Setup::default() }).await;
    let contractor = app.contractor("acme").await;
    let attributes = json!({"name": "a", "external-id": 1001, "min-balance": -100});
    app.account(&contractor, attributes).await;
    app
}

/// What one look tells.
async fn look(app: &TestApp, told: &mut Told<'_>) -> Vec<String> {
    forecast_once(&app.app).await.unwrap();
    let news = told.news().await;
    forecast_once(&app.app).await.unwrap();
    assert!(told.news().await.is_empty(), "once is enough");
    news
}

#[tokio::test]
async fn a_forecast_follows_the_pace() {
    let app = app_at(ticking).await;
    let mut told = Told::by(&app);
    let alert = json!({"name": "x", "kind": "forecast", "pace-hours": 2, "within-hours": 10});
    app.alert("1", alert).await;
    app.pay("1", 100).await;
    assert!(look(&app, &mut told).await.is_empty(), "nothing is spent");
    // 10 an hour of the last two: 180 are left above the floor, 18 hours.
    app.charge("1", 20).await;
    assert!(look(&app, &mut told).await.is_empty());
    // 20 an hour: 160 are left, 8 hours.
    app.charge("1", 20).await;
    assert_eq!(look(&app, &mut told).await, ["Raised x -100.0 60.0"]);
    let event = app.listed("/events?sort=-id").await.remove(0);
    let detail = |name: &str| event["data"]["alert"][name].clone();
    assert_eq!(detail("kind"), "forecast");
    assert_eq!((detail("pace_hours"), detail("within_hours")), (json!(2), json!(10)));
    assert_eq!((detail("pace_per_hour"), detail("hours_left")), (json!("20.0"), json!("8.0")));
    assert_eq!((detail("value"), detail("percentage")), (Value::Null, Value::Null));
    // 220 are left, 11 hours: a tenth more than 10 does not clear it, but a cent more does.
    app.pay("1", 60).await;
    assert!(look(&app, &mut told).await.is_empty());
    app.pay("1", "0.01").await;
    assert_eq!(look(&app, &mut told).await, ["Cleared x -100.0 120.01"]);
    // 70 an hour: 200 are left, almost 3 hours.
    app.correct("1", "1", json!("79.99")).await;
    app.charge("1", 100).await;
    assert_eq!(look(&app, &mut told).await, ["Raised x -100.0 100.0"]);
    // Two hours later nothing was spent for two hours.
    MINUTES.store(121, Ordering::Relaxed);
    assert_eq!(look(&app, &mut told).await, ["Cleared x -100.0 100.0"]);
    let event = app.listed("/events?sort=-id").await.remove(0);
    assert_eq!(event["data"]["alert"]["pace_per_hour"], "0.0");
    assert_eq!(event["data"]["alert"]["hours_left"], Value::Null);
    // At the floor, or below it, whatever the pace.
    app.set_balance("1001", "1001", json!(-100)).await;
    MINUTES.store(500, Ordering::Relaxed);
    assert_eq!(look(&app, &mut told).await, ["Raised x -100.0 -100.0"]);
    let floor = json!({"min-balance": -300});
    assert_eq!(app.update("accounts", "1", floor).await.status, 200);
    assert!(told.news().await.is_empty(), "the next look is soon enough");
    assert_eq!(look(&app, &mut told).await, ["Cleared x -300.0 -100.0"]);
    assert_eq!(app.stored::<i64>("SELECT own_alerts FROM accounts"), 0);
    verify(&app.database);
}

#[tokio::test]
async fn of_many_entries_the_newest_tell_the_pace() {
    let app = app_at(still).await;
    let mut told = Told::by(&app);
    // Two a second for 5,000 seconds and a bit, and before that nothing for a long time.
    let first = time(START) - SignedDuration::from_secs(5_002);
    let moves: Vec<(Timestamp, Decimal)> = (0..10_004)
        .map(|entry| (first + SignedDuration::from_millis(500 * entry), number("-1")))
        .collect();
    post_all(&app.app.store, 1, &moves).await;
    app.pay("1", 20_104).await;
    // 10,200 are left, at 7,200 an hour for 1.4 hours. Spread over 720 hours it would be no pace.
    app.alert("1", json!({"name": "x", "kind": "forecast", "pace-hours": 720, "within-hours": 1}))
        .await;
    assert!(look(&app, &mut told).await.is_empty());
    app.alert("1", json!({"name": "y", "kind": "forecast", "pace-hours": 720, "within-hours": 2}))
        .await;
    assert_eq!(look(&app, &mut told).await, ["Raised y -100.0 10100.0"]);
    let event = app.listed("/events?sort=-id").await.remove(0);
    // The payment is one of the 10,000 entries.
    assert_eq!(event["data"]["alert"]["pace_per_hour"], "7200.0");
}

#[tokio::test]
async fn forecasts_of_many_accounts_are_looked_at_in_slices() {
    let (app, contractor) = app_with_contractor().await;
    for number in 0..120 {
        let account = app.account(&contractor, json!({"name": format!("a{number}")})).await;
        let attributes = json!({"kind": "forecast", "pace-hours": 1, "within-hours": 1});
        app.alert(&account, attributes.clone()).await;
        app.alert(&account, attributes).await;
    }
    let mut told = Told::by(&app);
    // They all are at their floor of 0.
    assert_eq!(look(&app, &mut told).await.len(), 240);
    verify(&app.database);
}

#[tokio::test]
async fn a_running_server_looks_by_itself() {
    let (app, contractor) = app_with_contractor().await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    let attributes = json!({"kind": "forecast", "pace-hours": 1, "within-hours": 1});
    let alert = app.alert(&account, attributes).await;
    let jobs = Jobs::start(&app.app, Kept::default());
    let since = Instant::now();
    while app.attributes(&format!("/balance-alerts/{alert}")).await["raised"] == false {
        assert!(since.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    jobs.stop().await;
}
