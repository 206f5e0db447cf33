//! One state of the database, for work that reads much of it: nothing that is written meanwhile
//! shows.

use jsonapi::{Record, Resource, Value};

use crate::error::StoreError;
use crate::session::{Row, Session};
use crate::table::{Table, Tables};
use crate::tx::Tx;

/// The kind is no parameter, so that the index of just these alerts is used.
const WITH_FORECASTS: &str = "SELECT DISTINCT account_id FROM balance_alerts \
    WHERE kind = 'forecast' AND account_id > $1 ORDER BY account_id LIMIT $2";

/// A reader's look at one state of the database.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    session: &'a Session,
    tables: &'a Tables,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(session: &'a Session, tables: &'a Tables) -> Self {
        Self { session, tables }
    }

    /// The record with this key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find(
        &self,
        resource: &'static Resource,
        id: i64,
    ) -> Result<Option<Record>, StoreError> {
        let table = self.tables.of(resource);
        let params = [Value::Int(id)];
        self.session.read_one(&table.select_one, &params, |row| table.record(row)).await
    }

    /// Up to `limit` records with keys above `after`, in their order.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn following(
        &self,
        resource: &'static Resource,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let table = self.tables.of(resource);
        let sql = format!("{} WHERE id > $1 ORDER BY id LIMIT $2", table.select);
        self.all(table, &sql, &[Value::Int(after), Value::Int(i64::from(limit))]).await
    }

    /// Visits every record whose `owner`, a relationship or an integer attribute, is above `after`
    /// and not above `last`, in the order of owners and then of the integer attribute `then`. One
    /// record is in memory at a time.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn visit(
        &self,
        resource: &'static Resource,
        (owner, then): (&str, &str),
        (after, last): (i64, i64),
        mut visitor: impl FnMut(Record) + Send,
    ) -> Result<(), StoreError> {
        let table = self.tables.of(resource);
        let (owner, then) = (table.named(owner), table.named(then));
        let sql = format!(
            "{} WHERE {owner} > $1 AND {owner} <= $2 ORDER BY {owner}, {then}",
            table.select
        );
        let params = [Value::Int(after), Value::Int(last)];
        self.session
            .read(&sql, &params, |row| {
                visitor(table.record(row)?);
                Ok(())
            })
            .await
    }

    /// All records that belong to `owner` by this relationship, in the order of their keys.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn belonging(
        &self,
        resource: &'static Resource,
        (relationship, owner): (&str, i64),
    ) -> Result<Vec<Record>, StoreError> {
        let table = self.tables.of(resource);
        let sql = format!("{} WHERE {} = $1 ORDER BY id", table.select, table.named(relationship));
        self.all(table, &sql, &[Value::Int(owner)]).await
    }

    /// Up to `limit` accounts with ids above `after` that have alerts which forecast, in the order
    /// of their ids.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn accounts_with_forecasts(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<i64>, StoreError> {
        let mut accounts = Vec::new();
        let visit = |row: Row<'_>| {
            accounts.push(row.int(0)?);
            Ok(())
        };
        let params = [Value::Int(after), Value::Int(i64::from(limit))];
        self.session.read(WITH_FORECASTS, &params, visit).await?;
        Ok(accounts)
    }

    /// The last `limit` records that belong to `owner` by this relationship, ordered by the
    /// integer attribute `by`.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn last_of(
        &self,
        resource: &'static Resource,
        (relationship, owner): (&str, i64),
        by: &str,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let table = self.tables.of(resource);
        let (key, by) = (table.named(relationship), table.named(by));
        let sql = format!("{} WHERE {key} = $1 ORDER BY {by} DESC LIMIT $2", table.select);
        let params = [Value::Int(owner), Value::Int(i64::from(limit))];
        let mut records = self.all(table, &sql, &params).await?;
        records.reverse();
        Ok(records)
    }

    /// Up to `limit` records that belong to `owner` by this relationship and whose integer
    /// attribute `by` is above `after` and not above `last`, in the order of that attribute.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn between(
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
        let params = [owner, after, last, i64::from(limit)].map(Value::Int);
        self.all(table, &sql, &params).await
    }

    async fn all(
        &self,
        table: &Table,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        self.session
            .read(sql, params, |row| {
                records.push(table.record(row)?);
                Ok(())
            })
            .await?;
        Ok(records)
    }
}

impl Tx {
    /// What this transaction sees, as readers look at it.
    ///
    /// # Errors
    /// When what it has decided cannot be written.
    pub async fn snapshot(&mut self) -> Result<Snapshot<'_>, StoreError> {
        self.flush().await?;
        Ok(Snapshot::new(&self.session, &self.tables))
    }
}
