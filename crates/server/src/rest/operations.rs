//! Create, update and delete of any resource: each one transaction, audit included.

use jiff::Timestamp;
use jsonapi::{Error, Fault, Id, Input, OnDelete, Record, Resource, Value};
use jsonapi::{snapshot, validation_errors};
use store::{StoreError, Tx};

use super::draft::{Draft, Truth};
use super::endpoint::{Change, Endpoint};
use super::request::Precondition;
use crate::audit::AUDIT_RECORDS;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;

/// How often a delete looks again for records that point at what it deletes, when another node
/// makes new ones.
const DELETE_ATTEMPTS_MAX: usize = 3;

/// Creates a record, or refuses with everything that is wrong.
///
/// # Errors
/// 422 with the broken rules, or what the database says.
pub async fn create(
    tx: &mut Tx,
    caller: &Caller,
    endpoint: &'static Endpoint,
    input: &Input,
    moment: Moment,
) -> Result<Record, ApiError> {
    if let Some(create) = endpoint.create {
        return create(tx, caller, input, moment).await;
    }
    let draft = Draft::of_create(endpoint.resource, input);
    insert(tx, caller, endpoint, draft, moment).await
}

/// Adds the record that the draft becomes, or refuses with everything that is wrong.
///
/// # Errors
/// 422 with the broken rules, or what the database says.
pub async fn insert(
    tx: &mut Tx,
    caller: &Caller,
    endpoint: &Endpoint,
    mut draft: Draft,
    moment: Moment,
) -> Result<Record, ApiError> {
    (endpoint.prepare)(&mut draft, moment);
    let Some(record) = settle(tx, endpoint, &draft).await? else {
        return Err(refusal(tx, endpoint, &draft).await?);
    };
    match tx.insert(endpoint.resource, record.values, record.links).await {
        Ok(record) => {
            audit(tx, caller, endpoint.resource, None, Some(&record), moment).await?;
            entail(tx, endpoint, Change { before: None, after: Some(&record), moment }).await?;
            Ok(record)
        }
        Err(StoreError::Conflict) => Err(refusal(tx, endpoint, &draft).await?),
        Err(error) => Err(error.into()),
    }
}

async fn entail(tx: &mut Tx, endpoint: &Endpoint, change: Change<'_>) -> Result<(), ApiError> {
    match endpoint.effect {
        Some(effect) => effect(tx, change).await,
        None => Ok(()),
    }
}

/// Changes a record, or refuses with everything that is wrong. Sending what is already there
/// changes nothing and leaves no audit record.
///
/// # Errors
/// 404, 412, 422 with the broken rules, or what the database says.
pub async fn update(
    tx: &mut Tx,
    caller: &Caller,
    endpoint: &'static Endpoint,
    id: i64,
    input: &Input,
    precondition: &Precondition,
    moment: Moment,
) -> Result<Record, ApiError> {
    if let Some(update) = endpoint.update {
        return update(tx, caller, id, input, precondition, moment).await;
    }
    let resource = endpoint.resource;
    let sent_id = || input.id.clone().unwrap_or_else(|| id.to_string());
    let before = find(tx, resource, id, sent_id).await?;
    precondition.check(tx, resource, &before).await?;
    amend(tx, caller, endpoint, Draft::of_update(resource, before, input), moment).await
}

/// Changes a stored record to what the draft says, or refuses with everything that is wrong.
///
/// # Errors
/// 422 with the broken rules, or what the database says.
pub async fn amend(
    tx: &mut Tx,
    caller: &Caller,
    endpoint: &Endpoint,
    mut draft: Draft,
    moment: Moment,
) -> Result<Record, ApiError> {
    let resource = endpoint.resource;
    (endpoint.prepare)(&mut draft, moment);
    let Some(after) = settle(tx, endpoint, &draft).await? else {
        return Err(refusal(tx, endpoint, &draft).await?);
    };
    match store_change(tx, caller, resource, draft.before.as_ref(), &after, moment).await {
        Ok(()) => {
            let change = Change { before: draft.before.as_ref(), after: Some(&after), moment };
            entail(tx, endpoint, change).await?;
            Ok(after)
        }
        Err(StoreError::Conflict) => Err(refusal(tx, endpoint, &draft).await?),
        Err(error) => Err(error.into()),
    }
}

/// Writes what differs between two states of a record, with its audit record.
async fn store_change(
    tx: &mut Tx,
    caller: &Caller,
    resource: &'static Resource,
    before: Option<&Record>,
    after: &Record,
    moment: Moment,
) -> Result<(), StoreError> {
    let Some(before) = before.filter(|before| *before != after) else { return Ok(()) };
    tx.update(resource, before, after).await?;
    audit(tx, caller, resource, Some(before), Some(after), moment).await
}

/// Deletes a record with all that follows from it, or refuses.
///
/// # Errors
/// 404, 412, 422 where dependent records forbid it, or what the database says.
pub async fn delete(
    tx: &mut Tx,
    caller: &Caller,
    endpoint: &'static Endpoint,
    id: i64,
    shown_id: &str,
    precondition: &Precondition,
    moment: Moment,
) -> Result<(), ApiError> {
    if let Some(delete) = endpoint.delete {
        return delete(tx, caller, id, shown_id, precondition, moment).await;
    }
    let resource = endpoint.resource;
    let record = find(tx, resource, id, || shown_id.to_owned()).await?;
    precondition.check(tx, resource, &record).await?;
    remove(tx, caller, endpoint, &record, moment).await
}

/// Deletes a stored record with all that follows from it, or refuses.
///
/// # Errors
/// 422 where dependent records forbid it, or what the database says.
pub async fn remove(
    tx: &mut Tx,
    caller: &Caller,
    endpoint: &Endpoint,
    record: &Record,
    moment: Moment,
) -> Result<(), ApiError> {
    let (resource, id) = (endpoint.resource, record.key());
    for _ in 0..DELETE_ATTEMPTS_MAX {
        let dependents = dependents(tx, resource, id).await?;
        if !dependents.is_empty() {
            return Err(dependents.into());
        }
        for consequence in resource.on_delete {
            follow(tx, caller, consequence, id, moment).await?;
        }
        match tx.delete(resource, record).await {
            Ok(()) => {
                audit(tx, caller, resource, Some(record), None, moment).await?;
                let change = Change { before: Some(record), after: None, moment };
                return entail(tx, endpoint, change).await;
            }
            // Another node has just made a record that points here: it shows now.
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let reason = "records that point at the one to delete are being made";
    Err(StoreError::Unavailable(reason.to_owned()).into())
}

/// One error for each type of records that forbid the delete of `id`.
async fn dependents(
    tx: &mut Tx,
    resource: &'static Resource,
    id: i64,
) -> Result<Vec<Error>, StoreError> {
    let mut found = Vec::new();
    for consequence in resource.on_delete {
        if let OnDelete::RestrictedBy { kind, relationship } = consequence
            && !tx.pointing_at(kind, relationship, id, 1).await?.is_empty()
        {
            let dependents = kind.replace('-', " ");
            found.push(Error::base(format!(
                "Cannot delete record because dependent {dependents} exist"
            )));
        }
    }
    Ok(found)
}

/// Does to other records what the delete of `id` entails.
async fn follow(
    tx: &mut Tx,
    caller: &Caller,
    consequence: &OnDelete,
    id: i64,
    moment: Moment,
) -> Result<(), StoreError> {
    match *consequence {
        OnDelete::RestrictedBy { .. } => {}
        OnDelete::Cascades { kind, relationship } => {
            let dependent = tx.resource(kind);
            for key in tx.pointing_at(kind, relationship, id, i64::MAX).await? {
                let Some(record) = tx.find(dependent, key).await? else { continue };
                tx.delete(dependent, &record).await?;
                audit(tx, caller, dependent, Some(&record), None, moment).await?;
            }
        }
        OnDelete::Takes { kind, relationship } => {
            let dependent = tx.resource(kind);
            tx.delete_pointing_at(dependent, relationship, id).await?;
        }
        OnDelete::LeavesList { kind, attribute } => {
            let holder = tx.resource(kind);
            let position = holder.attribute(attribute).expect("definitions name their own");
            for key in tx.listing(kind, attribute, id).await? {
                let Some(before) = tx.find(holder, key).await? else { continue };
                let mut after = before.clone();
                if let Value::Ids(ids) = &mut after.values[position] {
                    ids.retain(|member| *member != id);
                }
                store_change(tx, caller, holder, Some(&before), &after, moment).await?;
            }
        }
    }
    Ok(())
}

async fn find(
    tx: &mut Tx,
    resource: &'static Resource,
    id: i64,
    shown_id: impl FnOnce() -> String,
) -> Result<Record, ApiError> {
    let found = tx.find(resource, id).await?.filter(|record| resource.shows(record));
    found.ok_or_else(|| Error::record_not_found(&shown_id()).into())
}

/// The record that the draft becomes if all that is assumed holds.
async fn settle(
    tx: &mut Tx,
    endpoint: &Endpoint,
    draft: &Draft,
) -> Result<Option<Record>, ApiError> {
    let truth = Truth::assumed(tx, draft).await?;
    if !(endpoint.faults)(draft, &truth).is_empty() {
        return Ok(None);
    }
    Ok(draft.settled().ok())
}

/// Everything that is wrong with a draft, now that something is.
async fn refusal(tx: &mut Tx, endpoint: &Endpoint, draft: &Draft) -> Result<ApiError, ApiError> {
    let faults = faults_of(tx, endpoint, draft).await?;
    if faults.is_empty() {
        return Ok(vec![Error::save_failed()].into());
    }
    Ok(validation_errors(endpoint.resource, &faults).into())
}

/// Every rule that the draft breaks, other rows considered.
///
/// # Errors
/// When a statement fails.
pub async fn faults_of(
    tx: &mut Tx,
    endpoint: &Endpoint,
    draft: &Draft,
) -> Result<Vec<Fault>, StoreError> {
    let truth = Truth::established(tx, draft).await?;
    Ok((endpoint.faults)(draft, &truth))
}

/// Appends to the audit log what changed between two states of a record.
///
/// # Errors
/// When the statement fails.
pub async fn audit(
    tx: &mut Tx,
    caller: &Caller,
    resource: &'static Resource,
    before: Option<&Record>,
    after: Option<&Record>,
    moment: Moment,
) -> Result<(), StoreError> {
    if !resource.audited {
        return Ok(());
    }
    let (event, record) = match (before, after) {
        (None, Some(record)) => ("create", record),
        (Some(_), Some(record)) => ("update", record),
        (Some(record), None) => ("delete", record),
        (None, None) => return Ok(()),
    };
    let state = |record: Option<&Record>, other| {
        record.map_or(Value::Null, |record| Value::Json(snapshot(resource, record, other)))
    };
    let Id::Int(id) = record.id else { return Ok(()) };
    let what = Audited { event, kind: resource.kind, id, now: moment.now };
    append_audit(tx, caller, what, state(before, after), state(after, before)).await
}

/// What an audit record is about.
#[derive(Clone, Copy, Debug)]
pub struct Audited {
    /// `create`, `update` or `delete`.
    pub event: &'static str,
    /// Type of what was changed.
    pub kind: &'static str,
    /// Its id.
    pub id: i64,
    /// When.
    pub now: Timestamp,
}

/// Appends an audit record with these states before and after.
///
/// # Errors
/// When the statement fails.
pub async fn append_audit(
    tx: &mut Tx,
    caller: &Caller,
    what: Audited,
    before: Value,
    after: Value,
) -> Result<(), StoreError> {
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    let values = vec![
        Value::text(what.event),
        Value::text(what.kind),
        Value::Int(what.id),
        text(caller.operator.as_ref().map(|operator| operator.name.as_str())),
        caller.address.map_or(Value::Null, |address| Value::text(address.to_string())),
        text(caller.request_id.as_deref()),
        Value::Time(what.now),
        before,
        after,
    ];
    tx.insert(&AUDIT_RECORDS, values, Vec::new()).await?;
    Ok(())
}
