//! Rows of either database, read by what their columns mean: PostgreSQL tells everything as text,
//! SQLite in the forms that the store chose for it.

use std::fmt;

use decimal::Decimal;
use jiff::Timestamp;

/// A row that a statement found.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    pub(crate) cells: Vec<(String, Cell)>,
}

/// One column's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Row {
    /// The value of the column of this name.
    ///
    /// # Panics
    /// If there is no such column, or it holds something else.
    #[track_caller]
    pub fn get<T: FromCell>(&self, column: &str) -> T {
        let found = self.cells.iter().find(|(name, _)| name == column);
        let (_, cell) = found.unwrap_or_else(|| panic!("no column {column} in {self:?}"));
        T::from_cell(cell).unwrap_or_else(|| panic!("{column} is {cell:?}"))
    }

    /// The value of the first column.
    ///
    /// # Panics
    /// If there is none, or it holds something else.
    #[track_caller]
    pub fn first<T: FromCell>(&self) -> T {
        let (name, _) = self.cells.first().expect("a column");
        self.get(name)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.cells.iter().map(|(name, cell)| (name, cell))).finish()
    }
}

/// What a column may mean.
pub trait FromCell: Sized {
    /// Reads a cell of either database; `None` if it means something else.
    fn from_cell(cell: &Cell) -> Option<Self>;
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            other => T::from_cell(other).map(Some),
        }
    }
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Integer(int) => Some(*int),
            Cell::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl FromCell for bool {
    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Integer(int @ 0..=1) => Some(*int == 1),
            Cell::Text(text) if text == "t" => Some(true),
            Cell::Text(text) if text == "f" => Some(false),
            _ => None,
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromCell for Decimal {
    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Blob(bytes) => Decimal::from_ordered_bytes(bytes.as_slice().try_into().ok()?),
            Cell::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl FromCell for Timestamp {
    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Integer(micros) => Timestamp::from_microsecond(*micros).ok(),
            Cell::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}
