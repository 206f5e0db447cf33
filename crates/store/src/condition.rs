//! Filters and cursors as SQL conditions.
//!
//! Columns come from the definition, values are always bound. Decimals are compared as ordered
//! bytes, so a bound between two that can be stored is compared with the one below it.

use decimal::Located;
use jsonapi::{Comparison, Filter, Operand, Sort, Test, Walk};
use rusqlite::types::Value as Sql;

use crate::column::to_sql;
use crate::table::Table;

/// A `WHERE` clause in the making.
#[derive(Debug, Default)]
pub struct Condition {
    clauses: Vec<String>,
    pub params: Vec<Sql>,
}

impl Condition {
    /// The rows of `table` that clients may see and that pass every filter.
    pub fn of(table: &Table, filters: &[Filter]) -> Self {
        let mut condition = Self::default();
        if let Some(name) = table.resource.visible_with {
            condition.clauses.push(format!("{} IS NOT NULL", table.key(name)));
        }
        for filter in filters {
            let clause = condition.clause(table.column(filter.target), &filter.test);
            condition.clauses.push(clause);
        }
        condition
    }

    /// Keeps only the rows on the walk's side of its cursor, in the order of `sort`, whose columns
    /// are never null.
    ///
    /// Row values lead SQLite to the place in an index. They need one direction; where directions
    /// differ, the bound on the first column leads at least near to it.
    pub fn pass(&mut self, table: &Table, sort: &[Sort], walk: &Walk) {
        let Some(cursor) = &walk.from else { return };
        let steps: Vec<(&str, &str, String)> = sort
            .iter()
            .zip(&cursor.keys)
            .map(|(sort, key)| {
                let operator = if sort.descending == walk.backwards { ">" } else { "<" };
                (table.column(sort.target), operator, self.bind(to_sql(key)))
            })
            .collect();
        let Some(((column, operator, marker), _)) = steps.split_first() else { return };
        let clause = if steps.iter().all(|(_, other, _)| other == operator) {
            let columns: Vec<&str> = steps.iter().map(|(column, _, _)| *column).collect();
            let markers: Vec<&str> = steps.iter().map(|(_, _, marker)| marker.as_str()).collect();
            format!("({}) {operator} ({})", columns.join(", "), markers.join(", "))
        } else {
            let past =
                steps.iter().rfold("FALSE".to_owned(), |past, (column, operator, marker)| {
                    format!("({column} {operator} {marker} OR ({column} = {marker} AND {past}))")
                });
            format!("{column} {operator}= {marker} AND {past}")
        };
        self.clauses.push(clause);
    }

    /// ` WHERE …`, or nothing.
    pub fn sql(&self) -> String {
        if self.clauses.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.clauses.join(" AND "))
        }
    }

    /// Binds a value and returns its marker.
    pub fn bind(&mut self, value: Sql) -> String {
        self.params.push(value);
        format!("${}", self.params.len())
    }

    fn clause(&mut self, column: &str, test: &Test) -> String {
        match test {
            Test::Nothing => "FALSE".to_owned(),
            Test::Exact { values, or_null } => {
                let listed = self.membership(column, values, true);
                if *or_null { format!("({listed} OR {column} IS NULL)") } else { listed }
            }
            Test::Compare(comparison, operand) => self.comparison(column, *comparison, operand),
            Test::In(values) => self.membership(column, values, true),
            Test::NotIn(values) => self.membership(column, values, false),
            Test::Contains(texts) => {
                let likes: Vec<String> = texts
                    .iter()
                    .map(|text| self.like(column, &format!("%{}%", escaped(text))))
                    .collect();
                balanced_or(&likes)
            }
            Test::StartsWith(text) => self.like(column, &format!("{}%", escaped(text))),
            Test::EndsWith(text) => self.like(column, &format!("%{}", escaped(text))),
        }
    }

    fn membership(&mut self, column: &str, values: &[Operand], inside: bool) -> String {
        let markers: Vec<String> =
            values.iter().filter_map(stored_form).map(|value| self.bind(value)).collect();
        match (markers.is_empty(), inside) {
            (true, true) => "FALSE".to_owned(),
            (true, false) => format!("{column} IS NOT NULL"),
            (false, true) => format!("{column} IN ({})", markers.join(", ")),
            (false, false) => format!("{column} NOT IN ({})", markers.join(", ")),
        }
    }

    fn comparison(&mut self, column: &str, comparison: Comparison, operand: &Operand) -> String {
        use Comparison::{Eq, Gt, Gteq, Lt, Lteq, NotEq};
        let Some(value) = stored_form(operand) else {
            return self.beyond(column, comparison, operand);
        };
        let operator = match comparison {
            Eq => "=",
            NotEq => "<>",
            Gt => ">",
            Gteq => ">=",
            Lt => "<",
            Lteq => "<=",
        };
        let marker = self.bind(value);
        format!("{column} {operator} {marker}")
    }

    /// A comparison with a number that no row can hold.
    fn beyond(&mut self, column: &str, comparison: Comparison, operand: &Operand) -> String {
        use Comparison::{Eq, Gt, Gteq, Lt, Lteq, NotEq};
        let above_all = match operand {
            Operand::Integer(int) => *int > 0,
            Operand::Decimal(located) => {
                if let Some(floor) = decimal::Decimal::from_units(located.units) {
                    let floor = Sql::Blob(floor.to_ordered_bytes().to_vec());
                    return match comparison {
                        Eq => "FALSE".to_owned(),
                        NotEq => format!("{column} IS NOT NULL"),
                        Gt | Gteq => format!("{column} > {}", self.bind(floor)),
                        Lt | Lteq => format!("{column} <= {}", self.bind(floor)),
                    };
                }
                located.units > 0
            }
            _ => return "FALSE".to_owned(),
        };
        let every_row = match comparison {
            Eq => false,
            NotEq => true,
            Gt | Gteq => !above_all,
            Lt | Lteq => above_all,
        };
        if every_row { format!("{column} IS NOT NULL") } else { "FALSE".to_owned() }
    }

    /// Ignores case by upper case: lower case depends on where in a word a Greek sigma stands.
    fn like(&mut self, column: &str, pattern: &str) -> String {
        let marker = self.bind(Sql::Text(pattern.to_uppercase()));
        format!("upper({column}) LIKE {marker} ESCAPE '\\'")
    }
}

/// The operand as a column holds it; `None` where no column value equals it.
fn stored_form(operand: &Operand) -> Option<Sql> {
    Some(match operand {
        Operand::Text(text) => Sql::Text(text.clone()),
        Operand::Decimal(Located { units, exact: true }) => {
            Sql::Blob(decimal::Decimal::from_units(*units)?.to_ordered_bytes().to_vec())
        }
        Operand::Decimal(_) => return None,
        Operand::Integer(int) => Sql::Integer(i64::try_from(*int).ok()?),
        Operand::Bool(bool) => Sql::Integer(i64::from(*bool)),
        Operand::Uuid(uuid) => Sql::Blob(uuid.as_bytes().to_vec()),
        Operand::Time(time) => Sql::Integer(time.as_microsecond()),
    })
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// `OR` of many clauses as a balanced tree: a chain would pass SQLite's depth limit.
fn balanced_or(clauses: &[String]) -> String {
    match clauses {
        [] => "FALSE".to_owned(),
        [clause] => clause.clone(),
        clauses => {
            let (left, right) = clauses.split_at(clauses.len() / 2);
            format!("({} OR {})", balanced_or(left), balanced_or(right))
        }
    }
}
