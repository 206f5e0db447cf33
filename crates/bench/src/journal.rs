//! The journal: how fast entries are made and proved without HTTP, and how a long statement comes.

use std::time::{Duration, Instant};

use anyhow::bail;
use store::Store;
use tollkeeper::api::API;
use tollkeeper::journal::{Range, verify_slice};

use crate::client;
use crate::database::Home;
use crate::figures::{Journal, STATEMENT_ENTRIES};
use crate::fill;
use crate::scenarios::PAID_ACCOUNTS;
use crate::server::ServerProcess;

/// Makes a database with that many entries and proves it.
pub async fn measure(home: &Home, entries: u64) -> anyhow::Result<Journal> {
    let database = home.database().await?;
    fill::fill(&database, PAID_ACCOUNTS).await?;
    let store = Store::open(&database.url, API).await?;
    eprintln!("posting {entries} payments …");
    let started = Instant::now();
    fill::post_payments(&store, entries, PAID_ACCOUNTS).await?;
    let posted_per_sec = rate(entries, started.elapsed());
    let verified_per_sec = verify(&store, entries).await?;
    fill::post_payments(&store, STATEMENT_ENTRIES, 1).await?;
    drop(store);
    let process = ServerProcess::start(&database.url).await?;
    let path = "/accounts/1/statement".to_owned();
    let statement = client::stream(process.address, &process.token, path).await?;
    Ok(Journal { entries, posted_per_sec, verified_per_sec, statement })
}

/// Proves every journal; returns the entries proved per second.
async fn verify(store: &Store, entries: u64) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut proved = 0;
    let mut range = Some(Range::ALL);
    while let Some(left) = range {
        let (checked, rest) = verify_slice(store, left).await?;
        if let Some(finding) = checked.findings.first() {
            bail!("account {}: {}", finding.account, finding.message);
        }
        proved += checked.entries;
        range = rest;
    }
    if proved != entries {
        bail!("{entries} entries were made, {proved} were proved");
    }
    Ok(rate(proved, started.elapsed()))
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
