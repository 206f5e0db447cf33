//! Requests that move balances, each under a mark of its own: the request id, by which its entries
//! are found again in the journal.

use std::collections::{BTreeMap, HashMap};

use decimal::Decimal;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::builders::external_id;
use crate::proof::StoredEntry;
use crate::support::{MEDIA_TYPE, Reply, linkage};

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Wish {
    /// A payment, perhaps with an external id.
    Pay(Decimal, Option<String>),
    /// A transaction.
    Charge(Decimal),
    /// A correction of the balance.
    Correct(Decimal),
    /// Another balance.
    Set(Decimal),
    /// The rollback of the payment with this id, which was of this amount.
    RollBack(String, Decimal),
    /// Other attributes of the account, which move nothing.
    Edit(serde_json::Value),
    /// The end of the account.
    Delete,
}

/// A request that is yet to be sent, or to be sent again.
#[derive(Clone, Debug)]
pub struct Movement {
    /// The account.
    pub account: i64,
    /// What is asked for.
    pub wish: Wish,
    /// The request id. A retry has the same: whichever arrives, it is the one wish.
    pub mark: String,
    /// Whether the mark is sent as `Idempotency-Key` too.
    pub is_keyed: bool,
}

impl Movement {
    /// The request to the server at `origin`.
    pub fn request(&self, client: &reqwest::Client, origin: &str, token: &str) -> RequestBuilder {
        let (method, path, body) = self.line();
        let url = format!("{origin}/api/rest/admin{path}");
        let request = client.request(method, url).body(body).header(ACCEPT, MEDIA_TYPE);
        let request = request.header(CONTENT_TYPE, MEDIA_TYPE).header(AUTHORIZATION, token);
        let request = request.header("x-request-id", &self.mark);
        if self.is_keyed { request.header("idempotency-key", &self.mark) } else { request }
    }

    fn line(&self) -> (Method, String, String) {
        let account = self.account.to_string();
        let path = format!("/accounts/{account}");
        let update = |path: String, kind: &str, id: &str, attributes: &serde_json::Value| {
            let data = json!({"type": kind, "id": id, "attributes": attributes});
            (Method::PATCH, path, json!({ "data": data }).to_string())
        };
        let create = |kind: &str, attributes: serde_json::Value| {
            let links = json!({"account": linkage("accounts", &account)});
            let data = json!({"type": kind, "attributes": attributes, "relationships": links});
            (Method::POST, format!("/{kind}"), json!({ "data": data }).to_string())
        };
        match &self.wish {
            Wish::Pay(amount, external_id) => {
                let id = external_id.as_deref();
                create("payments", json!({"amount": amount.to_string(), "external-id": id}))
            }
            Wish::Charge(amount) => {
                let description = self.mark.as_str();
                let amount = amount.to_string();
                create("transactions", json!({"amount": amount, "description": description}))
            }
            Wish::Correct(amount) => {
                let attributes = json!({"correction": amount.to_string()});
                let path = format!("{path}/balance-correction");
                update(path, "balance-correction", &account, &attributes)
            }
            Wish::Set(balance) => {
                let attributes = json!({"balance": balance.to_string()});
                let id = external_id(self.account).to_string();
                update(format!("{path}/balance"), "balances", &id, &attributes)
            }
            Wish::RollBack(payment, _) => {
                (Method::POST, format!("/payments/{payment}/rollback"), String::new())
            }
            Wish::Edit(attributes) => update(path, "accounts", &account, attributes),
            Wish::Delete => (Method::DELETE, path, String::new()),
        }
    }

    /// The kind of entry that this makes, and by how much it moves a balance that stands at
    /// `before`; nothing when it makes none.
    fn due(&self, before: Decimal) -> Option<(&'static str, Decimal)> {
        let (kind, amount) = match self.wish {
            Wish::Pay(amount, _) => ("payment", amount),
            Wish::Charge(amount) => ("transaction", -amount),
            Wish::Correct(amount) => ("correction", amount),
            Wish::RollBack(_, amount) => ("rollback", -amount),
            // Too far for one entry: then the way goes over 0.
            Wish::Set(balance) => ("adjustment", balance.checked_sub(before).unwrap_or(-before)),
            Wish::Edit(_) | Wish::Delete => return None,
        };
        Some((kind, amount))
    }

    /// Whether the answer says that it was done. An answer that says neither is a failure.
    #[track_caller]
    pub fn is_done(&self, reply: &Reply) -> bool {
        match reply.status {
            200 | 201 | 204 => true,
            404 | 422 => false,
            _ => panic!("{self:?}: {reply:?}"),
        }
    }
}

/// Checks that entries are what the movements asked for, each in its order and exactly, and that
/// none is nobody's. Returns how many entries each mark has, and where the balances stand.
#[track_caller]
pub fn reckon<'a>(
    entries: &'a [StoredEntry],
    movements: impl IntoIterator<Item = &'a Movement>,
) -> (HashMap<&'a str, usize>, BTreeMap<i64, Decimal>) {
    let movements: HashMap<&str, &Movement> =
        movements.into_iter().map(|movement| (movement.mark.as_str(), movement)).collect();
    let mut counts = HashMap::new();
    let mut balances = BTreeMap::new();
    for entry in entries {
        let mark = entry.request_id.as_deref().unwrap_or_default();
        let movement = movements.get(mark).unwrap_or_else(|| panic!("nobody's: {entry:?}"));
        let balance = balances.entry(entry.account).or_insert(Decimal::ZERO);
        let (kind, amount) = movement.due(*balance).unwrap_or_else(|| panic!("{entry:?}"));
        *balance = balance.checked_add(amount).unwrap();
        let due = (movement.account, kind, amount, *balance);
        let found = (entry.account, entry.kind.as_str(), entry.amount, entry.balance_after);
        assert_eq!(found, due, "{movement:?}");
        *counts.entry(mark).or_insert(0) += 1;
    }
    (counts, balances)
}
