//! What a copy takes along: every table of the schema, with its columns and their kinds.

use std::fmt::Write as _;

use jsonapi::{Api, Kind, Value};
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;

use crate::error::StoreError;
use crate::mark::MARK;
use crate::row::{INTEGER, Row};
use crate::table::Tables;

/// A table as a copy sees it.
#[derive(Debug)]
pub struct CopyTable {
    pub name: String,
    /// The names of the columns with their kinds, those of the key first.
    pub columns: Vec<(String, Kind)>,
    /// How many columns the key has.
    pub key: usize,
    /// What stands behind `FROM` for its rows.
    rows: String,
}

impl CopyTable {
    fn new(name: &str, key: usize, columns: &[(&str, Kind)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Self { name: name.to_owned(), columns, key, rows: name.to_owned() }
    }

    /// Whether its rows have ids that a counter of the database gives out.
    pub fn has_ids(&self) -> bool {
        self.columns.first().is_some_and(|(name, _)| name == "id")
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    fn key_names(&self, behind: &str) -> String {
        let columns = self.columns.iter().take(self.key);
        let names: Vec<String> = columns.map(|(name, _)| format!("{name}{behind}")).collect();
        names.join(", ")
    }

    /// All rows in the order of their keys.
    pub fn select_all(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.rows, self.key_names(""))
    }

    /// So many of the first rows; with `after`, of those behind the row with this key. The key's
    /// values are the first parameters, the number of rows is the last.
    pub fn select_slice(&self, after: bool) -> String {
        let (names, rows, key) = (self.names(), &self.rows, self.key_names(""));
        let bounds = if after { self.key } else { 0 };
        let markers: Vec<String> = (1..=bounds).map(|number| format!("${number}")).collect();
        let condition = if after {
            format!("WHERE ({key}) > ({}) ", markers.join(", "))
        } else {
            String::new()
        };
        format!("SELECT {names} FROM {rows} {condition}ORDER BY {key} LIMIT ${}", bounds + 1)
    }

    /// The key of the last row.
    pub fn select_last_key(&self) -> String {
        let (key, rows, falling) = (self.key_names(""), &self.rows, self.key_names(" DESC"));
        format!("SELECT {key} FROM {rows} ORDER BY {falling} LIMIT 1")
    }

    /// Adds one row, whose values are the parameters.
    pub fn insert(&self) -> String {
        let mut sql = format!("INSERT INTO {} ({}) VALUES (", self.name, self.names());
        for number in 1..=self.columns.len() {
            // Writing to a string cannot fail.
            let _ = write!(sql, "{}${number}", if number == 1 { "" } else { ", " });
        }
        sql + ")"
    }

    /// Takes rows in PostgreSQL's binary format, in columns of [`Self::types`].
    pub fn copy_in(&self) -> String {
        format!("COPY {} ({}) FROM STDIN BINARY", self.name, self.names())
    }

    pub fn types(&self) -> Vec<Type> {
        let kinds = self.columns.iter().map(|(_, kind)| kind);
        kinds
            .map(|kind| match kind {
                Kind::Text | Kind::Enumeration(_) | Kind::Json | Kind::Words(_) => Type::TEXT,
                Kind::Decimal => Type::NUMERIC,
                Kind::Integer { .. } => Type::INT8,
                Kind::Boolean => Type::BOOL,
                Kind::Uuid => Type::UUID,
                Kind::Timestamp => Type::TIMESTAMPTZ,
                Kind::IdList => Type::INT8_ARRAY,
            })
            .collect()
    }

    /// Reads a row of one of the selects.
    pub fn row(&self, row: Row<'_>) -> Result<Vec<Value>, StoreError> {
        self.columns.iter().enumerate().map(|(at, (_, kind))| row.value(at, *kind)).collect()
    }

    /// Reads a row of [`Self::select_last_key`].
    pub fn key(&self, row: Row<'_>) -> Result<Vec<Value>, StoreError> {
        let key = self.columns.iter().take(self.key).enumerate();
        key.map(|(at, (_, kind))| row.value(at, *kind)).collect()
    }
}

/// The tables of a schema with these columns, each behind the name of its table; parents before
/// those that point at them.
pub fn described(api: &Api, columns: &[(String, String)]) -> Vec<CopyTable> {
    let is_there = |table: &CopyTable| columns.iter().any(|(name, _)| *name == table.name);
    // Some resources are computed and have no table.
    plain().into_iter().chain(resources(api)).filter(is_there).collect()
}

fn resources(api: &Api) -> Vec<CopyTable> {
    let tables = Tables::new(api);
    let mut resources: Vec<_> = api.resources.iter().map(|resource| tables.of(resource)).collect();
    resources.sort_by_key(|table| table.rank);
    resources
        .into_iter()
        .map(|table| {
            let attributes = table.resource.attributes.iter().map(|attribute| attribute.kind);
            let id = std::iter::once(("id", INTEGER));
            let values = table.columns.iter().map(String::as_str).zip(attributes);
            let links = table.keys.iter().map(|key| (key.as_str(), INTEGER));
            let columns: Vec<_> = id.chain(values).chain(links).collect();
            CopyTable::new(&table.name, 1, &columns)
        })
        .collect()
}

/// The tables that belong to no resource.
fn plain() -> [CopyTable; 11] {
    use Kind::{Boolean, Text, Timestamp};
    let mut settings = CopyTable::new("settings", 1, &[("name", Text), ("value", Text)]);
    settings.rows =
        format!("(SELECT name, value FROM settings WHERE name <> '{MARK}') AS settings");
    let totals = [("kind", Text), ("slot", INTEGER), ("total", INTEGER)];
    let mut totals = CopyTable::new("totals", 2, &totals);
    // Which writer counted what tells nothing: the total is the sum.
    totals.rows = String::from(
        "(SELECT kind, CAST(0 AS BIGINT) AS slot, CAST(sum(total) AS BIGINT) AS total \
         FROM totals GROUP BY kind) AS totals",
    );
    let operators = [
        ("id", INTEGER),
        ("name", Text),
        ("password_hash", Text),
        ("enabled", Boolean),
        ("allowed_ips", Text),
        ("tokens_valid_from_secs", INTEGER),
        ("created_at", Timestamp),
    ];
    let first_answers = [
        ("id", INTEGER),
        ("operator_id", INTEGER),
        ("key", Text),
        ("fingerprint", Text),
        ("status", INTEGER),
        ("content_type", Text),
        ("location", Text),
        ("tagged", Boolean),
        ("body", Text),
        ("created_at", Timestamp),
    ];
    let delivery_lines = [
        ("name", Text),
        ("target", Text),
        ("due_at", Timestamp),
        ("failures", INTEGER),
        ("joined", INTEGER),
        ("holder", Text),
    ];
    let errands = [
        ("webhook_id", INTEGER),
        ("account_id", INTEGER),
        ("event_id", INTEGER),
        ("until", Timestamp),
    ];
    let operator_addresses = [("operator_id", INTEGER), ("address", Text), ("seen_at", Timestamp)];
    let tasks = [
        ("id", INTEGER),
        ("kind", Text),
        ("operator_id", INTEGER),
        ("operator_name", Text),
        ("ip", Text),
        ("description", Text),
        ("state", Text),
        ("total", INTEGER),
        ("done", INTEGER),
        ("failed", INTEGER),
        ("created_at", Timestamp),
        ("started_at", Timestamp),
        ("ended_at", Timestamp),
        ("parameters", Text),
        ("position", INTEGER),
        ("error", Text),
    ];
    let task_inputs = [("task_id", INTEGER), ("first_row", INTEGER), ("row_list", Text)];
    let task_failures =
        [("task_id", INTEGER), ("number", INTEGER), ("place", Text), ("message", Text)];
    let list_members = [("list", Text), ("member_id", INTEGER), ("record_id", INTEGER)];
    [
        settings,
        totals,
        CopyTable::new("operators", 1, &operators),
        CopyTable::new("first_answers", 1, &first_answers),
        CopyTable::new("list_members", 3, &list_members),
        CopyTable::new("delivery_lines", 1, &delivery_lines),
        CopyTable::new("errands", 3, &errands),
        CopyTable::new("operator_addresses", 2, &operator_addresses),
        CopyTable::new("tasks", 1, &tasks),
        CopyTable::new("task_inputs", 2, &task_inputs),
        CopyTable::new("task_failures", 2, &task_failures),
    ]
}

/// Counts rows and digests them, in the order in which they come.
#[derive(Debug, Default)]
pub struct Digest {
    pub rows: u64,
    sum: Sha256,
}

impl Digest {
    /// Adds a row: each value with its kind and length, so that no two rows read alike.
    pub fn add(&mut self, row: &[Value]) {
        self.rows += 1;
        for value in row {
            let mut put = |kind: u8, bytes: &[u8]| {
                self.sum.update([kind]);
                self.sum.update((bytes.len() as u64).to_be_bytes());
                self.sum.update(bytes);
            };
            match value {
                Value::Null => put(0, &[]),
                Value::Bool(bool) => put(1, &[u8::from(*bool)]),
                Value::Int(int) => put(2, &int.to_be_bytes()),
                Value::Decimal(decimal) => put(3, &decimal.to_ordered_bytes()),
                Value::Text(text) => put(4, text.as_bytes()),
                Value::Uuid(uuid) => put(5, uuid.as_bytes()),
                Value::Time(time) => put(6, &time.as_microsecond().to_be_bytes()),
                Value::Ids(ids) => {
                    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
                    put(7, &bytes);
                }
                Value::Json(json) => put(8, json.as_bytes()),
            }
        }
    }

    pub fn finish(self) -> [u8; 32] {
        self.sum.finalize().into()
    }
}

/// About how much memory a row takes, in bytes.
pub fn size_of(row: &[Value]) -> usize {
    let beside = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Json(json) => json.len(),
        Value::Ids(ids) => size_of_val(ids.as_slice()),
        _ => 0,
    };
    size_of_val(row) + row.iter().map(beside).sum::<usize>()
}
