//! Which columns there are, and how each that is wanted is read.

use std::collections::HashMap;

/// The columns of a database, each as `schema.table.column`.
#[derive(Debug)]
pub struct Layout {
    /// Each, and whether it may be read.
    columns: HashMap<String, bool>,
}

/// What a column is read as.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// Text; numbers too, where rules may refuse them: every digit counts.
    Text,
    /// A 64-bit integer.
    Int,
    /// A boolean.
    Bool,
    /// A list of 64-bit integers, perhaps with nulls.
    Ids,
    /// An instant as the wire has it, in UTC and with six fraction digits; as the database prints
    /// it when it is beyond the years 1 to 9999. Without a zone it is taken to be in UTC.
    Instant,
}

/// Where a column may be found.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A column of the table itself.
    Own(&'static str),
    /// An expression, if these columns are there. The table itself is `t`, joined ones have the
    /// names of their joins.
    Sql(&'static [&'static str], &'static str),
}

/// A column that is wanted: the first of its places that there is, else null.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What it is read as.
    pub cell: Cell,
    /// Where it may be.
    pub places: &'static [Place],
}

/// A join that is made when these columns are there.
pub type Join = (&'static [&'static str], &'static str);

impl Layout {
    pub fn new(columns: HashMap<String, bool>) -> Self {
        Self { columns }
    }

    /// Whether all of these columns are there.
    pub fn has(&self, columns: &[&str]) -> bool {
        columns.iter().all(|column| self.columns.contains_key(*column))
    }

    /// Whether the column is there and may be read.
    pub fn may_read(&self, column: &str) -> bool {
        self.columns.get(column).is_some_and(|may| *may)
    }

    /// Reads these columns of a table, in the order of its ids.
    pub fn select(&self, table: &str, columns: &[Column], joins: &[Join]) -> String {
        let columns: Vec<String> =
            columns.iter().map(|column| self.expression(table, column)).collect();
        let mut from = format!("{table} t");
        for (_, join) in joins.iter().filter(|(needed, _)| self.has(needed)) {
            from = format!("{from} LEFT JOIN {join}");
        }
        format!("SELECT {} FROM {from} ORDER BY t.id", columns.join(", "))
    }

    fn expression(&self, table: &str, column: &Column) -> String {
        let found = column.places.iter().find_map(|place| match *place {
            Place::Own(name) => {
                self.has(&[&format!("{table}.{name}")]).then(|| format!("t.{name}"))
            }
            Place::Sql(needed, sql) => self.has(needed).then(|| sql.to_owned()),
        });
        column.cell.read(&found.unwrap_or_else(|| "NULL".to_owned()))
    }
}

impl Cell {
    fn read(self, sql: &str) -> String {
        match self {
            Self::Text => format!("({sql})::text"),
            Self::Int => format!("({sql})::bigint"),
            Self::Bool => format!("({sql})::boolean"),
            Self::Ids => format!("({sql})::bigint[]"),
            // The connection's zone is UTC, so times without a zone become what they are there.
            Self::Instant => format!(
                "CASE WHEN ({sql})::timestamptz BETWEEN '0001-01-01' AND '9999-12-31' \
                 THEN to_char(({sql})::timestamptz, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
                 ELSE ({sql})::text END"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Place::{Own, Sql};
    use super::*;

    fn layout(columns: &[&str]) -> Layout {
        Layout::new(columns.iter().map(|column| ((*column).to_owned(), true)).collect())
    }

    fn column(cell: Cell, places: &'static [Place]) -> Column {
        Column { cell, places }
    }

    #[test]
    fn a_column_is_read_where_it_is_first_found() {
        let zone = column(
            Cell::Text,
            &[Sql(&["a.accounts.zone_id", "a.zones.name"], "z.name"), Own("zone"), Own("tz")],
        );
        let joins: &[Join] =
            &[(&["a.accounts.zone_id", "a.zones.name"], "a.zones z ON z.id = t.zone_id")];
        for (columns, sql) in [
            (
                &["a.accounts.zone_id", "a.accounts.zone"][..],
                "SELECT (t.zone)::text FROM a.accounts t ORDER BY t.id",
            ),
            (&["a.accounts.tz"], "SELECT (t.tz)::text FROM a.accounts t ORDER BY t.id"),
            (&[], "SELECT (NULL)::text FROM a.accounts t ORDER BY t.id"),
        ] {
            assert_eq!(layout(columns).select("a.accounts", &[zone], joins), sql);
        }
        assert_eq!(
            layout(&["a.accounts.zone_id", "a.zones.name"]).select(
                "a.accounts",
                &[zone, column(Cell::Int, &[Own("id")])],
                joins
            ),
            "SELECT (z.name)::text, (NULL)::bigint FROM a.accounts t \
             LEFT JOIN a.zones z ON z.id = t.zone_id ORDER BY t.id"
        );
    }
}
