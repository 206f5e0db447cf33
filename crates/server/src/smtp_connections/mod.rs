//! SMTP connections: how mail leaves.

mod resource;

pub use resource::{SMTP_CONNECTIONS, faults};
