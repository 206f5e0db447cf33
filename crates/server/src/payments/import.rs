//! `tollkeeper import payments`: each row of a CSV file becomes a payment.
//!
//! A row becomes the document that a client would send, so that rules and messages are the API's
//! own. Rows go through the lane in slices, so that other writers are not held up, and each may
//! fail alone.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use decimal::Decimal;
use jsonapi::{Error, Fault, Input, Record, RecordDocument, Value, linkage, validation_errors};
use serde_json::{Map, Value as Json, json};
use store::{Needs, StoreError, Target, Tx};

use super::operations::post_payment;
use super::resource::PAYMENTS;
use crate::accounts::ACCOUNTS;
use crate::app::App;
use crate::auth::Caller;
use crate::csv::{CsvReader, CsvRecord};
use crate::error::ApiError;
use crate::progress::Progress;
use crate::rest::Draft;

/// Rows of one operation.
const SLICE_ROWS: usize = 200;
/// Longest pause after a slice.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often a slice is tried while the database is unavailable. A try waits for a lock for
/// seconds.
const TRIES_MAX: usize = 12;
/// Refused rows that are printed; the rest is counted.
const PRINTED_MAX: u64 = 100;
/// Characters of a refusal that are printed: some messages repeat what was sent.
const PRINTED_CHARS_MAX: usize = 500;
/// Longest id of a request, in characters.
const REQUEST_ID_CHARS_MAX: usize = 255;

/// Column of the account's own id.
const ACCOUNT_ID: &str = "account-id";
/// Column of the account's external id, instead.
const ACCOUNT_EXTERNAL_ID: &str = "account-external-id";

/// What became of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that became payments.
    pub posted: u64,
    /// Rows that were payments before: same account, external id and amount.
    pub there_already: u64,
    /// Rows that broke a rule.
    pub refused: u64,
}

/// An import with its header read, ready to run.
pub struct Import<R> {
    /// Whether everything is done but nothing kept.
    pub dry_run: bool,
    /// What became of the rows so far.
    pub tally: Tally,
    name: String,
    reader: CsvReader<R>,
    columns: Vec<String>,
    /// A dry run's own memory, because the database forgets what it posts. It is the one thing
    /// here that grows with the file.
    posted: HashMap<(i64, String), Decimal>,
}

/// One row, as far as it can be understood without the database.
#[derive(Debug)]
struct Row {
    line: usize,
    sent: Result<Sent, String>,
}

/// What a row sends.
#[derive(Debug)]
struct Sent {
    input: Input,
    /// External id of the account, where that is how the file names it.
    account: Option<Value>,
}

impl Sent {
    /// The account's own id, where that is how the file names it: payments have no other
    /// relationship.
    fn account_id(&self) -> Option<i64> {
        self.input.links.first().and_then(|(_, account)| *account)
    }
}

/// What became of one row.
#[derive(Debug)]
enum Outcome {
    Posted(Record),
    /// Nothing is wrong but that the account has a payment with this external id.
    Taken {
        sent: Option<Decimal>,
        stored: Record,
    },
    Refused(String),
}

/// Why the operation of a slice kept nothing.
#[derive(Debug)]
enum Undone {
    DryRun(Vec<Outcome>),
    Failed(ApiError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl<R: Read> Import<R> {
    /// Reads the header of the file that is called `name`.
    ///
    /// # Errors
    /// One line that says why these columns are none of payments, or cannot be read.
    pub fn begin(name: &str, source: R, dry_run: bool) -> anyhow::Result<Self> {
        let cannot_read = || format!("cannot read {name}");
        let mut reader = CsvReader::new(source).with_context(cannot_read)?;
        let Some(header) = reader.next_record().with_context(cannot_read)? else {
            bail!("{name} is empty: the first line must name the columns");
        };
        let columns = header.values.map_err(|why| anyhow!("{name}: the header {why}"))?;
        check_columns(&columns).with_context(|| name.to_owned())?;
        let (tally, posted) = (Tally::default(), HashMap::new());
        Ok(Self { dry_run, tally, name: name.to_owned(), reader, columns, posted })
    }

    /// Posts every row that may be posted, and prints why the others may not.
    ///
    /// # Errors
    /// When the file cannot be read, or the database stays unavailable. [`Self::tally`] has what
    /// was done until then.
    pub async fn run(&mut self, app: &Arc<App>) -> anyhow::Result<()> {
        let mut console = Console::new();
        let ended = self.run_slices(app, &mut console).await;
        console.finish(self.tally.refused);
        ended
    }

    async fn run_slices(&mut self, app: &Arc<App>, console: &mut Console) -> anyhow::Result<()> {
        loop {
            let rows = self.slice().with_context(|| format!("cannot read {}", self.name))?;
            let (Some(first), full) = (rows.first(), rows.len() == SLICE_ROWS) else {
                return Ok(());
            };
            let stopped = format!("stopped at line {}", first.line);
            let (rows, started) = (Arc::new(rows), Instant::now());
            let outcomes = self.post(app, &rows).await.context(stopped)?;
            for (row, outcome) in rows.iter().zip(outcomes) {
                if let Err(refusal) = self.count(outcome) {
                    console.refused(row.line, &refusal);
                }
            }
            if !full {
                return Ok(());
            }
            console.progress(&self.tally);
            // Another process, the server above all, gets the database for as long.
            tokio::time::sleep(started.elapsed().min(PAUSE_MAX)).await;
        }
    }

    fn slice(&mut self) -> io::Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(SLICE_ROWS);
        while rows.len() < SLICE_ROWS
            && let Some(record) = self.reader.next_record()?
        {
            rows.push(Row { line: record.line, sent: read_row(&self.columns, record) });
        }
        Ok(rows)
    }

    /// Posts a slice in one transaction, and again while another process holds the database.
    async fn post(&self, app: &Arc<App>, rows: &Arc<Vec<Row>>) -> Result<Vec<Outcome>, ApiError> {
        let mut tries = 1;
        loop {
            let (dry_run, name) = (self.dry_run, self.name.clone());
            let (clock, slice) = (Arc::clone(app), Arc::clone(rows));
            let operation = async move |tx: &mut Tx| {
                let posted = post_rows(tx, &clock, &name, &slice).await;
                let outcomes = posted.map_err(Undone::Failed)?;
                if dry_run { Err(Undone::DryRun(outcomes)) } else { Ok(outcomes) }
            };
            let written = match only_account(rows) {
                Some(id) => {
                    let target = Some(Target { resource: &ACCOUNTS, id });
                    app.store.write_with(Needs { target, ..Needs::default() }, operation).await
                }
                None => app.store.write(operation).await,
            };
            match written {
                Ok(outcomes) | Err(Undone::DryRun(outcomes)) => return Ok(outcomes),
                Err(Undone::Failed(ApiError::Store(StoreError::Unavailable(_))))
                    if tries < TRIES_MAX =>
                {
                    tries += 1;
                }
                Err(Undone::Failed(error)) => return Err(error),
            }
        }
    }

    /// Counts what became of a row, or says why it is refused.
    fn count(&mut self, outcome: Outcome) -> Result<(), String> {
        let (first, sent) = match outcome {
            Outcome::Posted(payment) => {
                let Some(first) = self.remember(&payment) else {
                    self.tally.posted += 1;
                    return Ok(());
                };
                (first, Some(amount(&payment)))
            }
            Outcome::Taken { sent, stored } => {
                // In a dry run, the file's first payment of that external id may be an earlier one.
                let first = pair(&stored).and_then(|pair| self.posted.get(&pair).copied());
                (first.unwrap_or_else(|| amount(&stored)), sent)
            }
            Outcome::Refused(refusal) => {
                self.tally.refused += 1;
                return Err(refusal);
            }
        };
        if Some(first) == sent {
            self.tally.there_already += 1;
            return Ok(());
        }
        self.tally.refused += 1;
        Err(joined(&taken()))
    }

    /// In a dry run, the amount that an earlier row would have posted under this external id.
    fn remember(&mut self, payment: &Record) -> Option<Decimal> {
        let pair = pair(payment).filter(|_| self.dry_run)?;
        match self.posted.entry(pair) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(vacant) => {
                vacant.insert(amount(payment));
                None
            }
        }
    }
}

/// What no other payment may have: account and external id.
fn pair(payment: &Record) -> Option<(i64, String)> {
    let external_id = PAYMENTS.value(payment, "external-id").as_text()?;
    Some((payment.links[0]?, external_id.to_owned()))
}

fn amount(payment: &Record) -> Decimal {
    PAYMENTS.value(payment, "amount").as_decimal().unwrap_or_default()
}

/// The attributes that a row may send.
fn attributes() -> impl Iterator<Item = &'static jsonapi::Attribute> {
    PAYMENTS.attributes.iter().filter(|attribute| attribute.creatable)
}

fn check_columns(columns: &[String]) -> anyhow::Result<()> {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let mut known = vec![ACCOUNT_ID, ACCOUNT_EXTERNAL_ID];
    known.extend(attributes().map(|attribute| attribute.name));
    let unknown = columns.iter().find(|column| !known.contains(&column.as_str()));
    if !known.iter().any(|name| has(name)) {
        bail!("the header names no known column; are the values separated by commas?");
    }
    if let Some(unknown) = unknown {
        bail!("there is no column {unknown:?}; payments have {}", known.join(", "));
    }
    let named = |name: &str| columns.iter().filter(|column| *column == name).count();
    if let Some(twice) = columns.iter().find(|column| named(column) > 1) {
        bail!("the header names {twice} twice");
    }
    if has(ACCOUNT_ID) == has(ACCOUNT_EXTERNAL_ID) {
        bail!("the header must name one of {ACCOUNT_ID} and {ACCOUNT_EXTERNAL_ID}");
    }
    match attributes().find(|attribute| attribute.required && !has(attribute.name)) {
        Some(missing) => bail!("the header does not name {}", missing.name),
        None => Ok(()),
    }
}

fn read_row(columns: &[String], record: CsvRecord) -> Result<Sent, String> {
    let values = record.values.map_err(|unreadable| unreadable.to_string())?;
    if values.len() != columns.len() {
        return Err(format!("has {} values, not {}", values.len(), columns.len()));
    }
    let (mut sent, mut relationships, mut account) = (Map::new(), json!({}), None);
    for (column, value) in columns.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        match column.as_str() {
            ACCOUNT_ID => relationships = json!({"account": linkage(ACCOUNTS.kind, value)}),
            ACCOUNT_EXTERNAL_ID => account = Some(read_account(&value)?),
            name => {
                sent.insert(name.to_owned(), Json::String(value));
            }
        }
    }
    let document = RecordDocument::of(PAYMENTS.kind, Json::Object(sent), relationships);
    let input = document.create(&PAYMENTS, Vec::new()).map_err(|errors| joined(&errors))?;
    Ok(Sent { input, account })
}

/// An external id of an account, as a create of an account would read it.
fn read_account(text: &str) -> Result<Value, String> {
    let document = RecordDocument::of(ACCOUNTS.kind, json!({"external-id": text}), json!({}));
    let input = document.create(&ACCOUNTS, Vec::new()).map_err(|errors| joined(&errors))?;
    let value = input.values.into_iter().next().map_or(Ok(Value::Null), |(_, value)| value);
    value.map_err(|unfit| format!("{ACCOUNT_EXTERNAL_ID} - {}", unfit.0))
}

/// The account that all rows name by its own id, if there is one such account.
fn only_account(rows: &[Row]) -> Option<i64> {
    let mut named = rows.iter().filter_map(|row| row.sent.as_ref().ok()).map(Sent::account_id);
    let first = named.next()??;
    named.all(|account| account == Some(first)).then_some(first)
}

async fn post_rows(
    tx: &mut Tx,
    app: &App,
    name: &str,
    rows: &[Row],
) -> Result<Vec<Outcome>, ApiError> {
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        outcomes.push(match &row.sent {
            Ok(sent) => {
                let request_id = Some(request_id(name, row.line));
                post_row(tx, app, &Caller { request_id, ..Caller::default() }, sent).await?
            }
            Err(refusal) => Outcome::Refused(refusal.clone()),
        });
    }
    Ok(outcomes)
}

async fn post_row(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    sent: &Sent,
) -> Result<Outcome, ApiError> {
    let mut input = Cow::Borrowed(&sent.input);
    if let Some(external_id) = &sent.account {
        let account = tx.find_by(&ACCOUNTS, "external-id", external_id).await?;
        let position = PAYMENTS.relationship("account").expect("a payment has an account");
        input.to_mut().links.push((position, account.map(|account| account.key())));
    }
    let draft = Draft::of_create(&PAYMENTS, &input);
    let moment = app.moment();
    let posted = tx.attempt(async |tx| post_payment(tx, caller, &input, moment).await).await;
    match posted {
        Ok(payment) => Ok(Outcome::Posted(payment)),
        Err(ApiError::Refused(errors)) if errors == taken() => {
            let sent = draft.value("amount").and_then(Value::as_decimal);
            let stored = stored_payment(tx, &draft).await?;
            Ok(match stored {
                Some(stored) => Outcome::Taken { sent, stored },
                None => Outcome::Refused(joined(&errors)),
            })
        }
        Err(ApiError::Refused(errors)) => Ok(Outcome::Refused(joined(&errors))),
        Err(error) => Err(error),
    }
}

/// The payment that has the draft's external id already.
async fn stored_payment(tx: &mut Tx, draft: &Draft) -> Result<Option<Record>, StoreError> {
    let (Some(account), Some(external_id)) = (draft.link("account"), draft.value("external-id"))
    else {
        return Ok(None);
    };
    tx.find_within(&PAYMENTS, ("account", account), "external-id", external_id).await
}

/// What the API says where nothing is wrong but that the external id is taken.
fn taken() -> Vec<Error> {
    validation_errors(&PAYMENTS, &[Fault::on("external-id", "has already been taken")])
}

fn joined(errors: &[Error]) -> String {
    errors.iter().map(|error| error.detail.as_ref()).collect::<Vec<_>>().join("; ")
}

/// Where a row comes from, for journal and audit. A long name of a file is cut, never the line.
fn request_id(name: &str, line: usize) -> String {
    let (mut id, line) = ("import ".to_owned(), format!(" line {line}"));
    id.extend(name.chars().take(REQUEST_ID_CHARS_MAX - id.len() - line.len()));
    id + &line
}

/// What is said on standard error while an import runs. Nobody may be listening any more, which
/// is no reason to stop.
struct Console {
    line: Progress,
    printed: u64,
}

impl Console {
    fn new() -> Self {
        Self { line: Progress::start(), printed: 0 }
    }

    fn progress(&self, tally: &Tally) {
        let done = tally.posted + tally.there_already + tally.refused;
        self.line.show(format_args!("{done} rows"));
    }

    fn refused(&mut self, line: usize, refusal: &str) {
        if self.printed == PRINTED_MAX {
            return;
        }
        self.printed += 1;
        self.line.clear();
        // What was sent may hold line breaks, or what a terminal takes for a command.
        let refusal: String = refusal
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .take(PRINTED_CHARS_MAX)
            .collect();
        let _ = writeln!(io::stderr(), "line {line}: {refusal}");
    }

    fn finish(&self, refused: u64) {
        self.line.clear();
        let more = refused - self.printed;
        if more > 0 {
            let _ = writeln!(io::stderr(), "… and {more} more");
        }
    }
}
