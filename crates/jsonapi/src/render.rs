//! Answers: records as compact JSON, members in the contract's order (protocol 4.2).
//!
//! Written straight into bytes. The order and form of every byte is part of the contract, because
//! the `ETag` is a digest of them.

use crate::attribute::{Attribute, Visibility};
use crate::definition::{Resource, SelfLink};
use crate::json::{write_quoted_int, write_string, write_value};
use crate::params::Params;
use crate::query::{Fieldset, Query};
use crate::value::{Id, Record, Value};
use crate::walk::{Trail, Walk};

/// The URL that all links begin with: scheme, host and prefix, without a slash at the end.
///
/// The text goes into JSON unescaped: hosts are checked before they come here.
#[derive(Clone, Debug)]
pub struct Base(pub String);

/// Included records, grouped by type in the order of first meeting.
pub type Included = Vec<(&'static Resource, Vec<Record>)>;

/// One page of a list, or all of it.
#[derive(Debug, Default)]
pub struct Listing {
    /// The records, in order.
    pub records: Vec<Record>,
    /// Records on all pages.
    pub total: u64,
    /// Whether the list goes on behind the page, in the direction of the walk. Numbered pages tell
    /// that from the total.
    pub goes_on: bool,
    /// Included records.
    pub included: Included,
}

/// Bytes of a typical record, to size the buffer once.
const RECORD_BYTES: usize = 1280;

/// The document of one record, or `{"data":null}`.
#[must_use]
pub fn write_member(
    base: &Base,
    resource: &Resource,
    record: Option<&Record>,
    query: &Query,
    included: &Included,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_BYTES);
    out.extend_from_slice(b"{\"data\":");
    match record {
        None => out.extend_from_slice(b"null"),
        Some(record) => write_record(&mut out, base, resource, record, query),
    }
    write_included(&mut out, base, included, query);
    out.push(b'}');
    out
}

/// The document of a collection, or of one page of it.
#[must_use]
pub fn write_collection(
    base: &Base,
    resource: &'static Resource,
    listing: &Listing,
    query: &Query,
    params: &Params,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_BYTES * (listing.records.len() + 1));
    out.extend_from_slice(b"{\"data\":[");
    for (position, record) in listing.records.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_record(&mut out, base, resource, record, query);
    }
    out.push(b']');
    write_included(&mut out, base, &listing.included, query);
    out.extend_from_slice(b",\"meta\":{\"total-count\":");
    out.extend_from_slice(listing.total.to_string().as_bytes());
    out.push(b'}');
    if resource.paged {
        let pages = match &query.walk {
            None => numbered_pages(listing, query),
            Some(walk) => walked_pages(resource, listing, walk, query, params),
        };
        write_page_links(&mut out, base, resource, pages, |page| {
            params.page_query(page, query.page.size)
        });
    }
    out.push(b'}');
    out
}

/// The document of a relationship: `{"data":{"type","id"},"links":{"self","related"}}`.
#[must_use]
pub fn write_linkage(
    base: &Base,
    resource: &Resource,
    id: &Id,
    relationship: usize,
    link: Option<i64>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let relationship = &resource.relationships[relationship];
    out.push(b'{');
    write_data(&mut out, relationship.kind, link);
    out.push(b',');
    write_relationship_links(&mut out, &member_url(base, resource, id), relationship.name);
    out.push(b'}');
    out
}

/// The URL of a record; for singletons that of their collection.
#[must_use]
pub(crate) fn member_url(base: &Base, resource: &Resource, id: &Id) -> Vec<u8> {
    let mut url = Vec::with_capacity(base.0.len() + resource.kind.len() + 24);
    url.extend_from_slice(base.0.as_bytes());
    url.push(b'/');
    url.extend_from_slice(resource.kind.as_bytes());
    if resource.self_link == SelfLink::Member {
        url.push(b'/');
        url.extend_from_slice(id.to_string().as_bytes());
    }
    url
}

impl Base {
    /// The record's own URL: `links.self` and, for a created one, `location`.
    #[must_use]
    pub fn member_url(&self, resource: &Resource, id: &Id) -> String {
        String::from_utf8_lossy(&member_url(self, resource, id)).into_owned()
    }
}

/// A page by its `page` parameter: `number`, `after` or `before`, and the value.
type PageName = (&'static str, String);
/// First, previous, next and last page.
type Pages = [Option<PageName>; 4];

fn numbered_pages(listing: &Listing, query: &Query) -> Pages {
    let number = query.page.number;
    let last = listing.total.div_ceil(query.page.size).max(1);
    let page = |number: u64| ("number", number.to_string());
    [
        Some(page(1)),
        (number > 1).then(|| page(number - 1)),
        (number < last).then(|| page(number + 1)),
        Some(page(last)),
    ]
}

/// A page without records lies behind the end that the walk has reached, so the way back begins
/// at that end.
fn walked_pages(
    resource: &'static Resource,
    listing: &Listing,
    walk: &Walk,
    query: &Query,
    params: &Params,
) -> Pages {
    let trail = Trail::new(resource, &query.sort, params);
    let beside = |name, record: Option<&Record>| {
        let cursor = record.map(|record| trail.as_ref()?.cursor(record, listing.total));
        cursor.unwrap_or_else(|| Some(String::new())).map(|cursor| (name, cursor))
    };
    let came_from = walk.from.is_some();
    let (earlier, later) =
        if walk.backwards { (listing.goes_on, came_from) } else { (came_from, listing.goes_on) };
    [
        beside("after", None),
        earlier.then(|| beside("before", listing.records.first())).flatten(),
        later.then(|| beside("after", listing.records.last())).flatten(),
        beside("before", None),
    ]
}

fn write_page_links(
    out: &mut Vec<u8>,
    base: &Base,
    resource: &Resource,
    pages: Pages,
    query_of: impl Fn(PageName) -> String,
) {
    out.extend_from_slice(b",\"links\":{");
    let mut separator: &[u8] = b"\"";
    for (name, page) in ["first", "prev", "next", "last"].into_iter().zip(pages) {
        let Some(page) = page else { continue };
        out.extend_from_slice(separator);
        separator = b",\"";
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(base.0.as_bytes());
        out.push(b'/');
        out.extend_from_slice(resource.kind.as_bytes());
        out.push(b'?');
        out.extend_from_slice(query_of(page).as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

fn write_included(out: &mut Vec<u8>, base: &Base, included: &Included, query: &Query) {
    let records = included
        .iter()
        .flat_map(|(resource, records)| records.iter().map(move |record| (*resource, record)));
    let mut opened = false;
    for (resource, record) in records {
        out.extend_from_slice(if opened { b"," } else { b",\"included\":[" });
        opened = true;
        write_record(out, base, resource, record, query);
    }
    if opened {
        out.push(b']');
    }
}

/// Appends one resource object, as it stands in every document.
pub fn write_record(
    out: &mut Vec<u8>,
    base: &Base,
    resource: &Resource,
    record: &Record,
    query: &Query,
) {
    let url = member_url(base, resource, &record.id);
    out.extend_from_slice(b"{\"id\":");
    match &record.id {
        Id::Int(id) => write_quoted_int(out, *id),
        Id::Text(id) => write_string(out, id),
    }
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(resource.kind.as_bytes());
    out.push(b'"');
    if resource.self_link != SelfLink::None {
        out.extend_from_slice(b",\"links\":{\"self\":\"");
        out.extend_from_slice(&url);
        out.extend_from_slice(b"\"}");
    }
    let fieldset = query.fieldset(resource.kind);
    write_attributes(out, resource, record, fieldset);
    write_relationships(out, resource, record, fieldset, &url);
    out.push(b'}');
}

fn write_attributes(
    out: &mut Vec<u8>,
    resource: &Resource,
    record: &Record,
    fieldset: Option<&Fieldset>,
) {
    let mut opened = false;
    let mut write = |attribute: &Attribute, value: &Value| {
        out.extend_from_slice(if opened { b",\"" } else { b",\"attributes\":{\"" });
        opened = true;
        out.extend_from_slice(attribute.name.as_bytes());
        out.extend_from_slice(b"\":");
        write_value(out, if attribute.is_write_only() { &Value::Null } else { value });
    };
    if let Some(fieldset) = fieldset {
        for &position in &fieldset.attributes {
            write(&resource.attributes[position], &record.values[position]);
        }
    } else {
        for (attribute, value) in resource.attributes.iter().zip(&record.values) {
            match attribute.visibility {
                Visibility::Internal | Visibility::OnRequest => {}
                Visibility::WhenSet if value.is_null() => {}
                _ => write(attribute, value),
            }
        }
    }
    if opened {
        out.push(b'}');
    }
}

fn write_relationships(
    out: &mut Vec<u8>,
    resource: &Resource,
    record: &Record,
    fieldset: Option<&Fieldset>,
    url: &[u8],
) {
    let mut opened = false;
    for (position, relationship) in resource.relationships.iter().enumerate() {
        if fieldset.is_some_and(|fieldset| !fieldset.relationships.contains(&position)) {
            continue;
        }
        out.extend_from_slice(if opened { b",\"" } else { b",\"relationships\":{\"" });
        opened = true;
        out.extend_from_slice(relationship.name.as_bytes());
        out.extend_from_slice(b"\":{");
        write_relationship_links(out, url, relationship.name);
        out.push(b',');
        write_data(out, relationship.kind, record.links[position]);
        out.push(b'}');
    }
    if opened {
        out.push(b'}');
    }
}

fn write_relationship_links(out: &mut Vec<u8>, url: &[u8], name: &str) {
    out.extend_from_slice(b"\"links\":{\"self\":\"");
    out.extend_from_slice(url);
    out.extend_from_slice(b"/relationships/");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"related\":\"");
    out.extend_from_slice(url);
    out.push(b'/');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\"}");
}

fn write_data(out: &mut Vec<u8>, kind: &str, link: Option<i64>) {
    out.extend_from_slice(b"\"data\":");
    match link {
        None => out.extend_from_slice(b"null"),
        Some(id) => {
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"id\":");
            write_quoted_int(out, id);
            out.push(b'}');
        }
    }
}

/// The record's attributes and relationships as a JSON object, for the audit log: everything
/// stored but secrets, names as on the wire. With `changed_from`, only what differs from it.
///
/// # Panics
/// Never: JSON made of UTF-8 parts is UTF-8.
#[must_use]
pub fn snapshot(resource: &Resource, record: &Record, changed_from: Option<&Record>) -> Box<str> {
    let mut out = Vec::with_capacity(512);
    let mut separator = b'{';
    for (position, attribute) in resource.attributes.iter().enumerate() {
        let value = &record.values[position];
        let same = changed_from.is_some_and(|other| other.values[position] == *value);
        if same || !attribute.audited {
            continue;
        }
        out.push(separator);
        separator = b',';
        write_string(&mut out, attribute.name);
        out.push(b':');
        write_value(&mut out, if attribute.is_write_only() { &Value::Null } else { value });
    }
    for (position, relationship) in resource.relationships.iter().enumerate() {
        let link = record.links[position];
        if changed_from.is_some_and(|other| other.links[position] == link) {
            continue;
        }
        out.push(separator);
        separator = b',';
        write_string(&mut out, relationship.name);
        out.push(b':');
        write_value(&mut out, &link.map_or(Value::Null, Value::Int));
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    String::from_utf8(out).expect("JSON of UTF-8 parts is UTF-8").into_boxed_str()
}

#[cfg(test)]
mod tests {
    use decimal::Decimal;

    use super::*;
    use crate::query::Scope;
    use crate::testing::{ACCOUNTS, API, BALANCES, CONTRACTORS, ENTRIES, MAILERS, ZONES};

    fn base() -> Base {
        Base("http://example.org/api/test".into())
    }

    fn record(resource: &Resource, id: i64) -> Record {
        Record {
            id: Id::Int(id),
            values: resource.defaults(),
            links: vec![None; resource.relationships.len()],
        }
    }

    fn query(resource: &'static Resource, text: &str) -> (Query, Params) {
        let params = Params::parse(text).unwrap();
        (Query::parse(&API, resource, &params, Scope::List).unwrap(), params)
    }

    fn member(resource: &'static Resource, record: &Record, text: &str) -> String {
        let (query, _) = query(resource, text);
        let written = write_member(&base(), resource, Some(record), &query, &Vec::new());
        String::from_utf8(written).unwrap()
    }

    fn collection(resource: &'static Resource, text: &str, total: u64) -> String {
        listed(resource, text, &Listing { total, ..Listing::default() })
    }

    fn listed(resource: &'static Resource, text: &str, listing: &Listing) -> String {
        let (query, params) = query(resource, text);
        let written = write_collection(&base(), resource, listing, &query, &params);
        String::from_utf8(written).unwrap()
    }

    fn value(value: &Value) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_come_in_the_contracts_order() {
        let mut mailed = record(&CONTRACTORS, 5);
        mailed.values[0] = Value::text("Ю/\"");
        mailed.links[0] = Some(7);
        assert_eq!(
            member(&CONTRACTORS, &mailed, ""),
            concat!(
                r#"{"data":{"id":"5","type":"contractors","#,
                r#""links":{"self":"http://example.org/api/test/contractors/5"},"#,
                r#""attributes":{"name":"Ю/\""},"#,
                r#""relationships":{"mailer":{"links":{"#,
                r#""self":"http://example.org/api/test/contractors/5/relationships/mailer","#,
                r#""related":"http://example.org/api/test/contractors/5/mailer"},"#,
                r#""data":{"type":"mailers","id":"7"}}}}}"#
            )
        );
    }

    #[test]
    fn values_have_the_contracts_form() {
        let decimal = |text: &str| value(&Value::Decimal(Decimal::parse(text).unwrap()));
        assert_eq!(decimal("-0"), r#""0.0""#);
        assert_eq!(decimal("12.50"), r#""12.5""#);
        assert_eq!(decimal("1e-7"), r#""0.0000001""#);
        assert_eq!(value(&Value::Int(9_007_199_254_740_993)), "9007199254740993");
        assert_eq!(value(&Value::Int(i64::MIN)), "-9223372036854775808");
        assert_eq!(value(&Value::Ids(vec![1, 2])), "[1,2]");
        assert_eq!(value(&Value::Ids(Vec::new())), "[]");
        assert_eq!(value(&Value::Json("{\"a\":[1]}".into())), "{\"a\":[1]}");
        let time = "2026-01-02T12:37:41.123999+00:00".parse().unwrap();
        assert_eq!(value(&Value::Time(time)), r#""2026-01-02T12:37:41.123Z""#);
        let uuid = "FD868B74-E7D8-11F0-BF40-0A63CAF27539".parse().unwrap();
        assert_eq!(value(&Value::Uuid(uuid)), r#""fd868b74-e7d8-11f0-bf40-0a63caf27539""#);
        assert_eq!(value(&Value::text(" <é>/\u{2028}\n\u{1}")), "\" <é>/\u{2028}\\n\\u0001\"");
    }

    #[test]
    fn attributes_are_never_left_out_but_for_ours() {
        let text = member(&ACCOUNTS, &record(&ACCOUNTS, 1), "");
        assert!(text.contains(r#""attributes":{"name":null,"balance":"0.0","min-balance":"0.0""#));
        assert!(!text.contains("search-key") && !text.contains("remark"), "{text}");
        let mut set = record(&ACCOUNTS, 1);
        set.values[ACCOUNTS.attribute("remark").unwrap()] = Value::text("x");
        set.values[ACCOUNTS.attribute("rank").unwrap()] = Value::text("low");
        let text = member(&ACCOUNTS, &set, "");
        assert!(text.contains(r#""remark":"x""#) && !text.contains("rank"), "{text}");
        let asked = member(&ACCOUNTS, &set, "fields[accounts]=rank");
        assert!(asked.contains(r#""attributes":{"rank":"low"}"#), "{asked}");
        let asked = member(&ACCOUNTS, &record(&ACCOUNTS, 1), "fields[accounts]=remark");
        assert!(asked.contains(r#""attributes":{"remark":null}"#), "{asked}");
    }

    #[test]
    fn secrets_are_null_even_when_asked_for() {
        let mut secretive = record(&ACCOUNTS, 1);
        secretive.values[ACCOUNTS.attribute("secret").unwrap()] = Value::text("hunter2");
        for query in ["", "fields[accounts]=secret"] {
            let text = member(&ACCOUNTS, &secretive, query);
            assert!(text.contains(r#""secret":null"#), "{text}");
        }
        let audited = snapshot(&ACCOUNTS, &secretive, Some(&record(&ACCOUNTS, 1)));
        assert_eq!(&*audited, r#"{"secret":null}"#);
    }

    #[test]
    fn a_fieldset_orders_attributes_and_drops_empty_members() {
        let text = member(&ACCOUNTS, &record(&ACCOUNTS, 1), "fields[accounts]=vat,name");
        assert!(text.ends_with(r#""attributes":{"vat":null,"name":null}}}"#), "{text}");
        let text = member(&ACCOUNTS, &record(&ACCOUNTS, 1), "fields[accounts]=id");
        assert!(text.ends_with(r#""links":{"self":"http://example.org/api/test/accounts/1"}}}"#));
    }

    #[test]
    fn links_to_self_are_as_declared() {
        let zone = Record {
            id: Id::Text("Europe/Kyiv".into()),
            values: vec![Value::text("Europe/Kyiv")],
            links: Vec::new(),
        };
        assert_eq!(
            member(&ZONES, &zone, ""),
            r#"{"data":{"id":"Europe/Kyiv","type":"timezones","attributes":{"name":"Europe/Kyiv"}}}"#
        );
        let text = member(&BALANCES, &record(&BALANCES, 3), "");
        assert!(text.contains(r#"{"self":"http://example.org/api/test/balances"}"#), "{text}");
    }

    #[test]
    fn nothing_is_null() {
        let (query, _) = query(&MAILERS, "");
        assert_eq!(write_member(&base(), &MAILERS, None, &query, &Vec::new()), b"{\"data\":null}");
    }

    #[test]
    fn linkages_have_links_empty_or_not() {
        let linkage = |link| {
            let written = write_linkage(&base(), &CONTRACTORS, &Id::Int(5), 0, link);
            String::from_utf8(written).unwrap()
        };
        let links = concat!(
            r#""links":{"self":"http://example.org/api/test/contractors/5/relationships/mailer","#,
            r#""related":"http://example.org/api/test/contractors/5/mailer"}}"#
        );
        assert_eq!(linkage(None), format!(r#"{{"data":null,{links}"#));
        assert_eq!(linkage(Some(7)), format!(r#"{{"data":{{"type":"mailers","id":"7"}},{links}"#));
    }

    #[test]
    fn included_records_stand_between_data_and_meta() {
        let included: Included = vec![(&MAILERS, vec![record(&MAILERS, 7), record(&MAILERS, 8)])];
        let listing = Listing { included, ..Listing::default() };
        let text = listed(&CONTRACTORS, "include=mailer&fields[mailers]=id", &listing);
        assert!(
            text.starts_with(r#"{"data":[],"included":[{"id":"7","type":"mailers","#),
            "{text}"
        );
        assert!(text.contains(r#"{"id":"8","type":"mailers","#), "{text}");
        assert!(text.contains(r#"}],"meta":{"total-count":0},"links":{"first":"#), "{text}");
    }

    #[test]
    fn page_links_name_only_pages_that_can_be() {
        let pages = |query: &str, total: u64| -> Vec<(String, String)> {
            let json: serde_json::Value =
                serde_json::from_str(&collection(&MAILERS, query, total)).unwrap();
            let number = |url: &str| url.split("number%5D=").nth(1).unwrap()[..1].to_owned();
            let links = json["links"].as_object().unwrap().iter();
            links.map(|(name, url)| (name.clone(), number(url.as_str().unwrap()))).collect()
        };
        let expected = |links: &[(&str, &str)]| -> Vec<(String, String)> {
            links.iter().map(|&(name, page)| (name.to_owned(), page.to_owned())).collect()
        };
        assert_eq!(pages("", 0), expected(&[("first", "1"), ("last", "1")]));
        let size = "page[size]=3";
        assert_eq!(pages(size, 7), expected(&[("first", "1"), ("next", "2"), ("last", "3")]));
        let second = format!("{size}&page[number]=2");
        let all = [("first", "1"), ("prev", "1"), ("next", "3"), ("last", "3")];
        assert_eq!(pages(&second, 9), expected(&all));
        let ninth = format!("{size}&page[number]=9");
        let beyond = [("first", "1"), ("prev", "8"), ("last", "3")];
        assert_eq!(pages(&ninth, 7), expected(&beyond));
    }

    #[test]
    fn page_links_follow_the_recipe() {
        let text = collection(&MAILERS, "token=t&page[size]=3&fields[mailers]=name&x=y", 1);
        let url = concat!(
            "http://example.org/api/test/mailers?fields%5Bmailers%5D=name",
            "&page%5Bnumber%5D=1&page%5Bsize%5D=3"
        );
        assert_eq!(
            text,
            format!(
                r#"{{"data":[],"meta":{{"total-count":1}},"links":{{"first":"{url}","last":"{url}"}}}}"#
            )
        );
    }

    #[test]
    fn links_of_a_walk_name_the_records_at_the_ends_of_the_page() {
        let shown = |query: &str, ids: std::ops::Range<i64>, goes_on: bool| {
            let records = ids.map(|id| record(&ENTRIES, id)).collect();
            let listing = Listing { records, total: 9, goes_on, ..Listing::default() };
            let text = listed(&ENTRIES, query, &listing);
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["meta"]["total-count"], 9);
            json["links"].clone()
        };
        let cursor_of = |id: i64| {
            let links = shown("page[after]=", id..id + 1, true);
            let (_, cursor) = links["next"].as_str().unwrap().split_once("after%5D=").unwrap();
            cursor.split_once('&').unwrap().0.to_owned()
        };
        let url = |end: &str, cursor: &str| {
            let page = format!("page%5B{end}%5D={cursor}&page%5Bsize%5D=3");
            format!("http://example.org/api/test/entries?{page}")
        };
        let begin = |end: &str| format!("page[size]=3&page[{end}]=");
        let beside = |end: &str, id: i64| format!("{}{}", begin(end), cursor_of(id));
        // The page asked for, its records and whether the list goes on; `prev` and `next`.
        for (query, ids, goes_on, prev, next) in [
            (begin("after"), 1..1, false, None, None),
            (begin("after"), 1..4, false, None, None),
            (begin("after"), 1..4, true, None, Some(3)),
            (beside("after", 3), 4..7, true, Some(4), Some(6)),
            (beside("after", 6), 7..10, false, Some(7), None),
            (begin("before"), 7..10, true, Some(7), None),
            (beside("before", 7), 4..7, true, Some(4), Some(6)),
            (beside("before", 4), 1..4, false, None, Some(3)),
        ] {
            let mut links = serde_json::json!({"first": url("after", "")});
            if let Some(id) = prev {
                links["prev"] = url("before", &cursor_of(id)).into();
            }
            if let Some(id) = next {
                links["next"] = url("after", &cursor_of(id)).into();
            }
            links["last"] = url("before", "").into();
            assert_eq!(shown(&query, ids, goes_on).to_string(), links.to_string(), "{query}");
        }
        let beyond = shown(&beside("after", 9), 9..9, false);
        assert_eq!(beyond["prev"], beyond["last"]);
        let beyond = shown(&beside("before", 1), 1..1, false);
        assert_eq!(beyond["next"], beyond["first"]);
    }

    #[test]
    fn an_unpaged_list_has_a_count_and_no_links() {
        assert_eq!(collection(&ZONES, "", 597), r#"{"data":[],"meta":{"total-count":597}}"#);
    }

    #[test]
    fn a_snapshot_holds_what_changed() {
        let before = record(&CONTRACTORS, 5);
        let mut after = before.clone();
        assert_eq!(&*snapshot(&CONTRACTORS, &after, Some(&before)), "{}");
        after.links[0] = Some(7);
        assert_eq!(&*snapshot(&CONTRACTORS, &after, Some(&before)), r#"{"mailer":7}"#);
        assert_eq!(&*snapshot(&CONTRACTORS, &after, None), r#"{"name":null,"mailer":7}"#);
    }
}
