//! Lists and single records, with what they include, from one snapshot.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use jsonapi::{Filter, Include, Included, Page, Record, Resource, Sort};
use rusqlite::types::Value as Sql;
use rusqlite::{CachedStatement, Connection, params_from_iter};

use crate::condition::Condition;
use crate::error::StoreError;
use crate::lane::Tx;
use crate::records::read_one;
use crate::table::{Table, Tables};

/// Virtual machine steps between two looks at the clock.
const DEADLINE_STEPS: i32 = 10_000;

/// What to list.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The resource.
    pub resource: &'static Resource,
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// The order.
    pub sort: Vec<Sort>,
    /// The page.
    pub page: Page,
    /// Relationships to include.
    pub include: Include,
}

impl Reading {
    /// Whether it is a bounded walk along the primary key: quick on any size of table.
    pub(crate) fn is_short(&self) -> bool {
        const ROWS_MAX: u64 = 10_000;
        let by_id = self.sort.iter().all(|sort| sort.attribute.is_none());
        by_id
            && self.filters.is_empty()
            && self.page.number.saturating_mul(self.page.size) < ROWS_MAX
    }
}

/// One page.
#[derive(Debug)]
pub struct Listing {
    /// The page's records, in order.
    pub records: Vec<Record>,
    /// Records on all pages.
    pub total: u64,
    /// Included records.
    pub included: Included,
}

/// Reads one page within `deadline`.
pub fn list(
    connection: &mut Connection,
    tables: &Tables,
    reading: &Reading,
    deadline: Instant,
) -> Result<Listing, StoreError> {
    let watched = !reading.is_short();
    if watched {
        let expired = move || Instant::now() > deadline;
        connection.progress_handler(DEADLINE_STEPS, Some(expired))?;
    }
    let listing = in_snapshot(connection, || {
        let table = tables.of(reading.resource);
        let condition = Condition::of(table, &reading.filters);
        let total = total(connection, table, reading, &condition)?;
        let records = page(connection, table, reading, condition)?;
        let included = include(connection, tables, reading.resource, &records, &reading.include)?;
        Ok(Listing { records, total, included })
    });
    if watched {
        connection.progress_handler(0, None::<fn() -> bool>)?;
    }
    listing
}

/// Reads one record that clients may see, with what it includes.
pub fn show(
    connection: &Connection,
    tables: &Tables,
    resource: &'static Resource,
    id: i64,
    tree: &Include,
) -> Result<Option<(Record, Included)>, StoreError> {
    let table = tables.of(resource);
    let read = || {
        let record = read_one(connection, table, &table.select_one, [id])?;
        let Some(record) = record.filter(|record| resource.shows(record)) else {
            return Ok(None);
        };
        let included = include(connection, tables, resource, std::slice::from_ref(&record), tree)?;
        Ok(Some((record, included)))
    };
    if tree.is_empty() { read() } else { in_snapshot(connection, read) }
}

/// Lets several statements see the same state.
pub fn in_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = read();
    connection.prepare_cached("COMMIT")?.execute([])?;
    result
}

/// All records that clients may see are counted as they come and go; only filters make a query
/// count for itself.
fn total(
    connection: &Connection,
    table: &Table,
    reading: &Reading,
    condition: &Condition,
) -> Result<u64, StoreError> {
    let total: Option<i64> = if reading.filters.is_empty() {
        let mut statement =
            connection.prepare_cached("SELECT total FROM totals WHERE kind = $1")?;
        let mut rows = statement.query([reading.resource.kind])?;
        rows.next()?.map(|row| row.get(0)).transpose()?
    } else {
        let sql = format!("SELECT count(*) FROM {}{}", table.name, condition.sql());
        let mut statement = connection.prepare_cached(&sql)?;
        let count = statement.query_row(params_from_iter(&condition.params), |row| row.get(0));
        forget_if_large(statement, condition);
        Some(count?)
    };
    Ok(total.map_or(0, |total| u64::try_from(total).unwrap_or_default()))
}

fn page(
    connection: &Connection,
    table: &Table,
    reading: &Reading,
    mut condition: Condition,
) -> Result<Vec<Record>, StoreError> {
    let order: Vec<String> = reading.sort.iter().map(|sort| order_by(table, *sort)).collect();
    let mut sql = format!("{}{} ORDER BY {}", table.select, condition.sql(), order.join(", "));
    if reading.resource.paged {
        let Page { number, size } = reading.page;
        let whole = |count: u64| Sql::Integer(i64::try_from(count).unwrap_or(i64::MAX));
        let limit = condition.bind(whole(size));
        let offset = condition.bind(whole((number - 1).saturating_mul(size)));
        sql = format!("{sql} LIMIT {limit} OFFSET {offset}");
    }
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&condition.params))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(table.record(row)?);
    }
    drop(rows);
    forget_if_large(statement, &condition);
    Ok(records)
}

/// Keeps long filters, each of its own shape, from filling the memory with their plans.
fn forget_if_large(statement: CachedStatement<'_>, condition: &Condition) {
    const PARAMS_KEPT_MAX: usize = 32;
    if condition.params.len() > PARAMS_KEPT_MAX {
        statement.discard();
    }
}

/// Rows without a value come last when ascending, first when descending.
fn order_by(table: &Table, sort: Sort) -> String {
    let direction = if sort.descending { "DESC" } else { "ASC" };
    match sort.attribute {
        None => format!("id {direction}"),
        Some(position) => {
            let nulls = if sort.descending { "FIRST" } else { "LAST" };
            format!("{} {direction} NULLS {nulls}", table.columns[position])
        }
    }
}

/// A record's type and key.
type Key = (&'static str, i64);
type Loaded = HashMap<Key, Record>;

impl Tx {
    /// What `record` includes, as this transaction sees it.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn included(
        &mut self,
        resource: &'static Resource,
        record: &Record,
        tree: &Include,
    ) -> Result<Included, StoreError> {
        include(&self.connection, &self.tables, resource, std::slice::from_ref(record), tree)
    }
}

/// Loads what the tree asks for: one query per relationship and level, whatever the page size.
fn include(
    connection: &Connection,
    tables: &Tables,
    resource: &'static Resource,
    records: &[Record],
    tree: &Include,
) -> Result<Included, StoreError> {
    if tree.is_empty() {
        return Ok(Included::new());
    }
    let mut loaded = Loaded::new();
    load(connection, tables, resource, &records.iter().collect::<Vec<_>>(), tree, &mut loaded)?;
    let mut met: HashSet<Key> =
        records.iter().map(|record| (resource.kind, record.key())).collect();
    let mut order = Vec::new();
    for record in records {
        walk(tables, resource, record, tree, &loaded, &mut |key| {
            if met.insert(key) {
                order.push(key);
            }
        });
    }
    let mut included = Included::new();
    for key @ (kind, _) in order {
        let Some(record) = loaded.remove(&key) else { continue };
        match included.iter_mut().find(|(resource, _)| resource.kind == kind) {
            Some((_, group)) => group.push(record),
            None => included.push((tables.named(kind).resource, vec![record])),
        }
    }
    Ok(included)
}

fn load(
    connection: &Connection,
    tables: &Tables,
    resource: &'static Resource,
    records: &[&Record],
    tree: &Include,
    loaded: &mut Loaded,
) -> Result<(), StoreError> {
    for (position, below) in &tree.branches {
        let kind = resource.relationships[*position].kind;
        let mut ids: Vec<i64> =
            records.iter().filter_map(|record| record.links[*position]).collect();
        ids.sort_unstable();
        ids.dedup();
        let table = tables.named(kind);
        let found = find_many(connection, table, &ids)?;
        if !below.is_empty() {
            let found: Vec<&Record> = found.iter().collect();
            load(connection, tables, table.resource, &found, below, loaded)?;
        }
        loaded.extend(found.into_iter().map(|record| ((kind, record.key()), record)));
    }
    Ok(())
}

fn find_many(
    connection: &Connection,
    table: &Table,
    ids: &[i64],
) -> Result<Vec<Record>, StoreError> {
    let listed: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let sql = format!("{} WHERE id IN (SELECT value FROM json_each($1))", table.select);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([format!("[{}]", listed.join(","))])?;
    let mut records = Vec::with_capacity(ids.len());
    while let Some(row) = rows.next()? {
        records.push(table.record(row)?);
    }
    Ok(records)
}

/// Lists included records in the order of first meeting, depth first.
fn walk(
    tables: &Tables,
    resource: &'static Resource,
    record: &Record,
    tree: &Include,
    loaded: &Loaded,
    meet: &mut impl FnMut(Key),
) {
    for (position, below) in &tree.branches {
        let kind = resource.relationships[*position].kind;
        let Some(key) = record.links[*position].map(|id| (kind, id)) else { continue };
        let Some(found) = loaded.get(&key) else { continue };
        meet(key);
        walk(tables, tables.named(kind).resource, found, below, loaded, meet);
    }
}
