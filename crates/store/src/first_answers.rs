//! First answers to requests that carry an `Idempotency-Key`, kept beside the effects they tell
//! of: whoever asks again gets the same answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::row::Row;
use crate::session::Dialect;
use crate::statement::Statement;
use crate::table::insert_rows;

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

const COLUMNS: [(&str, &str); 9] = [
    ("operator_id", "bigint"),
    ("key", "text"),
    ("fingerprint", "text"),
    ("status", "bigint"),
    ("content_type", "text"),
    ("location", "text"),
    ("tagged", "boolean"),
    ("body", "text"),
    ("created_at", "timestamptz"),
];

impl Kept {
    /// Writes answers down.
    pub fn insert(dialect: Dialect, answers: impl Iterator<Item = Self>) -> Vec<Statement> {
        let mut rows = answers.map(Self::row).peekable();
        match dialect {
            _ if rows.peek().is_none() => Vec::new(),
            Dialect::Sqlite => {
                let sql = "INSERT INTO first_answers (operator_id, key, fingerprint, status, \
                           content_type, location, tagged, body, created_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
                rows.map(|row| Statement::new(sql, row.to_vec())).collect()
            }
            Dialect::Postgres => {
                let sql = insert_rows("first_answers", &COLUMNS);
                vec![Statement::of_rows(sql, COLUMNS.len(), rows.flatten())]
            }
        }
    }

    fn row(self) -> [Value; COLUMNS.len()] {
        let text = |text: Option<String>| text.map_or(Value::Null, Value::text);
        let FirstAnswer { fingerprint, status, content_type, location, tagged, body } = self.answer;
        [
            Value::Int(self.operator),
            Value::text(self.key),
            Value::text(hex(&fingerprint)),
            Value::Int(i64::from(status)),
            text(content_type),
            text(location),
            Value::Bool(tagged),
            Value::text(String::from_utf8_lossy(&body)),
            Value::Time(self.created_at),
        ]
    }
}

impl FirstAnswer {
    /// The answers under these keys, to be read with [`Self::with_key`].
    pub(crate) fn of(keys: &BTreeSet<(i64, String)>) -> Statement {
        let sql = "SELECT fingerprint, status, content_type, location, tagged, body, \
                   operator_id, key FROM first_answers \
                   WHERE (operator_id, key) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))";
        let rows =
            keys.iter().flat_map(|(operator, key)| [Value::Int(*operator), Value::text(key)]);
        Statement::of_rows(sql, 2, rows)
    }

    pub(crate) fn with_key(row: Row<'_>) -> Result<((i64, String), Self), StoreError> {
        Ok(((row.int(6)?, row.text(7)?), Self::read(row)?))
    }

    pub(crate) fn read(row: Row<'_>) -> Result<Self, StoreError> {
        let malformed = || StoreError::Malformed("first_answers".to_owned());
        Ok(Self {
            fingerprint: from_hex(&row.text(0)?).ok_or_else(malformed)?,
            status: u16::try_from(row.int(1)?).map_err(|_| malformed())?,
            content_type: row.optional_text(2)?,
            location: row.optional_text(3)?,
            tagged: row.bool(4)?,
            body: row.text(5)?.into_bytes(),
        })
    }
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
