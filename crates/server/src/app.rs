//! What all requests share: the database, the tokens, the operators, the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use jsonapi::{Input, Resource, Value};
use store::{Store, StoreError};
use tokio::sync::Semaphore;
use uuid::{ContextV1, Uuid};

use crate::auth::{Operators, Throttle, Tokens};
use crate::clock::{Clock, Moment};
use crate::error::ApiError;
use crate::secrets::{Cipher, Fingerprints};

/// Passwords checked at once: each takes a core and 19 MiB for a while.
const PASSWORD_CHECKS_MAX: usize = 2;
/// The name of the setting that holds the generated secret.
const SECRET: &str = "secret";
/// Length of a generated secret, in bytes.
const SECRET_BYTES: usize = 48;

/// The application.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Issues and reads tokens.
    pub tokens: Tokens,
    /// Operators as of a moment ago.
    pub operators: Operators,
    /// Counts failed sign-ins.
    pub throttle: Throttle,
    /// Bounds the passwords checked at once.
    pub password_checks: Semaphore,
    /// Tells this process from every other one on the database.
    pub node: String,
    /// Whether this process is about to stop: it serves, but wants no new clients.
    pub leaving: Arc<AtomicBool>,
    cipher: Cipher,
    fingerprints: Fingerprints,
    clock: Clock,
    uuid_context: ContextV1,
    uuid_node: [u8; 6],
}

impl App {
    /// An application over an open database. Without a configured secret, one is made once and
    /// kept in the database.
    ///
    /// # Errors
    /// When the secret cannot be kept, or the system has no randomness to give.
    pub async fn new(
        store: Store,
        secret: Option<String>,
        token_lifetime_secs: u32,
        clock: Clock,
    ) -> anyhow::Result<Arc<Self>> {
        let mut seed = [0_u8; 8];
        getrandom::fill(&mut seed)?;
        Self::seeded(store, secret, token_lifetime_secs, clock, seed).await
    }

    /// The same with what makes its uuids unlike those of others, which must be random: clock
    /// sequence and node (RFC 9562, 5.1).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn seeded(
        store: Store,
        secret: Option<String>,
        token_lifetime_secs: u32,
        clock: Clock,
        seed: [u8; 8],
    ) -> anyhow::Result<Arc<Self>> {
        let secret = match secret {
            Some(secret) => secret,
            None => kept_secret(&store).await?,
        };
        let [a, b, node @ ..] = seed;
        let mut uuid_node: [u8; 6] = node;
        uuid_node[0] |= 1; // the multicast bit: not the address of any real card (RFC 9562, 6.10)
        Ok(Arc::new(Self {
            store,
            tokens: Tokens::new(&secret, token_lifetime_secs),
            operators: Operators::default(),
            throttle: Throttle::new(&secret),
            password_checks: Semaphore::new(PASSWORD_CHECKS_MAX),
            node: Uuid::new_v4().simple().to_string(),
            leaving: Arc::default(),
            cipher: Cipher::new(&secret),
            fingerprints: Fingerprints::new(&secret),
            clock,
            uuid_context: ContextV1::new(u16::from_be_bytes([a, b])),
            uuid_node,
        }))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// From now on clients are told to go elsewhere.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// The time and a fresh uuid, for one operation.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let now = self.now();
        let secs = u64::try_from(now.as_second()).unwrap_or_default();
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
        let timestamp = uuid::Timestamp::from_unix(&self.uuid_context, secs, nanos);
        Moment { now, uuid: Uuid::new_v1(timestamp, &self.uuid_node) }
    }

    /// What stands for these parts of a request, where the request itself is not kept.
    #[must_use]
    pub fn fingerprint(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.fingerprints.of(parts)
    }

    /// Encrypts what a document sends for write-only attributes.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, resource: &Resource, input: &mut Input) -> Result<(), ApiError> {
        for (position, value) in &mut input.values {
            if resource.attributes[*position].is_write_only()
                && let Ok(Value::Text(text)) = value
            {
                let sealed = self.cipher.seal(text).map_err(ApiError::Internal)?;
                *value = Ok(Value::text(sealed));
            }
        }
        Ok(())
    }
}

async fn kept_secret(store: &Store) -> anyhow::Result<String> {
    use base64::Engine as _;
    let mut fresh = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut fresh)?;
    let fresh = base64::engine::general_purpose::STANDARD.encode(fresh);
    let kept: Result<String, StoreError> =
        store.write(async move |tx| tx.setting_or(SECRET, || fresh.clone()).await).await;
    Ok(kept?)
}
