//! The OpenAPI document: derived from the definitions, plus the few paths that are no resource.

use jsonapi::{Info, Resource};
use serde_json::{Value, json};

use crate::api::API;
use crate::balances::{BALANCE_CORRECTION, BALANCES};
use crate::sign_in;

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
            balance_path("balance"): singleton(&BALANCES),
            balance_path("balance-correction"): singleton(&BALANCE_CORRECTION),
            PATH: {"get": text("This document.", "application/json")},
            "/healthz": {"get": text("200 while the process lives.", "text/plain")},
            "/readyz": {"get": text("200 while the database answers.", "text/plain")},
            "/metrics": {"get": text("Figures in the Prometheus text format.", "text/plain")},
        }),
    };
    let document = jsonapi::openapi(&API, &info);
    serde_json::to_string_pretty(&document).expect("a JSON value prints") + "\n"
}

fn balance_path(name: &str) -> String {
    format!("{}/accounts/{{id}}/{name}", API.prefix)
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
    let failures = ["400", "401", "404", "406", "412", "415", "422", "503"];
    let mut responses = json!({
        "200": {"description": "The balance as it is now.", "content": content("document")},
    });
    for status in failures {
        responses[status] = json!({"$ref": format!("#/components/responses/error-{status}")});
    }
    let operation = json!({
        "summary": resource.meaning,
        "tags": ["accounts"],
        "requestBody": {"required": true, "content": content("update")},
        "responses": responses,
    });
    json!({
        "parameters": [{"$ref": "#/components/parameters/id"}],
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
