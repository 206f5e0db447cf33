//! What all requests share: the database, the tokens, the clock, and the router over them.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use jsonapi::{Error, Input, Resource, Value};
use store::{Store, StoreError};
use tokio::sync::Semaphore;
use uuid::{ContextV1, Uuid};

use crate::accounts::balance_router;
use crate::auth::{self, Operators, Throttle, Tokens};
use crate::clock::Clock;
use crate::error::ApiError;
use crate::http::{Reply, render_metrics};
use crate::openapi;
use crate::rest::{self, Moment, answer};
use crate::secrets::Cipher;
use crate::timezones;

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
    cipher: Cipher,
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
        let secret = match secret {
            Some(secret) => secret,
            None => kept_secret(&store).await?,
        };
        let mut seed = [0_u8; 8];
        getrandom::fill(&mut seed)?;
        let [a, b, node @ ..] = seed;
        let mut uuid_node: [u8; 6] = node;
        uuid_node[0] |= 1; // the multicast bit: not the address of any real card (RFC 9562, 6.10)
        Ok(Arc::new(Self {
            store,
            tokens: Tokens::new(&secret, token_lifetime_secs),
            operators: Operators::default(),
            throttle: Throttle::default(),
            password_checks: Semaphore::new(PASSWORD_CHECKS_MAX),
            cipher: Cipher::new(&secret),
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

    /// The time and a fresh uuid, for one operation.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let now = self.now();
        let secs = u64::try_from(now.as_second()).unwrap_or_default();
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
        let timestamp = uuid::Timestamp::from_unix(&self.uuid_context, secs, nanos);
        Moment { now, uuid: Uuid::new_v1(timestamp, &self.uuid_node) }
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

    /// Every path that is served.
    pub fn router(self: &Arc<Self>) -> Router {
        let simple: [(&str, SimpleHandler); 4] = [
            ("/healthz", |_, request| Box::pin(async move { healthz(&request) })),
            ("/readyz", |app, request| Box::pin(readyz(app, request))),
            ("/metrics", |app, request| Box::pin(async move { metrics(&app, &request) })),
            (openapi::PATH, |_, request| Box::pin(async move { openapi_document(&request) })),
        ];
        let mut router = Router::new()
            .merge(rest::router(self))
            .merge(balance_router(self))
            .merge(timezones::router(self));
        for (path, handler) in simple {
            router = answer(router, self, path.to_owned(), handler);
        }
        router = answer(router, self, auth::PATH.to_owned(), |app, request| async move {
            Ok(auth::sign_in(app, request).await)
        });
        router.fallback(|| async { Reply::from(ApiError::from(Error::path_not_found())) })
    }
}

type SimpleHandler = fn(Arc<App>, Request) -> SimpleAnswer;
type SimpleAnswer = std::pin::Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send>>;

async fn kept_secret(store: &Store) -> anyhow::Result<String> {
    use base64::Engine as _;
    let mut fresh = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut fresh)?;
    let fresh = base64::engine::general_purpose::STANDARD.encode(fresh);
    let kept: Result<String, StoreError> =
        store.write(async move |tx| tx.setting_or(SECRET, || fresh).await).await;
    Ok(kept?)
}

fn only_get(request: &Request) -> Result<(), ApiError> {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        Ok(())
    } else {
        Err(ApiError::method_not_allowed(request.method(), "GET, HEAD"))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// The process lives.
fn healthz(request: &Request) -> Result<Reply, ApiError> {
    only_get(request)?;
    Ok(Reply::plain(StatusCode::OK, TEXT, b"ok\n".to_vec()))
}

/// The database answers.
async fn readyz(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    only_get(&request)?;
    match app.store.ping().await {
        Ok(()) => Ok(Reply::plain(StatusCode::OK, TEXT, b"ready\n".to_vec())),
        Err(error) => {
            tracing::error!(%error, "not ready");
            let body = b"the database does not answer\n".to_vec();
            Ok(Reply::plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, body))
        }
    }
}

fn metrics(app: &App, request: &Request) -> Result<Reply, ApiError> {
    only_get(request)?;
    let text = render_metrics(app.store.figures());
    Ok(Reply::plain(StatusCode::OK, "text/plain; version=0.0.4", text.into_bytes()))
}

fn openapi_document(request: &Request) -> Result<Reply, ApiError> {
    only_get(request)?;
    let document = openapi::document().into_bytes();
    Ok(Reply::tagged(StatusCode::OK, "application/json", document))
}
