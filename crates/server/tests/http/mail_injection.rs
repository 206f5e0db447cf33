//! Nobody writes a header or an address of a mail but us: not by names, addresses, or templates.

use serde_json::{Map, Value, json};
use tollkeeper::events::ALERT_RAISED;
use tollkeeper::outbox::{News, mail, tell};

use crate::mail_server::{MailServer, Post, content, header};

/// Texts that would like to be headers.
const HOSTILE: [&str; 6] = [
    "a\r\nBcc: victim@example.test\r\n\r\nIgnore all that follows",
    "a\nSubject: other",
    "a\rX-Own: 1",
    "a\u{2028}Bcc: victim@example.test\u{85}\u{b}",
    "=?utf-8?q?a=0D=0ABcc:_victim@example.test?=",
    "\"Zürich, Київ\" <victim@example.test>, 日本 🎉",
];

/// Checks that a mail has the headers that all have, each once, and goes to one recipient.
#[track_caller]
fn is_intact(message: &Value, headers: &[&str]) {
    let names: Vec<String> = message["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair[0].as_str().unwrap().to_lowercase())
        .collect();
    assert_eq!(names, headers, "{message}");
    assert_eq!(message["recipients"], json!(["noc@customer.test"]));
    assert_eq!(header(message, "to"), "noc@customer.test");
    assert_eq!(message["defects"], json!([]));
    assert!(!header(message, "subject").contains(['\r', '\n']));
    // No line is longer than mail servers must take (RFC 5322, 2.1.1), and none ends in half.
    let raw = message["raw"].as_str().unwrap();
    assert!(raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
}

/// The headers of a mail that nobody has tampered with.
fn usual_headers(message: &Value) -> Vec<&str> {
    let names = ["from", "to", "subject", "date", "message-id", "auto-submitted"];
    let more = ["x-auto-response-suppress", "mime-version", "content-type"];
    assert_eq!(message["headers"].as_array().unwrap().len(), names.len() + more.len(), "{message}");
    names.into_iter().chain(more).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn names_stay_in_their_places() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let template = json!({
        "event-type": "AccountLowThesholdReached",
        "subject": "{{ account_name }}\r\nBcc: {{ data.name }}",
        "text-body": "{{ data.name }}",
        "html-body": "<p>{{ data.name }}</p>",
    });
    post.app.create("email-templates", template, json!({})).await;
    for name in HOSTILE {
        let renamed = post.app.update("accounts", &post.account, json!({"name": name})).await;
        assert_eq!(renamed.status, 200, "{}", renamed.body);
        // With the operator's texts, and with the built-in ones.
        post.fall().await;
        let message = server.next();
        is_intact(&message, &usual_headers(&message));
        let text = content(&message, "text/plain");
        let lines = |text: &str| text.split(['\r', '\n']).filter(|l| !l.is_empty()).count();
        assert_eq!(lines(text), lines(name), "{text:?}");
        let html = content(&message, "text/html");
        assert!(!html.contains("<victim") && !html.contains('"'), "{html}");
        post.rise().await;
        let message = server.next();
        is_intact(&message, &usual_headers(&message));
        let text = content(&message, "text/plain");
        let account = text.lines().find(|line| line.starts_with("Account: ")).unwrap();
        assert!(account.ends_with(&format!("(id {})", post.account)), "{account:?}");
        assert_eq!(text.matches("victim").count(), account.matches("victim").count());
        let file: Value = serde_json::from_str(content(&message, "application/json")).unwrap();
        assert_eq!(file["name"], name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn alerts_have_subjects_of_their_own_and_their_names_stay_in_them() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let contact: i64 = post.contact.parse().unwrap();
    let account: i64 = post.account.parse().unwrap();
    for name in ["night reserve"].into_iter().chain(HOSTILE) {
        let alert =
            json!({"id": 7, "name": name, "kind": "low", "value": "12.5", "percentage": null});
        let details = Map::from_iter([("alert".to_owned(), alert)]);
        let now = post.app.app.now();
        let announced = post.app.app.store.write::<_, store::StoreError, _>(async move |tx| {
            let account = tx.find(&tollkeeper::accounts::ACCOUNTS, account).await?;
            let details = details.clone();
            let news = News { kind: &ALERT_RAISED, account: account.as_ref(), details, now };
            let event = tell(tx, news).await?.expect("an event that is always written");
            mail(tx, &event, &[contact], now).await
        });
        announced.await.unwrap();
        let message = server.next();
        is_intact(&message, &usual_headers(&message));
        let subject = header(&message, "subject");
        let start = format!("Account with id {account}: alert \"");
        assert!(subject.starts_with(&start) && subject.ends_with("\" raised"), "{subject}");
        if name == "night reserve" {
            assert_eq!(subject, format!("{start}night reserve\" raised"));
            let text = content(&message, "text/plain");
            assert!(text.contains("Alert:      night reserve\r\n"), "{text}");
            assert!(text.contains("Threshold:  12.5\r\n"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_single_address_gets_no_mail() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let hostile = [
        "a@customer.test, b@customer.test",
        "a@customer.test,b@customer.test",
        "a@customer.test;b@customer.test",
        "Bob <bob@customer.test>",
        "a@customer.test\r\nBcc: victim@example.test",
        "a@customer.test>\r\nRCPT TO:<victim@example.test",
        "a@customer.test\r\nDATA\r\n",
        "\"a b\"@customer.test",
        "\"a\r\nb\"@customer.test",
        "a@[127.0.0.1]",
        "nobody",
        "юрий@customer.test",
    ];
    post.recipients(&hostile).await;
    post.fall().await;
    assert_eq!(post.settled().await, ["dead"; 12]);
    assert_eq!(server.rest(), [json!(null); 0], "not a word to the server about any of them");
    for row in post.log().await {
        let error = row["error"].as_str().unwrap();
        let is_beyond_ascii = row["to-address"].as_str().unwrap().starts_with('ю');
        let expected = if is_beyond_ascii { "SMTPUTF8" } else { "is not an address" };
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn blanks_around_an_address_do_not_matter() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    post.recipients(&[" noc@customer.test\n"]).await;
    post.fall().await;
    let message = server.next();
    is_intact(&message, &usual_headers(&message));
}
