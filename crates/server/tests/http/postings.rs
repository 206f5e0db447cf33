//! Journal entries of chosen times and amounts, posted as every operation posts them.

use billing::journal::EntryKind;
use decimal::Decimal;
use jiff::{SignedDuration, Timestamp};
use store::Store;
use tollkeeper::accounts::ACCOUNTS;
use tollkeeper::auth::Caller;
use tollkeeper::clock::Moment;
use tollkeeper::journal::{PostError, post};
use uuid::Uuid;

use crate::support::TestApp;

/// Entries that are posted in one transaction.
const AT_ONCE: usize = 500;

/// A time.
pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A number.
pub fn number(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Whoever asks for nothing in particular: the system.
pub fn nobody() -> Caller {
    Caller { operator: None, address: None, request_id: None }
}

/// Moves the balance of an account by each of these amounts, at these times.
pub async fn post_all(store: &Store, account: i64, moves: &[(Timestamp, Decimal)]) {
    for moves in moves.chunks(AT_ONCE) {
        let moves = moves.to_vec();
        let posted: Result<(), PostError> = store
            .write(async move |tx| {
                for (now, amount) in moves.iter().copied() {
                    let moment = Moment { now, uuid: Uuid::nil() };
                    let found = tx.find(&ACCOUNTS, account).await?.unwrap();
                    let kind = EntryKind::Correction;
                    post(tx, &nobody(), &found, kind, amount, None, moment).await?;
                }
                Ok(())
            })
            .await;
        posted.unwrap();
    }
}

/// So many movements, a second apart: 1, -2, 3, -4 and so on, in thousandths.
pub fn many(count: i64) -> Vec<(Timestamp, Decimal)> {
    let first = time("2026-01-02T12:00:00Z");
    let thousandth = |number: i64| Decimal::from_units(i128::from(number) * 1_000_000_000).unwrap();
    let signed = |number: i64| if number % 2 == 0 { -number } else { number };
    (1..=count)
        .map(|number| (first + SignedDuration::from_secs(number), thousandth(signed(number))))
        .collect()
}

impl TestApp {
    /// Moves the balance of an account by each of these amounts, at these times.
    pub async fn post_at(&self, account: &str, moves: &[(&str, &str)]) {
        let moves: Vec<_> = moves.iter().map(|(at, amount)| (time(at), number(amount))).collect();
        post_all(&self.app.store, account.parse().unwrap(), &moves).await;
    }
}
