//! A small load balancer for HTTP/1.1: it asks every node whether it is ready, spreads requests
//! over those that are, keeps connections to them, and tries a request again at another node only
//! when a connection is lost and to ask twice is safe.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Time between two questions at a node.
const CHECK_PAUSE: Duration = Duration::from_millis(50);
/// A node that is silent for so long is not ready.
const CHECK_TIME_MAX: Duration = Duration::from_secs(1);

/// A running balancer; stops when dropped.
pub struct Balancer {
    /// Where clients connect.
    pub address: SocketAddr,
    nodes: Arc<Nodes>,
    _running: JoinSet<()>,
}

struct Nodes {
    all: Mutex<Vec<Node>>,
    turn: AtomicUsize,
    lost: AtomicUsize,
}

struct Node {
    address: SocketAddr,
    is_ready: bool,
    idle: Vec<Stream>,
}

impl Balancer {
    /// Starts a balancer over these nodes, none of which it takes for ready before it has asked.
    pub async fn start(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let nodes = addresses.into_iter().map(Node::at).collect();
        let nodes = Nodes { all: Mutex::new(nodes), turn: 0.into(), lost: 0.into() };
        let nodes = Arc::new(nodes);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(check(Arc::clone(&nodes)));
        let served = Arc::clone(&nodes);
        running.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                clients.spawn(serve(Stream::new(client), Arc::clone(&served)));
            }
        });
        Self { address, nodes, _running: running }
    }

    /// Puts a node at the place of another.
    pub fn replace(&self, place: usize, address: SocketAddr) {
        self.nodes.all.lock().unwrap()[place] = Node::at(address);
    }

    /// How many nodes are ready.
    pub fn ready(&self) -> usize {
        self.nodes.all.lock().unwrap().iter().filter(|node| node.is_ready).count()
    }

    /// How many requests have lost their connection to a node.
    pub fn lost(&self) -> usize {
        self.nodes.lost.load(Ordering::Relaxed)
    }
}

impl Node {
    fn at(address: SocketAddr) -> Self {
        Self { address, is_ready: false, idle: Vec::new() }
    }
}

impl Nodes {
    /// The next node that is ready, and a connection to it if one is idle.
    fn next(&self) -> Option<(SocketAddr, Option<Stream>)> {
        let mut nodes = self.all.lock().unwrap();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = nodes.len();
        let place = (0..count).map(|step| (turn + step) % count).find(|at| nodes[*at].is_ready)?;
        let node = &mut nodes[place];
        Some((node.address, node.idle.pop()))
    }

    fn keep(&self, address: SocketAddr, stream: Stream) {
        self.set(address, |node| {
            if node.is_ready {
                node.idle.push(stream);
            }
        });
    }

    fn set(&self, address: SocketAddr, change: impl FnOnce(&mut Node)) {
        let mut nodes = self.all.lock().unwrap();
        // It may have been replaced.
        if let Some(node) = nodes.iter_mut().find(|node| node.address == address) {
            change(node);
        }
    }

    /// Passes a request on; `None` when no node could be asked, or asking again is not safe.
    async fn ask(&self, request: &Message) -> Option<Message> {
        loop {
            let (address, idle) = self.next()?;
            let asked = async {
                let mut stream = match idle {
                    Some(stream) => stream,
                    None => Stream::new(TcpStream::connect(address).await?),
                };
                stream.write(&request.bytes()).await?;
                let answer = stream.read().await?.ok_or(ErrorKind::UnexpectedEof)?;
                Ok::<_, Error>((stream, answer))
            };
            if let Ok((stream, mut answer)) = asked.await {
                // What a node says about its connection is not about the client's.
                if !answer.without("connection") {
                    self.keep(address, stream);
                }
                return Some(answer);
            }
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.set(address, |node| *node = Node::at(address));
            if !request.may_repeat() {
                return None;
            }
        }
    }
}

/// Asks every node again and again.
async fn check(nodes: Arc<Nodes>) {
    loop {
        let addresses: Vec<SocketAddr> =
            nodes.all.lock().unwrap().iter().map(|node| node.address).collect();
        for address in addresses {
            let asked = timeout(CHECK_TIME_MAX, is_ready(address)).await;
            let is_ready = matches!(asked, Ok(Ok(true)));
            nodes.set(address, |node| {
                node.is_ready = is_ready;
                if !is_ready {
                    node.idle.clear();
                }
            });
        }
        tokio::time::sleep(CHECK_PAUSE).await;
    }
}

async fn is_ready(address: SocketAddr) -> Result<bool> {
    let mut stream = Stream::new(TcpStream::connect(address).await?);
    let request = "GET /readyz HTTP/1.1\r\nhost: balancer\r\nconnection: close\r\n\r\n";
    stream.write(request.as_bytes()).await?;
    let answer = stream.read().await?.ok_or(ErrorKind::UnexpectedEof)?;
    Ok(answer.head.starts_with("HTTP/1.1 200 "))
}

/// Answers the requests of one client.
async fn serve(mut client: Stream, nodes: Arc<Nodes>) {
    while let Ok(Some(request)) = client.read().await {
        let answer = nodes.ask(&request).await.unwrap_or_else(|| Message {
            head: "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n".to_owned(),
            body: Vec::new(),
        });
        if client.write(&answer.bytes()).await.is_err() {
            return;
        }
    }
}

/// A request or an answer whose body has the length that its head says.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Takes a header away; whether it was there.
    fn without(&mut self, name: &str) -> bool {
        let Some(value) = self.header(name) else { return false };
        let line = format!("{name}: {value}\r\n");
        self.head = self.head.replacen(&line, "", 1);
        true
    }

    /// Whether the request may be sent again when nobody knows if it was heard.
    fn may_repeat(&self) -> bool {
        let method = self.head.split(' ').next().unwrap();
        ["GET", "HEAD", "PUT", "DELETE"].contains(&method)
            || self.header("idempotency-key").is_some()
    }
}

/// A connection that carries messages.
struct Stream {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Stream {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message; `None` when the other end has closed before it.
    async fn read(&mut self) -> Result<Option<Message>> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more().await? {
                let is_whole = self.read.is_empty();
                return if is_whole { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let mut message = Message { head, body: Vec::new() };
        let length = message.header("content-length").map_or(0, |text| text.parse().unwrap());
        while self.read.len() < length {
            if !self.read_more().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        message.body = self.read.drain(..length).collect();
        Ok(Some(message))
    }

    /// Reads something; false at the end.
    async fn read_more(&mut self) -> Result<bool> {
        let mut bytes = vec![0; 16 * 1024];
        let count = self.stream.read(&mut bytes).await?;
        self.read.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }
}
