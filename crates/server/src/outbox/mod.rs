//! The outbox: events are written in the transaction that makes them happen, with a delivery for
//! everybody who wants to hear of them. What is delivered, and how, is none of its business.

mod attempt;
mod delivery;
mod tell;
mod webhook;

pub use attempt::{Attempt, Due, Outcome, Served, backoff, leave, mark};
pub use delivery::{DEAD, DELIVERED, DELIVERIES, EMAIL, PENDING, SUPPRESSED, WEBHOOK};
pub use tell::{News, deliver_to_webhook, mail, tell};
pub use webhook::WEBHOOKS;
