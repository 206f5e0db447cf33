//! The order of a list, and pages by cursor along it: `page[after]` and `page[before]`, for definitions with `cursors`.
//!
//! The rows before a numbered page must be stepped over, and rows that come meanwhile shift it. A
//! cursor names the record beside the page instead, by the values that the list is ordered by: an
//! index leads there from any depth. It also carries the total, so that only the first page of a
//! walk counts. Whoever forges a cursor is answered wrongly, but sees nothing new.

use std::fmt::Write;

use jiff::Timestamp;

use crate::attribute::Kind;
use crate::definition::{Resource, Target};
use crate::params::Params;
use crate::value::{Record, Value};

/// One sort field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// What it looks at.
    pub target: Target,
    /// Largest first.
    pub descending: bool,
}

/// A page that lies beside a record, or at an end of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    /// Whether the page lies before the record (`page[before]`) rather than after it.
    pub backwards: bool,
    /// The record; without one the walk begins, at the end of the list when it goes backwards.
    pub from: Option<Cursor>,
}

/// Where a record stands in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// The list's total when the walk began.
    pub total: u64,
    /// The record's value of each sort key: integers and instants.
    pub keys: Vec<Value>,
}

/// A list that cursors lead through. The cursors of another resource, order or filter do not fit
/// it: they would lead astray, or tell the total of another list.
#[derive(Debug)]
pub(crate) struct Trail<'a> {
    resource: &'static Resource,
    sort: &'a [Sort],
    mark: u64,
}

impl<'a> Trail<'a> {
    /// The trail along `sort`, unless a sort key can be null or is no integer or instant.
    pub(crate) fn new(
        resource: &'static Resource,
        sort: &'a [Sort],
        params: &Params,
    ) -> Option<Self> {
        let leads = sort.iter().all(|sort| resource.has_cursor_key(sort.target));
        leads.then(|| Self { resource, sort, mark: mark(resource, sort, params) })
    }

    /// The text of the record's cursor; none for a record that lacks a key against its definition.
    pub(crate) fn cursor(&self, record: &Record, total: u64) -> Option<String> {
        let mut text = format!("{:x}.{total:x}", self.mark);
        for sort in self.sort {
            let key = stored_key(record, sort.target)?.cast_unsigned();
            write!(text, ".{key:x}").ok()?;
        }
        Some(text)
    }

    /// Reads what [`Trail::cursor`] has written, and nothing else.
    pub(crate) fn read(&self, text: &str) -> Option<Cursor> {
        let mut parts = text.split('.').map(number);
        let (mark, total) = (parts.next()??, parts.next()??);
        let keys: Vec<Value> = self
            .sort
            .iter()
            .map(|sort| self.key(sort.target, parts.next()??.cast_signed()))
            .collect::<Option<_>>()?;
        (mark == self.mark && parts.next().is_none()).then_some(Cursor { total, keys })
    }

    fn key(&self, target: Target, stored: i64) -> Option<Value> {
        Some(match target {
            Target::Attribute(at)
                if matches!(self.resource.attributes[at].kind, Kind::Timestamp) =>
            {
                Value::Time(Timestamp::from_microsecond(stored).ok()?)
            }
            _ => Value::Int(stored),
        })
    }
}

impl Resource {
    /// Whether cursors can hold what the list is ordered by.
    fn has_cursor_key(&self, target: Target) -> bool {
        let fits = match target {
            Target::Id => !self.keyed_by_text,
            Target::Relationship(_) => true,
            Target::Attribute(at) => {
                matches!(self.attributes[at].kind, Kind::Integer { .. } | Kind::Timestamp)
            }
        };
        fits && self.always_set(target)
    }
}

/// A number as cursors have them, in the one spelling that they use.
fn number(text: &str) -> Option<u64> {
    let number = u64::from_str_radix(text, 16).ok()?;
    (format!("{number:x}") == text).then_some(number)
}

fn stored_key(record: &Record, target: Target) -> Option<i64> {
    match target {
        Target::Id => Some(record.key()),
        Target::Relationship(at) => record.links[at],
        Target::Attribute(at) => {
            let value = &record.values[at];
            value.as_int().or_else(|| value.as_time().map(Timestamp::as_microsecond))
        }
    }
}

/// What tells one list from another: FNV-1a of resource, order and filters. It is no secret.
fn mark(resource: &Resource, sort: &[Sort], params: &Params) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut list = format!("{}?{}", resource.kind, params.filter_query());
    for sort in sort {
        list.push(if sort.descending { '-' } else { '+' });
        list.push_str(resource.name_of(sort.target));
    }
    list.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, Scope};
    use crate::testing::{API, ENTRIES};
    use crate::value::Id;

    fn parsed(query: &str) -> (Params, Query) {
        let params = Params::parse(query).unwrap();
        let query = Query::parse(&API, &ENTRIES, &params, Scope::List).unwrap();
        (params, query)
    }

    fn entry(id: i64, sequence: i64, micros: i64, account: i64) -> Record {
        let mut record = Record {
            id: Id::Int(id),
            values: ENTRIES.defaults(),
            links: vec![Some(account), None, None],
        };
        record.values[0] = Value::Int(sequence);
        record.values[1] = Value::Time(Timestamp::from_microsecond(micros).unwrap());
        record
    }

    fn cursor(query: &str) -> String {
        let (params, query) = parsed(query);
        let trail = Trail::new(&ENTRIES, &query.sort, &params).unwrap();
        trail.cursor(&entry(7, -3, 1_767_357_461_123_456, i64::MAX), 9).unwrap()
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let (params, query) = parsed("sort=-created-at,sequence,account-id&filter[sequence-gt]=1");
        let trail = Trail::new(&ENTRIES, &query.sort, &params).unwrap();
        for record in [entry(7, -3, 1_767_357_461_123_456, i64::MAX), entry(1, i64::MIN, 0, 1)] {
            let text = trail.cursor(&record, 1_000_000).unwrap();
            let safe = |c: char| c.is_ascii_alphanumeric() || c == '.';
            assert!(text.chars().all(safe), "{text}");
            let keys = vec![
                record.values[1].clone(),
                record.values[0].clone(),
                Value::Int(record.links[0].unwrap()),
                Value::Int(record.key()),
            ];
            assert_eq!(trail.read(&text), Some(Cursor { total: 1_000_000, keys }));
        }
    }

    #[test]
    fn a_cursor_fits_its_own_list_only() {
        let (params, query) = parsed("sort=sequence&filter[sequence-gt]=1&filter[id-lt]=9");
        let trail = Trail::new(&ENTRIES, &query.sort, &params).unwrap();
        for same in [
            "sort=sequence,id&filter[sequence-gt]=1&filter[id-lt]=9",
            "filter[id-lt]=9&filter[sequence-gt]=1&sort=sequence&page[size]=2&fields[entries]=id",
        ] {
            assert!(trail.read(&cursor(same)).is_some(), "{same}");
        }
        for other in [
            "sort=-sequence&filter[sequence-gt]=1&filter[id-lt]=9",
            "sort=account-id&filter[sequence-gt]=1&filter[id-lt]=9",
            "sort=id,sequence&filter[sequence-gt]=1&filter[id-lt]=9",
            "filter[sequence-gt]=1&filter[id-lt]=9",
            "sort=sequence&filter[sequence-gt]=2&filter[id-lt]=9",
            "sort=sequence",
        ] {
            assert_eq!(trail.read(&cursor(other)), None, "{other}");
        }
    }

    #[test]
    fn what_was_not_written_here_is_no_cursor() {
        let (params, query) = parsed("sort=created-at");
        let trail = Trail::new(&ENTRIES, &query.sort, &params).unwrap();
        let good = cursor("sort=created-at");
        assert!(trail.read(&good).is_some());
        let (mark, rest) = good.split_once('.').unwrap();
        let (total, keys) = rest.split_once('.').unwrap();
        for junk in [
            String::new(),
            "7".to_owned(),
            ".".to_owned(),
            mark.to_owned(),
            format!("{mark}.{total}"),
            format!("{good}.1"),
            format!("{good}."),
            format!(" {good}"),
            good.to_uppercase(),
            format!("{mark}.+{rest}"),
            format!("{mark}.0{rest}"),
            format!("{mark}.1ffffffffffffffff.{keys}"),
            // No instant is that late.
            format!("{mark}.{total}.7fffffffffffffff.7"),
            format!("{mark}.{total}.ю.7"),
        ] {
            assert_eq!(trail.read(&junk), None, "{junk}");
        }
    }

    #[test]
    fn cursors_follow_integers_instants_and_keys_that_are_always_set() {
        for (sort, leads) in [
            ("", true),
            ("sort=-id", true),
            ("sort=sequence,-created-at,account-id", true),
            ("sort=code", false),
            ("sort=amount", false),
            ("sort=settled-at", false),
            ("sort=parent-id", false),
        ] {
            let (params, query) = parsed(sort);
            assert_eq!(Trail::new(&ENTRIES, &query.sort, &params).is_some(), leads, "{sort}");
        }
    }
}
