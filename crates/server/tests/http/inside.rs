//! Requests of the process to its own API, for callers who are known already.

use std::sync::Arc;

use hyper::Method;
use serde_json::json;
use tollkeeper::auth::Caller;
use tollkeeper::inside::{Inside, Wrong};
use tollkeeper::router::router;

use crate::builders::app_with_contractor;
use crate::support::{TestApp, linkage};

fn inside(app: &TestApp) -> Inside {
    Inside::new(router(&app.app))
}

/// The operator `admin`, as a session of theirs would know them.
async fn admin(app: &TestApp) -> Caller {
    let operator = app.app.store.operators().await.unwrap().remove(0);
    Caller {
        operator: Some(Arc::new(operator)),
        address: Some("192.0.2.7".parse().unwrap()),
        request_id: Some("from inside".to_owned()),
    }
}

#[tokio::test]
async fn who_is_known_needs_no_token_and_everybody_else_does() {
    let (app, contractor) = app_with_contractor().await;
    let (inside, caller) = (inside(&app), admin(&app).await);
    let body = json!({"data": {"type": "accounts", "attributes": {"name": "a"},
        "relationships": {"contractor": linkage("contractors", &contractor)}}});
    let made = inside.ask(&caller, Method::POST, "/accounts", Some(&body), &[]).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["data"]["id"].as_str().unwrap().to_owned();
    let shown = inside.ask(&caller, Method::GET, &format!("/accounts/{id}"), None, &[]).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.json()["data"]["links"]["self"], format!("/api/rest/admin/accounts/{id}"));
    let audited = app.get("/audit-records?sort=-id&page[size]=1").await.json();
    let audited = &audited["data"][0]["attributes"];
    assert_eq!(audited["actor"], "admin");
    assert_eq!(audited["ip"], "192.0.2.7");
    assert_eq!(audited["request-id"], "from inside");
    // Whatever comes over the network says who it is.
    for headers in [vec![], vec![("admitted", "1"), ("x-admitted", "admin")]] {
        for (method, path) in [("GET", "/accounts"), ("POST", "/accounts"), ("GET", "/accounts/1")]
        {
            assert_eq!(app.send(method, path, &headers, "").await.status, 401);
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_what_is_wrong_with_which_member() {
    let (app, _) = app_with_contractor().await;
    let (inside, caller) = (inside(&app), admin(&app).await);
    let post = async |data: serde_json::Value| {
        let body = json!({ "data": data });
        inside.ask(&caller, Method::POST, "/accounts", Some(&body), &[]).await
    };
    let wrong = |member: Option<&str>, message: &str, detail: &str| Wrong {
        member: member.map(str::to_owned),
        message: message.to_owned(),
        detail: detail.to_owned(),
    };
    let refused = post(json!({"type": "accounts", "attributes": {"name": ""}})).await;
    assert_eq!(refused.status, 422);
    let errors = refused.errors();
    assert!(errors.contains(&wrong(Some("name"), "can't be blank", "name - can't be blank")));
    assert!(errors.contains(&wrong(Some("contractor"), "must exist", "contractor - must exist")));
    let refused = post(json!({"type": "accounts", "attributes": {"no": 1}})).await;
    assert_eq!(refused.errors(), [wrong(None, "no is not allowed.", "no is not allowed.")]);
    let lost = inside.ask(&caller, Method::GET, "/no such path", None, &[]).await;
    assert_eq!(lost.status, 400);
    let lost = inside.ask(&caller, Method::GET, "/none", None, &[]).await;
    assert_eq!(lost.status, 404);
}

#[tokio::test]
async fn a_trial_is_answered_as_if_it_had_happened_and_leaves_nothing() {
    let (app, contractor) = app_with_contractor().await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    let (inside, caller) = (inside(&app), admin(&app).await);
    let before = app.dump();
    let named = |name: &str| {
        json!({"data": {"type": "accounts", "attributes": {"name": name},
            "relationships": {"contractor": linkage("contractors", &contractor)}}})
    };
    let tried = inside.try_out(&caller, Method::POST, "/accounts", Some(&named("b"))).await;
    assert_eq!(
        (tried.status.as_u16(), &tried.json()["data"]["attributes"]["name"]),
        (201, &json!("b"))
    );
    let tried = inside.try_out(&caller, Method::POST, "/accounts", Some(&named("a"))).await;
    assert_eq!(tried.status, 422);
    assert_eq!(tried.errors()[0].detail, "name - has already been taken");
    let payment = json!({"data": {"type": "payments", "attributes": {"amount": "5"},
        "relationships": {"account": linkage("accounts", &account)}}});
    let tried = inside.try_out(&caller, Method::POST, "/payments", Some(&payment)).await;
    assert_eq!(tried.status, 201, "{tried:?}");
    let change = json!({"data": {"type": "accounts", "id": account, "attributes": {"vat": 20}}});
    let path = format!("/accounts/{account}");
    let tried = inside.try_out(&caller, Method::PATCH, &path, Some(&change)).await;
    assert_eq!(tried.json()["data"]["attributes"]["vat"], "20.0");
    assert_eq!(inside.try_out(&caller, Method::DELETE, &path, None).await.status, 204);
    assert_eq!(app.dump(), before);
}
