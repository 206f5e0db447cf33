//! What all requests share: the database, the tokens, the operators, the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonapi::{Input, Resource, Value};
use store::{Store, StoreError};
use tokio::sync::{Notify, OnceCell, Semaphore};
use uuid::{ContextV1, Uuid};

use crate::auth::{Operators, Throttle, Tokens};
use crate::clock::{self, Clock, Moment};
use crate::error::ApiError;
use crate::http::Outbound;
use crate::secrets::{Cipher, Fingerprints};

/// Passwords checked at once: each takes a core and 19 MiB for a while.
const PASSWORD_CHECKS_MAX: usize = 2;
/// The name of the setting that holds the generated secret.
const SECRET: &str = "secret";
/// Length of a generated secret, in bytes.
const SECRET_BYTES: usize = 48;

/// How an application is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Key of the tokens and of stored secrets; without one, one is made once and kept in the
    /// database.
    pub secret: Option<String>,
    /// Seconds until a token expires; 0 is never.
    pub token_lifetime_secs: u32,
    /// How events are delivered.
    pub delivering: Delivering,
    /// How long people stay signed in to the console.
    pub staying: Staying,
    /// What the time is.
    pub clock: Clock,
    /// What makes uuids unlike those of others, which must be random: clock sequence and node
    /// (RFC 9562, 5.1). Without it, the system is asked.
    pub uuid_seed: Option<[u8; 8]>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            secret: None,
            token_lifetime_secs: 600,
            delivering: Delivering::default(),
            staying: Staying::default(),
            clock: clock::system,
            uuid_seed: None,
        }
    }
}

/// How events are delivered.
#[derive(Clone, Copy, Debug)]
pub struct Delivering {
    /// Whether webhooks may be at private, loopback and link-local addresses.
    pub webhook_allow_private: bool,
    /// How long a webhook may take to answer.
    pub webhook_time_max: Duration,
    /// Whether an account's own contacts are mailed of its balance (contract, resources 20).
    pub account_notifications: bool,
    /// Mails to one contact within an hour; what is more waits, and comes as one. 0 is no limit.
    pub mails_per_hour: u32,
}

impl Default for Delivering {
    fn default() -> Self {
        Self {
            webhook_allow_private: false,
            webhook_time_max: Duration::from_secs(10),
            account_notifications: true,
            mails_per_hour: 20,
        }
    }
}

/// How long people stay signed in to the console.
#[derive(Clone, Copy, Debug)]
pub struct Staying {
    /// Without a request.
    pub idle: SignedDuration,
    /// At all.
    pub longest: SignedDuration,
}

impl Default for Staying {
    fn default() -> Self {
        Self { idle: SignedDuration::from_mins(30), longest: SignedDuration::from_hours(12) }
    }
}

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
    /// How events are delivered.
    pub delivering: Delivering,
    /// How long people stay signed in to the console.
    pub staying: Staying,
    /// Rings when a task of this process is to begin.
    pub task_bell: Notify,
    outbound: OnceCell<Outbound>,
    cipher: Cipher,
    fingerprints: Fingerprints,
    clock: Clock,
    uuid_context: ContextV1,
    uuid_node: [u8; 6],
}

impl App {
    /// An application over an open database.
    ///
    /// # Errors
    /// When the secret cannot be kept, or the system has no randomness to give.
    pub async fn new(store: Store, options: Options) -> anyhow::Result<Arc<Self>> {
        let Options { secret, token_lifetime_secs, delivering, staying, clock, uuid_seed } =
            options;
        let secret = match secret {
            Some(secret) => secret,
            None => kept_secret(&store).await?,
        };
        let mut seed = uuid_seed.unwrap_or_default();
        if uuid_seed.is_none() {
            getrandom::fill(&mut seed)?;
        }
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
            delivering,
            staying,
            task_bell: Notify::new(),
            outbound: OnceCell::new(),
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

    /// What posts to webhooks; made when it is first asked for.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn outbound(&self) -> anyhow::Result<&Outbound> {
        let Delivering { webhook_allow_private, webhook_time_max, .. } = self.delivering;
        let make = async || Outbound::new(webhook_allow_private, webhook_time_max);
        self.outbound.get_or_try_init(make).await
    }

    /// Encrypts a text that is to be kept.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal_text(&self, text: &str) -> Result<String, ApiError> {
        self.cipher.seal(text).map_err(ApiError::Internal)
    }

    /// Decrypts a text that was kept; `None` when the server's secret was another then.
    #[must_use]
    pub fn open_text(&self, sealed: &str) -> Option<String> {
        self.cipher.open(sealed)
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
                *value = Ok(Value::text(self.seal_text(text)?));
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
