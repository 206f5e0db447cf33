//! Every path that is served, and the few that are no resource.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::Request;
use hyper::{Method, StatusCode};
use jsonapi::Error;

use crate::api::ENDPOINTS;
use crate::app::App;
use crate::console;
use crate::error::ApiError;
use crate::http::render_metrics;
use crate::inside::Inside;
use crate::reply::Reply;
use crate::rest::{self, answer};
use crate::{balances, journal, mail, openapi, payments, sign_in, timezones, webhooks};

/// Every path that is served: the API, and the console that asks it.
pub fn router(app: &Arc<App>) -> Router {
    let api = api_router(app);
    let inside = Inside::new(api.clone());
    api.merge(console::router(app, &inside))
}

/// The paths of the API, and of those who watch over it.
pub fn api_router(app: &Arc<App>) -> Router {
    let simple: [(&str, SimpleHandler); 4] = [
        ("/healthz", |_, request| Box::pin(async move { healthz(&request) })),
        ("/readyz", |app, request| Box::pin(readyz(app, request))),
        ("/metrics", |app, request| Box::pin(async move { metrics(&app, &request) })),
        (openapi::PATH, |_, request| Box::pin(async move { openapi_document(&request) })),
    ];
    let mut router = Router::new()
        .merge(rest::router(app, ENDPOINTS))
        .merge(balances::router(app))
        .merge(payments::router(app))
        .merge(journal::statement_router(app))
        .merge(webhooks::router(app))
        .merge(mail::router(app))
        .merge(timezones::router(app));
    for (path, handler) in simple {
        router = answer(router, app, path.to_owned(), handler);
    }
    router = answer(router, app, sign_in::PATH.to_owned(), |app, request| async move {
        Ok(sign_in::sign_in(app, request).await)
    });
    router.fallback(|| async { Reply::from(ApiError::from(Error::path_not_found())) })
}

type SimpleHandler = fn(Arc<App>, Request) -> SimpleAnswer;
type SimpleAnswer = std::pin::Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send>>;

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

/// The database answers, and the process is not about to stop.
async fn readyz(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    only_get(&request)?;
    if app.leaving.load(Ordering::Relaxed) {
        return Ok(Reply::plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, b"draining\n".to_vec()));
    }
    match app.store.ping().await {
        Ok(()) => Ok(Reply::plain(StatusCode::OK, TEXT, b"ready\n".to_vec())),
        Err(error) => {
            tracing::error!(%error, "not ready");
            let body = format!("the database does not answer: {error}\n").into_bytes();
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
