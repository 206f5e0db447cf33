//! How a server stops: it says so first, serves on, closes its port, finishes, and ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use crate::program::{Here, Program, ask, count, open_accounts};
use crate::support::{MEDIA_TYPE, Reply, linkage};
use crate::wire::Wire;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that drains for so long, with one account, and a token.
async fn serve(here: &Here, drain_secs: &str) -> (Program, String) {
    let mut command = here.command(&["serve"]);
    command.env("TOLLKEEPER_DRAIN_SECS", drain_secs);
    let program = Program::start(command);
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    open_accounts(program.address, &token, vec![json!({"name": "account"})]).await;
    (program, token)
}

fn payment(token: &str) -> (String, String) {
    let body = json!({"data": {
        "type": "payments",
        "attributes": {"amount": "1"},
        "relationships": {"account": linkage("accounts", "1")},
    }})
    .to_string();
    let head = format!(
        "POST /api/rest/admin/payments HTTP/1.1\r\nhost: example.org\r\naccept: {MEDIA_TYPE}\r\n\
         content-type: {MEDIA_TYPE}\r\nauthorization: {token}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head, body)
}

/// Asks on this connection whether the server wants requests.
async fn ready(wire: &mut Wire) -> Reply {
    wire.send("GET /readyz HTTP/1.1\r\nhost: example.org\r\n\r\n").await;
    wire.reply().await.expect("an answer")
}

/// Waits until the server says that it does not want requests.
async fn until_it_leaves(address: SocketAddr) {
    let since = Instant::now();
    while ask(address, "GET /readyz", "", "").await.status == 200 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until nobody can connect.
async fn until_it_is_closed(address: SocketAddr) {
    let since = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_that_stops_says_so_serves_on_and_finishes_what_it_has_begun() {
    let here = Here::new();
    let (program, token) = serve(&here, "2").await;
    let address = program.address;
    // Connections from before: one that is idle, and one in the middle of a request.
    let (mut idle, mut busy) = (Wire::to(address).await, Wire::to(address).await);
    let reply = ready(&mut idle).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ready\n"));
    assert_eq!(reply.header("connection"), "");
    let (head, body) = payment(&token);
    busy.send(&head).await.send(&body[..20]).await;

    let told_at = Instant::now();
    program.signal("TERM");
    until_it_leaves(address).await;
    // Whoever comes is served all the same, and asked to come back on a new connection.
    let reply = ready(&mut idle).await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "draining\n"));
    assert_eq!(reply.header("connection"), "close");
    assert!(idle.is_closed().await);
    let mut late = Wire::to(address).await;
    late.send(&head).await.send(&body).await;
    let reply = late.reply().await.expect("an answer");
    assert_eq!((reply.status, reply.header("connection")), (201, "close"), "{reply:?}");
    assert_eq!(ask(address, "GET /healthz", "", "").await.status, 200);
    assert_eq!(count(address, "payments", &token).await, 1);
    assert!(told_at.elapsed() < Duration::from_secs(2), "the machine is too slow for this test");

    until_it_is_closed(address).await;
    assert!(told_at.elapsed() >= Duration::from_secs(2), "{:?}", told_at.elapsed());
    busy.send(&body[20..]).await;
    let reply = busy.reply().await.expect("an answer");
    assert_eq!(reply.status, 201, "{reply:?}");
    assert!(busy.is_closed().await);
    let (status, complaints) = program.ended();
    assert!(status.success(), "{status} {complaints}");
    let again = here.serve();
    assert_eq!(count(again.address, "payments", &token).await, 2);
}

#[tokio::test]
async fn unless_told_otherwise_a_server_stops_without_delay() {
    let here = Here::new();
    let program = here.serve();
    let told_at = Instant::now();
    let (status, complaints) = program.end("INT");
    assert!(status.success(), "{status} {complaints}");
    assert!(told_at.elapsed() < Duration::from_secs(3), "{:?}", told_at.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_a_server_at_once_whatever_it_is_doing() {
    for (drain_secs, first, second) in [("600", "TERM", "TERM"), ("0", "TERM", "INT")] {
        let here = Here::new();
        let (program, token) = serve(&here, drain_secs).await;
        let address = program.address;
        let mut busy = Wire::to(address).await;
        let (head, body) = payment(&token);
        busy.send(&head).await.send(&body[..20]).await;
        program.signal(first);
        if drain_secs == "0" {
            until_it_is_closed(address).await;
        } else {
            until_it_leaves(address).await;
        }
        let told_at = Instant::now();
        program.signal(second);
        let (status, complaints) = program.ended();
        assert!(status.success(), "{status} {complaints}");
        assert!(complaints.contains("answers in progress are lost"), "{complaints}");
        assert!(told_at.elapsed() < Duration::from_secs(5), "{:?}", told_at.elapsed());
        assert!(busy.is_closed().await);
    }
}
