//! Operators, the people and programs that sign in, and the settings kept with the data.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::StoreError;
use crate::lane::Tx;

/// Somebody who may use the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `sub` of the tokens.
    pub id: i64,
    /// What they sign in with.
    pub name: String,
    /// Argon2id, in PHC form.
    pub password_hash: String,
    /// Whether they may do anything at all.
    pub enabled: bool,
    /// Networks they may come from, comma-separated; `None` is anywhere.
    pub allowed_ips: Option<String>,
    /// Tokens issued earlier than this Unix second are void: when the password last changed, 0 for
    /// the first one, which no token can be older than.
    pub tokens_valid_from_secs: i64,
    /// When they were added.
    pub created_at: Timestamp,
}

/// An operator to add.
#[derive(Clone, Debug)]
pub struct NewOperator {
    /// What they sign in with, unique.
    pub name: String,
    /// Argon2id, in PHC form.
    pub password_hash: String,
    /// Networks they may come from, comma-separated.
    pub allowed_ips: Option<String>,
    /// When they are added.
    pub created_at: Timestamp,
}

const SELECT: &str = "SELECT id, name, password_hash, enabled, allowed_ips, \
                      tokens_valid_from_secs, created_at FROM operators";

fn operator(row: &Row<'_>) -> rusqlite::Result<Operator> {
    Ok(Operator {
        id: row.get(0)?,
        name: row.get(1)?,
        password_hash: row.get(2)?,
        enabled: row.get(3)?,
        allowed_ips: row.get(4)?,
        tokens_valid_from_secs: row.get(5)?,
        created_at: Timestamp::from_microsecond(row.get(6)?).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

/// Every operator, by name. There are few.
pub fn all(connection: &Connection) -> Result<Vec<Operator>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY name"))?;
    let operators = statement.query_map([], operator)?;
    Ok(operators.collect::<Result<_, _>>()?)
}

impl Tx {
    /// The operator of this name.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn operator(&mut self, name: &str) -> Result<Option<Operator>, StoreError> {
        let sql = format!("{SELECT} WHERE name = $1");
        let found = self.connection.prepare_cached(&sql)?.query_row([name], operator);
        Ok(found.optional()?)
    }

    /// Whether there is any operator yet.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn has_operators(&mut self) -> Result<bool, StoreError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM operators")?.exists([])?)
    }

    /// Adds an operator.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn insert_operator(&mut self, new: &NewOperator) -> Result<i64, StoreError> {
        let sql = "INSERT INTO operators \
                   (name, password_hash, allowed_ips, tokens_valid_from_secs, created_at) \
                   VALUES ($1, $2, $3, 0, $4) RETURNING id";
        let created_at = new.created_at.as_microsecond();
        let row = (&new.name, &new.password_hash, &new.allowed_ips, created_at);
        Ok(self.connection.prepare_cached(sql)?.query_row(row, |row| row.get(0))?)
    }

    /// Writes everything of an operator that can change.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn update_operator(&mut self, operator: &Operator) -> Result<(), StoreError> {
        let sql = "UPDATE operators SET password_hash = $1, enabled = $2, allowed_ips = $3, \
                   tokens_valid_from_secs = $4 WHERE id = $5";
        self.connection.prepare_cached(sql)?.execute((
            &operator.password_hash,
            operator.enabled,
            &operator.allowed_ips,
            operator.tokens_valid_from_secs,
            operator.id,
        ))?;
        Ok(())
    }

    /// A setting, if there is one.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM settings WHERE name = $1";
        Ok(self.connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
    }

    /// A setting, made with `make` when there is none yet.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn setting_or(
        &mut self,
        name: &str,
        make: impl FnOnce() -> String,
    ) -> Result<String, StoreError> {
        if let Some(value) = self.setting(name).await? {
            return Ok(value);
        }
        let value = make();
        self.connection
            .prepare_cached("INSERT INTO settings (name, value) VALUES ($1, $2)")?
            .execute((name, &value))?;
        Ok(value)
    }
}
