//! Request bodies, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use jsonapi::Error;

use crate::error::ApiError;

/// Largest body that is read.
const BODY_MAX: usize = 1024 * 1024;
/// How much of a larger one is still drained, so that its sender gets to read the answer.
const DRAIN_MAX: usize = 32 * BODY_MAX;
/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(20);

/// Reads a whole body.
///
/// # Errors
/// 413 when it is too large, 408 when it does not arrive, 400 when it breaks off.
pub async fn read_body(body: Body) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(BODY_TIME_MAX, collect(body)).await {
        Ok(result) => result,
        Err(_) => Err(Error::request_timeout().into()),
    }
}

async fn collect(mut body: Body) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::bad_request("The request body broke off."))?;
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
