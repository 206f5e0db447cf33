//! SQLite and PostgreSQL give the same answers: two servers get the same generated requests, one
//! after another, and their answers are compared byte by byte, then what is left in the databases.
//!
//! The short form runs everywhere. `DIFF_REQUESTS=50000 cargo test -p tollkeeper --test http
//! differential -- --nocapture` runs longer, `DIFF_SEED` repeats a run.
//!
//! Both servers have the same clock, secret and seed of uuids. Ids are equal, too: PostgreSQL goes
//! first, and where it leaves a gap after a refusal, SQLite is told to leave the same.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use testbed::{Kind, Session, TestDatabase};

use crate::generated::{Generator, Request, walks};
use crate::program::{run, tollkeeper};
use crate::proof;
use crate::support::{Reply, SECRET, Setup, TestApp};

/// Microseconds since 1970 that both servers take for the time.
static NOW: AtomicI64 = AtomicI64::new(1_767_225_600_000_000);

/// Tables whose rows have ids of their own.
const TABLES: &[&str] = &[
    "accounts",
    "audit_records",
    "balance_alerts",
    "balance_notifications",
    "contacts",
    "contractors",
    "events",
    "invoice_templates",
    "journal_closures",
    "journal_entries",
    "payments",
    "services",
    "smtp_connections",
    "transactions",
];

/// Headers that tell how long it took, and when.
const UNLIKE: &[&str] = &["x-runtime", "date"];

/// After so many differences there is enough to look at.
const TOLD_MAX: usize = 12;

/// An import with rows to refuse.
const PAYMENTS: &str = "account-id,amount,external-id,notes\n\
    ACCOUNT,5.5,import-1,\"Straße, \"\"x\"\"\"\n\
    ACCOUNT,0,import-2,\n\
    999999,1,import-3,\n\
    ACCOUNT,1e27,import-4,\n\
    ACCOUNT,7,import-1,again\n\
    ACCOUNT,7,a\u{0}b,\n\
    ACCOUNT,7,import-5,a\u{0}b\n\
    ACCOUNT,-0.000000000001,import-6,\u{1f600}\n";

fn clock() -> Timestamp {
    Timestamp::from_microsecond(NOW.load(Ordering::Relaxed)).unwrap()
}

/// The two servers.
struct Pair {
    sqlite: TestApp,
    postgres: TestApp,
    /// A look into PostgreSQL.
    look: Session,
    /// The highest id that each table has given out.
    last_ids: HashMap<String, i64>,
    asked: usize,
    statuses: HashMap<u16, usize>,
    differences: Vec<String>,
}

impl Pair {
    async fn start() -> Self {
        let start = async |kind| {
            let setup = Setup {
                token_lifetime_secs: 0,
                clock,
                lanes: 1,
                uuid_seed: Some(*b"the seed"),
                ..Setup::default()
            };
            TestApp::start_on(TestDatabase::of(kind), setup).await
        };
        let (sqlite, postgres) = (start(Kind::Sqlite).await, start(Kind::Postgres).await);
        assert_eq!(sqlite.token, postgres.token);
        let look = postgres.database.session();
        let last_ids = TABLES.iter().map(|table| ((*table).to_owned(), 0)).collect();
        let (statuses, differences) = (HashMap::new(), Vec::new());
        Self { sqlite, postgres, look, last_ids, asked: 0, statuses, differences }
    }

    /// Sends a request to both and compares the answers; that of SQLite.
    async fn ask(&mut self, request: &Request) -> Reply {
        self.asked += 1;
        let number = self.asked;
        let postgres = send(&self.postgres, request, number).await;
        if request.writes() {
            self.align_ids();
        }
        let sqlite = send(&self.sqlite, request, number).await;
        *self.statuses.entry(sqlite.status).or_default() += 1;
        if shown(&sqlite) != shown(&postgres) {
            self.differences.push(format!(
                "request {number}: {} {} {:?}\n{:.1500}\nSQLite:     {}\nPostgreSQL: {}\n",
                request.method,
                request.path,
                request.headers,
                request.body,
                near_difference(&shown(&sqlite), &shown(&postgres)),
                near_difference(&shown(&postgres), &shown(&sqlite)),
            ));
            // What is written differently makes all that follows different.
            let is_enough = request.writes() || self.differences.len() >= TOLD_MAX;
            assert!(!is_enough, "{}", self.differences.join("\n"));
        }
        sqlite
    }

    /// Lets SQLite give out the ids that PostgreSQL has just given out.
    fn align_ids(&mut self) {
        let parts: Vec<String> = self
            .last_ids
            .iter()
            .map(|(table, last)| {
                format!(
                    "SELECT '{table}' AS name, min(id) AS first, max(id) AS last, count(*) AS rows \
                     FROM {table} WHERE id > {last} HAVING count(*) > 0"
                )
            })
            .collect();
        for row in self.look.rows(&parts.join(" UNION ALL ")) {
            let (table, first, last): (String, i64, i64) =
                (row.get("name"), row.get("first"), row.get("last"));
            assert_eq!(last - first + 1, row.get::<i64>("rows"), "ids of one request in {table}");
            let before = self.last_ids.insert(table.clone(), last).unwrap();
            if first != before + 1 {
                self.sqlite.database.set_next_id(&table, first);
            }
        }
    }

    /// Follows a list to its end, and back where there is a way.
    async fn walk(&mut self, first: &Request) {
        const STEPS_MAX: usize = 100;
        let mut request = first.clone();
        for _ in 0..STEPS_MAX {
            let reply = self.ask(&request).await;
            assert_eq!(reply.status, 200, "{request:?} {}", reply.body);
            let backwards = first.path.ends_with("page[before]=");
            let json = reply.json();
            let next = &json["links"][if backwards { "prev" } else { "next" }];
            let path = next.as_str().and_then(|url| url.split_once("/api/rest/admin"));
            let Some((_, path)) = path else { return };
            request = Request::get(path);
        }
    }

    /// Runs a command on both databases and compares what it prints.
    async fn run(&mut self, arguments: &'static [&str], input: &str) {
        let mut printed = Vec::new();
        for app in [&self.sqlite, &self.postgres] {
            let mut command = tollkeeper(app.directory(), arguments);
            command.env("TOLLKEEPER_DATABASE_URL", app.database.url());
            command.env("TOLLKEEPER_SECRET", SECRET);
            let input = input.to_owned();
            let ended = tokio::task::spawn_blocking(move || run(command, &input)).await.unwrap();
            printed.push(format!("{:?} {} {}", ended.code, ended.out, ended.err));
        }
        println!("{arguments:?}: {}", printed[0]);
        assert_eq!(printed[0], printed[1], "{arguments:?}");
    }
}

async fn send(app: &TestApp, request: &Request, number: usize) -> Reply {
    let number = number.to_string();
    let mut headers = vec![
        ("host", "tollkeeper.test"),
        ("authorization", app.token.as_str()),
        ("x-request-id", number.as_str()),
    ];
    headers.extend(request.headers.iter().map(|(name, value)| (*name, value.as_str())));
    // A path that begins with `//` is taken from the root.
    app.send(request.method, &format!("/{}", request.path), &headers, request.body.clone()).await
}

/// Status, headers and body as text.
fn shown(reply: &Reply) -> String {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| !UNLIKE.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    format!("{}\n{}\n{}", reply.status, headers.join("\n"), reply.body)
}

/// The status, and what is around the first difference from `other`.
fn near_difference(shown: &str, other: &str) -> String {
    let at = shown.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let status: String = shown.chars().take(3).collect();
    let part: String = shown.chars().skip(at.saturating_sub(100)).take(400).collect();
    format!("{status} …{part}…")
}

/// A number from the environment, for long runs by hand.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

#[tokio::test]
async fn sqlite_and_postgresql_give_the_same_answers() {
    let seed = setting("DIFF_SEED", 4);
    let requests = setting("DIFF_REQUESTS", 2_000);
    println!("DIFF_SEED={seed} DIFF_REQUESTS={requests}");
    let mut pair = Pair::start().await;
    let mut generator = Generator::new(seed);
    for _ in 0..requests {
        // Time stands still, creeps and leaps.
        let passed = [0, 0, 1, 999, 1_000, 1_000_000, 86_400_000_000][generator.below(7)];
        NOW.fetch_add(passed, Ordering::Relaxed);
        let request = generator.next();
        let reply = pair.ask(&request).await;
        assert!(reply.status < 500, "{request:?} {reply:?}");
        generator.learn(&request, &reply);
    }
    for request in generator.sweep() {
        let reply = pair.ask(&request).await;
        assert!([200, 400, 414].contains(&reply.status), "{request:?} {reply:?}");
    }
    for first in walks() {
        pair.walk(&first).await;
    }
    let told = pair.differences.iter().fold(String::new(), |mut told, difference| {
        let _ = writeln!(told, "{difference}");
        told
    });
    assert!(told.is_empty(), "DIFF_SEED={seed} DIFF_REQUESTS={requests}\n{told}");

    proof::verify(&pair.sqlite.database);
    proof::verify(&pair.postgres.database);
    pair.run(&["verify"], "").await;
    let account = pair.sqlite.ids("/accounts?sort=id&page[size]=1").await.remove(0);
    let rows = PAYMENTS.replace("ACCOUNT", &account);
    pair.run(&["import", "payments", "-", "--dry-run"], &rows).await;
    pair.run(&["import", "payments", "-"], &rows).await;
    pair.run(&["verify"], "").await;
    let mut statuses: Vec<_> = pair.statuses.into_iter().collect();
    statuses.sort_unstable();
    println!("{} requests, answers by status: {statuses:?}", pair.asked);
    let writes: usize = statuses
        .iter()
        .filter(|(status, _)| [201, 204].contains(status))
        .map(|(_, count)| count)
        .sum();
    assert!(writes > 200, "too little was written: {statuses:?}");
}
