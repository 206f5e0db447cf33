//! The proof of the money in a database: journals lead to balances, and every payment and
//! transaction to its entries, audit records and totals. All is read in one transaction, so it must
//! hold at any moment, also while a server is writing.

use std::collections::BTreeMap;
use std::path::Path;

use billing::journal::{Chain, Entry, Head};
use billing::threshold::{self, ThresholdState, Thresholds};
use decimal::Decimal;
use jiff::Timestamp;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Row, Transaction};

/// Types whose totals are compared with what is there.
const COUNTED: [&str; 9] = [
    "accounts",
    "audit-records",
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
pub fn verify(database: &Path) {
    let mut connection = look(database);
    let faults = faults(&connection.transaction().unwrap());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A look into a database that changes nothing.
pub fn look(database: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).unwrap();
    // SQLite locks the log for a moment when the first connection finds it after a crash.
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
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
    fn read(row: &Row<'_>) -> Self {
        Self {
            account: value(row, "account_id"),
            sequence: value(row, "sequence"),
            kind: value(row, "kind"),
            amount: number(row, "amount").unwrap(),
            balance_after: number(row, "balance_after").unwrap(),
            reference: value::<Option<_>>(row, "reference_type").zip(value(row, "reference_id")),
            actor: value(row, "actor"),
            request_id: value(row, "request_id"),
            created_at: time(row, "created_at").unwrap(),
            hash: value(row, "hash"),
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
pub fn entries(database: &Connection) -> Vec<StoredEntry> {
    let sql = "SELECT * FROM journal_entries ORDER BY account_id, sequence";
    rows(database, sql, StoredEntry::read)
}

/// What leaves open whether the money is right.
fn faults(database: &Transaction<'_>) -> Vec<String> {
    let entries = entries(database);
    let mut faults = journal_faults(database, &entries);
    faults.extend(reference_faults(database, &entries));
    faults.extend(threshold_faults(database));
    faults.extend(audit_faults(database));
    faults.extend(total_faults(database));
    faults
}

/// Follows the journal of each account, living or deleted, to where the account stands.
fn journal_faults(database: &Connection, entries: &[StoredEntry]) -> Vec<String> {
    let heads = "SELECT id AS account_id, journal_sequence AS sequence, balance, \
                 journal_hash AS hash, journal_at AS at FROM accounts UNION ALL \
                 SELECT account_id, sequence, balance, hash, last_entry_at FROM journal_closures";
    let heads = rows(database, heads, |row| {
        let head = Head {
            sequence: value(row, "sequence"),
            balance: number(row, "balance").unwrap(),
            hash: value(row, "hash"),
            at: time(row, "at"),
        };
        (value::<i64>(row, "account_id"), head)
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
fn reference_faults(database: &Connection, entries: &[StoredEntry]) -> Vec<String> {
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for stored in entries {
        if let Some((kind, id)) = &stored.reference {
            let moved = (stored.account, stored.kind.as_str(), stored.amount);
            named.entry((kind.as_str(), id.clone())).or_default().push(moved);
        }
    }
    let payments = rows(database, "SELECT * FROM payments", |row| {
        let (account, amount) = (value(row, "account_id"), number(row, "amount").unwrap());
        let (posted, taken_back) = ((account, "payment", amount), (account, "rollback", -amount));
        let status: String = value(row, "status");
        let due = match status.as_str() {
            "completed" => vec![posted],
            "rolled_back" => vec![posted, taken_back],
            _ => Vec::new(),
        };
        let is_dated = time(row, "rolledback_at").is_some();
        assert_eq!(is_dated, status == "rolled_back", "payment {}", value::<i64>(row, "id"));
        (("payments", value::<i64>(row, "id").to_string()), due)
    });
    let transactions = rows(database, "SELECT * FROM transactions", |row| {
        let amount = -number(row, "amount").unwrap();
        let due = vec![(value(row, "account_id"), "transaction", amount)];
        (("transactions", value::<i64>(row, "id").to_string()), due)
    });
    let mut faults = Vec::new();
    for (record, due) in payments.into_iter().chain(transactions) {
        let found = named.remove(&record).unwrap_or_default();
        if found != due {
            faults.push(format!("{record:?} has the entries {found:?}, not {due:?}"));
        }
    }
    let living = rows(database, "SELECT id FROM accounts", |row| value::<i64>(row, "id"));
    for (record, found) in named {
        if found.iter().any(|(account, ..)| living.contains(account)) {
            faults.push(format!("{found:?} name {record:?}, which is not there"));
        }
    }
    let before = "SELECT payments.id, balance_before_payment, entries.amount, balance_after \
                  FROM payments JOIN journal_entries AS entries ON kind = 'payment' \
                  AND reference_type = 'payments' AND reference_id = CAST(payments.id AS TEXT)";
    let wrong = rows(database, before, |row| {
        let before = number(row, "balance_after").unwrap().checked_sub(number(row, "amount")?);
        (before != number(row, "balance_before_payment")).then(|| value::<i64>(row, "id"))
    });
    let wrong = wrong.into_iter().flatten();
    faults.extend(wrong.map(|id| format!("payment {id} shows another balance before it")));
    faults
}

/// Looks at every threshold once more: nothing new may be found, and what was told leads there.
fn threshold_faults(database: &Connection) -> Vec<String> {
    let told = "SELECT event_id FROM balance_notifications WHERE account_id = ?1 ORDER BY id";
    let mut told = database.prepare(told).unwrap();
    let accounts = rows(database, "SELECT * FROM accounts", |row| {
        let account: i64 = value(row, "id");
        let state = ThresholdState::from_id(value(row, "threshold_state")).unwrap();
        let thresholds = Thresholds {
            low: number(row, "balance_low_threshold"),
            high: number(row, "balance_high_threshold"),
        };
        let pass = threshold::pass(state, thresholds, number(row, "balance").unwrap());
        let told = told.query_map([account], |row| row.get::<_, i64>(0)).unwrap();
        let led = told.map(Result::unwrap).try_fold(0, |state, event| match (state, event) {
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

/// Looks for what was changed without an audit record, or recorded twice. Requests are told apart
/// by their ids.
fn audit_faults(database: &Connection) -> Vec<String> {
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
             WHERE moves IS NOT records"
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
                "SELECT count(*) FROM payments \
                 WHERE (status = 'rolled_back') <> ({of_payments} AND event = 'update')"
            ),
        ),
    ];
    let found = checks.into_iter().map(|(what, sql)| (count(database, &sql), what));
    found.filter(|(count, _)| *count != 0).map(|(count, what)| format!("{count} {what}")).collect()
}

fn total_faults(database: &Connection) -> Vec<String> {
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

fn count(database: &Connection, sql: &str) -> i64 {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn rows<T>(database: &Connection, sql: &str, mut read: impl FnMut(&Row<'_>) -> T) -> Vec<T> {
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok(read(row))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn value<T: FromSql>(row: &Row<'_>, column: &str) -> T {
    row.get(column).unwrap()
}

fn number(row: &Row<'_>, column: &str) -> Option<Decimal> {
    let bytes: Option<[u8; 16]> = value(row, column);
    bytes.map(|bytes| Decimal::from_ordered_bytes(bytes).unwrap())
}

fn time(row: &Row<'_>, column: &str) -> Option<Timestamp> {
    let micros: Option<i64> = value(row, column);
    micros.map(|micros| Timestamp::from_microsecond(micros).unwrap())
}
