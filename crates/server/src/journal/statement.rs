//! An account's history: its balance at a past moment, and its statement between two.
//!
//! `GET /accounts/{id}?as-of=TIME` and `GET /accounts/{id}/statement?from=TIME&to=TIME`. Times are
//! ISO-8601; without an offset they are the account's local time. A statement is of any length: it
//! is read and sent slice by slice. Entries do not change, so no state of the database is held for
//! it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use billing::journal::Head;
use billing::timezone;
use bytes::Bytes;
use decimal::Decimal;
use hyper::StatusCode;
use hyper::header::ACCEPT;
use jiff::{SignedDuration, Timestamp};
use jsonapi::{Base, Error, MEDIA_TYPE, Query, Record, Scope, Value, instant, write_record};
use serde_json::json;
use store::{Snapshot, Store, StoreError};
use tokio::sync::mpsc;

use super::posting::head;
use super::resource::JOURNAL_ENTRIES;
use super::verify::read;
use crate::accounts::ACCOUNTS;
use crate::app::App;
use crate::csv::{CSV, Lines};
use crate::error::ApiError;
use crate::http::{Source, list_header, media_types};
use crate::reply::Reply;
use crate::rest::{Call, answer, path_id, record_key};

/// Entries that are read and sent at once.
const SLICE: u32 = 500;
/// The resolution of times in the database.
const TICK: SignedDuration = SignedDuration::from_micros(1);

/// Shows the balance that an account had at the moment `as-of`, if the request names one.
///
/// # Errors
/// 400 for what is no time.
pub async fn show_as_of(call: &Call, account: &mut Record) -> Result<(), ApiError> {
    let Some(moment) = moment_of(call, "as-of", account)? else { return Ok(()) };
    let id = account.key();
    let stand = call.app.store.look(async move |snapshot| {
        // What is shown of an account does not tell where its journal stands.
        let stored = snapshot.find(&ACCOUNTS, id).await?;
        stored.as_ref().map(Stand::of).unwrap_or_default().at(snapshot, id, moment).await
    });
    let stand = stand.await?;
    ACCOUNTS.set(account, "balance", Value::Decimal(stand.balance));
    *account = ACCOUNTS.derived(account.clone());
    Ok(())
}

/// Where a journal stood at a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Stand {
    sequence: i64,
    balance: Decimal,
}

impl Stand {
    /// Where it stands when its account looks like this.
    fn of(account: &Record) -> Self {
        let Head { sequence, balance, .. } = head(account);
        Self { sequence, balance }
    }

    /// Where it stood when all entries up to `moment`, inclusive, were made. Times rise with
    /// numbers, so the last of those entries is found by halving.
    async fn at(
        self,
        snapshot: &Snapshot<'_>,
        account: i64,
        moment: Timestamp,
    ) -> Result<Self, StoreError> {
        let (mut found, mut last) = (Self::default(), self.sequence);
        while found.sequence < last {
            let middle = found.sequence + (last - found.sequence + 1) / 2;
            let (owner, range) = (("account", account), (middle - 1, last));
            let next = snapshot.between(&JOURNAL_ENTRIES, owner, "sequence", range, 1).await?;
            let next = next.first().and_then(read).map(|(entry, _)| entry);
            match next.filter(|entry| entry.created_at <= moment) {
                Some(entry) => {
                    found = Self { sequence: entry.sequence, balance: entry.balance_after };
                }
                None => last = middle - 1,
            }
        }
        Ok(found)
    }
}

/// The moment that a parameter names, in the account's zone unless it has an offset.
fn moment_of(call: &Call, name: &str, account: &Record) -> Result<Option<Timestamp>, Error> {
    let Some(text) = call.params.other(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let zone = ACCOUNTS.value(account, "timezone").as_text().and_then(timezone::find);
    let moment = instant(text, &zone.unwrap_or(jiff::tz::TimeZone::UTC));
    moment.map(Some).ok_or_else(|| {
        Error::bad_request(format!("{text} is not a time for {name} (a + is written %2B in URLs)."))
    })
}

/// The path of statements.
pub fn router(app: &Arc<App>) -> Router {
    let path = format!("{}/{}/{{id}}/statement", app.store.api().prefix, ACCOUNTS.kind);
    answer(Router::new(), app, path, respond)
}

async fn respond(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let id = path_id(&request);
    let (call, _) = Call::admit(&app, request).await?;
    if !call.reads() {
        return Err(ApiError::method_not_allowed(&call.method, "GET, HEAD"));
    }
    let as_csv = list_header(&call.headers, &ACCEPT)
        .is_some_and(|list| media_types(&list).any(|media_type| media_type == "text/csv"));
    if !as_csv {
        call.check_accept()?;
    }
    let query = Query::parse(call.api(), &JOURNAL_ENTRIES, &call.params, Scope::Write)?;
    query.check()?;
    if let Some((position, _)) = query.include.branches.first() {
        // Nothing comes after the entries but the balances.
        let name = JOURNAL_ENTRIES.relationships[*position].name;
        return Err(Error::invalid_include(name, JOURNAL_ENTRIES.kind).into());
    }
    let (key, shown_id) = record_key(&id)?;
    let account = find_account(&app.store, key).await?;
    let account = account.ok_or_else(|| Error::record_not_found(&shown_id))?;
    let from = moment_of(&call, "from", &account)?;
    let to = moment_of(&call, "to", &account)?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Error::bad_request("from is after to.").into());
    }
    let before = |moment: Timestamp| moment.checked_sub(TICK).unwrap_or(moment);
    let stand = Stand::of(&account);
    let stands = app.store.look_any(async move |snapshot| {
        let at = async |moment, otherwise| match moment {
            Some(moment) => stand.at(snapshot, key, before(moment)).await,
            None => Ok(otherwise),
        };
        Ok((at(from, Stand::default()).await?, at(to, stand).await?))
    });
    let (opening, closing) = stands.await?;
    let statement = Statement { account: key, from, to, opening, closing };
    if as_csv {
        let source = Source::start(|chunks| statement.write_csv(app, chunks));
        return Ok(Reply::streamed(StatusCode::OK, CSV, source));
    }
    let base = call.base.clone();
    let source = Source::start(|chunks| statement.write_document(app, base, query, chunks));
    Ok(Reply::streamed(StatusCode::OK, MEDIA_TYPE, source))
}

async fn find_account(store: &Store, key: i64) -> Result<Option<Record>, StoreError> {
    let found = store.look_any(async move |snapshot| snapshot.find(&ACCOUNTS, key).await).await?;
    if found.is_some() {
        return Ok(found);
    }
    // It may be too new for the replica.
    store.look(async move |snapshot| snapshot.find(&ACCOUNTS, key).await).await
}

/// What a statement tells: the entries between two stands of a journal.
struct Statement {
    account: i64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    opening: Stand,
    closing: Stand,
}

type Chunks = mpsc::Sender<Bytes>;

impl Statement {
    /// JSON:API: the entries as primary data, the balances in `meta`.
    async fn write_document(
        self,
        app: Arc<App>,
        base: Base,
        query: Query,
        chunks: Chunks,
    ) -> Result<(), ApiError> {
        let mut out = b"{\"data\":[".to_vec();
        let mut separator: &[u8] = b"";
        let mut after = self.opening.sequence;
        loop {
            let entries = self.entries_after(&app.store, after).await?;
            for entry in &entries {
                out.extend_from_slice(separator);
                separator = b",";
                write_record(&mut out, &base, &JOURNAL_ENTRIES, entry, &query);
            }
            let Some(last) = last_sequence(&entries) else { break };
            after = last;
            if chunks.send(std::mem::take(&mut out).into()).await.is_err() {
                return Ok(());
            }
        }
        let meta = json!({
            "opening-balance": self.opening.balance.to_string(),
            "closing-balance": self.closing.balance.to_string(),
            "from": self.from.map(shown),
            "to": self.to.map(shown),
            "total-count": self.closing.sequence - self.opening.sequence,
        });
        out.extend_from_slice(format!("],\"meta\":{meta}}}").as_bytes());
        // Whoever has gone away does not want the end either.
        let _ = chunks.send(out.into()).await;
        Ok(())
    }

    /// CSV: one line for each entry, between lines for the two balances.
    async fn write_csv(self, app: Arc<App>, chunks: Chunks) -> Result<(), ApiError> {
        let names: Vec<&str> =
            JOURNAL_ENTRIES.attributes.iter().map(|column| column.name).collect();
        let mut lines = Lines::default();
        lines.push(&names);
        let opened = self.from.map(shown).unwrap_or_default();
        lines.push(&balance_line("opening balance", &opened, self.opening.balance));
        let mut after = self.opening.sequence;
        loop {
            let entries = self.entries_after(&app.store, after).await?;
            for entry in &entries {
                lines.push(&entry.values.iter().map(Value::to_string).collect::<Vec<_>>());
            }
            let Some(last) = last_sequence(&entries) else { break };
            after = last;
            if chunks.send(lines.take()).await.is_err() {
                return Ok(());
            }
        }
        let closed = self.to.map(shown).unwrap_or_default();
        lines.push(&balance_line("closing balance", &closed, self.closing.balance));
        let _ = chunks.send(lines.take()).await;
        Ok(())
    }

    async fn entries_after(&self, store: &Store, after: i64) -> Result<Vec<Record>, StoreError> {
        let (account, last) = (self.account, self.closing.sequence);
        let owner = ("account", account);
        let entries = async move |snapshot: &Snapshot<'_>| {
            snapshot.between(&JOURNAL_ENTRIES, owner, "sequence", (after, last), SLICE).await
        };
        let found = store.look_any(entries).await?;
        if !found.is_empty() || after == last {
            return Ok(found);
        }
        // What told of the end may have been the primary, and the replica is behind it.
        store.look(entries).await
    }
}

fn last_sequence(entries: &[Record]) -> Option<i64> {
    JOURNAL_ENTRIES.value(entries.last()?, "sequence").as_int()
}

fn shown(time: Timestamp) -> String {
    Value::Time(time).to_string()
}

/// A line of CSV that is no entry: what it is, when, and the balance.
fn balance_line(kind: &str, time: &str, balance: Decimal) -> Vec<String> {
    let cell = |name: &str| match name {
        "kind" => kind.to_owned(),
        "created-at" => time.to_owned(),
        "balance-after" => balance.to_string(),
        _ => String::new(),
    };
    JOURNAL_ENTRIES.attributes.iter().map(|column| cell(column.name)).collect()
}
