//! Work beside the requests: the look at journals, and forgetting.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use jsonapi::Value as Stored;
use serde_json::{Value, json};
use testbed::TestDatabase;
use tollkeeper::jobs::{Kept, forget_once};
use tollkeeper::journal::{Drift, Sampler};

use crate::builders::app_with_contractor;
use crate::postings::{many, number, post_all, time};
use crate::program::{Here, Program, ask, correct, open_accounts};
use crate::support::{Setup, TestApp};

/// Longer than a look, or two, can take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// The time of the tests that forget.
const NOW: &str = "2026-03-01T12:00:00Z";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Only rows of the balance notification log are forgotten.
fn notifications(kept: Option<SignedDuration>) -> Kept {
    Kept { notifications: kept, ..Kept::default() }
}

/// A figure of a running server; `None` until it is there.
async fn figure(program: &Program, name: &str) -> Option<f64> {
    let metrics = ask(program.address, "GET /metrics", "", "").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} "))?.into());
    line.map(|number: &str| number.parse().unwrap())
}

/// Waits until the server shows these: accounts at fault, and by how much.
async fn shows(program: &Program, accounts: f64, drift: f64) {
    let since = Instant::now();
    loop {
        let shown = (
            figure(program, "journal_faulty_accounts").await,
            figure(program, "journal_drift").await,
        );
        if shown == (Some(accounts), Some(drift)) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{shown:?}, not {accounts} and {drift}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_running_server_sees_that_a_balance_was_changed_and_that_it_was_mended() {
    let here = Here::new();
    let program = here.serve();
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    open_accounts(program.address, &token, vec![json!({"name": "account"})]).await;
    correct(program.address, &token, "1", "10.5").await;
    shows(&program, 0.0, 0.0).await;
    let database = here.database();
    let set = |balance: &str| {
        let balance = database.literal(&Stored::Decimal(number(balance)));
        database.execute(&format!("UPDATE accounts SET balance = {balance}"));
    };
    set("12.75");
    shows(&program, 1.0, 2.25).await;
    assert!(program.said("tollkeeper verify").contains("balances and journals disagree"));
    set("10.5");
    shows(&program, 0.0, 0.0).await;
    set("-10.5");
    shows(&program, 1.0, 21.0).await;
    set("10.5");
    database.execute("UPDATE journal_entries SET actor = 'eve'");
    shows(&program, 1.0, 0.0).await;
    let sampled = figure(&program, "journal_sampled_accounts_total").await.unwrap();
    let since = Instant::now();
    while figure(&program, "journal_sampled_accounts_total").await.unwrap() < sampled + 2.0 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a sampler has found after these looks, which see so many accounts each.
async fn looked(app: &TestApp, sampler: &mut Sampler, looks: &[u64]) -> Drift {
    for accounts in looks {
        assert_eq!(sampler.step(&app.app.store).await.unwrap(), *accounts);
    }
    sampler.drift()
}

#[tokio::test]
async fn a_look_at_a_journal_sees_its_last_hundred_entries() {
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "long"})).await;
    let mut posted = 0;
    let moves = many(250);
    for count in [1, 98, 99, 100, 101, 102, 250] {
        post_all(&app.app.store, 1, &moves[posted..count]).await;
        posted = count;
        let drift = looked(&app, &mut Sampler::default(), &[1]).await;
        assert_eq!(drift, Drift::default(), "{count} entries");
    }
    let right = app.dump();
    for (sequence, accounts) in [(1, 0), (150, 0), (152, 1), (200, 1), (250, 1)] {
        let actor = |actor: &str| {
            let entry = format!("WHERE sequence = {sequence}");
            app.alter(&format!("UPDATE journal_entries SET actor = {actor} {entry}"));
        };
        actor("'eve'");
        let drift = looked(&app, &mut Sampler::default(), &[1]).await;
        assert_eq!(drift, Drift { accounts, ..Drift::default() }, "entry {sequence}");
        actor("NULL");
    }
    assert_eq!(app.dump(), right);
    app.alter("DELETE FROM journal_entries WHERE sequence > 240");
    assert_eq!(looked(&app, &mut Sampler::default(), &[1]).await.accounts, 1);
}

#[tokio::test]
async fn looks_go_through_all_accounts_and_then_again() {
    let (app, contractor) = app_with_contractor().await;
    let mut ids = Vec::new();
    for number in 0..120 {
        let id = app.account(&contractor, json!({"name": number.to_string()})).await;
        ids.push(id.parse::<i64>().unwrap());
    }
    // In the order in which they are looked at.
    ids.sort_unstable();
    let set = |id: i64, balance: &str| {
        let balance = app.database.literal(&Stored::Decimal(number(balance)));
        app.alter(&format!("UPDATE accounts SET balance = {balance} WHERE id = {id}"));
    };
    let mut sampler = Sampler::default();
    let none = Drift::default();
    set(ids[0], "2");
    set(ids[119], "-3.5");
    let first = Drift { amount: number("2"), accounts: 1 };
    let both = Drift { amount: number("5.5"), accounts: 2 };
    assert_eq!(looked(&app, &mut sampler, &[50]).await, first);
    assert_eq!(looked(&app, &mut sampler, &[50]).await, first);
    assert_eq!(looked(&app, &mut sampler, &[20]).await, both);
    // What was found stays until a whole pass has found less.
    set(ids[0], "0");
    assert_eq!(looked(&app, &mut sampler, &[50, 50]).await, both);
    let last = Drift { amount: number("3.5"), accounts: 1 };
    assert_eq!(looked(&app, &mut sampler, &[20]).await, last);
    set(ids[119], "0");
    assert_eq!(looked(&app, &mut sampler, &[50, 50]).await, last);
    assert_eq!(looked(&app, &mut sampler, &[20]).await, none);
    // A pass that ends with a full look, and a database without accounts.
    app.alter(&format!("DELETE FROM accounts WHERE id > {}", ids[49]));
    assert_eq!(looked(&app, &mut sampler, &[50, 0, 50]).await, none);
    app.alter("DELETE FROM accounts");
    assert_eq!(looked(&app, &mut Sampler::default(), &[0, 0]).await, none);
}

fn now() -> Timestamp {
    time(NOW)
}

#[tokio::test]
async fn first_answers_are_kept_for_25_hours() {
    let app = TestApp::start_at(600, now).await;
    let kept = |at: Timestamp, count: i64| {
        let (key, time) = (at.as_microsecond(), app.database.literal(&Stored::Time(at)));
        let tagged = app.database.literal(&Stored::Bool(false));
        app.alter(&format!(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
             WHERE n < {count}) INSERT INTO first_answers (operator_id, key, fingerprint, status, \
             tagged, body, created_at) SELECT 1, '{key}-' || n, '00', 200, {tagged}, '', {time} \
             FROM numbers"
        ));
    };
    let limit = now() - SignedDuration::from_hours(25);
    let tick = SignedDuration::from_micros(1);
    // Several slices, and then just one.
    for old in [450, 200, 1] {
        kept(limit - DAY, old - 1);
        kept(limit - tick, 1);
        kept(limit, 1);
        kept(limit + tick, 300);
        kept(now(), 2);
        forget_once(&app.app, Kept::default()).await.unwrap();
        let sql = "SELECT count(*) FROM first_answers";
        assert_eq!(app.stored::<i64>(sql), 303, "{old}");
        let sql = "SELECT min(created_at) FROM first_answers";
        assert_eq!(app.stored::<Timestamp>(sql), limit, "{old}");
        forget_once(&app.app, Kept::default()).await.unwrap();
        assert_eq!(app.stored::<i64>("SELECT count(*) FROM first_answers"), 303, "{old}");
        app.alter("DELETE FROM first_answers");
    }
}

#[tokio::test]
async fn counters_of_failed_sign_ins_go_when_they_are_over() {
    let app = TestApp::start_at(600, now).await;
    let minute = SignedDuration::from_mins(1);
    let tick = SignedDuration::from_micros(1);
    for (key, end) in [
        ("old", now() - minute - tick),
        ("of a node that is behind", now() - minute),
        ("new", now() + minute),
    ] {
        let end = app.database.literal(&Stored::Time(end));
        app.alter(&format!("INSERT INTO throttles VALUES ('{key}', 3, {end})"));
    }
    forget_once(&app.app, Kept::default()).await.unwrap();
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM throttles WHERE key = 'old'"), 0);
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM throttles"), 2);
}

/// Lets account 1 cross its threshold so often at these times.
async fn cross(app: &TestApp, crossings: &[(Timestamp, usize)]) {
    let contractor = app.contractor("acme").await;
    app.account(&contractor, json!({"name": "a", "balance-high-threshold": 3})).await;
    let mut moves = Vec::new();
    let mut by = number("4");
    for (at, count) in crossings {
        for _ in 0..*count {
            moves.push((*at, by));
            by = -by;
        }
    }
    post_all(&app.app.store, 1, &moves).await;
}

#[tokio::test]
async fn the_log_of_notifications_is_kept_for_days_and_counts_what_it_keeps() {
    let limit = now() - 30 * DAY;
    let milli = SignedDuration::from_millis(1);
    let crossings = [(limit - DAY, 449), (limit - milli, 1), (limit, 1), (now(), 4)];
    let app = TestApp::start_at(600, now).await;
    cross(&app, &crossings).await;
    let list = "/balance-notifications";
    assert_eq!(app.total(list).await, 455);
    // Nothing old enough.
    forget_once(&app.app, notifications(Some(32 * DAY))).await.unwrap();
    assert_eq!(app.total(list).await, 455);
    forget_once(&app.app, notifications(Some(30 * DAY))).await.unwrap();
    assert_eq!(app.total(list).await, 5);
    assert_eq!(app.total(&format!("{list}?filter[account.id]=1")).await, 5);
    let times = app.get(list).await.json();
    assert_eq!(times["data"].as_array().unwrap().len(), 5);
    let oldest: &Value = &times["data"][0]["attributes"]["created-at"];
    assert_eq!(oldest, &json!("2026-01-30T12:00:00.000Z"));
    // Events and the journal are kept.
    assert_eq!((app.total("/events").await, app.total("/journal-entries").await), (455, 455));
    forget_once(&app.app, notifications(Some(SignedDuration::ZERO))).await.unwrap();
    assert_eq!(app.total(list).await, 4);
}

#[tokio::test]
async fn no_number_of_days_keeps_the_log_forever() {
    let app = TestApp::start_at(600, now).await;
    cross(&app, &[(time("1970-01-02T00:00:00Z"), 3)]).await;
    forget_once(&app.app, Kept::default()).await.unwrap();
    assert_eq!(app.total("/balance-notifications").await, 3);
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM balance_notifications"), 3);
}

#[tokio::test]
async fn the_configured_days_are_those_of_the_running_server() {
    for (days, left) in [("0", 3), ("60", 1), ("30", 0)] {
        let app = TestApp::start().await;
        let now = app.app.now();
        cross(&app, &[(now - 100 * DAY, 2), (now - 40 * DAY, 1)]).await;
        let here = Here::with_copy_of(&app.database);
        let mut command = here.command(&["serve"]);
        command.env("TOLLKEEPER_BALANCE_NOTIFICATIONS_DAYS", days);
        let program = Program::start(command);
        let since = Instant::now();
        loop {
            let sql = "SELECT count(*) FROM balance_notifications";
            let rows: i64 = here.database().value(sql);
            if rows == left && (left != 3 || since.elapsed() > Duration::from_secs(1)) {
                break;
            }
            assert!(since.elapsed() < PATIENCE && rows >= left, "{days} days: {rows}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(program);
    }
}

/// Puts deliveries and mails of this time into a database: of each state as many as said.
fn put_deliveries(database: &TestDatabase, at: Timestamp, states: &[(&str, i64)]) {
    let time = database.literal(&Stored::Time(at));
    let numbers = |count: i64| {
        format!(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
             WHERE n < {count})"
        )
    };
    for (state, count) in states {
        database.execute(&format!(
            "{} INSERT INTO deliveries (channel, state, attempts, created_at, line, queued_at, \
             event_id) SELECT 'email', '{state}', 1, {time}, 'contact 1', {time}, 1 FROM numbers",
            numbers(*count)
        ));
        database.execute(&format!(
            "{} INSERT INTO email_logs (to_address, subject, body, created_at, attempt) \
             SELECT 'a@b.test', 's', 't', {time}, 1 FROM numbers",
            numbers(*count)
        ));
    }
}

#[tokio::test]
async fn deliveries_that_have_ended_and_mails_are_kept_for_days() {
    let limit = now() - 30 * DAY;
    let database = TestDatabase::fresh();
    let app = TestApp::start_on(database, Setup { clock: now, ..Setup::default() }).await;
    let milli = SignedDuration::from_millis(1);
    let old = [("delivered", 450), ("dead", 1), ("suppressed", 1), ("pending", 2)];
    put_deliveries(&app.database, limit - milli, &old);
    put_deliveries(&app.database, limit, &[("delivered", 1), ("pending", 1)]);
    let counts = || {
        let count = |table: &str, other: &str| {
            app.stored::<i64>(&format!("SELECT count(*) FROM {table} {other}"))
        };
        let waiting = count("deliveries", "WHERE state = 'pending'");
        (count("deliveries", ""), waiting, count("email_logs", ""))
    };
    forget_once(&app.app, Kept::default()).await.unwrap();
    assert_eq!(counts(), (456, 3, 456));
    let kept = Kept { deliveries: Some(30 * DAY), ..Kept::default() };
    forget_once(&app.app, kept).await.unwrap();
    assert_eq!(counts(), (4, 3, 2));
    forget_once(&app.app, kept).await.unwrap();
    assert_eq!(counts(), (4, 3, 2));
}

#[tokio::test]
async fn the_configured_days_of_deliveries_are_those_of_the_running_server() {
    for (days, left) in [("0", 2), ("60", 1)] {
        let here = Here::new();
        assert!(here.run(&["token", "admin"]).code != Some(0), "makes the tables");
        let at = |days: i32| tollkeeper::clock::system() - days * DAY;
        put_deliveries(here.database(), at(100), &[("delivered", 1)]);
        put_deliveries(here.database(), at(40), &[("delivered", 1)]);
        let mut command = here.command(&["serve"]);
        command.env("TOLLKEEPER_DELIVERIES_DAYS", days);
        let program = Program::start(command);
        let since = Instant::now();
        loop {
            let count =
                |table| here.database().value::<i64>(&format!("SELECT count(*) FROM {table}"));
            let is_done = (count("deliveries"), count("email_logs")) == (left, left);
            if is_done && (left != 2 || since.elapsed() > Duration::from_secs(1)) {
                break;
            }
            assert!(since.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(program);
    }
}
