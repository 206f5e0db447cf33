//! Filters and cursors as SQL conditions.
//!
//! Columns come from the definition, values are always bound. Stored decimals have
//! twelve fraction digits, so a bound between two that can be stored is compared with the one below it.

use decimal::Located;
use jiff::Timestamp;
use jsonapi::{Comparison, Filter, Operand, Sort, Test, Value, Walk};

use crate::folding;
use crate::session::Dialect;
use crate::table::Table;

/// The letter that no stored text has: writes refuse it (contract, protocol 4.5), and PostgreSQL
/// does not take it even in a question.
const NOWHERE: char = '\0';
/// PostgreSQL knows no earlier instant, the begin of the Julian days; no row has one that early.
const EARLIEST: Timestamp = Timestamp::constant(-210_866_803_200, 0);

/// A `WHERE` clause in the making.
#[derive(Clone, Debug)]
pub struct Condition {
    dialect: Dialect,
    clauses: Vec<String>,
    pub params: Vec<Value>,
    /// Markers of the letters that PostgreSQL folds, once a filter needs them.
    folded: Option<(String, String)>,
}

impl Condition {
    /// The rows of `table` that clients may see and that pass every filter.
    pub fn of(dialect: Dialect, table: &Table, filters: &[Filter]) -> Self {
        let mut condition = Self { dialect, clauses: Vec::new(), params: Vec::new(), folded: None };
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
                (table.column(sort.target), operator, self.bind(key.clone()))
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

    /// Demands one thing more.
    pub fn add(&mut self, clause: String) {
        self.clauses.push(clause);
    }

    /// The clause that a column holds this text, whatever the case.
    pub fn contains(&mut self, column: &str, text: &str) -> String {
        self.like(column, &format!("%{}%", escaped(text)))
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
    pub fn bind(&mut self, value: Value) -> String {
        self.params.push(match value {
            Value::Time(time) => Value::Time(time.max(EARLIEST)),
            other => other,
        });
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

    /// A comparison with a value that no row can hold.
    fn beyond(&mut self, column: &str, comparison: Comparison, operand: &Operand) -> String {
        use Comparison::{Eq, Gt, Gteq, Lt, Lteq, NotEq};
        let above_all = match operand {
            Operand::Integer(int) => *int > 0,
            Operand::Decimal(located) => {
                if let Some(floor) = decimal::Decimal::from_units(located.units) {
                    let floor = Value::Decimal(floor);
                    return match comparison {
                        Eq => "FALSE".to_owned(),
                        NotEq => format!("{column} IS NOT NULL"),
                        Gt | Gteq => format!("{column} > {}", self.bind(floor)),
                        Lt | Lteq => format!("{column} <= {}", self.bind(floor)),
                    };
                }
                located.units > 0
            }
            // A text that none can be.
            _ if comparison == NotEq => return format!("{column} IS NOT NULL"),
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

    /// Ignores case by [`folding`].
    fn like(&mut self, column: &str, pattern: &str) -> String {
        if pattern.contains(NOWHERE) {
            return "FALSE".to_owned();
        }
        let marker = self.bind(Value::text(folding::fold(pattern)));
        let folded = match self.dialect {
            Dialect::Sqlite => format!("folded({column})"),
            Dialect::Postgres => {
                if self.folded.is_none() {
                    let (from, to) = folding::letters();
                    self.folded = Some((self.bind(Value::text(from)), self.bind(Value::text(to))));
                }
                let (from, to) = self.folded.as_ref().map_or(("''", "''"), |(from, to)| (from, to));
                // Most text is ASCII, which is quicker.
                format!(
                    "CASE WHEN octet_length({column}) = char_length({column}) THEN upper({column}) \
                     ELSE translate(upper({column}), {from}, {to}) END"
                )
            }
        };
        format!("{folded} LIKE {marker} ESCAPE '\\'")
    }
}

/// The operand as a column holds it; `None` where no column value equals it.
fn stored_form(operand: &Operand) -> Option<Value> {
    Some(match operand {
        Operand::Text(text) if text.contains(NOWHERE) => return None,
        Operand::Text(text) => Value::text(text),
        Operand::Decimal(Located { units, exact: true }) => {
            Value::Decimal(decimal::Decimal::from_units(*units)?)
        }
        Operand::Decimal(_) => return None,
        Operand::Integer(int) => Value::Int(i64::try_from(*int).ok()?),
        Operand::Bool(bool) => Value::Bool(*bool),
        Operand::Uuid(uuid) => Value::Uuid(*uuid),
        Operand::Time(time) => Value::Time(*time),
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
