//! PostgreSQL goes away under load and comes back: requests in between are told so, the process
//! lives and goes on by itself, and nothing that was acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use decimal::Decimal;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::own_cluster::{NAME, OwnCluster, PASSWORD};
use crate::program::{Program, open_accounts, run, tollkeeper};
use crate::support::{MEDIA_TYPE, Reply, client, linkage};

const CLIENTS: usize = 8;
/// What each payment pays.
const AMOUNT: &str = "1.5";
/// How long the server may take to find the database again.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// What all clients share.
struct Load {
    client: reqwest::Client,
    origin: String,
    token: String,
    accounts: Vec<String>,
    is_over: AtomicBool,
    acknowledged: AtomicUsize,
    turned_away: AtomicUsize,
}

impl Load {
    async fn get(&self, path: &str) -> Reply {
        let request = self.client.get(format!("{}{path}", self.origin));
        let request = request.header("authorization", &self.token).header("accept", MEDIA_TYPE);
        Reply::to(request).await.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    async fn total(&self, kind: &str) -> u64 {
        let reply = self.get(&format!("/api/rest/admin/{kind}?page[size]=1")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["meta"]["total-count"].as_u64().unwrap()
    }

    /// Pays until the load is over, each payment until it is acknowledged; says how many.
    async fn pay(self: Arc<Self>, number: usize) -> usize {
        let mut paid = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let account = &self.accounts[(number + paid) % self.accounts.len()];
            let key = format!("{number}-{paid}");
            let data = json!({
                "type": "payments",
                "attributes": {"amount": AMOUNT, "external-id": key},
                "relationships": {"account": linkage("accounts", account)},
            });
            let body = json!({ "data": data }).to_string();
            while !self.is_acknowledged(&key, &body).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            paid += 1;
        }
        paid
    }

    async fn is_acknowledged(&self, key: &str, body: &str) -> bool {
        let url = format!("{}/api/rest/admin/payments", self.origin);
        let request = self.client.request(Method::POST, url).body(body.to_owned());
        let request = request.header("content-type", MEDIA_TYPE).header("accept", MEDIA_TYPE);
        let request = request.header("authorization", &self.token).header("idempotency-key", key);
        let reply = Reply::to(request).await.expect("the process lives, and answers");
        match reply.status {
            201 => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                true
            }
            503 => {
                assert_eq!(reply.header("retry-after"), "1", "{reply:?}");
                assert_eq!(reply.header("content-type"), MEDIA_TYPE, "{reply:?}");
                assert_eq!(reply.json()["errors"][0]["status"], "503", "{reply:?}");
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                false
            }
            _ => panic!("{reply:?}"),
        }
    }

    /// Waits until so many more payments are acknowledged; says how long that took.
    async fn goes_on(&self, more: usize) -> Duration {
        let (began, before) = (Instant::now(), self.acknowledged.load(Ordering::Relaxed));
        while self.acknowledged.load(Ordering::Relaxed) < before + more {
            assert!(began.elapsed() < RECOVERY_MAX, "it does not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_database_under_load_loses_nothing() {
    let mut cluster = OwnCluster::start();
    let directory = tempfile::tempdir().unwrap();
    let url = cluster.url("127.0.0.1", NAME, "");
    let command = |arguments: &[&str]| {
        let mut command = tollkeeper(directory.path(), arguments);
        command.env("TOLLKEEPER_DATABASE_URL", &url).env("TOLLKEEPER_LOG", "warn");
        command
    };
    run(command(&["admin", "add", "ann"]), "a good password\n").well();
    let token = run(command(&["token", "ann", "--token-lifetime-secs", "0"]), "").well();
    let token = token.trim().to_owned();
    let program = Program::start(command(&["serve", "--token-lifetime-secs", "0"]));
    let accounts: Vec<Value> = (0..5).map(|n| json!({"name": format!("a{n}")})).collect();
    let accounts = open_accounts(program.address, &token, accounts).await;
    let load = Arc::new(Load {
        client: client(),
        origin: format!("http://{}", program.address),
        token,
        accounts,
        is_over: AtomicBool::new(false),
        acknowledged: AtomicUsize::new(0),
        turned_away: AtomicUsize::new(0),
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(Arc::clone(&load).pay(number));
    }
    load.goes_on(20).await;
    let before = load.get("/readyz").await;
    assert_eq!((before.status, before.body.as_str()), (200, "ready\n"));

    // A restart, which takes a moment, and an outage, which takes longer.
    for away in [Duration::ZERO, Duration::from_secs(2)] {
        cluster.crash();
        let ended = Instant::now();
        let mut is_first = true;
        while ended.elapsed() < away {
            let healthy = load.get("/healthz").await;
            assert_eq!((healthy.status, healthy.body.as_str()), (200, "ok\n"));
            let ready = load.get("/readyz").await;
            assert_eq!(ready.status, 503, "{ready:?}");
            assert!(ready.body.starts_with("the database does not answer: "), "{ready:?}");
            // The first may have been asked by a connection that was being lost.
            let is_lost = is_first && ready.body.contains("reset by peer");
            assert!(is_lost || ready.body.contains("refused"), "{ready:?}");
            assert_eq!(ready.body.lines().count(), 1, "{ready:?}");
            assert!(!ready.body.contains(PASSWORD), "{ready:?}");
            let list = load.get("/api/rest/admin/accounts").await;
            assert_eq!((list.status, list.header("retry-after")), (503, "1"), "{list:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            is_first = false;
        }
        cluster.run(&[]);
        let took = load.goes_on(20).await;
        println!("went on after {took:?}");
        let ready = load.get("/readyz").await;
        assert_eq!(ready.status, 200, "{ready:?}");
    }
    load.is_over.store(true, Ordering::Relaxed);
    let paid: usize = clients.join_all().await.into_iter().sum();
    let turned_away = load.turned_away.load(Ordering::Relaxed);
    println!("{paid} payments, {turned_away} times turned away");
    assert!(turned_away > 0);

    assert_eq!(load.total("payments").await, paid as u64);
    assert_eq!(load.total("journal-entries").await, paid as u64);
    let reply = load.get("/api/rest/admin/accounts").await.json();
    let accounts = reply["data"].as_array().unwrap().iter();
    let balances = accounts.map(|account| account["attributes"]["balance"].as_str().unwrap());
    let sum = balances
        .fold(Decimal::ZERO, |sum, balance| sum.checked_add(balance.parse().unwrap()).unwrap());
    let each: Decimal = AMOUNT.parse().unwrap();
    assert_eq!(sum.units(), each.units() * i128::try_from(paid).unwrap());
    let (status, complaints) = program.end("TERM");
    assert!(status.success(), "{complaints}");
    assert!(!complaints.contains(PASSWORD), "{complaints}");
    assert!(complaints.lines().count() < 200, "{complaints}");
    let verified = run(command(&["verify"]), "").well();
    assert!(verified.contains(&format!("Checked {paid} entries")), "{verified}");
}
