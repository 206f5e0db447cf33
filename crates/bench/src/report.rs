//! The figures: a table to read and JSON to keep.

use std::time::Duration;

use serde_json::{Value, json};

/// One scenario at one number of connections on one size of database.
#[derive(Clone, Debug)]
pub struct Measurement {
    scenario: &'static str,
    /// Accounts in the database when the round began.
    pub accounts: u64,
    connections: usize,
    per_sec: f64,
    p50_micros: u32,
    p99_micros: u32,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// G.
    pub insert_limit_per_sec: f64,
    measurements: Vec<Measurement>,
    /// Accounts, and the most memory that the server held with them.
    pub peak_memory_mib: Vec<(u64, u64)>,
}

impl Measurement {
    /// Sums up the latencies of one measurement.
    pub fn of(
        scenario: &'static str,
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
            accounts: 0,
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
            "  {:>9} accounts  {:>2} connections  {:<26} {:>9.0}/s",
            measurement.accounts,
            measurement.connections,
            measurement.scenario,
            measurement.per_sec
        );
        self.measurements.push(measurement);
    }

    /// The rate of A under the same conditions.
    fn constant(&self, like: &Measurement) -> f64 {
        let same = |other: &&Measurement| {
            other.accounts == like.accounts
                && other.connections == like.connections
                && other.scenario.starts_with("A ")
        };
        self.measurements.iter().find(same).map_or(f64::NAN, |constant| constant.per_sec)
    }

    /// Prints the table.
    pub fn print(&self) {
        println!(
            "\n{:>9} {:>5}  {:<26} {:>9} {:>9} {:>9} {:>6} {:>6}",
            "accounts", "conns", "scenario", "req/s", "p50 ms", "p99 ms", "÷ A", "÷ G"
        );
        for measurement in &self.measurements {
            println!(
                "{:>9} {:>5}  {:<26} {:>9.0} {:>9.3} {:>9.3} {:>6.2} {:>6.2}",
                measurement.accounts,
                measurement.connections,
                measurement.scenario,
                measurement.per_sec,
                f64::from(measurement.p50_micros) / 1000.0,
                f64::from(measurement.p99_micros) / 1000.0,
                measurement.per_sec / self.constant(measurement),
                measurement.per_sec / self.insert_limit_per_sec,
            );
        }
        println!();
        for (accounts, mib) in &self.peak_memory_mib {
            println!("peak memory with {accounts} accounts: {mib} MiB");
        }
        println!("G (group-commit inserts): {:.0}/s", self.insert_limit_per_sec);
    }

    /// The figures as JSON.
    pub fn json(&self) -> String {
        let measurements: Vec<Value> = self
            .measurements
            .iter()
            .map(|measurement| {
                json!({
                    "scenario": measurement.scenario,
                    "accounts": measurement.accounts,
                    "connections": measurement.connections,
                    "requests_per_sec": measurement.per_sec,
                    "p50_micros": measurement.p50_micros,
                    "p99_micros": measurement.p99_micros,
                    "ratio_to_constant": measurement.per_sec / self.constant(measurement),
                    "ratio_to_insert_limit": measurement.per_sec / self.insert_limit_per_sec,
                })
            })
            .collect();
        let memory: Vec<Value> = self
            .peak_memory_mib
            .iter()
            .map(|(accounts, mib)| json!({"accounts": accounts, "peak_memory_mib": mib}))
            .collect();
        let figures = json!({
            "insert_limit_per_sec": self.insert_limit_per_sec,
            "measurements": measurements,
            "memory": memory,
        });
        format!("{figures:#}\n")
    }
}
