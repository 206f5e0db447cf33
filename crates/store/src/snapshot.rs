//! One state of the database, for work that reads much of it: nothing that is written meanwhile
//! shows.

use jiff::Timestamp;
use jsonapi::{Kind, Record, Resource, Value};

use crate::error::StoreError;
use crate::row::{INTEGER, Row};
use crate::session::Session;
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

    /// Visits the id and these members, attributes or relationships, of up to `limit` records with
    /// ids above `after`, in their order: where few columns of many rows are wanted.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn glance(
        &self,
        resource: &'static Resource,
        members: &[&str],
        after: i64,
        limit: u32,
        visitor: impl FnMut(i64, &[Value]) + Send,
    ) -> Result<(), StoreError> {
        let table = self.tables.of(resource);
        let sql = format!("{} WHERE id > $1 ORDER BY id LIMIT $2", glance_at(table, members));
        let params = [Value::Int(after), Value::Int(i64::from(limit))];
        self.visit_members(table, members, &sql, &params, visitor).await
    }

    /// Does the same with records whose timestamp `by` is not before `since`, the latest first:
    /// those before the one of the time and id `before`.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn glance_back(
        &self,
        resource: &'static Resource,
        members: &[&str],
        by: &str,
        (since, before): (Timestamp, (Timestamp, i64)),
        limit: u32,
        visitor: impl FnMut(i64, &[Value]) + Send,
    ) -> Result<(), StoreError> {
        let table = self.tables.of(resource);
        let column = table.named(by);
        // The bound that follows from the third leads along the index.
        let sql = format!(
            "{} WHERE {column} >= $1 AND {column} <= $2 AND ({column} < $2 OR id < $3) \
             ORDER BY {column} DESC, id DESC LIMIT $4",
            glance_at(table, members)
        );
        let (before, id) = before;
        let params =
            [Value::Time(since), Value::Time(before), Value::Int(id), Value::Int(i64::from(limit))];
        self.visit_members(table, members, &sql, &params, visitor).await
    }

    async fn visit_members(
        &self,
        table: &Table,
        members: &[&str],
        sql: &str,
        params: &[Value],
        mut visitor: impl FnMut(i64, &[Value]) + Send,
    ) -> Result<(), StoreError> {
        let kind = |member: &&str| {
            let position = table.position(member);
            position.map_or(INTEGER, |position| table.resource.attributes[position].kind)
        };
        let kinds: Vec<Kind> = members.iter().map(kind).collect();
        let mut values = vec![Value::Null; kinds.len()];
        self.session
            .read(sql, params, |row| {
                let id = row.int(0)?;
                for (at, kind) in kinds.iter().enumerate() {
                    values[at] = row.value(at + 1, *kind)?;
                }
                visitor(id, &values);
                Ok(())
            })
            .await
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

fn glance_at(table: &Table, members: &[&str]) -> String {
    let columns: Vec<&str> = members.iter().map(|member| table.named(member)).collect();
    format!("SELECT id, {} FROM {}", columns.join(", "), table.name)
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
