//! Schema versions: append-only files, applied in order, all in one transaction.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::OpenError;

const MIGRATIONS: [&str; 2] = [
    include_str!("../migrations/sqlite/0001_initial.sql"),
    include_str!("../migrations/sqlite/0002_journal.sql"),
];

/// Brings the schema to the newest version; `user_version` counts what was applied.
pub fn migrate(connection: &mut Connection, path: &str) -> Result<(), OpenError> {
    let failed = |reason| OpenError::File { path: path.to_owned(), reason };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let applied: i64 =
        transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let applied = usize::try_from(applied).unwrap_or_default();
    if applied > MIGRATIONS.len() {
        return Err(OpenError::Newer { found: applied, known: MIGRATIONS.len() });
    }
    for (position, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        tracing::info!(version = position + 1, "migrating the database");
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or_default())
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}
