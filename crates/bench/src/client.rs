//! The load: keep-alive connections that send the next request as soon as the last is answered.
//!
//! Written by hand because it shares the cores with the server: it only looks for the status,
//! the length and the end of each answer.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cpu::Ticks;
use crate::figures::{Measurement, Streamed};
use crate::scenarios::{Request, Scenario};
use crate::server::ServerProcess;

/// What is asked, and of whom.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// What.
    pub scenario: Scenario,
    /// Accounts in the database when the round began.
    pub accounts: u64,
    /// Connections at once, spread over all nodes.
    pub connections: usize,
    /// Servers on the same database.
    pub nodes: &'a [&'a ServerProcess],
}

/// Numbers requests over the whole run, so that no two creates are the same.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Runs one scenario.
pub async fn run(load: Load<'_>, time: Duration) -> anyhow::Result<Measurement> {
    let Load { scenario, accounts, connections, nodes } = load;
    let started = Instant::now();
    let tasks: Vec<_> = (nodes.iter().cycle().take(connections))
        .map(|node| {
            let (address, token) = if scenario.is_constant() {
                (node.constant, None)
            } else {
                (node.address, Some(Arc::<str>::from(node.token.as_str())))
            };
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut micros = Vec::new();
                while started.elapsed() < time {
                    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                    let request = (scenario.request)(number, accounts).encode(token.as_deref());
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
    Ok(measurement(load, micros, started.elapsed()))
}

/// Sums up the latencies of one measurement.
fn measurement(load: Load<'_>, mut micros: Vec<u32>, elapsed: Duration) -> Measurement {
    micros.sort_unstable();
    let quantile =
        |per_cent: usize| micros.get(micros.len() * per_cent / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let per_sec = micros.len() as f64 / elapsed.as_secs_f64();
    Measurement {
        scenario: load.scenario,
        accounts: load.accounts,
        connections: load.connections,
        nodes: load.nodes.len(),
        requests: micros.len() as u64,
        per_sec,
        p50_micros: quantile(50),
        p99_micros: quantile(99),
        cpu: Ticks::default(),
    }
}

/// Asks once.
pub async fn ask(
    node: &ServerProcess,
    request: &Request,
    expected: &[u8; 3],
) -> anyhow::Result<()> {
    let mut connection = Connection::open(node.address).await?;
    connection.exchange(&request.encode(Some(&node.token)), expected).await?;
    Ok(())
}

/// Asks once for something that is sent while it is made.
pub async fn stream(address: SocketAddr, token: &str, path: String) -> anyhow::Result<Streamed> {
    let mut stream = Connection::open(address).await?.stream;
    let sent = Instant::now();
    stream.write_all(&Request::get(path).encode(Some(token))).await?;
    let mut answer = Vec::new();
    let mut first_bytes = None;
    while !answer.ends_with(LAST_CHUNK) {
        if stream.read_buf(&mut answer).await? == 0 {
            bail!("the answer has no end: {}", String::from_utf8_lossy(&answer));
        }
        if find(&answer, b"\r\n\r\n").is_some_and(|head| answer.len() > head + 4) {
            first_bytes.get_or_insert_with(|| sent.elapsed());
        }
    }
    let whole = sent.elapsed();
    Ok(Streamed { first_bytes: first_bytes.unwrap_or(whole), whole })
}

/// How a body ends that is sent in chunks.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 256 * 1024] })
    }

    /// Sends a request, reads its answer to the end, and returns the head.
    pub async fn exchange(
        &mut self,
        request: &[u8],
        expected: &[u8; 3],
    ) -> anyhow::Result<Cow<'_, str>> {
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
            let read = self.stream.read(&mut self.buffer[head..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            missing = missing.saturating_sub(read);
        }
        Ok(String::from_utf8_lossy(&self.buffer[..head]))
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
