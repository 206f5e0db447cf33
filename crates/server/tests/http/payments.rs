//! Payments: what they look like, what they refuse, what they do to the balance, and how they are
//! taken back.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::builders::{Made, app_with_accounts};
use crate::concurrency::{all_at_once, count};
use crate::support::{TestApp, linkage};

/// Asserts that a time on the wire has milliseconds, and lies between `since` and now.
fn assert_recent(app: &TestApp, since: jiff::Timestamp, time: &Value) {
    let text = time.as_str().unwrap();
    let at: jiff::Timestamp = text.parse().unwrap();
    assert_eq!(text, format!("{at:.3}"), "three fraction digits");
    assert!(at.as_millisecond() >= since.as_millisecond() && at <= app.app.now(), "{text}");
}

#[tokio::test]
async fn a_payment_is_answered_in_full_and_moves_the_balance_at_once() {
    let app = app_with_accounts().await;
    let since = app.app.now();
    app.correct("1", "1", json!("7.25")).await;
    let attributes = json!({"amount": "10.50", "notes": "thanks", "private-notes": "pays late"});
    let reply = app.payment("1", attributes).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert_recent(&app, since, &reply.attribute("created-at"));
    let root = format!("http://{}/api/rest/admin/payments/1", app.address);
    assert_eq!(reply.header("location"), root);
    let expected = json!({"data": {
        "id": "1",
        "type": "payments",
        "links": {"self": root},
        "attributes": {
            "created-at": reply.attribute("created-at"),
            "amount": "10.5",
            "notes": "thanks",
            "private-notes": "pays late",
            "status": "completed",
            "type-name": "manual",
            "balance-before-payment": "7.25",
            "rolledback-at": null,
        },
        "relationships": {
            "account": {
                "links": {
                    "self": format!("{root}/relationships/account"),
                    "related": format!("{root}/account"),
                },
                "data": {"type": "accounts", "id": "1"},
            },
        },
    }});
    assert_eq!(reply.body, expected.to_string());
    assert_eq!(app.get("/payments/1").await.body, reply.body);
    assert_eq!(app.balances().await, ["17.75", "0.0"]);
}

#[tokio::test]
async fn an_external_id_is_shown_where_there_is_one() {
    let app = app_with_accounts().await;
    let with = app.payment("1", json!({"amount": 1, "external-id": "inv-1"})).await;
    let names = |reply: &crate::support::Reply| -> Vec<String> {
        reply.json()["data"]["attributes"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(&with).last().unwrap(), "external-id");
    assert_eq!(with.attribute("external-id"), "inv-1");
    let without = app.payment("1", json!({"amount": 1, "external-id": null})).await;
    assert!(!names(&without).contains(&"external-id".to_owned()), "{}", without.body);
    let asked = app.attributes("/payments/2?fields[payments]=external-id").await;
    assert_eq!(asked, json!({"external-id": null}));
}

#[tokio::test]
async fn a_negative_payment_takes_money_and_no_limit_binds() {
    let app = app_with_accounts().await;
    assert_eq!(
        app.update("accounts", "1", json!({"min-balance": -1, "max-balance": 1})).await.status,
        200
    );
    for (amount, before, after) in [
        (json!(10), "0.0", "10.0"),
        (json!("-3"), "10.0", "7.0"),
        (json!(-5000), "7.0", "-4993.0"),
        (json!("1e-12"), "-4993.0", "-4992.999999999999"),
        (json!(1_000_000), "-4992.999999999999", "995007.000000000001"),
    ] {
        let reply = app.payment("1", json!({"amount": amount})).await;
        assert_eq!(reply.attribute("balance-before-payment"), before, "{amount}");
        assert_eq!(app.balances().await, [after, "0.0"], "{amount}");
    }
}

#[tokio::test]
async fn an_amount_is_a_number_other_than_0() {
    let app = app_with_accounts().await;
    let before = app.dump();
    for (attributes, message) in [
        (json!({}), "can't be blank"),
        (json!({"amount": null}), "can't be blank"),
        (json!({"amount": ""}), "can't be blank"),
        (json!({"amount": "abc"}), "is not a number"),
        (json!({"amount": "12abc"}), "is not a number"),
        (json!({"amount": true}), "is not a number"),
        (json!({"amount": [1]}), "is not a number"),
        (json!({"amount": 0}), "must be other than 0"),
        (json!({"amount": "-0.00"}), "must be other than 0"),
        (json!({"amount": "0.0000000000001"}), "has too many decimal places"),
        (json!({"amount": "1e27"}), "must be less than or equal to 100000000000000000000000000"),
    ] {
        let reply = app.payment("1", attributes.clone()).await;
        let error = format!("100 amount - {message}");
        assert_eq!((reply.status, reply.errors()), (422, vec![error]), "{attributes}");
        assert_eq!(reply.pointers(), ["/data/attributes/amount"], "{attributes}");
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn the_account_is_the_first_thing_that_is_missed() {
    let app = app_with_accounts().await;
    let before = app.dump();
    for (links, amount, message) in [
        (json!({}), json!(null), "can't be blank"),
        (json!({"account": {"data": null}}), json!("x"), "is not a number"),
        (json!({"account": linkage("accounts", "999")}), json!(0), "must be other than 0"),
    ] {
        let attributes = json!({"amount": amount});
        let data = json!({"type": "payments", "attributes": attributes, "relationships": links});
        let reply = app.post("/payments", json!({ "data": data })).await;
        let errors = ["100 account - must exist".to_owned(), format!("100 amount - {message}")];
        assert_eq!((reply.status, reply.errors()), (422, errors.to_vec()), "{links}");
        let pointers = ["/data/relationships/account", "/data/attributes/amount"];
        assert_eq!(reply.pointers(), pointers, "{links}");
    }
    let unknown = app.payment("999", json!({"amount": 5})).await;
    assert_eq!(unknown.errors(), ["100 account - must exist"]);
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn what_the_server_decides_is_not_sent() {
    let app = app_with_accounts().await;
    let before = app.dump();
    for (name, value) in [
        ("created-at", json!("2026-01-02T12:37:41.123Z")),
        ("status", json!("pending")),
        ("type-name", json!("cryptomus")),
        ("balance-before-payment", json!(5)),
        ("rolledback-at", json!(null)),
        ("currency", json!("EUR")),
        ("private_notes", json!("x")),
    ] {
        let reply = app.payment("1", json!({"amount": 5, name: value})).await;
        let error = format!("105 {name} is not allowed.");
        assert_eq!((reply.status, reply.errors()), (400, vec![error]), "{name}");
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn an_account_that_has_become_invalid_gets_no_payment() {
    let app = app_with_accounts().await;
    app.alter("UPDATE accounts SET timezone = 'Gone/Zone' WHERE id = 1");
    let before = app.dump();
    let reply = app.payment("1", json!({"amount": 5, "external-id": "x"})).await;
    assert_eq!(
        (reply.status, reply.errors()[0].as_str()),
        (422, "121 Save failed or was cancelled")
    );
    assert_eq!(reply.json()["errors"][0]["title"], "Save failed or was cancelled");
    // What is wrong with the payment itself is told first.
    let worse = app.payment("1", json!({"amount": 0})).await;
    assert_eq!(worse.errors(), ["100 amount - must be other than 0"]);
    assert_eq!(app.dump(), before);
    app.pay(&app.second_account().await, 5).await;
    assert_eq!(app.balances().await, ["0.0", "5.0"]);
}

#[tokio::test]
async fn no_payment_takes_the_balance_out_of_the_range_of_money() {
    let app = app_with_accounts().await;
    app.set_balance("1001", "1001", json!("99999999999999999999999999")).await;
    app.pay("1", "1").await;
    let before = app.dump();
    for amount in ["0.000000000001", "100000000000000000000000000"] {
        let reply = app.payment("1", json!({"amount": amount})).await;
        let error = "100 amount - takes the balance out of range".to_owned();
        assert_eq!((reply.status, reply.errors()), (422, vec![error]), "{amount}");
        assert_eq!(reply.pointers(), ["/data/attributes/amount"]);
    }
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn an_external_id_is_unique_among_the_payments_of_its_account() {
    let app = app_with_accounts().await;
    let second = app.second_account().await;
    let longest = "я".repeat(255);
    for external_id in ["inv-1", "INV-1", "inv-1 ", &longest] {
        let attributes = json!({"amount": 1, "external-id": external_id});
        for account in ["1", &second] {
            let reply = app.payment(account, attributes.clone()).await;
            assert_eq!(reply.attribute("external-id"), external_id);
        }
        let before = app.dump();
        let reply = app.payment("1", attributes).await;
        let error = "100 external-id - has already been taken".to_owned();
        assert_eq!((reply.status, reply.errors()), (422, vec![error]), "{external_id}");
        assert_eq!(reply.pointers(), ["/data/attributes/external-id"]);
        assert_eq!(app.dump(), before);
    }
    for _ in 0..2 {
        app.pay("1", 1).await;
    }
    let worse = app.payment("1", json!({"amount": 0, "external-id": "inv-1"})).await;
    assert_eq!(
        worse.errors(),
        ["100 amount - must be other than 0", "100 external-id - has already been taken"]
    );
    assert_eq!(app.balances().await, ["6.0", "4.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_payments_with_one_external_id_exactly_one_counts() {
    let app = Arc::new(app_with_accounts().await);
    let replies = all_at_once((0..20).map(|_| {
        let app = Arc::clone(&app);
        async move { app.payment("1", json!({"amount": 5, "external-id": "inv-1"})).await }
    }))
    .await;
    assert_eq!((count(&replies, 201), count(&replies, 422)), (1, 19));
    assert_eq!(app.balances().await, ["5.0", "0.0"]);
    assert_eq!(app.total("/payments").await, 1);
}

#[tokio::test]
async fn a_payment_is_neither_changed_nor_deleted() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let before = app.dump();
    let data = json!({"type": "payments", "id": "1", "attributes": {"notes": "x"}});
    let document = json!({ "data": data }).to_string();
    for (method, path, allow) in [
        ("PATCH", "/payments/1", "GET, HEAD"),
        ("PUT", "/payments/1", "GET, HEAD"),
        ("DELETE", "/payments/1", "GET, HEAD"),
        ("DELETE", "/payments", "GET, HEAD, POST"),
        ("PATCH", "/payments", "GET, HEAD, POST"),
    ] {
        let reply = app.write(method, path, document.as_str()).await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{method} {path}");
    }
    let path = "/payments/1/relationships/account";
    for method in ["PATCH", "PUT", "DELETE"] {
        let reply = app.write(method, path, linkage("accounts", "2").to_string()).await;
        assert_eq!(reply.errors(), ["105 account is not allowed."], "{method}");
    }
    assert_eq!(app.dump(), before);
}

/// A server with payments of 10 and of -3 of account 1, and one of 7.5 of the second account, taken
/// back.
async fn app_with_payments() -> (TestApp, Made) {
    let app = app_with_accounts().await;
    let second = &app.second_account().await;
    let mut ids = Vec::new();
    for (account, attributes) in [
        ("1", json!({"amount": 10, "notes": "Bank transfer", "private-notes": "VIP"})),
        ("1", json!({"amount": -3, "notes": "Refund, partly"})),
        (second, json!({"amount": "7.5", "external-id": "inv-3"})),
    ] {
        let reply = app.payment(account, attributes).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        ids.push(reply.json()["data"]["id"].as_str().unwrap().to_owned());
        // A millisecond is the least by which times differ on the wire.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(app.roll_back(&ids[2]).await.status, 200);
    (app, Made::new(ids))
}

#[tokio::test]
async fn payments_are_found_by_what_they_say() {
    let (app, made) = app_with_payments().await;
    let both = format!("account.id]=1,{}", app.second_account().await);
    let second = format!("id]={}", made.id(2));
    for (filter, found) in [
        ("account.id]=1", &[1, 2][..]),
        (&both, &[1, 2, 3]),
        ("account.id]=9999", &[]),
        (&second, &[2]),
        ("amount_eq]=10", &[1]),
        ("amount_not_eq]=10", &[2, 3]),
        ("amount-lt]=0", &[2]),
        ("amount_gteq]=7.50", &[1, 3]),
        ("amount_in]=10,-3.0", &[1, 2]),
        ("created-at-gteq]=2026-01-01", &[1, 2, 3]),
        ("created-at-lt]=2026-01-01", &[]),
        ("rolledback-at-gt]=2026-01-01", &[3]),
        ("rolledback_at_lt]=2999-01-01T00:00:00Z", &[3]),
        ("notes_eq]=Bank transfer", &[1]),
        ("notes-cont]=BANK", &[1]),
        ("notes_end]=partly", &[2]),
        ("private-notes-start]=vi", &[1]),
        ("status_eq]=completed", &[1, 2]),
        ("status-eq]=rolled_back", &[3]),
        ("status_not_eq]=completed", &[3]),
        ("status_in]=pending,rolled_back", &[3]),
        ("status_eq]=canceled", &[]),
        ("type-name-eq]=manual", &[1, 2, 3]),
        ("type_name_eq]=cryptomus", &[]),
        ("external-id]=inv-3", &[3]),
        ("external_id_start]=INV", &[3]),
    ] {
        let path = format!("/payments?filter[{filter}");
        let found = made.ordered(found.iter().copied());
        assert_eq!(made.on(&app, &path).await, found, "{filter}");
        assert_eq!(app.total(&path).await, found.len() as u64);
    }
    for (filter, error) in [
        ("status_eq]=done", "107 done is not a valid value for status_eq."),
        ("status_eq]=20", "107 20 is not a valid value for status_eq."),
        ("type-name-eq]=Manual", "107 Manual is not a valid value for type_name_eq."),
        ("type-name-not-eq]=bank", "107 bank is not a valid value for type_name_not_eq."),
        ("amount_gt]=abc", "107 abc is not a valid value for amount_gt."),
        ("created_at_gt]=soon", "107 soon is not a valid value for created_at_gt."),
        ("balance_before_payment_gt]=1", "102 balance_before_payment_gt is not allowed."),
        ("status_cont]=c", "102 status_cont is not allowed."),
        ("account_id_eq]=1", "102 account_id_eq is not allowed."),
    ] {
        let reply = app.get(&format!("/payments?filter[{filter}")).await;
        assert_eq!((reply.status, reply.errors()), (400, vec![error.to_owned()]), "{filter}");
    }
}

#[tokio::test]
async fn payments_are_sorted_by_amount_time_and_id() {
    let (app, made) = app_with_payments().await;
    let (upwards, mut downwards) = (made.by_id(), made.by_id());
    downwards.reverse();
    for (sort, found) in [
        ("", &upwards[..]),
        ("?sort=amount", &[2, 3, 1]),
        ("?sort=-amount", &[1, 3, 2]),
        ("?sort=created-at", &[1, 2, 3]),
        ("?sort=-created-at", &[3, 2, 1]),
        ("?sort=id", &upwards),
        ("?sort=-id", &downwards),
    ] {
        assert_eq!(made.on(&app, &format!("/payments{sort}")).await, found, "{sort}");
    }
    for name in ["notes", "private-notes", "status", "type-name", "balance-before-payment"]
        .into_iter()
        .chain(["rolledback-at", "rollback-at", "external-id", "account"])
    {
        let reply = app.get(&format!("/payments?sort={name}")).await;
        let folded = name.replace('-', "_");
        let error = format!("114 {folded} is not a valid sort criteria for payments");
        assert_eq!((reply.status, reply.errors()), (400, vec![error]));
    }
}

#[tokio::test]
async fn a_rollback_takes_the_payment_back_and_is_written_down() {
    let app = app_with_accounts().await;
    app.pay("1", 100).await;
    let paid = app.payment("1", json!({"amount": "10.5", "notes": "x"})).await;
    app.pay("1", 3).await;
    let since = app.app.now();
    let id = &paid.json()["data"]["id"];
    let payment = id.as_str().unwrap();
    let audit = "/audit-records?filter[event-eq]=update&sort=id&filter[item-type]=";
    let of_account = app.total(&format!("{audit}accounts")).await;
    let reply = app.roll_back(payment).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let rolledback_at = reply.attribute("rolledback-at");
    assert_recent(&app, since, &rolledback_at);
    let mut expected = paid.json();
    expected["data"]["attributes"]["status"] = json!("rolled_back");
    expected["data"]["attributes"]["rolledback-at"] = rolledback_at.clone();
    assert_eq!(reply.body, expected.to_string());
    let shown = app.get(&format!("/payments/{payment}")).await;
    assert_eq!((&shown.body, shown.header("etag")), (&reply.body, reply.header("etag")));
    assert!(!reply.headers.contains_key("location"));
    assert_eq!(app.balances().await, ["103.0", "0.0"]);
    let mut entries = app.listed("/journal-entries?filter[kind]=rollback").await;
    assert_eq!(entries.len(), 1);
    for hash_or_time in ["hash", "created-at", "request-id"] {
        assert!(entries[0].as_object_mut().unwrap().remove(hash_or_time).is_some());
    }
    assert_eq!(
        entries[0],
        json!({
            "sequence": 4, "kind": "rollback", "amount": "-10.5", "balance-after": "103.0",
            "reference-type": "payments", "reference-id": payment, "actor": "admin",
        })
    );
    let mut records = app.listed(&format!("{audit}payments")).await;
    let of_accounts = app.listed(&format!("{audit}accounts")).await;
    records.extend(of_accounts.into_iter().skip(usize::try_from(of_account).unwrap()));
    let changes: Vec<Value> = records
        .iter()
        .map(|r| json!([r["event"], r["item-type"], r["item-id"], r["before"], r["after"]]))
        .collect();
    let (before, after) = (
        json!({"status": "completed", "rolledback-at": null}),
        json!({"status": "rolled_back", "rolledback-at": rolledback_at}),
    );
    assert_eq!(
        changes,
        [
            json!(["update", "payments", payment.parse::<i64>().unwrap(), before, after]),
            json!(["update", "accounts", 1, {"balance": "113.5"}, {"balance": "103.0"}]),
        ]
    );
}

#[tokio::test]
async fn a_negative_payment_is_taken_back_too() {
    let app = app_with_accounts().await;
    let payment = app.pay("1", "-2.5").await;
    assert_eq!(app.roll_back(&payment).await.attribute("status"), "rolled_back");
    assert_eq!(app.balances().await, ["0.0", "0.0"]);
}

#[tokio::test]
async fn a_payment_is_taken_back_once() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    assert_eq!(app.roll_back("1").await.status, 200);
    for status in ["rolled_back", "pending", "canceled"] {
        app.alter(&format!("UPDATE payments SET status = '{status}'"));
        let before = app.dump();
        let reply = app.roll_back("1").await;
        let error = "100 Status of payment should be completed".to_owned();
        assert_eq!((reply.status, reply.errors()), (422, vec![error]), "{status}");
        assert_eq!(reply.pointers(), ["/data"]);
        assert_eq!(app.dump(), before);
    }
}

#[tokio::test]
async fn a_rollback_is_asked_for_like_every_other_write() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let before = app.dump();
    for (id, status, error) in [
        ("99", 404, "404 The record identified by 99 could not be found."),
        ("0", 404, "404 The record identified by 0 could not be found."),
        ("abc", 400, "103 abc is not a valid value for id."),
        ("1.5", 400, "103 1.5 is not a valid value for id."),
    ] {
        let reply = app.roll_back(id).await;
        assert_eq!((reply.status, reply.errors()), (status, vec![error.to_owned()]), "{id}");
    }
    let path = "/payments/1/rollback";
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let reply = app.write(method, path, "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, "POST"), "{method}");
    }
    assert_eq!(app.send("POST", path, &[], "").await.status, 401);
    assert_eq!(app.send("GET", path, &[], "").await.status, 401);
    let html = [("accept", "text/html"), ("authorization", app.token.as_str())];
    assert_eq!(app.send("POST", path, &html, "").await.status, 406);
    let unknown = app.write("POST", "/payments/1/rollback?include=nonesuch", "").await;
    assert_eq!(unknown.errors(), ["112 nonesuch is not a valid relationship of payments"]);
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn a_rollback_ignores_its_body_and_answers_what_the_query_asks_for() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let text = [("content-type", "text/plain"), ("authorization", app.token.as_str())];
    let query = "include=account&fields[accounts]=balance&fields[payments]=status,account";
    let reply = app.send("POST", &format!("/payments/1/rollback?{query}"), &text, "{oops").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.json()["data"]["attributes"], json!({"status": "rolled_back"}));
    assert_eq!(reply.json()["included"][0]["attributes"], json!({"balance": "0.0"}));
}

#[tokio::test]
async fn a_rollback_can_demand_the_state_it_knows() {
    let app = app_with_accounts().await;
    app.pay("1", 5).await;
    let path = "/payments/1/rollback";
    let before = app.dump();
    let stale = "W/\"0123456789abcdef0123456789abcdef\"";
    assert_eq!(app.write_if("POST", path, stale, &Value::Null).await.status, 412);
    assert_eq!(app.dump(), before);
    let tag = app.get("/payments/1").await.header("etag").to_owned();
    assert_eq!(app.write_if("POST", path, &tag, &Value::Null).await.status, 200);
    assert_eq!(app.write_if("POST", path, &tag, &Value::Null).await.status, 412);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_rollbacks_exactly_one_succeeds() {
    let app = Arc::new(app_with_accounts().await);
    app.pay("1", 5).await;
    app.pay("1", 7).await;
    let replies = all_at_once((0..20).map(|_| {
        let app = Arc::clone(&app);
        async move { app.roll_back("1").await }
    }))
    .await;
    assert_eq!((count(&replies, 200), count(&replies, 422)), (1, 19));
    assert_eq!(app.balances().await, ["7.0", "0.0"]);
    assert_eq!(app.total("/journal-entries").await, 3);
}

#[tokio::test]
async fn an_external_id_is_no_longer_than_255_characters() {
    let app = app_with_accounts().await;
    let attributes = json!({"amount": 1, "external-id": "é".repeat(256)});
    let reply = app.payment("1", attributes).await;
    let error = "100 external-id - is too long (maximum is 255 characters)";
    assert_eq!((reply.status, reply.errors()), (422, vec![error.to_owned()]));
    assert_eq!(app.total("/payments").await, 0);
}

#[tokio::test]
async fn ids_of_payments_and_keys_of_transactions_are_numbers_to_filters() {
    let app = app_with_accounts().await;
    let second = app.second_account().await;
    let (mut paid, mut charged) = (Vec::new(), Vec::new());
    for amount in 1..=3 {
        paid.push(app.pay("1", amount).await);
        charged.push(app.charge("1", amount).await);
    }
    charged.push(app.charge(&second, 4).await);
    let (paid, charged) = (Made::new(paid), Made::new(charged));
    // By their ids, whatever the order in which they were made.
    let [low, middle, high] = paid.by_id()[..] else { panic!("three payments") };
    let (low, between, high) = (paid.id(low), paid.id(middle), paid.id(high));
    let path = format!("/payments?filter[id-gt]={low}&filter[id_lteq]={between}");
    assert_eq!(paid.on(&app, &path).await, [middle]);
    let path = format!("/payments?filter[id-not-in]={low},{high}");
    assert_eq!(paid.on(&app, &path).await, [middle]);
    let path = format!("/transactions?filter[account-id-eq]={second}");
    assert_eq!(charged.on(&app, &path).await, [4]);
    let mut downwards = charged.ordered([1, 2, 3]);
    downwards.push(4);
    downwards.reverse();
    assert_eq!(charged.on(&app, "/transactions?sort=-account-id,-id").await, downwards);
    let refused = app.get("/transactions?filter[account_id_in]=1,x").await;
    assert_eq!(refused.errors(), ["107 1,x is not a valid value for account_id_in."]);
}
