//! That the browser sees what it is there to see: each of its methods on pages of the test's own,
//! and each of its complaints about a page that deserves it. Also that what the console takes from
//! others works under a content security policy.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

use super::Browser;
use super::driver::program;

/// No code and no styles but from files of the same server.
const POLICY: &str = "default-src 'self'";

const CLEAN: &str = r#"<!doctype html><html lang="en"><head><title>Clean</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>Nothing to complain about</h1><p hidden>unseen</p><p>seen</p></main></body></html>"#;

const INLINE: &str = r#"<!doctype html><html lang="en"><head><title>Inline</title></head>
<body><main><h1>Inline</h1><script>document.title = "Changed"</script></main></body></html>"#;

const UNLABELLED: &str = r#"<!doctype html><html lang="en"><head><title>Unlabelled</title></head>
<body><main><h1>Unlabelled</h1><input id="nameless"></main></body></html>"#;

const DIM: &str = r#"<!doctype html><html lang="en"><head><title>Dim</title>
<link rel="stylesheet" href="/dim.css"></head>
<body><main><h1>Dim</h1><p>Seen by day</p></main></body></html>"#;

/// Nobody can read it at night.
const DIM_CSS: &str = "p { color: black; background: white }
@media (prefers-color-scheme: dark) { p { color: silver } }";

const FORM: &str = r#"<!doctype html><html lang="en"><head><title>Form</title></head>
<body><main><h1>Form</h1><form action="/told">
<label>Name <input name="name" value="old"></label>
<label>Amount <input name="amount" type="number" step="0.01"></label>
<label>Day <input name="day" type="date"></label>
<label>Kind <select name="kind"><option value="1">Credit</option><option value="2">Debit</option></select></label>
<button>Send</button></form></main></body></html>"#;

const HTMX: &str = r##"<!doctype html><html lang="en"><head><title>Parts</title>
<meta name="htmx-config" content='{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"historyCacheSize":0}'>
<link rel="stylesheet" href="/uPlot.min.css"><script src="/htmx.min.js"></script>
<script src="/uPlot.iife.min.js"></script><script src="/chart.js" defer></script></head>
<body><main><h1>Parts</h1><button hx-get="/part" hx-target="#place" hx-push-url="/parted">Load</button>
<div id="place"></div><div id="chart"></div></main></body></html>"##;

const CHART: &str = r#"
const axes = [{}, {}], series = [{}, {label: "Balance", stroke: "black"}];
new uPlot({width: 600, height: 200, axes, series}, [[1, 2, 3], [5, 8, 2]],
    document.getElementById("chart"));
"#;

/// A server of these pages.
async fn site() -> SocketAddr {
    let file = |media_type: &'static str, text: &'static str| {
        get(move || async move {
            ([(CONTENT_TYPE, media_type), (CONTENT_SECURITY_POLICY, POLICY)], text)
        })
    };
    let page = |html: &'static str| file("text/html; charset=utf-8", html);
    let script = |js: &'static str| file("text/javascript", js);
    let router = Router::new()
        .route("/clean", page(CLEAN))
        .route("/inline", page(INLINE))
        .route("/unlabelled", page(UNLABELLED))
        .route("/dim", page(DIM))
        .route("/dim.css", file("text/css", DIM_CSS))
        .route("/form", page(FORM))
        .route("/told", page(CLEAN))
        .route("/htmx", page(HTMX))
        .route("/part", page("<p id=part>A part</p><script>document.title = 'Changed'</script>"))
        .route("/unconfigured", page(r#"<title>Bare</title><script src="/htmx.min.js"></script>"#))
        .route("/htmx.min.js", script(include_str!("../../../src/console/vendor/htmx.min.js")))
        .route(
            "/uPlot.iife.min.js",
            script(include_str!("../../../src/console/vendor/uPlot.iife.min.js")),
        )
        .route(
            "/uPlot.min.css",
            file("text/css", include_str!("../../../src/console/vendor/uPlot.min.css")),
        )
        .route("/chart.js", script(CHART))
        .fallback(|| async { StatusCode::NO_CONTENT });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn a_clean_page_is_not_complained_of() {
    let browser = Browser::start(site().await).await;
    browser.open("/clean").await;
    assert_eq!(browser.text("h1").await, "Nothing to complain about");
    // The first one is hidden.
    assert_eq!(browser.text("p").await, "seen");
    assert_eq!(browser.axe().await, [""; 0]);
    assert_eq!(browser.console_complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_policy_that_is_broken_is_complained_of() {
    let browser = Browser::start(site().await).await;
    browser.open("/inline").await;
    let complaints = browser.console_complaints().await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("inline script"), "{complaints:?}");
    assert_eq!(browser.eval("document.title").await, "Inline");
    // They are told once.
    assert_eq!(browser.console_complaints().await, [""; 0]);
    browser.eval("console.warn('beware')").await;
    let complaints = browser.console_complaints().await;
    assert!(complaints.len() == 1 && complaints[0].contains("beware"), "{complaints:?}");
}

#[tokio::test]
async fn a_field_without_a_label_is_found() {
    let browser = Browser::start(site().await).await;
    browser.open("/unlabelled").await;
    let found = browser.axe().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("critical label at #nameless: "), "{found:?}");
}

#[tokio::test]
async fn colours_are_looked_at_as_they_are_now() {
    let browser = Browser::start(site().await).await;
    browser.open("/dim").await;
    assert_eq!(browser.axe().await, [""; 0]);
    browser.dark().await;
    let found = browser.axe_of_colours().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("serious color-contrast at p: "), "{found:?}");
    browser.light().await;
    assert_eq!(browser.axe_of_colours().await, [""; 0]);
}

#[tokio::test]
async fn forms_are_filled_by_hand() {
    let browser = Browser::start(site().await).await;
    browser.open("/form").await;
    browser.fill("[name=name]", "new").await;
    browser.fill("[name=amount]", "12.50").await;
    browser.fill("[name=day]", "01312026").await;
    browser.choose("select", "Debit").await;
    browser.click("button").await;
    browser.wait_until("location.pathname === '/told'").await;
    let told = "?name=new&amount=12.50&day=2026-01-31&kind=2";
    assert_eq!(browser.eval("location.search").await, told);
    browser.open("/form").await;
    browser.fill("[name=name]", "").await;
    assert_eq!(browser.eval("document.querySelector('input').value").await, "");
}

#[tokio::test]
async fn forms_are_filled_by_keyboard_alone() {
    let browser = Browser::start(site().await).await;
    browser.open("/form").await;
    browser.press("Tab").await;
    browser.type_text("keys").await;
    browser.press("Tab Tab Shift+Tab ArrowUp").await;
    assert_eq!(browser.eval("document.activeElement.name").await, "amount");
    browser.press("Enter").await;
    browser.wait_until("location.pathname === '/told'").await;
    assert_eq!(browser.eval("location.search").await, "?name=keys&amount=0.01&day=&kind=1");
}

/// The width and height of a PNG.
fn size(file: &Path) -> (u32, u32) {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(&bytes[1..4], b"PNG");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test]
async fn pages_see_the_dark_and_the_narrow() {
    const DARK: &str = "matchMedia('(prefers-color-scheme: dark)').matches";
    const SCREEN: &str = "[innerWidth, innerHeight]";
    let browser = Browser::start(site().await).await;
    browser.open("/clean").await;
    assert_eq!(browser.eval(DARK).await, false);
    assert_eq!(browser.eval(SCREEN).await, json!([1280, 800]));
    assert_eq!(size(&browser.screenshot("harness-wide").await), (1280, 800));
    browser.dark().await;
    browser.narrow().await;
    assert_eq!(browser.eval(DARK).await, true);
    assert_eq!(browser.eval(SCREEN).await, json!([390, 844]));
    assert_eq!(size(&browser.screenshot("harness-narrow").await), (780, 1688));
    // The next page, too.
    browser.open("/form").await;
    assert_eq!(browser.eval(DARK).await, true);
    assert_eq!(browser.eval("screen.width").await, 390);
    browser.wide().await;
    assert_eq!(browser.eval(SCREEN).await, json!([1280, 800]));
}

#[tokio::test]
async fn htmx_and_charts_work_under_a_policy() {
    let browser = Browser::start(site().await).await;
    browser.open("/htmx").await;
    browser.wait_for("#chart canvas").await;
    browser.click("button").await;
    browser.wait_for("#part").await;
    browser.wait_until("location.pathname === '/parted'").await;
    assert_eq!(browser.eval("document.title").await, "Parts");
    assert_eq!(browser.eval("sessionStorage.getItem('htmx-history-cache')").await, json!(null));
    assert_eq!(browser.axe().await, [""; 0]);
    assert_eq!(browser.console_complaints().await, [""; 0]);
    // Without the settings, it does not.
    browser.open("/unconfigured").await;
    let complaints = browser.console_complaints().await;
    assert!(complaints.len() == 1 && complaints[0].contains("inline style"), "{complaints:?}");
}

#[tokio::test]
async fn a_wait_in_vain_says_what_the_page_shows() {
    let mut browser = Browser::start(site().await).await;
    browser.patience = Duration::from_millis(200);
    browser.open("/clean").await;
    let waiting = async move { browser.wait_for("#never").await };
    let here = LocalSet::new();
    let failure =
        here.run_until(async { spawn_local(waiting).await }).await.unwrap_err().into_panic();
    let message = failure.downcast_ref::<String>().unwrap();
    for part in ["wait for #never", "/clean\n", "Nothing to complain about"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

/// Processes that speak of this directory in their command lines.
fn processes(directory: &Path) -> usize {
    let directory = directory.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|process| {
        let line = std::fs::read(process.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    });
    lines.filter(|line| line.contains(directory)).count()
}

#[tokio::test]
async fn a_browser_ends_with_its_test() {
    let browser = Browser::start(site().await).await;
    let directory = browser.driver.directory().to_owned();
    let port = browser.driver.url().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    assert!(processes(&directory) > 1);
    drop(browser);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    assert_eq!(processes(&directory), 0);
    assert!(!directory.exists());
}

#[test]
#[should_panic(expected = "there is no chromium-of-no-machine: run scripts/test-browser")]
fn a_missing_browser_says_how_to_get_it() {
    program("chromium-of-no-machine");
}
