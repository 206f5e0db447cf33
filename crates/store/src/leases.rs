//! Leases: which of the nodes on one database does a job, until when.

use jiff::Timestamp;
use jsonapi::Value;

use crate::error::StoreError;
use crate::store::Store;

/// A lease that is free, over, or the holder's own is taken until its new end.
const TAKE: &str = "INSERT INTO leases (name, holder, expires_at) VALUES ($1, $2, $3) \
                    ON CONFLICT (name) DO UPDATE \
                    SET holder = excluded.holder, expires_at = excluded.expires_at \
                    WHERE leases.holder = excluded.holder OR leases.expires_at <= $4";

impl Store {
    /// Takes a lease, or renews it; says whether it is the holder's now. `now` is the holder's
    /// clock: nodes whose clocks are apart disagree for as long on when a lease is over.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let params = [Value::text(name), Value::text(holder), Value::Time(until), Value::Time(now)];
        self.write(async move |tx| Ok(tx.execute(TAKE, &params).await? > 0)).await
    }

    /// Gives a lease back before its end, if it is the holder's.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM leases WHERE name = $1 AND holder = $2";
        let params = [Value::text(name), Value::text(holder)];
        self.write(async move |tx| tx.execute(sql, &params).await.map(|_| ())).await
    }
}
