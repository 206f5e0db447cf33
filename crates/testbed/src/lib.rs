//! Databases for tests. [`TestDatabase::fresh`] is one of the kind that the run is for, which
//! `TOLLKEEPER_TEST_DATABASE` says: `sqlite`, as when it is not set, or `postgres`.
//!
//! What tests do behind the store's back goes through [`Session`]s: tamper with rows, read them,
//! hold locks. Statements must be understood by both databases; what is written differently in the
//! two is spelled by [`TestDatabase::literal`], and read by [`Row::get`].

#![expect(clippy::missing_panics_doc, reason = "a test that cannot go on has failed")]

mod cluster;
mod row;
mod session;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jsonapi::Value;
use tempfile::TempDir;

pub use row::{FromCell, Row};
pub use session::Session;

/// A database product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A database of the cluster at `TOLLKEEPER_TEST_POSTGRES_URL`.
    Postgres,
}

impl Kind {
    /// What this run is for.
    pub fn chosen() -> Self {
        match std::env::var("TOLLKEEPER_TEST_DATABASE").as_deref() {
            Err(_) | Ok("sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok(other) => panic!(
                "TOLLKEEPER_TEST_DATABASE is {other:?}; it must be sqlite, postgres, or not set"
            ),
        }
    }
}

/// A database of its own for one test, gone when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    home: Home,
}

#[derive(Debug)]
enum Home {
    Sqlite { file: PathBuf, _directory: Option<TempDir> },
    Postgres(cluster::Database),
}

impl TestDatabase {
    /// An empty database of the kind that this run is for.
    pub fn fresh() -> Self {
        Self::of(Kind::chosen())
    }

    /// An empty database of this kind, whatever the run is for.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let file = directory.path().join("test.db");
                Self { home: Home::Sqlite { file, _directory: Some(directory) } }
            }
            Kind::Postgres => Self { home: Home::Postgres(cluster::Database::create()) },
        }
    }

    /// An empty database of the kind that this run is for; on SQLite it is this file, which is
    /// made by whoever opens it first.
    pub fn fresh_at(file: PathBuf) -> Self {
        match Kind::chosen() {
            Kind::Sqlite => Self::in_file(file),
            Kind::Postgres => Self::of(Kind::Postgres),
        }
    }

    /// The SQLite database in this file, whatever the run is for.
    pub fn in_file(file: PathBuf) -> Self {
        Self { home: Home::Sqlite { file, _directory: None } }
    }

    /// A copy, as it is at this moment, though others may be writing; on SQLite it is this file.
    #[must_use]
    pub fn copy_at(&self, file: PathBuf) -> Self {
        match &self.home {
            Home::Sqlite { file: original, .. } => {
                let session = Session::sqlite(original);
                let name = file.to_str().expect("a name in UTF-8").replace('\'', "''");
                session.execute(&format!("VACUUM INTO '{name}'"));
                Self::in_file(file)
            }
            Home::Postgres(database) => Self { home: Home::Postgres(database.copy()) },
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.home {
            Home::Sqlite { .. } => Kind::Sqlite,
            Home::Postgres(_) => Kind::Postgres,
        }
    }

    /// Its address, as the server is told it.
    pub fn url(&self) -> String {
        match &self.home {
            Home::Sqlite { file, .. } => format!("sqlite:{}", file.display()),
            Home::Postgres(database) => database.url().to_owned(),
        }
    }

    /// A connection of its own.
    pub fn session(&self) -> Session {
        match &self.home {
            Home::Sqlite { file, .. } => Session::sqlite(file),
            Home::Postgres(database) => Session::postgres(database.url()),
        }
    }

    /// A connection whose transaction keeps all others from changing accounts until it is dropped.
    pub fn hold(&self) -> Session {
        let session = self.session();
        session.execute(match self.kind() {
            Kind::Sqlite => "BEGIN IMMEDIATE",
            Kind::Postgres => "BEGIN; LOCK TABLE accounts IN EXCLUSIVE MODE",
        });
        session
    }

    /// A connection on which everything is read from one state of the database.
    pub fn snapshot(&self) -> Session {
        let session = self.session();
        session.execute(match self.kind() {
            Kind::Sqlite => "BEGIN",
            Kind::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        });
        session
    }

    /// Runs statements.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.session().execute(sql);
    }

    /// The rows that a statement finds.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        self.session().rows(sql)
    }

    /// The one value of the one row that a statement finds.
    #[track_caller]
    pub fn value<T: FromCell>(&self, sql: &str) -> T {
        self.session().value(sql)
    }

    /// A value as this database's columns hold it, for the text of a statement.
    pub fn literal(&self, value: &Value) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let bytes = |bytes: &[u8]| {
            bytes.iter().fold("x'".to_owned(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            }) + "'"
        };
        match (self.kind(), value) {
            (_, Value::Null) => "NULL".to_owned(),
            (_, Value::Int(int)) => int.to_string(),
            (_, Value::Text(text)) => quoted(text),
            (_, Value::Json(json)) => quoted(json),
            (Kind::Sqlite, Value::Bool(bool)) => i64::from(*bool).to_string(),
            (Kind::Sqlite, Value::Decimal(decimal)) => bytes(&decimal.to_ordered_bytes()),
            (Kind::Sqlite, Value::Uuid(uuid)) => bytes(uuid.as_bytes()),
            (Kind::Sqlite, Value::Time(time)) => time.as_microsecond().to_string(),
            (Kind::Sqlite, Value::Ids(ids)) => {
                let ordered = ids.iter().flat_map(|id| (id ^ i64::MIN).to_be_bytes());
                bytes(&ordered.collect::<Vec<u8>>())
            }
            (Kind::Postgres, Value::Bool(bool)) => bool.to_string(),
            // Marked as what it is, so that arithmetic and comparisons know it, too.
            (Kind::Postgres, Value::Decimal(decimal)) => format!("NUMERIC '{decimal}'"),
            (Kind::Postgres, Value::Uuid(uuid)) => format!("UUID '{uuid}'"),
            (Kind::Postgres, Value::Time(time)) => format!("TIMESTAMPTZ '{time}'"),
            (Kind::Postgres, Value::Ids(ids)) => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                format!("CAST('{{{}}}' AS BIGINT[])", ids.join(","))
            }
        }
    }

    /// Lets the table give out this id next, and those above it after. A server that has taken ids
    /// already does not notice.
    pub fn set_next_id(&self, table: &str, id: i64) {
        match self.kind() {
            Kind::Sqlite => {
                let last = id - 1;
                self.execute(&format!(
                    "DELETE FROM sqlite_sequence WHERE name = '{table}'; \
                     INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {last})"
                ));
            }
            Kind::Postgres => {
                self.execute(&format!("ALTER TABLE {table} ALTER COLUMN id RESTART WITH {id}"));
            }
        }
    }

    /// Everything in it, as text; without leases, which servers renew by themselves.
    pub fn dump(&self) -> String {
        let session = self.snapshot();
        let tables = match self.kind() {
            Kind::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
            Kind::Postgres => {
                "SELECT table_name AS name FROM information_schema.tables \
                 WHERE table_schema = 'public' ORDER BY 1"
            }
        };
        let mut dump = String::new();
        for table in session.rows(tables) {
            let table: String = table.get("name");
            if table == "leases" {
                continue;
            }
            // PostgreSQL moves a row to the end when it changes.
            let order = match self.kind() {
                Kind::Sqlite => "",
                Kind::Postgres => "ORDER BY whole::text COLLATE \"C\"",
            };
            for row in session.rows(&format!("SELECT * FROM {table} AS whole {order}")) {
                writeln!(dump, "{table} {row:?}").expect("text can grow");
            }
        }
        dump
    }

    /// The file, of SQLite.
    pub fn file(&self) -> Option<&Path> {
        match &self.home {
            Home::Sqlite { file, .. } => Some(file),
            Home::Postgres(_) => None,
        }
    }
}
