//! Accounts: what they look like, what they must be, and how their balances move.

mod balance;
mod resource;
mod rules;

pub use balance::{move_balance, router as balance_router};
pub use resource::{ACCOUNTS, BALANCE_CORRECTION, BALANCES};
pub use rules::{faults, prepare};
