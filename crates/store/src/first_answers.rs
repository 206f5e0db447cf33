//! First answers to requests that carry an `Idempotency-Key`, kept beside the effects they tell
//! of: whoever asks again gets the same answer.

use std::fmt::Write as _;

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::session::{Row, Statement};
use crate::tx::Tx;

/// What was answered to the first request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstAnswer {
    /// Stands for the request: method, path and body.
    pub fingerprint: [u8; 32],
    /// The status.
    pub status: u16,
    /// The type of the body, if there was one.
    pub content_type: Option<String>,
    /// The URL of what was created.
    pub location: Option<String>,
    /// Whether the answer had an `ETag`.
    pub tagged: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer on its way to the table.
#[derive(Debug)]
pub struct Kept {
    pub operator: i64,
    pub key: String,
    pub answer: FirstAnswer,
    pub created_at: Timestamp,
}

impl Kept {
    pub fn insert(self) -> Statement {
        let text = |text: Option<String>| text.map_or(Value::Null, Value::text);
        let FirstAnswer { fingerprint, status, content_type, location, tagged, body } = self.answer;
        let params = vec![
            Value::Int(self.operator),
            Value::text(self.key),
            Value::text(hex(&fingerprint)),
            Value::Int(i64::from(status)),
            text(content_type),
            text(location),
            Value::Bool(tagged),
            Value::text(String::from_utf8_lossy(&body)),
            Value::Time(self.created_at),
        ];
        let sql = "INSERT INTO first_answers (operator_id, key, fingerprint, status, content_type, \
                   location, tagged, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        Statement::new(sql, params)
    }
}

fn first_answer(row: Row<'_>) -> Result<FirstAnswer, StoreError> {
    let malformed = || StoreError::Malformed("first_answers".to_owned());
    Ok(FirstAnswer {
        fingerprint: from_hex(&row.text(0)?).ok_or_else(malformed)?,
        status: u16::try_from(row.int(1)?).map_err(|_| malformed())?,
        content_type: row.optional_text(2)?,
        location: row.optional_text(3)?,
        tagged: row.bool(4)?,
        body: row.text(5)?.into_bytes(),
    })
}

fn hex(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl Tx {
    /// What was answered to this operator's first request with this key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn first_answer(
        &mut self,
        operator: i64,
        key: &str,
    ) -> Result<Option<FirstAnswer>, StoreError> {
        if let Some(answer) = self.work.answer(operator, key) {
            return Ok(Some(answer.clone()));
        }
        let sql = "SELECT fingerprint, status, content_type, location, tagged, body \
                   FROM first_answers WHERE operator_id = $1 AND key = $2";
        self.read_one(sql, &[Value::Int(operator), Value::text(key)], first_answer).await
    }

    /// Keeps the answer to this operator's first request with this key; its body is UTF-8.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one already, though perhaps only later: then the
    /// operation runs again.
    pub async fn keep_answer(
        &mut self,
        operator: i64,
        key: &str,
        answer: &FirstAnswer,
        created_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mark = self.work.mark();
        let (key, answer) = (key.to_owned(), answer.clone());
        self.work.keep_answer(Kept { operator, key, answer, created_at });
        let kept = self.write_through(mark).await;
        if matches!(kept, Err(StoreError::Conflict)) {
            // Another node has just answered this key: its answer is found when all run again.
            self.repeat();
        }
        kept
    }

    /// Forgets up to `limit` answers given before `cutoff`, the oldest first; says how many.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget_answers(
        &mut self,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let sql = "DELETE FROM first_answers WHERE id IN (SELECT id FROM first_answers \
                   WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
        self.execute(sql, &[Value::Time(cutoff), Value::Int(i64::from(limit))]).await
    }
}
