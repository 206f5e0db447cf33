//! The two endpoints that move a balance without a payment: it is set, or corrected.

mod resource;
mod routes;

pub use resource::{BALANCE_CORRECTION, BALANCES};
pub use routes::router;
