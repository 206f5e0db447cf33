//! Operations run before the database has answered what they need, on the rows as the operations
//! before them leave them. Whoever else writes the same rows, and whatever fails in between: what
//! happened is what would have happened one by one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jsonapi::{Api, Resource, Value, text};
use store::{Database, Needs, Store, StoreError, Target, Tx};
use testbed::{Kind, Session, TestDatabase};
use tokio::task::{JoinHandle, JoinSet};

static TEMPLATES: Resource = Resource {
    kind: "invoice-templates",
    attributes: &[text("name", ""), text("filename", "")],
    is_queue: true,
    ..Resource::PLAIN
};
static CONTACTS: Resource = Resource {
    kind: "contacts",
    attributes: &[text("email", ""), text("notes", "")],
    ..Resource::PLAIN
};
/// Read with each batch.
static WEBHOOKS: Resource = Resource {
    kind: "webhooks",
    attributes: &[text("url", "")],
    standing: true,
    ..Resource::PLAIN
};
static API: Api = Api { prefix: "/test", resources: &[&TEMPLATES, &CONTACTS, &WEBHOOKS] };

/// Long enough for any of this.
const PATIENCE: Duration = Duration::from_mins(1);

/// What becomes of a contact that changes, after a moment: long enough for others to run ahead.
const SLOW: &str = "NEW";
/// As [`SLOW`], and now and then something else is written than what was asked for.
const ANOTHER: &str = "(NEW.id, NEW.email, \
    CASE WHEN NEW.email::bigint % 50 < 15 THEN concat(OLD.notes, '.') ELSE OLD.notes END, \
    NEW.contractor_id)";

/// So many stores with one lane each, on one database with two contacts. Each lane counts in totals
/// of its own: by chance they are the same, and then one waits for another.
async fn open(count: usize, change: &str) -> (TestDatabase, Vec<Arc<Store>>) {
    let slots = "SELECT count(DISTINCT slot) FROM totals WHERE kind = 'contacts'";
    loop {
        let (database, stores) = open_by_chance(count, change).await;
        if usize::try_from(database.value::<i64>(slots)).unwrap() == count {
            return (database, stores);
        }
    }
}

async fn open_by_chance(count: usize, change: &str) -> (TestDatabase, Vec<Arc<Store>>) {
    let database = TestDatabase::of(Kind::Postgres);
    let mut stores = Vec::new();
    for _ in 0..count {
        let place = Database { lanes: 1, ..Database::from(&database.url()) };
        stores.push(Arc::new(Store::open(place, API).await.unwrap()));
    }
    database.execute(&format!(
        "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $change$ \
         BEGIN PERFORM pg_sleep(0.001); RETURN {change}; END $change$; \
         CREATE TRIGGER changes BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION change()"
    ));
    for contact in 0..2 {
        let made: Result<(), StoreError> = stores[contact % count]
            .write(async |tx| {
                tx.insert(&CONTACTS, vec![Value::text("0"), Value::Null], Vec::new()).await?;
                Ok(())
            })
            .await;
        made.unwrap();
    }
    (database, stores)
}

/// Counts one up in the contact; says how far.
async fn raise(tx: &mut Tx, id: i64) -> Result<String, StoreError> {
    let contact = tx.find(&CONTACTS, id).await?.ok_or(StoreError::Closed)?;
    let counted: i64 = contact.values[0].as_text().unwrap().parse().unwrap();
    let mut next = contact.clone();
    next.values[0] = Value::text((counted + 1).to_string());
    tx.update(&CONTACTS, &contact, &next).await?;
    Ok((counted + 1).to_string())
}

/// Counts one up in the contact, and adds one that tells of it.
async fn count(tx: &mut Tx, id: i64) -> Result<(), StoreError> {
    let counted = raise(tx, id).await?;
    let told = vec![Value::text(counted), Value::text(format!("of {id}"))];
    tx.insert(&CONTACTS, told, Vec::new()).await?;
    Ok(())
}

/// A template whose name may be taken.
async fn add_template(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    tx.insert(&TEMPLATES, vec![Value::text(name), Value::Null], Vec::new()).await?;
    Ok(())
}

/// Of so many operations one after another, all but a few are of another manner.
const PLAIN: usize = 1;
const ASKING: usize = 8;
const FAILING: usize = 12;

/// Counts in one of many manners.
async fn operate(tx: &mut Tx, id: i64, manner: usize) -> Result<(), StoreError> {
    match manner {
        // It asks the database before it decides, or afterwards.
        1 => {
            tx.find_by(&TEMPLATES, "name", &Value::text("nowhere")).await?;
            count(tx, id).await
        }
        2 => {
            count(tx, id).await?;
            tx.find_by(&TEMPLATES, "name", &Value::text("nowhere")).await?;
            Ok(())
        }
        // What it cannot ask, it does without.
        3 => {
            count(tx, id).await?;
            let _ = tx.find_by(&CONTACTS, "email", &Value::text("nobody")).await;
            Ok(())
        }
        // It refuses, before or after it has decided something.
        4 => Err(StoreError::Busy),
        8 => {
            count(tx, id).await?;
            Err(StoreError::Busy)
        }
        9 => {
            count(tx, id).await?;
            panic!("as it should");
        }
        // A part of it fails.
        10 => {
            let part: Result<(), StoreError> = tx
                .attempt(async |tx| {
                    count(tx, id).await?;
                    Err(StoreError::Busy)
                })
                .await;
            assert!(part.is_err());
            count(tx, id).await
        }
        // The database refuses what it has decided.
        11 => {
            count(tx, id).await?;
            add_template(tx, "taken").await
        }
        _ => count(tx, id).await,
    }
}

/// A crowd that counts, in so many manners. Says how often they were told that they have.
async fn crowd(stores: &[Arc<Store>], manners: usize) -> i64 {
    const CALLERS: usize = 32;
    const CHANGES: usize = 40;
    let counted = Arc::new(AtomicUsize::new(0));
    let mut crowd = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(&stores[caller % stores.len()]);
        let counted = Arc::clone(&counted);
        crowd.spawn(async move {
            for change in 0..CHANGES {
                let number = caller + CALLERS * change;
                // Now and then another row, which need not be at hand.
                let id = if number.is_multiple_of(64) { 2 } else { 1 };
                let needs =
                    Needs { target: Some(Target { resource: &CONTACTS, id }), answer: None };
                let operation = async move |tx: &mut Tx| operate(tx, id, number % manners).await;
                let done: Result<(), StoreError> = store.write_with(needs, operation).await;
                counted.fetch_add(usize::from(done.is_ok()), Ordering::Relaxed);
            }
        });
    }
    tokio::time::timeout(PATIENCE, crowd.join_all()).await.unwrap();
    let counted = counted.load(Ordering::Relaxed);
    assert!(manners != PLAIN || counted == CALLERS * CHANGES, "{counted}");
    i64::try_from(counted).unwrap()
}

/// How far both contacts have counted.
fn counted_up(database: &TestDatabase) -> i64 {
    let sum = "SELECT sum(email::bigint)::bigint FROM contacts WHERE id IN (1, 2)";
    database.value(sum)
}

/// Whether they have counted so far, and each count was told of once, in its order.
fn check(database: &TestDatabase, counted: i64) {
    assert_eq!(counted_up(database), counted);
    let told = "SELECT count(*) FROM contacts WHERE id > 2";
    assert_eq!(database.value::<i64>(told), counted);
    let out_of_order = "SELECT count(*) FROM (SELECT email::bigint AS number, \
        row_number() OVER (PARTITION BY notes ORDER BY id) AS place FROM contacts WHERE id > 2) \
        AS told WHERE number <> place";
    assert_eq!(database.value::<i64>(out_of_order), 0);
    let totals = "SELECT sum(total)::bigint FROM totals WHERE kind = 'contacts'";
    assert_eq!(database.value::<i64>(totals), counted + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_counts_as_one_by_one() {
    let (database, stores) = open(1, SLOW).await;
    let counted = crowd(&stores, PLAIN).await;
    check(&database, counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_expects_of_rows_that_another_writes_is_looked_after() {
    let (database, stores) = open(2, SLOW).await;
    let counted = crowd(&stores, PLAIN).await;
    check(&database, counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_makes_of_a_row_is_looked_at() {
    let (database, stores) = open(1, ANOTHER).await;
    let counted = crowd(&stores, PLAIN).await;
    check(&database, counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_or_fails_takes_nobody_with_it() {
    for (nodes, manners) in [(1, ASKING), (1, FAILING), (2, FAILING)] {
        let (database, stores) = open(nodes, SLOW).await;
        let template = async |tx: &mut Tx| add_template(tx, "taken").await;
        stores[0].write::<_, StoreError, _>(template).await.unwrap();
        let counted = crowd(&stores, manners).await;
        check(&database, counted);
        let templates = "SELECT count(*) FROM invoice_templates";
        assert_eq!(database.value::<i64>(templates), 1);
    }
}

/// Runs an operation on the contact.
fn write<F>(store: &Arc<Store>, id: i64, operation: F) -> JoinHandle<Result<(), StoreError>>
where
    F: AsyncFn(&mut Tx) -> Result<(), StoreError> + Send + 'static,
{
    let store = Arc::clone(store);
    let needs = Needs { target: Some(Target { resource: &CONTACTS, id }), answer: None };
    tokio::spawn(async move { store.write_with(needs, operation).await })
}

/// Counts in the first contact, and is held up while that is written: it wants a name that somebody
/// else is about to take, who is returned with it.
async fn held_up(
    database: &TestDatabase,
    store: &Arc<Store>,
) -> (Session, JoinHandle<Result<(), StoreError>>) {
    let other = database.session();
    other.execute("BEGIN; INSERT INTO invoice_templates (name) VALUES ('wanted')");
    let first = write(store, 1, async |tx: &mut Tx| {
        count(tx, 1).await?;
        add_template(tx, "wanted").await
    });
    let waits = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(|| database.value::<i64>(waits) == 1).await;
    (other, first)
}

/// Two operations on one row: while the first is held up, the second runs, which is what this waits
/// for. Whoever holds it up ends so. Says what came of the first, and how often the second ran.
async fn two(end: &str) -> (TestDatabase, Result<(), StoreError>, usize) {
    let (database, stores) = open(1, SLOW).await;
    let (other, first) = held_up(&database, &stores[0]).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let running = Arc::clone(&runs);
    let second = write(&stores[0], 1, async move |tx: &mut Tx| {
        running.fetch_add(1, Ordering::Relaxed);
        raise(tx, 1).await.map(|_| ())
    });
    until(|| runs.load(Ordering::Relaxed) == 1).await;
    assert!(!first.is_finished() && !second.is_finished());
    other.execute(end);
    let first = first.await.unwrap();
    second.await.unwrap().unwrap();
    let runs = runs.load(Ordering::Relaxed);
    (database, first, runs)
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_runs_while_the_one_before_is_written() {
    let (database, first, runs) = two("ROLLBACK").await;
    first.unwrap();
    assert_eq!(runs, 1);
    assert_eq!(counted_up(&database), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_taken_before_a_new_statement_is_known() {
    let (database, stores) = open(1, SLOW).await;
    // More than the connection reads while nobody takes it.
    database.execute(
        "INSERT INTO webhooks (url, events, active, secret, created_at) \
         SELECT repeat('x', 100000), '', true, '', now() FROM generate_series(1, 100)",
    );
    let (other, first) = held_up(&database, &stores[0]).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let running = Arc::clone(&runs);
    // No batch before had only an update.
    let second = write(&stores[0], 1, async move |tx: &mut Tx| {
        raise(tx, 1).await?;
        running.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    until(|| runs.load(Ordering::Relaxed) == 1).await;
    other.execute("ROLLBACK");
    first.await.unwrap().unwrap();
    tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap().unwrap();
    assert_eq!(counted_up(&database), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_on_rows_that_were_never_written_runs_again() {
    let (database, first, runs) = two("COMMIT").await;
    assert!(matches!(first, Err(StoreError::Conflict)), "{first:?}");
    assert!(runs > 1, "{runs}");
    assert_eq!(counted_up(&database), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_ahead_and_is_not_taken_is_refused() {
    let (database, stores) = open(1, SLOW).await;
    let (other, first) = held_up(&database, &stores[0]).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let running = Arc::clone(&runs);
    let refused = write(&stores[0], 1, async move |tx: &mut Tx| {
        let contact = tx.find(&CONTACTS, 1).await?.ok_or(StoreError::Closed)?;
        let mut next = contact.clone();
        // PostgreSQL keeps no contact without an address.
        next.values[0] = Value::Null;
        tx.update(&CONTACTS, &contact, &next).await?;
        running.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    until(|| runs.load(Ordering::Relaxed) == 1).await;
    assert!(!first.is_finished());
    other.execute("ROLLBACK");
    first.await.unwrap().unwrap();
    let refused = refused.await.unwrap();
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert_eq!(counted_up(&database), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_above_those_of_whoever_had_the_row_before() {
    let (database, stores) = open(2, SLOW).await;
    let [one, another] = [&stores[0], &stores[1]];
    // After a crowd, ids are taken ahead.
    let counted = crowd(std::slice::from_ref(one), PLAIN).await;
    let (other, first) = held_up(&database, one).await;
    write(another, 2, async |tx: &mut Tx| count(tx, 2).await).await.unwrap().unwrap();
    // The transaction begins for both when the one whose row is at hand has come.
    let second = write(one, 2, async |tx: &mut Tx| count(tx, 2).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let third = write(one, 1, async |tx: &mut Tx| count(tx, 1).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.execute("ROLLBACK");
    for done in [first, second, third] {
        done.await.unwrap().unwrap();
    }
    check(&database, counted + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_joins_a_queue_below_what_another_has_added() {
    let (database, stores) = open(2, SLOW).await;
    let [one, another] = [&stores[0], &stores[1]];
    // After a crowd, ids are taken ahead.
    let adds = |store: &Arc<Store>, id: i64, name: String| {
        write(store, id, async move |tx: &mut Tx| {
            count(tx, id).await?;
            add_template(tx, &name).await
        })
    };
    let crowd: Vec<_> = (0..64).map(|number| adds(one, 1, format!("crowd {number}"))).collect();
    for added in crowd {
        added.await.unwrap().unwrap();
    }
    let (other, first) = held_up(&database, one).await;
    adds(another, 2, "theirs".to_owned()).await.unwrap().unwrap();
    let second = adds(one, 1, "ours".to_owned());
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.execute("ROLLBACK");
    for done in [first, second] {
        done.await.unwrap().unwrap();
    }
    let last = "SELECT name FROM invoice_templates ORDER BY id DESC LIMIT 1";
    assert_eq!(database.value::<String>(last), "ours");
}
