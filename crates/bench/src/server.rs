//! The server under test, in a process of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use store::{Needs, Store, StoreError, Target, Tx};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tollkeeper::accounts::ACCOUNTS;
use tollkeeper::api::API;
use tollkeeper::app::{App, Delivering, Options};
use tollkeeper::courier::Courier;
use tollkeeper::events::ALERT_RAISED;
use tollkeeper::http::{Limits, Listener, Service, install_recorder};
use tollkeeper::outbox::{News, tell};
use tower::ServiceExt;

use crate::scenarios::PAID_ACCOUNTS;

/// A running server.
pub struct ServerProcess {
    process: Child,
    /// Where the API is.
    pub address: SocketAddr,
    /// Where the constant answer is.
    pub constant: SocketAddr,
    /// A token that does not expire.
    pub token: String,
}

impl ServerProcess {
    /// Starts a server on the database at `url`.
    pub async fn start(url: &str) -> anyhow::Result<Self> {
        Self::start_making_events(url, 0).await
    }

    /// Starts one that makes so many events a second, and delivers them.
    pub async fn start_making_events(url: &str, events: u32) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", url, &events.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut line = async || lines.next_line().await?.context("the server did not start");
        let (address, constant, token) = (line().await?, line().await?, line().await?);
        Ok(Self { process, address: address.parse()?, constant: constant.parse()?, token })
    }

    /// The process.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.process.id().context("the server has ended")
    }

    /// The most memory that the server has held so far.
    pub fn peak_memory_mib(&self) -> anyhow::Result<u64> {
        let id = self.id()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(kib.context("the system does not tell peak memory")? / 1024)
    }
}

/// Runs in the child: serves until it is killed, after saying where.
pub async fn serve(url: &str, events: u32) -> anyhow::Result<()> {
    let store = Store::open(url, API).await?;
    install_recorder()?;
    let secret = Some("benchmark".to_owned());
    let delivering = Delivering { webhook_allow_private: true, ..Delivering::default() };
    let options = Options { secret, token_lifetime_secs: 0, delivering, ..Options::default() };
    let app = App::new(store, options).await?;
    let courier = (events > 0).then(|| Courier::start(&app));
    if events > 0 {
        tokio::spawn(make_events(Arc::clone(&app), events));
    }
    let token = app.tokens.issue(1, 0, app.now())?;
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    let constant = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}\n{}\n{token}", tcp.local_addr()?, constant.local_addr()?);
    tokio::spawn(serve_constant(constant));
    let service = Service::new(tollkeeper::router::router(&app), &[]);
    let limits = Limits { connections_max: 1_000, ..Limits::default() };
    let forever = std::future::pending();
    tollkeeper::http::serve(Listener { tcp, tls: None }, service, limits, forever).await;
    drop(courier);
    Ok(())
}

/// Makes so many events a second, of accounts in turn, each by an operation on its account.
async fn make_events(app: Arc<App>, per_sec: u32) -> anyhow::Result<()> {
    const A_SECOND: u32 = 100;
    let at_once = usize::try_from(per_sec / A_SECOND)?;
    let mut interval = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
    let mut ids = (1..=i64::try_from(PAID_ACCOUNTS)?).cycle();
    let mut told = JoinSet::new();
    loop {
        interval.tick().await;
        for id in ids.by_ref().take(at_once) {
            let app = Arc::clone(&app);
            told.spawn(async move { make_event(&app, id).await });
        }
        // However long they take, the next are not late.
        while let Some(ended) = told.try_join_next() {
            ended??;
        }
    }
}

async fn make_event(app: &App, id: i64) -> Result<(), StoreError> {
    let (now, target) = (app.now(), Some(Target { resource: &ACCOUNTS, id }));
    let operation = async move |tx: &mut Tx| {
        let account = tx.read(&ACCOUNTS, id).await?;
        let (account, details) = (account.as_ref(), serde_json::Map::new());
        tell(tx, News { kind: &ALERT_RAISED, account, details, now }).await.map(drop)
    };
    app.store.write_with(Needs { target, answer: None }, operation).await
}

/// A: about 1 KB that never changes, from the same libraries without anything of ours.
async fn serve_constant(listener: TcpListener) {
    let body = "x".repeat(1_005);
    let router = Router::new().route("/constant", get(move || async move { body }));
    let router = Arc::new(router);
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let router = Arc::clone(&router);
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let router = Router::clone(&router);
                async move {
                    let request = request.map(axum::body::Body::new);
                    Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_default())
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
