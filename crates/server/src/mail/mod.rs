//! Mail: what contacts are told, in which words, and through which server.

mod engine;
mod facts;
mod log;
mod message;
mod resource;
mod send;
mod smtp;
mod templates;
mod trial;
mod wary;

pub use facts::VARIABLES;
pub use resource::EMAIL_LOGS;
pub use send::serve;
pub use templates::{EMAIL_TEMPLATES, faults};
pub use trial::router;
