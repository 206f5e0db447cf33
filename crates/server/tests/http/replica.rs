//! A replica for lists and statements: it may be behind, break off queries, or be away, and no
//! client is refused for it. What is asked for by itself is read from the primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::clusters::{Pair, url, wait_until};
use crate::program::{Program, ask, correct, open_accounts, run, tollkeeper};
use crate::support::{Reply, client, linkage};

/// Rows that make a list take its time.
const ROWS: u32 = 40_000;
/// How often queries must be broken off.
const BREAKS: usize = 5;
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that reads from a replica, and somebody who asks it.
struct Served {
    node: Program,
    token: String,
    http: reqwest::Client,
}

impl Served {
    async fn get(&self, path: &str) -> Reply {
        let url = format!("http://{}/api/rest/admin/{path}", self.node.address);
        let request = self.http.get(url).header("authorization", &self.token);
        Reply::to(request).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// How many accounts the list shows.
    async fn listed(&self) -> usize {
        let list = self.json("accounts").await;
        let count = list["data"].as_array().unwrap().len();
        assert_eq!(list["meta"]["total-count"], count, "{list}");
        count
    }

    async fn open_account(&self, name: &str) -> String {
        let document = json!({"data": {
            "type": "accounts", "attributes": {"name": name},
            "relationships": {"contractor": linkage("contractors", "1")},
        }});
        let line = "POST /api/rest/admin/accounts";
        let reply = ask(self.node.address, line, &self.token, &document.to_string()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["data"]["id"].as_str().unwrap().to_owned()
    }

    /// Lists until the log says this so many times; no list may fail. Says how long that took.
    async fn list_until_said(&self, part: &str, times: usize) -> Duration {
        let started = Instant::now();
        while self.node.said("").matches(part).count() < times {
            assert!(started.elapsed() < PATIENCE, "not {times} times: {part}");
            self.listed().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started.elapsed()
    }
}

/// What the log says when the replica begins to fail.
const FAILS: &str = "the replica fails";
/// What the log says when it is used again.
const AGAIN: &str = "the replica is read again";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_statements_are_read_at_a_replica_that_may_be_behind_broken_or_away() {
    let mut pair = Pair::start();
    let directory = tempfile::tempdir().unwrap();
    // Who reads there may do nothing else.
    pair.primary.sql(&[
        "CREATE ROLE reader LOGIN",
        "ALTER DEFAULT PRIVILEGES FOR ROLE tollkeeper GRANT SELECT ON TABLES TO reader",
    ]);
    pair.wait_for_replay();
    let (primary, replica) = (url("tollkeeper", &pair.primary), url("reader", &pair.standby));
    // The database is there, its tables are not: those are made at the primary, and come later.
    pair.standby.sql(&["SELECT pg_wal_replay_pause()"]);
    let add = ["admin", "add", "ann", "--database-url", &primary];
    run(tollkeeper(directory.path(), &add), "a good password\n").well();
    let token = ["token", "ann", "--token-lifetime-secs", "0", "--database-url", &primary];
    let token = run(tollkeeper(directory.path(), &token), "").well().trim().to_owned();
    let serve = ["serve", "--token-lifetime-secs", "0", "--database-url", &primary];
    let mut serve = tollkeeper(directory.path(), &serve);
    serve.env("TOLLKEEPER_REPLICA_URL", replica);
    let served = Served { node: Program::start(serve), token, http: client() };
    let address = served.node.address;
    let accounts = ["one", "two"].map(|name| json!({ "name": name }));
    open_accounts(address, &served.token, accounts.to_vec()).await;
    for _ in 0..10 {
        assert_eq!(served.listed().await, 2);
    }
    assert_eq!(served.node.said(FAILS).matches(FAILS).count(), 1);
    pair.standby.sql(&["SELECT pg_wal_replay_resume()"]);
    pair.wait_for_replay();
    let took = served.list_until_said(AGAIN, 1).await;
    println!("used {took:?} after it had its tables");

    // Behind.
    pair.standby.sql(&["SELECT pg_wal_replay_pause()"]);
    let third = served.open_account("three").await;
    correct(address, &served.token, "1", "5").await;
    correct(address, &served.token, &third, "7").await;
    assert_eq!(served.listed().await, 2);
    assert_eq!(served.json("accounts/1/statement").await["meta"]["closing-balance"], "0.0");
    let now = "as-of=2999-01-01T00:00:00Z";
    for (id, balance) in [("1", "5.0"), (third.as_str(), "7.0")] {
        for query in ["", now] {
            let shown = served.json(&format!("accounts/{id}?{query}")).await;
            assert_eq!(shown["data"]["attributes"]["balance"], balance, "{shown}");
        }
    }
    // The replica has never heard of this account.
    let statement = served.json(&format!("accounts/{third}/statement")).await;
    assert_eq!(statement["meta"]["closing-balance"], "7.0", "{statement}");
    assert_eq!(statement["data"].as_array().unwrap().len(), 1, "{statement}");
    pair.standby.sql(&["SELECT pg_wal_replay_resume()"]);
    pair.wait_for_replay();
    assert_eq!(served.listed().await, 3);
    assert_eq!(served.json("accounts/1/statement").await["meta"]["closing-balance"], "5.0");

    // Broken off, by what is replayed and by hand.
    pair.primary.sql(&[&format!(
        "INSERT INTO payments (created_at, amount, notes, status, type_name, account_id) \
         SELECT now(), 1, repeat('note ', 20), 'completed', 'manual', 1 \
         FROM generate_series(1, {ROWS})"
    )]);
    pair.standby.set("max_standby_streaming_delay", "0");
    pair.wait_for_replay();
    let served = Arc::new(served);
    let (stop, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let (served, stop, lists) = (Arc::clone(&served), Arc::clone(&stop), Arc::clone(&lists));
        readers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let found = served.json("payments?filter[notes_cont]=nothing").await;
                assert_eq!(found["meta"]["total-count"], 0);
                lists.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let conflict = "due to conflict with recovery";
    let by_hand = "canceling statement due to user request";
    let count = |part| pair.standby.log().matches(part).count();
    let started = Instant::now();
    while count(conflict) < BREAKS || count(by_hand) < BREAKS {
        assert!(started.elapsed() < PATIENCE, "{} {}", count(conflict), count(by_hand));
        pair.primary.sql(&["BEGIN; LOCK TABLE payments IN ACCESS EXCLUSIVE MODE; COMMIT"]);
        pair.standby.sql(&["SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                            WHERE usename = 'reader' AND state = 'active'"]);
    }
    stop.store(true, Ordering::Relaxed);
    readers.join_all().await;
    println!(
        "{} lists, {} broken off by replay, {} by hand",
        lists.load(Ordering::Relaxed),
        count(conflict),
        count(by_hand),
    );
    assert_eq!(served.node.said("").matches(FAILS).count(), 1);

    // Away, and back.
    pair.standby.kill();
    let (started, mut slowest) = (Instant::now(), Duration::ZERO);
    while started.elapsed() < Duration::from_secs(6) {
        let asked = Instant::now();
        assert_eq!(served.listed().await, 3);
        slowest = slowest.max(asked.elapsed());
    }
    println!("without the replica, the slowest list took {slowest:?}");
    assert_eq!(served.node.said("").matches(FAILS).count(), 2);
    pair.standby.start();
    let took = served.list_until_said(AGAIN, 2).await;
    println!("used again {took:?} after it was back");
    wait_until("the standby follows again", || {
        pair.primary.sql(&["SELECT count(*) FROM pg_stat_replication"]) == "1"
    });
    pair.wait_for_replay();
    pair.standby.sql(&["SELECT pg_wal_replay_pause()"]);
    let fourth = served.open_account("four").await;
    assert_eq!(served.listed().await, 3);
    assert_eq!(served.json(&format!("accounts/{fourth}")).await["data"]["id"], fourth.as_str());
    pair.standby.sql(&["SELECT pg_wal_replay_resume()"]);
    pair.wait_for_replay();
    assert_eq!(served.listed().await, 4);
}
