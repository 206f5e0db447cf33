//! Webhooks: events are posted to addresses, signed.

mod post;

pub use post::serve;
