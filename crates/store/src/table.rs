//! A definition as a table: names of columns and the statements that never change.

use std::collections::HashMap;
use std::fmt::Write as _;

use jsonapi::{Api, Id, Record, Resource, Target, Value};

use crate::error::StoreError;
use crate::session::{Row, Statement};

/// The table of one resource. Attribute `min-balance` is column `min_balance`, relationship
/// `contractor` is column `contractor_id`.
#[derive(Debug)]
pub struct Table {
    pub resource: &'static Resource,
    /// Above the ranks of the tables that it points at.
    pub rank: usize,
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
    /// The same, locked until the end of the transaction. `NO KEY`: rows may still be made that
    /// point at it.
    pub lock_one: String,
    pub lock_many: String,
    /// SQLite's highest id so far, of a record that may be gone.
    pub last_id: String,
    /// Ids from PostgreSQL's sequence.
    pub next_ids: String,
    /// Lets PostgreSQL's sequence go on behind an id.
    pub pass_id: String,
    /// `INSERT INTO … (id, …) VALUES `, to be continued with rows of markers.
    insert: String,
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
        let select = format!("SELECT id, {listed} FROM {name}");
        let on_the_wire = resource.attributes.iter().zip(&columns).map(|(attribute, column)| {
            if attribute.on_the_wire() { column.as_str() } else { "NULL" }
        });
        let shown: Vec<&str> = on_the_wire.chain(keys.iter().map(String::as_str)).collect();
        let shown = format!("SELECT id, {} FROM {name}", shown.join(", "));
        Self {
            resource,
            rank: 0,
            select_one: format!("{select} WHERE id = $1"),
            lock_one: format!("{select} WHERE id = $1 FOR NO KEY UPDATE"),
            lock_many: format!("{select} WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"),
            last_id: format!(
                "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{name}'), 0), \
                 coalesce((SELECT max(id) FROM {name}), 0))"
            ),
            next_ids: format!(
                "SELECT nextval('{name}_id_seq') FROM generate_series(1, $1::bigint)"
            ),
            pass_id: format!(
                "SELECT setval('{name}_id_seq', greatest(last_value, $1)) FROM {name}_id_seq"
            ),
            shown_one: format!("{shown} WHERE id = $1"),
            shown,
            insert: format!("INSERT INTO {name} (id, {listed}) VALUES "),
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

    /// Where an attribute's value is in a record.
    pub fn position(&self, attribute: &str) -> Option<usize> {
        self.resource.attribute(attribute)
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

    /// Inserts `rows` records at once; their ids, values and links are the parameters.
    pub fn insert(&self, rows: usize) -> String {
        let width = 1 + self.columns.len() + self.keys.len();
        let mut sql = self.insert.clone();
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..width {
                let comma = if column == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(sql, "{comma}${}", row * width + column + 1);
            }
            sql.push(')');
        }
        sql
    }

    /// Writes the columns in which `after` differs from `before`, if any does.
    pub fn update(&self, before: &Record, after: &Record) -> Option<Statement> {
        let mut sets = String::new();
        let mut params = Vec::new();
        let mut set = |column: &str, value: Value| {
            params.push(value);
            let comma = if params.len() == 1 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(sets, "{comma}{column} = ${}", params.len());
        };
        for (position, value) in after.values.iter().enumerate() {
            if before.values[position] != *value {
                set(&self.columns[position], value.clone());
            }
        }
        for (position, link) in after.links.iter().enumerate() {
            if before.links[position] != *link {
                set(&self.keys[position], link.map_or(Value::Null, Value::Int));
            }
        }
        if params.is_empty() {
            return None;
        }
        params.push(Value::Int(before.key()));
        let sql = format!("UPDATE {} SET {sets} WHERE id = ${}", self.name, params.len());
        Some(Statement::new(sql, params))
    }

    /// Reads a row of [`Table::select`].
    pub fn record(&self, row: Row<'_>) -> Result<Record, StoreError> {
        let id = Id::Int(row.int(0)?);
        let mut values = Vec::with_capacity(self.columns.len());
        for (position, attribute) in self.resource.attributes.iter().enumerate() {
            values.push(row.value(position + 1, attribute.kind)?);
        }
        let mut links = Vec::with_capacity(self.keys.len());
        for position in 0..self.keys.len() {
            links.push(row.optional_int(self.columns.len() + 1 + position)?);
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
        let mut by_kind: HashMap<&'static str, Table> =
            api.resources.iter().map(|resource| (resource.kind, Table::new(resource))).collect();
        // Each round settles one more level; resources that point at each other stop rising.
        for _ in api.resources {
            for resource in api.resources {
                let targets =
                    resource.relationships.iter().filter(|link| link.kind != resource.kind);
                let above = targets.filter_map(|link| by_kind.get(link.kind)).map(|t| t.rank + 1);
                let rank = above.max().unwrap_or_default().min(api.resources.len());
                if let Some(table) = by_kind.get_mut(resource.kind) {
                    table.rank = rank;
                }
            }
        }
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
