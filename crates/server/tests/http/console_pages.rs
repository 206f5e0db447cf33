//! What all pages of the console have in common: headers that guard them, nothing from elsewhere,
//! little weight, and texts that stay texts.

use std::collections::BTreeSet;
use std::io::Read as _;

use jsonapi::Resource;
use serde_json::json;
use tollkeeper::api::ENDPOINTS;

use crate::console::{Desk, attribute, escape, tags, unescape};
use crate::console_walk::{kinds, walk};
use crate::definitions;
use crate::support::{Reply, TestApp, linkage};

/// Bytes of a page with all that it names, as they are sent, at the first look.
const FIRST_LOOK_BYTES_MAX: usize = 100_000;

fn resources() -> impl Iterator<Item = &'static Resource> {
    ENDPOINTS.iter().map(|endpoint| endpoint.resource)
}

#[tokio::test]
async fn every_resource_has_its_pages_and_links_lead_to_them() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    let found = walk(&desk).await;
    let kinds: BTreeSet<String> = kinds(&found).into_keys().collect();
    let mut expected = vec!["/sessions".to_owned()];
    for resource in resources() {
        let (root, verbs) = (format!("/{}", resource.kind), resource.verbs);
        expected.extend([root.clone(), format!("{root}/{{id}}")]);
        if verbs.create {
            expected.push(format!("{root}/new"));
        }
        if verbs.update {
            expected.push(format!("{root}/{{id}}/edit"));
        }
        // Nothing is offered that the API would refuse.
        let record = app.ids(&format!("{root}?page[size]=1")).await.remove(0);
        for (path, is_there) in
            [(format!("{root}/new"), verbs.create), (format!("{root}/{record}/edit"), verbs.update)]
        {
            let status = desk.get(&path).await.status;
            assert_eq!(status == 200, is_there, "{path}: {status}");
        }
        for (path, is_there) in [
            (root.clone(), verbs.create),
            (format!("{root}/{record}"), verbs.update),
            (format!("{root}/{record}/delete"), verbs.delete),
        ] {
            if !is_there {
                let reply = desk.post(&path, &[]).await;
                assert!([404, 405].contains(&reply.status), "{path}: {reply:?}");
            }
        }
    }
    let missing: Vec<&String> = expected.iter().filter(|page| !kinds.contains(*page)).collect();
    assert_eq!(missing, [""; 0], "of {kinds:?}");
}

#[track_caller]
fn is_guarded(url: &str, reply: &Reply) {
    let policy = reply.header("content-security-policy");
    let directives: BTreeSet<&str> = policy.split(';').map(str::trim).collect();
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(directives.contains(directive), "{url}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{url}: {policy}");
    assert_eq!(reply.header("cache-control"), "no-store", "{url}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{url}");
    assert!(reply.headers.contains_key("referrer-policy"), "{url}");
}

#[tokio::test]
async fn every_page_is_guarded_and_has_nothing_from_elsewhere() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    for page in walk(&desk).await {
        is_guarded(&page.url, &desk.get(&page.url).await);
        let body = &page.body;
        let of = |name: &str, value: &str| -> Vec<String> {
            tags(body, name).iter().filter_map(|tag| attribute(tag, value)).collect()
        };
        let loaded = [of("link", "href"), of("script", "src"), of("img", "src")].concat();
        for address in &loaded {
            assert!(address.starts_with("/assets/"), "{}: {address}", page.url);
        }
        assert_eq!(tags(body, "script").len(), of("script", "src").len(), "{}", page.url);
        for address in [of("a", "href"), of("form", "action"), of("button", "hx-get")].concat() {
            let is_here = address.starts_with('#')
                || (address.starts_with('/') && !address.starts_with("//"));
            assert!(is_here, "{}: {address}", page.url);
        }
        for word in
            ["<style", " style=\"", "javascript:", "<iframe", "<object", "<base", "<script>"]
        {
            assert!(!body.contains(word), "{}: {word}", page.url);
        }
        for event in [" onclick=", " onload=", " onsubmit=", " onerror=", " onchange="] {
            assert!(!body.contains(event), "{}: {event}", page.url);
        }
        // Each id once: labels and scripts find what they mean.
        let ids: Vec<&str> =
            body.split(" id=\"").skip(1).map(|at| at.split('"').next().unwrap()).collect();
        let once: BTreeSet<&&str> = ids.iter().collect();
        assert_eq!(ids.len(), once.len(), "{}: {ids:?}", page.url);
    }
}

#[tokio::test]
async fn what_is_no_page_is_guarded_too() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    for (url, status) in [
        ("/sign-in", 303),
        ("/sign-out", 405),
        ("/accounts/999999999", 404),
        ("/accounts/999999999/edit", 404),
        ("/accounts/x", 400),
        ("/accounts/3/field/balance", 404),
        ("/accounts?filter[nonesuch]=1", 400),
        ("/accounts?sort=nonesuch", 400),
        ("/accounts/export.csv?filter[nonesuch]=1", 400),
        ("/accounts/3/balance", 200),
        ("/accounts/999999999/balance", 404),
        ("/contractors/choices", 200),
    ] {
        let reply = desk.get(url).await;
        assert_eq!(reply.status, status, "{url}: {}", reply.body);
        is_guarded(url, &reply);
    }
    let put = desk.send("PUT", "/accounts/3", &[], None).await;
    assert_eq!((put.status, put.header("allow")), (405, "GET, HEAD, POST"));
    is_guarded("PUT", &put);
    let stranger = app.stranger("GET", "/sign-in", &[]).await;
    assert_eq!(stranger.status, 200);
    is_guarded("/sign-in", &stranger);
    is_guarded("401", &app.knock("admin", "a guess at it").await);
    let csv = desk.get("/accounts/export.csv").await;
    assert_eq!((csv.status, csv.header("cache-control")), (200, "no-store"));
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"accounts.csv\"");
}

#[tokio::test]
async fn assets_are_kept_for_ever_because_their_addresses_change_with_them() {
    let app = TestApp::start().await;
    let page = app.stranger("GET", "/sign-in", &[]).await.body;
    let names = assets(&page);
    assert!(names.len() >= 4, "{names:?}");
    for name in &names {
        let (_, version) = name.split_once('?').expect("a version");
        assert_eq!(version.len(), 12, "{name}");
        let reply = app.stranger("GET", name, &[]).await;
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
        let kind = match name.split(['.', '?']).nth(1).unwrap() {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(reply.header("content-type"), kind, "{name}");
    }
    for wrong in ["/assets/nonesuch.js", "/assets/", "/assets/..%2fmod.rs", "/assets/console"] {
        assert_eq!(app.stranger("GET", wrong, &[]).await.status, 404, "{wrong}");
    }
}

/// What a page loads, each once.
fn assets(page: &str) -> BTreeSet<String> {
    let of = |name: &str, value: &str| -> Vec<String> {
        tags(page, name).iter().filter_map(|tag| attribute(tag, value)).collect()
    };
    [of("link", "href"), of("script", "src"), of("img", "src")].concat().into_iter().collect()
}

/// How many bytes of an answer are sent to a browser, which takes gzip; and the answer's text.
async fn sent(app: &TestApp, desk: &Desk, path: &str) -> (usize, String) {
    let client = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let request = client
        .get(format!("http://{}{path}", app.address))
        .header("cookie", format!("tollkeeper_session={}", desk.cookie))
        .header("accept-encoding", "gzip, deflate, br");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let is_zipped = response.headers().get("content-encoding").is_some();
    let bytes = response.bytes().await.unwrap();
    let mut text = String::new();
    if is_zipped {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes.to_vec()).unwrap();
    }
    (bytes.len(), text)
}

#[tokio::test]
async fn the_first_look_at_a_page_weighs_little() {
    let app = TestApp::start().await;
    tollkeeper::demo::fill(&app.app).await.unwrap();
    for number in 0..20 {
        app.pay("1", format!("-1.{number:02}")).await;
    }
    let desk = Desk::of(&app).await;
    for path in ["/accounts", "/accounts/1", "/sessions", "/contractors/4/edit"] {
        let (mut weight, page) = sent(&app, &desk, path).await;
        let of_page = weight;
        for asset in assets(&page) {
            weight += sent(&app, &desk, &asset).await.0;
        }
        println!("{path}: {of_page} bytes, with all that it names {weight}");
        assert!(weight < FIRST_LOOK_BYTES_MAX, "{path}: {weight}");
    }
}

/// A name that would do harm where somebody forgets that it is a text.
const EVIL: &str = "<script>alert(1)</script>\"'&amp;</textarea><img src=x onerror=alert(2)>";

#[tokio::test]
async fn texts_stay_texts_on_every_page() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    let form = desk.form("/contractors/new", "/contractors").await;
    let form = ["name", "description", "address", "phones"]
        .iter()
        .fold(form, |form, name| form.with(name, EVIL))
        .with("enabled", "yes")
        .with("vendor", "yes")
        .with("customer", "yes");
    let reply = desk.submit(&form).await;
    assert_eq!(reply.status, 303, "{}", reply.body);
    let contractor = reply.header("location").to_owned();
    let id = contractor.rsplit('/').next().unwrap();
    let account = app.account(id, json!({"name": EVIL, "balance-low-threshold": 0})).await;
    let contact = app.contact(id, EVIL).await;
    let notes = json!({"amount": 5, "notes": EVIL, "private-notes": EVIL, "external-id": EVIL});
    assert_eq!(app.payment(&account, notes).await.status, 201);
    // The trail has it as what was and as what is.
    let changed = json!({"name": format!("{EVIL} 2")});
    assert_eq!(app.update("contractors", id, changed).await.status, 200);
    assert_eq!(app.update("contractors", id, json!({"name": EVIL})).await.status, 200);
    let links = json!({"account": linkage("accounts", &account)});
    app.create("balance-alerts", json!({"kind": "low", "value": 1, "name": EVIL}), links).await;
    app.webhook("https://a.test/?<script>alert(1)</script>\"'", &["*"]).await;
    let query = escaped_query(EVIL);
    let mut seen = 0;
    for path in [
        format!("/contractors?sort=-id&filter[name_cont]={query}"),
        contractor.clone(),
        format!("{contractor}/edit"),
        format!("{contractor}/field/name"),
        format!("{contractor}/field/name?shown"),
        format!("/contractors/choices?contractor={query}"),
        format!("/contractors/new?name={query}"),
        format!("/accounts?q={query}"),
        format!("/accounts/{account}"),
        format!("/accounts/{account}/edit"),
        format!("/contacts/{contact}"),
        "/contacts?sort=-id".to_owned(),
        "/payments?sort=-id&columns=notes,private-notes,external-id,account".to_owned(),
        "/balance-alerts?sort=-id".to_owned(),
        "/webhooks?sort=-id".to_owned(),
        "/audit-records?sort=-id&columns=before,after,item-id".to_owned(),
        "/events?sort=-id&columns=data".to_owned(),
        format!("/accounts?filter[name_cont]={query}&sort=-name"),
        format!("/accounts?nonesuch={query}"),
        format!("/accounts?sort={query}"),
        format!("/accounts?columns={query}"),
        format!("/accounts/{query}"),
        format!("/accounts/{account}/field/{query}"),
        format!("/sign-in?next={query}"),
    ] {
        let reply = desk.get(&path).await;
        harmless(&path, &reply.body);
        seen += usize::from(unescape(&reply.body).contains("<script>alert(1)</script>"));
    }
    // A form that is refused has it once more, and so has the door.
    let form = desk.form("/contractors/new", "/contractors").await.with("name", EVIL);
    let refused = desk.submit(&form.with("vendor", "no").with("customer", "no")).await;
    assert_eq!(refused.status, 422);
    harmless("refused", &refused.body);
    assert!(refused.body.contains(&format!("name=\"name\" value=\"{}\"", escape(EVIL))));
    harmless("door", &app.knock(EVIL, "a guess at it").await.body);
    for page in walk(&desk).await {
        harmless(&page.url, &page.body);
        seen += usize::from(unescape(&page.body).contains("<script>alert(1)</script>"));
    }
    assert!(seen > 20, "it is to be seen on {seen} pages");
}

#[tokio::test]
async fn what_no_database_takes_is_no_fault_of_the_server() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    let account = desk.form("/accounts/3", "/accounts/3/pay").await;
    for path in [
        "/accounts?q=%00",
        "/accounts?q=%FF",
        "/accounts?filter[name_cont]=%00",
        "/accounts?filter[name_eq]=%FF%FE",
        "/accounts?columns=%00",
        "/accounts?sort=%00",
        "/accounts?page[number]=99999999999999999999",
        "/accounts?page[number]=-1&page[size]=0",
        "/accounts?filter-by=%00&filter-value=%00",
        "/accounts/%00",
        "/accounts/99999999999999999999",
        "/accounts/3/field/%00",
        "/accounts/3/balance?from=%00&to=%00",
        "/accounts/3/balance?from=-9223372036854775808&to=9223372036854775807",
        "/contractors/choices?contractor=%00",
        "/contractors/choices?contractor=99999999999999999999",
        "/contractors/new?name=%00",
        "/payments/1?done=%00",
        "/operators/%00",
        "/operators?added=%00",
        "/tasks/%00",
        "/tasks/1?after=%00",
        "/docs/%00",
        "/sign-in?next=%00",
    ] {
        let reply = desk.get(path).await;
        assert!(reply.status < 500, "{path}: {reply:?}");
    }
    let nul = "a\u{0}b";
    for (path, fields) in [
        ("/contractors", vec![("name", nul), ("enabled", "yes"), ("vendor", "yes")]),
        ("/contractors/5", vec![("description", nul)]),
        ("/accounts/3/field/name", vec![("name", nul)]),
        ("/accounts/3/pay", vec![("amount", "1"), ("notes", nul), ("confirmed", "yes")]),
        ("/accounts/3/pay", vec![("amount", "1"), ("form-key", nul), ("confirmed", "yes")]),
        ("/accounts/edit-many", vec![("id", "3"), ("change", "name"), ("name", nul)]),
        ("/operators", vec![("name", nul), ("password", "a good password")]),
        ("/operators/1", vec![("change", "networks"), ("networks", nul)]),
        ("/smtp-connections/1/do/test", vec![("to", nul)]),
        ("/docs/try", vec![("method", "GET"), ("path", nul), ("query", nul), ("body", nul)]),
        ("/accounts/3/do/nonesuch", vec![("form-key", nul)]),
    ] {
        let reply = desk.post(path, &fields).await;
        assert!(reply.status < 500, "{path} {fields:?}: {reply:?}");
    }
    let token = desk.token().await;
    let path = "/tasks/import/contractors?name=%00&begin=yes";
    let file = [("name", nul), ("name", "b")];
    let reply = desk.send("POST", path, &[("x-csrf-token", &token)], Some(&file)).await;
    assert!(reply.status < 500, "{reply:?}");
    let reply = app.knock(nul, nul).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    // What cannot name a write is said to the form, which can be sent again.
    let reply = desk.submit(&account.with("amount", "1").with("form-key", "ä")).await;
    assert!(reply.status < 500, "{reply:?}");
}

fn escaped_query(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[track_caller]
fn harmless(path: &str, body: &str) {
    for word in ["<script>", "</script>\"", "<img src=x", "</textarea><img"] {
        assert!(!body.contains(word), "{path}: {body}");
    }
    // No attribute ends early.
    assert!(!body.contains("</script&#62;\""), "{path}: {body}");
}
