//! Payments: money that comes in, and is taken back.

use crate::rest::Endpoint;

mod import;
mod operations;
mod resource;
mod routes;

pub use import::{Import, Tally};
pub use operations::post_payment;
pub use resource::PAYMENTS;
pub use routes::router;

/// Payments as the shared routes serve them.
pub static ENDPOINT: Endpoint = Endpoint::plain(&PAYMENTS)
    .prepared_by(resource::prepare)
    .created_by(|tx, caller, input, moment| Box::pin(post_payment(tx, caller, input, moment)))
    .moving("account");
