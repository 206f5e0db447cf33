//! Failed sign-ins, counted by address and name, so that guessing takes for ever. The counters are
//! in the database: who guesses at one node is known to all.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use store::{Failures, Store, StoreError};

use crate::secrets::Fingerprints;

/// Length of the window in which failures are counted.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// Failures per window of one name from one address.
const PER_NAME_MAX: i64 = 10;
/// Failures per window of one address, whatever the names.
const PER_ADDRESS_MAX: i64 = 100;

/// Counts failed attempts.
#[derive(Debug)]
pub struct Throttle {
    fingerprints: Fingerprints,
}

/// One attempt to sign in, and what was counted before it.
#[derive(Debug)]
pub struct Attempt<'a> {
    store: &'a Store,
    by_name: String,
    by_address: String,
    counted: Vec<Failures>,
}

impl Throttle {
    /// A throttle whose keys are digests under the server's secret: the database does not tell
    /// which names were tried, and rows have one size however long the names are.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self { fingerprints: Fingerprints::new(secret) }
    }

    /// An attempt at this name from this address. Costs one read.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub async fn attempt<'a>(
        &self,
        store: &'a Store,
        address: IpAddr,
        name: &str,
    ) -> Result<Attempt<'a>, StoreError> {
        let address = address.to_canonical().to_string();
        let by_name = self.key(&[b"throttle by name", address.as_bytes(), name.as_bytes()]);
        let by_address = self.key(&[b"throttle by address", address.as_bytes()]);
        let counted = store.failures([&by_name, &by_address]).await?;
        Ok(Attempt { store, by_name, by_address, counted })
    }

    fn key(&self, parts: &[&[u8]]) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(self.fingerprints.of(parts))
    }
}

impl Attempt<'_> {
    /// How long this address must wait before it may try this name again, if it must.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<SignedDuration> {
        let waits = self.counted.iter().filter_map(|failures| {
            let max = if failures.key == self.by_name { PER_NAME_MAX } else { PER_ADDRESS_MAX };
            // The window may have begun by the clock of a node that is ahead.
            let left = now.duration_until(failures.end).min(WINDOW);
            (failures.count >= max && left > SignedDuration::ZERO).then_some(left)
        });
        waits.max()
    }

    /// Counts the failure of this attempt.
    ///
    /// # Errors
    /// When it cannot be counted: then nobody may hear how the attempt ended.
    pub async fn failed(self, now: Timestamp) -> Result<(), StoreError> {
        let mut keys = [self.by_name, self.by_address];
        // One order, so that two nodes do not wait for each other.
        keys.sort_unstable();
        let end = now.checked_add(WINDOW).unwrap_or(Timestamp::MAX);
        let count = async move |tx: &mut store::Tx| {
            for key in &keys {
                tx.count_failure(key, now, end).await?;
            }
            Ok(())
        };
        self.store.write(count).await
    }

    /// Forgets the failures of a name that signed in after all. Writes only if there were any.
    ///
    /// # Errors
    /// When they cannot be forgotten.
    pub async fn succeeded(self) -> Result<(), StoreError> {
        if self.counted.iter().all(|failures| failures.key != self.by_name) {
            return Ok(());
        }
        let key = self.by_name;
        self.store.write(async move |tx| tx.forget_failures(&key).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::API;

    /// Two nodes on one database, whose file goes with the directory.
    async fn nodes() -> (tempfile::TempDir, [Store; 2], Throttle) {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("throttle.db").display());
        let stores = [Store::open(&url, API).await.unwrap(), Store::open(&url, API).await.unwrap()];
        (directory, stores, Throttle::new("secret"))
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn the_eleventh_try_waits_until_the_window_is_over_whichever_node_it_asks() {
        let (_directory, stores, throttle) = nodes().await;
        let start = Timestamp::UNIX_EPOCH;
        for tries in 0..10 {
            let attempt = throttle.attempt(&stores[tries % 2], HERE, "admin").await.unwrap();
            assert_eq!(attempt.wait(start), None);
            attempt.failed(start).await.unwrap();
        }
        for store in &stores {
            let waits = async |address, name: &str, now| {
                throttle.attempt(store, address, name).await.unwrap().wait(now)
            };
            assert_eq!(waits(HERE, "admin", start).await, Some(WINDOW));
            assert_eq!(waits(HERE, "other", start).await, None);
            assert_eq!(waits(ELSEWHERE, "admin", start).await, None);
            let last = start + WINDOW - SignedDuration::from_secs(1);
            assert_eq!(waits(HERE, "admin", last).await, Some(SignedDuration::from_secs(1)));
            assert_eq!(waits(HERE, "admin", start + WINDOW).await, None);
            // A clock that is behind waits for no longer than a window.
            assert_eq!(waits(HERE, "admin", start - WINDOW).await, Some(WINDOW));
        }
        // The first failure after the window is the first of the next.
        let over = start + WINDOW;
        throttle.attempt(&stores[0], HERE, "admin").await.unwrap().failed(over).await.unwrap();
        let attempt = throttle.attempt(&stores[1], HERE, "admin").await.unwrap();
        assert_eq!(attempt.wait(over), None);
        assert_eq!(attempt.counted.iter().map(|failures| failures.count).max(), Some(1));
    }

    #[tokio::test]
    async fn an_address_that_tries_many_names_waits_too() {
        let (_directory, stores, throttle) = nodes().await;
        let start = Timestamp::UNIX_EPOCH;
        for number in 0..PER_ADDRESS_MAX {
            let name = number.to_string();
            let attempt = throttle.attempt(&stores[0], HERE, &name).await.unwrap();
            assert_eq!(attempt.wait(start), None);
            attempt.failed(start).await.unwrap();
        }
        let attempt = throttle.attempt(&stores[1], HERE, "fresh").await.unwrap();
        assert_eq!(attempt.wait(start), Some(WINDOW));
        // Who signs in at last has their own failures forgotten, not those of the address.
        let attempt = throttle.attempt(&stores[1], HERE, "1").await.unwrap();
        attempt.succeeded().await.unwrap();
        let attempt = throttle.attempt(&stores[0], HERE, "1").await.unwrap();
        assert_eq!(attempt.counted.len(), 1);
        assert_eq!(attempt.wait(start), Some(WINDOW));
    }
}
