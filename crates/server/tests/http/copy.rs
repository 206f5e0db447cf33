//! `tollkeeper copy`: whole installations move between the two databases, and nothing shows it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use jsonapi::Value as Stored;
use reqwest::Method;
use serde_json::json;
use store::Store;
use testbed::{Kind, TestDatabase};
use tollkeeper::accounts::judge_older;
use tollkeeper::api::API;
use tollkeeper::commands::add_operator;
use tollkeeper::journal::open_books;

use crate::builders::app_with_contractor;
use crate::postings::{many, post_all};
use crate::program::{Ended, Here, Program, ask, open_accounts, run, tollkeeper};
use crate::support::{MEDIA_TYPE, PASSWORD, Reply, SECRET, TestApp, client, linkage};

const KEY: &str = "fa1f70a0-6a31-4d29-8d8a-6b9a5f3d6a01";
/// As much as an attribute of money holds.
const MOST: &str = "99999999999999999999999999.999999999999";

fn other(kind: Kind) -> Kind {
    match kind {
        Kind::Sqlite => Kind::Postgres,
        Kind::Postgres => Kind::Sqlite,
    }
}

/// An empty database of this kind; on SQLite it is this file.
fn empty(kind: Kind, file: &Path) -> TestDatabase {
    match kind {
        Kind::Sqlite => TestDatabase::in_file(file.to_owned()),
        Kind::Postgres => TestDatabase::of(Kind::Postgres),
    }
}

/// The command that copies between these addresses, not yet run.
fn copying(directory: &Path, from: &str, to: &str) -> Command {
    let mut command = tollkeeper(directory, &["copy", "--from", from, "--to", to]);
    command.env("TOLLKEEPER_LOG", "warn");
    command
}

fn copy(from: &TestDatabase, to: &TestDatabase) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    run(copying(directory.path(), &from.url(), &to.url()), "")
}

/// Everything in a database but what belongs to the database itself, in an order of our own.
fn rows(database: &TestDatabase) -> BTreeSet<String> {
    let dump = database.dump();
    // Each writer of PostgreSQL counts in rows of its own.
    let own = ["schema_versions ", "totals "];
    let mut rows: BTreeSet<String> = dump
        .lines()
        .filter(|line| !own.iter().any(|table| line.starts_with(table)))
        .map(str::to_owned)
        .collect();
    let totals = "SELECT kind, CAST(sum(total) AS BIGINT) AS total FROM totals GROUP BY kind";
    rows.extend(database.rows(totals).iter().map(|row| format!("totals {row:?}")));
    rows
}

#[track_caller]
fn assert_same(one: &TestDatabase, other: &TestDatabase) {
    let (one, other) = (rows(one), rows(other));
    let only: Vec<_> = one.symmetric_difference(&other).collect();
    assert!(only.is_empty(), "{only:#?}");
    assert!(!one.is_empty());
}

/// A server with rows in every table, at the limits of what they hold.
async fn full() -> TestApp {
    let (app, contractor) = app_with_contractor().await;
    open_books(&app.app.store, app.app.moment()).await.unwrap();
    judge_older(&app.app).await.unwrap();
    add_operator(&app.app, "second", PASSWORD, Some("10.0.0.0/8,::1".to_owned())).await.unwrap();
    let password = "hidden \u{1f511}";
    let connection = json!({"name": "s", "host": "mail.example.com", "from-address": "n@example.com",
        "auth-user": "u", "auth-password": password});
    let connection = app.create("smtp-connections", connection, json!({})).await;
    let template = app.create("invoice-templates", json!({"name": "t"}), json!({})).await;
    app.create("invoice-templates", json!({"name": "u", "body": "b"}), json!({})).await;
    let carrier = json!({"name": "Ünïcode ⛁ 'quoted' \"twice\" \\ \t", "enabled": false, "vendor": true,
        "customer": false, "description": "x".repeat(10_000), "external-id": i64::MIN});
    let links = json!({"smtp-connection": linkage("smtp-connections", &connection)});
    app.create("contractors", carrier, links).await;
    let contacts = [
        app.contact(&contractor, "one@example.com").await,
        app.contact(&contractor, "two@example.com").await,
        app.contact(&contractor, "gone@example.com").await,
    ];
    let ids: Vec<i64> = contacts.iter().map(|id| id.parse().unwrap()).collect();
    let most = json!({
        "name": "most", "min-balance": format!("-{MOST}"), "max-balance": MOST, "vat": "99.999999999999",
        "balance-low-threshold": "0.000000000001", "balance-high-threshold": "5",
        "send-balance-notifications-to": [ids[0], ids[1], ids[0]], "send-invoices-to": ids,
        "destination-rate-limit": "0.000000000001", "max-call-duration": 2_147_483_647,
        "external-id": i64::MAX, "uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "origination-capacity": 1, "termination-capacity": 32_767, "invoice-period-id": 7,
        "timezone": "Pacific/Kiritimati",
    });
    let links = json!({"contractor": linkage("contractors", &contractor),
        "invoice-template": linkage("invoice-templates", &template)});
    let first = app.create("accounts", most, links).await;
    let alert = json!({"name": "⛁", "kind": "high", "percentage": "999.999999999999",
        "hysteresis": MOST, "channels": "email", "recipients": [ids[1], ids[0]]});
    app.create("balance-alerts", alert, json!({"account": linkage("accounts", &first)})).await;
    let least = app.account(&contractor, json!({"name": "least", "external-id": i64::MIN})).await;
    // Accounts keep naming a template that is gone.
    assert_eq!(app.delete(&format!("/invoice-templates/{template}")).await.status, 204);
    assert_eq!(app.delete(&format!("/contacts/{}", contacts[2])).await.status, 204);
    for amount in ["7.000000000001", "-0.000000000001", "1000000000000", "-1000000000000.5"] {
        app.correct(&first, first.as_str(), json!(amount)).await;
    }
    let payment = app.pay(&first, "99999999999999999999990000.999999999999").await;
    assert_eq!(app.roll_back(&payment).await.status, 200);
    let noted = json!({"amount": "0.01", "external-id": "x-1", "notes": "n", "private-notes": "p"});
    assert_eq!(app.payment(&least, noted).await.status, 201);
    let service = format!("INSERT INTO services (name, account_id) VALUES ('line', {least})");
    app.database.execute(&service);
    let charge = app.charge(&least, "0.5").await;
    app.database.execute(&format!(
        "UPDATE transactions SET service_id = (SELECT max(id) FROM services) WHERE id = {charge}"
    ));
    let keyed = app.write_with(&[("idempotency-key", KEY)], "POST", "/payments", retried(&least));
    assert_eq!(keyed.await.status, 201);
    // The highest ids of several tables belong to records that are gone.
    let gone = app.account(&contractor, json!({"name": "gone"})).await;
    app.pay(&gone, 3).await;
    app.charge(&gone, 1).await;
    assert_eq!(app.delete(&format!("/accounts/{gone}")).await.status, 204);
    // A delivery that waits in its line, and an address that the operator has come from.
    let webhook = app.webhook("http://127.0.0.1:1/", &["PaymentPosted"]).await;
    app.test_webhook(&webhook).await;
    let credentials = json!({"auth": {"username": "admin", "password": PASSWORD}}).to_string();
    assert_eq!(app.write("POST", "/auth", credentials).await.status, 201);
    app.log_mail();
    let texts =
        json!({"event-type": "digest", "subject": "s {{ count }}", "text-body": "\u{1f511}"});
    app.create("email-templates", texts, json!({})).await;
    leave_task(&app);
    // No server of a copy is to send what waits: that would show.
    let tomorrow = Stored::Time(app.app.now() + SignedDuration::from_hours(24));
    let tomorrow = app.database.literal(&tomorrow);
    app.database.execute(&format!("UPDATE delivery_lines SET due_at = {tomorrow}"));
    app
}

/// Leaves a task that has ended.
fn leave_task(app: &TestApp) {
    let time = app.database.literal(&Stored::Time(app.app.now()));
    let least = i64::MIN + 1;
    app.database.execute(&format!(
        "INSERT INTO tasks (kind, operator_id, operator_name, ip, description, state, total, done, \
         failed, created_at, ended_at, parameters, position, error) VALUES ('import', 1, 'admin', \
         '::1', '⛁', 'failed', 2, 1, 1, {time}, {time}, '{{}}', {least}, 'e')"
    ));
    app.database.execute("INSERT INTO task_inputs VALUES (1, 1, '[[2,[\"a\"]],[3,\"why\"]]')");
    app.database.execute("INSERT INTO task_failures VALUES (1, 2, 'line 3', 'why')");
}

fn retried(account: &str) -> String {
    let links = json!({"account": linkage("accounts", account)});
    let attributes = json!({"amount": "12.5"});
    json!({"data": {"type": "payments", "attributes": attributes, "relationships": links}})
        .to_string()
}

/// Starts a server on a database, with the secret of test servers.
fn serve(directory: &Path, database: &TestDatabase) -> Program {
    let mut command = tollkeeper(directory, &["serve"]);
    command.env("TOLLKEEPER_DATABASE_URL", database.url()).env("TOLLKEEPER_SECRET", SECRET);
    Program::start(command)
}

async fn keyed_again(address: std::net::SocketAddr, token: &str, account: &str) -> Reply {
    let url = format!("http://{address}/api/rest/admin/payments");
    let request = client().request(Method::POST, url).body(retried(account));
    let headers = [
        ("accept", MEDIA_TYPE),
        ("content-type", MEDIA_TYPE),
        ("authorization", token),
        ("idempotency-key", KEY),
    ];
    let request =
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    Reply::to(request).await.unwrap()
}

/// What clients can ask for without changing anything.
const LISTS: [&str; 14] = [
    "/accounts?include=contractor&page[size]=1000",
    "/accounts?sort=-name",
    "/accounts?sort=uuid&filter[name-cont]=S",
    "/contractors?sort=name",
    "/contacts",
    "/payments?sort=-created-at",
    "/transactions?include=service,account",
    "/journal-entries?page[size]=1000",
    "/journal-closures",
    "/events",
    "/balance-notifications",
    "/invoice-templates",
    "/smtp-connections",
    "/audit-records?page[size]=1000",
];

async fn answers(address: std::net::SocketAddr, token: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for path in LISTS {
        let reply = ask(address, &format!("GET /api/rest/admin{path}"), token, "").await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(!reply.body.contains(r#""data":[]"#), "{path}: {reply:?}");
        answers.push(format!("{path} {} {}", reply.status, reply.body));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_comes_back_as_it_left_and_nobody_notices_the_moves() {
    let app = full().await;
    let here = Here::with_copy_of(&app.database);
    let (before, token) = (answers(app.address, &app.token).await, app.token.clone());
    let source = here.database();
    let there = empty(other(source.kind()), &here.path().join("there.db"));
    let back = empty(source.kind(), &here.path().join("back.db"));
    let told = copy(source, &there).well();
    assert!(told.contains("are the same in both databases"), "{told}");
    assert!(told.contains(": 0 faults.\nThe copy is ready to be served.\n"), "{told}");
    copy(&there, &back).well();
    assert_same(source, &back);
    // Between two of one kind, too.
    let beside = empty(source.kind(), &here.path().join("beside.db"));
    copy(source, &beside).well();
    assert_same(source, &beside);
    for database in [&there, &back, &beside] {
        let program = serve(here.path(), database);
        assert_eq!(answers(program.address, &token).await, before);
        let again = keyed_again(program.address, &token, "2").await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"), "{again:?}");
        // Ids of records that are gone are not given out again.
        for kind in ["accounts", "payments", "transactions", "contacts"] {
            let (attributes, links) = match kind {
                "accounts" => {
                    (json!({"name": "new"}), json!({"contractor": linkage("contractors", "1")}))
                }
                "contacts" => (json!({"email": "new@example.com"}), json!({})),
                _ => (json!({"amount": 1}), json!({"account": linkage("accounts", "2")})),
            };
            let data = json!({"type": kind, "attributes": attributes, "relationships": links});
            let line = format!("POST /api/rest/admin/{kind}");
            let reply =
                ask(program.address, &line, &token, &json!({ "data": data }).to_string()).await;
            assert_eq!(reply.status, 201, "{reply:?}");
            let new: i64 = reply.json()["data"]["id"].as_str().unwrap().parse().unwrap();
            let last: i64 = source.value(&match kind {
                "accounts" | "contacts" => {
                    format!("SELECT max(item_id) FROM audit_records WHERE item_type = '{kind}'")
                }
                _ => format!(
                    "SELECT max(CAST(reference_id AS BIGINT)) FROM journal_entries \
                     WHERE reference_type = '{kind}'"
                ),
            });
            assert!(new > last.max(2), "{kind} {new}, after {last}");
        }
        assert!(program.end("TERM").0.success());
        let mut verify = tollkeeper(here.path(), &["verify"]);
        verify.env("TOLLKEEPER_DATABASE_URL", database.url());
        run(verify, "").well();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_the_schema_is_copied() {
    let app = full().await;
    let now = app.database.literal(&Stored::Time(app.app.now()));
    app.database.execute(&format!("INSERT INTO errands VALUES (1, 1, 1, {now})"));
    let here = Here::with_copy_of(&app.database);
    let target = empty(here.database().kind(), &here.path().join("there.db"));
    let told = copy(here.database(), &target).well();
    let copied: BTreeSet<String> =
        told.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    let tables = match target.kind() {
        Kind::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        Kind::Postgres => {
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    // Leases, counters of failed sign-ins and sessions end by themselves; each database keeps
    // account of its own schema and ids.
    let own = ["leases", "throttles", "console_sessions", "schema_versions", "sqlite_sequence"];
    for row in target.rows(tables) {
        let name: String = row.get("name");
        if own.contains(&name.as_str()) {
            continue;
        }
        assert!(copied.contains(&name), "{name} is left behind: {told}");
        let rows: i64 = target.value(&format!("SELECT count(*) FROM {name}"));
        assert!(rows > 0, "this test says nothing about {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_stay_good_though_their_key_was_made_by_the_first_server() {
    let here = Here::new();
    let mut serving = here.command(&["serve"]);
    serving.env("TOLLKEEPER_ADMIN_PASSWORD", PASSWORD);
    let program = Program::start(serving);
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    open_accounts(program.address, &token, vec![json!({"name": "a"})]).await;
    assert!(program.end("TERM").0.success());
    let there = empty(other(here.database().kind()), &here.path().join("there.db"));
    copy(here.database(), &there).well();
    let mut serving = tollkeeper(here.path(), &["serve"]);
    serving.env("TOLLKEEPER_DATABASE_URL", there.url());
    let program = Program::start(serving);
    let reply = ask(program.address, "GET /api/rest/admin/accounts/1", &token, "").await;
    assert_eq!(reply.attribute("name"), "a");
}

/// A database with an account that was moved so often.
async fn long(entries: i64) -> Here {
    let here = Here::new();
    let program = here.serve();
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    open_accounts(program.address, &token, vec![json!({"name": "long"})]).await;
    assert!(program.end("TERM").0.success());
    let store = Store::open(&here.database().url(), API).await.unwrap();
    post_all(&store, 1, &many(entries)).await;
    drop(store);
    here
}

/// Whether a copy has come so far that it keeps servers away.
fn is_marked(target: &TestDatabase) -> bool {
    if target.file().is_some_and(|file| !file.exists()) {
        return false;
    }
    let schema = match target.kind() {
        Kind::Sqlite => "SELECT name FROM sqlite_schema WHERE name = 'settings'",
        Kind::Postgres => "SELECT 'yes' WHERE to_regclass('settings') IS NOT NULL",
    };
    !target.rows(schema).is_empty()
        && !target.rows("SELECT name FROM settings WHERE name = 'copy'").is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_at_any_moment_goes_on_where_it_was() {
    const ROUNDS: u32 = 6;
    let here = long(10_000).await;
    let source = here.database();
    let whole = empty(other(source.kind()), &here.path().join("whole.db"));
    let started = Instant::now();
    copy(source, &whole).well();
    let time = started.elapsed();
    let there = empty(other(source.kind()), &here.path().join("there.db"));
    let mut kills = 0;
    for round in 0..ROUNDS {
        let mut child = copying(here.path(), &source.url(), &there.url()).spawn().unwrap();
        let chance = getrandom::u32().unwrap() % 1_000;
        let moment = time * (round * 1_000 + chance) / (ROUNDS * 1_000);
        std::thread::sleep(moment);
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            println!("it was faster than {moment:?}");
            break;
        }
        kills += 1;
        let marked = is_marked(&there);
        println!("killed after {moment:?}: marked {marked}");
        if marked {
            let mut serving = tollkeeper(here.path(), &["serve"]);
            serving.env("TOLLKEEPER_DATABASE_URL", there.url()).env("TOLLKEEPER_LOG", "warn");
            run(serving, "").complains("the database is an unfinished copy of ");
        }
    }
    assert!(kills > 0);
    let ended = copy(source, &there);
    // It may have been killed between its last word and its end.
    if !ended.err.contains("is not empty") {
        assert!(ended.well().contains("The copy is ready to be served."));
    }
    assert_same(&whole, &there);
}

/// Checks that nothing is copied, for this reason.
#[track_caller]
fn refuses(directory: &Path, from: &str, to: &str, reason: &str) {
    let ended = run(copying(directory, from, to), "");
    ended.complains(reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_copy_is_refused() {
    let app = full().await;
    let here = Here::with_copy_of(&app.database);
    let (source, path) = (here.database().url(), here.path());
    let fresh = |name: &str| empty(other(here.database().kind()), &path.join(name));
    refuses(path, &source, &source, "is the source and the target");
    refuses(path, &source, &app.database.url(), "is not empty: there are rows in ");
    refuses(path, &source, "mysql://u:pa55@here/db", "is not supported");
    refuses(path, "sqlite:mistyped.db", &source, "there is no database mistyped.db");
    assert!(!path.join("mistyped.db").exists());
    let unreachable = "postgres://u:pa55word@127.0.0.1:1/db?connect_timeout=1";
    for (from, to) in [(unreachable, source.as_str()), (source.as_str(), unreachable)] {
        let ended = run(copying(path, from, to), "");
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
        assert!(!ended.err.contains("pa55word") && ended.err.contains("127.0.0.1"), "{ended:?}");
    }
    // A server is running on the first.
    refuses(path, &app.database.url(), &fresh("used.db").url(), "is in use");
    for missing in ["limit-states", "journal"] {
        here.database().execute(&format!("DELETE FROM settings WHERE name = '{missing}'"));
        let target = fresh(&format!("{missing}.db"));
        refuses(path, &source, &target.url(), "run `tollkeeper verify` on it");
    }
    match here.database().kind() {
        Kind::Sqlite => here.database().execute("PRAGMA user_version = 2"),
        Kind::Postgres => here.database().execute("DELETE FROM schema_versions"),
    }
    refuses(path, &source, &fresh("old.db").url(), "run `tollkeeper verify` on it");
    match here.database().kind() {
        Kind::Sqlite => here.database().execute("PRAGMA user_version = 99"),
        Kind::Postgres => {
            here.database().execute("INSERT INTO schema_versions (version) VALUES (99)");
        }
    }
    refuses(path, &source, &fresh("newer.db").url(), "newer than this program knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_differs_is_never_served() {
    let app = full().await;
    let here = Here::with_copy_of(&app.database);
    let (source, path) = (here.database(), here.path());
    let there = empty(other(source.kind()), &path.join("there.db"));
    // The journal cannot be proved: the copy is as wrong as its source, and stays unfinished.
    source.execute("UPDATE journal_entries SET reference_id = 'forged' WHERE id = 2");
    let ended = copy(source, &there);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("the hash does not fit"), "{ended:?}");
    let mut serving = tollkeeper(path, &["serve"]);
    serving.env("TOLLKEEPER_DATABASE_URL", there.url()).env("TOLLKEEPER_LOG", "warn");
    run(serving, "").complains("the database is an unfinished copy of ");
    let third = empty(source.kind(), &path.join("third.db"));
    refuses(path, &there.url(), &third.url(), "is itself the beginning of a copy from ");
    // What is there does not come from this other source.
    let another = Here::with_copy_of(&app.database);
    let url = another.database().url();
    refuses(another.path(), &url, &there.url(), "is the beginning of another copy, from ");
    // Somebody changes the unfinished copy.
    there.execute("DELETE FROM audit_records WHERE id = 3");
    there.execute("UPDATE contractors SET description = 'forged' WHERE id = 2");
    let ended = copy(source, &there);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("This copy was begun before"), "{ended:?}");
    let count: i64 = source.value("SELECT count(*) FROM audit_records");
    let differing =
        |table: &str| ended.out.lines().find(|line| line.starts_with(&format!("{table} differs")));
    let told =
        format!("audit_records differs: {count} rows in the source, {} in the target", count - 1);
    assert_eq!(differing("audit_records"), Some(told.as_str()), "{ended:?}");
    assert!(differing("contractors").is_some() && differing("accounts").is_none(), "{ended:?}");
    // Somebody goes on with the source.
    source.execute("UPDATE settings SET value = 'x' WHERE name = 'journal'");
    refuses(path, &source.url(), &there.url(), "has changed since this copy began");
}

/// The most memory that a command needs while it runs, in kB.
fn peak(mut command: Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(&file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or_default());
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success());
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_copy_needs_no_more_memory_than_a_small_one() {
    /// The page cache of SQLite's writer, which a small database does not fill (24 MB), and a few
    /// slices. The rows of the large one take three times as much.
    const MORE_KB: u64 = 48 * 1024;
    let mut peaks = Vec::new();
    for entries in [2_000, 200_000] {
        let here = long(entries).await;
        let source = here.database();
        let there = empty(other(source.kind()), &here.path().join("there.db"));
        let back = empty(source.kind(), &here.path().join("back.db"));
        let started = Instant::now();
        let out = peak(copying(here.path(), &source.url(), &there.url()));
        println!("{entries} entries there: {out} kB, {:?}", started.elapsed());
        let started = Instant::now();
        let home = peak(copying(here.path(), &there.url(), &back.url()));
        println!("{entries} entries back: {home} kB, {:?}", started.elapsed());
        peaks.push((out, home));
    }
    let [small, large] = peaks[..] else { panic!("{peaks:?}") };
    assert!(small.0 > 1_000 && small.1 > 1_000, "{peaks:?}");
    assert!(large.0 < small.0 + MORE_KB && large.1 < small.1 + MORE_KB, "{peaks:?}");
}
