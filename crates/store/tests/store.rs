//! The store's promises: shared commits, exact totals, snapshots, deadlines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use jsonapi::{
    Api, Filter, Include, Page, Record, Resource, Sort, Target, Test, Value, boolean, integer,
    text, to_one,
};
use store::{OpenError, Reading, Store, StoreError};

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

static API: Api = Api { prefix: "/test", resources: &[&CONTRACTORS, &CONTACTS] };

fn open() -> (tempfile::TempDir, Arc<Store>) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("deep/er/test.db").display());
    let store = Arc::new(Store::open(&url, API).unwrap());
    (directory, store)
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
    store.write(async move |tx| tx.insert(&CONTRACTORS, values, vec![None]).await).await
}

fn reading(resource: &'static Resource) -> Reading {
    Reading {
        resource,
        filters: Vec::new(),
        sort: vec![Sort { attribute: None, descending: false }],
        page: Page { number: 1, size: 1000 },
        include: Include::default(),
    }
}

async fn names(store: &Store) -> Vec<String> {
    let listing = store.list(reading(&CONTRACTORS)).await.unwrap();
    assert_eq!(listing.total, listing.records.len() as u64);
    let name = |record: &Record| record.values[0].as_text().unwrap().to_owned();
    listing.records.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_share_a_commit_fail_alone() {
    let (_directory, store) = open();
    add(&store, "taken").await.unwrap();
    let writes = (0..200).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            // Every fourth one is refused after it has written, every seventh panics.
            let values = contractor(&format!("c{number:03}"));
            let written: Result<Record, StoreError> = store
                .write(async move |tx| {
                    let record = tx.insert(&CONTRACTORS, values, vec![None]).await?;
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
    let (_directory, store) = open();
    add(&store, "one").await.unwrap();
    assert!(matches!(add(&store, "one").await, Err(StoreError::Conflict)));
    assert_eq!(names(&store).await, ["one"]);
}

#[tokio::test]
async fn totals_count_what_clients_can_see() {
    let (_directory, store) = open();
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
    let (_directory, store) = open();
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
    let (directory, store) = open();
    for number in 0..20 {
        add(&store, &number.to_string()).await.unwrap();
    }
    drop(store);
    let url = format!("sqlite:{}", directory.path().join("deep/er/test.db").display());
    assert_eq!(names(&Store::open(&url, API).unwrap()).await.len(), 20);
}

#[test]
fn addresses_and_files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let junk = directory.path().join("junk.db");
    std::fs::write(&junk, "this is no database, whatever its name says").unwrap();
    let open = |url: &str| Store::open(url, API).map(|_| ()).unwrap_err();
    assert!(matches!(open("mysql://here"), OpenError::Address(_)));
    assert!(matches!(open("sqlite:"), OpenError::Address(_)));
    assert!(matches!(open(&format!("sqlite:{}", junk.display())), OpenError::File { .. }));
    let below_a_file = format!("sqlite:{}/x/y.db", junk.display());
    assert!(matches!(open(&below_a_file), OpenError::Directory { .. }));
}
