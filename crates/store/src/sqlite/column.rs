//! Values to SQLite's columns and back.

use compact_str::CompactString;
use decimal::Decimal;
use jiff::Timestamp;
use jsonapi::{Kind, Value};
use rusqlite::types::{ToSql, ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::{Params, params_from_iter};
use uuid::Uuid;

/// A value as a parameter.
#[derive(Debug)]
pub struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let blob = |bytes: Vec<u8>| ToSqlOutput::Owned(Sql::Blob(bytes));
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Owned(Sql::Null),
            Value::Bool(bool) => ToSqlOutput::Owned(Sql::Integer(i64::from(*bool))),
            Value::Int(int) => ToSqlOutput::Owned(Sql::Integer(*int)),
            Value::Decimal(decimal) => blob(decimal.to_ordered_bytes().to_vec()),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Uuid(uuid) => ToSqlOutput::Borrowed(ValueRef::Blob(uuid.as_bytes())),
            Value::Time(time) => ToSqlOutput::Owned(Sql::Integer(time.as_microsecond())),
            Value::Ids(ids) => blob(ids_to_bytes(ids)),
            Value::Json(json) => ToSqlOutput::Borrowed(ValueRef::Text(json.as_bytes())),
        })
    }
}

/// Values as the parameters of a statement.
pub fn params(values: &[Value]) -> impl Params + '_ {
    params_from_iter(values.iter().map(Bound))
}

/// Reads a column as an attribute's kind; `None` when it is malformed.
pub fn read(stored: ValueRef<'_>, kind: Kind) -> Option<Value> {
    Some(match (kind, stored) {
        (_, ValueRef::Null) => Value::Null,
        (Kind::Text | Kind::Enumeration(_), ValueRef::Text(bytes)) => {
            Value::Text(CompactString::from_utf8(bytes).ok()?)
        }
        (Kind::Decimal, ValueRef::Blob(bytes)) => {
            Value::Decimal(Decimal::from_ordered_bytes(bytes.try_into().ok()?)?)
        }
        (Kind::Integer { .. }, ValueRef::Integer(int)) => Value::Int(int),
        (Kind::Boolean, ValueRef::Integer(int)) => Value::Bool(int != 0),
        (Kind::Uuid, ValueRef::Blob(bytes)) => Value::Uuid(Uuid::from_slice(bytes).ok()?),
        (Kind::Timestamp, ValueRef::Integer(micros)) => {
            Value::Time(Timestamp::from_microsecond(micros).ok()?)
        }
        (Kind::IdList, ValueRef::Blob(bytes)) => Value::Ids(ids_from_bytes(bytes)?),
        (Kind::Json | Kind::Words(_), ValueRef::Text(bytes)) => {
            Value::Json(std::str::from_utf8(bytes).ok()?.to_owned().into_boxed_str())
        }
        _ => return None,
    })
}

/// Each id as 8 bytes, big-endian with the sign bit flipped: bytes sort as lists of ids do.
fn ids_to_bytes(ids: &[i64]) -> Vec<u8> {
    ids.iter().flat_map(|id| (id ^ i64::MIN).to_be_bytes()).collect()
}

fn ids_from_bytes(bytes: &[u8]) -> Option<Vec<i64>> {
    bytes
        .chunks(8)
        .map(|chunk| chunk.try_into().ok().map(|chunk| i64::from_be_bytes(chunk) ^ i64::MIN))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_lists_round_trip_and_sort_like_lists() {
        let lists: [&[i64]; 6] = [&[], &[-5], &[1], &[1, 2], &[3], &[i64::MAX]];
        for pair in lists.windows(2) {
            assert!(ids_to_bytes(pair[0]) < ids_to_bytes(pair[1]), "{pair:?}");
        }
        for list in lists {
            assert_eq!(ids_from_bytes(&ids_to_bytes(list)).as_deref(), Some(list));
        }
        assert_eq!(ids_from_bytes(&[1, 2, 3]), None);
    }
}
