//! `POST /payments/{id}/rollback`.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use hyper::{Method, StatusCode};
use jsonapi::{Query, Scope};
use store::Tx;

use super::operations::roll_back;
use super::resource::PAYMENTS;
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::rest::{Call, answer, path_id, record_key, written};

/// The path of rollbacks.
pub fn router(app: &Arc<App>) -> Router {
    let path = format!("{}/{}/{{id}}/rollback", app.store.api().prefix, PAYMENTS.kind);
    answer(Router::new(), app, path, respond)
}

async fn respond(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let id = path_id(&request);
    let (call, _) = Call::admit(&app, request).await?;
    if call.method != Method::POST {
        return Err(ApiError::method_not_allowed(&call.method, "POST"));
    }
    call.check_accept()?;
    let query = Query::parse(call.api(), &PAYMENTS, &call.params, Scope::Write)?;
    query.check()?;
    let (key, shown_id) = record_key(&id)?;
    let (caller, moment) = (call.caller.clone(), app.moment());
    let precondition = call.precondition(query.clone());
    let answer = written(StatusCode::OK, &PAYMENTS, &call.base, &query);
    let operation = async move |tx: &mut Tx| {
        let payment = roll_back(tx, &caller, key, &shown_id, &precondition, moment).await?;
        let included = tx.included(&PAYMENTS, &payment, &query.include).await?;
        Ok((payment, included))
    };
    // Its account, which is locked first, is not known yet.
    call.write(None, &[], operation, answer).await
}
