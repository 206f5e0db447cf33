//! Lines of deliveries: claimed by one, never left behind, due again when a holder is gone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonapi::Api;
use store::{Left, Line, Store, StoreError};
use testbed::TestDatabase;

const API: Api = Api { prefix: "", resources: &[] };

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

async fn open() -> (TestDatabase, Store) {
    let database = TestDatabase::fresh();
    let store = Store::open(&database.url(), API).await.unwrap();
    (database, store)
}

async fn join(store: &Store, line: &'static str, target: &'static str, secs: i64) {
    let joined: Result<(), StoreError> =
        store.write(async move |tx| tx.join_line(line, target, at(secs), 0).await).await;
    joined.unwrap();
}

async fn due(store: &Store, target: &str, secs: i64) -> Vec<String> {
    store.due_lines(target, at(secs), 100).await.unwrap()
}

async fn claim(store: &Store, target: &str, holder: &'static str, secs: i64) -> Vec<Line> {
    let due = due(store, target, secs).await;
    claim_these(store, target, due, holder, secs).await
}

async fn claim_these(
    store: &Store,
    target: &str,
    names: Vec<String>,
    holder: &'static str,
    secs: i64,
) -> Vec<Line> {
    let until = at(secs) + SignedDuration::from_secs(60);
    let claimed: Result<(), StoreError> =
        store.write(async move |tx| tx.claim_lines(&names, holder, at(secs), until).await).await;
    claimed.unwrap();
    store.claimed_lines(target, holder, until).await.unwrap()
}

async fn leave(store: &Store, line: &Line, holder: &'static str, left: Left, secs: i64) {
    let line = line.clone();
    let left: Result<(), StoreError> =
        store.write(async move |tx| tx.leave_line(&line, holder, left, at(secs)).await).await;
    left.unwrap();
}

#[tokio::test]
async fn a_line_is_claimed_by_one_holder_until_its_end() {
    let (_database, store) = open().await;
    join(&store, "a", "hook 1", 0).await;
    join(&store, "b", "hook 1", 5).await;
    assert_eq!(due(&store, "hook 1", 1).await, ["a"]);
    let seen_by_both = due(&store, "hook 1", 10).await;
    assert_eq!(seen_by_both.len(), 2);
    let first = claim_these(&store, "hook 1", seen_by_both.clone(), "one", 10).await;
    let second = claim_these(&store, "hook 1", seen_by_both, "two", 10).await;
    assert_eq!((first.len(), second.len()), (2, 0));
    assert!(due(&store, "hook 1", 69).await.is_empty());
    // The holder is gone: another one takes over, and the first has nothing to leave any more.
    let again = claim(&store, "hook 1", "two", 70).await;
    assert_eq!(again.len(), 2);
    leave(&store, &first[0], "one", Left::Empty, 71).await;
    assert_eq!(due(&store, "hook 1", 200).await, ["a", "b"]);
}

#[tokio::test]
async fn a_line_that_something_joins_meanwhile_is_not_closed() {
    let (_database, store) = open().await;
    join(&store, "a", "hook 1", 0).await;
    let held = claim(&store, "hook 1", "one", 1).await.remove(0);
    assert_eq!((held.joined, held.failures), (1, 0));
    join(&store, "a", "hook 1", 2).await;
    leave(&store, &held, "one", Left::Empty, 3).await;
    let held = claim(&store, "hook 1", "one", 3).await.remove(0);
    assert_eq!(held.joined, 2);
    leave(&store, &held, "one", Left::Empty, 4).await;
    assert!(store.line_targets("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_line_that_failed_waits_unless_somebody_is_in_a_hurry() {
    let (_database, store) = open().await;
    join(&store, "a", "hook 1", 0).await;
    let held = claim(&store, "hook 1", "one", 0).await.remove(0);
    leave(&store, &held, "one", Left::Waiting { due: at(100), failures: 3 }, 1).await;
    assert!(due(&store, "hook 1", 99).await.is_empty());
    let hurried: Result<(), StoreError> =
        store.write(async |tx| tx.hurry_line("a", at(50)).await).await;
    hurried.unwrap();
    let held = claim(&store, "hook 1", "one", 50).await.remove(0);
    assert_eq!(held.failures, 3);
    // One that is held is not hurried: it is being served.
    let hurried: Result<(), StoreError> =
        store.write(async |tx| tx.hurry_line("a", at(51)).await).await;
    hurried.unwrap();
    assert!(due(&store, "hook 1", 60).await.is_empty());
}

#[tokio::test]
async fn targets_are_found_whatever_their_lines() {
    let (_database, store) = open().await;
    for (line, target) in [("a", "hook 2"), ("b", "hook 2"), ("c", "mail 1"), ("d", "hook 10")] {
        join(&store, line, target, 0).await;
    }
    assert_eq!(store.line_targets("").await.unwrap(), ["hook 10", "hook 2", "mail 1"]);
    assert_eq!(store.line_targets("hook 2").await.unwrap(), ["mail 1"]);
    assert_eq!(store.due_lines("hook 2", at(0), 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_commit_wakes_whoever_waits_and_a_refusal_does_not() {
    let (_database, store) = open().await;
    let stirs =
        async || tokio::time::timeout(Duration::from_millis(100), store.stirred()).await.is_ok();
    assert!(!stirs().await);
    let refused: Result<(), StoreError> = store
        .write(async |tx| {
            tx.join_line("a", "hook 1", at(0), 0).await?;
            Err(StoreError::Conflict)
        })
        .await;
    assert!(refused.is_err());
    assert!(store.line_targets("").await.unwrap().is_empty());
    join(&store, "a", "hook 1", 0).await;
    assert!(stirs().await);
    assert!(!stirs().await, "once");
}
