//! `tollkeeper verify` on databases that somebody has tampered with, one thing at a time.

use std::time::{Duration, Instant};

use billing::journal::EntryKind;
use jiff::Timestamp;
use jsonapi::Value as Stored;
use serde_json::{Value, json};
use testbed::Kind;
use tollkeeper::accounts::judge_older;
use tollkeeper::journal::open_books;

use crate::builders::app_with_contractor;
use crate::postings::{many, number, post_all};
use crate::program::{Ended, Here, correct, open_accounts, run, tollkeeper};
use crate::support::{Reply, TestApp, linkage};

/// Without these, nothing points at accounts.
const WITHOUT_ALERTS: &str = "DELETE FROM balance_alerts";

/// Money as the database keeps it, for an SQL text.
fn stored(app: &TestApp, text: &str) -> String {
    app.database.literal(&Stored::Decimal(number(text)))
}

/// Checks that a write was taken.
#[track_caller]
fn taken(reply: &Reply) {
    assert!([200, 201, 204].contains(&reply.status), "{reply:?}");
}

/// A server whose journals have entries of every kind that there is so far.
///
/// Account 1 was older than its journal, and then corrected, set, paid for, rolled back, charged:
/// six entries, the last balance 33.75. Account 2 has four corrections, a second apart, 10.0 in the
/// end, and is beyond its high threshold. Account 3 was deleted with two entries, at 3.0. Account 4 never
/// moved. Account 5 has one entry. Only the first has its number as its id, see [`Books::text`].
struct Books {
    app: TestApp,
    ids: Vec<String>,
}

impl Books {
    /// The id of the account with this number.
    fn id(&self, number: usize) -> &str {
        &self.ids[number - 1]
    }

    /// The text with ids in the place of `#1` to `#5`.
    fn text(&self, text: &str) -> String {
        (1..=5).fold(text.to_owned(), |text, number| {
            text.replace(&format!("#{number}"), self.id(number))
        })
    }
}

async fn books() -> Books {
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "old", "external-id": 1001})).await;
    app.alter(&format!("UPDATE accounts SET balance = {}", stored(&app, "12.5")));
    open_books(&app.app.store, app.app.moment()).await.unwrap();
    judge_older(&app.app).await.unwrap();
    let mut ids = vec!["1".to_owned()];
    for name in ["high", "gone", "still", "last"] {
        ids.push(app.account(&contractor, json!({"name": name})).await);
    }
    taken(&app.update("accounts", &ids[1], json!({"balance-high-threshold": 9})).await);
    correct(app.address, &app.token, "1", "-2.25").await;
    let data = json!({"type": "balances", "id": "1001", "attributes": {"balance": "40"}});
    taken(&app.patch("/accounts/1001/balance", json!({ "data": data })).await);
    let links = || json!({"account": linkage("accounts", "1")});
    let payment = app.create("payments", json!({"amount": "7.125"}), links()).await;
    taken(&app.post(&format!("/payments/{payment}/rollback"), Value::Null).await);
    app.create("transactions", json!({"amount": "6.25"}), links()).await;
    for (second, by) in ["1", "2", "3", "4"].into_iter().enumerate() {
        app.post_at(&ids[1], &[(&format!("2026-01-02T12:00:0{second}Z"), by)]).await;
    }
    for (account, amounts) in [(&ids[2], &["1", "2"][..]), (&ids[4], &["5"])] {
        for by in amounts {
            correct(app.address, &app.token, account, by).await;
        }
    }
    taken(&app.delete(&format!("/accounts/{}", ids[2])).await);
    Books { app, ids }
}

/// The database of a server as it is now, changed by `sql`, for the binary to look at.
fn changed(app: &TestApp, sql: &str) -> Here {
    let here = Here::with_copy_of(&app.database);
    here.database().execute(sql);
    here
}

/// Checks that everything is right, and returns how many entries of how many journals were read.
#[track_caller]
fn proves(ended: Ended) -> (u64, u64) {
    let out = ended.well();
    let numbers: Vec<u64> = out.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [entries, journals, 0] = numbers[..] else { panic!("{out}") };
    let line =
        format!("Checked {entries} entries in the journals of {journals} accounts: 0 faults.\n");
    assert_eq!(out, line);
    (entries, journals)
}

/// Checks that faults were found and told, and returns their lines.
#[track_caller]
fn faults(ended: &Ended) -> Vec<&str> {
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{ended:?}");
    let mut lines: Vec<&str> = ended.out.lines().collect();
    let summary = lines.pop().unwrap();
    assert!(summary.starts_with("Checked "), "{ended:?}");
    assert!(summary.ends_with(&format!(" accounts: {} faults.", lines.len())), "{ended:?}");
    lines
}

#[tokio::test]
async fn what_was_written_is_proved() {
    let books = books().await;
    let app = &books.app;
    let kinds = app.get("/journal-entries?filter[account.id]=1&sort=sequence").await.json();
    let kinds = kinds["data"].as_array().unwrap().iter();
    let kinds: Vec<String> =
        kinds.map(|one| one["attributes"]["kind"].as_str().unwrap().to_owned()).collect();
    let expected = [
        EntryKind::Opening,
        EntryKind::Correction,
        EntryKind::Adjustment,
        EntryKind::Payment,
        EntryKind::Rollback,
        EntryKind::Transaction,
    ];
    assert_eq!(kinds, expected.map(EntryKind::word));
    let here = changed(app, "");
    assert_eq!(proves(here.run(&["verify"])), (13, 5));
    for (account, entries) in [(1, 6), (2, 4), (3, 2), (4, 0), (5, 1)] {
        let account = books.id(account);
        assert_eq!(proves(here.run(&["verify", "--account", account])), (entries, 1), "{account}");
    }
    for nobody in ["9999", "0", "9223372036854775807"] {
        let complaint = format!("there is no account {nobody}");
        here.run(&["verify", "--account", nobody]).complains(&complaint);
    }
}

#[test]
fn a_database_that_is_not_there_proves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let verify = ["verify", "--database-url", "sqlite:mistyped.db"];
    run(tollkeeper(directory.path(), &verify), "").complains("there is no database mistyped.db");
    assert!(!directory.path().join("mistyped.db").exists());
}

#[tokio::test]
async fn every_single_change_is_found_and_named() {
    const HASH: &str = "the hash does not fit its contents";
    let books = books().await;
    let app = &books.app;
    let five = stored(app, "5");
    let epoch = app.database.literal(&Stored::Time(Timestamp::UNIX_EPOCH));
    let tick = match app.database.kind() {
        Kind::Sqlite => "1",
        Kind::Postgres => "INTERVAL '1 microsecond'",
    };
    let of_2 = "WHERE account_id = #2 AND sequence = 3";
    let append = |account: &str, sequence: i64, from: &str| {
        format!(
            "INSERT INTO journal_entries (sequence, kind, amount, balance_after, reference_type, \
             reference_id, actor, request_id, created_at, hash, account_id) \
             SELECT {sequence}, kind, amount, balance_after, reference_type, reference_id, actor, \
             request_id, created_at, hash, {account} FROM journal_entries \
             WHERE account_id = {from} ORDER BY sequence DESC LIMIT 1"
        )
    };
    let cases: Vec<(String, Vec<String>)> = [
        (
            format!("UPDATE journal_entries SET amount = {five} {of_2}"),
            vec!["#2: entry 3: balance after is 6.0, not 8.0", "#2: entry 3: HASH"],
        ),
        (
            format!("UPDATE journal_entries SET balance_after = {five} {of_2}"),
            vec!["#2: entry 3: balance after is 5.0, not 6.0", "#2: entry 3: HASH"],
        ),
        (
            format!("UPDATE journal_entries SET hash = upper(hash) {of_2}"),
            vec!["#2: entry 3: HASH"],
        ),
        (format!("UPDATE journal_entries SET hash = '' {of_2}"), vec!["#2: entry 3: HASH"]),
        (format!("UPDATE journal_entries SET actor = 'eve' {of_2}"), vec!["#2: entry 3: HASH"]),
        (
            "UPDATE journal_entries SET actor = NULL WHERE sequence = 6".to_owned(),
            vec!["#1: entry 6: HASH"],
        ),
        (format!("UPDATE journal_entries SET request_id = 'x' {of_2}"), vec!["#2: entry 3: HASH"]),
        (
            format!("UPDATE journal_entries SET reference_type = 'payments' {of_2}"),
            vec!["#2: entry 3: HASH"],
        ),
        (format!("UPDATE journal_entries SET kind = 'payment' {of_2}"), vec!["#2: entry 3: HASH"]),
        (
            format!("UPDATE journal_entries SET kind = 'gift' {of_2}"),
            vec!["#2: entry 3: there is no kind \"gift\"", "#2: entry 3: HASH"],
        ),
        (
            format!("UPDATE journal_entries SET created_at = created_at + {tick} {of_2}"),
            vec!["#2: entry 3: HASH"],
        ),
        (
            format!("UPDATE journal_entries SET created_at = {epoch} {of_2}"),
            vec![
                "#2: entry 3: HASH",
                "#2: entry 3: its time is 1970-01-01T00:00:00Z, before … of the entry before it",
            ],
        ),
        (
            format!("DELETE FROM journal_entries {of_2}"),
            vec!["#2: entry 3 is missing: 4 follows 2"],
        ),
        (
            "DELETE FROM journal_entries WHERE account_id = #2 AND sequence = 4".to_owned(),
            vec![
                "#2: the balance is 10.0, but the journal says 6.0",
                "#2: the account stands at entry 4, but the journal ends with 3",
            ],
        ),
        (
            "DELETE FROM journal_entries WHERE account_id = #5".to_owned(),
            vec![
                "#5: the balance is 5.0, but the journal says 0.0",
                "#5: the account stands at entry 1, but the journal ends with 0",
            ],
        ),
        (
            append("#2", 5, "#2"),
            vec![
                "#2: entry 5: balance after is 10.0, not 14.0",
                "#2: entry 5: HASH",
                "#2: the account stands at entry 4, but the journal ends with 5",
            ],
        ),
        (
            append("#4", 1, "#5"),
            vec![
                "#4: entry 1: HASH",
                "#4: the balance is 0.0, but the journal says 5.0",
                "#4: the account stands at entry 0, but the journal ends with 1",
            ],
        ),
        (
            format!("UPDATE accounts SET balance = {five} WHERE id = #1"),
            vec!["#1: the balance is 5.0, but the journal says 33.75"],
        ),
        (
            format!("UPDATE accounts SET balance = {five} WHERE id = #4"),
            vec![
                "#4: the balance is 5.0, but the journal says 0.0",
                "#4: the limit state is blocked, but at-ceiling is due",
            ],
        ),
        (
            "UPDATE accounts SET journal_sequence = 7 WHERE id = #1".to_owned(),
            vec!["#1: the account stands at entry 7, but the journal ends with 6"],
        ),
        (
            "UPDATE accounts SET journal_hash = '' WHERE id = #1".to_owned(),
            vec!["#1: the hash is not that of entry 6, the last one"],
        ),
        (
            "UPDATE accounts SET journal_at = NULL WHERE id = #1".to_owned(),
            vec!["#1: the time is missing, but the journal says …"],
        ),
        (
            "UPDATE accounts SET threshold_state = 0 WHERE id = #2".to_owned(),
            vec![
                "#2: the threshold state is None, but AccountHighThresholdReached is due",
                "#2: the alert of the high threshold is not in step",
            ],
        ),
        (
            "UPDATE accounts SET limit_state = 'blocked' WHERE id = #2".to_owned(),
            vec!["#2: the limit state is blocked, but at-ceiling is due"],
        ),
        (
            "UPDATE accounts SET limit_state = NULL WHERE id = #4".to_owned(),
            vec!["#4: the limit state is null, but blocked is due"],
        ),
        (
            "UPDATE accounts SET own_alerts = 1 WHERE id = #1".to_owned(),
            vec!["#1: own-alerts is 1, but there are 0 such alerts"],
        ),
        (
            "DELETE FROM balance_alerts".to_owned(),
            vec!["#2: the alert of the high threshold is not in step"],
        ),
        (
            format!("UPDATE journal_closures SET balance = {five}"),
            vec!["#3: the balance is 5.0, but the journal says 3.0"],
        ),
        (
            "UPDATE journal_closures SET sequence = 1".to_owned(),
            vec!["#3: the account stands at entry 1, but the journal ends with 2"],
        ),
        (
            "DELETE FROM journal_closures".to_owned(),
            vec!["#3: there are entries, but neither the account nor its closure"],
        ),
        (
            format!("{WITHOUT_ALERTS}; DELETE FROM accounts WHERE id = #2"),
            vec!["#2: there are entries, but neither the account nor its closure"],
        ),
        (
            append("7777", 1, "#5"),
            vec![
                "7777: there are entries, but neither the account nor its closure",
                "7777: entry 1: HASH",
            ],
        ),
        (
            append("-7777", 1, "#5"),
            vec![
                "-7777: there are entries, but neither the account nor its closure",
                "-7777: entry 1: HASH",
            ],
        ),
        (
            append("0", 1, "#5"),
            vec![
                "0: there are entries, but neither the account nor its closure",
                "0: entry 1: HASH",
            ],
        ),
    ]
    .into_iter()
    .map(|(sql, lines)| {
        let lines = lines.iter().map(|line| format!("account {}", line.replace("HASH", HASH)));
        (books.text(&sql), lines.map(|line| books.text(&line)).collect())
    })
    .collect();
    for (sql, expected) in cases {
        let here = changed(app, &sql);
        let ended = here.run(&["verify"]);
        let told = faults(&ended);
        assert_eq!(told.len(), expected.len(), "{sql}: {told:?}");
        for (told, expected) in told.iter().zip(&expected) {
            let (start, end) = expected.split_once('…').unwrap_or((expected, ""));
            assert!(told.starts_with(start) && told.ends_with(end), "{sql}: {told}");
        }
    }
}

#[tokio::test]
async fn entries_of_two_accounts_that_were_swapped_are_found_in_both() {
    let books = books().await;
    let swap = "UPDATE journal_entries SET account_id = -account_id WHERE account_id IN (#1, #2);
                UPDATE journal_entries SET account_id = #1 + #2 + account_id WHERE account_id < 0";
    let here = changed(&books.app, &books.text(swap));
    let ended = here.run(&["verify"]);
    let told = faults(&ended);
    let of_them = ["account #1: ", "account #2: "].map(|start| books.text(start));
    for start in &of_them {
        assert!(told.iter().any(|line| line.starts_with(start)), "{told:?}");
    }
    assert!(told.iter().all(|line| of_them.iter().any(|start| line.starts_with(start))));
}

#[tokio::test]
async fn one_account_is_checked_alone() {
    let books = books().await;
    let app = &books.app;
    let sql = format!(
        "UPDATE accounts SET balance = {0} WHERE id = {1}; UPDATE journal_closures SET balance = {0}",
        stored(app, "5"),
        books.id(2)
    );
    let here = changed(app, &sql);
    for account in [1, 4, 5].map(|number| books.id(number)) {
        proves(here.run(&["verify", "--account", account]));
    }
    for (account, message) in [
        (2, "account #2: the balance is 5.0, but the journal says 10.0"),
        (3, "account #3: the balance is 5.0, but the journal says 3.0"),
    ] {
        // The threshold does not fit the changed balance, either.
        let ended = here.run(&["verify", "--account", books.id(account)]);
        assert_eq!(faults(&ended)[0], books.text(message));
    }
    let without =
        changed(app, &books.text(&format!("{WITHOUT_ALERTS}; DELETE FROM accounts WHERE id = #2")));
    let ended = without.run(&["verify", "--account", books.id(2)]);
    let message = "account #2: there are entries, but neither the account nor its closure";
    assert_eq!(faults(&ended), [books.text(message)]);
}

#[tokio::test]
async fn a_fault_in_the_last_of_many_slices_is_found() {
    const ACCOUNTS: u32 = 1_200;
    // Copies have their number and this as their ids: above those of the others.
    const BEFORE: u32 = 10_000;
    let app = &books().await.app;
    let any_uuid = match app.database.kind() {
        Kind::Sqlite => "randomblob(16)",
        Kind::Postgres => "gen_random_uuid()",
    };
    let copies = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT 6 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ACCOUNTS})
         INSERT INTO accounts (id, name, balance, min_balance, max_balance, vat, uuid, timezone, \
         contractor_id, limit_state) SELECT {BEFORE} + n, 'copy ' || n, balance, min_balance, \
         max_balance, vat, {any_uuid}, timezone, contractor_id, limit_state FROM numbers, accounts WHERE accounts.name = 'still';"
    );
    // The third is a closure.
    assert_eq!(proves(changed(app, &copies).run(&["verify"])), (13, 1_200));
    let sql = format!("{copies} UPDATE accounts SET balance = {} WHERE id = ", stored(app, "-5"));
    for number in [499, 500, 501, 502, 1_001, 1_002, ACCOUNTS] {
        let id = BEFORE + number;
        let here = changed(app, &format!("{sql} {id}"));
        let message = format!("account {id}: the balance is -5.0, but the journal says 0.0");
        assert_eq!(faults(&here.run(&["verify"])), std::slice::from_ref(&message));
        let id = id.to_string();
        assert_eq!(faults(&here.run(&["verify", "--account", &id])), [message]);
    }
    let everywhere = format!("{copies} UPDATE accounts SET balance = {}", stored(app, "-5"));
    let ended = changed(app, &everywhere).run(&["verify"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.lines().count() > 1_200, "{}", ended.out);
}

#[tokio::test]
async fn of_very_many_faults_the_rest_is_counted() {
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "one"})).await;
    post_all(&app.app.store, 1, &many(1_100)).await;
    let here = changed(&app, "UPDATE journal_entries SET actor = 'eve'");
    let ended = here.run(&["verify"]);
    assert_eq!(ended.code, Some(1));
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[999], "account 1: entry 1000: the hash does not fit its contents");
    let summary = "Checked 1100 entries in the journals of 1 accounts: 1100 faults.";
    assert_eq!(lines[1_000..], ["… and 100 more", summary]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_false_is_found_while_others_write() {
    const WRITERS: usize = 16;
    const ACCOUNTS: usize = 3;
    let here = Here::new();
    let program = here.serve();
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    let address = program.address;
    let account = |number| json!({"name": format!("{number}"), "balance-high-threshold": 3});
    let ids = open_accounts(address, &token, (0..ACCOUNTS).map(account).collect()).await;
    let until = Instant::now() + Duration::from_secs(2);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (token, id) = (token.clone(), ids[writer % ACCOUNTS].clone());
        writers.spawn(async move {
            let mut number = writer;
            while Instant::now() < until {
                let by = if number.is_multiple_of(2) { "2" } else { "-2" };
                correct(address, &token, &id, by).await;
                number += 1;
            }
            number - writer
        });
    }
    let here = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            let (_, journals) = proves(here.run(&["verify"]));
            assert_eq!(journals, ACCOUNTS as u64);
        }
        here
    })
    .await
    .unwrap();
    let written: usize = writers.join_all().await.into_iter().sum();
    assert!(written > WRITERS, "{written}");
    assert_eq!(proves(here.run(&["verify"])), (written as u64, ACCOUNTS as u64));
}
