//! The texts of mails as operators write them.

use serde_json::{Value, json};

use crate::mail_server::{MailServer, Post, content, header};
use crate::support::{Reply, TestApp};

const LOW: &str = "AccountLowThesholdReached";

fn template(event_type: &str, subject: &str, text: &str, html: Option<&str>) -> Value {
    json!({"event-type": event_type, "subject": subject, "text-body": text, "html-body": html})
}

async fn propose(app: &TestApp, attributes: Value) -> Reply {
    let data = json!({"type": "email-templates", "attributes": attributes});
    app.post("/email-templates", json!({ "data": data })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_operators_texts_take_the_place_of_the_built_in_ones_until_they_are_gone() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let attributes = json!({"name": "A & <B>"});
    assert_eq!(post.app.update("accounts", &post.account, attributes).await.status, 200);
    let text = "{% if balance %}\n{{ account_name }}: {{ balance }}\n{% endif %}\n{{ data.vat }}\n";
    let html = "<p>{{ account_name }}</p>";
    let own = template(LOW, "Low: {{ account_name | upper }}", text, Some(html));
    let id = post.app.create("email-templates", own, json!({})).await;
    post.fall().await;
    let mail = server.next();
    assert_eq!(header(&mail, "subject"), "Low: A & <B>");
    assert_eq!(content(&mail, "text/plain"), "A & <B>: -5.0\r\n0.0\r\n");
    assert_eq!(content(&mail, "text/html"), "<p>A &amp; &lt;B&gt;</p>");
    assert_eq!(content(&mail, "application/json").matches("-5.0").count(), 1);
    // Other kinds have their own.
    post.rise().await;
    assert!(header(&server.next(), "subject").ends_with("low balance cleared"));
    let plain = json!({"html-body": null});
    assert_eq!(post.app.update("email-templates", &id, plain).await.status, 200);
    post.fall().await;
    let nesting = ["multipart/mixed", "text/plain", "application/json"];
    assert_eq!(server.next()["nesting"], json!(nesting));
    post.rise().await;
    server.next();
    assert_eq!(post.app.delete(&format!("/email-templates/{id}")).await.status, 204);
    post.fall().await;
    let expected = format!("Account with id {} low balance", post.account);
    assert_eq!(header(&server.next(), "subject"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_template_that_fails_at_last_gives_way_to_the_built_in_text() {
    let server = MailServer::kind();
    let post = Post::through(&server).await;
    let id = post.app.create("email-templates", template(LOW, "s", "t", None), json!({})).await;
    post.app.alter("UPDATE email_templates SET text_body = '{{ nonesuch }}'");
    post.fall().await;
    let mail = server.next();
    assert!(header(&mail, "subject").ends_with("low balance"));
    assert!(content(&mail, "text/plain").contains("Balance:    -5.0"));
    assert_eq!(post.settled().await, ["delivered"]);
    assert_eq!(post.app.attributes(&format!("/email-templates/{id}")).await["subject"], "s");
}

#[tokio::test]
async fn a_template_that_does_not_come_out_well_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    let long =
        "{% for event in events %}{% for other in events %}{{ count }}{% endfor %}{% endfor %}";
    for (part, source, reason) in [
        ("subject", "{{ account_nam }}", "undefined value"),
        ("subject", "{{ account_name", "syntax error"),
        ("text-body", "{% if balance %}", "syntax error"),
        ("text-body", "{{ data.nonesuch }}", "undefined value"),
        ("text-body", "{{ account_name | nonesuch }}", "unknown filter"),
        ("text-body", "{{ data }}", "cannot be written out"),
        ("text-body", "{% set x = 1 %}", "`set` is not available"),
        ("html-body", "{{ account_name | safe }}", "unknown filter"),
        ("html-body", "{{ 'a' * 1000000000 }}", "`*` is not available"),
        ("html-body", "{% include 'x' %}", "`include` is not available"),
    ] {
        let mut attributes = template(LOW, "s", "t", Some("h"));
        attributes[part] = json!(source);
        let refused = propose(&app, attributes).await;
        refused.refuses(422);
        assert_eq!(refused.pointers(), [format!("/data/attributes/{part}")]);
        let errors = refused.errors();
        let start = format!("100 {part} - is invalid: ");
        assert!(errors[0].starts_with(&start) && errors[0].contains(reason), "{errors:?}");
        assert!(!errors[0].contains('\n'), "{errors:?}");
    }
    let all = template(LOW, "{{ x }}", "{{ x }}", Some("{{ x }}"));
    let pointers = ["subject", "text-body", "html-body"].map(|p| format!("/data/attributes/{p}"));
    assert_eq!(propose(&app, all).await.pointers(), pointers);
    assert_eq!(propose(&app, template("digest", long, long, None)).await.status, 201);
}

#[tokio::test]
async fn there_is_one_template_for_each_kind_of_event() {
    let app = TestApp::start().await;
    let blank = propose(&app, json!({})).await;
    blank.refuses(422);
    let pointers = ["event-type", "subject", "text-body"].map(|p| format!("/data/attributes/{p}"));
    for pointer in &pointers {
        assert!(blank.pointers().contains(pointer), "{pointer}: {}", blank.body);
    }
    assert_eq!(propose(&app, template(LOW, "s", "t", None)).await.status, 201);
    let again = propose(&app, template(LOW, "s", "t", None)).await;
    again.refuses(422);
    assert_eq!(again.errors(), ["100 event-type - has already been taken"]);
    propose(&app, template("Nonesuch", "s", "t", None)).await.refuses(422);
    let long = propose(&app, template("digest", &"s".repeat(501), "t", None)).await;
    long.refuses(422);
    assert_eq!(long.pointers(), ["/data/attributes/subject"]);
    assert_eq!(app.listed(&format!("/email-templates?filter[event-type]={LOW}")).await.len(), 1);
    let audits = app.total("/audit-records").await;
    let id = &app.ids("/email-templates").await[0];
    let changed = json!({"subject": "other {{ count }}"});
    assert_eq!(app.update("email-templates", id, changed).await.status, 200);
    assert_eq!(app.total("/audit-records").await, audits + 1);
}
