//! PostgreSQL clusters of a test's own, to be lost: a primary and its standby, both of Debian's
//! package, on ports of 127.0.0.1. They end with the test, however it ends.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The role that owns the database, and the name of that.
const NAME: &str = "tollkeeper";
/// How long whatever must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What all clusters differ in from Debian's. Servers end suddenly here, machines never: nobody
/// needs to wait for the disk. Memory that is shared in files goes with the directory.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "max_connections=100",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",
    "wal_retrieve_retry_interval=200ms",
];

/// Waits until `is_so`, and says how long that took.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    started.elapsed()
}

/// One of PostgreSQL's programs.
pub fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let debian = versions.map(|version| version.path().join("bin")).filter(|bin| is_whole(bin));
        let version = |bin: &PathBuf| {
            let name = bin.parent()?.file_name()?.to_str()?;
            name.parse::<u32>().ok()
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let newest = debian.max_by_key(version);
        newest.or_else(|| std::env::split_paths(&path).find(|bin| is_whole(bin))).expect(
            "this test needs PostgreSQL 13 or newer: apt-get install postgresql, or put its \
             programs into the PATH",
        )
    });
    directory.join(name)
}

fn is_whole(bin: &Path) -> bool {
    ["initdb", "postgres", "pg_basebackup", "pg_ctl", "psql"]
        .iter()
        .all(|name| bin.join(name).exists())
}

pub fn is_root() -> bool {
    static IS_ROOT: OnceLock<bool> = OnceLock::new();
    *IS_ROOT.get_or_init(|| Command::new("id").arg("-u").output().unwrap().stdout == b"0\n")
}

/// A program of PostgreSQL, run by whom a cluster may belong to: it refuses to run as root. It gets
/// SIGINT when the test's thread is gone, though nobody could stop it.
pub fn owned(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "setpriv"]);
    }
    // The owner may not look into the directory that the test runs in.
    command.args(["--pdeathsig=INT", "--"]).arg(program(name)).current_dir("/");
    command
}

/// What a command printed.
#[track_caller]
pub fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let complaints = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {complaints}");
    String::from_utf8(stdout).unwrap().trim_end().to_owned()
}

/// A port that nobody has, below those that the system gives to whoever asks for any.
pub fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::try_from(getrandom::u32().unwrap() % 10_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A cluster.
pub struct Cluster {
    /// Its port of 127.0.0.1.
    pub port: u16,
    server: Option<Child>,
    home: TempDir,
}

impl Cluster {
    /// A directory for one, which is yet to be made.
    fn at_home() -> Self {
        let home = tempfile::Builder::new().prefix("tollkeeper-cluster.").tempdir().unwrap();
        if is_root() {
            done(Command::new("chown").arg("postgres:postgres").arg(home.path()));
        }
        Self { port: free_port(), server: None, home }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.home.path().join("log"));
        let log = log.unwrap();
        let mut server = owned("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        server.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(server.spawn().expect("setpriv is installed"));
        wait_until("a cluster is ready", || {
            let server = self.server.as_mut().unwrap();
            let ended = server.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.log());
            // Its own file says so; the port alone could be another cluster's.
            let file = std::fs::read_to_string(self.data().join("postmaster.pid"));
            let id = self.server.as_ref().unwrap().id().to_string();
            file.is_ok_and(|file| {
                file.lines().next() == Some(&id)
                    && file.lines().nth(7).is_some_and(|line| line.trim() == "ready")
            })
        });
    }

    /// What its server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// Runs statements, each in a transaction of its own, as the cluster's superuser; returns what
    /// the last one found, as psql prints it, columns separated by `|`.
    #[track_caller]
    pub fn sql(&self, statements: &[&str]) -> String {
        let mut psql = Command::new(program("psql"));
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        psql.args(["-p", &self.port.to_string(), "-d", NAME]);
        // Fenced clusters are told what to do, too.
        psql.env("PGOPTIONS", "-c default_transaction_read_only=off");
        done(psql.args(statements.iter().flat_map(|statement| ["-c", statement])))
    }

    /// Changes a setting of the running server, for the sessions that are open, too.
    pub fn set(&self, name: &str, value: &str) {
        let loaded_at = || self.sql(&["SELECT pg_conf_load_time()"]);
        let before = loaded_at();
        self.sql(&[&format!("ALTER SYSTEM SET {name} = {value}"), "SELECT pg_reload_conf()"]);
        // A server tells its open sessions of new settings before it accepts another one.
        while loaded_at() == before {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        done(owned("pg_ctl").args(["promote", "-w", "-D"]).arg(self.data()));
    }

    /// Ends all its processes at once, without a warning.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let signal = |name: &str, processes: &[String]| {
            let mut kill = Command::new("sh");
            kill.args(["-c", "kill -s \"$0\" \"$@\" 2>/dev/null", name]).args(processes);
            // Whoever has ended already need not be ended.
            let _ = kill.status().unwrap();
        };
        let postmaster = server.id().to_string();
        // Stopped, it makes no more processes while they are listed.
        signal("STOP", std::slice::from_ref(&postmaster));
        let mut all = children(&postmaster);
        all.push(postmaster);
        signal("KILL", &all);
        server.wait().unwrap();
        // A process that was killed answers on until a busy machine lets it end.
        wait_until("all have ended", || all.iter().all(|process| has_ended(process)));
        // The memory that tells other servers to keep off outlives them all.
        if let Some(id) = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let ipcrm = Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status();
            drop(ipcrm);
        }
    }
}

/// The processes whose parent this is.
fn children(parent: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| state_and_parent(id).is_some_and(|(_, its)| its == parent)).collect()
}

/// Whether nothing is left of a process, but perhaps its parent's right to ask how it ended.
fn has_ended(process: &str) -> bool {
    state_and_parent(process).is_none_or(|(state, _)| matches!(&*state, "Z" | "X"))
}

fn state_and_parent(process: &str) -> Option<(String, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may hold anything.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let quit = format!("kill -QUIT {}", server.id());
            let _ = Command::new("sh").args(["-c", &quit]).status();
            let _ = server.wait();
        }
    }
}

/// A primary with an empty database, and its standby.
pub struct Pair {
    pub primary: Cluster,
    pub standby: Cluster,
}

impl Pair {
    /// Starts both. The primary does not yet wait for the standby.
    pub fn start() -> Self {
        let mut primary = Cluster::at_home();
        let mut initdb = owned("initdb");
        initdb.arg("--pgdata").arg(primary.data());
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        done(initdb.arg("--locale=C.UTF-8"));
        primary.start();
        let mut psql = Command::new(program("psql"));
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        psql.args(["-p", &primary.port.to_string(), "-d", "postgres"]);
        // All that the server needs.
        psql.args(["-c", &format!("CREATE ROLE {NAME} LOGIN")]);
        done(psql.args(["-c", &format!("CREATE DATABASE {NAME} OWNER {NAME}")]));
        let mut standby = Cluster::at_home();
        let mut copy = owned("pg_basebackup");
        copy.args(["-h", "127.0.0.1", "-p", &primary.port.to_string(), "-U", "postgres"]);
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"]);
        done(copy.arg(standby.data()));
        standby.start();
        let pair = Self { primary, standby };
        wait_until("the standby follows", || pair.state() == "streaming|async");
        pair
    }

    /// Lets the primary acknowledge nothing that is not at the standby.
    pub fn synchronise(&self) {
        self.primary.set("synchronous_standby_names", "'*'");
        wait_until("the standby is synchronous", || self.state() == "streaming|sync");
    }

    fn state(&self) -> String {
        self.primary.sql(&["SELECT state, sync_state FROM pg_stat_replication"])
    }

    /// The address of whichever takes writes, the first of them being tried first.
    pub fn url(first: &Cluster, second: &Cluster) -> String {
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", first.port, second.port);
        format!("postgres://{NAME}@{hosts}/{NAME}?target_session_attrs=read-write")
    }

    /// Waits until the standby shows all that the primary has.
    pub fn wait_for_replay(&self) {
        let place = self.primary.sql(&["SELECT pg_current_wal_lsn()"]);
        let is_there = format!("SELECT pg_last_wal_replay_lsn() >= '{place}'");
        wait_until("the standby catches up", || self.standby.sql(&[&is_there]) == "t");
    }
}

/// The address of one cluster's database, for this role.
pub fn url(role: &str, cluster: &Cluster) -> String {
    format!("postgres://{role}@127.0.0.1:{}/{NAME}", cluster.port)
}
