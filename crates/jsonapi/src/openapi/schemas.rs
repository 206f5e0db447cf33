//! Schemas: resources as they are answered, and the bodies that create and change them.

use serde_json::{Map, Value as Json, json};

use super::{object, reachable, schema};
use crate::attribute::{Attribute, Default, Kind, Visibility};
use crate::definition::{Api, Relationship, Resource, SelfLink};
use crate::document::Operation;

/// Every schema of the document.
pub(super) fn schemas(api: &Api) -> Map<String, Json> {
    let mut schemas = shared();
    for &resource in api.resources {
        let mut add = |part: &str, schema: Json| {
            schemas.insert(format!("{}{part}", resource.kind), schema);
        };
        add("", answered(resource));
        add(".identifier", identifier(resource.kind, &json!("string")));
        add(".target", identifier(resource.kind, &json!(["string", "integer"])));
        add(".document", document(api, resource));
        if resource.verbs.read {
            add(".collection", collection(api, resource));
        }
        if resource.verbs.create {
            add(".create", sent(resource, Operation::Create));
        }
        if resource.verbs.update {
            add(".update", sent(resource, Operation::Update));
        }
    }
    schemas
}

/// Schemas that belong to no resource.
fn shared() -> Map<String, Json> {
    let text = || json!({"type": "string"});
    let url = || json!({"type": "string", "format": "uri"});
    let error = json!({
        "type": "object",
        "required": ["title", "detail", "code", "status"],
        "properties": {
            "title": text(),
            "detail": text(),
            "code": {"type": "string", "description": "Class of the error: a number as text."},
            "source": {
                "type": "object",
                "properties": {"pointer": {"type": "string", "format": "json-pointer"}},
            },
            "status": {"type": "string", "description": "HTTP status of this error."},
        },
    });
    let schemas = json!({
        "errors": {
            "type": "object",
            "required": ["errors"],
            "properties": {"errors": {"type": "array", "minItems": 1, "items": error}},
        },
        "none": {
            "description": "An empty to-one relationship.",
            "type": "object",
            "required": ["data"],
            "properties": {"data": {"type": "null"}},
        },
        "relationship-links": {
            "type": "object",
            "required": ["self", "related"],
            "properties": {"self": url(), "related": url()},
        },
        "page-links": {
            "type": "object",
            "required": ["first", "last"],
            "properties": {"first": url(), "prev": url(), "next": url(), "last": url()},
        },
    });
    match schemas {
        Json::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

/// A resource object.
fn answered(resource: &Resource) -> Json {
    let mut members = Map::new();
    members.insert("id".into(), json!({"type": "string"}));
    members.insert("type".into(), json!({"const": resource.kind}));
    if resource.self_link != SelfLink::None {
        let own = json!({"self": {"type": "string", "format": "uri"}});
        members.insert("links".into(), json!({"type": "object", "properties": own}));
    }
    let attributes = resource.attributes.iter().filter(|attribute| attribute.on_the_wire());
    let attributes = attributes.map(|attribute| (attribute.name.into(), answered_value(attribute)));
    members.insert("attributes".into(), object(attributes.collect(), Vec::new()));
    if !resource.relationships.is_empty() {
        let related = resource.relationships.iter();
        let related =
            related.map(|relationship| (relationship.name.into(), answered_linkage(relationship)));
        members.insert("relationships".into(), object(related.collect(), Vec::new()));
    }
    let mut answered = object(members, vec!["id".into(), "type".into()]);
    answered["description"] = resource.meaning.into();
    answered
}

fn answered_value(attribute: &Attribute) -> Json {
    if attribute.is_write_only() {
        let description = format!("{} Never answered: always null.", attribute.meaning);
        return json!({"type": "null", "description": description});
    }
    let mut value = attribute_value(attribute);
    let read_only = !attribute.creatable && !attribute.updatable;
    let always_set = read_only && !matches!(attribute.default, Default::Null);
    if !attribute.never_null() && !always_set {
        allow_null(&mut value);
    }
    let description = match attribute.visibility {
        Visibility::OnRequest => {
            format!("{} Answered only where `fields` names it.", attribute.meaning)
        }
        _ => attribute.meaning.to_owned(),
    };
    value.insert("description".into(), description.into());
    if read_only {
        value.insert("readOnly".into(), true.into());
    }
    Json::Object(value)
}

fn answered_linkage(relationship: &Relationship) -> Json {
    json!({
        "type": "object",
        "required": ["links", "data"],
        "properties": {
            "links": schema("relationship-links"),
            "data": linkage(relationship),
        },
    })
}

/// `data` of a to-one relationship, as answered.
pub(super) fn linkage(relationship: &Relationship) -> Json {
    one_or_none(relationship, "identifier")
}

/// `data` of a to-one relationship, as sent: ids may be numbers.
pub(super) fn sent_linkage(relationship: &Relationship) -> Json {
    one_or_none(relationship, "target")
}

fn one_or_none(relationship: &Relationship, part: &str) -> Json {
    let one = schema(&format!("{}.{part}", relationship.kind));
    if relationship.required { one } else { json!({"oneOf": [one, {"type": "null"}]}) }
}

fn identifier(kind: &str, id: &Json) -> Json {
    json!({
        "type": "object",
        "required": ["type", "id"],
        "properties": {"type": {"const": kind}, "id": {"type": id}},
        "additionalProperties": false,
    })
}

fn document(api: &Api, resource: &'static Resource) -> Json {
    let mut members = Map::new();
    members.insert("data".into(), schema(resource.kind));
    members.extend(included(api, resource));
    object(members, vec!["data".into()])
}

fn collection(api: &Api, resource: &'static Resource) -> Json {
    let mut members = Map::new();
    members.insert("data".into(), json!({"type": "array", "items": schema(resource.kind)}));
    members.extend(included(api, resource));
    let meta = json!({
        "type": "object",
        "required": ["total-count"],
        "properties": {"total-count": {
            "type": "integer",
            "description": "Records that match the filters, on all pages.",
        }},
    });
    members.insert("meta".into(), meta);
    let mut required: Vec<Json> = vec!["data".into(), "meta".into()];
    if resource.paged {
        members.insert("links".into(), schema("page-links"));
        required.push("links".into());
    }
    object(members, required)
}

fn included(api: &Api, resource: &'static Resource) -> Option<(String, Json)> {
    if resource.relationships.is_empty() {
        return None;
    }
    let targets = resource.relationships.iter().map(|relationship| api.target(relationship));
    let mut kinds: Vec<&str> = Vec::new();
    for kind in targets.flat_map(|target| reachable(api, target)).map(|target| target.kind) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let any: Vec<Json> = kinds.into_iter().map(schema).collect();
    Some(("included".into(), json!({"type": "array", "items": {"oneOf": any}})))
}

/// The body of a create or an update.
fn sent(resource: &Resource, operation: Operation) -> Json {
    let creates = operation == Operation::Create;
    let mut members = Map::new();
    members.insert("type".into(), json!({"const": resource.kind}));
    let mut required: Vec<Json> = vec!["type".into()];
    if !creates {
        let id = json!({"type": ["string", "integer"], "description": "As in the URL."});
        members.insert("id".into(), id);
        required.push("id".into());
    }
    let parts = [
        ("attributes", sent_values(resource, operation)),
        ("relationships", sent_linkages(resource, operation)),
    ];
    for (part, (properties, needed)) in parts {
        if properties.is_empty() {
            continue;
        }
        let needed = if creates { needed } else { Vec::new() };
        if !needed.is_empty() {
            required.push(part.into());
        }
        members.insert(part.into(), closed(object(properties, needed)));
    }
    let data = closed(object(members, required));
    json!({"type": "object", "required": ["data"], "properties": {"data": data}})
}

/// Other members are refused (400, code 105).
fn closed(mut object: Json) -> Json {
    object["additionalProperties"] = false.into();
    object
}

/// Properties, and the names of those without which a create is refused.
type Members = (Map<String, Json>, Vec<Json>);

fn sent_values(resource: &Resource, operation: Operation) -> Members {
    let takes = |attribute: &&Attribute| attribute.taken_by(operation);
    let mut properties = Map::new();
    let mut needed = Vec::new();
    for attribute in resource.attributes.iter().filter(takes) {
        let mut value = attribute_value(attribute);
        if matches!(attribute.kind, Kind::Decimal) {
            // Numbers are read exactly in either form; `pattern` speaks of strings only.
            value.insert("type".into(), json!(["string", "number"]));
            value.insert(
                "pattern".into(),
                r"^\s*[+-]?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?\s*$".into(),
            );
        }
        if !attribute.never_null() {
            allow_null(&mut value);
        }
        value.insert("description".into(), attribute.meaning.into());
        match default(attribute.default) {
            Some(default) if operation == Operation::Create => {
                value.insert("default".into(), default);
            }
            None if attribute.never_null() => needed.push(attribute.name.into()),
            _ => {}
        }
        if attribute.is_write_only() {
            value.insert("writeOnly".into(), true.into());
        }
        properties.insert(attribute.name.into(), Json::Object(value));
    }
    (properties, needed)
}

fn sent_linkages(resource: &Resource, operation: Operation) -> Members {
    let takes = |relationship: &&Relationship| relationship.taken_by(operation);
    let mut properties = Map::new();
    let mut needed = Vec::new();
    for relationship in resource.relationships.iter().filter(takes) {
        let data = Map::from_iter([("data".into(), sent_linkage(relationship))]);
        properties.insert(relationship.name.into(), object(data, vec!["data".into()]));
        if relationship.required {
            needed.push(relationship.name.into());
        }
    }
    (properties, needed)
}

fn default(default: Default) -> Option<Json> {
    match default {
        Default::Null => None,
        Default::Decimal(decimal) => Some(decimal.to_string().into()),
        Default::Text(text) => Some(text.into()),
        Default::Int(int) => Some(int.into()),
        Default::Bool(bool) => Some(bool.into()),
    }
}

/// The values of an attribute, as they are answered.
fn attribute_value(attribute: &Attribute) -> Map<String, Json> {
    let mut value = value(attribute.kind);
    if let Some(max) = attribute.longest() {
        value.insert("maxLength".into(), max.into());
    }
    value
}

/// The values of a kind, as they are answered.
pub(super) fn value(kind: Kind) -> Map<String, Json> {
    let value = match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Decimal => {
            json!({"type": "string", "format": "decimal", "pattern": r"^-?\d+\.\d+$"})
        }
        Kind::Integer { listed, .. } if !listed.is_empty() => {
            json!({"type": "integer", "enum": listed})
        }
        Kind::Integer { min: i64::MIN, max: i64::MAX, .. } => {
            json!({"type": "integer", "format": "int64"})
        }
        Kind::Integer { min, max, .. } => {
            json!({"type": "integer", "format": "int64", "minimum": min, "maximum": max})
        }
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Uuid => json!({"type": "string", "format": "uuid"}),
        Kind::Timestamp => json!({"type": "string", "format": "date-time"}),
        Kind::IdList => {
            json!({"type": "array", "items": {"type": "integer", "format": "int64"}})
        }
        Kind::Enumeration(words) => json!({"type": "string", "enum": words}),
        Kind::Words(words) => {
            json!({"type": "array", "items": {"type": "string", "enum": words}, "minItems": 1})
        }
        Kind::Json => json!({}),
    };
    match value {
        Json::Object(value) => value,
        _ => Map::new(),
    }
}

fn allow_null(value: &mut Map<String, Json>) {
    match value.get_mut("type") {
        Some(Json::Array(types)) => types.push("null".into()),
        Some(one) => *one = json!([one.take(), "null"]),
        None => {}
    }
    if let Some(Json::Array(words)) = value.get_mut("enum") {
        words.push(Json::Null);
    }
}
