//! The figures of a run, and how they compare.

use std::time::Duration;

use crate::cpu::Ticks;
use crate::pgbench::Rates;
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
    /// Servers that shared them.
    pub nodes: usize,
    /// Answers.
    pub requests: u64,
    /// Answers per second.
    pub per_sec: f64,
    /// Half of the answers took at most this.
    pub p50_micros: u32,
    /// 99 of 100 answers took at most this.
    pub p99_micros: u32,
    /// Who used the processors meanwhile.
    pub cpu: Ticks,
}

/// What a database can do by itself.
pub enum Limits {
    /// SQLite: G, inserts per second, by round, which the accounts in the database name.
    Sqlite(Vec<(u64, f64)>),
    /// PostgreSQL: P, by accounts in the database.
    Postgres(Vec<(u64, Rates)>),
}

/// All figures of one database.
pub struct Report {
    /// What to compare with.
    pub limits: Limits,
    /// Everything measured over HTTP.
    pub measurements: Vec<Measurement>,
    /// Accounts, and the most memory that a server held with them.
    pub peak_memory_mib: Vec<(u64, u64)>,
    /// Scenarios that were measured in turns with what PostgreSQL does by itself.
    pub turns: Vec<Turns>,
    /// What the journal does without HTTP.
    pub journal: Option<Journal>,
    /// What webhooks take.
    pub deliveries: Option<Deliveries>,
    /// How long the console's pages take.
    pub views: Vec<View>,
}

/// A scenario of PostgreSQL with as many connections as its limit has clients.
#[derive(Clone, Copy)]
pub struct Turns {
    /// What was asked.
    pub scenario: Scenario,
    /// Accounts in the database when the round began.
    pub accounts: u64,
    /// The rate as a part of pgbench's, in the middle of all turns.
    pub ratio: f64,
}

/// The one in the middle: a turn in which the machine was busy otherwise does not move it.
pub fn middle(ratios: impl Iterator<Item = f64>) -> f64 {
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or_default()
}

/// A page of the console.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Accounts in the database.
    pub accounts: u64,
    /// What is looked at.
    pub name: &'static str,
    /// Half of the answers took at most this.
    pub p50: Duration,
    /// 95 of 100 answers took at most this.
    pub p95: Duration,
}

/// Webhooks beside payments.
#[derive(Clone, Copy, Debug)]
pub struct Deliveries {
    /// Events that arrived a second.
    pub per_sec: f64,
    /// Payments meanwhile, as a part of payments without events.
    pub of_alone: f64,
    /// The same, as a part of payments beside as many events that are not delivered.
    pub of_made: f64,
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
    /// No figures yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            measurements: Vec::new(),
            peak_memory_mib: Vec::new(),
            turns: Vec::new(),
            journal: None,
            deliveries: None,
            views: Vec::new(),
        }
    }

    /// The same scenario and connections on every size of database.
    pub fn like(&self, like: &Measurement) -> impl Iterator<Item = &Measurement> {
        let (name, connections, nodes) = (like.scenario.name, like.connections, like.nodes);
        self.measurements.iter().filter(move |other| {
            other.scenario.name == name && other.connections == connections && other.nodes == nodes
        })
    }

    /// Another scenario, or the same one, of one node under the same conditions.
    pub fn of_one_node(&self, like: &Measurement, scenario: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|other| {
            other.accounts == like.accounts
                && other.connections == like.connections
                && other.nodes == 1
                && other.scenario.name == scenario
        })
    }

    /// The rate as a part of another scenario's of one node under the same conditions.
    pub fn to_other(&self, measurement: &Measurement, scenario: &str) -> f64 {
        let other = self.of_one_node(measurement, scenario);
        measurement.per_sec / other.map_or(f64::NAN, |other| other.per_sec)
    }

    /// The rate as a part of what the database can do by itself.
    pub fn to_limit(&self, measurement: &Measurement) -> f64 {
        let limit = match &self.limits {
            Limits::Sqlite(rounds) => {
                let round = rounds.iter().find(|(accounts, _)| *accounts == measurement.accounts);
                round.map_or(f64::NAN, |(_, inserts_per_sec)| *inserts_per_sec)
            }
            Limits::Postgres(rounds) => {
                let round = rounds.iter().find(|(accounts, _)| *accounts == measurement.accounts);
                round.map_or(f64::NAN, |(_, rates)| rates.of(measurement.scenario.limit))
            }
        };
        measurement.per_sec / limit
    }
}
