//! The primary is lost, or turns into something that takes no writes: what was acknowledged stays,
//! what was not is made once by a retry, and the nodes find the new primary by themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use decimal::Decimal;
use serde_json::json;
use tokio::task::JoinSet;

use crate::clusters::{Cluster, Pair};
use crate::movements::{Movement, Wish};
use crate::program::{Program, ask, open_accounts, run, tollkeeper};
use crate::support::{Reply, client};

const NODES: usize = 2;
const CLIENTS_OF_A_NODE: usize = 8;
/// Half of the clients pay to the first.
const ACCOUNTS: usize = 9;
/// How long the nodes may take from the promotion of the standby to the first payment.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// How long a client tries.
const PATIENCE: Duration = Duration::from_mins(1);

/// An installation on databases of PostgreSQL.
struct Installation {
    directory: tempfile::TempDir,
    url: String,
    token: String,
}

impl Installation {
    /// A database with an operator.
    fn at(url: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let add = ["admin", "add", "ann", "--database-url", &url];
        run(tollkeeper(directory.path(), &add), "a good password\n").well();
        let token = ["token", "ann", "--token-lifetime-secs", "0", "--database-url", &url];
        let token = run(tollkeeper(directory.path(), &token), "").well().trim().to_owned();
        Self { directory, url, token }
    }

    fn serve(&self) -> Program {
        let arguments = ["serve", "--token-lifetime-secs", "0", "--log", "warn"];
        let url = ["--database-url", &self.url];
        Program::start(tollkeeper(self.directory.path(), &[&arguments[..], &url].concat()))
    }

    fn verify(&self) {
        let verify = ["verify", "--database-url", &self.url];
        let said = run(tollkeeper(self.directory.path(), &verify), "").well();
        assert!(said.contains(" 0 faults."), "{said}");
    }

    /// Opens accounts: their ids.
    async fn furnish(&self, node: &Program) -> Arc<[i64]> {
        let accounts = (0..ACCOUNTS).map(|at| json!({"name": format!("a{at}")})).collect();
        let ids = open_accounts(node.address, &self.token, accounts).await;
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }

    /// A client of one node.
    fn client(&self, node: &Program, accounts: &Arc<[i64]>) -> Client {
        Client {
            accounts: Arc::clone(accounts),
            http: client(),
            origin: format!("http://{}", node.address),
            token: self.token.clone(),
        }
    }
}

#[derive(Clone)]
struct Client {
    accounts: Arc<[i64]>,
    http: reqwest::Client,
    origin: String,
    token: String,
}

/// A payment that was acknowledged.
struct Paid {
    payment: Movement,
    amount: Decimal,
    at: Instant,
    /// How often the client was told to try again.
    refusals: usize,
    /// Whether it had been made by an earlier try, whose answer was lost.
    was_known: bool,
}

impl Client {
    async fn get(&self, path: &str) -> Reply {
        let request = self.http.get(format!("{}{path}", self.origin));
        Reply::to(request.header("authorization", &self.token)).await.unwrap()
    }

    /// Sends a payment, under the same key again and again, until it is acknowledged.
    async fn pay(&self, mark: String, account: i64, units: i64) -> Paid {
        let amount: Decimal = units.to_string().parse().unwrap();
        // Without an external id, nothing but the key tells a retry from another payment.
        let external_id = (units % 2 == 0).then(|| mark.clone());
        let payment =
            Movement { account, wish: Wish::Pay(amount, external_id), mark, is_keyed: true };
        let (started, mut refusals) = (Instant::now(), 0);
        loop {
            assert!(started.elapsed() < PATIENCE, "refused {refusals} times: {payment:?}");
            let request = payment.request(&self.http, &self.origin, &self.token);
            let reply = Reply::to(request).await.expect("the node answers");
            if reply.status == 201 {
                let was_known = reply.header("idempotent-replayed") == "true";
                return Paid { payment, amount, at: Instant::now(), refusals, was_known };
            }
            is_told_to_wait(&reply);
            refusals += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Checks that the client may try again, and when.
#[track_caller]
fn is_told_to_wait(reply: &Reply) {
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{reply:?}");
    assert_eq!(reply.errors().len(), 1, "{reply:?}");
}

/// Clients that pay until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinSet<Vec<Paid>>>,
}

impl Load {
    fn start(nodes: &[Client]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = nodes.iter().enumerate().map(|(node, client)| {
            let clients = (0..CLIENTS_OF_A_NODE).map(|number| {
                let (client, stop) = (client.clone(), Arc::clone(&stop));
                async move {
                    let mut paid = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let count = paid.len();
                        let at = if number % 2 == 0 { 0 } else { 1 + count % (ACCOUNTS - 1) };
                        let mark = format!("{node}-{number}-{count}");
                        let units = 1 + i64::try_from(count).unwrap() % 1000;
                        paid.push(client.pay(mark, client.accounts[at], units).await);
                    }
                    paid
                }
            });
            clients.collect()
        });
        let clients = clients.collect();
        Self { stop, clients }
    }

    /// What was paid, by node.
    async fn stop(self) -> Vec<Vec<Paid>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut paid = Vec::new();
        for clients in self.clients {
            paid.push(clients.join_all().await.into_iter().flatten().collect());
        }
        paid
    }
}

/// Checks that a cluster holds each of these payments once, and nothing else.
#[track_caller]
fn holds(cluster: &Cluster, paid: &[&Paid]) {
    let mut expected = HashMap::new();
    let mut balances: HashMap<i64, Decimal> = HashMap::new();
    for paid in paid {
        let account = paid.payment.account;
        let is_new = expected.insert(paid.payment.mark.as_str(), (account, paid.amount)).is_none();
        assert!(is_new, "{:?}", paid.payment);
        let balance = balances.entry(account).or_insert(Decimal::ZERO);
        *balance = balance.checked_add(paid.amount).unwrap();
    }
    let entries = cluster.sql(&["SELECT request_id, account_id, amount FROM journal_entries"]);
    for entry in entries.lines() {
        let [mark, account, amount] = entry.split('|').collect::<Vec<_>>()[..] else {
            panic!("{entry}");
        };
        let found = (account.parse().unwrap(), amount.parse().unwrap());
        assert_eq!(expected.remove(mark), Some(found), "twice, or nobody's: {entry}");
    }
    assert!(expected.is_empty(), "lost: {expected:?}");
    let rows = cluster.sql(&["SELECT count(*) FROM payments"]);
    assert_eq!(rows, paid.len().to_string());
    for account in cluster.sql(&["SELECT id, balance FROM accounts"]).lines() {
        let (id, balance) = account.split_once('|').unwrap();
        let expected = balances.get(&id.parse().unwrap()).copied().unwrap_or(Decimal::ZERO);
        assert_eq!(balance.parse(), Ok(expected), "account {id}");
    }
}

/// Waits until a node says that no server takes its writes.
async fn finds_no_primary(client: &Client) {
    let started = Instant::now();
    loop {
        let ready = client.get("/readyz").await;
        // The first to ask may be told that the connection, of before, is gone. Then all servers
        // are tried, and the last one says why not.
        if ready.status == 503 && ready.body.contains("database does not allow writes") {
            assert!(ready.body.starts_with("the database does not answer: "), "{ready:?}");
            return;
        }
        assert!(started.elapsed() < RECOVERY_MAX, "{ready:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How long both nodes take until they say that they are ready.
async fn recovery(clients: &[Client]) -> Duration {
    let started = Instant::now();
    for client in clients {
        while client.get("/readyz").await.status != 200 {
            assert!(started.elapsed() < RECOVERY_MAX, "a node is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_primary_dies_nothing_acknowledged_is_lost_and_nothing_is_made_twice() {
    let mut pair = Pair::start();
    pair.synchronise();
    let here = Installation::at(Pair::url(&pair.primary, &pair.standby));
    let nodes = [here.serve(), here.serve()];
    let accounts = here.furnish(&nodes[0]).await;
    let clients: Vec<Client> = nodes.iter().map(|node| here.client(node, &accounts)).collect();
    let load = Load::start(&clients);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    pair.primary.kill();
    let killed = Instant::now();
    for client in &clients {
        assert_eq!(client.get("/readyz").await.status, 503);
        finds_no_primary(client).await;
        for path in ["accounts", &format!("accounts/{}", accounts[0])] {
            is_told_to_wait(&client.get(&format!("/api/rest/admin/{path}")).await);
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.standby.promote();
    let promoted = Instant::now();
    let ready = recovery(&clients).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let paid = load.stop().await;
    for (node, paid) in nodes.iter().zip(&paid) {
        let before = paid.iter().filter(|paid| paid.at < killed).count();
        let first = paid.iter().map(|paid| paid.at).filter(|at| *at > promoted).min().unwrap();
        let refused: usize = paid.iter().map(|paid| paid.refusals).sum();
        let known = paid.iter().filter(|paid| paid.was_known).count();
        println!(
            "{before} payments before, {} in all, {refused} times told to try again, {known} of \
             them made already; first payment {:?} after the promotion, ready {ready:?}",
            paid.len(),
            first - promoted,
        );
        assert!(before > 0 && paid.len() > before && refused > 0);
        assert!(first - promoted < RECOVERY_MAX);
        let log = node.said("writes go on");
        assert!(log.contains("writes fail"), "{log}");
    }
    assert_eq!(paid.len(), NODES);
    holds(&pair.standby, &paid.iter().flatten().collect::<Vec<_>>());
    here.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_write_to_no_standby_and_leave_a_primary_that_takes_no_more_writes() {
    let pair = Pair::start();
    pair.synchronise();
    // The standby comes first, and is passed over.
    let here = Installation::at(Pair::url(&pair.standby, &pair.primary));
    let node = here.serve();
    let accounts = here.furnish(&node).await;
    let client = here.client(&node, &accounts);
    let mut paid = Vec::new();
    for (count, account) in accounts.iter().take(8).enumerate() {
        paid.push(client.pay(format!("before-{count}"), *account, 1).await);
    }
    assert!(paid.iter().all(|paid| paid.refusals == 0));

    // Not even a lane that is connected writes there now, nor does anybody find another server.
    pair.primary.set("default_transaction_read_only", "on");
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.pay("meanwhile".to_owned(), client.accounts[0], 1).await })
    };
    finds_no_primary(&client).await;
    assert!(!waiting.is_finished());
    let log = node.said("writes fail");
    assert!(log.contains("read-only transaction"), "{log}");

    // Reading, too, goes to the new primary: at the old one, this payment never comes.
    pair.standby.promote();
    let promoted = Instant::now();
    let meanwhile = waiting.await.unwrap();
    println!("first payment {:?} after the promotion", promoted.elapsed());
    assert!(promoted.elapsed() < RECOVERY_MAX && meanwhile.refusals > 0);
    paid.push(meanwhile);
    let account = client.get(&format!("/api/rest/admin/accounts/{}", accounts[0])).await;
    assert_eq!(account.json()["data"]["attributes"]["balance"], "2.0", "{account:?}");
    assert_eq!(pair.primary.sql(&["SELECT count(*) FROM payments"]), "8");
    holds(&pair.standby, &paid.iter().collect::<Vec<_>>());

    // Whoever ends sessions, or restarts the server, costs a retry and no more.
    let load = Load::start(std::slice::from_ref(&client));
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        pair.standby.sql(&[
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tollkeeper'",
        ]);
    }
    paid.extend(load.stop().await.into_iter().flatten());
    let refused: usize = paid.iter().map(|paid| paid.refusals).sum();
    println!("{} payments, {refused} times told to try again", paid.len());
    holds(&pair.standby, &paid.iter().collect::<Vec<_>>());
    here.verify();
    let ready = ask(node.address, "GET /readyz", "", "").await;
    assert_eq!(ready.status, 200, "{ready:?}");
}
