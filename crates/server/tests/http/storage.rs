//! A disk without room and a database file that is moved away, under the running binary. These are
//! about SQLite's file, so they use one in the run for PostgreSQL, too.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::json;
use tokio::task::JoinSet;

use crate::program::{Here, Program, ask, count, tollkeeper_after};
use crate::support::{MEDIA_TYPE, Reply, linkage};

/// Writes that are refused one after another.
const REFUSED: usize = 30;
/// What an outage may add to the log, in lines, however many writes it refuses.
const LINES_MAX: usize = 20;

/// A server with one contractor, and what it has acknowledged.
struct Books {
    here: Here,
    program: Program,
    token: String,
    names: BTreeSet<String>,
    tried: usize,
}

impl Books {
    /// Starts a server in a shell that does `first` before.
    async fn kept_after(first: &str) -> Self {
        let here = Here::with_file();
        let program = Program::start(tollkeeper_after(first, here.path(), &["serve"]));
        let token = here.run(&["token", "admin"]).well().trim().to_owned();
        let books = Self { here, program, token, names: BTreeSet::new(), tried: 0 };
        let contractor = json!({"data": {"type": "contractors", "attributes": {
            "name": "carrier", "enabled": true, "vendor": true, "customer": false,
        }}});
        let line = "POST /api/rest/admin/contractors";
        let reply = ask(books.address(), line, &books.token, &contractor.to_string()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        books
    }

    fn address(&self) -> SocketAddr {
        self.program.address
    }

    /// Tries to create accounts, all at once, and notes which are acknowledged. Returns how many.
    async fn create(&mut self, count: usize) -> usize {
        let mut asked = JoinSet::new();
        for number in self.tried..self.tried + count {
            let (address, token) = (self.address(), self.token.clone());
            asked.spawn(async move {
                let name = format!("{number:0>200}");
                let document = json!({"data": {
                    "type": "accounts",
                    "attributes": {"name": name},
                    "relationships": {"contractor": linkage("contractors", "1")},
                }});
                let line = "POST /api/rest/admin/accounts";
                (name, ask(address, line, &token, &document.to_string()).await)
            });
        }
        self.tried += count;
        let before = self.names.len();
        for (name, reply) in asked.join_all().await {
            if reply.status == 201 {
                self.names.insert(name);
            } else {
                is_unavailable(&reply);
            }
        }
        self.names.len() - before
    }

    /// Creates accounts until nothing but refusals comes.
    async fn create_until_refused(&mut self) {
        let mut refused = 0;
        while refused < REFUSED {
            assert!(self.tried < 5_000, "nothing bites");
            // One alone may still fit where many did not.
            for count in [8, 1] {
                refused = if self.create(count).await == 0 { refused + count } else { 0 };
            }
        }
    }

    /// Checks that reads are answered, and tell of just what was acknowledged.
    async fn are_right(&self) {
        assert_eq!(ask(self.address(), "GET /healthz", "", "").await.body, "ok\n");
        let acknowledged = self.names.len();
        assert_eq!(count(self.address(), "accounts", &self.token).await, acknowledged);
        // The contractor has a record, too.
        assert_eq!(count(self.address(), "audit-records", &self.token).await, acknowledged + 1);
        let mut listed = BTreeSet::new();
        for page in 1..=acknowledged / 1_000 + 1 {
            let line =
                format!("GET /api/rest/admin/accounts?page%5Bsize%5D=1000&page%5Bnumber%5D={page}");
            let list = ask(self.address(), &line, &self.token, "").await.json();
            let names = list["data"].as_array().unwrap().iter();
            listed.extend(names.map(|one| one["attributes"]["name"].as_str().unwrap().to_owned()));
        }
        assert!(listed == self.names, "{} listed, {acknowledged} acknowledged", listed.len());
    }

    /// Ends the server without a warning, and checks what another one finds.
    async fn survive_a_sudden_death(mut self) {
        let (_, complaints) = self.program.end("KILL");
        let lines = complaints.lines().count();
        assert!((1..=LINES_MAX).contains(&lines), "{lines} lines: {complaints}");
        self.program = self.here.serve();
        self.are_right().await;
    }
}

/// Checks that a write is refused for now, in words that tell nothing of the database.
#[track_caller]
fn is_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("content-type"), MEDIA_TYPE);
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(reply.errors(), ["503 The database is unavailable. Try again soon."]);
}

#[tokio::test]
async fn writes_wait_for_room_on_the_disk_and_nothing_acknowledged_is_lost() {
    // Files may grow to 1 MiB; the signal that says so is ignored, as writing fails then, too.
    let mut books = Books::kept_after("trap '' XFSZ && ulimit -S -f 2048").await;
    books.create_until_refused().await;
    books.are_right().await;
    let acknowledged = books.names.len();
    assert!(acknowledged > 10, "{acknowledged}");

    let process = books.program.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited"]).status();
    assert!(lifted.expect("prlimit of util-linux is installed").success());
    assert_eq!(books.create(20).await, 20);
    books.are_right().await;
    books.survive_a_sudden_death().await;
}

#[tokio::test]
async fn writes_wait_for_a_database_file_that_was_moved_away() {
    let mut books = Books::kept_after("true").await;
    assert_eq!(books.create(3).await, 3);
    books.are_right().await;
    let (file, elsewhere) =
        (books.here.path().join("data/tollkeeper.db"), books.here.path().join("elsewhere.db"));
    for _ in 0..2 {
        std::fs::rename(&file, &elsewhere).unwrap();
        let acknowledged = books.names.len();
        books.create_until_refused().await;
        assert_eq!(books.names.len(), acknowledged);
        books.are_right().await;
        std::fs::rename(&elsewhere, &file).unwrap();
        assert_eq!(books.create(3).await, 3);
        books.are_right().await;
    }
    books.survive_a_sudden_death().await;
}
