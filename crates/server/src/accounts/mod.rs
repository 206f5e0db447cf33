//! Accounts: what they look like and what they must be.

mod limits;
mod older;
mod resource;
mod rules;

pub use limits::limit_state;
pub use older::{JUDGED, judge_older};
pub use resource::ACCOUNTS;
pub use rules::{faults, faults_of_stored, is_muted, prepare, threshold_state, thresholds};
