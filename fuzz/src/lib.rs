//! The laws that the targets try, shared with the property tests.

#[path = "../../crates/jsonapi/tests/properties/laws.rs"]
pub mod laws;
