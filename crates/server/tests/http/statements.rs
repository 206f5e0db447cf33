//! An account's history: statements in both forms, and balances of past moments.

use std::net::SocketAddr;

use decimal::Decimal;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use store::Store;
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::ring;
use tollkeeper::api::API;
use tollkeeper::commands::add_operator;

use crate::builders::app_with_contractor;
use crate::postings::{many, number, post_all};
use crate::program::{Here, Program, open_accounts};
use crate::support::{MEDIA_TYPE, PASSWORD, Reply, TestApp};

const CSV: &str = "text/csv";

/// What moves the balance of account 1, around midnight in Los Angeles.
const MOVES: [(&str, &str); 5] = [
    ("2026-01-02T07:59:59.999Z", "10.5"),
    ("2026-01-02T08:00:00Z", "-3.25"),
    ("2026-01-02T12:37:41.123Z", "0.000000000001"),
    ("2026-01-02T12:37:41.123Z", "1"),
    ("2026-01-03T08:00:00Z", "-100"),
];

/// A server with account 1 in Los Angeles and another in Tokyo, whose id is told; `MOVES` have moved
/// both.
async fn app_and_tokyo() -> (TestApp, String) {
    let (app, contractor) = app_with_contractor().await;
    let account = |name, timezone| json!({"name": name, "timezone": timezone});
    app.account(&contractor, account("la", "America/Los_Angeles")).await;
    let tokyo = app.account(&contractor, account("tokyo", "Asia/Tokyo")).await;
    for moved in MOVES {
        app.post_at("1", &[moved]).await;
        app.post_at(&tokyo, &[moved]).await;
    }
    (app, tokyo)
}

async fn app() -> TestApp {
    app_and_tokyo().await.0
}

/// Everything that a statement says: the numbers of its entries, its two balances, its bounds.
#[derive(Debug, PartialEq)]
struct Told {
    entries: Vec<i64>,
    opening: String,
    closing: String,
    from: Value,
    to: Value,
}

/// Reads a statement, and checks that its balances are apart by just what its entries add.
#[track_caller]
fn read(reply: &Reply) -> Told {
    assert_eq!((reply.status, reply.header("content-type")), (200, MEDIA_TYPE), "{}", reply.body);
    let document = reply.json();
    let meta = &document["meta"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (opening, closing) = (text(&meta["opening-balance"]), text(&meta["closing-balance"]));
    let mut balance = number(&opening);
    let mut entries = Vec::new();
    for entry in document["data"].as_array().unwrap() {
        let entry = &entry["attributes"];
        balance = balance.checked_add(number(&text(&entry["amount"]))).unwrap();
        assert_eq!(text(&entry["balance-after"]), balance.to_string());
        entries.push(entry["sequence"].as_i64().unwrap());
    }
    assert_eq!(balance.to_string(), closing);
    assert!(entries.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{entries:?}");
    assert_eq!(meta["total-count"], entries.len());
    Told { entries, opening, closing, from: meta["from"].clone(), to: meta["to"].clone() }
}

/// Reads a statement as a table: its header, and the lines below.
#[track_caller]
fn read_csv(reply: &Reply) -> (Vec<String>, Vec<Vec<String>>) {
    let kind = reply.header("content-type");
    assert_eq!((reply.status, kind), (200, "text/csv; charset=utf-8"), "{}", reply.body);
    let mut reader = csv::Reader::from_reader(reply.body.as_bytes());
    let cells = |line: &csv::StringRecord| line.iter().map(str::to_owned).collect::<Vec<_>>();
    let header = cells(reader.headers().unwrap());
    (header, reader.records().map(|line| cells(&line.unwrap())).collect())
}

impl TestApp {
    async fn table(&self, path: &str) -> Reply {
        let headers = [("accept", CSV), ("authorization", self.token.as_str())];
        self.send("GET", path, &headers, "").await
    }
}

#[tokio::test]
async fn a_statement_tells_the_entries_as_the_journal_does() {
    let app = app().await;
    let query = "from=2026-01-02T08:00:00Z&to=2026-01-03T08:00:00Z";
    let statement = app.get(&format!("/accounts/1/statement?{query}")).await;
    let told = read(&statement);
    let expected = Told {
        entries: vec![2, 3, 4],
        opening: "10.5".into(),
        closing: "8.250000000001".into(),
        from: json!("2026-01-02T08:00:00.000Z"),
        to: "2026-01-03T08:00:00.000Z".into(),
    };
    assert_eq!(told, expected);
    let listed = app.get("/journal-entries?filter[account.id]=1&sort=sequence").await.json();
    let listed = &listed["data"].as_array().unwrap()[1..4];
    assert_eq!(statement.json()["data"].as_array().unwrap(), listed);
    let link = format!("/journal-entries/{}", listed[0]["id"].as_str().unwrap());
    assert!(listed[0]["links"]["self"].as_str().unwrap().ends_with(&link));
}

#[tokio::test]
async fn from_is_inclusive_and_to_is_not() {
    let app = app().await;
    let all = [1, 2, 3, 4, 5];
    for (query, entries, opening, closing) in [
        ("", &all[..], "0.0", "-91.749999999999"),
        ("?from=&to=", &all, "0.0", "-91.749999999999"),
        ("?from=2026-01-02T12:37:41.123Z", &all[2..], "7.25", "-91.749999999999"),
        ("?from=2026-01-02T12:37:41.124Z", &all[4..], "8.250000000001", "-91.749999999999"),
        ("?to=2026-01-02T12:37:41.123Z", &all[..2], "0.0", "7.25"),
        ("?to=2026-01-02T12:37:41.123001Z", &all[..4], "0.0", "8.250000000001"),
        (
            "?from=2026-01-02T12:37:41.123Z&to=2026-01-02T12:37:41.124Z",
            &all[2..4],
            "7.25",
            "8.250000000001",
        ),
        // Bounds that meet, or have nothing between them.
        ("?from=2026-01-02T12:37:41.123Z&to=2026-01-02T12:37:41.123Z", &[], "7.25", "7.25"),
        ("?from=2026-01-02T09:00Z&to=2026-01-02T10:00Z", &[], "7.25", "7.25"),
        ("?to=1969-01-01", &[], "0.0", "0.0"),
        ("?from=2100-01-01", &[], "-91.749999999999", "-91.749999999999"),
        ("?from=2100-01-01&to=2100-01-02", &[], "-91.749999999999", "-91.749999999999"),
        ("?from=-009999-01-02&to=9999-12-30T22:00:00Z", &all, "0.0", "-91.749999999999"),
    ] {
        let reply = app.get(&format!("/accounts/1/statement{query}")).await;
        let told = read(&reply);
        let told = (told.entries, told.opening.as_str().to_owned(), told.closing);
        assert_eq!(told, (entries.to_vec(), opening.to_owned(), closing.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn times_without_an_offset_are_the_accounts_own() {
    let (app, tokyo) = app_and_tokyo().await;
    let tokyo = tokyo.as_str();
    for (account, query, entries, from) in [
        ("1", "from=2026-01-02", vec![2, 3, 4, 5], "2026-01-02T08:00:00.000Z"),
        ("1", "from=2026-01-02T00:00&to=2026-01-03", vec![2, 3, 4], "2026-01-02T08:00:00.000Z"),
        ("1", "from=2026-01-01%2023:59:59.999", vec![1, 2, 3, 4, 5], "2026-01-02T07:59:59.999Z"),
        // Tokyo is nine hours ahead of Greenwich.
        (tokyo, "from=2026-01-02&to=2026-01-03", vec![1, 2, 3, 4], "2026-01-01T15:00:00.000Z"),
        (tokyo, "from=2026-01-02T17:00:00", vec![2, 3, 4, 5], "2026-01-02T08:00:00.000Z"),
        (tokyo, "from=2026-01-03", vec![5], "2026-01-02T15:00:00.000Z"),
        // An offset says where, whatever the account.
        ("1", "from=2026-01-02T10:00:00%2B02:00", vec![2, 3, 4, 5], "2026-01-02T08:00:00.000Z"),
        (tokyo, "from=2026-01-02T10:00:00%2B02:00", vec![2, 3, 4, 5], "2026-01-02T08:00:00.000Z"),
        (tokyo, "from=2026-01-02T00:00:00-08:00", vec![2, 3, 4, 5], "2026-01-02T08:00:00.000Z"),
        (tokyo, "from=2026-01-02T08:00:00Z", vec![2, 3, 4, 5], "2026-01-02T08:00:00.000Z"),
    ] {
        let told = read(&app.get(&format!("/accounts/{account}/statement?{query}")).await);
        assert_eq!((told.entries, told.from), (entries, json!(from)), "{account}: {query}");
    }
    // The clocks of Los Angeles go forward: this day has 23 hours.
    let day = "/accounts/1/statement?from=2026-03-08&to=2026-03-09";
    let told = read(&app.get(day).await);
    let bounds = (told.from, told.to);
    assert_eq!(bounds, (json!("2026-03-08T08:00:00.000Z"), json!("2026-03-09T07:00:00.000Z")));
    // Without an end, it ends with the last entry there is.
    assert_eq!(read(&app.get("/accounts/1/statement").await).to, Value::Null);
}

#[tokio::test]
async fn statements_that_follow_one_another_miss_nothing_and_repeat_nothing() {
    let app = app().await;
    let bounds = [
        "2026-01-01",
        "2026-01-01T23:59:59.999",
        "2026-01-02",
        "2026-01-02T12:37:41.123Z",
        "2026-01-03",
        "2026-01-04",
    ];
    let mut entries = Vec::new();
    let mut balance = "0.0".to_owned();
    for pair in bounds.windows(2) {
        let path = format!("/accounts/1/statement?from={}&to={}", pair[0], pair[1]);
        let told = read(&app.get(&path).await);
        assert_eq!(told.opening, balance, "{path}");
        balance = told.closing;
        entries.extend(told.entries);
    }
    assert_eq!((entries, balance.as_str()), (vec![1, 2, 3, 4, 5], "-91.749999999999"));
}

#[tokio::test]
async fn what_is_no_statement_is_refused() {
    let app = app().await;
    for form in [MEDIA_TYPE, CSV] {
        for (path, status, error) in [
            ("1/statement?from=2026-01-03&to=2026-01-02", 400, "400 from is after to."),
            (
                "1/statement?from=yesterday",
                400,
                "400 yesterday is not a time for from (a + is written %2B in URLs).",
            ),
            (
                "1/statement?to=2026-13-01",
                400,
                "400 2026-13-01 is not a time for to (a + is written %2B in URLs).",
            ),
            (
                "1/statement?from=2026-01-02T10:00:00+02:00",
                400,
                "400 2026-01-02T10:00:00 02:00 is not a time for from \
                 (a + is written %2B in URLs).",
            ),
            ("9999/statement", 404, "404 The record identified by 9999 could not be found."),
            ("abc/statement", 400, "103 abc is not a valid value for id."),
            (
                "1/statement?fields[journal-entries]=nonesuch",
                400,
                "104 nonesuch is not a valid field for journal-entries.",
            ),
        ] {
            let headers = [("accept", form), ("authorization", app.token.as_str())];
            let reply = app.send("GET", &format!("/accounts/{path}"), &headers, "").await;
            assert_eq!(reply.refuses(status).errors(), [error], "{form}: {path}");
        }
    }
    for method in ["POST", "PATCH", "PUT", "DELETE", "OPTIONS"] {
        let reply = app.write(method, "/accounts/1/statement", "").await;
        let allow = reply.refuses(405).header("allow");
        assert_eq!(allow, "GET, HEAD", "{method}");
    }
    for accept in ["application/json", "text/html", "text/plain, application/xml"] {
        let headers = [("accept", accept), ("authorization", app.token.as_str())];
        app.send("GET", "/accounts/1/statement", &headers, "").await.refuses(406);
    }
    for accept in [MEDIA_TYPE, CSV] {
        app.send("GET", "/accounts/1/statement", &[("accept", accept)], "").await.refuses(401);
    }
}

#[tokio::test]
async fn a_statement_is_one_of_entries_and_includes_nothing() {
    let app = app().await;
    let reply = app.get("/accounts/1/statement?include=account").await;
    let error = "112 account is not a valid relationship of journal-entries";
    assert_eq!(reply.refuses(400).errors(), [error]);
    let reply = app.get("/accounts/1/statement?fields[journal-entries]=amount").await;
    assert_eq!(reply.status, 200);
    let document = reply.json();
    let attributes = document["data"].as_array().unwrap().iter().map(|one| &one["attributes"]);
    let amounts = ["10.5", "-3.25", "0.000000000001", "1.0", "-100.0"];
    let expected: Vec<Value> = amounts.iter().map(|amount| json!({"amount": amount})).collect();
    assert!(attributes.eq(expected.iter()), "{document}");
    assert_eq!(document["meta"]["closing-balance"], "-91.749999999999");
}

#[tokio::test]
async fn a_head_request_gets_the_headers_of_either_form() {
    let app = app().await;
    for (accept, kind) in [(MEDIA_TYPE, MEDIA_TYPE), (CSV, "text/csv; charset=utf-8")] {
        let headers = [("accept", accept), ("authorization", app.token.as_str())];
        let reply = app.send("HEAD", "/accounts/1/statement", &headers, "").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""));
        assert_eq!(reply.header("content-type"), kind);
    }
}

#[tokio::test]
async fn a_table_has_a_line_for_each_entry_between_those_of_the_balances() {
    let app = app().await;
    let query = "from=2026-01-02&to=2026-01-03";
    let (header, lines) = read_csv(&app.table(&format!("/accounts/1/statement?{query}")).await);
    let entries = app.get(&format!("/accounts/1/statement?{query}")).await.json();
    let entries = entries["data"].as_array().unwrap();
    let names: Vec<&String> = entries[0]["attributes"].as_object().unwrap().keys().collect();
    assert_eq!(header.iter().collect::<Vec<_>>(), names);
    let line = |kind: &str, at: &str, balance: &str| {
        let cell = |name: &String| match name.as_str() {
            "kind" => kind.to_owned(),
            "created-at" => at.to_owned(),
            "balance-after" => balance.to_owned(),
            _ => String::new(),
        };
        header.iter().map(cell).collect::<Vec<_>>()
    };
    assert_eq!(lines[0], line("opening balance", "2026-01-02T08:00:00.000Z", "10.5"));
    assert_eq!(lines[4], line("closing balance", "2026-01-03T08:00:00.000Z", "8.250000000001"));
    assert_eq!(lines.len(), 5);
    for (line, entry) in lines[1..4].iter().zip(entries) {
        for (cell, value) in line.iter().zip(entry["attributes"].as_object().unwrap().values()) {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(*cell, text);
        }
    }
    let nothing = app.table("/accounts/1/statement?to=2026-01-01").await;
    assert_eq!(nothing.body.matches("\r\n").count(), nothing.body.matches('\n').count());
    assert!(nothing.body.ends_with("\r\n"), "{}", nothing.body);
    let (_, nothing) = read_csv(&nothing);
    assert_eq!(nothing[0], line("opening balance", "", "0.0"));
    assert_eq!(nothing[1], line("closing balance", "2026-01-01T08:00:00.000Z", "0.0"));
    assert_eq!(nothing.len(), 2);
}

#[tokio::test]
async fn any_operators_name_fits_into_a_cell() {
    let app = TestApp::start().await;
    let names = ["Smith, Ann", "\"Zoë\" 会計", "two\r\nlines\n", " blanks ", "a;b\tc", "\"", ","];
    for name in names {
        add_operator(&app.app, name, PASSWORD, None).await.unwrap();
    }
    let contractor = app.contractor("acme").await;
    app.account(&contractor, json!({"name": "a"})).await;
    for id in (2..).take(names.len()) {
        let token = app.app.tokens.issue(id, 0, app.app.now()).unwrap();
        let document = json!({"data": {
            "type": "balance-correction", "id": "1", "attributes": {"correction": 1},
        }});
        let headers =
            [("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE), ("authorization", &*token)];
        let path = "/accounts/1/balance-correction";
        let reply = app.send("PATCH", path, &headers, document.to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    let (header, lines) = read_csv(&app.table("/accounts/1/statement").await);
    let actor = header.iter().position(|name| name == "actor").unwrap();
    let actors = lines[1..=names.len()].iter().map(|line| line[actor].as_str());
    assert!(actors.eq(names), "{lines:?}");
}

#[tokio::test]
async fn long_statements_come_complete_and_are_never_in_memory() {
    const ENTRIES: i64 = 20_000;
    let here = Here::new();
    let program = here.serve();
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    open_accounts(program.address, &token, vec![json!({"name": "long"})]).await;
    let store = Store::open(&here.database().url(), API).await.unwrap();
    let moves = many(ENTRIES);
    post_all(&store, 1, &moves).await;
    drop(store);
    let sum =
        moves.iter().fold(Decimal::ZERO, |sum, (_, amount)| sum.checked_add(*amount).unwrap());

    let mut peaks = Vec::new();
    let mut sent = Vec::new();
    // The first round fills caches and pipes.
    for to in ["2026-01-02T13:00:00Z", "2026-02-02"] {
        let mut readers = JoinSet::new();
        for form in [MEDIA_TYPE, CSV, MEDIA_TYPE, CSV, MEDIA_TYPE] {
            let (address, token) = (program.address, token.clone());
            let path = format!("/accounts/1/statement?to={to}");
            readers.spawn(async move { statement(address, &path, &token, form).await.body.len() });
        }
        sent.push(readers.join_all().await.into_iter().sum::<usize>());
        peaks.push(memory_peak(&program));
    }
    // Kept whole, they would take more than twice what is sent. (The kernel tells peaks from
    // counters that lag: the second may even be the lower one.)
    let grown = peaks[1].saturating_sub(peaks[0]);
    assert!(grown < (sent[1] - sent[0]) * 3 / 2, "{peaks:?} for {sent:?}");
    let path = "/accounts/1/statement?to=2026-02-02";
    let told = read(&statement(program.address, path, &token, MEDIA_TYPE).await);
    assert!(told.entries.iter().copied().eq(1..=ENTRIES));
    assert_eq!((told.opening.as_str(), told.closing), ("0.0", sum.to_string()));
    let (header, lines) = read_csv(&statement(program.address, path, &token, CSV).await);
    assert_eq!(header[0], "sequence");
    let numbers = lines[1..lines.len() - 1].iter().map(|line| line[0].parse::<i64>().unwrap());
    assert!(numbers.eq(1..=ENTRIES));
}

/// The most memory that a program has held so far, in bytes.
fn memory_peak(program: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1_024 * peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
}

/// Asks for a statement, or whatever else has this path.
async fn begin(address: SocketAddr, path: &str, token: &str, accept: &str) -> Response {
    // The client can speak TLS, so it wants to know with what; only the first call counts.
    let _ = ring::default_provider().install_default();
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{address}/api/rest/admin{path}"));
    let request = request.header("accept", accept).header("authorization", token);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// Asks for a statement, and reads it to its end.
async fn statement(address: SocketAddr, path: &str, token: &str, accept: &str) -> Reply {
    let response = begin(address, path, token, accept).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, body: response.text().await.unwrap() }
}

#[tokio::test]
async fn what_is_posted_while_a_statement_is_read_is_not_in_it() {
    const ENTRIES: i64 = 4_000;
    let (app, contractor) = app_with_contractor().await;
    let account = app.account(&contractor, json!({"name": "long"})).await;
    post_all(&app.app.store, 1, &many(ENTRIES)).await;
    let before = app.attributes("/accounts/1").await["balance"].clone();
    let mut response = begin(app.address, "/accounts/1/statement", &app.token, MEDIA_TYPE).await;
    let (headers, mut body) = (response.headers().clone(), Vec::new());
    for _ in 0..20 {
        app.post_at(&account, &[("2026-01-03T12:00:00Z", "1")]).await;
        body.extend(response.chunk().await.unwrap().unwrap());
    }
    while let Some(chunk) = response.chunk().await.unwrap() {
        body.extend(chunk);
    }
    let body = String::from_utf8(body).unwrap();
    let told = read(&Reply { status: 200, headers, body });
    assert_eq!((told.entries.len(), json!(told.closing)), (4_000, before));
    let told = read(&app.get("/accounts/1/statement").await);
    assert_eq!(told.entries.len(), 4_020);
}

#[tokio::test]
async fn clients_that_go_away_in_the_middle_harm_nobody() {
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "long"})).await;
    post_all(&app.app.store, 1, &many(2_000)).await;
    for _ in 0..30 {
        let mut response =
            begin(app.address, "/accounts/1/statement", &app.token, MEDIA_TYPE).await;
        response.chunk().await.unwrap().unwrap();
    }
    assert_eq!(read(&app.get("/accounts/1/statement").await).entries.len(), 2_000);
    app.post_at("1", &[("2026-01-03T12:00:00Z", "1")]).await;
    assert_eq!(read(&app.get("/accounts/1/statement").await).entries.len(), 2_001);
}

#[tokio::test]
async fn an_account_has_the_balance_of_the_moment_asked_for() {
    let (app, tokyo) = app_and_tokyo().await;
    let tokyo = tokyo.as_str();
    for (account, moment, balance) in [
        ("1", "1970-01-01", "0.0"),
        ("1", "2026-01-02T07:59:59.998Z", "0.0"),
        ("1", "2026-01-02T07:59:59.999Z", "10.5"),
        ("1", "2026-01-02T08:00:00Z", "7.25"),
        ("1", "2026-01-02T10:00:00%2B02:00", "7.25"),
        ("1", "2026-01-02", "7.25"),
        ("1", "2026-01-01T23:59:59.999", "10.5"),
        ("1", "2026-01-02T12:37:41.122Z", "7.25"),
        // Two entries have this time.
        ("1", "2026-01-02T12:37:41.123Z", "8.250000000001"),
        ("1", "2026-01-03", "-91.749999999999"),
        ("1", "9999-12-30T22:00:00Z", "-91.749999999999"),
        ("1", "", "-91.749999999999"),
        (tokyo, "2026-01-02", "0.0"),
        (tokyo, "2026-01-02T17:00", "7.25"),
        (tokyo, "2026-01-03", "8.250000000001"),
    ] {
        let told = app.attributes(&format!("/accounts/{account}?as-of={moment}")).await;
        assert_eq!(told["balance"], balance, "{account} as of {moment}");
    }
    let now = app.app.now().to_string();
    let told = app.attributes(&format!("/accounts/1?as-of={now}")).await;
    assert_eq!(told["balance"], "-91.749999999999");
}

#[tokio::test]
async fn only_the_balance_is_that_of_the_moment() {
    let app = app().await;
    let now = app.get("/accounts/1?include=contractor").await;
    let then = app.get("/accounts/1?include=contractor&as-of=2026-01-02").await;
    let mut expected = now.json();
    assert_eq!(expected["data"]["attributes"]["balance"], "-91.749999999999");
    expected["data"]["attributes"]["balance"] = json!("7.25");
    assert_eq!(then.json(), expected);
    assert_eq!(then.json()["included"][0]["attributes"]["name"], "acme");
    let fields = app.get("/accounts/1?fields[accounts]=balance&as-of=2026-01-02").await.json();
    assert_eq!(fields["data"]["attributes"], json!({"balance": "7.25"}));
    let without = app.attributes("/accounts/1?fields[accounts]=name&as-of=2026-01-02").await;
    assert_eq!(without, json!({"name": "la"}));
    assert_ne!(then.header("etag"), "");
    assert_ne!(then.header("etag"), now.header("etag"));
}

#[tokio::test]
async fn a_moment_is_a_time_of_an_account_that_is_there() {
    let app = app().await;
    for junk in ["yesterday", "2026-02-30", "2026-01-02T25:00", "1"] {
        let reply = app.get(&format!("/accounts/1?as-of={junk}")).await;
        let error = format!("400 {junk} is not a time for as-of (a + is written %2B in URLs).");
        assert_eq!(reply.refuses(400).errors(), [error]);
    }
    app.get("/accounts/9999?as-of=2026-01-02").await.refuses(404);
    // A past balance is no state that a write could demand.
    let then = app.get("/accounts/1?as-of=2026-01-02").await;
    let data = json!({"type": "accounts", "id": "1", "attributes": {"name": "renamed"}});
    let document = json!({ "data": data });
    let reply = app.write_if("PATCH", "/accounts/1", then.header("etag"), &document).await;
    reply.refuses(412);
}
