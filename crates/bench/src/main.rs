//! Measures tollkeeper on SQLite and PostgreSQL against limits of the same machine in the same run:
//! a constant answer of the same HTTP stack (A), the group-commit insert rate of SQLite (G), and
//! what pgbench reaches on PostgreSQL (P).
//!
//! `cargo run --release -p bench`. Figures are ratios, never absolute promises: the client runs
//! on the same cores as the server and its database.

mod client;
mod cluster;
mod console;
mod cpu;
mod database;
mod deliveries;
mod figures;
mod fill;
mod goals;
mod journal;
mod limit;
mod pgbench;
mod report;
mod scenarios;
mod server;
mod turns;

use std::path::PathBuf;
use std::thread::{available_parallelism, yield_now};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};
use client::Load;
use cluster::Cluster;
use cpu::Ticks;
use database::Home;
use figures::{Limits, Report};
use pgbench::Rates;
use scenarios::{CREATE, GET_ONE, SCENARIOS, SPREAD_PAYMENTS};
use server::ServerProcess;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Accounts of the round that only `--large` asks for.
const LARGE: u64 = 10_000_000;
/// Connections that two nodes are compared with one at.
const TWO_NODES_CONNECTIONS: usize = 64;
/// Connections of payments beside deliveries.
const DELIVERIES_CONNECTIONS: usize = 64;
/// What two nodes are compared with one by.
const TWO_NODES: [&str; 3] = [GET_ONE, CREATE, SPREAD_PAYMENTS];

#[derive(Clone, Debug, Parser)]
#[command(about = "Measures the server on this machine, all in one run")]
struct Arguments {
    /// Databases to measure [default: both where PostgreSQL is installed]
    #[arg(long, value_enum)]
    database: Option<Choice>,
    /// Accounts in the database, one round each
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    accounts: Vec<u64>,
    /// One round more, with 10 million accounts, for lists alone
    #[arg(long)]
    large: bool,
    /// Connections at once, one measurement each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32, 64])]
    connections: Vec<usize>,
    /// Journal entries that are posted in process and verified, on PostgreSQL a tenth of them; 0
    /// leaves this out
    #[arg(long, default_value_t = 300_000)]
    entries: u64,
    /// Seconds for each measurement; pgbench takes whole ones
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

/// Databases to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    Sqlite,
    Postgres,
    Both,
}

/// What the benchmark runs as a process of its own, so that its memory is the server's alone.
#[derive(Clone, Debug, Subcommand)]
enum Role {
    /// The server under test
    #[command(hide = true)]
    Serve {
        /// The address of its database
        url: String,
        /// Events to make and deliver, each second
        #[arg(default_value_t = 0)]
        events: u32,
    },
}

/// What `--only` calls the console's pages.
const CONSOLE: &str = "console";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::Serve { url, events }) = &arguments.role {
        return tollkeeper::runtime::build()?.block_on(server::serve(url, *events));
    }
    // What measures should cost little: it has few threads, which let others go first before they wait.
    let processors = available_parallelism()?.get();
    Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(4))
        .enable_all()
        .on_thread_park(yield_now)
        .build()?
        .block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // What is dropped takes servers, clusters and databases with it.
    tokio::select! {
        measured = measure_all(arguments) => measured,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn measure_all(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = Cluster::programs();
    let choice = arguments.database.unwrap_or_else(|| {
        if programs.is_some() {
            return Choice::Both;
        }
        println!("Only SQLite: PostgreSQL is not installed (Debian: apt-get install postgresql)");
        Choice::Sqlite
    });
    let mut reports = Vec::new();
    if choice != Choice::Postgres {
        let report = Report::new(Limits::Sqlite(Vec::new()));
        reports.push(measure_database(report, &Home::Folders, arguments).await?);
    }
    if choice != Choice::Sqlite {
        let programs = programs.context("PostgreSQL's programs are not installed")?;
        let cluster = Cluster::start(programs).await?;
        println!("{}", cluster.execute("postgres", "SELECT version()").await?);
        let report = Report::new(Limits::Postgres(Vec::new()));
        reports.push(measure_database(report, &Home::Cluster(cluster), arguments).await?);
    }
    for report in &reports {
        report.print();
    }
    if let Some(directory) = arguments.out.parent() {
        tokio::fs::create_dir_all(directory).await?;
    }
    tokio::fs::write(&arguments.out, report::json(&reports))
        .await
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    println!("\nWritten to {}", arguments.out.display());
    Ok(())
}

async fn measure_database(
    mut report: Report,
    home: &Home,
    arguments: &Arguments,
) -> anyhow::Result<Report> {
    for &accounts in &arguments.accounts {
        measure_round(&mut report, home, accounts, arguments).await?;
    }
    if arguments.large {
        measure_round(&mut report, home, LARGE, arguments).await?;
    }
    // In process, a payment waits for PostgreSQL by itself: a tenth takes as long.
    let entries = match home {
        Home::Folders => arguments.entries,
        Home::Cluster(_) => arguments.entries / 10,
    };
    if entries > 0 {
        report.journal = Some(journal::measure(home, entries).await?);
    }
    if arguments.connections.contains(&DELIVERIES_CONNECTIONS) {
        let time = Duration::from_secs_f64(arguments.seconds);
        report.deliveries = deliveries::measure(home, DELIVERIES_CONNECTIONS, time).await?;
    }
    Ok(report)
}

async fn measure_round(
    report: &mut Report,
    home: &Home,
    accounts: u64,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let database = home.database().await?;
    fill::fill(&database, accounts).await?;
    let cluster = database.on_cluster().map(|(cluster, _)| cluster);
    if let (Limits::Postgres(rounds), Some((cluster, name))) =
        (&mut report.limits, database.on_cluster())
    {
        let rates = Rates::measure(cluster, name, accounts, arguments.seconds).await?;
        println!("P  with {accounts} accounts: {rates}");
        rounds.push((accounts, rates));
    }
    let time = Duration::from_secs_f64(arguments.seconds);
    if let Limits::Sqlite(rounds) = &mut report.limits {
        // In each round: the machine is not as fast at one time as at another.
        let inserts_per_sec = limit::inserts_per_sec(time).await?;
        println!("G  with {accounts} accounts: {inserts_per_sec:.0} group-commit inserts/s");
        rounds.push((accounts, inserts_per_sec));
    }
    let mut measure = async |load: Load<'_>| {
        let before = Ticks::now(load.nodes, cluster)?;
        let mut measurement = client::run(load, time).await?;
        measurement.cpu = Ticks::now(load.nodes, cluster)?.since(before);
        report.add(measurement);
        anyhow::Ok(())
    };
    let chosen = SCENARIOS.into_iter().filter(|scenario| {
        accounts >= scenario.accounts_min
            && (scenario.is_constant()
                || scenario.name.contains(&arguments.only)
                    && (accounts < LARGE || scenario.is_list()))
    });
    let node = ServerProcess::start(&database.url).await?;
    for &connections in &arguments.connections {
        for scenario in chosen.clone() {
            measure(Load { scenario, accounts, connections, nodes: &[&node] }).await?;
        }
    }
    let compared =
        chosen.clone().filter(|scenario| arguments.connections.contains(&scenario.limit.clients()));
    let turns = turns::measure(&database, &node, (accounts, time), compared).await?;
    let views = if CONSOLE.contains(&arguments.only) {
        console::measure(&node, accounts).await?
    } else {
        Vec::new()
    };
    let mut nodes = vec![node];
    if cluster.is_some() && arguments.connections.contains(&TWO_NODES_CONNECTIONS) {
        nodes.push(ServerProcess::start(&database.url).await?);
        let nodes: Vec<&ServerProcess> = nodes.iter().collect();
        for scenario in chosen.filter(|scenario| TWO_NODES.contains(&scenario.name)) {
            let connections = TWO_NODES_CONNECTIONS;
            measure(Load { scenario, accounts, connections, nodes: &nodes }).await?;
        }
    }
    for node in nodes {
        report.peak_memory_mib.push((accounts, node.peak_memory_mib()?));
    }
    report.turns.extend(turns);
    report.views.extend(views);
    Ok(())
}
