//! The process that drives a browser, the browser that it starts, and the directory that both live in.
//! All three end with the test.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

/// How long the driver may take to listen, or to end.
const DRIVER_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a page may take to load, and a script to run.
const PAGE_TIME_MAX: Duration = Duration::from_mins(1);

/// The typeface of pages that leave it to the system, so that screenshots are alike on all machines.
const FONTS: &str = r#"<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
</fontconfig>
"#;

/// A running driver.
pub struct Driver {
    process: Child,
    port: u16,
    directory: tempfile::TempDir,
}

/// Where a program is.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Where a program is that the tests cannot do without.
pub fn program(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("there is no {name}: run scripts/test-browser"))
}

/// The driver as a command that the kernel kills with this thread, even when nothing else can.
fn driver() -> Command {
    let driver = program("chromedriver");
    match find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL"]).arg(driver);
            command
        }
        None => Command::new(driver),
    }
}

impl Driver {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = directory.path();
        fs::create_dir_all(home.join(".config/fontconfig")).unwrap();
        fs::write(home.join(".config/fontconfig/fonts.conf"), FONTS).unwrap();
        let log = File::create(home.join("driver.log")).unwrap();
        let process = driver()
            .arg("--port=0")
            .envs([("HOME", home), ("TMPDIR", home)])
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the driver runs");
        let mut driver = Self { process, port: 0, directory };
        let since = Instant::now();
        while driver.port == 0 {
            assert!(since.elapsed() < DRIVER_TIME_MAX, "no driver in time: {}", driver.log());
            sleep(Duration::from_millis(10)).await;
            let log = driver.log();
            let port =
                log.split_once("successfully on port ").and_then(|(_, rest)| rest.split_once('.'));
            driver.port = port.map_or(0, |(port, _)| port.parse().unwrap());
        }
        driver
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it and the browser have printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("driver.log")).unwrap_or_default()
    }

    /// Where it and the browser keep their files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The browser that it is to start.
    pub fn capabilities(&self) -> serde_json::Map<String, Value> {
        let profile = format!("--user-data-dir={}", self.directory().join("profile").display());
        let arguments = [
            "--headless=new",
            // Root, as in a container, has no sandbox. The pages are our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--force-prefers-reduced-motion",
            "--lang=en-US",
            "--window-size=1280,900",
            // It ends when the driver does, however that happens.
            "--remote-debugging-pipe",
            &profile,
        ];
        let Value::Object(capabilities) = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": program("chromium"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {
                "pageLoad": u64::try_from(PAGE_TIME_MAX.as_millis()).unwrap(),
                "script": u64::try_from(PAGE_TIME_MAX.as_millis()).unwrap(),
            },
        }) else {
            unreachable!("it is an object")
        };
        capabilities
    }

    /// Asks the driver to end the browser and itself.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(DRIVER_TIME_MAX))?;
        stream
            .write_all(b"GET /shutdown HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // When it does not end on request, the browser still ends with it.
        let _ = self.shut_down();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
