//! The dashboard: what needs somebody now, what money did, and how the server is.
//!
//! Sums over all rows come from what is known already ([`super::known`]); what is named is asked of
//! the API, by id. The figures are a part of the page of their own, which htmx fetches again.

use std::time::Duration;

use askama::Template;
use billing::overview::{Flow, Sum};
use decimal::Decimal;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::cells::{grouped, label, moment};
use super::known::{AT_LIMIT, Known, LIMIT_STATE, by_state};
use super::page::{Frame, html};
use super::pairs::query;
use super::refusal::Refusal;
use super::visit::{Page, Visit};
use crate::accounts::ACCOUNTS;
use crate::alerts::BALANCE_ALERTS;
use crate::http::{Looked, Recent, last_minute, looked};
use crate::journal::JOURNAL_ENTRIES;
use crate::notifications::BALANCE_NOTIFICATIONS;
use crate::outbox::{DELIVERIES, PENDING};
use crate::overview::{Day, ENTRIES_MAX, start_of};

/// Rows of a list on the dashboard.
const ROWS: &str = "8";
/// Size of the picture of days: bars stand on both sides of a line.
const PICTURE: (u64, u64) = (560, 120);
/// Size of the picture of seconds.
const SPARK: (u64, u64) = (240, 32);

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    frame: Frame,
    figures: Option<Figures>,
}

#[derive(Template)]
#[template(path = "figures.html")]
struct Fragment {
    figures: Option<Figures>,
}

/// Everything that changes.
struct Figures {
    as_of: String,
    /// What was too much to be added up.
    cut: Vec<String>,
    tiles: Vec<Tile>,
    alerts: Vec<Line>,
    raised: u64,
    /// `None` where the API does not tell.
    at_limit: Option<AtLimit>,
    crossings: Vec<Line>,
    days: Picture,
    movers: Vec<Mover>,
    moved_since: String,
    deliveries: Vec<Count>,
    server: Server,
}

/// One figure.
struct Tile {
    label: &'static str,
    value: String,
    note: String,
    url: String,
    /// A word of the style sheet.
    tone: &'static str,
}

impl Tile {
    /// A word of the style sheet: an exact sum may be long, and is not broken.
    fn size(&self) -> &'static str {
        match self.value.chars().count() {
            ..=11 => "",
            12..=15 => "long",
            _ => "longer",
        }
    }
}

/// Something about an account.
struct Line {
    account: String,
    url: String,
    what: String,
    what_url: String,
    at: String,
}

struct AtLimit {
    total: u64,
    url: String,
    accounts: Vec<(String, String, String, String)>,
}

/// Money by day.
struct Picture {
    width: u64,
    height: u64,
    line: u64,
    bars: Vec<Bar>,
    most: String,
}

struct Bar {
    x: u64,
    width: u64,
    came_y: u64,
    came_height: u64,
    went_y: u64,
    went_height: u64,
    is_whole: bool,
    date: String,
    short: String,
    came: String,
    went: String,
    net: String,
    entries: String,
    url: String,
}

struct Mover {
    account: String,
    url: String,
    came: String,
    went: String,
    balance: String,
}

struct Count {
    label: &'static str,
    value: String,
    url: String,
    tone: &'static str,
}

/// How this process is.
struct Server {
    spark: Vec<(u64, u64, u64)>,
    spark_width: u64,
    spark_height: u64,
    lines: Vec<(&'static str, String)>,
}

/// Answers the dashboard, or its figures alone.
///
/// # Errors
/// What the API refuses.
pub async fn dashboard(visit: &Visit) -> Page {
    let console = &visit.console;
    let known = console.keeper.look(&visit.visitor.caller).await;
    let figures = match known {
        Some(known) => Some(figures(visit, &known).await?),
        None => None,
    };
    if visit.is_fragment {
        return Ok(html(StatusCode::OK, &Fragment { figures })?);
    }
    Ok(html(StatusCode::OK, &Dashboard { frame: visit.frame("Dashboard"), figures })?)
}

async fn figures(visit: &Visit, known: &Known) -> Result<Figures, Refusal> {
    let overview = &known.overview;
    let recent = last_minute();
    let (alerts, crossings) = (alerts(visit, known).await?, crossings(visit).await?);
    let names = names(visit, known).await?;
    let movers = overview.movers.iter().map(|(account, flow)| mover(*account, flow, &names));
    Ok(Figures {
        as_of: time(overview.as_of),
        cut: cut(known),
        tiles: tiles(visit, known, &recent),
        alerts,
        raised: overview.raised,
        at_limit: known.at_limit.as_ref().map(at_limit),
        crossings,
        days: picture(&overview.days),
        movers: movers.collect(),
        moved_since: time(overview.moved_since),
        deliveries: deliveries(known),
        server: server(visit, &recent),
    })
}

fn time(at: Timestamp) -> String {
    moment(&at.to_string())
}

/// An instant of this day to the second, of any other to the minute.
fn short(at: &str, now: Timestamp) -> String {
    let (at, now) = (moment(at), time(now));
    match (at.get(..10), now.get(..10)) {
        (Some(day), Some(today)) if day == today => at[10..].trim_start().to_owned(),
        (Some(_), _) => at.get(..16).unwrap_or(&at).to_owned(),
        _ => at,
    }
}

fn money(amount: Option<Decimal>) -> String {
    amount.map_or_else(|| "too much to add up".to_owned(), |amount| grouped(&amount.to_string()))
}

fn whole(number: u64) -> String {
    grouped(&number.to_string())
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", whole(number), if number == 1 { one } else { many })
}

fn list(kind: &str, pairs: &[(&str, &str)]) -> String {
    format!("/{kind}?{}", query(pairs.iter().copied()))
}

fn rows(document: &Json) -> &[Json] {
    document["data"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// What is not in the figures, in sentences.
fn cut(known: &Known) -> Vec<String> {
    let mut said = Vec::new();
    if known.overview.is_cut {
        said.push("There are more accounts or alerts than are added up here.".to_owned());
    }
    if let Some(day) = known.overview.days.iter().rev().find(|day| day.read_from.is_some()) {
        let from = day.read_from.map(time).unwrap_or_default();
        let most = whole(ENTRIES_MAX);
        said.push(format!(
            "No more than {most} journal entries are read at a time, so the days before {from} are \
             not whole."
        ));
    }
    said
}

fn tiles(visit: &Visit, known: &Known, recent: &Recent) -> Vec<Tile> {
    let overview = &known.overview;
    let holdings = &overview.holdings;
    let mut tiles = vec![Tile {
        label: "Alerts raised",
        value: whole(overview.raised),
        note: "thresholds crossed, forecasts".to_owned(),
        url: list(BALANCE_ALERTS.kind, &[("filter[raised_eq]", "true")]),
        tone: if overview.raised > 0 { "bad" } else { "good" },
    }];
    if let Some(at_limit) = known.at_limit.as_ref().map(at_limit) {
        tiles.push(Tile {
            label: "At or near a limit",
            value: whole(at_limit.total),
            note: "accounts".to_owned(),
            url: at_limit.url,
            tone: if at_limit.total > 0 { "warn" } else { "good" },
        });
    }
    let of = |sum: Sum| money(sum.exact());
    let credit = holdings.credit.exact().map(|credit| -credit);
    tiles.push(Tile {
        label: "Owed",
        value: of(holdings.owed),
        note: format!(
            "{}, credit {}",
            counted(holdings.owing, "account", "accounts"),
            money(credit)
        ),
        url: list(ACCOUNTS.kind, &[("filter[balance_lt]", "0"), ("sort", "balance")]),
        tone: "",
    });
    tiles.push(Tile {
        label: "Held",
        value: of(holdings.held),
        note: counted(holdings.holding, "account", "accounts"),
        url: list(ACCOUNTS.kind, &[("filter[balance_gt]", "0"), ("sort", "-balance")]),
        tone: "",
    });
    let backlog = &overview.backlog;
    tiles.push(Tile {
        label: "Deliveries waiting",
        value: whole(backlog.waiting.unsigned_abs()),
        note: backlog.oldest.map_or_else(
            || "nothing waits".to_owned(),
            |oldest| format!("since {}", short(&oldest.to_string(), visit.console.app.now())),
        ),
        url: list(DELIVERIES.kind, &[("filter[state_eq]", PENDING), ("sort", "id")]),
        tone: if backlog.waiting > 0 { "warn" } else { "good" },
    });
    tiles.push(books(looked()));
    tiles.push(Tile {
        label: "Requests a second",
        value: per_second(recent),
        note: counted(
            visit.console.app.store.figures().writes_waiting as u64,
            "write waits",
            "writes wait",
        ),
        url: "/metrics".to_owned(),
        tone: if recent.failed > 0 { "bad" } else { "" },
    });
    tiles
}

fn books(looked: Looked) -> Tile {
    let (value, note, tone) = match looked {
        Looked { sampled: 0, .. } => {
            ("–".to_owned(), "this node has not looked at journals".to_owned(), "")
        }
        Looked { accounts: 0, sampled, .. } => {
            ("agree".to_owned(), format!("{} journals looked at", whole(sampled)), "good")
        }
        Looked { accounts, amount, .. } => {
            let disagree = if accounts == 1 { "account disagrees" } else { "accounts disagree" };
            let by = grouped(&amount.to_string());
            (whole(accounts), format!("{disagree}, by {by}: run tollkeeper verify"), "bad")
        }
    };
    let url = list(JOURNAL_ENTRIES.kind, &[("sort", "-id")]);
    Tile { label: "Books", value, note, url, tone }
}

async fn alerts(visit: &Visit, known: &Known) -> Result<Vec<Line>, Refusal> {
    let ids = &known.overview.raised_last;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let pairs = [("filter[id]", ids.as_str()), ("include", "account"), ("page[size]", ROWS)];
    let document = visit.get(&list(BALANCE_ALERTS.kind, &pairs)).await?.json();
    let changed_at = |alert: &&Json| text(&alert["attributes"]["changed-at"]).to_owned();
    let mut alerts: Vec<&Json> = rows(&document)
        .iter()
        // It may have been cleared since the figures were read.
        .filter(|alert| alert["attributes"]["raised"] == true)
        .collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(changed_at(alert)));
    let now = visit.console.app.now();
    Ok(alerts.into_iter().map(|alert| alert_line(alert, &document, now)).collect())
}

fn alert_line(alert: &Json, document: &Json, now: Timestamp) -> Line {
    let attributes = &alert["attributes"];
    let value = match (&attributes["value"], &attributes["percentage"]) {
        (Json::String(value), _) => grouped(value),
        (_, Json::String(percentage)) => format!("{} % of the credit line", grouped(percentage)),
        _ => String::new(),
    };
    let what = match text(&attributes["kind"]) {
        "low" => format!("below {value}"),
        "high" => format!("above {value}"),
        _ => format!("at the floor within {} h", attributes["within-hours"]),
    };
    let name = attributes["name"].as_str().filter(|name| !name.is_empty());
    let what = name.map_or_else(|| what.clone(), |name| format!("{name}: {what}"));
    let what_url = format!("/{}/{}", BALANCE_ALERTS.kind, text(&alert["id"]));
    of_account(alert, document, what, what_url, text(&attributes["changed-at"]), now)
}

/// A line about the account that a record belongs to.
fn of_account(
    record: &Json,
    document: &Json,
    what: String,
    what_url: String,
    at: &str,
    now: Timestamp,
) -> Line {
    let id = text(&record["relationships"]["account"]["data"]["id"]);
    let included = document["included"].as_array().map(Vec::as_slice).unwrap_or_default();
    let account = included.iter().find(|other| other["type"] == ACCOUNTS.kind && other["id"] == id);
    let name = account.and_then(label).unwrap_or_else(|| format!("#{id}"));
    Line { account: name, url: format!("/accounts/{id}"), what, what_url, at: short(at, now) }
}

async fn crossings(visit: &Visit) -> Result<Vec<Line>, Refusal> {
    let pairs = [("sort", "-id"), ("include", "account"), ("page[size]", ROWS)];
    let document = visit.get(&list(BALANCE_NOTIFICATIONS.kind, &pairs)).await?.json();
    let now = visit.console.app.now();
    Ok(rows(&document)
        .iter()
        .map(|row| {
            let attributes = &row["attributes"];
            let (low, high) = ("balance-low-threshold", "balance-high-threshold");
            let (words, threshold) = match attributes["event-id"].as_i64() {
                Some(1) => ("again above", low),
                Some(2) => ("again below", high),
                Some(3) => ("below", low),
                _ => ("above", high),
            };
            let balance = grouped(text(&attributes["balance"]));
            // A threshold that is gone cleared it.
            let what = match &attributes[threshold] {
                Json::String(threshold) => format!("{balance}, {words} {}", grouped(threshold)),
                _ => format!("{balance}, without a threshold"),
            };
            let what_url = format!("/{}/{}", BALANCE_NOTIFICATIONS.kind, text(&row["id"]));
            of_account(row, &document, what, what_url, text(&attributes["created-at"]), now)
        })
        .collect())
}

fn at_limit(document: &Json) -> AtLimit {
    let accounts = rows(document).iter().map(|account| {
        let id = text(&account["id"]);
        let attributes = &account["attributes"];
        (
            label(account).unwrap_or_else(|| format!("#{id}")),
            format!("/accounts/{id}"),
            text(&attributes[LIMIT_STATE]).replace('-', " "),
            grouped(text(&attributes["balance"])),
        )
    });
    AtLimit {
        total: document["meta"]["total-count"].as_u64().unwrap_or_default(),
        url: list(ACCOUNTS.kind, &[AT_LIMIT]),
        accounts: accounts.collect(),
    }
}

/// The accounts that moved most.
async fn names(visit: &Visit, known: &Known) -> Result<Json, Refusal> {
    let movers = &known.overview.movers;
    if movers.is_empty() {
        return Ok(Json::Null);
    }
    let ids = movers.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(",");
    let pairs =
        [("filter[id]", ids.as_str()), ("fields[accounts]", "name,balance"), ("page[size]", ROWS)];
    Ok(visit.get(&list(ACCOUNTS.kind, &pairs)).await?.json())
}

fn mover(account: i64, flow: &Flow, names: &Json) -> Mover {
    let id = account.to_string();
    let found = rows(names).iter().find(|record| record["id"] == id.as_str());
    Mover {
        // One that is gone has a journal still.
        account: found.and_then(label).unwrap_or_else(|| format!("#{id}, deleted")),
        url: list(JOURNAL_ENTRIES.kind, &[("filter[account.id]", &id), ("sort", "-id")]),
        came: money(flow.came.exact()),
        went: money(flow.went.exact()),
        balance: found
            .map_or_else(|| "–".to_owned(), |found| grouped(text(&found["attributes"]["balance"]))),
    }
}

/// Bars for what came, above a line, and for what went, below it, all in one measure.
fn picture(days: &[Day]) -> Picture {
    let units = |sum: Sum| sum.exact().map_or(u128::MAX, |sum| sum.units().unsigned_abs());
    let most = |sum: fn(&Flow) -> Sum| days.iter().map(|day| units(sum(&day.flow))).max();
    let came_most = most(|flow| flow.came).unwrap_or_default();
    let went_most = most(|flow| flow.went).unwrap_or_default();
    let (width, height) = PICTURE;
    let all = came_most.saturating_add(went_most).max(1);
    let scaled = |units: u128| match units {
        0 => 0,
        // What is there is seen.
        units => share(units, all, height).max(1),
    };
    let line = scaled(came_most).clamp(1, height - 1);
    let step = width / days.len().max(1) as u64;
    let bars = days.iter().zip(0_u64..).map(|(day, at)| {
        let came_height = scaled(units(day.flow.came)).min(line);
        let net = match (day.flow.came.exact(), day.flow.went.exact()) {
            (Some(came), Some(went)) => came.checked_add(went),
            _ => None,
        };
        Bar {
            x: at * step + step / 6,
            width: step - step / 3,
            came_y: line - came_height,
            came_height,
            went_y: line,
            went_height: scaled(units(day.flow.went)).min(height - line),
            is_whole: day.read_from.is_none(),
            date: day.date.to_string(),
            short: day.date.strftime("%d %b").to_string(),
            came: money(day.flow.came.exact()),
            went: money(day.flow.went.exact()),
            net: money(net),
            entries: whole(day.flow.entries),
            url: entries_of(day),
        }
    });
    let most = days.iter().filter_map(|day| day.flow.came.exact()).max();
    Picture { width, height, line, bars: bars.collect(), most: money(most) }
}

/// `units` of `all` on a scale of so many steps.
fn share(units: u128, all: u128, steps: u64) -> u64 {
    // Beyond a scale's precision; a product that would overflow is not needed.
    let shift = (u128::BITS - all.leading_zeros()).saturating_sub(64);
    let scaled = (units >> shift) * u128::from(steps) / (all >> shift).max(1);
    u64::try_from(scaled).unwrap_or(steps).min(steps)
}

fn entries_of(day: &Day) -> String {
    let next = day.date.tomorrow().unwrap_or(day.date);
    let (from, to) = (start_of(day.date).to_string(), start_of(next).to_string());
    let pairs =
        [("filter[created-at_gteq]", from.as_str()), ("filter[created-at_lt]", to.as_str())];
    list(JOURNAL_ENTRIES.kind, &pairs)
}

fn deliveries(known: &Known) -> Vec<Count> {
    let backlog = &known.overview.backlog;
    let waiting = Count {
        label: "waiting",
        value: whole(backlog.waiting.unsigned_abs()),
        url: list(DELIVERIES.kind, &[("filter[state_eq]", PENDING), ("sort", "id")]),
        tone: if backlog.waiting > 0 { "warn" } else { "" },
    };
    let by_state = known.deliveries.iter().map(|(state, count)| Count {
        label: state,
        value: count.map_or_else(|| "not counted in time".to_owned(), whole),
        url: by_state(state, known.counted_since),
        tone: if *state == "dead" && count.is_some_and(|count| count > 0) { "bad" } else { "" },
    });
    std::iter::once(waiting).chain(by_state).collect()
}

/// To a tenth.
fn per_second(recent: &Recent) -> String {
    let tenths = (recent.requests * 10).checked_div(recent.seconds.max(1)).unwrap_or_default();
    format!("{}.{}", whole(tenths / 10), tenths % 10)
}

fn server(visit: &Visit, recent: &Recent) -> Server {
    let most = recent.by_second.iter().copied().max().unwrap_or_default().max(1);
    let (width, height) = SPARK;
    let step = width / recent.by_second.len().max(1) as u64;
    let spark = recent.by_second.iter().zip(0..).filter(|(requests, _)| **requests > 0).map(
        |(requests, at)| {
            let tall = share(u128::from(*requests), u128::from(most), height).max(1);
            (at * step, height - tall, tall)
        },
    );
    let took = |time: Option<Duration>| time.map_or_else(|| "–".to_owned(), in_words);
    let lines = vec![
        ("Requests in the last minute", whole(recent.requests)),
        (
            "Most in a second",
            recent
                .by_second
                .iter()
                .max()
                .copied()
                .map_or_else(String::new, |most| whole(most.into())),
        ),
        ("Failed (5xx)", share_of(recent.failed, recent.requests)),
        ("Half answered within", took(recent.median)),
        ("99 % answered within", took(recent.slowest)),
        ("Writes waiting", whole(visit.console.app.store.figures().writes_waiting as u64)),
    ];
    Server { spark: spark.collect(), spark_width: width, spark_height: height, lines }
}

/// A number, and how much of all that is.
fn share_of(part: u64, all: u64) -> String {
    if part == 0 {
        return "0".to_owned();
    }
    let thousandths = (part * 1000).div_ceil(all.max(1));
    format!("{} ({}.{} %)", whole(part), thousandths / 10, thousandths % 10)
}

fn in_words(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion_however_large_the_sums() {
        assert_eq!(share(1, 3, 120), 40);
        assert_eq!(share(0, 1, 120), 0);
        assert_eq!(share(u128::MAX, u128::MAX, 120), 120);
        let most = Decimal::MAX.units().unsigned_abs();
        assert_eq!(share(most / 4, most, 120), 30);
    }

    #[test]
    fn times_and_shares_read_well() {
        assert_eq!(in_words(Duration::from_micros(812)), "812 µs");
        assert_eq!(in_words(Duration::from_micros(1_979)), "1.9 ms");
        assert_eq!(in_words(Duration::from_millis(2_340)), "2.3 s");
        assert_eq!(share_of(1, 3), "1 (33.4 %)");
        assert_eq!(share_of(0, 0), "0");
    }
}
