//! `POST /webhooks`, and the paths below a webhook.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::{Method, StatusCode};
use jsonapi::{
    Api, Base, Error, Include, Included, MEDIA_TYPE, Query, Record, RecordDocument, Scope, Value,
    write_member,
};
use store::{Target, Tx};

use super::operations::{open, redeliver, rotate, test};
use super::secret;
use crate::API_PREFIX;
use crate::app::App;
use crate::error::ApiError;
use crate::outbox::{DELIVERIES, WEBHOOKS, WEBHOOKS_WITH_SECRET};
use crate::reply::Reply;
use crate::rest::{Call, answer, list, path_id, record_key, written};

type Answered = Result<Reply, ApiError>;

/// What the answers that tell a secret are about: fieldsets may name it there.
pub(super) static WITH_SECRET: Api =
    Api { prefix: API_PREFIX, resources: &[&WEBHOOKS_WITH_SECRET] };

/// The paths below a webhook.
pub fn router(app: &Arc<App>) -> Router {
    let member = format!("{}/{}/{{id}}", app.store.api().prefix, WEBHOOKS.kind);
    let deliveries = format!("{member}/{}", DELIVERIES.kind);
    let again = format!("{deliveries}/{{delivery}}/redeliver");
    let router = answer(Router::new(), app, format!("{member}/rotate-secret"), rotate_secret);
    let router = answer(router, app, format!("{member}/test"), try_out);
    let router = answer(router, app, deliveries, list_deliveries);
    answer(router, app, again, deliver_again)
}

/// A fresh secret: as it is told, and as it is kept.
fn fresh_secret(app: &App) -> Result<(String, String), ApiError> {
    let secret = secret::fresh().map_err(ApiError::Internal)?;
    let sealed = app.seal_text(&secret)?;
    Ok((secret, sealed))
}

/// Answers a webhook with its secret, this once.
fn with_secret(
    status: StatusCode,
    secret: String,
    base: &Base,
    query: &Query,
) -> impl Fn(Record) -> Reply + Send + 'static {
    let (base, query) = (base.clone(), query.clone());
    move |mut webhook| {
        WEBHOOKS.set(&mut webhook, "secret", Value::text(&secret));
        let resource = &WEBHOOKS_WITH_SECRET;
        let body = write_member(&base, resource, Some(&webhook), &query, &Included::new());
        let reply = Reply::plain(status, MEDIA_TYPE, body).confidential();
        if status == StatusCode::CREATED {
            return reply.at(base.member_url(resource, &webhook.id));
        }
        reply
    }
}

/// `POST /webhooks`.
///
/// # Errors
/// 400, 406, 415 and 422, or what the database says.
pub async fn create(call: Call, body: Body) -> Answered {
    let body = call.document(body).await?;
    let query = Query::parse(&WITH_SECRET, &WEBHOOKS_WITH_SECRET, &call.params, Scope::Write)?;
    let input = RecordDocument::parse(&body)?.create(&WEBHOOKS, query.collected.clone())?;
    let (secret, sealed) = fresh_secret(&call.app)?;
    let (caller, moment) = (call.caller.clone(), call.app.moment());
    let answer = with_secret(StatusCode::CREATED, secret, &call.base, &query);
    let operation = async move |tx: &mut Tx| open(tx, &caller, &input, &sealed, moment).await;
    call.write(None, &body, operation, answer).await
}

/// Admits a request of this method, which has no document, to a path below a webhook.
async fn admit(app: &Arc<App>, request: Request, method: &Method) -> Result<Call, ApiError> {
    let (call, _) = Call::admit(app, request).await?;
    let reads = method == Method::GET;
    if call.method != *method && !(reads && call.reads()) {
        let allow = if reads { "GET, HEAD" } else { method.as_str() };
        return Err(ApiError::method_not_allowed(&call.method, allow));
    }
    call.check_accept()?;
    Ok(call)
}

async fn rotate_secret(app: Arc<App>, request: Request) -> Answered {
    let id = path_id(&request);
    let call = admit(&app, request, &Method::POST).await?;
    let query = Query::parse(&WITH_SECRET, &WEBHOOKS_WITH_SECRET, &call.params, Scope::Write)?;
    query.check()?;
    let (key, shown_id) = record_key(&id)?;
    let (secret, sealed) = fresh_secret(&app)?;
    let (caller, moment) = (call.caller.clone(), app.moment());
    let precondition = call.precondition(Query::plain(&WEBHOOKS));
    let answer = with_secret(StatusCode::OK, secret, &call.base, &query);
    let operation = async move |tx: &mut Tx| {
        rotate(tx, &caller, key, &shown_id, &sealed, &precondition, moment).await
    };
    let target = Target { resource: &WEBHOOKS, id: key };
    call.write(Some(target), &[], operation, answer).await
}

/// The query of a request whose answer is a delivery.
fn delivery_query(call: &Call) -> Result<Query, ApiError> {
    let query = Query::parse(call.api(), &DELIVERIES, &call.params, Scope::Write)?;
    query.check()?;
    Ok(query)
}

async fn try_out(app: Arc<App>, request: Request) -> Answered {
    let id = path_id(&request);
    let call = admit(&app, request, &Method::POST).await?;
    let query = delivery_query(&call)?;
    let (key, shown_id) = record_key(&id)?;
    let now = app.now();
    let answer = written(StatusCode::CREATED, &DELIVERIES, &call.base, &query);
    let operation = async move |tx: &mut Tx| {
        let delivery = test(tx, key, &shown_id, now).await?;
        let included = tx.included(&DELIVERIES, &delivery, &query.include).await?;
        Ok((delivery, included))
    };
    call.write(None, &[], operation, answer).await
}

/// The list of deliveries with a filter on the webhook: links to its pages say so.
async fn list_deliveries(app: Arc<App>, request: Request) -> Answered {
    let id = path_id(&request);
    let mut call = admit(&app, request, &Method::GET).await?;
    let (key, shown_id) = record_key(&id)?;
    let found = app.store.show(&WEBHOOKS, key, &Include::default()).await?;
    found.ok_or_else(|| Error::record_not_found(&shown_id))?;
    call.params = std::mem::take(&mut call.params).with_filter("webhook.id", key.to_string())?;
    list(call, &DELIVERIES).await
}

/// The id of the delivery in the path.
fn delivery_id(request: &Request) -> String {
    let segment = request.uri().path().rsplit('/').nth(1).unwrap_or_default();
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

async fn deliver_again(app: Arc<App>, request: Request) -> Answered {
    let (webhook, id) = (path_id(&request), delivery_id(&request));
    let call = admit(&app, request, &Method::POST).await?;
    let query = delivery_query(&call)?;
    let ((webhook, _), (key, shown_id)) = (record_key(&webhook)?, record_key(&id)?);
    let now = app.now();
    let answer = written(StatusCode::OK, &DELIVERIES, &call.base, &query);
    let operation = async move |tx: &mut Tx| {
        let delivery = redeliver(tx, webhook, key, &shown_id, now).await?;
        let included = tx.included(&DELIVERIES, &delivery, &query.include).await?;
        Ok((delivery, included))
    };
    let target = Target { resource: &DELIVERIES, id: key };
    call.write(Some(target), &[], operation, answer).await
}
