//! A list as a file: exactly the rows that are filtered, all of them, made while they are sent.

use hyper::StatusCode;
use jsonapi::{Kind, PAGE_SIZE_MAX, Resource};
use serde_json::Value as Json;
use store::Among;

use super::cells::{Member, listed};
use super::list::fields;
use super::visit::{Page, Refusal, Visit, query};
use crate::csv::{CSV, Lines};
use crate::error::ApiError;
use crate::http::Source;
use crate::reply::Reply;

/// Answers all rows of a list as CSV: names and values are those of the API, so that a file can be
/// taken in again.
///
/// # Errors
/// What the API refuses of the first page.
pub async fn export(visit: Visit, resource: &'static Resource) -> Page {
    let members: Vec<Member> = Member::all(resource).collect();
    let mut pages = Pages::of(&visit, resource, &members);
    let first = pages.read(&visit).await?;
    let source = Source::start(|chunks| async move {
        let mut lines = Lines::default();
        let names = std::iter::once("id").chain(members.iter().map(Member::name));
        lines.push(&names.collect::<Vec<_>>());
        let mut document = first;
        loop {
            for record in document["data"].as_array().into_iter().flatten() {
                lines.push(&line(record, &members));
            }
            // Whoever has gone away does not want the rest.
            if chunks.send(lines.take()).await.is_err() || !pages.turn(&document) {
                return Ok(());
            }
            document = match pages.read(&visit).await {
                Ok(document) => document,
                Err(Refusal::Api(error)) => return Err(error),
                Err(_) => return Err(ApiError::Overloaded),
            };
        }
    });
    let name = format!("attachment; filename=\"{}.csv\"", resource.kind);
    let reply = Reply::streamed(StatusCode::OK, CSV, source);
    Ok(reply.with_header("content-disposition", &name).kept("no-store").unvaried())
}

/// The pages of a list, one after the other: by id where no order is asked for, so that each costs
/// the same and nothing is told twice while others write.
struct Pages {
    path: String,
    query: Vec<(String, String)>,
    by_id: bool,
    number: u64,
    after: i64,
}

impl Pages {
    fn of(visit: &Visit, resource: &'static Resource, members: &[Member]) -> Self {
        let asked = visit.query.iter();
        let asked = asked.filter(|(key, _)| key == "sort" || key.starts_with("filter["));
        let mut query: Vec<(String, String)> = asked.cloned().collect();
        let by_id = !resource.keyed_by_text && query.iter().all(|(key, _)| key != "sort");
        if by_id {
            query.push(("sort".to_owned(), "id".to_owned()));
        }
        let ((fields, names), _) = fields(resource, members);
        query.push((fields, names));
        // Linkage is answered for what is included, or has constant linkage.
        let related = members.iter().filter_map(|member| match member {
            Member::Relationship(relationship) => Some(relationship.name),
            Member::Attribute(_) => None,
        });
        query.push(("include".to_owned(), related.collect::<Vec<_>>().join(",")));
        let path = format!("/{}", resource.kind);
        Self { path, query, by_id, number: 1, after: i64::MIN }
    }

    async fn read(&self, visit: &Visit) -> Result<Json, Refusal> {
        let (size, number) = (PAGE_SIZE_MAX.to_string(), self.number.to_string());
        let mut pairs: Vec<(&str, &str)> =
            self.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.push(("page[size]", &size));
        let mut among = Some(Among::After(self.after));
        if !self.by_id {
            pairs.push(("page[number]", &number));
            among = None;
        }
        Ok(visit.list(&format!("{}?{}", self.path, query(pairs)), among).await?.json())
    }

    /// Goes to the page behind this one, if there may be one.
    fn turn(&mut self, document: &Json) -> bool {
        let records = document["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last = records.last().and_then(|record| record["id"].as_str()?.parse().ok());
        self.number += 1;
        self.after = last.unwrap_or(i64::MAX);
        records.len() as u64 == PAGE_SIZE_MAX
    }
}

fn line(record: &Json, members: &[Member]) -> Vec<String> {
    let id = record["id"].as_str().unwrap_or_default().to_owned();
    std::iter::once(id).chain(members.iter().map(|member| cell(record, member))).collect()
}

fn cell(record: &Json, member: &Member) -> String {
    let value = match member {
        Member::Attribute(attribute) => {
            let value = &record["attributes"][attribute.name];
            match (&attribute.kind, value) {
                (Kind::IdList | Kind::Words(_), Json::Array(values)) => return listed(values),
                _ => value,
            }
        }
        Member::Relationship(link) => &record["relationships"][link.name]["data"]["id"],
    };
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
