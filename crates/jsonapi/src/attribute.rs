//! What an attribute of a resource is on the wire and in the database.

use decimal::Decimal;

use crate::value::Value;

/// The kind of value that an attribute holds; decides decoding, rendering and filter operators.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Unicode text.
    Text,
    /// An exact decimal.
    Decimal,
    /// An integer within `min..=max`. `digits_only` takes just `[+-]digits`, no `5.0` or `1e1`.
    Integer {
        /// Smallest value that is stored.
        min: i64,
        /// Largest value that is stored.
        max: i64,
        /// Whether whole numbers in another notation are refused.
        digits_only: bool,
        /// The only numbers taken, unless empty; all else `is not included in the list`.
        listed: &'static [i64],
    },
    /// True or false, decoded leniently (contract, protocol 4.5).
    Boolean,
    /// A uuid.
    Uuid,
    /// An instant.
    Timestamp,
    /// Record ids.
    IdList,
    /// One of the listed words.
    Enumeration(&'static [&'static str]),
    /// A list of listed words, each once: JSON in the database.
    Words(&'static [&'static str]),
    /// Any JSON, read-only so far.
    Json,
}

/// What a create stores for an attribute that the body leaves out.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// Null.
    Null,
    /// A decimal.
    Decimal(Decimal),
    /// A text.
    Text(&'static str),
    /// An integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

impl Default {
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Decimal(decimal) => Value::Decimal(decimal),
            Self::Text(text) => Value::text(text),
            Self::Int(int) => Value::Int(int),
            Self::Bool(bool) => Value::Bool(bool),
        }
    }
}

/// Longest unique text, in characters. An entry of PostgreSQL's indexes holds 2,704 bytes, and a
/// character takes up to four.
pub const UNIQUE_CHARS_MAX: usize = 600;

/// How an attribute appears outside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Always a member of `attributes`.
    Always,
    /// A member beyond the reference's: left out while null, unless a fieldset asks for it.
    WhenSet,
    /// A member beyond the reference's: left out unless a fieldset asks for it.
    OnRequest,
    /// Accepted, stored encrypted, always answered as null (D19).
    WriteOnly,
    /// A column of ours that is no part of the wire.
    Internal,
}

/// One attribute. Built by [`text`], [`decimal()`], … and the methods that follow them.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Name on the wire, dasherised.
    pub name: &'static str,
    /// Kind of value.
    pub kind: Kind,
    /// Whether a create may send it.
    pub creatable: bool,
    /// Whether an update may send it.
    pub updatable: bool,
    /// Whether null and blank text are refused with `can't be blank`.
    pub required: bool,
    /// Whether null is refused with `can't be blank`, blank text being welcome.
    pub not_null: bool,
    /// Whether two records may not share a non-null value: `has already been taken`.
    pub unique: bool,
    /// Narrows `unique` to records with the same relationship of this name.
    pub unique_within: Option<&'static str>,
    /// Whether the number 0 is refused with `must be other than 0`.
    pub nonzero: bool,
    /// Longest text that is taken, in characters.
    pub chars_max: Option<usize>,
    /// Whether changes of the value belong into audit records.
    pub audited: bool,
    /// Whether `sort` takes it.
    pub sortable: bool,
    /// Whether `filter[name_op]` takes it, with the operators of its kind.
    pub filterable: bool,
    /// Whether `filter[name]` takes it.
    pub exact_filter: bool,
    /// What a create stores when it is not sent.
    pub default: Default,
    /// Where it appears.
    pub visibility: Visibility,
    /// One sentence for the API description: meaning and unit.
    pub meaning: &'static str,
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            creatable: true,
            updatable: true,
            required: false,
            not_null: false,
            unique: false,
            unique_within: None,
            nonzero: false,
            chars_max: None,
            audited: true,
            sortable: true,
            filterable: false,
            exact_filter: false,
            default: Default::Null,
            visibility: Visibility::Always,
            meaning,
        }
    }

    /// Refuses null and blank text.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Refuses null, but takes blank text.
    #[must_use]
    pub const fn not_null(mut self) -> Self {
        self.not_null = true;
        self
    }

    /// Refuses a value that another record has.
    #[must_use]
    pub const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Refuses a value that another record with the same relationship has.
    #[must_use]
    pub const fn unique_within(mut self, relationship: &'static str) -> Self {
        self.unique_within = Some(relationship);
        self.unique()
    }

    /// Refuses the number 0.
    #[must_use]
    pub const fn nonzero(mut self) -> Self {
        self.nonzero = true;
        self
    }

    /// Refuses longer texts.
    #[must_use]
    pub const fn chars_max(mut self, chars_max: usize) -> Self {
        self.chars_max = Some(chars_max);
        self
    }

    /// The longest text that is taken, in characters.
    pub(crate) const fn longest(&self) -> Option<usize> {
        match (self.chars_max, self.kind) {
            (None, Kind::Text) if self.unique => Some(UNIQUE_CHARS_MAX),
            (chars_max, _) => chars_max,
        }
    }

    /// Stays out of audit records.
    #[must_use]
    pub const fn unaudited(mut self) -> Self {
        self.audited = false;
        self
    }

    /// Takes `filter[name_op]`.
    #[must_use]
    pub const fn filterable(mut self) -> Self {
        self.filterable = true;
        self
    }

    /// Takes `filter[name]` too.
    #[must_use]
    pub const fn exact_filter(mut self) -> Self {
        self.exact_filter = true;
        self
    }

    /// Is refused by `sort`.
    #[must_use]
    pub const fn unsortable(mut self) -> Self {
        self.sortable = false;
        self
    }

    /// Is refused in bodies (400, code 105).
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.creatable = false;
        self.updatable = false;
        self
    }

    /// Is left out of answers while null, unless asked for by a fieldset.
    #[must_use]
    pub const fn shown_when_set(mut self) -> Self {
        self.visibility = Visibility::WhenSet;
        self
    }

    /// Is left out of answers, unless asked for by a fieldset.
    #[must_use]
    pub const fn on_request(mut self) -> Self {
        self.visibility = Visibility::OnRequest;
        self
    }

    /// Is refused in the bodies of updates (400, code 105).
    #[must_use]
    pub const fn create_only(mut self) -> Self {
        self.updatable = false;
        self
    }

    /// Is stored but never answered.
    #[must_use]
    pub const fn write_only(mut self) -> Self {
        self.visibility = Visibility::WriteOnly;
        self
    }

    /// Is a column without a place on the wire.
    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.visibility = Visibility::Internal;
        self.sortable = false;
        self.read_only()
    }

    /// Is stored when a create leaves the attribute out.
    #[must_use]
    pub const fn or(mut self, default: Default) -> Self {
        self.default = default;
        self
    }

    /// Is stored as this decimal when left out.
    #[must_use]
    pub const fn or_decimal(self, default: Decimal) -> Self {
        self.or(Default::Decimal(default))
    }

    /// Is stored as this text when left out.
    #[must_use]
    pub const fn or_text(self, default: &'static str) -> Self {
        self.or(Default::Text(default))
    }

    /// Is stored as this integer when left out.
    #[must_use]
    pub const fn or_int(self, default: i64) -> Self {
        self.or(Default::Int(default))
    }

    /// Is stored as this boolean when left out.
    #[must_use]
    pub const fn or_bool(self, default: bool) -> Self {
        self.or(Default::Bool(default))
    }

    /// Whether clients can see or name it at all.
    #[must_use]
    pub const fn on_the_wire(&self) -> bool {
        !matches!(self.visibility, Visibility::Internal)
    }

    /// Whether no record is without a value.
    #[must_use]
    pub const fn never_null(&self) -> bool {
        self.required || self.not_null
    }

    /// Whether values must never leave the process.
    #[must_use]
    pub const fn is_write_only(&self) -> bool {
        matches!(self.visibility, Visibility::WriteOnly)
    }
}

/// A text attribute.
#[must_use]
pub const fn text(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::Text, meaning)
}

/// An exact decimal attribute.
#[must_use]
pub const fn decimal(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::Decimal, meaning)
}

/// An integer attribute within `min..=max`; whole numbers in any notation are taken.
#[must_use]
pub const fn integer(name: &'static str, min: i64, max: i64, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::Integer { min, max, digits_only: false, listed: &[] }, meaning)
}

impl Attribute {
    /// Takes JSON integers and `[+-]digits` only: `5.0` and `"1e2"` are `must be an integer`.
    #[must_use]
    pub const fn digits_only(mut self) -> Self {
        if let Kind::Integer { min, max, listed, .. } = self.kind {
            self.kind = Kind::Integer { min, max, digits_only: true, listed };
        }
        self
    }

    /// Takes these integers only; anything else, number or not, `is not included in the list`.
    #[must_use]
    pub const fn one_of(mut self, listed: &'static [i64]) -> Self {
        if let Kind::Integer { min, max, digits_only, .. } = self.kind {
            self.kind = Kind::Integer { min, max, digits_only, listed };
        }
        self
    }
}

/// A boolean attribute.
#[must_use]
pub const fn boolean(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::Boolean, meaning)
}

/// A uuid attribute.
#[must_use]
pub const fn uuid(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::Uuid, meaning)
}

/// A timestamp attribute.
#[must_use]
pub const fn timestamp(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::Timestamp, meaning)
}

/// A list of record ids.
#[must_use]
pub const fn id_list(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::IdList, meaning)
}

/// One word of a closed list.
#[must_use]
pub const fn enumeration(
    name: &'static str,
    words: &'static [&'static str],
    meaning: &'static str,
) -> Attribute {
    Attribute::new(name, Kind::Enumeration(words), meaning)
}

/// Some words of a closed list; never none.
#[must_use]
pub const fn words(
    name: &'static str,
    words: &'static [&'static str],
    meaning: &'static str,
) -> Attribute {
    Attribute::new(name, Kind::Words(words), meaning).unsortable()
}

/// A JSON document that only the server writes.
#[must_use]
pub const fn json(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute::new(name, Kind::Json, meaning).unsortable().read_only()
}
