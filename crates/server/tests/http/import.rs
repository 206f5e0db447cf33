//! Payments out of CSV files: the real program, beside a server on the same database.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::program::{Ended, run, tollkeeper};
use crate::support::{SECRET, TestApp, linkage};

/// A server with one contractor's accounts, external ids 101 and 102; the first one has id 1.
async fn app_with_accounts() -> TestApp {
    with_two_accounts().await.0
}

/// The same, and the id of the second account.
async fn with_two_accounts() -> (TestApp, String) {
    let app = TestApp::start().await;
    app.contractor("acme").await;
    app.account("1", json!({"name": "a1", "external-id": 101})).await;
    let second = app.account("1", json!({"name": "a2", "external-id": 102})).await;
    (app, second)
}

impl TestApp {
    /// `tollkeeper import payments` on this server's database.
    fn importing(&self, arguments: &[&str]) -> Command {
        let mut command = tollkeeper(self.directory(), &["import", "payments"]);
        command.args(arguments).env("TOLLKEEPER_SECRET", SECRET);
        command.env("TOLLKEEPER_DATABASE_URL", self.database.url());
        command
    }

    /// Imports a file that is called `payments.csv`, while the server runs.
    async fn import(&self, file: impl AsRef<[u8]>, arguments: &[&str]) -> Ended {
        std::fs::write(self.directory().join("payments.csv"), file).unwrap();
        self.import_file("payments.csv", arguments).await
    }

    async fn import_file(&self, file: &str, arguments: &[&str]) -> Ended {
        let command = self.importing(&[&[file], arguments].concat());
        tokio::task::spawn_blocking(|| run(command, "")).await.unwrap()
    }

    async fn import_input(&self, input: &str) -> Ended {
        let (command, input) = (self.importing(&["-"]), input.to_owned());
        tokio::task::spawn_blocking(move || run(command, &input)).await.unwrap()
    }

    /// The balance of account 1.
    async fn balance(&self) -> Value {
        self.balance_of("1").await
    }

    async fn balance_of(&self, account: &str) -> Value {
        self.attributes(&format!("/accounts/{account}")).await["balance"].take()
    }
}

impl Ended {
    /// Checks exit code, summary and complaints.
    #[track_caller]
    fn says(&self, code: i32, summary: &str, complaints: &[&str]) {
        let lines: Vec<&str> = self.err.lines().collect();
        assert_eq!(lines, complaints, "{self:?}");
        assert_eq!((self.code, self.out.trim_end()), (Some(code), summary), "{self:?}");
    }
}

#[tokio::test]
async fn rows_become_payments() {
    let (app, second) = with_two_accounts().await;
    let file = format!(
        "\u{feff}external-id,account-id,amount,notes,private-notes\r\n\
         INV-1,1,100.5,\"for May,\r\nand \"\"June\"\"\",ask Olga\r\n\
         \r\n\
         ,{second},-7,,\r\n"
    );
    app.import(file, &[]).await.says(0, "2 payments posted, 0 rows refused", &[]);
    let first = &app.listed("/payments?filter[account.id]=1").await[0];
    assert_eq!(first["amount"], "100.5");
    assert_eq!(first["notes"], "for May,\r\nand \"June\"");
    assert_eq!(first["private-notes"], "ask Olga");
    assert_eq!(first["external-id"], "INV-1");
    assert_eq!((&first["status"], &first["type-name"]), (&json!("completed"), &json!("manual")));
    assert_eq!(first["balance-before-payment"], "0.0");
    let other = &app.listed(&format!("/payments?filter[account.id]={second}")).await[0];
    assert_eq!(other["amount"], "-7.0");
    assert_eq!((&other["notes"], &other["external-id"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (app.balance().await, app.balance_of(&second).await),
        (json!("100.5"), json!("-7.0"))
    );
    // Journal and audit say where it came from.
    let entries = format!("/journal-entries?filter[account.id]={second}");
    let entry = &app.listed(&entries).await[0];
    assert_eq!(entry["request-id"], "import payments.csv line 5");
    assert_eq!((&entry["kind"], &entry["actor"]), (&json!("payment"), &Value::Null));
    let audit = app.listed("/audit-records?filter[item-type]=payments").await;
    let mut requests: Vec<_> = audit.iter().map(|one| one["request-id"].as_str()).collect();
    requests.sort_unstable();
    let lines = ["import payments.csv line 2", "import payments.csv line 5"];
    assert_eq!(requests, lines.map(Some));
}

#[tokio::test]
async fn standard_input_and_external_ids_of_accounts_are_taken() {
    let (app, second) = with_two_accounts().await;
    let input = "amount,account-external-id\n1.25,102\n2,+101\n0.75,102";
    app.import_input(input).await.says(0, "3 payments posted, 0 rows refused", &[]);
    assert_eq!((app.balance().await, app.balance_of(&second).await), (json!("2.0"), json!("2.0")));
    let entries = format!("/journal-entries?filter[account.id]={second}&sort=sequence");
    let entry = &app.listed(&entries).await[1];
    assert_eq!(entry["request-id"], "import standard input line 4");
    let input =
        "account-external-id,amount,notes\n103,1,\nx,1,\n,x,\n9223372036854775808,1,\n101,1,a";
    app.import_input(input).await.says(
        1,
        "1 payments posted, 4 rows refused",
        &[
            "line 2: account - must exist",
            "line 3: account-external-id - is not a number",
            "line 4: account - must exist; amount - is not a number",
            "line 5: account-external-id - must be less than or equal to 9223372036854775807",
        ],
    );
    assert_eq!(app.balance().await, "3.0");
}

#[tokio::test]
async fn a_long_name_of_a_file_leaves_room_for_the_line() {
    let app = app_with_accounts().await;
    let name = "é".repeat(125);
    let file = "account-id,amount\n1,1\n";
    std::fs::write(app.directory().join(&name), file).unwrap();
    app.import_file(&name, &[]).await.says(0, "1 payments posted, 0 rows refused", &[]);
    let long = format!("{}/{}", "./".repeat(200), name);
    app.import_file(&long, &[]).await.says(0, "1 payments posted, 0 rows refused", &[]);
    let entry = &app.listed("/journal-entries?sort=sequence").await[1];
    assert_eq!(entry["request-id"], format!("import {name} line 2"));
}

#[tokio::test]
async fn a_bad_row_fails_alone_and_is_named_by_its_line() {
    let (app, second) = with_two_accounts().await;
    let mut file = "account-id,amount,external-id,notes\n\
        1,ten,,\n\
        1,0,,\n\
        1,,,\n\
        ,5,,\n\
        9999,5,,\n\
        9999,,,\n\
        one,5,,\n\
        \"1\",\"1\n0\",,\n\
        1,1,,\"two\n\nlines\"\n\
        1,1\n\
        1,1,,,\n\
        1,1e400,,\n\
        1,2,A,\n\
        1,3,A,\n\
        SECOND,4,A,\n\
        1,8,,\0\n\
        1,8,,"
        .replace("SECOND", &second)
        .into_bytes();
    file.extend_from_slice(format!("BAD\n{second},16,,\n1,8,,").as_bytes());
    let bad = file.windows(3).position(|bytes| bytes == b"BAD").unwrap();
    file.splice(bad..bad + 3, [0xff]);
    file.resize(file.len() + 70_000, b'x');
    file.extend_from_slice(format!("\n{second},32,,\n").as_bytes());
    file.extend_from_slice(format!("{second},128,,\"and so\n{second},256,,\n").as_bytes());
    let ended = app.import(file, &[]).await;
    ended.says(
        1,
        "5 payments posted, 16 rows refused",
        &[
            "line 2: amount - is not a number",
            "line 3: amount - must be other than 0",
            "line 4: amount - can't be blank",
            "line 5: account - must exist",
            "line 6: account - must exist",
            "line 7: account - must exist; amount - can't be blank",
            "line 8: one is not a valid value for id.",
            "line 9: amount - is not a number",
            "line 14: has 2 values, not 4",
            "line 15: has 5 values, not 4",
            "line 16: amount - must be less than or equal to 100000000000000000000000000",
            "line 18: external-id - has already been taken",
            "line 20: notes - is invalid",
            "line 21: is not UTF-8",
            "line 23: is longer than 65536 bytes, or has more than 64 values",
            "line 25: opens a quote that is never closed",
        ],
    );
    assert_eq!((app.balance().await, app.balance_of(&second).await), (json!("3.0"), json!("52.0")));
    assert_eq!(app.total("/payments").await, 5);
    assert_eq!(app.total("/journal-entries").await, 5);
}

#[tokio::test]
async fn a_balance_out_of_range_refuses_the_row_that_takes_it_there() {
    let app = app_with_accounts().await;
    let file = "account-id,amount\n1,1e26\n1,1e26\n1,-1\n";
    app.import(file, &[]).await.says(
        1,
        "2 payments posted, 1 rows refused",
        &["line 3: amount - takes the balance out of range"],
    );
    assert_eq!(app.total("/payments").await, 2);
    assert_eq!(app.balance().await, "99999999999999999999999999.0");
}

#[tokio::test]
async fn a_threshold_that_an_import_crosses_is_told() {
    let app = TestApp::start().await;
    app.contractor("acme").await;
    app.account("1", json!({"name": "x", "balance-high-threshold": 10})).await;
    let file = "account-id,amount\n1,9\n1,2\n";
    app.import(file, &[]).await.says(0, "2 payments posted, 0 rows refused", &[]);
    assert_eq!(app.total("/events").await, 1);
    assert_eq!(app.total("/balance-notifications").await, 1);
}

#[tokio::test]
async fn of_many_refused_rows_the_first_hundred_are_printed() {
    let app = app_with_accounts().await;
    let file = format!("account-id,amount\n{}1,1\n", "1,x\n".repeat(450));
    let ended = app.import(file, &[]).await;
    assert_eq!((ended.code, &*ended.out), (Some(1), "1 payments posted, 450 rows refused\n"));
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[99..], ["line 101: amount - is not a number", "… and 350 more"]);
}

#[tokio::test]
async fn what_was_sent_is_printed_in_one_short_line() {
    let app = app_with_accounts().await;
    let file = format!("account-id,amount\n\"\u{1b}[2J\nx{}\",1\n", "y".repeat(10_000));
    let ended = app.import(file, &[]).await;
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    assert!(ended.err.starts_with("line 2:  [2J xyyy") && ended.err.len() < 600, "{ended:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_meant_is_refused_before_anything_is_written() {
    let app = app_with_accounts().await;
    let before = app.dump();
    for (file, part) in [
        (&b""[..], "payments.csv is empty"),
        (b"\r\n\n", "payments.csv is empty"),
        (b"account-id,amout\n1,1\n", "payments.csv: there is no column \"amout\""),
        (b"account-id,amount,status\n1,1,pending\n", "no column \"status\""),
        (b"account-id, amount\n1,1\n", "no column \" amount\""),
        (b"account-id,amount,\n1,1,\n", "no column \"\""),
        (b"account-id,AMOUNT\n1,1\n", "no column \"AMOUNT\""),
        (b"account-id;amount\n1;1\n", "are the values separated by commas?"),
        (b"1,100\n2,100\n", "names no known column"),
        (b"account-id,notes\n1,x\n", "the header does not name amount"),
        (b"amount\n1\n", "must name one of account-id and account-external-id"),
        (b"account-id,account-external-id,amount\n1,,1\n", "must name one of account-id and"),
        (b"account-id,amount,amount\n1,1,2\n", "names amount twice"),
        (b"\xff\xfea\0m\0", "the header is not UTF-8"),
        (b"account-id,\"amount\n1,1\n", "the header opens a quote that is never closed"),
        (&vec![b'x'; 1 << 20], "the header is longer than 65536 bytes"),
    ] {
        app.import(file, &[]).await.complains(part);
        app.import(file, &["--dry-run"]).await.complains(part);
    }
    app.import_file("missing.csv", &[]).await.complains("cannot read missing.csv: No such file");
    app.import_file("/", &[]).await.complains("cannot read");
    app.import_input("amount\n").await.complains("standard input: the header must name");
    let mut elsewhere = app.importing(&["payments.csv", "--database-url", "sqlite:"]);
    std::fs::write(app.directory().join("payments.csv"), "account-id,amount\n").unwrap();
    elsewhere.env_remove("TOLLKEEPER_DATABASE_URL");
    run(elsewhere, "").complains("use sqlite:PATH");
    assert_eq!(app.dump(), before);
    app.import_file("payments.csv", &[]).await.says(0, "0 payments posted, 0 rows refused", &[]);
}

/// Rows of account 1 with the external ids of `numbers`, each of its number as the amount.
fn numbered(numbers: impl Iterator<Item = u32>) -> String {
    let mut file = "account-id,external-id,amount\n".to_owned();
    for number in numbers {
        writeln!(file, "1,E{number},{number}").unwrap();
    }
    file
}

#[tokio::test]
async fn a_file_imported_again_posts_what_is_new() {
    let app = app_with_accounts().await;
    let summary = "300 payments posted, 0 rows refused";
    app.import(numbered(1..=300), &[]).await.says(0, summary, &[]);
    assert_eq!(app.balance().await, "45150.0");
    let before = app.dump();
    let summary = "0 payments posted, 300 rows were there already, 0 rows refused";
    app.import(numbered(1..=300), &[]).await.says(0, summary, &[]);
    assert_eq!(app.dump(), before);
    let summary = "0 payments would be posted, 300 rows would be there already, \
                   0 rows would be refused";
    app.import(numbered(1..=300), &["--dry-run"]).await.says(0, summary, &[]);
    let summary = "5 payments posted, 10 rows were there already, 0 rows refused";
    app.import(numbered(291..=305), &[]).await.says(0, summary, &[]);
    assert_eq!(app.balance().await, "46665.0");
}

#[tokio::test]
async fn a_row_is_there_already_only_with_its_own_amount_and_no_other_fault() {
    let (app, second) = with_two_accounts().await;
    let columns = "account-id,external-id,amount,notes\n";
    let file = format!("{columns}1,A,5,\n");
    app.import(file, &[]).await.says(0, "1 payments posted, 0 rows refused", &[]);
    let file = format!("{columns}1,A,5.00,other\n1,A,6,\n1,A,0,\n{second},A,5,\n");
    app.import(file, &[]).await.says(
        1,
        "1 payments posted, 1 rows were there already, 2 rows refused",
        &[
            "line 3: external-id - has already been taken",
            "line 4: amount - must be other than 0; external-id - has already been taken",
        ],
    );
    assert_eq!((app.balance().await, app.balance_of(&second).await), (json!("5.0"), json!("5.0")));
}

#[tokio::test]
async fn a_dry_run_tells_everything_and_keeps_nothing() {
    let (app, second) = with_two_accounts().await;
    // The first program on a database opens its books.
    app.import(format!("account-id,amount\n{second},1\n"), &[]).await.well();
    let before = app.dump();
    // What the first row takes is noticed in the same slice and in later ones.
    let mut file = numbered(1..=450);
    write!(file, "1,E1,1\n1,E2,3\n{second},E1,1\n1,E449,449\n1,E450,1\n1,E2,3\n").unwrap();
    file.push_str("9999,,1\n1,,x\n1,,1\n1,,1\n");
    let complaints = [
        "line 453: external-id - has already been taken",
        "line 456: external-id - has already been taken",
        "line 457: external-id - has already been taken",
        "line 458: account - must exist",
        "line 459: amount - is not a number",
    ];
    let summary = "453 payments would be posted, 2 rows would be there already, \
                   5 rows would be refused";
    app.import(&file, &["--dry-run"]).await.says(1, summary, &complaints);
    assert_eq!(app.dump(), before);
    let summary = "453 payments posted, 2 rows were there already, 5 rows refused";
    app.import(&file, &[]).await.says(1, summary, &complaints);
    assert_ne!(app.dump(), before);
}

#[tokio::test]
async fn a_line_of_a_hundred_megabytes_fails_alone_in_little_memory() {
    const MEMORY_MAX_KIB: u64 = 64 * 1024;
    let app = app_with_accounts().await;
    let path = app.directory().join("payments.csv");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"account-id,amount,notes\n1,1,\n1,2,\"").unwrap();
    for _ in 0..100 {
        file.write_all(&vec![b'n'; 1 << 20]).unwrap();
    }
    file.write_all(b"\"\n1,4,\n").unwrap();
    // The limit is the system's: beyond it, the program would not get another page.
    let program = app.importing(&["payments.csv"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -d $0 && exec \"$@\"", &MEMORY_MAX_KIB.to_string()]);
    limited.arg(program.get_program()).args(program.get_args());
    // Stacks count as memory, and a large machine would have many.
    limited.current_dir(program.get_current_dir().unwrap()).env("TOKIO_WORKER_THREADS", "2");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.stdin(std::process::Stdio::piped());
    limited.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let ended = tokio::task::spawn_blocking(|| run(limited, "")).await.unwrap();
    let complaint = "line 3: is longer than 65536 bytes, or has more than 64 values";
    ended.says(1, "2 payments posted, 1 rows refused", &[complaint]);
    assert_eq!(app.balance().await, "5.0");
}

#[tokio::test]
async fn an_import_waits_for_whoever_holds_the_database() {
    let (app, second) = with_two_accounts().await;
    app.import(format!("account-id,amount\n{second},1\n"), &[]).await.well();
    let mut importing = app.importing(&["-"]).spawn().unwrap();
    let mut input = importing.stdin.take().unwrap();
    input.write_all(b"account-id,amount\n").unwrap();
    let rows = "1,1\n".repeat(200);
    // The first slice tells that the program has started; the second finds a closed door.
    input.write_all(rows.as_bytes()).unwrap();
    while app.balance().await != "200.0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let other = app.database.hold();
    input.write_all(rows.as_bytes()).unwrap();
    drop(input);
    // Longer than the five seconds that SQLite waits by itself.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(importing.try_wait().unwrap().is_none(), "it gave up");
    drop(other);
    let output =
        tokio::task::spawn_blocking(|| importing.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "400 payments posted, 0 rows refused\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(app.balance().await, "400.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_imports_and_requests_on_one_account_add_up() {
    const IMPORTS: u32 = 8;
    const ROWS: u32 = 300;
    const REQUESTS: u32 = 64;
    let app = Arc::new(app_with_accounts().await);
    let mut imports = JoinSet::new();
    for import in 0..IMPORTS {
        let mut file = "account-id,external-id,amount\n".to_owned();
        for row in 0..ROWS {
            writeln!(file, "1,{import}-{row},0.01").unwrap();
        }
        let name = format!("{import}.csv");
        std::fs::write(app.directory().join(&name), file).unwrap();
        let app = Arc::clone(&app);
        imports.spawn(async move { app.import_file(&name, &[]).await });
    }
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS {
        let app = Arc::clone(&app);
        requests.spawn(async move {
            // Spread over the time that the imports take.
            tokio::time::sleep(Duration::from_millis(u64::from(number) * 30)).await;
            let links = json!({"account": linkage("accounts", "1")});
            let payment = json!({"data": {
                "type": "payments", "attributes": {"amount": "1"}, "relationships": links,
            }});
            app.post("/payments", payment).await
        });
    }
    for reply in requests.join_all().await {
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    for ended in imports.join_all().await {
        ended.says(0, &format!("{ROWS} payments posted, 0 rows refused"), &[]);
    }
    assert_eq!(app.balance().await, "88.0");
    assert_eq!(app.total("/payments").await, u64::from(IMPORTS * ROWS + REQUESTS));
    assert_eq!(app.total("/journal-entries").await, u64::from(IMPORTS * ROWS + REQUESTS));
    let last: i64 = app.stored("SELECT max(sequence) FROM journal_entries");
    assert_eq!(last, i64::from(IMPORTS * ROWS + REQUESTS));
    let mut turns = HashSet::new();
    for import in 0..IMPORTS {
        let sql = format!(
            "SELECT max(sequence) - min(sequence) FROM journal_entries \
             WHERE request_id LIKE 'import {import}.csv %'"
        );
        turns.insert(app.stored::<i64>(&sql) > i64::from(ROWS));
    }
    assert!(turns.contains(&true), "imports take turns");
}
