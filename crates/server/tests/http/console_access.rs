//! That every page of the console is for everybody: for those who do not see, hear or point well, in
//! light and in dark, on a phone; and that no browser has anything to complain of.

use serde_json::json;

use crate::browser::Browser;
use crate::console::Desk;
use crate::console_walk::{kinds, walk};
use crate::definitions;
use crate::support::TestApp;

/// The addresses of one page of each kind, with data in it; parts of pages are none.
async fn pages(app: &TestApp) -> Vec<String> {
    let found = walk(&Desk::of(app).await).await;
    let whole = kinds(&found).into_values().filter(|page| page.body.starts_with("<!doctype html>"));
    let urls: Vec<String> = whole.map(|page| page.url.clone()).collect();
    assert!(urls.len() > 50, "{urls:?}");
    urls
}

/// Whether nothing of the page is beyond the right edge of the screen.
const FITS: &str = "document.documentElement.scrollWidth <= innerWidth";

/// The beginnings of what is.
const WIDEST: &str = "[...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest('.scroll'))
    .map(one => one.outerHTML.slice(0, 120)).slice(0, 3)";

/// What is wrong with the page that the browser is at.
async fn faults(browser: &Browser, at: &str) -> Vec<String> {
    let mut faults = browser.axe().await;
    faults.extend(browser.console_complaints().await);
    if browser.eval(FITS).await != true {
        faults.push("it is wider than the screen".to_owned());
    }
    faults.into_iter().map(|fault| format!("{at}: {fault}")).collect()
}

/// What is wrong with any page, in the light, in the dark, and on a phone.
async fn faults_of_all(browser: &Browser, app: &TestApp) -> Vec<String> {
    let mut all = Vec::new();
    for url in pages(app).await {
        browser.open(&url).await;
        if browser.eval("document.querySelector('#chart') !== null").await == true {
            browser.wait_for("#chart canvas").await;
        }
        all.extend(faults(browser, &url).await);
        browser.dark().await;
        let dim = browser.axe_of_colours().await;
        all.extend(dim.into_iter().map(|fault| format!("{url} in the dark: {fault}")));
        browser.narrow().await;
        browser.open(&url).await;
        if browser.eval(FITS).await != true {
            all.push(format!("{url} on a phone: {}", browser.eval(WIDEST).await));
        }
        all.extend(browser.console_complaints().await);
        browser.wide().await;
        browser.light().await;
    }
    all
}

#[tokio::test]
async fn every_page_is_for_everybody_in_light_and_dark_and_on_a_phone() {
    let app = definitions::walk().await;
    let browser = Browser::at(&app, "/sessions").await;
    assert_eq!(faults_of_all(&browser, &app).await, [""; 0]);
}

/// What pages look like while somebody is at work on them.
async fn at_work(browser: &Browser, app: &TestApp) -> Vec<String> {
    let mut all = Vec::new();
    browser.open("/accounts").await;
    browser.click(".filters summary").await;
    browser.wait_for("#filter-by").await;
    all.extend(faults(browser, "the filters").await);
    browser.click(".filters details:last-of-type summary").await;
    browser.wait_for("input[name=columns]").await;
    all.extend(faults(browser, "the columns").await);
    browser.open("/accounts?q=nonesuch&filter[name_cont]=a&sort=-name").await;
    all.extend(faults(browser, "nothing found").await);
    let account = app.ids("/accounts?page[size]=1").await.remove(0);
    browser.open(&format!("/accounts/{account}")).await;
    browser.wait_for("#chart canvas").await;
    browser.click("[aria-label='Change: Timezone']").await;
    browser.wait_for("#f-timezone").await;
    browser.click("[aria-label='Change: Contractor']").await;
    browser.wait_for("#f-contractor").await;
    browser.click(".danger-zone summary").await;
    all.extend(faults(browser, "fields in their places").await);
    browser.fill("#p-amount", "-1000000").await;
    browser.click(".pay button").await;
    browser.wait_for("#confirm").await;
    all.extend(faults(browser, "a payment before it is posted").await);
    browser.open("/accounts").await;
    browser.click("[data-ticks]").await;
    browser.click("button[form=many]").await;
    browser.arrived("/accounts/edit-many").await;
    all.extend(faults(browser, "how many are to change").await);
    browser.fill("#f-vat", "200").await;
    browser.click("input[name=change][value=vat]").await;
    browser.click(".record button.primary").await;
    browser.wait_for("main table").await;
    all.extend(faults(browser, "what would change").await);
    let file = app.directory().join("carriers.csv");
    std::fs::write(&file, "name,enabled,vendor,customer\nFjord,yes,yes,yes\n,yes,yes,yes\n")
        .unwrap();
    browser.open("/tasks").await;
    browser.choose("#import-kind", "Contractors").await;
    browser.fill("#import-file", file.to_str().unwrap()).await;
    browser.click("form.import button").await;
    browser.wait_for("#import-preview table").await;
    all.extend(faults(browser, "what a file would do").await);
    // The pages below are refusals: their status is a complaint of the browser's.
    browser.open("/accounts/new").await;
    browser.click(".record button.primary").await;
    browser.wait_for(".field.wrong .error").await;
    let is_refusal = |fault: &String| !fault.contains("Failed to load resource");
    all.extend(faults(browser, "a form with errors").await.into_iter().filter(is_refusal));
    browser.open("/accounts/999999999").await;
    all.extend(faults(browser, "no such record").await.into_iter().filter(is_refusal));
    browser.open("/webhooks/new").await;
    browser.fill("#f-url", "https://hooks.test/").await;
    browser.click("[name=events][value='*']").await;
    browser.click(".record button.primary").await;
    browser.wait_for("#secret").await;
    all.extend(faults(browser, "a secret").await);
    all
}

#[tokio::test]
async fn pages_at_work_are_for_everybody_in_light_and_dark() {
    let app = definitions::walk().await;
    let browser = Browser::at(&app, "/sessions").await;
    let mut all = at_work(&browser, &app).await;
    browser.dark().await;
    all.extend(at_work(&browser, &app).await);
    assert_eq!(all, [""; 0]);
}

#[tokio::test]
async fn the_door_is_for_everybody() {
    let app = TestApp::start().await;
    let browser = Browser::start(app.address).await;
    let mut all = Vec::new();
    for dark in [false, true] {
        if dark {
            browser.dark().await;
        }
        browser.wide().await;
        browser.open("/sign-in").await;
        all.extend(faults(&browser, "the door").await);
        browser.narrow().await;
        browser.fill("#name", "admin").await;
        browser.fill("#password", "a guess at it").await;
        browser.click(".door button").await;
        browser.wait_for(".error").await;
        let refused = faults(&browser, "refused at the door").await;
        all.extend(refused.into_iter().filter(|fault| !fault.contains("status of 401")));
    }
    assert_eq!(all, [""; 0]);
    assert_eq!(browser.eval("document.title").await, json!("Sign in · tollkeeper"));
}
