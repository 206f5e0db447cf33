//! Databases to measure on, filled without HTTP.

use std::path::Path;

use anyhow::Context;
use jsonapi::{Id, Input, Record, RecordDocument, Value};
use store::{NewOperator, Store, StoreError, Tx};
use tollkeeper::accounts::ACCOUNTS;
use tollkeeper::api::API;
use tollkeeper::auth::Caller;
use tollkeeper::clock::{self, Moment};
use tollkeeper::contractors::CONTRACTORS;
use tollkeeper::error::ApiError;
use tollkeeper::payments::{PAYMENTS, post_payment};
use uuid::Uuid;

use crate::scenarios;

/// Contractors that own the accounts.
const CONTRACTORS_COUNT: i64 = 100;
/// Records added in one operation.
const SLICE: u64 = 1_000;

/// The database in this directory.
pub fn open(directory: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(&format!("sqlite:{}", directory.join("bench.db").display()), API)?)
}

/// A fresh database with an operator and that many accounts.
pub async fn database(directory: &Path, accounts: u64) -> anyhow::Result<Store> {
    let store = open(directory)?;
    let operator = NewOperator {
        name: "bench".to_owned(),
        password_hash: String::new(),
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
    .await?;
    Ok(store)
}

/// Posts payments as requests do, but in process, spread over so many accounts.
pub async fn post_payments(store: &Store, payments: u64, accounts: u64) -> anyhow::Result<()> {
    let input = payment_input()?;
    in_slices(store, payments, async move |tx, number| {
        let account = i64::try_from(number % accounts).unwrap_or_default() + 1;
        let input = Input { links: vec![(0, Some(account))], ..input.clone() };
        let moment = Moment { now: clock::system(), uuid: Uuid::nil() };
        post_payment(tx, &Caller::default(), input, moment).await?;
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
                for number in slice {
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
