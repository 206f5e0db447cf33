//! Where a database is and how it is used.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::error::OpenError;

/// A database's address, and what it may cost.
#[derive(Clone)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// A read-only copy of a PostgreSQL database, for lists and reports.
    pub replica_url: Option<String>,
    /// Writing connections to PostgreSQL, 1 to 64. Each shares its commits among the operations
    /// that wait for it, so more of them share less.
    pub lanes: usize,
    /// Reading connections to PostgreSQL, at least 1.
    pub readers: usize,
    /// How long a statement may run at PostgreSQL, lists and single records included; work that
    /// reads everything is exempt.
    pub statement_timeout: Duration,
}

impl Database {
    /// Writing connections, unless told otherwise.
    pub const LANES: usize = 4;
    /// Reading connections, unless told otherwise.
    pub const READERS: usize = 16;
    /// Seconds that a statement may run, unless told otherwise.
    pub const STATEMENT_TIMEOUT_SECS: u32 = 10;

    /// Whether the address is PostgreSQL's.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres://") || self.url.starts_with("postgresql://")
    }
}

impl From<&str> for Database {
    fn from(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            replica_url: None,
            lanes: Self::LANES,
            readers: Self::READERS,
            statement_timeout: Duration::from_secs(u64::from(Self::STATEMENT_TIMEOUT_SECS)),
        }
    }
}

impl From<&String> for Database {
    fn from(url: &String) -> Self {
        Self::from(url.as_str())
    }
}

impl fmt::Debug for Database {
    /// Without the addresses, which may hold passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Database").finish_non_exhaustive()
    }
}

/// Makes the directory of a file.
pub fn make_directory(file: &Path) -> Result<(), OpenError> {
    let Some(directory) = file.parent().filter(|directory| !directory.exists()) else {
        return Ok(());
    };
    std::fs::create_dir_all(directory)
        .map_err(|reason| OpenError::Directory { path: directory.display().to_string(), reason })
}

/// The file of an address `sqlite:PATH`.
pub fn path_of(url: &str) -> Result<&str, OpenError> {
    url.strip_prefix("sqlite:")
        .map(|path| path.strip_prefix("//").unwrap_or(path))
        .filter(|path| !path.is_empty())
        .ok_or_else(|| OpenError::Address(url.to_owned()))
}
