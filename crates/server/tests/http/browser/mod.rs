//! A real browser that is driven as a person would, for tests of pages: Chromium, without a window.
//! Whatever must appear is waited for; what does not appear in time fails the test, with the page's
//! address and text. `harness.rs` proves that it can fail.

mod driver;
mod harness;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use driver::Driver;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

use crate::support::target_directory;

/// Longer than anything on a page takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a page.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest text of a page in the message of a failure.
const TEXT_CHARS_MAX: usize = 2_000;

/// Browsers at once: each is ten processes.
static PLACES: Semaphore = Semaphore::const_new(2);

/// Finds what keeps people from using a page.
const AXE: &str = include_str!("vendor/axe.min.js");

/// Runs it with these rules, or with all; the answer is for `Browser::judged_by`.
const AXE_RUN: &str = "
    const done = arguments[arguments.length - 1];
    const grave = rule => ['serious', 'critical'].includes(rule.impact);
    const lines = rule => rule.nodes.map(node => {
        const summary = node.failureSummary.replace(/\\s+/g, ' ');
        return `${rule.impact} ${rule.id} at ${node.target.join(' ')}: ${summary}`;
    });
    const only = arguments[0] ? {runOnly: arguments[0]} : {};
    axe.run(document, {resultTypes: ['violations'], ...only}).then(
        found => done({
            passes: found.passes.length,
            lines: found.violations.filter(grave).flatMap(lines),
        }),
        error => done({passes: 0, lines: [String(error)]}),
    );
";

/// A browser with one page, of one server. Ends when dropped.
pub struct Browser {
    client: Client,
    origin: String,
    patience: Duration,
    driver: Driver,
    _place: SemaphorePermit<'static>,
}

/// A command that this browser has beyond the standard.
#[derive(Debug)]
struct Extra {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, driver: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        let session = session.expect("it is for a page, which a session has");
        driver.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// A key, by the name that scripts know it by.
fn key(name: &str) -> char {
    let key = match name {
        "Alt" => Key::Alt,
        "ArrowDown" => Key::Down,
        "ArrowLeft" => Key::Left,
        "ArrowRight" => Key::Right,
        "ArrowUp" => Key::Up,
        "Backspace" => Key::Backspace,
        "Control" => Key::Control,
        "Delete" => Key::Delete,
        "End" => Key::End,
        "Enter" => Key::Enter,
        "Escape" => Key::Escape,
        "Home" => Key::Home,
        "PageDown" => Key::PageDown,
        "PageUp" => Key::PageUp,
        "Shift" => Key::Shift,
        "Space" => return ' ',
        "Tab" => Key::Tab,
        _ => return name.parse().unwrap_or_else(|_| panic!("what key is {name}?")),
    };
    key.into()
}

impl Browser {
    /// Starts one for the server at this address: an empty profile, a light page, a wide screen.
    pub async fn start(server: SocketAddr) -> Self {
        let place = PLACES.acquire().await.expect("nobody closes it");
        let driver = Driver::start().await;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(driver.capabilities())
            .connect(&driver.url())
            .await
            .unwrap_or_else(|error| panic!("no browser: {error}: {}", driver.log()));
        let origin = format!("http://{server}");
        let browser = Self { client, origin, patience: PATIENCE, driver, _place: place };
        browser.wide().await;
        browser
    }

    /// Goes to a path of the server.
    pub async fn open(&self, path: &str) {
        let gone = self.client.goto(&format!("{}{path}", self.origin)).await;
        self.must(&format!("open {path}"), gone).await;
    }

    /// The text of the first such element that can be seen.
    pub async fn text(&self, css: &str) -> String {
        self.patiently(&format!("text of {css}"), async || self.shown(css).await?.text().await)
            .await
    }

    /// Clicks the first such element that can be seen.
    pub async fn click(&self, css: &str) {
        self.patiently(&format!("click {css}"), async || self.shown(css).await?.click().await)
            .await;
    }

    /// Types a text over what is in a field. In a field for a day this is `01312026`: month, day, year.
    pub async fn fill(&self, css: &str, text: &str) {
        self.patiently(&format!("fill {css}"), async || {
            let field = self.shown(css).await?;
            let select = "arguments[0].focus(); arguments[0].select()";
            self.client.execute(select, vec![json!(field)]).await?;
            let nothing = char::from(Key::Delete).to_string();
            field.send_keys(if text.is_empty() { &nothing } else { text }).await
        })
        .await;
    }

    /// Chooses the option with this label.
    pub async fn choose(&self, css: &str, label: &str) {
        self.patiently(&format!("choose {label} in {css}"), async || {
            self.shown(css).await?.select_by_label(label).await
        })
        .await;
    }

    /// Presses keys, one after the other, wherever the focus is: `Tab Tab Shift+Tab Enter`.
    pub async fn press(&self, keys: &str) {
        let mut keyboard = KeyActions::new("keyboard".to_owned());
        for stroke in keys.split(' ') {
            let held: Vec<char> = stroke.split('+').map(key).collect();
            for &value in &held {
                keyboard = keyboard.then(KeyAction::Down { value });
            }
            for &value in held.iter().rev() {
                keyboard = keyboard.then(KeyAction::Up { value });
            }
        }
        let pressed = self.client.perform_actions(keyboard).await;
        self.must(&format!("press {keys}"), pressed).await;
    }

    /// Types a text wherever the focus is.
    pub async fn type_text(&self, text: &str) {
        let mut keyboard = KeyActions::new("keyboard".to_owned());
        for value in text.chars() {
            keyboard = keyboard.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        let typed = self.client.perform_actions(keyboard).await;
        self.must(&format!("type {text}"), typed).await;
    }

    /// Waits until such an element can be seen.
    pub async fn wait_for(&self, css: &str) {
        self.patiently(&format!("wait for {css}"), async || self.shown(css).await.map(drop)).await;
    }

    /// Waits until an expression is true on the page; an error in it is not.
    pub async fn wait_until(&self, js: &str) {
        let script = format!("return Boolean({js})");
        self.patiently(&format!("wait until {js}"), async || {
            let so = self.client.execute(&script, vec![]).await? == json!(true);
            so.then_some(()).ok_or(CmdError::WaitTimeout)
        })
        .await;
    }

    /// The value of an expression on the page.
    pub async fn eval(&self, js: &str) -> Value {
        let value = self.client.execute(&format!("return ({js})"), vec![]).await;
        self.must(&format!("eval {js}"), value).await
    }

    /// Warnings and errors in the console since the last look at them, among them what a content
    /// security policy refused and what did not load.
    pub async fn console_complaints(&self) -> Vec<String> {
        let complaints = self.complaints().await;
        self.must("console", complaints).await
    }

    /// What is grave on this page for people who cannot see, hear or point well, a line for each
    /// place of it.
    pub async fn axe(&self) -> Vec<String> {
        let loaded = self.client.execute(AXE, vec![]).await;
        self.must("load axe", loaded).await;
        self.judged_by(Value::Null).await
    }

    /// The same of its colours alone, on a page that `axe` has looked at.
    pub async fn axe_of_colours(&self) -> Vec<String> {
        self.judged_by(json!(["color-contrast"])).await
    }

    async fn judged_by(&self, rules: Value) -> Vec<String> {
        let found = self.client.execute_async(AXE_RUN, vec![rules]).await;
        let found = self.must("run axe", found).await;
        let lines = found["lines"].as_array().unwrap().iter();
        let lines: Vec<String> = lines.map(|line| line.as_str().unwrap().to_owned()).collect();
        assert!(found["passes"].as_u64().unwrap() > 0, "axe has looked at nothing: {lines:?}");
        lines
    }

    /// Keeps what can be seen now as `target/screenshots/<name>.png`.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let picture = self.client.screenshot().await;
        let picture = self.must(&format!("screenshot {name}"), picture).await;
        let directory = target_directory().join("screenshots");
        let file = directory.join(format!("{name}.png"));
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(&file, picture).unwrap();
        file
    }

    /// Pages are asked for dark colours from now on.
    pub async fn dark(&self) {
        self.colours("dark").await;
    }

    /// Pages are asked for light colours from now on.
    pub async fn light(&self) {
        self.colours("light").await;
    }

    async fn colours(&self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// The screen is a phone's from now on.
    pub async fn narrow(&self) {
        self.screen(390, 844, 2, true).await;
    }

    /// The screen is a desk's from now on.
    pub async fn wide(&self) {
        self.screen(1280, 800, 1, false).await;
    }

    async fn screen(&self, width: u32, height: u32, scale: u32, mobile: bool) {
        let screen = json!({
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// A command of Chromium's own protocol.
    async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({"cmd": command, "params": parameters});
        let done = self.client.issue_cmd(Extra { path: "goog/cdp/execute", body }).await;
        self.must(command, done).await;
    }

    async fn complaints(&self) -> Result<Vec<String>, CmdError> {
        let body = json!({"type": "browser"});
        let log = self.client.issue_cmd(Extra { path: "se/log", body }).await?;
        let entries = log.as_array().expect("a list of entries").iter();
        let grave =
            entries.filter(|entry| entry["level"] == "WARNING" || entry["level"] == "SEVERE");
        let lines = grave.map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {}", text("level"), text("source"), text("message"))
        });
        Ok(lines.collect())
    }

    /// The first such element that can be seen.
    async fn shown(&self, css: &str) -> Result<Element, CmdError> {
        for element in self.client.find_all(Locator::Css(css)).await? {
            if element.is_displayed().await? {
                return Ok(element);
            }
        }
        Err(CmdError::WaitTimeout)
    }

    /// Tries until it works. Elements come and go while a page changes, so an error may pass.
    async fn patiently<T>(
        &self,
        what: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, CmdError>,
    ) -> T {
        let since = Instant::now();
        loop {
            let error = match attempt().await {
                Ok(value) => return value,
                Err(error) => error,
            };
            let passes = matches!(error, CmdError::WaitTimeout | CmdError::Standard(_))
                && !error.is_invalid_selector()
                && !error.is_invalid_session_id();
            if !passes || since.elapsed() > self.patience {
                self.fail(what, &error).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn must<T>(&self, what: &str, result: Result<T, CmdError>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => match self.fail(what, &error).await {},
        }
    }

    /// Fails the test, and says what the page shows.
    async fn fail(&self, what: &str, error: &CmdError) -> Infallible {
        let url = self.client.current_url().await.map(String::from).unwrap_or_default();
        let text = self.client.execute("return document.body.innerText", vec![]).await;
        let text = text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
        let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
        let complaints = self.complaints().await.unwrap_or_default();
        panic!("{what}: {error}\nat {url}\nthe page shows: {text}\nthe console: {complaints:#?}");
    }
}
