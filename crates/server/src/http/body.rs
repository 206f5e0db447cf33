//! Request bodies, bounded in size and time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use jsonapi::Error;
use tokio::time::{Sleep, sleep};

use crate::error::ApiError;

/// Largest body that is read.
const BODY_MAX: usize = 1024 * 1024;
/// How much of a larger one is still drained, so that its sender gets to read the answer.
const DRAIN_MAX: usize = 32 * BODY_MAX;

/// A body that must have arrived within a time, counted from when it is first waited for.
#[derive(Debug)]
pub struct TimedBody {
    incoming: Incoming,
    time_max: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The body did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("the request body did not arrive in time")]
struct Late;

impl TimedBody {
    pub fn new(incoming: Incoming, time_max: Duration) -> Self {
        Self { incoming, time_max, deadline: None }
    }
}

impl hyper::body::Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let time_max = self.time_max;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(time_max)));
        deadline.as_mut().poll(context).map(|()| Some(Err(Late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Reads a whole body.
///
/// # Errors
/// 413 when it is too large, 408 when it does not arrive, 400 when it breaks off.
pub async fn read_body(mut body: Body) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.into_inner().downcast::<Late>() {
            Ok(_) => Error::request_timeout(),
            Err(_) => Error::bad_request("The request body broke off."),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= BODY_MAX {
            whole.extend_from_slice(&data);
        } else if length > DRAIN_MAX {
            break;
        } else {
            whole = BytesMut::new();
        }
    }
    if length > BODY_MAX {
        return Err(Error::body_too_large(BODY_MAX).into());
    }
    Ok(whole.freeze())
}
