//! Collections, members, relationships and related records of every resource.
//!
//! Each function is one kind of request from decoding to answer, in the contract's order of
//! checks (protocol 8 and 9).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use jsonapi::{
    Error, Include, Included, Input, LinkageDocument, MEDIA_TYPE, Params, Query, Record,
    RecordDocument, Resource, Scope, decode_linkage, integer_id, write_collection, write_linkage,
    write_member,
};
use store::{Reading, Target, Tx};

use super::endpoint::Endpoint;
use super::operations;
use super::request::Call;
use super::write::{Written, written};
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;

type Answer = Result<Reply, ApiError>;

/// Adds a route whose every method `handler` answers.
pub fn answer<F, H>(router: Router, app: &Arc<App>, path: String, handler: H) -> Router
where
    F: Future<Output = Answer> + Send,
    H: Fn(Arc<App>, Request) -> F + Clone + Send + Sync + 'static,
{
    // Routes live as long as the process; their patterns label the metrics.
    let route: &'static str = path.leak();
    let app = Arc::clone(app);
    router.route(
        route,
        any(move |request: Request| {
            let answer = handler(Arc::clone(&app), request);
            async move {
                let mut reply = answer.await.unwrap_or_else(Reply::from);
                reply.route = route;
                reply
            }
        }),
    )
}

/// Every path of the resources that the database holds.
pub fn router(app: &Arc<App>, endpoints: &[&'static Endpoint]) -> Router {
    let mut router = Router::new();
    for endpoint in endpoints.iter().copied() {
        let resource = endpoint.resource;
        for path in [Some(resource.kind), resource.alias].into_iter().flatten() {
            let root = format!("{}/{path}", app.store.api().prefix);
            router = answer(router, app, root.clone(), move |app, request| {
                collection(app, endpoint, request)
            });
            let member_path = format!("{root}/{{id}}");
            router = answer(router, app, member_path.clone(), move |app, request| {
                member(app, endpoint, request)
            });
            for (position, relationship) in resource.relationships.iter().enumerate() {
                let name = relationship.name;
                let linkage_path = format!("{member_path}/relationships/{name}");
                router = answer(router, app, linkage_path, move |app, request| {
                    linkage(app, endpoint, position, request)
                });
                let related_path = format!("{member_path}/{name}");
                router = answer(router, app, related_path, move |app, request| {
                    related(app, endpoint, position, request)
                });
            }
        }
    }
    router
}

/// The id in the path, decoded; the service has checked that it can be.
pub fn path_id(request: &Request) -> String {
    const BEFORE: usize = 5; // "", api, rest, admin, <type>
    let segment = request.uri().path().split('/').nth(BEFORE).unwrap_or_default();
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn not_allowed(call: &Call, allow: &str) -> ApiError {
    ApiError::method_not_allowed(&call.method, allow)
}

/// The methods of a path, as `Allow` lists them.
fn allowed(methods: &[(bool, &'static str)]) -> String {
    let listed: Vec<&str> =
        methods.iter().filter(|(offered, _)| *offered).map(|(_, method)| *method).collect();
    listed.join(", ")
}

/// Writes are boxed: their state is large, and every read would carry room for it.
async fn collection(app: Arc<App>, endpoint: &'static Endpoint, request: Request) -> Answer {
    let (call, body) = Call::admit(&app, request).await?;
    let verbs = endpoint.resource.verbs;
    match call.method {
        Method::GET | Method::HEAD if verbs.read => list(call, endpoint.resource).await,
        Method::POST if verbs.create => match endpoint.post {
            Some(post) => post(call, body).await,
            None => Box::pin(create(call, body, endpoint)).await,
        },
        _ => {
            let allow = allowed(&[(verbs.read, "GET, HEAD"), (verbs.create, "POST")]);
            Err(not_allowed(&call, &allow))
        }
    }
}

/// Answers a list, or a page of it.
///
/// # Errors
/// 400 and 406, or what the database says.
pub async fn list(call: Call, resource: &'static Resource) -> Answer {
    call.check_accept()?;
    let query = Query::parse(call.api(), resource, &call.params, Scope::List)?;
    query.check()?;
    let reading = Reading {
        resource,
        among: call.among.clone(),
        filters: query.filters()?,
        sort: query.sort.clone(),
        page: query.page,
        walk: query.walk.clone(),
        include: query.include.clone(),
    };
    let listing = call.app.store.list(reading).await?;
    let body = write_collection(&call.base, resource, &listing, &query, &call.params);
    Ok(Reply::tagged(StatusCode::OK, MEDIA_TYPE, body))
}

async fn create(call: Call, body: Body, endpoint: &'static Endpoint) -> Answer {
    let resource = endpoint.resource;
    let body = call.document(body).await?;
    let query = Query::parse(call.api(), resource, &call.params, Scope::Write)?;
    let mut input = RecordDocument::parse(&body)?.create(resource, query.collected.clone())?;
    call.app.seal(resource, &mut input)?;
    let target = target_of(&call, endpoint, &input);
    let (caller, moment) = (call.caller.clone(), call.app.moment());
    let answer = written(StatusCode::CREATED, resource, &call.base, &query);
    let operation = async move |tx: &mut Tx| {
        let record = operations::create(tx, &caller, endpoint, &input, moment).await?;
        with_included(tx, resource, record, &query).await
    };
    call.write(target, &body, operation, answer).await
}

/// The record that a create changes beside making its own, where the document names it.
fn target_of(call: &Call, endpoint: &Endpoint, input: &Input) -> Option<Target> {
    let position = endpoint.resource.relationship(endpoint.moves?)?;
    let (_, link) = input.links.iter().find(|(sent, _)| *sent == position)?;
    let resource = call.api().target(&endpoint.resource.relationships[position]);
    link.map(|id| Target { resource, id })
}

/// A written record with what the query includes, as the write's own transaction sees it.
async fn with_included(
    tx: &mut Tx,
    resource: &'static Resource,
    record: Record,
    query: &Query,
) -> Result<Written, ApiError> {
    let included = tx.included(resource, &record, &query.include).await?;
    Ok((record, included))
}

async fn member(app: Arc<App>, endpoint: &'static Endpoint, request: Request) -> Answer {
    let id = path_id(&request);
    let (call, body) = Call::admit(&app, request).await?;
    let verbs = endpoint.resource.verbs;
    match call.method {
        Method::GET | Method::HEAD if verbs.read => show(call, endpoint, &id).await,
        Method::PATCH | Method::PUT if verbs.update => {
            Box::pin(update(call, body, endpoint, &id)).await
        }
        Method::DELETE if verbs.delete => Box::pin(delete(call, endpoint, &id)).await,
        _ => {
            let allow = allowed(&[
                (verbs.read, "GET, HEAD"),
                (verbs.update, "PATCH, PUT"),
                (verbs.delete, "DELETE"),
            ]);
            Err(not_allowed(&call, &allow))
        }
    }
}

/// The id of a read or a delete, and as it is shown: anything but an integer is 400, code 103.
///
/// # Errors
/// 400, code 103.
pub fn record_key(id: &str) -> Result<(i64, String), Error> {
    let (key, shown) = integer_id(id).ok_or_else(|| Error::invalid_id(id))?;
    Ok((key, shown.into_owned()))
}

/// The id of an update: whatever is no record's id is not found, with the text of the URL.
fn key_to_change(id: &str) -> Result<i64, Error> {
    integer_id(id).map(|(key, _)| key).ok_or_else(|| Error::record_not_found(id))
}

async fn show(call: Call, endpoint: &'static Endpoint, id: &str) -> Answer {
    let resource = endpoint.resource;
    call.check_accept()?;
    let query = Query::parse(call.api(), resource, &call.params, Scope::Member)?;
    query.check()?;
    let (key, shown_id) = record_key(id)?;
    let found = call.app.store.show(resource, key, &query.include).await?;
    let (mut record, included) = found.ok_or_else(|| Error::record_not_found(&shown_id))?;
    if let Some(view) = endpoint.view {
        view(&call, &mut record).await?;
    }
    let body = write_member(&call.base, resource, Some(&record), &query, &included);
    Ok(Reply::tagged(StatusCode::OK, MEDIA_TYPE, body))
}

async fn update(call: Call, body: Body, endpoint: &'static Endpoint, id: &str) -> Answer {
    let resource = endpoint.resource;
    let body = call.document(body).await?;
    let document = RecordDocument::parse(&body)?;
    let query = Query::parse(call.api(), resource, &call.params, Scope::Write)?;
    let mut input = document.update(resource, id, query.collected.clone())?;
    let key = key_to_change(id)?;
    call.app.seal(resource, &mut input)?;
    let answer = written(StatusCode::OK, resource, &call.base, &query);
    change(&call, &body, endpoint, key, input, query, answer).await
}

async fn change(
    call: &Call,
    body: &[u8],
    endpoint: &'static Endpoint,
    key: i64,
    input: Input,
    query: Query,
    answer: impl Fn(Written) -> Reply + Send + 'static,
) -> Answer {
    let (caller, moment) = (call.caller.clone(), call.app.moment());
    let precondition = call.precondition(query.clone());
    let operation = async move |tx: &mut Tx| {
        let record =
            operations::update(tx, &caller, endpoint, key, &input, &precondition, moment).await?;
        with_included(tx, endpoint.resource, record, &query).await
    };
    let target =
        endpoint.update.is_none().then_some(Target { resource: endpoint.resource, id: key });
    call.write(target, body, operation, answer).await
}

async fn delete(call: Call, endpoint: &'static Endpoint, id: &str) -> Answer {
    call.check_accept()?;
    let (key, shown_id) = record_key(id)?;
    let query = Query::parse(call.api(), endpoint.resource, &Params::default(), Scope::Write)?;
    let (caller, moment) = (call.caller.clone(), call.app.moment());
    let precondition = call.precondition(query);
    let operation = async move |tx: &mut Tx| {
        operations::delete(tx, &caller, endpoint, key, &shown_id, &precondition, moment).await
    };
    let target =
        endpoint.delete.is_none().then_some(Target { resource: endpoint.resource, id: key });
    call.write(target, &[], operation, |()| Reply::no_content()).await
}

async fn linkage(
    app: Arc<App>,
    endpoint: &'static Endpoint,
    position: usize,
    request: Request,
) -> Answer {
    let id = path_id(&request);
    let (call, body) = Call::admit(&app, request).await?;
    let writable =
        endpoint.resource.verbs.update && endpoint.resource.relationships[position].updatable;
    match call.method {
        Method::GET | Method::HEAD => show_linkage(call, endpoint.resource, position, &id).await,
        Method::PATCH | Method::PUT | Method::DELETE if writable => {
            Box::pin(change_linkage(call, body, endpoint, position, &id)).await
        }
        Method::PATCH | Method::PUT | Method::DELETE => {
            Err(Error::not_allowed(endpoint.resource.relationships[position].name).into())
        }
        _ => Err(not_allowed(&call, "GET, HEAD, PATCH, PUT, DELETE")),
    }
}

async fn show_linkage(
    call: Call,
    resource: &'static Resource,
    position: usize,
    id: &str,
) -> Answer {
    call.check_accept()?;
    let (key, shown_id) = record_key(id)?;
    let found = call.app.store.show(resource, key, &Include::default()).await?;
    let (record, _) = found.ok_or_else(|| Error::record_not_found(&shown_id))?;
    let link = record.links[position];
    let body = write_linkage(&call.base, resource, &record.id, position, link);
    Ok(Reply::tagged(StatusCode::OK, MEDIA_TYPE, body))
}

/// Points a to-one relationship somewhere else, or nowhere.
async fn change_linkage(
    call: Call,
    body: Body,
    endpoint: &'static Endpoint,
    position: usize,
    id: &str,
) -> Answer {
    let resource = endpoint.resource;
    let (body, link) = if call.method == Method::DELETE {
        call.check_accept()?;
        (Bytes::new(), None)
    } else {
        let body = call.document(body).await?;
        let document = LinkageDocument::parse(&body)?;
        (body, decode_linkage(&document, &resource.relationships[position])?)
    };
    let key = key_to_change(id)?;
    let input =
        Input { links: vec![(position, link)], id: Some(id.to_owned()), ..Input::default() };
    let query = Query::parse(call.api(), resource, &Params::default(), Scope::Write)?;
    change(&call, &body, endpoint, key, input, query, |_| Reply::no_content()).await
}

async fn related(
    app: Arc<App>,
    endpoint: &'static Endpoint,
    position: usize,
    request: Request,
) -> Answer {
    let id = path_id(&request);
    let (call, _) = Call::admit(&app, request).await?;
    if !call.reads() {
        return Err(not_allowed(&call, "GET, HEAD"));
    }
    call.check_accept()?;
    let (key, shown_id) = record_key(&id)?;
    let target = call.api().target(&endpoint.resource.relationships[position]);
    let query = Query::parse(call.api(), target, &call.params, Scope::List)?;
    query.check()?;
    query.filters()?;
    let source = call.app.store.show(endpoint.resource, key, &Include::default()).await?;
    let (source, _) = source.ok_or_else(|| Error::record_not_found(&shown_id))?;
    let found = match source.links[position] {
        None => None,
        Some(link) => call.app.store.show(target, link, &query.include).await?,
    };
    let (record, included) =
        found.map_or((None, Included::new()), |(record, included)| (Some(record), included));
    let body = write_member(&call.base, target, record.as_ref(), &query, &included);
    Ok(Reply::tagged(StatusCode::OK, MEDIA_TYPE, body))
}
