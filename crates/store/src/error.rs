//! What can go wrong with a database, in the words that the layers above act on.

use std::error::Error;

use deadpool_postgres::PoolError;
use rusqlite::ffi::ErrorCode;
use tokio_postgres::error::{DbError, Severity, SqlState};

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
    /// The connection was lost during the commit: the operation may have had its effect or not.
    #[error("the database was lost during a commit, which may have happened")]
    Unknown,
    /// A statement failed: a fault of ours.
    #[error("a statement failed")]
    Statement(#[source] Box<dyn Error + Send + Sync>),
    /// Other writers stood in the way; run again, the operation may succeed.
    #[error("another transaction stood in the way")]
    Serialization,
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
    /// The same failure, told to another that shared the transaction or the query.
    #[must_use]
    pub fn repeated(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Closed => Self::Closed,
            Self::Deadline => Self::Deadline,
            Self::Unknown => Self::Unknown,
            Self::Malformed(column) => Self::Malformed(column.clone()),
            Self::Unavailable(reason) => Self::Unavailable(reason.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }

    /// What is behind it, in one line.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Unavailable(reason) => reason.clone(),
            other => full_reason(other),
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
            _ => Self::Statement(Box::new(error)),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    /// By SQLSTATE (PostgreSQL documentation, appendix A).
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else {
            let is_io = error.source().is_some_and(<dyn Error>::is::<std::io::Error>);
            return if error.is_closed() || is_io {
                Self::Unavailable(full_reason(&error))
            } else {
                Self::Statement(Box::new(error))
            };
        };
        match state {
            // The last one: what stood before it in the transaction was broken off.
            &SqlState::T_R_SERIALIZATION_FAILURE
            | &SqlState::T_R_DEADLOCK_DETECTED
            | &SqlState::IN_FAILED_SQL_TRANSACTION => Self::Serialization,
            _ if error.as_db_error().is_some_and(is_last_word) => {
                Self::Unavailable(full_reason(&error))
            }
            &SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE => Self::Deadline,
            &SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable(full_reason(&error)),
            _ => match state.code().get(..2).unwrap_or_default() {
                "23" => Self::Conflict,
                // Connection, resources, intervention of an operator, fault of the system.
                "08" | "53" | "57" | "58" => Self::Unavailable(full_reason(&error)),
                _ => Self::Statement(Box::new(error)),
            },
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(pool_reason(&error))
    }
}

/// Why a pool has no connection, in one line.
fn pool_reason(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => full_reason(error),
        other => full_reason(other),
    }
}

/// Whether the server ends the connection with this error.
pub fn is_last_word(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// An error with its causes, in one line.
pub fn full_reason(error: &(dyn Error + 'static)) -> String {
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        next = cause.source();
    }
    // PostgreSQL puts details and hints into lines of their own.
    reason.replace('\n', "; ")
}

/// Why a database cannot be opened: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address names a kind of database that this build does not know.
    #[error("database address {0:?} is not supported: use sqlite:PATH or postgres://…")]
    Address(String),
    /// The address of a PostgreSQL server cannot be used.
    #[error("database address: {0}")]
    Url(String),
    /// The server cannot be reached, or does not let us do what we must.
    #[error("cannot use the database at {place}: {reason}")]
    Server {
        /// Hosts of the server.
        place: String,
        /// Why.
        reason: String,
    },
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
    /// It is the beginning of a copy.
    #[error("the database is an unfinished copy of {0}: run the same `tollkeeper copy` again")]
    Unfinished(String),
    /// It can be opened, but not read.
    #[error("cannot read the database")]
    Unreadable(#[source] StoreError),
    /// The lane's thread cannot be started.
    #[error("cannot start the database writer")]
    Thread(#[from] std::io::Error),
}
