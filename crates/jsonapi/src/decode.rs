//! One sent value, read as its attribute's kind (contract, protocol 4.5 with D2 to D4).
//!
//! Numbers are read from their own text, never through a float. What does not fit is no error of
//! the document but [`Unfit`], with the contract's message.

use std::borrow::Cow;

use compact_str::CompactString;
use decimal::{Decimal, DecimalError, IntegerError};
use jiff::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::attribute::{Attribute, Kind, UNIQUE_CHARS_MAX};
use crate::value::{Unfit, Value};

/// The first instant that is taken: the year 1, in microseconds. Not all databases hold earlier
/// ones.
const FIRST_MICROS: i64 = -62_135_596_800_000_000;

/// A scalar's text, or the JSON of anything else.
pub(crate) fn plain_text(json: &Json) -> Cow<'_, str> {
    match json {
        Json::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Reads a sent value as an attribute takes it. A unique text must also be short enough for the
/// index that keeps it unique; only what is sent is judged, so a longer one of before may stay.
pub(crate) fn read_attribute(attribute: &Attribute, json: &Json) -> Result<Value, Unfit> {
    let value = read_value(attribute.kind, json)?;
    match value.as_text() {
        Some(text) if attribute.unique && text.chars().count() > UNIQUE_CHARS_MAX => {
            Err(Unfit::too_long(UNIQUE_CHARS_MAX))
        }
        _ => Ok(value),
    }
}

/// Reads a sent value as an attribute's kind (contract, protocol 4.5 with D2 to D4).
///
/// # Errors
/// Why it does not fit, in the contract's words.
pub fn read_value(kind: Kind, json: &Json) -> Result<Value, Unfit> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    match kind {
        Kind::Text => read_text(json),
        Kind::Boolean => Ok(read_boolean(json)),
        Kind::IdList => read_ids(json),
        _ if json.as_str().is_some_and(|text| text.trim().is_empty()) => Ok(Value::Null),
        Kind::Decimal => {
            let text = number_text(json).ok_or(Unfit::NOT_A_NUMBER)?;
            let decimal = Decimal::parse(&text).map_err(decimal_unfit)?;
            Ok(Value::Decimal(decimal))
        }
        Kind::Integer { listed, .. } if !listed.is_empty() => {
            let int = number_text(json).and_then(|text| decimal::parse_integer(&text).ok());
            let listed = int.and_then(|int| listed.iter().find(|&&word| i128::from(word) == int));
            listed.map(|int| Value::Int(*int)).ok_or(Unfit::NOT_LISTED)
        }
        Kind::Integer { min, max, digits_only, .. } => {
            let text = number_text(json).ok_or(Unfit::NOT_A_NUMBER)?;
            read_integer(&text, digits_only).and_then(|int| within(int, min, max)).map(Value::Int)
        }
        Kind::Uuid => {
            let parsed = json.as_str().and_then(|text| Uuid::try_parse(text.trim()).ok());
            parsed.map(Value::Uuid).ok_or(Unfit::INVALID)
        }
        Kind::Timestamp => {
            let parsed = json.as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let parsed = parsed.filter(|time| time.as_microsecond() >= FIRST_MICROS);
            parsed.map(Value::Time).ok_or(Unfit::INVALID)
        }
        Kind::Enumeration(words) => {
            let word = json.as_str().filter(|word| words.contains(word));
            word.map(Value::text).ok_or(Unfit::NOT_LISTED)
        }
        Kind::Words(words) => read_words(words, json),
        Kind::Json => Err(Unfit::INVALID),
    }
}

/// The text of a JSON number, or of a string that may hold one.
fn number_text(json: &Json) -> Option<Cow<'_, str>> {
    match json {
        Json::Number(_) | Json::String(_) => Some(plain_text(json)),
        _ => None,
    }
}

fn decimal_unfit(error: DecimalError) -> Unfit {
    Unfit(Cow::Owned(error.to_string()))
}

fn read_integer(text: &str, digits_only: bool) -> Result<i128, Unfit> {
    let int = decimal::parse_integer(text).map_err(|error| match error {
        IntegerError::NotANumber => Unfit::NOT_A_NUMBER,
        IntegerError::NotAnInteger => Unfit::NOT_AN_INTEGER,
    })?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits_only && !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unfit::NOT_AN_INTEGER);
    }
    Ok(int)
}

/// Checks the bounds; a lower bound of 1 is said as the reference says it.
fn within(int: i128, min: i64, max: i64) -> Result<i64, Unfit> {
    if int < i128::from(min) {
        return Err(Unfit(match min {
            1 => Cow::Borrowed("must be greater than 0"),
            min => Cow::Owned(format!("must be greater than or equal to {min}")),
        }));
    }
    let too_large = || Unfit(Cow::Owned(format!("must be less than or equal to {max}")));
    i64::try_from(int).ok().filter(|int| *int <= max).ok_or_else(too_large)
}

fn read_text(json: &Json) -> Result<Value, Unfit> {
    let text = match json {
        Json::Bool(true) => Cow::Borrowed("t"),
        Json::Bool(false) => Cow::Borrowed("f"),
        Json::String(_) | Json::Number(_) => plain_text(json),
        Json::Array(items) if items.iter().all(Json::is_string) => plain_text(json),
        _ => return Err(Unfit::INVALID),
    };
    if text.contains('\0') {
        Err(Unfit::INVALID)
    } else {
        Ok(Value::Text(CompactString::new(text)))
    }
}

fn read_boolean(json: &Json) -> Value {
    match json {
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => Value::Bool(number.as_i64() != Some(0)),
        Json::String(text) => match text.as_str() {
            "" => Value::Null,
            "0" | "f" | "F" | "false" | "FALSE" | "off" | "OFF" => Value::Bool(false),
            _ => Value::Bool(true),
        },
        _ => Value::Bool(true),
    }
}

/// A word is a list of one; what is said twice counts once; nothing is null.
fn read_words(listed: &[&'static str], json: &Json) -> Result<Value, Unfit> {
    let items = match json {
        Json::Array(items) => items.as_slice(),
        word => std::slice::from_ref(word),
    };
    let mut words: Vec<&str> = Vec::with_capacity(items.len());
    for item in items {
        let word = item.as_str().ok_or(Unfit::INVALID)?;
        let word = listed.iter().find(|known| **known == word).ok_or(Unfit::NOT_LISTED)?;
        if !words.contains(word) {
            words.push(word);
        }
    }
    Ok(if words.is_empty() {
        Value::Null
    } else {
        Value::Json(Json::from(words).to_string().into())
    })
}

/// A scalar is a list of one; nulls and blanks are dropped; nothing left is null.
fn read_ids(json: &Json) -> Result<Value, Unfit> {
    let items = match json {
        Json::Array(items) => items.as_slice(),
        scalar => std::slice::from_ref(scalar),
    };
    let blank = |item: &&Json| match item {
        Json::Null => true,
        Json::String(text) => text.trim().is_empty(),
        _ => false,
    };
    let ids: Result<Vec<i64>, Unfit> = items
        .iter()
        .filter(|item| !blank(item))
        .map(|item| {
            let text = number_text(item).ok_or(Unfit::INVALID)?;
            let int = decimal::parse_integer(&text).map_err(|_| Unfit::INVALID)?;
            i64::try_from(int).map_err(|_| Unfit::INVALID)
        })
        .collect();
    ids.map(|ids| if ids.is_empty() { Value::Null } else { Value::Ids(ids) })
}
