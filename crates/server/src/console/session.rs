//! Who is signed in: a cookie that names a row, ended by idleness, by age and by its owner.
//!
//! The browser holds 32 random bytes, the database their digest: whoever reads it cannot sign in.
//! Requests that change something carry a token made of those bytes, which no other site knows.

use std::sync::Arc;

use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{COOKIE, HeaderMap};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use store::{ConsoleSession, Operator, StoreError, Tx};

use crate::app::{App, Staying};
use crate::auth::{Caller, Claims};
use crate::http::RequestInfo;

/// The cookie.
const COOKIE_NAME: &str = "tollkeeper_session";
/// The header of what a page asks for again and again: that keeps nobody signed in.
const UNATTENDED: &str = "x-unattended";
/// Bytes of randomness in it.
const KEY_BYTES: usize = 32;
/// How far `seen_at` may be behind, so that looking at pages is not a write each.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// Somebody signed in, and their request.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who asks, as operations are told.
    pub caller: Caller,
    /// The operator.
    pub operator: Arc<Operator>,
    /// Their session's key in the database.
    pub key: String,
    /// What forms must send back.
    pub csrf: String,
    /// `https://host`, what links to the API begin with.
    pub origin: String,
}

/// What the browser is to hold for a new session.
#[derive(Debug)]
pub struct Begun {
    cookie: String,
}

impl Begun {
    /// The header that gives it to the browser.
    #[must_use]
    pub fn header(&self, origin: &str) -> String {
        format!("{COOKIE_NAME}={}; {}", self.cookie, attributes(origin))
    }
}

/// The header that takes the cookie from the browser.
#[must_use]
pub fn farewell(origin: &str) -> String {
    format!("{COOKIE_NAME}=; Max-Age=0; {}", attributes(origin))
}

fn attributes(origin: &str) -> &'static str {
    // On plain HTTP, which is for one's own machine, browsers would not keep a secure cookie.
    if origin.starts_with("https:") {
        "Path=/; HttpOnly; SameSite=Strict; Secure"
    } else {
        "Path=/; HttpOnly; SameSite=Strict"
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    pairs.flat_map(|header| header.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    })
}

fn key_of(cookie: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(cookie.as_bytes()))
}

/// Begins a session, of the time at which the password was looked at: one that changes from then on
/// ends it.
///
/// # Errors
/// When it cannot be kept, or the system has no randomness to give.
pub async fn begin(
    app: &App,
    operator: &Operator,
    address: &str,
    now: Timestamp,
) -> anyhow::Result<Begun> {
    let mut random = [0_u8; KEY_BYTES];
    getrandom::fill(&mut random)?;
    let cookie = URL_SAFE_NO_PAD.encode(random);
    // Not before the time from which what was begun counts (see `Tokens::issue`).
    let valid_from = Timestamp::from_second(operator.tokens_valid_from_secs).unwrap_or(now);
    let session = ConsoleSession {
        key: key_of(&cookie),
        operator_id: operator.id,
        address: address.to_owned(),
        started_at: now.max(valid_from),
        seen_at: now,
    };
    let begun: Result<(), StoreError> =
        app.store.write(async move |tx: &mut Tx| tx.begin_console_session(&session).await).await;
    begun?;
    Ok(Begun { cookie })
}

/// What a request says of who sent it.
#[derive(Clone, Debug)]
pub struct Claimed {
    cookie: String,
    /// Whether a page asks by itself, without anybody's doing.
    is_unattended: bool,
    info: RequestInfo,
}

impl Claimed {
    /// What this request says; `None` without a cookie.
    #[must_use]
    pub fn by(request: &Request) -> Option<Self> {
        let cookie = cookie(request.headers())?.to_owned();
        let is_unattended = request.headers().contains_key(UNATTENDED);
        Some(Self {
            cookie,
            is_unattended,
            info: request.extensions().get::<RequestInfo>()?.clone(),
        })
    }
}

/// Who sent the request, if they are signed in.
///
/// # Errors
/// When the database cannot be asked.
pub async fn visitor(app: &App, claimed: Option<Claimed>) -> Result<Option<Visitor>, StoreError> {
    let Some(Claimed { cookie, is_unattended, info }) = claimed else { return Ok(None) };
    let key = key_of(&cookie);
    let Some(session) = app.store.console_session(&key).await? else { return Ok(None) };
    let now = app.now();
    let Staying { idle, longest } = app.staying;
    if now.duration_since(session.seen_at) > idle
        || now.duration_since(session.started_at) > longest
    {
        return Ok(None);
    }
    let claims = Claims {
        operator: session.operator_id,
        issued_at_secs: Some(session.started_at.as_second()),
    };
    let Ok(operator) = app.operators.admit(&app.store, claims, info.address).await? else {
        return Ok(None);
    };
    if !is_unattended && now.duration_since(session.seen_at) > SEEN_WITHIN {
        let key = key.clone();
        app.store
            .write::<_, StoreError, _>(async move |tx: &mut Tx| {
                tx.touch_console_session(&key, now).await
            })
            .await?;
    }
    let csrf = URL_SAFE_NO_PAD.encode(app.fingerprint(&[b"console form", cookie.as_bytes()]));
    let caller = Caller {
        operator: Some(Arc::clone(&operator)),
        address: Some(info.address),
        request_id: Some(info.request_id),
    };
    Ok(Some(Visitor { caller, operator, key, csrf, origin: info.origin }))
}

impl Visitor {
    /// Whether a form's token is the one that this visitor's pages carry; takes the same time
    /// whatever it is.
    #[must_use]
    pub fn sent(&self, token: &str) -> bool {
        same(self.csrf.as_bytes(), token.as_bytes())
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    // Digests first: then neither length nor the place of a difference shows.
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.iter().zip(other.iter()).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}
