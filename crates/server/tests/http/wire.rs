//! A connection whose every byte the test chooses.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::Reply;

/// Longer than any deadline of the server: whoever waits for so long waits in vain.
const PATIENCE: Duration = Duration::from_mins(1);

/// An open connection.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends bytes; a server that has closed meanwhile is no error.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.unwrap();
        self
    }

    /// Says that nothing more will be sent.
    pub async fn end(&mut self) -> &mut Self {
        let _ = self.stream.shutdown().await;
        self
    }

    /// Reads the next answer, which has a body if its `content-length` says so; `None` when the
    /// server closes instead.
    pub async fn reply(&mut self) -> Option<Reply> {
        let (status, headers) = self.head().await?;
        let length = headers.get("content-length").map_or("0", |length| length.to_str().unwrap());
        let length: usize = length.parse().unwrap();
        while self.read.len() < length {
            assert!(self.read_more().await, "closed within a body");
        }
        let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        Some(Reply { status, headers, body })
    }

    /// Reads the next answer, which has no body, whatever its headers say: that to a `HEAD`.
    pub async fn reply_to_head(&mut self) -> Option<Reply> {
        let (status, headers) = self.head().await?;
        Some(Reply { status, headers, body: String::new() })
    }

    async fn head(&mut self) -> Option<(u16, HeaderMap)> {
        let head = loop {
            let end = self.read.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break self.read.drain(..end + 4).collect::<Vec<u8>>(),
                None if self.read_more().await => {}
                None => {
                    let rest = String::from_utf8_lossy(&self.read);
                    assert!(rest.is_empty(), "closed within an answer: {rest:?}");
                    return None;
                }
            }
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value.trim()).unwrap(),
            );
        }
        Some((status, headers))
    }

    /// Whether the server has nothing more to say and closes.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.read_more().await
    }

    /// Reads until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.read)
    }

    /// Reads something; false at the end, gentle or not.
    async fn read_more(&mut self) -> bool {
        let mut bytes = vec![0; 16 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        let count = read.expect("the server answers or closes").unwrap_or_default();
        self.read.extend_from_slice(&bytes[..count]);
        count > 0
    }
}
