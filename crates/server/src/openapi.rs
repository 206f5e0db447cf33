//! The OpenAPI document: derived from the definitions, plus the few paths that are no resource.

use jsonapi::{Info, Resource};
use serde_json::{Value, json};

use crate::api::API;
use crate::balances::{BALANCE_CORRECTION, BALANCES};
use crate::{sign_in, webhooks};

/// Where the document is served.
pub const PATH: &str = "/api/openapi.json";

/// The document as pretty-printed JSON with a final line break.
///
/// # Panics
/// Never: a JSON value prints.
#[must_use]
pub fn document() -> String {
    let info = Info {
        title: "tollkeeper admin API",
        version: env!("CARGO_PKG_VERSION"),
        extra_paths: json!({
            sign_in::PATH: {"post": sign_in_operation()},
            account_path("/balance"): singleton(&BALANCES),
            account_path("/balance-correction"): singleton(&BALANCE_CORRECTION),
            account_path("/statement"): {"parameters": [parameter("id")], "get": statement()},
            format!("{}/payments/{{id}}/rollback", API.prefix): {
                "parameters": [parameter("id")], "post": rollback(),
            },
            format!("{}/smtp-connections/{{id}}/test", API.prefix): {
                "parameters": [parameter("id")], "post": test_mail(),
            },
            PATH: {"get": text("This document.", "application/json")},
            "/healthz": {"get": text("200 while the process lives.", "text/plain")},
            "/readyz": {"get": text("200 while the database answers.", "text/plain")},
            "/metrics": {"get": text("Figures in the Prometheus text format.", "text/plain")},
        }),
    };
    let mut document = jsonapi::openapi(&API, &info);
    let read = &mut document["paths"][account_path("")]["get"]["parameters"];
    read.as_array_mut().expect("accounts can be read").push(json!({
        "name": "as-of",
        "in": "query",
        "description": "Shows the balance of this moment, the account's own time unless it has an \
                        offset; all else is as it is now.",
        "schema": {"type": "string"},
    }));
    webhooks::describe(&mut document);
    serde_json::to_string_pretty(&document).expect("a JSON value prints") + "\n"
}

fn account_path(below: &str) -> String {
    format!("{}/accounts/{{id}}{below}", API.prefix)
}

fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

/// The responses of an operation beside its success.
fn responses(success: &Value, failures: &[&str]) -> Value {
    let mut responses = json!({"200": success});
    for status in failures {
        responses[*status] = json!({"$ref": format!("#/components/responses/error-{status}")});
    }
    responses
}

fn rollback() -> Value {
    let document = json!({"$ref": "#/components/schemas/payments.document"});
    let done = json!({
        "description": "Rolled back; the balance has moved by the opposite of the amount.",
        "content": {"application/vnd.api+json": {"schema": document}},
    });
    json!({
        "summary": "Take a completed payment back, once",
        "tags": ["payments"],
        "parameters": [parameter("idempotency-key")],
        "responses": responses(&done, &["400", "401", "404", "406", "422", "503"]),
    })
}

fn test_mail() -> Value {
    let text = json!({"type": "string"});
    let document = json!({"type": "object", "required": ["data"], "properties": {"data": {
        "type": "object",
        "required": ["type", "id", "attributes"],
        "properties": {
            "type": {"const": "smtp-connections"},
            "id": text,
            "attributes": {"type": "object", "required": ["to"], "properties": {"to": text}},
        },
    }}});
    let connection = json!({"$ref": "#/components/schemas/smtp-connections.document"});
    let done = json!({
        "description": "The mail server has taken the mail.",
        "content": {"application/vnd.api+json": {"schema": connection}},
    });
    json!({
        "summary": "Send a test mail at once; 422 says what the mail server said",
        "tags": ["smtp-connections"],
        "requestBody": {
            "required": true,
            "content": {"application/vnd.api+json": {"schema": document}},
        },
        "responses": responses(&done, &["400", "401", "404", "406", "415", "422", "503"]),
    })
}

fn statement() -> Value {
    let moment = |name: &str, meaning: &str| json!({"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}});
    let entry = json!({"$ref": "#/components/schemas/journal-entries"});
    let decimal = json!({"type": "string"});
    let meta = json!({
        "type": "object",
        "required": ["opening-balance", "closing-balance", "from", "to", "total-count"],
        "properties": {
            "opening-balance": decimal,
            "closing-balance": decimal,
            "from": {"type": ["string", "null"], "format": "date-time"},
            "to": {"type": ["string", "null"], "format": "date-time"},
            "total-count": {"type": "integer"},
        },
    });
    let document = json!({
        "type": "object",
        "required": ["data", "meta"],
        "properties": {"data": {"type": "array", "items": entry}, "meta": meta},
    });
    let told = json!({
        "description": "Opening balance, entries, closing balance.",
        "content": {
            "application/vnd.api+json": {"schema": document},
            "text/csv": {"schema": {"type": "string"}},
        },
    });
    json!({
        "summary": "The entries of an account between two moments, with the balances there",
        "tags": ["accounts"],
        "parameters": [
            moment("from", "Entries of this moment and later; from the first one unless given."),
            moment("to", "Entries before this moment; up to the last one unless given."),
        ],
        "responses": responses(&told, &["400", "401", "404", "406", "503"]),
    })
}

fn sign_in_operation() -> Value {
    let credentials = json!({
        "type": "object",
        "required": ["username", "password"],
        "properties": {
            "username": {"type": "string"},
            "password": {"type": "string", "writeOnly": true},
        },
    });
    // Sign-in is not JSON:API, and neither are its answers.
    let answer = |description: &str, schema: &Value| json!({"description": description, "content": {"application/json": {"schema": schema}}});
    let errors = json!({"$ref": "#/components/schemas/errors"});
    json!({
        "summary": "Exchange name and password for a token",
        "tags": ["auth"],
        "security": [],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object",
            "required": ["auth"],
            "properties": {"auth": credentials},
        }}}},
        "responses": {
            "201": answer("The token.", &json!({
                "type": "object",
                "required": ["jwt"],
                "properties": {"jwt": {"type": "string"}},
            })),
            "400": answer("The body cannot be read.", &errors),
            "401": answer("The name, the password or the address is wrong.", &errors),
            "429": answer("Too many failed attempts; Retry-After says when to try again.", &errors),
            "503": answer("Too many attempts at once; try again soon.", &errors),
        },
    })
}

/// The `PATCH` and `PUT` of a singleton below an account.
fn singleton(resource: &Resource) -> Value {
    let schema =
        |suffix| json!({"$ref": format!("#/components/schemas/{}.{suffix}", resource.kind)});
    let content = |suffix| json!({"application/vnd.api+json": {"schema": schema(suffix)}});
    let changed =
        json!({"description": "The balance as it is now.", "content": content("document")});
    let failures = ["400", "401", "404", "406", "412", "415", "422", "503"];
    let operation = json!({
        "summary": resource.meaning,
        "tags": ["accounts"],
        "parameters": [parameter("if-match"), parameter("idempotency-key")],
        "requestBody": {"required": true, "content": content("update")},
        "responses": responses(&changed, &failures),
    });
    json!({
        "parameters": [parameter("id")],
        "patch": operation,
        "put": operation,
    })
}

fn text(summary: &str, media_type: &str) -> Value {
    json!({
        "summary": summary,
        "security": [],
        "responses": {"200": {"description": summary, "content": {media_type: {}}}},
    })
}
