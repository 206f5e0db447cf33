//! A row that a query finds, read as the values that its columns hold.

use jsonapi::{Kind, Value};

use crate::error::StoreError;
use crate::postgres::column::{self as postgres_column, Raw};
use crate::sqlite::column as sqlite_column;

/// A row of either database.
#[derive(Clone, Copy, Debug)]
pub enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

pub const INTEGER: Kind =
    Kind::Integer { min: i64::MIN, max: i64::MAX, digits_only: false, listed: &[] };

impl Row<'_> {
    /// The column at `index` as an attribute's kind.
    pub fn value(&self, index: usize, kind: Kind) -> Result<Value, StoreError> {
        let read = match self {
            Self::Sqlite(row) => sqlite_column::read(row.get_ref(index)?, kind),
            Self::Postgres(row) => {
                postgres_column::read(row.try_get::<_, Option<Raw<'_>>>(index)?, kind)
            }
        };
        read.ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    fn name(&self, index: usize) -> String {
        match self {
            Self::Sqlite(row) => row.as_ref().column_name(index).unwrap_or_default().to_owned(),
            Self::Postgres(row) => {
                row.columns().get(index).map(|column| column.name().to_owned()).unwrap_or_default()
            }
        }
    }

    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        let value = self.value(index, INTEGER)?;
        value.as_int().ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    pub fn optional_int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        Ok(self.value(index, INTEGER)?.as_int())
    }

    pub fn text(&self, index: usize) -> Result<String, StoreError> {
        self.optional_text(index)?.ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    pub fn optional_text(&self, index: usize) -> Result<Option<String>, StoreError> {
        Ok(self.value(index, Kind::Text)?.as_text().map(str::to_owned))
    }

    pub fn bool(&self, index: usize) -> Result<bool, StoreError> {
        Ok(self.value(index, Kind::Boolean)? == Value::Bool(true))
    }

    pub fn time(&self, index: usize) -> Result<jiff::Timestamp, StoreError> {
        let value = self.value(index, Kind::Timestamp)?;
        value.as_time().ok_or_else(|| StoreError::Malformed(self.name(index)))
    }

    pub fn optional_time(&self, index: usize) -> Result<Option<jiff::Timestamp>, StoreError> {
        Ok(self.value(index, Kind::Timestamp)?.as_time())
    }
}
