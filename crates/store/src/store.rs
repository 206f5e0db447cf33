//! One database: lanes for writes, pools for reads.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::ops::{AsyncFn, AsyncFnOnce};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jsonapi::{Api, Include, Included, Listing, Record, Resource};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::console_sessions::{self, ConsoleSession};
use crate::database::{Database, make_directory, path_of};
use crate::error::{OpenError, StoreError};
use crate::fetch::Needs;
use crate::handover::Handover;
use crate::lane::{Lane, Source};
use crate::listing::{self, Reading};
use crate::lookups::Lookups;
use crate::mark;
use crate::migrations;
use crate::operators::{self, Operator};
use crate::postgres;
use crate::postgres::connect::{Asked, Server};
use crate::postgres::replica::Replica;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::sqlite::connection;
use crate::sqlite::pool::Pool;
use crate::table::Tables;
use crate::throttles::{self, Failures};
use crate::tx::Tx;

/// How long a list query may run before it is answered with 503.
const QUERY_MAX: Duration = Duration::from_secs(10);
/// Long lists at once; more wait for their turn, within the same time.
const LONG_LISTS_MAX: usize = 8;
/// Slots of the totals, among which the lanes of all nodes choose by chance.
const SLOTS: u64 = 64;

/// A database, open and migrated. Shared by reference; dropping it finishes accepted writes.
#[derive(Debug)]
pub struct Store {
    api: Api,
    tables: Arc<Tables>,
    lanes: Vec<Lane>,
    /// The lane of the next operation that names no row.
    turn: AtomicUsize,
    readers: Readers,
    long_lists: Arc<Semaphore>,
    /// Told of what is to be delivered.
    pub(crate) handover: Arc<Handover>,
}

/// Where reading connections come from.
#[derive(Clone, Debug)]
enum Readers {
    Sqlite {
        pool: Arc<Pool>,
        path: PathBuf,
    },
    Postgres {
        primary: Arc<postgres::pool::Pool>,
        replica: Option<Arc<Replica>>,
        lookups: Arc<Lookups>,
    },
}

impl Readers {
    /// A connection that sees all that was acknowledged.
    async fn take(&self) -> Result<Session, StoreError> {
        match self {
            Self::Sqlite { pool, .. } => pool.take(),
            Self::Postgres { primary, .. } => Ok(Session::postgres(primary.get().await?)),
        }
    }

    /// Where to read what may be a moment old, if there is such a place and it can be reached.
    async fn take_replica(&self) -> Option<(&Replica, Session)> {
        match self {
            Self::Postgres { replica: Some(replica), .. } => Some((replica, replica.take().await?)),
            _ => None,
        }
    }

    fn give_back(&self, session: Session) {
        // A session of PostgreSQL goes back by itself.
        if let Self::Sqlite { pool, .. } = self {
            pool.give_back(session);
        }
    }
}

/// What `/metrics` tells about the database.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Bytes of the main file and of the write-ahead log, of SQLite.
    pub file_and_log_bytes: Option<(u64, u64)>,
    /// Writes waiting for their lane.
    pub writes_waiting: usize,
}

impl Store {
    /// Opens a database, makes its file if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// One line for the operator: unknown address, unreadable file, unreachable server, newer
    /// schema, unfinished copy.
    pub async fn open(database: impl Into<Database>, api: Api) -> Result<Self, OpenError> {
        let store = Self::open_unfinished(database, api).await?;
        match store.unfinished().await.map_err(OpenError::Unreadable)? {
            Some(from) => Err(OpenError::Unfinished(from)),
            None => Ok(store),
        }
    }

    async fn unfinished(&self) -> Result<Option<String>, StoreError> {
        let session = self.readers.take().await?;
        let from = mark::unfinished(&session).await;
        self.readers.give_back(session);
        from
    }

    /// As [`Self::open`], though the database may be an unfinished copy: to look at what is there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_unfinished(
        database: impl Into<Database>,
        api: Api,
    ) -> Result<Self, OpenError> {
        let database = database.into();
        if database.is_postgres() {
            return Self::open_postgres(&database, api).await;
        }
        let path = path_of(&database.url)?;
        let file = Path::new(path);
        make_directory(file)?;
        let failed = |reason| OpenError::File { path: path.to_owned(), reason };
        let mut connection = connection::writer(file).map_err(failed)?;
        migrations::migrate(&mut connection, path)?;
        let tables = Arc::new(Tables::new(&api));
        let handover = Arc::default();
        let lane = Lane::start(Source::Sqlite(connection), Arc::clone(&tables), &handover, 0)?;
        let readers =
            Readers::Sqlite { pool: Arc::new(Pool::new(file.to_owned())), path: file.to_owned() };
        Ok(Self::new(api, tables, vec![lane], readers, handover))
    }

    async fn open_postgres(database: &Database, api: Api) -> Result<Self, OpenError> {
        let server = Server::of(&database.url, database.statement_timeout)?;
        let primary = Arc::new(server.pool(database.readers.max(1), Asked::Anything)?);
        let replica = match &database.replica_url {
            Some(url) => {
                let server = Server::of(url, database.statement_timeout)?;
                Some(Arc::new(Replica::new(server.pool(database.readers.max(1), Asked::Anything)?)))
            }
            None => None,
        };
        let mut client = primary
            .get()
            .await
            .map_err(|error| OpenError::Server { place: server.place(), reason: error.reason() })?;
        migrations::migrate_postgres(&mut client, &server.place()).await?;
        drop(client);
        let tables = Arc::new(Tables::new(&api));
        let handover = Arc::default();
        let mut lanes = Vec::with_capacity(database.lanes);
        for lane in 0..database.lanes.clamp(1, 64) {
            let slot = i64::try_from(RandomState::new().hash_one(lane) % SLOTS).unwrap_or_default();
            let pool = server.pool(1, Asked::SingleRows)?;
            lanes.push(Lane::start(Source::Postgres(pool), Arc::clone(&tables), &handover, slot)?);
        }
        let lookups = Lookups::new(server.pool(1, Asked::SingleRows)?, Arc::clone(&tables));
        let lookups = Arc::new(lookups);
        Ok(Self::new(api, tables, lanes, Readers::Postgres { primary, replica, lookups }, handover))
    }

    fn new(
        api: Api,
        tables: Arc<Tables>,
        lanes: Vec<Lane>,
        readers: Readers,
        handover: Arc<Handover>,
    ) -> Self {
        let long_lists = Arc::new(Semaphore::new(LONG_LISTS_MAX));
        Self { api, tables, lanes, turn: AtomicUsize::new(0), readers, long_lists, handover }
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) async fn take_reader(&self) -> Result<Session, StoreError> {
        self.readers.take().await
    }

    pub(crate) fn give_back(&self, session: Session) {
        self.readers.give_back(session);
    }

    /// Reads with a connection that sees all that was acknowledged.
    pub(crate) async fn reading<T>(
        &self,
        read: impl AsyncFnOnce(&Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let session = self.take_reader().await?;
        let found = read(&session).await;
        self.give_back(session);
        found
    }

    /// Opens a database if there is one: for work that makes no sense on an empty one.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is none.
    pub async fn open_existing(database: impl Into<Database>, api: Api) -> Result<Self, OpenError> {
        let database = database.into();
        if let Ok(path) = path_of(&database.url)
            && !Path::new(path).exists()
        {
            return Err(OpenError::Missing(path.to_owned()));
        }
        Self::open(database, api).await
    }

    /// The resources that the database holds.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Runs `operation` in a transaction and answers when its effect is durable.
    ///
    /// The operation must wait on nothing but its transaction: no network, no timer. It may run
    /// more than once, until one run is committed; so it has no effect outside of it.
    ///
    /// # Errors
    /// The operation's own, [`StoreError::Busy`] when too many wait, or why it could not commit.
    pub async fn write<T, E, F>(&self, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T, E> + Send + 'static,
    {
        self.write_with(Needs::default(), operation).await
    }

    /// As [`Self::write`], for an operation that says what it is going to need.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_with<T, E, F>(&self, needs: Needs, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T, E> + Send + 'static,
    {
        let turn = match needs.target {
            Some(target) => usize::try_from(target.id.unsigned_abs()).unwrap_or_default(),
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        self.lane(turn)?.write(needs, operation).await
    }

    fn lane(&self, turn: usize) -> Result<&Lane, StoreError> {
        self.lanes.get(turn % self.lanes.len().max(1)).ok_or(StoreError::Closed)
    }

    /// One page of a resource. In SQLite, short walks run on the spot, anything else on the
    /// blocking pool.
    ///
    /// # Errors
    /// [`StoreError::Deadline`] after ten seconds, or when a statement fails.
    pub async fn list(&self, reading: Reading) -> Result<Listing, StoreError> {
        if reading.is_short() {
            return list_any(&self.readers, &self.tables, &reading).await;
        }
        let turn = Arc::clone(&self.long_lists).acquire_owned();
        let turn = tokio::time::timeout(QUERY_MAX, turn).await;
        let turn = turn.map_err(|_| StoreError::Deadline)?.map_err(|_| StoreError::Closed)?;
        let (readers, tables) = (self.readers.clone(), Arc::clone(&self.tables));
        let listed = async move {
            let listing = list_any(&readers, &tables, &reading).await;
            drop(turn);
            listing
        };
        match &self.readers {
            Readers::Sqlite { .. } => aside(move || listed).await,
            Readers::Postgres { .. } => listed.await,
        }
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
        if let (Readers::Postgres { lookups, .. }, true) = (&self.readers, include.is_empty()) {
            let shown = lookups.find(resource, id).await?;
            return Ok(shown.map(|record| (record, Included::default())));
        }
        let session = self.readers.take().await?;
        let shown = if include.is_empty() {
            listing::show(&session, &self.tables, resource, id, include).await
        } else {
            session.begin_reading(Some(QUERY_MAX)).await?;
            let shown = listing::show(&session, &self.tables, resource, id, include).await;
            session.end_reading().await?;
            shown
        };
        self.readers.give_back(session);
        shown
    }

    /// One record as it is stored, with what no client sees.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find(
        &self,
        resource: &'static Resource,
        id: i64,
    ) -> Result<Option<Record>, StoreError> {
        self.reading(async |session| Snapshot::new(session, &self.tables).find(resource, id).await)
            .await
    }

    /// Lets `look` read one state of the database, on a thread where it may take its time. All
    /// that was acknowledged is in it.
    ///
    /// # Errors
    /// When a statement fails, and the look's own.
    pub async fn look<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: AsyncFnOnce(&Snapshot<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (readers, tables) = (self.readers.clone(), Arc::clone(&self.tables));
        aside(async move || {
            let session = readers.take().await?;
            let looked = look_at(&session, &tables, look).await;
            readers.give_back(session);
            looked
        })
        .await
    }

    /// As [`Self::look`], at a state that may be a moment old: the replica's, if there is one. The
    /// look runs again when it fails there.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn look_any<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: AsyncFn(&Snapshot<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (readers, tables) = (self.readers.clone(), Arc::clone(&self.tables));
        aside(async move || {
            if let Some((replica, session)) = readers.take_replica().await {
                let looked = look_at(&session, &tables, &look).await;
                if !replica.ended(&looked) {
                    return looked;
                }
            }
            let session = readers.take().await?;
            let looked = look_at(&session, &tables, look).await;
            readers.give_back(session);
            looked
        })
        .await
    }

    /// Every operator, by name.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn operators(&self) -> Result<Vec<Operator>, StoreError> {
        let session = self.readers.take().await?;
        let operators = operators::all(&session).await;
        self.readers.give_back(session);
        operators
    }

    /// The session of the console with this key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn console_session(&self, key: &str) -> Result<Option<ConsoleSession>, StoreError> {
        let session = self.readers.take().await?;
        let found = console_sessions::of_key(&session, key).await;
        self.readers.give_back(session);
        found
    }

    /// An operator's sessions of the console, the latest first.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn console_sessions(&self, operator: i64) -> Result<Vec<ConsoleSession>, StoreError> {
        let session = self.readers.take().await?;
        let found = console_sessions::of_operator(&session, operator).await;
        self.readers.give_back(session);
        found
    }

    /// What was counted under these keys ([`Tx::count_failure`]); nothing for those without
    /// failures.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn failures(&self, keys: [&str; 2]) -> Result<Vec<Failures>, StoreError> {
        let session = self.readers.take().await?;
        let failures = throttles::of(&session, keys).await;
        self.readers.give_back(session);
        failures
    }

    /// Whether the database can be read right now.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.is_found("SELECT 1").await.map(|_| ())
    }

    /// Whether no resource has a record yet.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        self.is_found("SELECT 1 FROM totals LIMIT 1").await.map(|found| !found)
    }

    async fn is_found(&self, sql: &str) -> Result<bool, StoreError> {
        let session = self.readers.take().await?;
        let found = session.read_one(sql, &[], |_| Ok(())).await;
        self.readers.give_back(session);
        Ok(found?.is_some())
    }

    /// Sizes and queues.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let file_and_log_bytes = match &self.readers {
            Readers::Sqlite { path, .. } => {
                let mut log = path.clone().into_os_string();
                log.push("-wal");
                Some((bytes(path), bytes(Path::new(&log))))
            }
            Readers::Postgres { .. } => None,
        };
        let writes_waiting = self.lanes.iter().map(Lane::waiting).sum();
        Figures { file_and_log_bytes, writes_waiting }
    }
}

/// Lets `look` read one state of the database.
async fn look_at<T>(
    session: &Session,
    tables: &Tables,
    look: impl AsyncFnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    session.begin_reading(None).await?;
    let looked = look(&Snapshot::new(session, tables)).await;
    let ended = session.end_reading().await;
    let looked = looked?;
    ended?;
    Ok(looked)
}

/// Reads a page that may be a moment old: from the replica if there is one, and from the primary
/// what fails there.
async fn list_any(
    readers: &Readers,
    tables: &Tables,
    reading: &Reading,
) -> Result<Listing, StoreError> {
    let began = Instant::now();
    if let Some((replica, session)) = readers.take_replica().await {
        let listing = list(&session, tables, reading, QUERY_MAX).await;
        let is_late = matches!(listing, Err(StoreError::Deadline)) && began.elapsed() >= QUERY_MAX;
        if !replica.ended(&listing) || is_late {
            return listing;
        }
    }
    let session = readers.take().await?;
    let listing = list(&session, tables, reading, QUERY_MAX).await;
    readers.give_back(session);
    listing
}

/// Reads a page from one state of the database.
async fn list(
    session: &Session,
    tables: &Tables,
    reading: &Reading,
    limit: Duration,
) -> Result<Listing, StoreError> {
    session.begin_reading(Some(limit)).await?;
    let listing = listing::list(session, tables, reading).await;
    let ended = session.end_reading().await;
    let listing = listing?;
    ended?;
    Ok(listing)
}

/// Runs work that keeps its thread busy where that hinders nobody.
async fn aside<T, W>(work: impl FnOnce() -> W + Send + 'static) -> Result<T, StoreError>
where
    T: Send + 'static,
    W: Future<Output = Result<T, StoreError>>,
{
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work()));
    done.await.map_err(|_| StoreError::Panicked)?
}
