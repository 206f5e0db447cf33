//! What is asked of PostgreSQL together is answered however much it is: the answer to one question
//! does not come before that to the one before has been read. Who comes during a commit sees what
//! it has written, and a crowd leaves gaps between ids, but only for a while.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use jsonapi::{Api, Include, Resource, Value, text};
use store::{Database, Needs, Store, StoreError, Target};
use testbed::{Kind, TestDatabase};
use tokio::task::JoinSet;

static TEMPLATES: Resource = Resource {
    kind: "invoice-templates",
    attributes: &[text("name", ""), text("filename", ""), text("body", "")],
    ..Resource::PLAIN
};
static CONTACTS: Resource = Resource {
    kind: "contacts",
    attributes: &[text("email", ""), text("notes", "")],
    ..Resource::PLAIN
};
static API: Api = Api { prefix: "/test", resources: &[&TEMPLATES, &CONTACTS] };

const RECORDS: i64 = 60;
/// More than any buffer on the way holds.
const BODY_BYTES: usize = 50_000;
/// Long enough for any of this.
const PATIENCE: Duration = Duration::from_mins(1);

/// A store with one lane, and so many records of each type, those of one type large.
async fn open() -> (TestDatabase, Arc<Store>) {
    let database = TestDatabase::of(Kind::Postgres);
    let place = Database { lanes: 1, ..Database::from(&database.url()) };
    let store = Arc::new(Store::open(place, API).await.unwrap());
    for number in 1..=RECORDS {
        let made: Result<(), StoreError> = store
            .write(async move |tx| {
                let name = Value::text(format!("t{number}"));
                let template = vec![name, Value::Null, Value::text("x".repeat(BODY_BYTES))];
                tx.insert(&TEMPLATES, template, Vec::new()).await?;
                tx.insert(&CONTACTS, vec![Value::text("a@b"), Value::Null], Vec::new()).await?;
                Ok(())
            })
            .await;
        made.unwrap();
    }
    (database, store)
}

/// Waits for all of them, but not for ever.
async fn all(store: &Arc<Store>, mut asked: JoinSet<Result<(), StoreError>>) {
    while !asked.is_empty() {
        let Ok(answered) = tokio::time::timeout(PATIENCE, asked.join_next()).await else {
            // It would be waited for once more.
            std::mem::forget(Arc::clone(store));
            panic!("no answer");
        };
        answered.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_changes_many_large_records_ends() {
    let (database, store) = open().await;
    let mut writes = JoinSet::new();
    for id in 1..=RECORDS {
        for resource in [&TEMPLATES, &CONTACTS] {
            let store = Arc::clone(&store);
            let needs = Needs {
                target: Some(Target { resource, id }),
                answer: Some((1, format!("{} {id}", resource.kind))),
            };
            writes.spawn(async move {
                let change = async move |tx: &mut store::Tx| {
                    let record = tx.find(resource, id).await?.ok_or(StoreError::Closed)?;
                    let mut changed = record.clone();
                    changed.values[1] = Value::text("changed");
                    tx.update(resource, &record, &changed).await
                };
                store.write_with(needs, change).await
            });
        }
    }
    all(&store, writes).await;
    let sql = "SELECT count(*) FROM invoice_templates WHERE filename = 'changed'";
    assert_eq!(database.value::<i64>(sql), RECORDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_records_of_several_types_are_found_at_once() {
    let (_database, store) = open().await;
    let mut looks = JoinSet::new();
    for id in (1..=RECORDS).cycle().take(200) {
        for resource in [&TEMPLATES, &CONTACTS] {
            let store = Arc::clone(&store);
            looks.spawn(async move {
                let shown = store.show(resource, id, &Include::default()).await?;
                shown.map(|_| ()).ok_or(StoreError::Closed)
            });
        }
    }
    all(&store, looks).await;
}

/// A new contact; returns its id.
async fn made(store: &Store) -> Result<i64, StoreError> {
    let made = async |tx: &mut store::Tx| {
        tx.insert(&CONTACTS, vec![Value::text("a@b"), Value::Null], Vec::new()).await
    };
    Ok(store.write::<_, StoreError, _>(made).await?.key())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_during_a_commit_for_the_same_record_builds_on_it() {
    const CALLERS: usize = 32;
    const CHANGES: usize = 40;
    let (database, store) = open().await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            for change in 0..CHANGES {
                // Now and then another record, which is not at hand.
                let id = if (caller + change) % 10 == 0 { 2 } else { 1 };
                let needs =
                    Needs { target: Some(Target { resource: &CONTACTS, id }), ..Needs::default() };
                let count = async move |tx: &mut store::Tx| {
                    let record = tx.find(&CONTACTS, id).await?.ok_or(StoreError::Closed)?;
                    let before: usize =
                        record.values[1].as_text().map_or(0, |n| n.parse().unwrap());
                    let mut changed = record.clone();
                    changed.values[1] = Value::text((before + 1).to_string());
                    tx.update(&CONTACTS, &record, &changed).await?;
                    tx.insert(&CONTACTS, vec![Value::text("counted"), Value::Null], vec![]).await?;
                    Ok::<_, StoreError>(())
                };
                store.write_with(needs, count).await?;
            }
            Ok(())
        });
    }
    all(&store, callers).await;
    let changes = i64::try_from(CALLERS * CHANGES).unwrap();
    let counted = "SELECT sum(notes::bigint)::bigint FROM contacts WHERE id IN (1, 2)";
    assert_eq!(database.value::<i64>(counted), changes);
    let made = "SELECT count(*) FROM contacts WHERE email = 'counted'";
    assert_eq!(database.value::<i64>(made), changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_leaves_gaps_between_ids_for_a_while() {
    let (_database, store) = open().await;
    let mut crowd = JoinSet::new();
    for _ in 0..200 {
        let store = Arc::clone(&store);
        crowd.spawn(async move { made(&store).await.map(|_| ()) });
    }
    all(&store, crowd).await;
    for _ in 0..100 {
        made(&store).await.unwrap();
    }
    let first = made(&store).await.unwrap();
    for next in first + 1..first + 10 {
        assert_eq!(made(&store).await.unwrap(), next);
    }
}
