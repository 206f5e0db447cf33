//! Connections that nobody makes in good faith: each is refused or closed in time, nothing changes,
//! and the next request is served.

use std::time::{Duration, Instant};

use tollkeeper::http::Limits;

use crate::hostile::{Unharmed, account, furnish, furnished, refused_or_closed, request};
use crate::support::{MEDIA_TYPE, Setup, TestApp};
use crate::wire::Wire;

/// A server that waits for nobody.
async fn impatient() -> TestApp {
    let limits = Limits {
        head_time_max: Duration::from_secs(1),
        body_time_max: Duration::from_secs(1),
        stall_time_max: Duration::from_secs(1),
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
