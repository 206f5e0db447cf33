//! Webhooks as real processes deliver them: one that is killed in the middle, and three at once on
//! one database.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use testbed::Kind;
use tokio::task::block_in_place;

use crate::program::{Here, Program, ask, open_accounts, sign_in};
use crate::proof;
use crate::receiver::Receiver;
use crate::support::{MEDIA_TYPE, linkage};
use crate::wire::Wire;

const PASSWORD: &str = "a good password";
/// Clients at once.
const CLIENTS: usize = 12;
/// Payments, each an event.
const PAYMENTS: usize = 3_000;
/// The same where it matters how many there are.
const MANY_PAYMENTS: usize = 10_200;
/// Accounts, each a line.
const ACCOUNTS: usize = 40;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// So long nothing comes where nothing is to come.
const QUIET: Duration = Duration::from_secs(2);

fn serving(here: &Here) -> Command {
    let mut command = here.command(&["serve"]);
    command.env("TOLLKEEPER_ADMIN_PASSWORD", PASSWORD);
    command.env("TOLLKEEPER_WEBHOOK_ALLOW_PRIVATE", "true");
    command
}

fn serve(here: &Here) -> Program {
    let command = serving(here);
    block_in_place(|| Program::start(command))
}

/// Makes a webhook; its secret.
async fn open_webhook(address: SocketAddr, token: &str, url: &str) -> String {
    let attributes = json!({"url": url, "events": ["PaymentPosted"]});
    let document = json!({"data": {"type": "webhooks", "attributes": attributes}});
    let line = "POST /api/rest/admin/webhooks";
    let reply = ask(address, line, token, &document.to_string()).await;
    reply.attribute("secret").as_str().unwrap().to_owned()
}

/// How many deliveries a server has in this state.
async fn in_state(address: SocketAddr, token: &str, state: &str) -> u64 {
    let line = format!("GET /api/rest/admin/deliveries?filter[state_eq]={state}");
    let reply = ask(address, &line, token, "").await;
    reply.json()["meta"]["total-count"].as_u64().unwrap()
}

async fn until_delivered(address: SocketAddr, token: &str, deliveries: u64) {
    let since = Instant::now();
    while in_state(address, token, "delivered").await < deliveries {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_before_it_knows_posts_again_under_the_same_id() {
    let here = Here::new();
    let mut receiver = Receiver::start();
    let program = serve(&here);
    let token = sign_in(program.address, "admin", PASSWORD).await.expect("a token");
    let url = receiver.url("/?wait=600&times=1");
    receiver.knows(&open_webhook(program.address, &token, &url).await);
    let test = "POST /api/rest/admin/webhooks/1/test";
    assert_eq!(ask(program.address, test, &token, "").await.status, 201);
    // The receiver has it, and nobody knows yet whether it was taken.
    let first = receiver.got();
    let (status, _) = block_in_place(|| program.end("KILL"));
    assert_eq!(status.code(), None);
    let program = serve(&here);
    assert_eq!(in_state(program.address, &token, "pending").await, 1);
    // The claim of the dead process has an end; waiting for it would take a minute.
    let past = here.database().literal(&jsonapi::Value::Time(Timestamp::UNIX_EPOCH));
    here.database().execute(&format!("UPDATE delivery_lines SET due_at = {past}"));
    let second = receiver.got();
    assert_eq!((&second["id"], &second["body"]), (&first["id"], &first["body"]));
    assert_eq!((&first["verified"], &second["verified"]), (&json!([0]), &json!([0])));
    until_delivered(program.address, &token, 1).await;
    assert_eq!(receiver.got_until_quiet(QUIET), [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_server_that_was_killed_while_it_posted_is_posted_by_the_next() {
    let here = Here::new();
    let receiver = Receiver::start();
    let program = serve(&here);
    let token = sign_in(program.address, "admin", PASSWORD).await.expect("a token");
    open_webhook(program.address, &token, &receiver.url("/?wait=600&times=1&brief=1")).await;
    let accounts = open_accounts(program.address, &token, vec![json!({"name": "a"})]).await;
    let paid = pay(program.address, token.clone(), accounts, 2).await;
    let first = receiver.got();
    block_in_place(|| program.end("KILL"));
    let program = serve(&here);
    if here.database().kind() == Kind::Postgres {
        // They might be another node's; waiting until it was to be done would take half a minute.
        let past = here.database().literal(&jsonapi::Value::Time(Timestamp::UNIX_EPOCH));
        here.database().execute(&format!("UPDATE errands SET until = {past}"));
    }
    until_delivered(program.address, &token, 2).await;
    let got = receiver.got_until_quiet(QUIET);
    let ids = |got: &Value| (got["id"].clone(), got["payment"].to_string());
    assert_eq!(got.len(), 2, "{got:?}");
    assert_eq!(ids(&got[0]), ids(&first));
    assert_eq!((ids(&got[0]).1, ids(&got[1]).1), (paid[0].1.clone(), paid[1].1.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_is_spoken_to_whom_the_system_trusts_and_no_proxy_is_asked() {
    let here = Here::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (here.path().join("cert.pem"), here.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut receiver = Receiver::with_tls(&certificate, &key);
    let url = format!("https://localhost:{}/", receiver.port());
    let start = |trusted: bool| {
        let mut command = serving(&here);
        for proxy in ["http_proxy", "https_proxy", "all_proxy"] {
            command
                .env(proxy, "http://127.0.0.1:1")
                .env(proxy.to_uppercase(), "http://127.0.0.1:1");
        }
        if trusted {
            command.env("SSL_CERT_FILE", &certificate);
        }
        block_in_place(|| Program::start(command))
    };
    let program = start(false);
    let token = sign_in(program.address, "admin", PASSWORD).await.expect("a token");
    receiver.knows(&open_webhook(program.address, &token, &url).await);
    let test = "POST /api/rest/admin/webhooks/1/test";
    assert_eq!(ask(program.address, test, &token, "").await.status, 201);
    let since = Instant::now();
    let error = loop {
        let line = "GET /api/rest/admin/deliveries/1";
        let error = ask(program.address, line, &token, "").await.attribute("error");
        if let Some(error) = error.as_str() {
            break error.to_owned();
        }
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(error.contains("cannot connect") && error.contains("certificate"), "{error}");
    assert!(block_in_place(|| program.end("TERM")).0.success());
    let program = start(true);
    let again = "POST /api/rest/admin/webhooks/1/deliveries/1/redeliver";
    assert_eq!(ask(program.address, again, &token, "").await.status, 200);
    assert_eq!(receiver.got()["verified"], json!([0]));
    until_delivered(program.address, &token, 1).await;
}

/// A client that pays one account after another, until its server is gone; the payments' accounts
/// and ids.
async fn pay(
    address: SocketAddr,
    token: String,
    accounts: Vec<String>,
    count: usize,
) -> Vec<(String, String)> {
    let mut wire = Wire::to(address).await;
    let mut paid = Vec::with_capacity(count);
    for account in accounts.iter().cycle().take(count) {
        let body = json!({"data": {
            "type": "payments",
            "attributes": {"amount": "1"},
            "relationships": {"account": linkage("accounts", account)},
        }})
        .to_string();
        wire.send(format!(
            "POST /api/rest/admin/payments HTTP/1.1\r\nhost: example.org\r\naccept: {MEDIA_TYPE}\r\n\
             content-type: {MEDIA_TYPE}\r\nauthorization: {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let Some(reply) = wire.reply().await else { break };
        assert_eq!(reply.status, 201, "{reply:?}");
        let id = reply.json()["data"]["id"].as_str().unwrap().to_owned();
        paid.push((account.clone(), id));
    }
    paid
}

/// Pays at all nodes while they deliver, and checks that each payment comes, once, signed, and those
/// of an account in their order.
async fn deliver_all(here: &Here, nodes: usize, payments: usize) {
    let mut receiver = Receiver::start();
    let nodes: Vec<Program> = (0..nodes).map(|_| serve(here)).collect();
    let address = nodes[0].address;
    let token = sign_in(address, "admin", PASSWORD).await.expect("a token");
    let accounts = (0..ACCOUNTS).map(|number| json!({"name": format!("a{number}")})).collect();
    let accounts = open_accounts(address, &token, accounts).await;
    receiver.knows(&open_webhook(address, &token, &receiver.url("/?brief=1")).await);
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let address = nodes[number % nodes.len()].address;
            let mut accounts = accounts.clone();
            // Every account is paid by all clients, each in another order.
            accounts.rotate_left(number * 3);
            tokio::spawn(pay(address, token.clone(), accounts, payments / CLIENTS))
        })
        .collect();
    let mut paid = Vec::new();
    for client in clients {
        paid.extend(client.await.expect("a client that pays"));
    }
    assert_eq!(paid.len(), payments);
    let paying = began.elapsed();
    until_delivered(address, &token, payments as u64).await;
    let delivering = began.elapsed();
    let got = receiver.got_until_quiet(QUIET);
    let mut by_account: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for one in &got {
        assert_eq!(one["verified"], json!([0]), "{one}");
        let payment = one["payment"].as_i64().unwrap();
        by_account.entry(one["account"].to_string()).or_default().push(payment);
    }
    for (account, payments) in &by_account {
        assert!(payments.is_sorted(), "account {account}: {payments:?}");
    }
    // Nobody died and every claim was kept: nothing came twice.
    let mut met: Vec<i64> = by_account.into_values().flatten().collect();
    met.sort_unstable();
    let mut sent: Vec<i64> = paid.iter().map(|(_, id)| id.parse().unwrap()).collect();
    sent.sort_unstable();
    assert_eq!(met, sent);
    // All nodes took part.
    for node in &nodes {
        let metrics = ask(node.address, "GET /metrics", "", "").await.body;
        let name = "deliveries_total{channel=\"webhook\",outcome=\"delivered\"}";
        assert!(metrics.contains(name), "{metrics}");
    }
    println!("{payments} payments in {paying:?}, delivered in {delivering:?}");
    proof::verify(here.database());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_deliver_everything_once_and_in_order() {
    deliver_all(&Here::on_postgres(), 3, MANY_PAYMENTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_delivers_everything_once_and_in_order() {
    deliver_all(&Here::with_file(), 1, PAYMENTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_one_is_killed_and_its_events_come_all_the_same_in_order() {
    /// Deliveries that a node has in hand at once: errands, and lines.
    const IN_HAND: usize = 32;
    let here = Here::on_postgres();
    let mut receiver = Receiver::start();
    let mut nodes: Vec<Program> = (0..3).map(|_| serve(&here)).collect();
    let address = nodes[0].address;
    let token = sign_in(address, "admin", PASSWORD).await.expect("a token");
    let accounts = (0..ACCOUNTS).map(|number| json!({"name": format!("a{number}")})).collect();
    let accounts = open_accounts(address, &token, accounts).await;
    receiver.knows(&open_webhook(address, &token, &receiver.url("/?brief=1")).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut accounts = accounts.clone();
            accounts.rotate_left(number * 3);
            let address = nodes[number % nodes.len()].address;
            tokio::spawn(pay(address, token.clone(), accounts, PAYMENTS / CLIENTS))
        })
        .collect();
    let mut got: Vec<Value> = (0..PAYMENTS / 5).map(|_| receiver.got()).collect();
    block_in_place(|| nodes.pop().unwrap().end("KILL"));
    let mut paid = Vec::new();
    for client in clients {
        paid.extend(client.await.expect("a client that pays"));
    }
    // What the dead node had in hand is nobody else's until its time is over.
    let database = here.database();
    let since = Instant::now();
    let waiting = "SELECT (SELECT count(*) FROM errands) + \
                   (SELECT count(*) FROM deliveries WHERE state = 'pending')";
    while database.value::<i64>(waiting) > 0 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("the last was delivered {:?} after the last payment", since.elapsed());
    got.extend(receiver.got_until_quiet(QUIET));
    let events: i64 = database.value("SELECT count(*) FROM events");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM deliveries"), events);
    let mut met = BTreeMap::new();
    let mut by_account: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for one in &got {
        let payment = one["payment"].as_i64().unwrap();
        let first = met.entry(payment).or_insert_with(|| {
            by_account.entry(one["account"].to_string()).or_default().push(payment);
            one["id"].clone()
        });
        assert_eq!((&one["verified"], &one["id"]), (&json!([0]), &*first), "{one}");
    }
    for (account, payments) in &by_account {
        assert!(payments.is_sorted(), "account {account}: {payments:?}");
    }
    assert_eq!(met.len(), usize::try_from(events).unwrap());
    for (account, payment) in &paid {
        assert!(met.contains_key(&payment.parse().unwrap()), "{payment} to {account} is lost");
    }
    let again = got.len() - met.len();
    println!("{} payments, {} events, {again} of them twice", paid.len(), met.len());
    assert!(again <= IN_HAND, "{again} came twice");
    proof::verify(database);
}
