//! Where operators have signed in from.

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::tx::Tx;

/// What is known of an address that an operator has come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    /// They have never come from anywhere before.
    First,
    /// They have come from elsewhere only.
    New,
    /// They have come from there before.
    Known,
}

impl Tx {
    /// Remembers that an operator has come from an address.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn note_address(
        &mut self,
        operator: i64,
        address: &str,
        now: Timestamp,
    ) -> Result<Coming, StoreError> {
        let seen = "UPDATE operator_addresses SET seen_at = $1 \
                    WHERE operator_id = $2 AND address = $3";
        let (operator, address, now) =
            (Value::Int(operator), Value::text(address), Value::Time(now));
        if self.execute(seen, &[now.clone(), operator.clone(), address.clone()]).await? > 0 {
            return Ok(Coming::Known);
        }
        let any = "SELECT 1 FROM operator_addresses WHERE operator_id = $1 LIMIT 1";
        let others = self.read_one(any, std::slice::from_ref(&operator), |_| Ok(())).await?;
        let add = "INSERT INTO operator_addresses (operator_id, address, seen_at) \
                   VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        if self.execute(add, &[operator, address, now]).await? == 0 {
            // They have just come from there at another node.
            return Ok(Coming::Known);
        }
        Ok(if others.is_some() { Coming::New } else { Coming::First })
    }

    /// Forgets up to `limit` addresses that nobody has come from since `cutoff`, but for each
    /// operator's last one: whoever comes back from elsewhere after a long time is told of. Says
    /// how many.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget_addresses(
        &mut self,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let sql = "DELETE FROM operator_addresses WHERE seen_at < $1 AND (operator_id, address) IN \
                   (SELECT operator_id, address FROM operator_addresses AS old WHERE seen_at < $1 \
                   AND EXISTS (SELECT 1 FROM operator_addresses AS later \
                   WHERE later.operator_id = old.operator_id AND later.seen_at > old.seen_at) \
                   LIMIT $2)";
        self.execute(sql, &[Value::Time(cutoff), Value::Int(i64::from(limit))]).await
    }
}
