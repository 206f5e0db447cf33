//! A connection's bytes: given up when the other end takes none, and closed gently.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::stream::Reset;

/// How long the other end may go on sending after the last answer.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
/// How much it may send in that time.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Read at once while lingering.
const LINGER_CHUNK: usize = 16 * 1024;

/// A stream that fails when nothing can be written for a while: a client that asks and never
/// reads would keep its connection and its answer for ever.
///
/// Closing a socket with unread bytes resets it, and the reset may overtake the answer. So
/// shutdown tells the client that nothing more comes, and then lets it finish sending.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    stall_time_max: Duration,
    /// Runs while a write waits, and while lingering.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Bytes that may still come; `None` before shutdown.
    lingering: Option<usize>,
    /// When set, the end is a reset.
    reset: Reset,
}

impl Socket {
    pub fn new(stream: TcpStream, stall_time_max: Duration, reset: Reset) -> Self {
        Self { stream, stall_time_max, deadline: None, lingering: None, reset }
    }

    fn is_over(&mut self, time_max: Duration, context: &mut Context<'_>) -> bool {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(time_max)));
        deadline.as_mut().poll(context).is_ready()
    }

    /// Fails a write that has waited for too long.
    fn bounded(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.deadline = None;
        } else if self.is_over(self.stall_time_max, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }

    /// Reads and forgets, until the end of the stream or of our patience.
    fn poll_linger(&mut self, mut left: usize, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; LINGER_CHUNK];
        loop {
            let mut chunk = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut chunk) {
                Poll::Ready(Ok(())) if (1..left).contains(&chunk.filled().len()) => {
                    left -= chunk.filled().len();
                    self.lingering = Some(left);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.is_over(LINGER_TIME_MAX, context) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = if let Some(left) = self.lingering {
            left
        } else {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.deadline = None;
            *self.lingering.insert(LINGER_BYTES_MAX)
        };
        ready!(self.poll_linger(left, context));
        Poll::Ready(Ok(()))
    }
}
