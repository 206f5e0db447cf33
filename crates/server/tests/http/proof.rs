//! The proof of the money in a database: journals lead to balances, and every payment and
//! transaction to its entries, audit records and totals. All is read in one transaction, so it must
//! hold at any moment, also while a server is writing.

use std::collections::BTreeMap;

use billing::alert::{Level, Limit};
use billing::chain::Chain;
use billing::journal::{Entry, Head};
use billing::limits::{LimitState, Limits};
use billing::threshold::{self, ThresholdState, Thresholds};
use decimal::Decimal;
use jiff::Timestamp;
use serde_json::Value;
use testbed::{Row, Session, TestDatabase};

/// Types whose totals are compared with what is there.
const COUNTED: [&str; 10] = [
    "accounts",
    "audit-records",
    "balance-alerts",
    "balance-notifications",
    "contractors",
    "events",
    "journal-closures",
    "journal-entries",
    "payments",
    "transactions",
];

/// Checks that the money in this database can be proved.
#[track_caller]
pub fn verify(database: &TestDatabase) {
    let faults = faults(&database.snapshot());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An entry of the journal as it is stored.
#[derive(Debug)]
pub struct StoredEntry {
    pub account: i64,
    pub sequence: i64,
    pub kind: String,
    pub amount: Decimal,
    pub balance_after: Decimal,
    pub reference: Option<(String, String)>,
    pub actor: Option<String>,
    pub request_id: Option<String>,
    created_at: Timestamp,
    hash: String,
}

impl StoredEntry {
    fn read(row: &Row) -> Self {
        Self {
            account: row.get("account_id"),
            sequence: row.get("sequence"),
            kind: row.get("kind"),
            amount: row.get("amount"),
            balance_after: row.get("balance_after"),
            reference: row.get::<Option<_>>("reference_type").zip(row.get("reference_id")),
            actor: row.get("actor"),
            request_id: row.get("request_id"),
            created_at: row.get("created_at"),
            hash: row.get("hash"),
        }
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            account_id: self.account,
            sequence: self.sequence,
            kind: &self.kind,
            amount: self.amount,
            balance_after: self.balance_after,
            reference_type: self.reference.as_ref().map(|(kind, _)| kind.as_str()),
            reference_id: self.reference.as_ref().map(|(_, id)| id.as_str()),
            actor: self.actor.as_deref(),
            request_id: self.request_id.as_deref(),
            created_at: self.created_at,
        }
    }
}

/// Every entry, account by account, in order.
pub fn entries(database: &Session) -> Vec<StoredEntry> {
    let sql = "SELECT * FROM journal_entries ORDER BY account_id, sequence";
    rows(database, sql, StoredEntry::read)
}

/// What leaves open whether the money is right.
fn faults(database: &Session) -> Vec<String> {
    let entries = entries(database);
    let mut faults = journal_faults(database, &entries);
    faults.extend(reference_faults(database, &entries));
    faults.extend(threshold_faults(database));
    faults.extend(limit_faults(database));
    faults.extend(alert_faults(database));
    faults.extend(audit_faults(database));
    faults.extend(total_faults(database));
    faults
}

/// Follows the journal of each account, living or deleted, to where the account stands.
fn journal_faults(database: &Session, entries: &[StoredEntry]) -> Vec<String> {
    let heads = "SELECT id AS account_id, journal_sequence AS sequence, balance, \
                 journal_hash AS hash, journal_at AS at FROM accounts UNION ALL \
                 SELECT account_id, sequence, balance, hash, last_entry_at FROM journal_closures";
    let heads = rows(database, heads, |row| {
        let head = Head {
            sequence: row.get("sequence"),
            balance: row.get("balance"),
            hash: row.get("hash"),
            at: row.get("at"),
        };
        (row.get::<i64>("account_id"), head)
    });
    let mut faults = Vec::new();
    let mut led = 0;
    for (account, head) in heads {
        let mut chain = Chain::default();
        let mut sum = 0;
        for stored in entries.iter().filter(|stored| stored.account == account) {
            let breaks = chain.follow(&stored.entry(), &stored.hash);
            faults.extend(breaks.iter().map(|broken| format!("account {account}: {broken}")));
            sum += stored.amount.units();
            led += 1;
        }
        let breaks = chain.finish(&head);
        faults.extend(breaks.iter().map(|broken| format!("account {account}: {broken}")));
        if sum != head.balance.units() {
            faults.push(format!("account {account}: entries do not add up to {}", head.balance));
        }
    }
    if led != entries.len() {
        faults.push(format!("{led} of {} entries belong to an account", entries.len()));
    }
    faults
}

/// Compares payments and transactions with the entries that name them. Entries outlive the records
/// of deleted accounts.
fn reference_faults(database: &Session, entries: &[StoredEntry]) -> Vec<String> {
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for stored in entries {
        if let Some((kind, id)) = &stored.reference {
            let moved = (stored.account, stored.kind.as_str(), stored.amount);
            named.entry((kind.as_str(), id.clone())).or_default().push(moved);
        }
    }
    let payments = rows(database, "SELECT * FROM payments", |row| {
        let (account, amount) = (row.get("account_id"), row.get::<Decimal>("amount"));
        let (posted, taken_back) = ((account, "payment", amount), (account, "rollback", -amount));
        let status: String = row.get("status");
        let due = match status.as_str() {
            "completed" => vec![posted],
            "rolled_back" => vec![posted, taken_back],
            _ => Vec::new(),
        };
        let is_dated = row.get::<Option<Timestamp>>("rolledback_at").is_some();
        assert_eq!(is_dated, status == "rolled_back", "payment {}", row.get::<i64>("id"));
        (("payments", row.get::<i64>("id").to_string()), due)
    });
    let transactions = rows(database, "SELECT * FROM transactions", |row| {
        let amount = -row.get::<Decimal>("amount");
        let due = vec![(row.get("account_id"), "transaction", amount)];
        (("transactions", row.get::<i64>("id").to_string()), due)
    });
    let mut faults = Vec::new();
    for (record, due) in payments.into_iter().chain(transactions) {
        let found = named.remove(&record).unwrap_or_default();
        if found != due {
            faults.push(format!("{record:?} has the entries {found:?}, not {due:?}"));
        }
    }
    let living = rows(database, "SELECT id FROM accounts", |row| row.get::<i64>("id"));
    for (record, found) in named {
        if found.iter().any(|(account, ..)| living.contains(account)) {
            faults.push(format!("{found:?} name {record:?}, which is not there"));
        }
    }
    let before = "SELECT payments.id, balance_before_payment, entries.amount, balance_after \
                  FROM payments JOIN journal_entries AS entries ON kind = 'payment' \
                  AND reference_type = 'payments' AND reference_id = CAST(payments.id AS TEXT)";
    let wrong = rows(database, before, |row| {
        let before = row.get::<Decimal>("balance_after").checked_sub(row.get("amount"));
        (before != row.get("balance_before_payment")).then(|| row.get::<i64>("id"))
    });
    let wrong = wrong.into_iter().flatten();
    faults.extend(wrong.map(|id| format!("payment {id} shows another balance before it")));
    faults
}

/// Looks at every threshold once more: nothing new may be found, and what was told leads there.
fn threshold_faults(database: &Session) -> Vec<String> {
    let told = "SELECT account_id, event_id FROM balance_notifications ORDER BY id";
    let told =
        rows(database, told, |row| (row.get::<i64>("account_id"), row.get::<i64>("event_id")));
    let accounts = rows(database, "SELECT * FROM accounts", |row| {
        let account: i64 = row.get("id");
        let state = ThresholdState::from_id(row.get("threshold_state")).unwrap();
        let thresholds = Thresholds {
            low: row.get("balance_low_threshold"),
            high: row.get("balance_high_threshold"),
        };
        let pass = threshold::pass(state, thresholds, row.get("balance"));
        let mut told = told.iter().filter(|(of, _)| *of == account).map(|(_, event)| *event);
        let led = told.try_fold(0, |state, event| match (state, event) {
            (1, 1) | (2, 2) => Some(0),
            (0, 3) => Some(1),
            (0, 4) => Some(2),
            _ => None,
        });
        let mut faults = Vec::new();
        if pass.crossings().next().is_some() || pass.state != state {
            faults.push(format!("account {account}: {state:?} leaves {pass:?} untold"));
        }
        if led != Some(state.id()) {
            faults.push(format!("account {account}: what was told leads to {led:?}"));
        }
        faults
    });
    let mut faults = accounts.concat();
    let events = "SELECT count(*) FROM events WHERE event_type LIKE 'Account%Thesh%'";
    let (events, notifications) =
        (count(database, events), count(database, "SELECT count(*) FROM balance_notifications"));
    if events != notifications {
        faults.push(format!("{events} events of thresholds, but {notifications} notifications"));
    }
    faults
}

/// Looks at every balance between its limits once more.
fn limit_faults(database: &Session) -> Vec<String> {
    let faults = rows(database, "SELECT * FROM accounts", |row| {
        let limits = Limits { floor: row.get("min_balance"), ceiling: row.get("max_balance") };
        let state = limits.state(row.get("balance")).map(LimitState::name);
        let stored: Option<String> = row.get("limit_state");
        let account: i64 = row.get("id");
        (stored.as_deref() != state)
            .then(|| format!("account {account}: the limit state is {stored:?}, not {state:?}"))
    });
    faults.into_iter().flatten().collect()
}

/// Looks at every alert once more: nothing new may be found, those that mirror thresholds must be
/// in step, and each must have been raised and cleared in turn, as was told.
fn alert_faults(database: &Session) -> Vec<String> {
    let mut told: BTreeMap<i64, bool> = BTreeMap::new();
    let mut faults = Vec::new();
    let events = "SELECT event_type, data FROM events WHERE event_type LIKE 'BalanceAlert%' \
                  ORDER BY account_id, id";
    for row in database.rows(events) {
        let data: Value = serde_json::from_str(&row.get::<String>("data")).unwrap();
        let alert = data["alert"]["id"].as_i64().unwrap();
        let is_raised = row.get::<String>("event_type") == "BalanceAlertRaised";
        if told.insert(alert, is_raised).unwrap_or_default() == is_raised {
            faults.push(format!("alert {alert}: raised is {is_raised}, which was told before"));
        }
    }
    let is_true = |row: &Row, name: &str| row.get::<i64>(name) == 1;
    let alerts = "SELECT balance_alerts.*, CASE WHEN raised THEN 1 ELSE 0 END AS is_raised, \
                  balance, min_balance FROM balance_alerts \
                  JOIN accounts ON accounts.id = account_id ORDER BY balance_alerts.id";
    let mut mirrored: BTreeMap<(i64, String), (Decimal, bool)> = BTreeMap::new();
    let mut looking: BTreeMap<i64, i64> = BTreeMap::new();
    for row in database.rows(alerts) {
        let (id, account): (i64, i64) = (row.get("id"), row.get("account_id"));
        let (kind, is_raised): (String, bool) = (row.get("kind"), is_true(&row, "is_raised"));
        let value: Option<Decimal> = row.get("value");
        if row.get::<String>("origin") == "account" {
            let second = mirrored.insert((account, kind), (value.unwrap(), is_raised)).is_some();
            faults.extend(second.then(|| format!("account {account}: alert {id} is a second one")));
            continue;
        }
        if told.remove(&id).unwrap_or_default() != is_raised {
            faults.push(format!("alert {id}: raised is {is_raised}, but that was not told"));
        }
        if kind == "forecast" {
            continue;
        }
        *looking.entry(account).or_default() += 1;
        let percentage = || row.get::<Option<Decimal>>("percentage").map(Level::Percentage);
        let level = value.map(Level::Value).or_else(percentage).unwrap();
        let limit = Limit {
            is_high: kind == "high",
            threshold: level.threshold(row.get("min_balance")),
            hysteresis: row.get("hysteresis"),
        };
        if limit.is_raised(is_raised, row.get("balance")) != is_raised {
            faults.push(format!("alert {id}: {limit:?} is not looked at, raised is {is_raised}"));
        }
    }
    faults.extend(told.into_iter().filter(|(_, is_raised)| *is_raised).filter_map(|(id, _)| {
        let account = "SELECT count(*) FROM events JOIN accounts ON accounts.id = account_id";
        let named = format!("{account} WHERE data LIKE '%\"alert\":{{\"id\":{id},%'");
        (count(database, &named) > 0).then(|| format!("alert {id} is gone, but was not cleared"))
    }));
    for row in database.rows("SELECT * FROM accounts") {
        let account: i64 = row.get("id");
        let state: i64 = row.get("threshold_state");
        for (kind, column, beyond) in
            [("low", "balance_low_threshold", 1), ("high", "balance_high_threshold", 2)]
        {
            let due = row.get::<Option<Decimal>>(column).map(|value| (value, state == beyond));
            let found = mirrored.remove(&(account, kind.to_owned()));
            if found != due {
                faults.push(format!("account {account}: alert {found:?} mirrors {due:?}"));
            }
        }
        let (said, found): (i64, _) = (row.get("own_alerts"), looking.remove(&account));
        if said != found.unwrap_or_default() {
            faults.push(format!("account {account}: own_alerts is {said}, not {found:?}"));
        }
    }
    faults
}

/// Looks for what was changed without an audit record, or recorded twice. Requests are told apart
/// by their ids.
fn audit_faults(database: &Session) -> Vec<String> {
    let of_payments = "SELECT count(*) FROM audit_records \
                       WHERE item_type = 'payments' AND item_id = payments.id";
    let checks = [
        (
            "requests moved a balance without its audit record",
            "SELECT count(*) FROM (SELECT account_id, request_id, count(*) AS moves \
             FROM journal_entries WHERE request_id IS NOT NULL GROUP BY 1, 2) AS moved \
             LEFT JOIN (SELECT item_id, request_id, count(*) AS records FROM audit_records \
             WHERE item_type = 'accounts' AND event = 'update' GROUP BY 1, 2) AS recorded \
             ON item_id = account_id AND recorded.request_id = moved.request_id \
             WHERE moves IS DISTINCT FROM records"
                .to_owned(),
        ),
        (
            "payments have no audit record",
            format!(
                "SELECT count(*) FROM payments WHERE 1 <> ({of_payments} AND event = 'create')"
            ),
        ),
        (
            "rollbacks have no audit record",
            format!(
                "SELECT count(*) FROM payments WHERE CASE WHEN status = 'rolled_back' \
                 THEN 1 ELSE 0 END <> ({of_payments} AND event = 'update')"
            ),
        ),
    ];
    let found = checks.into_iter().map(|(what, sql)| (count(database, &sql), what));
    found.filter(|(count, _)| *count != 0).map(|(count, what)| format!("{count} {what}")).collect()
}

fn total_faults(database: &Session) -> Vec<String> {
    let mut faults = Vec::new();
    for kind in COUNTED {
        let there = count(database, &format!("SELECT count(*) FROM {}", kind.replace('-', "_")));
        let told = format!("SELECT coalesce(sum(total), 0) FROM totals WHERE kind = '{kind}'");
        let told = count(database, &told);
        if told != there {
            faults.push(format!("the total of {kind} is {told}, but there are {there}"));
        }
    }
    faults
}

fn count(database: &Session, sql: &str) -> i64 {
    database.value(sql)
}

fn rows<T>(database: &Session, sql: &str, read: impl FnMut(&Row) -> T) -> Vec<T> {
    database.rows(sql).iter().map(read).collect()
}
