//! Contractors: customers, vendors, or both.

use serde_json::{Value, json};

use crate::support::{TestApp, linkage};

async fn open(app: &TestApp, attributes: Value) -> crate::support::Reply {
    let data = json!({"type": "contractors", "attributes": attributes});
    app.post("/contractors", json!({ "data": data })).await
}

#[tokio::test]
async fn a_contractor_is_answered_with_all_it_has() {
    let app = TestApp::start().await;
    let attributes = json!({"name": "acme", "enabled": true, "vendor": false, "customer": true});
    let reply = open(&app, attributes).await;
    let root = format!("http://{}/api/rest/admin/contractors/1", app.address);
    let expected = json!({"data": {
        "id": "1",
        "type": "contractors",
        "links": {"self": root},
        "attributes": {
            "name": "acme", "enabled": true, "vendor": false, "customer": true,
            "description": null, "address": null, "phones": null, "external-id": null,
        },
        "relationships": {"smtp-connection": {
            "links": {
                "self": format!("{root}/relationships/smtp-connection"),
                "related": format!("{root}/smtp-connection"),
            },
            "data": null,
        }},
    }});
    assert_eq!((reply.status, reply.body), (201, expected.to_string()));
}

#[tokio::test]
async fn a_contractor_is_a_customer_or_a_vendor() {
    let app = TestApp::start().await;
    let neither = [
        "100 vendor - Must be customer and/or vendor",
        "100 customer - Must be customer and/or vendor",
    ];
    for attributes in [
        json!({"name": "a", "enabled": true, "vendor": false, "customer": false}),
        json!({"name": "a", "enabled": true}),
        json!({"name": "a", "enabled": true, "vendor": null, "customer": "off"}),
    ] {
        let reply = open(&app, attributes).await;
        assert_eq!(reply.errors(), neither);
        assert_eq!(reply.pointers(), ["/data/attributes/vendor", "/data/attributes/customer"]);
    }
    let id = app.contractor("both").await;
    let update = async |attributes| app.update("contractors", &id, attributes).await;
    assert_eq!(update(json!({"vendor": false})).await.status, 200);
    assert_eq!(update(json!({"customer": false})).await.errors(), neither);
    assert_eq!(update(json!({"customer": false, "vendor": true})).await.status, 200);
}

#[tokio::test]
async fn what_the_reference_left_to_its_database_is_a_clear_refusal() {
    let app = TestApp::start().await;
    for (attributes, error) in [
        (json!({"name": "a", "vendor": true, "customer": true}), "100 enabled - can't be blank"),
        (
            json!({"name": "a", "enabled": "", "vendor": true, "customer": true}),
            "100 enabled - can't be blank",
        ),
        (json!({"name": "a", "enabled": true, "customer": true}), "100 vendor - can't be blank"),
        (json!({"name": "a", "enabled": true, "vendor": true}), "100 customer - can't be blank"),
        (json!({"enabled": true, "vendor": true, "customer": true}), "100 name - can't be blank"),
    ] {
        let reply = open(&app, attributes).await;
        assert_eq!((reply.status, reply.errors()), (422, vec![error.to_owned()]));
    }
    assert_eq!(app.total("/contractors").await, 0);
}

#[tokio::test]
async fn yes_and_no_are_read_leniently() {
    let app = TestApp::start().await;
    let id = app.contractor("acme").await;
    for no in [
        json!(false),
        json!(0),
        json!("0"),
        json!("f"),
        json!("F"),
        json!("false"),
        json!("FALSE"),
        json!("off"),
        json!("OFF"),
    ] {
        let reply = app.update("contractors", &id, json!({"enabled": no})).await;
        assert_eq!(reply.attribute("enabled"), false, "{no}");
    }
    for yes in [
        json!(true),
        json!(1),
        json!(2),
        json!("yes"),
        json!("junk"),
        json!("False"),
        json!(" "),
        json!([]),
        json!({}),
    ] {
        let reply = app.update("contractors", &id, json!({"enabled": yes})).await;
        assert_eq!(reply.attribute("enabled"), true, "{yes}");
    }
}

#[tokio::test]
async fn names_and_external_ids_are_unique() {
    let app = TestApp::start().await;
    let attributes = |name: &str, external_id: Value| json!({"name": name, "enabled": true, "vendor": true, "customer": true, "external-id": external_id});
    assert_eq!(open(&app, attributes("a", json!(77))).await.status, 201);
    assert_eq!(open(&app, attributes("A", json!(null))).await.status, 201);
    assert_eq!(
        open(&app, attributes("a", json!("77"))).await.errors(),
        ["100 name - has already been taken", "100 external-id - has already been taken"]
    );
    for (sent, message) in [
        (json!("abc"), "is not a number"),
        (json!(1.5), "must be an integer"),
        (json!("9223372036854775808"), "must be less than or equal to 9223372036854775807"),
    ] {
        let reply = open(&app, attributes("b", sent)).await;
        assert_eq!(reply.errors(), [format!("100 external-id - {message}")]);
    }
}

#[tokio::test]
async fn free_texts_are_kept_as_they_are() {
    let app = TestApp::start().await;
    let id = app.contractor("acme").await;
    for name in ["description", "address", "phones"] {
        for (sent, stored) in [
            (json!("line\nline\tЮ 😀"), json!("line\nline\tЮ 😀")),
            (json!(""), json!("")),
            (json!(5), json!("5")),
            (json!(null), json!(null)),
        ] {
            let reply = app.update("contractors", &id, json!({ name: sent })).await;
            assert_eq!(reply.attribute(name), stored);
        }
        for invalid in [json!({"a": 1}), json!([1]), json!("\u{0}")] {
            let reply = app.update("contractors", &id, json!({ name: invalid })).await;
            assert_eq!(reply.errors(), [format!("100 {name} - is invalid")]);
        }
    }
}

#[tokio::test]
async fn an_smtp_connection_must_exist_and_is_filtered_by() {
    let app = TestApp::start().await;
    let server = json!({"name": "s", "host": "h", "from-address": "a@example.com"});
    let server = app.create("smtp-connections", server, json!({})).await;
    let id = app.contractor("acme").await;
    app.contractor("other").await;
    let path = format!("/contractors/{id}/relationships/smtp-connection");
    let unknown = app.patch(&path, linkage("smtp-connections", "999")).await;
    assert_eq!(unknown.errors(), ["100 smtp-connection - must exist"]);
    assert_eq!(unknown.pointers(), ["/data/relationships/smtp-connection"]);
    assert_eq!(app.patch(&path, linkage("smtp-connections", &server)).await.status, 204);
    assert_eq!(
        app.ids(&format!("/contractors?filter[smtp-connection.id]={server}")).await,
        std::slice::from_ref(&id)
    );
    let refused = app.delete(&format!("/smtp-connections/{server}")).await;
    let error = "100 Cannot delete record because dependent contractors exist";
    assert_eq!((refused.status, refused.errors()), (422, vec![error.to_owned()]));
    assert_eq!(app.delete(&path).await.status, 204);
    assert_eq!(app.delete(&format!("/smtp-connections/{server}")).await.status, 204);
}

#[tokio::test]
async fn a_contractor_with_accounts_stays_and_one_without_takes_its_contacts_along() {
    let app = TestApp::start().await;
    let (kept, gone) = (app.contractor("kept").await, app.contractor("gone").await);
    let contact = app.contact(&gone, "a@example.com").await;
    app.contact(&gone, "b@example.com").await;
    let left = app.contact(&kept, "c@example.com").await;
    let recipients: i64 = contact.parse().unwrap();
    let account = json!({"name": "x", "send-invoices-to": [recipients]});
    let account = app.account(&kept, account).await;
    let refused = app.delete(&format!("/contractors/{kept}")).await;
    let error = "100 Cannot delete record because dependent accounts exist";
    assert_eq!((refused.status, refused.errors()), (422, vec![error.to_owned()]));
    assert_eq!(refused.pointers(), ["/data"]);
    assert_eq!(app.delete(&format!("/contractors/{gone}")).await.status, 204);
    assert_eq!(app.delete(&format!("/contractors/{gone}")).await.status, 404);
    assert_eq!(app.total("/contacts").await, 1);
    assert_eq!(app.ids("/contacts").await, [left]);
    // Recipient lists are left as they are (contract, resources 4).
    let lists = app.attributes(&format!("/accounts/{account}")).await;
    assert_eq!(lists["send-invoices-to"], json!([recipients]));
    let audit = "/audit-records?filter[event_eq]=delete&filter[item-type]=contacts";
    assert_eq!(app.total(audit).await, 2);
    assert_eq!(app.delete(&format!("/accounts/{account}")).await.status, 204);
    assert_eq!(app.delete(&format!("/contractors/{kept}")).await.status, 204);
    assert_eq!((app.total("/contractors").await, app.total("/contacts").await), (0, 0));
}

#[tokio::test]
async fn junk_in_a_filter_by_yes_or_no_is_refused() {
    let app = TestApp::start().await;
    app.contractor("acme").await;
    for (value, found) in
        [("true", 1), ("TRUE", 1), ("t", 1), ("1", 1), ("false", 0), ("F", 0), ("0", 0)]
    {
        assert_eq!(app.total(&format!("/contractors?filter[vendor_eq]={value}")).await, found);
        let not = app.total(&format!("/contractors?filter[vendor_not_eq]={value}")).await;
        assert_eq!(not, 1 - found);
    }
    for junk in ["no", "maybe", "True", "2"] {
        let reply = app.get(&format!("/contractors?filter[vendor_eq]={junk}")).await;
        let error = format!("107 {junk} is not a valid value for vendor_eq.");
        assert_eq!((reply.status, reply.errors()), (400, vec![error]));
    }
}
