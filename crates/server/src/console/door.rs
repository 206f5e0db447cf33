//! Signing in and out.

use askama::Template;
use axum::extract::Request;
use hyper::{Method, StatusCode};
use store::{StoreError, Tx};

use super::cells::moment;
use super::page::{Frame, html, see_other, signed_out};
use super::pairs::pairs;
use super::refusal::Refusal;
use super::session::{Claimed, begin, visitor};
use super::visit::{Console, Page, Visit, is_same_site};
use crate::error::ApiError;
use crate::http::{RequestInfo, read_body};
use crate::inside::Answer;
use crate::sign_in::authenticate;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    next: String,
    name: String,
    said: Vec<String>,
}

/// The page that asks for name and password, and what takes them.
///
/// # Errors
/// When the request cannot be read, or comes from another site.
pub async fn sign_in(console: Console, mut request: Request) -> Page {
    let is_in = visitor(&console.app, Claimed::by(&request)).await?.is_some();
    let query = pairs(request.uri().query().unwrap_or_default().as_bytes());
    let next = target(&query);
    match *request.method() {
        Method::GET | Method::HEAD if is_in => return Ok(see_other(&next)),
        Method::GET | Method::HEAD => return page(StatusCode::OK, next, String::new(), Vec::new()),
        Method::POST => {}
        _ => {
            return Err(ApiError::method_not_allowed(request.method(), "GET, HEAD, POST").into());
        }
    }
    if !is_same_site(request.headers()) {
        return Err(Refusal::Forged);
    }
    let info = RequestInfo::take(&mut request);
    let form = pairs(&read_body(request.into_body()).await?);
    let field = |name: &str| {
        let found = form.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let (name, next) = (field("name"), target(&form));
    let now = console.app.now();
    let operator = authenticate(&console.app, info.address, &name, field("password")).await;
    match operator {
        Ok(operator) => {
            let address = info.address.to_canonical().to_string();
            let begun = begin(&console.app, &operator, &address, now).await;
            let begun = begun.map_err(ApiError::Internal)?;
            Ok(see_other(&next).with_header("set-cookie", &begun.header(&info.origin)))
        }
        Err(error) => {
            let answer = Answer::from(error);
            let said = answer.errors().into_iter().map(|wrong| wrong.detail).collect();
            let mut page = page(answer.status, next, name, said)?;
            page.headers.extend(answer.headers);
            Ok(page)
        }
    }
}

/// Where somebody wants to go who signs in: a page of the console.
fn target(pairs: &[(String, String)]) -> String {
    let next = pairs.iter().find(|(key, _)| key == "next").map(|(_, value)| value.as_str());
    let is_ours = |next: &&str| super::form::is_local(next);
    next.filter(is_ours).unwrap_or("/").to_owned()
}

fn page(status: StatusCode, next: String, name: String, said: Vec<String>) -> Page {
    Ok(html(status, &SignIn { frame: Frame::bare("Sign in"), next, name, said })?)
}

/// Ends the visitor's session.
///
/// # Errors
/// When it cannot be ended.
pub async fn sign_out(visit: &Visit) -> Page {
    let key = visit.visitor.key.clone();
    let ended: Result<(), StoreError> = visit
        .console
        .app
        .store
        .write(async move |tx: &mut Tx| tx.end_console_session(&key).await)
        .await;
    ended?;
    Ok(signed_out(&visit.visitor.origin))
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct Sessions {
    frame: Frame,
    sessions: Vec<Session>,
}

/// One place where an operator is signed in.
struct Session {
    address: String,
    started: String,
    seen: String,
    is_this: bool,
}

/// Where the visitor is signed in; or ends all of it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn sessions(visit: &Visit) -> Page {
    let operator = visit.visitor.operator.id;
    let store = &visit.console.app.store;
    if visit.posts() {
        let ended: Result<usize, StoreError> =
            store.write(async move |tx: &mut Tx| tx.end_console_sessions(operator).await).await;
        ended?;
        return Ok(signed_out(&visit.visitor.origin));
    }
    let found = store.console_sessions(operator).await?;
    let sessions = found
        .into_iter()
        .map(|session| Session {
            started: moment(&session.started_at.to_string()),
            seen: moment(&session.seen_at.to_string()),
            is_this: session.key == visit.visitor.key,
            address: session.address,
        })
        .collect();
    Ok(html(StatusCode::OK, &Sessions { frame: visit.frame("Signed in"), sessions })?)
}
