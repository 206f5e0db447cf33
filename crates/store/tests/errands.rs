//! Errands: handed over by commits alone, run in order, and never left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jsonapi::{Api, Id, Record};
use store::{AskedErrand, Errand, Store, StoreError, Turn};
use testbed::{Kind, TestDatabase};

const API: Api = Api { prefix: "", resources: &[] };
/// Errands to a webhook that have room.
const ROOM: i64 = 256;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

async fn open() -> (TestDatabase, Store) {
    let database = TestDatabase::fresh();
    let store = Store::open(&database.url(), API).await.unwrap();
    (database, store)
}

fn event(id: i64, account: Option<i64>) -> Arc<Record> {
    Arc::new(Record { id: Id::Int(id), values: Vec::new(), links: vec![account] })
}

/// Adds errands to webhook 1 of these events; whether the last of them was one.
async fn add(store: &Store, events: impl IntoIterator<Item = (i64, i64)>) -> bool {
    let events: Vec<Arc<Record>> =
        events.into_iter().map(|(id, account)| event(id, Some(account))).collect();
    let added: Result<bool, StoreError> = store
        .write(async move |tx| {
            let mut added = false;
            for event in &events {
                added = tx.add_errand(1, event, at(0)).await?;
            }
            Ok(added)
        })
        .await;
    added.unwrap()
}

async fn handed_over(store: &Store) -> Vec<Errand> {
    tokio::time::timeout(Duration::from_secs(10), store.errands()).await.unwrap()
}

fn keys(errands: &[Errand]) -> Vec<i64> {
    errands.iter().map(|errand| errand.event.key()).collect()
}

async fn leave(store: &Store, errand: Errand) {
    let left: Result<(), StoreError> =
        store.write(async move |tx| tx.leave_errand(&errand, at(1)).await).await;
    left.unwrap();
}

async fn end(store: &Store, errand: impl Into<Arc<Errand>>) {
    let errand = errand.into();
    let ended: Result<(), StoreError> =
        store.write(async move |tx| tx.end_errand(&errand).await).await;
    ended.unwrap();
}

async fn overdue(store: &Store, secs: i64, limit: u32) -> Vec<i64> {
    let taken: Result<Vec<[i64; 3]>, StoreError> =
        store.write(async move |tx| tx.take_overdue_errands(at(secs), limit).await).await;
    taken.unwrap().into_iter().map(|[event, ..]| event).collect()
}

#[tokio::test]
async fn where_nobody_runs_errands_there_are_none() {
    let (_database, store) = open().await;
    assert!(!add(&store, [(1, 7)]).await);
    assert!(!store.has_overdue_errands(at(1_000)).await.unwrap());
}

#[tokio::test]
async fn an_errand_is_handed_over_by_its_commit_and_by_nothing_else() {
    let (_database, store) = open().await;
    store.run_errands(true);
    let refused: Result<(), StoreError> = store
        .write(async |tx| {
            tx.add_errand(1, &event(1, None), at(0)).await?;
            Err(StoreError::Busy)
        })
        .await;
    assert!(matches!(refused, Err(StoreError::Busy)));
    assert!(store.untaken_errands().is_empty());
    let half: Result<(), StoreError> = store
        .write(async |tx| {
            let part: Result<(), StoreError> = tx
                .attempt(async |tx| {
                    tx.add_errand(1, &event(2, None), at(0)).await?;
                    Err(StoreError::Busy)
                })
                .await;
            assert!(part.is_err());
            tx.add_errand(1, &event(3, None), at(0)).await?;
            Ok(())
        })
        .await;
    half.unwrap();
    let errands = handed_over(&store).await;
    assert_eq!(keys(&errands), [3]);
    assert_eq!((errands[0].webhook(), errands[0].account()), (1, 0));
    assert_eq!(overdue(&store, 1_000, 10).await, [3]);
}

#[tokio::test]
async fn errands_that_have_no_room_are_overdue_at_once_and_those_that_ended_make_room() {
    let (_database, store) = open().await;
    store.run_errands(true);
    // Each of another account.
    assert!(add(&store, (1..=ROOM + 2).map(|id| (id, id))).await);
    let mut errands = handed_over(&store).await;
    assert_eq!(keys(&errands), (1..=ROOM).collect::<Vec<_>>());
    assert!(store.has_overdue_errands(at(0)).await.unwrap());
    assert_eq!(overdue(&store, 0, 1).await, [ROOM + 1]);
    assert_eq!(overdue(&store, 0, 10).await, [ROOM + 2]);
    end(&store, errands.remove(0)).await;
    add(&store, (ROOM + 3..=ROOM + 4).map(|id| (id, id))).await;
    assert_eq!(keys(&handed_over(&store).await), [ROOM + 3]);
    assert_eq!(overdue(&store, 0, 10).await, [ROOM + 4]);
    // The time of the others comes, too.
    drop(errands);
    assert_eq!(overdue(&store, 29, 1_000).await, [0; 0]);
    assert_eq!(overdue(&store, 30, 1_000).await.len(), usize::try_from(ROOM).unwrap());
}

#[tokio::test]
async fn errands_end_together_but_not_those_of_an_operation_that_failed() {
    let (_database, store) = open().await;
    store.run_errands(true);
    add(&store, [(1, 7), (2, 7), (3, 8)]).await;
    let errands = handed_over(&store).await;
    let ended: Result<(), StoreError> = store
        .write(async move |tx| {
            tx.end_errand(&errands[0]).await?;
            let part: Result<(), StoreError> = tx
                .attempt(async |tx| {
                    tx.end_errand(&errands[1]).await?;
                    Err(StoreError::Busy)
                })
                .await;
            assert!(part.is_err());
            tx.end_errand(&errands[2]).await
        })
        .await;
    ended.unwrap();
    assert_eq!(overdue(&store, 1_000, 10).await, [2]);
}

#[tokio::test]
async fn an_errand_that_is_late_waits_for_an_older_one_of_its_account_that_is_not() {
    let (_database, store) = open().await;
    store.run_errands(true);
    add(&store, [(1, 7)]).await;
    let first = handed_over(&store).await.remove(0);
    store.run_errands(false);
    add(&store, [(2, 7), (3, 8), (4, 7)]).await;
    assert!(store.untaken_errands().is_empty());
    assert_eq!(overdue(&store, 0, 10).await, [3]);
    leave(&store, first).await;
    assert_eq!(overdue(&store, 0, 10).await, [0; 0]);
    assert_eq!(overdue(&store, 1, 10).await, [1, 2, 4]);
}

#[tokio::test]
async fn an_errand_has_its_turn_behind_the_older_ones_and_what_waits_in_its_line() {
    let (database, store) = open().await;
    store.run_errands(true);
    add(&store, [(1, 7), (2, 7), (3, 8)]).await;
    let mut errands: Vec<_> = handed_over(&store).await.into_iter().map(Arc::new).collect();
    let asked = |errand: &Arc<Errand>, oldest| AskedErrand {
        errand: Arc::clone(errand),
        line: "a line".to_owned(),
        oldest,
    };
    let turn_at = async |errand: &Arc<Errand>, oldest, now| {
        store.errand_turns(&[asked(errand, oldest)], now).await.unwrap()[0]
    };
    let turn = async |errand: &Arc<Errand>| turn_at(errand, 0, at(0)).await;
    assert_eq!(turn(&errands[0]).await, Turn::Now);
    assert_eq!(turn(&errands[1]).await, Turn::NotYet);
    assert_eq!(turn(&errands[2]).await, Turn::Now);
    // Those who ask together get their own answers.
    let asked = errands.iter().map(|errand| asked(errand, 0)).collect::<Vec<_>>();
    let turns = store.errand_turns(&asked, at(0)).await.unwrap();
    assert_eq!(turns, [Turn::Now, Turn::NotYet, Turn::Now]);
    let now = database.literal(&jsonapi::Value::Time(at(0)));
    database.execute(&format!(
        "INSERT INTO delivery_lines (name, target, due_at, failures, joined) \
         VALUES ('a line', 'a target', {now}, 0, 1)"
    ));
    assert_eq!(turn(&errands[0]).await, Turn::InLine);
    assert_eq!(turn(&errands[1]).await, Turn::NotYet);
    database.execute("DELETE FROM delivery_lines");
    // What is late and stands before it is going to be in the line.
    assert_eq!(turn_at(&errands[1], 0, at(30)).await, Turn::InLine);
    // Nothing older is looked for than there can be.
    assert_eq!(turn_at(&errands[1], 2, at(0)).await, Turn::Now);
    assert_eq!(turn_at(&errands[0], 2, at(0)).await, Turn::Now);
    end(&store, errands.remove(0)).await;
    assert_eq!(turn(&errands[0]).await, Turn::Now);
    let dropped: Result<(), StoreError> = store.write(async |tx| tx.drop_errands(1).await).await;
    dropped.unwrap();
    assert_eq!(turn(&errands[0]).await, Turn::Never);
}

#[tokio::test]
async fn errands_of_one_account_are_taken_up_to_the_first_that_is_another_processs() {
    let (_database, store) = open().await;
    store.run_errands(true);
    add(&store, [(1, 7), (2, 7)]).await;
    store.run_errands(false);
    add(&store, [(3, 7), (4, 8)]).await;
    store.run_errands(true);
    add(&store, [(5, 7), (6, 7)]).await;
    let take = async |oldest: i64, mine: &[i64], limit: u32| {
        let mine = mine.iter().copied().collect();
        let taken: Result<Vec<i64>, StoreError> = store
            .write(async move |tx| tx.take_errands((1, 7), oldest, &mine, (at(0), limit)).await)
            .await;
        taken.unwrap()
    };
    assert_eq!(take(1, &[2], 10).await, [0; 0]);
    assert_eq!(take(1, &[1, 2, 6], 1).await, [1]);
    assert_eq!(take(3, &[2, 6], 10).await, [3]);
    assert_eq!(take(1, &[2, 6], 10).await, [2]);
    assert_eq!(take(1, &[6], 10).await, [0; 0]);
    assert_eq!(take(1, &[5, 6], 10).await, [5, 6]);
    assert_eq!(take(1, &[5, 6], 10).await, [0; 0]);
    assert_eq!(overdue(&store, 0, 10).await, [4]);
}

#[tokio::test]
async fn one_server_knows_that_what_it_finds_is_nobodys_and_of_several_none_does() {
    let (database, store) = open().await;
    store.run_errands(true);
    add(&store, [(1, 7)]).await;
    let left: Result<(), StoreError> =
        store.write(async |tx| tx.leave_forsaken_errands(at(1)).await).await;
    left.unwrap();
    let is_alone = database.kind() == Kind::Sqlite;
    assert_eq!(store.has_overdue_errands(at(1)).await.unwrap(), is_alone);
}
