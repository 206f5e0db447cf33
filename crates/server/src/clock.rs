//! The only place that reads the clock of the machine.

use jiff::Timestamp;

/// A source of the time.
pub type Clock = fn() -> Timestamp;

/// The machine's own time, cut to the microseconds that the database keeps.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "here the time enters; elsewhere it is an argument")]
pub fn system() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
