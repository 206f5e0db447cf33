//! Who may come in, with what, from where, and for how long (contract, protocol 2).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use store::{Operator, StoreError};
use tollkeeper::commands::add_operator;

use crate::support::{MEDIA_TYPE, PASSWORD, Reply, SECRET, Setup, TestApp};

const PATH: &str = "/accounts";

async fn get_with(app: &TestApp, headers: &[(&str, &str)]) -> Reply {
    app.send("GET", PATH, headers, "").await
}

async fn status_of(app: &TestApp, token: &str) -> u16 {
    get_with(app, &[("authorization", token)]).await.status
}

async fn sign_in(app: &TestApp, name: &str, password: &str) -> Reply {
    let body = json!({"auth": {"username": name, "password": password}});
    app.send("POST", "/auth", &[("content-type", "application/json")], body.to_string()).await
}

#[track_caller]
fn token_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["jwt"].as_str().unwrap().to_owned()
}

/// A token with any header and payload, signed with the server's key.
fn forged(algorithm: Algorithm, payload: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(algorithm), payload, &key).unwrap()
}

fn signed(payload: &Value) -> String {
    forged(Algorithm::HS256, payload)
}

fn payload(token: &str) -> Value {
    serde_json::from_slice(&BASE64.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// Changes an operator as the command line does.
pub async fn change(app: &TestApp, name: &str, change: impl Fn(&mut Operator) + Send + 'static) {
    let name = name.to_owned();
    let changed: Result<(), StoreError> = app
        .app
        .store
        .write(async move |tx| {
            let mut operator = tx.operator(&name).await?.expect("the operator");
            change(&mut operator);
            tx.update_operator(&operator).await
        })
        .await;
    changed.unwrap();
}

/// Waits until the token is refused: operators are remembered for a few seconds.
async fn refused_soon(app: &TestApp, token: &str) {
    let started = Instant::now();
    while status_of(app, token).await != 401 {
        assert!(started.elapsed() < Duration::from_secs(30), "the token is still good");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_last_word_of_the_header_is_the_token() {
    let app = TestApp::start().await;
    let token = app.token.as_str();
    for header in [
        token.to_owned(),
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("Foo bar {token}"),
        format!("Bearer   {token}  "),
        format!("Bearer\t{token}"),
    ] {
        assert_eq!(status_of(&app, &header).await, 200, "{header}");
    }
    for header in [
        String::new(),
        "Bearer".into(),
        format!("{token} x"),
        format!("{token},"),
        format!("Bearer{token}"),
        format!("\"{token}\""),
        "Basic YWRtaW46YQ==".into(),
    ] {
        assert_eq!(status_of(&app, &header).await, 401, "{header}");
    }
    assert_eq!(get_with(&app, &[]).await.status, 401);
    for cookie in [token.to_owned(), format!("token={token}"), format!("jwt={token}")] {
        assert_eq!(get_with(&app, &[("cookie", &cookie)]).await.status, 401);
    }
}

#[tokio::test]
async fn a_token_in_the_query_wins_and_is_in_no_link() {
    let app = TestApp::start().await;
    let token = app.token.as_str();
    let good = [("authorization", token)];
    let query = format!("/accounts?token={token}");
    for headers in [&[][..], &good, &[("authorization", "bad")]] {
        let reply = app.send("GET", &query, headers, "").await;
        assert_eq!(reply.status, 200);
        assert!(!reply.body.contains("token") && !reply.body.contains(token));
    }
    for bad in ["token=", "token", "token=x", "token[]=x", "token[a]=x", "token=Bearer+x"] {
        let reply = app.send("GET", &format!("/accounts?{bad}"), &good, "").await;
        assert_eq!(reply.status, 401, "{bad}");
    }
    let bracketed = format!("/accounts?token[]={token}");
    assert_eq!(app.send("GET", &bracketed, &[], "").await.status, 401);
}

#[tokio::test]
async fn a_refused_token_is_told_so_in_a_document() {
    let app = TestApp::start().await;
    for token in ["", "x", "a.b.c"] {
        let reply = get_with(&app, &[("authorization", token), ("accept", MEDIA_TYPE)]).await;
        assert_eq!(
            reply.refuses(401).body,
            concat!(
                r#"{"errors":[{"title":"Authorization failed","#,
                r#""detail":"Authorization token expired or incorrect.","code":"401","status":"401"}]}"#
            )
        );
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert_eq!(reply.header("cache-control"), "no-cache");
        assert_eq!(reply.header("vary"), "");
    }
}

#[tokio::test]
async fn only_tokens_with_the_right_claims_and_signature_are_good() {
    let app = TestApp::start().await;
    let soon = app.app.now().as_second() + 60;
    let claims = |changes: Value| {
        let mut claims = json!({"sub": 1, "aud": ["admin"], "exp": soon});
        for (name, value) in changes.as_object().unwrap() {
            if value == "(none)" {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        signed(&claims)
    };
    for good in [
        json!({}),
        json!({"sub": "1"}),
        json!({"aud": "admin"}),
        json!({"aud": ["other", "admin"]}),
        json!({"exp": "(none)"}),
        json!({"exp": soon + 1_000_000}),
        serde_json::from_str(&format!("{{\"exp\":{soon}.5}}")).unwrap(),
        json!({"nbf": soon - 120}),
        json!({"iat": soon + 1_000}),
        json!({"iat": "junk"}),
        json!({"unknown": [1]}),
    ] {
        assert_eq!(status_of(&app, &claims(good.clone())).await, 200, "{good}");
    }
    for bad in [
        json!({"sub": 2}),
        json!({"sub": 0}),
        json!({"sub": -1}),
        json!({"sub": "x"}),
        json!({"sub": 1.5}),
        json!({"sub": null}),
        json!({"sub": [1]}),
        json!({"sub": true}),
        json!({"sub": "(none)"}),
        json!({"sub": ""}),
        json!({"sub": "admin"}),
        json!({"aud": "other"}),
        json!({"aud": ["other"]}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"aud": "(none)"}),
        json!({"aud": "Admin"}),
        json!({"aud": 1}),
        json!({"exp": soon - 61}),
        json!({"exp": 0}),
        json!({"exp": -1}),
        json!({"exp": "x"}),
        json!({"exp": {}}),
        json!({"exp": 1.5}),
        json!({"nbf": soon + 3_600}),
        json!({"nbf": "x"}),
    ] {
        assert_eq!(status_of(&app, &claims(bad.clone())).await, 401, "{bad}");
    }
    let usual = json!({"sub": 1, "aud": ["admin"], "exp": soon});
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(status_of(&app, &forged(algorithm, &usual)).await, 401, "{algorithm:?}");
    }
    let body = BASE64.encode(usual.to_string());
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"RS256"}"#,
        "{}",
        "x",
    ] {
        for signature in ["", "x", "AAAA"] {
            let token = format!("{}.{body}.{signature}", BASE64.encode(header));
            assert_eq!(status_of(&app, &token).await, 401, "{token}");
        }
    }
    let good = signed(&usual);
    let parts: Vec<&str> = good.split('.').collect();
    for broken in [
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{good}."),
        format!("{good}x"),
        format!(".{good}"),
        format!("{}.{}.{}", parts[0], BASE64.encode(r#"{"sub":1,"aud":["admin"]}"#), parts[2]),
        encode(&Header::new(Algorithm::HS256), &usual, &EncodingKey::from_secret(b"other"))
            .unwrap(),
        signed(&json!([])),
        signed(&json!("x")),
        signed(&json!(null)),
    ] {
        assert_eq!(status_of(&app, &broken).await, 401, "{broken}");
    }
    assert_eq!(status_of(&app, &good).await, 200);
}

/// What the clock of some tests shows; each such test has its own server but shares the hand.
static HAND: AtomicI64 = AtomicI64::new(2_000_000_000);

fn hand() -> Timestamp {
    Timestamp::from_second(HAND.load(Ordering::SeqCst)).unwrap()
}

#[tokio::test]
async fn a_token_lives_as_long_as_configured() {
    let app = TestApp::start_as(Setup { clock: hand, ..Setup::default() }).await;
    let token = token_of(&sign_in(&app, "admin", PASSWORD).await);
    let claims = payload(&token);
    assert_eq!(claims, json!({"sub": 1, "aud": ["admin"], "exp": 2_000_000_600}));
    let head = token.split('.').next().unwrap();
    assert_eq!(BASE64.decode(head).unwrap(), br#"{"alg":"HS256"}"#);
    let text = String::from_utf8(BASE64.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(text, r#"{"sub":1,"aud":["admin"],"exp":2000000600}"#);
    assert_eq!(status_of(&app, &token).await, 200);
    HAND.store(2_000_000_599, Ordering::SeqCst);
    assert_eq!(status_of(&app, &token).await, 200);
    HAND.store(2_000_000_600, Ordering::SeqCst);
    assert_eq!(status_of(&app, &token).await, 401);
}

#[tokio::test]
async fn permanent_tokens_have_no_expiry_and_the_server_looks_at_none() {
    let app = TestApp::start_with(0).await;
    let token = token_of(&sign_in(&app, "admin", PASSWORD).await);
    assert_eq!(payload(&token), json!({"sub": 1, "aud": ["admin"]}));
    assert_eq!(status_of(&app, &token).await, 200);
    let expired = signed(&json!({"sub": 1, "aud": ["admin"], "exp": 1}));
    assert_eq!(status_of(&app, &expired).await, 200);
}

#[tokio::test]
async fn name_and_password_are_taken_in_every_form_of_the_contract() {
    let app = TestApp::start().await;
    let both = r#"{"username":"admin","password":"a good password"}"#;
    let wrapped = format!("{{\"auth\":{both}}}");
    let form = "auth%5Busername%5D=admin&auth[password]=a+good+password";
    for (kind, body) in [
        ("application/json", wrapped.as_str()),
        ("application/json; charset=utf-8", &wrapped),
        (MEDIA_TYPE, &wrapped),
        ("application/json", both),
        ("application/x-www-form-urlencoded", form),
        ("Application/X-WWW-Form-Urlencoded; charset=utf-8", form),
    ] {
        let headers = [("content-type", kind), ("accept", "text/html")];
        let reply = app.send("POST", "/auth", &headers, body).await;
        let token = token_of(&reply);
        assert_eq!(reply.body, format!("{{\"jwt\":\"{token}\"}}"));
        assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
        assert!(reply.header("etag").starts_with("W/\""));
        assert!(!reply.headers.contains_key("location"));
        assert_eq!(status_of(&app, &token).await, 200);
    }
}

#[tokio::test]
async fn what_names_nobody_is_a_bad_request_and_who_is_nobody_is_refused() {
    let app = TestApp::start().await;
    let wrong = concat!(
        r#"{"errors":[{"title":"Authentication failed","#,
        r#""detail":"Incorrect login or password.","code":"401","status":"401"}]}"#
    );
    let (json, api, form) = ("application/json", MEDIA_TYPE, "application/x-www-form-urlencoded");
    for (kind, body, status) in [
        (json, r#"{"auth":{"username":"admin","password":"wrong"}}"#, 401),
        (json, r#"{"auth":{"username":"nobody","password":"a good password"}}"#, 401),
        (json, r#"{"auth":{"username":"Admin","password":"a good password"}}"#, 401),
        (json, r#"{"auth":{"username":"admin ","password":"a good password"}}"#, 401),
        (json, r#"{"auth":{"username":"admin","password":""}}"#, 401),
        (json, r#"{"auth":{"username":"","password":""}}"#, 401),
        (json, r#"{"auth":{"username":1,"password":"a good password"}}"#, 401),
        (json, r#"{"auth":{"username":["admin"],"password":"a good password"}}"#, 401),
        (json, r#"{"auth":{"username":"admin","password":null}}"#, 401),
        (json, r#"{"auth":{"username":"admin"}}"#, 401),
        (json, r#"{"auth":{"x":1}}"#, 401),
        (json, "[]", 401),
        (json, "null", 401),
        (json, "", 400),
        (json, "{", 400),
        (json, "{}", 400),
        (json, r#"{"auth":{}}"#, 400),
        (json, r#"{"auth":"x"}"#, 400),
        (json, r#"{"auth":null}"#, 400),
        (json, r#"{"auth":[]}"#, 400),
        (json, r#"{"user":{}}"#, 400),
        (api, "", 400),
        (api, r#"{"username":"admin","password":"a good password"}"#, 400),
        (form, "", 400),
        (form, "username=admin&password=a+good+password", 400),
        (form, "auth[username]=admin", 401),
        (form, "auth[username]=admin&auth[password]=%FF", 401),
    ] {
        // Each from a server of its own would be slow; forgetting the failures is as good.
        for name in ["admin", "nobody"] {
            let (throttle, address) = (&app.app.throttle, [127, 0, 0, 1].into());
            let attempt = throttle.attempt(&app.app.store, address, name).await.unwrap();
            attempt.succeeded().await.unwrap();
        }
        let reply = app.send("POST", "/auth", &[("content-type", kind)], body).await;
        assert_eq!(reply.status, status, "{body} {reply:?}");
        assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
        if status == 401 {
            assert_eq!(reply.body, wrong, "{body}");
        } else {
            let error = &reply.json()["errors"][0];
            assert_eq!((&error["code"], &error["title"]), (&json!("400"), &json!("Bad Request")));
        }
    }
    assert_eq!(app.send("GET", "/auth", &[], "").await.status, 405);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_told_when_to_try_again() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        assert_eq!(sign_in(&app, "admin", "a guess at it").await.status, 401);
    }
    // Even the right password has to wait now: else a guesser would learn it.
    for password in ["a guess at it", PASSWORD] {
        let reply = sign_in(&app, "admin", password).await;
        assert_eq!(reply.status, 429, "{reply:?}");
        let wait: u32 = reply.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(reply.json()["errors"][0]["code"], "429");
        assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
    }
    // Others are not held up, tokens are not held up, and names of any length are counted.
    assert_eq!(sign_in(&app, "other", "a guess at it").await.status, 401);
    assert_eq!(status_of(&app, &app.token).await, 200);
    let long = "x".repeat(100_000);
    for _ in 0..10 {
        assert_eq!(sign_in(&app, &long, "a guess at it").await.status, 401);
    }
    assert_eq!(sign_in(&app, &long, "a guess at it").await.status, 429);
}

#[tokio::test]
async fn guesses_that_come_all_at_once_are_counted_one_by_one() {
    let app = Arc::new(TestApp::start().await);
    let guessing: Vec<_> = (0..60)
        .map(|_| {
            let app = Arc::clone(&app);
            tokio::spawn(async move { sign_in(&app, "admin", "a guess at it").await.status })
        })
        .collect();
    let mut verified = 0;
    for guess in guessing {
        match guess.await.unwrap() {
            401 => verified += 1,
            status => assert_eq!(status, 429),
        }
    }
    // Two are checked at once, so one more than the limit may slip through.
    assert!((10..=11).contains(&verified), "{verified}");
}

#[tokio::test]
async fn one_who_signs_in_after_all_starts_afresh() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        for _ in 0..9 {
            assert_eq!(sign_in(&app, "admin", "a guess at it").await.status, 401);
        }
        token_of(&sign_in(&app, "admin", PASSWORD).await);
    }
}

#[tokio::test]
async fn a_disabled_operator_is_out_within_seconds_and_back_when_enabled() {
    let app = TestApp::start().await;
    assert_eq!(status_of(&app, &app.token).await, 200);
    change(&app, "admin", |operator| operator.enabled = false).await;
    refused_soon(&app, &app.token).await;
    let unknown = sign_in(&app, "nobody", PASSWORD).await;
    let disabled = sign_in(&app, "admin", PASSWORD).await;
    assert_eq!((disabled.status, &disabled.body), (401, &unknown.body));
    change(&app, "admin", |operator| operator.enabled = true).await;
    token_of(&sign_in(&app, "admin", PASSWORD).await);
}

#[tokio::test]
async fn a_new_password_ends_older_tokens_and_the_next_sign_in_works_at_once() {
    let app = TestApp::start().await;
    let now = app.app.now().as_second();
    let hash = tollkeeper::auth::hash_password("another password").unwrap();
    assert_eq!(status_of(&app, &app.token).await, 200);
    change(&app, "admin", move |operator| {
        operator.password_hash.clone_from(&hash);
        operator.tokens_valid_from_secs = now + 1;
    })
    .await;
    assert_eq!(sign_in(&app, "admin", PASSWORD).await.status, 401);
    let token = token_of(&sign_in(&app, "admin", "another password").await);
    assert_eq!(status_of(&app, &token).await, 200);
    refused_soon(&app, &app.token).await;
    assert_eq!(status_of(&app, &token).await, 200);
}

#[tokio::test]
async fn a_new_password_ends_tokens_without_expiry_too() {
    for lifetime in [0, 600] {
        let app = TestApp::start_with(lifetime).await;
        let now = app.app.now().as_second();
        let ageless = signed(&json!({"sub": 1, "aud": ["admin"]}));
        assert_eq!(status_of(&app, &ageless).await, 200);
        change(&app, "admin", move |operator| operator.tokens_valid_from_secs = now + 1).await;
        let token = token_of(&sign_in(&app, "admin", PASSWORD).await);
        refused_soon(&app, &ageless).await;
        refused_soon(&app, &app.token).await;
        assert_eq!(status_of(&app, &token).await, 200);
        let younger = signed(&json!({"sub": 1, "aud": ["admin"], "iat": now + 1}));
        let older = signed(&json!({"sub": 1, "aud": ["admin"], "iat": now}));
        assert_eq!((status_of(&app, &younger).await, status_of(&app, &older).await), (200, 401));
    }
}

#[tokio::test]
async fn a_token_made_by_a_script_is_good_on_a_fresh_installation() {
    // Its short life makes it look older than the operator; only a new password ends tokens.
    let app = TestApp::start().await;
    let soon = app.app.now().as_second() + 5;
    let token = signed(&json!({"sub": 1, "aud": ["admin"], "exp": soon + 60}));
    assert_eq!(status_of(&app, &token).await, 200);
}

/// A server behind a proxy that says where its clients are.
async fn behind_a_proxy() -> TestApp {
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    TestApp::start_as(Setup { trusted_proxies, ..Setup::default() }).await
}

#[tokio::test]
async fn operators_come_only_from_their_networks() {
    let app = behind_a_proxy().await;
    let networks = "192.0.2.0/24, 198.51.100.7,2001:db8::/32,2001:db9::1";
    add_operator(&app.app, "guest", PASSWORD, Some(networks.to_owned())).await.unwrap();
    let token = app.app.tokens.issue(2, 0, app.app.now()).unwrap();
    let body = json!({"username": "guest", "password": PASSWORD}).to_string();
    for (from, allowed) in [
        ("192.0.2.1", true),
        ("192.0.2.255", true),
        ("198.51.100.7", true),
        ("::ffff:192.0.2.1", true),
        ("::ffff:198.51.100.7", true),
        ("2001:db8:1::5", true),
        ("2001:db9::1", true),
        ("192.0.3.1", false),
        ("198.51.100.8", false),
        ("::ffff:192.0.3.1", false),
        ("2001:db9::2", false),
        ("::1", false),
        ("127.0.0.1", false),
        ("junk", false),
    ] {
        for header in ["x-real-ip", "x-forwarded-for"] {
            let headers = [(header, from), ("authorization", token.as_str())];
            let reply = get_with(&app, &headers).await;
            assert_eq!(reply.status, if allowed { 200 } else { 401 }, "{from}");
        }
        let headers = [("x-real-ip", from), ("content-type", "application/json")];
        let reply = app.send("POST", "/auth", &headers, body.clone()).await;
        if allowed {
            token_of(&reply);
        } else {
            assert_eq!(reply.errors(), ["401 Your IP address is not allowed."]);
        }
    }
    // A wrong password is told nothing about addresses.
    let headers = [("x-real-ip", "::1"), ("content-type", "application/json")];
    let wrong = json!({"username": "guest", "password": "a guess at it"}).to_string();
    let reply = app.send("POST", "/auth", &headers, wrong).await;
    assert_eq!(reply.errors(), ["401 Incorrect login or password."]);
    // Where a proxy sends both headers, the chain is what it wrote itself.
    let both = [
        ("x-real-ip", "192.0.2.1"),
        ("x-forwarded-for", "203.0.113.1"),
        ("authorization", token.as_str()),
    ];
    assert_eq!(get_with(&app, &both).await.status, 401);
    // Of several addresses, the proxy's own word is the last, in one line or in two.
    for lines in [&["192.0.2.1, 203.0.113.1"][..], &["192.0.2.1", "203.0.113.1"]] {
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(lines.iter().map(|line| ("x-forwarded-for", *line)));
        assert_eq!(get_with(&app, &headers).await.status, 401, "{lines:?}");
    }
}

#[tokio::test]
async fn an_address_rule_reaches_tokens_that_are_out_already() {
    let app = TestApp::start().await;
    assert_eq!(status_of(&app, &app.token).await, 200);
    change(&app, "admin", |operator| operator.allowed_ips = Some("192.0.2.0/24".into())).await;
    refused_soon(&app, &app.token).await;
    // Nobody vouches for this header.
    let headers = [("authorization", app.token.as_str()), ("x-real-ip", "192.0.2.1")];
    assert_eq!(get_with(&app, &headers).await.status, 401);
    change(&app, "admin", |operator| operator.allowed_ips = Some("127.0.0.0/8".into())).await;
    token_of(&sign_in(&app, "admin", PASSWORD).await);
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_are_answered_alike() {
    let app = TestApp::start().await;
    let unknown = sign_in(&app, "nobody", "a guess at it").await;
    let wrong = sign_in(&app, "admin", "a guess at it").await;
    assert_eq!((unknown.status, &unknown.body), (wrong.status, &wrong.body));
    let names =
        |reply: &Reply| -> Vec<String> { reply.headers.keys().map(ToString::to_string).collect() };
    assert_eq!(names(&unknown), names(&wrong));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_sign_in_at_once_are_all_answered_and_others_with_them() {
    let app = Arc::new(TestApp::start().await);
    let signing: Vec<_> = (0..12)
        .map(|_| {
            let app = Arc::clone(&app);
            tokio::spawn(async move { sign_in(&app, "admin", PASSWORD).await.status })
        })
        .collect();
    assert_eq!(app.get(PATH).await.status, 200);
    for status in signing {
        assert_eq!(status.await.unwrap(), 201);
    }
}
