//! Relationships in documents and at their own addresses, by the example of accounts.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::builders::app_with_contractor;
use crate::support::linkage;

#[tokio::test]
async fn the_contractor_can_be_changed_but_not_removed() {
    let (app, contractor) = app_with_contractor().await;
    let other = app.contractor("other").await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    let path = format!("/accounts/{id}/relationships/contractor");
    for (method, target) in [("PATCH", &other), ("PUT", &contractor), ("PATCH", &other)] {
        let body = linkage("contractors", target).to_string();
        let reply = app.write(method, &path, body).await;
        assert_eq!(reply.status, 204);
        assert!(reply.bare().get("etag").is_none());
        assert_eq!(app.get(&path).await.json()["data"]["id"], **target);
    }
    let must_exist = ["100 contractor - must exist"];
    for reply in [
        app.patch(&path, json!({"data": null})).await,
        app.patch(&path, linkage("contractors", "999")).await,
        app.delete(&path).await,
    ] {
        assert_eq!((reply.status, reply.errors()), (422, must_exist.map(str::to_owned).to_vec()));
        assert_eq!(reply.pointers(), ["/data/relationships/contractor"]);
    }
    for (body, error) in [
        (json!({}), "106 The required parameter, data, is missing."),
        (json!({"data": {}}), "115 Data is not a valid Links Object."),
        (json!({"data": []}), "115 Data is not a valid Links Object."),
        (json!({"data": "1"}), "115 Data is not a valid Links Object."),
        (json!({"data": {"type": "contractors"}}), "115 Data is not a valid Links Object."),
        (
            json!({"data": {"type": "contractors", "id": "1", "meta": {}}}),
            "115 Data is not a valid Links Object.",
        ),
        (linkage("accounts", "1"), "116 accounts is not a valid type for this operation."),
        (linkage("contractors", "abc"), "103 abc is not a valid value for id."),
        (linkage("contractors", "010"), "103 010 is not a valid value for id."),
        (
            json!({"data": {"type": "contractors", "id": 4.7}}),
            "103 4.7 is not a valid value for id.",
        ),
    ] {
        assert_eq!(app.patch(&path, body.clone()).await.errors(), [error], "{body}");
        let missing = app.patch("/accounts/999/relationships/contractor", body).await;
        assert_eq!(missing.errors(), [error]);
    }
    let post = app.post(&path, linkage("contractors", &other)).await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD, PATCH, PUT, DELETE"));
    for (id, method) in [("abc", "PATCH"), ("999", "PATCH"), ("abc", "DELETE"), ("999", "DELETE")] {
        let path = format!("/accounts/{id}/relationships/contractor");
        let reply = app.write(method, &path, linkage("contractors", &other).to_string()).await;
        assert_eq!(
            reply.errors(),
            [format!("404 The record identified by {id} could not be found.")]
        );
    }
    assert_eq!(app.get(&path).await.json()["data"]["id"], *other);
}

#[tokio::test]
async fn a_template_must_exist_when_it_is_chosen_but_may_go_later() {
    let (app, contractor) = app_with_contractor().await;
    let template = app.create("invoice-templates", json!({"name": "t"}), json!({})).await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    let path = format!("/accounts/{id}/relationships/invoice-template");
    let unknown = json!({"data": {"type": "accounts", "attributes": {"name": "y"}, "relationships": {
        "contractor": linkage("contractors", &contractor),
        "invoice-template": linkage("invoice-templates", "999"),
    }}});
    let must_exist = ["100 invoice-template - must exist"];
    for reply in [
        app.post("/accounts", unknown).await,
        app.patch(&path, linkage("invoice-templates", "999")).await,
    ] {
        assert_eq!((reply.status, reply.errors()), (422, must_exist.map(str::to_owned).to_vec()));
        assert_eq!(reply.pointers(), ["/data/relationships/invoice-template"]);
    }
    assert_eq!(app.patch(&path, linkage("invoice_templates", &template)).await.status, 204);
    let related = app.get(&format!("/accounts/{id}/invoice-template")).await;
    assert_eq!(related.attribute("name"), "t");
    assert_eq!(app.delete(&format!("/invoice-templates/{template}")).await.status, 204);
    assert_eq!(app.update("accounts", &id, json!({"vat": 5})).await.status, 200);
    let shown = app.get(&format!("/accounts/{id}?include=invoice-template")).await.json();
    let kept = &shown["data"]["relationships"]["invoice-template"]["data"];
    assert_eq!((&kept["id"], shown.get("included")), (&json!(template), None));
    let related = app.get(&format!("/accounts/{id}/invoice-template")).await;
    assert_eq!((related.status, related.body.as_str()), (200, r#"{"data":null}"#));
    for _ in 0..2 {
        assert_eq!(app.delete(&path).await.status, 204);
        assert_eq!(app.get(&path).await.json()["data"], Value::Null);
    }
}

#[tokio::test]
async fn linkages_in_documents_are_read_as_the_contract_says() {
    let (app, contractor) = app_with_contractor().await;
    let open = async |relationships: Value| {
        let attributes = json!({"name": Uuid::new_v4().to_string()});
        let data =
            json!({"type": "accounts", "attributes": attributes, "relationships": relationships});
        app.post("/accounts", json!({ "data": data })).await
    };
    let own = linkage("contractors", &contractor);
    for good in [
        json!({"contractor": own}),
        json!({"contractor": {"data": {"type": "Contractors", "id": 1}, "links": {}, "meta": {}}}),
        json!({"contractor": own, "timezone": {"data": null}}),
        json!({"contractor": own, "invoice-template": null}),
        json!({"contractor": own, "invoice-template": {}}),
        json!({"contractor": own, "invoice-template": {"data": {"type": "invoice_templates", "id": null}}}),
    ] {
        assert_eq!(open(good.clone()).await.status, 201, "{good}");
    }
    for (bad, error) in [
        (json!({"contractor": "1"}), "115 Data is not a valid Links Object."),
        (json!({"contractor": {"data": []}}), "115 Data is not a valid Links Object."),
        (
            json!({"contractor": {"data": {"type": "contractor", "id": "1"}}}),
            "116 contractor is not a valid type for this operation.",
        ),
        (
            json!({"contractor": {"data": {"type": "contractors", "id": ""}}}),
            "103  is not a valid value for id.",
        ),
        (
            json!({"contractor": {"data": {"type": "contractors", "id": 4.7}}}),
            "103 4.7 is not a valid value for id.",
        ),
        (json!({"contractors": own}), "105 contractors is not allowed."),
        (json!({"contractor": null}), "100 contractor - must exist"),
        (
            json!({"contractor": {"data": {"type": "contractors", "id": "0"}}}),
            "100 contractor - must exist",
        ),
        (
            json!({"contractor": {"data": {"type": "contractors", "id": "99999999999999999999"}}}),
            "100 contractor - must exist",
        ),
    ] {
        assert_eq!(open(bad.clone()).await.errors(), [error], "{bad}");
    }
    let as_attribute = app.open(&contractor, json!({"name": "x", "contractor": "1"})).await;
    assert_eq!(as_attribute.errors(), ["105 contractor is not allowed."]);
}
