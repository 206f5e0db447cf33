//! Answers that are made while they are sent, from a router of the test's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use hyper::StatusCode;
use reqwest::{Certificate, Client, Method, Response, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tollkeeper::error::ApiError;
use tollkeeper::http::{Limits, Listener, Service, Source, serve};
use tollkeeper::reply::Reply;

use crate::support::MEDIA_TYPE;
use crate::wire::Wire;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long clients may take nothing.
const STALL_TIME_MAX: Duration = Duration::from_secs(1);

type Chunks = mpsc::Sender<Bytes>;
type Made = Result<(), ApiError>;

/// A server that answers every request with a stream.
struct Streaming {
    address: SocketAddr,
    scheme: &'static str,
    client: Client,
    _stop: oneshot::Sender<()>,
}

impl Streaming {
    /// Speaks HTTP/1.
    async fn start<F>(produce: impl Fn(Chunks) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Made> + Send + 'static,
    {
        Self::start_over(false, produce).await
    }

    /// Speaks HTTP/2 if `http2`, which needs TLS.
    async fn start_over<F>(
        http2: bool,
        produce: impl Fn(Chunks) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Made> + Send + 'static,
    {
        let router = Router::new().fallback(any(move || {
            let source = Source::start(produce.clone());
            async { Reply::streamed(StatusCode::OK, MEDIA_TYPE, source) }
        }));
        let _ = ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let trusted = Certificate::from_der(made.cert.der()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let tls = http2.then(|| TlsAcceptor::from(Arc::new(tls)));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let limits = Limits { stall_time_max: STALL_TIME_MAX, ..Limits::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(Listener { tcp, tls }, Service::new(router, &[]), limits, async {
            let _ = stopped.await;
        }));
        let scheme = if http2 { "https" } else { "http" };
        Self { address, scheme, client, _stop: stop }
    }

    async fn ask(&self, method: Method) -> Response {
        let url = format!("{}://{}/", self.scheme, self.address);
        // Nobody gets a compressed stream, whatever they accept.
        let request = self.client.request(method, url).header("accept-encoding", "gzip");
        request.send().await.unwrap()
    }
}

/// A producer that sends without end.
#[derive(Clone)]
struct Endless {
    /// Chunks that were taken from it.
    sent: Arc<AtomicUsize>,
    /// Told when nobody wants more.
    ends: mpsc::UnboundedSender<()>,
}

impl Endless {
    const CHUNK: usize = 64 * 1024;

    fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (ends, ended) = mpsc::unbounded_channel();
        (Self { sent: Arc::default(), ends }, ended)
    }

    async fn produce(self, chunks: Chunks) -> Made {
        while chunks.send(vec![b'x'; Self::CHUNK].into()).await.is_ok() {
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
        self.ends.send(()).unwrap();
        Ok(())
    }
}

async fn within<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.expect("it happens in time")
}

#[tokio::test]
async fn chunks_arrive_as_they_are_made() {
    for http2 in [false, true] {
        let (make, wanted) = mpsc::channel::<&'static str>(1);
        let wanted = Arc::new(Mutex::new(wanted));
        let server = Streaming::start_over(http2, move |chunks| {
            let wanted = Arc::clone(&wanted);
            async move {
                while let Some(chunk) = wanted.lock().await.recv().await {
                    chunks.send(chunk.into()).await.unwrap();
                }
                Ok(())
            }
        })
        .await;
        let mut response = within(server.ask(Method::GET)).await;
        let version = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        for chunk in ["one", "two", "three"] {
            make.send(chunk).await.unwrap();
            assert_eq!(within(response.chunk()).await.unwrap().unwrap(), chunk);
        }
        drop(make);
        assert_eq!(within(response.bytes()).await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_streamed_answer_has_the_usual_headers_but_neither_tag_nor_length() {
    let server = Streaming::start(async |chunks: Chunks| {
        for chunk in ["one", "", "two"] {
            // Nobody takes them after a HEAD.
            let _ = chunks.send(chunk.into()).await;
        }
        Ok(())
    })
    .await;
    let head = "HTTP/1.1 200 OK|x-frame-options: SAMEORIGIN|x-xss-protection: 0|\
                x-content-type-options: nosniff|x-permitted-cross-domain-policies: none|\
                referrer-policy: strict-origin-when-cross-origin|\
                content-type: application/vnd.api+json|vary: Accept|cache-control: no-cache|\
                x-request-id: seven|";
    for (line, rest) in [
        ("GET / HTTP/1.1", "transfer-encoding: chunked||3|one|3|two|0||"),
        ("HEAD / HTTP/1.1", "|"),
        ("GET / HTTP/1.0", "|onetwo"),
    ] {
        let mut wire = Wire::to(server.address).await;
        wire.send(format!(
            "{line}\r\nhost: t\r\naccept: {MEDIA_TYPE}\r\naccept-encoding: gzip\r\n\
             x-request-id: seven\r\nif-none-match: *\r\nconnection: close\r\n\r\n"
        ))
        .await;
        let answer = String::from_utf8(wire.rest().await).unwrap().replace("\r\n", "|");
        let (before, after) = answer.split_once("x-runtime: ").unwrap();
        assert_eq!(before.replace("HTTP/1.0", "HTTP/1.1"), head, "{line}");
        let after = after.split_once('|').unwrap().1.replace("connection: close|", "");
        assert_eq!(after, rest, "{line}");
    }
}

#[tokio::test]
async fn a_head_request_ends_the_producer() {
    for http2 in [false, true] {
        let (endless, mut ended) = Endless::new();
        let produce = move |chunks| endless.clone().produce(chunks);
        let server = Streaming::start_over(http2, produce).await;
        let response = within(server.ask(Method::HEAD)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get("content-length"), None);
        assert_eq!(within(response.bytes()).await.unwrap(), "");
        within(ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_to_the_client() {
    async fn fails(chunks: Chunks) -> Made {
        chunks.send("half".into()).await.unwrap();
        Err(ApiError::Overloaded)
    }
    async fn panics(chunks: Chunks) -> Made {
        chunks.send("half".into()).await.unwrap();
        panic!("on purpose");
    }
    for http2 in [false, true] {
        for server in
            [Streaming::start_over(http2, fails).await, Streaming::start_over(http2, panics).await]
        {
            let url = format!("{}://{}/", server.scheme, server.address);
            let answer = async { server.client.get(url).send().await?.bytes().await };
            let answer = within(answer).await;
            assert!(answer.is_err(), "{answer:?}");
        }
    }
    // To HTTP/1.0 the end of the connection is the end of the answer, unless it is a reset.
    let server = Streaming::start(fails).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nhost: t\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let error = within(stream.read_to_end(&mut answer)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{answer:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_producer() {
    for http2 in [false, true] {
        let (endless, mut ended) = Endless::new();
        let produce = move |chunks| endless.clone().produce(chunks);
        let server = Streaming::start_over(http2, produce).await;
        let mut response = within(server.ask(Method::GET)).await;
        within(response.chunk()).await.unwrap().unwrap();
        drop(response);
        within(ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_slows_the_producer_and_is_given_up() {
    for http2 in [false, true] {
        let (endless, mut ended) = Endless::new();
        let sent = Arc::clone(&endless.sent);
        let produce = move |chunks| endless.clone().produce(chunks);
        let server = Streaming::start_over(http2, produce).await;
        let mut response = within(server.ask(Method::GET)).await;
        within(ended.recv()).await.unwrap();
        // What the buffers of both ends hold, and nothing beyond.
        let bytes = sent.load(Ordering::Relaxed) * Endless::CHUNK;
        assert!(bytes < 32 * 1024 * 1024, "{bytes}");
        let error = loop {
            match within(response.chunk()).await {
                Ok(chunk) => assert!(chunk.is_some(), "it looks complete"),
                Err(error) => break error,
            }
        };
        assert!(!error.is_timeout(), "{error:?}");
        // Another stream of the same connection, or another connection, is served.
        assert_eq!(within(server.ask(Method::HEAD)).await.status(), 200);
    }
}

#[tokio::test]
async fn neither_slow_producers_nor_slow_clients_are_given_up() {
    const LARGE: usize = 20 * 64 * 1024;
    for http2 in [false, true] {
        let server = Streaming::start_over(http2, async |chunks: Chunks| {
            chunks.send("first".into()).await.unwrap();
            sleep(2 * STALL_TIME_MAX).await;
            chunks.send(vec![b'x'; LARGE].into()).await.unwrap();
            Ok(())
        })
        .await;
        let mut response = within(server.ask(Method::GET)).await;
        let mut length = 0;
        while let Some(chunk) = within(response.chunk()).await.unwrap() {
            length += chunk.len();
            sleep(STALL_TIME_MAX / 40).await;
        }
        assert_eq!(length, "first".len() + LARGE);
    }
}
