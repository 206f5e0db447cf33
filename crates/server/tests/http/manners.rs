//! What every answer has in common: headers, tags, media types, deadlines, and an orderly end.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use reqwest::StatusCode;
use reqwest::header::HeaderName;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::StoreError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tollkeeper::http::{self, Limits, Listener, Service};

use testbed::Kind;

use crate::support::{MEDIA_TYPE, Reply, Setup, TestApp, linkage};
use crate::wire::Wire;

const SECURITY: [(&str, &str); 5] = [
    ("x-frame-options", "SAMEORIGIN"),
    ("x-xss-protection", "0"),
    ("x-content-type-options", "nosniff"),
    ("x-permitted-cross-domain-policies", "none"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
];
const CACHEABLE: &str = "max-age=0, private, must-revalidate";

/// A server with a contractor, an account and a template, each with the id 1.
async fn furnished() -> TestApp {
    furnish(TestApp::start().await).await
}

async fn furnish(app: TestApp) -> TestApp {
    let both = json!({"name": "c", "enabled": true, "vendor": true, "customer": true});
    app.create("contractors", both, json!({})).await;
    let contractor = json!({"contractor": linkage("contractors", "1")});
    app.create("accounts", json!({"name": "a", "external-id": 5}), contractor).await;
    app.create("invoice-templates", json!({"name": "t"}), json!({})).await;
    app
}

/// Sends a request with just these headers, and reads the answer as it is on the wire.
async fn ask(app: &TestApp, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut wire = Wire::to(app.address).await;
    let mut request = format!("{line} HTTP/1.1\r\nhost: example.org\r\n");
    for (name, value) in headers {
        request = format!("{request}{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request = format!("{request}content-length: {}\r\n", body.len());
    }
    wire.send(request + "\r\n" + body).await;
    let reply =
        if line.starts_with("HEAD") { wire.reply_to_head().await } else { wire.reply().await };
    reply.expect("an answer")
}

/// As `ask`, as an operator, with the media type both ways.
async fn ask_well(app: &TestApp, line: &str, body: &str) -> Reply {
    let headers = [
        ("authorization", app.token.as_str()),
        ("accept", MEDIA_TYPE),
        ("content-type", MEDIA_TYPE),
    ];
    ask(app, line, &headers, body).await
}

const ACCOUNT: &str = "/api/rest/admin/accounts/1";
const ACCOUNTS: &str = "/api/rest/admin/accounts";

fn contractor(name: &str) -> String {
    json!({"data": {"type": "contractors", "attributes": {
        "name": name, "enabled": true, "vendor": true, "customer": true,
    }}})
    .to_string()
}

#[tokio::test]
async fn every_answer_begins_with_the_security_headers_and_says_how_long_it_took() {
    let app = furnished().await;
    let tag = ask_well(&app, &format!("GET {ACCOUNT}"), "").await.header("etag").to_owned();
    let known = [("authorization", app.token.as_str()), ("if-none-match", &tag)];
    let plain = [("authorization", app.token.as_str()), ("content-type", "text/plain")];
    let long = format!("GET /{}", "x".repeat(20_000));
    let sign_in = r#"{"auth":{"username":"admin","password":"a good password"}}"#;
    let json = [("content-type", "application/json")];
    let answers = [
        (200, ask_well(&app, "GET /api/rest/admin/accounts", "").await),
        (200, ask_well(&app, "HEAD /api/rest/admin/accounts", "").await),
        (201, ask_well(&app, "POST /api/rest/admin/contractors", &contractor("n")).await),
        (204, ask_well(&app, "DELETE /api/rest/admin/contractors/2", "").await),
        (304, ask(&app, &format!("GET {ACCOUNT}"), &known, "").await),
        (400, ask_well(&app, "POST /api/rest/admin/accounts", "{").await),
        (400, ask_well(&app, "GET /api/rest/admin/accounts/%FF", "").await),
        (401, ask(&app, &format!("GET {ACCOUNT}"), &[], "").await),
        (404, ask_well(&app, "GET /api/rest/admin/accounts/9", "").await),
        (404, ask(&app, "GET /nothing", &[], "").await),
        (405, ask_well(&app, "DELETE /api/rest/admin/accounts", "").await),
        (414, ask(&app, &long, &[], "").await),
        (415, ask(&app, "POST /api/rest/admin/accounts", &plain, "{}").await),
        (
            422,
            ask_well(&app, "POST /api/rest/admin/accounts", r#"{"data":{"type":"accounts"}}"#)
                .await,
        ),
        (201, ask(&app, "POST /api/rest/admin/auth", &json, sign_in).await),
        (405, ask(&app, "GET /api/rest/admin/auth", &[], "").await),
        (400, ask(&app, "POST /api/rest/admin/auth", &json, "{}").await),
        (200, ask(&app, "GET /healthz", &[], "").await),
        (200, ask(&app, "HEAD /healthz", &[], "").await),
        (200, ask(&app, "GET /readyz", &[], "").await),
        (200, ask(&app, "GET /metrics", &[], "").await),
        (200, ask(&app, "GET /api/openapi.json", &[], "").await),
        (405, ask(&app, "POST /healthz", &[], "").await),
    ];
    for (status, reply) in answers {
        assert_eq!(reply.status, status, "{reply:?}");
        let first =
            reply.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        assert_eq!(first.take(5).collect::<Vec<_>>(), SECURITY, "{reply:?}");
        let (secs, micros) = reply.header("x-runtime").split_once('.').expect("a point");
        assert!(secs.parse::<u32>().is_ok() && micros.len() == 6, "{reply:?}");
        assert!(micros.bytes().all(|digit| digit.is_ascii_digit()), "{reply:?}");
        assert_eq!(reply.header("x-request-id").len(), 36, "{reply:?}");
        let caching = if reply.headers.contains_key("etag") { CACHEABLE } else { "no-cache" };
        assert_eq!(reply.header("cache-control"), caching, "{reply:?}");
        for unwanted in [
            "date",
            "server",
            "set-cookie",
            "last-modified",
            "transfer-encoding",
            "access-control-allow-origin",
            "strict-transport-security",
        ] {
            assert!(!reply.headers.contains_key(unwanted), "{unwanted} in {reply:?}");
        }
        let has_body = ![204, 304].contains(&status);
        assert_eq!(reply.headers.contains_key("content-type"), has_body, "{reply:?}");
        assert_eq!(reply.headers.contains_key("content-length"), has_body, "{reply:?}");
    }
}

#[tokio::test]
async fn headers_come_in_the_order_of_the_founding_document() {
    let app = furnished().await;
    let reply = ask_well(&app, "POST /api/rest/admin/contractors", &contractor("new")).await;
    let names: Vec<&str> = reply.headers.keys().map(HeaderName::as_str).skip(5).collect();
    let order = [
        "content-type",
        "location",
        "vary",
        "etag",
        "cache-control",
        "x-request-id",
        "x-runtime",
        "content-length",
    ];
    assert_eq!(names, order);
    assert_eq!(reply.header("content-type"), MEDIA_TYPE);
    let own = reply.json()["data"]["links"]["self"].as_str().unwrap().to_owned();
    assert_eq!(
        (reply.header("location"), own.as_str()),
        (own.as_str(), "http://example.org/api/rest/admin/contractors/2")
    );
    let refused = ask_well(&app, "POST /api/rest/admin/contractors", "{}").await;
    let names: Vec<&str> = refused.headers.keys().map(HeaderName::as_str).skip(5).collect();
    assert_eq!(
        names,
        ["content-type", "vary", "cache-control", "x-request-id", "x-runtime", "content-length"]
    );
}

#[tokio::test]
async fn a_tag_is_the_beginning_of_the_bodys_sha_256() {
    let app = furnished().await;
    let sign_in = r#"{"auth":{"username":"admin","password":"a good password"}}"#;
    for reply in [
        ask_well(&app, &format!("GET {ACCOUNT}"), "").await,
        ask_well(&app, "GET /api/rest/admin/accounts?include=contractor", "").await,
        ask_well(&app, &format!("GET {ACCOUNT}/invoice-template"), "").await,
        ask_well(&app, &format!("GET {ACCOUNT}/relationships/contractor"), "").await,
        ask_well(&app, "GET /api/rest/admin/timezones", "").await,
        ask_well(&app, "POST /api/rest/admin/contractors", &contractor("x")).await,
        ask_well(
            &app,
            &format!("PATCH {ACCOUNT}"),
            r#"{"data":{"type":"accounts","id":"1","attributes":{"vat":1}}}"#,
        )
        .await,
        ask_well(&app, &format!("PUT {ACCOUNT}"), r#"{"data":{"type":"accounts","id":"1"}}"#).await,
        ask_well(
            &app,
            "PATCH /api/rest/admin/accounts/5/balance",
            r#"{"data":{"type":"balances","id":"5","attributes":{"balance":1}}}"#,
        )
        .await,
        ask(&app, "GET /api/openapi.json", &[], "").await,
        ask(&app, "POST /api/rest/admin/auth", &[("content-type", "application/json")], sign_in)
            .await,
    ] {
        assert!([200, 201].contains(&reply.status), "{reply:?}");
        let digest = Sha256::digest(reply.body.as_bytes());
        let hex = digest[..16].iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(reply.header("etag"), format!("W/\"{hex}\""));
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    }
    for path in ["/api/rest/admin/accounts/9", "/nothing", "/healthz"] {
        let reply = ask_well(&app, &format!("GET {path}"), "").await;
        assert!(!reply.headers.contains_key("etag"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_known_tag_is_answered_with_304_and_nothing_else() {
    let app = furnished().await;
    let tag = ask_well(&app, &format!("GET {ACCOUNT}"), "").await.header("etag").to_owned();
    let strong = tag.trim_start_matches("W/");
    let again = async |method: &str, lines: &[&str]| {
        let mut headers = vec![("authorization", app.token.as_str()), ("accept", MEDIA_TYPE)];
        headers.extend(lines.iter().map(|line| ("if-none-match", *line)));
        ask(&app, &format!("{method} {ACCOUNT}"), &headers, "").await
    };
    for known in [
        &[tag.as_str()][..],
        &[strong],
        &["*"],
        &[&format!("\"x\", {tag}")],
        &[&format!("W/\"x\",{strong} ,\"y\"")],
        &["\"x\"", &tag],
    ] {
        for method in ["GET", "HEAD"] {
            let reply = again(method, known).await;
            assert_eq!((reply.status, reply.body.as_str()), (304, ""), "{known:?}");
            let names: Vec<&str> = reply.headers.keys().map(HeaderName::as_str).skip(5).collect();
            assert_eq!(names, ["vary", "etag", "cache-control", "x-request-id", "x-runtime"]);
            assert_eq!(reply.header("etag"), tag);
            assert_eq!(reply.header("cache-control"), CACHEABLE);
        }
    }
    for unknown in ["W/\"0\"", "\"\"", "", "x", strong.trim_matches('"'), "\"*\""] {
        assert_eq!(again("GET", &[unknown]).await.status, 200, "{unknown:?}");
    }
    // Errors and writes have no tag that could be known.
    let star = [("authorization", app.token.as_str()), ("if-none-match", "*")];
    assert_eq!(ask(&app, "GET /api/rest/admin/accounts/9", &star, "").await.status, 404);
    assert_eq!(
        ask(&app, "DELETE /api/rest/admin/invoice-templates/1", &star, "").await.status,
        204
    );
    let other = [
        ("authorization", app.token.as_str()),
        ("if-modified-since", "Thu, 01 Jan 2099 00:00:00 GMT"),
    ];
    assert_eq!(ask(&app, &format!("GET {ACCOUNT}"), &other, "").await.status, 200);
}

#[tokio::test]
async fn a_write_applies_only_to_the_tag_it_names() {
    let app = furnished().await;
    let tag = ask_well(&app, &format!("GET {ACCOUNT}"), "").await.header("etag").to_owned();
    let write = async |tag: &str, vat: u8| {
        let headers = [
            ("authorization", app.token.as_str()),
            ("content-type", MEDIA_TYPE),
            ("if-match", tag),
        ];
        let body = format!(
            "{{\"data\":{{\"type\":\"accounts\",\"id\":1,\"attributes\":{{\"vat\":{vat}}}}}}}"
        );
        ask(&app, &format!("PATCH {ACCOUNT}"), &headers, &body).await
    };
    write("W/\"0\"", 1).await.refuses(412);
    let changed = write(&format!("\"x\", {tag}"), 2).await;
    assert_eq!(
        (changed.status, &changed.json()["data"]["attributes"]["vat"]),
        (200, &json!("2.0"))
    );
    write(&tag, 3).await.refuses(412);
    assert_eq!(write("*", 4).await.status, 200);
    let headers = [("authorization", app.token.as_str()), ("if-match", tag.as_str())];
    ask(&app, &format!("DELETE {ACCOUNT}"), &headers, "").await.refuses(412);
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let app = furnished().await;
    for (path, headers) in [
        (ACCOUNT, vec![("authorization", app.token.as_str())]),
        (ACCOUNTS, vec![("authorization", &app.token), ("accept", "*/*")]),
        ("/api/rest/admin/accounts/9", vec![("authorization", &app.token)]),
        ("/api/rest/admin/accounts/x", vec![("authorization", &app.token)]),
        (ACCOUNT, vec![]),
        (ACCOUNT, vec![("authorization", &app.token), ("accept", "text/html")]),
        ("/nothing", vec![]),
        ("/healthz", vec![]),
        ("/api/openapi.json", vec![]),
        ("/api/rest/admin/auth", vec![]),
        ("/api/rest/admin/timezones/Europe%2FKyiv", vec![("authorization", &app.token)]),
    ] {
        let get = ask(&app, &format!("GET {path}"), &headers, "").await;
        let head = ask(&app, &format!("HEAD {path}"), &headers, "").await;
        assert_eq!(head.status, get.status, "{path}");
        for (name, value) in &get.headers {
            if name == "content-length" && get.status == 405 {
                continue; // The error names the method.
            }
            if !["x-request-id", "x-runtime"].contains(&name.as_str()) {
                assert_eq!(head.headers.get(name), Some(value), "{name} of {path}");
            }
        }
        assert_eq!(head.headers.len(), get.headers.len(), "{path}");
    }
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let app = furnished().await;
    let client = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let get = async |path: &str, accept_encoding: Option<&str>, accept: Option<&str>| {
        let mut request = client.get(format!("http://{}{path}", app.address));
        request = request.header("authorization", &app.token);
        request = request.header("accept-encoding", accept_encoding.unwrap_or("identity"));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        } else {
            request = request.header("accept", "");
        }
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        (headers, response.bytes().await.unwrap())
    };
    let path = "/api/rest/admin/timezones";
    let (plain, body) = get(path, None, Some(MEDIA_TYPE)).await;
    assert!(!plain.contains_key("content-encoding"));
    assert_eq!(plain["vary"], "Accept");
    for asked in ["gzip", "br, gzip;q=0.5", "*", "GZIP"] {
        let (zipped, bytes) = get(path, Some(asked), Some(MEDIA_TYPE)).await;
        assert_eq!(zipped["content-encoding"], "gzip", "{asked}");
        assert_eq!(zipped["vary"], "Accept, Accept-Encoding");
        assert_eq!(zipped["etag"], plain["etag"]);
        assert_eq!(zipped["content-length"], bytes.len().to_string());
        assert!(bytes.len() * 3 < body.len());
        let mut decoded = Vec::new();
        flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, body);
    }
    for asked in ["gzip;q=0", "br", "identity", "", "deflate", "*;q=0", "gzip;q=0.000"] {
        let (headers, bytes) = get(path, Some(asked), Some(MEDIA_TYPE)).await;
        assert!(!headers.contains_key("content-encoding"), "{asked}");
        assert_eq!(bytes, body);
    }
    let (unvaried, _) = get(path, Some("gzip"), None).await;
    assert_eq!(unvaried["vary"], "Accept-Encoding");
    // Too small to be worth it.
    let (small, _) = get("/healthz", Some("gzip"), None).await;
    assert!(!small.contains_key("content-encoding"));
    let get = client.get(format!("http://{}{path}", app.address));
    let known = get.header("authorization", &app.token).header("accept-encoding", "gzip");
    let known = known.header("if-none-match", &plain["etag"]).send().await.unwrap();
    assert_eq!(known.status(), 304);
    assert!(!known.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn a_request_id_is_echoed_cleaned_or_made() {
    let app = furnished().await;
    let long = "x".repeat(300);
    for (path, sent, echoed) in [
        (ACCOUNT, "abc-DEF_1@2", "abc-DEF_1@2"),
        (ACCOUNT, "a b$%c_d-e", "abc_d-e"),
        ("/nothing", "one", "one"),
        ("/healthz", "<script>", "script"),
        (ACCOUNTS, long.as_str(), &long[..255]),
    ] {
        let reply = ask(&app, &format!("GET {path}"), &[("x-request-id", sent)], "").await;
        assert_eq!(reply.header("x-request-id"), echoed);
    }
    let mut seen = std::collections::HashSet::new();
    for sent in [&[][..], &[("x-request-id", "")], &[("x-request-id", "$ %")]] {
        let reply = ask(&app, "GET /healthz", sent, "").await;
        let id: uuid::Uuid = reply.header("x-request-id").parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert!(seen.insert(id));
    }
}

#[tokio::test]
async fn answers_vary_with_an_accept_that_is_no_browsers() {
    let app = furnished().await;
    for (accept, varies) in [
        (Some("application/vnd.api+json"), true),
        (Some("*/*"), true),
        (Some("*/*;q=0.1"), true),
        (Some("text/html"), true),
        (Some("text/html,application/xml;q=0.9,*/*;q=0.8"), false),
        (Some("*/*, text/html"), false),
        (Some("text/html , */*"), false),
        (Some(""), false),
        (None, false),
    ] {
        let mut headers = vec![("authorization", app.token.as_str()), ("content-type", MEDIA_TYPE)];
        headers.extend(accept.map(|accept| ("accept", accept)));
        let vary = if varies { "Accept" } else { "" };
        for (line, body) in [
            (format!("GET {ACCOUNT}"), ""),
            ("GET /api/rest/admin/accounts/9".into(), ""),
            ("GET /nothing".into(), ""),
            ("POST /api/rest/admin/accounts".into(), "{"),
        ] {
            let reply = ask(&app, &line, &headers, body).await;
            assert_eq!(reply.header("vary"), vary, "{accept:?} {line}");
        }
        let refused = ask(&app, &format!("GET {ACCOUNT}"), &headers[2..], "").await;
        assert_eq!((refused.status, refused.header("vary")), (401, ""));
    }
}

#[tokio::test]
async fn only_json_api_is_accepted_as_an_answer() {
    let app = furnished().await;
    for (accept, accepted) in [
        ("*/*", true),
        ("*/*;q=0.1", true),
        ("application/vnd.api+json", true),
        ("text/html, application/vnd.api+json", true),
        ("application/json, */*", true),
        ("application/vnd.api+json;q=0.5, application/vnd.api+json", true),
        ("", true),
        (" ", true),
        ("application/json", false),
        ("text/html", false),
        ("application/*", false),
        ("Application/vnd.api+json", false),
        ("application/vnd.api+json;q=0.9", false),
        ("application/vnd.api+json; charset=utf-8", false),
        ("foo", false),
        ("text/html;a=\", */*\"", false),
        (",", false),
    ] {
        for line in [
            format!("GET {ACCOUNT}"),
            format!("HEAD {ACCOUNT}"),
            format!("PUT {ACCOUNT}"),
            "DELETE /api/rest/admin/invoice-templates/9".into(),
        ] {
            let headers = [
                ("authorization", app.token.as_str()),
                ("accept", accept),
                ("content-type", MEDIA_TYPE),
            ];
            let reply = ask(&app, &line, &headers, "").await;
            assert_eq!(reply.status != 406, accepted, "{accept} {line} {reply:?}");
            if !accepted && !line.starts_with("HEAD") {
                assert_eq!(
                    reply.refuses(406).errors(),
                    [format!(
                        "406 All requests must use the 'application/vnd.api+json' Accept without media \
                     type parameters. This request specified '{accept}'."
                    )]
                );
            }
        }
    }
    let lines =
        [("authorization", app.token.as_str()), ("accept", "text/html"), ("accept", MEDIA_TYPE)];
    assert_eq!(ask(&app, &format!("GET {ACCOUNT}"), &lines, "").await.status, 200);
}

#[tokio::test]
async fn only_json_api_is_accepted_as_a_document() {
    let app = furnished().await;
    let document = r#"{"data":{"type":"accounts","id":"1"}}"#;
    for good in [
        "application/vnd.api+json",
        "Application/Vnd.Api+Json",
        "application/vnd.api+json; charset=utf-8",
        "application/vnd.api+json;ext=\"x\"",
        "application/vnd.api+json ;",
    ] {
        for method in ["PATCH", "PUT"] {
            let headers = [("authorization", app.token.as_str()), ("content-type", good)];
            let reply = ask(&app, &format!("{method} {ACCOUNT}"), &headers, document).await;
            assert_eq!(reply.status, 200, "{good}");
        }
    }
    for (bad, shown) in [
        ("application/json", "application/json"),
        ("text/plain; a=b", "text/plain"),
        ("foo", "foo"),
        ("", ""),
        ("application/vnd.api+json2", "application/vnd.api+json2"),
        ("multipart/form-data; boundary=x", "multipart/form-data"),
    ] {
        for line in [
            format!("PATCH {ACCOUNT}"),
            format!("POST {ACCOUNTS}"),
            format!("PATCH {ACCOUNT}/relationships/contractor"),
            "PATCH /api/rest/admin/accounts/5/balance".into(),
        ] {
            let headers = [("authorization", app.token.as_str()), ("content-type", bad)];
            let reply = ask(&app, &line, &headers, document).await;
            assert_eq!(
                reply.refuses(415).errors(),
                [format!(
                    "415 All requests that create or update must use the 'application/vnd.api+json' \
                 Content-Type. This request specified '{shown}'."
                )],
                "{line}"
            );
        }
    }
    let without = [("authorization", app.token.as_str())];
    ask(&app, &format!("PATCH {ACCOUNT}"), &without, document).await.refuses(415);
    // Nobody looks at the type of what is not read.
    let odd = [("authorization", app.token.as_str()), ("content-type", "foo")];
    assert_eq!(ask(&app, &format!("GET {ACCOUNT}"), &odd, "").await.status, 200);
    let gone =
        ask(&app, &format!("DELETE {ACCOUNT}/relationships/invoice-template"), &odd, "").await;
    assert_eq!(gone.status, 204, "{gone:?}");
}

#[tokio::test]
async fn a_request_with_many_faults_hears_of_the_first() {
    let app = furnished().await;
    let token = ("authorization", app.token.as_str());
    let (bad_type, bad_accept) = (("content-type", "text/plain"), ("accept", "text/html"));
    let good_type = ("content-type", MEDIA_TYPE);
    for line in [
        format!("POST {ACCOUNTS}"),
        format!("PATCH {ACCOUNT}?fields=x"),
        format!("PATCH {ACCOUNT}/relationships/contractor"),
        format!("PATCH {ACCOUNT}/balance-correction"),
    ] {
        ask(&app, &line, &[bad_type, bad_accept], "{").await.refuses(401);
        ask(&app, &line, &[token, bad_type, bad_accept], "{").await.refuses(415);
        ask(&app, &line, &[token, good_type, bad_accept], "{").await.refuses(406);
        ask(&app, &line, &[token, good_type], "{").await.refuses(400);
    }
    ask(&app, "GET /api/rest/admin/accounts/x?sort=y", &[bad_accept], "").await.refuses(401);
    ask(&app, "GET /api/rest/admin/accounts/x?sort=y", &[token, bad_accept], "").await.refuses(406);
    ask(&app, "GET /api/rest/admin/accounts/x", &[token], "").await.refuses(400);
    // A known path asks for a token even where there is no record and no such method.
    for line in [
        "GET /api/rest/admin/accounts/999",
        "DELETE /api/rest/admin/accounts",
        "POST /api/rest/admin/accounts/1",
        "OPTIONS /api/rest/admin/accounts",
    ] {
        ask(&app, line, &[], "").await.refuses(401);
    }
}

#[tokio::test]
async fn doubled_and_trailing_slashes_do_not_matter() {
    let app = furnished().await;
    for path in [
        "/api/rest/admin/accounts/1/",
        "//api/rest/admin//accounts/1",
        "/api//rest///admin/accounts//1//",
        "/api/rest/admin/accounts/1/?fields[accounts]=name",
    ] {
        let reply = ask_well(&app, &format!("GET {path}"), "").await;
        assert_eq!(reply.status, 200, "{path} {reply:?}");
        assert_eq!(
            reply.json()["data"]["links"]["self"],
            "http://example.org/api/rest/admin/accounts/1"
        );
    }
    let reply = ask_well(&app, "GET /api/rest/admin/accounts/?page[size]=1", "").await;
    assert_eq!(
        reply.json()["links"]["first"],
        "http://example.org/api/rest/admin/accounts?page%5Bnumber%5D=1&page%5Bsize%5D=1"
    );
    assert_eq!(ask(&app, "GET //healthz/", &[], "").await.status, 200);
    for path in [
        "/api/rest/admin/Accounts/1",
        "/api/rest/admin/accounts/1/invoice_template",
        "/API/rest/admin/accounts",
        "/api/rest/admin/accounts.json",
        "/api/rest/admin/./accounts",
        "/api/rest/admin/accounts/../accounts",
    ] {
        ask_well(&app, &format!("GET {path}"), "").await.refuses(404);
    }
}

#[tokio::test]
async fn a_known_path_names_the_methods_it_has() {
    let app = furnished().await;
    for (line, allow) in [
        ("PATCH /api/rest/admin/accounts", "GET, HEAD, POST"),
        ("PUT /api/rest/admin/accounts", "GET, HEAD, POST"),
        ("DELETE /api/rest/admin/accounts/", "GET, HEAD, POST"),
        ("POST /api/rest/admin/accounts/1", "GET, HEAD, PATCH, PUT, DELETE"),
        ("OPTIONS /api/rest/admin/accounts/1", "GET, HEAD, PATCH, PUT, DELETE"),
        ("TRACE /api/rest/admin/accounts/1", "GET, HEAD, PATCH, PUT, DELETE"),
        (
            "POST /api/rest/admin/accounts/1/relationships/contractor",
            "GET, HEAD, PATCH, PUT, DELETE",
        ),
        ("POST /api/rest/admin/accounts/1/contractor", "GET, HEAD"),
        ("GET /api/rest/admin/accounts/1/balance", "PATCH, PUT"),
        ("POST /api/rest/admin/accounts/1/balance-correction", "PATCH, PUT"),
        ("POST /api/rest/admin/timezones", "GET, HEAD"),
        ("DELETE /api/rest/admin/timezones/UTC", "GET, HEAD"),
        ("PATCH /api/rest/admin/audit-records/1", "GET, HEAD"),
        ("POST /api/rest/admin/audit-records", "GET, HEAD"),
        ("GET /api/rest/admin/auth", "POST"),
        ("POST /healthz", "GET, HEAD"),
        ("DELETE /metrics", "GET, HEAD"),
        ("PUT /api/openapi.json", "GET, HEAD"),
    ] {
        let reply = ask_well(&app, line, "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{line}");
        let method = line.split(' ').next().unwrap();
        assert_eq!(reply.errors(), [format!("405 {method} is not allowed for this path.")]);
    }
    // Whoever names another method in a header has the one on the line.
    let headers = [
        ("authorization", app.token.as_str()),
        ("x-http-method-override", "DELETE"),
        ("content-type", MEDIA_TYPE),
    ];
    ask(&app, "POST /api/rest/admin/accounts/1?_method=DELETE", &headers, "{}").await.refuses(405);
}

#[tokio::test]
async fn an_unknown_path_is_not_found_and_needs_no_token() {
    let app = furnished().await;
    for path in [
        "/api",
        "/api/rest/admin",
        "/api/rest/admin/",
        "/api/rest/admin/nothing",
        "/favicon.ico",
        "/api/rest/admin/accounts/1/nothing",
        "/api/rest/admin/accounts/1/relationships",
        "/api/rest/admin/accounts/1/relationships/nothing",
        "/api/rest/admin/accounts/1/contractor/2",
        "/api/rest/admin/balances",
        "/api/rest/admin/balance-correction",
        "/api/rest/admin/auth/x",
        "/healthz/x",
        "/.env",
        "/api/rest/admin/timezones/a/b",
    ] {
        for method in ["GET", "POST", "OPTIONS", "DELETE", "BREW"] {
            let reply =
                ask(&app, &format!("{method} {path}"), &[("accept", "text/html")], "").await;
            assert_eq!(
                reply.refuses(404).body,
                r#"{"errors":[{"title":"Not Found","detail":"The requested path could not be found.","code":"404","status":"404"}]}"#
            );
        }
    }
}

#[tokio::test]
async fn forwarded_headers_count_only_from_trusted_proxies() {
    let headers = [
        ("x-forwarded-host", "pub.example.net"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "8443"),
        ("forwarded", "host=evil"),
        ("x-forwarded-for", "192.0.2.9"),
    ];
    for (trusted, origin) in [
        (vec![], "http://example.org"),
        (vec!["192.0.2.0/24".parse().unwrap()], "http://example.org"),
        (vec!["127.0.0.0/8".parse().unwrap()], "https://pub.example.net:8443"),
    ] {
        let app = TestApp::start_as(Setup { trusted_proxies: trusted, ..Setup::default() }).await;
        let mut sent = headers.to_vec();
        sent.push(("authorization", &app.token));
        let reply = ask(&app, &format!("GET {ACCOUNTS}"), &sent, "").await;
        assert_eq!(
            reply.json()["links"]["first"],
            format!("{origin}/api/rest/admin/accounts?page%5Bnumber%5D=1&page%5Bsize%5D=50")
        );
    }
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let app = TestApp::start_as(Setup { trusted_proxies, ..Setup::default() }).await;
    for hostile in ["a\"b", "a/b", "", "a b"] {
        let sent = [("authorization", app.token.as_str()), ("x-forwarded-host", hostile)];
        ask(&app, &format!("GET {ACCOUNTS}"), &sent, "").await.refuses(400);
    }
}

/// One figure of `/metrics`, 0 when there is none yet.
async fn figure(app: &TestApp, name: &str) -> f64 {
    let text = app.get("//metrics").await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0.0, |rest| rest.trim().parse().unwrap())
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_status_and_watch_the_process() {
    let app = furnished().await;
    let named = |route: &str, method: &str, status: u16| {
        format!(
            "http_request_duration_seconds_count{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"
        )
    };
    let member = "/api/rest/admin/smtp-connections/{id}";
    let counted = [
        named(member, "GET", 404),
        named(member, "GET", 400),
        named(member, "PUT", 404),
        named("unknown", "other", 404),
    ];
    let mut before = Vec::new();
    for name in &counted {
        before.push(figure(&app, name).await);
    }
    let put = r#"{"data":{"type":"smtp-connections","id":"7"}}"#;
    for _ in 0..3 {
        app.get("/smtp-connections/7").await.refuses(404);
        app.get("/smtp-connections/x").await.refuses(400);
        app.write("PUT", "/smtp-connections/7", put).await.refuses(404);
        ask(&app, "BREW /coffee", &[], "").await.refuses(404);
    }
    for (name, before) in counted.iter().zip(before) {
        assert!(figure(&app, name).await >= before + 3.0, "{name}");
    }
    assert!(figure(&app, "process_resident_memory_bytes").await > 1_000_000.0);
    let metrics = ask(&app, "GET /metrics", &[], "").await;
    if app.database.kind() == Kind::Sqlite {
        assert!(figure(&app, "database_file_bytes").await > 1_000.0);
        assert!(figure(&app, "database_log_bytes").await > 0.0);
    }
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.body.contains("database_writes_waiting 0"), "{}", metrics.body);
    // What clients choose is no label.
    assert!(!metrics.body.contains("BREW") && !metrics.body.contains("coffee"));
}

/// A server of other routes than the application's.
struct Served {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn serve(router: Router, limits: Limits) -> Served {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let listener = Listener { tcp, tls: None };
    let serving = tokio::spawn(http::serve(listener, Service::new(router, &[]), limits, async {
        let _ = stopped.await;
    }));
    Served { address, stop, serving }
}

fn fine() -> tollkeeper::reply::Reply {
    tollkeeper::reply::Reply::tagged(StatusCode::OK, "text/plain", b"fine".to_vec())
}

#[tokio::test]
async fn a_panic_is_answered_with_500_and_harms_nobody_else() {
    let router = Router::new()
        .route("/fine", any(async || fine()))
        .route(
            "/panics",
            any(async || -> tollkeeper::reply::Reply { panic!("on purpose, by a test") }),
        )
        .route(
            "/late",
            any(async || -> tollkeeper::reply::Reply {
                tokio::task::yield_now().await;
                panic!("on purpose, by a test")
            }),
        )
        .route("/mute", any(async || "no reply of ours"));
    let served = serve(router, Limits::default()).await;
    let mut wire = Wire::to(served.address).await;
    for path in ["/panics", "/fine", "/late", "/fine", "/mute", "/fine"] {
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
        let reply = wire.reply().await.expect("an answer");
        if path == "/fine" {
            assert_eq!((reply.status, reply.body.as_str()), (200, "fine"));
        } else {
            assert_eq!(reply.status, 500);
            assert_eq!(reply.header("content-type"), MEDIA_TYPE);
            assert_eq!(
                reply.body,
                r#"{"errors":[{"title":"Internal Server Error","detail":"Internal Server Error","code":"500","status":"500"}]}"#
            );
            assert_eq!(reply.header("x-frame-options"), "SAMEORIGIN");
        }
    }
}

/// A router with one route that answers when it is told to, and says when it was asked.
fn slow() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (asked, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (says, waits) = (Arc::clone(&asked), Arc::clone(&told));
    let slow = any(async move || {
        says.notify_one();
        waits.notified().await;
        fine()
    });
    (Router::new().route("/slow", slow).route("/fine", any(async || fine())), asked, told)
}

#[tokio::test]
async fn a_stopping_server_finishes_what_it_has_begun() {
    let (router, asked, told) = slow();
    let served = serve(router, Limits::default()).await;
    let mut idle = Wire::to(served.address).await;
    idle.send("GET /fine HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert_eq!(idle.reply().await.unwrap().status, 200);
    let mut busy = Wire::to(served.address).await;
    busy.send("GET /slow HTTP/1.1\r\nhost: t\r\n\r\n").await;
    asked.notified().await;
    served.stop.send(()).unwrap();
    assert!(idle.is_closed().await);
    assert!(!served.serving.is_finished());
    assert!(TcpStream::connect(served.address).await.is_err());
    told.notify_one();
    let reply = busy.reply().await.expect("the answer");
    assert_eq!((reply.status, reply.body.as_str()), (200, "fine"));
    assert!(busy.is_closed().await);
    drop((idle, busy));
    served.serving.await.unwrap();
}

#[tokio::test]
async fn a_stopping_server_does_not_wait_for_ever() {
    let (router, asked, _told) = slow();
    let limits = Limits { drain_time_max: Duration::from_millis(300), ..Limits::default() };
    let served = serve(router, limits).await;
    let mut busy = Wire::to(served.address).await;
    busy.send("GET /slow HTTP/1.1\r\nhost: t\r\n\r\n").await;
    asked.notified().await;
    served.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), served.serving).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn connections_that_idle_between_requests_are_closed() {
    let limits = Limits { head_time_max: Duration::from_millis(400), ..Limits::default() };
    let served = serve(Router::new().route("/fine", any(async || fine())), limits).await;
    let mut wire = Wire::to(served.address).await;
    for _ in 0..3 {
        wire.send("GET /fine HTTP/1.1\r\nhost: t\r\n\r\n").await;
        assert_eq!(wire.reply().await.unwrap().status, 200);
    }
    assert!(wire.is_closed().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_of_writes_turns_new_ones_away() {
    const QUEUE_MAX: usize = 2048;
    // Each lane has a queue of its own.
    let app = furnish(TestApp::start_as(Setup { lanes: 1, ..Setup::default() }).await).await;
    let entered = Arc::new(Notify::new());
    let inside = Arc::clone(&entered);
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let held = Arc::clone(&app.app);
    // Holds the lane, as a disk that does not answer would.
    let holding = tokio::spawn(async move {
        held.store
            .write::<_, StoreError, _>(async move |_| {
                entered.notify_one();
                let _ = left.recv();
                Ok(())
            })
            .await
    });
    inside.notified().await;
    let mut waiting = Vec::with_capacity(QUEUE_MAX);
    for _ in 0..QUEUE_MAX {
        let app = Arc::clone(&app.app);
        waiting.push(tokio::spawn(async move {
            app.store.write::<_, StoreError, _>(async |_| Ok(())).await
        }));
    }
    while app.app.store.figures().writes_waiting < QUEUE_MAX {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let metrics = app.get("//metrics").await.body;
    assert!(metrics.contains("database_writes_waiting 2048"), "{metrics}");
    for (method, path) in [("POST", "/contractors"), ("DELETE", "/accounts/1")] {
        let reply = app.write(method, path, contractor("x")).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{reply:?}");
        assert_eq!(reply.header("content-type"), MEDIA_TYPE);
        assert_eq!(reply.json()["errors"][0]["code"], "503");
    }
    // Readers do not queue behind writers.
    assert_eq!(app.get("/accounts/1").await.status, 200);
    drop(leave);
    holding.await.unwrap().unwrap();
    for write in waiting {
        write.await.unwrap().unwrap();
    }
    assert_eq!(app.write("POST", "/contractors", contractor("x")).await.status, 201);
}
