//! A list as a file: made while it is sent, or by a task.

use hyper::StatusCode;
use jsonapi::Resource;
use store::TaskState;

use super::page::heading;
use super::refusal::Refusal;
use super::visit::{Page, Visit};
use crate::csv::CSV;
use crate::error::ApiError;
use crate::export::Export;
use crate::http::Source;
use crate::reply::Reply;
use crate::tasks::{export_of, queue_export};

/// Answers all rows of a list, or lets a task make the file.
///
/// # Errors
/// What the API refuses of the first page.
pub async fn export(visit: Visit, resource: &'static Resource) -> Page {
    let export = Export::of(resource, &visit.query);
    let (inside, caller) = (visit.console.inside.clone(), visit.visitor.caller.clone());
    if visit.posts() {
        let description = format!("Export {}", heading(resource.kind).to_lowercase());
        let task = queue_export(&visit.console.app, &inside, &caller, &export, &description).await;
        return super::work::begun(task);
    }
    let first = export.part(&inside, &caller, Export::BEGIN).await.map_err(Refusal::Told)?;
    let name = resource.kind;
    let source = Source::start(|chunks| async move {
        let mut part = first;
        // Whoever has gone away does not want the rest.
        if chunks.send(export.header()).await.is_err() {
            return Ok(());
        }
        loop {
            if chunks.send(part.lines).await.is_err() {
                return Ok(());
            }
            let Some(next) = part.next else { return Ok(()) };
            let read = export.part(&inside, &caller, next).await;
            part = read.map_err(|_| ApiError::Overloaded)?;
        }
    });
    Ok(file(name, source))
}

/// Answers the file that a task has made.
///
/// # Errors
/// When there is none, or not yet.
pub async fn made(visit: Visit, id: &str) -> Page {
    let app = visit.console.app.clone();
    let key: i64 = id.parse().map_err(|_| jsonapi::Error::record_not_found(id))?;
    let task = app.store.task(key).await?;
    let made = task.filter(|task| task.state == TaskState::Done);
    let Some(export) = made.and_then(|task| export_of(&task)) else {
        return Err(jsonapi::Error::record_not_found(id).into());
    };
    let name = export.resource.kind;
    let source = Source::start(|chunks| async move {
        if chunks.send(export.header()).await.is_err() {
            return Ok(());
        }
        let mut position = 0;
        while let Some((first, lines)) = app.store.task_input(key, position).await? {
            position = first;
            if chunks.send(lines.into()).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    });
    Ok(file(name, source))
}

fn file(name: &str, source: Source) -> Reply {
    let name = format!("attachment; filename=\"{name}.csv\"");
    let reply = Reply::streamed(StatusCode::OK, CSV, source);
    reply.with_header("content-disposition", &name).kept("no-store").unvaried()
}
