//! `POST /api/rest/admin/auth`: a token for a name and a password (contract, protocol 2.4).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use hyper::{Method, StatusCode, header};
use jiff::Timestamp;
use jsonapi::{Error, MEDIA_TYPE};
use serde_json::{Map, Value};
use store::Operator;

use crate::app::App;
use crate::auth::{allows, verify_password};
use crate::error::ApiError;
use crate::http::{RequestInfo, media_type, read_body};
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
    authenticate(app, info.address, &name, password).await
}

async fn authenticate(
    app: &Arc<App>,
    address: IpAddr,
    name: &str,
    password: String,
) -> Result<String, ApiError> {
    let turn = tokio::time::timeout(TURN_TIME_MAX, app.password_checks.acquire()).await;
    let _turn = turn.map_err(|_| ApiError::Overloaded)?;
    // Asked when it is this attempt's turn: guesses that come all at once are counted too.
    let attempt = app.throttle.attempt(&app.store, address, name).await?;
    // The token is of this time: a password that changes from now on ends it.
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
    issue(app, &operator, now)
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
    fn nobody_costs_as_much_to_verify_as_anybody() {
        let settings = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        let anybody = hash_password("a password").unwrap();
        assert_eq!(settings(NOBODY), settings(&anybody));
        assert!(argon2::password_hash::phc::PasswordHash::new(NOBODY).is_ok());
        assert!(!verify_password("", NOBODY));
    }
}
