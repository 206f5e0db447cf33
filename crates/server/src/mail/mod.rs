//! Mail: what contacts are told.

mod resource;
mod send;

pub use resource::EMAIL_LOGS;
pub use send::serve;
