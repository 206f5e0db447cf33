//! Operators, the people and programs that sign in, and the settings kept with the data.

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::row::Row;
use crate::session::Session;
use crate::tx::Tx;

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

fn operator(row: Row<'_>) -> Result<Operator, StoreError> {
    Ok(Operator {
        id: row.int(0)?,
        name: row.text(1)?,
        password_hash: row.text(2)?,
        enabled: row.bool(3)?,
        allowed_ips: row.optional_text(4)?,
        tokens_valid_from_secs: row.int(5)?,
        created_at: row.time(6)?,
    })
}

/// Every operator, by name. There are few.
pub async fn all(session: &Session) -> Result<Vec<Operator>, StoreError> {
    let mut operators = Vec::new();
    let sql = format!("{SELECT} ORDER BY name");
    session
        .read(&sql, &[], |row| {
            operators.push(operator(row)?);
            Ok(())
        })
        .await?;
    Ok(operators)
}

fn optional_text(text: Option<&String>) -> Value {
    text.map_or(Value::Null, Value::text)
}

impl Tx {
    /// The operator of this name.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn operator(&mut self, name: &str) -> Result<Option<Operator>, StoreError> {
        let sql = format!("{SELECT} WHERE name = $1");
        self.read_one(&sql, &[Value::text(name)], operator).await
    }

    /// Whether there is any operator yet.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn has_operators(&mut self) -> Result<bool, StoreError> {
        Ok(self.read_one("SELECT 1 FROM operators LIMIT 1", &[], |_| Ok(())).await?.is_some())
    }

    /// Adds an operator.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn insert_operator(&mut self, new: &NewOperator) -> Result<i64, StoreError> {
        let sql = "INSERT INTO operators \
                   (name, password_hash, allowed_ips, tokens_valid_from_secs, created_at) \
                   VALUES ($1, $2, $3, 0, $4) RETURNING id";
        let params = [
            Value::text(&new.name),
            Value::text(&new.password_hash),
            optional_text(new.allowed_ips.as_ref()),
            Value::Time(new.created_at),
        ];
        let id = self.read_one(sql, &params, |row| row.int(0)).await?;
        id.ok_or_else(|| StoreError::Malformed("id".to_owned()))
    }

    /// Writes everything of an operator that can change.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn update_operator(&mut self, operator: &Operator) -> Result<(), StoreError> {
        let sql = "UPDATE operators SET password_hash = $1, enabled = $2, allowed_ips = $3, \
                   tokens_valid_from_secs = $4 WHERE id = $5";
        let params = [
            Value::text(&operator.password_hash),
            Value::Bool(operator.enabled),
            optional_text(operator.allowed_ips.as_ref()),
            Value::Int(operator.tokens_valid_from_secs),
            Value::Int(operator.id),
        ];
        self.execute(sql, &params).await?;
        Ok(())
    }

    /// A setting, if there is one.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM settings WHERE name = $1";
        self.read_one(sql, &[Value::text(name)], |row| row.text(0)).await
    }

    /// A setting, made with `make` when there is none yet. Writers that make it at the same time
    /// agree on one.
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
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, &[Value::text(name), Value::text(make())]).await?;
        let made = self.setting(name).await?;
        made.ok_or_else(|| StoreError::Malformed(name.to_owned()))
    }
}
