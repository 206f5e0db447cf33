//! The columns of a file as a resource's definition names them, and a row as the document that a
//! client would send.

use jsonapi::{Attribute, Kind, Resource, Value, linkage};
use serde_json::{Map, Value as Json, json};

use crate::csv::VALUES_MAX;

/// Most columns of a file.
pub const MAX_COLUMNS: usize = VALUES_MAX;

/// What each column of a file is.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Whose.
    pub resource: &'static Resource,
    columns: Vec<Column>,
}

/// A position in the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Attribute(usize),
    Relationship(usize),
}

impl Columns {
    /// Every name that a file of new records may have in its header.
    pub fn known(resource: &'static Resource) -> impl Iterator<Item = &'static str> {
        let relationships = resource.relationships.iter().filter(|related| related.creatable);
        let attributes = resource.attributes.iter().filter(|attribute| attribute.creatable);
        attributes.map(|attribute| attribute.name).chain(relationships.map(|related| related.name))
    }

    /// Understands a header.
    ///
    /// # Errors
    /// One sentence that says why this is no header for such records.
    pub fn of<T: AsRef<str>>(resource: &'static Resource, header: &[T]) -> Result<Self, String> {
        let known: Vec<&str> = Self::known(resource).collect();
        let kind = resource.kind;
        let names: Vec<&str> = header.iter().map(|name| name.as_ref().trim()).collect();
        if !names.iter().any(|name| known.contains(name)) {
            return Err(format!(
                "The header names no column of {kind}; are the values separated by commas? \
                 The columns are {}.",
                known.join(", ")
            ));
        }
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            return Err(format!(
                "There is no column {unknown:?}; {kind} have {}.",
                known.join(", ")
            ));
        }
        let twice =
            names.iter().find(|name| names.iter().filter(|other| other == name).count() > 1);
        if let Some(twice) = twice {
            return Err(format!("The header names {twice} twice."));
        }
        if let Some(missing) = required(resource).find(|name| !names.contains(name)) {
            return Err(format!("The header does not name {missing}, which {kind} must have."));
        }
        let column = |name: &&str| match resource.attribute(name) {
            Some(position) => Some(Column::Attribute(position)),
            None => resource.relationship(name).map(Column::Relationship),
        };
        Ok(Self { resource, columns: names.iter().filter_map(column).collect() })
    }

    /// Their names, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|column| match *column {
            Column::Attribute(position) => self.resource.attributes[position].name,
            Column::Relationship(position) => self.resource.relationships[position].name,
        })
    }

    /// Attributes and relationships that a row sends, as a document has them. An empty value is
    /// not sent.
    ///
    /// # Errors
    /// When it has another number of values than there are columns.
    pub fn members<T: AsRef<str>>(&self, values: &[T]) -> Result<(Json, Json), String> {
        if values.len() != self.columns.len() {
            return Err(format!("has {} values, not {}", values.len(), self.columns.len()));
        }
        let (mut attributes, mut relationships) = (Map::new(), Map::new());
        for (column, value) in self.columns.iter().zip(values) {
            let value = value.as_ref();
            if value.is_empty() {
                continue;
            }
            match *column {
                Column::Attribute(position) => {
                    let attribute = &self.resource.attributes[position];
                    attributes.insert(attribute.name.to_owned(), sent(attribute, value));
                }
                Column::Relationship(position) => {
                    let related = &self.resource.relationships[position];
                    let link = linkage(related.kind, value.trim());
                    relationships.insert(related.name.to_owned(), link);
                }
            }
        }
        Ok((attributes.into(), relationships.into()))
    }
}

/// What no record can be without, and nothing fills in.
fn required(resource: &'static Resource) -> impl Iterator<Item = &'static str> {
    let attributes = resource.attributes.iter().zip(resource.defaults());
    let attributes = attributes.filter(|(attribute, default)| {
        attribute.creatable && attribute.never_null() && *default == Value::Null
    });
    let relationships = resource.relationships.iter().filter(|related| related.required);
    attributes.map(|(attribute, _)| attribute.name).chain(relationships.map(|related| related.name))
}

/// A value as JSON: numbers and the like are read from text anyway; lists have blanks between
/// their members.
fn sent(attribute: &Attribute, value: &str) -> Json {
    match attribute.kind {
        Kind::IdList | Kind::Words(_) => json!(value.split_whitespace().collect::<Vec<_>>()),
        _ => json!(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::ACCOUNTS;
    use crate::contacts::CONTACTS;
    use crate::contractors::CONTRACTORS;
    use crate::outbox::WEBHOOKS;
    use crate::payments::PAYMENTS;

    fn refusal(resource: &'static Resource, header: &str) -> String {
        let header: Vec<&str> = header.split(',').collect();
        Columns::of(resource, &header).map_or_else(|refusal| refusal, |_| "taken".to_owned())
    }

    #[test]
    fn columns_are_those_of_the_definition() {
        assert_eq!(refusal(&ACCOUNTS, " name ,contractor,vat,invoice-template"), "taken");
        assert_eq!(refusal(&CONTRACTORS, "name,enabled,vendor,customer"), "taken");
        assert_eq!(refusal(&CONTACTS, "email,contractor"), "taken");
        let known: Vec<&str> = Columns::known(&PAYMENTS).collect();
        assert_eq!(known, ["amount", "notes", "private-notes", "external-id", "account"]);
        for resource in [&ACCOUNTS, &CONTRACTORS, &CONTACTS, &PAYMENTS] {
            assert!(Columns::known(resource).count() <= MAX_COLUMNS);
        }
    }

    #[test]
    fn a_header_that_cannot_be_meant_is_refused() {
        for (header, begins) in [
            ("name;contractor", "The header names no column of accounts"),
            ("name,contractor,balance", "There is no column \"balance\"; accounts have name, "),
            ("name,contractor,journal-hash", "There is no column \"journal-hash\""),
            ("name,contractor,contractor-id", "There is no column \"contractor-id\""),
            ("name,contractor,", "There is no column \"\""),
            ("name,contractor, name", "The header names name twice."),
            ("contractor,vat", "The header does not name name, which accounts must have."),
            ("name", "The header does not name contractor, which accounts must have."),
        ] {
            let refusal = refusal(&ACCOUNTS, header);
            assert!(refusal.starts_with(begins), "{header}: {refusal}");
        }
    }

    #[test]
    fn a_row_becomes_what_a_client_would_send() {
        let header = ["name", "send-invoices-to", "contractor", "vat", "min-balance"];
        let columns = Columns::of(&ACCOUNTS, &header).unwrap();
        assert_eq!(columns.names().collect::<Vec<_>>(), header);
        let (attributes, relationships) =
            columns.members(&[" a", "1  2", " 4", "20.5", ""]).unwrap();
        assert_eq!(
            attributes,
            json!({"name": " a", "send-invoices-to": ["1", "2"], "vat": "20.5"})
        );
        assert_eq!(
            relationships,
            json!({"contractor": {"data": {"type": "contractors", "id": "4"}}})
        );
        assert_eq!(columns.members(&["a"]).unwrap_err(), "has 1 values, not 5");
        let columns = Columns::of(&WEBHOOKS, &["url", "events"]).unwrap();
        let (attributes, _) = columns.members(&["http://a.test", "One Two"]).unwrap();
        assert_eq!(attributes["events"], json!(["One", "Two"]));
    }
}
