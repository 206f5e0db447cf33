//! The outbox: events are written in the transaction that makes them happen, with a delivery for
//! everybody who wants to hear of them. What is delivered, and how, is none of its business.

mod attempt;
mod delivery;
mod tell;
mod webhook;

pub use attempt::{Attempt, Due, Outcome, Served, backoff, count, is_last, leave, mark, settle};
pub use delivery::{DEAD, DELIVERED, DELIVERIES, EMAIL, PENDING, SUPPRESSED, WEBHOOK};
pub use tell::{
    News, deliver_to_webhook, delivery_of, is_wanted, mail, tell, tell_only, webhook_line,
    webhook_target, write_down,
};
pub use webhook::{WEBHOOKS, WEBHOOKS_WITH_SECRET};
