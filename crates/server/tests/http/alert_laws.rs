//! The laws of alerts: random programs of movements, edits of accounts and edits of alerts, several
//! in flight at once, against a real server. Alerts are always what balances make of them, those of
//! thresholds are in step, and each crossing is told once. The short form is always the same
//! programs; `PROPTEST_CASES=500` tries that many new ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollkeeper::forecasts::forecast_once;
use tollkeeper::journal::{Range, verify_slice};

use crate::builders::external_id;
use crate::proof::verify;
use crate::support::{Reply, TestApp};

const ACCOUNTS: usize = 2;

/// One step of a program. An index picks among what is there by then.
#[derive(Clone, Debug)]
enum Step {
    Correct(usize, i64),
    Set(usize, i64),
    Edit(usize, Value),
    Make(usize, Value),
    Change(Index, Value),
    Delete(Index),
}

/// Few numbers, so that they often meet.
fn few() -> impl Strategy<Value = i64> {
    -8..8_i64
}

fn level() -> impl Strategy<Value = Value> {
    prop_oneof![
        few().prop_map(|value| json!({"value": value, "percentage": null})),
        (0..3_i64).prop_map(|part| json!({"value": null, "percentage": 50 * part})),
    ]
}

fn edit() -> impl Strategy<Value = Value> {
    let threshold = || proptest::option::weighted(0.7, few());
    prop_oneof![
        threshold().prop_map(|low| json!({"balance-low-threshold": low})),
        threshold().prop_map(|high| json!({"balance-high-threshold": high})),
        (-8..1_i64).prop_map(|min| json!({"min-balance": min})),
        Just(json!({"vat": 1})),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let account = || 0..ACCOUNTS;
    let made = (level(), select(vec!["low", "high"]), 0..3_i64, select(vec!["both", "email"]));
    let made = made.prop_map(|(mut alert, kind, width, channels)| {
        alert["kind"] = json!(kind);
        alert["hysteresis"] = json!(width);
        alert["channels"] = json!(channels);
        alert
    });
    let forecast = (1..4_i64)
        .prop_map(|within| json!({"kind": "forecast", "pace-hours": 24, "within-hours": within}));
    let made = prop_oneof![4 => made, 1 => forecast];
    let change = prop_oneof![
        level(),
        few().prop_map(|value| json!({"value": value})),
        (0..3_i64).prop_map(|width| json!({"hysteresis": width})),
    ];
    prop_oneof![
        4 => (account(), few()).prop_map(|(account, by)| Step::Correct(account, by)),
        3 => (account(), few()).prop_map(|(account, to)| Step::Set(account, to)),
        4 => (account(), edit()).prop_map(|(account, edit)| Step::Edit(account, edit)),
        3 => (account(), made).prop_map(|(account, alert)| Step::Make(account, alert)),
        3 => (any::<Index>(), change).prop_map(|(alert, change)| Step::Change(alert, change)),
        1 => any::<Index>().prop_map(Step::Delete),
    ]
}

async fn take(app: &TestApp, accounts: &[i64], alerts: &[String], step: &Step) -> Option<Reply> {
    Some(match step {
        Step::Correct(account, by) => {
            let id = accounts[*account].to_string();
            app.correct(&id, id.clone(), json!(by)).await
        }
        Step::Set(account, balance) => {
            let id = external_id(accounts[*account]).to_string();
            app.set_balance(&id, id.clone(), json!(balance)).await
        }
        Step::Edit(account, attributes) => {
            let id = accounts[*account].to_string();
            app.update("accounts", &id, attributes.clone()).await
        }
        Step::Make(account, attributes) => {
            app.ask_alert(&accounts[*account].to_string(), attributes.clone()).await
        }
        Step::Change(..) | Step::Delete(_) if alerts.is_empty() => return None,
        Step::Change(alert, change) => {
            app.update("balance-alerts", alert.get(alerts).as_str(), change.clone()).await
        }
        Step::Delete(alert) => app.delete(&format!("/balance-alerts/{}", alert.get(alerts))).await,
    })
}

/// Checks that one step has told of each alert once at most, since there were so many events.
async fn told_once(app: &TestApp, before: u64) {
    let news = app.total("/events").await - before;
    let mut seen = BTreeSet::new();
    for event in app
        .listed("/events?sort=-id&page[size]=1000")
        .await
        .iter()
        .take(usize::try_from(news).unwrap())
    {
        let name = event["event-type"].as_str().unwrap();
        let alert = &event["data"]["alert"]["id"];
        assert!(seen.insert((name.replace("Cleared", "Raised"), alert.to_string())), "{event}");
    }
}

/// Runs a program and checks every law after each of its groups.
async fn run(program: &[Vec<Step>]) {
    let app = Arc::new(TestApp::start().await);
    let accounts = app.accounts(i64::try_from(ACCOUNTS).unwrap()).await;
    for group in program {
        let alerts = app.ids("/balance-alerts?sort=id&page[size]=1000").await;
        let events = app.total("/events").await;
        let sent = group.iter().cloned().map(|step| {
            let (app, accounts, alerts) = (Arc::clone(&app), accounts.clone(), alerts.clone());
            async move {
                let reply = take(&app, &accounts, &alerts, &step).await;
                (step, reply)
            }
        });
        for (step, reply) in sent.collect::<JoinSet<_>>().join_all().await {
            let status = reply.as_ref().map_or(200, |reply| reply.status);
            assert!([200, 201, 204, 404, 422].contains(&status), "{step:?}: {reply:?}");
        }
        if group.len() == 1 {
            told_once(&app, events).await;
        }
        forecast_once(&app.app).await.unwrap();
        let events = app.total("/events").await;
        forecast_once(&app.app).await.unwrap();
        assert_eq!(app.total("/events").await, events, "a second look sees the same");
        verify(&app.database);
        let (checked, _) = verify_slice(&app.app.store, Range::ALL).await.unwrap();
        assert_eq!(checked.findings, [], "after {group:?}");
    }
}

#[test]
fn alerts_are_what_balances_make_of_them() {
    let runtime = Runtime::new().unwrap();
    let config = Config { failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    let mut runner = if std::env::var_os("PROPTEST_CASES").is_some() {
        TestRunner::new(config)
    } else {
        let always_the_same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        TestRunner::new_with_rng(Config { cases: 30, ..config }, always_the_same)
    };
    let program = vec(prop_oneof![2 => vec(step(), 1..2), 1 => vec(step(), 2..8)], 1..12);
    let outcome = runner.run(&program, |program| {
        runtime.block_on(run(&program));
        Ok(())
    });
    outcome.unwrap();
}
