//! Request documents: from bytes to the values that a create or an update carries.
//!
//! The checks run in the contract's order (protocol 8, steps 6–9) and the first failure of the
//! document ends them. Values that do not fit their attribute are no error of the document: they
//! are reported together with the broken rules, as 422 with a pointer each.

use serde_json::{Map, Value as Json, json};

use crate::attribute::Attribute;
use crate::decode::{plain_text, read_attribute};
use crate::definition::{Relationship, Resource};
use crate::error::Error;
use crate::naming::{integer_id, underscore};
use crate::value::{Unfit, Value};

/// Deepest nesting of objects and arrays that is read.
const DEPTH_MAX: usize = 100;

/// Whether a document creates a record or changes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `POST` to a collection.
    Create,
    /// `PATCH` or `PUT` of a member.
    Update,
}

/// The parsed body of a write.
#[derive(Clone, Debug)]
pub struct RecordDocument {
    top: Map<String, Json>,
}

/// The body of a relationship write.
#[derive(Clone, Debug)]
pub struct LinkageDocument {
    top: Map<String, Json>,
}

/// What a document sends, by position in the definition and in the order sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Attributes, fit for their kind or not.
    pub values: Vec<(usize, Result<Value, Unfit>)>,
    /// Relationships.
    pub links: Vec<(usize, Option<i64>)>,
    /// `data.id` as text, of an update.
    pub id: Option<String>,
}

impl RecordDocument {
    /// Reads a body; an empty one is an empty object.
    ///
    /// # Errors
    /// 400 for anything that is no JSON object, or nests too deeply.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        Ok(Self { top: parse_object(body)? })
    }

    /// The document that sends these attributes and relationships, both objects, for a `kind`.
    #[must_use]
    pub fn of(kind: &str, attributes: Json, relationships: Json) -> Self {
        let mut data = json!({ "type": kind });
        data["attributes"] = attributes;
        data["relationships"] = relationships;
        Self { top: Map::from_iter([("data".to_owned(), data)]) }
    }

    /// The values that a create of `resource` sends.
    ///
    /// # Errors
    /// `collected` and the first failure of the document, together.
    pub fn create(&self, resource: &Resource, collected: Vec<Error>) -> Result<Input, Vec<Error>> {
        with_collected(collected, self.decode(resource, Operation::Create, |_| Ok(None)))
    }

    /// The values that an update of `resource` at the URL's `id` sends.
    ///
    /// # Errors
    /// As [`Self::create`]; `data.id` must be the text of the URL.
    pub fn update(
        &self,
        resource: &Resource,
        id: &str,
        collected: Vec<Error>,
    ) -> Result<Input, Vec<Error>> {
        let same = |sent: &str| {
            if sent == id { Ok(()) } else { Err(Error::key_not_in_url(sent)) }
        };
        self.update_checked(resource, collected, same)
    }

    /// As [`Self::update`], with a check of `data.id` that the caller chooses.
    ///
    /// # Errors
    /// As [`Self::create`], and what `check_id` refuses.
    pub fn update_checked(
        &self,
        resource: &Resource,
        collected: Vec<Error>,
        check_id: impl FnOnce(&str) -> Result<(), Error>,
    ) -> Result<Input, Vec<Error>> {
        let key = |data: &Map<String, Json>| {
            let id = data.get("id").filter(|id| !id.is_null()).ok_or_else(Error::key_required)?;
            let id = plain_text(id).into_owned();
            check_id(&id)?;
            Ok(Some(id))
        };
        with_collected(collected, self.decode(resource, Operation::Update, key))
    }

    fn decode(
        &self,
        resource: &Resource,
        operation: Operation,
        key: impl FnOnce(&Map<String, Json>) -> Result<Option<String>, Error>,
    ) -> Result<Input, Error> {
        let data = match self.top.get("data") {
            None | Some(Json::Null) => return Err(Error::missing("data")),
            Some(Json::Array(items)) if items.is_empty() => return Err(Error::missing("data")),
            Some(Json::String(text)) if text.trim().is_empty() => {
                return Err(Error::missing("data"));
            }
            Some(Json::Object(data)) if data.is_empty() => return Err(Error::missing("data")),
            Some(Json::Object(data)) => data,
            Some(_) => return Err(Error::not_a_hash()),
        };
        let id = key(data)?;
        check_type(resource, data)?;
        check_members(resource, operation, data)?;
        let mut input = Input { id, ..Input::default() };
        if let Some(Json::Object(relationships)) = data.get("relationships") {
            for (name, object) in relationships {
                if let Some(position) = resource.relationship(name) {
                    let link = read_relationship(&resource.relationships[position], object)?;
                    input.links.push((position, link));
                }
            }
        }
        if let Some(Json::Object(attributes)) = data.get("attributes") {
            for (name, value) in attributes {
                if let Some(position) = resource.attribute(name) {
                    let value = read_attribute(&resource.attributes[position], value);
                    input.values.push((position, value));
                }
            }
        }
        Ok(input)
    }
}

fn with_collected<T>(mut collected: Vec<Error>, result: Result<T, Error>) -> Result<T, Vec<Error>> {
    match result {
        Ok(value) if collected.is_empty() => Ok(value),
        Ok(_) => Err(collected),
        Err(error) => {
            collected.push(error);
            Err(collected)
        }
    }
}

fn check_type(resource: &Resource, data: &Map<String, Json>) -> Result<(), Error> {
    let kind = match data.get("type") {
        None | Some(Json::Null) => return Err(Error::missing("type")),
        Some(Json::String(text)) if text.is_empty() => return Err(Error::missing("type")),
        Some(kind) => plain_text(kind),
    };
    if same_type(resource.kind, &kind) { Ok(()) } else { Err(Error::invalid_resource(&kind)) }
}

fn same_type(kind: &str, sent: &str) -> bool {
    crate::naming::same_name(kind, &underscore(sent))
}

/// Finds the first member that this operation does not take, in the order sent.
fn check_members(
    resource: &Resource,
    operation: Operation,
    data: &Map<String, Json>,
) -> Result<(), Error> {
    let takes_attribute = |name: &str| {
        let position = resource.attribute(name);
        position.is_some_and(|position| resource.attributes[position].taken_by(operation))
    };
    let takes_relationship = |name: &str| {
        let position = resource.relationship(name);
        position.is_some_and(|position| resource.relationships[position].taken_by(operation))
    };
    for (member, value) in data {
        match (member.as_str(), value) {
            ("type", _) => {}
            ("id", _) if operation == Operation::Update => {}
            ("attributes", Json::Object(attributes)) => {
                first_refused(attributes.keys(), takes_attribute)?;
            }
            ("attributes", Json::Array(items)) if items.first().is_some_and(Json::is_string) => {
                return Err(Error::not_allowed(&plain_text(&items[0])));
            }
            ("relationships", Json::Object(relationships)) => {
                // Old clients send `relationships.timezone`: accepted and ignored.
                let takes = |name: &str| takes_relationship(name) || takes_attribute(name);
                first_refused(relationships.keys(), takes)?;
            }
            ("attributes" | "relationships", _) => return Err(Error::not_a_hash()),
            (other, _) => return Err(Error::not_allowed(other)),
        }
    }
    Ok(())
}

impl Attribute {
    /// Whether the operation may send it.
    pub(crate) const fn taken_by(&self, operation: Operation) -> bool {
        match operation {
            Operation::Create => self.creatable,
            Operation::Update => self.updatable,
        }
    }
}

impl Relationship {
    /// Whether the operation may send it.
    pub(crate) const fn taken_by(&self, operation: Operation) -> bool {
        match operation {
            Operation::Create => self.creatable,
            Operation::Update => self.updatable,
        }
    }
}

fn first_refused<'a>(
    mut names: impl Iterator<Item = &'a String>,
    takes: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    names.find(|name| !takes(name)).map_or(Ok(()), |name| Err(Error::not_allowed(name)))
}

/// Reads `{"data": linkage}` with everything that means "none".
fn read_relationship(relationship: &Relationship, object: &Json) -> Result<Option<i64>, Error> {
    match object {
        Json::Null => Ok(None),
        Json::Object(members) => match members.get("data") {
            None | Some(Json::Null) => Ok(None),
            Some(linkage) => read_linkage(relationship, linkage),
        },
        _ => Err(Error::invalid_linkage()),
    }
}

/// Reads `{"type", "id"}`: exactly these two members.
fn read_linkage(relationship: &Relationship, linkage: &Json) -> Result<Option<i64>, Error> {
    let members = linkage.as_object().ok_or_else(Error::invalid_linkage)?;
    let (Some(kind), Some(id), 2) = (members.get("type"), members.get("id"), members.len()) else {
        return Err(Error::invalid_linkage());
    };
    let kind = plain_text(kind);
    if !same_type(relationship.kind, &kind) {
        return Err(Error::type_mismatch(&kind));
    }
    if id.is_null() {
        return Ok(None);
    }
    let text = plain_text(id);
    let plain = matches!(id, Json::String(_) | Json::Number(_));
    match integer_id(&text).filter(|_| plain) {
        Some((id, _)) => Ok(Some(id)),
        None => Err(Error::invalid_id(&text)),
    }
}

/// What a relationship object holds to name one record.
#[must_use]
pub fn linkage(kind: &str, id: impl Into<Json>) -> Json {
    json!({"data": {"type": kind, "id": id.into()}})
}

impl LinkageDocument {
    /// Reads the body of a relationship write.
    ///
    /// # Errors
    /// 400 for anything that is no JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        Ok(Self { top: parse_object(body)? })
    }
}

/// The target that a to-one relationship write names; `None` empties the relationship.
///
/// # Errors
/// 106 without `data`, 115, 116 and 103 for linkages of the wrong form, type or id.
pub fn decode_linkage(
    document: &LinkageDocument,
    relationship: &Relationship,
) -> Result<Option<i64>, Error> {
    match document.top.get("data") {
        None => Err(Error::missing("data")),
        Some(Json::Null) => Ok(None),
        Some(linkage) => read_linkage(relationship, linkage),
    }
}

fn parse_object(body: &[u8]) -> Result<Map<String, Json>, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    if nests_too_deeply(body) {
        return Err(Error::bad_request(format!("The document nests deeper than {DEPTH_MAX}.")));
    }
    match serde_json::from_slice(body) {
        Ok(Json::Object(top)) => Ok(top),
        Ok(_) => Err(Error::bad_request("Request must be a hash")),
        Err(error) => Err(Error::bad_request(format!("The body is not valid JSON: {error}"))),
    }
}

fn nests_too_deeply(body: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ACCOUNTS, BALANCES};

    fn codes(errors: &[Error]) -> String {
        errors.iter().map(|error| error.code).collect::<Vec<_>>().join(" ")
    }

    fn create(body: &str) -> Result<Input, String> {
        let document = RecordDocument::parse(body.as_bytes()).map_err(|error| codes(&[error]))?;
        document.create(&ACCOUNTS, Vec::new()).map_err(|errors| codes(&errors))
    }

    fn update(body: &str) -> Result<Input, String> {
        let document = RecordDocument::parse(body.as_bytes()).map_err(|error| codes(&[error]))?;
        document.update(&ACCOUNTS, "3", Vec::new()).map_err(|errors| codes(&errors))
    }

    /// The code that refuses a create with this `data`.
    fn refusal(data: &str) -> String {
        create(&format!(r#"{{"data":{data}}}"#)).map_or_else(|code| code, |_| "taken".into())
    }

    /// The detail of the refusal of a create with these members beside the type.
    fn detail(members: &str) -> String {
        let body = format!(r#"{{"data":{{"type":"accounts",{members}}}}}"#);
        let document = RecordDocument::parse(body.as_bytes()).unwrap();
        document.create(&ACCOUNTS, Vec::new()).unwrap_err()[0].detail.to_string()
    }

    /// What is read of an attribute sent as this JSON: a value, or a message.
    fn sent(name: &str, json: &str) -> Result<Value, String> {
        let body = format!(r#"{{"data":{{"type":"accounts","attributes":{{"{name}":{json}}}}}}}"#);
        let mut input = create(&body).unwrap();
        input.values.pop().unwrap().1.map_err(|unfit| unfit.to_string())
    }

    fn number(name: &str, json: &str) -> String {
        match sent(name, json) {
            Ok(Value::Decimal(decimal)) => decimal.to_string(),
            Ok(Value::Int(int)) => int.to_string(),
            Ok(other) => format!("{other:?}"),
            Err(message) => message,
        }
    }

    fn linked(relationships: &str) -> Result<Vec<(usize, Option<i64>)>, String> {
        let body = format!(r#"{{"data":{{"type":"accounts","relationships":{relationships}}}}}"#);
        create(&body).map(|input| input.links)
    }

    fn contractor(linkage: &str) -> Result<Vec<(usize, Option<i64>)>, String> {
        linked(&format!(r#"{{"contractor":{{"data":{linkage}}}}}"#))
    }

    #[test]
    fn a_body_is_a_json_object() {
        for body in ["[]", "null", "1", "\"x\""] {
            let error = RecordDocument::parse(body.as_bytes()).unwrap_err();
            assert_eq!((error.code, &*error.detail), ("400", "Request must be a hash"), "{body}");
        }
        for body in ["{", "\u{feff}{}", "{} x", "{\"data\":NaN}", "/* */{}", "{'data':1}"] {
            assert_eq!(create(body), Err("400".into()), "{body}");
        }
        assert_eq!(RecordDocument::parse(b"{\"data\":\"\xff\"}").unwrap_err().code, "400");
        assert_eq!(create(""), Err("106".into()));
    }

    #[test]
    fn nesting_ends_at_a_hundred() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let body = |depth| format!(r#"{{"meta":{},"data":null}}"#, nested(depth));
        assert_eq!(create(&body(99)), Err("106".into()));
        assert_eq!(create(&body(100)), Err("400".into()));
        assert_eq!(create(&body(100_000)), Err("400".into()));
        assert_eq!(create(&format!(r#"{{"meta":"{}\""}}"#, "[".repeat(200))), Err("106".into()));
    }

    #[test]
    fn data_is_a_filled_object() {
        assert_eq!(create("{}"), Err("106".into()));
        for missing in ["null", "{}", "[]"] {
            assert_eq!(refusal(missing), "106", "{missing}");
        }
        for no_hash in ["[{}]", "\"x\"", "1", "0", "false", "true"] {
            assert_eq!(refusal(no_hash), "122", "{no_hash}");
        }
    }

    #[test]
    fn the_type_is_compared_after_folding() {
        for kind in ["accounts", "Accounts"] {
            assert_eq!(refusal(&format!(r#"{{"type":"{kind}"}}"#)), "taken", "{kind}");
        }
        for kind in ["\"account\"", "\"contractors\"", "5", "[\"accounts\"]", "\" accounts\""] {
            assert_eq!(refusal(&format!(r#"{{"type":{kind}}}"#)), "101", "{kind}");
        }
        for data in [r#"{"attributes":{}}"#, r#"{"type":null}"#, r#"{"type":""}"#] {
            assert_eq!(refusal(data), "106", "{data}");
        }
        let body = br#"{"data":{"type":"balance","id":"7","attributes":{}}}"#;
        let refused = RecordDocument::parse(body).unwrap().update(&BALANCES, "7", Vec::new());
        assert_eq!(codes(&refused.unwrap_err()), "101");
    }

    #[test]
    fn members_that_are_not_taken_are_named_as_sent() {
        for (members, name) in [
            (r#""id":"7""#, "id"),
            (r#""id":null"#, "id"),
            (r#""links":{},"meta":{}"#, "links"),
            (r#""attributes":{"id":1}"#, "id"),
            (r#""attributes":{"name":"x","min_balance":1}"#, "min_balance"),
            (r#""attributes":{"minBalance":1}"#, "minBalance"),
            (r#""attributes":{"balance":0}"#, "balance"),
            (r#""attributes":{"contractor":1}"#, "contractor"),
            (r#""attributes":{"search-key":"x"}"#, "search-key"),
            (r#""attributes":["a"]"#, "a"),
            (r#""relationships":{"foos":{}}"#, "foos"),
            (r#""relationships":{"invoice_template":{}}"#, "invoice_template"),
            (r#""relationships":{"balance":{}}"#, "balance"),
        ] {
            assert_eq!(detail(members), format!("{name} is not allowed."), "{members}");
        }
    }

    #[test]
    fn attributes_and_relationships_are_objects() {
        for member in ["attributes", "relationships"] {
            for json in ["null", "\"x\"", "1", "[1]"] {
                assert_eq!(detail(&format!(r#""{member}":{json}"#)), "Data must be a hash.");
            }
        }
        assert_eq!(detail(r#""relationships":["a"]"#), "Data must be a hash.");
    }

    #[test]
    fn an_attributes_name_among_relationships_is_ignored() {
        assert_eq!(linked(r#"{"name":{"data":"junk"}}"#), Ok(Vec::new()));
    }

    #[test]
    fn members_beside_data_are_ignored() {
        let body = r#"{"meta":1,"jsonapi":{},"data":{"type":"accounts"},"included":null}"#;
        assert_eq!(create(body), Ok(Input::default()));
    }

    #[test]
    fn the_last_of_a_repeated_key_wins() {
        let body = r#"{"data":{"type":"accounts","attributes":{"name":"a","name":"b"}}}"#;
        assert_eq!(create(body).unwrap().values, [(0, Ok(Value::text("b")))]);
    }

    #[test]
    fn an_update_names_the_record_of_the_url() {
        let id = |id: &str| update(&format!(r#"{{"data":{{"type":"accounts","id":{id}}}}}"#));
        assert_eq!(id("\"3\"").unwrap().id.as_deref(), Some("3"));
        assert!(id("3").is_ok());
        for other in ["\" 3\"", "\"4\"", "4", "\"+3\"", "3.0", "\"\"", "true"] {
            assert_eq!(id(other), Err("110".into()), "{other}");
        }
        assert_eq!(id("null"), Err("109".into()));
        assert_eq!(update(r#"{"data":{"type":"accounts"}}"#), Err("109".into()));
    }

    #[test]
    fn what_only_a_create_takes_is_refused_by_an_update() {
        let with = |members| format!(r#"{{"data":{{"type":"accounts","id":"3",{members}}}}}"#);
        assert_eq!(update(&with(r#""attributes":{"currency":"EUR"}"#)), Err("105".into()));
        assert_eq!(update(&with(r#""relationships":{"parent":null}"#)), Err("105".into()));
        assert!(sent("currency", "\"EUR\"").is_ok());
        assert!(linked(r#"{"parent":null}"#).is_ok());
    }

    #[test]
    fn checks_run_in_the_contracts_order() {
        let bad_linkage = r#""relationships":{"contractor":1}"#;
        let bad_member = r#""attributes":{"foo":1}"#;
        let data = |parts: &[&str]| format!(r#"{{"data":{{{}}}}}"#, parts.join(","));
        // Key, its text, type, members, linkages: each hides what follows it.
        let type_foos = r#""type":"foos""#;
        let type_accounts = r#""type":"accounts""#;
        let other = r#""id":"4""#;
        let same = r#""id":"3""#;
        assert_eq!(update(&data(&[type_foos, bad_member])), Err("109".into()));
        assert_eq!(update(&data(&[type_foos, other, bad_member])), Err("110".into()));
        assert_eq!(update(&data(&[type_foos, same, bad_member])), Err("101".into()));
        assert_eq!(update(&data(&[same, bad_member])), Err("106".into()));
        assert_eq!(
            update(&data(&[bad_linkage, type_accounts, same, bad_member])),
            Err("105".into())
        );
        assert_eq!(update(&data(&[bad_linkage, type_accounts, same])), Err("115".into()));
        let unfit = r#""attributes":{"vat":"abc"}"#;
        assert_eq!(create(&data(&[unfit, bad_linkage, type_accounts])), Err("115".into()));
    }

    #[test]
    fn linkage_errors_are_those_of_the_first_sent() {
        let links = r#"{"invoice-template":{"data":{"type":"x","id":"1"}},"contractor":1}"#;
        assert_eq!(linked(links), Err("116".into()));
        let links = r#"{"contractor":1,"invoice-template":{"data":{"type":"x","id":"1"}}}"#;
        assert_eq!(linked(links), Err("115".into()));
    }

    #[test]
    fn collected_errors_come_with_the_documents_first() {
        let include = || vec![Error::invalid_include("foo", "accounts")];
        let document = RecordDocument::parse(br#"{"data":null}"#).unwrap();
        assert_eq!(codes(&document.create(&ACCOUNTS, include()).unwrap_err()), "112 106");
        let document = RecordDocument::parse(br#"{"data":{"type":"accounts"}}"#).unwrap();
        assert_eq!(codes(&document.create(&ACCOUNTS, include()).unwrap_err()), "112");
    }

    #[test]
    fn a_linkage_names_a_record_or_none() {
        let four = Ok(vec![(0, Some(4))]);
        for id in ["4", "\"4\"", "\"+4\"", "\" 4 \""] {
            assert_eq!(contractor(&format!(r#"{{"type":"contractors","id":{id}}}"#)), four, "{id}");
        }
        assert_eq!(contractor(r#"{"id":4,"type":"Contractors"}"#), four);
        let none = Ok(vec![(0, None)]);
        assert_eq!(contractor("null"), none);
        assert_eq!(contractor(r#"{"type":"contractors","id":null}"#), none);
        assert_eq!(linked(r#"{"contractor":null}"#), none);
        assert_eq!(linked(r#"{"contractor":{}}"#), none);
        let beside = r#"{"contractor":{"links":1,"meta":2,"data":{"type":"contractors","id":4}}}"#;
        assert_eq!(linked(beside), four);
    }

    #[test]
    fn a_malformed_linkage_is_refused() {
        for linkage in [
            "{}",
            "[]",
            "\"4\"",
            "4",
            "false",
            r#"{"id":4}"#,
            r#"{"type":"contractors"}"#,
            r#"{"type":"contractors","id":4,"meta":{}}"#,
        ] {
            assert_eq!(contractor(linkage), Err("115".into()), "{linkage}");
        }
        for object in ["\"x\"", "1", "[]", "true"] {
            let relationships = format!(r#"{{"contractor":{object}}}"#);
            assert_eq!(linked(&relationships), Err("115".into()), "{object}");
        }
        for kind in ["\"accounts\"", "\"foos\"", "\"contractor\"", "null", "5"] {
            let linkage = format!(r#"{{"type":{kind},"id":"x"}}"#);
            assert_eq!(contractor(&linkage), Err("116".into()), "{kind}");
        }
        for id in ["\"abc\"", "\"\"", "4.7", "4.0", "\"4abc\"", "\"010\"", "true", "{}", "[4]"] {
            let linkage = format!(r#"{{"type":"contractors","id":{id}}}"#);
            assert_eq!(contractor(&linkage), Err("103".into()), "{id}");
        }
    }

    #[test]
    fn a_relationship_document_holds_one_linkage() {
        let read = |body: &[u8]| {
            let document = LinkageDocument::parse(body).map_err(|error| error.code)?;
            decode_linkage(&document, &ACCOUNTS.relationships[0]).map_err(|error| error.code)
        };
        assert_eq!(read(br#"{"data":{"type":"contractors","id":"4"}}"#), Ok(Some(4)));
        assert_eq!(read(br#"{"data":null}"#), Ok(None));
        assert_eq!(read(b"{}"), Err("106"));
        assert_eq!(read(b""), Err("106"));
        assert_eq!(read(br#"{"data":{}}"#), Err("115"));
        assert_eq!(read(br#"{"data":[]}"#), Err("115"));
        assert_eq!(read(br#"{"data":{"type":"accounts","id":"4"}}"#), Err("116"));
        assert_eq!(read(br#"{"data":{"type":"contractors","id":"x"}}"#), Err("103"));
        assert_eq!(read(b"[]"), Err("400"));
    }

    #[test]
    fn decimals_are_read_exactly() {
        for (json, expected) in [
            ("12", "12.0"),
            ("0.1", "0.1"),
            ("1E2", "100.0"),
            ("12345678901234567890.123456789012", "12345678901234567890.123456789012"),
            ("\"12.50\"", "12.5"),
            ("\".5\"", "0.5"),
            ("\"+7.5\"", "7.5"),
            ("\"1e1\"", "10.0"),
            ("\" 12 \"", "12.0"),
            ("-0", "0.0"),
            ("\"\"", "Null"),
            ("null", "Null"),
            ("0.1234567890123", "has too many decimal places"),
            ("\"1e-13\"", "has too many decimal places"),
        ] {
            assert_eq!(number("vat", json), expected, "{json}");
        }
        for json in
            ["\"abc\"", "\"12abc\"", "\"1.\"", "\"1,5\"", "\"0x1A\"", "\"NaN\"", "\"Infinity\""]
        {
            assert_eq!(number("vat", json), "is not a number", "{json}");
        }
        for json in ["true", "false", "[]", "[1]", "{}"] {
            assert_eq!(number("vat", json), "is not a number", "{json}");
        }
    }

    #[test]
    fn integers_are_whole_in_any_notation() {
        for (json, expected) in [
            ("5", "5"),
            ("5.0", "5"),
            ("\"1e1\"", "10"),
            ("\"\"", "Null"),
            ("1.5", "must be an integer"),
            ("\"1.9\"", "must be an integer"),
            ("\"abc\"", "is not a number"),
            ("true", "is not a number"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "must be less than or equal to 9223372036854775807"),
            ("-1e99", "must be greater than or equal to -9223372036854775808"),
        ] {
            assert_eq!(number("external-id", json), expected, "{json}");
        }
        assert_eq!(number("max-call-duration", "0"), "must be greater than 0");
        let beyond = "must be less than or equal to 2147483647";
        assert_eq!(number("max-call-duration", "2147483648"), beyond);
    }

    #[test]
    fn capacities_are_digits_only() {
        for (json, expected) in [
            ("5", "5"),
            ("\"5\"", "5"),
            ("\"+5\"", "5"),
            ("\"\"", "Null"),
            ("0", "must be greater than 0"),
            ("-1", "must be greater than 0"),
            ("32768", "must be less than or equal to 32767"),
            ("99999999999999999999", "must be less than or equal to 32767"),
            ("\"abc\"", "is not a number"),
            ("true", "is not a number"),
            ("[1]", "is not a number"),
            ("{}", "is not a number"),
        ] {
            assert_eq!(number("total-capacity", json), expected, "{json}");
        }
        for json in ["1.5", "5.0", "\"5.0\"", "\"1e2\"", "\" 5 \"", "\"1_0\""] {
            assert_eq!(number("total-capacity", json), "must be an integer", "{json}");
        }
    }

    #[test]
    fn a_listed_integer_is_one_of_the_list() {
        for (json, expected) in [("2", "2"), ("\"6\"", "6"), ("\"\"", "Null"), ("null", "Null")] {
            assert_eq!(number("invoice-period-id", json), expected, "{json}");
        }
        for json in ["3", "99", "\"abc\"", "1.5", "1e99", "true", "[1]"] {
            let message = "is not included in the list";
            assert_eq!(number("invoice-period-id", json), message, "{json}");
        }
    }

    #[test]
    fn id_lists_are_wrapped_and_stripped_of_blanks() {
        let ids = |json| sent("send-invoices-to", json);
        assert_eq!(ids("[1,\"2\",2]"), Ok(Value::Ids(vec![1, 2, 2])));
        assert_eq!(ids("7"), Ok(Value::Ids(vec![7])));
        assert_eq!(ids("[1,1,\"\",null]"), Ok(Value::Ids(vec![1, 1])));
        for none in ["null", "[]", "\"\"", "[null,\"\"]"] {
            assert_eq!(ids(none), Ok(Value::Null), "{none}");
        }
        for junk in ["\"abc\"", "[1.5]", "[true]", "{}", "[[1]]", "[{}]", "[1e30]"] {
            assert_eq!(ids(junk), Err("is invalid".into()), "{junk}");
        }
    }

    #[test]
    fn text_takes_scalars_and_lists_of_strings() {
        for (json, text) in [
            ("\" a \"", " a "),
            ("\"\"", ""),
            ("1.5", "1.5"),
            ("true", "t"),
            ("false", "f"),
            ("[\"a\",\"b\"]", "[\"a\",\"b\"]"),
        ] {
            assert_eq!(sent("name", json), Ok(Value::text(text)), "{json}");
        }
        assert_eq!(sent("name", "null"), Ok(Value::Null));
        for json in ["{\"a\":1}", "[1]", "[[\"a\"]]", "\"a\\u0000b\""] {
            assert_eq!(sent("name", json), Err("is invalid".into()), "{json}");
        }
    }

    #[test]
    fn booleans_are_true_unless_named_false() {
        for json in ["false", "0", "-0"] {
            assert_eq!(sent("enabled", json), Ok(Value::Bool(false)), "{json}");
        }
        for word in ["0", "f", "F", "false", "FALSE", "off", "OFF"] {
            assert_eq!(sent("enabled", &json!(word).to_string()), Ok(Value::Bool(false)), "{word}");
        }
        for json in ["true", "1", "\"yes\"", "\"junk\"", "\"no\"", "\"False\"", "[]", "{}", "0.0"] {
            assert_eq!(sent("enabled", json), Ok(Value::Bool(true)), "{json}");
        }
        assert_eq!(sent("enabled", "null"), Ok(Value::Null));
        assert_eq!(sent("enabled", "\"\""), Ok(Value::Null));
    }

    #[test]
    fn uuids_times_and_words_are_read_or_invalid() {
        let uuid = "fd868b74-e7d8-11f0-bf40-0a63caf27539";
        let read = Ok(Value::Uuid(uuid.parse().unwrap()));
        assert_eq!(sent("uuid", &json!(uuid).to_string()), read);
        assert_eq!(sent("uuid", &json!(uuid.to_uppercase()).to_string()), read);
        assert_eq!(sent("uuid", &json!(format!("{{{uuid}}}")).to_string()), read);
        let time = "2026-01-02T10:30:15Z".parse().unwrap();
        assert_eq!(sent("opened-at", "\"2026-01-02T12:30:15+02:00\""), Ok(Value::Time(time)));
        assert_eq!(sent("state", "\"New\""), Ok(Value::text("New")));
        for name in ["uuid", "opened-at", "state"] {
            assert_eq!(sent(name, "\"\""), Ok(Value::Null), "{name}");
            assert_eq!(sent(name, "null"), Ok(Value::Null), "{name}");
        }
        for json in ["\"junk\"", "5", "[]", "\"a\\u0000\""] {
            assert_eq!(sent("uuid", json), Err("is invalid".into()), "{json}");
            assert_eq!(sent("opened-at", json), Err("is invalid".into()), "{json}");
            assert_eq!(sent("state", json), Err("is not included in the list".into()), "{json}");
        }
    }
}
