//! What happens to accounts, told to webhooks that want to hear of it.

use jsonapi::{Record, snapshot};
use serde_json::{Map, Value as Json, json};
use store::{StoreError, Tx};

use crate::accounts::ACCOUNTS;
use crate::events::{
    ACCOUNT_CREATED, ACCOUNT_DELETED, ACCOUNT_LIMITS_CHANGED, ACCOUNT_UPDATED, EventKind,
};
use crate::outbox::{News, is_wanted, tell};
use crate::rest::Change;

/// What bounds an account: its balance, its calls at once, and each of them.
const LIMITS: &[&str] = &[
    "min-balance",
    "max-balance",
    "destination-rate-limit",
    "max-call-duration",
    "origination-capacity",
    "termination-capacity",
    "total-capacity",
];

/// Tells of an account that was made, changed or deleted.
///
/// # Errors
/// When a statement fails.
pub async fn tell_of_change(tx: &mut Tx, change: Change<'_>) -> Result<(), StoreError> {
    match (change.before, change.after) {
        (None, Some(account)) => {
            tell_of(tx, &ACCOUNT_CREATED, account, Map::new(), change).await?;
        }
        (Some(account), None) => {
            tell_of(tx, &ACCOUNT_DELETED, account, Map::new(), change).await?;
        }
        (Some(before), Some(after)) if before != after => {
            for (kind, counts) in [
                (&ACCOUNT_UPDATED, (|_| true) as fn(&str) -> bool),
                (&ACCOUNT_LIMITS_CHANGED, |name| LIMITS.contains(&name)),
            ] {
                // The changes are put together for those who want them only.
                if !is_wanted(tx, kind).await? {
                    continue;
                }
                let changes = changes(before, after, counts);
                if !changes.is_empty() {
                    let details = Map::from_iter([("changes".to_owned(), Json::Object(changes))]);
                    tell_of(tx, kind, after, details, change).await?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

async fn tell_of(
    tx: &mut Tx,
    kind: &'static EventKind,
    account: &Record,
    details: Map<String, Json>,
    change: Change<'_>,
) -> Result<(), StoreError> {
    let news = News { kind, account: Some(account), details, now: change.moment.now };
    tell(tx, news).await.map(|_| ())
}

/// What clients can see to have changed, before and after, by the names that events have; of the
/// attributes only those that `counts`.
fn changes(before: &Record, after: &Record, counts: impl Fn(&str) -> bool) -> Map<String, Json> {
    let read = |record, other| -> Map<String, Json> {
        serde_json::from_str(&snapshot(&ACCOUNTS, record, Some(other))).unwrap_or_default()
    };
    let mut were = read(before, after);
    let mut changes = Map::new();
    for (name, is) in read(after, before) {
        let attribute = ACCOUNTS.attribute(&name);
        let is_shown = attribute.is_none_or(|at| ACCOUNTS.attributes[at].on_the_wire());
        if is_shown && counts(&name) {
            let was = were.remove(&name).unwrap_or_default();
            let key = if attribute.is_none() { "_id" } else { "" };
            changes.insert(name.replace('-', "_") + key, json!([was, is]));
        }
    }
    changes
}
