//! The journal: every balance is the sum of its entries, and can be proved.

mod news;
mod opening;
mod posting;
mod resource;
mod sample;
mod statement;
mod verify;

pub use opening::{BOOKS, open_books, open_journal};
pub use posting::{PostError, follow_account, head, post};
pub use resource::{JOURNAL_CLOSURES, JOURNAL_ENTRIES};
pub use sample::{Drift, Sampler};
pub use statement::{router as statement_router, show_as_of};
pub use verify::{Checked, Finding, Range, verify_slice};
