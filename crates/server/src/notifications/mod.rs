//! What is worth telling about accounts: events, and the log of balance notifications.

mod announce;
mod resource;

pub use announce::announce;
pub use resource::{BALANCE_NOTIFICATIONS, EVENTS};
