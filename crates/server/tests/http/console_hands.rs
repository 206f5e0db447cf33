//! The console in a real browser, as a billing desk uses it: clicks, keys, and what comes of them.

use serde_json::{Value, json};
use tollkeeper::courier::Courier;
use tollkeeper::inside::Inside;
use tollkeeper::router::router;
use tollkeeper::tasks::Runner;

use crate::browser::Browser;
use crate::builders::app_with_accounts;
use crate::receiver::Receiver;
use crate::support::{PASSWORD, TestApp};

/// A page on which nothing is going on any more.
const SETTLED: &str =
    "document.readyState === 'complete' && !document.querySelector('.htmx-request')";
/// Colour behind everything.
const BACKGROUND: &str = "getComputedStyle(document.body).backgroundColor";

impl Browser {
    /// Starts one whose user has signed in, and is at this page.
    pub async fn at(app: &TestApp, path: &str) -> Self {
        let browser = Self::start(app.address).await;
        browser.open("/sessions").await;
        browser.sign_in(PASSWORD).await;
        browser.arrived("/sessions").await;
        browser.open(path).await;
        browser
    }

    /// Fills in the door's form, and sends it.
    async fn sign_in(&self, password: &str) {
        self.fill("#name", "admin").await;
        self.fill("#password", password).await;
        self.click(".door button").await;
    }

    /// Waits until the page at this path is there.
    pub async fn arrived(&self, path: &str) {
        self.wait_until(&format!("location.pathname === '{path}' && {SETTLED}")).await;
    }

    /// How many rows the table has.
    async fn rows(&self) -> Value {
        self.eval("document.querySelectorAll('#table tbody tr').length").await
    }

    /// Checks that the browser complains of refused requests alone, so many of this status.
    async fn complains_of(&self, status: u16, times: usize) {
        let complaints = self.console_complaints().await;
        let are_so = complaints.iter().all(|one| one.contains(&format!("status of {status}")));
        assert!(are_so && complaints.len() == times, "{complaints:#?}");
    }

    /// Checks that the browser has nothing to complain of.
    async fn complains_of_nothing(&self) {
        assert_eq!(self.console_complaints().await, [""; 0]);
    }
}

/// An installation with the demo data.
async fn demo() -> TestApp {
    let app = TestApp::start().await;
    tollkeeper::demo::fill(&app.app).await.unwrap();
    app
}

#[tokio::test]
async fn signing_in_leads_to_the_page_that_was_wanted_and_out_again() {
    let app = demo().await;
    let browser = Browser::start(app.address).await;
    browser.open("/accounts?q=oslo").await;
    assert_eq!(browser.eval("location.pathname").await, "/sign-in");
    assert_eq!(browser.eval("document.activeElement.id").await, "name");
    browser.sign_in("a guess at it").await;
    browser.wait_for(".error").await;
    assert_eq!(browser.text(".error").await, "Incorrect login or password.");
    assert_eq!(browser.eval("document.querySelector('#name').value").await, "admin");
    browser.complains_of(401, 1).await;
    browser.sign_in(PASSWORD).await;
    browser.arrived("/accounts").await;
    assert_eq!(browser.eval("location.search").await, "?q=oslo");
    assert_eq!(browser.eval("document.cookie").await, "");
    browser.click(".who form button").await;
    browser.arrived("/sign-in").await;
    // What was on the screen is not kept for whoever comes next.
    browser.eval("history.back()").await;
    browser.wait_until("location.pathname === '/sign-in'").await;
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn who_guesses_is_told_to_wait() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        assert_eq!(app.knock("admin", "a guess at it").await.status, 401);
    }
    let browser = Browser::start(app.address).await;
    browser.open("/sign-in").await;
    browser.sign_in(PASSWORD).await;
    browser.wait_for(".error").await;
    let said = browser.text(".error").await;
    assert_eq!(said, "Too many failed sign-in attempts. Try again later.");
    browser.complains_of(429, 1).await;
}

#[tokio::test]
async fn contractor_contact_and_account_are_made_by_forms_alone() {
    let app = TestApp::start().await;
    let browser = Browser::at(&app, "/contractors").await;
    browser.click(".title a.primary").await;
    browser.arrived("/contractors/new").await;
    browser.fill("#f-name", "Fjord Voice AS").await;
    for name in ["enabled", "vendor", "customer"] {
        browser.choose(&format!("#f-{name}"), "yes").await;
    }
    browser.click(".record button.primary").await;
    browser.arrived("/contractors/1").await;
    assert_eq!(browser.text("h1").await, "Fjord Voice AS");
    browser.click("a[aria-label='New: Contacts']").await;
    browser.arrived("/contacts/new").await;
    browser.fill("#f-email", "billing@fjord.test").await;
    browser.click(".record button.primary").await;
    browser.arrived("/contacts/1").await;
    assert_eq!(browser.text("#v-contractor").await, "Fjord Voice AS");
    // The contractor is found by its name.
    browser.open("/accounts/new").await;
    browser.click("#f-contractor").await;
    browser.type_text("jord").await;
    browser.wait_until("document.querySelector('#c-contractor option')?.value === '1'").await;
    browser.fill("#f-contractor", "1").await;
    browser.fill("#f-name", "Fjord retail").await;
    browser.fill("#f-min-balance", "-100").await;
    browser.fill("#f-max-balance", "5000").await;
    browser.fill("#f-send-invoices-to", "1").await;
    browser.click(".record button.primary").await;
    browser.arrived("/accounts/1").await;
    assert_eq!(browser.text("h1").await, "Fjord retail");
    assert_eq!(browser.text(".crumbs").await, "Accounts · Fjord Voice AS");
    let account = app.attributes("/accounts/1").await;
    assert_eq!(
        (&account["min-balance"], &account["max-balance"]),
        (&json!("-100.0"), &json!("5000.0"))
    );
    assert_eq!(account["send-invoices-to"], json!([1]));
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn a_whole_form_says_at_the_field_what_is_wrong() {
    let app = app_with_accounts().await;
    let browser = Browser::at(&app, "/accounts/1/edit").await;
    browser.fill("#f-max-balance", "-7").await;
    browser.fill("#f-vat", "20").await;
    browser.click(".record button.primary").await;
    browser.wait_for(".field.wrong .error").await;
    let wrong = browser.eval("document.querySelector('.field.wrong input').id").await;
    assert_eq!(wrong, "f-max-balance");
    assert_eq!(browser.eval("document.querySelectorAll('.error').length").await, 1);
    assert_eq!(browser.eval("document.querySelector('#f-vat').value").await, "20");
    browser.fill("#f-max-balance", "7").await;
    browser.click(".record button.primary").await;
    browser.arrived("/accounts/1").await;
    assert_eq!(browser.text("#v-max-balance").await, "7.00");
    assert_eq!(browser.text("#v-vat").await, "20.00");
    browser.complains_of(422, 1).await;
}

#[tokio::test]
async fn a_field_is_changed_where_it_is_and_says_there_what_is_wrong() {
    let app = app_with_accounts().await;
    let browser = Browser::at(&app, "/accounts/1").await;
    browser.eval("window.stays = true").await;
    browser.click("[aria-label='Change: Max balance']").await;
    browser.wait_for("#f-max-balance").await;
    // One can type at once.
    browser.wait_until("document.activeElement.id === 'f-max-balance'").await;
    browser.fill("#f-max-balance", "-1").await;
    browser.click(".lines form button.primary").await;
    browser.wait_for(".lines .error").await;
    assert_eq!(browser.eval("document.querySelector('#f-max-balance').value").await, "-1");
    browser.fill("#f-max-balance", "12.5").await;
    browser.click(".lines form button.primary").await;
    browser.wait_for("#v-max-balance").await;
    assert_eq!(browser.text("#v-max-balance").await, "12.50");
    // Whoever thinks better of it has what there was.
    browser.click("[aria-label='Change: VAT']").await;
    browser.fill("#f-vat", "3").await;
    browser.click(".lines form button[type=button]").await;
    browser.wait_for("#v-vat").await;
    assert_eq!(browser.text("#v-vat").await, "0.00");
    assert_eq!(browser.eval("window.stays").await, true);
    assert_eq!(app.attributes("/accounts/1").await["max-balance"], "12.5");
    browser.complains_of(422, 1).await;
}

#[tokio::test]
async fn a_payment_moves_the_balance_the_bar_the_chart_and_the_journal() {
    const BAR: &str = "document.querySelector('.stand .bar').getAttribute('aria-label')";
    const POINTS: &str = "Number(document.querySelector('#chart').dataset.points)";
    const ENTRIES: &str =
        "document.querySelectorAll('section[aria-labelledby=journal] tbody tr').length";
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    let attributes = json!({"name": "main", "min-balance": -100, "max-balance": 100});
    let account = app.account(&contractor, attributes).await;
    app.pay(&account, "10").await;
    let browser = Browser::at(&app, &format!("/accounts/{account}")).await;
    browser.wait_for("#chart canvas").await;
    let (bar, points) = (browser.eval(BAR).await, browser.eval(POINTS).await.as_u64().unwrap());
    assert_eq!(bar, "Balance 10.00 between \u{2212}100.00 and 100.00: within.");
    assert_eq!(browser.text("#balance").await, "10.00");
    let width = browser.eval("document.querySelector('.stand .fill').getAttribute('width')").await;
    browser.fill("#p-amount", "-112.25").await;
    browser.fill("#p-notes", "a refund").await;
    browser.click(".pay button").await;
    browser.arrived(&format!("/accounts/{account}/pay")).await;
    let sum = "document.querySelector('.sum').innerText";
    assert!(browser.eval(sum).await.as_str().unwrap().contains("\u{2212}102.25"));
    assert!(browser.text(".warning").await.contains("below the floor"));
    assert_eq!(app.total("/payments").await, 1);
    assert_eq!(browser.eval("document.activeElement.id").await, "confirm");
    browser.click("#confirm").await;
    browser.arrived(&format!("/accounts/{account}")).await;
    assert_eq!(browser.text("#balance").await, "\u{2212}102.25");
    assert_eq!(
        browser.eval(BAR).await,
        "Balance \u{2212}102.25 between \u{2212}100.00 and 100.00: at the floor."
    );
    assert_ne!(
        browser.eval("document.querySelector('.stand .fill').getAttribute('width')").await,
        width
    );
    browser.wait_for("#chart canvas").await;
    browser.wait_until(&format!("{POINTS} === {}", points + 1)).await;
    assert_eq!(browser.eval(ENTRIES).await, 2);
    assert_eq!(app.total("/payments").await, 2);
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn the_chart_looks_at_other_ranges() {
    let app = demo().await;
    let browser = Browser::at(&app, "/accounts/2").await;
    browser.wait_for("#chart canvas").await;
    browser.click("[data-hours='24']").await;
    browser
        .wait_until("document.querySelector('[data-hours=\"24\"]').ariaPressed === 'true'")
        .await;
    assert_eq!(browser.eval("document.querySelectorAll('[aria-pressed=true]').length").await, 1);
    browser.wait_for("#chart canvas").await;
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn search_narrows_the_table_while_one_types_and_the_address_follows() {
    let app = demo().await;
    let browser = Browser::at(&app, "/accounts").await;
    assert_eq!(browser.rows().await, 40);
    browser.eval("window.stays = true").await;
    browser.press("/").await;
    assert_eq!(browser.eval("document.activeElement.id").await, "q");
    browser.type_text("nordlys").await;
    browser.wait_until("document.querySelectorAll('#table tbody tr').length === 5").await;
    browser.wait_until("location.search.includes('q=nordlys')").await;
    assert_eq!(browser.eval("window.stays").await, true);
    assert_eq!(browser.eval("document.activeElement.id").await, "q");
    assert_eq!(browser.text("#table .count").await, "1–5 of 5");
    // The address is the search, for whoever gets it.
    browser.open("/accounts?q=nordlys").await;
    assert_eq!(browser.rows().await, 5);
    browser.fill("#q", "nonesuch").await;
    browser
        .wait_until("document.querySelector('#table .count').innerText === 'Nothing found.'")
        .await;
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn the_way_back_from_a_search_is_a_whole_page() {
    let app = demo().await;
    let browser = Browser::at(&app, "/accounts").await;
    browser.fill("#q", "nordlys").await;
    browser.wait_until("location.search.includes('q=nordlys')").await;
    browser.eval("history.back()").await;
    browser
        .wait_until(
            "location.search === '' && document.querySelectorAll('#table tbody tr').length === 40",
        )
        .await;
    browser.wait_for("nav a[aria-current=page]").await;
    browser.wait_until("document.querySelector('#q').value === ''").await;
    assert_eq!(browser.eval("document.querySelectorAll('h1').length").await, 1);
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn filters_columns_and_states_are_clicked_together() {
    let app = demo().await;
    let browser = Browser::at(&app, "/accounts").await;
    browser.click(".filters summary").await;
    browser.choose("#filter-by", "Name contains").await;
    browser.fill("#filter-value", "test").await;
    browser.click(".filters form.row button").await;
    browser.wait_for(".chip").await;
    assert_eq!(browser.text(".chip").await, "Name contains test ×");
    assert_eq!(browser.rows().await, 8);
    browser.click(".filters details:last-of-type summary").await;
    browser.click("input[name=columns][value=timezone]").await;
    browser.click(".filters form.ticks button").await;
    browser.wait_until("location.search.includes('columns=timezone')").await;
    assert_eq!(browser.rows().await, 8);
    browser
        .wait_until(
            "[...document.querySelectorAll('th')].some(th => th.innerText.trim() === 'Timezone')",
        )
        .await;
    let file = browser.eval("document.querySelector('a[download]').getAttribute('href')").await;
    assert_eq!(file, "/accounts/export.csv?filter%5Bname_cont%5D=test");
    browser.click(".chip").await;
    browser.wait_until("!document.querySelector('.chip')").await;
    assert_eq!(browser.rows().await, 40);
    browser.click("th[aria-sort] a").await;
    browser.wait_for("th[aria-sort=ascending]").await;
    browser.click(".states li:nth-child(2) a").await;
    browser
        .wait_until("document.querySelector('.states a[aria-current]')?.innerText === 'Blocked'")
        .await;
    browser.click(".states li:first-child a").await;
    browser
        .wait_until("document.querySelector('.states a[aria-current]')?.innerText === 'All'")
        .await;
    browser.click("[data-ticks]").await;
    let ticked = "[...document.querySelectorAll('#table tbody input')].every(box => box.checked)";
    assert_eq!(browser.eval(ticked).await, true);
    browser.complains_of_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_made_tested_and_delivered_to_again() {
    let app = TestApp::start().await;
    let (mut receiver, _courier) = (Receiver::start(), Courier::start(&app.app));
    let browser = Browser::at(&app, "/webhooks/new").await;
    browser.fill("#f-url", &receiver.url("/hooks")).await;
    browser.click("[name=events][value='*']").await;
    browser.click(".record button.primary").await;
    browser.wait_for("#secret").await;
    receiver.knows(&browser.text("#secret").await);
    browser.click("main a.button").await;
    browser.arrived("/webhooks/1").await;
    assert_eq!(browser.eval("document.body.innerText.includes('whsec_')").await, false);
    browser.click("form[action$='/do/test'] button").await;
    browser.wait_for(".done").await;
    assert_eq!(browser.text(".done").await, "Send a test event: done.");
    let first = receiver.got();
    assert_eq!((&first["path"], &first["verified"]), (&json!("/hooks"), &json!([0])));
    app.all_delivered().await;
    browser.click(".links a[href^='/deliveries']").await;
    browser.arrived("/deliveries").await;
    assert_eq!(browser.rows().await, 1);
    browser.click("#table tbody a").await;
    browser.wait_for("#v-state").await;
    assert_eq!(browser.text("#v-state").await, "delivered");
    assert_eq!(browser.text("#v-response-status").await, "200");
    browser.click("form[action$='/do/redeliver'] button").await;
    browser.wait_for(".done").await;
    assert_eq!(receiver.got()["id"], first["id"]);
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn the_text_of_a_mail_is_changed_and_tried_before_it_is_kept() {
    let app = TestApp::start().await;
    let browser = Browser::at(&app, "/email-templates/new").await;
    browser.choose("#f-event-type", "digest").await;
    browser.fill("#f-subject", "{{ count }} things").await;
    browser.fill("#f-text-body", "{{ oops").await;
    browser.click(".record button.primary").await;
    browser.wait_for(".field.wrong .error").await;
    assert!(browser.text(".field.wrong .error").await.starts_with("is invalid: "));
    browser.fill("#f-text-body", "Hello,\n\n{{ count }} things <happened> & more.\n").await;
    browser.click(".record button.primary").await;
    browser.arrived("/email-templates/1").await;
    let text = "Hello,\n\n{{ count }} things <happened> & more.\n";
    assert_eq!(app.attributes("/email-templates/1").await["text-body"], text);
    // Its lines are shown as lines.
    let shown = browser.eval("document.querySelector('#v-text-body').innerText").await;
    assert_eq!(shown.as_str().unwrap().lines().count(), 3, "{shown}");
    browser.click(".title a.primary").await;
    browser.arrived("/email-templates/1/edit").await;
    assert_eq!(browser.eval("document.querySelector('#f-text-body').value").await, text);
    browser.fill("#f-subject", "{{ count }} news").await;
    browser.click(".record button.primary").await;
    browser.arrived("/email-templates/1").await;
    assert_eq!(browser.text("#v-subject").await, "{{ count }} news");
    assert_eq!(app.attributes("/email-templates/1").await["text-body"], text);
    browser.complains_of(422, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_looked_at_and_then_taken_in() {
    let app = TestApp::start().await;
    let _runner = Runner::start(&app.app, Inside::new(router(&app.app)));
    let file = app.directory().join("carriers.csv");
    let rows =
        "name,enabled,vendor,customer\nFjord,true,true,true\n<b>,true,true,true\n,true,true,true\n";
    std::fs::write(&file, rows).unwrap();
    let browser = Browser::at(&app, "/tasks").await;
    browser.choose("#import-kind", "Contractors").await;
    browser.fill("#import-file", file.to_str().unwrap()).await;
    browser.click("form.import button").await;
    browser.wait_for("[data-begin]").await;
    let preview = browser.eval("document.querySelector('#import-preview').innerText").await;
    for text in ["Fjord", "<b>", "can't be blank"] {
        assert!(preview.as_str().unwrap().contains(text), "{text} in {preview}");
    }
    assert_eq!(app.total("/contractors").await, 0);
    browser.click("[data-begin]").await;
    browser.arrived("/tasks/1").await;
    // The page follows by itself.
    browser.wait_until("!document.querySelector('#task button')").await;
    assert_eq!(browser.text("#state").await, "done");
    assert_eq!(browser.text("#done").await, "2");
    assert!(browser.text("#task table").await.contains("can't be blank"));
    assert_eq!(app.total("/contractors").await, 2);
    browser.complains_of_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_that_are_ticked_are_changed_together() {
    let app = demo().await;
    let _runner = Runner::start(&app.app, Inside::new(router(&app.app)));
    let browser = Browser::at(&app, "/accounts?q=nordlys").await;
    browser.click("[data-ticks]").await;
    browser.click("#table tbody tr:first-child input").await;
    browser.click("button[form=many]").await;
    browser.arrived("/accounts/edit-many").await;
    browser.fill("#f-vat", "17").await;
    browser.click("input[name=change][value=vat]").await;
    browser.click(".record button.primary").await;
    browser.wait_for("table ins").await;
    assert_eq!(browser.eval("document.querySelectorAll('table ins').length").await, 4);
    assert_eq!(app.total("/accounts?filter[vat_eq]=17").await, 0);
    browser.click("main form button.primary").await;
    browser.arrived("/tasks/1").await;
    browser.wait_until("document.querySelector('#done').innerText === '4' && !document.querySelector('#task button')").await;
    assert_eq!(app.total("/accounts?filter[vat_eq]=17").await, 4);
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn dark_is_as_the_system_says_or_as_the_button_says() {
    let app = demo().await;
    let browser = Browser::at(&app, "/accounts/2").await;
    let light = browser.eval(BACKGROUND).await;
    browser.wait_for("#chart canvas").await;
    browser.click(".theme").await;
    let dark = browser.eval(BACKGROUND).await;
    assert_ne!(light, dark);
    browser.open("/contractors").await;
    assert_eq!(browser.eval(BACKGROUND).await, dark);
    browser.click(".theme").await;
    assert_eq!(browser.eval(BACKGROUND).await, light);
    // What somebody chose counts more than what the system says.
    browser.dark().await;
    browser.open("/contractors").await;
    assert_eq!(browser.eval(BACKGROUND).await, light);
    browser.eval("localStorage.clear()").await;
    browser.open("/contractors").await;
    assert_eq!(browser.eval(BACKGROUND).await, dark);
    browser.complains_of_nothing().await;
}

/// Presses Tab until such an element has the focus, which then can be seen.
async fn tab_to(browser: &Browser, css: &str) {
    const TABS_MAX: usize = 150;
    for _ in 0..TABS_MAX {
        browser.press("Tab").await;
        if browser.eval(&format!("document.activeElement.matches(`{css}`)")).await == true {
            let style = browser.eval("getComputedStyle(document.activeElement).outlineStyle").await;
            assert_eq!(style, "solid", "the focus on {css} is to be seen");
            return;
        }
    }
    panic!("no way to {css} by Tab");
}

#[tokio::test]
async fn everything_is_done_with_the_keyboard_alone() {
    let app = app_with_accounts().await;
    let browser = Browser::start(app.address).await;
    browser.open("/accounts").await;
    browser.type_text("admin").await;
    browser.press("Tab").await;
    browser.type_text(PASSWORD).await;
    browser.press("Enter").await;
    browser.arrived("/accounts").await;
    // The first stop leads past the navigation.
    browser.press("Tab").await;
    let skip = "document.activeElement.className === 'skip' && document.activeElement.getBoundingClientRect().left >= 0";
    assert_eq!(browser.eval(skip).await, true);
    browser.press("Enter").await;
    browser.wait_until("document.activeElement.id === 'main'").await;
    tab_to(&browser, "a[href='/accounts/1']").await;
    browser.press("Enter").await;
    browser.arrived("/accounts/1").await;
    tab_to(&browser, "[aria-label='Change: VAT']").await;
    browser.press("Enter").await;
    browser.wait_until("document.activeElement.id === 'f-vat'").await;
    browser.press("Control+a").await;
    browser.type_text("101").await;
    browser.press("Enter").await;
    browser.wait_for(".lines .error").await;
    browser.wait_until("document.activeElement.id === 'f-vat'").await;
    browser.press("Control+a").await;
    browser.type_text("21").await;
    browser.press("Tab").await;
    assert_eq!(browser.eval("document.activeElement.innerText").await, "Save");
    browser.press("Enter").await;
    browser.wait_for("#v-vat").await;
    assert_eq!(browser.text("#v-vat").await, "21.00");
    // One goes on from where one was.
    browser.wait_until("document.activeElement.ariaLabel === 'Change: VAT'").await;
    browser.press("Enter").await;
    browser.wait_until("document.activeElement.id === 'f-vat'").await;
    browser.press("Tab Tab Enter").await;
    browser.wait_until("document.activeElement.ariaLabel === 'Change: VAT'").await;
    // A menu opens and closes.
    browser.open("/accounts").await;
    tab_to(&browser, ".filters summary").await;
    browser.press("Enter").await;
    browser.wait_for("#filter-by").await;
    browser.press("Tab Escape").await;
    browser.wait_until("!document.querySelector('.filters details[open]')").await;
    assert_eq!(browser.eval("document.activeElement.tagName").await, "SUMMARY");
    browser.complains_of(422, 1).await;
}

#[tokio::test]
async fn a_narrow_screen_has_a_menu() {
    let app = demo().await;
    let browser = Browser::at(&app, "/accounts").await;
    browser.narrow().await;
    browser.open("/accounts").await;
    assert_eq!(browser.eval("document.querySelector('#nav').checkVisibility()").await, false);
    browser.click(".menu").await;
    browser.wait_for("#nav a[href='/contractors']").await;
    assert_eq!(browser.eval("document.querySelector('.menu').ariaExpanded").await, "true");
    browser.click("#nav a[href='/contractors']").await;
    browser.arrived("/contractors").await;
    assert_eq!(browser.rows().await, 8);
    browser.complains_of_nothing().await;
}

#[tokio::test]
async fn who_has_been_away_too_long_comes_back_to_where_they_were() {
    let app = demo().await;
    let browser = Browser::at(&app, "/contractors?sort=-name").await;
    app.alter("DELETE FROM console_sessions");
    browser.click("#table tbody a").await;
    browser.arrived("/sign-in").await;
    browser.sign_in(PASSWORD).await;
    browser.wait_until("location.pathname.startsWith('/contractors/')").await;
    // A part of a page that is asked for then does not become the door.
    browser.open("/accounts").await;
    app.alter("DELETE FROM console_sessions");
    browser.fill("#q", "nordlys").await;
    browser.arrived("/sign-in").await;
    browser.sign_in(PASSWORD).await;
    browser.arrived("/accounts").await;
    browser.wait_until("location.search.includes('q=nordlys')").await;
    assert_eq!(browser.rows().await, 5);
    browser.open("/accounts/1").await;
    app.alter("DELETE FROM console_sessions");
    browser.click("[aria-label='Change: VAT']").await;
    browser.arrived("/sign-in").await;
    browser.sign_in(PASSWORD).await;
    browser.arrived("/accounts/1").await;
}

#[tokio::test]
async fn a_form_that_was_tampered_with_is_refused() {
    let app = app_with_accounts().await;
    let browser = Browser::at(&app, "/accounts/1/edit").await;
    browser.eval("document.querySelector('.record [name=csrf]').value = 'x'").await;
    browser.fill("#f-name", "taken over").await;
    browser.click(".record button.primary").await;
    browser.wait_for(".error").await;
    assert_eq!(browser.text("h1").await, "Forbidden");
    assert!(browser.text(".error").await.contains("Nothing was changed."));
    assert_eq!(app.attributes("/accounts/1").await["name"], "a");
    browser.complains_of(403, 1).await;
}
