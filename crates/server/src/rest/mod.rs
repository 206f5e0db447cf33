//! The JSON:API endpoints that every resource shares, served straight from its definition.
//!
//! `routes` translates between HTTP and documents, `operations` owns the transactions, `draft`
//! is a record in the making, `write` makes a retried request happen once. A resource with rules of its own names them in its [`Endpoint`].

mod draft;
mod endpoint;
mod operations;
mod request;
mod routes;
mod write;

pub use draft::{Draft, Truth};
pub use endpoint::{Change, Endpoint, Part};
pub use operations::{
    Audited, amend, append_audit, audit, create, faults_of, insert, remove, update,
};
pub use request::{Call, IDEMPOTENCY_KEY, Precondition};
pub use routes::{answer, list, path_id, record_key, router};
pub use write::{Written, written};
