//! The console's dashboard, reference and operators.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollkeeper::openapi;

use crate::builders::app_with_contractor;
use crate::console::Desk;
use crate::support::{PASSWORD, Reply, TestApp, linkage};

/// How long figures may take to be known.
const KNOWN_WITHIN: Duration = Duration::from_secs(20);

/// The dashboard, once its figures are known.
async fn dashboard(desk: &Desk) -> Reply {
    let began = Instant::now();
    loop {
        let page = desk.get("/").await;
        assert_eq!(page.status, 200, "{}", page.body);
        if page.body.contains("As of ") {
            return page;
        }
        assert!(began.elapsed() < KNOWN_WITHIN, "the figures are never known");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a page says, without its marks.
fn words(page: &Reply) -> String {
    let texts =
        page.body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    texts.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn says(page: &Reply, what: &str) {
    let words = words(page);
    // Thousands are apart by a blank that is narrow.
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&what), "{what:?} is not in {words}");
}

async fn pay(app: &TestApp, account: &str, amount: &str) {
    let account = json!({"account": linkage("accounts", account)});
    app.create("payments", json!({ "amount": amount }), account).await;
}

#[tokio::test]
async fn the_dashboard_adds_up_exactly_and_names_who_needs_somebody() {
    let (app, contractor) = app_with_contractor().await;
    let quiet = app.account(&contractor, json!({"name": "quiet"})).await;
    let attributes =
        json!({"name": "<loud>", "min-balance": "-100.5", "balance-low-threshold": "-3"});
    let loud = app.account(&contractor, attributes).await;
    pay(&app, &quiet, "1000000.1").await;
    pay(&app, &quiet, "0.200000000001").await;
    pay(&app, &quiet, "-0.1").await;
    let charge = json!({"account": linkage("accounts", &loud)});
    app.create("transactions", json!({"amount": "4.05", "description": "calls"}), charge).await;
    let page = dashboard(&Desk::of(&app).await).await;
    says(&page, "Alerts raised 1");
    says(&page, "Held 1\u{202f}000\u{202f}000.200000000001 1 account");
    says(&page, "Owed \u{2212}4.05 1 account, credit 100.50");
    says(&page, "&#60;loud&#62; below \u{2212}3.00");
    says(&page, "\u{2212}4.05, below \u{2212}3.00");
    // This day: what came and what went, side by side.
    says(&page, "1\u{202f}000\u{202f}000.300000000001 \u{2212}4.15 999\u{202f}996.150000000001 4");
    says(&page, "quiet 1\u{202f}000\u{202f}000.300000000001 \u{2212}0.10");
    assert!(!page.body.contains("not whole"), "all of it was read");
}

#[tokio::test]
async fn the_figures_are_fetched_again_by_themselves() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    dashboard(&desk).await;
    let part = desk.fragment("/").await;
    assert!(part.body.starts_with("<div id=\"figures\""), "{}", part.body);
    assert!(part.body.trim_end().ends_with("</div>"));
    says(&part, "No alert is raised.");
    // Somebody whose session has ended is led to sign in, not shown it in the middle of a page.
    let out = Desk::of_nobody(&app).fragment("/").await;
    assert_eq!((out.status, out.header("hx-redirect")), (204, "/sign-in?next=%2F"));
}

#[tokio::test]
async fn every_link_of_the_dashboard_leads_somewhere() {
    let (app, contractor) = app_with_contractor().await;
    let account =
        app.account(&contractor, json!({"name": "a", "balance-low-threshold": "5"})).await;
    pay(&app, &account, "1").await;
    let desk = Desk::of(&app).await;
    let page = dashboard(&desk).await;
    let (_, figures) = page.body.split_once("id=\"figures\"").unwrap();
    let links = figures.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let links: std::collections::BTreeSet<_> =
        links.map(|link| link.replace("&amp;", "&").replace("&#38;", "&")).collect();
    assert!(links.len() > 20, "{links:?}");
    for link in links {
        let reply = desk.get(&link).await;
        assert_eq!(reply.status, 200, "{link}: {}", reply.body);
    }
}

#[tokio::test]
async fn the_reference_has_every_path_and_every_operation() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let document: Value = serde_json::from_str(&openapi::document()).unwrap();
    let intro = desk.get("/docs").await;
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(intro.body.contains(&format!("<code>{path}</code>")), "{path}");
    }
    let kinds =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap());
    let mut pages = String::new();
    for kind in kinds.chain(["auth", "server", "webhook-events"]) {
        let page = desk.get(&format!("/docs/{kind}")).await;
        assert_eq!(page.status, 200, "{kind}");
        pages += &words(&page);
    }
    for event in document["webhooks"].as_object().unwrap().keys() {
        assert!(pages.contains(event), "{event}");
    }
    assert_eq!(desk.get("/docs/nothing").await.status, 404);
}

#[tokio::test]
async fn what_is_tried_in_the_reference_happens() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let contractors = "/api/rest/admin/contractors";
    let body = json!({"data": {"type": "contractors",
        "attributes": {"name": "tried <it>", "enabled": true, "vendor": true, "customer": true}}});
    let text = body.to_string();
    let create = [("method", "POST"), ("path", contractors), ("body", text.as_str())];
    let made = desk.post("/docs/try", &create).await;
    says(&made, "201 Created");
    assert!(made.body.contains("tried &#60;it&#62;"), "{}", made.body);
    let listed = app.get("/contractors").await.json();
    assert_eq!(listed["data"][0]["attributes"]["name"], "tried <it>");
    let audited = app.get("/audit-records?sort=-id").await.json();
    assert_eq!(audited["data"][0]["attributes"]["actor"], "admin");
    // A refusal is an answer like any other.
    says(&desk.post("/docs/try", &create).await, "422 Unprocessable");
    let id = listed["data"][0]["id"].as_str().unwrap();
    let member = "/api/rest/admin/contractors/{id}";
    let read = [
        ("method", "GET"),
        ("path", member),
        ("path-id", id),
        ("query", "fields[contractors]=name"),
    ];
    says(&desk.post("/docs/try", &read).await, "200 OK");
    says(
        &desk.post("/docs/try", &[("method", "GET"), ("path", member), ("path-id", "0/x?a")]).await,
        "0/x?a is not a valid value for id.",
    );
}

#[tokio::test]
async fn nothing_but_the_api_can_be_tried_and_only_from_the_console() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let list = ("path", "/api/rest/admin/contractors");
    for (fields, said) in [
        (vec![("method", "GET"), ("path", "/metrics")], "Only paths of the API"),
        (vec![("method", "GET"), ("path", "/api/rest/admin")], "Only paths of the API"),
        (vec![("method", "GET"), ("path", "/api/rest/admin/../../operators")], "Only paths"),
        (vec![("method", "GET"), ("path", "/api/rest/administrators")], "Only paths of the API"),
        (vec![("method", "POST"), ("path", "/api/rest/admin/auth")], "not its sign-in"),
        (vec![("method", "TRACE"), list], "There is no such method"),
        (vec![("method", "POST"), list, ("body", "{")], "The body is no JSON"),
    ] {
        let tried = desk.post("/docs/try", &fields).await;
        assert_eq!(tried.status, 200);
        says(&tried, said);
    }
    let forged = desk.post_as_it_is("/docs/try", &[("method", "GET"), list]).await;
    assert_eq!(forged.status, 403);
    let forged = desk.post_as_it_is("/docs/try", &[("csrf", "x"), ("method", "GET"), list]).await;
    assert_eq!(forged.status, 403);
    let nobody = Desk::of_nobody(&app).post_as_it_is("/docs/try", &[("method", "GET"), list]).await;
    assert_eq!(nobody.status, 303);
}

#[tokio::test]
async fn an_operator_is_added_disabled_and_let_in_again() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let olga =
        [("name", "olga"), ("password", "another good one"), ("networks", "127.0.0.0/8, ::1")];
    let added = desk.post("/operators", &olga).await;
    assert_eq!((added.status, added.header("location")), (303, "/operators?added=olga"));
    says(&desk.get("/operators").await, "olga enabled 127.0.0.0/8 ::1");
    let mut theirs = Desk::of_nobody(&app);
    assert_eq!(theirs.sign_in("olga", "another good one").await.status, 303);
    assert_eq!(theirs.get("/accounts").await.status, 200);
    let id = operator(&app, "olga").await.id;
    let page = format!("/operators/{id}");
    says(&desk.get(&page).await, "in one browser");
    assert_eq!(desk.post(&page, &[("change", "disable")]).await.status, 303);
    assert_eq!(theirs.get("/accounts").await.status, 303, "to sign in");
    assert_eq!(theirs.sign_in("olga", "another good one").await.status, 401);
    assert_eq!(desk.post(&page, &[("change", "enable")]).await.status, 303);
    assert_eq!(theirs.get("/accounts").await.status, 303, "the session has ended");
    assert_eq!(theirs.sign_in("olga", "another good one").await.status, 303);
    assert_eq!(theirs.get("/accounts").await.status, 200);
    // All of it was written down.
    let records = app.get("/audit-records?filter[item-type]=operators&sort=id").await.json();
    let records: Vec<_> = records["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let attributes = &record["attributes"];
            assert_eq!(attributes["actor"], "admin");
            assert_eq!(attributes["item-id"], id);
            (attributes["event"].clone(), attributes["after"].clone())
        })
        .collect();
    let made = json!({"name": "olga", "enabled": true, "allowed-ips": "127.0.0.0/8,::1"});
    assert_eq!(
        records,
        [
            (json!("create"), made),
            (json!("update"), json!({"enabled": false})),
            (json!("update"), json!({"enabled": true})),
        ]
    );
}

async fn operator(app: &TestApp, name: &str) -> store::Operator {
    let all = app.app.store.operators().await.unwrap();
    all.into_iter().find(|operator| operator.name == name).expect("an operator")
}

#[tokio::test]
async fn a_new_password_ends_tokens_and_sessions() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let elsewhere = Desk::of(&app).await;
    let page = format!("/operators/{}", operator(&app, "admin").await.id);
    assert_eq!(app.get("/accounts").await.status, 200);
    let changed = desk.post(&page, &[("change", "password"), ("password", "a better one")]).await;
    assert_eq!((changed.status, changed.header("location")), (303, "/sign-in"));
    for out in [&desk, &elsewhere] {
        assert_eq!(out.get("/").await.status, 303);
    }
    assert_eq!(app.get("/accounts").await.status, 401);
    let mut again = Desk::of_nobody(&app);
    assert_eq!(again.sign_in("admin", PASSWORD).await.status, 401);
    assert_eq!(again.sign_in("admin", "a better one").await.status, 303);
    assert_eq!(again.get("/operators").await.status, 200);
}

#[tokio::test]
async fn the_rules_are_those_of_the_command_line_and_nobody_shuts_themselves_out() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    for (name, password, networks, said) in [
        (" ", "long enough", "", "The name is empty."),
        ("admin", "long enough", "", "There is already an operator"),
        ("olga", "short", "", "The password is shorter than 8 characters."),
        ("olga", "long enough", "10.0.0.0/99", "is not an address or network."),
    ] {
        let form = [("name", name), ("password", password), ("networks", networks)];
        let refused = desk.post("/operators", &form).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        says(&refused, said);
    }
    let page = format!("/operators/{}", operator(&app, "admin").await.id);
    for change in
        [vec![("change", "disable")], vec![("change", "networks"), ("networks", "192.0.2.0/24")]]
    {
        let refused = desk.post(&page, &change).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        says(&refused, "You would shut yourself out.");
    }
    let near = [("change", "networks"), ("networks", "127.0.0.1\r\n::1")];
    assert_eq!(desk.post(&page, &near).await.status, 303);
    assert_eq!(operator(&app, "admin").await.allowed_ips.as_deref(), Some("127.0.0.1,::1"));
    assert_eq!(desk.get("/operators/999").await.status, 404);
    assert_eq!(desk.post_as_it_is(&page, &[("change", "disable")]).await.status, 403);
    assert_eq!(app.app.store.operators().await.unwrap().len(), 1);
}
