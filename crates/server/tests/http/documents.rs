//! Documents, ids and the shape of answers, by the example of accounts.

use serde_json::{Value, json};

use crate::builders::app_with_contractor;
use crate::support::linkage;

#[tokio::test]
async fn documents_are_checked_before_anything_is_looked_up() {
    let (app, contractor) = app_with_contractor().await;
    let own = linkage("contractors", &contractor);
    for (data, error) in [
        (json!(null), "106 The required parameter, data, is missing."),
        (json!({}), "106 The required parameter, data, is missing."),
        (json!([]), "106 The required parameter, data, is missing."),
        (json!([{"type": "accounts"}]), "122 Data must be a hash."),
        (json!("x"), "122 Data must be a hash."),
        (json!(1), "122 Data must be a hash."),
        (json!(false), "122 Data must be a hash."),
        (json!({"attributes": {"name": "x"}}), "106 The required parameter, type, is missing."),
        (
            json!({"type": "account", "attributes": {"foo": 1}}),
            "101 account is not a valid resource.",
        ),
        (json!({"type": "accounts", "id": null}), "105 id is not allowed."),
        (json!({"type": "accounts", "id": "5"}), "105 id is not allowed."),
        (json!({"type": "accounts", "links": {}}), "105 links is not allowed."),
        (json!({"type": "accounts", "meta": {}, "foo": 1}), "105 meta is not allowed."),
        (json!({"type": "accounts", "attributes": null}), "122 Data must be a hash."),
        (json!({"type": "accounts", "attributes": "x"}), "122 Data must be a hash."),
        (json!({"type": "accounts", "attributes": ["a"]}), "105 a is not allowed."),
        (json!({"type": "accounts", "relationships": null}), "122 Data must be a hash."),
        (json!({"type": "accounts", "relationships": []}), "122 Data must be a hash."),
        (
            json!({"type": "accounts", "attributes": {"min_balance": 1}}),
            "105 min_balance is not allowed.",
        ),
        (json!({"type": "accounts", "attributes": {"Name": "x"}}), "105 Name is not allowed."),
        (json!({"type": "accounts", "attributes": {"b": 1, "a": 1}}), "105 b is not allowed."),
        (
            json!({"type": "accounts", "relationships": {"contractor": "x", "foo": own}}),
            "105 foo is not allowed.",
        ),
    ] {
        let reply = app.post("/accounts", json!({"data": data})).await;
        assert_eq!((reply.status, reply.errors()), (400, vec![error.to_owned()]), "{data}");
    }
    let combined = app.post("/accounts?include=foo", json!({"data": {"type": "foos"}})).await;
    assert_eq!(
        combined.errors(),
        ["112 foo is not a valid relationship of accounts", "101 foos is not a valid resource."]
    );
    assert_eq!(app.total("/accounts").await, 0);
}

#[tokio::test]
async fn an_update_names_the_record_of_its_url() {
    let (app, contractor) = app_with_contractor().await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    let before = app.get(&format!("/accounts/{id}")).await.body;
    let document =
        |id: Value| json!({"data": {"type": "accounts", "id": id, "attributes": {"vat": 5}}});
    for (url, sent, error) in [
        ("1", json!("2"), "110 The URL does not support the key 2"),
        ("1", json!(" 1"), "110 The URL does not support the key  1"),
        ("1", json!("+1"), "110 The URL does not support the key +1"),
        ("1", json!("01"), "110 The URL does not support the key 01"),
        ("1", json!(null), "109 The resource object does not contain a key."),
        ("1abc", json!("1abc"), "404 The record identified by 1abc could not be found."),
        ("1.0", json!("1.0"), "404 The record identified by 1.0 could not be found."),
        ("01", json!("01"), "404 The record identified by 01 could not be found."),
        ("0x1", json!("0x1"), "404 The record identified by 0x1 could not be found."),
        ("1_0", json!("1_0"), "404 The record identified by 1_0 could not be found."),
        ("999", json!("999"), "404 The record identified by 999 could not be found."),
        ("abc", json!("abc"), "404 The record identified by abc could not be found."),
    ] {
        let reply = app.patch(&format!("/accounts/{url}"), document(sent)).await;
        assert_eq!(reply.errors(), [error], "{url}");
    }
    assert_eq!(app.get(&format!("/accounts/{id}")).await.body, before);
    let unknown = json!({"data": {"type": "accounts", "id": "999", "attributes": {"foo": 1}}});
    assert_eq!(app.patch("/accounts/999", unknown).await.errors(), ["105 foo is not allowed."]);
}

#[tokio::test]
async fn ids_in_urls_are_plain_integers() {
    let (app, contractor) = app_with_contractor().await;
    let id = app.account(&contractor, json!({"name": "x"})).await;
    let own = app.get(&format!("/accounts/{id}")).await.body;
    for same in ["+1", "1%20", "%201", "1/"] {
        let reply = app.get(&format!("/accounts/{same}")).await;
        assert_eq!((reply.status, &reply.body), (200, &own), "{same}");
    }
    for junk in ["abc", "1.5", "01", "0x1", "1_0", "1,2", "1abc", "%2B"] {
        let shown = junk.replace("%2B", "+");
        let error = [format!("103 {shown} is not a valid value for id.")];
        for path in [
            format!("/accounts/{junk}"),
            format!("/accounts/{junk}/contractor"),
            format!("/accounts/{junk}/relationships/contractor"),
        ] {
            assert_eq!(app.get(&path).await.errors(), error, "{path}");
        }
        assert_eq!(app.delete(&format!("/accounts/{junk}")).await.errors(), error, "{junk}");
    }
    for (absent, shown) in
        [("0", "0"), ("-1", "-1"), ("%2B2", "2"), ("99999999999999999999", "99999999999999999999")]
    {
        let error = [format!("404 The record identified by {shown} could not be found.")];
        assert_eq!(app.get(&format!("/accounts/{absent}")).await.errors(), error);
        assert_eq!(app.delete(&format!("/accounts/{absent}")).await.errors(), error);
    }
    assert_eq!(app.total("/accounts").await, 1);
}

#[tokio::test]
async fn an_answer_to_a_write_has_the_shape_that_was_asked_for() {
    let (app, contractor) = app_with_contractor().await;
    let data = json!({"type": "accounts", "attributes": {"name": "x"}, "relationships": {
        "contractor": linkage("contractors", &contractor),
    }});
    let query = "fields[accounts]=vat,name&include=contractor&fields[contractors]=name";
    let created = app.post(&format!("/accounts?{query}"), json!({ "data": data })).await;
    let root = format!("http://{}/api/rest/admin", app.address);
    let expected = json!({
        "data": {"id": "1", "type": "accounts", "links": {"self": format!("{root}/accounts/1")},
            "attributes": {"vat": "0.0", "name": "x"}},
        "included": [{"id": "1", "type": "contractors",
            "links": {"self": format!("{root}/contractors/1")}, "attributes": {"name": "acme"}}],
    });
    assert_eq!(created.body, expected.to_string());
    let update = json!({"data": {"type": "accounts", "id": "1"}});
    assert_eq!(app.patch(&format!("/accounts/1?{query}"), update.clone()).await.body, created.body);
    let wrong = app.patch("/accounts/1?fields[accounts]=foo", update).await;
    assert_eq!(wrong.errors(), ["104 foo is not a valid field for accounts."]);
}

#[tokio::test]
async fn each_request_looks_at_its_own_parameters_only() {
    let (app, contractor) = app_with_contractor().await;
    app.account(&contractor, json!({"name": "x"})).await;
    let (fields, include, filter, sort, page) = (
        "104 foo is not a valid field for contractors.",
        "112 foo is not a valid relationship of contractors",
        "102 foo is not allowed.",
        "114 foo is not a valid sort criteria for contractors",
        "118 0 is not a valid value for size page parameter.",
    );
    let related = "/accounts/1/contractor";
    for (query, on_lists, on_members, on_writes) in [
        ("fields[contractors]=foo", Some(fields), Some(fields), Some(fields)),
        ("include=foo", Some(include), Some(include), Some(include)),
        ("filter[foo]=1", Some(filter), Some(filter), None),
        (
            "filter[vendor_eq]=junk",
            Some("107 junk is not a valid value for vendor_eq."),
            None,
            None,
        ),
        ("sort=foo", Some(sort), None, None),
        ("page[size]=0", Some(page), None, None),
        ("foo[bar][]=1&_method=DELETE", None, None, None),
    ] {
        let document = json!({"data": {"type": "contractors", "id": "1"}});
        for (error, reply) in [
            (on_lists, app.get(&format!("/contractors?{query}")).await),
            (on_lists, app.get(&format!("{related}?{query}")).await),
            (on_members, app.get(&format!("/contractors/1?{query}")).await),
            (on_writes, app.patch(&format!("/contractors/1?{query}"), document).await),
            (None, app.get(&format!("/accounts/1/relationships/contractor?{query}")).await),
        ] {
            match error {
                None => assert_eq!(reply.status, 200, "{query}: {}", reply.body),
                Some(error) => assert_eq!(reply.errors(), [error], "{query}"),
            }
        }
        let template = format!("/accounts/1/relationships/invoice-template?{query}");
        assert_eq!(app.delete(&template).await.status, 204, "{query}");
    }
    let hidden = app.get("/contractors/1?filter[name]=nobody").await;
    assert_eq!(hidden.attribute("name"), "acme", "filters do not hide members");
    // The source's id, then the query, then whether the source is there.
    for (path, error) in [
        ("/accounts/abc/contractor?sort=foo", "103 abc is not a valid value for id."),
        ("/accounts/999/contractor?sort=foo", sort),
        ("/accounts/999/contractor", "404 The record identified by 999 could not be found."),
    ] {
        assert_eq!(app.get(path).await.errors(), [error], "{path}");
    }
    let delete =
        format!("/accounts/1?{}", "fields[accounts]=foo&include=foo&sort=foo&filter=x&page=0");
    assert_eq!(app.delete(&delete).await.status, 204);
}
