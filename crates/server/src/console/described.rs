//! The OpenAPI document as people read it: operations by resource, with tables and examples.

use std::sync::LazyLock;

use serde_json::{Map, Value as Json, json};

use super::page::heading;
use crate::{API_PREFIX, openapi, sign_in};

/// Examples and tables stop at this depth: some schemas name each other.
const DEPTH_MAX: usize = 10;
/// Operators of filters, the longer before what they end with.
const OPERATORS: [&str; 13] = [
    "not_in", "in", "not_eq", "eq", "gteq", "gt", "lteq", "lt", "cont_any", "cont", "start", "end",
    "id",
];

/// What belongs to one resource, or to none.
#[derive(Debug)]
pub struct Chapter {
    /// The word in the address.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// One sentence about it.
    pub meaning: String,
    /// What can be done.
    pub operations: Vec<Operation>,
}

/// Something that can be done.
#[derive(Debug)]
pub struct Operation {
    /// The anchor on the page.
    pub id: String,
    /// Methods that do the same.
    pub methods: Vec<String>,
    /// The path, with names in braces.
    pub path: String,
    /// What it does.
    pub summary: String,
    /// The same as HTML.
    pub title: String,
    /// What it takes beside filters and a body.
    pub parameters: Vec<Parameter>,
    /// What its list can be filtered by, and with which operators.
    pub filters: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<Body>,
    /// Statuses and what they mean, as HTML.
    pub responses: Vec<(String, String)>,
    /// A good answer.
    pub answer: String,
    /// Whether it can be tried from the console.
    pub can_be_tried: bool,
    /// The names in the path.
    pub path_names: Vec<String>,
    /// What follows the server's address in a request with curl.
    pub curl: String,
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `path`, `query` or `header`.
    pub place: String,
    /// What it holds.
    pub kind: String,
    /// What it does, as HTML.
    pub meaning: String,
    /// Whether it must be there.
    pub is_required: bool,
}

/// What is sent.
#[derive(Debug)]
pub struct Body {
    /// Its type.
    pub media_type: String,
    /// A body that would do.
    pub example: String,
    /// What it may have.
    pub members: Vec<Parameter>,
}

/// All of it, read once.
pub static CHAPTERS: LazyLock<Vec<Chapter>> = LazyLock::new(|| {
    let document = serde_json::from_str(&openapi::document()).expect("our document is JSON");
    chapters(&document)
});

const EVENTS: &str = "webhook-events";

fn chapters(document: &Json) -> Vec<Chapter> {
    let chapter = |name: &str, label: &str, meaning: &str| Chapter {
        name: name.to_owned(),
        label: label.to_owned(),
        meaning: meaning.to_owned(),
        operations: Vec::new(),
    };
    let mut chapters = vec![chapter("auth", "Sign-in", "A name and a password for a token.")];
    chapters.extend(list(&document["tags"]).iter().map(|tag| {
        let name = text(&tag["name"]);
        chapter(name, &heading(name), text(&tag["description"]))
    }));
    chapters.push(chapter(EVENTS, "Webhook events", "What is posted to webhooks, signed."));
    chapters.push(chapter("server", "The server", "For those who watch over the server."));
    for (path, item) in members(&document["paths"]) {
        for operation in of_path(document, path, item) {
            let tag = operation.0;
            let found = chapters.iter_mut().find(|chapter| chapter.name == tag);
            if let Some(chapter) = found {
                chapter.operations.push(operation.1);
            }
        }
    }
    if let Some(events) = chapters.iter_mut().find(|chapter| chapter.name == EVENTS) {
        let posted = members(&document["webhooks"]);
        events.operations.extend(posted.map(|(name, item)| {
            let mut posted = operation(document, name, "post", &item["post"], &Json::Null);
            posted.can_be_tried = false;
            posted.curl = String::new();
            posted
        }));
    }
    chapters
}

/// The operations of a path with their tags; those that do the same are one.
fn of_path(document: &Json, path: &str, item: &Json) -> Vec<(String, Operation)> {
    let mut found: Vec<(Json, String, Operation)> = Vec::new();
    for (method, said) in members(item).filter(|(name, _)| *name != "parameters") {
        let mut same = said.clone();
        if let Some(same) = same.as_object_mut() {
            same.remove("operationId");
        }
        let written = method.to_uppercase();
        if let Some((_, _, before)) = found.iter_mut().find(|(before, ..)| *before == same) {
            before.methods.push(written);
            continue;
        }
        let tag = said["tags"][0].as_str().unwrap_or("server").to_owned();
        let operation = operation(document, path, method, said, &item["parameters"]);
        found.push((same, tag, operation));
    }
    found.into_iter().map(|(_, tag, operation)| (tag, operation)).collect()
}

fn operation(document: &Json, path: &str, method: &str, said: &Json, shared: &Json) -> Operation {
    let own = list(&said["parameters"]).iter().chain(list(shared));
    let all: Vec<&Json> = own.map(|parameter| resolved(document, parameter)).collect();
    let body = members(&said["requestBody"]["content"]).next().map(|(media_type, content)| {
        let example = example(document, &content["schema"], Wanted::Sent, 0);
        let mut members = Vec::new();
        describe(document, &content["schema"], "", &mut members, 0);
        Body { media_type: media_type.to_owned(), example: pretty(&example), members }
    });
    let good = members(&said["responses"]).find(|(status, _)| status.starts_with('2'));
    let schema = good.and_then(|(_, good)| {
        let good = resolved(document, good);
        members(&good["content"]).next().map(|(_, content)| &content["schema"])
    });
    let answer = schema
        .filter(|schema| schema.is_object())
        .map_or_else(String::new, |schema| pretty(&example(document, schema, Wanted::Answered, 0)));
    let summary = text(&said["summary"]);
    let summary = summary.split_once(": ").map_or(summary, |(_, summary)| summary);
    let path_names: Vec<String> = all
        .iter()
        .filter(|parameter| parameter["in"] == "path")
        .map(|parameter| text(&parameter["name"]).to_owned())
        .collect();
    let written = method.to_uppercase();
    let is_signed_in_for = path.starts_with(API_PREFIX) && path != sign_in::PATH;
    Operation {
        id: anchor(method, path),
        curl: curl(&written, path, body.as_ref(), is_signed_in_for),
        methods: vec![written],
        path: path.to_owned(),
        summary: capital(summary).replace('`', ""),
        title: marked(&capital(summary)),
        parameters: parameters(&all),
        filters: filters(&all),
        body,
        responses: members(&said["responses"])
            .map(|(status, response)| {
                let meaning = text(&resolved(document, response)["description"]);
                (status.to_owned(), marked(meaning))
            })
            .collect(),
        answer,
        can_be_tried: is_signed_in_for,
        path_names,
    }
}

fn parameters(all: &[&Json]) -> Vec<Parameter> {
    let is_filter = |parameter: &&&Json| text(&parameter["name"]).starts_with("filter[");
    let others = all.iter().filter(|parameter| !is_filter(parameter));
    let mut has_fields = false;
    let mut listed = Vec::new();
    for parameter in others {
        let name = text(&parameter["name"]);
        let is_fields = name.starts_with("fields[");
        // Of related records, their own pages tell.
        let kind = if is_fields && has_fields {
            "list of names".to_owned()
        } else {
            kind(&parameter["schema"])
        };
        has_fields |= is_fields;
        listed.push(Parameter {
            name: name.to_owned(),
            place: text(&parameter["in"]).to_owned(),
            kind,
            meaning: marked(text(&parameter["description"])),
            is_required: parameter["required"] == true,
        });
    }
    listed.sort_by_key(|parameter| parameter.place != "path");
    listed
}

fn filters(all: &[&Json]) -> Vec<(String, String)> {
    let mut filters: Vec<(String, String)> = Vec::new();
    for parameter in all {
        let name = text(&parameter["name"]).strip_prefix("filter[");
        let Some(name) = name.and_then(|name| name.strip_suffix(']')) else { continue };
        let found = OPERATORS.iter().find_map(|operator| {
            let name = name.strip_suffix(operator)?.strip_suffix(['_', '.'])?;
            Some((name, *operator))
        });
        let (member, operator) = found.unwrap_or((name, "alone"));
        match filters.iter_mut().find(|(known, _)| known == member) {
            Some((_, operators)) => {
                operators.push_str(", ");
                operators.push_str(operator);
            }
            None => filters.push((member.to_owned(), operator.to_owned())),
        }
    }
    filters
}

/// What an example is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// No more than must be sent, but something.
    Sent,
    /// Everything but records that come along.
    Answered,
}

/// A value that the schema allows.
fn example(document: &Json, schema: &Json, wanted: Wanted, depth: usize) -> Json {
    let schema = resolved(document, schema);
    if depth > DEPTH_MAX {
        return Json::Null;
    }
    let first = [&schema["const"], &schema["enum"][0], &schema["oneOf"][0], &schema["anyOf"][0]];
    match first {
        [Json::Null, Json::Null, Json::Null, Json::Null] => {}
        [Json::Null, Json::Null, one, other] => {
            let one = if one.is_null() { other } else { one };
            return example(document, one, wanted, depth + 1);
        }
        [Json::Null, word, ..] => return word.clone(),
        [constant, ..] => return constant.clone(),
    }
    match type_of(schema) {
        "object" => {
            let mut object = Map::new();
            for (name, member) in chosen(schema, wanted) {
                object.insert(name.to_owned(), named(document, name, member, wanted, depth));
            }
            Json::Object(object)
        }
        "array" => json!([example(document, &schema["items"], wanted, depth + 1)]),
        _ => plain(schema, ""),
    }
}

/// The members of an object that an example has.
fn chosen(schema: &Json, wanted: Wanted) -> Vec<(&str, &Json)> {
    let all: Vec<_> = members(&schema["properties"]).collect();
    if wanted == Wanted::Answered {
        return all.into_iter().filter(|(name, _)| *name != "included").collect();
    }
    let required = list(&schema["required"]);
    let must = |name: &str| required.iter().any(|required| required == name);
    let mut chosen: Vec<_> =
        all.iter().copied().filter(|(name, _)| must(name) || *name == "attributes").collect();
    if chosen.is_empty() {
        chosen.extend(all.first());
    }
    chosen
}

fn named(document: &Json, name: &str, member: &Json, wanted: Wanted, depth: usize) -> Json {
    let schema = resolved(document, member);
    match type_of(schema) {
        "object" | "array" => example(document, schema, wanted, depth + 1),
        _ if schema["const"].is_null() && schema["enum"].is_null() => plain(schema, name),
        _ => example(document, schema, wanted, depth + 1),
    }
}

/// A text or a number that looks like its name.
fn plain(schema: &Json, name: &str) -> Json {
    if !schema["default"].is_null() {
        return schema["default"].clone();
    }
    match (type_of(schema), schema["format"].as_str().unwrap_or_default(), name) {
        (_, "decimal", _) => "10.0".into(),
        (_, "date-time", _) => "2026-01-31T12:00:00.000Z".into(),
        (_, "uuid", _) => "0e37df36-f698-11e6-8dd4-cb9ced3df976".into(),
        (_, "uri", _) => "https://billing.example/…".into(),
        ("integer", ..) => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
        ("number", ..) => 1.into(),
        ("boolean", ..) => true.into(),
        (_, _, "id") => "1".into(),
        (_, _, "url") => "https://example.com/hook".into(),
        (_, _, "host") => "mail.example.com".into(),
        (_, _, "email" | "to" | "from-address") => "billing@example.com".into(),
        (_, _, "username") => "admin".into(),
        (_, _, "password") => "a good password".into(),
        (_, _, "jwt") => "eyJhbGciOiJIUzI1NiJ9…".into(),
        ("string", _, name) if !name.is_empty() => format!("a {}", name.replace('-', " ")).into(),
        ("string", ..) => "text".into(),
        _ => Json::Null,
    }
}

/// Lists the members that a body may have, those of objects after their names.
fn describe(document: &Json, schema: &Json, below: &str, out: &mut Vec<Parameter>, depth: usize) {
    let schema = resolved(document, schema);
    if depth > DEPTH_MAX {
        return;
    }
    let required = list(&schema["required"]);
    for (name, member) in members(&schema["properties"]) {
        let member = resolved(document, member);
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}.{name}") };
        let is_object = type_of(member) == "object" && !member["properties"].is_null();
        if is_object {
            describe(document, member, &path, out, depth + 1);
            continue;
        }
        out.push(Parameter {
            // All of a record is below `data`.
            name: path.strip_prefix("data.").unwrap_or(&path).to_owned(),
            place: String::new(),
            kind: kind(member),
            meaning: marked(text(&member["description"])),
            is_required: required.iter().any(|required| required == name),
        });
    }
}

/// A schema in a few words.
fn kind(schema: &Json) -> String {
    if let Some(word) = schema["const"].as_str() {
        return format!("\"{word}\"");
    }
    let words = |words: &Json| {
        let words = list(words).iter().map(|word| match word {
            Json::String(word) => word.clone(),
            other => other.to_string(),
        });
        // What can be ordered by can be ordered by downwards.
        words.filter(|word| !word.starts_with('-')).collect::<Vec<_>>().join(", ")
    };
    if !schema["enum"].is_null() {
        return words(&schema["enum"]);
    }
    if type_of(schema) == "array" {
        let items = &schema["items"];
        return match words(&items["enum"]) {
            words if words.is_empty() => format!("list of {}", kind(items)),
            words => format!("list of {words}"),
        };
    }
    let format = schema["format"].as_str().filter(|format| *format != "int64");
    let kind = format.unwrap_or_else(|| type_of(schema)).to_owned();
    let mut said = vec![kind];
    match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(least), Some(most)) => said.push(format!("{least} to {most}")),
        (Some(least), None) => said.push(format!("from {least}")),
        _ => {}
    }
    said.extend(schema["maxLength"].as_u64().map(|most| format!("{most} characters at most")));
    if list(&schema["type"]).iter().any(|kind| kind == "null") {
        said.push("or null".to_owned());
    }
    said.join(", ")
}

/// The first type that is not null.
fn type_of(schema: &Json) -> &str {
    match &schema["type"] {
        Json::String(kind) => kind,
        Json::Array(kinds) => {
            kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if !schema["properties"].is_null() => "object",
        _ => "",
    }
}

/// What a `$ref` leads to.
fn resolved<'a>(document: &'a Json, value: &'a Json) -> &'a Json {
    let pointer = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    match pointer.and_then(|pointer| document.pointer(pointer)) {
        Some(target) => resolved(document, target),
        None => value,
    }
}

fn curl(method: &str, path: &str, body: Option<&Body>, is_signed_in_for: bool) -> String {
    let mut lines = vec![format!("{}'", path.replace("{id}", "1").replace("{delivery}", "1"))];
    // With a body, curl posts by itself.
    if method != "GET" && !(method == "POST" && body.is_some()) {
        lines[0].push_str(" -X ");
        lines[0].push_str(method);
    }
    if is_signed_in_for {
        lines.push("-H \"Authorization: $TOKEN\"".to_owned());
    }
    if let Some(Body { media_type, example, .. }) = body {
        lines.push(format!("-H 'Content-Type: {media_type}'"));
        lines.push(format!("-d '{}'", example.replace('\'', "'\\''")));
    }
    lines.join(" \\\n  ")
}

fn anchor(method: &str, path: &str) -> String {
    let path = path.strip_prefix(API_PREFIX).unwrap_or(path);
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let words = std::iter::once(method).chain(words).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A text of the document as HTML: what is between backquotes is code.
fn marked(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let parts = escaped.split('`').zip(0_u32..);
    let parts = parts.map(|(part, at)| match at % 2 {
        0 => part.to_owned(),
        _ => format!("<code>{part}</code>"),
    });
    parts.collect()
}

/// JSON as people read it.
pub fn pretty(json: &Json) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(json: &Json) -> impl Iterator<Item = (&str, &Json)> {
    json.as_object().into_iter().flatten().map(|(name, member)| (name.as_str(), member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapter(name: &str) -> &'static Chapter {
        CHAPTERS.iter().find(|chapter| chapter.name == name).unwrap()
    }

    #[test]
    fn every_operation_is_in_a_chapter_and_anchors_differ() {
        let document: Json = serde_json::from_str(&openapi::document()).unwrap();
        let mut described = 0;
        for chapter in CHAPTERS.iter() {
            let mut ids: Vec<_> =
                chapter.operations.iter().map(|operation| &operation.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), chapter.operations.len(), "{}", chapter.name);
            let methods = chapter.operations.iter().map(|operation| operation.methods.len());
            described += methods.sum::<usize>();
        }
        let paths = members(&document["paths"]);
        let methods =
            paths.map(|(_, item)| members(item).filter(|(name, _)| *name != "parameters").count());
        let events = members(&document["webhooks"]).count();
        assert_eq!(described, methods.sum::<usize>() + events);
    }

    #[test]
    fn examples_have_what_must_be_sent() {
        let create = &chapter("payments").operations;
        let create = create.iter().find(|operation| operation.id == "post-payments").unwrap();
        let example: Json = serde_json::from_str(&create.body.as_ref().unwrap().example).unwrap();
        assert_eq!(
            example,
            json!({"data": {"type": "payments", "attributes": {"amount": "10.0"},
                "relationships": {"account": {"data": {"type": "accounts", "id": "1"}}}}})
        );
    }

    #[test]
    fn filters_are_one_line_for_each_member() {
        let list = &chapter("accounts").operations[0];
        let of = |member: &str| {
            list.filters.iter().find(|(known, _)| known == member).map(|(_, how)| how.as_str())
        };
        assert_eq!(of("vat"), Some("eq, not_eq, gt, gteq, lt, lteq, in, not_in"));
        assert_eq!(of("contractor"), Some("id"));
        assert_eq!(of("id"), Some("alone"));
        assert!(list.parameters.iter().all(|parameter| !parameter.name.starts_with("filter")));
    }
}
