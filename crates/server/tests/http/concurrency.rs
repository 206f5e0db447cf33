//! Many at once: unique names, lost updates, sums that add up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use decimal::Decimal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::movements::{Movement, Wish, reckon};
use crate::proof::{entries, verify};
use crate::support::{Reply, TestApp};

/// Runs all requests at once and returns their answers.
pub async fn all_at_once<F>(requests: impl Iterator<Item = F>) -> Vec<Reply>
where
    F: Future<Output = Reply> + Send + 'static,
{
    requests.collect::<JoinSet<_>>().join_all().await
}

/// How many answers have this status.
pub fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_creates_with_one_name_exactly_one_succeeds() {
    let app = Arc::new(TestApp::start().await);
    app.contractor("acme").await;
    for attributes in [
        |_: i64| json!({"name": "same"}),
        |n| json!({"name": format!("e{n}"), "external-id": 7}),
        |n| json!({"name": format!("u{n}"), "uuid": "00000000-0000-1000-8000-000000000001"}),
    ] {
        let replies = all_at_once((0..64).map(|n| {
            let app = Arc::clone(&app);
            async move { app.open("1", attributes(n)).await }
        }))
        .await;
        assert_eq!((count(&replies, 201), count(&replies, 422)), (1, 63));
        for refused in replies.iter().filter(|reply| reply.status == 422) {
            assert!(refused.body.contains("has already been taken"), "{}", refused.body);
        }
    }
    assert_eq!(app.total("/accounts").await, 3);
    assert_eq!(app.total("/audit-records?filter[item-type]=accounts").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_updates_of_one_state_exactly_one_succeeds() {
    let app = Arc::new(TestApp::start().await);
    app.contractor("acme").await;
    let id = app.account("1", json!({"name": "x"})).await;
    let path = format!("/accounts/{id}");
    let tag = app.get(&path).await.header("etag").to_owned();
    let replies = all_at_once((1..=32).map(|n| {
        let (app, path, tag) = (Arc::clone(&app), path.clone(), tag.clone());
        let data = json!({"type": "accounts", "id": "1", "attributes": {"total-capacity": n}});
        async move { app.write_if("PATCH", &path, &tag, &json!({ "data": data })).await }
    }))
    .await;
    assert_eq!((count(&replies, 200), count(&replies, 412)), (1, 31));
    let winner = replies.iter().find(|reply| reply.status == 200).unwrap();
    assert_eq!(app.get(&path).await.body, winner.body);
    let loser = replies.iter().find(|reply| reply.status == 412).unwrap();
    assert_eq!(loser.json()["errors"][0]["title"], "Precondition failed");
    assert_eq!(loser.json()["errors"][0]["code"], "412");
    assert_eq!(app.total("/audit-records?filter[event_eq]=update").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_correction_is_lost() {
    let app = Arc::new(TestApp::start().await);
    app.contractor("acme").await;
    app.account("1", json!({"name": "x"})).await;
    let replies = all_at_once((0..100).map(|n| {
        let app = Arc::clone(&app);
        let correction = if n % 2 == 0 { "0.1" } else { "-0.01" };
        let data = json!({
            "type": "balance-correction", "id": "1", "attributes": {"correction": correction},
        });
        async move { app.patch("/accounts/1/balance-correction", json!({ "data": data })).await }
    }))
    .await;
    assert_eq!(count(&replies, 200), 100);
    assert_eq!(app.attributes("/accounts/1").await["balance"], "4.5");
    assert_eq!(app.total("/audit-records?filter[event_eq]=update").await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_account_outlives_its_contractor() {
    let app = Arc::new(TestApp::start().await);
    for round in 1..=8 {
        let contractor = app.contractor(&format!("c{round}")).await;
        let replies = all_at_once((0..8).map(|n| {
            let (app, contractor) = (Arc::clone(&app), contractor.clone());
            async move {
                match n {
                    4 => app.delete(&format!("/contractors/{contractor}")).await,
                    n => app.open(&contractor, json!({"name": format!("{round}-{n}")})).await,
                }
            }
        }))
        .await;
        let opened = count(&replies, 201);
        let gone = app.get(&format!("/contractors/{contractor}")).await.status == 404;
        assert_eq!(gone, opened == 0, "round {round}");
        let accounts = format!("/accounts?filter[contractor.id]={contractor}");
        assert_eq!(app.total(&accounts).await, opened as u64);
    }
}

#[tokio::test]
async fn a_write_can_demand_the_state_it_knows() {
    let app = TestApp::start().await;
    app.contractor("acme").await;
    app.account("1", json!({"name": "x", "external-id": 5})).await;
    let stale = "W/\"0123456789abcdef0123456789abcdef\"";
    let document =
        |vat: i64| json!({"data": {"type": "accounts", "id": "1", "attributes": {"vat": vat}}});
    let path = "/accounts/1";
    let tag = async || app.get(path).await.header("etag").to_owned();
    let strong = |tag: &str| tag.trim_start_matches("W/").to_owned();
    let now = tag().await;
    assert_eq!(app.write_if("PATCH", path, stale, &document(1)).await.status, 412);
    assert_eq!(app.write_if("PATCH", path, "", &document(1)).await.status, 412);
    assert_eq!(app.attributes(path).await["vat"], "0.0");
    assert_eq!(app.write_if("PATCH", path, &now, &document(1)).await.status, 200);
    assert_eq!(app.write_if("PATCH", path, &now, &document(2)).await.status, 412);
    let list = format!("{stale}, {}", tag().await);
    assert_eq!(app.write_if("PUT", path, &list, &document(3)).await.status, 200);
    assert_eq!(app.write_if("PATCH", path, "*", &document(4)).await.status, 200);
    let answered = app.write_if("PATCH", path, &strong(&tag().await), &document(5)).await;
    assert_eq!(answered.header("etag"), tag().await, "the answer's tag is the new state's");
    // The tag is that of the representation asked for.
    let fields = format!("{path}?fields[accounts]=name");
    let shaped = app.get(&fields).await.header("etag").to_owned();
    assert_eq!(app.write_if("PATCH", path, &shaped, &document(6)).await.status, 412);
    assert_eq!(app.write_if("PATCH", &fields, &shaped, &document(6)).await.status, 200);
    // What is not there is not found, whatever is demanded.
    let missing = json!({"data": {"type": "accounts", "id": "9"}});
    assert_eq!(app.write_if("PATCH", "/accounts/9", stale, &missing).await.status, 404);
    assert_eq!(app.write_if("DELETE", "/accounts/9", "*", &Value::Null).await.status, 404);
    let link = json!({"data": null});
    let template = "/accounts/1/relationships/invoice-template";
    assert_eq!(app.write_if("PATCH", template, stale, &link).await.status, 412);
    assert_eq!(app.write_if("PATCH", template, &tag().await, &link).await.status, 204);
    assert_eq!(app.write_if("DELETE", path, stale, &Value::Null).await.status, 412);
    assert_eq!(app.write_if("DELETE", path, &tag().await, &Value::Null).await.status, 204);
}

/// Sends what each writer asks for, one after the other, all writers at once, while the proof is
/// made again and again. Returns how many entries there are, and where the balances stand.
async fn write_at_once(
    app: &Arc<TestApp>,
    writers: impl Iterator<Item = Vec<Movement>>,
) -> (usize, BTreeMap<i64, Decimal>) {
    let writers: Vec<_> = writers.collect();
    let movements = writers.concat();
    let mut writing: JoinSet<()> = JoinSet::new();
    for writer in writers {
        let app = Arc::clone(app);
        writing.spawn(async move {
            for movement in writer {
                let reply = app.ask(&movement).await;
                assert!(movement.is_done(&reply), "{movement:?} {reply:?}");
            }
        });
    }
    let ends = async { while writing.join_next().await.transpose().unwrap().is_some() {} };
    tokio::pin!(ends);
    while tokio::time::timeout(Duration::from_millis(50), &mut ends).await.is_err() {
        let app = Arc::clone(app);
        tokio::task::spawn_blocking(move || verify(&app.database)).await.unwrap();
    }
    verify(&app.database);
    let entries = entries(&app.database.session());
    let (counts, balances) = reckon(&entries, &movements);
    assert!(counts.values().all(|count| *count == 1) && counts.len() == movements.len());
    (entries.len(), balances)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_of_one_balance_add_up_exactly() {
    let app = Arc::new(TestApp::start().await);
    app.accounts(1).await;
    app.update("accounts", "1", json!({"balance-low-threshold": 1})).await;
    let mut sum = 0;
    let writers = (0..64).map(|writer: i128| {
        let wishes = (0..6).map(|number| {
            let units = (writer * 6 + number + 1) * 1_234_567_890_123;
            let amount = Decimal::from_units(if number < 3 { units } else { -units }).unwrap();
            let is_charge = number % 3 == 1;
            sum += if is_charge { -amount.units() } else { amount.units() };
            let wish = match number % 3 {
                0 => Wish::Pay(amount, None),
                1 => Wish::Charge(amount),
                _ => Wish::Correct(amount),
            };
            let mark = format!("{writer}-{number}");
            Movement { account: 1, wish, mark, is_keyed: writer % 2 == 0 }
        });
        wishes.collect()
    });
    let (count, balances) = write_at_once(&app, writers).await;
    assert_eq!((count, balances[&1]), (384, Decimal::from_units(sum).unwrap()));
    assert_eq!(app.attributes("/accounts/1").await["balance"], balances[&1].to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_accounts_moved_crosswise_never_block() {
    let app = Arc::new(TestApp::start().await);
    let accounts = app.accounts(2).await;
    let (one, two) = (accounts[0], accounts[1]);
    let writers = (0..32).map(|writer| {
        let amount = Decimal::from_int(writer + 1);
        let there_and_back = [(one, amount), (two, -amount)];
        let order = if writer % 2 == 0 { [0, 1, 0, 1] } else { [1, 0, 1, 0] };
        let wishes = order.into_iter().enumerate().map(|(number, end)| {
            let (account, amount) = there_and_back[end];
            let mark = format!("{writer}-{number}");
            Movement { account, wish: Wish::Correct(amount), mark, is_keyed: false }
        });
        wishes.collect()
    });
    let written = tokio::time::timeout(Duration::from_mins(1), write_at_once(&app, writers));
    let (_, balances) = written.await.expect("nobody blocks");
    let sum = Decimal::from_int(2 * (1..=32).sum::<i64>());
    assert_eq!(balances, BTreeMap::from([(one, sum), (two, -sum)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_movements_of_one_known_balance_exactly_one_succeeds() {
    let app = Arc::new(TestApp::start().await);
    app.accounts(1).await;
    let set = |n: i64| {
        (
            "/accounts/1/balance",
            json!({"type": "balances", "id": "1001", "attributes": {"balance": n}}),
        )
    };
    let correct = |n: i64| {
        let attributes = json!({"correction": n});
        let data = json!({"type": "balance-correction", "id": "1", "attributes": attributes});
        ("/accounts/1/balance-correction", data)
    };
    let cases: [&dyn Fn(i64) -> (&'static str, Value); 2] = [&set, &correct];
    for (round, document) in cases.into_iter().enumerate() {
        let (path, data) = document(1_000);
        let tag = app.patch(path, json!({ "data": data })).await.header("etag").to_owned();
        let replies = all_at_once((1..=64).map(|n| {
            let (app, tag, (path, data)) = (Arc::clone(&app), tag.clone(), document(n));
            async move { app.write_if("PATCH", path, &tag, &json!({ "data": data })).await }
        }))
        .await;
        assert_eq!((count(&replies, 200), count(&replies, 412)), (1, 63), "{path}");
        let winner = replies.iter().find(|reply| reply.status == 200).unwrap();
        let balance = app.attributes("/accounts/1").await["balance"].take();
        assert_eq!(winner.attribute("balance"), balance);
        let entries: i64 = app.stored("SELECT count(*) FROM journal_entries");
        assert_eq!(entries, [2, 4][round]);
    }
    verify(&app.database);
}
