//! Long work: what is under way, what it says row by row, and what lets it begin, with a look at
//! what it would do.

use askama::Template;
use axum::extract::Request;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use serde_json::{Value as Json, json};
use store::{Task, TaskFailure, TaskState};

use super::cells::moment;
use super::form::{Field, Input, Meant, document, fields};
use super::page::{Frame, heading, html, see_other};
use super::refusal::Refusal;
use super::visit::{Console, Page, Visit};
use crate::accounts::ACCOUNTS;
use crate::error::ApiError;
use crate::tasks::{
    EditPreview, IMPORTED, ImportPreview, Kind, NotQueued, cancel, preview_edit, preview_import,
    queue_edit, queue_import, queue_verify,
};

/// Tasks of a page.
const TASKS_MAX: u32 = 50;
/// Failures of a page.
const FAILURES_MAX: u32 = 200;
/// Largest file that is taken in, in bytes.
const FILE_MAX: usize = 64 << 20;
/// Records that one change may be meant for.
const IDS_MAX: usize = 1000;

/// A task as it is shown.
struct Shown {
    id: i64,
    description: String,
    operator: String,
    state: &'static str,
    is_unfinished: bool,
    total: i64,
    done: i64,
    failed: i64,
    created: String,
    ended: String,
    error: String,
    /// The file that it has made; empty where it makes none, or has not.
    file: String,
}

impl From<Task> for Shown {
    fn from(task: Task) -> Self {
        let is_made = task.state == TaskState::Done && Kind::of(&task) == Some(Kind::Export);
        let ended = task.ended_at.map(|at| moment(&at.to_string()));
        Self {
            id: task.id,
            description: task.description,
            operator: task.operator_name,
            state: task.state.word(),
            is_unfinished: task.state.is_unfinished(),
            total: task.total.max(1),
            done: task.done,
            failed: task.failed,
            created: moment(&task.created_at.to_string()),
            ended: ended.unwrap_or_default(),
            error: task.error.unwrap_or_default(),
            file: if is_made { format!("/tasks/{}/file", task.id) } else { String::new() },
        }
    }
}

#[derive(Template)]
#[template(path = "tasks.html")]
struct Tasks {
    frame: Frame,
    shown: Vec<Shown>,
    imported: Vec<(&'static str, String)>,
    said: Vec<String>,
}

/// What is under way, and what was.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(visit: &Visit) -> Page {
    let (app, inside) = (&visit.console.app, &visit.console.inside);
    if visit.posts() {
        let caller = &visit.visitor.caller;
        let task = queue_verify(app, inside, caller, "Verify all journals").await;
        return begun(task);
    }
    page(visit, StatusCode::OK, Vec::new()).await
}

async fn page(visit: &Visit, status: StatusCode, said: Vec<String>) -> Page {
    let tasks = visit.console.app.store.tasks(None, TASKS_MAX).await?;
    let page = Tasks {
        frame: visit.frame("Tasks"),
        shown: tasks.into_iter().map(Shown::from).collect(),
        imported: IMPORTED.iter().map(|one| (one.kind, heading(one.kind))).collect(),
        said,
    };
    Ok(html(status, &page)?)
}

pub fn begun(task: Result<i64, NotQueued>) -> Page {
    match task {
        Ok(task) => Ok(see_other(&format!("/tasks/{task}"))),
        Err(error) => Err(not_queued(error)),
    }
}

fn not_queued(error: NotQueued) -> Refusal {
    match error {
        NotQueued::Refused(why) => jsonapi::Error::base(why).into(),
        NotQueued::Unreadable(error) => ApiError::Internal(error.into()).into(),
        NotQueued::Store(error) => error.into(),
    }
}

#[derive(Template)]
#[template(path = "task.html")]
struct One {
    frame: Frame,
    task: Shown,
    failures: Vec<TaskFailure>,
    more: i64,
}

#[derive(Template)]
#[template(path = "task_part.html")]
struct Part {
    csrf: String,
    task: Shown,
    failures: Vec<TaskFailure>,
    more: i64,
}

/// How far a task has come, and which rows it could not do.
///
/// # Errors
/// When there is no such task.
pub async fn show(visit: &Visit, id: &str) -> Page {
    let not_found = || jsonapi::Error::record_not_found(id);
    let key: i64 = id.parse().map_err(|_| not_found())?;
    let store = &visit.console.app.store;
    if visit.posts() {
        cancel(&visit.console.app, key).await?;
        return Ok(see_other(&format!("/tasks/{key}")));
    }
    let task = Shown::from(store.task(key).await?.ok_or_else(not_found)?);
    let after = visit.param("after").and_then(|text| text.parse().ok()).unwrap_or_default();
    let failures = store.task_failures(key, after, FAILURES_MAX).await?;
    let is_full = failures.len() == FAILURES_MAX as usize;
    let more = failures.last().filter(|_| is_full).map_or(0, |failure| failure.number);
    if visit.is_fragment {
        let csrf = visit.visitor.csrf.clone();
        return Ok(html(StatusCode::OK, &Part { csrf, task, failures, more })?);
    }
    let frame = visit.frame(format!("Task {key}"));
    Ok(html(StatusCode::OK, &One { frame, task, failures, more })?)
}

#[derive(Template)]
#[template(path = "import_preview.html")]
struct Imported {
    kind: &'static str,
    label: String,
    preview: Option<ImportPreview>,
    said: String,
    task: i64,
}

/// Takes a file, the body of the request: looks at what it would do, or lets it begin.
///
/// # Errors
/// When the file is too large.
pub async fn import(console: Console, request: Request) -> Page {
    let (visit, body) = Visit::with_body(console, request).await?;
    let kind = visit.path.split('/').nth(3).unwrap_or_default().to_owned();
    let resource = IMPORTED.iter().copied().find(|resource| resource.kind == kind);
    let resource = resource.ok_or_else(jsonapi::Error::path_not_found)?;
    let limited = http_body_util::Limited::new(body, FILE_MAX);
    let file = limited.collect().await.map_err(|_| {
        jsonapi::Error::base(format!("The file is larger than {} MiB.", FILE_MAX >> 20))
    })?;
    let file = file.to_bytes();
    let (app, caller) = (&visit.console.app, &visit.visitor.caller);
    let mut page = Imported {
        kind: resource.kind,
        label: heading(resource.kind),
        preview: None,
        said: String::new(),
        task: 0,
    };
    let refused = if visit.param("begin").is_some() {
        let name = visit.param("name").unwrap_or("a file");
        let description = format!("Import {} from {name}", resource.kind);
        match queue_import(app, caller, resource, &description, &file[..]).await {
            Ok(task) => {
                page.task = task;
                None
            }
            Err(error) => Some(error),
        }
    } else {
        match preview_import(&visit.console.inside, caller, resource, &file[..]).await {
            Ok(preview) => {
                page.preview = Some(preview);
                None
            }
            Err(error) => Some(error),
        }
    };
    match refused {
        Some(NotQueued::Refused(why)) => page.said = why,
        Some(error) => return Err(not_queued(error)),
        None => {}
    }
    let reply = html(StatusCode::OK, &page)?;
    Ok(match page.task {
        0 => reply,
        task => reply.with_header("hx-redirect", &format!("/tasks/{task}")),
    })
}

#[derive(Template)]
#[template(path = "edit_many.html")]
struct Many {
    frame: Frame,
    ids: Vec<String>,
    fields: Vec<Field>,
    chosen: Vec<&'static str>,
    said: String,
    preview: Vec<Would>,
    values: Vec<(String, String)>,
    changing: usize,
    refused: usize,
}

/// Changes the accounts that are selected in the same way: asks how, shows what would change, and
/// lets it begin.
///
/// # Errors
/// When the database cannot be asked.
pub async fn edit_many(visit: &Visit) -> Page {
    let sent = visit.form.iter().filter(|(key, _)| key == "id");
    let ids: Vec<i64> = sent.filter_map(|(_, id)| id.parse().ok()).take(IDS_MAX).collect();
    if ids.is_empty() {
        return Err(jsonapi::Error::base("No account is selected.".to_owned()).into());
    }
    // Only what is ticked is changed: an empty field may be meant.
    let chosen: Vec<&str> = visit
        .form
        .iter()
        .filter(|(key, _)| key == "change")
        .map(|(_, name)| name.as_str())
        .collect();
    let offered: Vec<Field> =
        fields(&ACCOUNTS, true, |name| visit.field(name).unwrap_or_default().to_owned())
            .into_iter()
            // What only one account may have is for none to share.
            .filter(|field| !is_unique(field.name))
            .collect();
    let step = visit.field("step").unwrap_or_default();
    let (attributes, relationships) = change(visit, &chosen);
    let (app, caller) = (&visit.console.app, &visit.visitor.caller);
    let mut page = Many {
        frame: visit.frame("Edit several accounts"),
        ids: ids.iter().map(ToString::to_string).collect(),
        chosen: offered
            .iter()
            .map(|field| field.name)
            .filter(|name| chosen.contains(name))
            .collect(),
        fields: offered,
        said: String::new(),
        preview: Vec::new(),
        values: visit
            .form
            .iter()
            .filter(|(key, _)| !OWN.contains(&key.as_str()))
            .cloned()
            .collect(),
        changing: 0,
        refused: 0,
    };
    match step {
        "preview" => {
            let inside = &visit.console.inside;
            let tried = preview_edit(inside, caller, &ACCOUNTS, &ids, &attributes, &relationships);
            match tried.await {
                Ok(preview) => {
                    page.preview = preview.into_iter().map(Would::from).collect();
                    let count = |holds: fn(&Would) -> bool| {
                        page.preview.iter().filter(|one| holds(one)).count()
                    };
                    page.changing = count(|one| !one.changes.is_empty());
                    page.refused = count(|one| !one.refusals.is_empty());
                }
                Err(NotQueued::Refused(why)) => page.said = why,
                Err(error) => return Err(not_queued(error)),
            }
        }
        "begin" => {
            let description = format!("Change {} of {} accounts", chosen.join(", "), ids.len());
            return begun(
                queue_edit(app, caller, &ACCOUNTS, &ids, &attributes, &relationships, &description)
                    .await,
            );
        }
        _ => {}
    }
    let status =
        if page.said.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(html(status, &page)?)
}

/// What would become of one account.
struct Would {
    id: i64,
    name: String,
    /// What it is called, what it is, and what it would be.
    changes: Vec<(String, String, String)>,
    refusals: Vec<String>,
}

impl From<EditPreview> for Would {
    fn from(preview: EditPreview) -> Self {
        let shown = |value: &Json| match value {
            Json::Null => "–".to_owned(),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let changes = preview.changed.into_iter();
        let refusals = preview.errors.into_iter().map(|wrong| match wrong.member {
            Some(member) => format!("{} {}", heading(&member), wrong.message),
            None => wrong.detail,
        });
        Self {
            id: preview.id,
            name: preview.name.unwrap_or_default(),
            changes: changes
                .map(|one| (heading(&one.member), shown(&one.before), shown(&one.after)))
                .collect(),
            refusals: refusals.collect(),
        }
    }
}

/// Fields of the form that are none of the change.
const OWN: [&str; 4] = ["csrf", "id", "step", "change"];

fn is_unique(name: &str) -> bool {
    ACCOUNTS.attribute(name).is_some_and(|at| ACCOUNTS.attributes[at].unique)
}

/// Attributes and relationships of the change, as a document has them.
fn change(visit: &Visit, chosen: &[&str]) -> (Json, Json) {
    let document = document(&ACCOUNTS, visit, Meant::These(chosen));
    let part = |name: &str| match &document["data"][name] {
        Json::Null => json!({}),
        part => part.clone(),
    };
    (part("attributes"), part("relationships"))
}
