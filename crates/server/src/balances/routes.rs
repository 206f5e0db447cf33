//! The two endpoints that move a balance (contract, resources 2 and 3 with D6 and D7).

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use billing::journal::EntryKind;
use decimal::Decimal;
use hyper::StatusCode;
use jsonapi::{
    Error, Fault, Id, Included, Input, Query, Record, RecordDocument, Resource, Scope, Unfit,
    Value, integer_id, validation_errors,
};
use store::{Target, Tx};

use super::resource::{BALANCE_CORRECTION, BALANCES};
use crate::accounts::{ACCOUNTS, faults_of_stored};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::journal::{head, post};
use crate::reply::Reply;
use crate::rest::{Call, Precondition, answer, written};

/// The paths of both endpoints.
pub fn router(app: &Arc<App>) -> Router {
    let member = format!("{}/{}/{{id}}", app.store.api().prefix, ACCOUNTS.kind);
    let router = answer(Router::new(), app, format!("{member}/balance"), |app, request| {
        respond(app, request, &BALANCES)
    });
    answer(router, app, format!("{member}/balance-correction"), |app, request| {
        respond(app, request, &BALANCE_CORRECTION)
    })
}

async fn respond(
    app: Arc<App>,
    request: Request,
    resource: &'static Resource,
) -> Result<Reply, ApiError> {
    let url_id = account_segment(&request);
    let (call, body) = Call::admit(&app, request).await?;
    if !call.updates() {
        return Err(ApiError::method_not_allowed(&call.method, "PATCH, PUT"));
    }
    let body = call.document(body).await?;
    let document = RecordDocument::parse(&body)?;
    let query = Query::parse(call.api(), resource, &call.params, Scope::Write)?;
    let input = document.update_checked(resource, query.collected.clone(), |_| Ok(()))?;
    let change = Change {
        url_id,
        input,
        precondition: call.precondition(query.clone()),
        moment: app.moment(),
    };
    let caller = call.caller.clone();
    let setting = resource.kind == BALANCES.kind;
    let target = if setting { None } else { change.target() };
    let answer = written(StatusCode::OK, resource, &call.base, &query);
    let operation = async move |tx: &mut Tx| {
        let record = if setting {
            change.set(tx, &caller).await?
        } else {
            change.correct(tx, &caller).await?
        };
        Ok((record, Included::new()))
    };
    call.write(target, &body, operation, answer).await
}

fn account_segment(request: &Request) -> String {
    let segment = request.uri().path().rsplit('/').nth(1).unwrap_or_default();
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// A requested change of a balance.
struct Change {
    url_id: String,
    input: Input,
    precondition: Precondition,
    moment: Moment,
}

impl Change {
    fn id(&self) -> &str {
        self.input.id.as_deref().unwrap_or_default()
    }

    /// The account whose own id is in the URL.
    fn target(&self) -> Option<Target> {
        integer_id(&self.url_id).map(|(id, _)| Target { resource: &ACCOUNTS, id })
    }

    /// Overwrites the balance of the account whose *external* id is `data.id`.
    async fn set(&self, tx: &mut Tx, caller: &Caller) -> Result<Record, ApiError> {
        let not_found = || Error::record_not_found(self.id());
        let external_id = exact_id(self.id()).ok_or_else(not_found)?;
        let key = Value::Int(external_id);
        let found = tx.find_by(&ACCOUNTS, "external-id", &key).await?;
        let account = found.ok_or_else(not_found)?;
        let same = self.url_id == self.id()
            || exact_id(&self.url_id).is_some_and(|id| id == account.key() || id == external_id);
        if !same {
            return Err(Error::key_not_in_url(self.id()).into());
        }
        let shown = |balance| Record {
            id: Id::Int(external_id),
            values: vec![Value::Decimal(balance)],
            links: Vec::new(),
        };
        let before = head(&account).balance;
        self.precondition.check(tx, &BALANCES, &shown(before)).await?;
        let balance = match self.input.values.first() {
            None => before,
            Some((_, value)) => number(value, Unfit::NOT_A_NUMBER)
                .map_err(|unfit| fault(&BALANCES, "balance", unfit))?,
        };
        check_account(&account)?;
        adjust(tx, caller, &account, balance, self.moment).await?;
        Ok(shown(balance))
    }

    /// Adds to the balance of the account whose own id is `data.id`.
    async fn correct(&self, tx: &mut Tx, caller: &Caller) -> Result<Record, ApiError> {
        let named = |id: &str| integer_id(id).map(|(id, _)| id);
        let id = named(&self.url_id).ok_or_else(|| Error::record_not_found(&self.url_id))?;
        if named(self.id()) != Some(id) {
            return Err(Error::key_not_in_url(self.id()).into());
        }
        let found = tx.find(&ACCOUNTS, id).await?;
        let account = found.ok_or_else(|| Error::record_not_found(self.id()))?;
        let shown = |balance| Record {
            id: Id::Int(id),
            values: vec![
                Value::Null,
                ACCOUNTS.value(&account, "name").clone(),
                Value::Decimal(balance),
            ],
            links: Vec::new(),
        };
        let before = head(&account).balance;
        self.precondition.check(tx, &BALANCE_CORRECTION, &shown(before)).await?;
        let sent = self.input.values.first().map(|(_, value)| value);
        let blank = Unfit(Cow::Borrowed("can't be blank"));
        let refused = |unfit| fault(&BALANCE_CORRECTION, "correction", unfit);
        let correction = number(sent.unwrap_or(&Ok(Value::Null)), blank).map_err(refused)?;
        check_account(&account)?;
        if correction == Decimal::ZERO {
            return Ok(shown(before));
        }
        let kind = EntryKind::Correction;
        let posted = post(tx, caller, &account, kind, correction, None, self.moment).await;
        let beyond = || refused(Unfit(Cow::Borrowed("takes the balance out of range")));
        Ok(shown(head(&posted.map_err(|error| error.or(beyond))?).balance))
    }
}

/// Moves the balance to where it is wanted. Between the two ends of all decimals lies more than
/// one entry can hold; then the way goes over 0.
async fn adjust(
    tx: &mut Tx,
    caller: &Caller,
    account: &Record,
    balance: Decimal,
    moment: Moment,
) -> Result<(), ApiError> {
    let before = head(account).balance;
    let steps = match balance.checked_sub(before) {
        Some(difference) => [difference, Decimal::ZERO],
        None => [-before, balance],
    };
    let mut account = account.clone();
    for step in steps.into_iter().filter(|step| *step != Decimal::ZERO) {
        let posted = post(tx, caller, &account, EntryKind::Adjustment, step, None, moment).await;
        account = posted.map_err(|error| {
            error.or(|| ApiError::Internal(anyhow::anyhow!("a balance in range is out of range")))
        })?;
    }
    Ok(())
}

/// An id that may be anything in 64 bits, as external ids are: text beyond names nobody, and is
/// not clamped to a neighbour.
fn exact_id(text: &str) -> Option<i64> {
    integer_id(text).and_then(|(_, shown)| shown.parse().ok())
}

/// The number that was sent; `missing` says what is wrong with null.
fn number(sent: &Result<Value, Unfit>, missing: Unfit) -> Result<Decimal, Unfit> {
    match sent {
        Ok(value) => value.as_decimal().ok_or(missing),
        Err(unfit) => Err(unfit.clone()),
    }
}

fn fault(resource: &Resource, member: &'static str, unfit: Unfit) -> ApiError {
    validation_errors(resource, &[Fault::on(member, unfit.0)]).into()
}

/// An account that has become invalid is not touched (contract, resources 2 and 3).
fn check_account(account: &Record) -> Result<(), ApiError> {
    let faults = faults_of_stored(account);
    if faults.is_empty() { Ok(()) } else { Err(validation_errors(&ACCOUNTS, &faults).into()) }
}
