//! One error type for every handler, and the only place where errors become statuses.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use jsonapi::{Error, error_document};
use store::StoreError;

use crate::reply::Reply;
use jsonapi::MEDIA_TYPE;

/// Seconds after which an overloaded server may be asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Of the requests that are turned away in this time, only the first is logged.
const LOG_PAUSE: Duration = Duration::from_secs(10);

const OVERLOADED: &str = "The server is overloaded. Try again soon.";

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The client is told exactly this; never empty.
    #[error("the request is refused")]
    Refused(Vec<Error>),
    /// No usable token.
    #[error("no usable token")]
    Unauthorized,
    /// A known path that does not know the method.
    #[error("the method is not allowed")]
    MethodNotAllowed {
        /// The method.
        method: String,
        /// What the path allows.
        allow: String,
    },
    /// Too many failed attempts; try again after this long.
    #[error("too many attempts")]
    TooManyRequests(Duration),
    /// Too much to do; try again soon.
    #[error("overloaded")]
    Overloaded,
    /// The database.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl ApiError {
    /// A known path that does not know the method.
    #[must_use]
    pub fn method_not_allowed(method: &Method, allow: &str) -> Self {
        Self::MethodNotAllowed { method: method.to_string(), allow: allow.to_owned() }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Refused(vec![error])
    }
}

impl From<Vec<Error>> for ApiError {
    fn from(errors: Vec<Error>) -> Self {
        Self::Refused(errors)
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused(errors) => refused(&errors),
            ApiError::Unauthorized => refused(&[Error::unauthorized()])
                .with_header("www-authenticate", "Bearer")
                .unvaried(),
            ApiError::MethodNotAllowed { method, allow } => {
                refused(&[Error::method_not_allowed(&method)]).with_header("allow", &allow)
            }
            ApiError::TooManyRequests(wait) => {
                let detail = "Too many failed sign-in attempts. Try again later.";
                retry(refused(&[Error::too_many_requests(detail)]), wait)
            }
            ApiError::Store(error @ (StoreError::Busy | StoreError::Closed)) => {
                if may_log() {
                    tracing::warn!(%error, "requests are turned away");
                }
                unavailable(OVERLOADED)
            }
            ApiError::Overloaded => unavailable(OVERLOADED),
            ApiError::Store(StoreError::Deadline) => {
                unavailable("The query took too long. Narrow it, or try again soon.")
            }
            ApiError::Store(
                error @ (StoreError::Unavailable(_)
                | StoreError::Unknown
                | StoreError::Serialization),
            ) => {
                if may_log() {
                    tracing::error!(%error, "requests cannot be served");
                }
                unavailable("The database is unavailable. Try again soon.")
            }
            ApiError::Store(error) => internal(&anyhow::Error::from(error)),
            ApiError::Internal(error) => internal(&error),
        }
    }
}

fn refused(errors: &[Error]) -> Reply {
    let status = errors.first().map_or(500, |error| error.status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply::plain(status, MEDIA_TYPE, error_document(errors))
}

fn retry(reply: Reply, wait: Duration) -> Reply {
    let whole_secs = wait.as_secs_f64().ceil();
    reply.with_header("retry-after", &format!("{whole_secs:.0}"))
}

fn unavailable(detail: &'static str) -> Reply {
    retry(refused(&[Error::unavailable(detail)]), RETRY_AFTER)
}

/// Whether a refusal that may come by the thousand gets its line: an outage or a flood must not
/// fill the disk with the news of itself. Metrics count every one.
fn may_log() -> bool {
    static LOGGED_AT: Mutex<Option<Instant>> = Mutex::new(None);
    let mut logged_at = LOGGED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    let may = logged_at.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
    if may {
        *logged_at = Some(Instant::now());
    }
    may
}

/// The log gets the whole chain of causes, the client none of it.
fn internal(error: &anyhow::Error) -> Reply {
    tracing::error!(error = format!("{error:#}"), "internal error");
    refused(&[Error::internal()])
}
