//! The form of any resource: a field for each member that may be sent, with what the API says of
//! it beside it.

use hyper::header::{HeaderName, IF_MATCH};
use hyper::{Method, StatusCode};
use jsonapi::{Attribute, Kind, Relationship, Resource, Visibility};
use serde_json::{Map, Value as Json, json};

use askama::Template;

use super::cells::{self, Member, is_long, listed};
use super::page::{Frame, heading, html, see_other};
use super::pairs::query;
use super::refusal::Refusal;
use super::show::{Line, line, whole};
use super::visit::{Page, Visit, random_key};
use crate::inside::Answer;
use crate::reply::entity_tag;

/// Names a write, so that a form that is sent twice is done once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The fields that are none of the record's.
const KEY_FIELD: &str = "form-key";
const TAG_FIELD: &str = "form-tag";

/// How a value is typed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// On one line; the word is `inputmode`.
    Line(&'static str),
    /// On many lines.
    Lines,
    /// Never shown.
    Secret,
    /// One of these words.
    Choice(Vec<String>),
    /// Some of these words.
    Words(Vec<(String, bool)>),
    /// The id of a record of this type, which can be searched for.
    Record(&'static str),
}

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// The name on the wire.
    pub name: &'static str,
    /// What it is called.
    pub label: String,
    /// One sentence about it.
    pub meaning: String,
    /// How it is typed in.
    pub input: Input,
    /// What is in it.
    pub value: String,
    /// Whether it must be filled in.
    pub is_required: bool,
    /// What the API says of it.
    pub errors: Vec<String>,
}

#[derive(Template)]
#[template(path = "form.html")]
struct Form {
    frame: Frame,
    heading: String,
    meaning: &'static str,
    action: String,
    back: String,
    fields: Vec<Field>,
    /// What is wrong with no field in particular.
    errors: Vec<String>,
    key: String,
    tag: String,
    submit: &'static str,
}

/// What a form asks for.
#[derive(Clone, Copy, Debug)]
enum Write<'a> {
    Create,
    Update(&'a str),
}

/// The form that makes a record: fields are filled in with what the address says.
///
/// # Errors
/// When the page cannot be written.
pub fn new(visit: &Visit, resource: &'static Resource) -> Page {
    let said = |name: &str| visit.param(name).map(str::to_owned);
    let fields = fields(resource, false, |name| {
        said(name).or_else(|| default(resource, name)).unwrap_or_default()
    });
    page(visit, resource, Write::Create, fields, &[], random_key()?, String::new(), StatusCode::OK)
}

/// The form that changes a record.
///
/// # Errors
/// What the API refuses.
pub async fn edit(visit: &Visit, resource: &'static Resource, id: &str) -> Page {
    let answer = visit.get(&format!("/{}/{id}", resource.kind)).await?;
    let record = answer.json();
    let fields = fields(resource, true, |name| typed(resource, &record["data"], name));
    let tag = entity_tag(&answer.body);
    page(visit, resource, Write::Update(id), fields, &[], random_key()?, tag, StatusCode::OK)
}

/// Makes a record of what the form says.
///
/// # Errors
/// What the API refuses, unless the form can show it.
pub async fn create(visit: &Visit, resource: &'static Resource) -> Page {
    let document = document(resource, visit, Meant::FilledIn);
    let key = visit.field(KEY_FIELD).unwrap_or_default().to_owned();
    let target = format!("/{}", resource.kind);
    let headers = [(IDEMPOTENCY_KEY, key.as_str())];
    let headers = if key.is_empty() { &headers[..0] } else { &headers[..] };
    let answer = visit.send(Method::POST, &target, Some(&document), headers).await;
    if answer.status.is_success() {
        let record = answer.json();
        // What is told only now has a page of its own.
        if let Some(secret) = record["data"]["attributes"]["secret"].as_str() {
            return super::show::secret(visit, resource, &record["data"], secret);
        }
        let id = record["data"]["id"].as_str().unwrap_or_default();
        let member = resource.verbs.read && resource.verbs.update;
        return Ok(see_other(&match visit.field("back") {
            Some(back) if is_local(back) => back.to_owned(),
            _ if member => format!("/{}/{id}", resource.kind),
            _ => format!("/{}", resource.kind),
        }));
    }
    let fields = fields(resource, false, |name| entered(visit, name));
    let key = next_key(key, &answer)?;
    refused(visit, resource, Write::Create, fields, answer, key, String::new())
}

/// Changes a record to what the form says.
///
/// # Errors
/// What the API refuses, unless the form can show it.
pub async fn update(visit: &Visit, resource: &'static Resource, id: &str) -> Page {
    let target = format!("/{}/{id}", resource.kind);
    let before = visit.get(&target).await?;
    let tag = visit.field(TAG_FIELD).unwrap_or_default().to_owned();
    let record = before.json();
    let document = document(resource, visit, Meant::Changed(&record["data"]));
    let headers = [(IF_MATCH, tag.as_str())];
    let headers = if tag.is_empty() { &headers[..0] } else { &headers[..] };
    let answer = visit.send(Method::PATCH, &target, Some(&document), headers).await;
    if answer.status.is_success() {
        return Ok(see_other(&target));
    }
    let fields = fields(resource, true, |name| entered(visit, name));
    refused(visit, resource, Write::Update(id), fields, answer, String::new(), tag)
}

#[derive(Template)]
#[template(path = "in_place.html")]
struct InPlace {
    csrf: String,
    field: Field,
    url: String,
    line: String,
    others: Vec<String>,
}

#[derive(Template)]
#[template(path = "line.html")]
struct OneLine {
    line: Line,
}

/// One thing that a record has: to be changed in its place, changed, or as it is. Who sends it
/// without a script gets a whole page: the record, or its form.
///
/// # Errors
/// What the API refuses, unless it can be said at the field.
pub async fn field(visit: &Visit, resource: &'static Resource, id: &str, name: &str) -> Page {
    let url = format!("/{}/{id}/field/{name}", resource.kind);
    let member = Member::all(resource).find(|member| member.name() == name);
    let Some(member) = member.filter(Member::is_updatable) else {
        return Err(jsonapi::Error::path_not_found().into());
    };
    let before = whole(visit, resource, id).await?;
    if visit.param("shown").is_some() {
        return Ok(html(StatusCode::OK, &OneLine { line: line(resource, &before, &member) })?);
    }
    let find = |value: &dyn Fn(&str) -> String| {
        fields(resource, true, value).into_iter().find(|field| field.name == name)
    };
    let record = &before["data"];
    let mut others = Vec::new();
    let mut status = StatusCode::OK;
    let field = if visit.posts() {
        let document = document(resource, visit, Meant::Changed(record));
        let target = format!("/{}/{id}", resource.kind);
        let answer = visit.send(Method::PATCH, &target, Some(&document), &[]).await;
        if !visit.is_fragment {
            if answer.status.is_success() {
                return Ok(see_other(&target));
            }
            let now = visit.get(&target).await?;
            let (record, tag) = (now.json(), entity_tag(&now.body));
            let fields = fields(resource, true, |each| {
                if each == name {
                    entered(visit, each)
                } else {
                    typed(resource, &record["data"], each)
                }
            });
            return refused(visit, resource, Write::Update(id), fields, answer, String::new(), tag);
        }
        if answer.status.is_success() {
            let after = whole(visit, resource, id).await?;
            let changed = OneLine { line: line(resource, &after, &member) };
            return Ok(html(StatusCode::OK, &changed)?);
        }
        status = answer.status;
        let mut field = find(&|name| entered(visit, name));
        for wrong in answer.errors() {
            match &mut field {
                Some(field) if wrong.member.as_deref() == Some(name) => {
                    field.errors.push(wrong.message);
                }
                _ => others.push(wrong.detail),
            }
        }
        field
    } else {
        find(&|name| typed(resource, record, name))
    };
    let field = field.ok_or_else(jsonapi::Error::path_not_found)?;
    let line = format!("{url}?shown");
    let csrf = visit.visitor.csrf.clone();
    Ok(html(status, &InPlace { csrf, field, url, line, others })?)
}

/// The form again, with what the API says of it.
fn refused(
    visit: &Visit,
    resource: &'static Resource,
    write: Write<'_>,
    mut fields: Vec<Field>,
    answer: Answer,
    key: String,
    tag: String,
) -> Page {
    let mut others = Vec::new();
    for wrong in answer.errors() {
        let about = wrong.member.as_deref();
        match fields.iter_mut().find(|field| Some(field.name) == about) {
            Some(field) => field.errors.push(wrong.message),
            None if answer.status == StatusCode::PRECONDITION_FAILED => {
                others.push(CHANGED_MEANWHILE.to_owned());
            }
            None => others.push(wrong.detail),
        }
    }
    if others.is_empty() && fields.iter().all(|field| field.errors.is_empty()) {
        return Err(Refusal::Told(Box::new(answer)));
    }
    page(visit, resource, write, fields, &others, key, tag, answer.status)
}

const CHANGED_MEANWHILE: &str = "Somebody else has changed this record since you opened the form. \
                                 Nothing was saved: open it again to see how it is now.";

#[expect(clippy::too_many_arguments, reason = "the parts of one page, from four places")]
fn page(
    visit: &Visit,
    resource: &'static Resource,
    write: Write<'_>,
    fields: Vec<Field>,
    errors: &[String],
    key: String,
    tag: String,
    status: StatusCode,
) -> Page {
    let collection = format!("/{}", resource.kind);
    let name = heading(resource.kind);
    let (title, action, back, submit) = match write {
        Write::Create => (format!("New: {name}"), collection.clone(), collection, "Create"),
        Write::Update(id) => {
            let member = format!("{collection}/{id}");
            (format!("{name} #{id}: edit"), member.clone(), member, "Save")
        }
    };
    let form = Form {
        frame: visit.frame(title.clone()),
        heading: title,
        meaning: resource.meaning,
        action,
        back: visit.param("back").filter(|back| is_local(back)).map_or(back, str::to_owned),
        fields,
        errors: errors.to_vec(),
        key,
        tag,
        submit,
    };
    Ok(html(status, &form)?)
}

/// Whether this leads to a page of the console: a path as it stands in a request. Browsers read a
/// backslash as a slash, and step over tabs and line breaks wherever they are.
pub fn is_local(target: &str) -> bool {
    let is_written_out = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    target.starts_with('/') && !target.starts_with("//") && target.bytes().all(is_written_out)
}

/// The name of the next try after a refusal, which is kept under the name of this one; while the same
/// write is still going on elsewhere, it is the same.
///
/// # Errors
/// When the system has no randomness to give.
pub fn next_key(key: String, refusal: &Answer) -> Result<String, Refusal> {
    if refusal.status == StatusCode::CONFLICT { Ok(key) } else { random_key() }
}

/// The fields of a resource's form.
pub fn fields(
    resource: &'static Resource,
    is_update: bool,
    value: impl Fn(&str) -> String,
) -> Vec<Field> {
    let is_sent = |attribute: &&Attribute| {
        attribute.on_the_wire() && if is_update { attribute.updatable } else { attribute.creatable }
    };
    let of_relationship = |relationship: &'static Relationship| Field {
        name: relationship.name,
        label: heading(relationship.name),
        meaning: Member::Relationship(relationship).meaning(),
        input: Input::Record(relationship.kind),
        value: value(relationship.name),
        is_required: relationship.required,
        errors: Vec::new(),
    };
    let of_attribute = |attribute: &'static Attribute| {
        let value = value(attribute.name);
        Field {
            name: attribute.name,
            label: heading(attribute.name),
            meaning: attribute.meaning.to_owned(),
            input: input(attribute, &value),
            value,
            is_required: attribute.required,
            errors: Vec::new(),
        }
    };
    let relationships = resource
        .relationships
        .iter()
        .filter(|link| if is_update { link.updatable } else { link.creatable });
    // Whose it is comes first: the rest depends on it.
    let (required, others): (Vec<_>, Vec<_>) = relationships.partition(|link| link.required);
    required
        .into_iter()
        .map(of_relationship)
        .chain(resource.attributes.iter().filter(is_sent).map(of_attribute))
        .chain(others.into_iter().map(of_relationship))
        .collect()
}

fn input(attribute: &Attribute, value: &str) -> Input {
    let chosen: Vec<&str> = value.split_whitespace().collect();
    let choice = |words: Vec<String>| {
        let none = if attribute.never_null() { None } else { Some(String::new()) };
        Input::Choice(none.into_iter().chain(words).collect())
    };
    match attribute.kind {
        _ if attribute.visibility == Visibility::WriteOnly => Input::Secret,
        Kind::Boolean => choice(vec!["yes".to_owned(), "no".to_owned()]),
        Kind::Enumeration(words) => choice(words.iter().map(|word| (*word).to_owned()).collect()),
        Kind::Integer { listed, .. } if !listed.is_empty() => {
            choice(listed.iter().map(ToString::to_string).collect())
        }
        Kind::Words(words) => Input::Words(
            words.iter().map(|word| ((*word).to_owned(), chosen.contains(word))).collect(),
        ),
        Kind::Integer { .. } => Input::Line("numeric"),
        Kind::Decimal => Input::Line("decimal"),
        Kind::Text if is_long(attribute) => Input::Lines,
        _ => Input::Line("text"),
    }
}

/// What a new record has of an attribute that nobody sends, as a form shows it.
fn default(resource: &Resource, name: &str) -> Option<String> {
    let position = resource.attribute(name)?;
    match &resource.defaults()[position] {
        jsonapi::Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
        jsonapi::Value::Int(int) => Some(int.to_string()),
        jsonapi::Value::Decimal(decimal) => Some(decimal.to_string()),
        jsonapi::Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

/// What a record has of a member, as a form takes it.
fn typed(resource: &Resource, record: &Json, name: &str) -> String {
    if resource.relationship(name).is_some() {
        let id = record["relationships"][name]["data"]["id"].as_str();
        return id.unwrap_or_default().to_owned();
    }
    match &record["attributes"][name] {
        Json::Null => String::new(),
        Json::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(values) => listed(values),
        other => other.to_string(),
    }
}

/// What the form has in a field; words are ticked one by one.
fn entered(visit: &Visit, name: &str) -> String {
    let values: Vec<&str> =
        visit.form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
    values.join(" ")
}

/// Which fields of a form go into a document.
#[derive(Clone, Copy, Debug)]
pub enum Meant<'a> {
    /// Those of a new record that are filled in.
    FilledIn,
    /// Those that differ from this record.
    Changed(&'a Json),
    /// These, filled in or not.
    These(&'a [&'a str]),
}

/// The document of what the form says.
#[must_use]
pub fn document(resource: &'static Resource, visit: &Visit, meant: Meant<'_>) -> Json {
    let (mut attributes, mut relationships) = (Map::new(), Map::new());
    let is_update = !matches!(meant, Meant::FilledIn);
    for field in fields(resource, is_update, |name| entered(visit, name)) {
        let is_listed = matches!(field.input, Input::Words(_));
        // A field that the form does not have is left alone; of ticks, none is an answer.
        let is_there = visit.form.iter().any(|(key, _)| key == field.name)
            || (is_listed && visit.field(&format!("{}-shown", field.name)).is_some());
        let is_meant = match meant {
            Meant::FilledIn => !field.value.is_empty(),
            Meant::Changed(record) => {
                field.value.replace("\r\n", "\n") != typed(resource, record, field.name)
            }
            Meant::These(names) => names.contains(&field.name),
        };
        if !is_there || !is_meant {
            continue;
        }
        if resource.relationship(field.name).is_some() {
            let Input::Record(kind) = field.input else { continue };
            let id = field.value.trim();
            let data = if id.is_empty() { Json::Null } else { json!({"type": kind, "id": id}) };
            relationships.insert(field.name.to_owned(), json!({ "data": data }));
        } else if let Some(position) = resource.attribute(field.name) {
            let sent = wire(&resource.attributes[position], &field.value);
            attributes.insert(field.name.to_owned(), sent);
        }
    }
    let mut data = Map::new();
    data.insert("type".to_owned(), resource.kind.into());
    if let Meant::Changed(record) = meant {
        data.insert("id".to_owned(), record["id"].clone());
    }
    data.insert("attributes".to_owned(), attributes.into());
    if !relationships.is_empty() {
        data.insert("relationships".to_owned(), relationships.into());
    }
    json!({ "data": data })
}

/// A field's text as the API takes it. Numbers stay text, which it reads exactly.
fn wire(attribute: &Attribute, text: &str) -> Json {
    let words = || text.split([' ', ',', '\n', '\r']).filter(|word| !word.is_empty());
    match attribute.kind {
        Kind::Words(_) => words().map(Json::from).collect(),
        Kind::IdList => {
            let ids = words().map(|word| word.parse::<i64>().map_or(word.into(), Json::from));
            let ids: Vec<Json> = ids.collect();
            if ids.is_empty() { Json::Null } else { ids.into() }
        }
        Kind::Text if attribute.never_null() => text.replace("\r\n", "\n").into(),
        _ if text.trim().is_empty() => Json::Null,
        Kind::Boolean => Json::Bool(text == "yes"),
        Kind::Text => text.replace("\r\n", "\n").into(),
        _ => text.trim().into(),
    }
}

/// Records of a type whose id is what somebody types, or whose name has it, as choices of a field.
///
/// # Errors
/// What the API refuses.
pub async fn suggest(visit: &Visit, resource: &'static Resource) -> Page {
    const CHOICES: &str = "10";
    let typed = visit.query.iter().find(|(key, _)| key != "page[size]").map(|(_, value)| value);
    let typed = typed.map_or("", |text| text.trim());
    let name = ["name", "email", "host", "url"].into_iter().find(|name| {
        let attribute = resource.attribute(name).map(|at| &resource.attributes[at]);
        attribute.is_some_and(|attribute| attribute.filterable)
    });
    let mut pairs = vec![("page[size]", CHOICES)];
    let filter;
    if let (Some(name), false) = (name, typed.is_empty()) {
        filter = format!("filter[{name}_cont]");
        pairs.push((&filter, typed));
    }
    let target = format!("/{}?{}", resource.kind, query(pairs));
    let document = visit.get(&target).await?.json();
    let mut records = document["data"].as_array().cloned().unwrap_or_default();
    if typed.parse::<u64>().is_ok()
        && let Ok(found) = visit.get(&format!("/{}/{typed}", resource.kind)).await
    {
        records.retain(|record| record["id"] != typed);
        records.insert(0, found.json()["data"].take());
    }
    let choices = records
        .iter()
        .map(|record| {
            let id = record["id"].as_str().unwrap_or_default().to_owned();
            (id, cells::title(record))
        })
        .collect();
    Ok(html(StatusCode::OK, &Choices { choices })?)
}

#[derive(Template)]
#[template(path = "choices.html")]
struct Choices {
    choices: Vec<(String, String)>,
}
