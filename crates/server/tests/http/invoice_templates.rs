//! Invoice templates: one resource under two paths.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn both_paths_serve_the_same() {
    let app = TestApp::start().await;
    for (path, name) in [("/invoice-template", "a"), ("/invoice-templates", "b")] {
        let data = json!({"type": "invoice-templates", "attributes": {"name": name}});
        let reply = app.post(path, json!({ "data": data })).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        let id = reply.json()["data"]["id"].as_str().unwrap().to_owned();
        let url = format!("http://{}/api/rest/admin/invoice-templates/{id}", app.address);
        assert_eq!(
            (reply.header("location"), reply.json()["data"]["links"]["self"].as_str()),
            (url.as_str(), Some(url.as_str()))
        );
    }
    for (singular, plural) in [
        ("/invoice-template", "/invoice-templates"),
        ("/invoice-template?page[size]=1&sort=-name", "/invoice-templates?page[size]=1&sort=-name"),
        ("/invoice-template/1", "/invoice-templates/1"),
        ("/invoice-template/9", "/invoice-templates/9"),
    ] {
        let (one, other) = (app.get(singular).await, app.get(plural).await);
        assert_eq!((one.status, &one.body), (other.status, &other.body), "{singular}");
        assert_eq!(one.header("etag"), other.header("etag"));
    }
    let data = json!({"type": "invoice-templates", "id": "1", "attributes": {"name": "c"}});
    let reply = app.patch("/invoice-template/1", json!({ "data": data })).await;
    assert_eq!(reply.attribute("name"), "c");
    assert_eq!(app.delete("/invoice-template/1").await.status, 204);
    assert_eq!(app.get("/invoice-templates/1").await.status, 404);
    let singular = json!({"data": {"type": "invoice-template", "attributes": {"name": "n"}}});
    let reply = app.post("/invoice-template", singular).await;
    assert_eq!(reply.errors(), ["101 invoice-template is not a valid resource."]);
}

#[tokio::test]
async fn the_source_is_shown_once_there_is_one() {
    let app = TestApp::start().await;
    let id = app.create("invoice-templates", json!({"name": "t"}), json!({})).await;
    let path = format!("/invoice-templates/{id}");
    assert_eq!(app.attributes(&path).await, json!({"name": "t", "filename": null}));
    let asked = format!("{path}?fields[invoice-templates]=body");
    assert_eq!(app.attributes(&asked).await, json!({"body": null}));
    let source = "#set page(\"a4\")\n= Invoice №1";
    let reply = app.update("invoice-templates", &id, json!({"body": source})).await;
    assert_eq!(
        reply.json()["data"]["attributes"],
        json!({"name": "t", "filename": null, "body": source})
    );
    assert_eq!(app.get("/invoice-templates").await.json()["data"][0]["attributes"]["body"], source);
    assert_eq!(app.attributes(&asked).await, json!({"body": source}));
    let reply = app.update("invoice-templates", &id, json!({"body": null})).await;
    assert_eq!(reply.json()["data"]["attributes"], json!({"name": "t", "filename": null}));
}

#[tokio::test]
async fn a_file_name_is_optional_and_ends_in_odt() {
    let app = TestApp::start().await;
    let id = app.create("invoice-templates", json!({"name": "t"}), json!({})).await;
    for good in [json!("a.odt"), json!("папка/a.odt"), json!(null)] {
        let reply = app.update("invoice-templates", &id, json!({"filename": good})).await;
        assert_eq!(reply.attribute("filename"), good);
    }
    for bad in [json!(""), json!("a.doc"), json!("a.odt.exe"), json!("odt"), json!(5)] {
        let reply = app.update("invoice-templates", &id, json!({"filename": bad})).await;
        assert_eq!(reply.errors(), ["100 filename - is invalid"], "{bad}");
    }
}

#[tokio::test]
async fn a_name_is_there_and_unique() {
    let app = TestApp::start().await;
    app.create("invoice-templates", json!({"name": "a"}), json!({})).await;
    let id = app.create("invoice-templates", json!({"name": "b"}), json!({})).await;
    for (sent, message) in [
        (json!("a"), "has already been taken"),
        (json!(""), "can't be blank"),
        (json!(null), "can't be blank"),
    ] {
        let reply = app.update("invoice-templates", &id, json!({"name": sent})).await;
        assert_eq!(reply.errors(), [format!("100 name - {message}")]);
    }
}
