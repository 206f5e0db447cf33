//! The only crate that knows SQL.
//!
//! A [`Store`] is one database: a write lane that commits many waiting operations at once, and a
//! pool of readers on the last committed state. Tables follow the definitions of `jsonapi`, so
//! one set of statements serves every resource; only what is no resource (operators, settings)
//! has statements of its own.

// The second database's driver waits where SQLite answers at once; operations are written for
// both.
#![expect(clippy::unused_async, reason = "operations await their transaction on any database")]

mod column;
mod condition;
mod connection;
mod error;
mod first_answers;
mod lane;
mod listing;
mod migrations;
mod operators;
mod pool;
mod records;
mod snapshot;
mod store;
mod table;

pub use error::{OpenError, StoreError};
pub use first_answers::FirstAnswer;
pub use jsonapi::Listing;
pub use lane::Tx;
pub use listing::Reading;
pub use operators::{NewOperator, Operator};
pub use snapshot::Snapshot;
pub use store::{Figures, Store};
