//! Where an account's balance is between its limits. The definition of accounts names this rule, so
//! the rule is given the definition.

use billing::limits::{LimitState, Limits};
use jsonapi::{Record, Resource, Value};

/// Where an account's balance is between its limits.
#[must_use]
pub fn limit_state(accounts: &Resource, account: &Record) -> Option<LimitState> {
    let limit = |name| accounts.value(account, name).as_decimal().unwrap_or_default();
    let limits = Limits { floor: limit("min-balance"), ceiling: limit("max-balance") };
    limits.state(limit("balance"))
}

/// Sets where an account's balance is between its limits, for lists to be filtered by.
pub(super) fn judge_limits(accounts: &Resource, account: &mut Record) {
    let state = limit_state(accounts, account).map(LimitState::name);
    accounts.set(account, "limit-state", state.map_or(Value::Null, Value::text));
}
