//! What an import or a change would do, before it is asked for: requests are tried, and leave
//! nothing.

use std::collections::HashSet;
use std::io::Read;

use hyper::Method;
use jsonapi::{RecordDocument, Resource};
use serde_json::{Value as Json, json};

use super::queue::{CsvRows, NotQueued, check_change};
use super::run::{in_flight, refusals};
use super::work::{Request, Work};
use crate::auth::Caller;
use crate::inside::{Answer, Inside, Wrong};

/// Rows that a preview tries.
pub const PREVIEW_ROWS_MAX: usize = 1000;
/// Bytes of the rows that a preview tries, about.
const PREVIEW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows that a preview shows as they are.
const SHOWN_MAX: usize = 20;

/// What an import would do.
#[derive(Clone, Debug)]
pub struct ImportPreview {
    /// The columns.
    pub columns: Vec<&'static str>,
    /// The first rows as they are.
    pub first_rows: Vec<Vec<String>>,
    /// Rows that were tried.
    pub tried: usize,
    /// Whether the file has more.
    pub is_more: bool,
    /// Rows that would be refused.
    pub refused: Vec<RefusedRow>,
}

/// A row that would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// The line of the file that it begins on.
    pub line: usize,
    /// Everything that is wrong with it.
    pub errors: Vec<Wrong>,
}

/// What a change would do to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct EditPreview {
    /// Which.
    pub id: i64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What would be another than before; nothing when all is so already.
    pub changed: Vec<Changed>,
    /// Why it would be refused.
    pub errors: Vec<Wrong>,
}

/// A member of a record before and after a change; of a relationship, the id.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// Its name.
    pub member: String,
    /// What it is.
    pub before: Json,
    /// What it would be.
    pub after: Json,
}

/// Tries the first rows of a file ([`super::queue_import`]), each by itself against the database as
/// it is. Values that only one record may have are compared within the file, too; a row that needs
/// a record that the same file makes is refused.
///
/// # Errors
/// As [`super::queue_import`].
pub async fn preview_import<R: Read + Send>(
    inside: &Inside,
    caller: &Caller,
    resource: &'static Resource,
    source: R,
) -> Result<ImportPreview, NotQueued> {
    let mut file = CsvRows::of(resource, source)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < PREVIEW_ROWS_MAX
        && bytes < PREVIEW_BYTES_MAX
        && let Some(row) = file.next()?
    {
        bytes += row.to_string().len();
        rows.push(row);
    }
    let is_more = file.next()?.is_some();
    if rows.is_empty() {
        return Err(NotQueued::Refused("There are no rows.".to_owned()));
    }
    let columns = file.columns.names().collect();
    let work = Work::Import(file.columns);
    let requests: Vec<_> = rows.iter().map(|row| work.request(row)).collect();
    let mut twice = Twice::default();
    let repeated: Vec<Vec<Wrong>> = requests
        .iter()
        .map(|request| request.as_ref().map_or_else(|_| Vec::new(), |one| twice.of(resource, one)))
        .collect();
    let tried = in_flight(requests.into_iter().map(|request| {
        let (inside, caller) = (inside.clone(), caller.clone());
        async move {
            match request {
                Ok(request) => refusals(&try_out(&inside, &caller, request).await),
                Err(why) => vec![Wrong { member: None, message: why.clone(), detail: why }],
            }
        }
    }))
    .await;
    let line = |row: &Json| row[0].as_u64().and_then(|line| usize::try_from(line).ok());
    let refused = rows.iter().zip(tried.into_iter().zip(repeated)).filter_map(|(row, errors)| {
        let (errors, repeated) = errors;
        let errors = if errors.is_empty() { repeated } else { errors };
        let line = line(row).unwrap_or_default();
        (!errors.is_empty()).then_some(RefusedRow { line, errors })
    });
    let refused = refused.collect();
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let values = |row: &Json| row[1].as_array().map(|values| values.iter().map(text).collect());
    let first_rows = rows.iter().take(SHOWN_MAX).filter_map(values).collect();
    Ok(ImportPreview { columns, first_rows, tried: rows.len(), is_more, refused })
}

/// Tries a change ([`super::queue_edit`]) of the first [`PREVIEW_ROWS_MAX`] of these records.
///
/// # Errors
/// As [`super::queue_edit`].
pub async fn preview_edit(
    inside: &Inside,
    caller: &Caller,
    resource: &'static Resource,
    ids: &[i64],
    attributes: &Json,
    relationships: &Json,
) -> Result<Vec<EditPreview>, NotQueued> {
    check_change(resource, attributes, relationships)?;
    let change = json!({
        "type": resource.kind, "attributes": attributes, "relationships": relationships,
    });
    Ok(in_flight(ids.iter().take(PREVIEW_ROWS_MAX).map(|id| {
        let (inside, caller, mut data, id) = (inside.clone(), caller.clone(), change.clone(), *id);
        async move {
            let target = format!("/{}/{id}", resource.kind);
            let before = inside.ask(&caller, Method::GET, &target, None, &[]).await;
            data["id"] = json!(id.to_string());
            let body = Some(json!({ "data": data }));
            let after = Request { method: Method::PATCH, target, body };
            let after = try_out(&inside, &caller, after).await;
            compared(resource, id, &before, &after)
        }
    }))
    .await)
}

async fn try_out(inside: &Inside, caller: &Caller, request: Request) -> Answer {
    let Request { method, target, body } = request;
    inside.try_out(caller, method, &target, body.as_ref()).await
}

fn compared(resource: &Resource, id: i64, before: &Answer, after: &Answer) -> EditPreview {
    let errors = refusals(after);
    let (before, after) = (before.json(), after.json());
    let name = before["data"]["attributes"]["name"].as_str().map(str::to_owned);
    let mut changed = Vec::new();
    let mut compare = |member: &str, before: &Json, after: &Json| {
        if before != after {
            let (before, after) = (before.clone(), after.clone());
            changed.push(Changed { member: member.to_owned(), before, after });
        }
    };
    if errors.is_empty() {
        for attribute in resource.attributes {
            let of = |document: &Json| document["data"]["attributes"][attribute.name].clone();
            compare(attribute.name, &of(&before), &of(&after));
        }
        for related in resource.relationships {
            let of = |document: &Json| {
                document["data"]["relationships"][related.name]["data"]["id"].clone()
            };
            compare(related.name, &of(&before), &of(&after));
        }
    }
    EditPreview { id, name, changed, errors }
}

/// Values that no two records may have, as the rows of a file send them.
#[derive(Default)]
struct Twice {
    /// Position of the attribute, the relationship that narrows it, the value.
    sent: HashSet<(usize, Option<i64>, String)>,
}

impl Twice {
    /// What the request sends that one before has sent, too.
    fn of(&mut self, resource: &'static Resource, request: &Request) -> Vec<Wrong> {
        let body = request.body.as_ref().map(Json::to_string).unwrap_or_default();
        let Ok(document) = RecordDocument::parse(body.as_bytes()) else { return Vec::new() };
        let Ok(input) = document.create(resource, Vec::new()) else { return Vec::new() };
        let mut repeated = Vec::new();
        for (position, value) in &input.values {
            let attribute = &resource.attributes[*position];
            let Some(value) = value.as_ref().ok().filter(|_| attribute.unique) else { continue };
            let within = attribute.unique_within.and_then(|name| resource.relationship(name));
            let link = input.links.iter().find(|(link, _)| Some(*link) == within);
            let within = link.and_then(|(_, id)| *id);
            if !self.sent.insert((*position, within, format!("{value:?}"))) {
                let message = "is in the file twice".to_owned();
                let detail = format!("{} - {message}", attribute.name);
                repeated.push(Wrong { member: Some(attribute.name.to_owned()), message, detail });
            }
        }
        repeated
    }
}
