//! The command line: what an operator types, and what they read when something is wrong.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::TestDatabase;

use crate::program::{Here, Program, ask, count, run, sign_in};
use crate::wire::Wire;

#[tokio::test]
async fn the_first_start_says_where_it_serves_and_the_first_password_once() {
    let here = Here::new();
    let program = here.serve();
    let version = env!("CARGO_PKG_VERSION");
    let greeting = format!("tollkeeper {version} serves http://{}\n", program.address);
    assert_eq!(program.greeting, greeting);
    let said = program.said("(shown only now):\n\n    ");
    let password = said.split("\n\n    ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(password.len(), 24, "{said}");
    let token = sign_in(program.address, "admin", &password).await.expect("a token");
    assert_eq!(count(program.address, "accounts", &token).await, 0);
    let (status, _) = program.end("TERM");
    assert_eq!(status.code(), Some(0));

    let again = here.serve();
    assert!(sign_in(again.address, "admin", &password).await.is_some());
    // The secret was kept, so tokens outlive a restart.
    assert_eq!(count(again.address, "accounts", &token).await, 0);
    let (status, complaints) = again.end("INT");
    assert_eq!(status.code(), Some(0));
    assert!(!complaints.contains("password") && !complaints.contains(&password), "{complaints}");
}

#[tokio::test]
async fn a_configured_first_password_is_used_and_never_shown() {
    let here = Here::new();
    for password in ["the first password", "another password"] {
        let mut command = here.command(&[]);
        command.env("TOLLKEEPER_ADMIN_PASSWORD", password);
        command.env("TOLLKEEPER_SECRET", "a configured secret");
        let program = Program::start(command);
        assert!(sign_in(program.address, "admin", "the first password").await.is_some());
        assert!(sign_in(program.address, "admin", "another password").await.is_none());
        let (status, complaints) = program.end("TERM");
        assert!(status.success());
        assert!(!complaints.contains(password) && !complaints.contains("secret"), "{complaints}");
    }
}

#[tokio::test]
async fn the_founding_request_works_on_the_demo_data() {
    const FOUNDING: &str = concat!(
        r#"{"data":{"type":"accounts","attributes":{"name":"name","min-balance":1,"#,
        r#""max-balance":10,"vat":11,"origination-capacity":100,"termination-capacity":110,"#,
        r#""total-capacity":100,"balance-low-threshold":90,"balance-high-threshold":95,"#,
        r#""send-balance-notifications-to":[1],"timezone":"Europe/Kyiv"},"#,
        r#""relationships":{"contractor":{"data":{"type":"contractors","id":4}}}}}"#
    );
    let here = Here::new();
    let mut command = here.command(&["serve", "--demo"]);
    command.env("TOLLKEEPER_ADMIN_PASSWORD", "a good password");
    let program = Program::start(command);
    let token = sign_in(program.address, "admin", "a good password").await.unwrap();
    assert_eq!(count(program.address, "accounts", &token).await, 40);
    assert_eq!(count(program.address, "contractors", &token).await, 8);
    let contact =
        ask(program.address, "GET /api/rest/admin/contacts/1?include=contractor", &token, "").await;
    assert_eq!(contact.json()["included"][0]["id"], "4");
    let reply = ask(program.address, "POST /api/rest/admin/accounts", &token, FOUNDING).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    // The founding answer has 1005 bytes; this account's id is as long as that one's.
    assert_eq!(reply.body.len(), 1005, "{}", reply.body);
    assert_eq!(reply.json()["data"]["relationships"]["contractor"]["data"]["id"], "4");
    assert!(program.end("TERM").0.success());

    here.run(&["serve", "--demo"]).complains("already has data");
    let again = here.serve();
    assert_eq!(count(again.address, "accounts", &token).await, 41);
}

/// Waits until a request with the token is answered with this status.
async fn becomes(address: SocketAddr, token: &str, status: u16) {
    let started = Instant::now();
    while ask(address, "GET /api/rest/admin/accounts", token, "").await.status != status {
        assert!(started.elapsed() < Duration::from_secs(30), "it does not become {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn operators_are_looked_after_while_the_server_runs() {
    let here = Here::new();
    let program = here.serve();
    let address = program.address;
    let said = here.run_with(&["admin", "add", "olga"], "her first password\n").well();
    assert_eq!(said, "Added \"olga\".\n");
    let token = sign_in(address, "olga", "her first password").await.expect("a token");
    becomes(address, &token, 200).await;

    here.run(&["admin", "disable", "olga"]).well();
    becomes(address, &token, 401).await;
    assert!(sign_in(address, "olga", "her first password").await.is_none());
    here.run(&["token", "olga"]).complains("disabled");
    here.run(&["admin", "enable", "olga"]).well();
    becomes(address, &token, 200).await;

    let said = here.run(&["admin", "allow", "olga", "192.0.2.0/24", "2001:db8::1"]).well();
    assert!(said.contains("192.0.2.0/24") && said.contains("2001:db8::1"), "{said}");
    becomes(address, &token, 401).await;
    here.run(&["admin", "allow", "olga"]).well();
    becomes(address, &token, 200).await;

    let mut passwd = here.command(&["admin", "passwd", "olga"]);
    passwd.env("TOLLKEEPER_PASSWORD", "her second password");
    run(passwd, "").well();
    assert!(sign_in(address, "olga", "her first password").await.is_none());
    let second = sign_in(address, "olga", "her second password").await.expect("a token");
    becomes(address, &second, 200).await;
    becomes(address, &token, 401).await;

    let printed = here.run(&["token", "olga"]).well();
    becomes(address, printed.trim(), 200).await;

    here.run_with(&["admin", "add", "igor", "--allow", "10.0.0.0/8,192.0.2.1"], "a long password")
        .well();
    let list = here.run(&["admin", "list"]).well();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    for (line, words) in lines.iter().zip([
        &["ID", "NAME", "STATE", "CREATED", "ALLOWED FROM"][..],
        &["1", "admin", "enabled", "anywhere"],
        &["3", "igor", "enabled", "10.0.0.0/8,192.0.2.1"],
        &["2", "olga", "enabled", "anywhere"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{list}");
    }
    assert!(!list.contains("argon2"));
}

#[test]
fn operators_that_cannot_be_are_refused_in_one_line() {
    let here = Here::new();
    here.run_with(&["admin", "add", "olga"], "a good password\n").well();
    here.run_with(&["admin", "add", "olga"], "a good password\n").complains("already an operator");
    here.run_with(&["admin", "add", "igor"], "short\n").complains("shorter than 8");
    here.run_with(&["admin", "add", "igor"], "").complains("shorter than 8");
    here.run_with(&["admin", "add", " "], "a good password\n").complains("name is empty");
    here.run_with(&["admin", "add", "igor", "--allow", "10.0.0.0/99"], "a good password\n")
        .complains("\"10.0.0.0/99\" is not an address or network");
    here.run(&["admin", "allow", "olga", "x"]).complains("\"x\" is not");
    for command in ["disable", "enable", "allow"] {
        here.run(&["admin", command, "igor"]).complains("no operator \"igor\"");
    }
    here.run_with(&["admin", "passwd", "igor"], "a good password\n").complains("no operator");
    here.run(&["token", "igor"]).complains("no operator \"igor\"");
    assert_eq!(here.run(&["admin", "list"]).well().lines().count(), 2);
}

#[tokio::test]
async fn the_printed_openapi_document_is_the_served_one() {
    let here = Here::new();
    let printed = here.run(&["openapi"]).well();
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0, "it leaves nothing behind");
    let program = here.serve();
    let served = ask(program.address, "GET /api/openapi.json", "", "").await;
    assert_eq!(served.body, printed);
    assert_eq!(served.json()["openapi"], "3.1.0");
    // A reader who has seen enough is no fault.
    let mut child = here.command(&["openapi"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn config_check_shows_what_would_be_used_and_no_secret() {
    // On SQLite in every run: what is used when nothing says another is a file.
    let here = Here::with_file();
    let file = "token_lifetime_secs = 60\nsecret = \"s3cret\"\nlog = \"debug\"\n\
                admin_password = \"pa55word\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n";
    std::fs::write(here.path().join("tollkeeper.toml"), file).unwrap();
    let mut command = here.command(&["config", "check", "--log", "warn"]);
    command.env("TOLLKEEPER_CONNECTIONS_MAX", "77");
    let shown = run(command, "").well();
    for line in [
        "listen = \"127.0.0.1:0\"",
        "database_url = \"sqlite:data/tollkeeper.db\"",
        "# secret (set, hidden)",
        "token_lifetime_secs = 60",
        "# admin_password (set, hidden)",
        "log = \"warn\"",
        "# tls_cert is not set",
        "trusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]",
        "connections_max = 77",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    }
    assert!(!shown.contains("s3cret") && !shown.contains("pa55word"), "{shown}");
    // What is shown is a configuration.
    let copy = here.path().join("copy.toml");
    std::fs::write(&copy, &shown).unwrap();
    here.run(&["config", "check", "--config", copy.to_str().unwrap()]).well();
    assert!(!here.path().join("data").exists(), "checking makes no database");
}

#[test]
fn every_command_explains_itself() {
    let here = Here::new();
    let commands: [&[&str]; 16] = [
        &[],
        &["serve"],
        &["admin"],
        &["admin", "add"],
        &["admin", "passwd"],
        &["admin", "disable"],
        &["admin", "enable"],
        &["admin", "allow"],
        &["admin", "list"],
        &["token"],
        &["import"],
        &["import", "payments"],
        &["openapi"],
        &["config"],
        &["config", "check"],
        &["help"],
    ];
    for words in commands {
        for flag in ["--help", "-h"] {
            if words == ["help"] {
                continue;
            }
            let mut command = here.command(words);
            command.arg(flag).env("TOLLKEEPER_SECRET", "s3cret").env("COLUMNS", "100");
            command.env("TOLLKEEPER_ADMIN_PASSWORD", "pa55word");
            let help = run(command, "").well();
            let name = [&["tollkeeper"], words].concat().join(" ");
            assert!(help.contains(&format!("Usage: {name}")), "{help}");
            assert!(help.lines().next().unwrap().len() > 8, "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
            assert!(!help.contains("s3cret") && !help.contains("pa55word"), "{help}");
            assert!(help.contains("--config <FILE>") && help.contains("--database-url"), "{help}");
        }
    }
    let top = here.run(&["help"]).well();
    for command in ["serve", "admin", "token", "import", "openapi", "config", "TOLLKEEPER_SECRET"] {
        assert!(top.contains(command), "{top}");
    }
    let version = here.run(&["--version"]).well();
    assert_eq!(version, format!("tollkeeper {}\n", env!("CARGO_PKG_VERSION")));
    for wrong in [
        &["nonsense"][..],
        &["admin"],
        &["admin", "add"],
        &["serve", "--nonsense"],
        &["serve", "--token-lifetime-secs", "x"],
        &["config"],
        &["import"],
        &["import", "payments"],
        &["serve", "--secret", "x"],
        &["serve", "--admin-password", "a good password"],
    ] {
        let ended = here.run(wrong);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains("Usage:") || ended.err.contains("--help"), "{ended:?}");
    }
}

#[test]
fn a_server_that_cannot_start_says_why_in_one_line() {
    // Nothing here gets as far as a database; bad addresses of both kinds are tried in every run.
    let here = Here::with_file();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    here.run(&["serve", "--listen", &address]).complains(&format!("cannot listen on {address}"));
    here.run(&["--listen", "nowhere"]).complains("\"nowhere\" is not an ADDRESS:PORT");
    here.run(&["--listen", "127.0.0.1:99999"]).complains("is not an ADDRESS:PORT");
    here.run(&["--trusted-proxies", "10.0.0.0/8,x"]).complains("\"x\" is not a network");
    here.run(&["--connections-max", "0"]).complains("would let nobody in");
    here.run(&["--log", "a=b=c"]).complains("\"a=b=c\" is not understood");
    here.run(&["--database-url", "mysql://u:pw@h/d"]).complains("use sqlite:PATH or postgres://");
    let nowhere = here.run(&["--database-url", "postgres://u:pw@127.0.0.1:1/d"]);
    nowhere.complains("cannot use the database at 127.0.0.1");
    assert!(!nowhere.err.contains("pw"), "{nowhere:?}");
    here.run(&["--database-url", "sqlite:"]).complains("use sqlite:PATH");

    let file = here.path().join("tollkeeper.toml");
    for (text, part) in [
        ("lisen = \"x\"", "line 1: unknown field `lisen`"),
        ("log = \"info\"\nlog = 5\n", "line 2"),
        ("token_lifetime_secs = \"ten\"", "line 1"),
        ("token_lifetime_secs = -1", "line 1"),
        ("= 5", "line 1"),
        ("[section]\nlisten = \"127.0.0.1:0\"", "unknown field"),
    ] {
        std::fs::write(&file, text).unwrap();
        here.run(&["serve"]).complains(part);
    }
    std::fs::write(&file, b"log = \"\xff\"").unwrap();
    here.run(&["serve"]).complains("tollkeeper.toml");
    std::fs::remove_file(&file).unwrap();
    here.run(&["serve", "--config", "missing.toml"]).complains("missing.toml");
    here.run(&["serve", "--config", "."]).complains("cannot read the configuration");
}

#[test]
fn a_database_that_cannot_be_opened_is_named_in_one_line() {
    // About SQLite's file, in every run.
    let here = Here::with_file();
    let open =
        |path: &Path| here.run(&["serve", "--database-url", &format!("sqlite:{}", path.display())]);
    let directory = here.path().join("directory.db");
    std::fs::create_dir(&directory).unwrap();
    open(&directory).complains("directory.db");
    let text = here.path().join("text.db");
    std::fs::write(&text, "Dear diary, today I was taken for a database.\n".repeat(100)).unwrap();
    open(&text).complains("file is not a database");
    open(&text.join("below.db")).complains("cannot open the database");
    open(Path::new("/proc/nowhere/x.db")).complains("cannot create the database directory");
    open(Path::new("/proc/tollkeeper.db"))
        .complains("cannot open the database /proc/tollkeeper.db");

    let newer = here.path().join("newer.db");
    std::fs::write(&newer, "").unwrap();
    TestDatabase::in_file(newer.clone()).execute("PRAGMA user_version = 999");
    open(&newer).complains("schema version 999, newer than this program knows");
    for command in [&["admin", "list"][..], &["token", "admin"]] {
        let url = format!("sqlite:{}", newer.display());
        here.run(&[command, &["--database-url", &url]].concat()).complains("schema version 999");
    }
}

#[test]
fn a_database_without_permission_is_named_in_one_line() {
    const NOBODY: u32 = 65_534;
    // About SQLite's file, in every run.
    let here = Here::with_file();
    let path = here.path().join("closed.db");
    let url = format!("sqlite:{}", path.display());
    here.run(&["admin", "list", "--database-url", &url]).well();
    // Root may read everything, so it tries as somebody who may not.
    let as_root = std::fs::metadata(here.path()).is_ok_and(|_| is_root());
    let program = std::env::temp_dir().join(format!("tollkeeper-{}", std::process::id()));
    if as_root {
        // Written by another process: a file that this one writes cannot be run while a command
        // that another test is just starting still holds it open.
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_tollkeeper")).arg(&program);
        assert!(copy.status().unwrap().success());
    } else {
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(&path, closed).unwrap();
    }
    let mut command = here.command(&["serve", "--database-url", &url]);
    if as_root {
        let mut other = Command::new(&program);
        other
            .args(command.get_args())
            .env_clear()
            .env("TOLLKEEPER_LISTEN", "127.0.0.1:0")
            .uid(NOBODY);
        other.current_dir("/").stdin(std::process::Stdio::piped());
        other.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command = other;
    }
    let ended = run(command, "");
    let _ = std::fs::remove_file(&program);
    ended.complains("closed.db");
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

#[test]
fn a_new_database_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    // About SQLite's file, in every run.
    let here = Here::with_file();
    here.run(&["admin", "list"]).well();
    let _running = here.serve();
    for entry in std::fs::read_dir(here.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{entry:?} {mode:o}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_sudden_death() {
    let here = Here::new();
    let mut token = String::new();
    for round in 0..3 {
        let mut command = here.command(&["serve"]);
        command.env("TOLLKEEPER_ADMIN_PASSWORD", "a good password");
        let program = Program::start(command);
        if round == 0 {
            token = sign_in(program.address, "admin", "a good password").await.unwrap();
        }
        assert_eq!(count(program.address, "contractors", &token).await, 10 * round);
        for number in 0..10 {
            let document = json!({"data": {"type": "contractors", "attributes": {
                "name": format!("{round}-{number}"), "enabled": true, "vendor": true, "customer": false,
            }}});
            let reply = ask(
                program.address,
                "POST /api/rest/admin/contractors",
                &token,
                &document.to_string(),
            )
            .await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
        let (status, _) = program.end("KILL");
        assert_eq!(status.code(), None);
    }
    let program = here.serve();
    assert_eq!(count(program.address, "contractors", &token).await, 30);
    assert_eq!(count(program.address, "audit-records", &token).await, 30);
}

#[tokio::test]
async fn a_signal_ends_the_server_though_clients_idle() {
    for signal in ["TERM", "INT", "HUP"] {
        let here = Here::new();
        let program = here.serve();
        let mut idle = Wire::to(program.address).await;
        idle.send("GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").await;
        assert_eq!(idle.reply().await.unwrap().status, 200);
        let mut silent = Wire::to(program.address).await;
        let ending = tokio::task::spawn_blocking(move || program.end(signal));
        assert!(idle.is_closed().await);
        assert!(silent.is_closed().await);
        drop((idle, silent));
        let (status, complaints) = ending.await.unwrap();
        assert_eq!(status.code(), Some(0), "{complaints}");
        assert!(!complaints.contains("panicked"), "{complaints}");
    }
}
