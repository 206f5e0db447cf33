//! One of the two databases of a copy: its lock, its rows, its counters.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::pin_mut;
use jsonapi::Value;
use rusqlite::ffi::ErrorCode;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;

use super::error::CopyError;
use super::tables::{CopyTable, Digest, size_of};
use crate::database::{Database, make_directory, path_of};
use crate::error::{OpenError, StoreError};
use crate::mark::MARK;
use crate::migrations;
use crate::postgres::column::Param;
use crate::postgres::connect::{Asked, Server};
use crate::row::Row;
use crate::session::{Dialect, Session};
use crate::sqlite::connection;
use crate::statement::Statement;

/// Memory that the rows of one slice may take, in bytes, but for its last row.
const SLICE_BYTES_MAX: usize = 4 << 20;
/// How long a source may be waiting for those that still write to it.
const LOCK_WAIT: &str = "10s";
/// How often it is asked whether a program that was stopped has left.
const LEAVING_LOOKS: u32 = 20;
/// How long between two looks.
const LEAVING_WAIT: Duration = Duration::from_millis(100);
/// The advisory lock that one copy holds on a schema of PostgreSQL is this, "copy" in ASCII, and
/// the schema's number in the lower half.
const LOCK: i64 = 0x636f_7079 << 32;
/// The name that sessions of the server have.
const SERVER: &str = "tollkeeper";
/// The schema that unqualified names mean.
const SCHEMA: &str = "(SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema())";

/// A database.
#[derive(Debug)]
pub struct Side {
    session: Session,
    /// Where it is, without secrets.
    pub place: String,
}

/// Consecutive rows.
#[derive(Debug)]
pub struct Slice {
    pub rows: Vec<Vec<Value>>,
    /// Whether rows may follow.
    pub is_full: bool,
}

pub fn is_postgres(url: &str) -> bool {
    Database::from(url).is_postgres()
}

/// The same for every way to write the path of a file.
fn place_of(path: &str) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    format!("sqlite:{}", full.display())
}

impl Side {
    /// The database that is to be copied.
    pub async fn source(url: &str) -> Result<Self, CopyError> {
        if is_postgres(url) {
            return Self::postgres(url).await;
        }
        let path = path_of(url)?;
        if !Path::new(path).exists() {
            return Err(OpenError::Missing(path.to_owned()).into());
        }
        let place = place_of(path);
        let connection =
            connection::sole(Path::new(path)).map_err(|error| match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    CopyError::InUse(place.clone())
                }
                _ => OpenError::File { path: path.to_owned(), reason: error }.into(),
            })?;
        Ok(Self { session: Session::sqlite(connection), place })
    }

    /// The database that is to be filled; made if it is a file that is not there yet.
    pub async fn target(url: &str) -> Result<Self, CopyError> {
        if is_postgres(url) {
            return Self::postgres(url).await;
        }
        let path = path_of(url)?;
        make_directory(Path::new(path))?;
        let failed = |reason| OpenError::File { path: path.to_owned(), reason };
        let connection = connection::writer(Path::new(path)).map_err(failed)?;
        Ok(Self { session: Session::sqlite(connection), place: place_of(path) })
    }

    async fn postgres(url: &str) -> Result<Self, CopyError> {
        let server = Server::of(url, Duration::ZERO)?;
        let client = server.pool(1, Asked::Anything)?.get().await;
        let client = client.map_err(|error| OpenError::Server {
            place: server.place(),
            reason: error.to_string(),
        })?;
        let mut side = Self { session: Session::postgres(client), place: server.place() };
        let port = side.text("SELECT ':' || inet_server_port()").await?.unwrap_or_default();
        let name = side.text("SELECT current_database()::text").await?.unwrap_or_default();
        side.place = format!("postgres://{}{port}/{name}", side.place);
        side.batch(&format!(
            "SET application_name = '{SERVER} copy'; SET lock_timeout = '{LOCK_WAIT}'; \
             SET idle_in_transaction_session_timeout = 0"
        ))
        .await?;
        Ok(side)
    }

    /// What tells whether two addresses of PostgreSQL lead to the same tables.
    pub async fn identity(&self) -> Result<Option<String>, CopyError> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        self.text(&format!(
            "SELECT concat_ws(' ', current_database(), {SCHEMA}, pg_postmaster_start_time())"
        ))
        .await
    }

    pub fn dialect(&self) -> Dialect {
        self.session.dialect()
    }

    /// Says which database an error is about.
    pub fn told(&self, reason: impl Into<StoreError>) -> CopyError {
        CopyError::Database { place: self.place.clone(), reason: reason.into() }
    }

    async fn batch(&self, sql: &str) -> Result<(), CopyError> {
        match self.session.as_postgres() {
            Some(client) => client.batch_execute(sql).await.map_err(|error| self.told(error)),
            None => Ok(()),
        }
    }

    async fn text(&self, sql: &str) -> Result<Option<String>, CopyError> {
        let found = self.session.read_one(sql, &[], |row| row.optional_text(0)).await;
        Ok(found.map_err(|error| self.told(error))?.flatten())
    }

    async fn int(&self, sql: &str) -> Result<i64, CopyError> {
        let found = self.session.read_one(sql, &[], |row| row.optional_int(0)).await;
        Ok(found.map_err(|error| self.told(error))?.flatten().unwrap_or_default())
    }

    /// Keeps other copies away from this database. Of a file, the source's lock does.
    pub async fn reserve(&self) -> Result<(), CopyError> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let lock = format!("SELECT pg_try_advisory_lock({LOCK} + {SCHEMA})::text");
        for _ in 0..LEAVING_LOOKS {
            if self.text(&lock).await?.as_deref() == Some("true") {
                return Ok(());
            }
            tokio::time::sleep(LEAVING_WAIT).await;
        }
        Err(CopyError::InUse(self.place.clone()))
    }

    /// Begins to read the state that the database has now, and has until this is dropped: nobody
    /// else can write to these tables.
    pub async fn freeze(&self, tables: &[CopyTable]) -> Result<(), CopyError> {
        let Some(client) = self.session.as_postgres() else { return Ok(()) };
        self.await_leaving().await?;
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        // The locks come before the first look, so that it sees what they wait for.
        let freeze = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE {} IN SHARE MODE",
            names.join(", ")
        );
        client.batch_execute(&freeze).await.map_err(|error| {
            if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
                CopyError::InUse(self.place.clone())
            } else {
                self.told(error)
            }
        })
    }

    /// Waits a moment for the sessions of a server that has just been stopped.
    async fn await_leaving(&self) -> Result<(), CopyError> {
        let servers = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = '{SERVER}'"
        );
        for _ in 0..LEAVING_LOOKS {
            if self.int(&servers).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(LEAVING_WAIT).await;
        }
        Err(CopyError::InUse(self.place.clone()))
    }

    /// The version of its schema; 0 when it has none.
    pub async fn version(&self) -> Result<i64, CopyError> {
        match self.dialect() {
            Dialect::Sqlite => self.int("SELECT user_version FROM pragma_user_version").await,
            Dialect::Postgres => {
                let found = self.text("SELECT to_regclass('schema_versions')::text").await?;
                let newest = "SELECT max(version) FROM schema_versions";
                if found.is_some() { self.int(newest).await } else { Ok(0) }
            }
        }
    }

    /// Gives an empty database the newest schema.
    pub async fn migrate(&mut self) -> Result<(), CopyError> {
        match &mut self.session {
            Session::Sqlite(connection) => {
                let connection = connection.get_mut().unwrap_or_else(PoisonError::into_inner);
                migrations::migrate(connection, &self.place)?;
            }
            Session::Postgres(postgres) => {
                if let Some(client) = postgres.client_mut() {
                    migrations::migrate_postgres(client, &self.place).await?;
                }
            }
        }
        Ok(())
    }

    /// Each column of each table, with the table's name first.
    pub async fn columns(&self) -> Result<Vec<(String, String)>, CopyError> {
        let sql = match self.dialect() {
            Dialect::Sqlite => {
                "SELECT tables.name, columns.name \
                 FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
                 WHERE tables.type = 'table'"
            }
            Dialect::Postgres => {
                "SELECT table_name::text, column_name::text \
                 FROM information_schema.columns JOIN information_schema.tables \
                 USING (table_schema, table_name) \
                 WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
            }
        };
        let mut columns = Vec::new();
        let read = self.session.read(sql, &[], |row| {
            columns.push((row.text(0)?, row.text(1)?));
            Ok(())
        });
        read.await.map_err(|error| self.told(error))?;
        Ok(columns)
    }

    /// A setting, if there is one.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, CopyError> {
        let sql = "SELECT value FROM settings WHERE name = $1";
        let found = self.session.read_one(sql, &[Value::text(name)], |row| row.text(0)).await;
        found.map_err(|error| self.told(error))
    }

    /// The mark of an unfinished copy.
    pub async fn mark(&self) -> Result<Option<String>, CopyError> {
        self.setting(MARK).await
    }

    /// Marks a database that has no rows in any of the tables.
    pub async fn begin(&self, tables: &[CopyTable], mark: &str) -> Result<(), CopyError> {
        self.session.begin_writing().await.map_err(|error| self.told(error))?;
        for table in tables {
            let first = format!("SELECT 'row' FROM {} LIMIT 1", table.name);
            if self.text(&first).await?.is_some() {
                self.session.rollback().await.map_err(|error| self.told(error))?;
                let table = table.name.clone();
                return Err(CopyError::NotEmpty { place: self.place.clone(), table });
            }
        }
        let sql = format!("INSERT INTO settings (name, value) VALUES ('{MARK}', $1)");
        let marked = Statement::new(sql, vec![Value::text(mark)]);
        self.session.commit(vec![marked]).await.map_err(|error| self.told(error))
    }

    /// Takes the mark away: from now on this is a database like any other.
    pub async fn finish(&self) -> Result<(), CopyError> {
        let sql = format!("DELETE FROM settings WHERE name = '{MARK}'");
        self.session.execute(&sql, &[]).await.map_err(|error| self.told(error))?;
        Ok(())
    }

    /// The key of a table's last row.
    pub async fn last_key(&self, table: &CopyTable) -> Result<Option<Vec<Value>>, StoreError> {
        self.session.read_one(&table.select_last_key(), &[], |row| table.key(row)).await
    }

    /// Up to `limit` of the rows behind the one with the key `after`.
    pub async fn slice(
        &self,
        table: &CopyTable,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Slice, StoreError> {
        let sql = table.select_slice(after.is_some());
        let mut params = after.map(<[Value]>::to_vec).unwrap_or_default();
        params.push(Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
        let (mut rows, mut bytes, mut found) = (Vec::new(), 0, 0);
        let visit = |row: Row<'_>| {
            found += 1;
            if bytes < SLICE_BYTES_MAX {
                let values = table.row(row)?;
                bytes += size_of(&values);
                rows.push(values);
            }
            Ok(())
        };
        self.session.read(&sql, &params, visit).await?;
        Ok(Slice { rows, is_full: found == limit })
    }

    /// Adds rows, all of them or none.
    pub async fn write(&self, table: &CopyTable, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        if let Some(client) = self.session.as_postgres() {
            let writer =
                BinaryCopyInWriter::new(client.copy_in(&table.copy_in()).await?, &table.types());
            pin_mut!(writer);
            for row in rows {
                writer.as_mut().write_raw(row.iter().map(Param::One)).await?;
            }
            writer.finish().await?;
            return Ok(());
        }
        self.session.begin_writing().await?;
        let sql = table.insert();
        for row in rows {
            if let Err(error) = self.session.execute(&sql, row).await {
                self.session.rollback().await?;
                return Err(error);
            }
        }
        self.session.commit(Vec::new()).await
    }

    /// Digests all rows of a table; `seen` hears how many it were so far.
    pub async fn digest(
        &self,
        table: &CopyTable,
        mut seen: impl FnMut(u64) + Send,
    ) -> Result<Digest, StoreError> {
        let mut digest = Digest::default();
        let visit = |row: Row<'_>| {
            digest.add(&table.row(row)?);
            seen(digest.rows);
            Ok(())
        };
        self.session.read(&table.select_all(), &[], visit).await?;
        Ok(digest)
    }

    /// The highest id that was ever given out in a table, of a row that may be gone.
    pub async fn last_id(&self, table: &CopyTable) -> Result<i64, StoreError> {
        let sql = format!("SELECT coalesce(max(id), 0) FROM {}", table.name);
        let of_rows = self.session.read_one(&sql, &[], |row| row.int(0)).await?;
        Ok(of_rows.unwrap_or_default().max(self.counter(table).await?))
    }

    /// The id behind which the counter of a table goes on; 0 when there is none.
    pub async fn counter(&self, table: &CopyTable) -> Result<i64, StoreError> {
        let name = &table.name;
        let sql = match self.dialect() {
            Dialect::Sqlite => format!("SELECT seq FROM sqlite_sequence WHERE name = '{name}'"),
            Dialect::Postgres => format!(
                "SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM {name}_id_seq"
            ),
        };
        Ok(self.session.read_one(&sql, &[], |row| row.int(0)).await?.unwrap_or_default())
    }

    /// Lets the counter of a table go on behind an id. SQLite keeps none for tables that nothing is
    /// ever deleted from: there the last row's id is the last that was given out.
    pub async fn pass_id(&self, table: &CopyTable, id: i64) -> Result<(), StoreError> {
        if self.counter(table).await? >= id || !self.has_counter(table).await? {
            return Ok(());
        }
        let (name, params) = (&table.name, [Value::Int(id)]);
        if self.dialect() == Dialect::Postgres {
            let sql = format!("SELECT setval('{name}_id_seq', $1)");
            return self.session.read(&sql, &params, |_| Ok(())).await;
        }
        let update = format!("UPDATE sqlite_sequence SET seq = $1 WHERE name = '{name}'");
        if self.session.execute(&update, &params).await? == 0 {
            let insert = format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('{name}', $1)");
            self.session.execute(&insert, &params).await?;
        }
        Ok(())
    }

    /// Whether the database gives no id of this table out twice, even after deletes.
    pub async fn has_counter(&self, table: &CopyTable) -> Result<bool, StoreError> {
        if self.dialect() == Dialect::Postgres {
            return Ok(true);
        }
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = $1 AND sql LIKE '%AUTOINCREMENT%'";
        let found = self.session.read_one(sql, &[Value::text(&table.name)], |_| Ok(())).await?;
        Ok(found.is_some())
    }
}
