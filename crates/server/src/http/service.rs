//! From a request to a response: what happens before and after the handlers.
//!
//! Before: the target is checked and tidied, the client's address and the origin of links are
//! found. After: tag, 304, compression, and all headers in the order of the founding document.

use std::any::Any;
use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, TRANSFER_ENCODING, VARY,
};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use ipnet::IpNet;
use jsonapi::Error;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use super::media::{list_header, varies_with_accept, wants_gzip};
use super::metrics;
use super::proxies::{Connection, RequestInfo, find_origin, request_id};
use super::recent;
use super::stream::StreamedBody;
use crate::error::ApiError;
use crate::reply::{Reply, entity_tag, tag_list_names};

/// Longest request target that is read, in bytes.
const URI_MAX: usize = 16 * 1024;
/// Bodies below this are not worth compressing.
const GZIP_MIN: usize = 1024;
/// Bodies above this are compressed on the blocking pool.
const GZIP_ON_THE_SPOT_MAX: usize = 128 * 1024;

/// Headers of every response, first and in this order.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("SAMEORIGIN")),
    (HeaderName::from_static("x-xss-protection"), HeaderValue::from_static("0")),
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (
        HeaderName::from_static("x-permitted-cross-domain-policies"),
        HeaderValue::from_static("none"),
    ),
    (
        HeaderName::from_static("referrer-policy"),
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    ),
];

/// What is sent: known as a whole, or made meanwhile.
pub type ResponseBody = Either<Full<Bytes>, StreamedBody>;

/// The application as a service for connections.
#[derive(Clone, Debug)]
pub struct Service {
    router: Router,
    trusted_proxies: Arc<[IpNet]>,
    leaving: Arc<AtomicBool>,
}

/// What the response depends on, kept while the request is being handled.
struct Asked {
    started: Instant,
    method: Method,
    request_id: String,
    varies: bool,
    wants_gzip: bool,
    /// `If-None-Match`.
    known_tags: Option<String>,
}

impl Service {
    /// Serves `router` and answers for it when it panics.
    #[must_use]
    pub fn new(router: Router, trusted_proxies: &[IpNet]) -> Self {
        Self {
            router: guarded(router),
            trusted_proxies: trusted_proxies.into(),
            leaving: Arc::default(),
        }
    }

    /// Asks each client to come on a new connection next time, once `leaving` is true: a balancer
    /// will lead that one elsewhere.
    #[must_use]
    pub fn closing_when(self, leaving: Arc<AtomicBool>) -> Self {
        Self { leaving, ..self }
    }

    /// Answers one request; never fails.
    pub async fn respond(
        &self,
        connection: Connection,
        request: Request,
    ) -> Response<ResponseBody> {
        let headers = request.headers();
        let asked = Asked {
            started: Instant::now(),
            method: request.method().clone(),
            request_id: request_id(headers),
            varies: varies_with_accept(list_header(headers, &ACCEPT).as_deref()),
            wants_gzip: wants_gzip(list_header(headers, &ACCEPT_ENCODING).as_deref()),
            known_tags: list_header(headers, &IF_NONE_MATCH).map(Cow::into_owned),
        };
        let mut reply = match self.admit(connection, request, &asked) {
            Ok(request) => self.route(request).await,
            // Where a request cannot be understood, nor can what follows it.
            Err(error) => Reply::from(error).with_header("connection", "close"),
        };
        if self.leaving.load(Ordering::Relaxed) {
            // HTTP/2 has no such header, and hyper drops it there; its streams end gently anyway.
            reply = reply.with_header("connection", "close");
        }
        asked.finish(reply).await
    }

    /// Checks and tidies the request line.
    fn admit(
        &self,
        connection: Connection,
        mut request: Request,
        asked: &Asked,
    ) -> Result<Request, ApiError> {
        let uri = request.uri();
        if uri.path_and_query().is_some_and(|target| target.as_str().len() > URI_MAX) {
            return Err(Error::uri_too_long(URI_MAX).into());
        }
        let headers = request.headers();
        if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
            // A proxy that believes the other one sees another request behind this one.
            return Err(Error::bad_request("The body has two lengths.").into());
        }
        if !is_readable(uri.path()) {
            return Err(Error::bad_request("The path is not valid UTF-8.").into());
        }
        let authority = uri.authority().map(hyper::http::uri::Authority::as_str);
        let found = find_origin(request.headers(), authority, connection, &self.trusted_proxies);
        let Some((address, origin)) = found else {
            return Err(Error::bad_request("The Host header is missing or malformed.").into());
        };
        if let Some(tidied) = tidied(uri) {
            *request.uri_mut() = tidied;
        }
        let request_id = asked.request_id.clone();
        request.extensions_mut().insert(RequestInfo { address, origin, request_id });
        Ok(request)
    }

    async fn route(&self, request: Request) -> Reply {
        let Ok(mut response) = self.router.clone().oneshot(request).await;
        let reply = response.extensions_mut().remove::<Reply>();
        reply.unwrap_or_else(|| Reply::from(ApiError::Internal(anyhow::anyhow!("no reply"))))
    }
}

/// A router whose panics are answered with 500.
pub fn guarded(router: Router) -> Router {
    router.layer(CatchPanicLayer::custom(panicked))
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    Reply::from(ApiError::Internal(anyhow::anyhow!("a handler panicked"))).into_response()
}

/// Whether the path's escapes are well-formed and spell UTF-8 without NUL.
fn is_readable(path: &str) -> bool {
    let bytes = path.as_bytes();
    let escapes_are_whole = bytes.iter().enumerate().all(|(at, byte)| {
        *byte != b'%'
            || bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
    escapes_are_whole && decoded.is_ok_and(|text| !text.contains('\0'))
}

/// The target without doubled and trailing slashes, if it has any (contract, protocol 1.5).
fn tidied(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let clean = !path.contains("//") && (path == "/" || !path.ends_with('/'));
    if clean {
        return None;
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{}{query}", segments.join("/")).parse().ok()
}

impl Asked {
    async fn finish(self, mut reply: Reply) -> Response<ResponseBody> {
        let reads = self.method == Method::GET || self.method == Method::HEAD;
        let tag = reply.tagged.then(|| entity_tag(&reply.body));
        if let (Some(tag), Some(list), true) = (&tag, &self.known_tags, reads)
            && reply.status == StatusCode::OK
            && tag_list_names(list, tag)
        {
            reply.status = StatusCode::NOT_MODIFIED;
            reply.content_type = None;
            reply.body = Bytes::new();
        }
        let zipped = self.wants_gzip && reply.body.len() >= GZIP_MIN;
        if zipped {
            reply.body = compressed(reply.body).await;
        }
        self.response(reply, tag, zipped)
    }

    fn response(self, reply: Reply, tag: Option<String>, zipped: bool) -> Response<ResponseBody> {
        let mut headers = HeaderMap::with_capacity(24);
        headers.extend(SECURITY_HEADERS);
        let mut add = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.append(name, value);
            }
        };
        let fixed = |value: &'static str| Some(HeaderValue::from_static(value));
        let made = |value: String| HeaderValue::try_from(value).ok();
        add(CONTENT_TYPE, reply.content_type.and_then(fixed));
        add(LOCATION, reply.location.clone().and_then(made));
        let vary = match (reply.varies && self.varies, zipped) {
            (true, false) => fixed("Accept"),
            (true, true) => fixed("Accept, Accept-Encoding"),
            (false, true) => fixed("Accept-Encoding"),
            (false, false) => None,
        };
        add(VARY, vary);
        let cached = if tag.is_some() { "max-age=0, private, must-revalidate" } else { "no-cache" };
        add(ETAG, tag.and_then(made));
        add(CACHE_CONTROL, fixed(reply.kept.unwrap_or(cached)));
        add(CONTENT_ENCODING, fixed("gzip").filter(|_| zipped));
        for (name, value) in &reply.headers {
            add(name.clone(), Some(value.clone()));
        }
        add(HeaderName::from_static("x-request-id"), HeaderValue::from_str(&self.request_id).ok());
        let elapsed = self.started.elapsed();
        let runtime = format!("{}.{:06}", elapsed.as_secs(), elapsed.subsec_micros());
        add(HeaderName::from_static("x-runtime"), made(runtime));
        let length = reply.content_type.map(|_| HeaderValue::from(reply.body.len()));
        add(CONTENT_LENGTH, length.filter(|_| reply.source.is_none()));
        metrics::observe(reply.route, &self.method, reply.status, elapsed);
        recent::count(self.started + elapsed, reply.status, elapsed);
        tracing::debug!(
            method = %self.method, route = reply.route, status = reply.status.as_u16(),
            request_id = self.request_id, micros = elapsed.as_micros(), "answered"
        );
        let body = match reply.source {
            _ if self.method == Method::HEAD => Either::Left(Full::default()),
            Some(source) => Either::Right(StreamedBody::new(source)),
            None => Either::Left(Full::new(reply.body)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = reply.status;
        *response.headers_mut() = headers;
        response
    }
}

async fn compressed(body: Bytes) -> Bytes {
    if body.len() <= GZIP_ON_THE_SPOT_MAX {
        return gzip(&body);
    }
    tokio::task::spawn_blocking(move || gzip(&body)).await.unwrap_or_default()
}

fn gzip(body: &[u8]) -> Bytes {
    let out = Vec::with_capacity(body.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("writing to memory cannot fail").into()
}
