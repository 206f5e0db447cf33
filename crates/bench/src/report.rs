//! What is told of the figures: a table to read and JSON to keep.

use serde_json::{Value, json};

use crate::figures::{Journal, Measurement, Report, STATEMENT_ENTRIES, Streamed};
use crate::goals;
use crate::scenarios::{CONSTANT, SCENARIOS, Scenario};

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
