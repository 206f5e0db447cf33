//! `GET /timezones` and `GET /timezones/{name}` (contract, resources 18).

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use billing::timezone;
use hyper::{Method, StatusCode};
use jsonapi::{
    Error, Filter, Id, Included, Listing, MEDIA_TYPE, Operand, Query, Record, Scope, Test, Value,
    write_collection, write_member,
};

use super::TIMEZONES;
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::rest::{Call, answer};

/// The paths of time zones.
pub fn router(app: &Arc<App>) -> Router {
    let root = format!("{}/{}", app.store.api().prefix, TIMEZONES.kind);
    let router = answer(Router::new(), app, root.clone(), list);
    answer(router, app, format!("{root}/{{id}}"), show)
}

async fn admit(app: &Arc<App>, request: Request) -> Result<Call, ApiError> {
    let (call, _) = Call::admit(app, request).await?;
    if call.method != Method::GET && call.method != Method::HEAD {
        return Err(ApiError::method_not_allowed(&call.method, "GET, HEAD"));
    }
    call.check_accept()?;
    Ok(call)
}

async fn list(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let call = admit(&app, request).await?;
    let query = Query::parse(call.api(), &TIMEZONES, &call.params, Scope::List)?;
    query.check()?;
    let filters = query.filters()?;
    let names = timezone::names().iter().map(String::as_str);
    let records: Vec<Record> = names
        .filter(|name| filters.iter().all(|filter| passes(filter, name)))
        .map(record)
        .collect();
    let total = records.len() as u64;
    let listing = Listing { records, total, ..Listing::default() };
    let body = write_collection(&call.base, &TIMEZONES, &listing, &query, &call.params);
    Ok(Reply::tagged(StatusCode::OK, MEDIA_TYPE, body))
}

async fn show(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let segment = request.uri().path().rsplit('/').next().unwrap_or_default();
    let name = percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
    let call = admit(&app, request).await?;
    let query = Query::parse(call.api(), &TIMEZONES, &call.params, Scope::Member)?;
    query.check()?;
    timezone::find(&name).ok_or_else(|| Error::record_not_found(&name))?;
    let record = record(&name);
    let body = write_member(&call.base, &TIMEZONES, Some(&record), &query, &Included::new());
    Ok(Reply::tagged(StatusCode::OK, MEDIA_TYPE, body))
}

fn record(name: &str) -> Record {
    Record { id: Id::Text(name.into()), values: vec![Value::text(name)], links: Vec::new() }
}

/// Id and name are the same text, and `filter[…]` by either is the only filter there is.
fn passes(filter: &Filter, name: &str) -> bool {
    let is_name = |operand: &Operand| matches!(operand, Operand::Text(text) if text == name);
    matches!(&filter.test, Test::Exact { values, .. } if values.iter().any(is_name))
}
