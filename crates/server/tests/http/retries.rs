//! What stands in the way of writes at PostgreSQL, and goes away: serialization failures,
//! deadlocks, other nodes that want the same. The transaction runs again; no request fails for it,
//! and nothing happens twice. Where it does not go away, requests are told so and nothing else
//! suffers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use testbed::{Kind, TestDatabase};
use tokio::task::JoinSet;

use crate::program::{Program, run, tollkeeper};
use crate::proof;
use crate::support::{MEDIA_TYPE, Reply, client, linkage};

/// Two servers on one PostgreSQL database.
struct Nodes {
    clients: [Client; 2],
    programs: [Program; 2],
    database: TestDatabase,
    _directory: tempfile::TempDir,
}

/// Whoever talks to one of them.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    origin: String,
    token: String,
}

impl Client {
    async fn send(&self, method: Method, path: &str, body: &Value, key: Option<&str>) -> Reply {
        let url = format!("{}/api/rest/admin{path}", self.origin);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = self.http.request(method, url).body(body);
        let request = request.header("content-type", MEDIA_TYPE).header("accept", MEDIA_TYPE);
        let mut request = request.header("authorization", &self.token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Reply::to(request).await.expect("an answer")
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, body, None).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &Value::Null, None).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &Value::Null, None).await
    }

    /// Creates a record and returns its id.
    async fn create(&self, kind: &str, document: Value) -> String {
        let reply = self.post(&format!("/{kind}"), &document).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["data"]["id"].as_str().unwrap().to_owned()
    }

    async fn total(&self, kind: &str) -> u64 {
        let reply = self.get(&format!("/{kind}?page[size]=1")).await;
        reply.json()["meta"]["total-count"].as_u64().unwrap()
    }
}

impl Nodes {
    /// `params` are added to the address of the database.
    fn start(params: &str) -> Self {
        let database = TestDatabase::of(Kind::Postgres);
        let directory = tempfile::tempdir().unwrap();
        let mark = if database.url().contains('?') { '&' } else { '?' };
        let url = format!("{}{mark}{params}", database.url());
        let command = |arguments: &[&str]| -> Command {
            let mut command = tollkeeper(directory.path(), arguments);
            command.env("TOLLKEEPER_DATABASE_URL", &url).env("TOLLKEEPER_LOG", "warn");
            command
        };
        run(command(&["admin", "add", "ann"]), "a good password\n").well();
        let token = run(command(&["token", "ann", "--token-lifetime-secs", "0"]), "").well();
        let start = || Program::start(command(&["serve", "--token-lifetime-secs", "0"]));
        let programs = [start(), start()];
        let clients = [&programs[0], &programs[1]].map(|program| Client {
            http: client(),
            origin: format!("http://{}", program.address),
            token: token.trim().to_owned(),
        });
        Self { clients, programs, database, _directory: directory }
    }

    fn one(&self) -> &Client {
        &self.clients[0]
    }

    fn other(&self) -> &Client {
        &self.clients[1]
    }

    /// A contractor and so many of its accounts; their ids.
    async fn accounts(&self, count: usize) -> Vec<String> {
        let contractor = self.one().create("contractors", contractor("carrier")).await;
        let mut accounts = Vec::new();
        for number in 0..count {
            let name = format!("a{number}");
            accounts.push(self.one().create("accounts", account(&name, &contractor)).await);
        }
        accounts
    }

    /// Many payments at once, through both nodes, to few accounts; all must be taken. Says how
    /// many.
    async fn pay(&self, accounts: &[String]) -> usize {
        const CLIENTS: usize = 12;
        const EACH: usize = 12;
        let mut payers = JoinSet::new();
        for number in 0..CLIENTS {
            let client = self.clients[number % 2].clone();
            let accounts = accounts.to_vec();
            payers.spawn(async move {
                for payment in 0..EACH {
                    let account = &accounts[(number + payment) % accounts.len()];
                    let document = payment_to(account, &format!("{number}-{payment}"));
                    let reply = client.post("/payments", &document).await;
                    assert_eq!(reply.status, 201, "{reply:?}");
                }
            });
        }
        payers.join_all().await;
        CLIENTS * EACH
    }

    /// Checks that each of so many payments was made once.
    async fn prove(&self, payments: usize) {
        proof::verify(&self.database);
        assert_eq!(self.other().total("payments").await, payments as u64);
        assert_eq!(self.other().total("journal-entries").await, payments as u64);
    }

    /// Both live, and answer.
    async fn are_well(&self) {
        for client in &self.clients {
            assert_eq!(client.get("/contractors").await.status, 200);
        }
        for program in &self.programs {
            assert!(std::path::Path::new(&format!("/proc/{}", program.id())).exists());
        }
    }

    /// Lets transactions that insert into this table fail with this SQLSTATE, one in so many: at
    /// once, or not before they commit. The sequence `injected` counts them.
    fn fail(&self, table: &str, state: &str, one_in: u32, at_commit: bool) {
        let form = if at_commit { "CONSTRAINT TRIGGER" } else { "TRIGGER" };
        let when = if at_commit { "DEFERRABLE INITIALLY DEFERRED" } else { "" };
        // By chance, but one that is the same for all rows of a transaction.
        self.database.execute(&format!(
            "CREATE SEQUENCE IF NOT EXISTS injected; \
             CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF ('x' || md5(txid_current()::text))::bit(24)::int % {one_in} = 0 THEN \
                 PERFORM nextval('injected'); \
                 RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; \
               END IF; \
               RETURN NULL; \
             END $$; \
             CREATE {form} failing AFTER INSERT ON {table} {when} \
               FOR EACH ROW EXECUTE FUNCTION fail()"
        ));
    }

    /// Waits until a transaction waits for another one.
    fn wait_for_a_lock(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let look = self.database.session();
        eventually(|| (look.value::<i64>(waiting) > 0).then_some(()));
    }

    fn injected(&self) -> i64 {
        self.database.value("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM injected")
    }
}

fn contractor(name: &str) -> Value {
    let attributes = json!({"name": name, "enabled": true, "vendor": true, "customer": true});
    json!({"data": {"type": "contractors", "attributes": attributes}})
}

fn account(name: &str, contractor: &str) -> Value {
    let links = json!({"contractor": linkage("contractors", contractor)});
    json!({"data": {"type": "accounts", "attributes": {"name": name}, "relationships": links}})
}

fn contact(contractor: &str) -> Value {
    let links = json!({"contractor": linkage("contractors", contractor)});
    let attributes = json!({"email": "noc@example.com"});
    json!({"data": {"type": "contacts", "attributes": attributes, "relationships": links}})
}

fn payment_to(account: &str, external_id: &str) -> Value {
    let attributes = json!({"amount": "0.000000000001", "external-id": external_id});
    let links = json!({"account": linkage("accounts", account)});
    json!({"data": {"type": "payments", "attributes": attributes, "relationships": links}})
}

#[tokio::test]
async fn transactions_that_fail_to_serialize_run_again() {
    for (table, state, at_commit) in [
        ("journal_entries", "40001", false),
        ("payments", "40001", true),
        ("payments", "40P01", false),
    ] {
        let nodes = Nodes::start("");
        let accounts = nodes.accounts(3).await;
        nodes.fail(table, state, 5, at_commit);
        let paid = nodes.pay(&accounts).await;
        let injected = nodes.injected();
        println!("{table} {state}: {injected} failures, {paid} payments");
        assert!(injected > 0);
        nodes.prove(paid).await;
    }
}

#[tokio::test]
async fn failures_that_do_not_end_are_answered_503_and_hurt_nothing_else() {
    for (state, at_commit) in [("40001", false), ("40001", true), ("40P01", false)] {
        let nodes = Nodes::start("");
        let accounts = nodes.accounts(1).await;
        nodes.fail("payments", state, 1, at_commit);
        let document = payment_to(&accounts[0], "x");
        let reply = nodes.one().send(Method::POST, "/payments", &document, Some("key")).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{reply:?}");
        assert_eq!(reply.json()["errors"][0]["status"], "503");
        assert!(nodes.injected() > 3, "it was tried again");
        nodes.one().create("contractors", contractor("another")).await;
        nodes.are_well().await;
        assert_eq!(nodes.one().total("payments").await, 0);
        nodes.database.execute("DROP TRIGGER failing ON payments");
        let reply = nodes.other().send(Method::POST, "/payments", &document, Some("key")).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        nodes.prove(1).await;
    }
}

#[tokio::test]
async fn serializable_transactions_of_several_nodes_all_succeed() {
    let nodes = Nodes::start("options=-c%20default_transaction_isolation%3Dserializable");
    let accounts = nodes.accounts(3).await;
    let rolled_back =
        "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let before: i64 = nodes.database.value(rolled_back);
    let paid = nodes.pay(&accounts).await;
    nodes.prove(paid).await;
    // Nothing was refused, so this is what failed to serialize.
    let again = eventually(|| {
        let now: i64 = nodes.database.value(rolled_back);
        (now > before + 3).then_some(now - before)
    });
    println!("{again} transactions or more ran again for {paid} payments");
}

/// Waits for what statistics tell a moment late.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_with_another_program_is_tried_again() {
    const ROUNDS_MAX: usize = 10;
    let nodes = Nodes::start("");
    let contractor = nodes.one().create("contractors", contractor("carrier")).await;
    for round in 0..ROUNDS_MAX {
        let contact = nodes.one().create("contacts", contact(&contractor)).await;
        let mut accounts = Vec::new();
        for name in ["a", "b"] {
            let mut document = account(&format!("{name}{round}"), &contractor);
            document["data"]["attributes"]["send-invoices-to"] = json!([contact]);
            accounts.push(nodes.one().create("accounts", document).await);
        }
        // The delete takes the contact out of both accounts, in the order of their ids.
        let lock = |id: &str| format!("SELECT id FROM accounts WHERE id = {id} FOR UPDATE");
        let session = nodes.database.session();
        session.execute(&format!("BEGIN; {}", lock(&accounts[1])));
        let client = nodes.one().clone();
        let path = format!("/contacts/{contact}");
        let deleting = tokio::spawn(async move { client.delete(&path).await });
        nodes.wait_for_a_lock();
        // Now each waits for the other. The one that waited first finds out, after a second, and
        // gives in: the server, unless this machine is slow.
        let locked = catch_unwind(AssertUnwindSafe(|| session.execute(&lock(&accounts[0]))));
        session.execute("COMMIT");
        let reply = deleting.await.unwrap();
        assert_eq!(reply.status, 204, "{reply:?}");
        for id in accounts {
            let reply = nodes.other().get(&format!("/accounts/{id}")).await;
            assert_eq!(reply.json()["data"]["attributes"]["send-invoices-to"], json!([]));
        }
        proof::verify(&nodes.database);
        if locked.is_ok() {
            return;
        }
    }
    panic!("it was never the server that gave in");
}

#[tokio::test]
async fn of_two_nodes_that_create_the_same_one_wins() {
    let nodes = Nodes::start("");
    let account_id = nodes.accounts(1).await.remove(0);
    for round in 0..40 {
        let same = format!("same {round}");
        let with_external_id = |node: &str| {
            let mut document = account(&format!("{node} {round}"), "1");
            document["data"]["attributes"]["external-id"] = json!(round);
            document
        };
        let payment = payment_to(&account_id, &same);
        for (path, one, other) in [
            ("/contractors", contractor(&same), contractor(&same)),
            ("/accounts", account(&same, "1"), account(&same, "1")),
            ("/accounts", with_external_id("one"), with_external_id("other")),
            ("/payments", payment.clone(), payment),
        ] {
            let replies =
                tokio::join!(nodes.one().post(path, &one), nodes.other().post(path, &other));
            let (won, lost) = match (replies.0.status, replies.1.status) {
                (201, 422) => replies,
                (422, 201) => (replies.1, replies.0),
                _ => panic!("{path}: {replies:?}"),
            };
            assert_eq!(lost.json()["errors"][0]["title"], "has already been taken", "{won:?}");
        }
    }
    proof::verify(&nodes.database);
}

/// How often two nodes are asked for the same at once.
const ROUNDS: u64 = 40;

#[tokio::test]
async fn one_key_at_two_nodes_at_once_has_one_effect() {
    let nodes = Nodes::start("");
    let account_id = nodes.accounts(1).await.remove(0);
    let kinds = ["contractors", "payments"];
    let before = [nodes.one().total(kinds[0]).await, nodes.one().total(kinds[1]).await];
    for round in 0..ROUNDS {
        let documents = [
            contractor(&format!("same {round}")),
            payment_to(&account_id, &format!("same {round}")),
        ];
        for (kind, document) in kinds.into_iter().zip(documents) {
            let (path, key) = (format!("/{kind}"), format!("{kind} {round}"));
            let (one, other) = tokio::join!(
                nodes.one().send(Method::POST, &path, &document, Some(&key)),
                nodes.other().send(Method::POST, &path, &document, Some(&key)),
            );
            assert_eq!((one.status, other.status), (201, 201), "{one:?} {other:?}");
            assert_eq!(one.json()["data"]["id"], other.json()["data"]["id"]);
            let replayed =
                [&one, &other].map(|reply| reply.header("idempotent-replayed") == "true");
            assert_eq!(replayed.iter().filter(|replayed| **replayed).count(), 1, "{replayed:?}");
        }
        // The same key for something else.
        let (key, path) = (format!("mixed {round}"), "/contractors");
        let (a, b) = (contractor(&format!("a {round}")), contractor(&format!("b {round}")));
        let (one, other) = tokio::join!(
            nodes.one().send(Method::POST, path, &a, Some(&key)),
            nodes.other().send(Method::POST, path, &b, Some(&key)),
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 422], "{one:?} {other:?}");
    }
    assert_eq!(nodes.other().total("contractors").await, before[0] + 2 * ROUNDS);
    assert_eq!(nodes.other().total("payments").await, before[1] + ROUNDS);
    proof::verify(&nodes.database);
}

/// A refused request runs again with care, and only then meets the answer of another node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_another_node_keeps_meanwhile_is_given_again() {
    let nodes = Nodes::start("");
    nodes.one().create("contractors", contractor("taken")).await;
    let again = contractor("taken");
    let first = nodes.one().send(Method::POST, "/contractors", &again, Some("first")).await;
    assert_eq!(first.status, 422);
    let session = nodes.database.session();
    session.execute(
        "BEGIN; INSERT INTO first_answers (operator_id, key, fingerprint, status, content_type, \
         location, tagged, body, created_at) SELECT operator_id, 'second', fingerprint, status, \
         content_type, location, tagged, body, created_at FROM first_answers WHERE key = 'first'",
    );
    let client = nodes.other().clone();
    let asking = tokio::spawn(async move {
        client.send(Method::POST, "/contractors", &again, Some("second")).await
    });
    nodes.wait_for_a_lock();
    session.execute("COMMIT");
    let reply = asking.await.unwrap();
    assert_eq!((reply.status, reply.body), (422, first.body));
    assert_eq!(reply.headers["idempotent-replayed"], "true");
}

#[tokio::test]
async fn a_record_is_deleted_or_pointed_at_but_not_both() {
    let nodes = Nodes::start("");
    let mut ends = [0, 0];
    for round in 0..60 {
        let owner = nodes.one().create("contractors", contractor(&format!("c{round}"))).await;
        let (path, name) = (format!("/contractors/{owner}"), format!("a{round}"));
        let document = account(&name, &owner);
        let (deleted, pointed) =
            tokio::join!(nodes.one().delete(&path), nodes.other().post("/accounts", &document));
        match (deleted.status, pointed.status) {
            (204, 422) => {
                assert_eq!(pointed.json()["errors"][0]["title"], "must exist");
                ends[0] += 1;
            }
            (422, 201) => {
                let title = "Cannot delete record because dependent accounts exist";
                assert_eq!(deleted.json()["errors"][0]["title"], title);
                ends[1] += 1;
            }
            _ => panic!("{deleted:?} {pointed:?}"),
        }
        // What goes with its owner may come just before, or is told that there is none.
        let owner = nodes.one().create("contractors", contractor(&format!("d{round}"))).await;
        let (path, document) = (format!("/contractors/{owner}"), contact(&owner));
        let (deleted, made) =
            tokio::join!(nodes.one().delete(&path), nodes.other().post("/contacts", &document));
        assert_eq!(deleted.status, 204, "{deleted:?}");
        assert!([201, 422].contains(&made.status), "{made:?}");
    }
    println!("deleted {}, pointed at {}", ends[0], ends[1]);
    assert_eq!(nodes.one().total("contacts").await, 0);
    proof::verify(&nodes.database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_waits_for_a_row_that_comes_to_point_at_it() {
    let nodes = Nodes::start("");
    let owner = nodes.one().create("contractors", contractor("owner")).await;
    let smtp = json!({"data": {"type": "smtp-connections", "attributes": {
        "name": "relay", "host": "relay.example.com", "from-address": "noc@example.com",
    }}});
    let smtp = nodes.one().create("smtp-connections", smtp).await;
    for (statement, path, status) in [
        // It goes with its owner.
        (
            format!("INSERT INTO contacts (email, contractor_id) VALUES ('late', {owner})"),
            format!("/contractors/{owner}"),
            204,
        ),
        // It forbids the delete.
        (
            format!(
                "INSERT INTO contractors (name, enabled, vendor, customer, smtp_connection_id) \
                 VALUES ('late', TRUE, TRUE, TRUE, {smtp})"
            ),
            format!("/smtp-connections/{smtp}"),
            422,
        ),
    ] {
        let session = nodes.database.session();
        session.execute(&format!("BEGIN; {statement}"));
        let client = nodes.one().clone();
        let deleting = tokio::spawn(async move { client.delete(&path).await });
        nodes.wait_for_a_lock();
        session.execute("COMMIT");
        let reply = deleting.await.unwrap();
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let contacts = "SELECT count(*) AS count FROM contacts";
    assert_eq!(nodes.database.value::<i64>(contacts), 0);
}
