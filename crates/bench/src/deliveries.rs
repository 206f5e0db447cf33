//! Webhooks beside payments: how many events a node delivers, and what payments feel of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::client::{self, Load};
use crate::database::Home;
use crate::figures::{Deliveries, middle};
use crate::fill;
use crate::scenarios::{PAID_ACCOUNTS, Request, SCENARIOS, SPREAD_PAYMENTS};
use crate::server::ServerProcess;

/// Events that are made a second.
const EVENTS_PER_SEC: u32 = 1_000;
/// How long payments are measured each time, at most.
const TURN_MAX: Duration = Duration::from_secs(1);
/// Two rounds are made for each of these parts of a turn, of which one goes backwards, because payments
/// get slower as the database grows. That makes 40 of the longest turns: many and short, because the
/// machine is not as fast at all times.
const PAIR_PER: Duration = Duration::from_millis(50);
/// How long what was made last may take to arrive.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(1);

/// Payments at `connections` without events, with events that nobody wants, and with the same
/// events delivered.
pub async fn measure(
    home: &Home,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Option<Deliveries>> {
    let Some(scenario) = SCENARIOS.into_iter().find(|known| known.name == SPREAD_PAYMENTS) else {
        return Ok(None);
    };
    let database = home.database().await?;
    fill::fill(&database, PAID_ACCOUNTS).await?;
    let received = Arc::new(AtomicU64::new(0));
    let receiver = receive(Arc::clone(&received)).await?;
    let node = ServerProcess::start(&database.url).await?;
    client::ask(&node, &Request::post("/webhooks", webhook(receiver)), b"201").await?;
    drop(node);
    eprintln!("payments without events, with {EVENTS_PER_SEC} a second, and with deliveries …");
    let turn_time = time.min(TURN_MAX);
    let mut rounds = Vec::new();
    let (mut delivered, mut secs) = (0, 0.0);
    for round in 0..2 * turn_time.as_millis().div_ceil(PAIR_PER.as_millis()) {
        let mut turns = [(0, 0, false), (1, EVENTS_PER_SEC, false), (2, EVENTS_PER_SEC, true)];
        if round % 2 == 1 {
            turns.reverse();
        }
        let mut payments = [0.0; 3];
        for (turn, events, is_told) in turns {
            let node = ServerProcess::start_making_events(&database.url, events).await?;
            client::ask(&node, &Request::patch("/webhooks/1", switch(is_told)), b"200").await?;
            let load = Load { scenario, accounts: PAID_ACCOUNTS, connections, nodes: &[&node] };
            let (started, before) = (Instant::now(), received.load(Ordering::Relaxed));
            payments[turn] = client::run(load, turn_time).await?.per_sec;
            if is_told {
                let elapsed = started.elapsed();
                secs += elapsed.as_secs_f64();
                let made = u128::from(events) * elapsed.as_millis() / 1_000;
                let wanted = before + u64::try_from(made)?;
                delivered += wait_for(&received, wanted).await - before;
            }
        }
        rounds.push(payments);
    }
    let ratio = |turn: usize| middle(rounds.iter().map(|round: &[f64; 3]| round[2] / round[turn]));
    let (of_alone, of_made) = (ratio(0), ratio(1));
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let per_sec = delivered as f64 / secs;
    Ok(Some(Deliveries { per_sec, of_alone, of_made }))
}

fn switch(is_active: bool) -> String {
    format!(r#"{{"data":{{"type":"webhooks","id":"1","attributes":{{"active":{is_active}}}}}}}"#)
}

/// Waits until so many have arrived, and not for long; how many have.
async fn wait_for(received: &AtomicU64, wanted: u64) -> u64 {
    let started = Instant::now();
    while received.load(Ordering::Relaxed) < wanted && started.elapsed() < ARRIVAL_TIME_MAX {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    received.load(Ordering::Relaxed)
}

/// Its event is one that payments do not make by themselves.
fn webhook(receiver: SocketAddr) -> String {
    format!(
        r#"{{"data":{{"type":"webhooks","attributes":{{"url":"http://{receiver}/","events":["BalanceAlertRaised"]}}}}}}"#
    )
}

/// A receiver that takes everything and counts it.
async fn receive(received: Arc<AtomicU64>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let received = Arc::clone(&received);
            let service = service_fn(move |_: hyper::Request<Incoming>| {
                received.fetch_add(1, Ordering::Relaxed);
                async { Ok::<_, Infallible>(hyper::Response::new(axum::body::Body::empty())) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}
