//! The load: keep-alive connections that send the next request as soon as the last is answered.
//!
//! Written by hand because it shares the cores with the server: it only looks for the status,
//! the length and the end of each answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::report::Measurement;

/// One kind of request.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What the table calls it.
    pub name: &'static str,
    /// Whether it goes to the constant answer.
    pub constant: bool,
    expected_status: &'static [u8; 3],
    request: fn(number: u64, accounts: u64) -> (&'static str, String, String),
}

/// Everything that is measured. Creates come last: they change the size of the database.
pub const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "A constant 1 KB",
        constant: true,
        expected_status: b"200",
        request: |_, _| ("GET", "/constant".into(), String::new()),
    },
    Scenario {
        name: "GET one",
        constant: false,
        expected_status: b"200",
        request: |number, accounts| ("GET", format!("/{}", pick(number, accounts)), String::new()),
    },
    Scenario {
        name: "list page of 50",
        constant: false,
        expected_status: b"200",
        request: |number, _| ("GET", format!("?page[number]={}", number % 20 + 1), String::new()),
    },
    Scenario {
        name: "list, include contractor",
        constant: false,
        expected_status: b"200",
        request: |number, _| {
            ("GET", format!("?include=contractor&page[number]={}", number % 20 + 1), String::new())
        },
    },
    Scenario {
        name: "PATCH",
        constant: false,
        expected_status: b"200",
        request: |number, accounts| {
            let id = pick(number, accounts);
            let vat = number % 100;
            let body = format!(
                r#"{{"data":{{"type":"accounts","id":"{id}","attributes":{{"vat":"{vat}.5"}}}}}}"#
            );
            ("PATCH", format!("/{id}"), body)
        },
    },
    Scenario {
        name: "POST create",
        constant: false,
        expected_status: b"201",
        request: |number, _| ("POST", String::new(), founding_body(number)),
    },
];

/// Spreads numbers over all accounts.
fn pick(number: u64, accounts: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % accounts + 1
}

/// The founding document's body, under a name that no other request uses.
fn founding_body(number: u64) -> String {
    format!(
        r#"{{"data":{{"type":"accounts","attributes":{{"name":"created {number}","min-balance":1,"max-balance":10,"vat":11,"origination-capacity":100,"termination-capacity":110,"total-capacity":100,"balance-low-threshold":90,"balance-high-threshold":95,"send-balance-notifications-to":[1],"timezone":"Europe/Kyiv"}},"relationships":{{"contractor":{{"data":{{"type":"contractors","id":4}}}}}}}}}}"#
    )
}

/// Numbers requests over the whole run, so that no two creates are the same.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Runs one scenario.
pub async fn run(
    scenario: Scenario,
    address: SocketAddr,
    token: &str,
    accounts: u64,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Measurement> {
    let token: Arc<str> = token.into();
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let token = Arc::clone(&token);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut micros = Vec::new();
                while started.elapsed() < time {
                    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                    let request = encode(&scenario, number, accounts, &token);
                    let sent = Instant::now();
                    connection.exchange(&request, scenario.expected_status).await?;
                    micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                anyhow::Ok(micros)
            })
        })
        .collect();
    let mut micros = Vec::new();
    for task in tasks {
        micros.extend(task.await?.with_context(|| scenario.name)?);
    }
    Ok(Measurement::of(scenario.name, connections, micros, started.elapsed()))
}

fn encode(scenario: &Scenario, number: u64, accounts: u64, token: &str) -> Vec<u8> {
    let (method, target, body) = (scenario.request)(number, accounts);
    let path = if scenario.constant { target } else { format!("/api/rest/admin/accounts{target}") };
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: example.org\r\naccept: application/vnd.api+json\r\n"
    );
    if !scenario.constant {
        request.push_str("authorization: ");
        request.push_str(token);
        request.push_str("\r\n");
    }
    if !body.is_empty() {
        let length = body.len();
        request.push_str("content-type: application/vnd.api+json\r\ncontent-length: ");
        request.push_str(&length.to_string());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.push_str(&body);
    request.into_bytes()
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 256 * 1024] })
    }

    /// Sends a request and reads its answer to the end.
    async fn exchange(&mut self, request: &[u8], expected: &[u8; 3]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let (head, length) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            filled += read;
            if let Some(head) = find(&self.buffer[..filled], b"\r\n\r\n") {
                break (head + 4, content_length(&self.buffer[..head])?);
            }
        };
        if self.buffer.get(9..12) != Some(expected) {
            bail!("unexpected answer: {}", String::from_utf8_lossy(&self.buffer[..filled]));
        }
        let mut missing = (head + length).saturating_sub(filled);
        while missing > 0 {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            missing = missing.saturating_sub(read);
        }
        Ok(())
    }
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    const NAME: &[u8] = b"content-length: ";
    let at = find(head, NAME).context("no content-length")?;
    let digits = head[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
