//! Judges the accounts of a database that is older than the states of limits.

use std::sync::Arc;

use store::{Needs, Snapshot, Store, StoreError, Target, Tx};
use tokio::task::JoinSet;

use super::resource::ACCOUNTS;
use crate::app::App;

/// The setting that tells that every account has been judged.
pub const JUDGED: &str = "limit-states";
/// Accounts that are looked at, and perhaps written, at once.
const SLICE: u32 = 1_000;

/// Finds out of each account where its balance is between its limits. Does so once for a database,
/// before anything else reads it; what an interrupted run has done is done.
///
/// # Errors
/// When a statement fails.
pub async fn judge_older(app: &Arc<App>) -> Result<(), StoreError> {
    if app.store.write(async |tx| tx.setting(JUDGED).await).await?.is_some() {
        return Ok(());
    }
    let (mut after, mut judged) = (0, 0);
    loop {
        let look =
            async move |snapshot: &Snapshot<'_>| snapshot.following(&ACCOUNTS, after, SLICE).await;
        let accounts = app.store.look(look).await?;
        let Some(last) = accounts.last() else { break };
        after = last.key();
        let mut writes = JoinSet::new();
        for account in accounts {
            let (app, id) = (Arc::clone(app), account.key());
            if ACCOUNTS.derived(account.clone()) == account {
                continue;
            }
            writes.spawn(async move { judge(&app.store, id).await });
        }
        judged += writes.len();
        while let Some(written) = writes.join_next().await {
            written.map_err(|error| StoreError::Unavailable(error.to_string()))??;
        }
    }
    if judged > 0 {
        tracing::info!(accounts = judged, "found out where balances are between their limits");
    }
    app.store
        .write(async |tx| tx.setting_or(JUDGED, || "judged".to_owned()).await.map(|_| ()))
        .await
}

/// Writes the account as it is: what follows from its values is found out on the way.
async fn judge(store: &Store, id: i64) -> Result<(), StoreError> {
    let target = Some(Target { resource: &ACCOUNTS, id });
    let operation = async move |tx: &mut Tx| match tx.find(&ACCOUNTS, id).await? {
        Some(account) => tx.update(&ACCOUNTS, &account, &account).await,
        None => Ok(()),
    };
    store.write_with(Needs { target, ..Needs::default() }, operation).await
}
