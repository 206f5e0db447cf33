//! `tollkeeper import yeti`: the real program reads databases of YETI, built from what its releases
//! say of their tables (`tests/yeti/`), on a real PostgreSQL.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Kind, TestDatabase};
use uuid::Uuid;

use crate::program::{Ended, run, tollkeeper};
use crate::support::{SECRET, TestApp};

const OLD: &str = include_str!("../yeti/old.sql");
const NEW: &str = include_str!("../yeti/new.sql");
const FAULTS: &str = include_str!("../yeti/faults.sql");

/// A database of YETI that these scripts make.
fn yeti_of(scripts: &[&str]) -> TestDatabase {
    let database = TestDatabase::of(Kind::Postgres);
    for script in scripts {
        database.execute(script);
    }
    database
}

impl TestApp {
    /// A command on this server's database.
    fn beside(&self, arguments: &[&str]) -> Command {
        let mut command = tollkeeper(self.directory(), arguments);
        command.env("TOLLKEEPER_SECRET", SECRET).env("TOLLKEEPER_LOG", "off");
        command.env("TOLLKEEPER_DATABASE_URL", self.database.url());
        command
    }

    async fn run_beside(&self, arguments: &[&str]) -> Ended {
        let command = self.beside(arguments);
        tokio::task::spawn_blocking(|| run(command, "")).await.unwrap()
    }

    /// Takes a database of YETI over, while the server runs.
    async fn take_over(&self, yeti: &TestDatabase) -> Report {
        Report(self.run_beside(&["import", "yeti", "--from", &yeti.url()]).await)
    }

    async fn would_take_over(&self, yeti: &TestDatabase) -> Report {
        Report(self.run_beside(&["import", "yeti", "--dry-run", "--from", &yeti.url()]).await)
    }

    /// Checks that the journals prove the balances, with this many entries.
    async fn proves(&self, entries: u64, accounts: u64) {
        let out = self.run_beside(&["verify"]).await.well();
        let expected =
            format!("Checked {entries} entries in the journals of {accounts} accounts: 0 faults.");
        assert_eq!(out.trim_end(), expected);
    }
}

/// How an import ended.
#[derive(Debug)]
struct Report(Ended);

impl Report {
    /// What is said of single rows, after checking the exit code and that nothing else is said.
    #[track_caller]
    fn lines(&self, code: i32) -> Vec<&str> {
        assert_eq!((self.0.code, self.0.err.as_str()), (Some(code), ""), "{self:?}");
        self.0.out.lines().take_while(|line| !line.starts_with("table ")).collect()
    }

    /// What became of the rows: came over, there already, in conflict, left out; for mail servers,
    /// templates, contractors, contacts, accounts, payments.
    #[track_caller]
    fn tallies(&self) -> Vec<[u64; 4]> {
        let after = self.0.out.lines().skip_while(|line| !line.starts_with("table ")).skip(1);
        let lines = after.take_while(|line| !line.starts_with("sum of the balances "));
        lines
            .map(|line| {
                let numbers = line.split_whitespace().skip(1);
                let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
                numbers.try_into().unwrap_or_else(|_| panic!("{line}"))
            })
            .collect()
    }

    /// What stays behind.
    fn left_behind(&self) -> Vec<&str> {
        self.0.out.lines().filter_map(|line| line.strip_prefix("not carried over: ")).collect()
    }
}

/// Tallies of rows that all came over, or are all there.
fn all(came_over: [u64; 6], there_already: [u64; 6]) -> Vec<[u64; 4]> {
    came_over.into_iter().zip(there_already).map(|(came, there)| [came, there, 0, 0]).collect()
}

#[tokio::test]
async fn a_new_release_comes_over_as_it_is() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    let report = app.take_over(&yeti).await;
    assert_eq!(report.lines(0), [""; 0]);
    assert_eq!(report.tallies(), all([2, 2, 2, 3, 4, 4], [0; 6]));
    let sum = "sum of the balances that came over or were there already: \
               99999999999999998765432109.876543210989";
    assert!(report.0.out.lines().any(|line| line == sum), "{report:?}");
    assert_eq!(
        report.left_behind(),
        [
            "billing.services (recurring charges): 2 rows",
            "billing.service_types (types of services): 1 rows",
            "billing.transactions (charges; the balances include them): 3 rows",
            "billing.currencies (currencies beside the default one): 1 rows",
            "sys.api_access (sign-ins of customers): 1 rows",
            "sys.customer_portal_access_profiles (what customers may see): 1 rows",
            "gui.admin_users (operators): 1 rows",
            "notifications.event_subscriptions (recipients of events): 2 rows",
            "logs.balance_notifications (log of balance alerts): 1 rows",
            "sys.smtp_connections.auth_type (other ways to sign in than plain): 1 rows",
            "billing.invoice_templates.data (documents of invoice templates): 1 rows",
            "billing.invoice_templates.html_template (HTML of invoice templates): 1 rows",
            "notifications.contacts.admin_user_id (operators whose contacts these are): 1 rows",
            "billing.accounts.invoice_ref_template (numbering of invoices): 1 rows",
            "billing.payments.metadata (data of payment providers): 2 rows",
        ]
    );
    app.proves(3, 4).await;

    let account = app.get("/accounts/23").await.json();
    assert_eq!(
        account["data"]["attributes"],
        json!({
            "name": "ida main",
            "balance": "-1234567890.123456789012",
            "min-balance": "-5000.0",
            "max-balance": "100000.5",
            "vat": "23.5",
            "balance-low-threshold": "90.0",
            "balance-high-threshold": "95.0",
            "send-balance-notifications-to": [1],
            "destination-rate-limit": "0.25",
            "max-call-duration": 3600,
            "external-id": 4711,
            "uuid": "fd868b74-e7d8-11f0-bf40-0a63caf27539",
            "origination-capacity": 100,
            "termination-capacity": 110,
            "total-capacity": 32767,
            "send-invoices-to": [2, 1],
            "invoice-period-id": 4,
            "timezone": "Europe/Kyiv",
        })
    );
    let links = &account["data"]["relationships"];
    assert_eq!(links["contractor"]["data"]["id"], "4");
    assert_eq!(links["invoice-template"]["data"]["id"], "2");
    let next = "SELECT next_invoice_at || ' ' || next_invoice_type_id FROM accounts WHERE id = ";
    // 1 August 2026, 00:00 in Kyiv, as YETI has it.
    let midnight = match app.database.kind() {
        Kind::Sqlite => "1785531600000000 2",
        Kind::Postgres => "2026-07-31 21:00:00+00 2",
    };
    assert_eq!(app.stored::<String>(&format!("{next}23")), midnight);
    let computed: String = app.stored(&format!("{next}31"));
    assert!(computed.ends_with(" 2"), "{computed}");
    assert_eq!(app.balances().await[1..3], ["0.0", "0.000000000001"]);
    let vega = app.attributes("/accounts/31").await;
    assert_eq!(vega["external-id"], json!(i64::MAX));
    assert_eq!(vega["balance-low-threshold"], "0.000000000001");
    let deposit = app.attributes("/accounts/40").await;
    assert_eq!(deposit["balance"], "100000000000000000000000000.0");
    assert_eq!(deposit["send-balance-notifications-to"], json!([1, 7]));

    assert_eq!(
        app.attributes("/contractors/4").await,
        json!({
            "name": "Ida Fjord Mobile", "enabled": true, "vendor": false, "customer": true,
            "description": "since 2012", "address": "Storgata 1\nTromsø", "phones": "+47 1, +47 2",
            "external-id": 4004,
        })
    );
    let connection = app.get("/contractors/4").await.json();
    let connection = &connection["data"]["relationships"]["smtp-connection"]["data"];
    assert_eq!(connection["id"], "3");
    assert_eq!(app.ids("/contacts").await, ["1", "7"]);
    assert_eq!(app.attributes("/contacts/1").await["email"], "ida@fjord.example");
    assert_eq!(
        app.stored::<String>("SELECT email FROM contacts WHERE id = 2"),
        "admin@example.com"
    );
    let templates = app.listed("/invoice-templates").await;
    assert_eq!(templates[0], json!({"name": "classic", "filename": "classic.odt"}));
    assert_eq!(templates[1], json!({"name": "web", "filename": null}));
    let servers = app.listed("/smtp-connections").await;
    assert_eq!((&servers[0]["port"], &servers[0]["auth-password"]), (&json!(587), &Value::Null));
    let sealed: String = app.stored("SELECT auth_password FROM smtp_connections WHERE id = 1");
    assert!(!sealed.contains("secret"), "{sealed}");

    assert_eq!(
        app.attributes("/payments/101").await,
        json!({
            "created-at": "2026-05-01T10:20:30.123Z",
            "amount": "100.5",
            "notes": "May,\nfirst half",
            "private-notes": "ask Olga",
            "status": "completed",
            "type-name": "manual",
            "balance-before-payment": "-1234567990.623456789012",
            "rolledback-at": null,
            "external-id": "11111111-e7d8-11f0-bf40-0a63caf27539",
        })
    );
    let created_at: jiff::Timestamp = app.stored("SELECT created_at FROM payments WHERE id = 101");
    assert_eq!(created_at.as_microsecond() % 1_000_000, 123_456);
    let rolled_back = app.attributes("/payments/102").await;
    assert_eq!(rolled_back["amount"], "-3.000000000001");
    assert_eq!(rolled_back["status"], "rolled_back");
    assert_eq!(rolled_back["rolledback-at"], "2026-05-02T22:00:00.000Z");
    let pending = app.attributes("/payments/103").await;
    assert_eq!(
        (&pending["status"], &pending["type-name"]),
        (&json!("pending"), &json!("cryptomus"))
    );
    assert_eq!(app.attributes("/payments/2147483648").await["status"], "canceled");
    assert_eq!(app.ids("/payments?filter[account.id]=23").await, ["101", "102"]);
}

#[tokio::test]
async fn balances_open_their_journals_and_nothing_is_announced() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    app.take_over(&yeti).await.lines(0);
    let entries = app.listed("/journal-entries").await;
    for (entry, balance) in entries.iter().zip([
        "-1234567890.123456789012",
        "0.000000000001",
        "100000000000000000000000000.0",
    ]) {
        assert_eq!((&entry["kind"], &entry["sequence"]), (&json!("opening"), &json!(1)), "{entry}");
        assert_eq!((&entry["amount"], &entry["balance-after"]), (&json!(balance), &json!(balance)));
        assert_eq!((&entry["actor"], &entry["request-id"]), (&Value::Null, &json!("import yeti")));
        assert_eq!(entry["reference-type"], Value::Null);
    }
    assert_eq!(entries.len(), 3);
    // None, low, on the low threshold and still low, and high before YETI noticed.
    for (account, state) in [(24, 0), (23, 1), (31, 1), (40, 2)] {
        let sql = format!("SELECT threshold_state FROM accounts WHERE id = {account}");
        assert_eq!(app.stored::<i64>(&sql), state, "{account}");
    }
    assert_eq!((app.total("/events").await, app.total("/balance-notifications").await), (0, 0));

    // What happens from here on is told, and goes on from there.
    assert_eq!(app.correct("40", "40", json!("-99999999999999999999999996")).await.status, 200);
    assert_eq!(app.listed("/events").await[0]["event-type"], "AccountHighThesholdCleared");
    // What was before is not known here.
    let past = app.attributes("/accounts/31?as-of=2026-06-01T00:00:00Z").await;
    assert_eq!(past["balance"], "0.0");
    assert_eq!(app.roll_back("101").await.status, 200);
    assert_eq!(app.attributes("/accounts/23").await["balance"], "-1234567990.623456789012");
    app.proves(5, 4).await;
}

#[tokio::test]
async fn each_record_has_one_audit_record_and_new_ones_get_fresh_ids() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    app.take_over(&yeti).await.lines(0);
    let records = app.listed("/audit-records").await;
    assert_eq!(records.len(), 2 + 2 + 2 + 3 + 4 + 4);
    for record in &records {
        assert_eq!((&record["event"], &record["actor"]), (&json!("create"), &Value::Null));
        assert_eq!(record["request-id"], "import yeti");
        assert_eq!(record["before"], Value::Null);
    }
    let of_account = records.iter().find(|record| record["item-id"] == 23).unwrap();
    assert_eq!(of_account["item-type"], "accounts");
    assert_eq!(of_account["after"]["balance"], "-1234567890.123456789012");
    let dump = app.dump();
    assert!(!dump.contains("\"secret\"") && !dump.contains("Text(\"secret"), "{dump}");

    assert_eq!(app.total("/contractors").await, 2);
    assert_eq!(app.total("/contacts").await, 2);
    assert_eq!(app.account("4", json!({"name": "another"})).await, "41");
    assert_eq!(app.contractor("another").await, "10");
    assert_eq!(app.pay("24", "1").await, "2147483649");
    // Who is named in a list is known: a contact who goes leaves it.
    assert_eq!(app.delete("/contacts/1").await.status, 204);
    let account = app.attributes("/accounts/23").await;
    assert_eq!(account["send-invoices-to"], json!([2]));
    assert_eq!(account["send-balance-notifications-to"], json!([]));
    app.proves(4, 5).await;
}

#[tokio::test]
async fn an_old_release_comes_over_too() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[OLD]));
    let report = app.take_over(&yeti).await;
    let changed = "changed: billing.accounts 11: timezone posix/Europe/Kiev is Europe/Kiev now";
    assert_eq!(report.lines(0), [changed]);
    assert_eq!(report.tallies(), all([0, 1, 1, 2, 2, 2], [0; 6]));
    assert_eq!(
        report.left_behind(),
        [
            "sys.api_access (sign-ins of customers): 1 rows",
            "gui.admin_users (operators): 1 rows",
            "billing.invoice_templates.data (documents of invoice templates): 1 rows",
            "billing.accounts.vendor_invoice_ref_template (numbering of vendors' invoices): 1 rows",
            "billing.accounts.vendor_invoice_period_id (invoice periods of vendors): 1 rows",
            "billing.accounts.vendor_invoice_template_id (invoice templates of vendors): 1 rows",
        ]
    );
    let account = app.get("/accounts/11").await.json();
    let attributes = &account["data"]["attributes"];
    for (name, value) in [
        ("balance", json!("12.5")),
        ("balance-low-threshold", json!("10.0")),
        ("balance-high-threshold", json!("20.25")),
        ("send-balance-notifications-to", json!([6, 5])),
        ("send-invoices-to", json!([5])),
        ("invoice-period-id", json!(2)),
        ("timezone", json!("Europe/Kiev")),
        ("external-id", json!(77)),
        ("uuid", json!("6f9d2e4a-0000-11e9-8000-000000000011")),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    assert_eq!(account["data"]["relationships"]["invoice-template"]["data"]["id"], "3");
    let low: i64 = app.stored("SELECT threshold_state FROM accounts WHERE id = 12");
    assert_eq!(low, 1);
    assert_eq!(app.attributes("/accounts/12").await["timezone"], "US/Pacific");
    let payment = app.attributes("/payments/1001").await;
    // A time without a zone is one in UTC.
    assert_eq!(payment["created-at"], "2019-05-06T07:08:09.123Z");
    assert_eq!(
        (&payment["status"], &payment["type-name"]),
        (&json!("completed"), &json!("manual"))
    );
    assert_eq!(payment.get("external-id"), None);
    assert_eq!(app.total("/events").await, 0);
    app.proves(2, 2).await;
    assert_eq!(app.take_over(&yeti).await.tallies(), all([0; 6], [0, 1, 1, 2, 2, 2]));
}

#[tokio::test]
async fn releases_between_lack_only_what_came_later() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    // As of January 2026: one currency, templates in files only.
    let sql = "ALTER TABLE billing.accounts DROP COLUMN currency_id, DROP COLUMN currency_name;
               ALTER TABLE billing.payments DROP COLUMN currency_id;
               DROP TABLE billing.currencies;
               DELETE FROM billing.invoice_templates WHERE filename IS NULL;
               ALTER TABLE billing.invoice_templates DROP COLUMN html_template;
               DROP TABLE logs.balance_notifications";
    yeti.execute(sql);
    // As of 2024: zones by number, beside what had moved already.
    let sql = "CREATE TABLE sys.timezones (id serial PRIMARY KEY, name varchar NOT NULL);
               INSERT INTO sys.timezones (name) SELECT DISTINCT timezone FROM billing.accounts;
               ALTER TABLE billing.accounts ADD COLUMN timezone_id integer;
               UPDATE billing.accounts SET timezone_id =
               (SELECT id FROM sys.timezones WHERE name = timezone);
               ALTER TABLE billing.accounts DROP COLUMN timezone";
    yeti.execute(sql);
    let report = app.take_over(&yeti).await;
    assert_eq!(report.lines(0), [""; 0]);
    assert_eq!(report.tallies(), all([2, 1, 2, 3, 4, 4], [0; 6]));
    let zones = app.listed("/accounts?fields[accounts]=timezone").await;
    let zones: Vec<_> = zones.iter().map(|account| account["timezone"].as_str().unwrap()).collect();
    assert_eq!(zones, ["Europe/Kyiv", "UTC", "Etc/GMT+5", "UTC"]);
    app.proves(3, 4).await;
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_says_the_same() {
    let app = TestApp::start().await;
    let yeti = yeti_of(&[NEW, FAULTS]);
    app.run_beside(&["verify"]).await.well();
    let before = app.dump();
    let dry = app.would_take_over(&yeti).await;
    assert_eq!(app.dump(), before);
    let real = app.take_over(&yeti).await;
    assert_eq!(dry.lines(1), real.lines(1));
    assert_eq!(dry.tallies(), real.tallies());
    let in_words_of_a_real_run = dry.0.out.replace(" would come ", "  came over ");
    assert_ne!(dry.0.out, real.0.out);
    assert_eq!(in_words_of_a_real_run, real.0.out);
    // And beside what is there already.
    let again = app.would_take_over(&yeti).await;
    let came_over = |report: &Report| report.tallies().iter().map(|one| one[0]).sum::<u64>();
    assert_eq!(came_over(&again), 0);
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    app.take_over(&yeti).await.lines(0);
    let before = app.dump();
    let report = app.take_over(&yeti).await;
    assert_eq!(report.lines(0), [""; 0]);
    assert_eq!(report.tallies(), all([0; 6], [2, 2, 2, 3, 4, 4]));
    assert_eq!(app.dump(), before);
}

#[tokio::test]
async fn rows_that_break_a_rule_are_left_out_with_what_belongs_to_them() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW, FAULTS]));
    let report = app.take_over(&yeti).await;
    assert_eq!(
        report.lines(1),
        [
            "left out: sys.smtp_connections 8: from-address - is invalid",
            "left out: sys.smtp_connections 9: port - must be less than or equal to 65535",
            "left out: billing.invoice_templates 6: filename - is invalid",
            "left out: public.contractors 50: vendor - Must be customer and/or vendor; \
             customer - Must be customer and/or vendor",
            "left out: public.contractors 51: name - can't be blank; enabled - can't be blank",
            "changed: public.contractors 52: smtp-connection 8 did not come over; names none now",
            "left out: notifications.contacts 50: contractor 50 did not come over",
            "left out: billing.accounts 0: ids are above 0",
            "left out: billing.accounts 60: contractor 50 did not come over",
            "left out: billing.accounts 61: balance - has too many decimal places",
            "left out: billing.accounts 62: \
             balance - must be less than or equal to 100000000000000000000000000",
            "left out: billing.accounts 63: balance - is not a number",
            "left out: billing.accounts 64: max-balance - must be greater than or equal to 11.0",
            "left out: billing.accounts 65: vat - must be less than or equal to 100",
            "left out: billing.accounts 66: origination-capacity - must be greater than 0; \
             max-call-duration - must be greater than 0",
            "left out: billing.accounts 67: \
             destination-rate-limit - must be greater than or equal to 0",
            "left out: billing.accounts 68: timezone - Mars/Base is not a valid timezone",
            "left out: billing.accounts 69: invoice-period-id - is not included in the list",
            "left out: billing.accounts 70: is in EUR, and here all is in the default currency",
            "left out: billing.accounts 71: \
             balance-low-threshold - must be less than balance high threshold",
            "changed: billing.accounts 72: invoice-template 77 is not there; names none now",
            "changed: billing.accounts 73: invoice-template 6 did not come over; names none now",
            "changed: billing.accounts 74: send-balance-notifications-to: \
             contact 79 is not there; is left out of the list",
            "changed: billing.accounts 74: send-invoices-to: \
             contact 78 is not there; is left out of the list",
            "changed: billing.accounts 74: send-invoices-to: \
             contact 50 did not come over; is left out of the list",
            "changed: billing.accounts 75: timezone posix/Asia/Tokyo is Asia/Tokyo now",
            "left out: billing.payments 300: account 61 did not come over",
            "left out: billing.payments 301: amount - must be other than 0",
            "left out: billing.payments 302: status - is not included in the list",
            "left out: billing.payments 303: type-name - is not included in the list",
            "left out: billing.payments 304: created-at - is invalid",
            "left out: billing.payments 305: balance-before-payment - has too many decimal places",
        ]
    );
    let tallies =
        [[2, 0, 0, 2], [2, 0, 0, 1], [3, 0, 0, 2], [3, 0, 0, 1], [8, 0, 0, 13], [4, 0, 0, 6]];
    assert_eq!(report.tallies(), tallies);
    let account = app.attributes("/accounts/74").await;
    assert_eq!(account["send-invoices-to"], json!([1]));
    assert_eq!(account["send-balance-notifications-to"], Value::Null);
    app.proves(7, 8).await;

    // What is mended there comes with the next run, and what was changed here is no other record.
    let sql = "UPDATE public.contractors SET customer = true WHERE id = 50;
               UPDATE billing.accounts SET balance = 0.12 WHERE id = 61";
    yeti.execute(sql);
    let report = app.take_over(&yeti).await;
    let lines = report.lines(1);
    let line = "conflict: billing.accounts 74: send-invoices-to is [1] here, [1, 50] there";
    assert!(lines.contains(&line), "{lines:?}");
    let tallies: Vec<u64> = report.tallies().iter().map(|tally| tally[0]).collect();
    assert_eq!(tallies, [0, 0, 1, 1, 2, 1]);
    assert_eq!(app.attributes("/accounts/61").await["balance"], "0.12");
    app.proves(9, 10).await;
}

#[tokio::test]
async fn what_is_here_already_stays_and_is_told_where_it_differs() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    // Contractors 1 to 4 and accounts 1 to 24 of our own; 23 goes again, with a journal.
    for number in 1..=4 {
        app.contractor(&format!("ours {number}")).await;
    }
    for number in 1..=24 {
        app.account("1", json!({"name": format!("ours {number}")})).await;
    }
    assert_eq!(app.update("accounts", "24", json!({"name": "vega deposit"})).await.status, 200);
    app.correct("23", "23", json!("5")).await;
    assert_eq!(app.delete("/accounts/23").await.status, 204);
    let report = app.take_over(&yeti).await;
    assert_eq!(
        report.lines(1),
        [
            "conflict: public.contractors 4: name is \"ours 4\" here, \"Ida Fjord Mobile\" there; \
             vendor is true here, false there; description is null here, \"since 2012\" there; \
             address is null here, \"Storgata 1\\nTromsø\" there; \
             phones is null here, \"+47 1, +47 2\" there; external-id is null here, 4004 there; \
             smtp-connection is null here, 3 there",
            "left out: notifications.contacts 1: contractor 4 did not come over",
            "left out: billing.accounts 23: contractor 4 did not come over",
            "conflict: billing.accounts 24: name is \"vega deposit\" here, \"ida spare\" there; \
             uuid is UUID here, fd868b74-e7d8-11f0-bf40-0a63caf27540 there; \
             contractor is 1 here, 4 there",
            "left out: billing.accounts 40: name - has already been taken",
            "left out: billing.payments 101: account 23 did not come over",
            "left out: billing.payments 102: account 23 did not come over",
            "left out: billing.payments 103: account 24 did not come over",
            "left out: billing.payments 2147483648: account 24 did not come over",
        ]
        .map(|line| line.replace("UUID", own_uuid(&app).as_str()))
    );
    assert_eq!(app.total("/payments").await, 0);
    assert_eq!(app.attributes("/accounts/24").await["name"], "vega deposit");

    // The id of an account that was deleted here is not given out again.
    let sql = "UPDATE billing.accounts SET contractor_id = 9 WHERE id = 23";
    yeti.execute(sql);
    let lines = app.take_over(&yeti).await;
    let line = "left out: billing.accounts 23: \
                an account of this id was deleted here, and its journal stays";
    assert!(lines.lines(1).contains(&line), "{lines:?}");
    // Account 23's journal of before, with its one entry, and 31's.
    app.proves(2, 25).await;
}

/// The uuid that account 24 got here.
fn own_uuid(app: &TestApp) -> String {
    let digits = match app.database.kind() {
        Kind::Sqlite => "hex(uuid)",
        Kind::Postgres => "replace(CAST(uuid AS TEXT), '-', '')",
    };
    let sql = format!("SELECT {digits} FROM accounts WHERE id = 24");
    uuid::Uuid::parse_str(&app.database.value::<String>(&sql)).unwrap().to_string()
}

#[tokio::test]
async fn a_balance_that_has_moved_since_is_a_conflict() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    app.take_over(&yeti).await.lines(0);
    app.pay("24", "2.5").await;
    let sql = "INSERT INTO billing.payments (id, account_id, amount, uuid) VALUES
               (500, 24, 1, '55555555-e7d8-11f0-bf40-0a63caf27539'),
               (501, 31, 1, '66666666-e7d8-11f0-bf40-0a63caf27539')";
    yeti.execute(sql);
    let report = app.take_over(&yeti).await;
    assert_eq!(
        report.lines(1),
        [
            "conflict: billing.accounts 24: balance is 2.5 here, 0.0 there",
            "left out: billing.payments 500: account 24 did not come over",
        ]
    );
    assert_eq!(app.attributes("/accounts/24").await["balance"], "2.5");
    app.proves(4, 4).await;
}

#[tokio::test]
async fn a_run_that_was_killed_is_taken_up_by_the_next() {
    const ACCOUNTS: u64 = 10_000;
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    let sql = "INSERT INTO public.contractors (id, name, enabled, vendor, customer)
               SELECT id, 'carrier ' || id, true, true, true FROM generate_series(1001, 2000) id;
               INSERT INTO billing.accounts
                 (id, contractor_id, name, balance, min_balance, max_balance, uuid, external_id)
               SELECT id, 1001 + id % 1000, 'account ' || id, id / 1000.0, 0, 1000,
                 ('00000000-0000-11f0-a000-' || lpad(id::text, 12, '0'))::uuid, id
               FROM generate_series(10001, 20000) id;
               INSERT INTO billing.account_balance_notification_settings (account_id, low_threshold)
               SELECT id, 15 FROM billing.accounts WHERE id > 10000;
               INSERT INTO billing.payments (id, account_id, amount, uuid)
               SELECT id, id, id / 1000.0,
                 ('00000000-0000-11f0-b000-' || lpad(id::text, 12, '0'))::uuid
               FROM generate_series(10001, 20000) id";
    yeti.execute(sql);

    let mut first = app.beside(&["import", "yeti", "--from", &yeti.url()]).spawn().unwrap();
    let started = Instant::now();
    while app.total("/accounts").await < 1000 {
        assert!(started.elapsed() < Duration::from_mins(1), "it takes no accounts");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let taken = app.total("/accounts").await;
    assert!((1000..ACCOUNTS).contains(&taken), "{taken} accounts before it was killed");

    let started = Instant::now();
    let report = app.take_over(&yeti).await;
    let elapsed = started.elapsed();
    assert_eq!(report.lines(0), [""; 0]);
    let tallies = report.tallies();
    assert_eq!(tallies[2], [0, 1002, 0, 0]);
    assert_eq!(tallies[4], [ACCOUNTS + 4 - taken, taken, 0, 0]);
    assert_eq!(tallies[5], [ACCOUNTS + 4, 0, 0, 0]);
    let rows: u64 = tallies.iter().map(|tally| tally[0]).sum();
    println!("{rows} rows in {elapsed:?}: {:.0} a second", {
        #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
        let rows = rows as f64;
        rows / elapsed.as_secs_f64()
    });
    assert_eq!(app.total("/accounts").await, ACCOUNTS + 4);
    assert_eq!(app.total("/audit-records").await, 2 + 2 + 1002 + 3 + 2 * (ACCOUNTS + 4));
    assert_eq!(app.total("/events").await, 0);
    app.proves(ACCOUNTS + 3, ACCOUNTS + 4).await;
    assert_eq!(app.account("4", json!({"name": "next"})).await, "20001");
}

#[tokio::test]
async fn what_may_not_be_read_is_told() {
    let (app, yeti) = (TestApp::start().await, yeti_of(&[NEW]));
    let role = format!("ro_{}", Uuid::new_v4().simple());
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x';
         GRANT USAGE ON SCHEMA billing, notifications, sys, public TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA billing, notifications, public TO {role};
         GRANT SELECT ON sys.smtp_connections TO {role}"
    );
    yeti.execute(&sql);
    let url = yeti.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let limited = format!("{scheme}://{role}:x@{host}");
    let mut command = app.beside(&["import", "yeti"]);
    command.env("TOLLKEEPER_YETI_URL", &limited);
    let report = tokio::task::spawn_blocking(|| run(command, "")).await.unwrap();
    let report = Report(report);
    assert_eq!(report.lines(0), [""; 0]);
    assert_eq!(report.tallies(), all([2, 2, 2, 3, 4, 4], [0; 6]));
    for line in [
        "sys.api_access (sign-ins of customers): may not be read",
        "gui.admin_users (operators): may not be read",
    ] {
        assert!(report.left_behind().contains(&line), "{report:?}");
    }
    yeti.execute(&format!("REVOKE SELECT ON billing.payments FROM {role}"));
    let ended = app.run_beside(&["import", "yeti", "--from", &limited]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("cannot read billing.payments of YETI's database"), "{ended:?}");
    assert!(ended.out.contains("billing.accounts                         0              4"));
    yeti.execute(&format!("GRANT {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test]
async fn another_database_is_left_alone_and_none_of_ours_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let other = yeti_of(&["CREATE SCHEMA billing; CREATE TABLE billing.accounts (id integer)"]);
    let nowhere = "postgres://nobody@127.0.0.1:1/yeti".to_owned();
    let url = other.url();
    let missing = format!("{}/no_such_database", url.rsplit_once('/').unwrap().0);
    for (url, complaint) in [
        (&url, "this is no database of YETI: there is no column billing.accounts.name"),
        (&nowhere, "cannot connect to YETI's database: "),
        (&"mysql://nobody@127.0.0.1/yeti".to_owned(), "the address of YETI's database is not"),
        (&missing, "database \"no_such_database\" does not exist"),
    ] {
        let command = tollkeeper(directory.path(), &["import", "yeti", "--from", url]);
        let ended = tokio::task::spawn_blocking(|| run(command, "")).await.unwrap();
        ended.complains(complaint);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
