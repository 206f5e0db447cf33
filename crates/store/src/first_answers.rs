//! First answers to requests that carry an `Idempotency-Key`, kept beside the effects they tell
//! of: whoever asks again gets the same answer.

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use crate::error::StoreError;
use crate::lane::Tx;

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
        let sql = "SELECT fingerprint, status, content_type, location, tagged, body \
                   FROM first_answers WHERE operator_id = $1 AND key = $2";
        let found = self.connection.prepare_cached(sql)?.query_row((operator, key), |row| {
            Ok(FirstAnswer {
                fingerprint: row.get(0)?,
                status: row.get(1)?,
                content_type: row.get(2)?,
                location: row.get(3)?,
                tagged: row.get(4)?,
                body: row.get(5)?,
            })
        });
        Ok(found.optional()?)
    }

    /// Keeps the answer to this operator's first request with this key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one already.
    pub async fn keep_answer(
        &mut self,
        operator: i64,
        key: &str,
        answer: &FirstAnswer,
        created_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO first_answers (operator_id, key, fingerprint, status, content_type, \
                   location, tagged, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        self.connection.prepare_cached(sql)?.execute((
            operator,
            key,
            answer.fingerprint,
            answer.status,
            &answer.content_type,
            &answer.location,
            answer.tagged,
            &answer.body,
            created_at.as_microsecond(),
        ))?;
        Ok(())
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
        Ok(self.connection.prepare_cached(sql)?.execute((cutoff.as_microsecond(), limit))?)
    }
}
