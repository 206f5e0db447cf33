//! The two endpoints that move a balance (contract, resources 2 and 3 with D6 and D7).

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use decimal::Decimal;
use hyper::StatusCode;
use jsonapi::{
    Error, Fault, Id, Included, Input, MEDIA_TYPE, Query, Record, RecordDocument, Resource, Scope,
    Unfit, Value, integer_id, validation_errors, write_member,
};
use store::{StoreError, Tx};

use super::{ACCOUNTS, BALANCE_CORRECTION, BALANCES, ENDPOINT};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::rest::{Call, Draft, Precondition, answer, audit, faults_of};

/// Sets the balance of `account` and says so in the audit log: the one way a balance moves.
///
/// # Errors
/// When a statement fails.
pub async fn move_balance(
    tx: &mut Tx,
    caller: &Caller,
    account: &Record,
    balance: Decimal,
    moment: Moment,
) -> Result<Record, StoreError> {
    let mut moved = account.clone();
    moved.values[attribute("balance")] = Value::Decimal(balance);
    if moved != *account {
        tx.update(&ACCOUNTS, account, &moved).await?;
        audit(tx, caller, &ACCOUNTS, Some(account), Some(&moved), moment).await?;
    }
    Ok(moved)
}

fn attribute(name: &str) -> usize {
    ACCOUNTS.attribute(name).expect("accounts have these attributes")
}

fn balance_of(account: &Record) -> Decimal {
    account.values[attribute("balance")].as_decimal().unwrap_or_default()
}

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
    let document = RecordDocument::parse(&call.document(body).await?)?;
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
    let changed = app.store.write(async move |tx| {
        if setting { change.set(tx, &caller).await } else { change.correct(tx, &caller).await }
    });
    let record: Record = changed.await?;
    let body = write_member(&call.base, resource, Some(&record), &query, &Included::new());
    Ok(Reply::tagged(StatusCode::OK, MEDIA_TYPE, body))
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

    /// Overwrites the balance of the account whose *external* id is `data.id`.
    async fn set(self, tx: &mut Tx, caller: &Caller) -> Result<Record, ApiError> {
        let not_found = || Error::record_not_found(self.id());
        let external_id = exact_id(self.id()).ok_or_else(not_found)?;
        let key = Value::Int(external_id);
        let found = tx.find_by(&ACCOUNTS, attribute("external-id"), &key).await?;
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
        let before = balance_of(&account);
        self.precondition.check(tx, &BALANCES, &shown(before)).await?;
        let balance = match self.input.values.first() {
            None => before,
            Some((_, value)) => number(value, Unfit::NOT_A_NUMBER)
                .map_err(|unfit| fault(&BALANCES, "balance", unfit))?,
        };
        check_account(tx, &account).await?;
        move_balance(tx, caller, &account, balance, self.moment).await?;
        Ok(shown(balance))
    }

    /// Adds to the balance of the account whose own id is `data.id`.
    async fn correct(self, tx: &mut Tx, caller: &Caller) -> Result<Record, ApiError> {
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
                account.values[attribute("name")].clone(),
                Value::Decimal(balance),
            ],
            links: Vec::new(),
        };
        let before = balance_of(&account);
        self.precondition.check(tx, &BALANCE_CORRECTION, &shown(before)).await?;
        let sent = self.input.values.first().map(|(_, value)| value);
        let blank = Unfit(Cow::Borrowed("can't be blank"));
        let refused = |unfit| fault(&BALANCE_CORRECTION, "correction", unfit);
        let correction = number(sent.unwrap_or(&Ok(Value::Null)), blank).map_err(refused)?;
        let beyond = || refused(Unfit(Cow::Borrowed("takes the balance out of range")));
        let balance = before.checked_add(correction).ok_or_else(beyond)?;
        check_account(tx, &account).await?;
        move_balance(tx, caller, &account, balance, self.moment).await?;
        Ok(shown(balance))
    }
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
async fn check_account(tx: &mut Tx, account: &Record) -> Result<(), ApiError> {
    let draft = Draft::of_update(&ACCOUNTS, account.clone(), Input::default());
    let faults = faults_of(tx, &ENDPOINT, &draft).await?;
    if faults.is_empty() { Ok(()) } else { Err(validation_errors(&ACCOUNTS, &faults).into()) }
}
