//! The only place that reads the clock of the machine.

use jiff::Timestamp;
use uuid::Uuid;

/// The time and the randomness of one operation: arguments, so that rules stay pure.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// A fresh time-based uuid (version 1).
    pub uuid: Uuid,
}

/// A source of the time.
pub type Clock = fn() -> Timestamp;

/// The machine's own time, cut to the microseconds that the database keeps.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "here the time enters; elsewhere it is an argument")]
pub fn system() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
