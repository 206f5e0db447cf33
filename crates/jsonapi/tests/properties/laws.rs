//! What holds for any request whatever. The property tests and the fuzz targets feed this.

#[path = "../../src/testing.rs"]
pub mod testing;

use std::collections::HashSet;

use jsonapi::{
    Attribute, Base, Error, Id, Input, Kind, LinkageDocument, Listing, Params, Query, Record,
    RecordDocument, Resource, Scope, Target, Value, decode_linkage, error_document, underscore,
    write_collection, write_member,
};
use serde_json::{Map, Value as Json, json};
use testing::API;

/// A body is read or refused as malformed; what is read can be answered and sent again.
pub fn document_is_read_or_refused(body: &[u8]) {
    match RecordDocument::parse(body) {
        Err(error) => assert_refused(&[error]),
        Ok(document) => API.resources.iter().for_each(|resource| write(resource, &document)),
    }
    let relationships = API.resources.iter().flat_map(|resource| resource.relationships);
    for relationship in relationships {
        let document = LinkageDocument::parse(body);
        if let Err(error) = document.and_then(|document| decode_linkage(&document, relationship)) {
            assert_refused(&[error]);
        }
    }
}

fn write(resource: &'static Resource, document: &RecordDocument) {
    match document.create(resource, Vec::new()) {
        Err(errors) => assert_refused(&errors),
        Ok(input) => {
            let answer = answer(resource, &record(resource, input));
            let again = resend(resource, &answer);
            assert_eq!(answer, self::answer(resource, &record(resource, again)));
        }
    }
    match document.update(resource, "1", Vec::new()) {
        Err(errors) => assert_refused(&errors),
        Ok(input) => assert_eq!(input.id.as_deref(), Some("1")),
    }
}

/// The record that a create would make of what was read.
fn record(resource: &Resource, input: Input) -> Record {
    let mut values = resource.defaults();
    for (position, value) in input.values {
        assert!(resource.attributes[position].creatable);
        if let Ok(value) = value {
            values[position] = value;
        }
    }
    let mut links = vec![None; resource.relationships.len()];
    for (position, link) in input.links {
        assert!(resource.relationships[position].creatable);
        links[position] = link;
    }
    Record { id: Id::Int(1), values, links }
}

/// The resource object that is answered.
pub fn answer(resource: &'static Resource, record: &Record) -> Json {
    let query = Query::parse(&API, resource, &Params::default(), Scope::Member).unwrap();
    let written = write_member(&base(), resource, Some(record), &query, &Vec::new());
    let mut answer: Json = serde_json::from_slice(&written).expect("answers are JSON");
    answer["data"].take()
}

/// What a create reads of an answer sent back without what it would refuse.
pub fn resend(resource: &Resource, answer: &Json) -> Input {
    let taken = |member: &str, takes: &dyn Fn(&str) -> bool| -> Map<String, Json> {
        let members = answer[member].as_object().into_iter().flatten();
        let members = members.filter(|(name, _)| takes(name));
        members.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let attributes = taken("attributes", &|name| {
        let attribute = &resource.attributes[resource.attribute(name).unwrap()];
        attribute.creatable && !attribute.is_write_only()
    });
    let relationships = taken("relationships", &|name| {
        resource.relationships[resource.relationship(name).unwrap()].creatable
    });
    let data = json!({
        "type": resource.kind,
        "attributes": attributes,
        "relationships": relationships,
    });
    let body = json!({ "data": data }).to_string();
    let document = RecordDocument::parse(body.as_bytes()).unwrap();
    document.create(resource, Vec::new()).expect("answers can be sent back")
}

/// A query is understood or refused as malformed; its page links ask for the same again.
pub fn query_is_understood_or_refused(text: &str) {
    let params = match Params::parse(text) {
        Err(error) => return assert_refused(&[error]),
        Ok(params) => params,
    };
    for &resource in API.resources {
        for scope in [Scope::List, Scope::Member, Scope::Write] {
            if let Some(query) = understood(resource, &params, scope)
                && scope == Scope::List
                && resource.paged
            {
                links_ask_for_the_same(resource, &params, &query);
            }
        }
    }
}

fn understood(resource: &'static Resource, params: &Params, scope: Scope) -> Option<Query> {
    let query = match Query::parse(&API, resource, params, scope) {
        Err(error) => {
            assert_refused(&[error]);
            return None;
        }
        Ok(query) => query,
    };
    if let Err(errors) = query.check() {
        assert_refused(&errors);
        return None;
    }
    assert!((1..=1000).contains(&query.page.size) && query.page.number >= 1);
    assert!(scope != Scope::List || query.sort.iter().any(|sort| sort.target == Target::Id));
    if let Err(error) = query.filters() {
        assert_eq!(error.code, "107");
        assert_refused(&[error]);
    }
    Some(query)
}

fn links_ask_for_the_same(resource: &'static Resource, params: &Params, query: &Query) {
    let listing = Listing {
        records: vec![middle(resource)],
        total: 1_000_000,
        goes_on: true,
        ..Listing::default()
    };
    let written = write_collection(&base(), resource, &listing, query, params);
    let document: Json = serde_json::from_slice(&written).expect("answers are JSON");
    for (name, url) in document["links"].as_object().expect("pages have links") {
        let (_, link) = url.as_str().unwrap().split_once('?').expect("links have a query");
        let params = Params::parse(link).expect("links can be parsed");
        let again = understood(resource, &params, Scope::List).expect("links are good");
        assert_eq!(again.include, query.include);
        assert_eq!(again.sort, query.sort);
        assert_eq!(again.page.size, query.page.size);
        assert!(name != "first" || again.page.number == 1);
        assert_eq!(again.walk.is_some(), query.walk.is_some());
        if let Some(walk) = &again.walk {
            assert_eq!(walk.backwards, ["prev", "last"].contains(&name.as_str()));
            assert_eq!(walk.from.is_some(), ["prev", "next"].contains(&name.as_str()));
            if let Some(cursor) = &walk.from {
                assert_eq!(cursor.total, listing.total);
                let keys = query.sort.iter().map(|sort| key(&listing.records[0], sort.target));
                assert_eq!(cursor.keys, keys.collect::<Vec<_>>());
            }
        }
        for resource in API.resources {
            assert_eq!(again.fieldset(resource.kind), query.fieldset(resource.kind));
        }
        if spells_filters_once(link) {
            filters_agree(&again, query);
        }
    }
}

/// A record with a value wherever a list can be walked by it.
fn middle(resource: &Resource) -> Record {
    let value = |attribute: &Attribute| match attribute.kind {
        Kind::Integer { .. } => Value::Int(-5),
        Kind::Timestamp => Value::Time("2026-01-02T03:04:05.678901Z".parse().unwrap()),
        _ => Value::Null,
    };
    Record {
        id: Id::Int(7),
        values: resource.attributes.iter().map(value).collect(),
        links: vec![Some(3); resource.relationships.len()],
    }
}

fn key(record: &Record, target: Target) -> Value {
    match target {
        Target::Id => Value::Int(record.key()),
        Target::Attribute(at) => record.values[at].clone(),
        Target::Relationship(at) => record.links[at].map_or(Value::Null, Value::Int),
    }
}

fn filters_agree(again: &Query, first: &Query) {
    match (again.filters(), first.filters()) {
        (Ok(again), Ok(first)) => {
            assert_eq!(again.len(), first.len());
            assert!(first.iter().all(|filter| again.contains(filter)));
        }
        (again, first) => assert!(again.is_err() && first.is_err()),
    }
}

/// Links are sorted, so among several spellings of one filter another may become the last.
fn spells_filters_once(link: &str) -> bool {
    let names =
        link.split('&').filter_map(|pair| pair.strip_prefix("filter%5B")?.split_once("%5D"));
    let names: HashSet<&str> = names.map(|(name, _)| name).collect();
    let folded = names.iter().map(|name| underscore(name).into_owned());
    folded.collect::<HashSet<String>>().len() == names.len()
}

/// Refusals are 400, and say why.
fn assert_refused(errors: &[Error]) {
    assert!(!errors.is_empty());
    for error in errors {
        assert_eq!(error.status, 400);
        assert!(error.code.parse::<u16>().is_ok(), "{}", error.code);
        assert!(!error.title.is_empty() && error.pointer.is_none());
    }
    let document: Json = serde_json::from_slice(&error_document(errors)).expect("errors are JSON");
    assert_eq!(document["errors"].as_array().map(Vec::len), Some(errors.len()));
}

fn base() -> Base {
    Base("http://example.org/api/test".to_owned())
}
