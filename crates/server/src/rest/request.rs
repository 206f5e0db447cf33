//! A request on a resource: the checks that come before its document (contract, protocol 3.3).

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, IF_MATCH};
use hyper::{HeaderMap, Method, Uri};
use jsonapi::{Api, Base, Error, Params, Query, Record, Resource, write_member};
use store::{Among, Tx};

use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::http::{RequestInfo, accepts, check_content_type, list_header, read_body};
use crate::inside::Admitted;
use crate::reply::{entity_tag, tag_list_names};

/// The request header that names a write (the HTTPAPI working group's Idempotency-Key draft).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest such key, in characters.
const KEY_CHARS_MAX: usize = 255;

/// A request by a known operator on a known path.
#[derive(Debug)]
pub struct Call {
    /// Everything that requests share.
    pub app: Arc<App>,
    /// Who asks.
    pub caller: Caller,
    /// The method.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The query.
    pub params: Params,
    /// What links begin with.
    pub base: Base,
    /// Names the write, if it may be asked for again.
    pub(super) idempotency_key: Option<String>,
    /// Path and query as sent, but for the token.
    pub(super) target: String,
    /// Whether a write is only tried: it is answered, and leaves nothing.
    pub(super) is_trial: bool,
    /// Which records a list looks at; all, unless there is something here.
    pub(super) among: Option<Among>,
}

impl Call {
    /// Admits a request: its query can be read, and its token is good or the process itself has
    /// made it. The body comes apart: it
    /// is read later, if at all.
    ///
    /// # Errors
    /// 400 and 401.
    pub async fn admit(app: &Arc<App>, mut request: Request) -> Result<(Self, Body), ApiError> {
        let info = RequestInfo::take(&mut request);
        let params = Params::parse(request.uri().query().unwrap_or_default())?;
        let (mut parts, body) = request.into_parts();
        let admitted = parts.extensions.remove::<Admitted>();
        let (caller, is_trial, among) = match admitted {
            Some(Admitted { caller, is_trial, among }) => (caller, is_trial, among),
            None => (authenticate(app, &parts.headers, &params, &info).await?, false, None),
        };
        let base = Base(info.origin + app.store.api().prefix);
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        let idempotency_key = if reads { None } else { idempotency_key(&parts.headers)? };
        let call = Self {
            app: Arc::clone(app),
            caller,
            method: parts.method,
            headers: parts.headers,
            params,
            base,
            target: idempotency_key.as_ref().map(|_| target(&parts.uri)).unwrap_or_default(),
            idempotency_key,
            is_trial,
            among,
        };
        Ok((call, body))
    }

    /// The resources.
    #[must_use]
    pub fn api(&self) -> &Api {
        self.app.store.api()
    }

    /// Whether the request only reads.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// Whether the request changes a record.
    #[must_use]
    pub fn updates(&self) -> bool {
        self.method == Method::PATCH || self.method == Method::PUT
    }

    /// Checks the media types of a request without a document.
    ///
    /// # Errors
    /// 406.
    pub fn check_accept(&self) -> Result<(), Error> {
        accepts(list_header(&self.headers, &ACCEPT).as_deref())
    }

    /// Checks the media types of a request with a document, and reads it.
    ///
    /// # Errors
    /// 415, 406, and what is wrong with a body that cannot be read.
    pub async fn document(&self, body: Body) -> Result<Bytes, ApiError> {
        check_content_type(self.headers.get(CONTENT_TYPE))?;
        self.check_accept()?;
        read_body(body).await
    }

    /// What `If-Match` demands of a write whose answer `query` shapes.
    #[must_use]
    pub fn precondition(&self, query: Query) -> Precondition {
        let list = list_header(&self.headers, &IF_MATCH).map(Cow::into_owned);
        Precondition { list, base: self.base.clone(), query }
    }
}

/// Whose token the request carries, in its query or its header.
async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
    info: &RequestInfo,
) -> Result<Caller, ApiError> {
    let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let last_word = header.and_then(|header| header.split_whitespace().next_back());
    let token = params.token().or(last_word);
    let claims = token.and_then(|token| app.tokens.read(token, app.now()));
    let claims = claims.ok_or(ApiError::Unauthorized)?;
    let admitted = app.operators.admit(&app.store, claims, info.address).await?;
    let operator = admitted.map_err(|_| ApiError::Unauthorized)?;
    Ok(Caller {
        operator: Some(operator),
        address: Some(info.address),
        request_id: Some(info.request_id.clone()),
    })
}

/// The key that names the write, if one was sent.
///
/// # Errors
/// 400 for a key that cannot be used.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = sent.next() else { return Ok(None) };
    let key = first.to_str().ok().filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len()));
    match (key, sent.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(Error::bad_request(format!(
            "Idempotency-Key must be one key of 1 to {KEY_CHARS_MAX} printable ASCII characters."
        ))),
    }
}

/// Path and query as sent. Tokens come and go between two attempts at the same request.
fn target(uri: &Uri) -> String {
    let pairs = uri.query().unwrap_or_default().split('&');
    let kept: Vec<&str> = pairs.filter(|pair| !pair.starts_with("token=")).collect();
    format!("{}?{}", uri.path(), kept.join("&"))
}

/// `If-Match`: the write applies only to the representation that the client knows (D24).
#[derive(Clone, Debug)]
pub struct Precondition {
    list: Option<String>,
    base: Base,
    query: Query,
}

impl Precondition {
    /// Refuses when the current representation has another tag. Runs inside the transaction of
    /// the write, so that nothing can come between.
    ///
    /// # Errors
    /// 412, or what the database says.
    pub async fn check(
        &self,
        tx: &mut Tx,
        resource: &'static Resource,
        record: &Record,
    ) -> Result<(), ApiError> {
        let Some(list) = &self.list else { return Ok(()) };
        let included = tx.included(resource, record, &self.query.include).await?;
        let body = write_member(&self.base, resource, Some(record), &self.query, &included);
        if tag_list_names(list, &entity_tag(&body)) {
            Ok(())
        } else {
            Err(Error::precondition_failed().into())
        }
    }
}
