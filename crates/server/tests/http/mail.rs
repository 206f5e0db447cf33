//! Mail to contacts, from the payment to the message that a mail server has taken.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tollkeeper::app::Delivering;
use tollkeeper::clock;

use crate::mail_server::{MailServer, Post, content, header};
use crate::proof::verify;
use crate::support::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_payment_that_crosses_a_threshold_is_mailed() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let account = &post.account;
    post.fall().await;
    let mail = server.next();
    assert_eq!(mail["hello"], "carrier.test");
    assert_eq!(mail["sender"], "billing@carrier.test");
    assert_eq!(mail["recipients"], json!(["noc@customer.test"]));
    assert_eq!(mail["defects"], json!([]));
    let subject = format!("Account with id {account} low balance");
    for (name, value) in [
        ("subject", subject.as_str()),
        ("from", "billing@carrier.test"),
        ("to", "noc@customer.test"),
        ("auto-submitted", "auto-generated"),
        ("x-auto-response-suppress", "All"),
        ("mime-version", "1.0"),
    ] {
        assert_eq!(header(&mail, name), value, "{name}");
    }
    let message_id = header(&mail, "message-id");
    assert!(message_id.starts_with("<delivery-1.") && message_id.ends_with("@carrier.test>"));
    let nesting =
        ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/json"];
    assert_eq!(mail["nesting"], json!(nesting));
    let event = &post.app.listed("/events").await[0];
    let created: Timestamp = event["created-at"].as_str().unwrap().parse().unwrap();
    let zone = jiff::tz::TimeZone::UTC;
    let date = created.to_zoned_datetime(zone).strftime("%a, %d %b %Y %H:%M").to_string();
    assert!(header(&mail, "date").starts_with(&date), "{date} {}", header(&mail, "date"));
    let text = content(&mail, "text/plain");
    for part in [
        "The balance has fallen below the account's low threshold.",
        &format!("Account:    main (id {account})"),
        "Balance:    -5.0",
        "Threshold:  0.0",
        "Floor:      -10.0",
        "To top up,",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains(" EET") || text.contains(" EEST"), "{text}");
    let html = content(&mail, "text/html");
    assert!(html.contains("<b>-5.0</b>") && html.contains("<b>main</b>"), "{html}");
    // The attachment is the reference's body: the event's data, to the letter.
    let file: Value = serde_json::from_str(content(&mail, "application/json")).unwrap();
    assert_eq!(file, event["data"]);
    assert_eq!(file["balance_low_threshold"], "0.0");
    assert_eq!(file["send_balance_notifications_to"], json!(["noc@customer.test"]));
    let names = mail["parts"].as_array().unwrap().iter().map(|part| &part["name"]);
    assert_eq!(names.collect::<Vec<_>>(), [&json!(null), &json!(null), &json!("event.json")]);

    assert_eq!(post.settled().await, ["delivered"]);
    let delivery = &post.app.listed("/deliveries").await[0];
    assert_eq!(delivery["attempts"], 1);
    assert_eq!(delivery["response-status"], 250);
    assert_eq!(delivery["request"]["message-id"], message_id);
    let log = post.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["from-address"], "billing@carrier.test");
    assert_eq!(log[0]["to-address"], "noc@customer.test");
    assert_eq!(log[0]["subject"], subject);
    assert_eq!(log[0]["body"], text.replace("\r\n", "\n"));
    assert_eq!(log[0]["attachments"], json!(["event.json"]));
    assert_eq!(log[0]["attempt"], 1);
    assert_eq!(log[0]["response"], "250 taken as 1");
    assert_eq!(log[0]["error"], json!(null));
    assert_eq!(log[0]["message-id"], message_id);
    assert!(log[0]["sent-at"].is_string());
    let by_event = format!("/email-logs?filter[contact.id]={}", post.contact);
    assert_eq!(post.app.total(&by_event).await, 1);

    post.rise().await;
    let subject = format!("Account with id {account} low balance cleared");
    assert_eq!(header(&server.next(), "subject"), subject);
    verify(&post.app.database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_server_does_not_take_now_it_gets_again_under_the_same_name() {
    let answers = json!({"answers": ["451 greylisted, try again", "drop", "250 taken"]});
    let server = MailServer::start(&answers);
    let post = Post::through(&server).await;
    post.fall().await;
    let mails = [server.next(), server.next(), server.next()];
    for mail in &mails {
        assert_eq!(header(mail, "message-id"), header(&mails[0], "message-id"));
        assert_eq!(mail["parts"], mails[0]["parts"]);
    }
    assert_eq!(post.settled().await, ["delivered"]);
    let log = post.log().await;
    let of = |name: &str| log.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("attempt"), [1, 2, 3]);
    assert_eq!(
        of("response"),
        [json!("451 greylisted, try again"), json!(null), json!("250 taken")]
    );
    assert_eq!(log[0]["error"], "message: 451 greylisted, try again");
    let dropped = log[1]["error"].as_str().unwrap();
    assert!(dropped.starts_with("message: "), "{dropped}");
    let sent: Vec<bool> = of("sent-at").iter().map(Value::is_string).collect();
    assert_eq!(sent, [false, false, true]);
    let delivery = &post.app.listed("/deliveries").await[0];
    assert_eq!((&delivery["attempts"], &delivery["error"]), (&json!(3), &json!(null)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_refused_for_good_is_dead_at_once_and_holds_nothing_up() {
    let server = MailServer::start(&json!({
        "answers": ["554 no"],
        "answers_by_recipient": {"gone@customer.test": "550 5.1.1 no such user"},
    }));
    let post = Post::through(&server).await;
    post.fall().await;
    post.rise().await;
    assert_eq!(server.next()["answer"], "554 no");
    assert!(server.next()["answer"].as_str().unwrap().starts_with("250"));
    assert_eq!(post.settled().await, ["dead", "delivered"]);
    post.recipients(&["gone@customer.test"]).await;
    post.fall().await;
    assert_eq!(server.next()["recipient"], "gone@customer.test");
    assert_eq!(post.settled().await, ["dead", "delivered", "dead"]);
    let errors: Vec<Value> = post.log().await.iter().map(|row| row["error"].clone()).collect();
    let expected =
        [json!("message: 554 no"), json!(null), json!("message: 550 5.1.1 no such user")];
    assert_eq!(errors, expected);
    assert_eq!(post.app.total("/events?filter[event-type]=DeliveryDeadLettered").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_contact_gets_one_mail_and_none_when_muted() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let contacts = post.recipients(&["a@customer.test", "b@customer.test"]).await;
    let twice = json!([contacts[0], contacts[1], contacts[0]]);
    let attributes = json!({"send-balance-notifications-to": twice});
    assert_eq!(post.app.update("accounts", &post.account, attributes).await.status, 200);
    post.fall().await;
    let mut to: Vec<String> =
        server.rest().iter().map(|mail| header(mail, "to").to_owned()).collect();
    to.sort();
    assert_eq!(to, ["a@customer.test", "b@customer.test"]);
    let until = (clock::system() + SignedDuration::from_hours(1)).to_string();
    let muted = json!({"notifications-muted-until": until});
    assert_eq!(post.app.update("accounts", &post.account, muted).await.status, 200);
    post.rise().await;
    assert_eq!(server.rest(), [json!(null); 0]);
    assert_eq!(post.app.total("/events").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_master_switch_suppresses_mail_to_accounts_own_contacts() {
    let server = MailServer::kind();
    let delivering = Delivering { account_notifications: false, ..Delivering::default() };
    let setup = Setup { delivering, ..Setup::default() };
    let post = Post::with(setup, server.port, json!({})).await;
    post.fall().await;
    assert_eq!(post.settled().await, ["suppressed"]);
    let delivery = &post.app.listed("/deliveries").await[0];
    assert!(delivery["error"].as_str().unwrap().contains("account_notifications"), "{delivery}");
    assert_eq!(delivery["attempts"], 0);
    assert_eq!(server.rest(), [json!(null); 0]);
    assert_eq!(post.log().await, [json!(null); 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_usable_contact_or_connection_a_delivery_dies_with_a_reason() {
    let mut server = MailServer::kind();
    let post = Post::through(&server).await;
    server.answer("451 later");
    post.fall().await;
    server.next();
    // What the next attempt needs is looked up when it is made.
    assert_eq!(
        post.app.delete(&format!("/smtp-connections/{}", post.connection)).await.status,
        204
    );
    assert_eq!(post.settled().await, ["dead"]);
    let log = post.log().await;
    assert_eq!(log[1]["error"], "there is no SMTP connection for the contact");
    assert_eq!((&log[1]["from-address"], &log[1]["message-id"]), (&json!(null), &json!(null)));
    assert_eq!(log[1]["to-address"], "noc@customer.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_contractors_own_connection_goes_before_a_global_one() {
    let (global, own) = (MailServer::kind(), MailServer::kind());
    let post = Post::through(&global).await;
    post.fall().await;
    assert_eq!(global.next()["sender"], "billing@carrier.test");
    let connection = json!({
        "name": "own", "host": "127.0.0.1", "port": own.port, "from-address": "noc@own.test",
        "global": false,
    });
    let connection = post.app.create("smtp-connections", connection, json!({})).await;
    post.use_connection(&connection).await;
    post.rise().await;
    assert_eq!(own.next()["sender"], "noc@own.test");
    assert_eq!(post.settled().await, ["delivered", "delivered"]);
}

/// Seconds by which the clock of the tests of the limit is ahead, by test.
static AHEAD: [AtomicI64; 2] = [const { AtomicI64::new(0) }; 2];

fn ahead(test: usize) -> Timestamp {
    clock::system() + SignedDuration::from_secs(AHEAD[test].load(Ordering::Relaxed))
}

/// An installation that sends so many mails an hour to a contact.
fn limited(mails_per_hour: u32, clock: clock::Clock) -> Setup {
    let delivering = Delivering { mails_per_hour, ..Delivering::default() };
    Setup { delivering, clock, token_lifetime_secs: 0, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn more_mails_than_the_limit_wait_and_come_as_one() {
    let server = MailServer::kind();
    let post = Post::with(limited(3, || ahead(0)), server.port, json!({})).await;
    for _ in 0..4 {
        post.fall().await;
        post.rise().await;
    }
    assert_eq!(server.rest().len(), 3);
    let states = || async {
        let deliveries = post.app.listed("/deliveries?sort=id").await;
        deliveries.iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (sent, waiting) = (["delivered"; 3], ["pending"; 5]);
    assert_eq!(states().await, [&sent[..], &waiting[..]].concat());
    AHEAD[0].store(3_000, Ordering::Relaxed);
    assert_eq!(server.rest(), [json!(null); 0], "not yet an hour");
    AHEAD[0].store(3_602, Ordering::Relaxed);
    let digest = server.next();
    assert_eq!(header(&digest, "subject"), "5 notifications");
    // It has the id of the first delivery that it tells of, which need not be the fourth: PostgreSQL
    // gives out ids that nothing keeps.
    let first: i64 = post.app.stored("SELECT id FROM deliveries ORDER BY id LIMIT 1 OFFSET 3");
    let named = format!("<digest-{first}.");
    assert!(header(&digest, "message-id").starts_with(&named), "{digest:?}");
    let text = content(&digest, "text/plain");
    let told = |what: &str| text.matches(&format!("(id {}): {what},", post.account)).count();
    assert_eq!((told("low balance"), told("low balance cleared")), (2, 3), "{text}");
    assert!(!text.contains("more."), "{text}");
    let file: Value = serde_json::from_str(content(&digest, "application/json")).unwrap();
    assert_eq!(file.as_array().unwrap().len(), 5);
    assert_eq!(post.settled().await, ["delivered"; 8]);
    assert_eq!(server.rest(), [json!(null); 0]);
    assert_eq!(post.log().await.len(), 4);
    // The next one goes alone: of the last hour there is one mail.
    post.fall().await;
    assert!(header(&server.next(), "subject").ends_with("low balance"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_digest_lists_a_hundred_and_says_how_many_more() {
    let server = MailServer::start(&json!({"answers": ["250 ok", "451 later", "250 ok"]}));
    let post = Post::with(limited(1, || ahead(1)), server.port, json!({})).await;
    for _ in 0..53 {
        post.fall().await;
        post.rise().await;
    }
    assert_eq!(server.rest().len(), 1);
    AHEAD[1].store(3_602, Ordering::Relaxed);
    // It is tried again as it was.
    let (first, second) = (server.next(), server.next());
    assert_eq!(header(&first, "message-id"), header(&second, "message-id"));
    assert_eq!(header(&second, "subject"), "105 notifications");
    let text = content(&second, "text/plain");
    assert_eq!(text.matches("low balance").count(), 100);
    assert!(text.contains("… and 5 more."), "{text}");
    let html = content(&second, "text/html");
    assert_eq!(html.matches("low balance").count(), 100);
    assert_eq!(post.settled().await, ["delivered"; 106]);
    assert_eq!(server.rest(), [json!(null); 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crossing_is_mailed_within_a_second() {
    let server = MailServer::kind();
    let delivering = Delivering { mails_per_hour: 0, ..Delivering::default() };
    let setup = Setup { delivering, ..Setup::default() };
    let post = Post::with(setup, server.port, json!({})).await;
    let mut latencies = Vec::new();
    for number in 0..100 {
        // It includes the payment's own request, and what Python takes to tell us.
        let asked = Instant::now();
        if number % 2 == 0 {
            post.fall().await;
        } else {
            post.rise().await;
        }
        server.next();
        latencies.push(asked.elapsed());
        // The next one finds nobody at work.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    latencies.sort();
    let [half, most, last] = [49, 98, 99].map(|at| latencies[at]);
    println!("payment asked for to mail accepted: p50 {half:?}, p99 {most:?}, max {last:?}");
    assert!(most < Duration::from_secs(1), "p99 {most:?}");
}
