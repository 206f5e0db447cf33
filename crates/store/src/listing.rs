//! Lists and single records, with what they include, from one snapshot.

use std::collections::{HashMap, HashSet};

use futures_util::try_join;
use jsonapi::{
    Filter, Include, Included, Listing, Page, Record, Resource, Sort, Target, Value, Walk,
};

use crate::among::Among;
use crate::condition::Condition;
use crate::error::StoreError;
use crate::session::{Dialect, Session};
use crate::table::{Table, Tables};
use crate::tx::Tx;

/// What to list.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The resource.
    pub resource: &'static Resource,
    /// Which records are looked at; all, unless there is something here.
    pub among: Option<Among>,
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// The order.
    pub sort: Vec<Sort>,
    /// The page; of a walk, only its size counts.
    pub page: Page,
    /// Where the page lies, when it is asked for by cursor.
    pub walk: Option<Walk>,
    /// Relationships to include.
    pub include: Include,
}

impl Reading {
    /// Whether it is a bounded walk along the primary key: quick on any size of table.
    pub(crate) fn is_short(&self) -> bool {
        const ROWS_MAX: u64 = 10_000;
        let by_id = self.sort.iter().all(|sort| sort.target == Target::Id);
        by_id
            && self.among.is_none()
            && self.filters.is_empty()
            && self.page.number.saturating_mul(self.page.size) < ROWS_MAX
    }
}

/// Reads one page. The session is in a transaction that reads one state.
pub async fn list(
    session: &Session,
    tables: &Tables,
    reading: &Reading,
) -> Result<Listing, StoreError> {
    let table = tables.of(reading.resource);
    let mut condition = Condition::of(session.dialect(), table, &reading.filters);
    if let Some(among) = &reading.among {
        among.narrow(&mut condition, tables, reading.resource);
    }
    let (total, (records, goes_on)) = try_join!(
        total(session, table, reading, &condition),
        page(session, table, reading, condition.clone())
    )?;
    let included = include(session, tables, reading.resource, &records, &reading.include).await?;
    Ok(Listing { records, total, goes_on, included })
}

/// Reads one record that clients may see, with what it includes: then the session is in a
/// transaction that reads one state.
pub async fn show(
    session: &Session,
    tables: &Tables,
    resource: &'static Resource,
    id: i64,
    tree: &Include,
) -> Result<Option<(Record, Included)>, StoreError> {
    let table = tables.of(resource);
    let params = [Value::Int(id)];
    let record = session.read_one(&table.shown_one, &params, |row| table.record(row)).await?;
    let Some(record) = record.filter(|record| resource.shows(record)) else {
        return Ok(None);
    };
    let included = include(session, tables, resource, std::slice::from_ref(&record), tree).await?;
    Ok(Some((record, included)))
}

/// All records that clients may see are counted as they come and go; only filters make a query
/// count for itself, and a walk counts when it begins.
async fn total(
    session: &Session,
    table: &Table,
    reading: &Reading,
    condition: &Condition,
) -> Result<u64, StoreError> {
    if let Some(cursor) = reading.walk.as_ref().and_then(|walk| walk.from.as_ref()) {
        return Ok(cursor.total);
    }
    if matches!(reading.among, Some(Among::After(_))) {
        return Ok(0);
    }
    let total = if reading.filters.is_empty() && reading.among.is_none() {
        let sql = "SELECT CAST(sum(total) AS BIGINT) FROM totals WHERE kind = $1";
        let params = [Value::text(reading.resource.kind)];
        session.read_one(sql, &params, |row| row.optional_int(0)).await?.flatten()
    } else {
        let sql = format!("SELECT count(*) FROM {}{}", table.name, condition.sql());
        session.read_one(&sql, &condition.params, |row| row.optional_int(0)).await?.flatten()
    };
    Ok(total.map_or(0, |total| u64::try_from(total).unwrap_or_default()))
}

/// The page's records, and whether a walk goes on behind them.
async fn page(
    session: &Session,
    table: &Table,
    reading: &Reading,
    mut condition: Condition,
) -> Result<(Vec<Record>, bool), StoreError> {
    let sql = page_sql(table, reading, &mut condition);
    let mut records = read_all(session, table, &sql, &condition.params).await?;
    let Some(walk) = &reading.walk else { return Ok((records, false)) };
    let size = usize::try_from(reading.page.size).unwrap_or(usize::MAX);
    let goes_on = records.len() > size;
    records.truncate(size);
    if walk.backwards {
        records.reverse();
    }
    Ok((records, goes_on))
}

async fn read_all(
    session: &Session,
    table: &Table,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    session
        .read(sql, params, |row| {
            records.push(table.record(row)?);
            Ok(())
        })
        .await?;
    Ok(records)
}

/// The statement that reads a page. A walk reads one row more, to know whether it goes on, and
/// backwards in the opposite order.
fn page_sql(table: &Table, reading: &Reading, condition: &mut Condition) -> String {
    let backwards = reading.walk.as_ref().is_some_and(|walk| walk.backwards);
    let order = reading.sort.iter().map(|sort| order_by(table, *sort, backwards));
    let order = order.collect::<Vec<_>>().join(", ");
    let Page { number, size } = reading.page;
    let whole = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    let mut limit = String::new();
    if let Some(walk) = &reading.walk {
        condition.pass(table, &reading.sort, walk);
        limit = format!(" LIMIT {}", condition.bind(whole(size + 1)));
    } else if reading.resource.paged {
        let size_marker = condition.bind(whole(size));
        let offset = condition.bind(whole((number - 1).saturating_mul(size)));
        limit = format!(" LIMIT {size_marker} OFFSET {offset}");
    }
    format!("{}{} ORDER BY {order}{limit}", table.shown, condition.sql())
}

/// Rows without a value come last when ascending, first when descending. Where there are none,
/// that is left unsaid: an index of several columns does not serve an order that says it.
fn order_by(table: &Table, sort: Sort, backwards: bool) -> String {
    let column = table.column(sort.target);
    let descending = sort.descending != backwards;
    let (direction, nulls) =
        if descending { ("DESC", " NULLS FIRST") } else { ("ASC", " NULLS LAST") };
    let nulls = if table.resource.always_set(sort.target) { "" } else { nulls };
    format!("{column} {direction}{nulls}")
}

/// A record's type and key.
type Key = (&'static str, i64);
type Loaded = HashMap<Key, Record>;

impl Tx {
    /// What `record` includes, as this transaction sees it.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn included(
        &mut self,
        resource: &'static Resource,
        record: &Record,
        tree: &Include,
    ) -> Result<Included, StoreError> {
        if tree.is_empty() {
            return Ok(Included::new());
        }
        self.flush().await?;
        include(&self.session, &self.tables, resource, std::slice::from_ref(record), tree).await
    }
}

/// Loads what the tree asks for: one query per relationship and level, whatever the page size.
async fn include(
    session: &Session,
    tables: &Tables,
    resource: &'static Resource,
    records: &[Record],
    tree: &Include,
) -> Result<Included, StoreError> {
    if tree.is_empty() {
        return Ok(Included::new());
    }
    let loaded = load(session, tables, resource, records, tree).await?;
    let mut met: HashSet<Key> =
        records.iter().map(|record| (resource.kind, record.key())).collect();
    let mut order = Vec::new();
    for record in records {
        walk(tables, resource, record, tree, &loaded, &mut |key| {
            if met.insert(key) {
                order.push(key);
            }
        });
    }
    let mut loaded = loaded;
    let mut included = Included::new();
    for key @ (kind, _) in order {
        let Some(record) = loaded.remove(&key) else { continue };
        match included.iter_mut().find(|(resource, _)| resource.kind == kind) {
            Some((_, group)) => group.push(record),
            None => included.push((tables.named(kind).resource, vec![record])),
        }
    }
    Ok(included)
}

async fn load(
    session: &Session,
    tables: &Tables,
    resource: &'static Resource,
    records: &[Record],
    tree: &Include,
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::new();
    // Branches to follow yet, and the records they begin at.
    let mut open = vec![(resource, records.to_vec(), tree)];
    while let Some((resource, records, tree)) = open.pop() {
        for (position, below) in &tree.branches {
            let kind = resource.relationships[*position].kind;
            let mut ids: Vec<i64> =
                records.iter().filter_map(|record| record.links[*position]).collect();
            ids.sort_unstable();
            ids.dedup();
            let table = tables.named(kind);
            let found = find_many(session, table, ids).await?;
            if !below.is_empty() {
                open.push((table.resource, found.clone(), below));
            }
            loaded.extend(found.into_iter().map(|record| ((kind, record.key()), record)));
        }
    }
    Ok(loaded)
}

async fn find_many(
    session: &Session,
    table: &Table,
    ids: Vec<i64>,
) -> Result<Vec<Record>, StoreError> {
    let (among, ids) = match session.dialect() {
        Dialect::Sqlite => {
            let listed: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let listed = Value::text(format!("[{}]", listed.join(",")));
            ("IN (SELECT value FROM json_each($1))", listed)
        }
        Dialect::Postgres => ("= ANY($1)", Value::Ids(ids)),
    };
    let sql = format!("{} WHERE id {among}", table.shown);
    read_all(session, table, &sql, &[ids]).await
}

/// Lists included records in the order of first meeting, depth first.
fn walk(
    tables: &Tables,
    resource: &'static Resource,
    record: &Record,
    tree: &Include,
    loaded: &Loaded,
    meet: &mut impl FnMut(Key),
) {
    for (position, below) in &tree.branches {
        let kind = resource.relationships[*position].kind;
        let Some(key) = record.links[*position].map(|id| (kind, id)) else { continue };
        let Some(found) = loaded.get(&key) else { continue };
        meet(key);
        walk(tables, tables.named(kind).resource, found, below, loaded, meet);
    }
}

#[cfg(test)]
mod tests {
    use jsonapi::{
        Api, Cursor, Params, Query, Scope, Value, Verbs, enumeration, integer, timestamp, to_one,
    };
    use rusqlite::Connection;
    use rusqlite::config::DbConfig;

    use super::*;

    static ENTRIES: Resource = Resource {
        kind: "entries",
        attributes: &[
            integer("sequence", i64::MIN, i64::MAX, "").not_null(),
            timestamp("created-at", "").not_null(),
            timestamp("settled-at", ""),
            enumeration("state", &["new", "old"], "").filterable(),
        ],
        relationships: &[to_one("account", "entries").required().as_key()],
        verbs: Verbs::READ,
        cursors: true,
        ..Resource::PLAIN
    };
    static API: Api = Api { prefix: "", resources: &[&ENTRIES] };
    const SCHEMA: &str = "
        CREATE TABLE entries (
          id INTEGER PRIMARY KEY AUTOINCREMENT,
          sequence INTEGER NOT NULL,
          created_at INTEGER NOT NULL,
          settled_at INTEGER,
          state TEXT,
          account_id INTEGER NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX by_sequence ON entries (account_id, sequence);
        CREATE INDEX by_account ON entries (account_id);
        CREATE INDEX by_time ON entries (created_at);
        CREATE INDEX by_settlement ON entries (settled_at);
        CREATE INDEX by_state ON entries (state) WHERE state IS NOT NULL;";

    /// How SQLite reads the page: the first one, or the one after or before some record.
    fn plan(query: &str, backwards: Option<bool>) -> String {
        let connection = Connection::open_in_memory().unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let params = Params::parse(query).unwrap();
        let query = Query::parse(&API, &ENTRIES, &params, Scope::List).unwrap();
        let keys = vec![Value::Int(1); query.sort.len()];
        let reading = Reading {
            among: None,
            resource: &ENTRIES,
            filters: query.filters().unwrap(),
            sort: query.sort,
            page: query.page,
            walk: backwards
                .map(|backwards| Walk { backwards, from: Some(Cursor { total: 1, keys }) }),
            include: query.include,
        };
        let tables = Tables::new(&API);
        let table = tables.of(&ENTRIES);
        let mut condition = Condition::of(Dialect::Sqlite, table, &reading.filters);
        let sql = page_sql(table, &reading, &mut condition);
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines =
            statement.query_map(crate::sqlite::column::params(&condition.params), |row| row.get(3));
        lines.unwrap().collect::<Result<Vec<String>, _>>().unwrap().join("; ")
    }

    #[test]
    fn a_numbered_page_of_an_indexed_order_needs_no_sorting() {
        for (query, expected) in [
            ("sort=id", "SCAN entries"),
            ("sort=created-at", "SCAN entries USING INDEX by_time"),
            ("sort=-settled-at", "SCAN entries USING INDEX by_settlement"),
            ("sort=account-id,sequence", "SCAN entries USING INDEX by_sequence"),
            (
                "sort=-sequence&filter[account-id-eq]=1",
                "SEARCH entries USING INDEX by_sequence (account_id=?)",
            ),
            ("filter[account-id-eq]=1", "SEARCH entries USING INDEX by_account (account_id=?)"),
            ("filter[state-eq]=new", "SEARCH entries USING INDEX by_state (state=?)"),
        ] {
            assert_eq!(plan(query, None), expected, "{query}");
        }
    }

    #[test]
    fn an_index_of_what_is_not_null_serves_every_list_of_values() {
        let sorted = "SEARCH entries USING INDEX by_state (state=?); USE TEMP B-TREE FOR ORDER BY";
        assert_eq!(plan("filter[state-in]=new,old", None), sorted);
    }

    #[test]
    fn a_cursor_leads_into_the_index_of_its_order() {
        for (query, backwards, expected) in [
            ("", false, "USING INTEGER PRIMARY KEY (rowid>?)"),
            ("", true, "USING INTEGER PRIMARY KEY (rowid<?)"),
            ("sort=created-at", false, "USING INDEX by_time (created_at>?)"),
            ("sort=-created-at", false, "USING INDEX by_time (created_at<?)"),
            ("sort=-created-at", true, "USING INDEX by_time (created_at>?)"),
            (
                "sort=sequence&filter[account-id-eq]=1",
                false,
                "USING INDEX by_sequence (account_id=? AND sequence>?)",
            ),
            (
                "sort=sequence&filter[account-id-eq]=1",
                true,
                "USING INDEX by_sequence (account_id=? AND sequence<?)",
            ),
            ("filter[account-id-eq]=1", false, "USING INDEX by_account (account_id=? AND rowid>?)"),
            (
                "sort=account-id,sequence",
                false,
                "USING INDEX by_sequence ((account_id,sequence)>(?,?))",
            ),
            // Directions differ: only rows of one account are sorted at a time.
            (
                "sort=account-id,-sequence",
                false,
                "USING INDEX by_account (account_id>?); USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY",
            ),
        ] {
            assert_eq!(
                plan(query, Some(backwards)),
                format!("SEARCH entries {expected}"),
                "{query}"
            );
        }
    }
}
