//! What people are told of balances, and the log of it.

mod announce;
mod resource;

pub use announce::announce;
pub use resource::BALANCE_NOTIFICATIONS;
