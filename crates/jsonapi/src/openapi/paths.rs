//! Paths and their operations.

use serde_json::{Map, Value as Json, json};

use super::parameters::{of_answer, of_list, parameter};
use super::schemas::{linkage, sent_linkage};
use super::{content, has_paths, reference, schema};
use crate::definition::{Api, Relationship, Resource};

/// Every error answer, by status.
const FAILURES: [(u16, &str); 9] = [
    (400, "The request is malformed; nothing was changed."),
    (401, "No usable token."),
    (404, "No such record."),
    (406, "The client does not accept the JSON:API media type."),
    (412, "The resource has changed: `If-Match` names another representation."),
    (415, "The body is not of the JSON:API media type."),
    (422, "The record would break a rule; nothing was changed."),
    (429, "Too many requests."),
    (503, "Too busy, or not able to write; try again."),
];
const ON_LIST: &[u16] = &[400, 401, 406, 429, 503];
const ON_READ: &[u16] = &[400, 401, 404, 406, 429, 503];
const ON_CREATE: &[u16] = &[400, 401, 406, 415, 422, 429, 503];
const ON_CHANGE: &[u16] = &[400, 401, 404, 406, 412, 415, 422, 429, 503];
const ON_DELETE: &[u16] = &[400, 401, 404, 406, 412, 422, 429, 503];

/// The responses to which operations refer: `error-<status>`.
pub(super) fn failures() -> Map<String, Json> {
    let errors = content(&schema("errors"));
    let response = |(status, meaning): (u16, &str)| {
        (format!("error-{status}"), json!({"description": meaning, "content": errors}))
    };
    FAILURES.into_iter().map(response).collect()
}

/// The paths of all resources.
pub(super) fn paths(api: &Api) -> Map<String, Json> {
    let mut paths = Map::new();
    for &resource in api.resources.iter().filter(|resource| has_paths(resource)) {
        for segment in [Some(resource.kind), resource.alias].into_iter().flatten() {
            Place { api, resource, segment }.add_paths(&mut paths);
        }
    }
    paths
}

/// A resource under one of its path segments.
struct Place<'a> {
    api: &'a Api,
    resource: &'static Resource,
    segment: &'static str,
}

/// One operation, before it is JSON.
struct Operation {
    method: &'static str,
    /// What tells its id from those of the resource's other operations.
    name: String,
    summary: String,
    parameters: Vec<Json>,
    body: Option<Json>,
    success: Json,
    failures: &'static [u16],
}

impl Place<'_> {
    fn add_paths(&self, paths: &mut Map<String, Json>) {
        let verbs = self.resource.verbs;
        let list = verbs.read.then(|| self.list());
        let create = verbs.create.then(|| self.create());
        self.add(paths, "", list.into_iter().chain(create));

        let read = verbs.read.then(|| self.read());
        let update = verbs.update.then(|| ["patch", "put"].map(|method| self.update(method)));
        let delete = verbs.delete.then(Self::delete);
        let operations = read.into_iter().chain(update.into_iter().flatten()).chain(delete);
        self.add(paths, "/{id}", operations);

        for relationship in self.resource.relationships {
            let read = verbs.read.then(|| read_linkage(relationship));
            let writable = verbs.update && relationship.updatable;
            let write = writable.then(|| write_linkage(relationship));
            let operations = read.into_iter().chain(write.into_iter().flatten());
            self.add(paths, &format!("/{{id}}/relationships/{}", relationship.name), operations);
            let related = verbs.read.then(|| self.related(relationship));
            self.add(paths, &format!("/{{id}}/{}", relationship.name), related.into_iter());
        }
    }

    fn add(
        &self,
        paths: &mut Map<String, Json>,
        below: &str,
        operations: impl Iterator<Item = Operation>,
    ) {
        let mut item = Map::new();
        for operation in operations {
            item.insert(operation.method.to_owned(), self.describe(operation));
        }
        if item.is_empty() {
            return;
        }
        if !below.is_empty() {
            item.insert("parameters".into(), json!([parameter("id")]));
        }
        paths.insert(format!("{}/{}{below}", self.api.prefix, self.segment), Json::Object(item));
    }

    fn describe(&self, mut operation: Operation) -> Json {
        if operation.method != "get" {
            operation.parameters.push(parameter("idempotency-key"));
        }
        let mut described = Map::new();
        let mut put = |member: &str, value: Json| described.insert(member.to_owned(), value);
        put("operationId", format!("{}.{}", self.segment, operation.name).into());
        put("summary", format!("{}: {}", self.resource.kind, operation.summary).into());
        put("tags", json!([self.resource.kind]));
        if !operation.parameters.is_empty() {
            put("parameters", Json::Array(operation.parameters));
        }
        if let Some(body) = operation.body {
            put("requestBody", json!({"required": true, "content": content(&body)}));
        }
        let mut responses = operation.success;
        for status in operation.failures {
            let failure = reference("responses", &format!("error-{status}"));
            responses[status.to_string()] = failure;
        }
        put("responses", responses);
        Json::Object(described)
    }

    fn part(&self, part: &str) -> Json {
        schema(&format!("{}.{part}", self.resource.kind))
    }

    fn list(&self) -> Operation {
        Operation {
            method: "get",
            name: "list".into(),
            summary: "list".into(),
            parameters: of_list(self.api, self.resource),
            body: None,
            success: read_with(&self.part("collection")),
            failures: ON_LIST,
        }
    }

    fn create(&self) -> Operation {
        let location = json!({"location": {
            "description": "URL of the new record.",
            "schema": {"type": "string", "format": "uri"},
        }});
        let created = json!({
            "description": "Created.",
            "headers": location,
            "content": content(&self.part("document")),
        });
        Operation {
            method: "post",
            name: "create".into(),
            summary: "create one".into(),
            parameters: of_answer(self.api, self.resource),
            body: Some(self.part("create")),
            success: json!({"201": created}),
            failures: ON_CREATE,
        }
    }

    fn read(&self) -> Operation {
        let mut parameters = of_answer(self.api, self.resource);
        parameters.push(parameter("if-none-match"));
        Operation {
            method: "get",
            name: "read".into(),
            summary: "read one".into(),
            parameters,
            body: None,
            success: read_with(&self.part("document")),
            failures: ON_READ,
        }
    }

    fn update(&self, method: &'static str) -> Operation {
        let mut parameters = of_answer(self.api, self.resource);
        parameters.push(parameter("if-match"));
        Operation {
            method,
            name: named("update", method),
            summary: "change the members sent".into(),
            parameters,
            body: Some(self.part("update")),
            success: answer("Changed, or already so.", &self.part("document")),
            failures: ON_CHANGE,
        }
    }

    fn delete() -> Operation {
        Operation {
            method: "delete",
            name: "delete".into(),
            summary: "delete one".into(),
            parameters: vec![parameter("if-match")],
            body: None,
            success: nothing("Deleted."),
            failures: ON_DELETE,
        }
    }

    fn related(&self, relationship: &Relationship) -> Operation {
        let mut parameters = of_answer(self.api, self.api.target(relationship));
        parameters.push(parameter("if-none-match"));
        let document = schema(&format!("{}.document", relationship.kind));
        let document = if relationship.required {
            document
        } else {
            json!({"oneOf": [document, schema("none")]})
        };
        Operation {
            method: "get",
            name: format!("{}.related", relationship.name),
            summary: format!("read the record that `{}` names", relationship.name),
            parameters,
            body: None,
            success: read_with(&document),
            failures: ON_READ,
        }
    }
}

fn read_linkage(relationship: &Relationship) -> Operation {
    let document = json!({
        "type": "object",
        "required": ["data", "links"],
        "properties": {"data": linkage(relationship), "links": schema("relationship-links")},
    });
    Operation {
        method: "get",
        name: format!("{}.linkage", relationship.name),
        summary: format!("read which record `{}` names", relationship.name),
        parameters: vec![parameter("if-none-match")],
        body: None,
        success: read_with(&document),
        failures: ON_READ,
    }
}

fn write_linkage(relationship: &Relationship) -> [Operation; 3] {
    let name = relationship.name;
    let document = json!({
        "type": "object",
        "required": ["data"],
        "properties": {"data": sent_linkage(relationship)},
    });
    let write = |method, verb: &str, summary: &str, body, failures| Operation {
        method,
        name: format!("{name}.{verb}"),
        summary: format!("{summary} `{name}`"),
        parameters: vec![parameter("if-match")],
        body,
        success: nothing("Done."),
        failures,
    };
    [
        write("patch", &named("set", "patch"), "set", Some(document.clone()), ON_CHANGE),
        write("put", &named("set", "put"), "set", Some(document), ON_CHANGE),
        write("delete", "clear", "empty", None, ON_DELETE),
    ]
}

/// `PUT` is an alias of `PATCH`, and ids of operations are unique.
fn named(operation: &str, method: &str) -> String {
    if method == "put" { format!("{operation}-by-put") } else { operation.to_owned() }
}

fn answer(description: &str, schema: &Json) -> Json {
    json!({"200": {"description": description, "content": content(schema)}})
}

/// The answers to a successful read.
fn read_with(schema: &Json) -> Json {
    let mut answers = answer("As asked for.", schema);
    answers["304"] = json!({"description": "`If-None-Match` names the current representation."});
    answers
}

fn nothing(description: &str) -> Json {
    json!({"204": {"description": description}})
}
