//! One slice of arrivals, in one operation: each is let in, or not, and why.

use jsonapi::{Error, Fault, Id, Place, Record, Resource, Value, validation_errors};
use store::{StoreError, Tx};

use super::arrivals::Arrival;
use crate::accounts::ACCOUNTS;
use crate::alerts;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::journal::{self, JOURNAL_CLOSURES};
use crate::rest::{Truth, audit};

/// Where records come from, for journal and audit.
const REQUEST_ID: &str = "import yeti";

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is here now; in a dry run, it would be.
    CameOver,
    /// It was here before.
    ThereAlready,
    /// Its id has another record here, and how that differs.
    Conflict(String),
    /// It may not be here, and why.
    LeftOut(String),
}

/// Lets a slice in; a dry run only finds out what would become of it.
///
/// # Errors
/// When a statement fails.
pub async fn admit(
    tx: &mut Tx,
    arrivals: &[Arrival],
    moment: Moment,
    dry_run: bool,
) -> Result<Vec<Outcome>, ApiError> {
    let mut outcomes = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        outcomes.push(admit_one(tx, arrival, moment, dry_run).await?);
    }
    Ok(outcomes)
}

async fn admit_one(
    tx: &mut Tx,
    arrival: &Arrival,
    moment: Moment,
    dry_run: bool,
) -> Result<Outcome, ApiError> {
    let resource = arrival.endpoint.resource;
    if let Some(stored) = tx.find(resource, arrival.id).await? {
        let differences = differences(arrival, &stored);
        return Ok(if differences.is_empty() {
            Outcome::ThereAlready
        } else {
            Outcome::Conflict(differences.join("; "))
        });
    }
    if let Some(refusal) = refusal(tx, arrival, dry_run).await? {
        return Ok(Outcome::LeftOut(refusal));
    }
    let Ok(record) = arrival.draft.settled() else {
        return Ok(Outcome::LeftOut(Error::save_failed().detail.into_owned()));
    };
    if dry_run {
        return Ok(Outcome::CameOver);
    }
    let record = Record { id: Id::Int(arrival.id), ..record };
    let restored = tx.attempt(async |tx| restore(tx, resource, record, moment).await).await;
    match restored {
        Ok(()) => Ok(Outcome::CameOver),
        Err(ApiError::Store(StoreError::Conflict)) => {
            Ok(Outcome::LeftOut("a key of the database refuses it".to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Writes the record with all that belongs to it. The balance comes as an opening entry; nothing
/// else of the journal does, and no crossing is told: what happened there was told there.
async fn restore(
    tx: &mut Tx,
    resource: &'static Resource,
    record: Record,
    moment: Moment,
) -> Result<(), ApiError> {
    let caller = Caller { request_id: Some(REQUEST_ID.to_owned()), ..Caller::default() };
    let record = if resource.kind == ACCOUNTS.kind {
        let opened = journal::open_journal(tx, record, REQUEST_ID, moment).await;
        opened.map_err(|error| error.or(|| Error::save_failed().into()))?
    } else {
        record
    };
    tx.restore(resource, &record).await?;
    if resource.kind == ACCOUNTS.kind {
        alerts::mirror(tx, None, &record, moment.now).await?;
    }
    audit(tx, &caller, resource, None, Some(&record), moment).await?;
    Ok(())
}

/// Why a row may not become a record here.
async fn refusal(
    tx: &mut Tx,
    arrival: &Arrival,
    dry_run: bool,
) -> Result<Option<String>, StoreError> {
    let resource = arrival.endpoint.resource;
    if arrival.refusal.is_some() {
        return Ok(arrival.refusal.clone());
    }
    if arrival.id < 1 {
        return Ok(Some("ids are above 0".to_owned()));
    }
    let id = Value::Int(arrival.id);
    let was_here = resource.kind == ACCOUNTS.kind
        && tx.find_by(&JOURNAL_CLOSURES, "account-id", &id).await?.is_some();
    if was_here {
        let why = "an account of this id was deleted here, and its journal stays";
        return Ok(Some(why.to_owned()));
    }
    let truth = Truth::established(tx, &arrival.draft).await?;
    // In a dry run, nothing has come over that this could point at; what did not is known.
    let truth = if dry_run { truth.trusting_links() } else { truth };
    let faults = faults(arrival, &truth);
    let errors = validation_errors(resource, &faults);
    let details: Vec<&str> = errors.iter().map(|error| error.detail.as_ref()).collect();
    Ok((!details.is_empty()).then(|| details.join("; ")))
}

/// Every rule of the API that the row breaks, and what does not fit where the API takes nothing.
fn faults(arrival: &Arrival, truth: &Truth) -> Vec<Fault> {
    let mut faults = (arrival.endpoint.faults)(&arrival.draft, truth);
    for attribute in arrival.endpoint.resource.attributes {
        if let Err(unfit) = arrival.draft.given(attribute.name)
            && faults.iter().all(|fault| fault.place != Place::Member(attribute.name))
        {
            faults.push(Fault::on(attribute.name, unfit.0.clone()));
        }
    }
    faults
}

/// How a row differs from the record that has its id here. What is ours alone does not count:
/// passwords that are encrypted anew each time, journals, thresholds that are crossed.
fn differences(arrival: &Arrival, stored: &Record) -> Vec<String> {
    let resource = arrival.endpoint.resource;
    let mut differences = Vec::new();
    for (position, attribute) in resource.attributes.iter().enumerate() {
        let is_ours = !attribute.audited
            || attribute.is_write_only()
            || arrival.undecided.contains(&attribute.name);
        let (here, name) = (&stored.values[position], attribute.name);
        match arrival.draft.given(name) {
            _ if is_ours => {}
            Ok(there) if there == here => {}
            Ok(there) => {
                differences.push(format!("{name} is {} here, {} there", shown(here), shown(there)));
            }
            Err(unfit) => {
                differences.push(format!("{name} is {} here, and there it {unfit}", shown(here)));
            }
        }
    }
    for (position, relationship) in resource.relationships.iter().enumerate() {
        let (here, name) = (stored.links[position], relationship.name);
        let there = arrival.draft.link(name);
        if here != there {
            let shown = |id: Option<i64>| id.map_or("null".to_owned(), |id| id.to_string());
            differences.push(format!("{name} is {} here, {} there", shown(here), shown(there)));
        }
    }
    differences
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Decimal(decimal) => decimal.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Uuid(uuid) => uuid.to_string(),
        Value::Time(time) => time.to_string(),
        Value::Ids(ids) => format!("{ids:?}"),
        Value::Json(json) => json.to_string(),
    }
}
