//! Asking for tasks: what cannot be meant is refused before anything is written.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use hyper::Method;
use jsonapi::{RecordDocument, Resource};
use serde_json::{Value as Json, json};
use store::{NewTask, StoreError, Task, TaskState};

use super::columns::Columns;
use super::work::{IMPORTED, Work};
use crate::accounts::ACCOUNTS;
use crate::app::App;
use crate::auth::Caller;
use crate::csv::{CsvReader, CsvRecord};
use crate::export::Export;
use crate::inside::Inside;
use crate::journal::{JOURNAL_CLOSURES, Range};

/// Bytes of the rows of a slice, about.
const SLICE_BYTES: usize = 256 * 1024;

/// Why there is no task.
#[derive(Debug, thiserror::Error)]
pub enum NotQueued {
    /// It cannot be meant; the text is for whoever has asked.
    #[error("{0}")]
    Refused(String),
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[from] io::Error),
    /// The database.
    #[error("the database failed")]
    Store(#[from] StoreError),
}

/// A file with its header understood.
pub(super) struct CsvRows<R> {
    pub columns: Columns,
    reader: CsvReader<R>,
}

impl<R: Read> CsvRows<R> {
    /// Reads the header of a file of such records.
    ///
    /// # Errors
    /// When this is no such file.
    pub fn of(resource: &'static Resource, source: R) -> Result<Self, NotQueued> {
        if !IMPORTED.iter().any(|imported| imported.kind == resource.kind) {
            return Err(NotQueued::Refused(format!("{} are not imported.", resource.kind)));
        }
        let mut reader = CsvReader::new(source)?;
        let Some(header) = reader.next_record()? else {
            let why = "The file is empty: the first line must name the columns.";
            return Err(NotQueued::Refused(why.to_owned()));
        };
        let header =
            header.values.map_err(|why| NotQueued::Refused(format!("The header {why}.")))?;
        let columns = Columns::of(resource, &header).map_err(NotQueued::Refused)?;
        Ok(Self { columns, reader })
    }

    /// The next row as a task keeps it: `[line, [values]]`, or `[line, "why it cannot be read"]`.
    pub fn next(&mut self) -> io::Result<Option<Json>> {
        let Some(CsvRecord { line, values }) = self.reader.next_record()? else { return Ok(None) };
        Ok(Some(match values {
            Ok(values) => json!([line, values]),
            Err(why) => json!([line, why.to_string()]),
        }))
    }
}

/// Lets each row of a CSV file become a record of `resource`, one of [`IMPORTED`]; the id of the
/// task. The file is read to its end before the task begins, and in slices.
///
/// # Errors
/// When the header names what is no column, when there are no rows, or for want of the database.
pub async fn queue_import<R: Read + Send>(
    app: &Arc<App>,
    caller: &Caller,
    resource: &'static Resource,
    description: &str,
    source: R,
) -> Result<i64, NotQueued> {
    let mut rows = CsvRows::of(resource, source)?;
    let work = Work::Import(rows.columns.clone());
    queue(app, caller, &work, description, || rows.next()).await
}

/// Changes all these records in the same way; the id of the task. `attributes` and `relationships`
/// are objects as a document has them.
///
/// # Errors
/// When the change cannot be meant for such records, or for want of the database.
pub async fn queue_edit(
    app: &Arc<App>,
    caller: &Caller,
    resource: &'static Resource,
    ids: &[i64],
    attributes: &Json,
    relationships: &Json,
    description: &str,
) -> Result<i64, NotQueued> {
    check_change(resource, attributes, relationships)?;
    let work = Work::Edit {
        resource,
        attributes: attributes.clone(),
        relationships: relationships.clone(),
    };
    queue_ids(app, caller, &work, description, ids).await
}

/// Deletes all these records; the id of the task.
///
/// # Errors
/// When such records cannot be deleted, or for want of the database.
pub async fn queue_delete(
    app: &Arc<App>,
    caller: &Caller,
    resource: &'static Resource,
    ids: &[i64],
    description: &str,
) -> Result<i64, NotQueued> {
    if !resource.verbs.delete {
        return Err(NotQueued::Refused(format!("{} cannot be deleted.", resource.kind)));
    }
    queue_ids(app, caller, &Work::Delete(resource), description, ids).await
}

/// Proves every balance from its journal; the id of the task.
///
/// # Errors
/// For want of the database.
pub async fn queue_verify(
    app: &Arc<App>,
    inside: &Inside,
    caller: &Caller,
    description: &str,
) -> Result<i64, NotQueued> {
    let task = insert(app, caller, &Work::Verify, description, Range::ALL.after).await?;
    let total =
        count(inside, caller, &ACCOUNTS).await + count(inside, caller, &JOURNAL_CLOSURES).await;
    begin(app, task, total).await
}

/// Lets a list become a file; the id of the task.
///
/// # Errors
/// When the API refuses the list, or for want of the database.
pub async fn queue_export(
    app: &Arc<App>,
    inside: &Inside,
    caller: &Caller,
    export: &Export,
    description: &str,
) -> Result<i64, NotQueued> {
    let total = export.total(inside, caller).await.map_err(|answer| {
        let wrongs = answer.errors().into_iter().map(|wrong| wrong.detail);
        NotQueued::Refused(wrongs.collect::<Vec<_>>().join("; "))
    })?;
    let work = Work::Export(export.clone());
    let task = insert(app, caller, &work, description, Export::BEGIN).await?;
    begin(app, task, total).await
}

/// What a task exports, if it is one that does.
#[must_use]
pub fn export_of(task: &Task) -> Option<Export> {
    match Work::of(task) {
        Ok(Work::Export(export)) => Some(export),
        _ => None,
    }
}

/// How many records there are.
async fn count(inside: &Inside, caller: &Caller, resource: &Resource) -> i64 {
    let target = format!("/{}?page[size]=1", resource.kind);
    let answer = inside.ask(caller, Method::GET, &target, None, &[]).await;
    answer.json()["meta"]["total-count"].as_i64().unwrap_or_default()
}

/// Ends a task that has not ended: it stops behind the slice that it is in. Says whether it was one.
///
/// # Errors
/// When the statement fails.
pub async fn cancel(app: &App, task: i64) -> Result<bool, StoreError> {
    let now = app.now();
    app.store.write(async move |tx| tx.end_task(task, TaskState::Cancelled, None, now).await).await
}

/// Whether a change has the form of one, for some record of the resource.
pub(super) fn check_change(
    resource: &'static Resource,
    attributes: &Json,
    relationships: &Json,
) -> Result<(), NotQueued> {
    let refused = |why: String| Err(NotQueued::Refused(why));
    if !resource.verbs.update {
        return refused(format!("{} cannot be changed.", resource.kind));
    }
    let mut document = json!({"data": {"type": resource.kind, "id": "1"}});
    document["data"]["attributes"] = attributes.clone();
    document["data"]["relationships"] = relationships.clone();
    let parsed =
        RecordDocument::parse(document.to_string().as_bytes()).map_err(|error| vec![error]);
    let input = match parsed.and_then(|parsed| parsed.update(resource, "1", Vec::new())) {
        Ok(input) => input,
        Err(errors) => {
            let details: Vec<&str> = errors.iter().map(|error| error.detail.as_ref()).collect();
            return refused(details.join("; "));
        }
    };
    if input.values.is_empty() && input.links.is_empty() {
        return refused("Nothing is to be changed.".to_owned());
    }
    for (position, value) in &input.values {
        if let Err(unfit) = value {
            return refused(format!("{} - {}", resource.attributes[*position].name, unfit.0));
        }
    }
    Ok(())
}

async fn queue_ids(
    app: &Arc<App>,
    caller: &Caller,
    work: &Work,
    description: &str,
    ids: &[i64],
) -> Result<i64, NotQueued> {
    let mut seen = HashSet::with_capacity(ids.len());
    let mut each = ids.iter().filter(|id| seen.insert(**id));
    queue(app, caller, work, description, || Ok(each.next().map(|id| json!(id)))).await
}

/// Writes a task down, its rows slice by slice.
async fn queue(
    app: &Arc<App>,
    caller: &Caller,
    work: &Work,
    description: &str,
    mut next: impl FnMut() -> io::Result<Option<Json>> + Send,
) -> Result<i64, NotQueued> {
    let slice_rows = work.kind().slice_rows();
    let (mut task, mut total) = (None, 0_i64);
    loop {
        let (mut rows, mut bytes) = (Vec::with_capacity(slice_rows), 0);
        while rows.len() < slice_rows && bytes < SLICE_BYTES {
            let Some(row) = next()? else { break };
            let row = row.to_string();
            bytes += row.len();
            rows.push(row);
        }
        if rows.is_empty() {
            break;
        }
        let id = match task {
            Some(id) => id,
            None => insert(app, caller, work, description, 0).await?,
        };
        task = Some(id);
        let (first, slice) = (total + 1, format!("[{}]", rows.join(",")));
        total += i64::try_from(rows.len()).unwrap_or_default();
        let added: Result<(), StoreError> =
            app.store.write(async move |tx| tx.add_task_input(id, first, &slice).await).await;
        added?;
    }
    match task {
        Some(task) => begin(app, task, total).await,
        None => Err(NotQueued::Refused("There are no rows.".to_owned())),
    }
}

async fn insert(
    app: &Arc<App>,
    caller: &Caller,
    work: &Work,
    description: &str,
    position: i64,
) -> Result<i64, NotQueued> {
    let Some(operator) = &caller.operator else {
        return Err(NotQueued::Refused("Only an operator can ask for a task.".to_owned()));
    };
    let new = NewTask {
        kind: work.kind().word().to_owned(),
        operator_id: operator.id,
        operator_name: operator.name.clone(),
        ip: caller.address.map(|address| address.to_string()),
        description: description.to_owned(),
        parameters: work.parameters().to_string(),
        position,
        created_at: app.now(),
    };
    Ok(app.store.write::<_, StoreError, _>(async move |tx| tx.insert_task(&new).await).await?)
}

async fn begin(app: &Arc<App>, task: i64, total: i64) -> Result<i64, NotQueued> {
    let queued: Result<(), StoreError> =
        app.store.write(async move |tx| tx.queue_task(task, total).await).await;
    queued?;
    app.task_bell.notify_one();
    Ok(task)
}
