//! The JSON:API endpoints that every resource shares, served straight from its definition.
//!
//! `routes` translates between HTTP and documents, `operations` owns the transactions, `draft`
//! is a record in the making. A resource with rules of its own names them in its [`Endpoint`].

mod draft;
mod endpoint;
mod operations;
mod request;
mod routes;

pub use draft::{Draft, Truth};
pub use endpoint::Endpoint;
pub use operations::{audit, create, delete, faults_of, update};
pub use request::{Call, Precondition};
pub use routes::{answer, router};
