//! What can go wrong with a database, in the words that the layers above act on.

use rusqlite::ffi::ErrorCode;

/// Why an operation on the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique or foreign key refuses the row; ask which and say so.
    #[error("a constraint of the database refuses the row")]
    Conflict,
    /// The queue of the write lane is full: try again soon.
    #[error("too many writes are waiting")]
    Busy,
    /// The query took longer than it may.
    #[error("the query took too long")]
    Deadline,
    /// The database cannot be written or reached right now: full disk, lock, I/O error.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A statement failed: a fault of ours.
    #[error("a statement failed")]
    Driver(#[source] rusqlite::Error),
    /// A stored value cannot be read: a fault of ours, or another hand in the file.
    #[error("the stored value of column {0} is malformed")]
    Malformed(String),
    /// The operation panicked, and was rolled back.
    #[error("the operation panicked")]
    Panicked,
    /// The database is shutting down.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// The same failure, told to another operation that shared the transaction.
    pub(crate) fn repeated(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Closed => Self::Closed,
            Self::Unavailable(reason) => Self::Unavailable(reason.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Self::Conflict,
            Some(ErrorCode::OperationInterrupted) => Self::Deadline,
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Driver(error),
        }
    }
}

/// Why a database cannot be opened: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address names a kind of database that this build does not know.
    #[error("database address {0:?} is not supported: use sqlite:PATH")]
    Address(String),
    /// There is none.
    #[error("there is no database {0}")]
    Missing(String),
    /// The file's directory cannot be made.
    #[error("cannot create the database directory {path}: {reason}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is no database, or cannot be opened.
    #[error("cannot open the database {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: rusqlite::Error,
    },
    /// The database was written by a newer version.
    #[error("the database has schema version {found}, newer than this program knows ({known})")]
    Newer {
        /// Version of the file.
        found: usize,
        /// Newest version known here.
        known: usize,
    },
    /// The lane's thread cannot be started.
    #[error("cannot start the database writer")]
    Thread(#[from] std::io::Error),
}
