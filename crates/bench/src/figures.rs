//! The figures of a run, and how they compare.

use std::time::Duration;

use crate::scenarios::Scenario;

/// One scenario at one number of connections on one size of database.
#[derive(Clone, Copy)]
pub struct Measurement {
    /// What was asked.
    pub scenario: Scenario,
    /// Accounts in the database when the round began.
    pub accounts: u64,
    /// Connections at once.
    pub connections: usize,
    /// Answers per second.
    pub per_sec: f64,
    /// Half of the answers took at most this.
    pub p50_micros: u32,
    /// 99 of 100 answers took at most this.
    pub p99_micros: u32,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    /// G.
    pub insert_limit_per_sec: f64,
    /// Everything measured over HTTP.
    pub measurements: Vec<Measurement>,
    /// Accounts, and the most memory that the server held with them.
    pub peak_memory_mib: Vec<(u64, u64)>,
    /// What the journal does without HTTP.
    pub journal: Option<Journal>,
}

impl Measurement {
    /// Sums up the latencies of one measurement.
    pub fn of(
        scenario: Scenario,
        accounts: u64,
        connections: usize,
        mut micros: Vec<u32>,
        elapsed: Duration,
    ) -> Self {
        micros.sort_unstable();
        let quantile = |per_cent: usize| {
            micros.get(micros.len() * per_cent / 100).copied().unwrap_or_default()
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let per_sec = micros.len() as f64 / elapsed.as_secs_f64();
        Self {
            scenario,
            accounts,
            connections,
            per_sec,
            p50_micros: quantile(50),
            p99_micros: quantile(99),
        }
    }
}

/// What was measured of the journal.
#[derive(Clone, Copy, Debug)]
pub struct Journal {
    /// Entries, over [`crate::scenarios::PAID_ACCOUNTS`].
    pub entries: u64,
    /// Payments posted by the writer alone, many in one operation.
    pub posted_per_sec: f64,
    /// What `tollkeeper verify` checks.
    pub verified_per_sec: f64,
    /// The statement of an account with [`STATEMENT_ENTRIES`] and more.
    pub statement: Streamed,
}

/// Entries that one account has at least.
pub const STATEMENT_ENTRIES: u64 = 10_000;

/// How an answer of unknown length came.
#[derive(Clone, Copy, Debug)]
pub struct Streamed {
    /// Time until the first bytes of its body.
    pub first_bytes: Duration,
    /// Time until its end.
    pub whole: Duration,
}

impl Report {
    /// The same scenario and connections on every size of database.
    pub fn like(&self, like: &Measurement) -> impl Iterator<Item = &Measurement> {
        let (name, connections) = (like.scenario.name, like.connections);
        self.measurements
            .iter()
            .filter(move |other| other.scenario.name == name && other.connections == connections)
    }

    /// The rate as a part of another scenario's under the same conditions.
    pub fn to_other(&self, measurement: &Measurement, scenario: &str) -> f64 {
        let same = |other: &&Measurement| {
            other.accounts == measurement.accounts
                && other.connections == measurement.connections
                && other.scenario.name == scenario
        };
        let other = self.measurements.iter().find(same).map_or(f64::NAN, |other| other.per_sec);
        measurement.per_sec / other
    }

    /// The rate as a part of G.
    pub fn to_insert_limit(&self, measurement: &Measurement) -> f64 {
        measurement.per_sec / self.insert_limit_per_sec
    }
}
