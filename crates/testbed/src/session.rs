//! One connection to either database, for statements as text.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use postgres::{Client, NoTls, SimpleQueryMessage};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::row::{Cell, FromCell, Row};

/// How long a statement waits for whoever holds the file; PostgreSQL waits by itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection. Its transaction, if it has begun one, is rolled back when it is dropped.
#[derive(Debug)]
pub struct Session {
    line: Line,
}

#[derive(Debug)]
enum Line {
    Sqlite(Connection),
    Postgres(Remote),
}

/// A statement, and where its answer goes.
type Question = (String, Sender<Result<Vec<Row>, postgres::Error>>);

/// PostgreSQL's driver has a runtime of its own, which must not wait on the thread of another one.
#[derive(Debug)]
struct Remote {
    questions: Option<Sender<Question>>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    pub(crate) fn sqlite(file: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        connection.busy_timeout(PATIENCE).expect("a connection takes settings");
        Self { line: Line::Sqlite(connection) }
    }

    pub(crate) fn postgres(url: &str) -> Self {
        Self { line: Line::Postgres(Remote::connect(url)) }
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When one fails.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.try_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Runs statements, or says why one failed.
    pub(crate) fn try_execute(&self, sql: &str) -> Result<(), String> {
        match &self.line {
            Line::Sqlite(connection) => {
                connection.execute_batch(sql).map_err(|error| error.to_string())
            }
            Line::Postgres(remote) => remote.ask(sql).map(drop),
        }
    }

    /// The rows that a statement finds.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        let found = match &self.line {
            Line::Sqlite(connection) => read(connection, sql).map_err(|error| error.to_string()),
            Line::Postgres(remote) => remote.ask(sql),
        };
        found.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The one value of the one row that a statement finds.
    ///
    /// # Panics
    /// When there are not just one row and one value.
    #[track_caller]
    pub fn value<T: FromCell>(&self, sql: &str) -> T {
        match self.rows(sql).as_slice() {
            [row] if row.cells.len() == 1 => row.first(),
            rows => panic!("{sql}: not one value: {rows:?}"),
        }
    }
}

fn read(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let cell = match row.get_ref(at)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(int) => Cell::Integer(int),
                ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
                ValueRef::Real(real) => panic!("{name} is the float {real}"),
            };
            cells.push((name.clone(), cell));
        }
        found.push(Row { cells });
    }
    Ok(found)
}

impl Remote {
    fn connect(url: &str) -> Self {
        let (questions, asked) = channel::<Question>();
        let (ready, is_ready) = channel();
        let url = url.to_owned();
        let thread = std::thread::spawn(move || {
            let connected = Client::connect(&url, NoTls).and_then(|mut client| {
                client.simple_query("SET TIME ZONE 'UTC'; SET client_min_messages = warning")?;
                Ok(client)
            });
            let mut client = match connected {
                Ok(client) => client,
                Err(error) => return drop(ready.send(Some(format!("{url}: {error:?}")))),
            };
            let _ = ready.send(None);
            for (sql, answer) in asked {
                let answered = client.simple_query(&sql);
                // Whoever asked may have given up.
                let _ = answer.send(answered.map(|messages| rows_of(&messages)));
            }
        });
        if let Some(failure) = is_ready.recv().expect("the thread says how it went") {
            panic!("{failure}");
        }
        Self { questions: Some(questions), thread: Some(thread) }
    }

    fn ask(&self, sql: &str) -> Result<Vec<Row>, String> {
        let (answer, answered) = channel();
        let questions = self.questions.as_ref().expect("there until dropped");
        questions.send((sql.to_owned(), answer)).expect("the thread listens");
        answered.recv().expect("the thread answers").map_err(|error| match error.as_db_error() {
            Some(error) => error.to_string(),
            None => format!("{error:?}"),
        })
    }
}

impl Drop for Remote {
    /// Waits until the connection is closed: nobody else may wait for what it held.
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn rows_of(messages: &[SimpleQueryMessage]) -> Vec<Row> {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let cell = |text: Option<&str>| text.map_or(Cell::Null, |text| Cell::Text(text.to_owned()));
    rows.map(|row| {
        let columns = row.columns().iter().enumerate();
        let cells = columns.map(|(at, column)| (column.name().to_owned(), cell(row.get(at))));
        Row { cells: cells.collect() }
    })
    .collect()
}
