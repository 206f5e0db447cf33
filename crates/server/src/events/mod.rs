//! Events: what happened and is worth telling.

mod catalogue;
mod resource;

pub use catalogue::*;
pub use resource::EVENTS;
