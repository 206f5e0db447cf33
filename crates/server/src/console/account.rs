//! The page of an account: how its balance stands and moved, and everything that belongs to it.

use askama::Template;
use decimal::Decimal;
use hyper::header::HeaderName;
use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::assets;
use super::bar::Bar;
use super::cells::{Cell, Member, grouped, title};
use super::form::next_key;
use super::page::{Frame, heading, html, see_other, served};
use super::pairs::query;
use super::refusal::Refusal;
use super::show::{Change, Line, changes, lines, whole};
use super::visit::{Page, Visit, random_key};
use crate::accounts::ACCOUNTS;
use crate::inside::Answer;
use crate::reply::Reply;

/// Entries that a chart shows one by one; of more, it shows the balance at so many moments.
const ENTRIES_MAX: u64 = 1000;
/// Moments of a chart that shows no single entries.
const MOMENTS: i64 = 300;
/// How far a chart looks back that asks for nothing else.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What a payment's form asks for.
const PAYMENT_FIELDS: [&str; 4] = ["amount", "notes", "private-notes", "external-id"];

/// A short table of what belongs to an account.
struct Short {
    id: &'static str,
    heading: &'static str,
    /// What they are called, and whether they hold numbers.
    columns: Vec<(String, bool)>,
    rows: Vec<(String, Vec<Cell>)>,
    all: String,
    new: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    frame: Frame,
    heading: String,
    url: String,
    balance: String,
    bar: Bar,
    contractor: Cell,
    next_invoice: String,
    lines: Vec<Line>,
    payment: Payment,
    shorts: Vec<Short>,
    changes: Vec<Change>,
    uplot: [String; 3],
}

/// The form of a payment, and what the API says of it.
#[derive(Default)]
struct Payment {
    key: String,
    fields: Vec<(&'static str, String, String, Vec<String>)>,
    errors: Vec<String>,
}

/// Answers the page.
///
/// # Errors
/// What the API refuses.
pub async fn show(visit: &Visit, id: &str) -> Page {
    let payment = payment(|_| String::new(), random_key()?, None);
    page(visit, id, payment, StatusCode::OK).await
}

fn payment(value: impl Fn(&str) -> String, key: String, refusal: Option<&Answer>) -> Payment {
    let wrongs = refusal.map(Answer::errors).unwrap_or_default();
    let fields = PAYMENT_FIELDS
        .iter()
        .map(|name| {
            let of_field = wrongs.iter().filter(|wrong| wrong.member.as_deref() == Some(*name));
            let said = of_field.map(|wrong| wrong.message.clone()).collect();
            (*name, heading(name), value(name), said)
        })
        .collect();
    let others = wrongs.iter().filter(|wrong| {
        !wrong.member.as_deref().is_some_and(|member| PAYMENT_FIELDS.contains(&member))
    });
    Payment { key, fields, errors: others.map(|wrong| wrong.detail.clone()).collect() }
}

async fn page(visit: &Visit, id: &str, payment: Payment, status: StatusCode) -> Page {
    let document = whole(visit, &ACCOUNTS, id).await?;
    let record = &document["data"];
    let attributes = &record["attributes"];
    let lines = lines(&ACCOUNTS, &document);
    let contractor = Member::all(&ACCOUNTS).find(|member| member.name() == "contractor");
    let found =
        lines.iter().find(|line| line.name == "next-invoice-at" && line.cell.class != "none");
    let page = Account {
        frame: visit.frame(format!("Account: {}", title(record))),
        heading: title(record),
        url: format!("/accounts/{id}"),
        balance: grouped(attributes["balance"].as_str().unwrap_or_default()),
        bar: Bar::of(attributes),
        contractor: contractor.map(|member| member.cell(record, &document)).unwrap_or_default(),
        next_invoice: found.map(|line| line.cell.text.clone()).unwrap_or_default(),
        lines,
        payment,
        shorts: vec![
            short(visit, id, ENTRIES).await?,
            short(visit, id, PAYMENTS).await?,
            short(visit, id, ALERTS).await?,
            short(visit, id, EVENTS).await?,
        ],
        changes: changes(visit, &ACCOUNTS, id).await?,
        uplot: ["uplot.js", "uplot.css", "chart.js"].map(assets::url),
    };
    Ok(html(status, &page)?)
}

/// A list on the page: its id there, heading, type, order, members and how many.
#[derive(Clone, Copy)]
struct Wanted {
    id: &'static str,
    heading: &'static str,
    kind: &'static str,
    sort: &'static str,
    members: &'static [&'static str],
    count: &'static str,
}

const ENTRIES: Wanted = Wanted {
    id: "journal",
    heading: "Journal",
    kind: "journal-entries",
    sort: "-sequence",
    members: &["sequence", "created-at", "kind", "amount", "balance-after", "actor"],
    count: "12",
};
const PAYMENTS: Wanted = Wanted {
    id: "payments",
    heading: "Payments",
    kind: "payments",
    sort: "-id",
    members: &["created-at", "amount", "status", "notes", "external-id"],
    count: "8",
};
const ALERTS: Wanted = Wanted {
    id: "alerts",
    heading: "Alerts",
    kind: "balance-alerts",
    sort: "id",
    members: &["name", "kind", "value", "percentage", "origin", "raised", "changed-at"],
    count: "20",
};
const EVENTS: Wanted = Wanted {
    id: "events",
    heading: "What happened",
    kind: "events",
    sort: "-id",
    members: &["created-at", "event-type-alias"],
    count: "8",
};

async fn short(visit: &Visit, id: &str, wanted: Wanted) -> Result<Short, Refusal> {
    let Wanted { kind, members, .. } = wanted;
    let resource = served(kind).ok_or_else(jsonapi::Error::path_not_found)?;
    let members = Member::columns(resource, members);
    let filter = ("filter[account.id]", id);
    let asked = [filter, ("sort", wanted.sort), ("page[size]", wanted.count)];
    let document = visit.get(&format!("/{kind}?{}", query(asked))).await?.json();
    let records = document["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = query([filter, ("sort", wanted.sort)]);
    let new = format!("/{kind}/new?{}", query([("account", id)]));
    Ok(Short {
        id: wanted.id,
        heading: wanted.heading,
        columns: members.iter().map(|member| (member.label(), member.is_number())).collect(),
        rows: records
            .iter()
            .map(|record| {
                let url = format!("/{kind}/{}", record["id"].as_str().unwrap_or_default());
                (url, members.iter().map(|member| member.cell(record, &document)).collect())
            })
            .collect(),
        all: format!("/{kind}?{all}"),
        new: if wanted.id == "alerts" { new } else { String::new() },
    })
}

#[derive(Template)]
#[template(path = "pay.html")]
struct Confirm {
    frame: Frame,
    heading: String,
    url: String,
    key: String,
    fields: Vec<(&'static str, String)>,
    amount: String,
    before: String,
    after: String,
    warnings: Vec<String>,
}

/// Posts a payment, after it was shown what it would do. Sent twice, it is posted once.
///
/// # Errors
/// What the API refuses, unless the form can show it.
pub async fn pay(visit: &Visit, id: &str) -> Page {
    let field = |name: &str| visit.field(name).unwrap_or_default().trim().to_owned();
    let key = field("form-key");
    let mut attributes = serde_json::Map::new();
    for name in PAYMENT_FIELDS {
        let value = field(name);
        if !value.is_empty() {
            attributes.insert(name.to_owned(), value.into());
        }
    }
    let account = json!({"data": {"type": ACCOUNTS.kind, "id": id}});
    let document = json!({"data": {"type": "payments", "attributes": attributes,
        "relationships": {"account": account}}});
    let is_confirmed = visit.field("confirmed").is_some();
    let answer = if is_confirmed {
        let headers = [(HeaderName::from_static("idempotency-key"), key.as_str())];
        visit.send(Method::POST, "/payments", Some(&document), &headers).await
    } else {
        visit.try_out(Method::POST, "/payments", &document).await
    };
    if !answer.status.is_success() {
        let key = next_key(key, &answer)?;
        return page(visit, id, payment(field, key, Some(&answer)), answer.status).await;
    }
    let url = format!("/accounts/{id}");
    if is_confirmed {
        return Ok(see_other(&format!("{url}#journal")));
    }
    let account = whole(visit, &ACCOUNTS, id).await?;
    let amount = answer.json()["data"]["attributes"]["amount"].as_str().map(str::to_owned);
    let amount = amount.unwrap_or_default();
    let attributes = &account["data"]["attributes"];
    let decimal = |text: &str| Decimal::parse(text).unwrap_or(Decimal::ZERO);
    let of = |name: &str| attributes[name].as_str().map(decimal);
    let before = of("balance").unwrap_or(Decimal::ZERO);
    let after = before.checked_add(decimal(&amount)).unwrap_or(before);
    let page = Confirm {
        frame: visit.frame("Post this payment?"),
        heading: title(&account["data"]),
        url,
        key,
        fields: PAYMENT_FIELDS.iter().map(|name| (*name, field(name))).collect(),
        amount: grouped(&amount),
        before: grouped(&before.to_string()),
        after: grouped(&after.to_string()),
        warnings: warnings(after, &of),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// What is worth knowing of the balance as it would be.
fn warnings(after: Decimal, of: &dyn Fn(&str) -> Option<Decimal>) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |holds: bool, text: &str| {
        if holds {
            warnings.push(text.to_owned());
        }
    };
    warn(
        of("min-balance").is_some_and(|floor| after < floor),
        "The balance will be below the floor.",
    );
    warn(
        of("max-balance").is_some_and(|ceiling| after > ceiling),
        "The balance will be above the ceiling.",
    );
    warn(
        of("balance-low-threshold").is_some_and(|low| after < low),
        "The balance will be below its low threshold.",
    );
    warn(
        of("balance-high-threshold").is_some_and(|high| after > high),
        "The balance will be above its high threshold.",
    );
    warnings
}

/// The balance over time, as a chart wants it: moments in seconds, balances as the journal has them.
///
/// # Errors
/// What the API refuses.
pub async fn history(visit: &Visit, id: &str) -> Page {
    let now = visit.console.app.now();
    let moment = |name: &str| {
        let secs = visit.param(name).and_then(|text| text.parse::<i64>().ok());
        secs.and_then(|secs| Timestamp::from_second(secs).ok())
    };
    let to = moment("to").unwrap_or(now).min(now);
    let back = to.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    let from = moment("from").unwrap_or(back).min(to);
    let (from_text, to_text) = (from.to_string(), to.to_string());
    let entries = query([
        ("filter[account.id]", id),
        ("filter[created-at_gt]", from_text.as_str()),
        ("filter[created-at_lteq]", to_text.as_str()),
        ("sort", "sequence"),
        ("page[size]", "1000"),
        ("fields[journal-entries]", "created-at,balance-after"),
    ]);
    let entries = visit.get(&format!("/journal-entries?{entries}")).await?.json();
    let mut points = vec![(from, balance_at(visit, id, from).await?)];
    if entries["meta"]["total-count"].as_u64().unwrap_or_default() <= ENTRIES_MAX {
        for entry in entries["data"].as_array().into_iter().flatten() {
            let text = |name: &str| entry["attributes"][name].as_str().unwrap_or_default();
            if let Ok(at) = text("created-at").parse() {
                points.push((at, text("balance-after").to_owned()));
            }
        }
    } else {
        let step = to.duration_since(from) / i32::try_from(MOMENTS).unwrap_or(i32::MAX);
        let mut at = from;
        for _ in 1..MOMENTS {
            at = at.checked_add(step).unwrap_or(to).min(to);
            points.push((at, balance_at(visit, id, at).await?));
        }
    }
    points.push((to, balance_at(visit, id, to).await?));
    let account = visit.get(&format!("/accounts/{id}")).await?.json();
    let of = |name: &str| account["data"]["attributes"][name].clone();
    let secs = |at: &Timestamp| at.as_second();
    let told = json!({
        "times": points.iter().map(|(at, _)| secs(at)).collect::<Vec<_>>(),
        "balances": points.iter().map(|(_, balance)| balance.as_str()).collect::<Vec<_>>(),
        "lines": {
            "floor": of("min-balance"),
            "ceiling": of("max-balance"),
            "low threshold": of("balance-low-threshold"),
            "high threshold": of("balance-high-threshold"),
        },
    });
    let reply = Reply::plain(StatusCode::OK, "application/json", told.to_string().into_bytes());
    Ok(super::page::guarded(reply))
}

async fn balance_at(visit: &Visit, id: &str, at: Timestamp) -> Result<String, Refusal> {
    let at = at.to_string();
    let asked = query([("as-of", at.as_str()), ("fields[accounts]", "balance")]);
    let account: Json = visit.get(&format!("/accounts/{id}?{asked}")).await?.json();
    Ok(account["data"]["attributes"]["balance"].as_str().unwrap_or("0").to_owned())
}
