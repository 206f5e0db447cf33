//! Conversations with mail servers: encryption, signing in, and the test of a connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::mail_server::{MailServer, Post, header};
use crate::program::{Here, Program, ask};
use crate::support::{Reply, Setup};

const PASSWORD: &str = "correct horse battery";

/// A certificate that no authority knows, for 127.0.0.1, and its key: one pair in a directory.
fn self_signed(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("mail.crt"), directory.join("mail.key"));
    if certificate.exists() {
        return (certificate, key);
    }
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

/// A mail server that speaks TLS, and is told this, too.
fn encrypting(directory: &Path, more: &Value) -> MailServer {
    let (certificate, key) = self_signed(directory);
    let mut told = json!({"certificate": certificate, "key": key});
    for (name, value) in more.as_object().unwrap() {
        told[name] = value.clone();
    }
    MailServer::start(&told)
}

async fn with_tls_mode(port: u16, mode: Value) -> Post {
    Post::with(Setup::default(), port, json!({"tls-mode": mode})).await
}

/// What a test of the connection was refused with.
async fn refusal(post: &Post) -> String {
    let reply = post.test("noc@customer.test").await;
    reply.refuses(422);
    reply.json()["errors"][0]["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn mail_is_encrypted_if_the_server_can_whoever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let server = encrypting(directory.path(), &json!({}));
    for mode in [Value::Null, json!("opportunistic")] {
        let post = with_tls_mode(server.port, mode).await;
        post.fall().await;
        assert_eq!(server.next()["tls"], true);
        assert_eq!(post.settled().await, ["delivered"]);
    }
    let post = with_tls_mode(server.port, json!("none")).await;
    assert_eq!(post.test("noc@customer.test").await.status, 200);
    assert_eq!(server.next()["tls"], false, "never means never");
    let plain = MailServer::kind();
    for mode in ["opportunistic", "none"] {
        let post = with_tls_mode(plain.port, json!(mode)).await;
        assert_eq!(post.test("noc@customer.test").await.status, 200);
        assert_eq!(plain.next()["tls"], false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_tls_is_required_nothing_is_said_without_it_or_to_a_stranger() {
    let directory = tempfile::tempdir().unwrap();
    let login = json!({"user": "relay", "password": PASSWORD, "auth_in_clear": true});
    let plain = MailServer::start(&login);
    let sign_in = json!({"tls-mode": "required", "auth-user": "relay", "auth-password": PASSWORD});
    let post = Post::with(Setup::default(), plain.port, sign_in).await;
    assert_eq!(refusal(&post).await, "TLS: the server offers no STARTTLS");
    post.fall().await;
    assert_eq!(plain.rest(), [json!(null); 0], "nobody signs in");
    let log = post.log().await;
    assert_eq!(log[1]["error"], "TLS: the server offers no STARTTLS");
    assert_eq!(post.app.listed("/deliveries").await[0]["state"], "pending");
    let stranger = encrypting(directory.path(), &json!({}));
    let post = with_tls_mode(stranger.port, json!("required")).await;
    let refused = refusal(&post).await;
    assert!(refused.starts_with("TLS: invalid peer certificate"), "{refused}");
    let stranger = encrypting(directory.path(), &json!({"implicit": true}));
    let post = with_tls_mode(stranger.port, json!("implicit")).await;
    let refused = refusal(&post).await;
    assert!(refused.starts_with("TLS: invalid peer certificate"), "{refused}");
    assert_eq!(stranger.rest(), [json!(null); 0]);
}

/// Creates a record on a running program.
async fn create(program: &Program, token: &str, kind: &str, attributes: Value) -> Reply {
    let document = json!({"data": {"type": kind, "attributes": attributes}}).to_string();
    ask(program.address, &format!("POST /api/rest/admin/{kind}"), token, &document).await
}

/// Sends a test mail through a connection of a running program.
async fn test(program: &Program, token: &str, connection: &str) -> Reply {
    let document = json!({"data": {
        "type": "smtp-connections", "id": connection, "attributes": {"to": "noc@customer.test"},
    }});
    let line = format!("POST /api/rest/admin/smtp-connections/{connection}/test");
    ask(program.address, &line, token, &document.to_string()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_the_systems_roots_know_is_trusted() {
    let here = Here::new();
    let server = encrypting(here.path(), &json!({}));
    let implicit = encrypting(here.path(), &json!({"implicit": true}));
    let mut command = here.command(&["serve"]);
    command.env("SSL_CERT_FILE", here.path().join("mail.crt"));
    let program = Program::start(command);
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    for (name, port, mode) in [("a", server.port, "required"), ("b", implicit.port, "implicit")] {
        let attributes = json!({
            "name": name, "host": "127.0.0.1", "port": port, "from-address": "billing@carrier.test",
            "tls-mode": mode,
        });
        let made = create(&program, &token, "smtp-connections", attributes).await;
        let id = made.json()["data"]["id"].as_str().unwrap().to_owned();
        let reply = test(&program, &token, &id).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!((&server.next()["tls"], &implicit.next()["tls"]), (&json!(true), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_servers_password_is_told_to_the_server_and_nobody_else() {
    let here = Here::new();
    let told = json!({"user": "relay", "password": PASSWORD});
    let server = encrypting(here.path(), &told);
    let program = Program::start(here.command(&["serve", "--log", "trace"]));
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    let connection = |name: &str, password: &str| {
        json!({
            "name": name, "host": "127.0.0.1", "port": server.port, "auth-user": "relay",
            "from-address": "billing@carrier.test", "auth-password": password,
        })
    };
    let wrong = "incorrect horse battery";
    let mut answers = Vec::new();
    for (name, password) in [("right", PASSWORD), ("wrong", wrong)] {
        let made = create(&program, &token, "smtp-connections", connection(name, password)).await;
        let id = made.json()["data"]["id"].as_str().unwrap().to_owned();
        answers.extend([made.body, test(&program, &token, &id).await.body]);
    }
    let signed_in = server.next();
    assert_eq!((&signed_in["good"], &signed_in["tls"]), (&json!(true), &json!(true)));
    assert_eq!(server.next()["user"], "relay");
    assert_eq!(server.next()["good"], false);
    let refused = &answers[3];
    assert!(refused.contains("sign-in: 535 (user name or password refused)"), "{refused}");
    for path in ["smtp-connections", "email-logs", "audit-records", "deliveries", "events"] {
        let list = ask(program.address, &format!("GET /api/rest/admin/{path}"), &token, "").await;
        assert_eq!(list.status, 200);
        answers.push(list.body);
    }
    let dump = here.database().dump();
    let (_, log) = program.end("TERM");
    // As it is, and as it travels.
    for secret in [PASSWORD, wrong, "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5", "AHJlbGF5AG"] {
        assert!(!dump.contains(secret) && !log.contains(secret), "{secret}");
        assert!(!answers.iter().any(|answer| answer.contains(secret)), "{secret}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_password_that_is_not_taken_fails_and_may_be_mended() {
    let told = json!({"user": "relay", "password": PASSWORD, "auth_in_clear": true});
    let server = MailServer::start(&told);
    let post = Post::with(Setup::default(), server.port, json!({})).await;
    post.fall().await;
    // 530 is about who sends, not about the message.
    let error = error_of_first(&post).await;
    assert!(error.starts_with("message: 530"), "{error}");
    assert_eq!(post.app.listed("/deliveries").await[0]["state"], "pending");
    let login = json!({"auth-user": "relay", "auth-password": PASSWORD});
    let path = "smtp-connections";
    assert_eq!(post.app.update(path, &post.connection, login).await.status, 200);
    assert_eq!(server.next()["good"], true);
    assert_eq!(server.next()["user"], "relay");
    assert_eq!(post.settled().await, ["delivered"]);
}

/// The error of the first attempt, once it was made.
async fn error_of_first(post: &Post) -> String {
    loop {
        if let Some(row) = post.log().await.first() {
            return row["error"].as_str().unwrap_or_default().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_can_be_tested() {
    let server = MailServer::start(&json!({
        "answers_by_recipient": {"gone@customer.test": "550 5.1.1 no such user"},
    }));
    let post = Post::through(&server).await;
    let reply = post.test(" noc@customer.test ").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.json()["data"]["id"], post.connection);
    assert_eq!(reply.attribute("auth-password"), Value::Null);
    let mail = server.next();
    assert_eq!(mail["recipients"], json!(["noc@customer.test"]));
    assert_eq!(header(&mail, "subject"), "Test of a mail server");
    assert_eq!(mail["nesting"], json!(["text/plain"]));
    let refused = post.test("gone@customer.test").await;
    refused.refuses(422);
    assert_eq!(refused.errors(), ["100 message: 550 5.1.1 no such user"]);
    let log = post.log().await;
    assert_eq!(log.len(), 2);
    assert_eq!(log[0]["message-id"], header(&mail, "message-id"));
    assert_eq!(log[1]["response"], "550 5.1.1 no such user");
    for (to, detail) in [
        (json!("noc"), "100 to - is invalid"),
        (json!("a@b.test, c@d.test"), "100 to - is invalid"),
        (json!("a@b.test\r\nBcc: c@d.test"), "100 to - is invalid"),
        (json!(""), "100 to - can't be blank"),
        (json!(null), "100 to - can't be blank"),
    ] {
        let data = json!({
            "type": "smtp-connections", "id": post.connection, "attributes": {"to": to},
        });
        let path = format!("/smtp-connections/{}/test", post.connection);
        let refused = post.app.post(&path, json!({ "data": data })).await;
        refused.refuses(422);
        assert_eq!(refused.errors(), [detail], "{to}");
        assert_eq!(refused.pointers(), ["/data/attributes/to"]);
        post.app.get(&path).await.refuses(405);
        let other =
            json!({"data": {"type": "smtp-connections", "id": "99", "attributes": {"to": to}}});
        post.app.post(&path, other.clone()).await.refuses(400);
        post.app.post(&path, json!({})).await.refuses(400);
    }
    let data = json!({"type": "smtp-connections", "id": "99", "attributes": {"to": "a@b.test"}});
    post.app.post("/smtp-connections/99/test", json!({ "data": data })).await.refuses(404);
    assert_eq!(server.rest().len(), 1, "only the refused recipient");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_not_there_or_no_mail_server_is_told_as_it_is() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let post = with_tls_mode(gone, Value::Null).await;
    let refused = refusal(&post).await;
    assert!(refused.starts_with("connect: ") && refused.contains("refused"), "{refused}");
    // Its own HTTP port: whoever answers there speaks another language.
    let port = post.app.address.port();
    let post = with_tls_mode(port, json!("implicit")).await;
    let refused = refusal(&post).await;
    assert!(refused.starts_with("TLS: "), "{refused}");
}

/// Accepts one connection, offers STARTTLS, and puts all that a server says of a mail behind its
/// answer, in clear. Then it speaks TLS, and nothing more. Whether the handshake succeeded.
async fn inject(listener: TcpListener, acceptor: TlsAcceptor) -> bool {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut line = [0; 100];
    stream.write_all(b"220 mx.test\r\n").await.unwrap();
    assert_ne!(stream.read(&mut line).await.unwrap(), 0);
    stream.write_all(b"250-mx.test\r\n250 STARTTLS\r\n").await.unwrap();
    assert_ne!(stream.read(&mut line).await.unwrap(), 0);
    let words = "220 go ahead\r\n250 mx.test\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 taken\r\n";
    stream.write_all(words.as_bytes()).await.unwrap();
    match acceptor.accept(stream).await {
        Ok(mut stream) => {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            true
        }
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn words_in_clear_behind_the_answer_to_starttls_are_not_the_servers() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = self_signed(directory.path());
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(inject(listener, TlsAcceptor::from(Arc::new(config))));
    let post = with_tls_mode(port, Value::Null).await;
    let refused = refusal(&post).await;
    assert!(refused.starts_with("TLS: "), "{refused}");
    assert!(!server.await.unwrap(), "the words spoil the handshake");
}
