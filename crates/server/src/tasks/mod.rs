//! Long work that somebody asks for: imports, the same change to many records, deletes, the proof
//! of all balances. It is a task in the database, so that it goes on when they leave the page, and
//! when the process ends.
//!
//! Each row of a task is an ordinary request to the API, made in the process: there is no second
//! set of rules.

mod columns;
mod preview;
mod queue;
mod run;
mod work;

pub use columns::{Columns, MAX_COLUMNS};
pub use preview::{
    Changed, EditPreview, ImportPreview, PREVIEW_ROWS_MAX, RefusedRow, preview_edit, preview_import,
};
pub use queue::{
    NotQueued, cancel, export_of, queue_delete, queue_edit, queue_export, queue_import,
    queue_verify,
};
pub use run::Runner;
pub use work::{IMPORTED, Kind};
