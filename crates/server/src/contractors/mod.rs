//! Contractors: whom accounts belong to.

mod resource;

pub use resource::{CONTRACTORS, faults};
