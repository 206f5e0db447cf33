//! Connections: accepted up to a limit, closed when they idle, drained when the server stops.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::Either;
use hyper::Version;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::body::TimedBody;
use super::proxies::Connection;
use super::service::{ResponseBody, Service};
use super::socket::Socket;
use super::stream::{Reset, Streams};

/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Streams at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Pause after the system had no connection to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue.
    pub connections_max: usize,
    /// How long the head of a request may take to arrive, and the silence between two requests.
    pub head_time_max: Duration,
    /// How long a request's body may take to arrive.
    pub body_time_max: Duration,
    /// How long a client may take nothing of its answer.
    pub stall_time_max: Duration,
    /// How long answers in progress may take when the server stops.
    pub drain_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            head_time_max: Duration::from_secs(15),
            body_time_max: Duration::from_secs(20),
            stall_time_max: Duration::from_secs(30),
            drain_time_max: Duration::from_secs(30),
        }
    }
}

/// An open port, perhaps with TLS.
pub struct Listener {
    /// Where clients connect.
    pub tcp: TcpListener,
    /// The certificate, when the port speaks HTTPS.
    pub tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// Serves until `stop` is ready, then lets answers in progress finish.
pub async fn serve(
    listener: Listener,
    service: Service,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener.tcp, &places) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let conversation = Conversation {
                    service: service.clone(),
                    tls: listener.tls.clone(),
                    peer,
                    limits,
                    watcher: graceful.watcher(),
                    reset: Reset::default(),
                };
                tokio::spawn(async move {
                    conversation.hold(stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_time_max, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not finish in time");
    }
}

async fn accept(
    tcp: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

/// One connection's life.
struct Conversation {
    service: Service,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
    limits: Limits,
    watcher: Watcher,
    reset: Reset,
}

impl Conversation {
    async fn hold(self, stream: TcpStream) {
        let stream = Socket::new(stream, self.limits.stall_time_max, Arc::clone(&self.reset));
        let Some(tls) = self.tls.clone() else {
            return self.speak_http1(stream, false).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await;
        let Ok(Ok(stream)) = handshake else {
            tracing::debug!(peer = %self.peer, "TLS handshake failed");
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.speak_http2(stream).await;
        } else {
            self.speak_http1(stream, true).await;
        }
    }

    async fn speak_http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, tls: bool) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time_max)
            .max_buf_size(HEAD_MAX)
            .half_close(true)
            // The founding document's responses carry no date.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), self.answering(tls));
        log_end(self.watcher.watch(connection).await);
    }

    async fn speak_http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let connection =
            http2::Builder::new(Streams { stall_time_max: self.limits.stall_time_max })
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .keep_alive_interval(self.limits.head_time_max)
                .auto_date_header(false)
                .serve_connection(TokioIo::new(stream), self.answering(true));
        log_end(self.watcher.watch(connection).await);
    }

    fn answering(
        &self,
        tls: bool,
    ) -> impl hyper::service::Service<
        hyper::Request<Incoming>,
        Response = hyper::Response<ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + use<> {
        let connection = Connection { peer: self.peer, tls };
        let service = self.service.clone();
        let body_time_max = self.limits.body_time_max;
        let reset = Arc::clone(&self.reset);
        service_fn(move |request: hyper::Request<Incoming>| {
            let service = service.clone();
            let reset = (request.version() < Version::HTTP_11).then(|| Arc::clone(&reset));
            let request = request.map(|body| Body::new(TimedBody::new(body, body_time_max)));
            async move {
                let mut response = service.respond(connection, request).await;
                if let (Some(reset), Either::Right(body)) = (reset, response.body_mut()) {
                    body.resets(reset);
                }
                Ok(response)
            }
        })
    }
}

fn log_end(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
