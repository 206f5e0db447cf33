//! Webhooks in the OpenAPI document: what is posted to them, and the paths below one.

use jsonapi::{Info, MEDIA_TYPE};
use serde_json::{Map, Value as Json, json};

use super::routes::WITH_SECRET;
use crate::API_PREFIX;
use crate::events::{CATALOGUE, EventKind};

/// The schema of a webhook with its secret.
const SCHEMA: &str = "webhooks.with-secret";
/// The header of requests that are signed.
const SIGNATURE: &str = "`v1,` and the base64 of the HMAC-SHA256 over `webhook-id`, \
    `webhook-timestamp` and the body, joined by dots; the key is what follows `whsec_` in the \
    secret, decoded. Two of them, with a blank between, for a day after the secret was rotated.";

/// Adds to a document what its definitions do not say of webhooks.
///
/// # Panics
/// If the document has no paths of webhooks and deliveries: the definitions have them.
pub fn describe(document: &mut Json) {
    let info = Info { title: "", version: "", extra_paths: Json::Null };
    let mut told = jsonapi::openapi(&WITH_SECRET, &info);
    let mut schema = told["components"]["schemas"]["webhooks"].take();
    schema["properties"]["attributes"]["properties"]["secret"]["type"] = "string".into();
    document["components"]["schemas"][SCHEMA] = schema;
    let create = &mut document["paths"][path("")]["post"];
    create["parameters"] = told["paths"][path("")]["post"]["parameters"].take();
    create["responses"]["201"]["content"] = content(&document_with_secret());
    let paths = paths(&document["paths"][format!("{API_PREFIX}/deliveries")]["get"]);
    document["paths"].as_object_mut().expect("a document has paths").extend(paths);
    document["webhooks"] = CATALOGUE.iter().map(|kind| (kind.name, event(kind))).collect();
}

fn path(below: &str) -> String {
    format!("{API_PREFIX}/webhooks{below}")
}

fn content(schema: &Json) -> Json {
    json!({MEDIA_TYPE: {"schema": schema}})
}

fn document_with_secret() -> Json {
    json!({
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"$ref": format!("#/components/schemas/{SCHEMA}")}},
    })
}

fn parameter(name: &str) -> Json {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

/// The paths below a webhook; `list` is the operation that lists all deliveries.
fn paths(list: &Json) -> Map<String, Json> {
    let id = parameter("id");
    let delivery = json!({
        "name": "delivery",
        "in": "path",
        "required": true,
        "description": "Id of a delivery to this webhook.",
        "schema": {"type": "string"},
    });
    let mut list = list.clone();
    list["operationId"] = "webhooks.deliveries".into();
    list["summary"] = "List the deliveries to a webhook; links lead to `/deliveries`".into();
    list["tags"] = json!(["webhooks"]);
    list["responses"]["404"] = json!({"$ref": "#/components/responses/error-404"});
    let delivered = json!({"$ref": "#/components/schemas/deliveries.document"});
    let rotate = operation(
        "Make another secret; the one before signs, too, for 24 hours",
        (
            "200",
            "The webhook with its new secret, which is told this once.",
            &document_with_secret(),
        ),
        &[parameter("if-match"), parameter("idempotency-key")],
        &["400", "401", "404", "406", "412", "422", "429", "503"],
    );
    let keyed = [parameter("idempotency-key")];
    let failures = ["400", "401", "404", "406", "422", "429", "503"];
    let test = operation(
        "Post an event `WebhookTest`",
        ("201", "The delivery, which is on its way.", &delivered),
        &keyed,
        &failures,
    );
    let redeliver = operation(
        "Post an event once more, or now if it waits",
        ("200", "The delivery, which is on its way.", &delivered),
        &keyed,
        &failures,
    );
    Map::from_iter([
        (path("/{id}/rotate-secret"), json!({"parameters": [id], "post": rotate})),
        (path("/{id}/test"), json!({"parameters": [id], "post": test})),
        (path("/{id}/deliveries"), json!({"parameters": [id], "get": list})),
        (
            path("/{id}/deliveries/{delivery}/redeliver"),
            json!({"parameters": [id, delivery], "post": redeliver}),
        ),
    ])
}

fn operation(
    summary: &str,
    (status, meaning, schema): (&str, &str, &Json),
    parameters: &[Json],
    failures: &[&str],
) -> Json {
    let mut responses = json!({status: {"description": meaning, "content": content(schema)}});
    for status in failures {
        responses[*status] = json!({"$ref": format!("#/components/responses/error-{status}")});
    }
    json!({"summary": summary, "tags": ["webhooks"], "parameters": parameters, "responses": responses})
}

/// An event as it is posted.
fn event(kind: &EventKind) -> Json {
    let header = |name: &str, meaning: &str| {
        json!({
            "name": name,
            "in": "header",
            "required": true,
            "description": meaning,
            "schema": {"type": "string"},
        })
    };
    let (is_of_account, details) = details(kind);
    let account = if is_of_account {
        json!({"$ref": "#/components/schemas/accounts.document"})
    } else {
        json!({"type": "null"})
    };
    let told = if is_of_account {
        "The account's columns as it was left, decimals as text, names with underscores."
    } else {
        "What has happened."
    };
    let required: Vec<&String> = details.keys().collect();
    let body = json!({
        "type": "object",
        "required": ["id", "event_type", "event_type_alias", "event_data", "event_time", "account"],
        "properties": {
            "id": {"type": "string", "description": "Id of the event: the same each time."},
            "event_type": {"const": kind.name},
            "event_type_alias": {"const": kind.alias},
            "event_data": {
                "type": "object",
                "description": told,
                "required": required,
                "properties": details,
            },
            "event_time": {
                "type": "string",
                "description": "When it happened: `YYYY-MM-DD HH:MM:SS UTC`.",
            },
            "account": account,
        },
    });
    json!({"post": {
        "summary": kind.meaning,
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            header("webhook-id", "Id of the event: the same each time it is posted."),
            header("webhook-timestamp", "When it was posted, in seconds since 1970."),
            header("webhook-signature", SIGNATURE),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
        "responses": {
            "2XX": {"description": "The event was taken."},
            "410": {"description": "No more events are wanted: the webhook is switched off."},
            "default": {"description": "The event is posted again, for a day."},
        },
    }})
}

/// Whether an event is about an account, and what its data have beside the account's columns.
fn details(kind: &EventKind) -> (bool, Map<String, Json>) {
    let (text, id) = (json!({"type": "string"}), json!({"type": "integer"}));
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    let one = |name: &str, properties: Json| {
        let described = json!({"type": "object", "properties": properties});
        Map::from_iter([(name.to_owned(), described)])
    };
    match kind.name {
        "PaymentPosted" | "PaymentRolledBack" => {
            let payment = json!({
                "id": id,
                "amount": text,
                "notes": or_null("string"),
                "status": text,
                "external_id": or_null("string"),
                "balance_before_payment": or_null("string"),
            });
            (true, one("payment", payment))
        }
        "AccountUpdated" | "AccountLimitsChanged" => {
            let changes = json!({
                "type": "object",
                "description": "By name: the value before, and after.",
                "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
            });
            (true, Map::from_iter([("changes".to_owned(), changes)]))
        }
        "BalanceAlertRaised" | "BalanceAlertCleared" => {
            let alert = json!({
                "id": id,
                "name": or_null("string"),
                "kind": text,
                "value": or_null("string"),
                "percentage": or_null("string"),
                "threshold": or_null("string"),
                "hysteresis": or_null("string"),
                "pace_hours": or_null("integer"),
                "within_hours": or_null("integer"),
                "pace_per_hour": or_null("string"),
                "hours_left": or_null("string"),
            });
            (true, one("alert", alert))
        }
        "OperatorSignedInFromNewAddress" => {
            let mut told = one("operator", json!({"id": id, "name": text}));
            told.insert("address".to_owned(), text);
            (false, told)
        }
        "DeliveryDeadLettered" => {
            let delivery = json!({
                "id": id,
                "channel": text,
                "attempts": id,
                "error": or_null("string"),
                "event_id": or_null("integer"),
                "event_type": or_null("string"),
                "webhook_id": or_null("integer"),
                "contact_id": or_null("integer"),
                "account_id": or_null("integer"),
            });
            (false, one("delivery", delivery))
        }
        "WebhookTest" => {
            (false, one("webhook", json!({"id": id, "description": or_null("string")})))
        }
        _ => (true, Map::new()),
    }
}
