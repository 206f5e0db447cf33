//! The PostgreSQL cluster of the run, and databases on it.

use std::process::{Command, Stdio};

use uuid::Uuid;

use crate::session::Session;

/// A database on the cluster, dropped with this.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
}

/// The URL of the cluster's own database, from which others are made.
fn cluster() -> String {
    std::env::var("TOLLKEEPER_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "this test needs PostgreSQL: run ./test.sh, or scripts/with-postgres before the \
             command, or set TOLLKEEPER_TEST_POSTGRES_URL to a cluster on which databases may be made"
        )
    })
}

impl Database {
    /// An empty database.
    pub fn create() -> Self {
        let cluster = cluster();
        let name = format!("test_{}", Uuid::new_v4().simple());
        Session::postgres(&cluster).execute(&format!("CREATE DATABASE {name}"));
        let (base, params) = match cluster.split_once('?') {
            Some((base, params)) => (base, format!("?{params}")),
            None => (cluster.as_str(), String::new()),
        };
        let (server, _) = base.rsplit_once('/').expect("a URL ends with /DATABASE");
        Self { url: format!("{server}/{name}{params}"), name }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another database with what this one holds at this moment. (As a template it would have to be
    /// left by all others.)
    pub fn copy(&self) -> Self {
        let copy = Self::create();
        let installed = "pg_dump and psql are installed with PostgreSQL, and in the PATH";
        let mut dump = Command::new("pg_dump");
        let mut dump = dump
            .arg(&self.url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|_| panic!("{installed}"));
        let mut restore = Command::new("psql");
        restore.args(["--no-psqlrc", "--quiet", "--single-transaction", "--output=/dev/null"]);
        restore.args(["--set=ON_ERROR_STOP=1", &copy.url]);
        restore.stdin(dump.stdout.take().expect("it is piped"));
        assert!(restore.status().expect(installed).success(), "psql fills {}", copy.name);
        assert!(dump.wait().expect(installed).success(), "pg_dump reads {}", self.name);
        copy
    }
}

impl Drop for Database {
    /// Hundreds of tests would fill the disk. Servers that are still connected are cut off.
    fn drop(&mut self) {
        let gently = format!("DROP DATABASE {}", self.name);
        let by_force = format!("{gently} WITH (FORCE)");
        // In a thread of its own: a cluster that is gone must not become a second panic.
        let _ = std::thread::spawn(move || {
            let session = Session::postgres(&cluster());
            // By force, only a superuser ends a worker of autovacuum, which is nobody's. Gently,
            // PostgreSQL ends it by itself.
            if session.try_execute(&by_force).is_err() && session.try_execute(&gently).is_err() {
                session.execute(&by_force);
            }
        })
        .join();
    }
}
