//! When a balance will be at its floor, if the account goes on spending as it did.

use decimal::Decimal;
use jiff::{SignedDuration, Timestamp};

/// Entries that a pace is taken from at most.
pub const ENTRIES_MAX: usize = 10_000;
const MICROS_PER_HOUR: u64 = 3_600_000_000;
/// A raised forecast is cleared by more than this many tenths of its hours.
const CLEARED_AT_TENTHS: u128 = 11;

/// What was spent within the last hours, read entry by entry, the newest first.
#[derive(Clone, Copy, Debug)]
pub struct Spending {
    now: Timestamp,
    since: Timestamp,
    entries: usize,
    spent_units: u128,
    oldest: Timestamp,
    is_cut: bool,
}

impl Spending {
    /// Nothing yet of so many hours, of which there are at most some hundreds.
    #[must_use]
    pub fn within(hours: i64, now: Timestamp) -> Self {
        let since = now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN);
        Self { now, since, entries: 0, spent_units: 0, oldest: now, is_cut: false }
    }

    /// Takes the next older entry; says whether those before it matter, too. No more than
    /// [`ENTRIES_MAX`] do.
    pub fn add(&mut self, at: Timestamp, amount: Decimal) -> bool {
        if at < self.since {
            return false;
        }
        if self.entries == ENTRIES_MAX {
            self.is_cut = true;
            return false;
        }
        self.entries += 1;
        self.oldest = at;
        if amount < Decimal::ZERO {
            self.spent_units = self.spent_units.saturating_add(amount.units().unsigned_abs());
        }
        true
    }

    /// The pace: that of all the hours, or where not all entries were taken, that of the time
    /// which those cover.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let from = if self.is_cut { self.oldest } else { self.since };
        let micros = self.now.as_microsecond() - from.as_microsecond();
        let over_micros = u64::try_from(micros).unwrap_or_default().max(1);
        // So many units that twice as many are still a number; no money comes near.
        Pace { spent_units: self.spent_units.min(u128::MAX / 2), over_micros }
    }
}

/// How fast an account spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    spent_units: u128,
    over_micros: u64,
}

impl Pace {
    /// Money spent in an hour, rounded down.
    #[must_use]
    pub fn per_hour(self) -> Decimal {
        decimal(mul_div(self.spent_units, MICROS_PER_HOUR, u128::from(self.over_micros)))
    }

    /// When the balance is at the floor if it goes on like this: never, where nothing is spent.
    #[must_use]
    pub fn time_left(self, balance: Decimal, min_balance: Decimal) -> TimeLeft {
        if balance <= min_balance {
            return TimeLeft(Some(0));
        }
        let room_units = balance.units().abs_diff(min_balance.units());
        let is_spending = self.spent_units > 0;
        TimeLeft(is_spending.then(|| mul_div(room_units, self.over_micros, self.spent_units)))
    }
}

/// Time until a balance is at the floor, in microseconds, rounded down; `None` is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLeft(Option<u128>);

impl TimeLeft {
    /// The time in hours, rounded down.
    #[must_use]
    pub fn hours(self) -> Option<Decimal> {
        let units_per_hour = Decimal::from_int(1).units().unsigned_abs();
        let units_per_hour = u64::try_from(units_per_hour).unwrap_or(u64::MAX);
        self.0.map(|micros| decimal(mul_div(micros, units_per_hour, MICROS_PER_HOUR.into())))
    }

    /// Whether a forecast of so many hours is raised from here on: by less time than that; and it
    /// stays so until there is a tenth more.
    #[must_use]
    pub fn is_raised(self, was_raised: bool, within_hours: i64) -> bool {
        let within_micros = u128::from(within_hours.unsigned_abs()) * u128::from(MICROS_PER_HOUR);
        self.0.is_some_and(|micros| {
            let holds = was_raised && micros <= within_micros * CLEARED_AT_TENTHS / 10;
            holds || micros < within_micros
        })
    }
}

/// So many units of money or time as a decimal; the highest where they are more.
fn decimal(units: u128) -> Decimal {
    i128::try_from(units).ok().and_then(Decimal::from_units).unwrap_or(Decimal::MAX)
}

/// `a * b / divisor`, rounded down, however large the product is in between; the highest number
/// where the result is larger. The divisor is not 0, and below 2¹²⁷.
fn mul_div(a: u128, b: u64, divisor: u128) -> u128 {
    let (whole, part) = (a / divisor, a % divisor);
    let (mut quotient, mut rest) = (0_u128, 0_u128);
    // Long multiplication, bit by bit of `b`: what is over is always below the divisor.
    for bit in (0..u64::BITS).rev() {
        quotient = quotient.saturating_mul(2);
        rest *= 2;
        if b >> bit & 1 == 1 {
            quotient = quotient.saturating_add(whole);
            quotient = quotient.saturating_add(rest / divisor);
            rest = rest % divisor + part;
        }
        quotient = quotient.saturating_add(rest / divisor);
        rest %= divisor;
    }
    quotient
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The pace of entries, the newest first, over so many hours before noon.
    fn pace(hours: i64, entries: &[(&str, &str)]) -> Pace {
        let mut spending = Spending::within(hours, time("2026-01-02T12:00:00Z"));
        for (at, amount) in entries {
            if !spending.add(time(&format!("2026-01-02T{at}Z")), number(amount)) {
                break;
            }
        }
        spending.pace()
    }

    #[test]
    fn the_pace_is_what_was_spent_in_the_hours() {
        let entries =
            [("11:00:00", "-30"), ("10:30:00", "500"), ("10:00:00", "-10"), ("09:59:59", "-1000")];
        let pace = pace(2, &entries);
        assert_eq!(pace.per_hour(), number("20"));
        let left = |balance, floor| pace.time_left(number(balance), number(floor));
        assert_eq!(left("100", "0").hours(), Some(number("5")));
        assert_eq!(left("-50", "-100").hours(), Some(number("2.5")));
        assert_eq!(left("0", "0").hours(), Some(number("0")));
        assert_eq!(left("-1", "0").hours(), Some(number("0")));
        assert_eq!(left("1e26", "-1e26").hours(), Some(number("1e25")));
    }

    #[test]
    fn who_spends_nothing_never_arrives() {
        let pace = pace(24, &[("11:00:00", "30")]);
        assert_eq!(pace.per_hour(), Decimal::ZERO);
        let left = pace.time_left(number("0.000000000001"), Decimal::ZERO);
        assert_eq!((left.hours(), left.is_raised(true, 720)), (None, false));
        assert!(pace.time_left(Decimal::ZERO, Decimal::ZERO).is_raised(false, 1));
    }

    #[test]
    fn of_too_many_entries_the_newest_count_for_the_time_that_they_cover() {
        let now = time("2026-01-02T12:00:00Z");
        let mut spending = Spending::within(24, now);
        let mut taken = 0;
        while spending.add(now - SignedDuration::from_secs(taken), number("-1")) {
            taken += 1;
        }
        assert_eq!(taken, 10_000);
        let over = SignedDuration::from_secs(9_999);
        let per_hour =
            mul_div(10_000 * 10_u128.pow(12), 3_600, over.as_secs().unsigned_abs().into());
        assert_eq!(spending.pace().per_hour().units().unsigned_abs(), per_hour);
        let mut at_once = Spending::within(1, now);
        while at_once.add(now, Decimal::MIN) {}
        assert_eq!(at_once.pace().per_hour(), Decimal::MAX);
    }

    #[test]
    fn a_forecast_is_raised_by_less_time_and_cleared_by_a_tenth_more() {
        // 20 an hour.
        let pace = pace(1, &[("11:30:00", "-20")]);
        let raised =
            |was, balance| pace.time_left(number(balance), Decimal::ZERO).is_raised(was, 10);
        assert!(!raised(false, "200"));
        assert!(raised(false, "199.99"));
        assert!(raised(true, "200"));
        assert!(raised(true, "220"));
        assert!(!raised(true, "220.01"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn long_division_is_division(a in any::<u64>(), b in any::<u64>(), divisor in 1..u128::from(u64::MAX)) {
            let product = u128::from(a) * u128::from(b);
            prop_assert_eq!(mul_div(a.into(), b, divisor), product / divisor);
        }

        #[test]
        fn wide_products_divide_back(a in 0..u128::MAX / 2, b in 1..u64::MAX) {
            prop_assert_eq!(mul_div(a, b, b.into()), a);
            prop_assert_eq!(mul_div(a, b, 1), a.saturating_mul(b.into()));
        }
    }
}
