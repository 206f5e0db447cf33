//! A request to the console: who sent it, what their form says, and the API that answers it.
//!
//! Pages know no rules: what they show and change goes through the same router, operations and
//! refusals as any client's requests, inside the process.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::HeaderName;
use hyper::{HeaderMap, Method, Uri};
use serde_json::Value;
use store::Among;

use super::known::Keeper;
use super::page::Frame;
use super::pairs::pairs;
use super::refusal::Refusal;
use super::session::{Claimed, Visitor, visitor};
use crate::app::App;
use crate::error::ApiError;
use crate::http::read_body;
use crate::inside::{Answer, Inside};
use crate::reply::Reply;

/// The header by which htmx asks for a part of a page.
const FRAGMENT: &str = "hx-request";
/// The header by which htmx says on which page it is.
const FRAGMENT_OF: &str = "hx-current-url";
/// The header that carries the forms' token where there is no form.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// The field that carries it.
pub const CSRF_FIELD: &str = "csrf";

/// What all pages are made from.
#[derive(Clone, Debug)]
pub struct Console {
    /// Everything that requests share.
    pub app: Arc<App>,
    /// The API.
    pub inside: Inside,
    /// What the dashboard knows.
    pub keeper: Arc<Keeper>,
}

impl Console {
    /// What all pages are made from.
    #[must_use]
    pub fn new(app: &Arc<App>, inside: &Inside) -> Self {
        let keeper = Arc::new(Keeper::of(app, inside));
        Self { app: Arc::clone(app), inside: inside.clone(), keeper }
    }
}

/// A request by somebody signed in.
#[derive(Debug)]
pub struct Visit {
    /// What pages are made from.
    pub console: Console,
    /// Who.
    pub visitor: Visitor,
    /// The method: `GET` or `POST`.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The query's pairs, in their order.
    pub query: Vec<(String, String)>,
    /// The form's pairs, in their order.
    pub form: Vec<(String, String)>,
    /// Whether a part of a page is wanted, not all of it.
    pub is_fragment: bool,
}

/// What a page is, or why there is none.
pub type Page = Result<Reply, Refusal>;

impl Visit {
    /// Lets somebody in who is signed in, and whose form is one of ours.
    ///
    /// # Errors
    /// When they are not, or the request cannot be read.
    pub async fn admit(console: Console, request: Request) -> Result<Self, Refusal> {
        let (mut visit, by_header, body) = Self::enter(console, request).await?;
        if visit.posts() {
            visit.form = pairs(&read_body(body).await?);
            let sent = visit.field(CSRF_FIELD).is_some_and(|token| visit.visitor.sent(token));
            if !by_header && !sent {
                return Err(Refusal::Forged);
            }
        }
        Ok(visit)
    }

    /// As [`Self::admit`], for a request whose body is no form: its token is in the header, and is
    /// looked at before the body is read.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn with_body(console: Console, request: Request) -> Result<(Self, Body), Refusal> {
        let (visit, by_header, body) = Self::enter(console, request).await?;
        if !visit.posts() {
            return Err(ApiError::method_not_allowed(&visit.method, "POST").into());
        }
        if !by_header {
            return Err(Refusal::Forged);
        }
        Ok((visit, body))
    }

    /// Who sends the request, whether its header proves that a page of ours does, and its body.
    async fn enter(console: Console, request: Request) -> Result<(Self, bool, Body), Refusal> {
        let is_fragment = request.headers().contains_key(FRAGMENT);
        let Some(visitor) = visitor(&console.app, Claimed::by(&request)).await? else {
            return Err(Refusal::SignIn { next: wanted(&request), is_fragment });
        };
        let (parts, body) = request.into_parts();
        if ![Method::GET, Method::HEAD, Method::POST].contains(&parts.method) {
            let allow = "GET, HEAD, POST";
            return Err(ApiError::method_not_allowed(&parts.method, allow).into());
        }
        let visit = Self {
            console,
            visitor,
            path: parts.uri.path().to_owned(),
            query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
            method: parts.method,
            form: Vec::new(),
            is_fragment,
        };
        let by_header = visit.posts() && visit.came_from_us(&parts.headers)?;
        Ok((visit, by_header, body))
    }

    /// Whether the header carries our token. Another site's request is refused by what browsers
    /// say of it, token or not.
    fn came_from_us(&self, headers: &HeaderMap) -> Result<bool, Refusal> {
        if !is_same_site(headers) {
            return Err(Refusal::Forged);
        }
        let token = headers.get(CSRF_HEADER).and_then(|token| token.to_str().ok());
        Ok(token.is_some_and(|token| self.visitor.sent(token)))
    }

    /// Whether the request changes something.
    #[must_use]
    pub fn posts(&self) -> bool {
        self.method == Method::POST
    }

    /// A field of the form.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        last(&self.form, name)
    }

    /// A parameter of the query.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        last(&self.query, name)
    }

    /// The frame of a page with this title.
    #[must_use]
    pub fn frame(&self, title: impl Into<String>) -> Frame {
        Frame::of(&self.visitor, &self.path, title.into())
    }

    /// What the API answers to a `GET` of this path below its prefix.
    ///
    /// # Errors
    /// Whatever it refuses.
    pub async fn get(&self, target: &str) -> Result<Answer, Refusal> {
        let answer = self.send(Method::GET, target, None, &[]).await;
        if answer.status.is_success() { Ok(answer) } else { Err(Refusal::Told(Box::new(answer))) }
    }

    /// What the API answers to a `GET` of this list, of part of the records.
    ///
    /// # Errors
    /// Whatever it refuses.
    pub async fn list(&self, target: &str, among: Option<Among>) -> Result<Answer, Refusal> {
        let answer = self.console.inside.list(&self.visitor.caller, target, among).await;
        if answer.status.is_success() { Ok(answer) } else { Err(Refusal::Told(Box::new(answer))) }
    }

    /// What the API would answer to a write that then did not happen.
    pub async fn try_out(&self, method: Method, target: &str, body: &Value) -> Answer {
        self.console.inside.try_out(&self.visitor.caller, method, target, Some(body)).await
    }

    /// What the API answers, whatever it is.
    pub async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
        headers: &[(HeaderName, &str)],
    ) -> Answer {
        self.console.inside.ask(&self.visitor.caller, method, target, body, headers).await
    }
}

/// Whether browsers say that the request comes from a page of this very site, or say nothing.
#[must_use]
pub fn is_same_site(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin" || site == "none",
        None => true,
    }
}

fn last<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().rev().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// Where somebody wanted to go who must sign in first: the page that they asked for, or were at when
/// its script asked for a part of it.
fn wanted(request: &Request) -> String {
    let asked = request.uri();
    let page = request.headers().get(FRAGMENT_OF).and_then(|page| page.to_str().ok());
    let page = page.and_then(|page| page.parse::<Uri>().ok());
    let page = page.filter(|page| request.method() != Method::GET || page.path() != asked.path());
    let target = match &page {
        Some(page) => page.path_and_query(),
        None if request.method() == Method::GET => asked.path_and_query(),
        None => None,
    };
    target.map_or_else(|| "/".to_owned(), ToString::to_string)
}

/// A name for one write.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_key() -> Result<String, Refusal> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| ApiError::Internal(error.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
