//! Accounts: what they look like, what they must be, and how their balances move.

use crate::rest::Endpoint;

mod balance;
mod resource;
mod rules;

pub use balance::{move_balance, router as balance_router};
pub use resource::{ACCOUNTS, BALANCE_CORRECTION, BALANCES};

/// Accounts as the shared routes serve them.
pub static ENDPOINT: Endpoint =
    Endpoint::plain(&ACCOUNTS).with_faults(rules::faults).prepared_by(rules::prepare);
