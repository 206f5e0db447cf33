//! Lists of the console: filters, search, columns, files, and the balance over time.

use std::collections::BTreeSet;

use jsonapi::{Resource, Value as Stored};
use serde_json::{Value, json};
use store::StoreError;
use tollkeeper::accounts::ACCOUNTS;
use tollkeeper::api::ENDPOINTS;

use crate::builders::app_with_contractor;
use crate::console::{Desk, attribute, tags, unescape};
use crate::definitions::{self, operators};
use crate::postings::{many, post_all, time};
use crate::support::TestApp;

/// A value that a filter of a resource takes.
fn value_for(resource: &Resource, filter: &str) -> &'static str {
    let (name, _) = filter.rsplit_once(['_', '.']).unwrap();
    let attribute = resource.attributes.iter().filter(|one| name.starts_with(one.name));
    let attribute = attribute.max_by_key(|one| one.name.len());
    attribute.map_or("1", |attribute| operators(attribute.kind).1)
}

#[tokio::test]
async fn every_filter_that_a_list_offers_narrows_it_and_shows_as_a_chip() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    let mut count = 0;
    for endpoint in ENDPOINTS {
        let resource = endpoint.resource;
        let list = format!("/{}", resource.kind);
        let page = desk.page(&list).await;
        let Some((_, choices)) = page.split_once("id=\"filter-by\"") else { continue };
        let choices = choices.split_once("</select>").unwrap().0;
        for option in tags(choices, "option") {
            let filter = attribute(option, "value").unwrap();
            let value = value_for(resource, &filter);
            // As the form sends it; the address that it leads to is the API's.
            let sent = query(&[("filter-by", &filter), ("filter-value", value)]);
            let there = desk.get(&format!("{list}?{sent}")).await;
            let asked = format!("{list}?{}", query(&[(&format!("filter[{filter}]"), value)]));
            assert_eq!((there.status, there.header("location")), (303, asked.as_str()));
            let narrowed = desk.page(&asked).await;
            assert_eq!(narrowed.matches("class=\"chip\"").count(), 1, "{asked}");
            assert_eq!(shown(&narrowed), app.ids(&asked).await, "{asked}");
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The ids of the rows of a table, in order.
fn shown(page: &str) -> Vec<String> {
    let (_, body) = page.split_once("<tbody>").expect("a table");
    let rows = body.split_once("</tbody>").unwrap().0.split("<tr>").skip(1);
    let ids = rows.map(|row| {
        let link = tags(row, "a").first().and_then(|tag| attribute(tag, "href")).unwrap();
        link.rsplit('/').next().unwrap().to_owned()
    });
    ids.collect()
}

#[tokio::test]
async fn a_chip_takes_its_filter_away_and_leaves_the_rest() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    let filters = "filter%5Bname_cont%5D=a&filter%5Bbalance_gt%5D=-5&sort=-name&columns=name";
    let page = desk.page(&format!("/accounts?{filters}&page%5Bnumber%5D=1")).await;
    let chips: Vec<String> = tags(&page, "a")
        .into_iter()
        .filter(|tag| attribute(tag, "class").as_deref() == Some("chip"))
        .filter_map(|tag| attribute(tag, "href"))
        .collect();
    let expected = [
        "/accounts?filter%5Bbalance_gt%5D=-5&sort=-name&columns=name",
        "/accounts?filter%5Bname_cont%5D=a&sort=-name&columns=name",
    ];
    assert_eq!(chips, expected);
    // The same filter again takes the place of the one before.
    let there = desk.get(&format!("/accounts?{filters}&filter-by=name_cont&filter-value=b")).await;
    let expected =
        "/accounts?filter%5Bbalance_gt%5D=-5&sort=-name&columns=name&filter%5Bname_cont%5D=b";
    assert_eq!(there.header("location"), expected);
}

#[tokio::test]
async fn columns_and_order_are_chosen_in_the_address() {
    let app = TestApp::start().await;
    tollkeeper::demo::fill(&app.app).await.unwrap();
    let desk = Desk::of(&app).await;
    let page = desk.page("/accounts?columns=vat&columns=timezone&sort=-vat").await;
    let head = page.split_once("<thead>").unwrap().1.split_once("</thead>").unwrap().0;
    let sorted: Vec<String> =
        tags(head, "th").into_iter().filter_map(|tag| attribute(tag, "aria-sort")).collect();
    assert_eq!(sorted, ["descending", "none"], "{head}");
    assert_eq!(shown(&page), app.ids("/accounts?sort=-vat&page[size]=50").await);
    // Pages follow each other, each row on one of them.
    let mut all = Vec::new();
    let mut next = Some("/accounts?page%5Bsize%5D=7&sort=name".to_owned());
    while let Some(path) = next {
        let page = desk.page(&path).await;
        all.extend(shown(&page));
        let links = tags(&page, "a").into_iter();
        let mut after = links.filter(|tag| attribute(tag, "rel").as_deref() == Some("next"));
        next = after.next().and_then(|tag| attribute(tag, "href"));
    }
    assert_eq!(all, app.ids("/accounts?sort=name&page[size]=1000").await);
    assert_eq!(all.len(), 40);
}

/// Searches; the names of the accounts that are found, in their order.
async fn search(app: &TestApp, desk: &Desk, typed: &str, more: &str) -> Vec<String> {
    let path = format!("/accounts?{}{more}", query(&[("q", typed)]));
    let page = desk.page(&path).await;
    let part = desk.fragment(&path).await.body;
    assert!(part.starts_with("<div id=\"table\">"), "a part of the page: {part}");
    assert_eq!(shown(&part), shown(&page));
    let mut names = Vec::new();
    for id in shown(&page) {
        let name = app.attributes(&format!("/accounts/{id}")).await["name"].take();
        names.push(name.as_str().unwrap().to_owned());
    }
    names.sort();
    names
}

#[tokio::test]
async fn accounts_are_found_by_whatever_one_knows_of_them() {
    let app = TestApp::start().await;
    let nordlys = app.contractor("Nordlys Telecom").await;
    let acme = app.contractor("ACME_2").await;
    for (contractor, name, external_id, floor) in [
        (&nordlys, "Oslo retail", 7001, -100),
        (&nordlys, "oslo wholesale", 7002, 0),
        (&acme, "Bergen, OSLO routes", 7003, 0),
        (&acme, "100% off", 7004, 0),
        (&acme, "1000 off", 7005, 0),
        (&acme, "under_score", 7006, 0),
        (&acme, "underXscore", 7007, 0),
        (&acme, "Ångström", 7008, 0),
    ] {
        let attributes = json!({"name": name, "external-id": external_id, "min-balance": floor});
        app.account(contractor, attributes).await;
    }
    let desk = Desk::of(&app).await;
    let found = async |typed: &str, more: &str| search(&app, &desk, typed, more).await;
    let oslo = ["Bergen, OSLO routes", "Oslo retail", "oslo wholesale"];
    for typed in ["oslo", "OSLO", "Oslo", "  oslo "] {
        assert_eq!(found(typed, "").await, oslo, "{typed}");
    }
    // Beginnings, parts, in the letters' own case or another.
    assert_eq!(found("retail", "").await, ["Oslo retail"]);
    assert_eq!(found("ROUTES", "").await, ["Bergen, OSLO routes"]);
    assert_eq!(found("ångs", "").await, ["Ångström"]);
    assert_eq!(found("7003", "").await, ["Bergen, OSLO routes"]);
    let id = app.ids("/accounts?filter[external-id_eq]=7006").await.remove(0);
    assert!(found(&id, "").await.contains(&"under_score".to_owned()));
    assert_eq!(found("nordlys", "").await, ["Oslo retail", "oslo wholesale"]);
    assert_eq!(found("telecom", "").await, ["Oslo retail", "oslo wholesale"]);
    // With a filter, both hold.
    assert_eq!(found("oslo", "&filter[min-balance_lt]=0").await, ["Oslo retail"]);
    assert_eq!(found("oslo", "&filter[name_cont]=off").await, [""; 0]);
    let blocked = "&filter[limit-state_eq]=blocked";
    assert_eq!(found("oslo", blocked).await, ["Bergen, OSLO routes", "oslo wholesale"]);
    // Letters are letters.
    assert_eq!(found("100%", "").await, ["100% off"]);
    assert_eq!(found("%", "").await, ["100% off"]);
    assert_eq!(found("under_", "").await, ["under_score"]);
    assert_eq!(found("e_2", "").await.len(), 6);
    for nothing in ["nonesuch", "'", "\\", "' OR 1=1 --", "99999999999999999999"] {
        assert_eq!(found(nothing, "").await, [""; 0], "{nothing:?}");
    }
    // Nothing typed is no search.
    assert_eq!(found(" ", "").await.len(), 8);
    assert_eq!(found("\u{0}", "").await.len(), 8);
    assert_eq!(found("re\u{0}tail", "").await, ["Oslo retail"]);
}

/// A field of a CSV file that is the same as what the API answers.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Makes so many accounts like this one, named `copy 1` and so on.
async fn copy_account(app: &TestApp, id: i64, count: usize) {
    let place = |name| ACCOUNTS.attribute(name).unwrap();
    let (name, uuid, own) = (place("name"), place("uuid"), place("external-id"));
    let moments: Vec<_> = (0..count).map(|_| app.app.moment()).collect();
    let copied: Result<(), StoreError> = app
        .app
        .store
        .write(async move |tx| {
            let original = tx.find(&ACCOUNTS, id).await?.expect("the account");
            for (number, moment) in moments.iter().enumerate() {
                let mut values = original.values.clone();
                values[name] = Stored::text(format!("copy {}", number + 1));
                (values[uuid], values[own]) = (Stored::Uuid(moment.uuid), Stored::Null);
                tx.insert(&ACCOUNTS, values, original.links.clone()).await?;
            }
            Ok(())
        })
        .await;
    copied.unwrap();
}

#[tokio::test]
async fn a_file_has_every_row_of_many_pages_once_as_the_api_has_it() {
    const COUNT: usize = 2_500;
    let (app, contractor) = app_with_contractor().await;
    let attributes = json!({"name": "first, \"quoted\"\nand broken", "min-balance": "-0.000000000001",
        "max-balance": "12345678901234567.5", "external-id": 1, "vat": "7.5"});
    let first = app.account(&contractor, attributes).await;
    app.pay(&first, "0.1").await;
    copy_account(&app, first.parse().unwrap(), COUNT - 1).await;
    let desk = Desk::of(&app).await;
    for (asked, rows) in [
        ("", COUNT),
        ("?sort=-name", COUNT),
        ("?filter[name_cont]=copy", COUNT - 1),
        ("?filter[name_start]=copy%2012&sort=name", 111),
        ("?filter[name_eq]=nonesuch", 0),
    ] {
        let page = desk.page(&format!("/accounts{asked}")).await;
        let file = tags(&page, "a").into_iter().filter_map(|tag| attribute(tag, "href"));
        let file = file.into_iter().find(|link| link.contains("export.csv")).unwrap();
        let reply = desk.get(&file).await;
        assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8");
        let mut reader = csv::Reader::from_reader(reply.body.as_bytes());
        let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(&names[..4], ["id", "name", "balance", "min-balance"]);
        let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let ids: BTreeSet<&str> = lines.iter().map(|line| &line[0]).collect();
        assert_eq!((lines.len(), ids.len()), (rows, rows), "{asked}");
        // The first page of the API has the same, in the same order.
        let join = if asked.is_empty() { "?" } else { "&" };
        let answer = app
            .get(&format!(
                "/accounts{asked}{join}page[size]=300&include=contractor,invoice-template&fields[accounts]={}",
                names[1..].join(",")
            ))
            .await
            .json();
        for (record, line) in answer["data"].as_array().unwrap().iter().zip(&lines) {
            for (name, value) in names.iter().zip(line) {
                let expected = match name.as_str() {
                    "id" => text(&record["id"]),
                    "contractor" | "invoice-template" => {
                        text(&record["relationships"][name]["data"]["id"])
                    }
                    _ => text(&record["attributes"][name]),
                };
                assert_eq!(value, expected, "{name} of {record}");
            }
        }
    }
}

/// The balance over time, as the chart asks for it.
async fn history(desk: &Desk, account: &str, query: &str) -> (Vec<i64>, Vec<String>) {
    let reply = desk.get(&format!("/accounts/{account}/balance{query}")).await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "application/json"),
        "{reply:?}"
    );
    let told = reply.json();
    let of = |name: &str| told[name].as_array().unwrap().clone();
    let times = of("times").iter().map(|at| at.as_i64().unwrap()).collect();
    (times, of("balances").iter().map(|text| text.as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn the_chart_shows_what_the_journal_has() {
    let (app, contractor) = app_with_contractor().await;
    let attributes = json!({"name": "main", "min-balance": "-12.5", "balance-high-threshold": 90});
    let account = app.account(&contractor, attributes).await;
    app.post_at(
        &account,
        &[
            ("2026-01-02T00:00:00Z", "10"),
            ("2026-01-02T12:00:00Z", "-3.333333333333"),
            ("2026-01-03T00:00:00Z", "100"),
            ("2026-01-05T00:00:00Z", "-0.000000000001"),
        ],
    )
    .await;
    let desk = Desk::of(&app).await;
    let secs = |text: &str| time(text).as_second();
    let (from, to) = (secs("2026-01-01T00:00:00Z"), secs("2026-01-06T00:00:00Z"));
    let (times, balances) = history(&desk, &account, &format!("?from={from}&to={to}")).await;
    let entries =
        app.listed(&format!("/journal-entries?filter[account.id]={account}&sort=sequence")).await;
    let mut expected = vec![(from, "0.0".to_owned())];
    for entry in &entries {
        let at = secs(entry["created-at"].as_str().unwrap());
        expected.push((at, entry["balance-after"].as_str().unwrap().to_owned()));
    }
    expected.push((to, "106.666666666666".to_owned()));
    assert_eq!(times.into_iter().zip(balances).collect::<Vec<_>>(), expected);
    // A part of it begins with what was before.
    let part =
        format!("?from={}&to={}", secs("2026-01-02T06:00:00Z"), secs("2026-01-04T00:00:00Z"));
    let (_, balances) = history(&desk, &account, &part).await;
    assert_eq!(balances, ["10.0", "6.666666666667", "106.666666666667", "106.666666666667"]);
    // Whatever is asked for, the answer is in order and ends now at the latest.
    let now = app.app.now().as_second();
    for odd in [
        "",
        "?from=x&to=",
        "?from=99999999999&to=1",
        "?to=99999999999999999999",
        "?from=-99999999999",
    ] {
        let (times, balances) = history(&desk, &account, odd).await;
        assert!(times.is_sorted() && times.len() == balances.len() && times.len() >= 2, "{odd}");
        assert!(*times.last().unwrap() <= now + 60, "{odd}: {times:?}");
    }
    let lines = desk.get(&format!("/accounts/{account}/balance")).await.json()["lines"].take();
    let expected = json!({"floor": "-12.5", "ceiling": "0.0", "low threshold": null, "high threshold": "90.0"});
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn of_very_many_entries_the_chart_shows_the_balance_at_moments() {
    let (app, contractor) = app_with_contractor().await;
    let account = app.account(&contractor, json!({"name": "main"})).await;
    let moves = many(1_200);
    post_all(&app.app.store, account.parse().unwrap(), &moves).await;
    let desk = Desk::of(&app).await;
    let (from, to) = (moves[0].0.as_second() - 60, moves[1_199].0.as_second() + 60);
    let (times, balances) = history(&desk, &account, &format!("?from={from}&to={to}")).await;
    assert!((200..=400).contains(&times.len()), "{}", times.len());
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!((times[0], balances[0].as_str()), (from, "0.0"));
    let now = app.attributes(&format!("/accounts/{account}")).await["balance"].take();
    assert_eq!((times.last(), balances.last().map(String::as_str)), (Some(&to), now.as_str()));
    for place in (0..times.len()).step_by(37) {
        let at = jiff::Timestamp::from_second(times[place]).unwrap();
        let then = app.attributes(&format!("/accounts/{account}?as-of={at}")).await;
        // Moments are told in whole seconds, and movements are a second apart.
        let after = jiff::Timestamp::from_second(times[place] + 1).unwrap();
        let after = app.attributes(&format!("/accounts/{account}?as-of={after}")).await;
        let either = [&then["balance"], &after["balance"]];
        assert!(either.contains(&&json!(balances[place])), "{place}: {either:?} {balances:?}");
    }
    // Up to a thousand, each is there.
    let from = moves[200].0.as_second();
    let (times, _) = history(&desk, &account, &format!("?from={from}&to={to}")).await;
    assert_eq!(times.len(), 999 + 2);
}

#[tokio::test]
async fn a_field_for_a_record_offers_those_that_match() {
    let app = TestApp::start().await;
    for number in 0..15 {
        app.contractor(&format!("carrier {number}")).await;
    }
    let desk = Desk::of(&app).await;
    let offered = async |query: &str| -> Vec<String> {
        let page = desk.page(&format!("/contractors/choices{query}")).await;
        page.lines().filter(|line| line.starts_with("<option")).map(unescape).collect()
    };
    assert_eq!(offered("").await.len(), 10);
    assert_eq!(offered("?contractor=").await.len(), 10);
    let eleven = app.ids("/contractors?filter[name]=carrier+11").await.remove(0);
    let option = format!("<option value=\"{eleven}\">carrier 11</option>");
    assert_eq!(offered("?contractor=R%2011").await, std::slice::from_ref(&option));
    assert_eq!(offered("?contractor=nonesuch").await, [""; 0]);
    assert_eq!(offered("?contractor=%25").await, [""; 0]);
    // Whoever knows the id types that.
    assert!(offered(&format!("?contractor={eleven}")).await.contains(&option));
}
