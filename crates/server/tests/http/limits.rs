//! Where a balance is between its limits, and which threshold it is beyond: found out in the write
//! that moves either, for lists to be filtered by, and told to those who ask only.

use std::collections::BTreeMap;

use jsonapi::Value as Stored;
use serde_json::{Value, json};
use testbed::TestDatabase;
use tollkeeper::accounts::judge_older;
use tollkeeper::journal::{Range, open_books, verify_slice};

use crate::builders::{app_with_contractor, older};
use crate::postings::number;
use crate::proof::verify;
use crate::support::{Setup, TestApp, linkage};

const STATES: [&str; 4] = ["blocked", "near-floor", "near-ceiling", "at-ceiling"];

impl TestApp {
    /// The limit state of an account, after checking that it is listed by this one and no other,
    /// and that all of the database is in order.
    async fn limit_state(&self, account: &str) -> Value {
        let path = format!("/accounts/{account}?fields[accounts]=limit-state");
        let state = self.attributes(&path).await["limit-state"].take();
        for word in STATES {
            let listed = self.ids(&format!("/accounts?filter[limit-state-eq]={word}")).await;
            assert_eq!(listed.iter().any(|id| id == account), state == word, "{word}: {listed:?}");
        }
        verify(&self.database);
        state
    }

    /// Ids of the accounts that such a list has, which tells as many.
    async fn found(&self, filter: &str) -> Vec<String> {
        let path = format!("/accounts?filter[{filter}&sort=id");
        let found = self.ids(&path).await;
        assert_eq!(self.total(&path).await, found.len() as u64, "{filter}");
        found
    }
}

#[tokio::test]
async fn whatever_moves_a_balance_or_a_limit_finds_the_state_out() {
    let (app, contractor) = app_with_contractor().await;
    let limits = json!({
        "name": "a", "external-id": 1001, "min-balance": -100, "max-balance": 900,
    });
    let id = app.account(&contractor, limits).await;
    assert_eq!(app.limit_state(&id).await, "near-floor");
    let payment = app.pay(&id, "0.000000000001").await;
    assert_eq!(app.limit_state(&id).await, Value::Null);
    assert_eq!(app.roll_back(&payment).await.status, 200);
    assert_eq!(app.limit_state(&id).await, "near-floor");
    app.charge(&id, 100).await;
    assert_eq!(app.limit_state(&id).await, "blocked");
    assert_eq!(app.set_balance("1001", "1001", json!(800)).await.status, 200);
    assert_eq!(app.limit_state(&id).await, "near-ceiling");
    assert_eq!(app.correct(&id, id.as_str(), json!(100)).await.status, 200);
    assert_eq!(app.limit_state(&id).await, "at-ceiling");
    app.charge(&id, 500).await;
    assert_eq!(app.limit_state(&id).await, Value::Null);
    for (limits, state) in [
        (json!({"min-balance": 400}), json!("blocked")),
        (json!({"min-balance": 300, "max-balance": 400}), json!("at-ceiling")),
        (json!({"max-balance": 401}), json!("near-ceiling")),
        (json!({"max-balance": 5000}), json!("near-floor")),
        (json!({"min-balance": -100, "max-balance": 900}), Value::Null),
        (json!({"name": "b"}), Value::Null),
    ] {
        assert_eq!(app.update("accounts", &id, limits.clone()).await.status, 200);
        assert_eq!(app.limit_state(&id).await, state, "{limits}");
    }
    app.account(&contractor, json!({"name": "new"})).await;
    assert_eq!(app.total("/accounts?filter[limit-state-eq]=blocked").await, 1);
    assert_eq!(app.delete(&format!("/accounts/{id}")).await.status, 204);
    verify(&app.database);
}

#[tokio::test]
async fn the_ends_of_all_decimals_are_limits_like_others() {
    let (app, contractor) = app_with_contractor().await;
    let most = "100000000000000000000000000";
    let limits = json!({
        "name": "a", "external-id": 1001, "min-balance": format!("-{most}"), "max-balance": most,
    });
    let id = app.account(&contractor, limits).await;
    for (balance, state) in [
        ("0", Value::Null),
        (most, json!("at-ceiling")),
        ("99999999999999999999999999.999999999999", json!("near-ceiling")),
        ("-100000000000000000000000000", json!("blocked")),
        ("-99999999999999999999999999.999999999999", json!("near-floor")),
    ] {
        assert_eq!(app.set_balance("1001", "1001", json!(balance)).await.status, 200);
        assert_eq!(app.limit_state(&id).await, state, "{balance}");
    }
}

/// Five accounts with limits 0 and 100, each with a state of its own; the third has none. The first
/// is below its low threshold, the last above its high one.
async fn one_of_each() -> (TestApp, Vec<String>) {
    let (app, contractor) = app_with_contractor().await;
    let mut ids = Vec::new();
    for (name, balance) in [("a", -1), ("b", 10), ("c", 50), ("d", 90), ("e", 101)] {
        let attributes = json!({
            "name": name, "max-balance": 100,
            "balance-low-threshold": 0, "balance-high-threshold": 100,
        });
        let id = app.account(&contractor, attributes).await;
        assert_eq!(app.correct(&id, id.as_str(), json!(balance)).await.status, 200);
        ids.push(id);
    }
    ids.sort_by_key(|id| id.parse::<i64>().unwrap());
    (app, ids)
}

#[tokio::test]
async fn lists_are_filtered_by_state() {
    let (app, ids) = one_of_each().await;
    let names: BTreeMap<String, usize> = [("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4)]
        .map(|(name, at)| (name.to_owned(), at))
        .into();
    let mut by_name = vec![String::new(); ids.len()];
    for id in &ids {
        let name = app.attributes(&format!("/accounts/{id}")).await["name"].take();
        by_name[names[name.as_str().unwrap()]].clone_from(id);
    }
    for (filter, found) in [
        ("limit-state-eq]=blocked", &[0][..]),
        ("limit_state_eq]=near-floor", &[1]),
        ("limit-state-eq]=near-ceiling", &[3]),
        ("limit-state-eq]=at-ceiling", &[4]),
        ("limit-state-in]=blocked,near-floor", &[0, 1]),
        // Without a state, none matches.
        ("limit-state-not-eq]=blocked", &[1, 3, 4]),
        ("limit-state-not-in]=blocked,at-ceiling", &[1, 3]),
        ("threshold-state-eq]=1", &[0]),
        ("threshold-state-eq]=2", &[4]),
        ("threshold-state-gt]=0", &[0, 4]),
        ("threshold-state-eq]=0", &[1, 2, 3]),
        ("threshold-state-in]=1,2&filter[limit-state-eq]=blocked", &[0]),
        ("limit-state-eq]=blocked&filter[balance-gt]=0", &[]),
        ("limit-state-eq]=blocked&filter[contractor.id]=1", &[0]),
    ] {
        let mut expected: Vec<String> =
            found.iter().map(|at: &usize| by_name[*at].clone()).collect();
        expected.sort_by_key(|id| id.parse::<i64>().unwrap());
        assert_eq!(app.found(filter).await, expected, "{filter}");
    }
    for (name, operators) in [("limit_state", ["eq", "in"]), ("threshold_state", ["eq", "gt"])] {
        for operator in operators {
            let reply = app.get(&format!("/accounts?filter[{name}_{operator}]=nonesuch")).await;
            let error = format!("107 nonesuch is not a valid value for {name}_{operator}.");
            assert_eq!(reply.errors(), [error]);
        }
    }
    verify(&app.database);
}

#[tokio::test]
async fn states_are_told_to_those_who_ask_only() {
    let (app, ids) = one_of_each().await;
    let id = &ids[0];
    let events: Value = app.listed("/events").await.into();
    let audited: Value = app.listed("/audit-records").await.into();
    let account = app.get(&format!("/accounts/{id}")).await.body;
    let list = app.get("/accounts").await.body;
    let payment = app.get("/payments?include=account").await.body;
    for text in [events.to_string(), audited.to_string(), account, list, payment] {
        for name in ["limit-state", "limit_state", "threshold-state", "threshold_state"] {
            assert!(!text.contains(name), "{text}");
        }
    }

    let fields = "fields[accounts]=threshold-state,name,limit-state";
    for record in app.listed(&format!("/accounts?{fields}")).await {
        let names: Vec<&String> = record.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }
    // Answers to writes have the state that the write has found.
    let data = json!({
        "type": "accounts", "id": id, "attributes": {"min-balance": -1000, "max-balance": 1000},
    });
    let changed = app.patch(&format!("/accounts/{id}?{fields}"), json!({ "data": data })).await;
    assert_eq!(changed.attribute("limit-state"), Value::Null, "{changed:?}");
    let document = json!({"data": {
        "type": "accounts", "attributes": {"name": "new", "balance-low-threshold": 1},
        "relationships": {"contractor": linkage("contractors", "1")},
    }});
    let made = app.post(&format!("/accounts?{fields}"), document).await;
    let expected = json!({"threshold-state": 1, "name": "new", "limit-state": "blocked"});
    assert_eq!(made.json()["data"]["attributes"], expected);
    let document = json!({"data": {
        "type": "payments", "attributes": {"amount": -5000},
        "relationships": {"account": linkage("accounts", id)},
    }});
    let paid = app.post(&format!("/payments?include=account&{fields}"), document).await;
    assert_eq!(paid.json()["included"][0]["attributes"]["limit-state"], "blocked");

    for name in ["limit-state", "threshold-state"] {
        let update = app.update("accounts", id, json!({ name: null })).await;
        assert_eq!(update.errors(), [format!("105 {name} is not allowed.")]);
        app.get(&format!("/accounts?sort={name}")).await.refuses(400);
    }
}

#[tokio::test]
async fn a_past_balance_has_the_state_that_it_would_have_now() {
    let (app, contractor) = app_with_contractor().await;
    let id = app.account(&contractor, json!({"name": "a", "max-balance": 100})).await;
    app.pay(&id, 50).await;
    let path = format!("/accounts/{id}?fields[accounts]=balance,limit-state");
    let past = app.attributes(&format!("{path}&as-of=2026-01-01")).await;
    assert_eq!(past, json!({"balance": "0.0", "limit-state": "blocked"}));
    assert_eq!(app.attributes(&path).await["limit-state"], Value::Null);
}

/// A database of the version before there were states, with so many accounts: their limits are 0
/// and 100, their balances from -1 to 101.
fn older_with_accounts(count: u32) -> TestDatabase {
    let database = older(5, 3);
    let yes = database.literal(&Stored::Bool(true));
    database.execute(&format!(
        "INSERT INTO contractors (id, name, enabled, vendor, customer) \
         VALUES (1, 'acme', {yes}, {yes}, {yes})"
    ));
    let money = |text: &str| database.literal(&Stored::Decimal(number(text)));
    let mut rows = Vec::new();
    for id in 1..=count {
        let (balance, uuid) = ((id % 103).cast_signed() - 1, uuid::Uuid::from_u128(id.into()));
        rows.push(format!(
            "({id}, 'a{id}', {}, {zero}, {}, {zero}, {}, 'UTC', 1)",
            money(&balance.to_string()),
            money("100"),
            database.literal(&Stored::Uuid(uuid)),
            zero = money("0"),
        ));
    }
    database.execute(&format!(
        "INSERT INTO accounts (id, name, balance, min_balance, max_balance, vat, uuid, timezone, \
         contractor_id) VALUES {}",
        rows.join(", ")
    ));
    database.execute(&format!(
        "INSERT INTO totals (kind, slot, total) VALUES ('contractors', 0, 1), ('accounts', 0, {count})"
    ));
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_accounts_of_an_older_database_are_judged_once() {
    const ACCOUNTS: u32 = 1_030;
    let app = TestApp::start_on(older_with_accounts(ACCOUNTS), Setup::default()).await;
    let states = "SELECT count(*) FROM accounts WHERE limit_state IS NOT NULL";
    assert_eq!(app.stored::<i64>(states), 0);
    open_books(&app.app.store, app.app.moment()).await.unwrap();
    // The books of such a database were open before.
    app.alter("UPDATE accounts SET limit_state = NULL");
    let audited = app.total("/audit-records").await;
    let events = app.total("/events").await;
    judge_older(&app.app).await.unwrap();
    for (state, of_each_hundred) in
        [("blocked", 2), ("near-floor", 10), ("near-ceiling", 10), ("at-ceiling", 2)]
    {
        let found = app.total(&format!("/accounts?filter[limit-state-eq]={state}")).await;
        assert_eq!(found, 10 * of_each_hundred, "{state}");
    }
    assert_eq!(app.total("/audit-records").await, audited, "nothing has changed");
    assert_eq!(app.total("/events").await, events);
    verify(&app.database);
    let (checked, _) = verify_slice(&app.app.store, Range::ALL).await.unwrap();
    assert_eq!(checked.findings, []);

    let judged = app.dump();
    // A run that was interrupted in the middle.
    app.alter("UPDATE accounts SET limit_state = NULL WHERE id > 700");
    app.alter("DELETE FROM settings WHERE name = 'limit-states'");
    judge_older(&app.app).await.unwrap();
    assert_eq!(app.dump(), judged);
    // It is done once: later, only `verify` tells.
    app.alter("UPDATE accounts SET limit_state = NULL WHERE id = 1");
    judge_older(&app.app).await.unwrap();
    assert_ne!(app.dump(), judged);
}
