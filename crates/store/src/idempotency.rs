//! First answers in the transaction of the effects that they tell of.

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::first_answers::{FirstAnswer, Kept};
use crate::tx::Tx;
use crate::work::Known;

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
        match self.work.answer(operator, key) {
            Known::There(answer) => return Ok(Some(answer.clone())),
            Known::Absent => return Ok(None),
            Known::Not => {}
        }
        let sql = "SELECT fingerprint, status, content_type, location, tagged, body \
                   FROM first_answers WHERE operator_id = $1 AND key = $2";
        self.read_one(sql, &[Value::Int(operator), Value::text(key)], FirstAnswer::read).await
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
            self.collide();
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
