//! Rows on their way to the database, in few statements: at PostgreSQL each is a part of a
//! conversation, so there the rows of a table go together.

use jsonapi::{Record, Value};

use crate::session::Dialect;
use crate::statement::Statement;
use crate::table::{LIST_MEMBERS, Table, insert_rows};

/// Statements in the making.
#[derive(Debug)]
pub struct Writing<'a> {
    dialect: Dialect,
    inserts: Vec<Statement>,
    updates: Vec<Updates<'a>>,
    deletes: Vec<Statement>,
    /// Members that id lists gain.
    joined: Vec<Value>,
    /// Members that they lose.
    left: Vec<Statement>,
}

/// Rows of which the same columns change: of each these columns, then the id.
#[derive(Debug)]
struct Updates<'a> {
    table: &'a Table,
    columns: Vec<usize>,
    rows: Vec<Value>,
}

impl<'a> Writing<'a> {
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            inserts: Vec::new(),
            updates: Vec::new(),
            deletes: Vec::new(),
            joined: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Adds records to a table.
    pub fn insert(&mut self, table: &Table, records: impl ExactSizeIterator<Item = Record>) {
        let together = self.dialect == Dialect::Postgres && records.len() > 1;
        let mut rows = Vec::new();
        for record in records {
            self.follow(table, None, Some(&record));
            rows.extend(row(record));
            if !together {
                let row = std::mem::take(&mut rows);
                self.inserts.push(Statement::new(table.insert.clone(), row));
            }
        }
        if together {
            self.inserts.push(Statement::of_rows(table.insert_rows.clone(), table.width(), rows));
        }
    }

    /// Adds what no other statement sees the effect of.
    pub fn beside(&mut self, statement: Statement) {
        self.inserts.push(statement);
    }

    /// Changes a stored record into another, or removes it.
    pub fn change(&mut self, table: &'a Table, before: &Record, after: Option<&Record>) {
        self.follow(table, Some(before), after);
        let id = Value::Int(before.key());
        let Some(after) = after else {
            self.deletes.push(Statement::new(table.delete.clone(), vec![id]));
            return;
        };
        let (columns, values) = differing(before, after);
        if columns.is_empty() {
            return;
        }
        let same =
            |updates: &Updates<'_>| updates.table.name == table.name && updates.columns == columns;
        let at = self.updates.iter().position(same).unwrap_or_else(|| {
            self.updates.push(Updates { table, columns, rows: Vec::new() });
            self.updates.len() - 1
        });
        let rows = &mut self.updates[at].rows;
        rows.extend(values);
        rows.push(id);
    }

    /// Notes who is named in which id list.
    fn follow(&mut self, table: &Table, before: Option<&Record>, after: Option<&Record>) {
        let members = |record| table.members(record).collect::<Vec<_>>();
        let (old, new) = (before.map(members), after.map(members));
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        let Some(record) = before.or(after).map(Record::key) else { return };
        for (list, member) in new.iter().filter(|member| !old.contains(member)) {
            self.joined.extend([list.clone(), Value::Int(*member), Value::Int(record)]);
        }
        for (list, member) in old.iter().filter(|member| !new.contains(member)) {
            let sql = "DELETE FROM list_members \
                       WHERE list = $1 AND member_id = $2 AND record_id = $3";
            let params = vec![list.clone(), Value::Int(*member), Value::Int(record)];
            self.left.push(Statement::new(sql, params));
        }
    }

    /// The statements in an order that keeps foreign keys, if records were added parents first
    /// and changed parents first.
    pub fn finish(mut self) -> Vec<Statement> {
        let mut statements = self.inserts;
        let is_usual = self.updates.len() < 2;
        let mut updates = self.updates.into_iter().flat_map(|Updates { table, columns, rows }| {
            let width = 1 + columns.len();
            if self.dialect == Dialect::Postgres && rows.len() > width {
                vec![Statement::of_rows(table.update_rows(&columns), width, rows)]
            } else {
                let one = |row: &[Value]| Statement::new(table.update(&columns), row.to_vec());
                rows.chunks(width).map(one).collect()
            }
        });
        if self.dialect == Dialect::Postgres {
            // Of each statement, PostgreSQL keeps a plan: not of every mixture of updates.
            let together = if is_usual { updates.by_ref().collect() } else { Vec::new() };
            statements.extend(together);
            statements = Statement::together(statements).into_iter().collect();
        }
        statements.extend(updates);
        statements.append(&mut self.left);
        statements.extend(joined(self.dialect, self.joined));
        statements.extend(self.deletes.into_iter().rev());
        statements
    }
}

fn joined(dialect: Dialect, rows: Vec<Value>) -> Vec<Statement> {
    let width = LIST_MEMBERS.len();
    match dialect {
        _ if rows.is_empty() => Vec::new(),
        Dialect::Sqlite => {
            let sql = "INSERT INTO list_members (list, member_id, record_id) VALUES ($1, $2, $3) \
                       ON CONFLICT DO NOTHING";
            rows.chunks(width).map(|row| Statement::new(sql, row.to_vec())).collect()
        }
        Dialect::Postgres => {
            let insert = insert_rows("list_members", &LIST_MEMBERS);
            let sql = format!("{insert} ON CONFLICT DO NOTHING");
            vec![Statement::of_rows(sql, width, rows)]
        }
    }
}

/// The columns, counted from the id, in which a record differs from what it was, and their values.
pub fn differing(before: &Record, after: &Record) -> (Vec<usize>, Vec<Value>) {
    let (before, after) = (row(before.clone()), row(after.clone()));
    let differ = before.zip(after).enumerate().filter(|(_, (before, after))| before != after);
    differ.map(|(column, (_, after))| (column, after)).unzip()
}

/// Id, values and links, in the order of a table's columns.
fn row(record: Record) -> impl Iterator<Item = Value> {
    let id = Value::Int(record.key());
    let links = record.links.into_iter().map(|link| link.map_or(Value::Null, Value::Int));
    std::iter::once(id).chain(record.values).chain(links)
}
