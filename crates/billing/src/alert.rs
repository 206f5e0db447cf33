//! Balance alerts: more than the two thresholds that an account has. What an alert must be, and
//! whether a balance raises or clears it; pure, to be asked whenever the balance, the floor or the
//! alert changes. What forecasts are raised by is in [`crate::forecast`].

use std::borrow::Cow;

use decimal::Decimal;

use crate::account::{Given, Refusal};

/// Highest percentage of a credit line.
const PERCENTAGE_MAX: Decimal = Decimal::from_int(1_000);
/// Units of a percentage in the whole.
const WHOLE: i128 = Decimal::HUNDRED.units();

/// When an alert is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// The balance is below its threshold.
    Low,
    /// The balance is above its threshold.
    High,
    /// The balance will soon be at the floor.
    Forecast,
}

impl AlertKind {
    /// The names of all kinds.
    pub const NAMES: &'static [&'static str] = &["low", "high", "forecast"];

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Low, Self::High, Self::Forecast].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
            Self::Forecast => "forecast",
        }
    }
}

/// The terms of an alert as it would be after a create or an update.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the attribute of that name")]
pub struct Terms {
    /// `None` where it is no kind at all.
    pub kind: Option<AlertKind>,
    pub value: Given<Decimal>,
    pub percentage: Given<Decimal>,
    pub hysteresis: Given<Decimal>,
    pub pace_hours: Given<i64>,
    pub within_hours: Given<i64>,
}

/// Every rule that the terms break beyond the form of each.
#[must_use]
pub fn refusals(terms: &Terms) -> Vec<Refusal> {
    let mut found = Vec::new();
    let mut refuse = |is_broken: bool, member, message| {
        if is_broken {
            found.push((member, Cow::Borrowed(message)));
        }
    };
    let (value, percentage) = (is_given(&terms.value), is_given(&terms.percentage));
    let hours = [("pace-hours", &terms.pace_hours), ("within-hours", &terms.within_hours)];
    match terms.kind {
        None => {}
        Some(AlertKind::Low | AlertKind::High) => {
            refuse(!value && !percentage, "value", "must be given, or percentage");
            refuse(value && percentage, "percentage", "must not be given beside value");
            for (member, hours) in hours {
                refuse(is_given(hours), member, "is for forecasts only");
            }
        }
        Some(AlertKind::Forecast) => {
            refuse(value, "value", "is not for forecasts");
            refuse(percentage, "percentage", "is not for forecasts");
            let is_zero = matches!(&terms.hysteresis, Ok(Some(width)) if *width == Decimal::ZERO);
            refuse(!is_zero && terms.hysteresis.is_ok(), "hysteresis", "must be 0 for forecasts");
            for (member, hours) in hours {
                refuse(!is_given(hours), member, "can't be blank");
            }
        }
    }
    let is_beyond = |term: &Given<Decimal>, beyond: fn(Decimal) -> bool| matches!(term, Ok(Some(number)) if beyond(*number));
    let is_negative = |number| number < Decimal::ZERO;
    let at_least_zero = "must be greater than or equal to 0";
    refuse(is_beyond(&terms.percentage, is_negative), "percentage", at_least_zero);
    let is_too_large = is_beyond(&terms.percentage, |number| number > PERCENTAGE_MAX);
    refuse(is_too_large, "percentage", "must be less than or equal to 1000");
    refuse(is_beyond(&terms.hysteresis, is_negative), "hysteresis", at_least_zero);
    found
}

/// Whether something was given, fit or not.
fn is_given<T>(term: &Given<T>) -> bool {
    !matches!(term, Ok(None))
}

/// Where the threshold of an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// At this balance.
    Value(Decimal),
    /// Where so many percent of the credit line are used.
    Percentage(Decimal),
}

impl Level {
    /// The threshold of an account with this floor. `None` without a credit line that it could be
    /// a part of. A part of the line is rounded towards zero, so that a low alert never comes too
    /// late; one out of range is the lowest decimal.
    #[must_use]
    pub fn threshold(self, min_balance: Decimal) -> Option<Decimal> {
        match self {
            Self::Value(value) => Some(value),
            Self::Percentage(_) if min_balance >= Decimal::ZERO => None,
            Self::Percentage(percentage) => {
                Some(part(min_balance, percentage).unwrap_or(Decimal::MIN))
            }
        }
    }
}

/// So many percent of an amount, rounded towards zero.
fn part(amount: Decimal, percentage: Decimal) -> Option<Decimal> {
    let (wholes, rest) = (amount.units() / WHOLE, amount.units() % WHOLE);
    let of_rest = rest * percentage.units() / WHOLE;
    let units = wholes.checked_mul(percentage.units())?.checked_add(of_rest)?;
    Decimal::from_units(units)
}

/// What raises and clears a low or high alert of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whether balances above the threshold raise it, rather than those below.
    pub is_high: bool,
    /// Without one it is never raised.
    pub threshold: Option<Decimal>,
    /// How far behind the threshold a balance must be to clear it, at least 0.
    pub hysteresis: Decimal,
}

impl Limit {
    /// Whether the alert is raised from here on. A balance on the threshold does not raise it, and
    /// one that is just the hysteresis behind does not clear it.
    #[must_use]
    pub fn is_raised(self, was_raised: bool, balance: Decimal) -> bool {
        let Some(threshold) = self.threshold else { return false };
        let width = if was_raised { self.hysteresis } else { Decimal::ZERO };
        match (self.is_high, was_raised) {
            (false, false) => balance < threshold,
            (false, true) => balance <= threshold.checked_add(width).unwrap_or(Decimal::MAX),
            (true, false) => balance > threshold,
            (true, true) => balance >= threshold.checked_sub(width).unwrap_or(Decimal::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use AlertKind::{Forecast, High, Low};

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn terms(kind: AlertKind) -> Terms {
        let hours = (kind == Forecast).then_some(24);
        Terms {
            kind: Some(kind),
            value: Ok((kind != Forecast).then(|| number("5"))),
            percentage: Ok(None),
            hysteresis: Ok(Some(Decimal::ZERO)),
            pace_hours: Ok(hours),
            within_hours: Ok(hours),
        }
    }

    #[track_caller]
    fn refuses(terms: &Terms, expected: &[&str]) {
        let found = refusals(terms);
        let told: Vec<_> = found.iter().map(|(name, why)| format!("{name} {why}")).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn kinds_have_the_names_that_are_listed() {
        let kinds: Vec<_> = AlertKind::NAMES.iter().filter_map(|n| AlertKind::named(n)).collect();
        assert_eq!(kinds, [Low, High, Forecast]);
        assert_eq!(AlertKind::named("middle"), None);
    }

    #[test]
    fn a_threshold_is_a_value_or_a_percentage() {
        for kind in [Low, High] {
            refuses(&terms(kind), &[]);
            let both = Terms { percentage: Ok(Some(number("80"))), ..terms(kind) };
            refuses(&both, &["percentage must not be given beside value"]);
            refuses(&Terms { value: Ok(None), ..both.clone() }, &[]);
            let neither = Terms { value: Ok(None), ..terms(kind) };
            refuses(&neither, &["value must be given, or percentage"]);
            let unfit = Terms { value: Err("is not a number".into()), ..terms(kind) };
            refuses(&unfit, &[]);
            let hours = Terms { pace_hours: Ok(Some(1)), within_hours: Ok(Some(1)), ..terms(kind) };
            let told = ["pace-hours is for forecasts only", "within-hours is for forecasts only"];
            refuses(&hours, &told);
        }
    }

    #[test]
    fn a_forecast_has_hours_and_no_threshold() {
        refuses(&terms(Forecast), &[]);
        let none = Terms { pace_hours: Ok(None), within_hours: Ok(None), ..terms(Forecast) };
        refuses(&none, &["pace-hours can't be blank", "within-hours can't be blank"]);
        let money = Ok(Some(number("1")));
        let level = Terms {
            value: money.clone(),
            percentage: money.clone(),
            hysteresis: money,
            ..terms(Forecast)
        };
        let told = [
            "value is not for forecasts",
            "percentage is not for forecasts",
            "hysteresis must be 0 for forecasts",
        ];
        refuses(&level, &told);
    }

    #[test]
    fn percentages_and_hystereses_have_bounds() {
        let with = |percentage, hysteresis| Terms {
            value: Ok(None),
            percentage: Ok(Some(number(percentage))),
            hysteresis: Ok(Some(number(hysteresis))),
            ..terms(Low)
        };
        refuses(&with("0", "0.000000000001"), &[]);
        refuses(&with("1000", "0"), &[]);
        refuses(
            &with("1000.000000000001", "0"),
            &["percentage must be less than or equal to 1000"],
        );
        let told = ["percentage", "hysteresis"]
            .map(|name| format!("{name} must be greater than or equal to 0"));
        refuses(&with("-0.1", "-0.1"), &told.each_ref().map(String::as_str));
        refuses(&Terms { kind: None, ..with("80", "0") }, &[]);
    }

    #[test]
    fn a_percentage_is_part_of_the_credit_line() {
        let threshold =
            |min, percentage| Level::Percentage(number(percentage)).threshold(number(min));
        assert_eq!(threshold("-100", "80"), Some(number("-80")));
        assert_eq!(threshold("-250.5", "12.5"), Some(number("-31.3125")));
        assert_eq!(threshold("-100", "0"), Some(number("0")));
        assert_eq!(threshold("-0.000000000003", "50"), Some(number("-0.000000000001")));
        assert_eq!(threshold("-100", "1000"), Some(number("-1000")));
        assert_eq!(threshold("-1e26", "100"), Some(Decimal::MIN));
        assert_eq!(threshold("-1e26", "1000"), Some(Decimal::MIN));
        assert_eq!(threshold("0", "80"), None);
        assert_eq!(threshold("100", "80"), None);
        assert_eq!(Level::Value(number("7")).threshold(number("0")), Some(number("7")));
    }

    #[test]
    fn a_limit_is_strict_and_clears_behind_its_hysteresis() {
        let low = Limit { is_high: false, threshold: Some(number("10")), hysteresis: number("2") };
        let high = Limit { is_high: true, ..low };
        for (limit, was, balance, is) in [
            (low, false, "10", false),
            (low, false, "9.999999999999", true),
            (low, true, "10", true),
            (low, true, "12", true),
            (low, true, "12.000000000001", false),
            (high, false, "10", false),
            (high, false, "10.000000000001", true),
            (high, true, "8", true),
            (high, true, "7.999999999999", false),
        ] {
            assert_eq!(limit.is_raised(was, number(balance)), is, "{limit:?} {was} {balance}");
        }
        let nowhere = Limit { threshold: None, ..low };
        assert!(!nowhere.is_raised(true, Decimal::MIN));
        let wide = Limit { hysteresis: Decimal::MAX, ..low };
        assert!(wide.is_raised(true, Decimal::MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn looking_again_changes_nothing(
            is_high: bool, was: bool, threshold in prop::option::of(0..9_i64), width in 0..4_i64,
            balance in -2..12_i64,
        ) {
            let threshold = threshold.map(Decimal::from_int);
            let limit = Limit { is_high, threshold, hysteresis: Decimal::from_int(width) };
            let balance = Decimal::from_int(balance);
            let is = limit.is_raised(was, balance);
            prop_assert_eq!(limit.is_raised(is, balance), is);
        }
    }
}
