//! The list of any resource: columns, filters, order and pages, all in the address, which is that
//! of the API but for the columns.

use askama::Template;
use hyper::StatusCode;
use jsonapi::Resource;
use serde_json::Value as Json;
use store::Among;

use super::cells::{Cell, Member};
use super::page::{Frame, heading, html, see_other, served};
use super::pairs::query;
use super::refusal::Refusal;
use super::visit::{Page, Visit};

/// Rows of a page that asks for no other number.
const ROWS: u64 = 50;
/// The parameter that chooses columns; the API does not know it.
const COLUMNS: &str = "columns";
/// The parameter that searches; the API does not know it either.
pub const SEARCH: &str = "q";

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    frame: Frame,
    kind: &'static str,
    meaning: &'static str,
    table: Table,
    filters: Filters,
    /// What forms around the table must send along.
    kept: Vec<(String, String)>,
    can_create: bool,
}

/// Rows and what is around them.
#[derive(Debug)]
pub struct Table {
    /// Columns.
    pub columns: Vec<Column>,
    /// Every column that there could be.
    pub choices: Vec<Choice>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Where in the list they are.
    pub pager: Pager,
    /// The address of all rows as a file.
    pub export: String,
}

/// A column.
#[derive(Debug)]
pub struct Column {
    /// What it is called.
    pub label: String,
    /// One sentence about it.
    pub meaning: String,
    /// Where a click on it leads; empty when rows cannot be ordered by it.
    pub sort: String,
    /// `ascending`, `descending` or `none`, as ARIA has it.
    pub sorted: &'static str,
    /// Whether it holds numbers.
    pub is_number: bool,
}

/// A column that may be shown.
#[derive(Debug)]
pub struct Choice {
    /// The name on the wire.
    pub name: &'static str,
    /// What it is called.
    pub label: String,
    /// Whether it is.
    pub is_shown: bool,
}

/// A row.
#[derive(Debug)]
pub struct Row {
    /// Id of the record.
    pub id: String,
    /// Its page.
    pub url: String,
    /// A value for each column.
    pub cells: Vec<Cell>,
}

/// Where in a list its rows are.
#[derive(Debug, Default)]
pub struct Pager {
    /// Number of the first row, from 1; 0 when there is none.
    pub first: u64,
    /// Number of the last row.
    pub last: u64,
    /// Rows of all pages.
    pub total: u64,
    /// Whether there are more, which nobody has counted.
    pub is_more: bool,
    /// The page before.
    pub before: Option<String>,
    /// The page after.
    pub after: Option<String>,
}

/// How a list is narrowed.
#[derive(Debug)]
pub struct Filters {
    /// What holds now.
    pub chips: Vec<Chip>,
    /// What can be asked for, with the operators.
    pub fields: Vec<Field>,
}

/// A filter that holds.
#[derive(Debug)]
pub struct Chip {
    /// What it says.
    pub label: String,
    /// The list without it.
    pub without: String,
}

/// What a filter can look at.
#[derive(Debug)]
pub struct Field {
    /// What it is called.
    pub label: String,
    /// Names of filters, and what they are called.
    pub operators: Vec<(String, &'static str)>,
}

/// Answers the list of a resource.
///
/// # Errors
/// What the API refuses.
pub async fn list(visit: &Visit, resource: &'static Resource) -> Page {
    if let Some(target) = with_filter(visit) {
        return Ok(see_other(&target));
    }
    let (table, _) = table(visit, resource, None, &[], &[]).await?;
    let page = List {
        frame: visit.frame(heading(resource.kind)),
        kind: resource.kind,
        meaning: resource.meaning,
        filters: filters(visit, resource),
        kept: carried(visit),
        table,
        can_create: resource.verbs.create,
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// The address of the list with the filter that the form above it adds: browsers without scripts
/// send its three parts.
pub fn with_filter(visit: &Visit) -> Option<String> {
    let name = visit.param("filter-by")?;
    let value = visit.param("filter-value").unwrap_or_default();
    let mut kept = kept(visit, |key| !key.starts_with("filter-") && key != "page[number]");
    let added = format!("filter[{name}]");
    kept.retain(|(key, _)| *key != added);
    if !name.is_empty() {
        kept.push((&added, value));
    }
    Some(address(&visit.path, &kept))
}

/// What the forms around a table send along, so that they change one thing only.
#[must_use]
pub fn carried(visit: &Visit) -> Vec<(String, String)> {
    let pairs = visit.query.iter();
    pairs.filter(|(key, _)| key != "page[number]" && !key.starts_with("filter-")).cloned().collect()
}

fn kept(visit: &Visit, keep: impl Fn(&str) -> bool) -> Vec<(&str, &str)> {
    let pairs = visit.query.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    pairs.filter(|(key, _)| keep(key)).collect()
}

fn address(path: &str, pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", query(pairs.iter().copied()))
}

/// The rows that the address asks for, of all records or of some, and the document that they are
/// from, which has the attributes `beside`, too. `usual` are the columns unless others are chosen.
///
/// # Errors
/// What the API refuses.
pub async fn table(
    visit: &Visit,
    resource: &'static Resource,
    among: Option<Among>,
    beside: &[&str],
    usual: &[&str],
) -> Result<(Table, Json), Refusal> {
    let mut chosen: Vec<&str> = visit
        .query
        .iter()
        .filter(|(key, _)| key == COLUMNS)
        .flat_map(|(_, value)| value.split(','))
        .filter(|name| !name.is_empty())
        .collect();
    if chosen.is_empty() {
        chosen.extend(usual);
    }
    let members = Member::columns(resource, &chosen);
    let target = api_target(visit, resource, &members, beside);
    let document = visit.list(&target, among).await?.json();
    let records = document["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = records
        .iter()
        .map(|record| {
            let id = record["id"].as_str().unwrap_or_default().to_owned();
            let cells = members.iter().map(|member| member.cell(record, &document)).collect();
            Row { url: format!("/{}/{id}", resource.kind), id, cells }
        })
        .collect();
    let total = document["meta"]["total-count"].as_u64().unwrap_or_default();
    let filters = kept(visit, |key| key.starts_with("filter[") || key == "sort");
    let table = Table {
        columns: members.iter().map(|member| column(visit, resource, member)).collect(),
        choices: Member::all(resource)
            .map(|member| Choice {
                name: member.name(),
                label: member.label(),
                is_shown: members.iter().any(|shown| shown.name() == member.name()),
            })
            .collect(),
        pager: pager(visit, records, total),
        rows,
        export: address(&format!("{}/export.csv", visit.path), &filters),
    };
    Ok((table, document))
}

/// What the API is asked for: the address's own query, with what the columns need.
fn api_target(
    visit: &Visit,
    resource: &'static Resource,
    members: &[Member],
    beside: &[&str],
) -> String {
    let mut pairs = kept(visit, |key| ![COLUMNS, SEARCH].contains(&key));
    let size = ROWS.to_string();
    if resource.paged && visit.param("page[size]").is_none() {
        pairs.push(("page[size]", &size));
    }
    let ((fields, mut names), include) = fields(resource, members);
    for name in beside {
        names.push(',');
        names.push_str(name);
    }
    pairs.push((&fields, &names));
    if !include.is_empty() {
        pairs.push(("include", &include));
    }
    address(&format!("/{}", resource.kind), &pairs)
}

/// `fields` and `include` that answer these members and no more.
pub fn fields(resource: &'static Resource, members: &[Member]) -> ((String, String), String) {
    let names: Vec<&str> = members.iter().map(Member::name).collect();
    let fields = (format!("fields[{}]", resource.kind), names.join(","));
    let related = members.iter().filter_map(|member| match member {
        Member::Relationship(relationship) if served(relationship.kind).is_some() => {
            Some(relationship.name)
        }
        _ => None,
    });
    (fields, related.collect::<Vec<_>>().join(","))
}

fn column(visit: &Visit, resource: &'static Resource, member: &Member) -> Column {
    let order = visit.param("sort").unwrap_or(resource.default_sort);
    let key = member.sort();
    let sorted = match &key {
        Some(key) if order == key => "ascending",
        Some(key) if order.strip_prefix('-') == Some(key) => "descending",
        _ => "none",
    };
    let sort = key.map_or_else(String::new, |key| {
        let wanted = if sorted == "ascending" { format!("-{key}") } else { key };
        let mut pairs = kept(visit, |key| key != "sort" && key != "page[number]");
        pairs.push(("sort", &wanted));
        address(&visit.path, &pairs)
    });
    Column {
        label: member.label(),
        meaning: member.meaning(),
        sort,
        sorted,
        is_number: member.is_number(),
    }
}

fn pager(visit: &Visit, records: &[Json], total: u64) -> Pager {
    let number = |name| visit.param(name).and_then(|text| text.parse::<u64>().ok());
    let size = number("page[size]").unwrap_or(ROWS).max(1);
    let page = number("page[number]").unwrap_or(1).max(1);
    let before = (page - 1).saturating_mul(size);
    let count = records.len() as u64;
    let at = |page: u64| {
        let page = page.to_string();
        let mut pairs = kept(visit, |key| key != "page[number]");
        pairs.push(("page[number]", &page));
        address(&visit.path, &pairs)
    };
    Pager {
        first: if count == 0 { 0 } else { before + 1 },
        last: before + count,
        total,
        is_more: false,
        before: (page > 1).then(|| at(page - 1)),
        after: (before + count < total).then(|| at(page + 1)),
    }
}

/// The filters of a list: those that hold, and those that could.
#[must_use]
pub fn filters(visit: &Visit, resource: &'static Resource) -> Filters {
    let held = visit.query.iter().filter(|(key, _)| key.starts_with("filter["));
    let chips = held
        .map(|(key, value)| {
            let others = kept(visit, |other| other != key && other != "page[number]");
            Chip { label: in_words(key, value), without: address(&visit.path, &others) }
        })
        .collect();
    let mut fields: Vec<Field> = Vec::new();
    for attribute in resource.attributes {
        let operators: Vec<_> = attribute
            .operator_names()
            .map(|operator| (format!("{}_{operator}", attribute.name), operator_label(operator)))
            .collect();
        if !operators.is_empty() {
            fields.push(Field { label: heading(attribute.name), operators });
        }
    }
    for relationship in resource.relationships.iter().filter(|link| link.filterable) {
        let operators = vec![(format!("{}.id", relationship.name), "has the id")];
        fields.push(Field { label: heading(relationship.name), operators });
    }
    Filters { chips, fields }
}

/// `filter[min-balance_gt]` and a value, as people would say it.
fn in_words(key: &str, value: &str) -> String {
    let inner = key.trim_start_matches("filter[").trim_end_matches(']');
    let found = OPERATORS.iter().find_map(|(operator, label)| {
        let name = inner.strip_suffix(operator)?.strip_suffix(['_', '.'])?;
        Some((name, *label))
    });
    let (name, label) = found.unwrap_or((inner, "is"));
    format!("{} {label} {value}", heading(name))
}

/// Operators and what people call them; where one ends like another, the longer comes first.
const OPERATORS: [(&str, &str); 13] = [
    ("not_eq", "is not"),
    ("eq", "is"),
    ("gteq", "is at least"),
    ("gt", "is above"),
    ("lteq", "is at most"),
    ("lt", "is below"),
    ("not_in", "is none of"),
    ("in", "is one of"),
    ("cont_any", "contains one of"),
    ("cont", "contains"),
    ("start", "starts with"),
    ("end", "ends with"),
    ("id", "has the id"),
];

fn operator_label(operator: &str) -> &'static str {
    OPERATORS.iter().find(|(name, _)| *name == operator).map_or("is", |(_, label)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_read_like_sentences() {
        assert_eq!(in_words("filter[min-balance_gt]", "5"), "Min balance is above 5");
        assert_eq!(in_words("filter[name_not_eq]", "a"), "Name is not a");
        assert_eq!(in_words("filter[contractor.id]", "4"), "Contractor has the id 4");
        assert_eq!(in_words("filter[name]", "a"), "Name is a");
    }
}
