//! The figures: a table to read and JSON to keep.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Streamed;
use crate::goals;
use crate::journal::{Journal, STATEMENT_ENTRIES};
use crate::scenarios::{CONSTANT, SCENARIOS, Scenario};

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

impl Report {
    /// Adds a measurement and shows it at once.
    pub fn add(&mut self, measurement: Measurement) {
        eprintln!(
            "  {:>9} accounts  {:>2} connections  {:<35} {:>9.0}/s",
            measurement.accounts,
            measurement.connections,
            measurement.scenario.name,
            measurement.per_sec
        );
        self.measurements.push(measurement);
    }

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

    /// Prints the table, and what is to be known about it.
    pub fn print(&self) {
        println!(
            "\n{:>9} {:>5}  {:<35} {:>9} {:>9} {:>9} {:>6} {:>6}",
            "accounts", "conns", "scenario", "req/s", "p50 ms", "p99 ms", "÷ A", "÷ G"
        );
        for measurement in &self.measurements {
            println!(
                "{:>9} {:>5}  {:<35} {:>9.0} {:>9.3} {:>9.3} {:>6.2} {:>6.2}",
                measurement.accounts,
                measurement.connections,
                measurement.scenario.name,
                measurement.per_sec,
                f64::from(measurement.p50_micros) / 1000.0,
                f64::from(measurement.p99_micros) / 1000.0,
                self.to_other(measurement, CONSTANT),
                self.to_insert_limit(measurement),
            );
        }
        println!();
        for Scenario { name, rows, .. } in self.writes() {
            println!("{name}: {rows}");
        }
        println!();
        for (accounts, mib) in &self.peak_memory_mib {
            println!("peak memory with {accounts} accounts: {mib} MiB");
        }
        println!("G (group-commit inserts): {:.0}/s", self.insert_limit_per_sec);
        if let Some(Journal { entries, posted_per_sec, verified_per_sec, statement }) = self.journal
        {
            println!(
                "journal of {entries} entries: posted in process {posted_per_sec:.0}/s, \
                 verified {verified_per_sec:.0}/s"
            );
            let Streamed { first_bytes, whole } = statement;
            println!(
                "statement of {STATEMENT_ENTRIES} entries: begins after {first_bytes:.1?}, ends \
                 after {whole:.1?}"
            );
        }
        println!();
        for outcome in goals::outcomes(self) {
            println!("{outcome}");
        }
    }

    /// The scenarios that write and were measured.
    fn writes(&self) -> impl Iterator<Item = Scenario> {
        let measured = |scenario: &Scenario| {
            self.measurements.iter().any(|measurement| measurement.scenario.name == scenario.name)
        };
        SCENARIOS.into_iter().filter(|scenario| !scenario.rows.is_empty()).filter(measured)
    }

    /// The figures as JSON.
    pub fn json(&self) -> String {
        let measurements: Vec<Value> = self
            .measurements
            .iter()
            .map(|measurement| {
                json!({
                    "scenario": measurement.scenario.name,
                    "rows": measurement.scenario.rows,
                    "accounts": measurement.accounts,
                    "connections": measurement.connections,
                    "requests_per_sec": measurement.per_sec,
                    "p50_micros": measurement.p50_micros,
                    "p99_micros": measurement.p99_micros,
                    "ratio_to_constant": self.to_other(measurement, CONSTANT),
                    "ratio_to_insert_limit": self.to_insert_limit(measurement),
                })
            })
            .collect();
        let memory: Vec<Value> = self
            .peak_memory_mib
            .iter()
            .map(|(accounts, mib)| json!({"accounts": accounts, "peak_memory_mib": mib}))
            .collect();
        let journal = self.journal.map(|journal| {
            json!({
                "entries": journal.entries,
                "posted_per_sec": journal.posted_per_sec,
                "verified_per_sec": journal.verified_per_sec,
                "statement_first_bytes_secs": journal.statement.first_bytes.as_secs_f64(),
                "statement_secs": journal.statement.whole.as_secs_f64(),
            })
        });
        let goals: Vec<Value> = goals::outcomes(self)
            .iter()
            .map(|goal| json!({"goal": goal.what, "figure": goal.figure, "met": goal.met()}))
            .collect();
        let figures = json!({
            "insert_limit_per_sec": self.insert_limit_per_sec,
            "measurements": measurements,
            "memory": memory,
            "journal": journal,
            "goals": goals,
        });
        format!("{figures:#}\n")
    }
}
