//! One write of one request: its transaction, its answer, and with an `Idempotency-Key` the
//! promise that it happens once.

use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;
use jsonapi::{Base, Error, Included, MEDIA_TYPE, Query, Record, Resource, write_member};
use store::{FirstAnswer, Needs, StoreError, Target, Tx};

use super::request::Call;
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;

/// What a write leaves to be answered: the record and what the query includes.
pub type Written = (Record, Included);

/// A write that may be asked for again.
#[derive(Debug)]
struct Repeatable {
    operator: i64,
    key: String,
    fingerprint: [u8; 32],
    now: Timestamp,
}

/// Why nothing is kept of a write that was only tried.
#[derive(Debug)]
enum Tried {
    /// It would have been answered like this.
    Done(Reply),
    Refused(ApiError),
}

impl From<StoreError> for Tried {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl Call {
    /// Runs a write and answers it. `target` is the record that it is going to change, where the
    /// request names one. `operation` and `answer` may run more than once ([`store::Store::write`]).
    ///
    /// With an `Idempotency-Key`, the answer is kept in the write's own transaction, and the same
    /// request gets it again without another effect. So do refusals by the operation; what fails
    /// before it, or for want of the database, may be tried again under the same key.
    ///
    /// A trial ends the operation with an error, so that nothing of it is kept.
    ///
    /// # Errors
    /// The operation's own; 422 when the key has named another request before.
    pub async fn write<T, F, A>(
        &self,
        target: Option<Target>,
        body: &[u8],
        operation: F,
        answer: A,
    ) -> Result<Reply, ApiError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T, ApiError> + Send + 'static,
        A: Fn(T) -> Reply + Send + 'static,
    {
        let store = &self.app.store;
        if self.is_trial {
            let needs = Needs { target, answer: None };
            return match store
                .write_with(needs, async move |tx: &mut Tx| {
                    let done = operation(tx).await.map_err(Tried::Refused)?;
                    Err::<Reply, _>(Tried::Done(answer(done)))
                })
                .await
            {
                Ok(reply) | Err(Tried::Done(reply)) => Ok(reply),
                Err(Tried::Refused(error)) => Err(error),
            };
        }
        let Some(key) = &self.idempotency_key else {
            let needs = Needs { target, answer: None };
            return Ok(answer(store.write_with(needs, operation).await?));
        };
        let operator = self.caller.operator.as_ref().map_or(0, |operator| operator.id);
        let parts = [self.method.as_str().as_bytes(), self.target.as_bytes(), body];
        let wanted = Repeatable {
            operator,
            key: key.clone(),
            fingerprint: self.app.fingerprint(&parts),
            now: self.app.now(),
        };
        let needs = Needs { target, answer: Some((operator, key.clone())) };
        let app = Arc::clone(&self.app);
        let operation = async move |tx: &mut Tx| once(&app, tx, &wanted, &operation, &answer).await;
        store.write_with(needs, operation).await
    }
}

/// Runs the operation unless it has run under this key, and keeps its answer.
async fn once<T>(
    app: &App,
    tx: &mut Tx,
    wanted: &Repeatable,
    operation: &impl AsyncFn(&mut Tx) -> Result<T, ApiError>,
    answer: &impl Fn(T) -> Reply,
) -> Result<Reply, ApiError> {
    if let Some(first) = answered(app, tx, wanted).await? {
        return first;
    }
    let ran = tx.attempt(async |tx| run_and_keep(app, tx, wanted, operation, answer).await).await;
    if let Err(ApiError::Store(StoreError::Conflict)) = ran {
        // Another node has meanwhile answered the same key; what was done here is undone.
        return answered(app, tx, wanted).await?.unwrap_or(ran);
    }
    ran
}

/// What was answered under this key before, if anything was.
async fn answered(
    app: &App,
    tx: &mut Tx,
    wanted: &Repeatable,
) -> Result<Option<Result<Reply, ApiError>>, ApiError> {
    let first = tx.first_answer(wanted.operator, &wanted.key).await?;
    Ok(first.map(|first| {
        if first.fingerprint == wanted.fingerprint {
            again(app, first)
        } else {
            Err(Error::idempotency_key_reused().into())
        }
    }))
}

async fn run_and_keep<T>(
    app: &App,
    tx: &mut Tx,
    wanted: &Repeatable,
    operation: &impl AsyncFn(&mut Tx) -> Result<T, ApiError>,
    answer: &impl Fn(T) -> Reply,
) -> Result<Reply, ApiError> {
    let reply = match tx.attempt(operation).await {
        Ok(done) => answer(done),
        Err(ApiError::Refused(errors)) => Reply::from(ApiError::Refused(errors)),
        Err(error) => return Err(error),
    };
    let body = if reply.confidential {
        app.seal_text(&String::from_utf8_lossy(&reply.body))?.into_bytes()
    } else {
        reply.body.to_vec()
    };
    let first = FirstAnswer {
        fingerprint: wanted.fingerprint,
        status: reply.status.as_u16(),
        content_type: reply.content_type.map(str::to_owned),
        location: reply.location.clone(),
        tagged: reply.tagged,
        body,
    };
    tx.keep_answer(wanted.operator, &wanted.key, &first, wanted.now).await?;
    Ok(reply)
}

/// The first answer once more.
fn again(app: &App, first: FirstAnswer) -> Result<Reply, ApiError> {
    let status = StatusCode::from_u16(first.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = match first.content_type {
        Some(_) => Reply::plain(status, MEDIA_TYPE, opened(app, first.body)?),
        None => Reply::no_content(),
    };
    reply.tagged = first.tagged;
    reply.location = first.location;
    Ok(reply.with_header("idempotent-replayed", "true"))
}

/// A body as it was answered: a document begins with a brace, which an encrypted one has nowhere.
fn opened(app: &App, body: Vec<u8>) -> Result<Vec<u8>, ApiError> {
    if body.first().is_none_or(|byte| *byte == b'{') {
        return Ok(body);
    }
    let opened = app.open_text(&String::from_utf8_lossy(&body));
    let lost = || ApiError::Internal(anyhow::anyhow!("a first answer cannot be decrypted"));
    Ok(opened.ok_or_else(lost)?.into_bytes())
}

/// Answers a record that was written.
pub fn written(
    status: StatusCode,
    resource: &'static Resource,
    base: &Base,
    query: &Query,
) -> impl Fn(Written) -> Reply + Send + 'static {
    let (base, query) = (base.clone(), query.clone());
    move |(record, included)| {
        let body = write_member(&base, resource, Some(&record), &query, &included);
        let reply = Reply::tagged(status, MEDIA_TYPE, body);
        if status == StatusCode::CREATED {
            return reply.at(base.member_url(resource, &record.id));
        }
        reply
    }
}
