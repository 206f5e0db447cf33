//! Who is signed in to the console, for how long, and what ends it.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tollkeeper::app::Staying;
use tollkeeper::commands::add_operator;

use crate::console::{Desk, cookie_of, unescape};
use crate::sign_in::change;
use crate::support::{PASSWORD, Setup, TestApp};

/// A server behind a proxy that says where its clients are, and by which scheme they came.
async fn behind_a_proxy() -> TestApp {
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    TestApp::start_as(Setup { trusted_proxies, ..Setup::default() }).await
}

#[tokio::test]
async fn the_cookie_is_for_this_site_alone_and_out_of_reach_of_scripts() {
    let app = TestApp::start().await;
    let reply = app.knock("admin", PASSWORD).await;
    let cookie = cookie_of(&reply);
    assert_eq!(cookie.len(), 43, "{cookie}");
    let header = format!("tollkeeper_session={cookie}; Path=/; HttpOnly; SameSite=Strict");
    assert_eq!(reply.header("set-cookie"), header);
    // Each sign-in has a cookie of its own.
    assert_ne!(cookie_of(&app.knock("admin", PASSWORD).await), cookie);
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM console_sessions"), 2);
}

#[tokio::test]
async fn over_tls_the_cookie_never_goes_out_in_the_clear() {
    let app = behind_a_proxy().await;
    let fields = [("name", "admin"), ("password", PASSWORD)];
    for (scheme, end) in [("https", "SameSite=Strict; Secure"), ("http", "SameSite=Strict")] {
        let headers = [("x-forwarded-proto", scheme)];
        let reply = app.stranger_with(&headers, "POST", "/sign-in", &fields).await;
        assert!(reply.header("set-cookie").ends_with(end), "{reply:?}");
    }
    // Its end is told with the same attributes: browsers would not overwrite it otherwise.
    let desk = Desk::with(&app, "admin", PASSWORD, &[("x-forwarded-proto", "https")]).await;
    let reply = desk.post("/sign-out", &[]).await;
    let gone = "tollkeeper_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure";
    assert_eq!(reply.header("set-cookie"), gone);
}

#[tokio::test]
async fn whoever_reads_the_database_cannot_sign_in() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let token = desk.token().await;
    let dump = app.dump();
    let key: String = app.stored("SELECT key FROM console_sessions");
    assert!(dump.contains(&key), "the session is in the dump");
    assert!(!dump.contains(&desk.cookie) && !dump.contains(&token), "{dump}");
    let mut thief = desk.stolen();
    thief.cookie = key;
    assert!(!thief.is_in().await);
    assert!(desk.is_in().await);
}

#[tokio::test]
async fn a_wrong_password_begins_nothing() {
    let app = TestApp::start().await;
    for (name, password) in [("admin", "a guess at it"), ("nobody", PASSWORD), ("", "")] {
        let reply = app.knock(name, password).await;
        assert_eq!((reply.status, reply.header("set-cookie")), (401, ""), "{reply:?}");
        assert!(reply.body.contains("Incorrect login or password."), "{}", reply.body);
        // The name is still there, the password is not.
        assert!(reply.body.contains(&format!("name=\"name\" value=\"{name}\"")), "{}", reply.body);
        assert!(password.is_empty() || !reply.body.contains(password), "{}", reply.body);
    }
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM console_sessions"), 0);
}

#[tokio::test]
async fn nothing_but_the_door_is_open_to_strangers() {
    let app = TestApp::start().await;
    let next = "/accounts?filter%5Bname_cont%5D=%C3%BC%26&sort=-name";
    for (method, path, target) in [
        ("GET", "/accounts", "/sign-in?next=%2Faccounts".to_owned()),
        ("GET", "/accounts/1/balance", "/sign-in?next=%2Faccounts%2F1%2Fbalance".to_owned()),
        ("GET", "/sessions", "/sign-in?next=%2Fsessions".to_owned()),
        ("POST", "/accounts", "/sign-in?next=%2F".to_owned()),
        ("POST", "/sessions", "/sign-in?next=%2F".to_owned()),
        ("GET", next, format!("/sign-in?next={}", encoded(next))),
    ] {
        let reply = app.stranger(method, path, &[]).await;
        assert_eq!((reply.status, reply.header("location")), (303, target.as_str()), "{path}");
        assert_eq!(reply.body, "");
    }
    // The way back is the very page.
    let reply = app.stranger("GET", &format!("/sign-in?next={}", encoded(next)), &[]).await;
    assert!(unescape(&reply.body).contains(&format!("name=\"next\" value=\"{next}\"")));
    let fields = [("name", "admin"), ("password", PASSWORD), ("next", next)];
    let reply = app.stranger("POST", "/sign-in", &fields).await;
    assert_eq!((reply.status, reply.header("location")), (303, next));
    // A script is told so, instead of being given the door as a part of its page.
    let reply = app.stranger_with(&[("hx-request", "true")], "GET", "/accounts?q=a", &[]).await;
    let target = "/sign-in?next=%2Faccounts%3Fq%3Da";
    assert_eq!((reply.status, reply.header("hx-redirect")), (204, target), "{reply:?}");
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn signing_in_never_leads_to_another_site() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    for evil in [
        "//evil.test",
        "https://evil.test",
        "http:evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "\t//evil.test",
        "/\n/evil.test",
        "/\r\nset-cookie:a=b",
        " //evil.test",
        "javascript:alert(1)",
        "evil.test",
        "/\u{a0}/evil.test",
        "",
    ] {
        let path = format!("/sign-in?next={}", encoded(evil));
        let page = app.stranger("GET", &path, &[]).await;
        assert!(page.body.contains("name=\"next\" value=\"/\""), "{evil:?}: {}", page.body);
        // Whoever is signed in already is sent on at once.
        let reply = desk.get(&path).await;
        assert_eq!((reply.status, reply.header("location")), (303, "/"), "{evil:?}");
        let fields = [("name", "admin"), ("password", PASSWORD), ("next", evil)];
        let reply = app.stranger("POST", "/sign-in", &fields).await;
        assert_eq!((reply.status, reply.header("location")), (303, "/"), "{evil:?}");
    }
}

/// A clock that a test sets. Tests run side by side, so each has its own.
macro_rules! hand {
    ($hand:ident, $clock:ident) => {
        static $hand: AtomicI64 = AtomicI64::new(2_000_000_000);

        fn $clock() -> Timestamp {
            Timestamp::from_second($hand.load(Ordering::SeqCst)).unwrap()
        }
    };
}

hand!(IDLE_HAND, idle_clock);

#[tokio::test]
async fn who_does_nothing_for_long_is_out() {
    let staying =
        Staying { idle: SignedDuration::from_mins(30), longest: SignedDuration::from_hours(999) };
    let app = TestApp::start_as(Setup { clock: idle_clock, staying, ..Setup::default() }).await;
    let desk = Desk::of(&app).await;
    let pass = |secs: i64| IDLE_HAND.fetch_add(secs, Ordering::SeqCst);
    // Each look counts anew.
    for _ in 0..4 {
        pass(29 * 60);
        assert!(desk.is_in().await);
    }
    // What a page asks for by itself does not count.
    let by_itself = [("hx-request", "true"), ("x-unattended", "yes")];
    for _ in 0..2 {
        pass(10 * 60);
        assert_eq!(desk.send("GET", "/", &by_itself, None).await.status, 200);
    }
    pass(10 * 60 + 1);
    assert!(!desk.is_in().await);
    // And forms that were open meanwhile do nothing.
    let reply = desk.send("POST", "/contractors", &[], Some(&[("name", "late")])).await;
    assert_eq!((reply.status, reply.header("location")), (303, "/sign-in?next=%2F"));
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM contractors"), 0);
}

hand!(LONG_HAND, long_clock);

#[tokio::test]
async fn nobody_stays_in_for_ever() {
    let app = TestApp::start_as(Setup { clock: long_clock, ..Setup::default() }).await;
    let desk = Desk::of(&app).await;
    for _ in 0..36 {
        LONG_HAND.fetch_add(20 * 60, Ordering::SeqCst);
        assert!(desk.is_in().await);
    }
    // Twelve hours, to the second.
    LONG_HAND.fetch_add(1, Ordering::SeqCst);
    assert!(!desk.is_in().await);
}

#[tokio::test]
async fn signing_out_ends_the_session_for_whoever_holds_the_cookie() {
    let app = TestApp::start().await;
    let (desk, elsewhere) = (Desk::of(&app).await, Desk::of(&app).await);
    let thief = desk.stolen();
    assert!(thief.is_in().await);
    let reply = desk.post("/sign-out", &[]).await;
    assert_eq!((reply.status, reply.header("location")), (303, "/sign-in"));
    assert!(reply.header("set-cookie").starts_with("tollkeeper_session=; Max-Age=0; "));
    assert!(!thief.is_in().await && !desk.is_in().await);
    assert!(elsewhere.is_in().await);
    // A link is not enough.
    assert_eq!(elsewhere.get("/sign-out").await.status, 405);
    assert!(elsewhere.is_in().await);
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_of_ones_own_sessions_and_nobody_elses() {
    let app = TestApp::start().await;
    add_operator(&app.app, "other", PASSWORD, None).await.unwrap();
    let (here, there) = (Desk::of(&app).await, Desk::of(&app).await);
    let other = Desk::by(&app, "other", PASSWORD).await;
    other.known().await;
    let page = here.page("/sessions").await;
    assert_eq!(page.matches("127.0.0.1").count(), 2, "{page}");
    assert_eq!((page.matches("this one").count(), page.matches("another").count()), (1, 1));
    assert_eq!(other.page("/sessions").await.matches("127.0.0.1").count(), 1);
    let form = here.form("/sessions", "/sessions").await;
    assert_eq!(here.submit(&form).await.status, 303);
    assert!(!here.is_in().await && !there.is_in().await);
    assert!(other.is_in().await);
}

#[tokio::test]
async fn a_new_password_ends_what_was_begun_with_the_old_one() {
    let app = TestApp::start().await;
    add_operator(&app.app, "other", PASSWORD, None).await.unwrap();
    let (desk, other) = (Desk::of(&app).await, Desk::by(&app, "other", PASSWORD).await);
    other.known().await;
    let now = app.app.now().as_second();
    let hash = tollkeeper::auth::hash_password("another password").unwrap();
    change(&app, "admin", move |operator| {
        operator.password_hash.clone_from(&hash);
        operator.tokens_valid_from_secs = now + 1;
    })
    .await;
    desk.is_out_soon().await;
    assert_eq!(app.knock("admin", PASSWORD).await.status, 401);
    // The new one is good at once, though it may be in the same second.
    assert!(Desk::by(&app, "admin", "another password").await.is_in().await);
    assert!(other.is_in().await);
}

#[tokio::test]
async fn a_disabled_operator_is_out() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    change(&app, "admin", |operator| operator.enabled = false).await;
    desk.is_out_soon().await;
    assert_eq!(app.knock("admin", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_session_holds_only_where_its_operator_may_come_from() {
    let app = behind_a_proxy().await;
    let networks = Some("192.0.2.0/24, 2001:db8::/32".to_owned());
    add_operator(&app.app, "guest", PASSWORD, networks).await.unwrap();
    let fields = [("name", "guest"), ("password", PASSWORD)];
    let outside = [("x-forwarded-for", "198.51.100.1")];
    let reply = app.stranger_with(&outside, "POST", "/sign-in", &fields).await;
    assert_eq!((reply.status, reply.header("set-cookie")), (401, ""));
    assert!(reply.body.contains("Your IP address is not allowed."), "{}", reply.body);
    let mut desk = Desk::with(&app, "guest", PASSWORD, &[("x-forwarded-for", "192.0.2.7")]).await;
    desk.known().await;
    assert!(desk.page("/sessions").await.contains("192.0.2.7"));
    for (from, is_in) in [("2001:db8::1", true), ("198.51.100.1", false), ("192.0.2.8", true)] {
        desk.headers = vec![("x-forwarded-for", from.to_owned())];
        assert_eq!(desk.is_in().await, is_in, "{from}");
    }
    // A rule that comes later reaches those who are in.
    change(&app, "guest", |operator| operator.allowed_ips = Some("203.0.113.1".into())).await;
    desk.is_out_soon().await;
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_page_says_so() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        assert_eq!(app.knock("admin", "a guess at it").await.status, 401);
    }
    // Even the right password has to wait now: else a guesser would learn it.
    for password in ["a guess at it", PASSWORD] {
        let reply = app.knock("admin", password).await;
        assert_eq!((reply.status, reply.header("set-cookie")), (429, ""), "{reply:?}");
        let wait: u32 = reply.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let said = "role=\"alert\">Too many failed sign-in attempts. Try again later.<";
        assert!(reply.body.contains(said), "{}", reply.body);
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    }
    // The API counts the same attempts.
    let body = serde_json::json!({"auth": {"username": "admin", "password": PASSWORD}}).to_string();
    let headers = [("content-type", "application/json")];
    assert_eq!(app.send("POST", "/auth", &headers, body).await.status, 429);
}
