//! Moves an installation to another database, and proves what arrived.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use store::{Copy, Store};

use crate::accounts::JUDGED;
use crate::api::API;
use crate::commands::prove;
use crate::journal::{BOOKS, Range};
use crate::progress::Progress;

/// Copies everything, compares everything, checks every journal of the copy, and only then lets a
/// server use it. The exit code tells whether all is the same.
///
/// # Errors
/// One line that says why it cannot begin, or had to stop.
pub async fn copy(from: &str, to: &str) -> anyhow::Result<ExitCode> {
    // An opened journal is what makes balances provable, here and there; accounts that were not
    // judged would be missing from lists.
    let copy = Copy::begin(from, to, &API, &[BOOKS, JUDGED]).await?;
    let (source, target) = copy.places();
    println!("From {source}\nto   {target}");
    if copy.is_resumed() {
        println!("This copy was begun before; it goes on where it was.");
    }
    let progress = Progress::start();
    let tables: Vec<String> = copy.tables().map(str::to_owned).collect();
    fill(&copy, &tables, &progress).await?;
    let differing = compare(&copy, &tables, &progress).await?;
    for difference in &differing {
        println!("{difference}");
    }
    if !differing.is_empty() {
        println!("The copy is not to be used: begin again with an empty target.");
        return Ok(ExitCode::FAILURE);
    }
    println!("All {} tables are the same in both databases.", tables.len());
    let store = Store::open_unfinished(to, API).await?;
    let (_, faults) = prove(&store, Range::ALL).await?;
    drop(store);
    if faults > 0 {
        println!("The journals of the source have these faults, too; the copy is not to be used.");
        return Ok(ExitCode::FAILURE);
    }
    copy.finish().await?;
    println!("The copy is ready to be served.");
    Ok(ExitCode::SUCCESS)
}

async fn fill(copy: &Copy, tables: &[String], progress: &Progress) -> anyhow::Result<()> {
    println!("{:<24} {:>12} {:>10} {:>10}", "TABLE", "ROWS COPIED", "SECONDS", "ROWS/S");
    let (started, mut all) = (Instant::now(), 0);
    for table in tables {
        let began = Instant::now();
        let told = |rows| {
            progress
                .show(format_args!("{table}: {rows} rows, {}/s …", rate(rows, began.elapsed())));
        };
        let rows = copy.fill(table, told).await?;
        progress.clear();
        print_rate(table, rows, began.elapsed());
        all += rows;
    }
    print_rate("all", all, started.elapsed());
    Ok(())
}

fn print_rate(name: &str, rows: u64, time: Duration) {
    let secs = format!("{}.{}", time.as_secs(), time.subsec_millis() / 100);
    println!("{name:<24} {rows:>12} {secs:>10} {:>10}", rate(rows, time));
}

/// Rows per second; nothing where there was too little to tell.
fn rate(rows: u64, time: Duration) -> String {
    let millis = time.as_millis();
    if rows < 1_000 || millis == 0 {
        return "-".to_owned();
    }
    (u128::from(rows) * 1_000 / millis).to_string()
}

/// Says of each table that differs how it does.
async fn compare(
    copy: &Copy,
    tables: &[String],
    progress: &Progress,
) -> anyhow::Result<Vec<String>> {
    let mut differing = Vec::new();
    for table in tables {
        let told = |rows| progress.show(format_args!("comparing {table}: {rows} rows …"));
        let compared = copy.compare(table, told).await?;
        progress.clear();
        if !compared.is_same {
            differing.push(format!(
                "{table} differs: {} rows in the source, {} in the target",
                compared.source_rows, compared.target_rows
            ));
        }
    }
    Ok(differing)
}
