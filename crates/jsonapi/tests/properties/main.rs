//! Properties: the laws of any request, tried on thousands of hostile and of plausible ones.

#![expect(clippy::unwrap_used, reason = "a law that cannot be tried is a failure too")]

mod laws;

use decimal::Decimal;
use jiff::Timestamp;
use jsonapi::{Attribute, Id, Kind, Record, Resource, Value, Visibility};
use laws::testing::API;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

/// Every name that means something somewhere.
fn known_name() -> impl Strategy<Value = String> {
    let mut names = vec!["data", "type", "id", "attributes", "relationships", "links", "meta"];
    for resource in API.resources {
        names.push(resource.kind);
        names.extend(resource.attributes.iter().map(|attribute| attribute.name));
        names.extend(resource.relationships.iter().map(|relationship| relationship.name));
    }
    select(names).prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![9 => known_name(), 1 => ".{0,8}"]
}

fn json() -> impl Strategy<Value = Json> {
    let number = r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,3})?"
        .prop_map(|text| serde_json::from_str(&text).expect("a JSON number"));
    let text = prop_oneof![
        ".{0,12}",
        known_name(),
        r" ?[+-]?[0-9]{0,20}(\.[0-9]{0,14})?(e-?[0-9]{1,3})? ?",
        select(vec!["New", "off", "2026-01-02T03:04:05.6789Z", "\0"]).prop_map(str::to_owned),
        any::<[u8; 16]>().prop_map(|bytes| uuid::Uuid::from_bytes(bytes).to_string()),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        number,
        text.prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec((name(), inner), 0..5).prop_map(|members| Json::from(Map::from_iter(members))),
        ]
    })
}

/// Bodies that come far: the right type, known names, values of any sort.
fn plausible_body() -> impl Strategy<Value = Json> {
    let resource = select(API.resources.to_vec());
    let attributes = vec((known_name(), json()), 0..4);
    let linkage = prop_oneof![
        3 => (known_name(), 0..9).prop_map(|(kind, id)| json!({"data": {"type": kind, "id": id}})),
        1 => json(),
    ];
    let relationships = vec((known_name(), linkage), 0..3);
    (resource, attributes, relationships, any::<bool>()).prop_map(
        |(resource, mut attributes, mut relationships, update)| {
            if !update {
                attributes.retain(|(name, _)| resource.attribute(name).is_some());
                relationships.retain(|(name, _)| resource.relationship(name).is_some());
            }
            let mut data = json!({
                "type": resource.kind,
                "attributes": Map::from_iter(attributes),
                "relationships": Map::from_iter(relationships),
            });
            if update {
                data["id"] = "1".into();
            }
            json!({ "data": data })
        },
    )
}

/// Query strings of known parameters with values of any sort.
fn plausible_query() -> impl Strategy<Value = String> {
    let operator =
        select(vec!["", "_eq", "_not_eq", "-gt", "_in", "_not_in", "_cont", ".id", "-id-eq", "Eq"]);
    let filter = (name(), operator, select(vec!["", "[]"]))
        .prop_map(|(name, operator, list)| format!("filter[{name}{operator}]{list}"));
    let key = prop_oneof![
        3 => filter,
        1 => name().prop_map(|kind| format!("fields[{kind}]")),
        1 => select(vec!["include", "sort", "page[number]", "page[size]", "page", "token", "x"])
            .prop_map(str::to_owned),
        1 => select(vec!["page[after]", "page[before]"]).prop_map(str::to_owned),
        1 => r"[a-z]{0,6}(\[[a-z]{0,3}\]){0,3}",
    ];
    let value = prop_oneof![
        2 => vec(prop_oneof![known_name(), "-?[a-z]{0,3}"], 0..4).prop_map(|names| names.join(",")),
        1 => r"[+-]?[0-9]{0,25}(\.[0-9]{1,3})?",
        1 => r"([0-9a-f]{0,17}\.){0,3}",
        1 => select(vec!["", "sequence", "-created-at,account-id", "account-id,-sequence"])
            .prop_map(str::to_owned),
        1 => r#"["a,%0-9 +]{0,12}"#,
        1 => ".{0,12}",
    ];
    vec((key, value), 0..5).prop_map(|pairs| {
        let pairs = pairs.into_iter().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    })
}

fn value_of(attribute: &Attribute) -> BoxedStrategy<Value> {
    let value = match attribute.kind {
        Kind::Text => r"[^\x00]{0,20}".prop_map(Value::text).boxed(),
        Kind::Decimal => {
            let units =
                prop_oneof![any::<i64>().prop_map(i128::from), -10_i128.pow(38)..=10_i128.pow(38)];
            units.prop_map(|units| Value::Decimal(Decimal::from_units(units).unwrap())).boxed()
        }
        Kind::Integer { listed, .. } if !listed.is_empty() => {
            select(listed.to_vec()).prop_map(Value::Int).boxed()
        }
        Kind::Integer { min, max, .. } => (min..=max).prop_map(Value::Int).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Uuid => {
            any::<[u8; 16]>().prop_map(|uuid| Value::Uuid(uuid::Uuid::from_bytes(uuid))).boxed()
        }
        Kind::Timestamp => {
            // The years 1 to 9999, to the millisecond, as answers have them.
            let instants = -62_135_596_800_000..=253_402_200_000_000_i64;
            instants.prop_map(|ms| Value::Time(Timestamp::from_millisecond(ms).unwrap())).boxed()
        }
        Kind::IdList => vec(any::<i64>(), 1..5).prop_map(Value::Ids).boxed(),
        Kind::Enumeration(words) => select(words.to_vec()).prop_map(Value::text).boxed(),
        Kind::Words(words) => {
            let some = proptest::sample::subsequence(words.to_vec(), 1..=words.len());
            some.prop_map(|some| Value::Json(serde_json::json!(some).to_string().into())).boxed()
        }
        Kind::Json => json().prop_map(|json| Value::Json(json.to_string().into())).boxed(),
    };
    prop_oneof![4 => value, 1 => Just(Value::Null)].boxed()
}

fn any_record() -> impl Strategy<Value = (&'static Resource, Record)> {
    select(API.resources.to_vec()).prop_flat_map(|resource| {
        let values: Vec<_> = resource.attributes.iter().map(value_of).collect();
        let links = vec(any::<Option<i64>>(), resource.relationships.len());
        (any::<i64>(), values, links).prop_map(move |(id, values, links)| {
            (resource, Record { id: Id::Int(id), values, links })
        })
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_document_or_refused(body in vec(any::<u8>(), 0..300)) {
        laws::document_is_read_or_refused(&body);
    }

    #[test]
    fn any_json_is_a_document_or_refused(body in json()) {
        laws::document_is_read_or_refused(body.to_string().as_bytes());
    }

    #[test]
    fn any_plausible_body_is_a_document_or_refused(body in plausible_body()) {
        laws::document_is_read_or_refused(body.to_string().as_bytes());
    }

    #[test]
    fn any_broken_body_is_refused(body in plausible_body(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut body = body.to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        laws::document_is_read_or_refused(&body);
        laws::document_is_read_or_refused(&body[..at]);
    }

    #[test]
    fn any_text_is_a_query_or_refused(text in any::<String>()) {
        laws::query_is_understood_or_refused(&text);
    }

    #[test]
    fn any_plausible_query_is_understood_or_refused(text in plausible_query()) {
        laws::query_is_understood_or_refused(&text);
    }

    #[test]
    fn any_walk_can_be_taken_further(
        sort in select(vec!["", "-id", "sequence", "-created-at,account-id", "account-id,-id"]),
        end in select(vec!["after", "before"]),
        text in plausible_query(),
    ) {
        laws::query_is_understood_or_refused(&format!("{text}&sort={sort}&page[{end}]="));
    }

    #[test]
    fn an_answer_sent_back_is_read_as_the_same_values((resource, record) in any_record()) {
        let answer = laws::answer(resource, &record);
        let id = record.id.to_string();
        prop_assert_eq!(answer["id"].as_str(), Some(id.as_str()));
        let input = laws::resend(resource, &answer);
        for (position, value) in &input.values {
            prop_assert_eq!(value.as_ref(), Ok(&record.values[*position]));
        }
        for (position, link) in &input.links {
            prop_assert_eq!(*link, record.links[*position]);
        }
        let shown = |attribute: &&Attribute| attribute.on_the_wire();
        for attribute in resource.attributes.iter().filter(shown) {
            let value = &record.values[resource.attribute(attribute.name).unwrap()];
            let written = &answer["attributes"][attribute.name];
            let is_left_out = attribute.visibility == Visibility::OnRequest;
            let is_hidden = is_left_out || attribute.is_write_only();
            prop_assert_eq!(written.is_null(), is_hidden || is_null(value));
        }
    }
}

fn is_null(value: &Value) -> bool {
    value.is_null() || matches!(value, Value::Json(json) if &**json == "null")
}
