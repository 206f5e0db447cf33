//! Counters of failures that all nodes share.

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::row::Row;
use crate::session::Session;
use crate::statement::Statement;
use crate::tx::Tx;

/// What was counted under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The key.
    pub key: String,
    /// How many failures.
    pub count: i64,
    /// When they are forgotten.
    pub end: Timestamp,
}

fn failures(row: Row<'_>) -> Result<Failures, StoreError> {
    Ok(Failures { key: row.text(0)?, count: row.int(1)?, end: row.time(2)? })
}

/// What was counted under these keys; nothing for those without failures.
pub async fn of(session: &Session, keys: [&str; 2]) -> Result<Vec<Failures>, StoreError> {
    let sql = "SELECT key, failures, ends_at FROM throttles WHERE key IN ($1, $2)";
    let mut found = Vec::with_capacity(keys.len());
    let visit = |row: Row<'_>| {
        found.push(failures(row)?);
        Ok(())
    };
    session.read(sql, &keys.map(Value::text), visit).await?;
    Ok(found)
}

impl Tx {
    /// Counts a failure under the key: one more until the end of those before it, or the first
    /// until `end`.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn count_failure(
        &mut self,
        key: &str,
        now: Timestamp,
        end: Timestamp,
    ) -> Result<(), StoreError> {
        const COUNT: &str = "INSERT INTO throttles (key, failures, ends_at) VALUES ($1, 1, $2) \
            ON CONFLICT (key) DO UPDATE SET \
            failures = CASE WHEN throttles.ends_at <= $3 THEN 1 ELSE throttles.failures + 1 END, \
            ends_at = CASE WHEN throttles.ends_at <= $3 THEN excluded.ends_at \
                      ELSE throttles.ends_at END";
        let params = vec![Value::text(key), Value::Time(end), Value::Time(now)];
        self.leave(Statement::new(COUNT, params)).await
    }

    /// Forgets what was counted under the key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget_failures(&mut self, key: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM throttles WHERE key = $1";
        self.leave(Statement::new(sql, vec![Value::text(key)])).await
    }

    /// Forgets up to `limit` counters that ended before `cutoff`; says how many.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget_old_failures(
        &mut self,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        // A counter that begins anew meanwhile is kept: the end is asked for again.
        let sql = "DELETE FROM throttles WHERE ends_at < $1 AND key IN (SELECT key FROM throttles \
                   WHERE ends_at < $1 ORDER BY ends_at LIMIT $2)";
        self.execute(sql, &[Value::Time(cutoff), Value::Int(i64::from(limit))]).await
    }
}
