//! A definition as a table: names of columns and the statements that never change.

use std::collections::HashMap;

use jsonapi::{Api, Id, Record, Resource, Target};
use rusqlite::Row;

use crate::column;
use crate::error::StoreError;

/// The table of one resource. Attribute `min-balance` is column `min_balance`, relationship
/// `contractor` is column `contractor_id`.
#[derive(Debug)]
pub struct Table {
    pub resource: &'static Resource,
    pub name: String,
    /// One for each attribute.
    pub columns: Vec<String>,
    /// One for each relationship.
    pub keys: Vec<String>,
    /// `SELECT id, … FROM …`, to be continued with a condition.
    pub select: String,
    pub select_one: String,
    /// The same for clients: what has no place on the wire is not read, and is null.
    pub shown: String,
    pub shown_one: String,
    /// Without `RETURNING`, for which SQLite would make a table and journal each statement apart.
    pub insert: String,
    pub delete: String,
}

impl Table {
    fn new(resource: &'static Resource) -> Self {
        let snake = |name: &str| name.replace('-', "_");
        let name = snake(resource.kind);
        let columns: Vec<String> =
            resource.attributes.iter().map(|attribute| snake(attribute.name)).collect();
        let keys: Vec<String> =
            resource.relationships.iter().map(|link| format!("{}_id", snake(link.name))).collect();
        let all = [columns.as_slice(), keys.as_slice()].concat();
        let listed = all.join(", ");
        let markers: Vec<String> = (1..=all.len()).map(|number| format!("${number}")).collect();
        let select = format!("SELECT id, {listed} FROM {name}");
        let on_the_wire = resource.attributes.iter().zip(&columns).map(|(attribute, column)| {
            if attribute.on_the_wire() { column.as_str() } else { "NULL" }
        });
        let shown: Vec<&str> = on_the_wire.chain(keys.iter().map(String::as_str)).collect();
        let shown = format!("SELECT id, {} FROM {name}", shown.join(", "));
        Self {
            resource,
            select_one: format!("{select} WHERE id = $1"),
            shown_one: format!("{shown} WHERE id = $1"),
            shown,
            insert: format!("INSERT INTO {name} ({listed}) VALUES ({})", markers.join(", ")),
            delete: format!("DELETE FROM {name} WHERE id = $1"),
            select,
            name,
            columns,
            keys,
        }
    }

    /// The column of an attribute, or the foreign key of a relationship.
    pub fn named(&self, name: &str) -> &str {
        match self.resource.attribute(name) {
            Some(position) => &self.columns[position],
            None => self.key(name),
        }
    }

    /// The column that a filter or a sort looks at.
    pub fn column(&self, target: Target) -> &str {
        match target {
            Target::Id => "id",
            Target::Attribute(position) => &self.columns[position],
            Target::Relationship(position) => &self.keys[position],
        }
    }

    /// The foreign key of a relationship.
    pub fn key(&self, relationship: &str) -> &str {
        let position = self.resource.relationship(relationship);
        &self.keys[position.expect("code names what the definition has")]
    }

    /// Reads a row of [`Table::select`].
    pub fn record(&self, row: &Row<'_>) -> Result<Record, StoreError> {
        let id = Id::Int(row.get(0)?);
        let mut values = Vec::with_capacity(self.columns.len());
        for (position, attribute) in self.resource.attributes.iter().enumerate() {
            values.push(column::from_row(row, position + 1, attribute.kind)?);
        }
        let mut links = Vec::with_capacity(self.keys.len());
        for position in 0..self.keys.len() {
            links.push(row.get(self.columns.len() + 1 + position)?);
        }
        Ok(Record { id, values, links })
    }
}

/// The tables of all resources that are stored.
#[derive(Debug)]
pub struct Tables {
    by_kind: HashMap<&'static str, Table>,
}

impl Tables {
    pub fn new(api: &Api) -> Self {
        let by_kind =
            api.resources.iter().map(|resource| (resource.kind, Table::new(resource))).collect();
        Self { by_kind }
    }

    /// The table of a resource of this API.
    pub fn of(&self, resource: &Resource) -> &Table {
        self.named(resource.kind)
    }

    /// The table of a type of this API.
    pub fn named(&self, kind: &str) -> &Table {
        self.by_kind.get(kind).expect("resources come from the API that the store was opened with")
    }
}
