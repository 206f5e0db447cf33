//! Transactions: what they look like, what they refuse, and what they do to the balance.

use serde_json::{Value, json};

use crate::builders::{Made, app_with_accounts};
use crate::support::{Reply, TestApp, linkage};

/// The server with two accounts, of which the first has service 1 and the second service 2. No
/// service can be made yet, so these are put into the database.
async fn app_with_services() -> TestApp {
    let app = app_with_accounts().await;
    let second = app.second_account().await;
    app.alter(&format!(
        "INSERT INTO services (id, name, account_id) VALUES (1, 'line', 1), (2, 'line', {second})"
    ));
    app
}

/// Asks for a transaction of account 1 for a service.
async fn charge_for(app: &TestApp, service: &Value, amount: Value) -> Reply {
    let links = json!({"account": linkage("accounts", "1"), "service": service});
    let attributes = json!({"amount": amount});
    let data = json!({"type": "transactions", "attributes": attributes, "relationships": links});
    app.post("/transactions", json!({ "data": data })).await
}

#[tokio::test]
async fn a_transaction_is_answered_in_full_and_charges_at_once() {
    let app = app_with_services().await;
    let since = app.app.now();
    let reply = app.transaction("1", json!({"amount": "10.50", "description": "set-up"})).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let (created_at, uuid) = (reply.attribute("created-at"), reply.attribute("uuid"));
    let at: jiff::Timestamp = created_at.as_str().unwrap().parse().unwrap();
    assert_eq!(created_at, format!("{at:.3}"));
    assert!(at.as_millisecond() >= since.as_millisecond() && at <= app.app.now());
    let uuid: uuid::Uuid = uuid.as_str().unwrap().parse().unwrap();
    assert_eq!(uuid.get_version_num(), 1);
    let root = format!("http://{}/api/rest/admin/transactions/1", app.address);
    assert_eq!(reply.header("location"), root);
    let links = |name: &str| {
        json!({
            "self": format!("{root}/relationships/{name}"), "related": format!("{root}/{name}"),
        })
    };
    let expected = json!({"data": {
        "id": "1",
        "type": "transactions",
        "links": {"self": root},
        "attributes": {
            "description": "set-up",
            "amount": "10.5",
            "created-at": created_at,
            "uuid": uuid.to_string(),
        },
        "relationships": {
            "account": {
                "links": links("account"), "data": {"type": "accounts", "id": "1"},
            },
            "service": {"links": links("service"), "data": null},
        },
    }});
    assert_eq!(reply.body, expected.to_string());
    assert_eq!(app.get("/transactions/1").await.body, reply.body);
    assert_eq!(app.balances().await, ["-10.5", "0.0"]);
}

#[tokio::test]
async fn a_positive_amount_is_taken_a_negative_one_given_and_no_limit_binds() {
    let app = app_with_accounts().await;
    for (amount, after) in [(json!(10), "-10.0"), (json!("-2.5"), "-7.5"), (json!(-1000), "992.5")]
    {
        app.charge("1", amount).await;
        assert_eq!(app.balances().await, [after, "0.0"]);
    }
}

#[tokio::test]
async fn a_service_belongs_to_the_account_that_is_charged() {
    let app = app_with_services().await;
    for (service, data) in [
        (json!({"data": null}), Value::Null),
        (linkage("services", "1"), json!({"type": "services", "id": "1"})),
    ] {
        let reply = charge_for(&app, &service, json!(2)).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        assert_eq!(reply.json()["data"]["relationships"]["service"]["data"], data);
    }
    let before = app.dump();
    for (service, amount, errors) in [
        ("2", json!(5), &["service - belongs to different account"][..]),
        ("999", json!(5), &["service - must exist"]),
        (
            "2",
            json!(0),
            &["amount - must be other than 0", "service - belongs to different account"],
        ),
        ("999", json!(null), &["service - must exist", "amount - can't be blank"]),
    ] {
        let reply = charge_for(&app, &linkage("services", service), amount).await;
        let errors: Vec<String> = errors.iter().map(|error| format!("100 {error}")).collect();
        assert_eq!((reply.status, reply.errors()), (422, errors));
        assert!(reply.pointers().contains(&"/data/relationships/service".to_owned()));
    }
    let wrong = charge_for(&app, &linkage("accounts", "1"), json!(5)).await;
    assert_eq!(wrong.errors(), ["116 accounts is not a valid type for this operation."]);
    assert_eq!(app.dump(), before);
    assert_eq!(app.balances().await, ["-4.0", "0.0"]);
}

#[tokio::test]
async fn an_amount_is_a_number_other_than_0_and_the_account_comes_first() {
    let app = app_with_accounts().await;
    let before = app.dump();
    for (attributes, message) in [
        (json!({}), "can't be blank"),
        (json!({"amount": ""}), "can't be blank"),
        (json!({"amount": "abc"}), "is not a number"),
        (json!({"amount": "0.0"}), "must be other than 0"),
        (json!({"amount": "1e-13"}), "has too many decimal places"),
    ] {
        let reply = app.transaction("1", attributes.clone()).await;
        let error = format!("100 amount - {message}");
        assert_eq!((reply.status, reply.errors()), (422, vec![error.clone()]), "{attributes}");
        assert_eq!(reply.pointers(), ["/data/attributes/amount"]);
        let reply = app.transaction("999", attributes.clone()).await;
        assert_eq!(reply.errors(), ["100 account - must exist".to_owned(), error], "{attributes}");
    }
    for name in ["created-at", "uuid", "notes", "status"] {
        let reply = app.transaction("1", json!({"amount": 5, name: null})).await;
        let error = format!("105 {name} is not allowed.");
        assert_eq!((reply.status, reply.errors()), (400, vec![error]));
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn an_account_that_cannot_be_charged_says_why() {
    let app = app_with_accounts().await;
    app.alter("UPDATE accounts SET timezone = 'Gone/Zone', name = '' WHERE id = 1");
    app.set_balance("1", "1", json!("-100000000000000000000000000")).await;
    let second = &app.second_account().await;
    let before = app.dump();
    for (account, messages) in [
        ("1", "Name can't be blank, Timezone Gone/Zone is not a valid timezone"),
        (second, "Balance would be out of range"),
    ] {
        let reply = app.transaction(account, json!({"amount": 5})).await;
        let error = format!("100 Unable to charge account: {messages}");
        assert_eq!((reply.status, reply.errors()), (422, vec![error]));
        assert_eq!(reply.pointers(), ["/data"]);
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn the_account_is_audited_and_the_transaction_is_not() {
    let app = app_with_accounts().await;
    let audited = app.total("/audit-records").await;
    app.charge("1", 10).await;
    assert_eq!(app.total("/audit-records").await, audited + 1);
    let updates = "/audit-records?filter[event-eq]=update&filter[item-type]=accounts";
    let [record] = &app.listed(updates).await[..] else { panic!("not one update") };
    assert_eq!(record["item-id"], 1);
    assert_eq!(record["before"], json!({"balance": "0.0"}));
    assert_eq!(record["after"], json!({"balance": "-10.0"}));
}

#[tokio::test]
async fn a_transaction_is_neither_changed_nor_deleted() {
    let app = app_with_services().await;
    app.charge("1", 5).await;
    let before = app.dump();
    for (method, path, allow) in [
        ("PATCH", "/transactions/1", "GET, HEAD"),
        ("PUT", "/transactions/1", "GET, HEAD"),
        ("DELETE", "/transactions/1", "GET, HEAD"),
        ("DELETE", "/transactions", "GET, HEAD, POST"),
    ] {
        let reply = app.write(method, path, "{}").await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{method} {path}");
    }
    for (name, kind) in [("account", "accounts"), ("service", "services")] {
        let path = format!("/transactions/1/relationships/{name}");
        let reply = app.patch(&path, linkage(kind, "1")).await;
        assert_eq!(reply.errors(), [format!("105 {name} is not allowed.")]);
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn transactions_are_found_and_sorted() {
    let app = app_with_accounts().await;
    let second = &app.second_account().await;
    let mut ids = Vec::new();
    for (account, amount, description) in [
        ("1", json!(10), "Set-up"),
        ("1", json!("-2.5"), "Credit"),
        (second, json!(5), "Renew service"),
    ] {
        let attributes = json!({"amount": amount, "description": description});
        let reply = app.transaction(account, attributes).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        ids.push(reply.json()["data"]["id"].as_str().unwrap().to_owned());
        // A millisecond is the least by which times differ on the wire.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let made = Made::new(ids);
    let credit = app.attributes(&format!("/transactions/{}", made.id(2))).await;
    let uuid = credit["uuid"].as_str().unwrap().to_owned();
    for (filter, found) in [
        (format!("uuid_eq]={uuid}"), &[2][..]),
        (format!("uuid-in]={},junk", uuid.to_uppercase()), &[2]),
        (format!("uuid-not-eq]={uuid}"), &[1, 3]),
        ("created-at-gteq]=2026-01-01".to_owned(), &[1, 2, 3]),
        ("created_at_lt]=2026-01-01".to_owned(), &[]),
        ("amount-gt]=-2.5".to_owned(), &[1, 3]),
        ("amount_eq]=5.00".to_owned(), &[3]),
        ("description-cont]=RE".to_owned(), &[2, 3]),
        ("description_start]=set".to_owned(), &[1]),
        (format!("id]={}", made.id(3)), &[3]),
    ] {
        let path = format!("/transactions?filter[{filter}");
        let found = made.ordered(found.iter().copied());
        assert_eq!(made.on(&app, &path).await, found, "{filter}");
    }
    let mut downwards = made.by_id();
    downwards.reverse();
    for (sort, found) in
        [("amount", &[2, 3, 1][..]), ("-created-at", &[3, 2, 1]), ("-id", &downwards)]
    {
        assert_eq!(made.on(&app, &format!("/transactions?sort={sort}")).await, found, "{sort}");
    }
    for name in ["description", "uuid"] {
        let reply = app.get(&format!("/transactions?sort={name}")).await;
        let error = format!("114 {name} is not a valid sort criteria for transactions");
        assert_eq!((reply.status, reply.errors()), (400, vec![error]));
    }
}
