//! Answers that are made while they are sent: a producer, a bounded channel, a response body.
//!
//! The channel is what slows a producer down to its client. An answer is complete only when its
//! producer says so: one that fails or panics breaks the answer off, so that the client sees an
//! error. A client that takes no more of its answer ends it: over HTTP/1.1 by [`super::socket`],
//! over HTTP/2, where the connection may live on, by [`Streams`].

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Frame;
use hyper::rt::Executor;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::ApiError;

/// Chunks that wait for the client before their producer does.
const CHUNKS_WAITING_MAX: usize = 2;
/// What is handed to the connection at once, in bytes: little, so that a client who takes even
/// this little is seen to take something.
const FRAME_MAX: usize = 16 * 1024;

tokio::task_local! {
    /// Whether the client of this task's HTTP/2 stream has something to take.
    static OWES: watch::Sender<bool>;
}

/// Where a streamed body comes from. Clones share it, because replies travel in the extensions
/// of a response, which want to be cloned; dropping the last one makes the producer's sends fail.
#[derive(Clone, Debug)]
pub struct Source(Arc<Mutex<Making>>);

#[derive(Debug)]
struct Making {
    chunks: mpsc::Receiver<Bytes>,
    producer: JoinHandle<Result<(), ApiError>>,
}

impl Source {
    /// Starts a task that makes the body, chunk by chunk. Its sends wait for the client, and fail
    /// when nobody wants the rest: then it should end, with whatever result. Only `Ok` completes the
    /// answer; an error is logged and breaks it off.
    ///
    /// The status is sent before anything else, so whatever may be refused must be checked before.
    pub fn start<F>(produce: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Self
    where
        F: Future<Output = Result<(), ApiError>> + Send + 'static,
    {
        let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
        let producer = tokio::spawn(produce(chunks));
        Self(Arc::new(Mutex::new(Making { chunks: waiting, producer })))
    }

    /// The beginning of the body, up to so many bytes or a chunk more: for somebody who looks at it
    /// and does not want the rest.
    ///
    /// # Errors
    /// When the producer fails.
    pub async fn beginning(&self, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
        let mut beginning = Vec::new();
        while beginning.len() < bytes_max {
            let chunk = poll_fn(|context| self.poll_chunk(context)).await?;
            let Some(chunk) = chunk else { break };
            beginning.extend_from_slice(&chunk);
        }
        Ok(beginning)
    }

    /// The next chunk; `None` when the producer has ended well.
    fn poll_chunk(&self, context: &mut Context<'_>) -> Poll<anyhow::Result<Option<Bytes>>> {
        let mut making = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunk) = ready!(making.chunks.poll_recv(context)) {
            return Poll::Ready(Ok(Some(chunk)));
        }
        let ended = ready!(Pin::new(&mut making.producer).poll(context));
        Poll::Ready(match ended {
            Ok(Ok(())) => Ok(None),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        })
    }
}

/// Set when a connection's end must not look like the end of an answer.
pub type Reset = Arc<AtomicBool>;

/// The body of a streamed answer.
#[derive(Debug)]
pub struct StreamedBody {
    source: Source,
    /// What is left of the current chunk.
    chunk: Bytes,
    reset: Option<Reset>,
}

/// The producer failed; the log knows why.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

impl StreamedBody {
    pub fn new(source: Source) -> Self {
        Self { source, chunk: Bytes::new(), reset: None }
    }

    /// For clients of HTTP/1.0, to whom the end of the connection is the end of the answer: sets
    /// `reset` when the answer breaks off.
    pub fn resets(&mut self, reset: Reset) {
        self.reset = Some(reset);
    }
}

impl hyper::body::Body for StreamedBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        // Asking for more, the client has taken what it had; but not while more is being made.
        let owes = |owes| {
            let _ = OWES.try_with(|owed| owed.send_replace(owes));
        };
        owes(false);
        while self.chunk.is_empty() {
            match ready!(self.source.poll_chunk(context)) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => return Poll::Ready(None),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "an answer broke off");
                    if let Some(reset) = &self.reset {
                        reset.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Some(Err(BrokenOff)));
                }
            }
        }
        owes(true);
        let length = self.chunk.len().min(FRAME_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.chunk.split_to(length)))))
    }
}

/// Runs the streams of HTTP/2 connections, and gives up those of streamed answers whose client
/// takes nothing for a while. The socket would not notice: other streams, or pings, keep it busy.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    pub stall_time_max: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let stall_time_max = self.stall_time_max;
        let (owes, owed) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = OWES.scope(owes, stream) => {}
                // Dropping the stream resets it and ends its producer.
                () = stalls(owed, stall_time_max) => tracing::debug!("a stream is given up"),
            }
        });
    }
}

/// Waits until the client has taken nothing of what it could take for `time_max`.
async fn stalls(mut owed: watch::Receiver<bool>, time_max: Duration) {
    loop {
        let owes = *owed.borrow_and_update();
        let changed = owed.changed();
        if !owes {
            let _ = changed.await;
        } else if timeout(time_max, changed).await.is_err() {
            return;
        }
    }
}
