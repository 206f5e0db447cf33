//! The only crate that knows SQL.
//!
//! A [`Store`] is one database: a write lane that commits many waiting operations at once, and a
//! pool of readers on the last committed state. Tables follow the definitions of `jsonapi`, so
//! one set of statements serves every resource; only what is no resource (operators, settings)
//! has statements of its own. [`yeti`] reads another program's database, for imports.

mod among;
mod condition;
mod console_sessions;
mod copy;
mod database;
mod errands;
mod error;
mod fetch;
mod first_answers;
mod folding;
mod handover;
mod idempotency;
mod ids;
mod lane;
mod leases;
mod line;
mod listing;
mod lookups;
mod mark;
mod migrations;
mod operator_addresses;
mod operators;
mod outbox;
mod outlook;
mod postgres;
mod records;
mod row;
mod session;
mod snapshot;
mod sqlite;
mod statement;
mod store;
mod table;
mod tasks;
mod throttles;
mod tx;
mod work;
mod writing;
pub mod yeti;

pub use among::{Among, Meant};
pub use console_sessions::ConsoleSession;
pub use copy::{Compared, Copy, CopyError};
pub use database::Database;
pub use errands::{AskedErrand, Turn};
pub use error::{OpenError, StoreError};
pub use fetch::{Needs, Target};
pub use first_answers::FirstAnswer;
pub use handover::Errand;
pub use jsonapi::Listing;
pub use listing::Reading;
pub use operator_addresses::Coming;
pub use operators::{NewOperator, Operator};
pub use outbox::{Backlog, Left, Line};
pub use snapshot::Snapshot;
pub use store::{Figures, Store};
pub use tasks::{NewTask, Task, TaskFailure, TaskState, TaskStep};
pub use throttles::Failures;
pub use tx::Tx;
