//! Values as people read them: what the API answers, with units, signs and links.

use jsonapi::{Attribute, Kind, Relationship, Resource, Visibility};
use serde_json::Value as Json;

use super::page::{heading, served};

/// Characters of a text in a list; the record's own page has all of them.
const CHARS_MAX: usize = 60;
/// A text of more bytes or lines is tall.
const TALL_BYTES: usize = 1_000;
const TALL_LINES: usize = 14;
/// Attributes by which people know a record, the best first.
const LABELS: [&str; 8] =
    ["name", "email", "subject", "url", "host", "event-type", "item-type", "status"];
/// Columns of a list for which nobody has chosen any.
const COLUMNS_MAX: usize = 6;

/// A value as it is shown.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What it looks like: a word of the style sheet.
    pub class: &'static str,
    /// Where it leads; empty for nowhere.
    pub url: String,
}

impl Cell {
    /// Whether it is so long that it is looked at through a window.
    #[must_use]
    pub fn is_tall(&self) -> bool {
        self.text.len() > TALL_BYTES || self.text.lines().count() > TALL_LINES
    }

    fn none() -> Self {
        Self { text: "–".to_owned(), class: "none", url: String::new() }
    }
}

/// What is shown in a column of a list, or on a line of a record.
#[derive(Clone, Copy, Debug)]
pub enum Member {
    /// An attribute.
    Attribute(&'static Attribute),
    /// A relationship.
    Relationship(&'static Relationship),
}

impl Member {
    /// All that is shown of a resource's records, in the order of its answers.
    pub fn all(resource: &'static Resource) -> impl Iterator<Item = Self> {
        let seen = |attribute: &&Attribute| {
            attribute.on_the_wire() && attribute.visibility != Visibility::WriteOnly
        };
        let attributes = resource.attributes.iter().filter(seen).map(Self::Attribute);
        attributes.chain(resource.relationships.iter().map(Self::Relationship))
    }

    /// The columns of a list of these names, or those that say most of a record at a glance.
    #[must_use]
    pub fn columns(resource: &'static Resource, names: &[&str]) -> Vec<Self> {
        if !names.is_empty() {
            return Self::all(resource).filter(|member| names.contains(&member.name())).collect();
        }
        let is_short = |member: &Self| match member {
            Self::Attribute(attribute) => {
                attribute.visibility == Visibility::Always
                    && !matches!(attribute.kind, Kind::Json | Kind::IdList)
                    && !is_long(attribute)
            }
            Self::Relationship(_) => false,
        };
        let attributes = Self::all(resource).filter(is_short).take(COLUMNS_MAX);
        attributes.chain(resource.relationships.iter().map(Self::Relationship)).collect()
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Attribute(attribute) => attribute.name,
            Self::Relationship(relationship) => relationship.name,
        }
    }

    /// Whether it can be changed.
    #[must_use]
    pub const fn is_updatable(&self) -> bool {
        match self {
            Self::Attribute(attribute) => attribute.updatable,
            Self::Relationship(relationship) => relationship.updatable,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn label(&self) -> String {
        heading(self.name())
    }

    /// One sentence that says what it is.
    #[must_use]
    pub fn meaning(&self) -> String {
        match self {
            Self::Attribute(attribute) => attribute.meaning.to_owned(),
            Self::Relationship(relationship) => {
                format!("One of the {}.", heading(relationship.kind).to_lowercase())
            }
        }
    }

    /// What `sort` calls it, if it takes it.
    #[must_use]
    pub fn sort(&self) -> Option<String> {
        match self {
            Self::Attribute(attribute) => attribute.sortable.then(|| attribute.name.to_owned()),
            Self::Relationship(relationship) => {
                relationship.as_key.then(|| format!("{}-id", relationship.name))
            }
        }
    }

    /// Whether it is a number, which stands at the right.
    #[must_use]
    pub const fn is_number(&self) -> bool {
        match self {
            Self::Attribute(attribute) => {
                matches!(attribute.kind, Kind::Decimal | Kind::Integer { .. })
            }
            Self::Relationship(_) => false,
        }
    }

    /// What a record has of it.
    #[must_use]
    pub fn cell(&self, record: &Json, document: &Json) -> Cell {
        match self {
            Self::Attribute(attribute) => {
                value(attribute, &record["attributes"][attribute.name], CHARS_MAX)
            }
            Self::Relationship(relationship) => related(relationship, record, document),
        }
    }

    /// As [`Self::cell`], with texts in their full length.
    #[must_use]
    pub fn whole(&self, record: &Json, document: &Json) -> Cell {
        match self {
            Self::Attribute(attribute) => {
                value(attribute, &record["attributes"][attribute.name], usize::MAX)
            }
            Self::Relationship(_) => self.cell(record, document),
        }
    }
}

/// Whether a text may have many lines.
#[must_use]
pub fn is_long(attribute: &Attribute) -> bool {
    const LONG: [&str; 6] = ["body", "notes", "description", "hash", "data", "response"];
    matches!(attribute.kind, Kind::Text) && LONG.iter().any(|end| attribute.name.ends_with(end))
}

fn value(attribute: &Attribute, json: &Json, chars_max: usize) -> Cell {
    let plain = |text: String, class| Cell { text, class, url: String::new() };
    match (&attribute.kind, json) {
        (_, Json::Null) => Cell::none(),
        (Kind::Boolean, _) if json == &Json::Bool(true) => plain("yes".to_owned(), "yes"),
        (Kind::Boolean, _) => plain("no".to_owned(), "no"),
        (Kind::Decimal, Json::String(text)) => {
            // What somebody has set, a floor above all, is no alarm.
            let is_alarm = text.starts_with('-') && !attribute.updatable;
            plain(grouped(text), if is_alarm { "number negative" } else { "number" })
        }
        (Kind::Integer { .. }, _) => plain(json.to_string(), "number"),
        (Kind::Timestamp, Json::String(text)) => plain(moment(text), "time"),
        (Kind::Json, _) => {
            let text = serde_json::to_string_pretty(json).unwrap_or_default();
            plain(shortened(&text, chars_max), "code")
        }
        (Kind::Enumeration(_), Json::String(text)) => plain(text.clone(), "word"),
        (_, Json::String(text)) => plain(shortened(text, chars_max), "text"),
        (_, Json::Array(values)) if values.is_empty() => Cell::none(),
        (_, Json::Array(values)) => plain(listed(values), "text"),
        (_, other) => plain(other.to_string(), "text"),
    }
}

/// Ids or words, separated by spaces: as forms take them.
#[must_use]
pub fn listed(values: &[Json]) -> String {
    let words = values.iter().map(|value| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text.to_owned(),
    }
}

/// An exact decimal with its thousands apart and its sign as long as a digit.
#[must_use]
pub fn grouped(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("\u{2212}", digits),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut out = sign.to_owned();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
        if fraction.len() == 1 {
            out.push('0');
        }
    }
    out
}

/// An instant, to the second, in UTC.
#[must_use]
pub fn moment(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text.to_owned(),
    }
}

fn related(relationship: &Relationship, record: &Json, document: &Json) -> Cell {
    let data = &record["relationships"][relationship.name]["data"];
    let Some(id) = data["id"].as_str() else { return Cell::none() };
    let kind = relationship.kind;
    let included = document["included"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = included.iter().find(|other| other["type"] == kind && other["id"] == id);
    let text = found.and_then(label).unwrap_or_else(|| format!("#{id}"));
    let url = if served(kind).is_some() { format!("/{kind}/{id}") } else { String::new() };
    Cell { text: shortened(&text, CHARS_MAX), class: "text", url }
}

/// What people know a record by.
#[must_use]
pub fn label(record: &Json) -> Option<String> {
    let attributes = &record["attributes"];
    let found = LABELS.iter().find_map(|name| attributes[*name].as_str());
    found.filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// The name of a record's page.
#[must_use]
pub fn title(record: &Json) -> String {
    let id = record["id"].as_str().unwrap_or_default();
    label(record).unwrap_or_else(|| format!("#{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(grouped("0.0"), "0.00");
        assert_eq!(grouped("-1234567.125"), "\u{2212}1\u{202f}234\u{202f}567.125");
        assert_eq!(grouped("999.000000000001"), "999.000000000001");
        assert_eq!(grouped("100000"), "100\u{202f}000");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("ünïcode", 3), "ünï…");
        assert_eq!(shortened("ünï", 3), "ünï");
    }
}
