//! One state of the database, for work that reads much of it: nothing that is written meanwhile
//! shows.

use jsonapi::{Record, Resource};
use rusqlite::Connection;

use crate::error::StoreError;
use crate::lane::Tx;
use crate::records::{read_many, read_one};
use crate::table::Tables;

/// A reader's look at one state of the database.
#[derive(Debug)]
pub struct Snapshot<'a> {
    connection: &'a Connection,
    tables: &'a Tables,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(connection: &'a Connection, tables: &'a Tables) -> Self {
        Self { connection, tables }
    }

    /// The record with this key.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn find(&self, resource: &'static Resource, id: i64) -> Result<Option<Record>, StoreError> {
        let table = self.tables.of(resource);
        read_one(self.connection, table, &table.select_one, [id])
    }

    /// Up to `limit` records with keys above `after`, in their order.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn following(
        &self,
        resource: &'static Resource,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let table = self.tables.of(resource);
        let sql = format!("{} WHERE id > $1 ORDER BY id LIMIT $2", table.select);
        let mut records = Vec::new();
        read_many(self.connection, table, &sql, (after, limit), |record| records.push(record))?;
        Ok(records)
    }

    /// Visits every record whose `owner`, a relationship or an integer attribute, is above `after`
    /// and not above `last`, in the order of owners and then of the integer attribute `then`. One
    /// record is in memory at a time.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn visit(
        &self,
        resource: &'static Resource,
        (owner, then): (&str, &str),
        (after, last): (i64, i64),
        visitor: impl FnMut(Record),
    ) -> Result<(), StoreError> {
        let table = self.tables.of(resource);
        let (owner, then) = (table.named(owner), table.named(then));
        let sql = format!(
            "{} WHERE {owner} > $1 AND {owner} <= $2 ORDER BY {owner}, {then}",
            table.select
        );
        read_many(self.connection, table, &sql, (after, last), visitor)
    }

    /// The last `limit` records that belong to `owner` by this relationship, ordered by the
    /// integer attribute `by`.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn last_of(
        &self,
        resource: &'static Resource,
        (relationship, owner): (&str, i64),
        by: &str,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let table = self.tables.of(resource);
        let (key, by) = (table.named(relationship), table.named(by));
        let sql = format!("{} WHERE {key} = $1 ORDER BY {by} DESC LIMIT $2", table.select);
        let mut records = Vec::new();
        read_many(self.connection, table, &sql, (owner, limit), |record| records.push(record))?;
        records.reverse();
        Ok(records)
    }

    /// Up to `limit` records that belong to `owner` by this relationship and whose integer
    /// attribute `by` is above `after` and not above `last`, in the order of that attribute.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn between(
        &self,
        resource: &'static Resource,
        (relationship, owner): (&str, i64),
        by: &str,
        (after, last): (i64, i64),
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let table = self.tables.of(resource);
        let (key, by) = (table.named(relationship), table.named(by));
        let sql = format!(
            "{} WHERE {key} = $1 AND {by} > $2 AND {by} <= $3 ORDER BY {by} LIMIT $4",
            table.select
        );
        let params = (owner, after, last, limit);
        let mut records = Vec::new();
        read_many(self.connection, table, &sql, params, |record| records.push(record))?;
        Ok(records)
    }
}

impl Tx {
    /// What this transaction sees, as readers look at it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::new(&self.connection, &self.tables)
    }
}
