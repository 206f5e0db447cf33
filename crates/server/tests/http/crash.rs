//! Sudden deaths in the middle of work: what was acknowledged is there once, what was not is there
//! once or not at all, never by half, and a retry makes it once. The short form kills the server
//! a few times; `CRASH_ROUNDS=30 cargo test -p tollkeeper --test http crash -- --nocapture` does so
//! thirty times and prints figures. `CRASH_SEED` repeats the requests of a run, though no two runs
//! interleave alike. A killed process leaves all that it wrote to the operating system; what a
//! power failure leaves is not tried here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use decimal::Decimal;
use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::TestDatabase;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::builders::external_id;
use crate::movements::{Movement, Wish, reckon};
use crate::program::{Here, Program};
use crate::proof::{entries, verify};
use crate::support::{Reply, client, linkage};

const CONNECTIONS: u64 = 24;
const ACCOUNTS: usize = 3;
/// How long the work goes on, at most, before the server dies.
const WORK_MILLIS_MAX: u64 = 400;

/// An installation whose server dies again and again.
struct Mortal {
    here: Here,
    token: String,
    client: reqwest::Client,
}

impl Mortal {
    /// A database with an operator.
    fn new() -> Self {
        let here = Here::new();
        here.run_with(&["admin", "add", "ann"], "a good password\n").well();
        let lifetime = ["token", "ann", "--token-lifetime-secs", "0"];
        let token = here.run(&lifetime).well().trim().to_owned();
        Self { here, token, client: client() }
    }

    fn database(&self) -> &TestDatabase {
        self.here.database()
    }

    fn serve(&self) -> Program {
        let arguments = ["serve", "--token-lifetime-secs", "0", "--log", "warn"];
        Program::start(self.here.command(&arguments))
    }

    fn client(&self, program: &Program) -> Client {
        let origin = format!("http://{}", program.address);
        Client { http: self.client.clone(), origin, token: self.token.clone() }
    }
}

/// Whoever talks to one life of the server.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    origin: String,
    token: String,
}

impl Client {
    /// The answer, if there is a whole one.
    async fn ask(&self, movement: &Movement) -> Option<Reply> {
        Reply::to(movement.request(&self.http, &self.origin, &self.token)).await.ok()
    }

    /// Sends a document; the id of what it is about.
    async fn send(&self, method: Method, path: &str, data: Value) -> i64 {
        let request = self.http.request(method, format!("{}/api/rest/admin/{path}", self.origin));
        let request = request.header("content-type", "application/vnd.api+json");
        let request = request.header("authorization", &self.token);
        let reply = Reply::to(request.body(json!({ "data": data }).to_string())).await.unwrap();
        assert!([200, 201].contains(&reply.status), "{reply:?}");
        reply.json()["data"]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Accounts that are told of thresholds now and then; their ids.
    async fn furnish(&self) -> Vec<i64> {
        let contractor = json!({"name": "c", "enabled": true, "vendor": true, "customer": true});
        let contractor = json!({"type": "contractors", "attributes": contractor});
        let contractor = self.send(Method::POST, "contractors", contractor).await.to_string();
        let mut ids = Vec::new();
        for number in 0..ACCOUNTS {
            let attributes = json!({
                "name": format!("a{number}"),
                "balance-low-threshold": "-20", "balance-high-threshold": "20",
            });
            let links = json!({"contractor": linkage("contractors", &contractor)});
            let data =
                json!({"type": "accounts", "attributes": attributes, "relationships": links});
            let id = self.send(Method::POST, "accounts", data).await;
            let attributes = json!({"external-id": external_id(id)});
            let data = json!({"type": "accounts", "id": id.to_string(), "attributes": attributes});
            ids.push(self.send(Method::PATCH, &format!("accounts/{id}"), data).await);
        }
        ids
    }
}

/// Payments that may be rolled back: account, id and amount.
type Paid = Arc<Mutex<Vec<(i64, String, Decimal)>>>;

/// One connection's requests.
struct Worker {
    name: String,
    dice: TestRng,
    accounts: Vec<i64>,
    paid: Paid,
    sent: u32,
}

fn dice(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

impl Worker {
    fn next(&mut self) -> Movement {
        self.sent += 1;
        let mark = format!("{}-{}", self.name, self.sent);
        let account = self.accounts[self.dice.random_range(0..ACCOUNTS)];
        let units = self.dice.random_range(1..=10_i128.pow(13));
        let amount = Decimal::from_units(if self.dice.random() { units } else { -units }).unwrap();
        let is_keyed = self.dice.random();
        let (account, wish) = match self.dice.random_range(0..100) {
            0..15 => (account, Wish::Correct(amount)),
            15..30 => (account, Wish::Charge(amount)),
            30..50 => match self.any_paid() {
                Some((account, payment, amount)) => (account, Wish::RollBack(payment, amount)),
                None => (account, Wish::Correct(amount)),
            },
            _ => (account, Wish::Pay(amount, Some(mark.clone()))),
        };
        Movement { account, wish, mark, is_keyed }
    }

    /// A payment to roll back; some are left for others, who will try the same.
    fn any_paid(&mut self) -> Option<(i64, String, Decimal)> {
        let mut paid = self.paid.lock().unwrap();
        let picked = (!paid.is_empty()).then(|| self.dice.random_range(0..paid.len()))?;
        if self.dice.random_range(0..4) == 0 {
            return Some(paid[picked].clone());
        }
        Some(paid.swap_remove(picked))
    }

    /// Asks until there is no answer. Returns what was answered, and what was not.
    async fn work(mut self, client: Client, answered: Arc<Notify>) -> (Vec<Done>, Movement) {
        let mut done = Vec::new();
        loop {
            let movement = self.next();
            let Some(reply) = client.ask(&movement).await else { return (done, movement) };
            let is_done = movement.is_done(&reply);
            if let (Wish::Pay(amount, _), true) = (&movement.wish, is_done) {
                let id = reply.json()["data"]["id"].as_str().unwrap().to_owned();
                self.paid.lock().unwrap().push((movement.account, id, *amount));
            }
            done.push((movement, is_done));
            answered.notify_one();
        }
    }
}

/// A request whose end is known: it was done, or was refused.
type Done = (Movement, bool);

/// What all lives together came to.
#[derive(Default)]
struct Ledger {
    settled: Vec<Done>,
    figures: Figures,
}

#[derive(Debug, Default)]
struct Figures {
    acknowledged: usize,
    in_flight: usize,
    in_flight_kept: usize,
    in_flight_lost: usize,
    retried: usize,
    recognised: usize,
}

impl Ledger {
    /// How many entries each mark has; each settled request has one if it was done, else none,
    /// and each other request has at most one.
    fn check(&self, database: &TestDatabase, open: &[Movement]) -> HashMap<String, usize> {
        verify(database);
        let entries = entries(&database.session());
        let settled = self.settled.iter().map(|(movement, _)| movement);
        let (counts, _) = reckon(&entries, settled.chain(open));
        let count = |movement: &Movement| counts.get(movement.mark.as_str()).copied();
        for (movement, is_done) in &self.settled {
            assert_eq!(count(movement).unwrap_or(0), usize::from(*is_done), "{movement:?}");
        }
        for movement in open {
            assert!(count(movement).unwrap_or(0) <= 1, "{movement:?}");
        }
        counts.into_iter().map(|(mark, count)| (mark.to_owned(), count)).collect()
    }

    /// Asks again for what was not answered: whatever carries a key, and whatever cannot be done
    /// twice because of what it is. The rest stays as the crash left it.
    async fn retry(&mut self, database: &TestDatabase, client: &Client, open: Vec<Movement>) {
        let kept = self.check(database, &open);
        for movement in open {
            let was_done = kept.contains_key(&movement.mark);
            self.figures.in_flight_kept += usize::from(was_done);
            self.figures.in_flight_lost += usize::from(!was_done);
            let is_unique = matches!(movement.wish, Wish::Pay(..) | Wish::RollBack(..));
            if !movement.is_keyed && !is_unique {
                self.settled.push((movement, was_done));
                continue;
            }
            let reply = client.ask(&movement).await.expect("an answer");
            let is_done = movement.is_done(&reply);
            self.figures.retried += 1;
            if movement.is_keyed {
                // A kept answer may also be a refusal, which left no entry.
                let is_replay = reply.header("idempotent-replayed") == "true";
                assert_eq!(was_done, is_replay && is_done, "{movement:?} {reply:?}");
                self.figures.recognised += usize::from(is_replay);
            } else {
                assert!(!(was_done && is_done), "{movement:?} was done twice: {reply:?}");
            }
            self.settled.push((movement, was_done || is_done));
        }
        self.check(database, &[]);
    }
}

/// Keeps every connection busy for a random while, then kills the server. Returns what was
/// answered, and what was not.
async fn work_until_death(
    client: &Client,
    program: Program,
    (seed, round): (u64, u64),
    (accounts, paid): (&[i64], &Paid),
) -> (Vec<Done>, Vec<Movement>) {
    let answered = Arc::new(Notify::new());
    let workers: JoinSet<_> = (0..CONNECTIONS)
        .map(|number| {
            let name = format!("{round}-{number}");
            let dice = dice(seed ^ (round << 32) ^ (number << 16));
            let (accounts, paid) = (accounts.to_vec(), Arc::clone(paid));
            let worker = Worker { name, dice, accounts, paid, sent: 0 };
            worker.work(client.clone(), Arc::clone(&answered))
        })
        .collect();
    answered.notified().await;
    let millis = dice(seed ^ (round << 32) ^ u64::MAX).random_range(0..WORK_MILLIS_MAX);
    tokio::time::sleep(Duration::from_millis(millis)).await;
    let killed = tokio::task::spawn_blocking(move || program.end("KILL"));
    let (done, open): (Vec<_>, Vec<_>) = workers.join_all().await.into_iter().unzip();
    let (status, complaints) = killed.await.unwrap();
    assert_eq!((status.code(), complaints.as_str()), (None, ""));
    (done.concat(), open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_nothing_by_half_and_loses_nothing_acknowledged() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let rounds = number("CRASH_ROUNDS").unwrap_or(5);
    let seed = number("CRASH_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    println!("CRASH_SEED={seed}");
    let started = Instant::now();
    let mortal = Mortal::new();
    let paid = Paid::default();
    let mut ledger = Ledger::default();
    let mut program = mortal.serve();
    let accounts = mortal.client(&program).furnish().await;
    for round in 0..rounds {
        let client = mortal.client(&program);
        let (done, open) =
            work_until_death(&client, program, (seed, round), (&accounts, &paid)).await;
        // The server was never idle: no connection has an answer to its last request.
        assert_eq!(open.len() as u64, CONNECTIONS);
        ledger.figures.acknowledged += done.len();
        ledger.figures.in_flight += open.len();
        ledger.settled.extend(done);
        program = mortal.serve();
        mortal.here.run(&["verify"]).well();
        ledger.retry(mortal.database(), &mortal.client(&program), open).await;
        println!("{round}: {:?} after {:?}", ledger.figures, started.elapsed());
    }
    let figures = &ledger.figures;
    assert_eq!(figures.in_flight_kept + figures.in_flight_lost, figures.in_flight);
    assert!(figures.acknowledged as u64 >= rounds, "{figures:?}");
    assert!(program.end("TERM").0.success());
    verify(mortal.database());
    mortal.here.run(&["verify"]).well();
}
