//! Pictures of the console for those who read about it, made of the demo data and some weeks of
//! trade. `scripts/screenshots` puts them where the documents show them.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tollkeeper::clock;

use crate::browser::Browser;
use crate::support::{Setup, TestApp};

/// How many days are behind the pictures.
const DAYS: i64 = 32;
const HOUR_SECS: i64 = 3_600;
const DAY_SECS: i64 = 24 * HOUR_SECS;

/// How full other accounts are, as shares of their ceilings.
const SHARES: [f64; 9] = [0.55, 0.12, 0.34, -0.01, 0.2, 0.64, 0.03, 0.47, 0.78];

/// What the clock of the pictures shows, in seconds; 0 is the system's time.
static HAND: AtomicI64 = AtomicI64::new(0);

fn hand() -> Timestamp {
    match HAND.load(Ordering::SeqCst) {
        0 => clock::system(),
        secs => Timestamp::from_second(secs).unwrap(),
    }
}

/// The demo data as it was some weeks ago, and what was paid and used since.
async fn trade() -> TestApp {
    let now = clock::system().as_second();
    HAND.store(now - DAYS * DAY_SECS, Ordering::SeqCst);
    let setup = Setup { clock: hand, token_lifetime_secs: 0, ..Setup::default() };
    let app = TestApp::start_as(setup).await;
    tollkeeper::demo::fill(&app.app).await.unwrap();
    let all = members(&app).await;
    let main = app.ids("/accounts?filter[external-id_eq]=1301").await.remove(0);
    let attributes = json!({"max-balance": 5_000, "balance-low-threshold": 400,
        "balance-high-threshold": 2_600});
    assert_eq!(app.update("accounts", &main, attributes).await.status, 200);
    app.pay(&main, "1500").await;
    let others: Vec<_> = all.into_iter().filter(|(id, _)| *id != main).collect();
    for ((id, account), share) in others.iter().zip(SHARES.iter().cycle()) {
        let of = |name: &str| account[name].as_str().unwrap().parse::<f64>().unwrap();
        let amount = of("max-balance") * share - of("balance") + 0.41;
        app.pay(id, format!("{amount:.2}")).await;
    }
    let mut paid = [900, 1_000, 300, 1_300].into_iter();
    for day in 0..DAYS {
        let from = now - (DAYS - day) * DAY_SECS;
        for hour in [2, 8, 11, 14, 17, 21] {
            HAND.store(from + hour * HOUR_SECS + day * 61, Ordering::SeqCst);
            // Weekends are quiet.
            let weekend = hand().as_second() / DAY_SECS % 7 < 2;
            let cents = if weekend { 380 } else { 2_150 } + (day * 7_919 + hour * 104_729) % 1_900;
            app.charge(&main, format!("{}.{:02}", cents / 100, cents % 100)).await;
        }
        HAND.store(from + 22 * HOUR_SECS, Ordering::SeqCst);
        let (other, _) = &others[usize::try_from(day * 3).unwrap() % others.len()];
        app.charge(other, format!("{}.50", 2 + (day * 137) % 60)).await;
        if day % 7 == 4 {
            let amount = paid.next().unwrap_or(500);
            let attributes = json!({"amount": amount, "notes": "Bank transfer",
                "external-id": format!("TR-{}", 4_100 + day)});
            assert_eq!(app.payment(&main, attributes).await.status, 201);
        }
    }
    HAND.store(0, Ordering::SeqCst);
    // Its next invoice is one of these days, then.
    let monthly = json!({"invoice-period-id": 4});
    assert_eq!(app.update("accounts", &main, monthly).await.status, 200);
    let alert = json!({"name": "Call them", "kind": "low", "percentage": 80});
    let links = json!({"account": crate::support::linkage("accounts", &main)});
    app.create("balance-alerts", alert, links).await;
    assert!(app.app.now().duration_since(clock::system()) < SignedDuration::from_secs(1));
    app
}

/// Ids and attributes of all accounts.
async fn members(app: &TestApp) -> Vec<(String, Value)> {
    let path = "/accounts?sort=id&page[size]=100";
    app.ids(path).await.into_iter().zip(app.listed(path).await).collect()
}

/// Waits for the chart, if the page has one, and for the typeface.
async fn drawn(browser: &Browser) {
    if browser.eval("document.querySelector('#chart') !== null").await == true {
        browser.wait_for("#chart canvas").await;
    }
    browser.wait_until("document.fonts.status === 'loaded'").await;
    browser.eval("document.documentElement.style.scrollbarWidth = 'none'").await;
}

#[tokio::test]
async fn pictures_are_taken() {
    let app = trade().await;
    let main = app.ids("/accounts?filter[external-id_eq]=1301").await.remove(0);
    let account = format!("/accounts/{main}");
    let browser = Browser::at(&app, "/").await;
    browser.wait_for("#figures .tiles").await;
    drawn(&browser).await;
    browser.screenshot("console-dashboard").await;
    browser.open("/accounts").await;
    drawn(&browser).await;
    browser.screenshot("console-accounts").await;
    browser.open(&account).await;
    drawn(&browser).await;
    // More than a month of points, or there is nothing to see.
    let points = browser.eval("Number(document.querySelector('#chart').dataset.points)").await;
    assert!(points.as_u64().unwrap() > 100, "{points}");
    browser.screenshot("console-account").await;
    browser.open(&format!("{account}/edit")).await;
    browser.fill("#f-max-balance", "-5000").await;
    browser.fill("#f-vat", "200").await;
    browser.click(".record button.primary").await;
    browser.wait_for(".field.wrong .error").await;
    drawn(&browser).await;
    browser.screenshot("console-form").await;
    browser.dark().await;
    browser.open(&account).await;
    drawn(&browser).await;
    browser.screenshot("console-dark").await;
    browser.narrow().await;
    browser.open(&account).await;
    drawn(&browser).await;
    browser.screenshot("console-narrow").await;
}
