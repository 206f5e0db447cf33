//! What became of the rows: a line for each that did not come as it was, and a table at the end.

use std::fmt;
use std::io::{self, Write};

use decimal::Decimal;
use store::yeti::LeftBehind;

use super::admit::Outcome;
use crate::progress::Progress;

/// Characters of a line that are printed: some messages repeat what a column holds.
const PRINTED_CHARS_MAX: usize = 1000;

/// What became of the rows of one table.
#[derive(Clone, Copy, Debug)]
struct Tally {
    table: &'static str,
    came_over: u64,
    there_already: u64,
    conflicts: u64,
    left_out: u64,
}

/// The report, on standard output, and how far the work has come, on standard error. Nobody may be
/// listening any more, which is no reason to stop.
#[derive(Debug)]
pub struct Report {
    dry_run: bool,
    tallies: Vec<Tally>,
    /// The balances that are here now; unknown when their sum is beyond what a decimal holds.
    balances: Option<Decimal>,
    progress: Progress,
}

impl Tally {
    fn rows(&self) -> u64 {
        self.came_over + self.there_already + self.conflicts + self.left_out
    }
}

impl Report {
    /// A report of nothing yet.
    pub fn new(dry_run: bool) -> Self {
        let (tallies, balances) = (Vec::new(), Some(Decimal::ZERO));
        Self { dry_run, tallies, balances, progress: Progress::start() }
    }

    /// Begins with a table.
    pub fn begin(&mut self, table: &'static str) {
        let (came_over, there_already, conflicts, left_out) = (0, 0, 0, 0);
        self.tallies.push(Tally { table, came_over, there_already, conflicts, left_out });
    }

    /// Tells of a row of that table.
    pub fn tell(&mut self, id: i64, outcome: &Outcome, changes: &[String]) {
        let Some(tally) = self.tallies.last_mut() else { return };
        let table = tally.table;
        match outcome {
            Outcome::CameOver => tally.came_over += 1,
            Outcome::ThereAlready => tally.there_already += 1,
            Outcome::Conflict(_) => tally.conflicts += 1,
            Outcome::LeftOut(_) => tally.left_out += 1,
        }
        match outcome {
            Outcome::CameOver => {
                for change in changes {
                    self.say(format_args!("changed: {table} {id}: {change}"));
                }
            }
            Outcome::ThereAlready => {}
            Outcome::Conflict(why) => self.say(format_args!("conflict: {table} {id}: {why}")),
            Outcome::LeftOut(why) => self.say(format_args!("left out: {table} {id}: {why}")),
        }
    }

    /// Counts the balance of an account that is here now, or would be.
    pub fn add_balance(&mut self, balance: Decimal) {
        self.balances = self.balances.and_then(|sum| sum.checked_add(balance));
    }

    /// Shows how far the work has come.
    pub fn show_progress(&self) {
        if let Some(tally) = self.tallies.last() {
            self.progress.show(format_args!("{}: {} rows …", tally.table, tally.rows()));
        }
    }

    /// Prints the table of all tables, and what stays behind where that is known.
    pub fn finish(&self, left_behind: &[LeftBehind]) {
        let came_over = if self.dry_run { "would come" } else { "came over" };
        self.say(format_args!(
            "{:<30} {came_over:>11} {:>14} {:>10} {:>9}",
            "table", "there already", "conflicts", "left out"
        ));
        for Tally { table, came_over, there_already, conflicts, left_out } in &self.tallies {
            self.say(format_args!(
                "{table:<30} {came_over:>11} {there_already:>14} {conflicts:>10} {left_out:>9}"
            ));
        }
        let sum = self.balances.map_or("beyond all bounds".to_owned(), |sum| sum.to_string());
        self.say(format_args!("sum of the balances that came over or were there already: {sum}"));
        for LeftBehind { what, meaning, rows } in left_behind {
            let rows = rows.map_or("may not be read".to_owned(), |rows| format!("{rows} rows"));
            self.say(format_args!("not carried over: {what} ({meaning}): {rows}"));
        }
    }

    /// Whether every row is here, or would be.
    pub fn is_complete(&self) -> bool {
        self.tallies.iter().all(|tally| tally.conflicts == 0 && tally.left_out == 0)
    }

    /// One line. What a column holds may have line breaks, or what a terminal takes for a command.
    fn say(&self, line: fmt::Arguments<'_>) {
        self.progress.clear();
        let line: String = line
            .to_string()
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .take(PRINTED_CHARS_MAX)
            .collect();
        let _ = writeln!(io::stdout(), "{line}");
    }
}
