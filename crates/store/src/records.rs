//! Reading and writing records inside a transaction, by definition.

use std::sync::Arc;

use jiff::Timestamp;
use jsonapi::{Attribute, Id, Kind, Record, Resource, Value};

use crate::error::StoreError;
use crate::statement::Statement;
use crate::table::list_name;
use crate::tx::Tx;
use crate::work::Known;
use crate::writing::differing;

impl Tx {
    /// The definition of this type.
    ///
    /// # Panics
    /// If no definition has the type: definitions name only each other.
    #[must_use]
    pub fn resource(&self, kind: &str) -> &'static Resource {
        self.tables.named(kind).resource
    }

    /// The record with this key, whether clients may see it or not. Nobody else can change it
    /// until this transaction ends.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find(
        &mut self,
        resource: &'static Resource,
        id: i64,
    ) -> Result<Option<Record>, StoreError> {
        self.lock(resource, id).await
    }

    /// As [`Self::find`], without locking the row: for what is only looked at.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn read(
        &mut self,
        resource: &'static Resource,
        id: i64,
    ) -> Result<Option<Record>, StoreError> {
        match self.known(resource.kind, id).await? {
            Known::There(record) => return Ok(Some(record)),
            Known::Absent => return Ok(None),
            Known::Not => {}
        }
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        self.read_one(&table.select_one, &[Value::Int(id)], |row| table.record(row)).await
    }

    /// The record whose attribute has this value, which is unique. Nobody else can change it
    /// until this transaction ends.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find_by(
        &mut self,
        resource: &'static Resource,
        attribute: &str,
        value: &Value,
    ) -> Result<Option<Record>, StoreError> {
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        let changes = self.work.changes(resource.kind, changes(table.position(attribute)));
        if changes || !self.work.inserts(resource.kind).is_empty() {
            self.flush().await?;
        }
        let column = table.named(attribute);
        let sql = format!("SELECT id FROM {} WHERE {column} = $1", table.name);
        let keys = self.read_keys(&sql, std::slice::from_ref(value)).await?;
        let Some(id) = keys.first() else { return Ok(None) };
        let found = self.find(resource, *id).await?;
        // It may have changed before it was locked.
        Ok(found.filter(|record| resource.value(record, attribute) == value))
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
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        let position = table.position(attribute);
        let link = resource.relationship(relationship);
        let waiting = self.work.inserts(resource.kind).iter().find(|record| {
            position.is_some_and(|position| record.values[position] == *value)
                && link.is_some_and(|link| record.links[link] == Some(key))
        });
        if let Some(record) = waiting {
            return Ok(Some(record.clone()));
        }
        if self.work.changes(resource.kind, |_, _| true) {
            self.flush().await?;
        }
        let (select, within) = (&table.select, table.key(relationship));
        let sql = format!("{select} WHERE {} = $1 AND {within} = $2", table.named(attribute));
        self.read_one(&sql, &[value.clone(), Value::Int(key)], |row| table.record(row)).await
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
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        if self.work.changes(resource.kind, changes(Some(attribute))) {
            self.flush().await?;
        }
        let waiting = self.work.inserts(resource.kind).iter().find(|record| {
            record.values[attribute] == *value
                && within.is_none_or(|(link, key)| record.links[link] == Some(key))
        });
        if let Some(owner) = waiting {
            return Ok(Some(owner.key()) != except);
        }
        let mut sql =
            format!("SELECT id FROM {} WHERE {} = $1", table.name, table.columns[attribute]);
        let mut params = vec![value.clone()];
        if let Some((relationship, key)) = within {
            sql = format!("{sql} AND {} = $2", table.keys[relationship]);
            params.push(Value::Int(key));
        }
        let owner = self.read_one(&sql, &params, |row| row.int(0)).await?;
        Ok(owner.is_some() && owner != except)
    }

    /// Whether a record of this type has this key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn exists(&mut self, kind: &'static str, id: i64) -> Result<bool, StoreError> {
        match self.known(kind, id).await? {
            Known::There(_) => return Ok(true),
            Known::Absent => return Ok(false),
            Known::Not => {}
        }
        let sql = format!("SELECT 1 FROM {} WHERE id = $1", self.tables.named(kind).name);
        Ok(self.read_one(&sql, &[Value::Int(id)], |_| Ok(())).await?.is_some())
    }

    /// Up to `limit` keys of records of type `kind` whose `relationship` points at `id`, in their
    /// order.
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
        self.flush().await?;
        let tables = Arc::clone(&self.tables);
        let table = tables.named(kind);
        let key = table.key(relationship);
        let sql = format!("SELECT id FROM {} WHERE {key} = $1 ORDER BY id LIMIT $2", table.name);
        self.read_keys(&sql, &[Value::Int(id), Value::Int(limit)]).await
    }

    /// All records that belong to `owner` by this relationship, in the order of their keys. They
    /// are not locked: for those that change only while their owner is.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn belonging(
        &mut self,
        resource: &'static Resource,
        (relationship, owner): (&str, i64),
    ) -> Result<Vec<Record>, StoreError> {
        let found = self.snapshot().await?.belonging(resource, (relationship, owner)).await;
        self.noted(found)
    }

    /// Keys of the records of type `kind` whose id list `attribute` holds `member`, in their order.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn listing(
        &mut self,
        kind: &str,
        attribute: &str,
        member: i64,
    ) -> Result<Vec<i64>, StoreError> {
        self.flush().await?;
        let sql = "SELECT record_id FROM list_members WHERE list = $1 AND member_id = $2 \
                   ORDER BY record_id";
        self.read_keys(sql, &[list_name(kind, attribute), Value::Int(member)]).await
    }

    /// Adds a record and returns it with its new id.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a unique or foreign key refuses the row, though perhaps only
    /// later: then the operation runs again.
    pub async fn insert(
        &mut self,
        resource: &'static Resource,
        values: Vec<Value>,
        links: Vec<Option<i64>>,
    ) -> Result<Record, StoreError> {
        let tables = Arc::clone(&self.tables);
        let mark = self.work.mark();
        let id = self.next_id(tables.of(resource)).await?;
        let record = resource.derived(Record { id: Id::Int(id), values, links });
        self.work.insert(resource.kind, record.clone());
        self.follow(resource, None, Some(&record));
        self.write_through(mark).await?;
        Ok(record)
    }

    /// Adds a record under the id that it has.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub async fn restore(
        &mut self,
        resource: &'static Resource,
        record: &Record,
    ) -> Result<(), StoreError> {
        let mark = self.work.mark();
        let id = record.key();
        self.follow(resource, None, Some(record));
        self.work.insert(resource.kind, resource.derived(record.clone()));
        self.work.pass(resource.kind, id);
        self.pass_id(resource.kind, id);
        self.write_through(mark).await
    }

    /// Writes the columns in which `after` differs from `before`, the record as it is stored.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub async fn update(
        &mut self,
        resource: &'static Resource,
        before: &Record,
        after: &Record,
    ) -> Result<(), StoreError> {
        let mark = self.work.mark();
        let next = resource.derived(after.clone());
        self.work.set((resource.kind, before.key()), before, Some(next));
        self.follow(resource, Some(before), Some(after));
        self.write_through(mark).await
    }

    /// As [`Self::update`], but `before` may have been read outside the transaction: where the
    /// attribute `guard` is another by now, nothing is changed, and nobody hears of it. Whether
    /// clients see the record must not change with it.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub async fn update_if_still(
        &mut self,
        resource: &'static Resource,
        guard: &str,
        before: &Record,
        after: &Record,
    ) -> Result<(), StoreError> {
        self.unsettle(resource);
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        let (columns, mut params) = differing(before, &resource.derived(after.clone()));
        if columns.is_empty() {
            return Ok(());
        }
        params.extend([Value::Int(before.key()), resource.value(before, guard).clone()]);
        let (update, guard) = (table.update(&columns), table.named(guard));
        let sql = format!("{update} AND {guard} = ${}", params.len());
        self.leave(Statement::new(sql, params)).await
    }

    /// Removes a stored record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another row still points at it, though perhaps only later:
    /// then the operation runs again.
    pub async fn delete(
        &mut self,
        resource: &'static Resource,
        record: &Record,
    ) -> Result<(), StoreError> {
        let mark = self.work.mark();
        self.work.set((resource.kind, record.key()), record, None);
        self.follow(resource, Some(record), None);
        self.write_through(mark).await
    }

    /// Forgets up to `limit` records, of a resource that nothing points at and without id lists,
    /// whose timestamp `attribute` is before `cutoff`, the oldest first; says how many. `but` names
    /// an attribute that is never null, and the text of it that records have which stay.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget(
        &mut self,
        resource: &'static Resource,
        attribute: &str,
        but: Option<(&str, &str)>,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        let (name, column) = (&table.name, table.named(attribute));
        let mut params = vec![Value::Time(cutoff)];
        let mut old = format!("{column} < $1");
        if let Some((attribute, stays)) = but {
            params.push(Value::text(stays));
            old = format!("{old} AND {} <> $2", table.named(attribute));
        }
        params.push(Value::Int(i64::from(limit)));
        let sql = format!(
            "DELETE FROM {name} WHERE id IN \
             (SELECT id FROM {name} WHERE {old} ORDER BY {column} LIMIT ${})",
            params.len()
        );
        let forgotten = self.execute(&sql, &params).await?;
        self.work.count(resource.kind, -i64::try_from(forgotten).unwrap_or(i64::MAX));
        Ok(forgotten)
    }

    /// Removes all records whose `relationship` points at `id`: at once, or where they have id
    /// lists, which is where they are few, one by one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another row still points at one of them.
    pub async fn delete_pointing_at(
        &mut self,
        resource: &'static Resource,
        relationship: &str,
        id: i64,
    ) -> Result<(), StoreError> {
        let is_list = |attribute: &Attribute| matches!(attribute.kind, Kind::IdList);
        if resource.attributes.iter().any(is_list) {
            for record in self.belonging(resource, (relationship, id)).await? {
                self.delete(resource, &record).await?;
            }
            return Ok(());
        }
        let tables = Arc::clone(&self.tables);
        let table = tables.of(resource);
        let sql = format!("DELETE FROM {} WHERE {} = $1", table.name, table.key(relationship));
        let deleted = self.execute(&sql, &[Value::Int(id)]).await?;
        if let Some(position) = resource.relationship(relationship) {
            self.work.gone(resource.kind, position, id);
        }
        self.work.count(resource.kind, -i64::try_from(deleted).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Keeps what follows from records: the totals.
    fn follow(
        &mut self,
        resource: &'static Resource,
        before: Option<&Record>,
        after: Option<&Record>,
    ) {
        self.unsettle(resource);
        let seen = |record: Option<&Record>| {
            i64::from(record.is_some_and(|record| resource.shows(record)))
        };
        self.work.count(resource.kind, seen(after) - seen(before));
    }
}

/// Whether a change is one of this attribute, or any.
fn changes(attribute: Option<usize>) -> impl Fn(&Record, &Record) -> bool {
    move |before, after| match attribute {
        Some(position) => before.values[position] != after.values[position],
        None => true,
    }
}
