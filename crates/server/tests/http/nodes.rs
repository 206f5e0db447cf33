//! Several nodes on one PostgreSQL database, as real processes behind a small balancer: one dies
//! under load and nothing is lost; all are restarted under load and no request fails; jobs,
//! throttles, keys, settings and passwords are those of the database, not of one node.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use decimal::Decimal;
use serde_json::json;
use tokio::task::{JoinHandle, block_in_place};

use crate::balancer::Balancer;
use crate::program::{Here, Program, ask, open_accounts, run, sign_in};
use crate::proof;
use crate::support::{MEDIA_TYPE, Reply, linkage};
use crate::wire::Wire;

const PASSWORD: &str = "a good password";
/// Clients at once.
const CLIENTS: usize = 12;
/// Within this time what is told about an operator on one node holds on every other (D20).
const OPERATORS_KEPT: Duration = Duration::from_secs(2);
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts a node.
fn node(here: &Here) -> Program {
    let mut command = here.command(&["serve"]);
    command.env("TOLLKEEPER_ADMIN_PASSWORD", PASSWORD).env("TOLLKEEPER_DRAIN_SECS", "2");
    block_in_place(|| Program::start(command))
}

fn nodes(here: &Here, count: usize) -> Vec<Program> {
    (0..count).map(|_| node(here)).collect()
}

async fn token(node: &Program) -> String {
    sign_in(node.address, "admin", PASSWORD).await.expect("a token")
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the clients have asked for and been told.
#[derive(Debug, Default)]
struct Told {
    /// Payments that were acknowledged: mark, account and amount.
    paid: Vec<(String, String, Decimal)>,
    /// Lists and looks that were answered.
    seen: usize,
    /// Requests that failed.
    failed: Vec<String>,
}

/// Clients that pay, and look, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Told>>,
}

impl Load {
    /// Half of the clients pay to the first account alone. Without keys for all, every second
    /// payment is one that nobody may send again, and every fifth request is a look.
    fn start(address: SocketAddr, token: &str, accounts: &[String], keys_for_all: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let client = Client {
                number,
                address,
                token: token.to_owned(),
                accounts: accounts.to_vec(),
                keys_for_all,
            };
            tokio::spawn(client.work(Arc::clone(&stop)))
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, clients }
    }

    async fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for client in self.clients {
            let told = client.await.expect("a client that ends");
            all.paid.extend(told.paid);
            all.seen += told.seen;
            all.failed.extend(told.failed);
        }
        all
    }
}

struct Client {
    number: usize,
    address: SocketAddr,
    token: String,
    accounts: Vec<String>,
    keys_for_all: bool,
}

impl Client {
    async fn work(self, stop: Arc<AtomicBool>) -> Told {
        let (mut told, mut sent) = (Told::default(), 0);
        // One connection for all: a balancer must not make clients come again.
        let mut wire = Wire::to(self.address).await;
        while !stop.load(Ordering::Relaxed) {
            sent += 1;
            let account = match self.number % 2 {
                0 => &self.accounts[0],
                _ => &self.accounts[(self.number + sent) % self.accounts.len()],
            };
            let mark = format!("{}-{sent}", self.number);
            if !self.keys_for_all && sent % 5 == 0 {
                let line = format!("GET /api/rest/admin/accounts/{account}");
                match self.ask(&mut wire, &line, "", "").await {
                    Some(reply) if reply.status == 200 => told.seen += 1,
                    other => told.failed.push(format!("{line}: {other:?}")),
                }
                continue;
            }
            let amount = Decimal::from_units(
                i128::try_from(self.number * 1_000 + sent).unwrap() * 10_i128.pow(10),
            )
            .unwrap();
            let document = json!({"data": {
                "type": "payments",
                "attributes": {"amount": amount.to_string(), "notes": mark},
                "relationships": {"account": linkage("accounts", account)},
            }});
            let is_keyed = self.keys_for_all || sent % 2 == 0;
            let key = if is_keyed { format!("idempotency-key: {mark}\r\n") } else { String::new() };
            let line = "POST /api/rest/admin/payments";
            match self.ask(&mut wire, line, &key, &document.to_string()).await {
                Some(reply) if reply.status == 201 => {
                    told.paid.push((mark, account.clone(), amount));
                }
                other => told.failed.push(format!("{mark}: {other:?}")),
            }
        }
        told
    }

    async fn ask(&self, wire: &mut Wire, line: &str, header: &str, body: &str) -> Option<Reply> {
        wire.send(format!(
            "{line} HTTP/1.1\r\nhost: example.org\r\naccept: {MEDIA_TYPE}\r\n\
             content-type: {MEDIA_TYPE}\r\nauthorization: {}\r\n{header}\
             content-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        ))
        .await;
        let reply = wire.reply().await;
        if reply.is_none() {
            *wire = Wire::to(self.address).await;
        }
        reply
    }
}

/// Checks that the database holds what was acknowledged, each payment once, and nothing else, and
/// that balances are the sums.
fn check(here: &Here, told: &Told, accounts: &[String]) {
    let rows = here.database().rows("SELECT notes, account_id, amount FROM payments");
    let marks: HashSet<String> = rows.iter().map(|row| row.get("notes")).collect();
    assert_eq!(marks.len(), rows.len(), "a payment was posted twice");
    let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
    for (mark, account, amount) in &told.paid {
        assert!(marks.contains(mark), "the payment {mark} is lost");
        let sum = sums.entry(account).or_default();
        *sum = sum.checked_add(*amount).unwrap();
    }
    assert_eq!(rows.len(), told.paid.len(), "payments that nobody was told of");
    for account in accounts {
        let sql = format!("SELECT balance FROM accounts WHERE id = {account}");
        let balance: Decimal = here.database().value(&sql);
        let sum = sums.get(account.as_str()).copied().unwrap_or_default();
        assert_eq!(balance, sum, "account {account}");
    }
    proof::verify(here.database());
    let verified = block_in_place(|| here.run(&["verify"])).well();
    assert!(verified.ends_with(": 0 faults.\n"), "{verified}");
}

async fn furnish(node: &Program) -> (String, Vec<String>) {
    let token = token(node).await;
    let accounts = (0..20).map(|number| json!({"name": format!("account {number}")})).collect();
    let accounts = open_accounts(node.address, &token, accounts).await;
    (token, accounts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_under_load_loses_nothing_that_was_acknowledged() {
    let here = Here::on_postgres();
    let mut nodes = nodes(&here, 3);
    let (token, accounts) = furnish(&nodes[0]).await;
    let balancer = Balancer::start(nodes.iter().map(|node| node.address)).await;
    until("three nodes are ready", async || balancer.ready() == 3).await;
    let load = Load::start(balancer.address, &token, &accounts, true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (status, _) = block_in_place(|| nodes.remove(1).end("KILL"));
    assert_eq!(status.code(), None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = load.stop().await;
    assert_eq!(told.failed, [""; 0], "with keys, all can be asked again");
    assert!(balancer.lost() > 0, "the node was not in the middle of anything");
    assert_eq!(balancer.ready(), 2);
    assert!(told.paid.len() > 100, "{}", told.paid.len());
    check(&here, &told, &accounts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_restarted_under_load_without_a_failed_request() {
    let here = Here::on_postgres();
    let mut nodes = nodes(&here, 3);
    let (token, accounts) = furnish(&nodes[0]).await;
    let balancer = Balancer::start(nodes.iter().map(|node| node.address)).await;
    until("three nodes are ready", async || balancer.ready() == 3).await;
    let load = Load::start(balancer.address, &token, &accounts, false);
    for place in 0..nodes.len() {
        let old = nodes.remove(place);
        let (status, complaints) = block_in_place(|| old.end("TERM"));
        assert!(status.success(), "{status} {complaints}");
        assert!(!complaints.contains("ERROR"), "{complaints}");
        nodes.insert(place, node(&here));
        balancer.replace(place, nodes[place].address);
        until("the new node is ready", async || balancer.ready() == 3).await;
    }
    let told = load.stop().await;
    assert_eq!(told.failed, [""; 0]);
    assert_eq!(balancer.lost(), 0, "connections were lost");
    assert!(told.paid.len() > 100 && told.seen > 20, "{} {}", told.paid.len(), told.seen);
    check(&here, &told, &accounts);
}

/// Which of the nodes says that it does the job.
async fn holders(nodes: &[Program], job: &str) -> Vec<u32> {
    let mut holders = Vec::new();
    for node in nodes {
        let metrics = ask(node.address, "GET /metrics", "", "").await.body;
        if metrics.contains(&format!("job_held{{job=\"{job}\"}} 1\n")) {
            holders.push(node.id());
        }
    }
    holders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_one_does_each_job_and_another_takes_over_when_it_is_gone() {
    let here = Here::on_postgres();
    let mut nodes = nodes(&here, 3);
    let token = token(&nodes[0]).await;
    open_accounts(nodes[0].address, &token, vec![json!({"name": "account"})]).await;
    for signal in ["KILL", "TERM"] {
        let job = "sample-journals";
        for job in [job, "forget"] {
            until(job, async || holders(&nodes, job).await.len() == 1).await;
        }
        // It stays with that one, though the others keep asking.
        let first = holders(&nodes, job).await;
        let lease = format!("SELECT holder FROM leases WHERE name = '{job}'");
        let holder: String = here.database().value(&lease);
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(7) {
            assert_eq!(holders(&nodes, job).await, first);
            assert_eq!(here.database().value::<String>(&lease), holder);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // And only that one looks at journals.
        let mut looking = Vec::new();
        for node in &nodes {
            let metrics = ask(node.address, "GET /metrics", "", "").await.body;
            if metrics.contains("journal_sampled_accounts_total ") {
                looking.push(node.id());
            }
        }
        assert_eq!(looking, first);
        let place = nodes.iter().position(|node| node.id() == first[0]).unwrap();
        let gone = nodes.remove(place);
        let gone_at = Instant::now();
        block_in_place(|| gone.end(signal));
        if signal == "TERM" {
            let kept = format!("SELECT count(*) FROM leases WHERE holder = '{holder}'");
            assert_eq!(here.database().value::<i64>(&kept), 0, "it was not given back");
        }
        until("another takes over", async || holders(&nodes, job).await.len() == 1).await;
        // The lease of 15 seconds, and the 5 until it is asked for again.
        let gap = gone_at.elapsed();
        assert!(gap < Duration::from_secs(if signal == "KILL" { 23 } else { 10 }), "{gap:?}");
        assert_ne!(here.database().value::<String>(&lease), holder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_several_nodes_are_counted_together() {
    let here = Here::on_postgres();
    let nodes = nodes(&here, 3);
    let guess = async |node: &Program, password: &str| {
        let body = json!({"auth": {"username": "admin", "password": password}}).to_string();
        ask(node.address, "POST /api/rest/admin/auth", "", &body).await.status
    };
    // A good sign-in leaves nothing, a failure two rows, and a sign-in after it one.
    let rows = || here.database().value::<i64>("SELECT count(*) FROM throttles");
    for (password, status, left) in [(PASSWORD, 201, 0), ("a guess", 401, 2), (PASSWORD, 201, 1)] {
        assert_eq!((guess(&nodes[0], password).await, rows()), (status, left));
    }
    for number in 0..10 {
        assert_eq!(guess(&nodes[number % 3], "a guess").await, 401, "{number}");
    }
    for node in &nodes {
        assert_eq!(guess(node, "a guess").await, 429);
        assert_eq!(guess(node, PASSWORD).await, 429);
    }
    // Rows have one size, and tell nobody who was tried from where.
    let stored = format!("{:?}", here.database().rows("SELECT * FROM throttles"));
    assert!(!stored.contains("admin") && !stored.contains("127.0.0.1"), "{stored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_sent_to_all_nodes_at_once_has_one_effect_and_one_answer() {
    let here = Here::on_postgres();
    let nodes = nodes(&here, 3);
    let (token, accounts) = furnish(&nodes[0]).await;
    let rounds = 30;
    for round in 0..rounds {
        let body = json!({"data": {
            "type": "payments",
            "attributes": {"amount": "1"},
            "relationships": {"account": linkage("accounts", &accounts[0])},
        }})
        .to_string();
        let line = "POST /api/rest/admin/payments";
        let send = async |node: &Program| {
            let mut wire = Wire::to(node.address).await;
            wire.send(format!(
                "{line} HTTP/1.1\r\nhost: example.org\r\naccept: {MEDIA_TYPE}\r\n\
                 content-type: {MEDIA_TYPE}\r\nauthorization: {token}\r\n\
                 idempotency-key: round {round}\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            ))
            .await;
            wire.reply().await.expect("an answer")
        };
        let (a, b, c) = tokio::join!(send(&nodes[0]), send(&nodes[1]), send(&nodes[2]));
        let replies = [a, b, c];
        let bodies: HashSet<&str> = replies.iter().map(|reply| reply.body.as_str()).collect();
        assert_eq!(bodies.len(), 1, "{replies:?}");
        assert!(replies.iter().all(|reply| reply.status == 201), "{replies:?}");
        let replayed = replies.iter().filter(|reply| reply.header("idempotent-replayed") == "true");
        assert_eq!(replayed.count(), 2, "{replies:?}");
    }
    assert_eq!(here.database().value::<i64>("SELECT count(*) FROM payments"), rounds);
    proof::verify(here.database());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_that_start_at_once_on_an_empty_database_agree() {
    let here = Here::on_postgres();
    let starting: Vec<_> = (0..5)
        .map(|_| {
            // Without a password for the first operator: one node makes one and tells it.
            let command = here.command(&["serve"]);
            std::thread::spawn(move || Program::start(command))
        })
        .collect();
    let nodes: Vec<Program> = block_in_place(|| {
        starting.into_iter().map(|thread| thread.join().expect("a node that serves")).collect()
    });
    let database = here.database();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM operators"), 1);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM settings WHERE name = 'secret'"), 1);
    // One secret: a token of any is good at all.
    let token = block_in_place(|| here.run(&["token", "admin"])).well();
    for node in &nodes {
        let reply = ask(node.address, "GET /api/rest/admin/accounts", token.trim(), "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let complaints: Vec<String> = block_in_place(|| {
        let program = |node: Program| node.end("TERM").1;
        nodes.into_iter().map(program).collect()
    });
    let passwords: Vec<&str> = complaints
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("    ").map(str::trim))
        .collect();
    assert_eq!(passwords.len(), 1, "one node tells the password: {complaints:?}");
    assert!(complaints.iter().all(|text| !text.contains("ERROR")), "{complaints:?}");
    let node = node(&here);
    let token = sign_in(node.address, "admin", passwords[0]).await.expect("a token");
    assert_eq!(ask(node.address, "GET /api/rest/admin/accounts", &token, "").await.status, 200);
}

#[test]
fn commands_that_start_at_once_on_a_missing_file_all_do_their_work() {
    let here = Here::with_file();
    let running: Vec<_> = (0..8)
        .map(|number| {
            let command = here.command(&["admin", "add", &format!("ann {number}")]);
            std::thread::spawn(move || run(command, "a good password\n"))
        })
        .collect();
    for command in running {
        command.join().unwrap().well();
    }
    assert_eq!(here.database().value::<i64>("SELECT count(*) FROM operators"), 8);
    assert_eq!(here.database().value::<i64>("SELECT count(*) FROM settings"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_the_old_one_and_its_tokens_on_every_node_within_two_seconds() {
    let here = Here::on_postgres();
    let nodes = nodes(&here, 3);
    let list = "GET /api/rest/admin/accounts";
    let status =
        async |node: &Program, token: &str| ask(node.address, list, token, "").await.status;
    let mut tokens = Vec::new();
    for node in &nodes {
        tokens.push(token(node).await);
    }
    // Every node has the operator in its copy, fresh.
    for (node, token) in nodes.iter().zip(tokens.iter().rev()) {
        assert_eq!(status(node, token).await, 200);
    }
    let new = "another password";
    let command = here.command(&["admin", "passwd", "admin"]);
    block_in_place(|| run(command, &format!("{new}\n"))).well();
    let changed_at = Instant::now();
    // Sign-in knows at once, and so do the new tokens, everywhere.
    for node in &nodes {
        assert_eq!(sign_in(node.address, "admin", PASSWORD).await, None);
    }
    let fresh = sign_in(nodes[1].address, "admin", new).await.expect("a token");
    // Requests meanwhile do not keep the copy alive.
    while changed_at.elapsed() < OPERATORS_KEPT {
        for node in &nodes {
            status(node, &tokens[0]).await;
            assert_eq!(status(node, &fresh).await, 200);
        }
    }
    for node in &nodes {
        for old in &tokens {
            assert_eq!(status(node, old).await, 401);
        }
        assert_eq!(status(node, &fresh).await, 200);
    }
    // A disabled operator, the same.
    block_in_place(|| here.run(&["admin", "disable", "admin"])).well();
    let disabled_at = Instant::now();
    while disabled_at.elapsed() < OPERATORS_KEPT {
        status(&nodes[0], &fresh).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for node in &nodes {
        assert_eq!(status(node, &fresh).await, 401);
        assert_eq!(sign_in(node.address, "admin", new).await, None);
    }
}
