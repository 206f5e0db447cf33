//! The founding document: one request and its response, which everything else grew from.

use std::fmt::Write as _;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollkeeper::reply::entity_tag;
use uuid::Uuid;

use crate::replay::load_fixture;
use crate::support::TestApp;

const DOCUMENT: &str = include_str!("recorded/founding.txt");

/// The document in parts.
struct Founding {
    request_headers: Vec<(&'static str, &'static str)>,
    route: &'static str,
    request_body: &'static str,
    response_headers: Vec<(&'static str, &'static str)>,
    status: &'static str,
    /// Without the blanks that it was printed with.
    response_body: String,
}

impl Founding {
    fn read() -> Self {
        let (request, response) = DOCUMENT.split_once("\nResponse\n").unwrap();
        let (_, request) = request.split_once("\nRequest\n").unwrap();
        let printed: Value = serde_json::from_str(part(response, "Body", None)).unwrap();
        Self {
            request_headers: headers(part(request, "Headers", Some("Route"))),
            route: part(request, "Route", Some("Body")),
            request_body: part(request, "Body", None),
            response_headers: headers(part(response, "Headers", Some("Status"))),
            status: part(response, "Status", Some("Body")),
            response_body: printed.to_string(),
        }
    }

    fn header(&self, name: &str) -> &'static str {
        let all = [self.request_headers.as_slice(), self.response_headers.as_slice()].concat();
        all.iter().find(|(named, _)| *named == name).unwrap().1
    }
}

/// What stands under a heading, up to the next one.
fn part(text: &'static str, heading: &str, next: Option<&str>) -> &'static str {
    let (_, after) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let next = next.map(|next| format!("\n{next}\n"));
    next.map_or(after, |next| after.split_once(&next).unwrap().0).trim()
}

fn headers(text: &'static str) -> Vec<(&'static str, &'static str)> {
    text.lines().map(|line| line.split_once(':').unwrap()).map(|(n, v)| (n, v.trim())).collect()
}

/// Ten minutes before the token of the document expires.
fn then() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_357_960).unwrap()
}

/// Sends bytes and reads one response with a `content-length`: its head, and its body.
async fn exchange(app: &TestApp, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the response is whole");
        let text = std::str::from_utf8(&answer).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[tokio::test]
async fn the_founding_request_gets_the_founding_response() {
    let founding = Founding::read();
    let mut app = TestApp::start_at(600, then).await;
    load_fixture(&app.database);
    app.token = app.app.tokens.issue(19, 0, then()).unwrap();
    let signed = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
    assert_eq!(signed(&app.token), signed(founding.header("Authorization")), "the same claims");

    let mut request = format!("{} HTTP/1.1\r\n", founding.route);
    for (name, value) in &founding.request_headers {
        let value = if *name == "Authorization" { &app.token } else { *value };
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let length = founding.request_body.len();
    let _ = write!(request, "Content-Length: {length}\r\n\r\n{}", founding.request_body);
    let (head, body) = exchange(&app, &request).await;

    let (status, lines) = head.split_once("\r\n").unwrap();
    assert_eq!(status, format!("HTTP/1.1 {}", founding.status));
    let answered: Value = serde_json::from_str(&body).unwrap();
    let uuid = answered["data"]["attributes"]["uuid"].as_str().unwrap();
    assert_eq!(Uuid::parse_str(uuid).unwrap().get_version_num(), 1);
    let founding_uuid = "fd868b74-e7d8-11f0-bf40-0a63caf27539";
    assert_eq!(body.replace(uuid, founding_uuid), founding.response_body);

    let answered: Vec<(&str, &str)> =
        lines.lines().map(|line| line.split_once(": ").unwrap()).collect();
    let names = |headers: &[(&'static str, &'static str)]| -> Vec<&str> {
        headers.iter().map(|(name, _)| *name).collect()
    };
    let answered_names: Vec<&str> = answered.iter().map(|(name, _)| *name).collect();
    assert_eq!(answered_names, names(&founding.response_headers), "in the document's order");
    for (name, value) in answered {
        match name {
            "etag" => assert_eq!(value, entity_tag(body.as_bytes())),
            "x-request-id" => assert_eq!(Uuid::parse_str(value).unwrap().get_version_num(), 4),
            "x-runtime" => {
                let (secs, micros) = value.split_once('.').unwrap();
                assert_eq!((secs, micros.len()), ("0", 6), "{value}");
            }
            _ => assert_eq!(value, founding.header(name), "{name}"),
        }
    }
    assert_eq!(body.len(), 1005);
}

#[test]
fn the_tag_of_the_founding_response_is_that_of_its_compact_body() {
    let founding = Founding::read();
    assert_eq!(founding.response_body.len().to_string(), founding.header("content-length"));
    assert_eq!(entity_tag(founding.response_body.as_bytes()), founding.header("etag"));
}

#[tokio::test]
async fn what_was_founded_is_found_again() {
    let founding = Founding::read();
    let mut app = TestApp::start_at(600, then).await;
    load_fixture(&app.database);
    app.token = app.app.tokens.issue(19, 0, then()).unwrap();
    let created = app.write("POST", "/accounts", founding.request_body).await;
    let shown = app.get("/accounts/23").await;
    assert_eq!((created.status, shown.status), (201, 200));
    assert_eq!(created.body, shown.body);
    assert_eq!(created.header("etag"), shown.header("etag"));
}
