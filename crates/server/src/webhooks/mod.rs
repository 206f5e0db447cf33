//! Webhooks: events are posted to addresses, signed.

use crate::outbox::WEBHOOKS;
use crate::rest::Endpoint;

mod openapi;
mod operations;
mod post;
mod routes;
mod rules;
mod secret;

pub use openapi::describe;
pub use post::{Tried, run, serve};
pub use routes::router;

/// Webhooks as the shared routes serve them.
pub static ENDPOINT: Endpoint = Endpoint::plain(&WEBHOOKS)
    .with_faults(rules::faults)
    .prepared_by(rules::prepare)
    .posted_by(|call, body| Box::pin(routes::create(call, body)))
    .entailing(|tx, change| Box::pin(operations::follow(tx, change)));
