//! One database: the lane for writes, the pool for reads.

use std::ops::AsyncFnOnce;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonapi::{Api, Include, Included, Listing, Record, Resource};
use tokio::sync::Semaphore;

use crate::connection;
use crate::error::{OpenError, StoreError};
use crate::lane::{Lane, Tx};
use crate::listing::{self, Reading};
use crate::migrations;
use crate::operators::{self, Operator};
use crate::pool::Pool;
use crate::snapshot::Snapshot;
use crate::table::Tables;

/// How long a list query may run before it is answered with 503.
const QUERY_MAX: Duration = Duration::from_secs(10);
/// Long lists at once; more wait for their turn, within the same time.
const LONG_LISTS_MAX: usize = 8;

/// A database, open and migrated. Shared by reference; dropping it finishes accepted writes.
#[derive(Debug)]
pub struct Store {
    api: Api,
    tables: Arc<Tables>,
    lane: Lane,
    pool: Arc<Pool>,
    long_lists: Arc<Semaphore>,
    path: PathBuf,
}

/// What `/metrics` tells about the database.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Bytes of the main file.
    pub file_bytes: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
    /// Writes waiting for the lane.
    pub writes_waiting: usize,
}

impl Store {
    /// Opens the database at `url` (`sqlite:PATH`), makes it if there is none, and brings its
    /// schema up to date.
    ///
    /// # Errors
    /// One line for the operator: unknown address, unreadable file, newer schema.
    pub fn open(url: &str, api: Api) -> Result<Self, OpenError> {
        let path = path_of(url)?;
        let file = Path::new(path);
        if let Some(directory) = file.parent().filter(|directory| !directory.exists()) {
            std::fs::create_dir_all(directory).map_err(|reason| OpenError::Directory {
                path: directory.display().to_string(),
                reason,
            })?;
        }
        let failed = |reason| OpenError::File { path: path.to_owned(), reason };
        let mut connection = connection::writer(file).map_err(failed)?;
        migrations::migrate(&mut connection, path)?;
        let tables = Arc::new(Tables::new(&api));
        let lane = Lane::start(connection, Arc::clone(&tables))?;
        let pool = Arc::new(Pool::new(file.to_owned()));
        let long_lists = Arc::new(Semaphore::new(LONG_LISTS_MAX));
        Ok(Self { api, tables, lane, pool, long_lists, path: file.to_owned() })
    }

    /// Opens the database at `url` if there is one: for work that makes no sense on an empty one.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is none.
    pub fn open_existing(url: &str, api: Api) -> Result<Self, OpenError> {
        let path = path_of(url)?;
        if !Path::new(path).exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        Self::open(url, api)
    }

    /// The resources that the database holds.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Runs `operation` in a transaction and answers when its effect is durable.
    ///
    /// The operation must wait on nothing but its transaction: no network, no timer. It runs
    /// again for nobody: an error rolls it back and is returned.
    ///
    /// # Errors
    /// The operation's own, [`StoreError::Busy`] when too many wait, or why it could not commit.
    pub async fn write<T, E, F>(&self, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: AsyncFnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
    {
        self.lane.write(operation).await
    }

    /// One page of a resource. Short walks run on the spot, anything else on the blocking pool.
    ///
    /// # Errors
    /// [`StoreError::Deadline`] after ten seconds, or when a statement fails.
    pub async fn list(&self, reading: Reading) -> Result<Listing, StoreError> {
        let tables = Arc::clone(&self.tables);
        let pool = Arc::clone(&self.pool);
        let short = reading.is_short();
        let deadline = Instant::now() + QUERY_MAX;
        let list =
            move || pool.with(|connection| listing::list(connection, &tables, &reading, deadline));
        if short {
            return list();
        }
        let turn = Arc::clone(&self.long_lists).acquire_owned();
        let turn = tokio::time::timeout(QUERY_MAX, turn).await;
        let turn = turn.map_err(|_| StoreError::Deadline)?.map_err(|_| StoreError::Closed)?;
        let listed = tokio::task::spawn_blocking(move || {
            let listing = list();
            drop(turn);
            listing
        });
        listed.await.map_err(|_| StoreError::Panicked)?
    }

    /// One record that clients may see, with what it includes.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn show(
        &self,
        resource: &'static Resource,
        id: i64,
        include: &Include,
    ) -> Result<Option<(Record, Included)>, StoreError> {
        self.pool.with(|connection| listing::show(connection, &self.tables, resource, id, include))
    }

    /// Lets `look` read one state of the database, on a thread where it may take its time.
    ///
    /// # Errors
    /// When a statement fails, and the look's own.
    pub async fn look<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (pool, tables) = (Arc::clone(&self.pool), Arc::clone(&self.tables));
        let looked = tokio::task::spawn_blocking(move || {
            pool.with(|connection| {
                listing::in_snapshot(connection, || look(&Snapshot::new(connection, &tables)))
            })
        });
        looked.await.map_err(|_| StoreError::Panicked)?
    }

    /// Every operator, by name.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn operators(&self) -> Result<Vec<Operator>, StoreError> {
        self.pool.with(|connection| operators::all(connection))
    }

    /// Whether the database can be read right now.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool.with(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?))
    }

    /// Whether no resource has a record yet.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        self.pool.with(|connection| {
            let sql = "SELECT NOT EXISTS (SELECT 1 FROM totals)";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        })
    }

    /// Sizes and queues.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        Figures {
            file_bytes: bytes(&self.path),
            log_bytes: bytes(Path::new(&log)),
            writes_waiting: self.lane.waiting(),
        }
    }
}

/// The file of an address `sqlite:PATH`.
fn path_of(url: &str) -> Result<&str, OpenError> {
    url.strip_prefix("sqlite:")
        .map(|path| path.strip_prefix("//").unwrap_or(path))
        .filter(|path| !path.is_empty())
        .ok_or_else(|| OpenError::Address(url.to_owned()))
}
