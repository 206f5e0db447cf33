//! What `/metrics` tells, in the Prometheus text format.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use decimal::Decimal;
use hyper::{Method, StatusCode};
use jiff::SignedDuration;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use store::Figures;

const DURATION: &str = "http_request_duration_seconds";
const DELIVERY_DURATION: &str = "delivery_duration_seconds";
/// Time between two upkeeps.
const UPKEEP_PAUSE: Duration = Duration::from_secs(5);
/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// The same for attempts to deliver.
const DELIVERY_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0];

static INSTALLED: Mutex<bool> = Mutex::new(false);
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts recording; once per process.
///
/// # Errors
/// When another recorder has been installed, or the upkeep thread cannot start.
pub fn install_recorder() -> anyhow::Result<()> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(DURATION.to_owned()), &BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(DELIVERY_DURATION.to_owned()), &DELIVERY_BUCKETS)?;
    let handle = builder.install_recorder()?;
    let kept = HANDLE.get_or_init(|| handle);
    describe();
    // Samples pile up until they are sorted into buckets, whether anybody asks for them or not.
    thread::Builder::new().name("metrics".into()).spawn(|| {
        loop {
            thread::sleep(UPKEEP_PAUSE);
            kept.run_upkeep();
        }
    })?;
    *installed = true;
    Ok(())
}

/// Says what each figure means.
pub fn describe() {
    describe_histogram!(DURATION, "Time to answer, by route, method and status; counts requests.");
    describe_gauge!("process_resident_memory_bytes", "Memory held by the process.");
    describe_gauge!("database_file_bytes", "Size of the database file.");
    describe_gauge!("database_log_bytes", "Size of the write-ahead log.");
    describe_gauge!(
        "journal_drift",
        "How far balances and journals are apart, in money; 0 is right."
    );
    describe_gauge!("journal_faulty_accounts", "Accounts whose journals do not prove the balance.");
    describe_counter!("journal_sampled_accounts_total", "Journals looked at in the background.");
    describe_gauge!("job_held", "1 where this node does the job, 0 where another one may.");
    describe_gauge!(
        "deliveries_waiting",
        "Deliveries that wait, and errands; no more than 100,000 are counted of either."
    );
    describe_gauge!("deliveries_oldest_seconds", "For how long the oldest delivery has waited.");
    describe_counter!("deliveries_total", "Attempts to deliver, by channel and outcome.");
    describe_histogram!(DELIVERY_DURATION, "Time that an attempt to deliver took, by channel.");
    describe_gauge!("database_writes_waiting", "Writes waiting for their lane.");
}

/// Counts one answer.
pub fn observe(route: &'static str, method: &Method, status: StatusCode, elapsed: Duration) {
    let method = match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let route = if route.is_empty() { "unknown" } else { route };
    let status = status_text(status);
    histogram!(DURATION, "route" => route, "method" => method, "status" => status)
        .record(elapsed.as_secs_f64());
}

/// The statuses that we answer, as text without an allocation.
fn status_text(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        201 => "201",
        204 => "204",
        304 => "304",
        400 => "400",
        401 => "401",
        404 => "404",
        405 => "405",
        406 => "406",
        408 => "408",
        412 => "412",
        413 => "413",
        414 => "414",
        415 => "415",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}

/// What this process has found in journals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Journals that it has looked at since it started, each as often as it did.
    pub sampled: u64,
    /// Accounts at fault.
    pub accounts: u64,
    /// By how much.
    pub amount: Decimal,
}

static LOOKED: Mutex<Looked> =
    Mutex::new(Looked { sampled: 0, accounts: 0, amount: Decimal::ZERO });

/// What this process has found in journals so far.
#[must_use]
pub fn looked() -> Looked {
    *LOOKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows what looking at `sampled` more journals has found: accounts at fault, and by how much.
pub fn show_drift(sampled: u64, accounts: u64, amount: Decimal) {
    {
        let mut looked = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
        *looked = Looked { sampled: looked.sampled + sampled, accounts, amount };
    }
    counter!("journal_sampled_accounts_total").increment(sampled);
    gauge!("journal_faulty_accounts").set(precise(accounts));
    // A gauge is a float by its format; nothing is computed with it.
    gauge!("journal_drift").set(amount.to_string().parse().unwrap_or(f64::NAN));
}

/// Shows whether this node does the job.
pub fn show_held(job: &'static str, is_held: bool) {
    gauge!("job_held", "job" => job).set(precise(u64::from(is_held)));
}

/// Shows how many deliveries wait, and for how long the oldest has.
pub fn show_backlog(waiting: i64, oldest: SignedDuration) {
    gauge!("deliveries_waiting").set(precise(waiting.unsigned_abs()));
    gauge!("deliveries_oldest_seconds").set(oldest.as_secs_f64());
}

/// Counts deliveries that one attempt was for, and the attempt's time if there was one.
pub fn count_delivery(
    channel: &'static str,
    outcome: &'static str,
    deliveries: usize,
    took: Option<Duration>,
) {
    counter!("deliveries_total", "channel" => channel, "outcome" => outcome)
        .increment(deliveries as u64);
    if let Some(took) = took {
        histogram!(DELIVERY_DURATION, "channel" => channel).record(took.as_secs_f64());
    }
}

/// The figures as text, with the process and the database as they are now.
#[must_use]
pub fn render_metrics(database: Figures) -> String {
    gauge!("process_resident_memory_bytes").set(precise(resident_bytes()));
    if let Some((file, log)) = database.file_and_log_bytes {
        gauge!("database_file_bytes").set(precise(file));
        gauge!("database_log_bytes").set(precise(log));
    }
    gauge!("database_writes_waiting").set(precise(database.writes_waiting as u64));
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats by their format")]
fn precise(figure: u64) -> f64 {
    figure as f64
}

/// Resident memory as Linux tells it; 0 elsewhere.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
