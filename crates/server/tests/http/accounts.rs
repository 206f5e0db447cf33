//! Accounts: what they begin with, what an update changes, and what is left after a delete.

use serde_json::json;

use crate::builders::app_with_contractor;
use crate::support::linkage;

#[tokio::test]
async fn an_account_needs_a_name_and_a_contractor_and_gets_the_rest() {
    let (app, contractor) = app_with_contractor().await;
    let reply = app.open(&contractor, json!({"name": "first"})).await;
    assert_eq!(reply.status, 201);
    let id = "1";
    let root = format!("http://{}/api/rest/admin/accounts/{id}", app.address);
    let uuid = reply.attribute("uuid").as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), root);
    assert_eq!(
        reply.body,
        json!({"data": {
            "id": id,
            "type": "accounts",
            "links": {"self": root},
            "attributes": {
                "name": "first",
                "balance": "0.0",
                "min-balance": "0.0",
                "max-balance": "0.0",
                "vat": "0.0",
                "balance-low-threshold": null,
                "balance-high-threshold": null,
                "send-balance-notifications-to": null,
                "destination-rate-limit": null,
                "max-call-duration": null,
                "external-id": null,
                "uuid": uuid,
                "origination-capacity": null,
                "termination-capacity": null,
                "total-capacity": null,
                "send-invoices-to": null,
                "invoice-period-id": null,
                "timezone": "UTC",
            },
            "relationships": {
                "contractor": {
                    "links": {
                        "self": format!("{root}/relationships/contractor"),
                        "related": format!("{root}/contractor"),
                    },
                    "data": {"type": "contractors", "id": contractor},
                },
                "invoice-template": {
                    "links": {
                        "self": format!("{root}/relationships/invoice-template"),
                        "related": format!("{root}/invoice-template"),
                    },
                    "data": null,
                },
            },
        }})
        .to_string()
    );
    let nothing = app.post("/accounts", json!({"data": {"type": "accounts"}})).await;
    assert_eq!(nothing.status, 422);
    assert_eq!(nothing.errors(), ["100 contractor - must exist", "100 name - can't be blank"]);
    assert_eq!(nothing.pointers(), ["/data/relationships/contractor", "/data/attributes/name"]);
}

#[tokio::test]
async fn a_name_is_unique_and_case_matters() {
    let (app, contractor) = app_with_contractor().await;
    let first = app.account(&contractor, json!({"name": "Alpha"})).await;
    let second = app.account(&contractor, json!({"name": "ALPHA"})).await;
    let taken = ["100 name - has already been taken"];
    let create = app.open(&contractor, json!({"name": "Alpha"})).await;
    assert_eq!(create.errors(), taken);
    assert_eq!(create.pointers(), ["/data/attributes/name"]);
    let rename = app.update("accounts", &second, json!({"name": "Alpha"})).await;
    assert_eq!(rename.errors(), taken);
    assert_eq!(app.update("accounts", &first, json!({"name": "Alpha"})).await.status, 200);
    assert_eq!(app.delete(&format!("/accounts/{first}")).await.status, 204);
    assert_eq!(app.update("accounts", &second, json!({"name": "Alpha"})).await.status, 200);
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_in_the_order_of_the_contract() {
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "taken", "external-id": 1})).await;
    let document = json!({"data": {"type": "accounts", "attributes": {
        "send-invoices-to": "x",
        "send-balance-notifications-to": "x",
        "balance-high-threshold": "x",
        "balance-low-threshold": "x",
        "invoice-period-id": "x",
        "max-call-duration": "x",
        "destination-rate-limit": "x",
        "vat": "x",
        "external-id": 1,
        "total-capacity": "x",
        "origination-capacity": "x",
        "termination-capacity": "x",
        "max-balance": "x",
        "timezone": "",
        "name": "taken",
        "uuid": "x",
        "min-balance": "x",
    }, "relationships": {
        "invoice-template": linkage("invoice-templates", "999"),
        "contractor": linkage("contractors", "999"),
    }}});
    let reply = app.post("/accounts", document).await;
    assert_eq!(reply.status, 422);
    let members: Vec<String> =
        reply.errors().iter().map(|error| error.strip_prefix("100 ").unwrap().to_owned()).collect();
    assert_eq!(
        members,
        [
            "contractor - must exist",
            "invoice-template - must exist",
            "min-balance - is not a number",
            "uuid - is invalid",
            "name - has already been taken",
            "timezone - can't be blank",
            "timezone -  is not a valid timezone",
            "max-balance - is not a number",
            "termination-capacity - is not a number",
            "origination-capacity - is not a number",
            "total-capacity - is not a number",
            "external-id - has already been taken",
            "vat - is not a number",
            "destination-rate-limit - is not a number",
            "max-call-duration - is not a number",
            "invoice-period-id - is not included in the list",
            "balance-low-threshold - is not a number",
            "balance-high-threshold - is not a number",
            "send-balance-notifications-to - is invalid",
            "send-invoices-to - is invalid",
        ]
    );
    assert_eq!(app.total("/accounts").await, 1);
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let (app, contractor) = app_with_contractor().await;
    let full = json!({
        "name": "full", "min-balance": -1, "max-balance": 5, "vat": 20, "external-id": 3,
        "balance-low-threshold": 1, "balance-high-threshold": 2, "max-call-duration": 60,
        "send-invoices-to": [1], "send-balance-notifications-to": [2], "total-capacity": 3,
        "destination-rate-limit": "0.5", "timezone": "Europe/Kyiv",
    });
    let id = app.account(&contractor, full).await;
    let path = format!("/accounts/{id}");
    let mut expected = app.attributes(&path).await;
    for (name, sent, stored) in [
        ("vat", json!("7.50"), json!("7.5")),
        ("external-id", json!(null), json!(null)),
        ("send-invoices-to", json!([]), json!(null)),
        ("total-capacity", json!(""), json!(null)),
        ("max-call-duration", json!("90"), json!(90)),
    ] {
        expected[name] = stored;
        for method in ["PATCH", "PUT"] {
            let data = json!({"type": "accounts", "id": id, "attributes": {name: sent}});
            let reply = app.write(method, &path, json!({ "data": data }).to_string()).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            assert!(!reply.headers.contains_key("location"));
            assert_eq!(reply.json()["data"]["attributes"], expected);
            assert_eq!(app.get(&path).await.body, reply.body);
        }
    }
    for data in [
        json!({"type": "accounts", "id": id}),
        json!({"type": "accounts", "id": id.parse::<i64>().unwrap(), "attributes": {}}),
        json!({"type": "Accounts", "id": id, "relationships": {}}),
    ] {
        let reply = app.patch(&path, json!({ "data": data })).await;
        assert_eq!((reply.status, &reply.body), (200, &app.get(&path).await.body));
    }
}

#[tokio::test]
async fn the_balance_is_not_written_here() {
    let (app, contractor) = app_with_contractor().await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    let error = ["105 balance is not allowed."];
    assert_eq!(app.open(&contractor, json!({"name": "y", "balance": 0})).await.errors(), error);
    let reply = app.update("accounts", &id, json!({"balance": "0.0", "name": "z"})).await;
    assert_eq!((reply.status, reply.errors()), (400, error.map(str::to_owned).to_vec()));
    assert_eq!(app.attributes(&format!("/accounts/{id}")).await["name"], "x");
}

#[tokio::test]
async fn a_deleted_account_is_gone_and_its_id_is_never_used_again() {
    let (app, contractor) = app_with_contractor().await;
    let id = app.account(&contractor, json!({"name": "x", "send-invoices-to": [1, 2]})).await;
    let reply = app.delete(&format!("/accounts/{id}")).await;
    assert_eq!(reply.status, 204);
    assert!(!reply.bare().contains_key("content-type"));
    assert_eq!(reply.header("cache-control"), "no-cache");
    let gone = [format!("404 The record identified by {id} could not be found.")];
    assert_eq!(app.delete(&format!("/accounts/{id}")).await.errors(), gone);
    assert_eq!(app.get(&format!("/accounts/{id}")).await.errors(), gone);
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM list_members"), 0);
    let next = app.account(&contractor, json!({"name": "x"})).await;
    assert_ne!(next, id);
}

#[tokio::test]
async fn a_stored_value_that_has_become_invalid_blocks_other_changes() {
    let (app, contractor) = app_with_contractor().await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    app.alter("UPDATE accounts SET timezone = 'Gone/Zone'");
    let reply = app.update("accounts", &id, json!({"vat": 5})).await;
    assert_eq!(reply.errors(), ["100 timezone - Gone/Zone is not a valid timezone"]);
    let both = json!({"vat": 5, "timezone": "UTC"});
    assert_eq!(app.update("accounts", &id, both).await.attribute("vat"), "5.0");
}
