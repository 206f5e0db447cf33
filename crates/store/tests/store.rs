//! The store's promises: shared commits, exact totals, snapshots, deadlines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use jsonapi::{
    Api, Base, Filter, Include, Listing, Page, Params, Query, Record, Resource, Scope, Sort,
    Target, Test, Value, boolean, integer, json, text, timestamp, to_one, write_collection,
};
use store::{OpenError, Reading, Store, StoreError, Tx};
use testbed::TestDatabase;

static CONTRACTORS: Resource = Resource {
    kind: "contractors",
    attributes: &[
        text("name", ""),
        boolean("enabled", ""),
        boolean("vendor", ""),
        boolean("customer", ""),
        text("description", ""),
        text("address", ""),
        text("phones", ""),
        integer("external-id", i64::MIN, i64::MAX, ""),
    ],
    relationships: &[to_one("smtp-connection", "contractors")],
    ..Resource::PLAIN
};

static CONTACTS: Resource = Resource {
    kind: "contacts",
    attributes: &[text("email", ""), text("notes", "")],
    relationships: &[to_one("contractor", "contractors")],
    visible_with: Some("contractor"),
    ..Resource::PLAIN
};

static AUDIT_RECORDS: Resource = Resource {
    kind: "audit-records",
    attributes: &[
        text("event", ""),
        text("item-type", "").filterable(),
        integer("item-id", i64::MIN, i64::MAX, "").not_null(),
        text("actor", ""),
        text("ip", ""),
        text("request-id", ""),
        timestamp("created-at", "").not_null(),
        json("before", "").filterable(),
        json("after", ""),
    ],
    cursors: true,
    filterable_id: true,
    ..Resource::PLAIN
};

static API: Api = Api { prefix: "/test", resources: &[&CONTRACTORS, &CONTACTS, &AUDIT_RECORDS] };

async fn open() -> (TestDatabase, Arc<Store>) {
    let database = TestDatabase::fresh();
    let store = Arc::new(Store::open(&database.url(), API).await.unwrap());
    (database, store)
}

fn contractor(name: &str) -> Vec<Value> {
    let mut values = CONTRACTORS.defaults();
    values[0] = Value::text(name);
    for value in &mut values[1..4] {
        *value = Value::Bool(true);
    }
    values
}

async fn add(store: &Store, name: &str) -> Result<Record, StoreError> {
    let values = contractor(name);
    store.write(async move |tx| tx.insert(&CONTRACTORS, values.clone(), vec![None]).await).await
}

fn reading(resource: &'static Resource) -> Reading {
    Reading {
        resource,
        among: None,
        filters: Vec::new(),
        sort: vec![Sort { target: Target::Id, descending: false }],
        page: Page { number: 1, size: 1000 },
        walk: None,
        include: Include::default(),
    }
}

async fn names(store: &Store) -> Vec<String> {
    let listing = store.list(reading(&CONTRACTORS)).await.unwrap();
    assert_eq!(listing.total, listing.records.len() as u64);
    let name = |record: &Record| record.values[0].as_text().unwrap().to_owned();
    listing.records.iter().map(name).collect()
}

#[tokio::test]
async fn a_guarded_change_is_made_only_where_the_guard_is_as_it_was() {
    let (_database, store) = open().await;
    let read = add(&store, "as read").await.unwrap();
    let changed = |name: &'static str, enabled| {
        let mut after = read.clone();
        CONTRACTORS.set(&mut after, "name", Value::text(name));
        CONTRACTORS.set(&mut after, "enabled", Value::Bool(enabled));
        after
    };
    let change = async |after: Record| {
        let read = read.clone();
        let operation = async move |tx: &mut Tx| {
            tx.update_if_still(&CONTRACTORS, "enabled", &read, &after).await
        };
        store.write::<_, StoreError, _>(operation).await.unwrap();
        names(&store).await
    };
    assert_eq!(change(read.clone()).await, ["as read"]);
    assert_eq!(change(changed("first", false)).await, ["first"]);
    assert_eq!(change(changed("second", false)).await, ["first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_share_a_commit_fail_alone() {
    let (_database, store) = open().await;
    add(&store, "taken").await.unwrap();
    let writes = (0..200).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            // Every fourth one is refused after it has written, every seventh panics.
            let values = contractor(&format!("c{number:03}"));
            let written: Result<Record, StoreError> = store
                .write(async move |tx| {
                    let record = tx.insert(&CONTRACTORS, values.clone(), vec![None]).await?;
                    assert!(number % 7 != 0, "a bug in the operation");
                    if number % 4 == 0 { Err(StoreError::Conflict) } else { Ok(record) }
                })
                .await;
            (number, written)
        })
    });
    let mut expected = vec!["taken".to_owned()];
    for write in writes.collect::<Vec<_>>() {
        let (number, written) = write.await.unwrap();
        match written {
            Ok(_) => expected.push(format!("c{number:03}")),
            Err(StoreError::Panicked) => assert_eq!(number % 7, 0),
            Err(error) => assert!(number % 4 == 0 && matches!(error, StoreError::Conflict)),
        }
    }
    let mut kept = names(&store).await;
    kept.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn a_row_that_a_key_refuses_is_a_conflict_and_counts_for_nothing() {
    let (_database, store) = open().await;
    add(&store, "one").await.unwrap();
    assert!(matches!(add(&store, "one").await, Err(StoreError::Conflict)));
    assert_eq!(names(&store).await, ["one"]);
}

#[tokio::test]
async fn totals_count_what_clients_can_see() {
    let (_database, store) = open().await;
    let owner = add(&store, "owner").await.unwrap().key();
    let email = |text| vec![Value::text(text), Value::Null];
    let contacts: Result<Record, StoreError> = store
        .write(async move |tx| {
            tx.insert(&CONTACTS, email("seen@example.com"), vec![Some(owner)]).await?;
            tx.insert(&CONTACTS, email("lost@example.com"), vec![None]).await
        })
        .await;
    let lost = contacts.unwrap();
    assert_eq!(store.list(reading(&CONTACTS)).await.unwrap().total, 1);
    assert!(store.show(&CONTACTS, lost.key(), &Include::default()).await.unwrap().is_none());
    let found: Result<(), StoreError> = store
        .write(async move |tx| {
            let after = Record { links: vec![Some(owner)], ..lost.clone() };
            tx.update(&CONTACTS, &lost, &after).await
        })
        .await;
    found.unwrap();
    assert_eq!(store.list(reading(&CONTACTS)).await.unwrap().total, 2);
}

#[tokio::test]
async fn a_condition_with_thousands_of_parts_is_still_one_query() {
    let (_database, store) = open().await;
    add(&store, "Ярослав").await.unwrap();
    add(&store, "plain").await.unwrap();
    let mut texts: Vec<String> = (0..5000).map(|number| format!("no such {number}")).collect();
    texts.push("яро".to_owned());
    let filters = vec![Filter { target: Target::Attribute(0), test: Test::Contains(texts) }];
    let listing = store.list(Reading { filters, ..reading(&CONTRACTORS) }).await.unwrap();
    assert_eq!((listing.records.len(), listing.total), (1, 1));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let (database, store) = open().await;
    for number in 0..20 {
        add(&store, &number.to_string()).await.unwrap();
    }
    drop(store);
    assert_eq!(names(&Store::open(&database.url(), API).await.unwrap()).await.len(), 20);
}

#[tokio::test]
async fn addresses_and_files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let junk = directory.path().join("junk.db");
    std::fs::write(&junk, "this is no database, whatever its name says").unwrap();
    let open = async |url: &str| Store::open(url, API).await.map(|_| ()).unwrap_err();
    assert!(matches!(open("mysql://here").await, OpenError::Address(_)));
    assert!(matches!(open("sqlite:").await, OpenError::Address(_)));
    assert!(matches!(open(&format!("sqlite:{}", junk.display())).await, OpenError::File { .. }));
    let below_a_file = format!("sqlite:{}/x/y.db", junk.display());
    assert!(matches!(open(&below_a_file).await, OpenError::Directory { .. }));
    let deep = directory.path().join("deep/er/test.db");
    Store::open(&format!("sqlite:{}", deep.display()), API).await.unwrap();
    assert!(deep.exists(), "directories are made");
}

/// Appends as many audit records, a handful of them to each instant and a hundred to each item.
async fn append(store: &Store, numbers: std::ops::Range<i64>) {
    let written: Result<(), StoreError> = store
        .write(async move |tx| {
            for number in numbers.clone() {
                let mut values = AUDIT_RECORDS.defaults();
                values[0] = Value::text("update");
                values[1] = Value::text(if number % 3 == 0 { "accounts" } else { "contacts" });
                values[2] = Value::Int(number % 30);
                values[6] = Value::Time(jiff::Timestamp::from_microsecond(number / 7).unwrap());
                values[7] = Value::Json(format!("{{\"vat\":{number}}}").into());
                tx.insert(&AUDIT_RECORDS, values, Vec::new()).await?;
            }
            Ok(())
        })
        .await;
    written.unwrap();
}

/// A page of audit records with its links.
struct Shown {
    listing: Listing,
    document: String,
}

impl Shown {
    fn ids(&self) -> Vec<i64> {
        self.listing.records.iter().map(Record::key).collect()
    }

    /// The query of the link of this name.
    fn link(&self, name: &str) -> Option<String> {
        let (_, links) = self.document.rsplit_once("\"links\":").unwrap();
        let (_, url) = links.split_once(&format!("\"{name}\":\""))?;
        Some(url.split_once('"')?.0.split_once('?')?.1.to_owned())
    }
}

async fn page(store: &Store, query: &str) -> Shown {
    let params = Params::parse(query).unwrap();
    let query = Query::parse(&API, &AUDIT_RECORDS, &params, Scope::List).unwrap();
    query.check().unwrap();
    let reading = Reading {
        filters: query.filters().unwrap(),
        sort: query.sort.clone(),
        page: query.page,
        walk: query.walk.clone(),
        ..reading(&AUDIT_RECORDS)
    };
    let listing = store.list(reading).await.unwrap();
    let base = Base("http://example.org".into());
    let document = write_collection(&base, &AUDIT_RECORDS, &listing, &query, &params);
    Shown { listing, document: String::from_utf8(document).unwrap() }
}

/// The ids of a whole list, from its numbered pages.
async fn numbered(store: &Store, query: &str) -> Vec<i64> {
    let mut ids = Vec::new();
    for number in 1.. {
        let numbered = format!("{query}&page[size]=1000&page[number]={number}");
        let found = page(store, &numbered).await.ids();
        if found.is_empty() {
            break;
        }
        ids.extend(found);
    }
    ids
}

/// Walks on from the page that `query` asks for and shows each page, the first one first.
async fn walk(store: &Store, query: &str, onward: &str) -> Vec<Shown> {
    let mut shown = vec![page(store, query).await];
    while let Some(next) = shown.last().and_then(|page| page.link(onward)) {
        shown.push(page(store, &next).await);
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_meets_every_row_once_in_either_direction() {
    let (_database, store) = open().await;
    append(&store, 0..3000).await;
    for list in [
        "",
        "sort=-id",
        "sort=created-at",
        "sort=-created-at",
        "sort=item-id,created-at",
        "sort=item-id,-created-at",
        "sort=-item-id,created-at,-id",
        "sort=created-at&filter[item-type-eq]=accounts",
        "sort=-item-id,created-at&filter[id-gt]=1234",
    ] {
        let expected = numbered(&store, list).await;
        assert!(expected.len() >= 1000, "{list}");
        let down = walk(&store, &format!("{list}&page[size]=199&page[after]="), "next").await;
        let mut up = walk(&store, &format!("{list}&page[size]=199&page[before]="), "prev").await;
        up.reverse();
        for pages in [&down, &up] {
            let met: Vec<i64> = pages.iter().flat_map(Shown::ids).collect();
            assert_eq!(met, expected, "{list}");
            assert!(pages.iter().all(|page| page.listing.total == expected.len() as u64));
            assert_eq!(pages[0].link("prev"), None, "{list}");
            assert_eq!(pages[pages.len() - 1].link("next"), None, "{list}");
        }
        // The way back leads to the page that another was reached from.
        up.reverse();
        for (pages, back) in [(&down, "prev"), (&up, "next")] {
            for pair in pages.windows(2) {
                let again = page(&store, &pair[1].link(back).unwrap()).await;
                assert_eq!(again.ids(), pair[0].ids(), "{list} {back}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_is_not_disturbed_by_rows_that_come_meanwhile() {
    let (_database, store) = open().await;
    let mut rows = 2000;
    append(&store, 0..rows).await;
    for (list, end, sees_new_rows) in [
        ("", "after", true),
        ("", "before", false),
        ("sort=created-at", "after", true),
        ("sort=-created-at", "after", false),
        ("sort=-item-id,created-at&filter[item-type-eq]=contacts", "after", true),
        ("sort=-item-id,created-at&filter[item-type-eq]=contacts", "before", false),
    ] {
        let expected = numbered(&store, list).await;
        let onward = if end == "after" { "next" } else { "prev" };
        let mut met = Vec::new();
        let mut at = Some(format!("{list}&page[size]=500&page[{end}]="));
        while let Some(query) = at {
            let shown = page(&store, &query).await;
            assert_eq!(shown.listing.total, expected.len() as u64, "{query}");
            met.extend(shown.ids());
            append(&store, rows..rows + 50).await;
            rows += 50;
            at = shown.link(onward);
        }
        let all = met.len();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), all, "{list}: no row comes twice");
        assert!(expected.iter().all(|id| met.binary_search(id).is_ok()), "{list}: none is missing");
        assert!(!sees_new_rows || all > expected.len(), "{list}: what comes later is met later");
    }
}

#[tokio::test]
async fn a_page_beyond_the_end_leads_back_to_it() {
    let (_database, store) = open().await;
    let empty = page(&store, "page[after]=").await;
    assert_eq!((empty.listing.total, empty.link("prev"), empty.link("next")), (0, None, None));
    append(&store, 0..11).await;
    let last = *numbered(&store, "").await.last().unwrap();
    let first = page(&store, "sort=created-at&page[size]=10&page[after]=").await;
    let rest = first.link("next").unwrap();
    let removed: Result<(), StoreError> = store
        .write(async move |tx| {
            let last = tx.find(&AUDIT_RECORDS, last).await?.unwrap();
            tx.delete(&AUDIT_RECORDS, &last).await
        })
        .await;
    removed.unwrap();
    let beyond = page(&store, &rest).await;
    assert!(beyond.ids().is_empty());
    assert_eq!(beyond.link("next"), None);
    let last = "page%5Bbefore%5D=&page%5Bsize%5D=10&sort=created-at";
    assert_eq!(
        (beyond.link("prev").as_deref(), beyond.link("last").as_deref()),
        (Some(last), Some(last))
    );
    assert_eq!(page(&store, last).await.ids(), first.ids());
}

#[tokio::test]
async fn json_is_searched_as_text_and_ids_as_numbers() {
    let (_database, store) = open().await;
    append(&store, 0..50).await;
    // By their numbers, from 0, which their JSON tells; and by their ids.
    let rows = page(&store, "page[size]=1000").await.listing.records;
    let number = |row: &Record| match &row.values[7] {
        Value::Json(json) => json[7..json.len() - 1].parse::<usize>().unwrap(),
        other => panic!("{other:?}"),
    };
    let numbers: Vec<usize> = rows.iter().map(number).collect();
    assert_eq!(numbers.len(), 50);
    let id = |at: usize| rows[at].key();
    for (query, found) in [
        ("filter[before-cont]=%22VAT%22:49".to_owned(), vec![49]),
        ("filter[before-end]=:7}".to_owned(), vec![7]),
        (format!("filter[id-gteq]={}", id(48)), numbers[48..].to_vec()),
        (format!("filter[id-lt]={}.9", id(1)), numbers[..1].to_vec()),
        (
            format!("filter[id-in]={},99999999999999999999,{}", id(2), id(4)),
            vec![numbers[2], numbers[4]],
        ),
        (format!("filter[id-not-eq]={}&filter[id-lteq]={}", id(0), id(2)), numbers[1..3].to_vec()),
    ] {
        let listed = page(&store, &query).await.listing.records;
        assert_eq!(listed.iter().map(number).collect::<Vec<_>>(), found, "{query}");
    }
}
