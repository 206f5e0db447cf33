//! Balance alerts: any number of thresholds and forecasts for an account. Its two thresholds of the
//! reference are such alerts, too: they mirror the account's attributes.
//!
//! What is written here is written while the account is locked: by whoever moves its balance,
//! changes it, or changes an alert.

mod look;
mod mirror;
mod operations;
mod resource;
mod rules;

pub use look::{Outlook, announce, look, turned};
pub use mirror::{Tally, mirror};
pub use operations::{change, create, remove};
pub use resource::BALANCE_ALERTS;
pub use rules::{is_forecast, is_own, is_raised};
