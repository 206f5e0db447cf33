//! HTTPS by the server itself.

use std::path::{Path, PathBuf};

use reqwest::{Certificate, Client, Version};
use serde_json::Value;

use crate::program::{Here, Program};
use crate::support::MEDIA_TYPE;
use crate::wire::Wire;

/// A certificate for this machine, and its key, as files.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    pem: String,
}

fn pair(directory: &Path, name: &str) -> Pair {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) =
        (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
    let pem = made.cert.pem();
    std::fs::write(&certificate, &pem).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Pair { certificate, key, pem }
}

fn with_tls<'a>(certificate: &'a Path, key: &'a Path) -> [&'a str; 5] {
    let text = |path: &'a Path| path.to_str().unwrap();
    ["serve", "--tls-cert", text(certificate), "--tls-key", text(key)]
}

/// A client that trusts just this certificate.
fn client(pair: &Pair, http1: bool) -> Client {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let trusted = Certificate::from_pem(pair.pem.as_bytes()).unwrap();
    let builder = Client::builder().no_proxy().tls_certs_only([trusted]);
    if http1 { builder.http1_only() } else { builder }.build().unwrap()
}

#[tokio::test]
async fn https_is_served_in_both_versions_of_http_and_links_say_so() {
    let here = Here::new();
    let pair = pair(here.path(), "server");
    let mut command = here.command(&with_tls(&pair.certificate, &pair.key));
    command.env("TOLLKEEPER_ADMIN_PASSWORD", "a good password");
    let program = Program::start(command);
    let origin = format!("https://{}", program.address);
    assert!(program.greeting.contains(&origin), "{}", program.greeting);
    for (http1, version) in [(false, Version::HTTP_2), (true, Version::HTTP_11)] {
        let client = client(&pair, http1);
        let sign_in = client
            .post(format!("{origin}/api/rest/admin/auth"))
            .header("content-type", "application/json")
            .body(r#"{"auth":{"username":"admin","password":"a good password"}}"#);
        let reply = sign_in.send().await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.version()), (201, version));
        let token = reply.json::<Value>().await.unwrap()["jwt"].as_str().unwrap().to_owned();
        let list = client
            .get(format!("{origin}/api/rest/admin/accounts"))
            .header("authorization", token)
            .header("accept", MEDIA_TYPE);
        let reply = list.send().await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.version()), (200, version));
        assert_eq!(reply.headers()["x-frame-options"], "SAMEORIGIN");
        assert!(!reply.headers().contains_key("date"));
        let first =
            format!("{origin}/api/rest/admin/accounts?page%5Bnumber%5D=1&page%5Bsize%5D=50");
        assert_eq!(reply.json::<Value>().await.unwrap()["links"]["first"], first);
        // A body beyond the limit, in this version, too.
        let large = client.post(format!("{origin}/api/rest/admin/auth")).body(vec![b'x'; 3 << 20]);
        assert_eq!(large.send().await.unwrap().status(), 413);
        let named = client.get(format!("https://localhost:{}/healthz", program.address.port()));
        assert_eq!(named.send().await.unwrap().text().await.unwrap(), "ok\n");
    }
    let (status, complaints) = program.end("TERM");
    assert!(status.success(), "{complaints}");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_not_spoken_to() {
    let here = Here::new();
    let pair = pair(here.path(), "server");
    let command = here.command(&with_tls(&pair.certificate, &pair.key));
    let program = Program::start(command);
    for sent in
        ["GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n", "\0\0\0\0", "\u{16}\u{3}\u{1}\0\u{5}hello"]
    {
        let mut wire = Wire::to(program.address).await;
        wire.send(sent).await.end().await;
        let answer = wire.rest().await;
        // Perhaps an alert of TLS, certainly no HTTP.
        assert!(answer.len() < 100 && !answer.starts_with(b"HTTP"), "{answer:?}");
    }
    let healthz = format!("https://{}/healthz", program.address);
    assert_eq!(client(&pair, false).get(healthz).send().await.unwrap().status(), 200);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_in_one_line() {
    // Known by its file: a database on a server could not be seen to be untouched.
    let here = Here::with_file();
    let directory = here.path();
    let (good, other) = (pair(directory, "good"), pair(directory, "other"));
    let (missing, empty, junk) =
        (directory.join("missing"), directory.join("empty"), directory.join("junk"));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    for (certificate, key, part) in [
        (&missing, &good.key, "missing"),
        (&good.certificate, &missing, "missing"),
        (&directory.to_owned(), &good.key, "cannot read"),
        (&empty, &good.key, "empty"),
        (&good.certificate, &empty, "empty"),
        (&good.key, &good.key, "good.key"),
        (&good.certificate, &good.certificate, "good.crt"),
        (&good.certificate, &other.key, "do not fit"),
        (&junk, &good.key, "do not fit"),
    ] {
        here.run(&with_tls(certificate, key)).complains(part);
    }
    let key = good.key.to_str().unwrap();
    here.run(&["serve", "--tls-key", key]).complains("go together");
    assert!(!directory.join("data").exists(), "nothing is made by a server that cannot start");
}
