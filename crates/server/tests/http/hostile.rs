//! Requests that nobody sends in good faith: each is refused in the protocol's own words or its
//! connection is closed, nothing changes, and the next request is served.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tollkeeper::http::Limits;

use crate::support::{MEDIA_TYPE, Reply, Setup, TestApp, linkage};
use crate::wire::Wire;

/// A server with one record of every kind, each with the id 1.
async fn furnished() -> TestApp {
    furnish(TestApp::start().await).await
}

async fn furnish(app: TestApp) -> TestApp {
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
fn account() -> Value {
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
struct Unharmed {
    dump: String,
}

impl Unharmed {
    fn before(app: &TestApp) -> Self {
        Self { dump: app.dump() }
    }

    async fn still(&self, app: &TestApp) {
        let list = app.get("/accounts").await;
        assert_eq!((list.status, &list.json()["meta"]["total-count"]), (200, &json!(1)));
        assert_eq!(app.dump(), self.dump);
    }
}

/// A whole request of an operator, with a body and its length.
fn request(app: &TestApp, line: &str, body: &[u8]) -> Vec<u8> {
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
fn refused_or_closed(reply: Option<&Reply>, sent: &dyn std::fmt::Debug) {
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
        refused_or_closed(wire.reply().await.as_ref(), &String::from_utf8_lossy(target));
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

/// A server that waits for nobody.
async fn impatient() -> TestApp {
    let limits = Limits {
        head_time_max: Duration::from_millis(500),
        body_time_max: Duration::from_millis(500),
        stall_time_max: Duration::from_millis(500),
        ..Limits::default()
    };
    furnish(TestApp::start_as(Setup { limits, ..Setup::default() }).await).await
}

#[tokio::test]
async fn half_a_head_is_waited_for_only_so_long() {
    let app = impatient().await;
    let unharmed = Unharmed::before(&app);
    let whole = request(&app, "DELETE /api/rest/admin/accounts/1", b"");
    for half in ["", "G", "GET ", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: t\r\n"]
        .into_iter()
        .map(str::as_bytes)
        .chain([&whole[..whole.len() - 1]])
    {
        let mut wire = Wire::to(app.address).await;
        wire.send(half).await;
        assert!(wire.reply().await.is_none(), "{:?}", String::from_utf8_lossy(half));
    }
    // One byte now and then does not buy more time.
    let mut wire = Wire::to(app.address).await;
    let started = Instant::now();
    for byte in whole.iter().cycle().take(100) {
        wire.send([*byte]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(started.elapsed() > Duration::from_secs(4));
    assert!(wire.is_closed().await);
    unharmed.still(&app).await;
}

#[tokio::test]
async fn half_a_body_is_waited_for_only_so_long() {
    let app = impatient().await;
    let unharmed = Unharmed::before(&app);
    let body = account().to_string();
    let whole = request(&app, "POST /api/rest/admin/accounts", body.as_bytes());
    let chunked = format!(
        "POST /api/rest/admin/accounts HTTP/1.1\r\nhost: t\r\nauthorization: {}\r\n\
         content-type: {MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{{\"dat",
        app.token
    );
    for half in [&whole[..whole.len() - 1], &whole[..whole.len() - body.len()], chunked.as_bytes()]
    {
        let mut wire = Wire::to(app.address).await;
        wire.send(half).await;
        wire.reply().await.expect("an answer").refuses(408);
        assert!(wire.is_closed().await);
    }
    // A body that ends early is told apart from one that does not come.
    let mut wire = Wire::to(app.address).await;
    wire.send(&whole[..whole.len() - 1]).await.end().await;
    refused_or_closed(wire.reply().await.as_ref(), &"a body that ends early");
    unharmed.still(&app).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let app = impatient().await;
    let unharmed = Unharmed::before(&app);
    let mut wire = Wire::to(app.address).await;
    let ask = "GET /api/openapi.json HTTP/1.1\r\nhost: t\r\n\r\n".repeat(2_000);
    // Far more answers than the buffers between us hold.
    let sending = tokio::spawn(async move {
        wire.send(ask).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        wire.rest().await.len()
    });
    tokio::time::timeout(Duration::from_mins(1), sending).await.expect("it is closed").unwrap();
    unharmed.still(&app).await;
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let many = "x: y\r\n".repeat(1_000);
    let long = format!("x: {}\r\n", "y".repeat(200_000));
    let long_name = format!("{}: y\r\n", "x".repeat(200_000));
    for flood in
        [&many, &long, &long_name, "\0: x\r\n", "a b: c\r\n", ": c\r\n", "a\r\n", "a: \0\r\n"]
    {
        let mut wire = Wire::to(app.address).await;
        let head = "GET /api/rest/admin/accounts HTTP/1.1\r\nhost: t\r\n";
        wire.send(format!("{head}{flood}\r\n")).await;
        refused_or_closed(wire.reply().await.as_ref(), &&flood[..flood.len().min(20)]);
    }
    // Without an end.
    let mut wire = Wire::to(app.address).await;
    wire.send("GET / HTTP/1.1\r\nhost: t\r\n").await;
    for _ in 0..2_000 {
        wire.send(&many[..600]).await;
    }
    refused_or_closed(wire.reply().await.as_ref(), &"an endless head");
    unharmed.still(&app).await;
}

#[tokio::test]
async fn no_request_is_smuggled_inside_another() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let delete = request(&app, "DELETE /api/rest/admin/accounts/1", b"");
    let long = format!("content-length: {}\r\n", delete.len() + 5);
    for lengths in [
        "content-length: 0\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 0\r\n",
        "content-length: 0, 5\r\n",
        "content-length: +0\r\n",
        "content-length: -1\r\n",
        "content-length: 0x0\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length : 0\r\n",
        "content-length: 0\r\ntransfer-encoding: chunked\r\n",
        &format!("{long}transfer-encoding: chunked\r\n"),
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "x: y\r\n z: w\r\n",
    ] {
        let head = format!("POST /api/rest/admin/nothing HTTP/1.1\r\nhost: t\r\n{lengths}\r\n");
        let mut wire = Wire::to(app.address).await;
        wire.send([head.as_bytes(), b"0\r\n\r\n", &delete].concat()).await.end().await;
        refused_or_closed(wire.reply().await.as_ref(), &lengths);
        assert!(wire.is_closed().await, "{lengths:?}");
        unharmed.still(&app).await;
    }
    for chunk in
        ["x\r\n", "-1\r\n", "5;\0\r\n", "fffffffffffffffff\r\n", "2\r\nabc\r\n", "1\nx\n0\n\n"]
    {
        let head = format!(
            "POST /api/rest/admin/accounts HTTP/1.1\r\nhost: t\r\nauthorization: {}\r\n\
             content-type: {MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n{chunk}",
            app.token
        );
        let mut wire = Wire::to(app.address).await;
        wire.send([head.as_bytes(), &delete].concat()).await.end().await;
        refused_or_closed(wire.reply().await.as_ref(), &chunk);
        assert!(wire.is_closed().await, "{chunk:?}");
    }
    unharmed.still(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_by_the_thousand_keep_nobody_waiting() {
    const IDLE: usize = 2_000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let mut idle = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut wire = Wire::to(app.address).await;
        if number % 2 == 0 {
            wire.send("GET /healthz HT").await;
        }
        idle.push(wire);
    }
    for _ in 0..20 {
        unharmed.still(&app).await;
    }
    drop(idle);
    unharmed.still(&app).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let limits = Limits {
        connections_max: 2,
        head_time_max: Duration::from_millis(500),
        ..Limits::default()
    };
    let app = TestApp::start_as(Setup { limits, ..Setup::default() }).await;
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(Wire::to(app.address).await);
    }
    assert_eq!(app.get("/accounts").await.status, 200);
    for mut wire in idle {
        assert!(wire.is_closed().await);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let app = furnished().await;
    let mut wire = Wire::to(app.address).await;
    let get = |path: &str| request(&app, &format!("GET /api/rest/admin{path}"), b"");
    let bad = request(&app, "POST /api/rest/admin/accounts", b"{");
    let asked =
        [get("/accounts/1"), bad, get("/contractors/1"), get("/nothing"), get("/contacts/1")];
    wire.send(asked.concat()).await;
    for (status, kind) in
        [(200, "accounts"), (400, ""), (200, "contractors"), (404, ""), (200, "contacts")]
    {
        let reply = wire.reply().await.expect("an answer");
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 200 {
            assert_eq!(reply.json()["data"]["type"], kind);
        }
    }
}

#[tokio::test]
async fn odd_request_lines_are_refused_or_answered() {
    let app = furnished().await;
    let unharmed = Unharmed::before(&app);
    let path = "/api/rest/admin/accounts/1";
    for (line, host, status) in [
        (format!("GET {path} HTTP/1.1"), "", 400),
        (format!("GET {path} HTTP/1.1"), "host:\r\n", 400),
        (format!("GET {path} HTTP/1.1"), "host: a\"b\r\n", 400),
        (format!("GET {path} HTTP/1.1"), "host: a/b\r\n", 400),
        (format!("GET {path} HTTP/1.1"), "host: a@b\r\n", 400),
        (format!("GET {path} HTTP/1.1"), "host: <x>\r\n", 400),
        (format!("GET {path} HTTP/1.1"), "host: a\r\nhost: a\r\n", 400),
        (format!("GET {path} HTTP/1.1"), "host: \u{e9}\r\n", 400),
        (format!("GET {path} HTTP/1.0"), "", 400),
        (format!("GET {path} HTTP/1.0"), "host: example.org\r\n", 200),
        (format!("GET http://example.org{path} HTTP/1.1"), "host: other\r\n", 200),
        (format!("GET http://example.org{path} HTTP/1.0"), "", 200),
        (format!("GET http://a@example.org{path} HTTP/1.1"), "host: other\r\n", 400),
        ("OPTIONS * HTTP/1.1".into(), "host: t\r\n", 404),
        (format!("OPTIONS {path} HTTP/1.1"), "host: t\r\n", 405),
        (format!("TRACE {path} HTTP/1.1"), "host: t\r\n", 405),
        (format!("get {path} HTTP/1.1"), "host: t\r\n", 405),
        (format!("X-Y_Z {path} HTTP/1.1"), "host: t\r\n", 405),
        ("CONNECT example.org:443 HTTP/1.1".into(), "host: t\r\n", 404),
    ] {
        let mut wire = Wire::to(app.address).await;
        let token = &app.token;
        wire.send(format!("{line}\r\n{host}authorization: {token}\r\nconnection: close\r\n\r\n"))
            .await;
        let reply = wire.reply().await.expect("an answer");
        assert_eq!(reply.status, status, "{line} {host} {reply:?}");
        if status == 200 {
            let own = format!("http://example.org{path}");
            assert_eq!(reply.json()["data"]["links"]["self"], own, "{line}");
        } else {
            reply.refuses(status);
        }
        assert!(wire.is_closed().await, "{line}");
    }
    for line in [
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTX/1.1",
        "GET /",
        "GET  / HTTP/1.1",
        "\u{16}\u{3}\u{1}",
        "PRI * HTTP/2.0",
        "G\u{1}T / HTTP/1.1",
        " GET / HTTP/1.1",
    ] {
        let mut wire = Wire::to(app.address).await;
        wire.send(format!("{line}\r\nhost: t\r\nconnection: close\r\n\r\n")).await.end().await;
        refused_or_closed(wire.reply().await.as_ref(), &line);
    }
    unharmed.still(&app).await;
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
    let created = (any_json(), any_json()).prop_map(|(value, other)| {
        let mut document = account();
        document["data"]["attributes"]["name"] = value;
        document["data"]["attributes"]["min-balance"] = other;
        document
    });
    prop_oneof![shaped, created, any_json()]
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

fn any_request() -> impl Strategy<Value = (&'static str, String, String)> {
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
        (method, target, query)
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
    let cases = (any_request(), any_document());
    let outcome = runner.run(&cases, |((method, path, _), document)| {
        let body =
            if method == "GET" || method == "HEAD" { String::new() } else { document.to_string() };
        let reply = runtime.block_on(app.write(method, &path, body));
        check(method, &path, &reply);
        Ok(())
    });
    outcome.unwrap();
    let well = runtime.block_on(app.get("/accounts"));
    assert_eq!(well.status, 200);
}
