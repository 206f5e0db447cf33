//! Invoice templates.

mod resource;

pub use resource::{INVOICE_TEMPLATES, faults};
