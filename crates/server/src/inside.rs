//! Requests that the process makes to its own API: the same routes, rules and answers, for a caller
//! who is known already.
//!
//! Who is known is said by an extension of the request ([`Admitted`]), which nothing that comes from
//! the network can carry.

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use jsonapi::{Error, MEDIA_TYPE};
use serde_json::Value as Json;
use store::Among;
use tower::ServiceExt;

use crate::API_PREFIX;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::http::{RequestInfo, Source, guarded};
use crate::reply::Reply;

/// Says who makes a request, so that it needs no token.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who.
    pub caller: Caller,
    /// Whether a write is only tried: it is answered, and leaves nothing.
    pub is_trial: bool,
    /// Which records a list looks at; all, unless there is something here.
    pub among: Option<Among>,
}

/// The API as the process itself asks it.
#[derive(Clone, Debug)]
pub struct Inside {
    router: Router,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers of single cases, as [`Reply::headers`].
    pub headers: HeaderMap,
    /// The type of the body, if there is one.
    pub content_type: Option<&'static str>,
    /// The body; empty when there is a `source`.
    pub body: Bytes,
    /// Makes the body of an answer that may be long.
    pub source: Option<Source>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The attribute or relationship, if it is about one.
    pub member: Option<String>,
    /// What is wrong with that member, or with the request.
    pub message: String,
    /// The same as a sentence that stands for itself.
    pub detail: String,
}

impl Inside {
    /// Asks the API that `router` serves. A panic there is a logged 500.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self { router: guarded(router) }
    }

    /// Makes a request. `target` is path and query below the API's prefix, escaped as in a URL;
    /// links of the answer begin with a slash.
    pub async fn ask(
        &self,
        caller: &Caller,
        method: Method,
        target: &str,
        body: Option<&Json>,
        headers: &[(HeaderName, &str)],
    ) -> Answer {
        let admitted = Admitted { caller: caller.clone(), is_trial: false, among: None };
        self.send(admitted, method, target, body, headers).await
    }

    /// Asks for a list, of part of the records.
    pub async fn list(&self, caller: &Caller, target: &str, among: Option<Among>) -> Answer {
        let admitted = Admitted { caller: caller.clone(), is_trial: false, among };
        self.send(admitted, Method::GET, target, None, &[]).await
    }

    /// Makes a write that is answered as if it had happened, and leaves nothing. What goes beyond
    /// the database, a test mail above all, is not held back.
    pub async fn try_out(
        &self,
        caller: &Caller,
        method: Method,
        target: &str,
        body: Option<&Json>,
    ) -> Answer {
        let admitted = Admitted { caller: caller.clone(), is_trial: true, among: None };
        self.send(admitted, method, target, body, &[]).await
    }

    async fn send(
        &self,
        admitted: Admitted,
        method: Method,
        target: &str,
        body: Option<&Json>,
        headers: &[(HeaderName, &str)],
    ) -> Answer {
        let Some(request) = request(admitted, method, target, body, headers) else {
            return Error::bad_request("The path or a header cannot be read.").into();
        };
        let Ok(mut response) = self.router.clone().oneshot(request).await;
        let reply = response.extensions_mut().remove::<Reply>();
        reply.map_or_else(|| ApiError::Internal(anyhow::anyhow!("no reply")).into(), Answer::from)
    }
}

fn request(
    admitted: Admitted,
    method: Method,
    target: &str,
    body: Option<&Json>,
    headers: &[(HeaderName, &str)],
) -> Option<Request> {
    let info = RequestInfo {
        address: admitted.caller.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        origin: String::new(),
        request_id: admitted.caller.request_id.clone().unwrap_or_default(),
    };
    let mut request = Request::new(body.map_or_else(Body::empty, |body| body.to_string().into()));
    *request.method_mut() = method;
    *request.uri_mut() = format!("{API_PREFIX}{target}").parse().ok()?;
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    let sent = request.headers_mut();
    sent.insert(ACCEPT, media_type.clone());
    if body.is_some() {
        sent.insert(CONTENT_TYPE, media_type);
    }
    for (name, value) in headers {
        sent.insert(name, HeaderValue::from_str(value).ok()?);
    }
    request.extensions_mut().insert(info);
    request.extensions_mut().insert(admitted);
    Some(request)
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Everything that is wrong, of a refusal; nothing otherwise.
    #[must_use]
    pub fn errors(&self) -> Vec<Wrong> {
        if self.status.is_success() {
            return Vec::new();
        }
        let document = self.json();
        let errors = document["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(wrong).collect()
    }
}

fn wrong(error: &Json) -> Wrong {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let pointer = error["source"]["pointer"].as_str().unwrap_or_default();
    let is_member = |name: &&str| {
        ["/data/attributes/", "/data/relationships/"].iter().any(|begin| pointer.starts_with(begin))
            && !name.is_empty()
    };
    let member = pointer.rsplit('/').next().filter(is_member).map(str::to_owned);
    let message = if member.is_some() { text("title") } else { text("detail") };
    Wrong { member, message, detail: text("detail") }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let Reply { status, content_type, body, source, headers, .. } = reply;
        Self { status, headers, content_type, body, source }
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Reply::from(error).into()
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        ApiError::from(error).into()
    }
}
