//! The journal: each change of a balance is one entry that proves itself, and nothing else is.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testbed::Row;
use tollkeeper::journal::open_books;

use crate::builders::{Made, app_with_accounts, app_with_contractor, app_with_second_operator};
use crate::concurrency::{all_at_once, count};
use crate::support::{MEDIA_TYPE, TestApp, linkage};

/// The journal of an account, as the API tells it, oldest first.
async fn journal(app: &TestApp, account: &str) -> Vec<Value> {
    app.listed(&format!("/journal-entries?filter[account.id]={account}&sort=sequence")).await
}

/// The hash that an entry must have after the one with the hash `previous`.
fn due_hash(previous: &Value, account: &str, entry: &Value) -> String {
    let e = |name: &str| &entry[name];
    let account: i64 = account.parse().unwrap();
    let covered = json!([
        previous,
        account,
        e("sequence"),
        e("kind"),
        e("amount"),
        e("balance-after"),
        e("reference-type"),
        e("reference-id"),
        e("actor"),
        e("request-id"),
        e("created-at"),
    ]);
    Sha256::digest(covered.to_string().as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// Asserts that the journal of an account has no gap, that its hashes are those of its contents,
/// that no time runs backwards, and that it leads to the account's balance.
async fn assert_proves_itself(app: &TestApp, account: &str) {
    let entries = journal(app, account).await;
    let mut previous = json!("");
    let mut time = String::new();
    for (position, entry) in entries.iter().enumerate() {
        assert_eq!(entry["sequence"], position + 1);
        assert_eq!(entry["hash"], due_hash(&previous, account, entry), "{entry}");
        previous = entry["hash"].clone();
        let at = entry["created-at"].as_str().unwrap().to_owned();
        assert!(time <= at, "{time} and then {at}");
        time = at;
    }
    let balance = app.attributes(&format!("/accounts/{account}")).await["balance"].take();
    assert_eq!(entries.last().map_or(&json!("0.0"), |last| &last["balance-after"]), &balance);
}

/// The journal without what every run has anew.
async fn told(app: &TestApp, account: &str) -> Vec<Value> {
    let mut entries = journal(app, account).await;
    for entry in &mut entries {
        for name in ["hash", "created-at"] {
            assert!(entry.as_object_mut().unwrap().remove(name).is_some_and(|v| v.is_string()));
        }
    }
    entries
}

#[tokio::test]
async fn every_change_of_a_balance_is_an_entry_that_says_who_why_and_how_much() {
    let (app, billing) = app_with_second_operator("billing").await;
    let account = json!({"account": linkage("accounts", "1")});
    let post = |kind: &str, amount: Value| json!({"type": kind, "attributes": {"amount": amount}, "relationships": account});
    let balance = json!({"type": "balances", "id": "1001", "attributes": {"balance": 50}});
    let correction =
        json!({"type": "balance-correction", "id": "1", "attributes": {"correction": "0.75"}});
    for (request_id, token, method, path, data) in [
        ("pay", &app.token, "POST", "/payments", post("payments", json!("100.5"))),
        ("refund", &billing, "POST", "/payments", post("payments", json!(-20))),
        ("charge", &app.token, "POST", "/transactions", post("transactions", json!(30))),
        ("credit", &billing, "POST", "/transactions", post("transactions", json!("-0.25"))),
        ("correct", &app.token, "PATCH", "/accounts/1/balance-correction", correction),
        ("set", &billing, "PUT", "/accounts/1/balance", balance),
        ("undo it", &app.token, "POST", "/payments/1/rollback", json!(null)),
    ] {
        let headers = [
            ("accept", MEDIA_TYPE),
            ("content-type", MEDIA_TYPE),
            ("authorization", token.as_str()),
            ("x-request-id", request_id),
        ];
        let reply = app.send(method, path, &headers, json!({ "data": data }).to_string()).await;
        assert!([200, 201].contains(&reply.status), "{}", reply.body);
    }
    let mut sequence = 0;
    let mut entry = |kind, amount, after, reference: [Value; 2], actor, request_id| {
        sequence += 1;
        let [reference_type, reference_id] = reference;
        json!({
            "sequence": sequence, "kind": kind, "amount": amount, "balance-after": after,
            "reference-type": reference_type, "reference-id": reference_id, "actor": actor,
            "request-id": request_id,
        })
    };
    let payment = |id: &str| [json!("payments"), json!(id)];
    let transaction = |id: &str| [json!("transactions"), json!(id)];
    let nothing = || [Value::Null, Value::Null];
    assert_eq!(
        told(&app, "1").await,
        [
            entry("payment", "100.5", "100.5", payment("1"), "admin", "pay"),
            entry("payment", "-20.0", "80.5", payment("2"), "billing", "refund"),
            entry("transaction", "-30.0", "50.5", transaction("1"), "admin", "charge"),
            entry("transaction", "0.25", "50.75", transaction("2"), "billing", "credit"),
            entry("correction", "0.75", "51.5", nothing(), "admin", "correct"),
            entry("adjustment", "-1.5", "50.0", nothing(), "billing", "set"),
            entry("rollback", "-100.5", "-50.5", payment("1"), "admin", "undoit"),
        ]
    );
    assert_proves_itself(&app, "1").await;
    assert!(journal(&app, "2").await.is_empty());
}

#[tokio::test]
async fn an_entry_is_answered_in_full() {
    let app = app_with_accounts().await;
    let second = app.second_account().await;
    app.pay(&second, 5).await;
    let reply = app.get("/journal-entries/1").await;
    let root = format!("http://{}/api/rest/admin/journal-entries/1", app.address);
    let attribute = |name: &str| reply.attribute(name);
    let expected = json!({"data": {
        "id": "1",
        "type": "journal-entries",
        "links": {"self": root},
        "attributes": {
            "sequence": 1,
            "kind": "payment",
            "amount": "5.0",
            "balance-after": "5.0",
            "reference-type": "payments",
            "reference-id": "1",
            "actor": "admin",
            "request-id": attribute("request-id"),
            "created-at": attribute("created-at"),
            "hash": attribute("hash"),
        },
        "relationships": {
            "account": {
                "links": {
                    "self": format!("{root}/relationships/account"),
                    "related": format!("{root}/account"),
                },
                "data": {"type": "accounts", "id": second},
            },
        },
    }});
    assert_eq!(reply.body, expected.to_string());
}

#[tokio::test]
async fn the_hashes_cover_names_that_json_must_escape() {
    let name = "Олена \"O'Neil\" \\ <a&b> \u{1}/\t";
    let (app, token) = app_with_second_operator(name).await;
    let data = json!({
        "type": "balances", "id": "1001", "attributes": {"balance": "0.000000000001"},
    });
    let headers =
        [("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE), ("authorization", token.as_str())];
    let document = json!({ "data": data }).to_string();
    assert_eq!(app.send("PUT", "/accounts/1/balance", &headers, document).await.status, 200);
    assert_eq!(journal(&app, "1").await[0]["actor"], name);
    assert_proves_itself(&app, "1").await;
}

#[tokio::test]
async fn standing_still_is_no_entry() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let before = app.dump();
    for reply in [
        app.correct("1", "1", json!(0)).await,
        app.correct("1", "1", json!("-0.00")).await,
        app.set_balance("1001", "1001", json!(5)).await,
        app.set_balance("1", "1001", json!("5.000")).await,
        app.patch("/accounts/1/balance", json!({"data": {"type": "balances", "id": "1001"}})).await,
    ] {
        assert_eq!(reply.attribute("balance"), "5.0");
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn what_is_refused_is_no_entry() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let before = app.dump();
    let data = json!({"type": "balances", "id": "1001", "attributes": {"balance": 7}});
    let document = json!({ "data": data });
    for (status, reply) in [
        (422, app.payment("1", json!({"amount": 0})).await),
        (422, app.payment("9", json!({"amount": 5})).await),
        (400, app.payment("1", json!({"amount": 5, "status": "completed"})).await),
        (422, app.transaction("1", json!({"amount": null})).await),
        (422, app.transaction("9", json!({"amount": 5})).await),
        (422, app.correct("1", "1", json!("x")).await),
        (400, app.correct("1", "2", json!(5)).await),
        (422, app.set_balance("1", "1001", json!(null)).await),
        (404, app.set_balance("1", "9", json!(5)).await),
        (412, app.write_if("PUT", "/accounts/1/balance", "W/\"0\"", &document).await),
        (404, app.roll_back("9").await),
        (401, app.send("PUT", "/accounts/1/balance", &[], document.to_string()).await),
    ] {
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    assert_eq!(app.dump(), before);
    assert_proves_itself(&app, "1").await;
}

#[tokio::test]
async fn nobody_changes_the_journal() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let second = app.second_account().await;
    app.pay(&second, 5).await;
    assert_eq!(app.delete(&format!("/accounts/{second}")).await.status, 204);
    let before = app.dump();
    for kind in ["journal-entries", "journal-closures"] {
        let data = json!({"type": kind, "id": "1", "attributes": {"sequence": 1}});
        for (method, path) in [
            ("POST", format!("/{kind}")),
            ("DELETE", format!("/{kind}")),
            ("PATCH", format!("/{kind}/1")),
            ("PUT", format!("/{kind}/1")),
            ("DELETE", format!("/{kind}/1")),
        ] {
            let reply = app.write(method, &path, json!({ "data": data }).to_string()).await;
            assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method}");
        }
    }
    let linkage = linkage("accounts", &second);
    let reply = app.patch("/journal-entries/1/relationships/account", linkage).await;
    assert_eq!(reply.errors(), ["105 account is not allowed."]);
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn entries_are_found_by_account_kind_amount_and_time() {
    let app = app_with_accounts().await;
    let second = &app.second_account().await;
    app.pay("1", 10).await;
    app.pay(second, 20).await;
    app.charge("1", 4).await;
    app.correct(second, second.as_str(), json!("0.5")).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let since = app.app.now();
    app.charge(second, -7).await;
    let ones = app.ids("/journal-entries?filter[account.id]=1&sort=sequence").await;
    let others = format!("/journal-entries?filter[account.id]={second}&sort=sequence");
    let others = app.ids(&others).await;
    let made = Made::new([&ones[0], &others[0], &ones[1], &others[1], &others[2]]);
    for (filter, found) in [
        ("account.id]=1", &[1, 3][..]),
        (&format!("account.id]={second}"), &[2, 4, 5]),
        (&format!("account.id]=1,{second}"), &[1, 2, 3, 4, 5]),
        ("account.id]=9999", &[]),
        ("kind]=payment", &[1, 2]),
        ("kind]=payment,correction", &[1, 2, 4]),
        ("kind-eq]=transaction", &[3, 5]),
        ("kind-in]=transaction,correction", &[3, 4, 5]),
        ("kind_not_in]=transaction,correction", &[1, 2]),
        ("kind]=service", &[]),
        ("amount-gt]=0.5", &[1, 2, 5]),
        ("amount_lt]=0", &[3]),
        ("amount-eq]=20.0", &[2]),
        ("created-at-lteq]=2999-01-01", &[1, 2, 3, 4, 5]),
        (&format!("created-at-gteq]={since:.3}"), &[5]),
        (&format!("kind]=transaction&filter[account.id]={second}&filter[amount-gt]=0"), &[5]),
    ] {
        let found = made.ordered(found.iter().copied());
        let path = format!("/journal-entries?filter[{filter}");
        assert_eq!(made.on(&app, &path).await, found, "{filter}");
    }
    let wrong = app.get("/journal-entries?filter[kind-in]=payment,bribe").await;
    assert_eq!((wrong.status, wrong.json()["errors"][0]["code"].clone()), (400, json!("107")));
    for account in ["1", second] {
        assert_proves_itself(&app, account).await;
    }
}

#[tokio::test]
async fn a_balance_goes_from_one_end_of_all_money_to_the_other() {
    let app = app_with_accounts().await;
    let end = "100000000000000000000000000";
    for (balance, entries) in [(end.to_owned(), 1), (format!("-{end}"), 3), (end.to_owned(), 5)] {
        let reply = app.set_balance("1", "1001", json!(balance)).await;
        assert_eq!(reply.attribute("balance"), format!("{balance}.0"));
        let told = told(&app, "1").await;
        assert_eq!(told.len(), entries);
        assert!(told.iter().all(|entry| entry["kind"] == "adjustment"));
        assert_proves_itself(&app, "1").await;
    }
    assert_eq!(app.total("/audit-records?filter[event_eq]=update").await, 5);
}

#[tokio::test]
async fn a_deleted_account_leaves_its_journal_closed() {
    let app = app_with_accounts().await;
    let second = &app.second_account().await;
    let payment = app.pay(second, 1).await;
    app.pay("1", 10).await;
    app.pay("1", "2.5").await;
    app.charge("1", 3).await;
    let transaction = app.charge(second, 3).await;
    let entries = journal(&app, "1").await;
    let since = app.app.now();
    assert_eq!(app.delete("/accounts/1").await.status, 204);
    for (kind, left) in [("payments", payment), ("transactions", transaction)] {
        assert_eq!(app.ids(&format!("/{kind}")).await, [left]);
        assert_eq!(app.total(&format!("/{kind}")).await, 1);
    }
    assert_eq!(app.total("/journal-entries").await, 5);
    assert_eq!(journal(&app, "1").await, entries, "what was written stays");
    let entry = &app.ids("/journal-entries?filter[account.id]=1&sort=sequence").await[0];
    let entry = format!("/journal-entries/{entry}");
    let linkage = app.get(&format!("{entry}/relationships/account")).await.json();
    assert_eq!(linkage["data"], json!({"type": "accounts", "id": "1"}));
    assert_eq!(app.get(&format!("{entry}/account")).await.json(), json!({"data": null}));
    let included = app.get(&format!("{entry}?include=account")).await;
    assert_eq!(included.status, 200, "{}", included.body);
    let mut closures = app.listed("/journal-closures").await;
    let closed_at = closures[0]["closed-at"].take();
    let closed_at: jiff::Timestamp = closed_at.as_str().unwrap().parse().unwrap();
    assert!(closed_at.as_millisecond() >= since.as_millisecond() && closed_at <= app.app.now());
    assert_eq!(
        closures,
        [json!({
            "account-id": 1,
            "account-name": "a",
            "sequence": 3,
            "balance": "9.5",
            "hash": entries[2]["hash"],
            "last-entry-at": entries[2]["created-at"],
            "closed-at": null,
        })]
    );
    let other = &format!("account-id-eq]={second}");
    for (filter, found) in [("account-id-eq]=1", 1), (other, 0), ("account-name]=a", 1)] {
        assert_eq!(app.total(&format!("/journal-closures?filter[{filter}")).await, found);
    }
    // The name is free again, the id is not, and a new journal begins.
    let next = app.account("1", json!({"name": "a", "external-id": 1001})).await;
    assert!(next != "1" && next != *second, "{next}");
    app.pay(&next, 1).await;
    assert_eq!(journal(&app, &next).await[0]["sequence"], 1);
    assert_proves_itself(&app, &next).await;
}

#[tokio::test]
async fn an_account_whose_balance_never_moved_leaves_no_closure() {
    let app = app_with_accounts().await;
    assert_eq!(app.delete("/accounts/1").await.status, 204);
    assert_eq!(app.total("/journal-closures").await, 0);
}

#[tokio::test]
async fn a_refused_deletion_changes_nothing() {
    let app = app_with_accounts().await;
    app.pay("1", 10).await;
    app.charge("1", 3).await;
    let before = app.dump();
    assert_eq!(app.delete("/contractors/1").await.status, 422);
    assert_eq!(app.write_if("DELETE", "/accounts/1", "W/\"0\"", &Value::Null).await.status, 412);
    assert_eq!(app.delete("/accounts/9").await.status, 404);
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn a_deleted_account_takes_its_services_along() {
    let app = app_with_accounts().await;
    app.alter("INSERT INTO services (id, name, account_id) VALUES (1, 'line', 1)");
    let links = json!({"account": linkage("accounts", "1"), "service": linkage("services", "1")});
    app.create("transactions", json!({"amount": 5}), links).await;
    assert_eq!(app.delete("/accounts/1").await.status, 204);
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM services"), 0);
    assert_eq!(app.total("/transactions").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_make_one_chain_each() {
    let app = Arc::new(app_with_accounts().await);
    let second = app.second_account().await;
    let replies = all_at_once((0..60).map(|n| {
        let (app, second) = (Arc::clone(&app), second.clone());
        async move {
            let account = if n % 2 == 0 { "1" } else { &second };
            match n % 3 {
                0 => app.payment(account, json!({"amount": "0.1"})).await,
                1 => app.transaction(account, json!({"amount": "0.01"})).await,
                _ => app.correct(account, account, json!("1e-12")).await,
            }
        }
    }))
    .await;
    assert_eq!((count(&replies, 201), count(&replies, 200)), (40, 20));
    assert_eq!(app.balances().await, ["0.90000000001", "0.90000000001"]);
    for account in ["1", &second] {
        assert_eq!(journal(&app, account).await.len(), 30);
        assert_proves_itself(&app, account).await;
    }
}

/// Makes the database what it was before there was a journal: accounts with balances, no more.
fn forget_journal(app: &TestApp) {
    app.alter(
        "UPDATE accounts SET journal_sequence = 0, journal_hash = '', journal_at = NULL,
           threshold_state = 0;
         DELETE FROM journal_entries;
         DELETE FROM events;
         DELETE FROM balance_notifications;
         DELETE FROM totals WHERE kind IN ('journal-entries', 'events', 'balance-notifications');
         DELETE FROM settings WHERE name = 'journal';",
    );
}

#[tokio::test]
async fn the_books_of_an_older_database_are_opened_once() {
    let (app, contractor) = app_with_contractor().await;
    let mut ids = Vec::new();
    for (name, low, high, balance) in [
        ("empty", None, None, "0"),
        ("in debt", Some(0), None, "-12.5"),
        ("rich", Some(0), Some(50), "1000.000000000001"),
        ("between", Some(0), Some(50), "7"),
        ("empty and low", Some(1), None, "0"),
    ] {
        let attributes = json!({
            "name": name, "balance-low-threshold": low, "balance-high-threshold": high,
        });
        let id = app.account(&contractor, attributes).await;
        assert_eq!(app.correct(&id, id.as_str(), json!(balance)).await.status, 200);
        ids.push(id);
    }
    let balances = app.balances().await;
    forget_journal(&app);
    let audited = app.total("/audit-records").await;
    open_books(&app.app.store, app.app.moment()).await.unwrap();
    assert_eq!(app.balances().await, balances);
    for (at, balance) in [(1, "-12.5"), (2, "1000.000000000001"), (3, "7.0")] {
        let id = &ids[at];
        let opening = json!({
            "sequence": 1, "kind": "opening", "amount": balance, "balance-after": balance,
            "reference-type": null, "reference-id": null, "actor": null, "request-id": null,
        });
        assert_eq!(told(&app, id).await, [opening]);
        assert_proves_itself(&app, id).await;
    }
    assert_eq!(app.total("/journal-entries").await, 3);
    assert_eq!(app.total("/audit-records").await, audited, "nothing has changed");
    let state = |id: &String| {
        app.stored::<i64>(&format!("SELECT threshold_state FROM accounts WHERE id = {id}"))
    };
    assert_eq!(ids.iter().map(state).collect::<Vec<_>>(), [0, 1, 2, 0, 1]);
    for (at, event, balance) in [(1, 3, "-12.5"), (2, 4, "1000.000000000001"), (4, 3, "0.0")] {
        let list = format!("/balance-notifications?filter[account.id]={}", ids[at]);
        let [row] = &app.listed(&list).await[..] else { panic!("not one of {}", ids[at]) };
        assert_eq!(json!([row["event-id"], row["balance"]]), json!([event, balance]));
    }
    assert_eq!(app.total("/events").await, 3);

    let opened = app.dump();
    open_books(&app.app.store, app.app.moment()).await.unwrap();
    assert_eq!(app.dump(), opened);
    // A run that was interrupted before it could say that it was done.
    app.alter("DELETE FROM settings WHERE name = 'journal'");
    open_books(&app.app.store, app.app.moment()).await.unwrap();
    assert_eq!(app.dump(), opened);

    app.pay(&ids[1], 5).await;
    assert_eq!(journal(&app, &ids[1]).await[1]["balance-after"], "-7.5");
    assert_proves_itself(&app, &ids[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_books_of_a_thousand_accounts_are_opened_in_slices() {
    const ACCOUNTS: usize = 1001;
    let (app, _) = app_with_contractor().await;
    let app = Arc::new(app);
    let replies = all_at_once((0..ACCOUNTS).map(|n| {
        let app = Arc::clone(&app);
        async move { app.open("1", json!({"name": n.to_string()})).await }
    }))
    .await;
    assert_eq!(count(&replies, 201), ACCOUNTS);
    app.correct("1", "1", json!("12.5")).await;
    app.alter("UPDATE accounts SET balance = (SELECT balance FROM accounts WHERE id = 1)");
    forget_journal(&app);
    open_books(&app.app.store, app.app.moment()).await.unwrap();
    assert_eq!(app.total("/journal-entries?filter[kind]=opening").await, ACCOUNTS as u64);
    let ids: Vec<i64> =
        app.database.rows("SELECT id FROM accounts ORDER BY id").iter().map(Row::first).collect();
    for at in [0, 499, 500, 1000] {
        let account = &ids[at].to_string();
        assert_eq!(journal(&app, account).await.len(), 1, "{account}");
        assert_proves_itself(&app, account).await;
    }
}
