//! Accounts: what they look like and what they must be.

mod resource;
mod rules;

pub use resource::ACCOUNTS;
pub use rules::{faults, faults_of_stored, is_muted, prepare, threshold_state, thresholds};
