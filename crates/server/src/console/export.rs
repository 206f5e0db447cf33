//! A list as a file: exactly the rows that are filtered, all of them, made while they are sent.

use hyper::StatusCode;
use jsonapi::{Kind, PAGE_SIZE_MAX, Resource};
use serde_json::Value as Json;

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
    let first = visit.get(&pages.target()).await?.json();
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
            document = match visit.get(&pages.target()).await {
                Ok(answer) => answer.json(),
                Err(Refusal::Api(error)) => return Err(error),
                Err(_) => return Err(ApiError::Overloaded),
            };
        }
    });
    let name = format!("attachment; filename=\"{}.csv\"", resource.kind);
    let reply = Reply::streamed(StatusCode::OK, CSV, source);
    Ok(reply.with_header("content-disposition", &name).kept("no-store").unvaried())
}

/// The pages of a list, one after the other: by cursor where nothing else is asked for, because
/// numbered pages cost more the deeper they are.
struct Pages {
    path: String,
    query: Vec<(String, String)>,
    by_cursor: bool,
    number: u64,
    cursor: String,
}

impl Pages {
    fn of(visit: &Visit, resource: &'static Resource, members: &[Member]) -> Self {
        let asked = visit.query.iter();
        let asked = asked.filter(|(key, _)| key == "sort" || key.starts_with("filter["));
        let mut query: Vec<(String, String)> = asked.cloned().collect();
        let by_cursor = resource.cursors && query.iter().all(|(key, _)| key != "sort");
        let ((fields, names), _) = fields(resource, members);
        query.push((fields, names));
        // Linkage is answered for what is included, or has constant linkage.
        let related = members.iter().filter_map(|member| match member {
            Member::Relationship(relationship) => Some(relationship.name),
            Member::Attribute(_) => None,
        });
        query.push(("include".to_owned(), related.collect::<Vec<_>>().join(",")));
        let path = format!("/{}", resource.kind);
        Self { path, query, by_cursor, number: 1, cursor: String::new() }
    }

    fn target(&self) -> String {
        let (size, number) = (PAGE_SIZE_MAX.to_string(), self.number.to_string());
        let mut pairs: Vec<(&str, &str)> =
            self.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.push(("page[size]", &size));
        pairs.push(if self.by_cursor {
            ("page[after]", &self.cursor)
        } else {
            ("page[number]", &number)
        });
        format!("{}?{}", self.path, query(pairs))
    }

    /// Goes to the page behind this one, if there is one.
    fn turn(&mut self, document: &Json) -> bool {
        let Some(next) = document["links"]["next"].as_str() else { return false };
        self.number += 1;
        let next = next.split_once('?').map_or("", |(_, query)| query);
        let pairs = super::visit::pairs(next.as_bytes());
        let cursor = pairs.into_iter().find(|(key, _)| key == "page[after]");
        self.cursor = cursor.map(|(_, cursor)| cursor).unwrap_or_default();
        !self.by_cursor || !self.cursor.is_empty()
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
