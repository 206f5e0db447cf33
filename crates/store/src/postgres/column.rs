//! Values to PostgreSQL's columns and back, in its binary format
//! (PostgreSQL source, `src/backend/utils/adt/*recv` and `*send`).

use std::error::Error;
use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use compact_str::CompactString;
use decimal::Decimal;
use jiff::Timestamp;
use jsonapi::{Kind, Value};
use tokio_postgres::types::{self as postgres_types, FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

/// Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The first instant a `TIMESTAMPTZ` holds: 4714-11-24 BC. Earlier ones become this one, which is
/// before all that is stored.
const FIRST_MICROS: i64 = -210_866_803_200_000_000;
/// Decimal digits of one place of a `NUMERIC`.
const BASE: i128 = 10_000;
/// Places behind the point: three times four are the twelve digits of a decimal.
const FRACTION_PLACES: i16 = 3;
const NEGATIVE: u16 = 0x4000;
const POSITIVE: u16 = 0;

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    /// A value.
    One(&'a Value),
    /// One column of many rows, as an array: the first of `values`, and of those that follow it
    /// every `width`-th.
    Column { values: &'a [Value], width: usize },
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::One(value) => put(value, kind, out),
            Self::Column { values, width } => {
                let postgres_types::Kind::Array(member) = kind.kind() else {
                    return Err("rows are inserted from arrays".into());
                };
                put_array(member, values.iter().step_by(*width), out)?;
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn put(
    value: &Value,
    kind: &Type,
    out: &mut BytesMut,
) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    match value {
        Value::Null => return Ok(IsNull::Yes),
        Value::Bool(bool) => out.put_u8(u8::from(*bool)),
        Value::Int(int) => match *kind {
            Type::INT4 => out.put_i32(i32::try_from(*int)?),
            _ => out.put_i64(*int),
        },
        Value::Decimal(decimal) => put_numeric(*decimal, out),
        Value::Text(text) => out.put_slice(text.as_bytes()),
        Value::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
        Value::Time(time) => {
            out.put_i64(time.as_microsecond().max(FIRST_MICROS) - EPOCH_MICROS);
        }
        // An array within an array would lose its bounds, so there it is text.
        Value::Ids(ids) if *kind == Type::TEXT => put_ids_as_text(ids, out)?,
        Value::Ids(ids) => {
            let ids: Vec<Value> = ids.iter().copied().map(Value::Int).collect();
            put_array(&Type::INT8, ids.iter(), out)?;
        }
        Value::Json(json) => out.put_slice(json.as_bytes()),
    }
    Ok(IsNull::No)
}

/// A column's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Reads a column as an attribute's kind; `None` when it is malformed.
pub fn read(stored: Option<Raw<'_>>, kind: Kind) -> Option<Value> {
    let Some(Raw(bytes)) = stored else { return Some(Value::Null) };
    Some(match kind {
        Kind::Text | Kind::Enumeration(_) => Value::Text(CompactString::from_utf8(bytes).ok()?),
        Kind::Decimal => Value::Decimal(numeric(bytes)?),
        Kind::Integer { .. } => Value::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        Kind::Boolean => Value::Bool(*bytes.first()? != 0),
        Kind::Uuid => Value::Uuid(Uuid::from_slice(bytes).ok()?),
        Kind::Timestamp => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?;
            Value::Time(Timestamp::from_microsecond(micros).ok()?)
        }
        Kind::IdList => Value::Ids(ids(bytes)?),
        Kind::Json | Kind::Words(_) => Value::Json(std::str::from_utf8(bytes).ok()?.into()),
    })
}

/// Places of four digits, the highest first, without leading and trailing zeros.
fn put_numeric(decimal: Decimal, out: &mut BytesMut) {
    let units = decimal.units();
    let mut rest = units.unsigned_abs();
    let mut places = Vec::with_capacity(10);
    while rest > 0 {
        places.push(u16::try_from(rest % BASE.unsigned_abs()).unwrap_or_default());
        rest /= BASE.unsigned_abs();
    }
    // The first of `places` is the lowest: 10^-12.
    let high = i16::try_from(places.len()).unwrap_or_default() - FRACTION_PLACES - 1;
    let trailing = places.iter().take_while(|place| **place == 0).count();
    let kept = &places[trailing..];
    out.put_u16(u16::try_from(kept.len()).unwrap_or_default());
    out.put_i16(if kept.is_empty() { 0 } else { high });
    out.put_u16(if units < 0 { NEGATIVE } else { POSITIVE });
    out.put_u16(u16::try_from(Decimal::FRACTION_DIGITS).unwrap_or_default());
    for place in kept.iter().rev() {
        out.put_u16(*place);
    }
}

fn numeric(bytes: &[u8]) -> Option<Decimal> {
    let mut words = bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let count = words.next()?;
    let high = i16::from_be_bytes(words.next()?.to_be_bytes());
    let sign = words.next()?;
    let _scale = words.next()?;
    let mut units: i128 = 0;
    let mut last = high + 1;
    for place in words.take(usize::from(count)) {
        units = units.checked_mul(BASE)?.checked_add(i128::from(place))?;
        last -= 1;
    }
    // `last` is the place of the lowest digit read; down to 10^-12 there may be zeros.
    for _ in -FRACTION_PLACES..last {
        units = units.checked_mul(BASE)?;
    }
    match sign {
        _ if last < -FRACTION_PLACES => None,
        POSITIVE => Decimal::from_units(units),
        NEGATIVE => Decimal::from_units(-units),
        _ => None,
    }
}

/// A one-dimensional array.
fn put_array<'a>(
    member: &Type,
    values: impl ExactSizeIterator<Item = &'a Value>,
    out: &mut BytesMut,
) -> Result<(), Box<dyn Error + Sync + Send>> {
    /// Nobody relies on knowing that there are no nulls.
    const MAY_HAVE_NULLS: i32 = 1;
    const NULL: i32 = -1;
    let dimensions = i32::from(values.len() > 0);
    out.put_i32(dimensions);
    out.put_i32(MAY_HAVE_NULLS);
    out.put_u32(member.oid());
    if dimensions == 0 {
        return Ok(());
    }
    out.put_i32(i32::try_from(values.len())?);
    out.put_i32(1);
    for value in values {
        let length_at = out.len();
        out.put_i32(NULL);
        if matches!(put(value, member, out)?, IsNull::No) {
            let start = length_at + size_of::<i32>();
            let length = i32::try_from(out.len() - start)?;
            out[length_at..start].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

/// The literal of an array of `BIGINT`.
fn put_ids_as_text(ids: &[i64], out: &mut BytesMut) -> Result<(), std::fmt::Error> {
    out.put_u8(b'{');
    for (position, id) in ids.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        write!(out, "{comma}{id}")?;
    }
    out.put_u8(b'}');
    Ok(())
}

fn ids(bytes: &[u8]) -> Option<Vec<i64>> {
    /// Number of dimensions, whether there are nulls, the type; then length and lower bound.
    const HEAD: usize = 12;
    const DIMENSION: usize = 8;
    let dimensions = i32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    match dimensions {
        0 => Some(Vec::new()),
        1 => bytes
            .get(HEAD + DIMENSION..)?
            .chunks(4 + 8)
            .map(|element| element.get(4..)?.try_into().ok().map(i64::from_be_bytes))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) {
        let decimal = Decimal::parse(text).expect("a decimal");
        let mut bytes = BytesMut::new();
        put_numeric(decimal, &mut bytes);
        assert_eq!(numeric(&bytes), Some(decimal), "{text}");
    }

    #[test]
    fn decimals_round_trip_through_numeric() {
        for text in [
            "0",
            "1",
            "-1",
            "0.5",
            "10000",
            "-10000",
            "0.000000000001",
            "-0.0001",
            "12345.6789",
            "99999999999999999999999999.999999999999",
            "-99999999999999999999999999.999999999999",
            "100000000",
            "0.00001",
            "10000.0001",
            "123000000.000045",
        ] {
            round_trip(text);
        }
    }

    #[test]
    fn a_numeric_is_what_postgresql_sends() {
        // `SELECT numeric_send(-12345.678)`, as PostgreSQL prints it.
        let sent = [0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c];
        assert_eq!(numeric(&sent), Decimal::parse("-12345.678").ok());
    }

    #[test]
    fn what_is_finer_than_a_decimal_is_malformed() {
        // 10^-16.
        assert_eq!(numeric(&[0, 1, 0xff, 0xfc, 0, 0, 0, 16, 0, 1]), None);
        // NaN.
        assert_eq!(numeric(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None);
    }

    #[test]
    fn id_lists_round_trip() {
        for list in [&[][..], &[1], &[3, -5, i64::MAX]] {
            let mut bytes = BytesMut::new();
            put(&Value::Ids(list.to_vec()), &Type::INT8_ARRAY, &mut bytes).unwrap();
            assert_eq!(ids(&bytes).as_deref(), Some(list));
        }
    }
}
