//! Forms of the console: what is wrong is said where it is, nothing is overwritten unseen, and what
//! is sent twice is done once.

use serde_json::{Value, json};

use crate::builders::{app_with_accounts, app_with_contractor};
use crate::console::{Desk, Form, escape, unescape};
use crate::support::TestApp;

/// What a page has about a field: its label, what is in it, and what is wrong with it.
#[track_caller]
fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let mut fields = page.split("<div class=\"field").skip(1);
    let found = fields.find(|field| field.contains(&format!(" for=\"f-{name}\"")));
    found.unwrap_or_else(|| panic!("no field {name} on {page}"))
}

/// What a page says is wrong with a field.
#[track_caller]
fn said(page: &str, name: &str) -> Vec<String> {
    alerts(field(page, name))
}

/// What a page says is wrong.
fn alerts(page: &str) -> Vec<String> {
    let texts = page.split("role=\"alert\"").skip(1).map(|rest| {
        let rest = rest.split_once('>').unwrap().1;
        unescape(rest.split_once('<').unwrap().0)
    });
    texts.collect()
}

async fn new_account(desk: &Desk, contractor: &str) -> Form {
    let form = desk.form("/accounts/new", "/accounts").await;
    form.with("contractor", contractor).with("name", "main")
}

#[tokio::test]
async fn what_is_wrong_is_said_at_its_field_and_what_was_typed_is_kept() {
    let (app, contractor) = app_with_contractor().await;
    let desk = Desk::of(&app).await;
    let form = new_account(&desk, &contractor).await;
    let wrong = form.clone().with("name", "").with("max-balance", "ten").with("min-balance", "-5");
    let wrong = wrong.with("vat", "101").with("timezone", "Mars/\"Olympus\"");
    let reply = desk.submit(&wrong).await;
    assert_eq!(reply.status, 422, "{}", reply.body);
    let page = &reply.body;
    // As the API says it.
    let attributes = json!({"name": "", "max-balance": "ten", "min-balance": "-5", "vat": "101",
        "timezone": "Mars/\"Olympus\""});
    let refused = app.open(&contractor, attributes).await;
    for error in refused.json()["errors"].as_array().unwrap() {
        let name = error["source"]["pointer"].as_str().unwrap().rsplit('/').next().unwrap();
        let title = error["title"].as_str().unwrap().to_owned();
        assert!(said(page, name).contains(&title), "{name}: {title} in {page}");
        assert!(field(page, name).contains("aria-invalid=\"true\""), "{name}: {page}");
    }
    assert_eq!(alerts(page).len(), refused.pointers().len(), "{page}");
    assert!(said(page, "min-balance").is_empty(), "{page}");
    let again = Form::on(page, "/accounts");
    for (name, value) in [
        ("max-balance", "ten"),
        ("min-balance", "-5"),
        ("vat", "101"),
        ("timezone", "Mars/\"Olympus\""),
        ("contractor", &contractor),
    ] {
        assert_eq!(again.value(name), value);
    }
    assert_eq!(app.total("/accounts").await, 0);
    // Put right where it stands, it goes through: the key of what was refused is no hindrance.
    let right = again.with("name", "main").with("max-balance", "10").with("vat", "20");
    let reply = desk.submit(&right.with("timezone", "Europe/Kyiv")).await;
    assert_eq!(reply.status, 303, "{:?}", alerts(&reply.body));
    let made = app.attributes(reply.header("location")).await;
    assert_eq!((&made["name"], &made["max-balance"]), (&json!("main"), &json!("10.0")));
    assert_eq!((&made["vat"], &made["timezone"]), (&json!("20.0"), &json!("Europe/Kyiv")));
}

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_record() {
    let (app, contractor) = app_with_contractor().await;
    let desk = Desk::of(&app).await;
    let form = new_account(&desk, &contractor).await;
    let replies = tokio::join!(desk.submit(&form), desk.submit(&form), desk.submit(&form));
    let first = desk.submit(&form).await;
    assert_eq!(first.status, 303, "{first:?}");
    for reply in [replies.0, replies.1, replies.2] {
        // While the first one is at work, the others may be told so.
        let is_same = reply.header("location") == first.header("location");
        assert!((reply.status == 303 && is_same) || reply.status == 409, "{reply:?}");
    }
    assert_eq!(app.total("/accounts").await, 1);
    // The next form is another write.
    let next = new_account(&desk, &contractor).await.with("name", "second");
    assert_eq!(desk.submit(&next).await.status, 303);
    assert_eq!(app.total("/accounts").await, 2);
}

#[tokio::test]
async fn what_somebody_else_has_changed_meanwhile_is_not_overwritten() {
    let app = app_with_accounts().await;
    let (desk, other) = (Desk::of(&app).await, Desk::of(&app).await);
    let form = desk.form("/accounts/1/edit", "/accounts/1").await;
    let theirs = other.form("/accounts/1/edit", "/accounts/1").await.with("max-balance", "7");
    assert_eq!(other.submit(&theirs).await.header("location"), "/accounts/1");
    let before = app.dump();
    let reply = desk.submit(&form.with("name", "mine").with("vat", "19")).await;
    assert_eq!(reply.status, 412, "{}", reply.body);
    assert!(alerts(&reply.body)[0].starts_with("Somebody else has changed this record"));
    assert!(app.dump() == before, "something has changed");
    // What was typed is not lost.
    let again = Form::on(&reply.body, "/accounts/1");
    assert_eq!((again.value("name"), again.value("vat")), ("mine", "19"));
    // A form that is opened anew goes through.
    let form = desk.form("/accounts/1/edit", "/accounts/1").await.with("name", "mine");
    assert_eq!(desk.submit(&form).await.status, 303);
    let account = app.attributes("/accounts/1").await;
    assert_eq!((&account["name"], &account["max-balance"]), (&json!("mine"), &json!("7.0")));
}

#[tokio::test]
async fn a_form_changes_what_differs_and_nothing_else() {
    let app = app_with_accounts().await;
    let desk = Desk::of(&app).await;
    let notes = "two\r\nlines, and < & \" '";
    let form = desk.form("/contractors/1/edit", "/contractors/1").await;
    assert_eq!(desk.submit(&form.with("description", notes)).await.status, 303);
    let audit = app.listed("/audit-records?sort=-id").await.remove(0);
    let text = notes.replace("\r\n", "\n");
    assert_eq!(audit["after"], json!({"description": text}), "{audit}");
    // Sent as it came, it changes nothing: no record of a change.
    let audits = app.total("/audit-records").await;
    let form = desk.form("/contractors/1/edit", "/contractors/1").await;
    // A browser sends line breaks as it must.
    let form = form.clone().with("description", &form.value("description").replace('\n', "\r\n"));
    assert_eq!(desk.submit(&form).await.status, 303);
    assert_eq!(app.total("/audit-records").await, audits);
    // What is emptied is null.
    let form = desk.form("/contractors/1/edit", "/contractors/1").await.with("description", "");
    assert_eq!(desk.submit(&form).await.status, 303);
    assert_eq!(app.attributes("/contractors/1").await["description"], Value::Null);
}

#[tokio::test]
async fn numbers_are_kept_to_the_last_digit() {
    let (app, contractor) = app_with_contractor().await;
    let desk = Desk::of(&app).await;
    let (most, cents) = ("9223372036854775807", "12345678901234567.123456789012");
    let form = new_account(&desk, &contractor).await.with("external-id", most);
    let reply = desk.submit(&form.with("max-balance", cents)).await;
    assert_eq!(reply.status, 303, "{}", reply.body);
    let account = reply.header("location").to_owned();
    let text = app.get(&account).await.body;
    assert!(text.contains(&format!("\"external-id\":{most}")), "{text}");
    assert_eq!(app.attributes(&account).await["max-balance"], cents);
    let form = desk.form(&format!("{account}/edit"), &account).await;
    assert_eq!((form.value("max-balance"), form.value("external-id")), (cents, most));
}

#[tokio::test]
async fn lists_of_words_and_of_ids_are_sent_as_such() {
    let app = app_with_accounts().await;
    let desk = Desk::of(&app).await;
    let contacts = [app.contact("1", "a@b.test").await, app.contact("1", "c@d.test").await];
    let form = desk.form("/accounts/1/edit", "/accounts/1").await;
    let form = form.with("send-invoices-to", &contacts.join(" "));
    assert_eq!(desk.submit(&form).await.status, 303);
    let ids: Vec<Value> = contacts.iter().map(|id| json!(id.parse::<i64>().unwrap())).collect();
    assert_eq!(app.attributes("/accounts/1").await["send-invoices-to"], json!(ids));
    let form = desk.form("/accounts/1/edit", "/accounts/1").await;
    assert_eq!(form.value("send-invoices-to"), contacts.join(" "));
    assert_eq!(desk.submit(&form.with("send-invoices-to", "")).await.status, 303);
    assert_eq!(app.attributes("/accounts/1").await["send-invoices-to"], Value::Null);
    // No tick at all is refused as the API refuses it, and not passed over.
    let hook = app.webhook("http://127.0.0.1:1/", &["PaymentPosted"]).await;
    let path = format!("/webhooks/{}", hook.id);
    let form = desk.form(&format!("{path}/edit"), &path).await;
    assert_eq!(form.value("events"), "PaymentPosted");
    let reply = desk.submit(&form.without("events")).await;
    assert_eq!((reply.status, said(&reply.body, "events").len()), (422, 1), "{}", reply.body);
}

#[tokio::test]
async fn a_field_is_changed_in_its_place_or_says_there_what_is_wrong() {
    let app = app_with_accounts().await;
    let desk = Desk::of(&app).await;
    let place = "/accounts/1/field/max-balance";
    let form = desk.form(place, place).await;
    assert_eq!(form.value("max-balance"), "0.0");
    let refused = desk.submit_as_fragment(&form.clone().with("max-balance", "-1")).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(said(&refused.body, "max-balance").len(), 1, "{}", refused.body);
    assert!(!refused.body.contains("<html"), "it is a part of a page");
    assert_eq!(Form::on(&refused.body, place).value("max-balance"), "-1");
    let changed = desk.submit_as_fragment(&form.with("max-balance", "12.5")).await;
    assert_eq!(changed.status, 200);
    assert!(changed.body.contains(">12.50</dd>"), "{}", changed.body);
    assert_eq!(app.attributes("/accounts/1").await["max-balance"], "12.5");
    // What cannot be changed has no such place.
    for name in ["balance", "nonesuch", "journal-hash"] {
        assert_eq!(desk.get(&format!("/accounts/1/field/{name}")).await.status, 404);
    }
}

#[tokio::test]
async fn a_field_that_is_sent_without_a_script_gets_a_whole_page() {
    let app = app_with_accounts().await;
    let desk = Desk::of(&app).await;
    let form = desk.form("/accounts/1/field/max-balance", "/accounts/1/field/max-balance").await;
    let refused = desk.submit(&form.clone().with("max-balance", "-1")).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.starts_with("<!doctype html>"), "{}", refused.body);
    assert_eq!(said(&refused.body, "max-balance").len(), 1, "{}", refused.body);
    // The other fields are as they were, so that it can be corrected and sent.
    let whole = Form::on(&refused.body, "/accounts/1");
    let before = desk.form("/accounts/1/edit", "/accounts/1").await;
    assert_eq!(whole.value("max-balance"), "-1");
    assert_eq!(whole.value("name"), before.value("name"));
    assert_ne!(whole.value("name"), "");
    // And nobody's change in the meantime is overwritten with them.
    assert_eq!(whole.value("form-tag"), before.value("form-tag"));
    assert_ne!(whole.value("form-tag"), "");
    let changed = desk.submit(&form.with("max-balance", "12.5")).await;
    assert_eq!((changed.status, changed.header("location")), (303, "/accounts/1"));
    assert_eq!(app.attributes("/accounts/1").await["max-balance"], "12.5");
}

#[tokio::test]
async fn a_payment_is_shown_before_it_is_posted_and_posted_once() {
    let (app, contractor) = app_with_contractor().await;
    let attributes = json!({"name": "main", "min-balance": -10, "balance-low-threshold": 5});
    let account = app.account(&contractor, attributes).await;
    app.pay(&account, "7.5").await;
    let desk = Desk::of(&app).await;
    let (page, action) = (format!("/accounts/{account}"), format!("/accounts/{account}/pay"));
    let form = desk.form(&page, &action).await;
    let before = app.dump();
    let form = form.with("amount", "-3.25").with("notes", "back <b>").with("external-id", "x");
    let shown = desk.submit(&form).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    for text in ["<dd>7.50</dd>", "<dd>\u{2212}3.25</dd>", "<strong>4.25</strong>"] {
        assert!(shown.body.contains(text), "{text} in {}", shown.body);
    }
    assert!(shown.body.contains("below its low threshold"), "{}", shown.body);
    assert!(app.dump() == before, "something was written");
    // What would be refused is said before, at its field.
    for (amount, says) in [("0", "must be other than 0"), ("ten", "is not a number")] {
        let refused = desk.submit(&form.clone().with("amount", amount)).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert!(alerts(&refused.body).contains(&says.to_owned()), "{}", refused.body);
        let again = Form::on(&refused.body, &action);
        assert_eq!((again.value("amount"), again.value("notes")), (amount, "back <b>"));
    }
    assert!(app.dump() == before, "something was written");
    let confirm = Form::on(&shown.body, &action);
    for _ in 0..3 {
        let posted = desk.submit(&confirm).await;
        assert_eq!(posted.status, 303, "{}", posted.body);
        assert_eq!(posted.header("location"), format!("{page}#journal"));
    }
    assert_eq!(app.total("/payments").await, 2);
    assert_eq!(app.attributes(&page).await["balance"], "4.25");
    let payment = app.listed("/payments?sort=-created-at").await.remove(0);
    assert_eq!((&payment["notes"], &payment["external-id"]), (&json!("back <b>"), &json!("x")));
    assert!(desk.page(&page).await.contains(&escape("back <b>")));
}

#[tokio::test]
async fn a_payment_is_taken_back_once() {
    let (app, contractor) = app_with_contractor().await;
    let account = app.account(&contractor, json!({"name": "main"})).await;
    let payment = format!("/payments/{}", app.pay(&account, 5).await);
    let desk = Desk::of(&app).await;
    let action = format!("{payment}/do/rollback");
    let form = desk.form(&payment, &action).await;
    let reply = desk.submit(&form).await;
    assert_eq!(reply.header("location"), format!("{payment}?done=rollback"));
    let page = desk.page(reply.header("location")).await;
    assert!(page.contains("role=\"status\">Roll back: done.<"), "{page}");
    assert!(!page.contains(&action), "it cannot be done again: {page}");
    assert_eq!(app.attributes(&format!("/accounts/{account}")).await["balance"], "0.0");
    // Whoever sends the old form again learns that there is no such thing any more.
    assert_eq!(desk.submit(&form).await.status, 404);
    assert_eq!(app.attributes(&format!("/accounts/{account}")).await["balance"], "0.0");
    for wrong in ["nonesuch", "test", "../delete"] {
        let reply = desk.post(&format!("{payment}/do/{wrong}"), &[]).await;
        assert!([404, 405].contains(&reply.status), "{wrong}: {reply:?}");
    }
}

#[tokio::test]
async fn what_the_api_does_not_let_go_stays_and_the_page_says_why() {
    let app = app_with_accounts().await;
    let desk = Desk::of(&app).await;
    let form = desk.form("/contractors/1", "/contractors/1/delete").await;
    let reply = desk.submit(&form).await;
    assert_eq!(reply.status, app.delete("/contractors/1").await.status, "{reply:?}");
    assert_eq!(alerts(&reply.body), ["Cannot delete record because dependent accounts exist"]);
    assert_eq!(app.total("/contractors").await, 1);
    let form = desk.form("/accounts/1", "/accounts/1/delete").await;
    assert_eq!(desk.submit(&form).await.header("location"), "/accounts");
    assert_eq!(desk.get("/accounts/1").await.status, 404);
    assert_eq!(desk.submit(&form).await.status, 404);
    assert_eq!(app.total("/accounts").await, 1);
}

#[tokio::test]
async fn a_secret_is_told_once() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let form = desk.form("/webhooks/new", "/webhooks").await;
    let form = form.with("url", "https://hooks.test/").with("events", "*");
    let told = desk.submit(&form).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let secret = told.body.split("id=\"secret\" class=\"secret\">").nth(1).unwrap();
    let secret = secret.split('<').next().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert!(!desk.page("/webhooks/1").await.contains(secret));
    let action = "/webhooks/1/do/rotate-secret";
    let rotate = desk.form("/webhooks/1", action).await;
    let again = desk.submit(&rotate).await;
    assert!(again.body.contains("whsec_") && !again.body.contains(secret), "{}", again.body);
    let form = desk.form("/webhooks/1/edit", "/webhooks/1").await;
    assert!(!form.fields.iter().any(|(_, value)| value.contains("whsec_")), "{form:?}");
}
