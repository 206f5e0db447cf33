//! An operator may end any statement at PostgreSQL, also those that only frame others. A real server
//! answers so here, because somebody on the way to it puts such a statement in the place of ours.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jsonapi::{Api, Resource, Value, text};
use store::{Database, Store, StoreError};
use testbed::{Kind, TestDatabase};

static CONTACTS: Resource = Resource {
    kind: "contacts",
    attributes: &[text("email", ""), text("notes", "")],
    ..Resource::PLAIN
};
static TEMPLATES: Resource = Resource {
    kind: "invoice-templates",
    attributes: &[text("name", ""), text("filename", "")],
    ..Resource::PLAIN
};
static API: Api = Api { prefix: "/test", resources: &[&CONTACTS, &TEMPLATES] };

/// Fails as a statement does that is ended by hand.
const ENDED: &str = "DO $$BEGIN RAISE EXCEPTION USING ERRCODE = 'query_canceled'; END$$";

/// What is put in the place of the first statement that begins so.
type Exchange = Arc<Mutex<Option<(&'static str, String)>>>;

/// A store that reaches its database through somebody.
struct Reached {
    database: TestDatabase,
    store: Store,
    exchange: Exchange,
}

impl Reached {
    async fn open() -> Self {
        let database = TestDatabase::of(Kind::Postgres);
        let url = database.url();
        let (before, behind) = url.rsplit_once('/').unwrap();
        let (role, server) = before.rsplit_once('@').unwrap();
        let exchange = Exchange::default();
        let between = stand_between(server.to_owned(), Arc::clone(&exchange));
        let url = format!("{role}@127.0.0.1:{between}/{behind}?sslmode=disable");
        let place = Database { lanes: 1, ..Database::from(&url) };
        let store = Store::open(place, API).await.unwrap();
        Self { database, store, exchange }
    }

    /// Ends the next statement that begins so.
    fn end(&self, statement: &'static str, instead: String) {
        *self.exchange.lock().unwrap() = Some((statement, instead));
    }

    /// Whether that has happened.
    fn has_ended(&self) -> bool {
        self.exchange.lock().unwrap().is_none()
    }

    /// Writes two records, of different types, in one transaction.
    async fn write_two(&self, name: String) {
        let written: Result<(), StoreError> = self
            .store
            .write(async move |tx| {
                for resource in [&CONTACTS, &TEMPLATES] {
                    let values = vec![Value::text(name.as_str()), Value::Null];
                    tx.insert(resource, values, Vec::new()).await?;
                }
                Ok(())
            })
            .await;
        written.unwrap();
    }

    /// How many records there are, and of how many transactions.
    fn counted(&self) -> (i64, i64) {
        let count = |what| {
            self.database.value(&format!(
                "SELECT count({what}) FROM (SELECT xmin::text AS number FROM contacts \
                 UNION ALL SELECT xmin::text FROM invoice_templates) AS records"
            ))
        };
        (count("*"), count("DISTINCT number"))
    }
}

/// Takes connections at the port it returns, and leads them to the server.
fn stand_between(server: String, exchange: Exchange) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let exchange = Arc::clone(&exchange);
            thread::spawn(move || pass_on(client, server, &exchange));
        }
    });
    port
}

/// Passes on what a client says, message by message, until it goes.
fn pass_on(mut client: TcpStream, mut server: TcpStream, exchange: &Exchange) -> Option<()> {
    // The first message has no type.
    let mut kind = None;
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length).ok()?;
        let mut text = vec![0; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut text).ok()?;
        let mut awaited = exchange.lock().unwrap();
        let is_it = |(statement, _): &mut (&str, String)| text.starts_with(statement.as_bytes());
        if kind == Some(b'Q')
            && let Some((_, instead)) = awaited.take_if(is_it)
        {
            text = instead.into_bytes();
            text.push(0);
        }
        drop(awaited);
        let mut message = Vec::from_iter(kind);
        message.extend(u32::try_from(text.len() + 4).ok()?.to_be_bytes());
        message.extend(text);
        server.write_all(&message).ok()?;
        let mut next = [0];
        client.read_exact(&mut next).ok()?;
        kind = Some(next[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_beginning_that_was_ended_does_not_stand_alone() {
    let reached = Reached::open().await;
    reached.end("BEGIN", ENDED.to_owned());
    reached.write_two("first".to_owned()).await;
    assert!(reached.has_ended());
    assert_eq!(reached.counted(), (2, 1));
    reached.write_two("second".to_owned()).await;
    assert_eq!(reached.counted(), (4, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_transactions_whose_beginnings_are_ended_each_is_one() {
    const ENDED_MIN: usize = 10;
    let reached = Reached::open().await;
    let written = AtomicUsize::new(0);
    let ended = AtomicUsize::new(0);
    // Somebody always waits, so that transactions begin behind the commit of the one before.
    let writers = (0..20).map(async |writer| {
        while ended.load(Ordering::Relaxed) < ENDED_MIN {
            let number = written.fetch_add(1, Ordering::Relaxed);
            reached.write_two(format!("{writer} {number}")).await;
        }
    });
    let ending = async {
        while ended.load(Ordering::Relaxed) < ENDED_MIN {
            reached.end("BEGIN", ENDED.to_owned());
            while !reached.has_ended() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            ended.fetch_add(1, Ordering::Relaxed);
            // Not the same transaction every time: it is given up at last.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    futures_util::join!(futures_util::future::join_all(writers), ending);
    let written = i64::try_from(written.into_inner()).unwrap();
    assert_eq!(reached.counted().0, 2 * written);
    let torn = "SELECT count(*) FROM (SELECT number FROM \
        (SELECT xmin::text AS number, 1 AS sign FROM contacts \
         UNION ALL SELECT xmin::text, -1 FROM invoice_templates) AS records \
        GROUP BY number HAVING sum(sign) <> 0) AS torn";
    assert_eq!(reached.database.value::<i64>(torn), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_whose_beginning_was_ended_may_be_taken_again() {
    let reached = Reached::open().await;
    reached.write_two("first".to_owned()).await;
    let look = || reached.store.look(async |snapshot| snapshot.find(&CONTACTS, 1).await);
    for instead in [ENDED.to_owned(), format!("BEGIN; {ENDED}")] {
        reached.end("BEGIN ISOLATION", instead);
        let looked = look().await;
        assert!(matches!(looked, Err(StoreError::Serialization)), "{looked:?}");
        assert!(reached.has_ended());
        assert!(look().await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_preparation_was_ended_is_made_again() {
    let reached = Reached::open().await;
    reached.end("SET statement_timeout", ENDED.to_owned());
    // So many looks at once that connections must be made.
    let looks =
        (0..4).map(|_| reached.store.look(async |snapshot| snapshot.find(&CONTACTS, 1).await));
    for looked in futures_util::future::join_all(looks).await {
        assert!(looked.unwrap().is_none());
    }
    assert!(reached.has_ended());
}
