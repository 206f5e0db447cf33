//! How a connection to SQLite is set up, for the writer and for readers.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};

use super::checkpoint;
use crate::error::StoreError;
use crate::folding;

/// Prepared statements kept per connection.
const STATEMENTS_CACHED: usize = 128;
/// How long a connection waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer, in KiB: the inner pages of every index that a create touches.
const WRITER_CACHE_KIB: i64 = 24 * 1024;
/// Page cache of one reader, in KiB; the rest is in the operating system's cache.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Bytes of a page of a new file. A payment changes a few bytes of pages all over the file, and each
/// is written as a whole: half of SQLite's usual size is a tenth more payments.
const PAGE_BYTES: i64 = 2_048;

/// The connection that writes: durable commits, foreign keys enforced.
pub fn writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    create_private(path);
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    prepare(&connection, WRITER_CACHE_KIB)?;
    checkpoint::copy_aside(&mut connection, reader(path)?)?;
    Ok(connection)
}

/// Makes a missing file for its owner alone: it will hold password hashes, and perhaps the key of
/// all tokens. SQLite gives its other files the same mode. What goes wrong here is said on opening.
fn create_private(path: &Path) {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

/// Where the database file was when it was opened.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Device and inode.
    file: Option<(u64, u64)>,
}

impl Place {
    pub fn of(connection: &Connection) -> Self {
        let path = PathBuf::from(connection.path().unwrap_or_default());
        let file = file_at(&path);
        Self { path, file }
    }

    /// Whether the file is still there. SQLite would not ask: it would go on to acknowledge
    /// writes, into a log that a file under another name does not have.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] until the file is back.
    pub fn check(&self) -> Result<(), StoreError> {
        if file_at(&self.path) == self.file {
            return Ok(());
        }
        Err(StoreError::Unavailable("its file was moved, removed or replaced".to_owned()))
    }
}

/// Device and inode of the file at this path, if there is one.
pub fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// A connection that only reads.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    prepare(&connection, READER_CACHE_KIB)?;
    Ok(connection)
}

/// The only connection: it reads one state of the file, and nobody else can open it meanwhile.
///
/// # Errors
/// When somebody else has it open already.
pub fn sole(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before the first access: then the file itself is locked, not only its log.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Without it, every new page number would make SQLite plan the list anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("folded", 1, flags, |context| {
        let text: Option<String> = context.get(0)?;
        Ok(text.map(|text| folding::fold(&text)))
    })
}
