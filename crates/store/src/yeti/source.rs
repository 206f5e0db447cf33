//! The connection, and slices of rows out of it.

use std::marker::PhantomData;
use std::time::Duration;

use tokio_postgres::Client;

use super::columns::Layout;
use super::left_behind::{self, LeftBehind};
use super::rows::YetiRow;
use crate::error::OpenError;
use crate::postgres::connect::Server;

/// What every release has; without it this is another program's database.
const ALWAYS_THERE: &[&str] = &[
    "billing.accounts.id",
    "billing.accounts.name",
    "billing.accounts.balance",
    "billing.accounts.contractor_id",
    "public.contractors.id",
    "public.contractors.name",
];

/// Why YETI's database cannot be read: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum YetiError {
    /// The address is none.
    #[error("the address of YETI's database is not understood: use postgres://USER@HOST/DATABASE")]
    Address(#[source] OpenError),
    /// Nobody answers there, or we are not let in.
    #[error("cannot connect to YETI's database")]
    Connect(#[source] tokio_postgres::Error),
    /// It is another database.
    #[error("this is no database of YETI: there is no column {0}")]
    Other(&'static str),
    /// A statement failed.
    #[error("cannot read {table} of YETI's database")]
    Read {
        /// What it was to read.
        table: &'static str,
        /// Why it could not.
        source: tokio_postgres::Error,
    },
}

/// One state of a database of YETI, open to be read.
#[derive(Debug)]
pub struct YetiSource {
    client: Client,
    layout: Layout,
}

/// The rows of one table that are still to be read, in the order of their ids.
#[derive(Debug)]
pub struct Rows<'a, R> {
    client: &'a Client,
    /// Whether there may be more.
    open: bool,
    row: PhantomData<R>,
}

async fn connect(url: &str) -> Result<Client, YetiError> {
    // Statements may take as long as the other database needs.
    let server = Server::of(url, Duration::ZERO).map_err(YetiError::Address)?;
    server.client().await.map_err(YetiError::Connect)
}

impl YetiSource {
    /// Connects to the database at `url` and looks which columns it has. From here on, all that
    /// is read is of one moment.
    ///
    /// # Errors
    /// When the address is none, nobody is there, or it is no database of YETI.
    pub async fn open(url: &str) -> Result<Self, YetiError> {
        let client = connect(url).await?;
        let failed = |source| YetiError::Read { table: "pg_attribute", source };
        // An import may pause for longer than others may; searching the path of names would find
        // tables that are not meant.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                     SET LOCAL search_path = pg_catalog; SET LOCAL TimeZone = 'UTC'; \
                     SET LOCAL statement_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0";
        client.batch_execute(begin).await.map_err(failed)?;
        let sql = "SELECT n.nspname || '.' || c.relname || '.' || a.attname, \
                   has_schema_privilege(n.oid, 'USAGE') \
                   AND has_column_privilege(c.oid, a.attnum, 'SELECT') \
                   FROM pg_attribute a \
                   JOIN pg_class c ON c.oid = a.attrelid \
                   JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE a.attnum > 0 AND NOT a.attisdropped \
                   AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname \
                   IN ('billing', 'gui', 'logs', 'notifications', 'public', 'sys')";
        let columns = client.query(sql, &[]).await.map_err(failed)?;
        let columns = columns.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let layout = Layout::new(columns.collect::<Result<_, _>>().map_err(failed)?);
        match ALWAYS_THERE.iter().find(|column| !layout.has(&[column])) {
            Some(missing) => Err(YetiError::Other(missing)),
            None => Ok(Self { client, layout }),
        }
    }

    /// Begins to read a table; one that this release does not have has no rows. Only one table is
    /// read at a time.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn rows<R: YetiRow>(&mut self) -> Result<Rows<'_, R>, YetiError> {
        let open = self.layout.has(&[&format!("{}.id", R::TABLE)]);
        if open {
            let select = self.layout.select(R::TABLE, R::COLUMNS, R::JOINS);
            let sql = format!("CLOSE ALL; DECLARE to_import NO SCROLL CURSOR FOR {select}");
            let begun = self.client.batch_execute(&sql).await;
            begun.map_err(|source| YetiError::Read { table: R::TABLE, source })?;
        }
        Ok(Rows { client: &self.client, open, row: PhantomData })
    }

    /// What there is that no row type carries, and how much of it; nothing of which there is none.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn left_behind(&self) -> Result<Vec<LeftBehind>, YetiError> {
        left_behind::count(&self.client, &self.layout).await
    }
}

impl<R: YetiRow> Rows<'_, R> {
    /// The next rows, at most `limit`; none at the end.
    ///
    /// # Errors
    /// When the connection is lost, or a row cannot be read.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<R>, YetiError> {
        if !self.open {
            return Ok(Vec::new());
        }
        let failed = |source| YetiError::Read { table: R::TABLE, source };
        let rows = self.client.query(&format!("FETCH {limit} FROM to_import"), &[]).await;
        let rows = rows.map_err(failed)?;
        self.open = rows.len() == limit;
        rows.iter().map(R::read).collect::<Result<_, _>>().map_err(failed)
    }
}
