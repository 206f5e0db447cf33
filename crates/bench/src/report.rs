//! What is told of the figures: a table to read and JSON to keep.

use serde_json::{Value, json};

use crate::cpu::micros_each;
use crate::figures::{
    Deliveries, Journal, Limits, Measurement, Report, STATEMENT_ENTRIES, Streamed, Turns, View,
};
use crate::goals;
use crate::pgbench::Limit;
use crate::scenarios::{CONSTANT, SCENARIOS, Scenario};

impl Report {
    /// Adds a measurement and shows it at once.
    pub fn add(&mut self, measurement: Measurement) {
        eprintln!(
            "  {:>9} accounts  {:>2} connections  {} nodes  {:<35} {:>9.0}/s",
            measurement.accounts,
            measurement.connections,
            measurement.nodes,
            measurement.scenario.name,
            measurement.per_sec
        );
        self.measurements.push(measurement);
    }

    /// Prints the table, and what is to be known about it.
    pub fn print(&self) {
        let (database, limit) = match self.limits {
            Limits::Sqlite(_) => ("SQLite", "÷ G"),
            Limits::Postgres(_) => ("PostgreSQL", "÷ P"),
        };
        println!("\n{database}; processor time in µs a request of client, nodes and database");
        println!(
            "{:>9} {:>5} {:>5}  {:<35} {:>9} {:>9} {:>9} {:>6} {:>6} {:>6} {:>6} {:>6} {:>5}",
            "accounts",
            "conns",
            "nodes",
            "scenario",
            "req/s",
            "p50 ms",
            "p99 ms",
            "÷ A",
            limit,
            "client",
            "nodes",
            "db",
            "idle"
        );
        for measurement in &self.measurements {
            println!(
                "{:>9} {:>5} {:>5}  {:<35} {:>9.0} {:>9.3} {:>9.3} {:>6.2} {:>6.2} {:>6.0} {:>6.0} \
                 {:>6.0} {:>3.0} %",
                measurement.accounts,
                measurement.connections,
                measurement.nodes,
                measurement.scenario.name,
                measurement.per_sec,
                f64::from(measurement.p50_micros) / 1000.0,
                f64::from(measurement.p99_micros) / 1000.0,
                self.to_other(measurement, CONSTANT),
                self.to_limit(measurement),
                micros_each(measurement.cpu.client, measurement.requests),
                micros_each(measurement.cpu.nodes, measurement.requests),
                micros_each(measurement.cpu.database, measurement.requests),
                measurement.cpu.idle_part() * 100.0,
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
        match &self.limits {
            Limits::Sqlite(rounds) => {
                for (accounts, inserts_per_sec) in rounds {
                    println!(
                        "G (group-commit inserts) with {accounts} accounts: {inserts_per_sec:.0}/s"
                    );
                }
            }
            Limits::Postgres(rounds) => {
                for (accounts, rates) in rounds {
                    println!("P (pgbench) with {accounts} accounts: {rates}");
                }
            }
        }
        for Turns { scenario, accounts, ratio } in &self.turns {
            let (name, connections) = (scenario.name, scenario.limit.clients());
            println!(
                "{name} with {accounts} accounts and {connections} connections, in turns with \
                 pgbench: {ratio:.2} of P"
            );
        }
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
        if let Some(Deliveries { per_sec, of_alone, of_made }) = self.deliveries {
            println!(
                "webhooks: {per_sec:.0} events/s delivered beside payments: {of_made:.2} of the \
                 payments beside the same events undelivered, {of_alone:.2} of those without events"
            );
        }
        for View { accounts, name, p50, p95 } in &self.views {
            println!(
                "console with {accounts:>8} accounts, {name:<26} p50 {p50:>8.1?}, p95 {p95:>8.1?}"
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

    fn json(&self) -> Value {
        let to_limit = match self.limits {
            Limits::Sqlite(_) => "ratio_to_insert_limit",
            Limits::Postgres(_) => "ratio_to_pgbench",
        };
        let measurements: Vec<Value> = self
            .measurements
            .iter()
            .map(|measurement| {
                json!({
                    "scenario": measurement.scenario.name,
                    "rows": measurement.scenario.rows,
                    "accounts": measurement.accounts,
                    "connections": measurement.connections,
                    "nodes": measurement.nodes,
                    "requests_per_sec": measurement.per_sec,
                    "p50_micros": measurement.p50_micros,
                    "p99_micros": measurement.p99_micros,
                    "ratio_to_constant": self.to_other(measurement, CONSTANT),
                    to_limit: self.to_limit(measurement),
                    "client_cpu_micros": micros_each(measurement.cpu.client, measurement.requests),
                    "nodes_cpu_micros": micros_each(measurement.cpu.nodes, measurement.requests),
                    "database_cpu_micros": micros_each(measurement.cpu.database, measurement.requests),
                    "idle_part": measurement.cpu.idle_part(),
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
        let views: Vec<Value> = self
            .views
            .iter()
            .map(|view| {
                json!({
                    "accounts": view.accounts,
                    "view": view.name,
                    "p50_secs": view.p50.as_secs_f64(),
                    "p95_secs": view.p95.as_secs_f64(),
                })
            })
            .collect();
        let goals: Vec<Value> = goals::outcomes(self)
            .iter()
            .map(|goal| {
                json!({
                    "goal": goal.what,
                    "figure": goal.figure,
                    "met": goal.met(),
                    "hidden": goal.hidden,
                })
            })
            .collect();
        let mut figures = json!({
            "measurements": measurements,
            "memory": memory,
            "journal": journal,
            "deliveries": self.deliveries.map(|deliveries| {
                json!({
                    "events_per_sec": deliveries.per_sec,
                    "payments_of_undelivered": deliveries.of_made,
                    "payments_of_without_events": deliveries.of_alone,
                })
            }),
            "console": views,
            "goals": goals,
        });
        self.add_limits(&mut figures);
        figures
    }

    fn add_limits(&self, figures: &mut Value) {
        match &self.limits {
            Limits::Sqlite(rounds) => {
                let rounds = rounds.iter().map(|(accounts, inserts_per_sec)| {
                    json!({"accounts": accounts, "inserts_per_sec": inserts_per_sec})
                });
                figures["insert_limits"] = rounds.collect();
            }
            Limits::Postgres(rounds) => {
                let rounds = rounds.iter().map(|(accounts, rates)| {
                    json!({
                        "accounts": accounts,
                        "selects_per_sec": rates.of(Limit::Select),
                        "inserts_per_sec": rates.of(Limit::Insert),
                        "hot_updates_per_sec": rates.of(Limit::HotUpdate),
                    })
                });
                figures["pgbench"] = rounds.collect();
                let turns = self.turns.iter().map(|turns| {
                    json!({
                        "scenario": turns.scenario.name,
                        "accounts": turns.accounts,
                        "connections": turns.scenario.limit.clients(),
                        "ratio_to_pgbench": turns.ratio,
                    })
                });
                figures["turns_with_pgbench"] = turns.collect();
            }
        }
    }
}

/// All figures as JSON: those of SQLite, and under `postgres` those of PostgreSQL.
pub fn json(reports: &[Report]) -> String {
    let mut figures = json!({});
    for report in reports {
        match report.limits {
            Limits::Sqlite(_) => figures = report.json(),
            Limits::Postgres(_) => figures["postgres"] = report.json(),
        }
    }
    format!("{figures:#}\n")
}
