//! Moves a whole installation from one database to another, of the same kind or of the other.
//!
//! The source is not changed, and stays as it is while it is copied. Rows go over in the order of
//! their keys, in slices that the target commits; so what it holds is always the beginning of each
//! table, and a copy that was broken off goes on behind it. Until the end a mark in the target keeps
//! servers from it.

mod error;
mod side;
mod tables;

use std::fmt::Write as _;

use futures_util::join;
use jsonapi::{Api, Value};
use sha2::{Digest as _, Sha256};

pub use self::error::CopyError;
use self::side::{Side, is_postgres};
use self::tables::{CopyTable, described};
use crate::database::path_of;
use crate::error::{OpenError, StoreError};
use crate::mark::origin;
use crate::migrations;
use crate::sqlite::connection;

/// Rows of the first slice of a table.
const ROWS_FIRST: usize = 64;
/// Rows of one transaction.
const ROWS_MAX: usize = 4096;
/// Rows between two words about how far it is.
const ROWS_TOLD: u64 = 1000;

/// A copy under way.
#[derive(Debug)]
pub struct Copy {
    source: Side,
    target: Side,
    tables: Vec<CopyTable>,
    is_resumed: bool,
}

/// What both databases have of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Rows of the source.
    pub source_rows: u64,
    /// Rows of the target.
    pub target_rows: u64,
    /// Whether all rows are the same, and new ids of the target will be new.
    pub is_same: bool,
}

impl Copy {
    /// Opens both databases, and marks the target as the beginning of this copy. The source must
    /// have the settings `ready`, which say that nothing has to happen to its rows before others.
    ///
    /// # Errors
    /// One line for the operator; nothing was changed then, but for the schema of an empty target.
    pub async fn begin(from: &str, to: &str, api: &Api, ready: &[&str]) -> Result<Self, CopyError> {
        check_files(from, to)?;
        let source = Side::source(from).await?;
        let mut target = Side::target(to).await?;
        let identity = source.identity().await?;
        if identity.is_some() && identity == target.identity().await? {
            return Err(CopyError::Same(source.place));
        }
        source.reserve().await?;
        target.reserve().await?;
        check_version(&source).await?;
        let tables = tables_of(&source, api).await?;
        source.freeze(&tables).await?;
        if let Some(mark) = source.mark().await? {
            return Err(CopyError::Unfinished { place: source.place, from: origin(&mark) });
        }
        for setting in ready {
            if source.setting(setting).await?.is_none() {
                return Err(CopyError::Unready(source.place));
            }
        }
        if target.version().await? == 0 {
            target.migrate().await?;
        }
        check_version(&target).await?;
        tables_of(&target, api).await?;
        let mark = format!("{}\n{}", source.place, state(&source, &tables).await?);
        let is_resumed = match target.mark().await? {
            None => {
                target.begin(&tables, &mark).await?;
                false
            }
            Some(found) if found == mark => true,
            Some(found) if origin(&found) == source.place => {
                return Err(CopyError::Changed(source.place));
            }
            Some(found) => {
                let place = target.place;
                return Err(CopyError::OtherCopy { place, from: origin(&found) });
            }
        };
        Ok(Self { source, target, tables, is_resumed })
    }

    /// Whether this goes on with a copy that was broken off.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Where it comes from and where it goes to, without secrets.
    #[must_use]
    pub fn places(&self) -> (&str, &str) {
        (&self.source.place, &self.target.place)
    }

    /// The names of the tables, parents before those that point at them.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    /// Copies what the target does not have yet of a table, and says how many rows that were.
    ///
    /// # Errors
    /// When a statement fails, or there is no such table; what was copied so far stays.
    pub async fn fill(
        &self,
        name: &str,
        mut told: impl FnMut(u64) + Send,
    ) -> Result<u64, CopyError> {
        let table = self.table(name)?;
        let (from, to) = (of(&self.source, table), of(&self.target, table));
        let mut limit = ROWS_FIRST;
        let after = self.target.last_key(table).await.map_err(to)?;
        let mut slice = self.source.slice(table, after.as_deref(), limit).await.map_err(from)?;
        let mut rows = 0;
        while let Some(last) = slice.rows.last() {
            let after: Vec<Value> = last.iter().take(table.key).cloned().collect();
            let is_last = !slice.is_full;
            // Twice as many next time, so that a slice of large rows does not read in vain.
            limit = (2 * slice.rows.len()).min(ROWS_MAX);
            if is_last {
                self.target.write(table, &slice.rows).await.map_err(to)?;
                rows += slice.rows.len() as u64;
                break;
            }
            let (written, next) = join!(
                self.target.write(table, &slice.rows),
                self.source.slice(table, Some(&after), limit)
            );
            written.map_err(to)?;
            rows += slice.rows.len() as u64;
            told(rows);
            slice = next.map_err(from)?;
        }
        if table.has_ids() {
            let last = self.source.last_id(table).await.map_err(from)?;
            self.target.pass_id(table, last).await.map_err(to)?;
        }
        Ok(rows)
    }

    /// Compares all rows of a table, and what its next id will be.
    ///
    /// # Errors
    /// When a statement fails, or there is no such table.
    pub async fn compare(
        &self,
        name: &str,
        mut told: impl FnMut(u64) + Send,
    ) -> Result<Compared, CopyError> {
        let table = self.table(name)?;
        let (from, to) = (of(&self.source, table), of(&self.target, table));
        let tell = |rows: u64| {
            if rows.is_multiple_of(ROWS_TOLD) {
                told(rows);
            }
        };
        let (source, target) =
            join!(self.source.digest(table, tell), self.target.digest(table, |_| {}));
        let (source, target) = (source.map_err(from)?, target.map_err(to)?);
        let (source_rows, target_rows) = (source.rows, target.rows);
        let mut is_same = source_rows == target_rows && source.finish() == target.finish();
        if table.has_ids() && self.target.has_counter(table).await.map_err(to)? {
            let last = self.source.last_id(table).await.map_err(from)?;
            is_same &= self.target.counter(table).await.map_err(to)? == last;
        }
        Ok(Compared { source_rows, target_rows, is_same })
    }

    /// Takes the mark off the target. Call it when nothing differs.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn finish(self) -> Result<(), CopyError> {
        self.target.finish().await
    }

    fn table(&self, name: &str) -> Result<&CopyTable, CopyError> {
        let found = self.tables.iter().find(|table| table.name == name);
        found.ok_or_else(|| self.source.told(StoreError::Malformed(name.to_owned())))
    }
}

fn of(side: &Side, table: &CopyTable) -> impl Fn(StoreError) -> CopyError + std::marker::Copy {
    move |reason| CopyError::Table { table: table.name.clone(), place: side.place.clone(), reason }
}

/// Refuses one file under two names, before the one is locked and the other is opened.
fn check_files(from: &str, to: &str) -> Result<(), CopyError> {
    if is_postgres(from) || is_postgres(to) {
        return Ok(());
    }
    let file = |url| path_of(url).map(|path| connection::file_at(path.as_ref()));
    match (file(from)?, file(to)?) {
        (Some(one), Some(other)) if one == other => Err(CopyError::Same(from.to_owned())),
        _ => Ok(()),
    }
}

async fn check_version(side: &Side) -> Result<(), CopyError> {
    let (found, known) = (side.version().await?, migrations::newest(side.dialect()));
    if found > known {
        let number = |version| usize::try_from(version).unwrap_or_default();
        return Err(OpenError::Newer { found: number(found), known: number(known) }.into());
    }
    if found < known {
        return Err(CopyError::Older { place: side.place.clone(), found, known });
    }
    Ok(())
}

/// The tables of this database, which must be as they are described.
async fn tables_of(side: &Side, api: &Api) -> Result<Vec<CopyTable>, CopyError> {
    let columns = side.columns().await?;
    let tables = described(api, &columns);
    for table in &tables {
        let found = columns.iter().filter(|(name, _)| *name == table.name);
        let known = |column: &str| table.columns.iter().any(|(name, _)| name == column);
        let mut count = 0;
        let all_known = found.inspect(|_| count += 1).all(|(_, column)| known(column));
        if !all_known || count != table.columns.len() {
            let table = table.name.clone();
            return Err(CopyError::Columns { place: side.place.clone(), table });
        }
    }
    Ok(tables)
}

/// What tells one state of a source from another: the ids given out and the settings.
async fn state(source: &Side, tables: &[CopyTable]) -> Result<String, CopyError> {
    let mut state = Sha256::new();
    for table in tables {
        if table.has_ids() {
            let last = source.last_id(table).await.map_err(of(source, table))?;
            state.update(last.to_be_bytes());
        } else if table.name == "settings" {
            let digest = source.digest(table, |_| {}).await.map_err(of(source, table))?;
            state.update(digest.finish());
        }
    }
    let mut hex = String::new();
    for byte in state.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}
