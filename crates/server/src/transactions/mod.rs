//! Transactions: charges and credits of an account.

use crate::rest::Endpoint;

mod operations;
mod resource;

pub use resource::TRANSACTIONS;

/// Transactions as the shared routes serve them.
pub static ENDPOINT: Endpoint =
    Endpoint::plain(&TRANSACTIONS).prepared_by(resource::prepare).moving("account").created_by(
        |tx, caller, input, moment| Box::pin(operations::charge(tx, caller, input, moment)),
    );
