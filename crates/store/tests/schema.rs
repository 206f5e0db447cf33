//! The two databases have one schema: the same tables, columns in the same order, keys, links and
//! indexes, each in its own types. Needs both databases, whatever the run is for.

use std::collections::{BTreeMap, BTreeSet};

use jsonapi::Api;
use store::Store;
use testbed::{Kind, Row, Session, TestDatabase};

/// Only tables matter here, and those do not depend on what the API shows.
const API: Api = Api { prefix: "", resources: &[] };
/// What only PostgreSQL has: SQLite counts its migrations in the file's head.
const VERSIONS: &str = "schema_versions";

/// A table without its types.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    columns: Vec<Column>,
    primary_key: Vec<String>,
    /// Column, table and column it points at.
    links: BTreeSet<(String, String, String)>,
    indexes: BTreeSet<Index>,
}

#[derive(Debug, PartialEq, Eq)]
struct Column {
    name: String,
    nullable: bool,
    has_default: bool,
}

/// An index other than that of the primary key. What a constraint of the table makes has no name of
/// ours.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Index {
    name: Option<String>,
    columns: Vec<String>,
    unique: bool,
    condition: Option<String>,
}

/// Tables by name, and the type of each column.
struct Schema {
    tables: BTreeMap<String, Table>,
    types: BTreeMap<(String, String), String>,
}

/// A fresh database that the store has made.
async fn opened(kind: Kind) -> TestDatabase {
    let database = TestDatabase::of(kind);
    drop(Store::open(&database.url(), API).await.expect("a database"));
    database
}

fn texts(rows: &[Row]) -> Vec<String> {
    rows.iter().map(Row::first).collect()
}

fn sqlite(session: &Session) -> Schema {
    let mut schema = Schema { tables: BTreeMap::new(), types: BTreeMap::new() };
    let tables = session.rows(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    );
    for table in texts(&tables) {
        let rows = session.rows(&format!(
            "SELECT name, type, \"notnull\" = 0 AND pk = 0 AS nullable, pk, \
             dflt_value IS NOT NULL AS has_default FROM pragma_table_info('{table}') ORDER BY cid"
        ));
        for row in &rows {
            schema.types.insert((table.clone(), row.get("name")), row.get("type"));
        }
        let mut primary_key: Vec<(i64, String)> =
            rows.iter().map(|row| (row.get("pk"), row.get("name"))).collect();
        primary_key.retain(|(place, _)| *place > 0);
        primary_key.sort();
        let links = session.rows(&format!(
            "SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list('{table}')"
        ));
        let indexes = session.rows(&format!(
            "SELECT list.name, \"unique\", origin, sql FROM pragma_index_list('{table}') AS list \
             JOIN sqlite_schema AS schema ON schema.name = list.name WHERE origin <> 'pk'"
        ));
        let index = |row: &Row| {
            let name: String = row.get("name");
            let columns = format!("SELECT name FROM pragma_index_info('{name}') ORDER BY seqno");
            let sql = row.get::<Option<String>>("sql").unwrap_or_default();
            Index {
                columns: texts(&session.rows(&columns)),
                name: (row.get::<String>("origin") == "c").then_some(name),
                unique: row.get("unique"),
                condition: sql.split_once("WHERE ").map(|(_, condition)| condition.to_owned()),
            }
        };
        let found = Table {
            columns: rows.iter().map(column).collect(),
            primary_key: primary_key.into_iter().map(|(_, name)| name).collect(),
            links: links.iter().map(link).collect(),
            indexes: indexes.iter().map(index).collect(),
        };
        schema.tables.insert(table, found);
    }
    schema
}

fn postgres(session: &Session) -> Schema {
    let mut schema = Schema { tables: BTreeMap::new(), types: BTreeMap::new() };
    let tables = session
        .rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'");
    for table in texts(&tables) {
        let of_table = format!("'{table}'::regclass");
        // An identity is no default that rows could be left to elsewhere.
        let rows = session.rows(&format!(
            "SELECT attname AS name, NOT attnotnull AS nullable, atthasdef AS has_default, \
             format_type(atttypid, atttypmod) || coalesce(' COLLATE ' || quote_ident(collname), '') \
             || CASE attidentity WHEN 'd' THEN ' IDENTITY' ELSE '' END AS type \
             FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation \
             WHERE attrelid = {of_table} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ));
        for row in &rows {
            schema.types.insert((table.clone(), row.get("name")), row.get("type"));
        }
        let links = session.rows(&format!(
            "SELECT here.attname AS \"from\", confrelid::regclass AS \"table\", \
             there.attname AS \"to\" FROM pg_constraint \
             JOIN pg_attribute AS here ON here.attrelid = conrelid AND here.attnum = conkey[1] \
             JOIN pg_attribute AS there ON there.attrelid = confrelid AND there.attnum = confkey[1] \
             WHERE contype = 'f' AND conrelid = {of_table}"
        ));
        let indexes = session.rows(&format!(
            "SELECT indexrelid::regclass AS name, indisunique AS \"unique\", indisprimary AS primary, \
             EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid) \
             AS made_by_constraint, pg_get_expr(indpred, indrelid) AS condition, \
             (SELECT string_agg(attname, ' ' ORDER BY place) \
             FROM unnest(indkey) WITH ORDINALITY AS key (number, place) \
             JOIN pg_attribute ON attrelid = indrelid AND attnum = number) AS columns \
             FROM pg_index WHERE indrelid = {of_table}"
        ));
        let columns_of = |row: &Row| -> Vec<String> {
            row.get::<String>("columns").split(' ').map(str::to_owned).collect()
        };
        let (primary, others): (Vec<&Row>, Vec<&Row>) =
            indexes.iter().partition(|row| row.get("primary"));
        let index = |row: &&Row| {
            let name: String = row.get("name");
            let (mut columns, unique): (_, bool) = (columns_of(row), row.get("unique"));
            if !unique {
                // What SQLite does by itself: rows that are alike come in the order of their keys.
                let key = primary.first().and_then(|row| columns_of(row).pop());
                assert_eq!(columns.pop(), key, "the end of {name}");
            }
            let condition: Option<String> = row.get("condition");
            let bare = |text: String| text.trim_matches(['(', ')']).replace("::text", "");
            Index {
                columns,
                name: (!row.get::<bool>("made_by_constraint")).then_some(name),
                unique,
                condition: condition.map(bare),
            }
        };
        let found = Table {
            columns: rows.iter().map(column).collect(),
            primary_key: primary.first().map_or_else(Vec::new, |row| columns_of(row)),
            links: links.iter().map(link).collect(),
            indexes: others.iter().map(index).collect(),
        };
        schema.tables.insert(table, found);
    }
    schema
}

fn column(row: &Row) -> Column {
    Column {
        name: row.get("name"),
        nullable: row.get("nullable"),
        has_default: row.get("has_default"),
    }
}

fn link(row: &Row) -> (String, String, String) {
    (row.get("from"), row.get("table"), row.get("to"))
}

/// What PostgreSQL may have where SQLite has this type.
fn counterparts(sqlite: &str) -> &'static [&'static str] {
    match sqlite {
        "INTEGER" => &["bigint", "bigint IDENTITY", "boolean", "timestamp with time zone"],
        // Ordered by bytes, as in SQLite, whatever the locale of the database.
        "TEXT" => &["text COLLATE \"C\""],
        "BLOB" => &["numeric(39,12)", "uuid", "bigint[]"],
        _ => &[],
    }
}

#[tokio::test]
async fn both_databases_have_one_schema() {
    let (lite, server) = (opened(Kind::Sqlite).await, opened(Kind::Postgres).await);
    let (lite, mut server) = (sqlite(&lite.session()), postgres(&server.session()));
    let versions = server.tables.remove(VERSIONS).expect("the count of migrations");
    assert_eq!(versions.primary_key, ["version"]);
    server.types.retain(|(table, _), _| table != VERSIONS);

    let names = |schema: &Schema| schema.tables.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&lite), names(&server));
    assert!(lite.tables.len() > 10 && lite.tables["accounts"].indexes.len() > 3, "they were read");
    for (name, table) in &lite.tables {
        assert_eq!(table, &server.tables[name], "{name}: SQLite, and PostgreSQL");
    }
    for (place, kind) in &lite.types {
        let found = server.types[place].as_str();
        assert!(counterparts(kind).contains(&found), "{place:?}: {kind}, and {found}");
        let is_id = place.1 == "id";
        assert_eq!(found.ends_with("IDENTITY"), is_id, "{place:?}: {found}");
    }
}
