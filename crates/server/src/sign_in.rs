//! `POST /api/rest/admin/auth`: a token for a name and a password (contract, protocol 2.4).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use hyper::{Method, StatusCode, header};
use jiff::Timestamp;
use jsonapi::{Error, MEDIA_TYPE};
use serde_json::{Map, Value, json};
use store::{Coming, Operator, StoreError, Tx};

use crate::app::App;
use crate::auth::{allows, verify_password};
use crate::error::ApiError;
use crate::events::OPERATOR_SIGNED_IN;
use crate::http::{RequestInfo, media_type, read_body};
use crate::outbox::{News, tell};
use crate::reply::Reply;

/// Where sign-in is.
pub const PATH: &str = "/api/rest/admin/auth";

/// Not JSON:API, so neither is the answer.
const ANSWER_TYPE: &str = "application/json; charset=utf-8";

/// How long an attempt waits for others to be checked before it is turned away.
const TURN_TIME_MAX: Duration = Duration::from_secs(5);

const WRONG: &str = "Incorrect login or password.";

/// What is verified when there is no such operator, so that both cases take as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                      nMuyF1sLmbbF9pz0uGoLCn6QTOPXnQ8UuyLCIxQ9cXk";

/// Handles every method of the sign-in path.
pub async fn sign_in(app: Arc<App>, request: Request) -> Reply {
    match attempt(&app, request).await {
        Ok(token) => Reply::tagged(
            StatusCode::CREATED,
            ANSWER_TYPE,
            format!("{{\"jwt\":\"{token}\"}}").into_bytes(),
        ),
        Err(error) => Reply::from(error).of_type(ANSWER_TYPE),
    }
}

async fn attempt(app: &Arc<App>, mut request: Request) -> Result<String, ApiError> {
    if request.method() != Method::POST {
        return Err(ApiError::method_not_allowed(request.method(), "POST"));
    }
    let info = RequestInfo::take(&mut request);
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let kind = media_type(content_type).to_ascii_lowercase();
    let body = read_body(body).await?;
    let (name, password) = credentials(&kind, &body)?;
    // The token is of this time: a password that changes from now on ends it.
    let now = app.now();
    let operator = authenticate(app, info.address, &name, password).await?;
    issue(app, &operator, now)
}

/// The operator of this name, who may come from this address and knows the password. Counts
/// failures, and remembers where operators come from.
///
/// # Errors
/// 401, 429, and 503 when too many passwords are being checked.
pub async fn authenticate(
    app: &App,
    address: IpAddr,
    name: &str,
    password: String,
) -> Result<Operator, ApiError> {
    let turn = tokio::time::timeout(TURN_TIME_MAX, app.password_checks.acquire()).await;
    let _turn = turn.map_err(|_| ApiError::Overloaded)?;
    // Asked when it is this attempt's turn: guesses that come all at once are counted too.
    let attempt = app.throttle.attempt(&app.store, address, name).await?;
    let now = app.now();
    if let Some(wait) = attempt.wait(now) {
        return Err(ApiError::TooManyRequests(wait.unsigned_abs()));
    }
    let operator = app.operators.named(&app.store, name).await?;
    let usable = operator.filter(|operator| operator.enabled);
    let hash = usable.as_ref().map_or(NOBODY, |operator| &operator.password_hash).to_owned();
    let correct = tokio::task::spawn_blocking(move || verify_password(&password, &hash))
        .await
        .unwrap_or_default();
    let Some(operator) = usable.filter(|_| correct) else {
        attempt.failed(app.now()).await?;
        return Err(Error::sign_in_failed(WRONG).into());
    };
    if !allows(&operator, address) {
        return Err(Error::sign_in_failed("Your IP address is not allowed.").into());
    }
    attempt.succeeded().await?;
    note_address(app, &operator, address, now).await?;
    Ok(operator)
}

/// Remembers where an operator has come from, and tells of an address that they have not come from
/// before. Their very first one is no news.
async fn note_address(
    app: &App,
    operator: &Operator,
    address: IpAddr,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = operator.id;
    let place = place_of(address);
    let details = json!({
        "operator": {"id": id, "name": operator.name},
        "address": address.to_canonical().to_string(),
    });
    let details = details.as_object().cloned().unwrap_or_default();
    app.store
        .write(async move |tx: &mut Tx| {
            if tx.note_address(id, &place, now).await? == Coming::New {
                let details = details.clone();
                let kind = &OPERATOR_SIGNED_IN;
                tell(tx, News { kind, account: None, details, now }).await?;
            }
            Ok(())
        })
        .await
}

/// An address of IPv4, or the network of one of IPv6: machines change the rest every day.
fn place_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

fn issue(app: &App, operator: &Operator, now: Timestamp) -> Result<String, ApiError> {
    app.tokens
        .issue(operator.id, operator.tokens_valid_from_secs, now)
        .map_err(|error| ApiError::Internal(error.into()))
}

/// Name and password, from a form or from JSON with or without the `auth` wrapping.
fn credentials(kind: &str, body: &[u8]) -> Result<(String, String), ApiError> {
    let bad = |detail: &'static str| ApiError::from(Error::bad_request(detail));
    if kind == "application/x-www-form-urlencoded" {
        return form_credentials(body);
    }
    let json: Value =
        serde_json::from_slice(body).map_err(|_| bad("The body is not valid JSON."))?;
    let Value::Object(top) = json else { return Err(Error::sign_in_failed(WRONG).into()) };
    let flat = top.contains_key("username") || top.contains_key("password");
    let auth = match top.get("auth") {
        Some(Value::Object(auth)) if !auth.is_empty() => auth,
        None if flat && kind != MEDIA_TYPE => &top,
        _ => return Err(bad("The auth member with username and password is missing.")),
    };
    let text = |auth: &Map<String, Value>, name| match auth.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(ApiError::from(Error::sign_in_failed(WRONG))),
    };
    Ok((text(auth, "username")?, text(auth, "password")?))
}

fn form_credentials(body: &[u8]) -> Result<(String, String), ApiError> {
    let field = |name| {
        let found = form_urlencoded::parse(body).filter(|(key, _)| key == name).last();
        found.map(|(_, value)| value.into_owned())
    };
    match (field("auth[username]"), field("auth[password]")) {
        (None, None) => Err(Error::bad_request("The fields auth[…] are missing.").into()),
        (name, password) => match name.zip(password) {
            Some(both) => Ok(both),
            None => Err(Error::sign_in_failed(WRONG).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hash_password;

    #[test]
    fn machines_of_one_network_come_from_one_place() {
        let place = |address: &str| place_of(address.parse().unwrap());
        assert_eq!(place("192.0.2.7"), "192.0.2.7");
        assert_eq!(place("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(place("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }

    #[test]
    fn nobody_costs_as_much_to_verify_as_anybody() {
        let settings = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        let anybody = hash_password("a password").unwrap();
        assert_eq!(settings(NOBODY), settings(&anybody));
        assert!(argon2::password_hash::phc::PasswordHash::new(NOBODY).is_ok());
        assert!(!verify_password("", NOBODY));
    }
}
