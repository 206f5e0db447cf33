//! How a PostgreSQL server is reached: addresses, passwords, TLS. What does not work is said in one
//! line that holds no password.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::own_cluster::{NAME, OwnCluster, PASSWORD};
use crate::program::{Ended, run, tollkeeper};

/// A command on the database at `url`.
fn at(url: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = tollkeeper(directory, arguments);
    command.env("TOLLKEEPER_DATABASE_URL", url).env("TOLLKEEPER_LOG", "warn");
    command
}

/// A directory for commands, and the cluster they talk to.
struct Place {
    cluster: OwnCluster,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { cluster: OwnCluster::start(), directory: tempfile::tempdir().unwrap() }
    }

    fn list_operators(&self, url: &str) -> Ended {
        run(at(url, self.directory.path(), &["admin", "list"]), "")
    }

    /// Checks that the database at `url` is reached, and whether through TLS.
    #[track_caller]
    fn reaches(&self, url: &str, with_tls: bool) {
        let before = self.cluster.log().len();
        self.list_operators(url).well();
        let log = self.cluster.log().split_off(before);
        let authorized: Vec<&str> =
            log.lines().filter(|line| line.contains("connection authorized")).collect();
        assert!(!authorized.is_empty(), "{url}: {log}");
        let encrypted = authorized.iter().all(|line| line.contains("SSL enabled"));
        assert_eq!(encrypted, with_tls, "{url}: {authorized:?}");
    }

    /// Checks that no command can begin, and that each says so in a line with `part`.
    #[track_caller]
    fn refuses(&self, url: &str, part: &str) {
        for arguments in [&["admin", "list"][..], &["verify"], &["serve"]] {
            let ended = run(at(url, self.directory.path(), arguments), "");
            assert!(!ended.err.contains(PASSWORD), "{ended:?}");
            ended.complains(part);
        }
    }
}

/// An authority that signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key of a server of this name.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Its own certificate, as a file.
    fn root(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, &self.pem).unwrap();
        path
    }
}

#[test]
fn tls_is_asked_for_and_checked_as_libpq_does() {
    let mut place = Place::new();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let right = ours.root(place.directory.path(), "right.pem");
    let wrong = others.root(place.directory.path(), "wrong.pem");
    let (right, wrong) = (right.display(), wrong.display());
    let (certificate, key) = ours.sign("localhost");
    let certificate = place.cluster.file("server.crt", &certificate);
    let key = place.cluster.file("server.key", &key);
    place.cluster.crash();
    place.cluster.run(&[
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ]);
    let url = |host: &str, params: &str| place.cluster.url(host, NAME, params);

    // The certificate is for localhost: by number, the host has the wrong name.
    for (host, params, with_tls) in [
        ("127.0.0.1", String::new(), true),
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", format!("sslmode=prefer&sslrootcert={wrong}"), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={right}"), true),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={right}"), true),
        ("localhost", format!("sslmode=verify-full&sslrootcert={right}"), true),
    ] {
        place.reaches(&url(host, &params), with_tls);
    }
    let unknown = "UnknownIssuer";
    for (host, params, part) in [
        ("127.0.0.1", format!("sslmode=require&sslrootcert={wrong}"), unknown),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={wrong}"), unknown),
        ("localhost", format!("sslmode=verify-full&sslrootcert={wrong}"), unknown),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={right}"), "not valid for name"),
        ("localhost", "sslmode=verify-full&sslrootcert=system".to_owned(), unknown),
        ("localhost", "sslrootcert=system".to_owned(), unknown),
        ("localhost", "sslmode=verify-ca".to_owned(), unknown),
        ("localhost", "sslmode=verify-full".to_owned(), unknown),
    ] {
        place.refuses(&url(host, &params), part);
    }

    // A database that is let in with TLS only.
    let secure = |params: &str| place.cluster.url("127.0.0.1", "secure", params);
    place.reaches(&secure(""), true);
    place.refuses(&secure("sslmode=disable"), "pg_hba.conf rejects connection");

    // A socket file has no TLS, and needs none.
    place.reaches(&place.cluster.socket_url(""), false);
    place.reaches(&place.cluster.socket_url("sslmode=require"), false);
}

#[test]
fn what_keeps_from_the_database_is_said_in_one_line() {
    let place = Place::new();
    let cluster = &place.cluster;
    let url = |params: &str| cluster.url("127.0.0.1", NAME, params);
    place.reaches(&url(""), false);
    place.reaches(&url("sslmode=prefer&application_name=test&connect_timeout=5"), false);
    place.refuses(&url("sslmode=require"), "server does not support TLS");
    place.refuses(
        &url("").replace(PASSWORD, "guessed"),
        "password authentication failed for user \"tollkeeper\"",
    );
    place.refuses(&cluster.url("127.0.0.1", "nowhere", ""), "database \"nowhere\" does not exist");
    place.refuses(&cluster.url("no-such-host.invalid", NAME, ""), "no-such-host.invalid");
    let closed = format!("postgres://{NAME}:{PASSWORD}@127.0.0.1:1/{NAME}");
    place.refuses(&closed, "Connection refused");
    place.refuses(&closed.replace(":1/", ":many/"), "port");
    place.refuses(&url("sslmode=perhaps"), "sslmode");
    place.refuses(&url("colour=blue"), "colour");
    place.refuses(&url("sslmode=verify-ca&sslrootcert=/nowhere.pem"), "sslrootcert /nowhere.pem");
    let empty = place.directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate at all\n").unwrap();
    let params = format!("sslmode=verify-full&sslrootcert={}", empty.display());
    place.refuses(&url(&params), "there is no certificate in it");

    // The first of several hosts that answers.
    let hosts = format!("127.0.0.1:1,127.0.0.1:{}", cluster.port);
    let several = format!("postgres://{NAME}:{PASSWORD}@{hosts}/{NAME}");
    place.reaches(&several, false);
    place.reaches(&format!("{several}?target_session_attrs=read-write"), false);
    place.refuses(&format!("{several}?target_session_attrs=read-only"), "127.0.0.1, 127.0.0.1");
    // By the socket file, without a password.
    place.reaches(&cluster.socket_url(""), false);
}
