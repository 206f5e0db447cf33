//! A PostgreSQL cluster of a test's own: to be restarted under load, or to speak TLS. It listens on
//! a free port of 127.0.0.1 and on a socket file, and ends with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clusters::{done, free_port, is_root, owned};

/// The role that the server signs in as, and its database.
pub const NAME: &str = "tollkeeper";
/// The role's password, which must show nowhere.
pub const PASSWORD: &str = "pa55-w0rd";
/// How long PostgreSQL may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster with an empty database.
pub struct OwnCluster {
    pub port: u16,
    server: Option<Child>,
    home: TempDir,
}

/// Makes a file or directory the owner's.
fn give(path: &Path) {
    if is_root() {
        done(Command::new("chown").arg("postgres:postgres").arg(path));
    }
}

impl OwnCluster {
    /// A cluster that runs. Through TCP, the role must know its password; the database `secure`
    /// is let in with TLS only.
    pub fn start() -> Self {
        let home = tempfile::Builder::new().prefix("tollkeeper.").tempdir_in("/tmp").unwrap();
        let port = free_port();
        let mut cluster = Self { port, server: None, home };
        give(cluster.home.path());
        let mut initdb = owned("initdb");
        initdb.arg("--pgdata").arg(cluster.data());
        initdb.args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"]);
        done(initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]));
        let rules = "local all all trust\n\
                     hostnossl secure all all reject\n\
                     host all all all scram-sha-256\n";
        std::fs::write(cluster.data().join("pg_hba.conf"), rules).unwrap();
        cluster.run(&[]);
        cluster.sql(&format!("CREATE ROLE {NAME} LOGIN PASSWORD '{PASSWORD}'"));
        for database in [NAME, "secure"] {
            cluster.sql(&format!("CREATE DATABASE {database} OWNER {NAME}"));
        }
        cluster
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// A file beside the data that only the owner may read.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        done(Command::new("chmod").arg("600").arg(&path));
        give(&path);
        path
    }

    /// Starts the server, with these settings, and waits until it answers.
    pub fn run(&mut self, settings: &[String]) {
        assert!(self.server.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut server = owned("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        server.arg("-k").arg(self.home.path());
        // It ends suddenly here, the machine never: nobody needs to wait for the disk.
        server.args(["-h", "127.0.0.1", "-c", "fsync=off", "-c", "log_connections=on"]);
        server.args(["-c", "shared_buffers=32MB", "-c", "dynamic_shared_memory_type=mmap"]);
        server.args(settings.iter().flat_map(|setting| ["-c", setting]));
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = server.spawn().expect("setpriv is installed");
        let started = Instant::now();
        // Its own file says when it is ready.
        let is_ready = || {
            let state = std::fs::read_to_string(self.data().join("postmaster.pid"));
            state.is_ok_and(|state| state.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
        };
        while !is_ready() {
            let ended = server.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(server);
    }

    /// Ends the server as `pg_ctl stop -m immediate` does: as if it had crashed.
    pub fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            let quit = format!("kill -QUIT {}", server.id());
            assert!(Command::new("sh").args(["-c", &quit]).status().unwrap().success());
            server.wait().unwrap();
        }
    }

    /// Runs a statement as the superuser.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        let mut psql = owned("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-h"]);
        psql.arg(self.home.path()).args(["-p", &self.port.to_string(), "-c", statement]);
        done(&mut psql)
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    /// The address of a database through TCP, by the name of the host.
    pub fn url(&self, host: &str, database: &str, params: &str) -> String {
        format!("postgres://{NAME}:{PASSWORD}@{host}:{}/{database}?{params}", self.port)
    }

    /// The address of the database through the socket file.
    pub fn socket_url(&self, params: &str) -> String {
        let directory = self.home.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{NAME}@{directory}:{}/{NAME}?{params}", self.port)
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let quit = format!("kill -QUIT {}", server.id());
            let _ = Command::new("sh").args(["-c", &quit]).status();
            let _ = server.wait();
        }
    }
}
