//! Who is signed in to the console.

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::row::Row;
use crate::session::Session;
use crate::tx::Tx;

/// Somebody who is signed in to the console, in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSession {
    /// Digest of what the browser holds.
    pub key: String,
    /// Who.
    pub operator_id: i64,
    /// Where they signed in from.
    pub address: String,
    /// When they signed in.
    pub started_at: Timestamp,
    /// When they were last seen, within a minute.
    pub seen_at: Timestamp,
}

const SELECT: &str = "SELECT key, operator_id, address, started_at, seen_at FROM console_sessions";

fn console_session(row: Row<'_>) -> Result<ConsoleSession, StoreError> {
    Ok(ConsoleSession {
        key: row.text(0)?,
        operator_id: row.int(1)?,
        address: row.text(2)?,
        started_at: row.time(3)?,
        seen_at: row.time(4)?,
    })
}

/// The session with this key.
pub async fn of_key(session: &Session, key: &str) -> Result<Option<ConsoleSession>, StoreError> {
    let sql = format!("{SELECT} WHERE key = $1");
    session.read_one(&sql, &[Value::text(key)], console_session).await
}

/// An operator's sessions, the latest first.
pub async fn of_operator(
    session: &Session,
    operator: i64,
) -> Result<Vec<ConsoleSession>, StoreError> {
    let sql = format!("{SELECT} WHERE operator_id = $1 ORDER BY seen_at DESC, key");
    let mut found = Vec::new();
    session
        .read(&sql, &[Value::Int(operator)], |row| {
            found.push(console_session(row)?);
            Ok(())
        })
        .await?;
    Ok(found)
}

impl Tx {
    /// Begins a session.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn begin_console_session(
        &mut self,
        session: &ConsoleSession,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO console_sessions (key, operator_id, address, started_at, seen_at) \
                   VALUES ($1, $2, $3, $4, $5)";
        let params = [
            Value::text(&session.key),
            Value::Int(session.operator_id),
            Value::text(&session.address),
            Value::Time(session.started_at),
            Value::Time(session.seen_at),
        ];
        self.execute(sql, &params).await?;
        Ok(())
    }

    /// Notes that somebody is still there.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn touch_console_session(
        &mut self,
        key: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE console_sessions SET seen_at = $1 WHERE key = $2";
        self.execute(sql, &[Value::Time(now), Value::text(key)]).await?;
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn end_console_session(&mut self, key: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM console_sessions WHERE key = $1";
        self.execute(sql, &[Value::text(key)]).await?;
        Ok(())
    }

    /// Ends all sessions of an operator; says how many there were.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn end_console_sessions(&mut self, operator: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM console_sessions WHERE operator_id = $1";
        self.execute(sql, &[Value::Int(operator)]).await
    }

    /// Forgets up to `limit` sessions that nobody was seen in since `cutoff`. Says how many.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget_console_sessions(
        &mut self,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let sql = "DELETE FROM console_sessions WHERE key IN \
                   (SELECT key FROM console_sessions WHERE seen_at < $1 LIMIT $2)";
        self.execute(sql, &[Value::Time(cutoff), Value::Int(i64::from(limit))]).await
    }
}
