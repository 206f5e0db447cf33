//! Statements with their parameters, for one row or many.

use std::borrow::Cow;

use jsonapi::Value;

use crate::postgres::column::Param;

/// Parameters of a statement that is worth keeping. Keeps long filters, each of its own shape,
/// from filling the memory with their plans.
pub const PARAMS_KEPT_MAX: usize = 32;

/// A statement and its parameters.
#[derive(Clone, Debug)]
pub struct Statement {
    pub sql: Cow<'static, str>,
    pub params: Vec<Value>,
    /// Of a statement for many rows, how many parameters each of them has: PostgreSQL gets each
    /// column as an array.
    width: Option<usize>,
    /// Whether it is for the case that the one before it changes nothing.
    pub is_or_else: bool,
    /// What it runs, if it is several in one.
    parts: Vec<Self>,
}

impl Statement {
    pub fn new(sql: impl Into<Cow<'static, str>>, params: Vec<Value>) -> Self {
        Self { sql: sql.into(), params, width: None, is_or_else: false, parts: Vec::new() }
    }

    /// Makes it one that is needed only where the statement before it changes nothing, and does
    /// nothing elsewhere: it is left out then, but not at PostgreSQL, which is not asked in between.
    pub fn or_else(self) -> Self {
        Self { is_or_else: true, ..self }
    }

    /// A statement of PostgreSQL's that takes rows of so many columns, as
    /// [`crate::table::insert_rows`] makes it.
    pub fn of_rows(
        sql: impl Into<Cow<'static, str>>,
        width: usize,
        rows: impl IntoIterator<Item = Value>,
    ) -> Self {
        let params = rows.into_iter().collect();
        Self { width: Some(width), ..Self::new(sql, params) }
    }

    /// One statement of PostgreSQL's for several that change rows, none of which sees what another
    /// one does: each would cost an answer of its own, for which somebody is woken.
    pub fn together(mut parts: Vec<Self>) -> Option<Self> {
        if parts.len() < 2 {
            return parts.pop();
        }
        let last = parts.len() - 1;
        let (mut texts, mut count) = (Vec::with_capacity(parts.len()), 0);
        for (position, part) in parts.iter().enumerate() {
            let sql = renumbered(&part.sql, count);
            let named = format!("part_{position} AS ({sql})");
            texts.push(if position == last { sql } else { named });
            count += part.width.unwrap_or(part.params.len());
        }
        let statement = texts.pop()?;
        let sql = format!("WITH {} {statement}", texts.join(", "));
        Some(Self { parts, ..Self::new(sql, Vec::new()) })
    }

    /// The parameters as PostgreSQL gets them.
    pub fn sent(&self) -> Vec<Param<'_>> {
        if !self.parts.is_empty() {
            return self.parts.iter().flat_map(Self::sent).collect();
        }
        match self.width {
            None => self.params.iter().map(Param::One).collect(),
            Some(width) => (0..width)
                .map(|column| Param::Column {
                    values: self.params.get(column..).unwrap_or_default(),
                    width,
                })
                .collect(),
        }
    }
}

/// A statement whose parameters are counted on from `count`.
fn renumbered(sql: &str, count: usize) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number = number.parse::<usize>().unwrap_or_default() + count;
        text.extend(["$", &number.to_string(), rest]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_go_together_with_all_their_parameters() {
        let first = Statement::of_rows(
            "INSERT INTO a (id, n) SELECT unnest($1::bigint[]), unnest($2::bigint[])",
            2,
            [1, 2, 3, 4].map(Value::Int),
        );
        let last = Statement::new(
            "UPDATE b SET m = $1 WHERE id = $2",
            vec![5, 6].into_iter().map(Value::Int).collect(),
        );
        let alone = Statement::together(vec![last.clone()]).expect("a statement");
        assert_eq!(alone.sql, last.sql);
        let both = Statement::together(vec![first, last]).expect("a statement");
        assert_eq!(
            both.sql,
            "WITH part_0 AS (INSERT INTO a (id, n) SELECT unnest($1::bigint[]), \
             unnest($2::bigint[])) UPDATE b SET m = $3 WHERE id = $4"
        );
        assert_eq!(both.sent().len(), 4);
        assert!(Statement::together(Vec::new()).is_none());
    }
}
