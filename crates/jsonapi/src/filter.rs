//! Filters: from `filter[min_balance_gt]=1` to a test that the database layer can run.
//!
//! Everything here follows contract, protocol 7.5: the operators by kind of attribute, values as
//! one CSV line, and what each operator makes of none, one or several values.

use decimal::{Decimal, Located};
use jiff::{Timestamp, civil, tz::TimeZone};
use uuid::Uuid;

use crate::attribute::{Attribute, Kind};
use crate::definition::{Relationship, Resource, Target};
use crate::error::Error;
use crate::naming::{leading_integer, same_name, underscore};
use crate::params::Node;

/// An order comparison; rows without a value match none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    NotEq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gteq,
    /// Less.
    Lt,
    /// Less or equal.
    Lteq,
}

/// A filter value, read as the attribute's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Text or a word of an enumeration.
    Text(String),
    /// A decimal, perhaps between two that can be stored.
    Decimal(Located),
    /// A whole number, perhaps beyond 64 bits; fractions are cut toward zero.
    Integer(i128),
    /// True or false.
    Bool(bool),
    /// A uuid.
    Uuid(Uuid),
    /// An instant.
    Time(Timestamp),
}

/// What the target's value must satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// No row matches.
    Nothing,
    /// One of these, or null as well.
    Exact {
        /// The values.
        values: Vec<Operand>,
        /// Whether rows without a value match too.
        or_null: bool,
    },
    /// An order comparison.
    Compare(Comparison, Operand),
    /// One of these.
    In(Vec<Operand>),
    /// None of these.
    NotIn(Vec<Operand>),
    /// Contains one of these, ignoring case.
    Contains(Vec<String>),
    /// Starts with this, ignoring case.
    StartsWith(String),
    /// Ends with this, ignoring case.
    EndsWith(String),
}

/// One filter; a list's filters must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What it looks at.
    pub target: Target,
    /// What that must satisfy.
    pub test: Test,
}

/// An operator of `filter[attribute_operator]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `filter[name]`, `filter[id]`, `filter[relationship.id]`.
    Exact,
    Compare(Comparison),
    Contains,
    ContainsAny,
    StartsWith,
    EndsWith,
    In,
    NotIn,
}

impl Operator {
    /// Whether several values are as good as one.
    pub(crate) const fn takes_list(self) -> bool {
        matches!(self, Exact | In | NotIn | ContainsAny)
    }
}

use Operator::{Compare, Contains, ContainsAny, EndsWith, Exact, In, NotIn, StartsWith};

/// Operators that always go together, by name.
type Family = &'static [(&'static str, Operator)];

const EQUALITY: Family = &[("eq", Compare(Comparison::Eq)), ("not_eq", Compare(Comparison::NotEq))];
const LISTS: Family = &[("in", In), ("not_in", NotIn)];
const ORDER: Family = &[
    ("gt", Compare(Comparison::Gt)),
    ("gteq", Compare(Comparison::Gteq)),
    ("lt", Compare(Comparison::Lt)),
    ("lteq", Compare(Comparison::Lteq)),
];
const TEXT: Family =
    &[("cont", Contains), ("start", StartsWith), ("end", EndsWith), ("cont_any", ContainsAny)];

/// Operators by name; none when they are not `taken`.
fn operators(
    taken: bool,
    families: &'static [Family],
) -> impl Iterator<Item = (&'static str, Operator)> {
    let families = if taken { families } else { &[] };
    families.iter().copied().flatten().copied()
}

impl Attribute {
    /// The names of the filter operators of this attribute; none when it cannot be filtered.
    pub fn operator_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.operators().map(|(name, _)| name)
    }

    /// The filter operators of this attribute, by name; none when it cannot be filtered.
    pub(crate) fn operators(&self) -> impl Iterator<Item = (&'static str, Operator)> + use<> {
        let families: &[Family] = match self.kind {
            // Of JSON, the text that is stored.
            Kind::Text | Kind::Json | Kind::Words(_) => &[EQUALITY, LISTS, TEXT],
            Kind::Decimal | Kind::Integer { .. } | Kind::Timestamp => &[EQUALITY, ORDER, LISTS],
            Kind::Uuid | Kind::Enumeration(_) => &[EQUALITY, LISTS],
            Kind::Boolean | Kind::IdList => &[EQUALITY],
        };
        operators(self.filterable, families)
    }
}

impl Relationship {
    /// The operators of `filter[name-id_op]`, by name; none when it is not taken.
    pub(crate) fn operators(&self) -> impl Iterator<Item = (&'static str, Operator)> + use<> {
        operators(self.as_key, &[EQUALITY, LISTS])
    }
}

impl Resource {
    /// The operators of `filter[id_op]`, by name; none when it is not taken.
    pub(crate) fn id_operators(&self) -> impl Iterator<Item = (&'static str, Operator)> + use<> {
        operators(self.filterable_id, &[EQUALITY, ORDER, LISTS])
    }
}

/// Ids and foreign keys, where filters compare them as numbers.
pub(crate) const KEY: Kind =
    Kind::Integer { min: i64::MIN, max: i64::MAX, digits_only: false, listed: &[] };

/// A filter whose name is known and whose values are not yet read (the contract reads them last).
#[derive(Clone, Debug)]
pub(crate) struct NamedFilter {
    pub target: Target,
    pub operator: Operator,
    /// The folded name, for messages.
    pub name: String,
    pub value: Node,
}

/// Finds every filter's target; the first unknown name is the error (102).
pub(crate) fn resolve(resource: &Resource, node: &Node) -> Result<Vec<NamedFilter>, Error> {
    let Node::Map(entries) = node else {
        return Err(Error::invalid_filter_syntax(&shown(node)));
    };
    let mut filters: Vec<NamedFilter> = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let folded = underscore(name).into_owned();
        let Some((target, operator)) = find(resource, &folded) else {
            let shown = folded.split_once('.').map_or(folded.as_str(), |(_, field)| field);
            return Err(Error::filter_not_allowed(shown));
        };
        if matches!(value, Node::Map(_)) {
            return Err(Error::invalid_filter_syntax(&shown(value)));
        }
        filters.retain(|earlier| earlier.name != folded);
        filters.push(NamedFilter { target, operator, name: folded, value: value.clone() });
    }
    Ok(filters)
}

fn find(resource: &Resource, folded: &str) -> Option<(Target, Operator)> {
    if folded == "id" {
        return Some((Target::Id, Exact));
    }
    if let Some(name) = folded.strip_suffix(".id") {
        let position = resource.relationships.iter().position(|relationship| {
            relationship.filterable && same_name(relationship.name, name)
        })?;
        return Some((Target::Relationship(position), Exact));
    }
    let attribute = resource.attributes.iter().enumerate().find_map(|(position, attribute)| {
        let target = Target::Attribute(position);
        if attribute.exact_filter && same_name(attribute.name, folded) {
            return Some((target, Exact));
        }
        let operator = operator_of(folded, attribute.name, "_", attribute.operators())?;
        Some((target, operator))
    });
    attribute.or_else(|| find_key(resource, folded))
}

/// `id_op` and `relationship_id_op`.
fn find_key(resource: &Resource, folded: &str) -> Option<(Target, Operator)> {
    if let Some(operator) = operator_of(folded, "id", "_", resource.id_operators()) {
        return Some((Target::Id, operator));
    }
    resource.relationships.iter().enumerate().find_map(|(position, relationship)| {
        let operator = operator_of(folded, relationship.name, "_id_", relationship.operators())?;
        Some((Target::Relationship(position), operator))
    })
}

/// Which of the operators `folded` asks for, if it is one of this name.
fn operator_of(
    folded: &str,
    name: &str,
    separator: &str,
    mut operators: impl Iterator<Item = (&'static str, Operator)>,
) -> Option<Operator> {
    let (head, tail) = folded.split_at_checked(name.len())?;
    let asked = tail.strip_prefix(separator).filter(|_| same_name(name, head))?;
    operators.find(|(word, _)| *word == asked).map(|(_, operator)| operator)
}

/// A node as the reference shows one in messages.
fn shown(node: &Node) -> String {
    match node {
        Node::Scalar(text) => text.clone(),
        Node::List(values) => format!("[{}]", values.join(", ")),
        Node::Map(_) => "{}".to_owned(),
    }
}

impl NamedFilter {
    /// Whether the filter holds for one exact value only.
    pub(crate) fn names_one(&self) -> bool {
        let one = |line: &String| csv_line(line).len() == 1;
        self.operator == Exact && matches!(&self.value, Node::Scalar(line) if one(line))
    }

    /// Reads the values; `None` is a filter that is ignored.
    pub(crate) fn read(&self, resource: &Resource) -> Result<Option<Filter>, Error> {
        let of_list = matches!(self.value, Node::List(_));
        let values = match &self.value {
            Node::Scalar(line) => csv_line(line),
            Node::List(values) => values.clone(),
            Node::Map(_) => Vec::new(),
        };
        let invalid = || Error::invalid_filter_value(&values.join(","), &self.name);
        let target = self.target;
        let test = match (target, self.operator) {
            (Target::Id, Exact) if resource.keyed_by_text => names(&values),
            (Target::Id | Target::Relationship(_), Exact) => keys(&values),
            (_, operator) if of_list && operator != Exact => Test::Nothing,
            (target, operator) => {
                let kind = match target {
                    Target::Attribute(position) => resource.attributes[position].kind,
                    Target::Id | Target::Relationship(_) => KEY,
                };
                match test(kind, operator, &values).map_err(|Refused| invalid())? {
                    Some(test) => test,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Filter { target, test }))
    }
}

/// Ids that are texts.
fn names(values: &[String]) -> Test {
    let values = values.iter().cloned().map(Operand::Text).collect();
    Test::Exact { values, or_null: false }
}

/// Ids and foreign keys: a leading integer counts, anything else is 0, which no record has.
fn keys(values: &[String]) -> Test {
    if values.is_empty() {
        return Test::Nothing;
    }
    let or_null = values.len() > 1 && values.iter().any(String::is_empty);
    let values = values.iter().map(|value| Operand::Integer(leading_integer(value))).collect();
    Test::Exact { values, or_null }
}

/// A value that the filter's operator cannot take (107).
#[derive(Clone, Copy, Debug)]
struct Refused;

/// What the operator makes of its values; `None` is a filter that is ignored.
fn test(kind: Kind, operator: Operator, values: &[String]) -> Result<Option<Test>, Refused> {
    let listed = || values.iter().filter(|value| !value.is_empty());
    let operands = || -> Result<Vec<Operand>, Refused> {
        let read: Result<Vec<_>, _> = listed().map(|value| operand(kind, value)).collect();
        Ok(read?.into_iter().flatten().collect())
    };
    let single = || match values {
        [value] => Ok(value.trim()),
        _ => Err(Refused),
    };
    Ok(Some(match operator {
        Exact if values.is_empty() => Test::Nothing,
        Exact => {
            let or_null = values.len() > 1 && values.iter().any(String::is_empty);
            Test::Exact { values: values.iter().cloned().map(Operand::Text).collect(), or_null }
        }
        Compare(comparison) => operand(kind, single()?)?
            .map_or(Test::Nothing, |operand| Test::Compare(comparison, operand)),
        StartsWith => Test::StartsWith(single()?.to_owned()),
        EndsWith => Test::EndsWith(single()?.to_owned()),
        Contains => Test::Contains(vec![single()?.to_owned()]),
        ContainsAny | In | NotIn if listed().next().is_none() => return Ok(None),
        ContainsAny => Test::Contains(listed().cloned().collect()),
        In => Test::In(operands()?),
        NotIn => Test::NotIn(operands()?),
    }))
}

/// Reads a value as the column's kind; `None` is a value that no row can have.
fn operand(kind: Kind, text: &str) -> Result<Option<Operand>, Refused> {
    let operand = match kind {
        Kind::Text | Kind::IdList | Kind::Json | Kind::Words(_) => Operand::Text(text.to_owned()),
        Kind::Decimal => Operand::Decimal(Decimal::locate(text).map_err(|_| Refused)?),
        Kind::Integer { .. } => {
            Operand::Integer(decimal::truncate_integer(text).map_err(|_| Refused)?)
        }
        Kind::Boolean => match text {
            "true" | "TRUE" | "t" | "T" | "1" => Operand::Bool(true),
            "false" | "FALSE" | "f" | "F" | "0" => Operand::Bool(false),
            _ => return Err(Refused),
        },
        Kind::Uuid => return Ok(Uuid::try_parse(text).ok().map(Operand::Uuid)),
        Kind::Timestamp => Operand::Time(instant(text, &TimeZone::UTC).ok_or(Refused)?),
        Kind::Enumeration(words) if words.contains(&text) => Operand::Text(text.to_owned()),
        Kind::Enumeration(_) => return Err(Refused),
    };
    Ok(Some(operand))
}

/// Reads ISO-8601, or a date with an optional time of day; without an offset it is a local time in
/// `zone` (contract, protocol 7.5).
#[must_use]
pub fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let local = text
        .parse::<civil::DateTime>()
        .or_else(|_| {
            text.parse::<civil::Date>().map(|day| day.to_datetime(civil::Time::midnight()))
        })
        .or_else(|_| civil::DateTime::strptime("%Y-%m-%d %H:%M", text))
        .ok()?;
    zone.to_timestamp(local).ok()
}

/// Splits a value as one CSV line; blanks only are no value, invalid CSV is one value, and text
/// after a line break is dropped.
fn csv_line(line: &str) -> Vec<String> {
    if line.trim().is_empty() {
        return Vec::new();
    }
    read_csv(line).unwrap_or_else(|| vec![line.to_owned()])
}

fn read_csv(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let field;
        if let Some(quoted) = rest.strip_prefix('"') {
            (field, rest) = read_quoted(quoted)?;
        } else {
            let end = rest.find([',', '\n', '\r']).unwrap_or(rest.len());
            if rest[..end].contains('"') {
                return None;
            }
            field = rest[..end].to_owned();
            rest = &rest[end..];
        }
        fields.push(field);
        match rest.as_bytes().first() {
            Some(b',') => rest = &rest[1..],
            None | Some(b'\n' | b'\r') => return Some(fields),
            Some(_) => return None,
        }
    }
}

/// Reads up to the closing quote; `""` inside is one quote.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let quote = rest.find('"')?;
        field.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use crate::query::{Query, Scope};
    use crate::testing::{ACCOUNTS, API, ENTRIES};

    #[test]
    fn values_split_as_one_csv_line() {
        let split = |line: &str| csv_line(line).join("|");
        assert_eq!(split("a,b"), "a|b");
        assert_eq!(split("Alpha,"), "Alpha|");
        assert_eq!(split(r#""a,b",c"#), "a,b|c");
        assert_eq!(split(r#""say ""hi""""#), r#"say "hi""#);
        assert_eq!(split(r#"a"b,c"#), r#"a"b,c"#);
        assert_eq!(split(r#""a"b,c"#), r#""a"b,c"#);
        assert_eq!(split("a,b\nc"), "a|b");
        assert_eq!(csv_line("  "), Vec::<String>::new());
    }

    #[test]
    fn times_are_read_with_and_without_offset() {
        let read = |text| instant(text, &TimeZone::UTC).map(|t| t.to_string());
        assert_eq!(read("2026-01-02"), Some("2026-01-02T00:00:00Z".into()));
        assert_eq!(read("2026-01-02 12:30"), Some("2026-01-02T12:30:00Z".into()));
        assert_eq!(read("2026-01-02 12:30:15"), Some("2026-01-02T12:30:15Z".into()));
        assert_eq!(read("2026-01-02T12:30:15+02:00"), Some("2026-01-02T10:30:15Z".into()));
        assert_eq!(read("soon"), None);
    }

    fn filters(query: &str) -> Result<Vec<Filter>, String> {
        filters_of(&ACCOUNTS, query)
    }

    fn filters_of(resource: &'static Resource, query: &str) -> Result<Vec<Filter>, String> {
        let params = Params::parse(query).unwrap();
        let query = Query::parse(&API, resource, &params, Scope::List).unwrap();
        let shown = |error: &Error| format!("{} {}", error.code, error.detail);
        query.check().map_err(|errors| shown(&errors[0]))?;
        query.filters().map_err(|error| shown(&error))
    }

    /// The test of the one filter of this name and value.
    fn test_of(name: &str, value: &str) -> Test {
        filters(&format!("filter[{name}]={value}")).unwrap().remove(0).test
    }

    fn refusal(name: &str, value: &str) -> String {
        filters(&format!("filter[{name}]={value}")).unwrap_err()
    }

    fn texts(values: &[&str]) -> Vec<Operand> {
        values.iter().map(|&value| Operand::Text(value.to_owned())).collect()
    }

    fn exact(values: Vec<Operand>, or_null: bool) -> Test {
        Test::Exact { values, or_null }
    }

    fn equal(operand: Operand) -> Test {
        Test::Compare(Comparison::Eq, operand)
    }

    #[test]
    fn operators_are_those_of_the_kind() {
        let taken_of = |resource: &Resource, name: &str| -> Vec<&str> {
            let words = [
                "eq", "not_eq", "gt", "gteq", "lt", "lteq", "cont", "start", "end", "in", "not_in",
                "cont_any",
            ];
            words
                .into_iter()
                .filter(|word| find(resource, &format!("{name}_{word}")).is_some())
                .collect()
        };
        let taken = |name| taken_of(&ACCOUNTS, name);
        let order = ["eq", "not_eq", "gt", "gteq", "lt", "lteq", "in", "not_in"];
        assert_eq!(
            taken("name"),
            ["eq", "not_eq", "cont", "start", "end", "in", "not_in", "cont_any"]
        );
        assert_eq!(taken("vat"), order);
        assert_eq!(taken("external_id"), order);
        assert_eq!(taken("opened_at"), order);
        assert_eq!(taken("enabled"), ["eq", "not_eq"]);
        assert_eq!(taken("uuid"), ["eq", "not_eq", "in", "not_in"]);
        assert_eq!(taken("state"), ["eq", "not_eq", "in", "not_in"]);
        assert_eq!(taken("currency"), [""; 0]);
        assert_eq!(taken("history"), [""; 0]);
        assert_eq!(taken("contractor_id"), [""; 0]);
        assert_eq!(taken("id"), [""; 0]);
        assert_eq!(taken_of(&ENTRIES, "detail"), taken("name"));
        assert_eq!(taken_of(&ENTRIES, "account_id"), ["eq", "not_eq", "in", "not_in"]);
        assert_eq!(taken_of(&ENTRIES, "reason_id"), [""; 0]);
        assert_eq!(taken_of(&ENTRIES, "id"), order);
    }

    #[test]
    fn keys_are_compared_as_integers() {
        let one = |name: &str, value: &str| {
            filters_of(&ENTRIES, &format!("filter[{name}]={value}")).map(|mut all| all.remove(0))
        };
        let integer = Operand::Integer;
        let account = Target::Relationship(0);
        for (name, value, target, test) in [
            ("account-id-eq", "+5+", account, equal(integer(5))),
            ("accountId_eq", "1001.9", account, equal(integer(1001))),
            ("account_id_in", "1,,2", account, Test::In(vec![integer(1), integer(2)])),
            ("account-id-not-in", "3", account, Test::NotIn(vec![integer(3)])),
            ("parent-id-not-eq", "0", Target::Relationship(1), {
                Test::Compare(Comparison::NotEq, integer(0))
            }),
            ("id-gteq", "-7", Target::Id, Test::Compare(Comparison::Gteq, integer(-7))),
            ("id_eq", "99999999999999999999", Target::Id, {
                equal(integer(99_999_999_999_999_999_999))
            }),
            ("id-in", "1,2", Target::Id, Test::In(vec![integer(1), integer(2)])),
            ("id", "5abc", Target::Id, exact(vec![integer(5)], false)),
            ("parent.id", "5abc", Target::Relationship(1), exact(vec![integer(5)], false)),
        ] {
            assert_eq!(one(name, value), Ok(Filter { target, test }), "{name}={value}");
        }
        assert_eq!(filters_of(&ENTRIES, "filter[account-id-in]=&filter[id-not-in]=,"), Ok(vec![]));
        assert_eq!(one("id-eq][", "1").unwrap().test, Test::Nothing);
        for (name, value, shown) in [
            ("account-id-eq", "abc", "107 abc is not a valid value for account_id_eq."),
            ("account-id-in", "1,5abc", "107 1,5abc is not a valid value for account_id_in."),
            ("id-lt", "", "107  is not a valid value for id_lt."),
            ("id_eq", "1,2", "107 1,2 is not a valid value for id_eq."),
            ("account-id-gt", "1", "102 account_id_gt is not allowed."),
            ("account-id", "1", "102 account_id is not allowed."),
            ("reason.id", "1", "102 id is not allowed."),
            ("reason-id-eq", "1", "102 reason_id_eq is not allowed."),
            ("id-cont", "1", "102 id_cont is not allowed."),
        ] {
            assert_eq!(one(name, value), Err(shown.to_owned()), "{name}={value}");
        }
    }

    #[test]
    fn unknown_filters_are_named_folded() {
        for (name, shown) in [
            ("foo", "foo"),
            ("min-balance-foo", "min_balance_foo"),
            ("minBalance", "min_balance"),
            ("balance_cont", "balance_cont"),
            ("external-id", "external_id"),
            ("foo.bar", "bar"),
            ("contractor.name", "name"),
            ("parent.id", "id"),
            ("contractor", "contractor"),
        ] {
            let query = format!("filter[name]=x&filter[{name}]=1&filter[more]=1");
            assert_eq!(filters(&query), Err(format!("102 {shown} is not allowed.")), "{name}");
        }
    }

    #[test]
    fn names_fold_and_the_last_spelling_wins() {
        for name in ["min-balance-eq", "min_balance_eq", "minBalanceEq", "MinBalance_eq"] {
            assert!(filters(&format!("filter[{name}]=1")).is_ok(), "{name}");
        }
        assert!(filters("filter[invoiceTemplate.id]=1").is_ok());
        let found = filters("filter[name_eq]=a&filter[vat_eq]=1&filter[name-eq]=b").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].test, equal(Operand::Text("b".into())));
    }

    #[test]
    fn filters_are_an_object_of_scalars() {
        assert_eq!(filters("filter=x"), Err("120 x is not a valid syntax for filtering.".into()));
        assert_eq!(filters("filter="), Err("120  is not a valid syntax for filtering.".into()));
        for query in ["filter[]=x", "filter[name][x]=1"] {
            assert!(filters(query).unwrap_err().starts_with("120 "), "{query}");
        }
    }

    #[test]
    fn a_plain_filter_takes_any_number_of_values() {
        assert_eq!(test_of("name", ""), Test::Nothing);
        assert_eq!(test_of("name", "+"), Test::Nothing);
        assert_eq!(test_of("name", "Alpha"), exact(texts(&["Alpha"]), false));
        assert_eq!(test_of("name", "+Alpha,b+"), exact(texts(&[" Alpha", "b "]), false));
        assert_eq!(test_of("name", "Alpha,"), exact(texts(&["Alpha", ""]), true));
        assert_eq!(test_of("name", "\"a,b\""), exact(texts(&["a,b"]), false));
    }

    #[test]
    fn ids_are_read_leniently_and_never_refused() {
        let ids = |ids: &[i128]| ids.iter().map(|&id| Operand::Integer(id)).collect();
        for name in ["id", "contractor.id", "invoice-template.id"] {
            assert_eq!(test_of(name, ""), Test::Nothing);
            assert_eq!(test_of(name, "4,5abc"), exact(ids(&[4, 5]), false));
            assert_eq!(test_of(name, "abc"), exact(ids(&[0]), false));
            assert_eq!(test_of(name, "4,"), exact(ids(&[4, 0]), true));
            assert_eq!(test_of(name, "99999999999"), exact(ids(&[99_999_999_999]), false));
        }
    }

    #[test]
    fn arrays_are_lists_for_plain_filters_and_nothing_for_operators() {
        let array = |name: &str| {
            let query = format!("filter[{name}][]=b,c&filter[{name}][]=a");
            filters(&query).unwrap().remove(0).test
        };
        assert_eq!(array("name"), exact(texts(&["b,c", "a"]), false));
        for name in ["name_eq", "name_in", "vat_gt", "enabled_eq"] {
            assert_eq!(array(name), Test::Nothing, "{name}");
        }
    }

    #[test]
    fn a_single_operator_takes_one_trimmed_value() {
        assert_eq!(test_of("name_eq", "+Alpha+"), equal(Operand::Text("Alpha".into())));
        assert_eq!(test_of("name_cont", "+a_%25+"), Test::Contains(vec!["a_%".into()]));
        assert_eq!(test_of("name_start", "a"), Test::StartsWith("a".into()));
        assert_eq!(test_of("name_end", "a"), Test::EndsWith("a".into()));
        assert_eq!(refusal("name_eq", ""), "107  is not a valid value for name_eq.");
        assert_eq!(refusal("name-eq", "a,b"), "107 a,b is not a valid value for name_eq.");
        assert_eq!(
            refusal("name_cont", "Alpha,"),
            "107 Alpha, is not a valid value for name_cont."
        );
        assert_eq!(refusal("enabled_eq", "1,0"), "107 1,0 is not a valid value for enabled_eq.");
    }

    #[test]
    fn a_list_operator_ignores_empty_elements_and_empty_lists() {
        let operands = texts(&["a ", " b"]);
        assert_eq!(test_of("name_in", "a+,,+b"), Test::In(operands.clone()));
        assert_eq!(test_of("name_not_in", "a+,+b,"), Test::NotIn(operands));
        let any = Test::Contains(vec!["a".into(), "b".into()]);
        assert_eq!(test_of("name_cont_any", "a,b"), any);
        for name in ["name_in", "name_not_in", "name_cont_any", "vat_in", "uuid_in", "state_in"] {
            for nothing in ["", "++", ","] {
                let query = format!("filter[{name}]={nothing}");
                assert_eq!(filters(&query), Ok(Vec::new()), "{query}");
            }
        }
    }

    #[test]
    fn numbers_are_exact_and_junk_is_refused() {
        let decimal = |text| Operand::Decimal(Decimal::locate(text).unwrap());
        for text in ["1e2", ".5", "-0.0000000000000001"] {
            assert_eq!(test_of("vat_eq", text), equal(decimal(text)), "{text}");
        }
        assert_eq!(test_of("vat_eq", "%2B5"), equal(decimal("5")));
        assert_eq!(test_of("vat_in", "1,,2"), Test::In(vec![decimal("1"), decimal("2")]));
        assert_eq!(test_of("external_id_eq", "1001.9"), equal(Operand::Integer(1001)));
        let beyond = Operand::Integer(99_999_999_999_999_999_999);
        assert_eq!(test_of("external_id_eq", "99999999999999999999"), equal(beyond));
        assert_eq!(refusal("vat_gt", "abc"), "107 abc is not a valid value for vat_gt.");
        assert_eq!(refusal("vat_in", "1,abc"), "107 1,abc is not a valid value for vat_in.");
        let detail = "107 x is not a valid value for external_id_eq.";
        assert_eq!(refusal("external_id_eq", "x"), detail);
    }

    #[test]
    fn a_malformed_uuid_matches_no_row() {
        let uuid = "fd868b74-e7d8-11f0-bf40-0a63caf27539";
        let operand = Operand::Uuid(uuid.parse().unwrap());
        assert_eq!(test_of("uuid_eq", &uuid.to_uppercase()), equal(operand.clone()));
        assert_eq!(test_of("uuid_eq", "junk"), Test::Nothing);
        assert_eq!(test_of("uuid_not_eq", "junk"), Test::Nothing);
        assert_eq!(test_of("uuid_in", &format!("junk,{uuid}")), Test::In(vec![operand]));
    }

    #[test]
    fn booleans_words_and_times_are_known_or_refused() {
        for word in ["true", "TRUE", "t", "T", "1"] {
            assert_eq!(test_of("enabled_eq", word), equal(Operand::Bool(true)), "{word}");
        }
        for word in ["false", "FALSE", "f", "F", "0"] {
            assert_eq!(test_of("enabled_eq", word), equal(Operand::Bool(false)), "{word}");
        }
        assert_eq!(test_of("state_eq", "New"), equal(Operand::Text("New".into())));
        let time = "2026-01-02T12:30:00Z".parse().unwrap();
        assert_eq!(test_of("opened_at_eq", "2026-01-02+12:30"), equal(Operand::Time(time)));
        for (name, value) in [
            ("enabled_eq", "maybe"),
            ("enabled_not_eq", "off"),
            ("state_eq", "new"),
            ("state_in", "New,x"),
            ("opened_at_gt", "soon"),
            ("opened_at_in", "2026-01-02,2026-13-01"),
        ] {
            let expected = format!("107 {value} is not a valid value for {name}.");
            assert_eq!(refusal(name, value), expected);
        }
    }
}
