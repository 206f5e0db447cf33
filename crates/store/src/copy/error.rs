//! What keeps from copying.

use crate::error::{OpenError, StoreError};

/// Why a copy cannot begin, or had to stop: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is nothing to copy.
    #[error("{0} is the source and the target")]
    Same(String),
    /// Others use the database.
    #[error("{0} is in use: stop the server, and whatever else has it open, then try again")]
    InUse(String),
    /// The schema is an older one.
    #[error(
        "{place} has schema version {found}, this program's is {known}: run `tollkeeper verify` on \
         it, which brings it up to date"
    )]
    Older {
        /// The database.
        place: String,
        /// Its version.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// No program of this version has used the source yet.
    #[error("{0} is not ready for this version: run `tollkeeper verify` on it, which makes it so")]
    Unready(String),
    /// A table is not as this program knows it.
    #[error("table {table} of {place} has other columns than this program knows")]
    Columns {
        /// The database.
        place: String,
        /// The table.
        table: String,
    },
    /// The source is an unfinished copy itself.
    #[error("{place} is itself the beginning of a copy from {from}")]
    Unfinished {
        /// The source.
        place: String,
        /// Where that copy comes from.
        from: String,
    },
    /// The target has rows already.
    #[error("{place} is not empty: there are rows in {table}; a copy needs an empty database")]
    NotEmpty {
        /// The target.
        place: String,
        /// A table with rows.
        table: String,
    },
    /// The target is the beginning of a copy, but not of this one.
    #[error("{place} is the beginning of another copy, from {from}: take an empty database")]
    OtherCopy {
        /// The target.
        place: String,
        /// Where that copy comes from.
        from: String,
    },
    /// The source is not as it was when the copy began.
    #[error("{0} has changed since this copy began: begin again with an empty target")]
    Changed(String),
    /// A database failed.
    #[error("{place}")]
    Database {
        /// Which.
        place: String,
        /// How.
        #[source]
        reason: StoreError,
    },
    /// A table cannot be copied.
    #[error("table {table} of {place}")]
    Table {
        /// The table.
        table: String,
        /// The database that failed.
        place: String,
        /// How.
        #[source]
        reason: StoreError,
    },
}
