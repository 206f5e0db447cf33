//! When an account's next invoice ends: kept in columns that no answer shows (contract, resources
//! 1.4 and 7.5 with D13).

use jiff::Timestamp;
use jsonapi::Value;
use serde_json::json;

use crate::support::TestApp;

fn at<const SECS: i64>() -> Timestamp {
    Timestamp::from_second(SECS).unwrap()
}

/// When the next invoice ends, and its type, as the database has them.
fn next_invoice(app: &TestApp, id: &str) -> Option<(String, i64)> {
    let sql = format!("SELECT next_invoice_at, next_invoice_type_id FROM accounts WHERE id = {id}");
    let [row] = &app.database.rows(&sql)[..] else { panic!("no account {id}") };
    let at: Option<Timestamp> = row.get("next_invoice_at");
    at.map(|at| at.to_string()).zip(row.get("next_invoice_type_id"))
}

/// The time, the zone, the period; then the end and the type that are stored.
type Case = (fn() -> Timestamp, &'static str, i64, &'static str, i64);

#[tokio::test]
async fn choosing_a_period_sets_the_end_of_the_current_one() {
    const JAN_2: i64 = 1_767_355_200; // 2026-01-02T12:00:00Z
    const DAY: i64 = 86_400;
    let (full, partial) = (2, 3);
    let cases: [Case; 15] = [
        (at::<JAN_2>, "UTC", 1, "2026-01-03T00:00:00Z", full),
        (at::<JAN_2>, "UTC", 2, "2026-01-05T00:00:00Z", full),
        (at::<JAN_2>, "UTC", 3, "2026-01-05T00:00:00Z", full),
        (at::<{ JAN_2 + 3 * DAY }>, "UTC", 3, "2026-01-19T00:00:00Z", full),
        (at::<JAN_2>, "UTC", 4, "2026-02-01T00:00:00Z", full),
        (at::<JAN_2>, "UTC", 6, "2026-01-05T00:00:00Z", partial),
        (at::<{ JAN_2 + 26 * DAY }>, "UTC", 6, "2026-02-01T00:00:00Z", partial),
        (at::<{ JAN_2 + 26 * DAY }>, "UTC", 5, "2026-02-01T00:00:00Z", partial),
        (at::<{ JAN_2 + 45 * DAY }>, "UTC", 5, "2026-03-01T00:00:00Z", partial),
        (at::<{ JAN_2 + 45 * DAY }>, "UTC", 7, "2026-03-01T00:00:00Z", full),
        (at::<{ JAN_2 + 86 * DAY }>, "Europe/Kyiv", 1, "2026-03-29T21:00:00Z", full),
        (at::<{ JAN_2 + 82 * DAY }>, "Europe/Kyiv", 2, "2026-03-29T21:00:00Z", full),
        (at::<{ JAN_2 + 296 * DAY }>, "Europe/Kyiv", 1, "2026-10-25T22:00:00Z", full),
        (at::<{ JAN_2 + 72 * DAY }>, "America/Los_Angeles", 4, "2026-04-01T07:00:00Z", full),
        // 2026-02-01T03:00Z is still January there.
        (at::<1_769_914_800>, "America/Los_Angeles", 4, "2026-02-01T08:00:00Z", full),
    ];
    for (clock, zone, period, end, invoice_type) in cases {
        let app = TestApp::start_at(600, clock).await;
        let contractor = app.contractor("acme").await;
        let expected = Some((end.to_owned(), invoice_type));
        let chosen = json!({"name": "x", "timezone": zone, "invoice-period-id": period});
        let created = app.account(&contractor, chosen).await;
        assert_eq!(next_invoice(&app, &created), expected, "{zone}, {period}, on create");
        let later = app.account(&contractor, json!({"name": "y", "timezone": zone})).await;
        assert_eq!(next_invoice(&app, &later), None);
        let reply = app.update("accounts", &later, json!({"invoice-period-id": period})).await;
        assert_eq!(reply.attribute("invoice-period-id"), period);
        assert_eq!(next_invoice(&app, &later), expected, "{zone}, {period}, on update");
    }
}

#[tokio::test]
async fn the_next_invoice_follows_period_and_zone_and_nothing_else() {
    const FRIDAY: i64 = 1_767_960_000; // 2026-01-09T12:00:00Z
    let app = TestApp::start_at(600, at::<FRIDAY>).await;
    let contractor = app.contractor("acme").await;
    let id = app.account(&contractor, json!({"name": "x", "invoice-period-id": 2})).await;
    let update = async |attributes| {
        assert_eq!(app.update("accounts", &id, attributes).await.status, 200);
        next_invoice(&app, &id)
    };
    let until = |end: &str| Some((end.to_owned(), 2));
    assert_eq!(next_invoice(&app, &id), until("2026-01-12T00:00:00Z"));
    let zone = json!({"timezone": "America/Los_Angeles"});
    assert_eq!(update(zone).await, until("2026-01-12T08:00:00Z"));
    assert_eq!(update(json!({"invoice-period-id": 4})).await, until("2026-02-01T08:00:00Z"));
    let second = app.database.literal(&Value::Time(at::<1>()));
    app.alter(&format!("UPDATE accounts SET next_invoice_at = {second}"));
    let same = json!({"invoice-period-id": "4", "timezone": "America/Los_Angeles", "vat": 5});
    assert_eq!(
        update(same).await,
        until("1970-01-01T00:00:01Z"),
        "sending the same changes nothing"
    );
    assert_eq!(update(json!({"name": "y"})).await, until("1970-01-01T00:00:01Z"));
    assert_eq!(update(json!({"invoice-period-id": null})).await, None);
    assert_eq!(update(json!({"timezone": "UTC"})).await, None);
    assert_eq!(update(json!({"invoice-period-id": 1})).await, until("2026-01-10T00:00:00Z"));
}
