//! Webhooks as their receivers see them: what is posted, signed how, in which order, how often,
//! and where to.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};
use store::{StoreError, Tx};
use tokio::task::JoinSet;
use tollkeeper::accounts::ACCOUNTS;
use tollkeeper::app::Delivering;
use tollkeeper::courier::Courier;
use tollkeeper::events::PAYMENT_POSTED;
use tollkeeper::outbox::{News, tell};

use crate::mail_server::{MailServer, Post};
use crate::receiver::{Receiver, Webhook};
use crate::support::{Setup, TestApp};

/// So long nothing comes where nothing is to come.
const QUIET: Duration = Duration::from_millis(700);

/// A server that delivers, giving up on webhooks after a second, and a receiver.
async fn posting() -> (TestApp, Receiver, Courier) {
    let app = TestApp::start_as(Setup {
        delivering: Delivering {
            webhook_allow_private: true,
            webhook_time_max: Duration::from_secs(1),
            ..Delivering::default()
        },
        ..Setup::default()
    })
    .await;
    let courier = Courier::start(&app.app);
    (app, Receiver::start(), courier)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_posted_as_it_is_stored_and_the_published_library_verifies_it() {
    let (app, mut receiver, _courier) = posting().await;
    let webhook = app.webhook(&receiver.url("/hooks?key=1"), &["PaymentPosted"]).await;
    receiver.knows(&webhook.secret);
    receiver.knows("whsec_b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlciE=");
    let contractor = app.contractor("acme").await;
    let (most, balance) = ("9223372036854775807", "12345678901234567.123456789012");
    let external_id: Value = serde_json::from_str(most).unwrap();
    let account =
        app.account(&contractor, json!({"name": "ünï", "external-id": external_id})).await;
    let paid =
        json!({"amount": balance, "notes": "thanks", "private-notes": "hush", "external-id": "x1"});
    assert_eq!(app.payment(&account, paid).await.status, 201);
    let got = receiver.got();
    assert_eq!((&got["verified"], &got["tampered"]), (&json!([0]), &json!([])));
    assert_eq!((&got["method"], &got["path"]), (&json!("POST"), &json!("/hooks")));
    let text = got["body"].as_str().unwrap();
    let body: Value = serde_json::from_str(text).unwrap();
    let event = app.get("/events").await.json()["data"][0].take();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    let expected = ["id", "event_type", "event_type_alias", "event_data", "event_time", "account"];
    assert_eq!(members, expected);
    assert_eq!((&body["id"], &got["id"]), (&event["id"], &event["id"]));
    assert_eq!(body["event_type"], "PaymentPosted");
    assert_eq!(body["event_data"], event["attributes"]["data"]);
    let time = event["attributes"]["created-at"].as_str().unwrap();
    let time = format!("{} {} UTC", &time[..10], &time[11..19]);
    assert_eq!(body["event_time"], time);
    // Numbers go out as they are, in both forms of the account.
    assert_eq!(text.matches(&format!("\"balance\":\"{balance}\"")).count(), 2, "{text}");
    assert!(text.contains(&format!("\"external_id\":{most}")), "{text}");
    assert!(text.contains(&format!("\"external-id\":{most}")), "{text}");
    let answered = app.get(&format!("/accounts/{account}")).await.json();
    assert_eq!(body["account"]["data"]["attributes"], answered["data"]["attributes"]);
    assert_eq!(body["account"]["data"]["id"], answered["data"]["id"]);
    assert!(!text.contains("hush") && !text.contains("private"), "{text}");
    // The headers, and what is kept of all that.
    let headers = &got["headers"];
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["user-agent"], concat!("tollkeeper/", env!("CARGO_PKG_VERSION")));
    for absent in ["accept-encoding", "cookie", "referer", "authorization"] {
        assert!(headers[absent].is_null(), "{headers}");
    }
    app.all_delivered().await;
    let delivery = app.listed(&webhook.deliveries()).await.remove(0);
    assert_eq!(
        (&delivery["state"], &delivery["response-status"]),
        (&json!("delivered"), &json!(200))
    );
    assert_eq!((&delivery["attempts"], &delivery["error"]), (&json!(1), &Value::Null));
    let request = &delivery["request"];
    assert_eq!(
        (&request["body"], &request["url"]),
        (&got["body"], &json!(receiver.url("/hooks?key=1")))
    );
    assert_eq!(request["headers"]["webhook-signature"], headers["webhook-signature"]);
    // An event without an account.
    app.test_webhook(&webhook).await;
    let got = receiver.got();
    let body: Value = serde_json::from_str(got["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["account"], &got["verified"]), (&Value::Null, &json!([0])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_day_after_a_rotation_both_secrets_verify() {
    let (app, mut receiver, _courier) = posting().await;
    let webhook = app.webhook(&receiver.url("/"), &["*"]).await;
    receiver.knows(&webhook.secret);
    let rotate = format!("/webhooks/{}/rotate-secret", webhook.id);
    let next = app.order(&rotate).await.attribute("secret");
    receiver.knows(next.as_str().unwrap());
    app.test_webhook(&webhook).await;
    let got = receiver.got();
    assert_eq!((&got["verified"], &got["tampered"]), (&json!([0, 1]), &json!([])));
    assert_eq!(got["headers"]["webhook-signature"].as_str().unwrap().split(' ').count(), 2);
    for (hours, verified) in [(1, json!([0, 1])), (25, json!([1]))] {
        let until = app.app.now() + SignedDuration::from_hours(24 - hours);
        let until = app.database.literal(&jsonapi::Value::Time(until));
        app.alter(&format!("UPDATE webhooks SET previous_secret_until = {until}"));
        app.test_webhook(&webhook).await;
        assert_eq!(receiver.got()["verified"], verified);
    }
    // Of two rotations in a day the last two count.
    let third = app.order(&rotate).await.attribute("secret");
    receiver.knows(third.as_str().unwrap());
    app.test_webhook(&webhook).await;
    assert_eq!(receiver.got()["verified"], json!([1, 2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_in_time_fails_says_why_and_goes_out_again_under_the_same_id() {
    let (app, receiver, _courier) = posting().await;
    let slow = app.webhook(&receiver.url("/slow?wait=30&times=1"), &["*"]).await;
    let delivery = app.test_webhook(&slow).await;
    let first = receiver.got();
    let failed = app.attempted(&delivery, 1).await;
    assert_eq!(failed["state"], "pending");
    assert_eq!(failed["error"], "no answer within 1 s");
    let took = failed["duration-ms"].as_u64().unwrap();
    assert!((1_000..3_000).contains(&took), "{took}");
    app.redeliver(&slow, &delivery).await;
    let second = receiver.got();
    assert_eq!(first["id"], second["id"]);
    assert_eq!(first["body"], second["body"]);
    let delivered = app.attempted(&delivery, 2).await;
    assert_eq!((&delivered["state"], &delivered["error"]), (&json!("delivered"), &Value::Null));
    // And once more, though it was taken.
    app.redeliver(&slow, &delivery).await;
    assert_eq!(receiver.got()["id"], first["id"]);
    assert_eq!(app.attempted(&delivery, 3).await["state"], "delivered");
    // Statuses that are no success, and nobody there.
    for (path, why) in
        [("/?status=500", "the answer was 500"), ("/?status=404", "the answer was 404")]
    {
        let webhook = app.webhook(&receiver.url(path), &["*"]).await;
        let delivery = app.test_webhook(&webhook).await;
        assert_eq!(receiver.got()["path"], "/");
        assert_eq!(app.attempted(&delivery, 1).await["error"], why);
    }
    let nobody = app.webhook("http://127.0.0.1:1/", &["*"]).await;
    let delivery = app.test_webhook(&nobody).await;
    let error = app.attempted(&delivery, 1).await["error"].take();
    assert!(error.as_str().unwrap().starts_with("cannot connect: "), "{error}");
    let no_tls = receiver.url("/").replace("http:", "https:");
    let no_tls = app.webhook(&no_tls, &["*"]).await;
    let delivery = app.test_webhook(&no_tls).await;
    // It waits for the end of a request that never comes.
    assert_eq!(app.attempted(&delivery, 1).await["error"], "no answer within 1 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_not_followed() {
    let (app, receiver, _courier) = posting().await;
    let there = receiver.url("/there");
    let path = format!("/here?status=302&location={there}");
    let webhook = app.webhook(&receiver.url(&path), &["*"]).await;
    let delivery = app.test_webhook(&webhook).await;
    assert_eq!(receiver.got()["path"], "/here");
    let failed = app.attempted(&delivery, 1).await;
    assert_eq!(failed["error"], "the answer was 302: redirects are not followed");
    assert_eq!(receiver.got_until_quiet(QUIET), [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kilobyte_of_an_answer_is_kept_as_text() {
    let (app, receiver, _courier) = posting().await;
    for (path, kept) in [
        ("/?size=100000", "x".repeat(1024)),
        ("/?hex=6100ff62&size=1", "a\u{fffd}bx".to_owned()),
        ("/", String::new()),
    ] {
        let webhook = app.webhook(&receiver.url(path), &["*"]).await;
        let delivery = app.test_webhook(&webhook).await;
        let delivered = app.attempted(&delivery, 1).await;
        assert_eq!(
            (&delivered["state"], &delivered["response-body"]),
            (&json!("delivered"), &json!(kept))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_gone_is_switched_off_and_what_waits_goes_out_when_it_is_on_again() {
    let (app, receiver, _courier) = posting().await;
    let webhook = app.webhook(&receiver.url("/?status=410&times=1"), &["*"]).await;
    let path = format!("/webhooks/{}", webhook.id);
    let first = app.test_webhook(&webhook).await;
    let refused = app.attempted(&first, 1).await;
    assert_eq!((&refused["state"], &refused["response-status"]), (&json!("dead"), &json!(410)));
    assert_eq!(refused["error"], "the answer was 410: the webhook was switched off");
    assert_eq!(app.attributes(&path).await["active"], false);
    let audit = app.listed("/audit-records?filter[item-type_eq]=webhooks&sort=-id").await.remove(0);
    assert_eq!((&audit["event"], &audit["after"]), (&json!("update"), &json!({"active": false})));
    // What waits fails for now, and tells why.
    let second = app.test_webhook(&webhook).await;
    assert_eq!(app.attempted(&second, 1).await["error"], "the webhook is switched off");
    assert_eq!(receiver.got_until_quiet(QUIET).len(), 1);
    // It would wait for long, were it not for the change.
    let later = app.app.now() + SignedDuration::from_hours(1);
    let later = app.database.literal(&jsonapi::Value::Time(later));
    app.alter(&format!("UPDATE delivery_lines SET due_at = {later}"));
    assert_eq!(app.update("webhooks", &webhook.id, json!({"active": true})).await.status, 200);
    assert_eq!(app.attempted(&second, 2).await["state"], "delivered");
    // One that is off hears of nothing new.
    assert_eq!(app.update("webhooks", &webhook.id, json!({"active": false})).await.status, 200);
    let contractor = app.contractor("acme").await;
    app.account(&contractor, json!({"name": "a"})).await;
    assert_eq!(app.total("/events?filter[event-type_eq]=AccountCreated").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_fail_for_a_day_die_and_make_room_for_the_next() {
    let (app, receiver, _courier) = posting().await;
    let listener = app.webhook(&receiver.url("/deaths"), &["DeliveryDeadLettered"]).await;
    let webhook = app.webhook("http://127.0.0.1:1/", &["PaymentPosted"]).await;
    let first = app.test_webhook(&webhook).await;
    app.attempted(&first, 1).await;
    let ago = app.app.now() - SignedDuration::from_hours(25);
    let ago = app.database.literal(&jsonapi::Value::Time(ago));
    app.alter(&format!("UPDATE deliveries SET queued_at = {ago}"));
    let second = app.test_webhook(&webhook).await;
    app.redeliver(&webhook, &first).await;
    assert_eq!(app.attempted(&first, 2).await["state"], "dead");
    assert_eq!(app.attempted(&second, 1).await["state"], "pending");
    let got = receiver.got();
    let body: Value = serde_json::from_str(got["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["event_data"]["delivery"]["webhook_id"].to_string(), webhook.id);
    assert_eq!(app.total(&listener.deliveries()).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_dead_receivers_delay_nobody_else() {
    let (app, receiver, _courier) = posting().await;
    let quick = Receiver::start();
    let events = ["PaymentPosted"];
    for path in ["/slow?wait=30&brief=1", "/slower?wait=0.9&brief=1"] {
        app.webhook(&receiver.url(path), &events).await;
    }
    app.webhook("http://127.0.0.1:1/", &events).await;
    app.webhook("http://192.0.2.1/", &events).await;
    app.webhook(&quick.url("/quick?brief=1"), &events).await;
    let contractor = app.contractor("acme").await;
    let mut accounts = Vec::new();
    // More lines than the slow ones have slots.
    for number in 0..20 {
        accounts.push(app.account(&contractor, json!({"name": format!("a{number}")})).await);
    }
    let mut slowest = Duration::ZERO;
    for round in 0..5 {
        for account in &accounts {
            let began = Instant::now();
            app.pay(account, 1).await;
            let got = quick.got();
            assert_eq!(got["account"].to_string(), *account, "round {round}");
            slowest = slowest.max(began.elapsed());
        }
    }
    println!("from a payment to its post, at most: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_an_account_is_kept_though_attempts_fail() {
    let (app, receiver, _courier) = posting().await;
    // Twice each payload is refused in the beginning.
    let webhook =
        app.webhook(&receiver.url("/?status=503&times=2&brief=1"), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    let mut payments = Vec::new();
    for _ in 0..5 {
        payments.push(app.pay(&account, 1).await);
    }
    app.all_tried().await;
    let first = app.ids(&webhook.deliveries()).await.remove(0);
    for attempts in 1..=2 {
        let failed = app.attempted(&format!("/deliveries/{first}"), attempts).await;
        assert_eq!(
            (&failed["state"], &failed["error"]),
            (&json!("pending"), &json!("the answer was 503"))
        );
        app.redeliver(&webhook, &first).await;
    }
    app.all_delivered().await;
    let got = receiver.got_until_quiet(QUIET);
    let got: Vec<String> = got.iter().map(|one| one["payment"].to_string()).collect();
    let again = [&payments[0], &payments[0]];
    let expected: Vec<&String> = again.into_iter().chain(&payments).collect();
    assert_eq!(got.iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_no_delivery_before_it_was_tried() {
    let (app, receiver, _courier) = posting().await;
    let webhook = app.webhook(&receiver.url("/?wait=0.5&brief=1"), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    app.pay(&account, 1).await;
    receiver.got();
    assert_eq!((app.total(&webhook.deliveries()).await, app.errands()), (0, 1));
    app.all_tried().await;
    let delivery = app.listed(&webhook.deliveries()).await.remove(0);
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(1)));
    let event = app.listed("/events").await.remove(0);
    assert_eq!(delivery["created-at"], event["created-at"]);
    assert!(delivery["duration-ms"].as_i64().unwrap() >= 500, "{delivery}");
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM delivery_lines"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_and_cannot_be_written_down_is_not_posted_again() {
    let (app, receiver, _courier) = posting().await;
    let webhook = app.webhook(&receiver.url("/?wait=0.3&brief=1"), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    app.pay(&account, 1).await;
    receiver.got();
    app.alter("ALTER TABLE deliveries RENAME TO away");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.errands(), 1);
    app.alter("ALTER TABLE away RENAME TO deliveries");
    app.all_tried().await;
    let delivery = app.listed(&webhook.deliveries()).await.remove(0);
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(receiver.got_until_quiet(QUIET), [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_while_its_webhook_is_deleted_leaves_nothing_behind() {
    let (app, receiver, _courier) = posting().await;
    let webhook = app.webhook(&receiver.url("/?wait=0.5&brief=1"), &["PaymentPosted"]).await;
    let other = app.webhook(&receiver.url("/other?brief=1"), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    app.pay(&account, 1).await;
    let paths = [receiver.got(), receiver.got()].map(|got| got["path"].clone());
    assert!(paths.contains(&json!("/")) && paths.contains(&json!("/other")), "{paths:?}");
    assert_eq!(app.delete(&format!("/webhooks/{}", webhook.id)).await.status, 204);
    assert!(app.errands() <= 1, "the other's at most");
    // Longer than the answer takes.
    assert_eq!(receiver.got_until_quiet(QUIET), [Value::Null; 0]);
    app.all_tried().await;
    assert_eq!(app.total("/deliveries").await, 1);
    assert_eq!(app.total(&other.deliveries()).await, 1);
}

/// Tells of payments of an account under these numbers, in one transaction.
async fn tell_of(app: &TestApp, account: &str, payments: RangeInclusive<i64>) {
    let (now, id) = (app.app.now(), account.parse().unwrap());
    let operation = async move |tx: &mut Tx| {
        let account = tx.read(&ACCOUNTS, id).await?;
        for payment in payments.clone() {
            let details = json!({"payment": {"id": payment}}).as_object().cloned().unwrap();
            let account = account.as_ref();
            tell(tx, News { kind: &PAYMENT_POSTED, account, details, now }).await?;
        }
        Ok(())
    };
    app.app.store.write::<_, StoreError, _>(operation).await.unwrap();
}

/// The payments that a receiver has got, until it gets nothing more.
fn payments(receiver: &Receiver) -> Vec<i64> {
    let got = receiver.got_until_quiet(QUIET);
    got.iter().map(|one| one["payment"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_events_than_are_handed_over_come_once_and_in_order() {
    let (app, receiver, _courier) = posting().await;
    app.webhook(&receiver.url("/?brief=1"), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    app.pay(&account, 1).await;
    app.all_tried().await;
    let events = 1_000;
    tell_of(&app, &account, 2..=events).await;
    app.all_delivered().await;
    assert_eq!(payments(&receiver), (1..=events).collect::<Vec<_>>());
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM deliveries"), events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_goes_in_the_order_of_events_whoever_joined_it_first() {
    let (app, receiver, courier) = posting().await;
    courier.stop().await;
    app.webhook(&receiver.url("/?brief=1"), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    // More than are read at once.
    let events = 50;
    tell_of(&app, &account, 1..=events).await;
    let _courier = Courier::start(&app.app);
    app.all_delivered().await;
    assert_eq!(payments(&receiver), (1..=events).collect::<Vec<_>>());
    // Once more, as nodes join it that have taken their ids before others did.
    let last: i64 = app.stored("SELECT max(event_id) FROM deliveries");
    let first: i64 = app.stored("SELECT min(event_id) FROM deliveries");
    app.database.execute(&format!(
        "UPDATE deliveries SET event_id = {} - event_id, state = 'pending'",
        first + last
    ));
    let now = app.database.literal(&jsonapi::Value::Time(app.app.now()));
    app.database.execute(&format!(
        "INSERT INTO delivery_lines (name, target, due_at, failures, joined) \
         SELECT min(line), 'webhook 1', {now}, 0, 1 FROM deliveries"
    ));
    app.all_delivered().await;
    assert_eq!(payments(&receiver), (1..=events).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_has_fallen_behind_catches_up_while_events_go_on() {
    const SLOW: usize = 200;
    let (app, receiver, _courier) = posting().await;
    let path = format!("/?brief=1&wait=0.03&times={SLOW}");
    app.webhook(&receiver.url(&path), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    let account = app.account(&contractor, json!({"name": "a"})).await;
    app.pay(&account, 1).await;
    app.all_tried().await;
    // More than are handed over, and for a while more than are taken: of those that come then,
    // some are handed over and some are not.
    let mut events = 400;
    tell_of(&app, &account, 2..=events).await;
    let began = Instant::now();
    loop {
        tell_of(&app, &account, events + 1..=events + 3).await;
        events += 3;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let delivered: i64 =
            app.stored("SELECT count(*) FROM deliveries WHERE state = 'delivered'");
        if events - delivered < 10 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(25), "{delivered} of {events}");
    }
    app.all_delivered().await;
    assert_eq!(payments(&receiver), (1..=events).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_courier_that_stops_leaves_its_errands_to_the_next() {
    let (app, receiver, courier) = posting().await;
    app.webhook(&receiver.url("/?wait=0.8&brief=1"), &["PaymentPosted"]).await;
    let contractor = app.contractor("acme").await;
    // More accounts than there are slots.
    let mut accounts = Vec::new();
    for number in 0..20 {
        accounts.push(app.account(&contractor, json!({"name": format!("a{number}")})).await);
    }
    // All at once: the last payment must be there before the first posts have ended.
    let app = Arc::new(app);
    let payments = accounts.clone().into_iter().map(|account| {
        let app = Arc::clone(&app);
        async move { app.pay(&account, 1).await }
    });
    payments.collect::<JoinSet<_>>().join_all().await;
    let first = receiver.got();
    courier.stop().await;
    // What comes while nobody delivers waits, too.
    app.pay(&accounts[0], 1).await;
    let left = app.errands();
    assert!(left > 1, "{left}");
    let began = Instant::now();
    let _courier = Courier::start(&app.app);
    app.all_delivered().await;
    assert!(began.elapsed() < Duration::from_secs(20), "nobody waits for those that are gone");
    let mut got = receiver.got_until_quiet(QUIET);
    got.push(first);
    let mut got: Vec<String> = got.iter().map(|one| one["account"].to_string()).collect();
    accounts.push(accounts[0].clone());
    got.sort_unstable();
    accounts.sort_unstable();
    assert_eq!(got, accounts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_inside_is_reached_in_whatever_form_it_is_written() {
    let receiver = Receiver::start();
    let delivering = Delivering::default();
    assert!(!delivering.webhook_allow_private);
    let app = TestApp::start_as(Setup { delivering, ..Setup::default() }).await;
    let _courier = Courier::start(&app.app);
    let port = receiver.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "0.0.0.0",
        "0",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "192.0.2.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
        "localhost",
        "LocalHost.",
        "any.localhost",
    ] {
        let webhook = app.webhook(&format!("http://{host}:{port}/"), &["*"]).await;
        let delivery = app.test_webhook(&webhook).await;
        let failed = app.attempted(&delivery, 1).await;
        let error = "the address is not one of the open internet";
        assert_eq!(
            (&failed["state"], &failed["error"]),
            (&json!("pending"), &json!(error)),
            "{host}"
        );
        assert_eq!(
            (&failed["response-status"], &failed["response-body"]),
            (&Value::Null, &Value::Null)
        );
    }
    // A name that this machine's own table resolves to an inner address.
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
    let inner = hosts.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address: std::net::IpAddr = words.next()?.parse().ok()?;
        let name = words.find(|name| !name.starts_with("localhost"))?;
        address.is_ipv4().then(|| name.to_owned())
    });
    for name in inner {
        let webhook = app.webhook(&format!("http://{name}:{port}/"), &["*"]).await;
        let delivery = app.test_webhook(&webhook).await;
        let error = app.attempted(&delivery, 1).await["error"].take();
        assert_eq!(error, "the address is not one of the open internet", "{name}");
    }
    assert_eq!(receiver.got_until_quiet(QUIET), [Value::Null; 0]);
}

/// A figure of `/metrics`; 0 until it is there.
async fn figure(app: &TestApp, name: &str) -> f64 {
    let metrics = app.get("//metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.map_or(0.0, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_are_counted_by_channel_and_outcome() {
    let (app, receiver, _courier) = posting().await;
    let webhook = app.webhook(&receiver.url("/?status=500&times=1"), &["*"]).await;
    let name = |outcome| format!("deliveries_total{{channel=\"webhook\",outcome=\"{outcome}\"}}");
    let duration = "delivery_duration_seconds_count{channel=\"webhook\"}";
    let (failed, delivered) =
        (figure(&app, &name("failed")).await, figure(&app, &name("delivered")).await);
    let attempts = figure(&app, duration).await;
    let delivery = app.test_webhook(&webhook).await;
    app.attempted(&delivery, 1).await;
    app.redeliver(&webhook, &delivery).await;
    app.attempted(&delivery, 2).await;
    // Other tests of this process count, too, and each count comes just after its commit.
    let since = Instant::now();
    loop {
        let is_counted = figure(&app, &name("failed")).await >= failed + 1.0
            && figure(&app, &name("delivered")).await >= delivered + 1.0
            && figure(&app, duration).await >= attempts + 2.0;
        if is_counted {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{}", app.get("//metrics").await.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_are_counted_beside_them() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let delivered = "deliveries_total{channel=\"email\",outcome=\"delivered\"}";
    let attempts = "delivery_duration_seconds_count{channel=\"email\"}";
    let before = (figure(&post.app, delivered).await, figure(&post.app, attempts).await);
    post.fall().await;
    assert_eq!(post.settled().await, ["delivered"]);
    let since = Instant::now();
    while figure(&post.app, delivered).await < before.0 + 1.0
        || figure(&post.app, attempts).await < before.1 + 1.0
    {
        assert!(since.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_read_signs_nothing() {
    let (app, receiver, _courier) = posting().await;
    let webhook: Webhook = app.webhook(&receiver.url("/"), &["*"]).await;
    app.alter("UPDATE webhooks SET secret = 'c2VhbGVkIGJ5IGFub3RoZXI='");
    let delivery = app.test_webhook(&webhook).await;
    let error = app.attempted(&delivery, 1).await["error"].take();
    assert!(error.as_str().unwrap().starts_with("the webhook's secret cannot be read"), "{error}");
    assert_eq!(receiver.got_until_quiet(QUIET), [Value::Null; 0]);
}
