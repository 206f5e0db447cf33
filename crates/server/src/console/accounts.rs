//! The table of accounts: search as one types, states, and balances drawn. It takes as long with a
//! million accounts as with a thousand: what no index answers is asked of the newest accounts only,
//! and the page says so.

use askama::Template;
use hyper::StatusCode;
use serde_json::Value as Json;
use store::{Among, Meant};

use super::bar::Bar;
use super::list::{Filters, SEARCH, Table, carried, filters, table, with_filter};
use super::page::{Frame, html, see_other};
use super::pairs::query;
use super::refusal::Refusal;
use super::visit::{Page, Visit};
use crate::accounts::ACCOUNTS;
use crate::contractors::CONTRACTORS;

/// So many accounts are looked at one by one; more are too many for somebody who waits.
const NEWEST: u32 = 20_000;
/// What the bar shows.
const DRAWN: [&str; 5] =
    ["balance", "min-balance", "max-balance", "balance-low-threshold", "balance-high-threshold"];
/// Columns, unless others are chosen.
const COLUMNS: [&str; 6] =
    ["name", "balance", "min-balance", "max-balance", "external-id", "contractor"];
/// Filters that an index answers.
const QUICK_FILTERS: [&str; 11] = [
    "limit-state_eq",
    "limit-state_in",
    "threshold-state_eq",
    "threshold-state_in",
    "contractor.id",
    "invoice-template.id",
    "name",
    "name_eq",
    "external-id_eq",
    "uuid_eq",
    "name_in",
];
/// Orders that an index answers.
const QUICK_ORDERS: [&str; 4] = ["id", "-id", "name", "-name"];
/// States that a click asks for: what they are called, the filter, its value.
const STATES: [(&str, &str, &str); 6] = [
    ("All", "", ""),
    ("Blocked", "filter[limit-state_eq]", "blocked"),
    ("Near the floor", "filter[limit-state_eq]", "near-floor"),
    ("Near the ceiling", "filter[limit-state_in]", "near-ceiling,at-ceiling"),
    ("Below a threshold", "filter[threshold-state_eq]", "1"),
    ("Above a threshold", "filter[threshold-state_eq]", "2"),
];

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    frame: Frame,
    meaning: &'static str,
    search: String,
    states: Vec<State>,
    filters: Filters,
    kept: Vec<(String, String)>,
    table: Table,
    bars: Vec<Bar>,
    bound: String,
}

#[derive(Template)]
#[template(path = "accounts_table.html")]
struct Part {
    table: Table,
    bars: Vec<Bar>,
    bound: String,
    csrf: String,
}

/// A state that a click asks for.
struct State {
    label: &'static str,
    url: String,
    is_chosen: bool,
}

/// Answers the table, or the part of it that a search changes.
///
/// # Errors
/// What the API refuses.
pub async fn list(visit: &Visit) -> Page {
    if let Some(target) = with_filter(visit) {
        return Ok(see_other(&target));
    }
    let (among, bound) = among(visit).await?;
    let (mut table, document) = table(visit, &ACCOUNTS, among.clone(), &DRAWN, &COLUMNS).await?;
    if table.pager.total > u64::from(NEWEST) && among.is_some() {
        table.pager.is_more = true;
        table.pager.total = u64::from(NEWEST);
    }
    let records = document["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bars = records.iter().map(|record: &Json| Bar::of(&record["attributes"])).collect();
    if visit.is_fragment {
        let csrf = visit.visitor.csrf.clone();
        return Ok(html(StatusCode::OK, &Part { table, bars, bound, csrf })?);
    }
    let page = Accounts {
        frame: visit.frame("Accounts"),
        meaning: ACCOUNTS.meaning,
        search: visit.param(SEARCH).unwrap_or_default().to_owned(),
        states: states(visit),
        filters: filters(visit, &ACCOUNTS),
        kept: carried(visit),
        table,
        bars,
        bound,
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// Which accounts are looked at, and what the page says of it.
async fn among(visit: &Visit) -> Result<(Option<Among>, String), Refusal> {
    let total = visit.get("/accounts?page[size]=1&fields[accounts]=name").await?.json();
    let total = total["meta"]["total-count"].as_u64().unwrap_or_default();
    let is_large = total > u64::from(NEWEST);
    let typed = visit.param(SEARCH).unwrap_or_default().trim();
    if !typed.is_empty() {
        let meant = Meant {
            text: typed.to_owned(),
            name: "name",
            number: "external-id",
            owner: ("contractor", &CONTRACTORS, "name"),
            newest: NEWEST,
        };
        let bound = format!(
            "Found by id, external id, contractor and the beginning of names; within names, among \
             the newest {NEWEST} of {total}. Capital letters count beyond these."
        );
        return Ok((Some(Among::Meant(meant)), if is_large { bound } else { String::new() }));
    }
    let is_quick = visit.query.iter().all(|(key, value)| match key.strip_prefix("filter[") {
        Some(name) => QUICK_FILTERS.contains(&name.trim_end_matches(']')),
        None => key != "sort" || QUICK_ORDERS.contains(&value.as_str()),
    });
    if is_large && !is_quick {
        let bound = format!(
            "Of {total} accounts, this filter or order looks at the newest {NEWEST}. The CSV file \
             has all that the filters leave."
        );
        return Ok((Some(Among::Newest(NEWEST)), bound));
    }
    if is_large && visit.query.iter().any(|(key, _)| key.starts_with("filter[")) {
        return Ok((Some(Among::Counted(NEWEST)), String::new()));
    }
    Ok((None, String::new()))
}

fn states(visit: &Visit) -> Vec<State> {
    let is_state = |key: &str| key.contains("limit-state") || key.contains("threshold-state");
    let others: Vec<(&str, &str)> = visit
        .query
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| !is_state(key) && *key != "page[number]")
        .collect();
    let asks = visit.query.iter().any(|(key, _)| is_state(key));
    STATES
        .iter()
        .map(|(label, filter, value)| {
            let mut pairs = others.clone();
            if !filter.is_empty() {
                pairs.push((filter, value));
            }
            let query = query(pairs);
            State {
                label,
                url: if query.is_empty() {
                    visit.path.clone()
                } else {
                    format!("{}?{query}", visit.path)
                },
                is_chosen: if filter.is_empty() {
                    !asks
                } else {
                    visit.param(filter) == Some(value)
                },
            }
        })
        .collect()
}
