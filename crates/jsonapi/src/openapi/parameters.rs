//! Query and header parameters.

use serde_json::{Map, Value as Json, json};

use super::{reachable, reference, schemas};
use crate::attribute::{Attribute, Kind};
use crate::definition::{Api, Resource};
use crate::filter::{Comparison, KEY, Operator};
use crate::query::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};

/// Parameters that are alike everywhere.
pub(super) fn shared() -> Json {
    json!({
        "id": {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}},
        "page-number": {
            "name": "page[number]",
            "in": "query",
            "description": "Page, from 1.",
            "schema": {"type": "integer", "minimum": 1, "default": 1},
        },
        "page-size": {
            "name": "page[size]",
            "in": "query",
            "description": "Records per page.",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "maximum": PAGE_SIZE_MAX,
                "default": PAGE_SIZE_DEFAULT,
            },
        },
        "page-after": cursor("after", "The page after this cursor; empty for the first page."),
        "page-before": cursor("before", "The page before this cursor; empty for the last page."),
        "idempotency-key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Names the write. Sent again with the same method, path and body within \
                            a day, it is not done again: the first answer is, with \
                            `Idempotent-Replayed: true`. With anything different it is refused.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        },
        "if-match": {
            "name": "If-Match",
            "in": "header",
            "description": "Entity tags of the representation to change; another is left alone.",
            "schema": {"type": "string"},
        },
        "if-none-match": {
            "name": "If-None-Match",
            "in": "header",
            "description": "Entity tags that the client has.",
            "schema": {"type": "string"},
        },
    })
}

fn cursor(name: &str, meaning: &str) -> Json {
    let rule = "Cursors come in page links and fit no other list, order or filter. Not together \
                with `page[number]`.";
    json!({
        "name": format!("page[{name}]"),
        "in": "query",
        "description": format!("{meaning} {rule}"),
        "allowEmptyValue": true,
        "schema": {"type": "string"},
    })
}

/// A reference to a parameter of [`shared`].
pub(super) fn parameter(name: &str) -> Json {
    reference("parameters", name)
}

/// What a list takes.
pub(super) fn of_list(api: &Api, resource: &'static Resource) -> Vec<Json> {
    let mut parameters = Vec::new();
    if resource.paged {
        parameters.extend([parameter("page-number"), parameter("page-size")]);
        if resource.cursors {
            parameters.extend([parameter("page-after"), parameter("page-before")]);
        }
    }
    parameters.push(sort(resource));
    parameters.extend(of_answer(api, resource));
    parameters.extend(filters(resource));
    parameters.push(parameter("if-none-match"));
    parameters
}

/// What every answer with records of `resource` takes: `include` and `fields`.
pub(super) fn of_answer(api: &Api, resource: &'static Resource) -> Vec<Json> {
    let mut parameters = Vec::new();
    let mut paths = Vec::new();
    include_paths(api, resource, "", &mut vec![resource.kind], &mut paths);
    if !paths.is_empty() {
        parameters.push(list("include", "Related records to add.", &words(&paths)));
    }
    for answered in reachable(api, resource) {
        let attributes = answered.attributes.iter().filter(|attribute| attribute.on_the_wire());
        let fields = attributes.map(|attribute| attribute.name);
        let fields = fields.chain(answered.relationships.iter().map(|related| related.name));
        let name = format!("fields[{}]", answered.kind);
        let meaning = format!("Only these members of {}, attributes in this order.", answered.kind);
        parameters.push(list(&name, &meaning, &words(&fields.collect::<Vec<_>>())));
    }
    parameters
}

/// Every chain of relationships that meets no type twice.
fn include_paths(
    api: &Api,
    resource: &Resource,
    prefix: &str,
    met: &mut Vec<&'static str>,
    paths: &mut Vec<String>,
) {
    for relationship in resource.relationships {
        let path = format!("{prefix}{}", relationship.name);
        paths.push(path.clone());
        if !met.contains(&relationship.kind) {
            met.push(relationship.kind);
            include_paths(api, api.target(relationship), &format!("{path}."), met, paths);
            met.pop();
        }
    }
}

fn sort(resource: &Resource) -> Json {
    let sortable = resource.attributes.iter().filter(|attribute| attribute.sortable);
    let fields = std::iter::once("id").chain(sortable.map(|attribute| attribute.name));
    let keys = resource.relationships.iter().filter(|related| related.as_key);
    let keys = keys.map(|related| format!("{}-id", related.name));
    let fields = fields.map(str::to_owned).chain(keys);
    let fields: Vec<String> = fields.flat_map(|name| [name.clone(), format!("-{name}")]).collect();
    let default = if resource.default_sort.is_empty() { "id" } else { resource.default_sort };
    let meaning = format!("Order of the list, `-` for descending; `{default}` by default.");
    list("sort", &meaning, &words(&fields))
}

fn filters(resource: &Resource) -> Vec<Json> {
    let mut filters = vec![filter("id", "id", Operator::Exact, &json!({"type": "string"}))];
    let key = Json::Object(schemas::value(KEY));
    filters.extend(operator_filters("id", resource.id_operators(), &key));
    for relationship in resource.relationships {
        if relationship.filterable {
            let name = format!("{}.id", relationship.name);
            filters.push(filter(&name, &name, Operator::Exact, &json!({"type": "string"})));
        }
        let name = format!("{}-id", relationship.name);
        filters.extend(operator_filters(&name, relationship.operators(), &key));
    }
    for attribute in resource.attributes {
        filters.extend(attribute_filters(attribute));
    }
    filters
}

fn attribute_filters(attribute: &Attribute) -> Vec<Json> {
    let name = attribute.name;
    // JSON is compared as the text that is stored.
    let kind = if matches!(attribute.kind, Kind::Json | Kind::Words(_)) {
        Kind::Text
    } else {
        attribute.kind
    };
    let value = Json::Object(schemas::value(kind));
    let exact = attribute.exact_filter.then(|| filter(name, name, Operator::Exact, &value));
    exact.into_iter().chain(operator_filters(name, attribute.operators(), &value)).collect()
}

/// `filter[name_op]` for each of the operators.
fn operator_filters(
    name: &str,
    operators: impl Iterator<Item = (&'static str, Operator)>,
    value: &Json,
) -> impl Iterator<Item = Json> {
    let column = name.replace('-', "_");
    operators
        .map(move |(word, operator)| filter(&format!("{column}_{word}"), name, operator, value))
}

fn filter(key: &str, name: &str, operator: Operator, value: &Json) -> Json {
    let meaning = format!("Records whose `{name}` {}.", phrase(operator));
    let parameter = format!("filter[{key}]");
    if operator.takes_list() {
        list(&parameter, &meaning, value)
    } else {
        json!({"name": parameter, "in": "query", "description": meaning, "schema": value})
    }
}

/// What the operator asks of a value.
fn phrase(operator: Operator) -> &'static str {
    match operator {
        Operator::Exact => "is one of these; an empty element stands for none",
        Operator::Compare(Comparison::Eq) => "is this",
        Operator::Compare(Comparison::NotEq) => "is set and not this",
        Operator::Compare(Comparison::Gt) => "is greater than this",
        Operator::Compare(Comparison::Gteq) => "is greater than or equal to this",
        Operator::Compare(Comparison::Lt) => "is less than this",
        Operator::Compare(Comparison::Lteq) => "is less than or equal to this",
        Operator::Contains => "contains this, in any case",
        Operator::ContainsAny => "contains one of these, in any case",
        Operator::StartsWith => "starts with this, in any case",
        Operator::EndsWith => "ends with this, in any case",
        Operator::In => "is one of these",
        Operator::NotIn => "is set and none of these",
    }
}

/// A comma-separated parameter.
fn list(name: &str, meaning: &str, items: &Json) -> Json {
    json!({
        "name": name,
        "in": "query",
        "description": meaning,
        "style": "form",
        "explode": false,
        "schema": {"type": "array", "items": items},
    })
}

fn words<T: AsRef<str>>(words: &[T]) -> Json {
    let words = words.iter().map(|word| word.as_ref().into()).collect::<Vec<Json>>();
    Json::Object(Map::from_iter([
        ("type".to_owned(), "string".into()),
        ("enum".to_owned(), Json::Array(words)),
    ]))
}
