//! Long lists are walked by cursor while they grow, and read along indexes.

use std::collections::HashSet;

use jsonapi::Value;
use serde_json::json;
use testbed::{Kind, Row};

use crate::builders::app_with_contractor;
use crate::support::TestApp;

/// A server with accounts 1 and another, whose id is told, whose balances have crossed their
/// threshold 30 times each, at few different times.
async fn app() -> (TestApp, String) {
    let (app, contractor) = app_with_contractor().await;
    let account = |name| json!({"name": name, "balance-high-threshold": 3});
    app.account(&contractor, account("a")).await;
    let other = app.account(&contractor, account("b")).await;
    for number in 0..30 {
        let at = format!("2026-01-02T12:00:{:02}Z", number / 7);
        let by = if number % 2 == 0 { "4" } else { "-4" };
        for account in ["1", &other] {
            app.post_at(account, &[(&at, by)]).await;
        }
    }
    (app, other)
}

/// Ids of a whole list in the order that `query` asks for.
async fn whole(app: &TestApp, list: &str, query: &str) -> Vec<String> {
    app.ids(&format!("{list}?{query}page[size]=1000")).await
}

/// Follows a list's cursors from one of its ends, while both accounts move with every page.
/// Returns the ids as they came.
async fn walk(
    (app, other): (&TestApp, &str),
    list: &str,
    query: &str,
    forwards: bool,
) -> Vec<String> {
    let (end, link) = if forwards { ("after", "next") } else { ("before", "prev") };
    let mut next = Some(format!("{list}?{query}page[size]=7&page[{end}]="));
    let mut met = Vec::new();
    let mut pages = 0;
    while let Some(path) = next {
        let reply = app.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let page = reply.json();
        let records = page["data"].as_array().unwrap().iter();
        let mut ids: Vec<_> = records.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        if !forwards {
            ids.reverse();
        }
        met.extend(ids);
        let url = page["links"][link].as_str();
        next = url.map(|url| url.split_once("/api/rest/admin").unwrap().1.to_owned());
        let at = format!("2026-01-02T12:01:{pages:02}Z");
        for account in ["1", other] {
            app.post_at(account, &[(&at, "4"), (&at, "-4")]).await;
        }
        pages += 1;
        assert!(pages < 60, "{list}?{query} has no end");
    }
    met
}

#[tokio::test]
async fn a_walk_along_a_growing_list_meets_everything_once() {
    for (list, query) in [
        ("/journal-entries", ""),
        ("/journal-entries", "sort=-id&"),
        ("/journal-entries", "sort=created-at&"),
        ("/journal-entries", "sort=-created-at&"),
        ("/journal-entries", "sort=created-at,-id&"),
        ("/journal-entries", "filter[account.id]=OTHER&"),
        ("/journal-entries", "filter[account.id]=OTHER&sort=-created-at&"),
        ("/journal-entries", "filter[account.id]=1&sort=sequence&"),
        ("/journal-entries", "filter[account.id]=1&sort=-sequence&"),
        ("/journal-entries", "filter[kind]=correction&sort=-created-at&"),
        ("/events", ""),
        ("/events", "sort=-created-at&"),
        ("/events", "filter[account.id]=OTHER&sort=-id&"),
    ] {
        let (app, other) = app().await;
        let query = &query.replace("OTHER", &other);
        for forwards in [true, false] {
            let mut before = whole(&app, list, query).await;
            let met = walk((&app, &other), list, query, forwards).await;
            let after = whole(&app, list, query).await;
            if !forwards {
                before.reverse();
            }
            let once: HashSet<&String> = met.iter().collect();
            assert_eq!(once.len(), met.len(), "{list}?{query}: twice in {met:?}");
            let there: HashSet<&String> = before.iter().collect();
            let kept: Vec<&String> = met.iter().filter(|id| there.contains(id)).collect();
            assert!(kept.iter().copied().eq(&before), "{list}?{query}: {met:?}, not {before:?}");
            assert!(after.len() > before.len(), "{list}?{query} did not grow");
            assert!(met.iter().all(|id| after.contains(id)), "{list}?{query}");
        }
    }
}

#[tokio::test]
async fn the_total_of_a_walk_is_that_of_its_beginning() {
    let (app, _) = app().await;
    for query in ["", "filter[account.id]=1&"] {
        let list = format!("/journal-entries?{query}page[size]=10");
        let first = app.get(&format!("{list}&page[after]=")).await.json();
        let total = first["meta"]["total-count"].clone();
        app.post_at("1", &[("2026-01-02T13:00:00Z", "4")]).await;
        let next = first["links"]["next"].as_str().unwrap();
        let second = app.get(next.split_once("/api/rest/admin").unwrap().1).await.json();
        assert_eq!(second["meta"]["total-count"], total, "{query}");
        let anew = app.get(&format!("{list}&page[after]=")).await.json();
        assert_eq!(anew["meta"]["total-count"], total.as_u64().unwrap() + 1, "{query}");
    }
}

#[tokio::test]
async fn no_order_of_the_long_lists_needs_sorting() {
    let (app, _) = app().await;
    let session = app.database.session();
    let (explain, column) = match app.database.kind() {
        Kind::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
        Kind::Postgres => {
            // It would rather read a small table and sort it. Where there is no other way, it still
            // does. An incremental sort only puts neighbours right, as it comes to them.
            session.execute("SET enable_seqscan = off; SET enable_bitmapscan = off");
            session.execute("SET enable_sort = off");
            ("EXPLAIN (COSTS OFF)", "QUERY PLAN")
        }
    };
    let now = app.database.literal(&Value::Time(app.app.now()));
    for (table, rest) in [
        ("journal_entries", "ORDER BY id LIMIT 50"),
        ("journal_entries", "ORDER BY id DESC LIMIT 50"),
        ("journal_entries", "WHERE id > 1 ORDER BY id LIMIT 50"),
        ("journal_entries", "WHERE account_id = 1 ORDER BY sequence, id LIMIT 50"),
        ("journal_entries", "WHERE account_id = 1 ORDER BY sequence DESC, id DESC LIMIT 50"),
        (
            "journal_entries",
            "WHERE account_id = 1 AND (sequence, id) > (1, 1) ORDER BY sequence, id LIMIT 50",
        ),
        ("journal_entries", "ORDER BY created_at, id LIMIT 50"),
        ("journal_entries", "ORDER BY created_at DESC, id DESC LIMIT 50"),
        ("journal_entries", "WHERE (created_at, id) > ($at, 1) ORDER BY created_at, id LIMIT 50"),
        // The next entries of a statement.
        (
            "journal_entries",
            "WHERE account_id = 1 AND sequence > 1 AND sequence <= 1 ORDER BY sequence LIMIT 500",
        ),
        ("journal_entries", "WHERE account_id = 1 ORDER BY sequence DESC LIMIT 100"),
        // A slice of accounts that are verified.
        (
            "journal_entries",
            "WHERE account_id > 1 AND account_id <= 1 ORDER BY account_id, sequence",
        ),
        (
            "journal_closures",
            "WHERE account_id > 1 AND account_id <= 1 ORDER BY account_id, sequence",
        ),
        ("events", "ORDER BY id LIMIT 50"),
        ("events", "WHERE account_id = 1 ORDER BY id LIMIT 50"),
        ("events", "ORDER BY created_at DESC, id DESC LIMIT 50"),
        ("balance_notifications", "ORDER BY created_at, id LIMIT 50"),
        // What is forgotten.
        ("balance_notifications", "WHERE created_at < $at ORDER BY created_at LIMIT 200"),
        ("first_answers", "WHERE created_at < $at ORDER BY created_at LIMIT 200"),
    ] {
        let rest = rest.replace("$at", &now);
        let lines = session.rows(&format!("{explain} SELECT * FROM {table} {rest}"));
        let step = |line: &Row| line.get::<String>(column).trim_matches([' ', '-', '>']).to_owned();
        let plan: Vec<String> = lines.iter().map(step).collect();
        let sorts = |step: &String| step.contains("TEMP B-TREE") || step == "Sort";
        assert!(!plan.iter().any(sorts), "{table} {rest}: {plan:?}");
        let reads_all = |step: &String| step.starts_with("SCAN") || step.starts_with("Seq Scan");
        let may_read_all = !rest.contains("WHERE");
        assert!(may_read_all || !plan.iter().any(reads_all), "{table} {rest}: {plan:?}");
    }
}
