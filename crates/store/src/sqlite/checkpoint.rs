//! Brings what the log has into the file, beside the writer.
//!
//! Left alone, SQLite does that within the commit that fills the log, and a writer that is never idle
//! spends a fifth of its time on it. Here a thread copies while the writer goes on, then once more
//! what came in the meantime; the little that is left is the writer's, because the log begins anew
//! only after a moment in which all of it is in the file.

use std::ffi::c_int;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

/// Pages in the log before they are copied: more than SQLite's own, so that a page changed by many
/// commits is copied once.
const PAGES: c_int = 32_000;
/// How often the thread copies before the writer does.
const PASSES: u32 = 2;

/// Lets another thread copy what `writer` commits, with a second connection to the same file.
///
/// # Errors
/// When that one cannot read the file.
pub fn copy_aside(writer: &mut Connection, second: Connection) -> rusqlite::Result<()> {
    copy_aside_after(PAGES, writer, second)
}

fn copy_aside_after(
    pages: c_int,
    writer: &mut Connection,
    second: Connection,
) -> rusqlite::Result<()> {
    // A connection that has read nothing does not know that there is a log.
    second.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    let aside = Aside { pages, connection: Some(second), copying: None, passes: 0 };
    writer.wal_hook(Some(aside.hook()))
}

/// Who copies beside the writer.
struct Aside {
    /// Pages in the log before they are copied.
    pages: c_int,
    /// The connection to copy with, unless a thread has it.
    connection: Option<Connection>,
    copying: Option<JoinHandle<Connection>>,
    /// How often the thread has copied since the log was begun.
    passes: u32,
}

impl Aside {
    /// What the writer's connection is to call after every commit.
    fn hook(mut self) -> impl FnMut(&mut Wal, c_int) -> rusqlite::Result<()> + Send + 'static {
        move |log, pages| {
            self.committed(log, pages);
            Ok(())
        }
    }

    /// Called after every commit with the pages that the log has now. Whatever goes wrong here is
    /// tried again after the next one: what was committed is durable without it.
    fn committed(&mut self, log: &mut Wal, pages: c_int) {
        if pages < self.pages {
            self.passes = 0;
            return;
        }
        if let Some(ended) = self.copying.take_if(|copying| copying.is_finished()) {
            self.connection = ended.join().ok();
        }
        if self.copying.is_some() {
            return;
        }
        let connection = self.connection.take_if(|_| self.passes < PASSES);
        let Some(connection) = connection else {
            // A read that began long ago may hold it up.
            let _ = log.checkpoint();
            self.passes = 0;
            return;
        };
        self.passes += 1;
        let copy = move || {
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            connection
        };
        self.copying = thread::Builder::new().name("checkpoint".into()).spawn(copy).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;

    use super::*;

    /// Pages of the log before they are copied.
    const FEW_PAGES: c_int = 100;
    /// The same in bytes: the log has a head of 32, and each page in it one of 24.
    const FEW_PAGES_BYTES: u64 = 32 + 100 * (24 + 4_096);
    /// More than the log needs, if it begins anew time and again.
    const LOG_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

    fn open(file: &Path) -> Connection {
        Connection::open(file).expect("a database")
    }

    struct Written {
        _folder: TempDir,
        file: PathBuf,
        writer: Connection,
        rows: i64,
    }

    impl Written {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a directory");
            let file = folder.path().join("written.db");
            let mut writer = open(&file);
            writer.pragma_update(None, "journal_mode", "WAL").expect("a log");
            copy_aside_after(FEW_PAGES, &mut writer, open(&file)).expect("a hook");
            let table = "CREATE TABLE written (id INTEGER PRIMARY KEY, bytes BLOB)";
            writer.execute_batch(table).expect("a table");
            Self { _folder: folder, file, writer, rows: 0 }
        }

        /// 2 KB in each of so many commits.
        fn commit(&mut self, commits: i64) {
            let sql = "INSERT INTO written (bytes) VALUES (zeroblob(2000))";
            for _ in 0..commits {
                self.writer.prepare_cached(sql).and_then(|mut sql| sql.execute([])).expect("a row");
            }
            self.rows += commits;
        }

        fn log_bytes(&self) -> u64 {
            fs::metadata(self.file.with_extension("db-wal")).expect("a log").len()
        }

        fn file_bytes(&self) -> u64 {
            fs::metadata(&self.file).expect("a file").len()
        }

        fn check(&self) {
            let reader = open(&self.file);
            let one =
                |sql| reader.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0));
            assert_eq!(one("PRAGMA integrity_check"), Ok("ok".to_owned().into()));
            assert_eq!(one("SELECT count(*) FROM written"), Ok(self.rows.into()));
        }
    }

    #[test]
    fn a_writer_that_is_never_idle_does_not_make_the_log_grow() {
        let mut written = Written::new();
        written.commit(5_000);
        assert!(written.log_bytes() < LOG_BYTES_MAX, "{} bytes", written.log_bytes());
        let file_bytes = written.file_bytes();
        assert!(file_bytes > 5_000 * 2_000 - LOG_BYTES_MAX, "{file_bytes} bytes");
        written.check();
    }

    #[test]
    fn another_thread_copies() {
        let mut written = Written::new();
        let second = Some(open(&written.file));
        let aside = Aside { pages: FEW_PAGES, connection: second, copying: None, passes: 0 };
        let aside = Arc::new(Mutex::new(aside));
        let called = Arc::clone(&aside);
        let hook = move |log: &mut Wal, pages| {
            called.lock().expect("the writer's").committed(log, pages);
            Ok(())
        };
        written.writer.wal_hook(Some(hook)).expect("a hook");
        let before = written.file_bytes();
        while written.log_bytes() < FEW_PAGES_BYTES {
            written.commit(1);
        }
        // The last commit was the first to find the log long enough.
        let copying = aside.lock().expect("the writer's").copying.take();
        copying.expect("a thread").join().expect("its connection");
        let after = written.file_bytes();
        assert!(after > before, "{before} and then {after} bytes");
        written.check();
    }

    #[test]
    fn a_read_that_takes_long_only_holds_it_up() {
        let mut written = Written::new();
        written.commit(10);
        let reader = open(&written.file);
        reader.execute_batch("BEGIN").expect("a read");
        let count = "SELECT count(*) FROM written";
        let counted = || reader.query_row(count, [], |row| row.get::<_, i64>(0));
        assert_eq!(counted(), Ok(10));
        written.commit(5_000);
        let held_up = written.log_bytes();
        assert!(held_up > 5_000 * 2_000, "{held_up} bytes");
        assert_eq!(counted(), Ok(10));
        reader.execute_batch("COMMIT").expect("an end");
        written.commit(5_000);
        assert!(written.log_bytes() < held_up + LOG_BYTES_MAX, "{} bytes", written.log_bytes());
        written.check();
    }

    #[test]
    fn the_writer_copies_by_itself_when_nobody_else_can() {
        let mut written = Written::new();
        let alone = Aside { pages: FEW_PAGES, connection: None, copying: None, passes: 0 };
        written.writer.wal_hook(Some(alone.hook())).expect("a hook");
        written.commit(5_000);
        assert!(written.log_bytes() < LOG_BYTES_MAX, "{} bytes", written.log_bytes());
        written.check();
    }
}
