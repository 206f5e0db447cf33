//! Tasks: imports, the same change to many records, deletes and proofs, which go on whoever leaves.

use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use jsonapi::Value as Stored;
use serde_json::{Value, json};
use store::{Database, Store, Task, TaskState};
use tollkeeper::accounts::ACCOUNTS;
use tollkeeper::api::API;
use tollkeeper::app::{App, Options};
use tollkeeper::auth::Caller;
use tollkeeper::contacts::CONTACTS;
use tollkeeper::contractors::CONTRACTORS;
use tollkeeper::export::Export;
use tollkeeper::inside::Inside;
use tollkeeper::jobs::{Kept, forget_once};
use tollkeeper::journal::JOURNAL_ENTRIES;
use tollkeeper::payments::PAYMENTS;
use tollkeeper::router::router;
use tollkeeper::tasks::{
    NotQueued, Runner, cancel, export_of, preview_edit, preview_import, queue_delete, queue_edit,
    queue_export, queue_import, queue_verify,
};

use crate::builders::app_with_contractor;
use crate::postings::number;
use crate::program::{Here, Program};
use crate::proof;
use crate::support::{SECRET, TestApp};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where tasks are asked for.
struct Desk {
    app: TestApp,
    inside: Inside,
    caller: Caller,
    contractor: String,
}

impl Desk {
    async fn open() -> Self {
        let (app, contractor) = app_with_contractor().await;
        Self::of(app, contractor).await
    }

    async fn of(app: TestApp, contractor: String) -> Self {
        let inside = Inside::new(router(&app.app));
        let operator = app.app.store.operators().await.unwrap().remove(0);
        let address = Some("192.0.2.7".parse().unwrap());
        let caller = Caller { operator: Some(Arc::new(operator)), address, request_id: None };
        Self { app, inside, caller, contractor }
    }

    fn runner(&self) -> Runner {
        Runner::start(&self.app.app, self.inside.clone())
    }

    /// A file of accounts `a1`, `a2`, … of the contractor.
    fn accounts(&self, count: usize) -> String {
        let mut file = "name,contractor\n".to_owned();
        for number in 1..=count {
            writeln!(file, "a{number},{}", self.contractor).unwrap();
        }
        file
    }

    async fn import(&self, resource: &'static jsonapi::Resource, file: &str) -> i64 {
        let queued = queue_import(&self.app.app, &self.caller, resource, "a file", file.as_bytes());
        queued.await.unwrap()
    }

    async fn task(&self, id: i64) -> Task {
        self.app.app.store.task(id).await.unwrap().expect("a task")
    }

    /// The task once this is so.
    async fn when(&self, id: i64, is_so: impl Fn(&Task) -> bool) -> Task {
        let since = Instant::now();
        loop {
            let task = self.task(id).await;
            if is_so(&task) {
                return task;
            }
            assert!(since.elapsed() < PATIENCE, "{task:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ended(&self, id: i64) -> Task {
        self.when(id, |task| !task.state.is_unfinished()).await
    }

    /// Refused rows as `number place: message`.
    async fn failures(&self, id: i64) -> Vec<String> {
        let failures = self.app.app.store.task_failures(id, 0, 10_000).await.unwrap();
        let show =
            |one: &store::TaskFailure| format!("{} {}: {}", one.number, one.place, one.message);
        failures.iter().map(show).collect()
    }

    fn count(&self, what: &str) -> i64 {
        self.app.stored(&format!("SELECT count(*) FROM {what}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_the_good_rows_and_says_why_it_refuses_the_others() {
    let desk = Desk::open().await;
    let runner = desk.runner();
    let contact = desk.app.contact(&desk.contractor, "a@b.test").await;
    let c = &desk.contractor;
    let file = format!(
        "\u{feff}name,contractor,vat,send-invoices-to,max-call-duration\r\n\
         one,{c},20.5,{contact} {contact},\r\n\
         \r\n\
         two,{c},,,60\n\
         one,{c},,,\n\
         ,{c},,,\n\
         three,999,101,,x\n\
         four,{c}\n\
         \"five\n5\",x,,,\n\
         six,{c},,,"
    );
    let id = desk.import(&ACCOUNTS, &file).await;
    let task = desk.ended(id).await;
    assert_eq!((task.state, task.total, task.done, task.failed), (TaskState::Done, 8, 3, 5));
    assert_eq!((task.kind.as_str(), task.operator_name.as_str()), ("import", "admin"));
    assert_eq!(task.ip.as_deref(), Some("192.0.2.7"));
    assert!(task.started_at.is_some() && task.ended_at.is_some() && task.error.is_none());
    let failures = desk.failures(id).await;
    // Which of two rows with one name comes first is not said.
    let taken = |place: &str| format!("{place}: name - has already been taken");
    assert!(failures[0] == taken("3 line 5") || failures[0] == taken("1 line 2"), "{failures:?}");
    assert_eq!(
        failures[1..],
        [
            "4 line 6: name - can't be blank",
            "5 line 7: contractor - must exist; vat - must be less than or equal to 100; \
             max-call-duration - is not a number",
            "6 line 8: has 2 values, not 5",
            "7 line 9: x is not a valid value for id.",
        ]
    );
    let one = desk.app.get("/accounts?filter[name]=one&include=contractor").await.json();
    assert_eq!(one["meta"]["total-count"], 1);
    let two = desk.app.get("/accounts?filter[name]=two").await.json();
    assert_eq!(two["data"][0]["attributes"]["max-call-duration"], 60);
    assert_eq!(two["data"][0]["attributes"]["vat"], "0.0");
    let audited = desk.app.get("/audit-records?filter[request-id-eq]=task%201").await;
    assert_eq!(audited.status, 200, "{audited:?}");
    assert_eq!(audited.json()["meta"]["total-count"], 3);
    assert_eq!(audited.json()["data"][0]["attributes"]["actor"], "admin");
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contractors_contacts_and_payments_are_imported_too() {
    let desk = Desk::open().await;
    let runner = desk.runner();
    let account = desk.app.account(&desk.contractor, json!({"name": "a"})).await;
    let file = "name,enabled,vendor,customer,description\nb,true,f,1,\"x, y\"\nc,0,0,0,\n";
    let id = desk.import(&CONTRACTORS, file).await;
    desk.ended(id).await;
    let why = "Must be customer and/or vendor";
    assert_eq!(desk.failures(id).await, [format!("2 line 3: vendor - {why}; customer - {why}")]);
    let b = desk.app.get("/contractors?filter[name]=b").await.json()["data"][0].clone();
    assert_eq!(
        (&b["attributes"]["vendor"], &b["attributes"]["customer"]),
        (&json!(false), &json!(true))
    );
    let file = format!("email,contractor\na@b.test,{}\n", b["id"].as_str().unwrap());
    let id = desk.import(&CONTACTS, &file).await;
    assert_eq!(desk.ended(id).await.done, 1);
    let file =
        format!("account,amount,external-id\n{account},1.25,x\n{account},2,x\n{account},3,y\n");
    let id = desk.import(&PAYMENTS, &file).await;
    let task = desk.ended(id).await;
    assert_eq!((task.done, task.failed), (2, 1));
    assert!(desk.failures(id).await[0].ends_with("external-id - has already been taken"));
    assert_eq!(desk.app.total("/payments").await, 2);
    proof::verify(&desk.app.database);
    runner.stop().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_anything_is_written() {
    let desk = Desk::open().await;
    let (app, caller) = (&desk.app.app, &desk.caller);
    let refusal = |queued: Result<i64, NotQueued>| match queued {
        Err(NotQueued::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    for (file, begins) in [
        ("", "The file is empty"),
        ("name,contractor\n\n", "There are no rows."),
        ("name,contractor,colour\na,1,red\n", "There is no column \"colour\"; accounts have name,"),
        ("name,name,contractor\na,b,1\n", "The header names name twice."),
        ("\"name\n", "The header opens a quote that is never closed."),
    ] {
        let why = refusal(queue_import(app, caller, &ACCOUNTS, "", file.as_bytes()).await);
        assert!(why.starts_with(begins), "{why}");
    }
    let why = refusal(queue_import(app, caller, &JOURNAL_ENTRIES, "", &b"kind\nx\n"[..]).await);
    assert_eq!(why, "journal-entries are not imported.");
    for (attributes, relationships, said) in [
        (json!({}), json!({}), "Nothing is to be changed."),
        (json!({"colour": 1}), json!({}), "colour is not allowed."),
        (json!({"balance": 1}), json!({}), "balance is not allowed."),
        (json!({"vat": "x"}), json!({}), "vat - is not a number"),
        (json!({}), json!({"contractor": {"data": 1}}), "Data is not a valid Links Object."),
    ] {
        let queued =
            queue_edit(app, caller, &ACCOUNTS, &[1], &attributes, &relationships, "").await;
        assert_eq!(refusal(queued), said);
    }
    let none = json!({});
    let queued = queue_edit(app, caller, &PAYMENTS, &[1], &json!({"notes": "n"}), &none, "").await;
    assert_eq!(refusal(queued), "payments cannot be changed.");
    let queued = queue_delete(app, caller, &PAYMENTS, &[1], "").await;
    assert_eq!(refusal(queued), "payments cannot be deleted.");
    assert_eq!(refusal(queue_delete(app, caller, &ACCOUNTS, &[], "").await), "There are no rows.");
    let nobody = Caller::default();
    let why = refusal(queue_delete(app, &nobody, &ACCOUNTS, &[1], "").await);
    assert_eq!(why, "Only an operator can ask for a task.");
    assert_eq!((desk.count("tasks"), desk.count("task_inputs")), (0, 0));
}

/// Every account that a file of so many names is there, once, and was audited once.
#[track_caller]
fn assert_imported_once(desk: &Desk, count: i64) {
    assert_eq!(desk.count("accounts"), count);
    let audited = "audit_records WHERE item_type = 'accounts' AND event = 'create'";
    assert_eq!(desk.count(audited), count);
    proof::verify(&desk.app.database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_on_where_it_was_and_does_nothing_twice() {
    let desk = Desk::open().await;
    let id = desk.import(&ACCOUNTS, &desk.accounts(1_500)).await;
    let mut stops = 0;
    loop {
        let runner = desk.runner();
        let before = desk.task(id).await.position;
        let task = desk.when(id, |task| task.position > before || task.state == TaskState::Done);
        if task.await.state == TaskState::Done {
            break;
        }
        // In the middle of a slice: some of its rows are under way.
        runner.stop().await;
        stops += 1;
    }
    assert!(stops > 1, "it was never stopped");
    let task = desk.task(id).await;
    assert_eq!((task.done, task.failed, task.total), (1_500, 0, 1_500));
    assert_imported_once(&desk, 1_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_the_sudden_death_of_its_server() {
    let desk = Desk::open().await;
    let id = desk.import(&ACCOUNTS, &desk.accounts(2_000)).await;
    let here = Here::with_copy_of(&desk.app.database);
    let position =
        || here.database().value::<i64>(&format!("SELECT position FROM tasks WHERE id = {id}"));
    let mut deaths = 0;
    while position() < 2_000 {
        // The lease of the one that died ends by itself, though not so soon.
        here.database().execute("DELETE FROM leases");
        let before = position();
        let program = Program::start(here.command(&["serve"]));
        let since = Instant::now();
        while position() == before {
            assert!(since.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        program.end("KILL");
        deaths += 1;
        assert!(deaths < 50);
    }
    assert!(deaths > 1);
    let count = |what: &str| here.database().value::<i64>(&format!("SELECT count(*) FROM {what}"));
    assert_eq!(count("accounts"), 2_000);
    assert_eq!(count("audit_records WHERE item_type = 'accounts'"), 2_000);
    let row = here.database().rows("SELECT done, failed FROM tasks").remove(0);
    assert_eq!((row.get::<i64>("done"), row.get::<i64>("failed")), (2_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_run_one_task_do_it_once() {
    let desk = Desk::open().await;
    let store = Store::open(Database::from(&desk.app.database.url()), API).await.unwrap();
    let options = Options { secret: Some(SECRET.to_owned()), ..Options::default() };
    let other = App::new(store, options).await.unwrap();
    let id = desk.import(&ACCOUNTS, &desk.accounts(1_000)).await;
    // The lease keeps one of them away, unless it is lost.
    let one = desk.runner();
    desk.when(id, |task| task.position > 0).await;
    desk.app.alter("DELETE FROM leases");
    let two = Runner::start(&other, Inside::new(router(&other)));
    let task = desk.ended(id).await;
    assert_eq!((task.state, task.done, task.failed), (TaskState::Done, 1_000, 0));
    assert_imported_once(&desk, 1_000);
    // Both take their part when there are several.
    let mut ids = Vec::new();
    for number in 0..6 {
        let file = desk.accounts(100).replace("\na", &format!("\nb{number}-"));
        ids.push(desk.import(&ACCOUNTS, &file).await);
    }
    for id in ids {
        assert_eq!(desk.ended(id).await.done, 100);
    }
    assert_imported_once(&desk, 1_600);
    tokio::join!(one.stop(), two.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_stops_and_tells_how_far_it_came() {
    let desk = Desk::open().await;
    let id = desk.import(&ACCOUNTS, &desk.accounts(5_000)).await;
    let runner = desk.runner();
    desk.when(id, |task| task.position > 0).await;
    assert!(cancel(&desk.app.app, id).await.unwrap());
    assert!(!cancel(&desk.app.app, id).await.unwrap());
    runner.stop().await;
    let task = desk.task(id).await;
    assert_eq!(task.state, TaskState::Cancelled);
    assert!(task.ended_at.is_some() && task.done < 5_000);
    let made = desk.count("accounts");
    // The slice that it was in, at most.
    assert!((task.done..=task.done + 200).contains(&made), "{made} of {task:?}");
    let runner = desk.runner();
    // One that has not begun does not begin.
    let waiting = {
        runner.stop().await;
        desk.import(&CONTRACTORS, "name,enabled,vendor,customer\nx,1,1,1\n").await
    };
    assert!(cancel(&desk.app.app, waiting).await.unwrap());
    let runner = desk.runner();
    let last = desk.import(&CONTRACTORS, "name,enabled,vendor,customer\ny,1,1,1\n").await;
    assert_eq!(desk.ended(last).await.done, 1);
    assert_eq!(desk.count("accounts"), made);
    assert_eq!(desk.count("contractors"), 2);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_accounts_are_changed_and_deleted() {
    let desk = Desk::open().await;
    let runner = desk.runner();
    let import = desk.import(&ACCOUNTS, &desk.accounts(500)).await;
    desk.ended(import).await;
    let mut ids: Vec<i64> =
        desk.app.database.rows("SELECT id FROM accounts").iter().map(|row| row.get("id")).collect();
    let (app, caller) = (&desk.app.app, &desk.caller);
    let change = json!({"vat": 19, "min-balance": "-50", "timezone": "Europe/Kyiv"});
    let gone = *ids.iter().max().unwrap() + 1_000;
    // Once each, whatever is said.
    ids.extend([gone, ids[0]]);
    let edit = queue_edit(app, caller, &ACCOUNTS, &ids, &change, &json!({}), "new terms").await;
    let edit = desk.ended(edit.unwrap()).await;
    assert_eq!((edit.state, edit.total, edit.done, edit.failed), (TaskState::Done, 501, 500, 1));
    let number = desk.failures(edit.id).await.remove(0);
    let said = format!("501 {gone}: The record identified by {gone} could not be found.");
    assert_eq!(number, said);
    assert_eq!(edit.description, "new terms");
    let changed = "/accounts?filter[vat-eq]=19&filter[min-balance-eq]=-50&page[size]=1";
    assert_eq!(desk.app.total(changed).await, 500);
    // What breaks a rule is refused each time.
    let crossed = json!({"max-balance": "-60"});
    let edit = queue_edit(app, caller, &ACCOUNTS, &ids[..3], &crossed, &json!({}), "").await;
    let edit = desk.ended(edit.unwrap()).await;
    assert_eq!((edit.done, edit.failed), (0, 3));
    let delete = queue_delete(app, caller, &ACCOUNTS, &ids[10..], "").await.unwrap();
    let delete = desk.ended(delete).await;
    assert_eq!((delete.done, delete.failed), (491, 1));
    assert_eq!(desk.count("accounts"), 9);
    proof::verify(&desk.app.database);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_tells_what_is_wrong() {
    let desk = Desk::open().await;
    let runner = desk.runner();
    let import = desk.import(&ACCOUNTS, &desk.accounts(600)).await;
    desk.ended(import).await;
    let account: i64 = desk.app.stored("SELECT min(id) FROM accounts");
    desk.app.pay(&account.to_string(), 5).await;
    let verify = || queue_verify(&desk.app.app, &desk.inside, &desk.caller, "");
    let sound = desk.ended(verify().await.unwrap()).await;
    assert_eq!(
        (sound.state, sound.total, sound.done, sound.failed),
        (TaskState::Done, 600, 600, 0)
    );
    let seven = desk.app.database.literal(&Stored::Decimal(number("7")));
    desk.app.alter(&format!("UPDATE accounts SET balance = {seven} WHERE id = {account}"));
    let task = desk.ended(verify().await.unwrap()).await;
    assert_eq!((task.state, task.done, task.failed), (TaskState::Done, 600, 1));
    let failures = desk.failures(task.id).await;
    assert!(failures[0].starts_with(&format!("1 account {account}: ")), "{failures:?}");
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_somebody_who_may_not_come_in_any_more_fails() {
    let desk = Desk::open().await;
    let id = desk.import(&ACCOUNTS, &desk.accounts(3)).await;
    let no = desk.app.database.literal(&Stored::Bool(false));
    desk.app.alter(&format!("UPDATE operators SET enabled = {no}"));
    let store = Store::open(Database::from(&desk.app.database.url()), API).await.unwrap();
    let app = App::new(store, Options::default()).await.unwrap();
    let runner = Runner::start(&app, Inside::new(router(&app)));
    let task = desk.ended(id).await;
    assert_eq!(task.state, TaskState::Failed);
    assert_eq!(task.error.as_deref(), Some("admin may not come in any more"));
    assert_eq!(desk.count("accounts"), 0);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_would_happen_and_writes_nothing() {
    let desk = Desk::open().await;
    let account = desk.app.account(&desk.contractor, json!({"name": "old"})).await;
    let before = desk.app.dump();
    let c = &desk.contractor;
    let mut file =
        format!("name,contractor,vat\nold,{c},\nnew,{c},x\ntwice,{c},\n\ntwice,{c},\nshort\n");
    let import = async |file: &str| {
        preview_import(&desk.inside, &desk.caller, &ACCOUNTS, file.as_bytes()).await.unwrap()
    };
    let preview = import(&file).await;
    assert_eq!(preview.columns, ["name", "contractor", "vat"]);
    assert_eq!(preview.first_rows[1], ["new", c.as_str(), "x"]);
    assert_eq!((preview.tried, preview.is_more), (5, false));
    let refused: Vec<String> = preview
        .refused
        .iter()
        .flat_map(|row| row.errors.iter().map(|error| format!("{} {}", row.line, error.detail)))
        .collect();
    assert_eq!(
        refused,
        [
            "2 name - has already been taken",
            "3 vat - is not a number",
            "6 name - is in the file twice",
            "7 has 1 values, not 3",
        ]
    );
    for number in 0..1_000 {
        writeln!(file, "b{number},{c},").unwrap();
    }
    let preview = import(&file).await;
    assert_eq!((preview.tried, preview.is_more, preview.refused.len()), (1_000, true, 4));
    let payments = format!("account,amount\n{account},5\n{account},0\n");
    let preview = preview_import(&desk.inside, &desk.caller, &PAYMENTS, payments.as_bytes());
    let preview = preview.await.unwrap();
    assert_eq!(preview.refused.len(), 1);
    assert_eq!(preview.refused[0].errors[0].member.as_deref(), Some("amount"));

    let id: i64 = account.parse().unwrap();
    let edit = async |attributes: Value| {
        let (ids, none) = ([id, id + 1_000], json!({}));
        preview_edit(&desk.inside, &desk.caller, &ACCOUNTS, &ids, &attributes, &none).await.unwrap()
    };
    let preview = edit(json!({"vat": 20, "name": "old"})).await;
    let [changed] = preview[0].changed.as_slice() else { panic!("{preview:?}") };
    assert_eq!(
        (changed.member.as_str(), &changed.before, &changed.after),
        ("vat", &json!("0.0"), &json!("20.0"))
    );
    assert_eq!(preview[0].name.as_deref(), Some("old"));
    assert!(preview[1].changed.is_empty() && preview[1].errors.len() == 1, "{preview:?}");
    let preview = edit(json!({"max-balance": -1})).await;
    assert!(!preview[0].errors.is_empty() && preview[0].changed.is_empty(), "{preview:?}");
    assert_eq!(desk.app.dump(), before);
}

/// A file that is made while it is read.
struct Endless<'a> {
    row: Box<dyn FnMut(usize) -> Option<String> + Send + 'a>,
    number: usize,
    rest: Vec<u8>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            let Some(row) = (self.row)(self.number) else { return Ok(0) };
            self.number += 1;
            self.rest = row.into_bytes();
        }
        let some = buffer.len().min(self.rest.len());
        buffer[..some].copy_from_slice(&self.rest[..some]);
        self.rest.drain(..some);
        Ok(some)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_never_in_memory_as_a_whole() {
    const ROWS: usize = 10_000;
    let desk = Desk::open().await;
    let (contractor, database) = (desk.contractor.clone(), &desk.app.database);
    let mut behind_max = 0;
    let row = |number: usize| match number {
        0 => Some("name,contractor,timezone\n".to_owned()),
        1..=ROWS => {
            if number.is_multiple_of(1_000) {
                // How much has been read of it, and not yet been written.
                let sql = "SELECT coalesce(max(first_row), 0) FROM task_inputs";
                let written: i64 = database.value(sql);
                behind_max = behind_max.max(i64::try_from(number).unwrap() - written);
            }
            Some(format!("a{number},{contractor},UTC\n"))
        }
        _ => None,
    };
    let file = Endless { row: Box::new(row), number: 0, rest: Vec::new() };
    let queued = queue_import(&desk.app.app, &desk.caller, &ACCOUNTS, "much", file).await;
    let id = queued.unwrap();
    // The slice that is being read, the one before, and what the reader has ahead (8 KB).
    assert!(behind_max < 200 + 200 + 1_000, "{behind_max} rows were held");
    assert_eq!(desk.count("task_inputs"), 50);
    let longest: i64 = desk.app.stored("SELECT max(length(row_list)) FROM task_inputs");
    assert!(longest < 300 * 1024);
    // Rows that are long make slices short.
    let filler = "x".repeat(60_000);
    let row = |number: usize| match number {
        0 => Some("name,contractor,timezone\n".to_owned()),
        1..=20 => Some(format!("a{number},1,{filler}\n")),
        _ => None,
    };
    let file = Endless { row: Box::new(row), number: 0, rest: Vec::new() };
    let wide = queue_import(&desk.app.app, &desk.caller, &ACCOUNTS, "wide", file).await.unwrap();
    assert_eq!(desk.count(&format!("task_inputs WHERE task_id = {wide}")), 4);
    let (runner, since) = (desk.runner(), Instant::now());
    assert_eq!(desk.ended(wide).await.failed, 20);
    let task = desk.ended(id).await;
    println!("{ROWS} rows in {:?}", since.elapsed());
    assert_eq!((task.done, task.failed), (10_000, 0));
    assert_eq!(desk.count("accounts"), 10_000);
    let messages = desk.failures(wide).await;
    assert!(messages.iter().all(|message| message.chars().count() < 600));
    runner.stop().await;
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_forgotten_thirty_days_after_their_end() {
    let app = TestApp::start_at(600, now).await;
    let contractor = app.contractor("acme").await;
    let desk = Desk::of(app, contractor).await;
    let runner = desk.runner();
    // Ten slices, 500 failures.
    let bad = desk.accounts(500).replace("\na", "\n");
    let file = format!("{}{}", desk.accounts(1_500), bad.split_once('\n').unwrap().1);
    let mut ids = Vec::new();
    for file in [file.as_str(), &desk.accounts(2), &desk.accounts(2)] {
        ids.push(desk.import(&ACCOUNTS, file).await);
        desk.ended(*ids.last().unwrap()).await;
    }
    runner.stop().await;
    let waiting = desk.import(&ACCOUNTS, &desk.accounts(1)).await;
    let limit = now() - SignedDuration::from_hours(30 * 24);
    let at = |time: Timestamp, id: i64, column: &str| {
        let time = desk.app.database.literal(&Stored::Time(time));
        desk.app.alter(&format!("UPDATE tasks SET {column} = {time} WHERE id = {id}"));
    };
    at(limit - SignedDuration::from_micros(1), ids[0], "ended_at");
    at(limit, ids[1], "ended_at");
    at(limit - SignedDuration::from_hours(900), waiting, "created_at");
    forget_once(&desk.app.app, Kept::default()).await.unwrap();
    let left: Vec<i64> =
        desk.app.app.store.tasks(None, 10).await.unwrap().iter().map(|task| task.id).collect();
    assert_eq!(left, [waiting, ids[2], ids[1]]);
    let older = desk.app.app.store.tasks(Some(ids[2]), 10).await.unwrap();
    assert_eq!(older.iter().map(|task| task.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(desk.count("task_inputs"), 3);
    // Two accounts that were there already, twice.
    assert_eq!(desk.count("task_failures"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_answers_are_kept_as_long_as_a_task_may_ask_for_them() {
    let app = TestApp::start_at(600, now).await;
    let contractor = app.contractor("acme").await;
    let desk = Desk::of(app, contractor).await;
    let id = desk.import(&ACCOUNTS, &desk.accounts(200)).await;
    let runner = desk.runner();
    desk.ended(id).await;
    runner.stop().await;
    // As if the server had been away for days in the middle of it.
    let old = now() - SignedDuration::from_hours(100);
    let old = desk.app.database.literal(&Stored::Time(old));
    desk.app.alter(&format!("UPDATE first_answers SET created_at = {old}"));
    desk.app.alter(&format!(
        "UPDATE tasks SET state = 'running', position = 0, done = 0, started_at = {old}, \
         ended_at = NULL"
    ));
    forget_once(&desk.app.app, Kept::default()).await.unwrap();
    let runner = desk.runner();
    let task = desk.ended(id).await;
    assert_eq!((task.done, task.failed), (200, 0));
    assert_imported_once(&desk, 200);
    runner.stop().await;
    forget_once(&desk.app.app, Kept::default()).await.unwrap();
    assert_eq!(desk.count("first_answers"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_becomes_a_file_with_each_row_once() {
    let desk = Desk::open().await;
    let runner = desk.runner();
    let id = desk.import(&ACCOUNTS, &desk.accounts(2_100)).await;
    assert_eq!(desk.ended(id).await.done, 2_100);
    for sort in [None, Some("-name")] {
        let mut query = vec![("filter[name_not_eq]".to_owned(), "a7".to_owned())];
        query.extend(sort.map(|sort| ("sort".to_owned(), sort.to_owned())));
        // What is no part of a list is no part of its file.
        query.push(("page[number]".to_owned(), "2".to_owned()));
        let export = Export::of(&ACCOUNTS, &query);
        let queued = queue_export(&desk.app.app, &desk.inside, &desk.caller, &export, "a file");
        let id = queued.await.unwrap();
        let task = desk.ended(id).await;
        assert_eq!((task.state, task.total, task.done), (TaskState::Done, 2_099, 2_099));
        assert_eq!(export_of(&task).unwrap().resource.kind, "accounts");
        let (mut names, mut position) = (Vec::new(), 0);
        while let Some((first, lines)) = desk.app.app.store.task_input(id, position).await.unwrap()
        {
            assert_eq!(usize::try_from(first).unwrap(), names.len() + 1);
            position = first;
            let name = |line: &str| line.split(',').nth(1).unwrap().to_owned();
            names.extend(lines.lines().map(name));
        }
        if sort.is_some() {
            assert!(names.is_sorted_by(|one, other| one > other), "{names:?}");
        }
        names.sort_unstable();
        let mut expected: Vec<String> = (1..=2_100).map(|number| format!("a{number}")).collect();
        expected.retain(|name| name != "a7");
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
    let export = Export::of(&ACCOUNTS, &[("filter[nothing]".to_owned(), "x".to_owned())]);
    let queued = queue_export(&desk.app.app, &desk.inside, &desk.caller, &export, "a file").await;
    assert!(matches!(queued, Err(NotQueued::Refused(why)) if why == "nothing is not allowed."));
    runner.stop().await;
}
