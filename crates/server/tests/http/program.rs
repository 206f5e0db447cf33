//! The real binary, run as an operator runs it.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Kind, TestDatabase};

use crate::support::{MEDIA_TYPE, Reply, linkage};
use crate::wire::Wire;

/// The binary in `directory`, with nothing of the surroundings in its environment, listening on
/// any free port.
pub fn tollkeeper(directory: &Path, arguments: &[&str]) -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_tollkeeper")), directory, arguments)
}

/// The same, started by a shell that does `first` before it becomes the binary.
pub fn tollkeeper_after(first: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("{first} && exec \"$0\" \"$@\"");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_tollkeeper")]);
    prepared(shell, directory, arguments)
}

fn prepared(mut command: Command, directory: &Path, arguments: &[&str]) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOLLKEEPER_")) {
        command.env_remove(name);
    }
    // An operator who asks for backtraces gets no more lines than others.
    command.env("RUST_BACKTRACE", "1").env("TOLLKEEPER_LISTEN", "127.0.0.1:0");
    command.current_dir(directory).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it complained about.
    pub err: String,
}

impl Ended {
    /// Checks that all went well, and returns what was printed.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Checks that it could not start, said so in one line that holds `part`, and nothing else.
    #[track_caller]
    pub fn complains(&self, part: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("tollkeeper: ") && self.err.contains(part), "{self:?}");
        let parts: Vec<&str> = self.err.trim_end().split(": ").collect();
        let different: HashSet<&&str> = parts.iter().collect();
        assert_eq!(different.len(), parts.len(), "said twice: {self:?}");
    }
}

/// Runs a command to its end; `input` is what it reads.
pub fn run(mut command: Command, input: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    // Whoever does not want its input may close it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A server that runs until it is stopped, or dropped.
pub struct Program {
    /// Where it serves.
    pub address: SocketAddr,
    /// What it printed first.
    pub greeting: String,
    child: Child,
    complaints: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts a server and waits until it serves.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let complaints = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().unwrap();
        let kept = Arc::clone(&complaints);
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let mut greeting = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        let address = greeting.trim().rsplit('/').next().and_then(|text| text.parse().ok());
        let Some(address) = address else {
            panic!("it does not serve: {greeting:?} {:?}", complaints.lock().unwrap());
        };
        Self { address, greeting, child, complaints, reading: Some(reading) }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything on its standard error, once it has ended.
    fn complaints(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        self.complaints.lock().unwrap().clone()
    }

    /// What is on its standard error so far, as soon as it holds `part`.
    pub fn said(&self, part: &str) -> String {
        let started = Instant::now();
        loop {
            let so_far = self.complaints.lock().unwrap().clone();
            if so_far.contains(part) {
                return so_far;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{so_far:?} without {part:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal, by name, and waits for the end.
    pub fn end(self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal);
        self.ended()
    }

    /// Sends a signal, by name.
    pub fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.complaints())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request on a connection of its own; `line` is its method and path.
pub async fn ask(address: SocketAddr, line: &str, token: &str, body: &str) -> Reply {
    let mut wire = Wire::to(address).await;
    wire.send(format!(
        "{line} HTTP/1.1\r\nhost: example.org\r\naccept: {MEDIA_TYPE}\r\n\
         content-type: {MEDIA_TYPE}\r\nauthorization: {token}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
    .await;
    wire.reply().await.expect("an answer")
}

/// A token for this operator, unless they are refused.
pub async fn sign_in(address: SocketAddr, name: &str, password: &str) -> Option<String> {
    let body = json!({"auth": {"username": name, "password": password}}).to_string();
    let reply = ask(address, "POST /api/rest/admin/auth", "", &body).await;
    assert!([201, 401].contains(&reply.status), "{reply:?}");
    reply.json()["jwt"].as_str().map(str::to_owned)
}

/// Creates a contractor and its accounts on a server without any; the accounts' ids, of which the
/// first is 1.
pub async fn open_accounts(address: SocketAddr, token: &str, accounts: Vec<Value>) -> Vec<String> {
    let contractor = json!({"data": {"type": "contractors", "attributes": {
        "name": "carrier", "enabled": true, "vendor": true, "customer": true,
    }}});
    let account = |attributes| {
        json!({"data": {
            "type": "accounts",
            "attributes": attributes,
            "relationships": {"contractor": linkage("contractors", "1")},
        }})
    };
    let accounts = accounts.into_iter().map(|one| ("accounts", account(one)));
    let mut ids = Vec::new();
    for (kind, document) in [("contractors", contractor)].into_iter().chain(accounts) {
        let line = format!("POST /api/rest/admin/{kind}");
        let reply = ask(address, &line, token, &document.to_string()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        ids.push(reply.json()["data"]["id"].as_str().unwrap().to_owned());
    }
    ids.split_off(1)
}

/// Corrects the balance of an account.
pub async fn correct(address: SocketAddr, token: &str, account: &str, by: &str) {
    let document = json!({"data": {
        "type": "balance-correction", "id": account, "attributes": {"correction": by},
    }});
    let line = format!("PATCH /api/rest/admin/accounts/{account}/balance-correction");
    let reply = ask(address, &line, token, &document.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// How many records of this type there are, as their list tells.
pub async fn count(address: SocketAddr, kind: &str, token: &str) -> Value {
    let reply = ask(address, &format!("GET /api/rest/admin/{kind}"), token, "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["meta"]["total-count"].clone()
}

/// The database where nothing says another.
const DEFAULT_FILE: &str = "data/tollkeeper.db";

/// Runs the commands of one installation.
pub struct Here {
    database: TestDatabase,
    directory: tempfile::TempDir,
}

impl Here {
    /// An empty directory and an empty database, of the kind that this run is for. A file is where
    /// the commands look when they are told nothing.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { database: TestDatabase::fresh_at(directory.path().join(DEFAULT_FILE)), directory }
    }

    /// The same on SQLite in every run: for what is about the file.
    pub fn with_file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { database: TestDatabase::in_file(directory.path().join(DEFAULT_FILE)), directory }
    }

    /// An empty directory and an empty database of PostgreSQL in every run: for what is about
    /// several nodes.
    pub fn on_postgres() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { database: TestDatabase::of(Kind::Postgres), directory }
    }

    /// An empty directory and a copy of this database.
    pub fn with_copy_of(database: &TestDatabase) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(DEFAULT_FILE);
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        Self { database: database.copy_at(file), directory }
    }

    /// Its database.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A command, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tollkeeper(self.path(), arguments);
        if self.database.kind() == Kind::Postgres {
            command.env("TOLLKEEPER_DATABASE_URL", self.database.url());
        }
        command
    }

    /// Runs a command that reads nothing.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments), "")
    }

    /// Runs a command that reads `input`.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        run(self.command(arguments), input)
    }

    /// Starts a server.
    pub fn serve(&self) -> Program {
        Program::start(self.command(&["serve"]))
    }
}
