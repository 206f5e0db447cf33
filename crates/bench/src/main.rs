//! Measures tollkeeper against limits of the same machine in the same run: a constant answer of
//! the same HTTP stack (A) and the group-commit insert rate of the database (G).
//!
//! `cargo run --release -p bench`. Figures are ratios, never absolute promises: the client runs
//! on the same cores as the server.

mod client;
mod figures;
mod fill;
mod goals;
mod journal;
mod limit;
mod report;
mod scenarios;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use figures::Report;
use scenarios::SCENARIOS;
use server::ServerProcess;

#[derive(Clone, Debug, Parser)]
#[command(about = "Measures the server on this machine, all in one run")]
struct Arguments {
    /// Accounts in the database, one round each
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    accounts: Vec<u64>,
    /// Connections at once, one measurement each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    connections: Vec<usize>,
    /// Journal entries that are posted in process and verified; 0 leaves this out
    #[arg(long, default_value_t = 300_000)]
    entries: u64,
    /// Seconds for each measurement
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only the scenarios whose name contains this, and the constant answer
    #[arg(long, default_value = "")]
    only: String,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the benchmark runs as a process of its own, so that its memory is the server's alone.
#[derive(Clone, Debug, Subcommand)]
enum Role {
    /// The server under test
    #[command(hide = true)]
    Serve {
        /// Where its database is
        directory: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::Serve { directory }) = arguments.role {
        return server::serve(&directory).await;
    }
    let time = Duration::from_secs_f64(arguments.seconds);
    let insert_limit_per_sec = limit::inserts_per_sec(time)?;
    let mut report = Report { insert_limit_per_sec, ..Report::default() };
    println!("G  group-commit inserts of accounts: {:.0}/s", report.insert_limit_per_sec);
    for &accounts in &arguments.accounts {
        measure(&mut report, accounts, &arguments, time).await?;
    }
    if arguments.entries > 0 {
        report.journal = Some(journal::measure(arguments.entries).await?);
    }
    report.print();
    if let Some(directory) = arguments.out.parent() {
        tokio::fs::create_dir_all(directory).await?;
    }
    tokio::fs::write(&arguments.out, report.json())
        .await
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    println!("\nWritten to {}", arguments.out.display());
    Ok(())
}

async fn measure(
    report: &mut Report,
    accounts: u64,
    arguments: &Arguments,
    time: Duration,
) -> anyhow::Result<()> {
    let process = ServerProcess::start(accounts).await?;
    let chosen = SCENARIOS.into_iter().filter(|scenario| {
        accounts >= scenario.accounts_min
            && (scenario.is_constant() || scenario.name.contains(&arguments.only))
    });
    for &connections in &arguments.connections {
        for scenario in chosen.clone() {
            let target = if scenario.is_constant() { process.constant } else { process.address };
            let run = client::run(scenario, target, &process.token, accounts, connections, time);
            report.add(run.await?);
        }
    }
    report.peak_memory_mib.push((accounts, process.peak_memory_mib()?));
    Ok(())
}
