//! A definition as a table: names of columns and the statements that never change.

use std::collections::HashMap;

use jsonapi::{Api, Id, Kind, Record, Resource, Target, Value};

use crate::error::StoreError;
use crate::row::Row;
use crate::statement::Statement;

const BIGINT: &str = "bigint";
const BIGINTS: &str = "bigint[]";
const TEXT: &str = "text";
/// Columns of the table that says which records name a member in which id list.
pub const LIST_MEMBERS: [(&str, &str); 3] =
    [("list", TEXT), ("member_id", BIGINT), ("record_id", BIGINT)];

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
    pub select_all: String,
    /// The same for clients: what has no place on the wire is not read, and is null.
    pub shown: String,
    pub shown_one: String,
    pub shown_many: String,
    /// The same, locked until the end of the transaction. `NO KEY`: rows may still be made that
    /// point at it.
    pub lock_one: String,
    pub lock_many: String,
    /// SQLite's highest id so far, of a record that may be gone.
    pub last_id: String,
    /// Inserts a record; its id, values and links are the parameters.
    pub insert: String,
    /// Inserts many records at PostgreSQL ([`Statement::of_rows`]).
    pub insert_rows: String,
    /// Id, attributes and relationships, with their types at PostgreSQL.
    typed: Vec<(String, &'static str)>,
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
        let listed_all = all.join(", ");
        let kinds = resource.attributes.iter().map(|attribute| column_type(attribute.kind));
        let types = std::iter::once(BIGINT).chain(kinds).chain(keys.iter().map(|_| BIGINT));
        let names = std::iter::once("id").chain(all.iter().map(String::as_str));
        let typed: Vec<_> = names.map(str::to_owned).zip(types).collect();
        let select = format!("SELECT id, {listed_all} FROM {name}");
        let on_the_wire = resource.attributes.iter().zip(&columns).map(|(attribute, column)| {
            if attribute.on_the_wire() { column.as_str() } else { "NULL" }
        });
        let shown: Vec<&str> = on_the_wire.chain(keys.iter().map(String::as_str)).collect();
        let shown = format!("SELECT id, {} FROM {name}", shown.join(", "));
        Self {
            resource,
            rank: 0,
            select_one: format!("{select} WHERE id = $1"),
            select_all: format!("{select} ORDER BY id"),
            lock_one: format!("{select} WHERE id = $1 FOR NO KEY UPDATE"),
            lock_many: format!("{select} WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"),
            last_id: format!(
                "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{name}'), 0), \
                 coalesce((SELECT max(id) FROM {name}), 0))"
            ),
            shown_one: format!("{shown} WHERE id = $1"),
            shown_many: format!("{shown} WHERE id = ANY($1)"),
            shown,
            insert: format!(
                "INSERT INTO {name} (id, {listed_all}) VALUES ({})",
                listed(&typed, |number, _| format!("${}", number + 1))
            ),
            insert_rows: insert_rows(&name, &typed),
            typed,
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

    /// Lets PostgreSQL's sequence go on behind an id.
    pub fn pass_id(&self, id: i64) -> Statement {
        let sequence = format!("{}_id_seq", self.name);
        let sql = format!("SELECT setval('{sequence}', greatest(last_value, $1)) FROM {sequence}");
        Statement::new(sql, vec![Value::Int(id)])
    }

    /// The members of the record's id lists, each with its list.
    pub fn members(&self, record: &Record) -> impl Iterator<Item = (Value, i64)> {
        let attributes = self.resource.attributes.iter().zip(&record.values);
        attributes.flat_map(|(attribute, value)| {
            let ids = if let Value::Ids(ids) = value { ids.as_slice() } else { &[] };
            ids.iter().map(|id| (list_name(self.resource.kind, attribute.name), *id))
        })
    }

    /// Columns of a row, its id among them.
    pub fn width(&self) -> usize {
        self.typed.len()
    }

    /// Changes these columns, counted from the id, of one row; the id is the last parameter.
    /// (SQLite counts parameters as they come, whatever their numbers.)
    pub fn update(&self, columns: &[usize]) -> String {
        let sets = listed(columns, |number, column| {
            format!("{} = ${}", self.typed[*column].0, number + 1)
        });
        format!("UPDATE {} SET {sets} WHERE id = ${}", self.name, columns.len() + 1)
    }

    /// The same of many rows at PostgreSQL ([`Statement::of_rows`]).
    pub fn update_rows(&self, columns: &[usize]) -> String {
        let name = &self.name;
        let sets = listed(columns, |_, column| {
            let column = &self.typed[*column].0;
            format!("{column} = rows.{column}")
        });
        let all: Vec<usize> = columns.iter().copied().chain(std::iter::once(0)).collect();
        let values = listed(&all, |number, column| {
            let (column, kind) = &self.typed[*column];
            format!("{} AS {column}", unnest(number, kind))
        });
        format!("UPDATE {name} SET {sets} FROM (SELECT {values}) AS rows WHERE {name}.id = rows.id")
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

/// Takes ids from PostgreSQL's sequences, so many of each; the rows have a column for each.
pub fn take_ids(wanted: &[(&Table, usize)]) -> Statement {
    let columns = listed(wanted, |position, (table, _)| {
        let number = position + 1;
        format!("CASE WHEN row <= ${number}::bigint THEN nextval('{}_id_seq') END", table.name)
    });
    let most = listed(wanted, |position, _| format!("${}::bigint", position + 1));
    let sql = format!("SELECT {columns} FROM generate_series(1, greatest({most})) AS row");
    let counts = wanted.iter().map(|(_, count)| Value::Int(i64::try_from(*count).unwrap_or(1)));
    Statement::new(sql, counts.collect())
}

/// How the table of members names an id list.
pub fn list_name(kind: &str, attribute: &str) -> Value {
    Value::text(format!("{kind}.{attribute}"))
}

/// The statement that inserts any number of rows at PostgreSQL ([`Statement::of_rows`]): however
/// many they are, it is prepared once. Columns come with their types.
pub fn insert_rows(name: &str, columns: &[(impl AsRef<str>, &str)]) -> String {
    let names = listed(columns, |_, (column, _)| column.as_ref().to_owned());
    let values = listed(columns, |number, (_, kind)| unnest(number, kind));
    format!("INSERT INTO {name} ({names}) SELECT {values}")
}

/// The values of one column, one in each row. Among what is selected, they come without a detour:
/// of a table that is made of arrays, PostgreSQL keeps all rows once for each column. Arrays of
/// arrays would have to be of one length, so those go as text.
fn unnest(position: usize, kind: &str) -> String {
    let number = position + 1;
    if kind == BIGINTS {
        format!("unnest(${number}::{TEXT}[])::{BIGINTS}")
    } else {
        format!("unnest(${number}::{kind}[])")
    }
}

/// The items as text, with commas.
fn listed<T>(items: &[T], text: impl Fn(usize, &T) -> String) -> String {
    let texts: Vec<String> =
        items.iter().enumerate().map(|(position, item)| text(position, item)).collect();
    texts.join(", ")
}

/// PostgreSQL's type of an attribute.
fn column_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Enumeration(_) | Kind::Json | Kind::Words(_) => TEXT,
        Kind::Decimal => "numeric",
        Kind::Integer { .. } => BIGINT,
        Kind::Boolean => "boolean",
        Kind::Uuid => "uuid",
        Kind::Timestamp => "timestamptz",
        Kind::IdList => BIGINTS,
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

    /// The tables that many operations look at, all of each.
    pub fn standing(&self) -> impl Iterator<Item = &Table> {
        self.by_kind.values().filter(|table| table.resource.standing)
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
