//! `POST /smtp-connections/{id}/test`: sends a mail through an SMTP connection at once, and tells
//! what the server said.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use hyper::{Method, StatusCode};
use jsonapi::{
    Error, Fault, Include, Included, Query, RecordDocument, Resource, Scope, Value, text,
    validation_errors,
};
use store::StoreError;

use super::log::LogEntry;
use super::message::{Parts, compose};
use super::smtp::{Answer, Server, address};
use super::templates::Letter;
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::rest::{Call, answer, path_id, record_key, written};
use crate::smtp_connections::SMTP_CONNECTIONS;

/// What the request says: the connection that is tested, and who is to get the mail.
pub static TRIALS: Resource = Resource {
    kind: SMTP_CONNECTIONS.kind,
    meaning: "A test of an SMTP connection.",
    attributes: &[text("to", "Who gets the mail.").required()],
    ..Resource::PLAIN
};

/// The path of tests.
pub fn router(app: &Arc<App>) -> Router {
    let path = format!("{}/{}/{{id}}/test", app.store.api().prefix, SMTP_CONNECTIONS.kind);
    answer(Router::new(), app, path, respond)
}

async fn respond(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let id = path_id(&request);
    let (call, body) = Call::admit(&app, request).await?;
    if call.method != Method::POST {
        return Err(ApiError::method_not_allowed(&call.method, "POST"));
    }
    let body = call.document(body).await?;
    let document = RecordDocument::parse(&body)?;
    let query = Query::parse(call.api(), &SMTP_CONNECTIONS, &call.params, Scope::Write)?;
    let input = document.update(&TRIALS, &id, query.collected.clone())?;
    let refused = |message: &'static str| validation_errors(&TRIALS, &[Fault::on("to", message)]);
    let to = match input.values.first() {
        Some((_, Ok(Value::Text(to)))) if !to.trim().is_empty() => to.clone(),
        Some((_, Err(_))) => return Err(refused("is invalid").into()),
        _ => return Err(refused("can't be blank").into()),
    };
    let recipient = address(&to).ok_or_else(|| refused("is invalid"))?;
    let (key, shown_id) = record_key(&id)?;
    let found = app.store.show(&SMTP_CONNECTIONS, key, &Include::default()).await?;
    let (connection, _) = found.ok_or_else(|| Error::record_not_found(&shown_id))?;
    let server = Server::of(&app, &connection).map_err(Error::base)?;
    let name = SMTP_CONNECTIONS.value(&connection, "name").as_text().unwrap_or_default();
    let now = app.now();
    let letter = Letter {
        subject: "Test of a mail server".to_owned(),
        text: format!("Mail reaches you through the SMTP connection \"{name}\".\n"),
        html: None,
    };
    let message_id = format!("<test-{}@{}>", app.moment().uuid, server.sender.domain());
    let parts = Parts {
        from: &server.sender,
        to: &recipient,
        message_id: &message_id,
        letter: &letter,
        enclosure: None,
        now,
    };
    let message = compose(&parts).map_err(Error::base)?;
    let sent = server.send(&recipient, &message).await;
    let (response, error) = match &sent {
        Ok(Answer { line, .. }) => (Some(line.clone()), None),
        Err(trouble) => {
            (trouble.answer.as_ref().map(|said| said.line.clone()), Some(trouble.reason.clone()))
        }
    };
    let entry = LogEntry {
        from: Some(server.sender.to_string()),
        to: recipient.to_string(),
        letter,
        attachment: None,
        attempt: 1,
        response,
        error,
        message_id: Some(message_id),
        links: vec![None, Some(key), None],
        now,
    };
    app.store.write::<_, StoreError, _>(async move |tx| entry.write(tx).await).await?;
    match sent {
        Ok(_) => {
            let answer = written(StatusCode::OK, &SMTP_CONNECTIONS, &call.base, &query);
            Ok(answer((connection, Included::new())))
        }
        Err(trouble) => Err(Error::base(trouble.reason).into()),
    }
}
