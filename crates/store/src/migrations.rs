//! Schema versions: append-only files, applied in order, all in one transaction.

use deadpool_postgres::Object;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{OpenError, full_reason};
use crate::session::Dialect;

const SQLITE: [&str; 10] = [
    include_str!("../migrations/sqlite/0001_initial.sql"),
    include_str!("../migrations/sqlite/0002_journal.sql"),
    include_str!("../migrations/sqlite/0003_nodes.sql"),
    include_str!("../migrations/sqlite/0004_throttles.sql"),
    include_str!("../migrations/sqlite/0005_deliveries.sql"),
    include_str!("../migrations/sqlite/0006_console.sql"),
    include_str!("../migrations/sqlite/0007_tasks.sql"),
    include_str!("../migrations/sqlite/0008_limits.sql"),
    include_str!("../migrations/sqlite/0009_errands.sql"),
    include_str!("../migrations/sqlite/0010_line_order.sql"),
];
const POSTGRES: [&str; 8] = [
    include_str!("../migrations/postgres/0001_initial.sql"),
    include_str!("../migrations/postgres/0002_throttles.sql"),
    include_str!("../migrations/postgres/0003_deliveries.sql"),
    include_str!("../migrations/postgres/0004_console.sql"),
    include_str!("../migrations/postgres/0005_tasks.sql"),
    include_str!("../migrations/postgres/0006_limits.sql"),
    include_str!("../migrations/postgres/0007_errands.sql"),
    include_str!("../migrations/postgres/0008_line_order.sql"),
];
/// The advisory lock under which one node migrates while others wait: "toll" in ASCII.
const LOCK: i64 = 0x746f_6c6c;

/// Brings SQLite's schema to the newest version; `user_version` counts what was applied.
pub fn migrate(connection: &mut Connection, path: &str) -> Result<(), OpenError> {
    let failed = |reason| OpenError::File { path: path.to_owned(), reason };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let applied: i64 =
        transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    for (version, migration) in missing(&SQLITE, applied)? {
        tracing::info!(version, "migrating the database");
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", i64::try_from(SQLITE.len()).unwrap_or_default())
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Brings PostgreSQL's schema to the newest version; `schema_versions` lists what was applied.
/// Nodes that start together do so one after another.
pub async fn migrate_postgres(client: &mut Object, place: &str) -> Result<(), OpenError> {
    let failed = |error: tokio_postgres::Error| OpenError::Server {
        place: place.to_owned(),
        reason: full_reason(&error),
    };
    let transaction = client.transaction().await.map_err(failed)?;
    // To wait for another node, or to change a large table, may take its time.
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await.map_err(failed)?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let versions = "SELECT to_regclass('schema_versions') IS NOT NULL";
    let exists: bool = transaction.query_one(versions, &[]).await.map_err(failed)?.get(0);
    let applied = if exists {
        let newest = "SELECT coalesce(max(version), 0) FROM schema_versions";
        transaction.query_one(newest, &[]).await.map_err(failed)?.get(0)
    } else {
        let table = "CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, \
                     applied_at TIMESTAMPTZ NOT NULL DEFAULT now())";
        transaction.batch_execute(table).await.map_err(failed)?;
        0
    };
    for (version, migration) in missing(&POSTGRES, applied)? {
        tracing::info!(version, "migrating the database");
        transaction.batch_execute(migration).await.map_err(failed)?;
        let done = "INSERT INTO schema_versions (version) VALUES ($1)";
        transaction.execute(done, &[&version]).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// The newest version of the schema in this kind of database.
pub fn newest(dialect: Dialect) -> i64 {
    let migrations = match dialect {
        Dialect::Sqlite => SQLITE.len(),
        Dialect::Postgres => POSTGRES.len(),
    };
    i64::try_from(migrations).unwrap_or_default()
}

/// The migrations behind the first `applied`, numbered from 1.
fn missing<'a>(
    migrations: &'a [&'a str],
    applied: i64,
) -> Result<impl Iterator<Item = (i64, &'a str)>, OpenError> {
    let found = usize::try_from(applied).unwrap_or_default();
    if found > migrations.len() {
        return Err(OpenError::Newer { found, known: migrations.len() });
    }
    Ok((1..).zip(migrations.iter().copied()).skip(found))
}
