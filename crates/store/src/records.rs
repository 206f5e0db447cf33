//! Reading and writing records inside a transaction, by definition.

use jiff::Timestamp;
use jsonapi::{Id, Kind, Record, Resource, Value};
use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Params, params_from_iter};

use crate::column::{link_to_sql, to_sql};
use crate::error::StoreError;
use crate::lane::Tx;
use crate::table::{Table, Tables};

/// Reads at most one record with a statement that starts like [`Table::select`].
pub fn read_one(
    connection: &rusqlite::Connection,
    table: &Table,
    sql: &str,
    params: impl Params,
) -> Result<Option<Record>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(|row| table.record(row)).transpose()
}

/// Visits the records that a statement which starts like [`Table::select`] finds.
pub fn read_many(
    connection: &rusqlite::Connection,
    table: &Table,
    sql: &str,
    params: impl Params,
    mut visitor: impl FnMut(Record),
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        visitor(table.record(row)?);
    }
    Ok(())
}

impl Tx {
    fn table<'a>(tables: &'a Tables, resource: &Resource) -> &'a Table {
        tables.of(resource)
    }

    /// The definition of this type.
    ///
    /// # Panics
    /// If no definition has the type: definitions name only each other.
    #[must_use]
    pub fn resource(&self, kind: &str) -> &'static Resource {
        self.tables.named(kind).resource
    }

    /// The record with this key, whether clients may see it or not. The row is locked: this is
    /// the single writer.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find(
        &mut self,
        resource: &'static Resource,
        id: i64,
    ) -> Result<Option<Record>, StoreError> {
        let table = Self::table(&self.tables, resource);
        read_one(&self.connection, table, &table.select_one, [id])
    }

    /// The record whose attribute has this value.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find_by(
        &mut self,
        resource: &'static Resource,
        attribute: &str,
        value: &Value,
    ) -> Result<Option<Record>, StoreError> {
        let table = Self::table(&self.tables, resource);
        let sql = format!("{} WHERE {} = $1", table.select, table.named(attribute));
        read_one(&self.connection, table, &sql, [to_sql(value)])
    }

    /// The record whose attribute has this value, of those whose relationship has this key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find_within(
        &mut self,
        resource: &'static Resource,
        (relationship, key): (&str, i64),
        attribute: &str,
        value: &Value,
    ) -> Result<Option<Record>, StoreError> {
        let table = Self::table(&self.tables, resource);
        let (select, within) = (&table.select, table.key(relationship));
        let sql = format!("{select} WHERE {} = $1 AND {within} = $2", table.named(attribute));
        read_one(&self.connection, table, &sql, [to_sql(value), Sql::Integer(key)])
    }

    /// Whether a record other than `except` has this value; of records whose relationship has
    /// this key, if `within` says so.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn is_taken(
        &mut self,
        resource: &'static Resource,
        attribute: usize,
        value: &Value,
        within: Option<(usize, i64)>,
        except: Option<i64>,
    ) -> Result<bool, StoreError> {
        let table = Self::table(&self.tables, resource);
        let mut sql =
            format!("SELECT id FROM {} WHERE {} = $1", table.name, table.columns[attribute]);
        let mut params = vec![to_sql(value)];
        if let Some((relationship, key)) = within {
            sql = format!("{sql} AND {} = $2", table.keys[relationship]);
            params.push(Sql::Integer(key));
        }
        let owner: Option<i64> = self
            .connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(params), |row| row.get(0))
            .optional()?;
        Ok(owner.is_some() && owner != except)
    }

    /// Whether a record of this type has this key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn exists(&mut self, kind: &str, id: i64) -> Result<bool, StoreError> {
        let sql = format!("SELECT 1 FROM {} WHERE id = $1", self.tables.named(kind).name);
        Ok(self.connection.prepare_cached(&sql)?.exists([id])?)
    }

    /// Up to `limit` keys of records of type `kind` whose `relationship` points at `id`.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn pointing_at(
        &mut self,
        kind: &str,
        relationship: &str,
        id: i64,
        limit: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let table = self.tables.named(kind);
        let key = table.key(relationship);
        let sql = format!("SELECT id FROM {} WHERE {key} = $1 LIMIT $2", table.name);
        self.keys(&sql, [Sql::Integer(id), Sql::Integer(limit)])
    }

    /// Keys of the records of type `kind` whose id list `attribute` holds `member`.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn listing(
        &mut self,
        kind: &str,
        attribute: &str,
        member: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT record_id FROM list_members WHERE list = $1 AND member_id = $2";
        self.keys(sql, [Sql::Text(list_name(kind, attribute)), Sql::Integer(member)])
    }

    fn keys(&self, sql: &str, params: impl Params) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let keys = statement.query_map(params, |row| row.get(0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Adds a record and returns it with its new id.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a unique or foreign key refuses the row.
    pub async fn insert(
        &mut self,
        resource: &'static Resource,
        values: Vec<Value>,
        links: Vec<Option<i64>>,
    ) -> Result<Record, StoreError> {
        let table = Self::table(&self.tables, resource);
        let columns = values.iter().map(to_sql).chain(links.iter().map(|link| link_to_sql(*link)));
        let id =
            self.connection.prepare_cached(&table.insert)?.insert(params_from_iter(columns))?;
        let record = Record { id: Id::Int(id), values, links };
        self.follow(resource, None, Some(&record))?;
        Ok(record)
    }

    /// Writes the columns in which `after` differs from `before`, the record as it is stored.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a unique or foreign key refuses the row.
    pub async fn update(
        &mut self,
        resource: &'static Resource,
        before: &Record,
        after: &Record,
    ) -> Result<(), StoreError> {
        let table = Self::table(&self.tables, resource);
        let mut sets = Vec::new();
        let mut params = Vec::new();
        for (position, value) in after.values.iter().enumerate() {
            if before.values[position] != *value {
                params.push(to_sql(value));
                sets.push(format!("{} = ${}", table.columns[position], params.len()));
            }
        }
        for (position, link) in after.links.iter().enumerate() {
            if before.links[position] != *link {
                params.push(link_to_sql(*link));
                sets.push(format!("{} = ${}", table.keys[position], params.len()));
            }
        }
        if sets.is_empty() {
            return Ok(());
        }
        params.push(Sql::Integer(before.key()));
        let set = sets.join(", ");
        let sql = format!("UPDATE {} SET {set} WHERE id = ${}", table.name, params.len());
        self.connection.prepare_cached(&sql)?.execute(params_from_iter(params))?;
        self.follow(resource, Some(before), Some(after))
    }

    /// Removes a stored record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another row still points at it.
    pub async fn delete(
        &mut self,
        resource: &'static Resource,
        record: &Record,
    ) -> Result<(), StoreError> {
        let table = Self::table(&self.tables, resource);
        self.connection.prepare_cached(&table.delete)?.execute([record.key()])?;
        self.follow(resource, Some(record), None)
    }

    /// Forgets up to `limit` records, of a resource that nothing points at and without id lists,
    /// whose timestamp `attribute` is before `cutoff`, the oldest first; says how many.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget(
        &mut self,
        resource: &'static Resource,
        attribute: &str,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let table = Self::table(&self.tables, resource);
        let (name, column) = (&table.name, table.named(attribute));
        let sql = format!(
            "DELETE FROM {name} WHERE id IN \
             (SELECT id FROM {name} WHERE {column} < $1 ORDER BY {column} LIMIT $2)"
        );
        let forgotten =
            self.connection.prepare_cached(&sql)?.execute((cutoff.as_microsecond(), limit))?;
        self.count(resource.kind, -i64::try_from(forgotten).unwrap_or(i64::MAX));
        Ok(forgotten)
    }

    /// Removes all records whose `relationship` points at `id`, of a resource without id lists.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another row still points at one of them.
    pub async fn delete_pointing_at(
        &mut self,
        resource: &'static Resource,
        relationship: &str,
        id: i64,
    ) -> Result<(), StoreError> {
        let table = Self::table(&self.tables, resource);
        let sql = format!("DELETE FROM {} WHERE {} = $1", table.name, table.key(relationship));
        let deleted = self.connection.prepare_cached(&sql)?.execute([id])?;
        self.count(resource.kind, -i64::try_from(deleted).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Keeps what follows from records: the totals, and who is named in which id list.
    fn follow(
        &mut self,
        resource: &'static Resource,
        before: Option<&Record>,
        after: Option<&Record>,
    ) -> Result<(), StoreError> {
        let seen = |record: Option<&Record>| {
            i64::from(record.is_some_and(|record| resource.shows(record)))
        };
        self.count(resource.kind, seen(after) - seen(before));
        let lists = resource.attributes.iter().enumerate();
        for (position, attribute) in
            lists.filter(|(_, attribute)| matches!(attribute.kind, Kind::IdList))
        {
            let members = |record: Option<&Record>| match record.map(|r| &r.values[position]) {
                Some(Value::Ids(ids)) => ids.clone(),
                _ => Vec::new(),
            };
            let (old, new) = (members(before), members(after));
            if old == new {
                continue;
            }
            let Some(record) = before.or(after).map(Record::key) else { continue };
            let list = list_name(resource.kind, attribute.name);
            self.change_list(
                "DELETE FROM list_members WHERE list = $1 AND member_id = $2 AND record_id = $3",
                &list,
                record,
                old.iter().filter(|id| !new.contains(id)),
            )?;
            self.change_list(
                "INSERT INTO list_members (list, member_id, record_id) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING",
                &list,
                record,
                new.iter().filter(|id| !old.contains(id)),
            )?;
        }
        Ok(())
    }

    fn change_list<'a>(
        &self,
        sql: &str,
        list: &str,
        record: i64,
        members: impl Iterator<Item = &'a i64>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        for member in members {
            statement.execute((list, member, record))?;
        }
        Ok(())
    }
}

fn list_name(kind: &str, attribute: &str) -> String {
    format!("{kind}.{attribute}")
}
