//! What nodes on one database share: leases, counters of failures, settings, first answers, tasks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonapi::Api;
use store::{FirstAnswer, NewTask, Store, StoreError, TaskFailure, TaskState, TaskStep};
use testbed::{Kind, TestDatabase};

const API: Api = Api { prefix: "", resources: &[] };
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn secs(secs: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(secs)
}

/// Two nodes on one database.
async fn nodes() -> (TestDatabase, [Arc<Store>; 2]) {
    let database = TestDatabase::fresh();
    let one = Store::open(&database.url(), API).await.unwrap();
    let other = Store::open(&database.url(), API).await.unwrap();
    (database, [Arc::new(one), Arc::new(other)])
}

#[tokio::test]
async fn a_lease_is_held_by_one_node_until_it_is_over_or_given_back() {
    let (_database, [one, other]) = nodes().await;
    assert!(one.lease("job", "one", secs(0), secs(15)).await.unwrap());
    assert!(!other.lease("job", "other", secs(1), secs(16)).await.unwrap());
    assert!(other.lease("another job", "other", secs(1), secs(16)).await.unwrap());
    // Renewed, it lasts for longer than it did.
    assert!(one.lease("job", "one", secs(10), secs(25)).await.unwrap());
    assert!(!other.lease("job", "other", secs(24), secs(39)).await.unwrap());
    // Over is over, to the moment.
    assert!(other.lease("job", "other", secs(25), secs(40)).await.unwrap());
    assert!(!one.lease("job", "one", secs(26), secs(41)).await.unwrap());
    // Nobody gives back what is another's.
    one.release("job", "one").await.unwrap();
    assert!(!one.lease("job", "one", secs(27), secs(42)).await.unwrap());
    other.release("job", "other").await.unwrap();
    assert!(one.lease("job", "one", secs(27), secs(42)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_for_a_lease_at_once_one_gets_it() {
    let (_database, stores) = nodes().await;
    for round in 0..20 {
        let now = secs(100 * round);
        let asking: Vec<_> = (0..8)
            .map(|number: usize| {
                let store = Arc::clone(&stores[number % 2]);
                let until = now + SignedDuration::from_secs(15);
                tokio::spawn(async move {
                    store.lease("job", &number.to_string(), now, until).await.unwrap()
                })
            })
            .collect();
        let mut holders = 0;
        for asked in asking {
            holders += usize::from(asked.await.unwrap());
        }
        assert_eq!(holders, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_at_two_nodes_at_once_are_all_counted() {
    let (_database, stores) = nodes().await;
    let failing: Vec<_> = (0..40)
        .map(|number: usize| {
            let store = Arc::clone(&stores[number % 2]);
            tokio::spawn(async move {
                let counted: Result<(), StoreError> = store
                    .write(async move |tx| {
                        tx.count_failure("name", secs(0), secs(60)).await?;
                        tx.count_failure("address", secs(0), secs(90)).await
                    })
                    .await;
                counted.unwrap();
            })
        })
        .collect();
    for failed in failing {
        failed.await.unwrap();
    }
    let counted = async |store: &Store| {
        let mut found = store.failures(["name", "address"]).await.unwrap();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found.into_iter().map(|one| (one.key, one.count, one.end)).collect::<Vec<_>>()
    };
    let both = [("address".to_owned(), 40, secs(90)), ("name".to_owned(), 40, secs(60))];
    assert_eq!(counted(&stores[0]).await, both);
    // What is over begins anew, and what ended before the cutoff is forgotten.
    let again: Result<(), StoreError> =
        stores[0].write(async |tx| tx.count_failure("name", secs(60), secs(120)).await).await;
    again.unwrap();
    let forgotten: Result<usize, StoreError> =
        stores[1].write(async |tx| tx.forget_old_failures(secs(91), 10).await).await;
    assert_eq!(forgotten.unwrap(), 1);
    assert_eq!(counted(&stores[1]).await, [("name".to_owned(), 1, secs(120))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_make_a_setting_at_once_agree_on_it() {
    let (_database, stores) = nodes().await;
    for round in 0..20 {
        let making: Vec<_> = (0..8)
            .map(|number: usize| {
                let store = Arc::clone(&stores[number % 2]);
                tokio::spawn(async move {
                    let name = format!("setting {round}");
                    let made: Result<String, StoreError> = store
                        .write(async move |tx| tx.setting_or(&name, || number.to_string()).await)
                        .await;
                    made.unwrap()
                })
            })
            .collect();
        let mut made = Vec::new();
        for one in making {
            made.push(one.await.unwrap());
        }
        assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_another_node_has_just_kept_is_found_even_by_operations_run_one_by_one() {
    let database = TestDatabase::of(Kind::Postgres);
    let place = store::Database { lanes: 1, ..store::Database::from(&database.url()) };
    let store = Arc::new(Store::open(place, API).await.unwrap());
    // Another node is about to answer the key.
    let other = database.session();
    other.execute(
        "BEGIN; INSERT INTO first_answers \
         (operator_id, key, fingerprint, status, tagged, body, created_at) \
         VALUES (1, 'key', repeat('00', 32), 201, true, 'theirs', now())",
    );
    // The lane is busy while these two come, so they share a batch.
    let busy = Arc::clone(&store);
    let busy = tokio::spawn(async move {
        let slow: Result<(), StoreError> = busy
            .write(async |_| {
                std::thread::sleep(Duration::from_millis(500));
                Ok(())
            })
            .await;
        slow
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The first fails when it has decided something: that makes both run one by one.
    let failing = Arc::clone(&store);
    let failing = tokio::spawn(async move {
        let failed: Result<(), StoreError> = failing
            .write(async |tx| {
                tx.count_failure("key", NOW, NOW).await?;
                Err(StoreError::Closed)
            })
            .await;
        failed
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answering = Arc::clone(&store);
    let answering = tokio::spawn(async move {
        let answered: Result<Vec<u8>, StoreError> = answering
            .write(async |tx| {
                if let Some(first) = tx.first_answer(1, "key").await? {
                    return Ok(first.body);
                }
                let answer = FirstAnswer {
                    fingerprint: [0; 32],
                    status: 201,
                    content_type: None,
                    location: None,
                    tagged: true,
                    body: b"ours".to_vec(),
                };
                tx.keep_answer(1, "key", &answer, NOW).await?;
                Ok(answer.body)
            })
            .await;
        answered
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.execute("COMMIT");
    busy.await.unwrap().unwrap();
    assert!(matches!(failing.await.unwrap(), Err(StoreError::Closed)));
    assert_eq!(answering.await.unwrap().unwrap(), b"theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_task_is_taken_once() {
    let (_database, [one, other]) = nodes().await;
    let new = NewTask {
        kind: "import".to_owned(),
        operator_id: 1,
        operator_name: "ann".to_owned(),
        ip: None,
        description: "a file".to_owned(),
        parameters: "{}".to_owned(),
        position: 0,
        created_at: NOW,
    };
    let id = one
        .write::<_, StoreError, _>(async move |tx| {
            let id = tx.insert_task(&new).await?;
            tx.add_task_input(id, 1, "[1,2]").await?;
            Ok(id)
        })
        .await
        .unwrap();
    // Nobody sees it while its input is being written.
    assert_eq!(one.task(id).await.unwrap(), None);
    assert_eq!(one.unfinished_tasks(9).await.unwrap(), []);
    assert_eq!(one.tasks(None, 9).await.unwrap(), []);
    let start = async |store: &Store| {
        store.write::<_, StoreError, _>(async move |tx| tx.start_task(id, secs(1)).await).await
    };
    assert!(!start(&one).await.unwrap());
    one.write::<_, StoreError, _>(async move |tx| tx.queue_task(id, 2).await).await.unwrap();
    assert_eq!(other.task(id).await.unwrap().unwrap().state, TaskState::Waiting);
    assert!(start(&one).await.unwrap());
    assert!(start(&other).await.unwrap());
    let failure = TaskFailure { number: 2, place: "line 3".to_owned(), message: "no".to_owned() };
    let step = TaskStep {
        from: 0,
        to: 2,
        done: 1,
        failures: vec![failure.clone()],
        failed: 1,
        made: None,
    };
    let advance = async |store: &Store| {
        let step = step.clone();
        let advanced = store.write(async move |tx| tx.advance_task(id, &step).await).await;
        advanced.map_err(|error: StoreError| error)
    };
    assert_eq!(advance(&one).await.unwrap(), Some(TaskState::Running));
    assert_eq!(advance(&other).await.unwrap(), None);
    let task = one.task(id).await.unwrap().unwrap();
    assert_eq!((task.position, task.done, task.failed, task.total), (2, 1, 1, 2));
    assert_eq!(task.started_at, Some(secs(1)));
    assert_eq!(one.task_failures(id, 0, 9).await.unwrap(), [failure]);
    assert_eq!(one.task_input(id, 0).await.unwrap(), Some((1, "[1,2]".to_owned())));
    assert_eq!(one.task_input(id, 2).await.unwrap(), None);
    let end = async |store: &Store, state| {
        let ended = store.write(async move |tx| tx.end_task(id, state, None, secs(2)).await).await;
        ended.map_err(|error: StoreError| error)
    };
    assert!(end(&one, TaskState::Cancelled).await.unwrap());
    assert!(!end(&other, TaskState::Done).await.unwrap());
    assert!(!start(&one).await.unwrap());
    assert_eq!(one.task(id).await.unwrap().unwrap().state, TaskState::Cancelled);
}
