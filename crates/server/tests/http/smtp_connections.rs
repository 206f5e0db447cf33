//! SMTP connections: how mail leaves, and what happens to the password.

use serde_json::{Value, json};

use crate::support::TestApp;

const PASSWORD: &str = "correct horse";

async fn app_with(attributes: Value) -> (TestApp, String) {
    let app = TestApp::start().await;
    let id = app.create("smtp-connections", attributes, json!({})).await;
    (app, id)
}

fn server() -> Value {
    json!({"name": "s", "host": "mail.example.com", "from-address": "noc@example.com"})
}

#[tokio::test]
async fn what_is_left_out_has_a_default() {
    let (app, id) = app_with(server()).await;
    assert_eq!(
        app.get(&format!("/smtp-connections/{id}")).await.json()["data"],
        json!({
            "id": id,
            "type": "smtp-connections",
            "links": {"self": format!("http://{}/api/rest/admin/smtp-connections/{id}", app.address)},
            "attributes": {
                "name": "s",
                "host": "mail.example.com",
                "port": 25,
                "from-address": "noc@example.com",
                "auth-user": null,
                "auth-password": null,
                "global": true,
            },
        })
    );
}

#[tokio::test]
async fn a_password_is_taken_but_never_given_back() {
    let mut attributes = server();
    attributes["auth-password"] = json!(PASSWORD);
    let (app, id) = app_with(attributes).await;
    let path = format!("/smtp-connections/{id}");
    let column = "SELECT auth_password FROM smtp_connections";
    let sealed: String = app.stored(column);
    let null = Value::Null;
    assert_eq!(app.attributes(&path).await["auth-password"], null);
    let alone = format!("{path}?fields[smtp-connections]=auth-password");
    assert_eq!(app.attributes(&alone).await, json!({"auth-password": null}));
    let renamed = app.update("smtp-connections", &id, json!({"name": "t"})).await;
    assert_eq!(renamed.attribute("auth-password"), null);
    assert_eq!(app.stored::<String>(column), sealed, "an update that does not name it keeps it");
    let again = app.update("smtp-connections", &id, json!({"auth-password": PASSWORD})).await;
    assert_eq!(again.attribute("auth-password"), null);
    assert_ne!(app.stored::<String>(column), sealed, "sealed anew");
    for path in ["/smtp-connections", "/audit-records", "/audit-records?sort=-id"] {
        let body = app.get(path).await.body;
        assert!(!body.contains(PASSWORD) && !body.contains(&sealed), "{body}");
    }
    let records = app.get("/audit-records?filter[item-type]=smtp-connections&sort=id").await.json();
    let audited = |at: usize, state: &str| records["data"][at]["attributes"][state].clone();
    assert_eq!(audited(0, "after")["auth-password"], null);
    assert_eq!(
        (audited(2, "before"), audited(2, "after")),
        (json!({"auth-password": null}), json!({"auth-password": null}))
    );
    let cleared = app.update("smtp-connections", &id, json!({"auth-password": null})).await;
    assert_eq!(cleared.status, 200);
    assert_eq!(app.stored::<Option<String>>(column), None);
    assert_eq!(app.delete(&path).await.status, 204);
    assert!(!app.get("/audit-records?sort=-id").await.body.contains(PASSWORD));
}

#[tokio::test]
async fn a_password_is_encrypted_at_rest() {
    let mut attributes = server();
    attributes["auth-password"] = json!(PASSWORD);
    let (app, _) = app_with(attributes).await;
    let sealed: String = app.stored("SELECT auth_password FROM smtp_connections");
    assert!(!sealed.contains(PASSWORD));
    let cipher = tollkeeper::secrets::Cipher::new(crate::support::SECRET);
    assert_eq!(cipher.open(&sealed).as_deref(), Some(PASSWORD));
    assert!(!app.dump().contains(PASSWORD), "the password is in a row");
    for file in std::fs::read_dir(app.directory()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let found = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
        assert!(!found, "the password is in a file of the database");
    }
}

#[tokio::test]
async fn every_rule_is_told_on_its_attribute() {
    let (app, id) = app_with(server()).await;
    for (name, sent, messages) in [
        ("name", json!(""), vec!["can't be blank"]),
        ("host", json!(null), vec!["can't be blank"]),
        ("port", json!(null), vec!["can't be blank"]),
        ("port", json!("abc"), vec!["is not a number"]),
        ("port", json!(2.5), vec!["must be an integer"]),
        ("port", json!(0), vec!["must be greater than 0"]),
        ("port", json!(65536), vec!["must be less than or equal to 65535"]),
        ("from-address", json!(""), vec!["can't be blank", "is invalid"]),
        ("from-address", json!(null), vec!["can't be blank", "is invalid"]),
        ("from-address", json!("noc@host"), vec!["is invalid"]),
        ("from-address", json!("a@b.cc\r\nBcc: x@y.zz"), vec!["is invalid"]),
        ("from-address", json!({"a": 1}), vec!["is invalid"]),
        ("global", json!(null), vec!["can't be blank"]),
        ("auth-password", json!({"a": 1}), vec!["is invalid"]),
    ] {
        let reply = app.update("smtp-connections", &id, json!({ name: sent })).await;
        let errors: Vec<String> =
            messages.iter().map(|message| format!("100 {name} - {message}")).collect();
        assert_eq!((reply.status, reply.errors()), (422, errors), "{name}: {sent}");
    }
    let twin = json!({"data": {"type": "smtp-connections", "attributes": server()}});
    let taken = ["100 name - has already been taken"];
    assert_eq!(app.post("/smtp-connections", twin).await.errors(), taken);
    let nothing = json!({"data": {"type": "smtp-connections"}});
    assert_eq!(
        app.post("/smtp-connections", nothing).await.errors(),
        [
            "100 name - can't be blank",
            "100 host - can't be blank",
            "100 from-address - can't be blank",
            "100 from-address - is invalid",
        ]
    );
}

#[tokio::test]
async fn several_may_be_global_and_a_name_finds_one() {
    let (app, _) = app_with(server()).await;
    let mut other = server();
    other["name"] = json!("t");
    other["port"] = json!("587");
    let id = app.create("smtp-connections", other, json!({})).await;
    assert_eq!(app.ids("/smtp-connections?filter[name]=t").await, [id]);
    let unknown = app.get("/smtp-connections?filter[host_eq]=x").await;
    assert_eq!(unknown.errors(), ["102 host_eq is not allowed."]);
}
