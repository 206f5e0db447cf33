//! Databases to measure on, filled without HTTP.

use anyhow::Context;
use jsonapi::{Id, Input, Record, RecordDocument, Value};
use store::{NewOperator, Store, StoreError, Tx};
use tollkeeper::accounts::ACCOUNTS;
use tollkeeper::api::API;
use tollkeeper::auth::{Caller, hash_password};
use tollkeeper::clock::{self, Moment};
use tollkeeper::contractors::CONTRACTORS;
use tollkeeper::error::ApiError;
use tollkeeper::payments::{PAYMENTS, post_payment};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::console;
use crate::database::Database;
use crate::scenarios;

/// Contractors that own the accounts.
const CONTRACTORS_COUNT: i64 = 100;
/// Records added in one operation.
const SLICE: u64 = 1_000;
/// Accounts copied in one statement.
const COPIES: u64 = 1_000_000;

/// Puts an operator and that many accounts into an empty database, with the ids from 1.
pub async fn fill(database: &Database<'_>, accounts: u64) -> anyhow::Result<()> {
    eprintln!("filling a database with {accounts} accounts …");
    let Some((cluster, name)) = database.on_cluster() else {
        return put(&database.url, accounts).await;
    };
    put(&database.url, accounts.min(1)).await?;
    copy(cluster, name, accounts).await
}

/// Puts them in as the server does.
async fn put(url: &str, accounts: u64) -> anyhow::Result<()> {
    let store = Store::open(url, API).await?;
    let operator = NewOperator {
        name: "bench".to_owned(),
        password_hash: hash_password(console::PASSWORD)?,
        allowed_ips: None,
        created_at: clock::system(),
    };
    let prepared: Result<(), StoreError> = store
        .write(async move |tx| {
            tx.insert_operator(&operator).await?;
            for number in 0..CONTRACTORS_COUNT {
                let mut values = CONTRACTORS.defaults();
                values[0] = Value::text(format!("contractor {number}"));
                for flag in ["enabled", "vendor", "customer"] {
                    values[CONTRACTORS.attribute(flag).unwrap_or_default()] = Value::Bool(true);
                }
                tx.insert(&CONTRACTORS, values, vec![None]).await?;
            }
            Ok(())
        })
        .await;
    prepared?;
    in_slices(&store, accounts, async |tx, number| {
        let Record { values, links, .. } = account(number);
        tx.insert(&ACCOUNTS, values, links).await?;
        Ok(())
    })
    .await
}

/// Copies the first account until there are so many: PostgreSQL itself is the quickest to do it.
/// Ends with what accounts in use have behind them: statistics, and pages known to be all visible.
/// Empty tables are left alone: what PostgreSQL knows to be empty, it reads without indexes.
async fn copy(cluster: &Cluster, name: &str, accounts: u64) -> anyhow::Result<()> {
    let attributes = ACCOUNTS.attributes.iter().map(|attribute| attribute.name.to_owned());
    let links = ACCOUNTS.relationships.iter().map(|link| format!("{}_id", link.name));
    let columns: Vec<String> = attributes.chain(links).map(|name| name.replace('-', "_")).collect();
    let values = columns.iter().map(|column| match column.as_str() {
        "name" => "'account ' || number - 1".to_owned(),
        "uuid" => "gen_random_uuid()".to_owned(),
        "external_id" => "number - 1".to_owned(),
        "contractor_id" => format!("(number - 1) % {CONTRACTORS_COUNT} + 1"),
        same => format!("first.{same}"),
    });
    let (values, columns) = (values.collect::<Vec<_>>().join(", "), columns.join(", "));
    let mut next = 2;
    while next <= accounts {
        let last = accounts.min(next + COPIES - 1);
        let insert = format!(
            "INSERT INTO accounts (id, {columns}) SELECT number, {values} \
             FROM accounts AS first, generate_series({next}, {last}) AS number WHERE first.id = 1"
        );
        cluster.execute(name, &insert).await?;
        next = last + 1;
    }
    let settle = format!(
        "SELECT setval('accounts_id_seq', {accounts}); \
         UPDATE totals SET total = {accounts} WHERE kind = 'accounts'; \
         VACUUM (ANALYZE) accounts, contractors; CHECKPOINT"
    );
    cluster.execute(name, &settle).await?;
    Ok(())
}

/// Posts payments as requests do, but in process, spread over so many accounts.
pub async fn post_payments(store: &Store, payments: u64, accounts: u64) -> anyhow::Result<()> {
    let input = payment_input()?;
    in_slices(store, payments, async move |tx, number| {
        let account = i64::try_from(number % accounts).unwrap_or_default() + 1;
        let input = Input { links: vec![(0, Some(account))], ..input.clone() };
        let moment = Moment { now: clock::system(), uuid: Uuid::nil() };
        post_payment(tx, &Caller::default(), &input, moment).await?;
        Ok(())
    })
    .await
}

fn payment_input() -> Result<Input, ApiError> {
    let document = RecordDocument::parse(scenarios::payment_body(1).as_bytes())?;
    Ok(document.create(&PAYMENTS, Vec::new())?)
}

/// Does the work for each number below `count`, a slice of them in one operation.
async fn in_slices<F>(store: &Store, count: u64, work: F) -> anyhow::Result<()>
where
    F: AsyncFn(&mut Tx, u64) -> Result<(), ApiError> + Clone + Send + 'static,
{
    let mut next = 0;
    while next < count {
        let slice = next..count.min(next + SLICE);
        next = slice.end;
        let work = work.clone();
        let done: Result<(), ApiError> = store
            .write(async move |tx: &mut Tx| {
                for number in slice.clone() {
                    work(tx, number).await?;
                }
                Ok(())
            })
            .await;
        done.context("the database cannot be filled")?;
    }
    Ok(())
}

fn account(number: u64) -> Record {
    let mut values = ACCOUNTS.defaults();
    let mut set = |name, value| values[ACCOUNTS.attribute(name).unwrap_or_default()] = value;
    set("name", Value::text(format!("account {number}")));
    set(
        "uuid",
        Value::Uuid(Uuid::from_u64_pair(number.wrapping_mul(0x9E37_79B9_7F4A_7C15), number)),
    );
    set("external-id", Value::Int(i64::try_from(number).unwrap_or_default()));
    set("origination-capacity", Value::Int(100));
    set("termination-capacity", Value::Int(110));
    let contractor = i64::try_from(number).unwrap_or_default() % CONTRACTORS_COUNT + 1;
    Record { id: Id::Int(0), values, links: vec![Some(contractor), None] }
}
