//! Time zones: a fixed list whose ids are names.

use serde_json::{Value, json};

use crate::support::TestApp;

async fn names(app: &TestApp, path: &str) -> Vec<String> {
    let list = app.get(path).await.json();
    let records = list["data"].as_array().unwrap().iter();
    records.map(|record| record["attributes"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_list_is_whole_and_by_name() {
    let app = TestApp::start().await;
    let list = app.get("/timezones").await.json();
    assert_eq!(list["meta"], json!({"total-count": 597}));
    assert_eq!(list.get("links"), None);
    assert_eq!(list["data"].as_array().unwrap().len(), 597);
    for record in list["data"].as_array().unwrap() {
        let name = &record["attributes"]["name"];
        let expected = json!({"id": name, "type": "timezones", "attributes": {"name": name}});
        assert_eq!(record, &expected);
    }
    let names = names(&app, "/timezones").await;
    assert!(names.is_sorted());
    for known in ["UTC", "Europe/Kyiv", "Europe/Kiev", "Etc/GMT+5", "EST5EDT", "US/Pacific"] {
        assert!(names.iter().any(|name| name == known), "{known}");
    }
    for unknown in ["localtime", "posixrules", "Factory"] {
        assert!(names.iter().all(|name| name != unknown), "{unknown}");
    }
}

#[tokio::test]
async fn pages_and_orders_are_accepted_and_ignored() {
    let app = TestApp::start().await;
    let all = app.get("/timezones").await.body;
    for query in
        ["page[size]=2", "page[number]=9&page[size]=5000", "page[size]=0", "sort=-name", "sort=id"]
    {
        let reply = app.get(&format!("/timezones?{query}")).await;
        assert_eq!((reply.status, reply.body == all), (200, true), "{query}");
    }
}

#[tokio::test]
async fn a_zone_is_found_by_its_exact_name() {
    let app = TestApp::start().await;
    for (path, name) in [
        ("/timezones/UTC", "UTC"),
        ("/timezones/Europe%2FKyiv", "Europe/Kyiv"),
        ("/timezones/Etc%2FGMT%2B5", "Etc/GMT+5"),
        ("/timezones/America%2FArgentina%2FUshuaia", "America/Argentina/Ushuaia"),
    ] {
        let expected =
            json!({"data": {"id": name, "type": "timezones", "attributes": {"name": name}}});
        assert_eq!(app.get(path).await.body, expected.to_string());
    }
    for (path, name) in [
        ("/timezones/utc", "utc"),
        ("/timezones/Mars%2FPhobos", "Mars/Phobos"),
        ("/timezones/1", "1"),
    ] {
        let reply = app.get(path).await;
        let error = format!("404 The record identified by {name} could not be found.");
        assert_eq!((reply.status, reply.errors()), (404, vec![error]));
    }
}

#[tokio::test]
async fn filters_are_exact() {
    let app = TestApp::start().await;
    for (filter, found) in [
        ("filter[name]=UTC", vec!["UTC"]),
        ("filter[name]=UTC,Europe/Kyiv", vec!["Europe/Kyiv", "UTC"]),
        ("filter[id]=UTC", vec!["UTC"]),
        ("filter[name]=utc", vec![]),
        ("filter[name]=", vec![]),
        ("filter[name]=UTC&filter[id]=Europe/Kyiv", vec![]),
    ] {
        assert_eq!(names(&app, &format!("/timezones?{filter}")).await, found, "{filter}");
        assert_eq!(app.total(&format!("/timezones?{filter}")).await, found.len() as u64);
    }
    let unknown = app.get("/timezones?filter[name_cont]=U").await;
    assert_eq!(unknown.errors(), ["102 name_cont is not allowed."]);
}

#[tokio::test]
async fn nobody_changes_zones() {
    let app = TestApp::start().await;
    let document = json!({"data": {"type": "timezones", "id": "UTC", "attributes": {"name": "x"}}});
    for (method, path) in
        [("POST", "/timezones"), ("PATCH", "/timezones/UTC"), ("DELETE", "/timezones/UTC")]
    {
        let reply = app.write(method, path, document.to_string()).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(app.get("/timezones/UTC").await.attribute("name"), Value::from("UTC"));
}
