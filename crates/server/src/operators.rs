//! Looking after operators: one set of rules for the command line and the console.
//!
//! Operators are no resource of the API. What one of them changes is audited all the same, under the
//! type `operators`; the command line, which needs no operator, leaves no record.

use std::sync::Arc;

use jsonapi::Value;
use serde_json::{Map, Value as Json, json};
use store::{NewOperator, Operator, StoreError, Tx};

use crate::app::App;
use crate::auth::{Caller, allows, hash_password, parse_network};
use crate::rest::{Audited, append_audit};

/// Shortest password that is accepted.
const PASSWORD_CHARS_MIN: usize = 8;
/// Longest name that is accepted.
const NAME_CHARS_MAX: usize = 255;
/// How far the clocks of nodes may be apart: tokens that a node ahead has issued with the old
/// password end all the same. New ones are issued as of that later time, and so are good at once.
const CLOCKS_APART_SECS_MAX: i64 = 5;
/// Their type in the audit log.
pub const KIND: &str = "operators";

/// Why an operator is not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// A name must be there.
    #[error("the name is empty")]
    NoName,
    /// A name must fit.
    #[error("the name is longer than {NAME_CHARS_MAX} characters")]
    LongName,
    /// Names are unique.
    #[error("there is already an operator {0:?}")]
    Taken(String),
    /// A password must be hard to guess.
    #[error("the password is shorter than {PASSWORD_CHARS_MIN} characters")]
    ShortPassword,
    /// A network that cannot be read.
    #[error("{0:?} is not an address or network")]
    Network(String),
    /// Nobody is called that.
    #[error("there is no operator {0:?}")]
    Missing(String),
    /// Nobody shuts themselves out.
    #[error("you would shut yourself out")]
    Yourself,
    /// The database.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// The system has no randomness to give, or too many passwords are looked at.
    #[error("the password cannot be hashed")]
    Hash(#[source] anyhow::Error),
}

/// What is changed of an operator.
#[derive(Clone, Debug)]
pub enum Change {
    /// Another password: ends tokens and sessions.
    Password(String),
    /// Whether they may do anything at all: a no ends sessions. Tokens are refused until a yes.
    Enabled(bool),
    /// Networks they may come from, as [`network_list`] makes them.
    Networks(Option<String>),
}

/// Adds an operator who may sign in; on this node, at once.
///
/// # Errors
/// When the name or the password will not do, or the name is taken.
pub async fn add(
    app: &Arc<App>,
    caller: &Caller,
    name: &str,
    password: &str,
    allowed_ips: Option<String>,
) -> Result<(), OperatorError> {
    if name.trim().is_empty() {
        return Err(OperatorError::NoName);
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(OperatorError::LongName);
    }
    check_password(password)?;
    let new = new_operator(app, name, password, allowed_ips).await?;
    let (now, caller) = (app.now(), caller.clone());
    let state = json!({"name": name, "enabled": true, "allowed-ips": new.allowed_ips});
    let added: Result<(), StoreError> = app
        .store
        .write(async move |tx| {
            let id = tx.insert_operator(&new).await?;
            let what = Audited { event: "create", kind: KIND, id, now };
            audit(tx, &caller, what, &Json::Null, &state).await
        })
        .await;
    app.operators.forget();
    match added {
        Err(StoreError::Conflict) => Err(OperatorError::Taken(name.to_owned())),
        other => Ok(other?),
    }
}

/// An operator in the making, whose name and password will do.
///
/// # Errors
/// When the password cannot be hashed.
pub async fn new_operator(
    app: &App,
    name: &str,
    password: &str,
    allowed_ips: Option<String>,
) -> Result<NewOperator, OperatorError> {
    Ok(NewOperator {
        name: name.to_owned(),
        password_hash: hashed(app, password).await?,
        allowed_ips,
        created_at: app.now(),
    })
}

/// Changes the operator of this name; on this node it holds at once.
///
/// # Errors
/// When there is none, or the caller would shut themselves out.
pub async fn change(
    app: &Arc<App>,
    caller: &Caller,
    name: &str,
    change: Change,
) -> Result<(), OperatorError> {
    let mut password_hash = None;
    if let Change::Password(password) = &change {
        check_password(password)?;
        password_hash = Some(hashed(app, password).await?);
    }
    let (sought, caller, now) = (name.to_owned(), caller.clone(), app.now());
    let found = app
        .store
        .write(async move |tx| {
            let Some(operator) = tx.operator(&sought).await? else {
                return Err(OperatorError::Missing(sought.clone()));
            };
            let mut changed = operator.clone();
            match (&change, &password_hash) {
                (Change::Password(_), Some(hash)) => changed.password_hash.clone_from(hash),
                (Change::Password(_), None) => {}
                (Change::Enabled(enabled), _) => changed.enabled = *enabled,
                (Change::Networks(networks), _) => changed.allowed_ips.clone_from(networks),
            }
            if shuts_out(&caller, &changed) {
                return Err(OperatorError::Yourself);
            }
            if matches!(change, Change::Password(_)) {
                changed.tokens_valid_from_secs = now.as_second() + 1 + CLOCKS_APART_SECS_MAX;
            }
            if matches!(change, Change::Password(_) | Change::Enabled(false)) {
                tx.end_console_sessions(operator.id).await?;
            }
            tx.update_operator(&changed).await?;
            let (before, after) = states(&operator, &changed);
            let what = Audited { event: "update", kind: KIND, id: operator.id, now };
            Ok(audit(tx, &caller, what, &before, &after).await?)
        })
        .await;
    app.operators.forget();
    found
}

/// Whether the caller could not go on as they are.
fn shuts_out(caller: &Caller, changed: &Operator) -> bool {
    let is_caller = caller.operator.as_ref().is_some_and(|operator| operator.id == changed.id);
    let may_come = caller.address.is_none_or(|address| allows(changed, address));
    is_caller && !(changed.enabled && may_come)
}

/// What differs. Of a password it is told that it did.
fn states(before: &Operator, after: &Operator) -> (Json, Json) {
    let members = |operator: &Operator, other: &Operator| {
        let mut state = Map::new();
        if operator.enabled != other.enabled {
            state.insert("enabled".to_owned(), operator.enabled.into());
        }
        if operator.allowed_ips != other.allowed_ips {
            state.insert("allowed-ips".to_owned(), json!(operator.allowed_ips));
        }
        if operator.password_hash != other.password_hash {
            state.insert("password".to_owned(), Json::Null);
        }
        Json::Object(state)
    };
    (members(before, after), members(after, before))
}

async fn audit(
    tx: &mut Tx,
    caller: &Caller,
    what: Audited,
    before: &Json,
    after: &Json,
) -> Result<(), StoreError> {
    let is_empty = |state: &Json| state.as_object().is_none_or(Map::is_empty);
    if caller.operator.is_none() || (is_empty(before) && is_empty(after)) {
        return Ok(());
    }
    let state = |state: &Json| match state {
        Json::Null => Value::Null,
        state => Value::Json(state.to_string().into()),
    };
    append_audit(tx, caller, what, state(before), state(after)).await
}

/// A list of networks, as operators have it; none is anywhere.
///
/// # Errors
/// When one of them is none.
pub fn network_list(networks: &[String]) -> Result<Option<String>, OperatorError> {
    for text in networks {
        if parse_network(text).is_none() {
            return Err(OperatorError::Network(text.clone()));
        }
    }
    Ok((!networks.is_empty()).then(|| networks.join(",")))
}

/// Whether a password will do.
///
/// # Errors
/// When it is too short.
pub fn check_password(password: &str) -> Result<(), OperatorError> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(OperatorError::ShortPassword);
    }
    Ok(())
}

/// Takes a core and 19 MiB for a while, as one of few at once.
async fn hashed(app: &App, password: &str) -> Result<String, OperatorError> {
    let turn = app.password_checks.acquire().await;
    let _turn = turn.map_err(|error| OperatorError::Hash(error.into()))?;
    let password = password.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await;
    hashed.unwrap_or_else(|error| Err(error.into())).map_err(OperatorError::Hash)
}
