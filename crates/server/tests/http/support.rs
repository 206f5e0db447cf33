//! A real server over a real temporary database, and a real HTTP client to talk to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use store::{Database, Store};
use testbed::TestDatabase;
use tokio::net::TcpListener;
use tollkeeper::api::API;
use tollkeeper::app::{App, Delivering, Options, Staying};
use tollkeeper::clock::{self, Clock};
use tollkeeper::commands::add_operator;
use tollkeeper::http::{Limits, Listener, Service, install_recorder, serve};

use crate::movements::Movement;

/// The media type of JSON:API.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";
/// Key of the tokens of every test server.
pub const SECRET: &str = "test secret, long enough to be one";
/// Password of the operator `admin`.
pub const PASSWORD: &str = "a good password";

/// One running server with a database of its own. Stops when dropped.
pub struct TestApp {
    /// The application, for what HTTP cannot see.
    pub app: Arc<App>,
    /// Where it listens.
    pub address: SocketAddr,
    /// A good token of the operator `admin`.
    pub token: String,
    client: reqwest::Client,
    stop: tokio::sync::oneshot::Sender<()>,
    /// The database; it goes last.
    pub database: TestDatabase,
    directory: tempfile::TempDir,
}

/// In what a test server differs from others.
pub struct Setup {
    /// How long tokens live.
    pub token_lifetime_secs: u32,
    /// What the time is.
    pub clock: Clock,
    /// What connections may cost.
    pub limits: Limits,
    /// Whose forwarded headers count.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Writing connections to PostgreSQL.
    pub lanes: usize,
    /// What makes uuids its own; random when there is none.
    pub uuid_seed: Option<[u8; 8]>,
    /// How events are delivered, once a courier is started.
    pub delivering: Delivering,
    /// How long people stay signed in to the console.
    pub staying: Staying,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            token_lifetime_secs: 600,
            clock: clock::system,
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            lanes: Database::LANES,
            uuid_seed: None,
            delivering: Delivering { webhook_allow_private: true, ..Delivering::default() },
            staying: Staying::default(),
        }
    }
}

/// An answer, read completely.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body's bytes as text.
    pub body: String,
}

impl Reply {
    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn to(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = String::from_utf8(response.bytes().await?.to_vec()).unwrap();
        Ok(Self { status, headers, body })
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {:?}", self.body))
    }

    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Checks that this refuses the request as a JSON:API error document, with this status.
    #[track_caller]
    pub fn refuses(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self.refuses_somehow()
    }

    /// Checks that this refuses the request as a JSON:API error document.
    #[track_caller]
    pub fn refuses_somehow(&self) -> &Self {
        assert!((400..500).contains(&self.status), "{self:?}");
        assert_eq!(self.header("content-type"), MEDIA_TYPE, "{self:?}");
        let json = self.json();
        let errors = json["errors"].as_array().expect("errors");
        assert_eq!(errors[0]["status"], self.status.to_string(), "{self:?}");
        for error in errors {
            for member in ["title", "detail", "code", "status"] {
                assert!(error[member].is_string(), "{member} of {self:?}");
            }
        }
        self
    }

    /// Code and detail of every error, as `code detail`.
    #[track_caller]
    pub fn errors(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().expect("an error document");
        errors
            .iter()
            .map(|error| {
                format!("{} {}", error["code"].as_str().unwrap(), error["detail"].as_str().unwrap())
            })
            .collect()
    }
}

/// Where builds put things, and tests what they keep.
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    )
}

/// A client that goes straight to the server.
pub fn client() -> reqwest::Client {
    // It can speak TLS, so it wants to know with what; only the first call counts.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl TestApp {
    /// Starts a server on an empty database with one operator, `admin`.
    pub async fn start() -> Self {
        Self::start_with(600).await
    }

    /// Starts a server whose tokens live this long.
    pub async fn start_with(token_lifetime_secs: u32) -> Self {
        Self::start_at(token_lifetime_secs, clock::system).await
    }

    /// Starts a server that takes its time from `clock`.
    pub async fn start_at(token_lifetime_secs: u32, clock: Clock) -> Self {
        Self::start_as(Setup { token_lifetime_secs, clock, ..Setup::default() }).await
    }

    /// Starts a server that is set up like this.
    pub async fn start_as(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = TestDatabase::fresh_at(directory.path().join("test.db"));
        Self::in_directory(directory, database, setup).await
    }

    /// Starts a server that is set up like this on an empty database.
    pub async fn start_on(database: TestDatabase, setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::in_directory(directory, database, setup).await
    }

    async fn in_directory(
        directory: tempfile::TempDir,
        database: TestDatabase,
        setup: Setup,
    ) -> Self {
        let Running { app, address, stop } = run(&database, setup).await;
        add_operator(&app, "admin", PASSWORD, None).await.unwrap();
        let token = app.tokens.issue(1, 0, app.now()).unwrap();
        Self { app, address, token, client: client(), stop, database, directory }
    }

    /// Ends the server, and starts another one on its database, set up as usual.
    pub async fn restart(&mut self) {
        let Running { app, address, stop } = run(&self.database, Setup::default()).await;
        (self.app, self.address, self.stop) = (app, address, stop);
    }

    /// A directory of its own, for files that a test needs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends a request with exactly these headers. `path` is below `/api/rest/admin` unless it
    /// begins with `//`, which stands for the root.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Reply {
        let path = match path.strip_prefix("//") {
            Some(path) => format!("/{path}"),
            None => format!("/api/rest/admin{path}"),
        };
        let url = format!("http://{}{path}", self.address);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let request = self.client.request(method, url).headers(map).body(body.into());
        Reply::to(request).await.expect("the server answers")
    }

    /// Sends a movement as `admin`.
    pub async fn ask(&self, movement: &Movement) -> Reply {
        let origin = format!("http://{}", self.address);
        let request = movement.request(&self.client, &origin, &self.token);
        Reply::to(request).await.expect("the server answers")
    }

    /// `GET` as `admin`.
    pub async fn get(&self, path: &str) -> Reply {
        let headers = [("accept", MEDIA_TYPE), ("authorization", &self.token)];
        self.send("GET", path, &headers, "").await
    }

    /// `DELETE` as `admin`.
    pub async fn delete(&self, path: &str) -> Reply {
        let headers = [("accept", MEDIA_TYPE), ("authorization", &self.token)];
        self.send("DELETE", path, &headers, "").await
    }

    /// A request with a JSON:API document as `admin`.
    pub async fn write(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        let headers =
            [("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE), ("authorization", &self.token)];
        self.send(method, path, &headers, body).await
    }

    /// `POST` of a JSON document as `admin`.
    pub async fn post(&self, path: &str, document: Value) -> Reply {
        self.write("POST", path, document.to_string()).await
    }

    /// `PATCH` of a JSON document as `admin`.
    pub async fn patch(&self, path: &str, document: Value) -> Reply {
        self.write("PATCH", path, document.to_string()).await
    }

    /// Creates a record and returns its id.
    #[track_caller]
    pub fn create(
        &self,
        kind: &str,
        attributes: impl Into<Value>,
        relationships: impl Into<Value>,
    ) -> impl Future<Output = String> {
        let document = serde_json::json!({"data": {
            "type": kind, "attributes": attributes.into(), "relationships": relationships.into(),
        }});
        async move {
            let reply = self.post(&format!("/{kind}"), document).await;
            assert_eq!(reply.status, 201, "{}", reply.body);
            reply.json()["data"]["id"].as_str().unwrap().to_owned()
        }
    }

    /// Everything in the database, as text.
    pub fn dump(&self) -> String {
        self.database.dump()
    }
}

/// A server, until `stop` is dropped.
struct Running {
    app: Arc<App>,
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
}

/// Starts a server on a database.
async fn run(database: &TestDatabase, setup: Setup) -> Running {
    let Setup {
        token_lifetime_secs,
        clock,
        limits,
        trusted_proxies,
        lanes,
        uuid_seed,
        delivering,
        staying,
    } = setup;
    let database = Database { lanes, ..Database::from(&database.url()) };
    let store = Store::open(database, API).await.unwrap();
    let secret = Some(SECRET.to_owned());
    let options = Options { secret, token_lifetime_secs, delivering, staying, clock, uuid_seed };
    let app = App::new(store, options).await.unwrap();
    install_recorder().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let service = Service::new(tollkeeper::router::router(&app), &trusted_proxies);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(serve(Listener { tcp, tls: None }, service, limits, async {
        let _ = stopped.await;
    }));
    Running { app, address, stop }
}

/// A linkage to a record.
pub fn linkage(kind: &str, id: &str) -> Value {
    serde_json::json!({"data": {"type": kind, "id": id}})
}
