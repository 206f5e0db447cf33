//! The values that attributes hold, and the record that carries them.
//!
//! A [`Record`] is the one form in which a row travels between database, rules and wire: values
//! in the order of the definition's attributes, foreign keys in the order of its relationships.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;
use decimal::Decimal;
use jiff::Timestamp;
use uuid::Uuid;

/// One attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value: `null` on the wire.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit integer, a JSON number.
    Int(i64),
    /// An exact decimal, a JSON *string* such as `"0.0"` (contract, protocol 4.4).
    Decimal(Decimal),
    /// Text, unchanged.
    Text(CompactString),
    /// A uuid: 36 characters, lower case.
    Uuid(Uuid),
    /// An instant: ISO-8601 with three fraction digits.
    Time(Timestamp),
    /// A list of record ids, repeats and order kept.
    Ids(Vec<i64>),
    /// A JSON document, stored and answered as it is.
    Json(Box<str>),
}

impl Value {
    /// Text from anything that reads as a string.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(CompactString::new(text))
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if this is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The decimal, if this is one.
    #[must_use]
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Decimal(decimal) => Some(*decimal),
            _ => None,
        }
    }

    /// The integer, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The instant, if this is one.
    #[must_use]
    pub fn as_time(&self) -> Option<Timestamp> {
        match self {
            Self::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// Whether the value is null or text of blanks only: what `can't be blank` refuses.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.chars().all(char::is_whitespace),
            _ => false,
        }
    }
}

/// Why a sent value cannot be an attribute's value; displays as the contract's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub Cow<'static, str>);

impl Unfit {
    /// Not a number at all.
    pub const NOT_A_NUMBER: Self = Self(Cow::Borrowed("is not a number"));
    /// A number, but not a whole one.
    pub const NOT_AN_INTEGER: Self = Self(Cow::Borrowed("must be an integer"));
    /// Of the wrong form.
    pub const INVALID: Self = Self(Cow::Borrowed("is invalid"));
    /// Not one of the listed values.
    pub const NOT_LISTED: Self = Self(Cow::Borrowed("is not included in the list"));

    /// A text of more than `max` characters.
    #[must_use]
    pub fn too_long(max: usize) -> Self {
        Self(Cow::Owned(format!("is too long (maximum is {max} characters)")))
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A record's identifier: a string on the wire, an integer in the database for all but zones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A database key.
    Int(i64),
    /// A name that is its own key (`timezones`).
    Text(CompactString),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(id) => write!(f, "{id}"),
            Self::Text(id) => f.write_str(id),
        }
    }
}

/// One row: values by attribute, foreign keys by relationship, both in definition order.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The record's own id.
    pub id: Id,
    /// One value for each attribute of the definition.
    pub values: Vec<Value>,
    /// One foreign key for each relationship of the definition.
    pub links: Vec<Option<i64>>,
}

impl Record {
    /// The database key; 0, which no row has, for records keyed by text.
    #[must_use]
    pub fn key(&self) -> i64 {
        match self.id {
            Id::Int(id) => id,
            Id::Text(_) => 0,
        }
    }
}
