//! The API's reference: its OpenAPI document as pages, and a form to try each operation.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::Value as Json;

use super::described::{CHAPTERS, Chapter, Operation, pretty};
use super::page::{Frame, html};
use super::visit::{Page, Visit};
use crate::inside::Answer;
use crate::{API_PREFIX, sign_in};

/// Characters of an answer that are shown.
const SHOWN_MAX: usize = 200_000;

#[derive(Template)]
#[template(path = "docs.html")]
struct Intro {
    frame: Frame,
    chapters: &'static [Chapter],
    here: &'static str,
    origin: String,
}

#[derive(Template)]
#[template(path = "docs_chapter.html")]
struct ChapterPage {
    frame: Frame,
    chapters: &'static [Chapter],
    here: &'static str,
    chapter: &'static Chapter,
    origin: String,
}

#[derive(Template)]
#[template(path = "tried.html")]
struct Tried {
    outcome: Outcome,
}

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    frame: Frame,
    outcome: Outcome,
    back: String,
}

/// What came of trying.
struct Outcome {
    request: String,
    /// The status with its name; empty when nothing was asked.
    status: String,
    is_good: bool,
    headers: Vec<(String, String)>,
    body: String,
    note: String,
}

/// Answers the first page of the reference.
///
/// # Errors
/// When it cannot be written.
pub fn intro(visit: &Visit) -> Page {
    let page = Intro {
        frame: visit.frame("API reference"),
        chapters: &CHAPTERS,
        here: "",
        origin: visit.visitor.origin.clone(),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// Answers the page of a resource.
///
/// # Errors
/// 404 when there is none.
pub fn chapter(visit: &Visit, name: &str) -> Page {
    let found = CHAPTERS.iter().find(|chapter| chapter.name == name);
    let chapter = found.ok_or_else(jsonapi::Error::path_not_found)?;
    let page = ChapterPage {
        frame: visit.frame(format!("API: {}", chapter.label)),
        chapters: &CHAPTERS,
        here: &chapter.name,
        chapter,
        origin: visit.visitor.origin.clone(),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// Makes the request that a form says, as the visitor.
///
/// # Errors
/// When the page cannot be written: a refusal is shown.
pub async fn try_out(visit: &Visit) -> Page {
    let outcome = outcome(visit).await;
    if visit.is_fragment {
        return Ok(html(StatusCode::OK, &Tried { outcome })?);
    }
    let back = visit.field("back").filter(|back| back.starts_with("/docs"));
    let back = back.unwrap_or("/docs").to_owned();
    let page = TryPage { frame: visit.frame("Tried"), outcome, back };
    Ok(html(StatusCode::OK, &page)?)
}

async fn outcome(visit: &Visit) -> Outcome {
    let (method, target, body) = match asked(visit) {
        Ok(asked) => asked,
        Err((request, note)) => {
            let (status, headers, body) = (String::new(), Vec::new(), String::new());
            return Outcome { request, status, is_good: false, headers, body, note };
        }
    };
    let request = format!("{method} {API_PREFIX}{target}");
    let answer = visit.send(method, &target, body.as_ref(), &[]).await;
    let (body, note) = shown(&answer).await;
    let mut headers: Vec<(String, String)> = Vec::new();
    headers.extend(answer.content_type.map(|kind| ("content-type".to_owned(), kind.to_owned())));
    headers.extend(answer.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    }));
    Outcome {
        request,
        status: answer.status.to_string(),
        is_good: answer.status.is_success(),
        headers,
        body,
        note,
    }
}

type Asked = (Method, String, Option<Json>);

/// The request of a form, or how far it goes and what is wrong with it.
fn asked(visit: &Visit) -> Result<Asked, (String, String)> {
    let field = |name: &str| visit.field(name).unwrap_or_default().trim().to_owned();
    let (method, mut path) = (field("method"), field("path"));
    for name in path_names(&path) {
        let value = field(&format!("path-{name}"));
        let escaped =
            percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
        path = path.replace(&format!("{{{name}}}"), &escaped.to_string());
    }
    let query = field("query");
    let query = query.trim_start_matches('?');
    let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let request = format!("{method} {target}");
    let refused = |note: &str| Err((request.clone(), note.to_owned()));
    let is_ours = path.strip_prefix(API_PREFIX).is_some_and(|below| below.starts_with('/'));
    let has_more = path.contains(['?', '#', '\\']) || path.contains("..") || path.contains("//");
    if !is_ours || has_more || path == sign_in::PATH {
        return refused("Only paths of the API can be tried, and not its sign-in.");
    }
    let method = match method.as_str() {
        "GET" => Method::GET,
        "POST" => Method::POST,
        "PATCH" => Method::PATCH,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        _ => return refused("There is no such method."),
    };
    let body = field("body");
    let body = if body.is_empty() || method == Method::GET {
        None
    } else {
        match serde_json::from_str(&body) {
            Ok(body) => Some(body),
            Err(error) => return refused(&format!("The body is no JSON: {error}.")),
        }
    };
    // As `curl` would send it: what may not stand in an address is escaped.
    let target = target[API_PREFIX.len()..].replace(' ', "%20");
    Ok((method, target, body))
}

/// The names in braces of a path.
fn path_names(path: &str) -> Vec<String> {
    let parts = path.split('{').skip(1);
    parts.filter_map(|part| part.split_once('}')).map(|(name, _)| name.to_owned()).collect()
}

/// A body as people read it, and what is not shown of it.
async fn shown(answer: &Answer) -> (String, String) {
    let body = match &answer.source {
        None => answer.body.to_vec(),
        Some(source) => match source.beginning(SHOWN_MAX).await {
            Ok(beginning) => beginning,
            Err(_) => return (String::new(), "The answer broke off.".to_owned()),
        },
    };
    let mut text = match serde_json::from_slice::<Json>(&body) {
        Ok(json) => pretty(&json),
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    };
    if let Some((at, _)) = text.char_indices().nth(SHOWN_MAX) {
        text.truncate(at);
    }
    let note = match () {
        () if text.len() >= SHOWN_MAX => "Only the beginning is shown.",
        () if body.is_empty() => "The answer has no body.",
        () => "",
    };
    (text, note.to_owned())
}

impl Operation {
    /// The method that a form begins with.
    fn method(&self) -> &str {
        self.methods.first().map_or("GET", String::as_str)
    }
}
