//! Documents and queries that nobody sends in good faith: each is refused in the protocol's own
//! words, nothing changes, and the next request is served.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::support::{MEDIA_TYPE, Reply, TestApp, linkage};
use crate::wire::Wire;

/// A server with one record of every kind, each with the id 1.
pub async fn furnished() -> TestApp {
    furnish(TestApp::start().await).await
}

pub async fn furnish(app: TestApp) -> TestApp {
    let both = json!({"name": "c", "enabled": true, "vendor": true, "customer": true});
    app.create("contractors", both, json!({})).await;
    let contractor = json!({"contractor": linkage("contractors", "1")});
    app.create("contacts", json!({"email": "a@example.org"}), contractor).await;
    app.create("invoice-templates", json!({"name": "t"}), json!({})).await;
    let relay = json!({"name": "r", "host": "h", "from-address": "a@example.org"});
    app.create("smtp-connections", relay, json!({})).await;
    let account = account();
    let reply = app.post("/accounts", account).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    app
}

/// A good document; what a test breaks, it breaks here.
pub fn account() -> Value {
    json!({"data": {
        "type": "accounts",
        "attributes": {
            "name": "a", "min-balance": -10, "max-balance": 10, "vat": 20, "external-id": 77,
            "balance-low-threshold": 1, "balance-high-threshold": 5,
            "destination-rate-limit": "0.5", "max-call-duration": 60,
            "origination-capacity": 1, "termination-capacity": 1, "total-capacity": 1,
            "send-invoices-to": [1], "send-balance-notifications-to": [1],
            "invoice-period-id": 1, "timezone": "UTC",
            "uuid": "fd868b74-e7d8-11f0-bf40-0a63caf27539",
        },
        "relationships": {
            "contractor": linkage("contractors", "1"),
            "invoice-template": linkage("invoice-templates", "1"),
        },
    }})
}

/// Checks that nothing has changed and that good requests are still served.
pub struct Unharmed {
    dump: String,
}

impl Unharmed {
    /// Remembers how things are.
    pub fn before(app: &TestApp) -> Self {
        Self { dump: app.dump() }
    }

    /// They are so still.
    pub async fn still(&self, app: &TestApp) {
        let list = app.get("/accounts").await;
        assert_eq!((list.status, &list.json()["meta"]["total-count"]), (200, &json!(1)));
        assert_eq!(app.dump(), self.dump);
    }
}

/// A whole request of an operator, with a body and its length.
pub fn request(app: &TestApp, line: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{line} HTTP/1.1\r\nhost: t\r\nauthorization: {}\r\naccept: {MEDIA_TYPE}\r\n\
         content-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n\r\n",
        app.token,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Checks that the answer, if there is one, refuses the request. What the HTTP library cannot
/// even parse it refuses itself, without a document.
#[track_caller]
pub fn refused_or_closed(reply: Option<&Reply>, sent: &dyn std::fmt::Debug) {
    if let Some(reply) = reply {
        assert!((400..500).contains(&reply.status), "{reply:?} to {sent:?}");
        if !reply.body.is_empty() {
            reply.refuses_somehow();
        }
    }
}

const PATHS_WITH_DOCUMENTS: [(&str, &str); 6] = [
    ("POST", "/accounts"),
    ("PATCH", "/accounts/1"),
    ("PUT", "/contractors/1"),
    ("PATCH", "/accounts/1/relationships/contractor"),
    ("PATCH", "/accounts/77/balance"),
    ("PATCH", "/accounts/1/balance-correction"),
];

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let good = account().to_string();
    let mut bodies: Vec<Vec<u8>> = [
        "{",
        "}",
        "nul",
        "NaN",
        "Infinity",
        "-",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "'a'",
        "{a:1}",
        "{\"data\":}",
        "{\"data\":1,}",
        "[1,]",
        "{\"a\" 1}",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\\ud800\"}",
        "{\"a\":\"\\ud800x\"}",
        "{\"\\ud800\":1}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\0\"}",
        "\0",
        "{}\0",
        "{} {}",
        "//",
        "/* */ {}",
        "{} // end",
        "\u{feff}{}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":--1}",
        "[]",
        "null",
        "true",
        "1",
        "\"x\"",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bodies.push(b"{\"a\":\"\xff\"}".to_vec());
    bodies.push(b"{\"a\":\"\xc0\xaf\"}".to_vec());
    bodies.push(b"{\"a\":\"\xed\xa0\x80\"}".to_vec());
    bodies.push(b"\xff\xfe{\0}\0".to_vec());
    bodies.push(good[..good.len() - 1].into());
    bodies.push(format!("{good}]").into());
    for (method, path) in PATHS_WITH_DOCUMENTS {
        for body in &bodies {
            app.write(method, path, body.clone()).await.refuses(400);
        }
    }
    for body in bodies {
        let json = [("content-type", "application/json")];
        let reply = app.send("POST", "/auth", &json, body.clone()).await;
        let text = String::from_utf8_lossy(&body);
        assert!([400, 401].contains(&reply.status), "{reply:?} to {text:?}");
        assert!(reply.json()["errors"][0]["code"].is_string());
    }
    unharmed.still(&app).await;
}

#[tokio::test]
async fn nesting_is_read_to_a_depth_of_100_and_no_further() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        // The document itself is the first level.
        let nested = |depth: usize| {
            let (open, close) = (open.repeat(depth - 1), close.repeat(depth - 1));
            format!("{{\"data\":7,\"meta\":{open}1{close}}}")
        };
        for (method, path) in PATHS_WITH_DOCUMENTS {
            let deepest = app.write(method, path, nested(100)).await;
            deepest.refuses(400);
            assert_ne!(deepest.json()["errors"][0]["code"], "400", "{deepest:?}");
            for depth in [101, 128, 129, 100_000] {
                let reply = app.write(method, path, nested(depth)).await;
                assert_eq!(reply.refuses(400).json()["errors"][0]["code"], "400", "{reply:?}");
            }
            let unclosed = open.repeat(100_000);
            app.write(method, path, unclosed.clone()).await.refuses(400);
            let auth = [("content-type", "application/json")];
            assert_eq!(app.send("POST", "/auth", &auth, unclosed).await.status, 400);
        }
        let in_attribute = format!(
            "{{\"data\":{{\"type\":\"accounts\",\"attributes\":{{\"name\":{}1{}}}}}}}",
            open.repeat(100_000),
            close.repeat(100_000)
        );
        app.write("POST", "/accounts", in_attribute).await.refuses(400);
    }
    unharmed.still(&app).await;
}

#[tokio::test]
async fn a_value_of_any_type_in_any_place_is_answered_calmly() {
    let app = furnished().await;
    let wrong = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(7e300),
        json!(""),
        json!(" "),
        json!("x"),
        json!("1"),
        json!([]),
        json!([null]),
        json!([1]),
        json!(["a"]),
        json!([[1]]),
        json!([{}]),
        json!({}),
        json!({"a": 1}),
        json!({"type": "x", "id": {}}),
        json!({"data": []}),
        json!({"data": {"type": 1, "id": []}}),
    ];
    let mut places = Vec::new();
    collect_places(&account(), String::new(), &mut places);
    assert!(places.len() > 25, "{places:?}");
    for place in &places {
        for value in &wrong {
            let mut document = account();
            *document.pointer_mut(place).unwrap() = value.clone();
            let dump = app.dump();
            let reply = app.post("/accounts", document.clone()).await;
            if reply.status == 201 {
                let id = reply.json()["data"]["id"].as_str().unwrap().to_owned();
                assert_eq!(app.delete(&format!("/accounts/{id}")).await.status, 204);
            } else {
                reply.refuses_somehow();
                assert_eq!(app.dump(), dump, "{document}");
            }
            if document.pointer("/data/id").is_none()
                && let Some(data) = document.pointer_mut("/data").and_then(Value::as_object_mut)
            {
                data.insert("id".into(), value.clone());
                let reply = app.patch("/accounts/1", document).await;
                assert!(reply.status < 500, "{reply:?}");
                reply.json();
            }
        }
    }
}

/// The pointers to everything in a document, itself included.
fn collect_places(value: &Value, here: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect_places(member, format!("{here}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                collect_places(item, format!("{here}/{position}"), places);
            }
        }
        _ => {}
    }
    places.push(here);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_its_sender_can_read_so() {
    const MANY: usize = 10 * 1024 * 1024;
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let body = format!("{{\"data\":null,\"meta\":\"{}\"}}", "x".repeat(MANY));
    for (method, path) in PATHS_WITH_DOCUMENTS {
        let reply = app.write(method, path, body.clone()).await;
        assert_eq!(reply.refuses(413).json()["errors"][0]["code"], "413");
    }
    let json = [("content-type", "application/json")];
    assert_eq!(app.send("POST", "/auth", &json, body.clone()).await.status, 413);
    // Whoever is turned away before the body is looked at gets to read that, too.
    app.send("POST", "/accounts", &[], body.clone()).await.refuses(401);
    app.send("POST", "/nothing", &[], body.clone()).await.refuses(404);
    let token = ("authorization", app.token.as_str());
    app.send("POST", "/accounts", &[token], body.clone()).await.refuses(415);
    app.send("DELETE", "/accounts", &[token], body).await.refuses(405);
    unharmed.still(&app).await;
}

#[tokio::test]
async fn a_chunked_body_beyond_the_limit_is_refused_and_its_sender_can_read_so() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    for token in [app.token.as_str(), "none"] {
        let mut wire = Wire::to(app.address).await;
        wire.send(format!(
            "POST /api/rest/admin/accounts HTTP/1.1\r\nhost: t\r\nauthorization: {token}\r\n\
             content-type: {MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n"
        ))
        .await;
        let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
        for _ in 0..160 {
            wire.send(&chunk).await;
        }
        wire.send("0\r\n\r\n").await;
        let status = if token == "none" { 401 } else { 413 };
        wire.reply().await.expect("an answer").refuses(status);
    }
    unharmed.still(&app).await;
}

#[tokio::test]
async fn null_characters_are_refused_wherever_they_are() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    for name in ["name", "timezone", "uuid", "min-balance", "external-id", "send-invoices-to"] {
        for text in ["\0", "a\0", "\0b", "1\0"] {
            let mut document = account();
            document["data"]["attributes"][name] = json!(text);
            let reply = app.post("/accounts", document).await;
            reply.refuses(422);
            let pointer = format!("/data/attributes/{name}");
            let errors = reply.json();
            let told = errors["errors"].as_array().unwrap().iter();
            assert!(told.into_iter().any(|e| e["source"]["pointer"] == *pointer), "{reply:?}");
        }
    }
    for (path, status) in [
        ("/accounts/%00", 400),
        ("/accounts/1%00", 400),
        ("/acc%00ounts", 400),
        ("/%00", 400),
        ("/accounts?filter[name]=%00", 400),
        ("/accounts?filter[%00]=1", 400),
        ("/accounts?sort=%00", 400),
        ("/accounts?page[size]=1%00", 400),
        ("/accounts?include=%00", 400),
        ("/accounts?fields[accounts]=%00", 400),
        ("/timezones/UTC%00", 400),
        ("/accounts?token=%00", 400),
    ] {
        app.get(path).await.refuses(status);
    }
    for target in ["/api/rest/admin/accounts\0", "/api/rest/admin/accounts?x=\0", "\0"] {
        let mut wire = Wire::to(app.address).await;
        wire.send(request(&app, &format!("GET {target}"), b"")).await;
        refused_or_closed(wire.reply().await.as_ref(), &target);
    }
    let json = [("content-type", "application/json")];
    let nul = r#"{"auth":{"username":"admin\u0000","password":"a good password\u0000"}}"#;
    assert_eq!(app.send("POST", "/auth", &json, nul).await.status, 401);
    // What is left of it is that it failed.
    app.alter("DELETE FROM throttles");
    unharmed.still(&app).await;
}

#[tokio::test]
async fn targets_that_are_not_utf8_are_refused() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    for target in [
        "/accounts/%FF",
        "/%C0%AF",
        "/accounts/%ED%A0%80",
        "/accounts/%",
        "/accounts/%1",
        "/accounts/%zz",
        "/accounts/1%2",
        "/accounts?filter[name]=%FF",
        "/accounts?x=%C0%80",
        "/accounts?%FF=1",
        "/accounts?sort=%",
        "/accounts?page[%F0%28]=1",
        "/accounts?%",
    ] {
        let mut wire = Wire::to(app.address).await;
        wire.send(request(&app, &format!("GET /api/rest/admin{target}"), b"")).await;
        wire.reply().await.expect("an answer").refuses(400);
    }
    for target in [
        b"/api/rest/admin/accounts/\xff".as_slice(),
        b"/api/rest/admin/accounts?x=\xff",
        b"/\xc3\x28",
        b"\xff",
        b"/a b",
        b"/\x7f",
        b"/\x01",
        b"x",
        b"",
        b"?",
        b"#",
        b"http://",
        b"http:///x",
        b"//",
        b"://x",
        b"/api/rest/admin/accounts#part",
    ] {
        let sent = [b"GET ", target, b" HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"].concat();
        let mut wire = Wire::to(app.address).await;
        wire.send(&sent).await;
        let (reply, shown) = (wire.reply().await, String::from_utf8_lossy(target));
        // These two are read as the root, which asks to sign in.
        if [b"//".as_slice(), b"://x"].contains(&target) {
            let reply = reply.expect("an answer");
            assert_eq!((reply.status, reply.header("location")), (303, "/sign-in?next=%2F"));
        } else {
            refused_or_closed(reply.as_ref(), &shown);
        }
    }
    unharmed.still(&app).await;
}

#[tokio::test]
async fn numbers_of_any_size_are_read_exactly_or_refused_at_once() {
    const NUMERIC: [&str; 15] = [
        "min-balance",
        "max-balance",
        "vat",
        "balance-low-threshold",
        "balance-high-threshold",
        "destination-rate-limit",
        "max-call-duration",
        "external-id",
        "origination-capacity",
        "termination-capacity",
        "total-capacity",
        "invoice-period-id",
        "send-invoices-to",
        "send-balance-notifications-to",
        "name",
    ];
    let app = furnished().await;
    let digits = "9".repeat(100_000);
    let numbers = [
        "1e400",
        "-1e400",
        "1e-400",
        "0e999999999",
        "0e-999999999",
        "1e999999999",
        "-1e-999999999",
        "1e99999999999999999999",
        "0e99999999999999999999",
        "9e18",
        "1e38",
        "170141183460469231731687303715884105728",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "0.0000000000001",
        "1.0000000000000",
        "-0",
        "-0.0",
        &digits,
        &format!("-{digits}"),
        &format!("0.{digits}"),
        &format!("1.{}1", "0".repeat(100_000)),
        &format!("{digits}e-100000"),
        &format!("0.{}1e100001", "0".repeat(100_000)),
    ]
    .map(str::to_owned);
    let started = Instant::now();
    for number in &numbers {
        for literal in [number.clone(), format!("\"{number}\""), format!("[{number}]")] {
            for name in NUMERIC {
                let members: Map<String, Value> =
                    account()["data"]["attributes"].as_object().unwrap().clone();
                let others: Map<String, Value> =
                    members.into_iter().filter(|(member, _)| member != name).collect();
                let others = Value::Object(others).to_string();
                let body = format!(
                    "{{\"data\":{{\"type\":\"accounts\",\"attributes\":{{\"{name}\":{literal},{}",
                    &others[1..],
                ) + ",\"relationships\":{\"contractor\":{\"data\":{\"type\":\"contractors\",\"id\":1}}}}}";
                let reply = app.write("POST", "/accounts", body).await;
                // The others are taken, so that nothing is created whatever becomes of this one.
                reply.refuses(422);
            }
        }
        for (path, kind, id, name) in [
            ("/accounts/77/balance", "balances", 77, "balance"),
            ("/accounts/1/balance-correction", "balance-correction", 1, "correction"),
        ] {
            let body = format!(
                "{{\"data\":{{\"type\":\"{kind}\",\"id\":{id},\"attributes\":{{\"{name}\":{number}}}}}}}"
            );
            let reply = app.write("PATCH", path, body).await;
            assert!([200, 422].contains(&reply.status), "{reply:?}");
        }
        let id = format!("{{\"data\":{{\"type\":\"contractors\",\"id\":{number}}}}}");
        let reply = app.write("PATCH", "/accounts/1/relationships/contractor", id).await;
        assert!([400, 422].contains(&reply.refuses_somehow().status));
        if number.len() < 10_000 {
            for filter in ["balance_gt", "vat_eq", "external_id_lt", "id", "contractor.id"] {
                let reply = app.get(&format!("/accounts?filter[{filter}]={number}")).await;
                assert_eq!(reply.status, 200, "{filter} {number} {reply:?}");
            }
        }
    }
    assert!(started.elapsed() < Duration::from_mins(2), "{:?}", started.elapsed());
    assert_eq!(app.get("/accounts").await.json()["meta"]["total-count"], 1);
}

/// `name=text`, the text escaped.
fn pair(name: &str, text: &str) -> String {
    let escaped: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    format!("{name}={escaped}")
}

#[tokio::test]
async fn hostile_queries_find_nothing_or_are_refused() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let texts = [
        "' OR 1=1 --",
        "'; DROP TABLE accounts; --",
        "\") OR (\"1\"=\"1",
        "1; ATTACH 'x' AS y",
        "a' UNION SELECT password_hash FROM operators --",
        "$1",
        "?1",
        ":x",
        "@x",
        "%",
        "_",
        "\\",
        "[",
        "]",
        "][",
        "[[]]",
        "[a][b][c]",
        ".",
        "..",
        "a.b.c.d",
        "contractor.",
        ".id",
        "-",
        "--",
        "-id",
        "+id",
        "id,",
        ",",
        ",,,,",
        "\"",
        "\"a",
        "\"a\"b",
        "a\"\"b",
        "\"a\nb\"",
        "\n",
        "\r",
        "\t",
        "{\"a\":1}",
        "null",
        "true",
        "Infinity",
        "NaN",
        "1e999999999",
        "0x10",
        "-0",
        "--1",
        "99999999999999999999",
        "2026-01-01",
        "+999999-12-31T23:59:59Z",
        "-999999-01-01",
        "😀",
        "İ",
        "ß",
        "ﬁ",
        "\u{202e}",
        "\u{feff}",
        "\u{10ffff}",
        "e\u{301}",
        "accounts",
        "*",
        "id",
        "contractor",
        "contractor.smtp-connection.contractor",
        "uuid",
        "auth-password",
        "password_hash",
        "rowid",
        "sqlite_version()",
    ];
    let names = [
        "sort",
        "sort[]",
        "include",
        "include[]",
        "fields",
        "fields[accounts]",
        "fields[]",
        "fields[x]",
        "page",
        "page[]",
        "page[size]",
        "page[number]",
        "page[x]",
        "page[size][a]",
        "filter",
        "filter[]",
        "filter[name]",
        "filter[name][]",
        "filter[name][a]",
        "filter[name_eq]",
        "filter[name_in]",
        "filter[name_cont]",
        "filter[name_cont_any]",
        "filter[name_start]",
        "filter[balance_gt]",
        "filter[balance_in]",
        "filter[uuid_eq]",
        "filter[external_id_eq]",
        "filter[contractor.id]",
        "filter[id]",
        "filter[x]",
        "filter[timezone_eq]",
        "token[]x",
        "a[b",
        "filter[a]b",
        "filter[[x]]",
        "filter]",
    ];
    for path in ["/accounts", "/accounts/1", "/accounts/1/contractor", "/contractors", "/timezones"]
    {
        for name in names {
            for text in texts {
                let reply = app.get(&format!("{path}?{}", pair(name, text))).await;
                if reply.status != 200 {
                    reply.refuses(400);
                }
                assert!(!reply.body.contains("argon2"), "{reply:?}");
                assert!(!reply.body.to_lowercase().contains("syntax error"), "{reply:?}");
            }
        }
    }
    // Names are as hostile as values.
    for text in texts {
        let escaped: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for name in [
            format!("filter[{escaped}]"),
            format!("page[{escaped}]"),
            format!("fields[{escaped}]"),
            escaped,
        ] {
            let reply = app.get(&format!("/accounts?{name}=1")).await;
            if reply.status != 200 {
                reply.refuses(400);
            }
        }
    }
    unharmed.still(&app).await;
}

#[tokio::test]
async fn long_lists_in_queries_are_answered_and_targets_beyond_the_limit_refused() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let list = |element: &str, count: usize| vec![element; count].join(",");
    for query in [
        format!("filter[id]={}", list("1", 8_000)),
        format!("filter[id_in]={}", list("1", 8_000)),
        format!("filter[name_in]={}", list("a", 8_000)),
        format!("filter[name_not_in]={}", list("b", 8_000)),
        format!("filter[name_cont_any]={}", list("a", 8_000)),
        format!("filter[name_cont_any]={}", list("%25", 4_000)),
        format!("filter[external_id_in]={}", list("7", 8_000)),
        format!("filter[balance_in]={}", list("1", 8_000)),
        format!("filter[name]={}", "x".repeat(16_000)),
        format!("filter[name_cont]={}", "%25".repeat(5_000)),
        format!("filter[name]={}", ",".repeat(16_000)),
        format!("filter[name]={}", "\"".repeat(5_000)),
        format!("sort={}", list("id", 5_000)),
        format!("sort={}", list("name,-vat", 1_600)),
        format!("include={}", list("contractor", 1_400)),
        format!("include=contractor{}", ".smtp-connection".repeat(900)),
        format!("fields[accounts]={}", list("name", 3_000)),
        vec!["filter[name][]=a"; 900].join("&"),
        (0..1_100).map(|n| format!("filter[{n}]=")).collect::<Vec<_>>().join("&"),
        vec!["filter[name_eq]=a"; 900].join("&"),
        "&".repeat(16_000),
        "=".repeat(16_000),
        "[".repeat(16_000),
        format!("filter{}=1", "[a]".repeat(5_000)),
        format!("page[number]={}", "9".repeat(16_000)),
        format!("page[size]=1000&page[number]={}", u64::MAX),
    ] {
        let reply = app.get(&format!("/accounts?{query}")).await;
        if reply.status != 200 {
            reply.refuses(400);
        }
    }
    for count in [16 * 1024, 40_000, 60_000] {
        let long = app.get(&format!("/accounts?filter[id]={}", "1,".repeat(count / 2))).await;
        assert_eq!(long.refuses(414).json()["errors"][0]["code"], "414");
        app.get(&format!("/{}", "x".repeat(count))).await.refuses(414);
    }
    let mut wire = Wire::to(app.address).await;
    wire.send(request(&app, &format!("GET /{}", "x".repeat(1_000_000)), b"")).await;
    refused_or_closed(wire.reply().await.as_ref(), &"a target of a million bytes");
    unharmed.still(&app).await;
}

#[tokio::test]
async fn of_duplicate_keys_the_last_wins() {
    let app = furnished().await;
    let body = r#"{"data":1,"data":{"type":"x","type":"contractors","attributes":{"name":"no"},
        "attributes":{"name":"first","name":"last","enabled":true,"vendor":true,"vendor":false,
        "customer":false,"customer":true}}}"#;
    let reply = app.write("POST", "/contractors", body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let attributes = &reply.json()["data"]["attributes"];
    assert_eq!(
        (&attributes["name"], &attributes["vendor"], &attributes["customer"]),
        (&json!("last"), &json!(false), &json!(true))
    );
    let unknown = r#"{"data":{"type":"contractors","attributes":{"bad":1,"bad":2}}}"#;
    let reply = app.write("POST", "/contractors", unknown).await;
    assert_eq!(reply.errors(), ["105 bad is not allowed."]);
}

/// Any JSON, with names and words that mean something here more often than chance has it.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "accounts",
        "contractors",
        "contacts",
        "1",
        "77",
        "-1",
        "",
        "UTC",
        "1e400",
        "name",
        "a",
        "\0",
        "é😀",
        "0.0000000000001",
        "on",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        word.prop_map(|word| json!(word)),
        any::<String>().prop_map(Value::String),
    ];
    let name = prop::sample::select(vec![
        "data",
        "type",
        "id",
        "attributes",
        "relationships",
        "contractor",
        "invoice-template",
        "smtp-connection",
        "name",
        "min-balance",
        "max-balance",
        "vat",
        "uuid",
        "external-id",
        "enabled",
        "vendor",
        "customer",
        "email",
        "timezone",
        "send-invoices-to",
        "balance",
        "correction",
        "total-capacity",
        "meta",
        "",
        "links",
    ]);
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

/// An account that is good but for two of its attributes, and even these may turn out so.
fn any_account() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["name", "min-balance", "vat", "external-id", "timezone"]);
    (any::<u64>(), name, any_json()).prop_map(|(unique, name, value)| {
        let mut document = account();
        let attributes = &mut document["data"]["attributes"];
        attributes["uuid"] = Value::Null;
        attributes["external-id"] = Value::Null;
        attributes["name"] = json!(unique.to_string());
        attributes[name] = value;
        document
    })
}

/// Any document that has the shape of one, whatever fills it.
fn any_document() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "accounts",
        "contractors",
        "contacts",
        "balances",
        "balance-correction",
        "x",
    ]);
    let shaped = (kind, any_json(), any_json(), any_json()).prop_map(
        |(kind, id, attributes, relationships)| {
            let (attributes, relationships) = match (attributes, relationships) {
                (Value::Object(attributes), Value::Object(relationships)) => {
                    (Value::Object(attributes), Value::Object(relationships))
                }
                (attributes, _) => (json!({"name": attributes}), json!({})),
            };
            json!({"data": {
                "type": kind, "id": id, "attributes": attributes, "relationships": relationships,
            }})
        },
    );
    prop_oneof![shaped, any_account(), any_json()]
}

fn any_query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "filter[name]",
        "filter[name_cont]",
        "filter[name_in]",
        "filter[balance_gt]",
        "filter[id]",
        "filter[uuid_eq]",
        "filter[contractor.id]",
        "sort",
        "include",
        "page[size]",
        "page[number]",
        "page",
        "fields[accounts]",
        "fields",
        "filter",
        "token",
        "x",
    ]);
    let value = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "name",
            "-vat,id",
            "contractor",
            "contractor.smtp-connection",
            "1",
            "0",
            "abc",
            "1,2,\"a",
            "name,contractor",
        ])
        .prop_map(str::to_owned),
    ];
    let odd = prop_oneof![Just(String::new()), "[\\[\\]a-z%&=.,_+]{0,30}"];
    let pairs = prop::collection::vec((name, value), 0..4);
    (pairs, odd).prop_map(|(pairs, odd)| {
        let mut parts: Vec<String> = pairs.iter().map(|(name, value)| pair(name, value)).collect();
        parts.push(odd);
        parts.join("&")
    })
}

fn any_request() -> impl Strategy<Value = (&'static str, String)> {
    let path = prop_oneof![
        prop::sample::select(vec![
            "/accounts",
            "/accounts/1",
            "/accounts/2",
            "/accounts/x",
            "/contractors",
            "/contractors/1",
            "/contacts",
            "/accounts/1/contractor",
            "/timezones",
            "/accounts/1/relationships/contractor",
            "/accounts/77/balance",
            "/accounts/1/relationships/invoice-template",
            "/accounts/1/balance-correction",
            "/audit-records",
            "/smtp-connections/1",
            "/invoice-templates",
            "//metrics",
            "/auth",
        ])
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| {
            let escaped: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            format!("/accounts/{escaped}")
        }),
    ];
    let method = prop::sample::select(vec!["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]);
    (method, path, any_query()).prop_map(|(method, path, query)| {
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        (method, target)
    })
}

/// Whatever is sent, the server keeps its word.
fn check(method: &str, path: &str, reply: &Reply) {
    assert!(reply.status < 500, "{method} {path}: {reply:?}");
    if method == "HEAD" || reply.body.is_empty() {
        return;
    }
    if reply.header("content-type").starts_with("text/plain") {
        return;
    }
    reply.json();
    if reply.status >= 400 && !path.starts_with("/auth") {
        reply.refuses_somehow();
    }
}

#[test]
fn no_request_brings_the_server_to_a_fault() {
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(furnished());
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    let always_the_same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, always_the_same);
    let creates = (any_query(), any_account())
        .prop_map(|(query, account)| (("POST", format!("/accounts?{query}")), account));
    let cases = prop_oneof![4 => (any_request(), any_document()), 1 => creates];
    let statuses = RefCell::new(BTreeSet::new());
    let outcome = runner.run(&cases, |((method, path), document)| {
        let body =
            if method == "GET" || method == "HEAD" { String::new() } else { document.to_string() };
        let reply = runtime.block_on(app.write(method, &path, body));
        check(method, &path, &reply);
        statuses.borrow_mut().insert(reply.status);
        Ok(())
    });
    outcome.unwrap();
    let reached = statuses.into_inner();
    let expected = BTreeSet::from([200, 201, 400, 401, 404, 405, 422]);
    assert!(reached.is_superset(&expected), "{reached:?}");
    let well = runtime.block_on(app.get("/accounts"));
    assert_eq!(well.status, 200);
}
