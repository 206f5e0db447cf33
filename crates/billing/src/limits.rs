//! Where a balance is between the floor and the ceiling of its account, in one word that lists can
//! be filtered by; pure, to be asked whenever the balance or one of the limits changes.

use decimal::Decimal;

/// What part of the span between floor and ceiling is near to either: one in so many.
const NEAR: u128 = 10;

/// Where a balance is, unless there is nothing to say of it.
///
/// Limits are limits of calls alone (contract, resources 24): payments and transactions move a
/// balance beyond either. With a balance on the floor or below it, calls of the customer are
/// rejected; with one on the ceiling or above it, calls are not sent to the vendor. A balance can be
/// at both at once, and a new account is (floor, ceiling and balance are 0): it is called `Blocked`
/// then, the worse of the two. So with floor and ceiling alike, every balance is either `Blocked` or
/// `AtCeiling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitState {
    /// On the floor or below it: the customer's calls are rejected.
    Blocked,
    /// Above the floor by at most a tenth of the span.
    NearFloor,
    /// Below the ceiling by at most a tenth of the span.
    NearCeiling,
    /// On the ceiling or above it: the vendor gets no calls.
    AtCeiling,
}

impl LimitState {
    /// The names of all states.
    pub const NAMES: &'static [&'static str] =
        &["blocked", "near-floor", "near-ceiling", "at-ceiling"];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::NearFloor => "near-floor",
            Self::NearCeiling => "near-ceiling",
            Self::AtCeiling => "at-ceiling",
        }
    }
}

/// The limits of an account. The floor should not be above the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `min-balance`.
    pub floor: Decimal,
    /// `max-balance`.
    pub ceiling: Decimal,
}

impl Limits {
    /// Where a balance is; `None` where it is far from both.
    #[must_use]
    pub fn state(self, balance: Decimal) -> Option<LimitState> {
        let Self { floor, ceiling } = self;
        if balance <= floor {
            return Some(LimitState::Blocked);
        }
        if balance >= ceiling {
            return Some(LimitState::AtCeiling);
        }
        // Between the ends of all decimals lies more than a decimal can hold.
        let apart = |one: Decimal, other: Decimal| one.units().abs_diff(other.units());
        let near = apart(floor, ceiling) / NEAR;
        if apart(floor, balance) <= near {
            Some(LimitState::NearFloor)
        } else if apart(balance, ceiling) <= near {
            Some(LimitState::NearCeiling)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use LimitState::{AtCeiling, Blocked, NearCeiling, NearFloor};

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[track_caller]
    fn finds((floor, ceiling): (&str, &str), cases: &[(&str, Option<LimitState>)]) {
        let limits = Limits { floor: number(floor), ceiling: number(ceiling) };
        for (balance, state) in cases {
            assert_eq!(limits.state(number(balance)), *state, "{balance}");
        }
    }

    #[test]
    fn limits_reject_and_their_tenths_are_near() {
        finds(
            ("-100", "900"),
            &[
                ("-100.000000000001", Some(Blocked)),
                ("-100", Some(Blocked)),
                ("-99.999999999999", Some(NearFloor)),
                ("0", Some(NearFloor)),
                ("0.000000000001", None),
                ("799.999999999999", None),
                ("800", Some(NearCeiling)),
                ("899.999999999999", Some(NearCeiling)),
                ("900", Some(AtCeiling)),
                ("900.000000000001", Some(AtCeiling)),
            ],
        );
    }

    #[test]
    fn a_new_account_is_blocked() {
        finds(("0", "0"), &[("0", Some(Blocked))]);
    }

    #[test]
    fn between_limits_that_are_alike_there_is_nothing() {
        finds(
            ("5", "5"),
            &[
                ("4.999999999999", Some(Blocked)),
                ("5", Some(Blocked)),
                ("5.000000000001", Some(AtCeiling)),
            ],
        );
    }

    /// No account has such limits, unless it was stored before they were looked at.
    #[test]
    fn crossed_limits_leave_nothing_either() {
        finds(("9", "1"), &[("9", Some(Blocked)), ("5", Some(Blocked)), ("10", Some(AtCeiling))]);
    }

    #[test]
    fn a_span_without_tenths_has_nothing_near() {
        finds(
            ("0", "0.000000000009"),
            &[
                ("0", Some(Blocked)),
                ("0.000000000001", None),
                ("0.000000000008", None),
                ("0.000000000009", Some(AtCeiling)),
            ],
        );
    }

    #[test]
    fn the_longest_span_is_judged_like_any_other() {
        let (lowest, highest) = (Decimal::MIN.to_string(), Decimal::MAX.to_string());
        finds(
            (&lowest, &highest),
            &[
                (&lowest, Some(Blocked)),
                ("-80000000000000000000000000", Some(NearFloor)),
                ("-79999999999999999999999999.999999999999", None),
                ("0", None),
                ("79999999999999999999999999.999999999999", None),
                ("80000000000000000000000000", Some(NearCeiling)),
                (&highest, Some(AtCeiling)),
            ],
        );
        finds((&highest, &highest), &[(&lowest, Some(Blocked)), (&highest, Some(Blocked))]);
        finds((&lowest, &lowest), &[(&lowest, Some(Blocked)), (&highest, Some(AtCeiling))]);
    }

    #[test]
    fn states_have_the_names_that_are_listed() {
        let states = [Blocked, NearFloor, NearCeiling, AtCeiling];
        assert_eq!(states.map(LimitState::name).as_slice(), LimitState::NAMES);
    }

    /// Numbers of every size, the ends of the range, and few that often meet.
    fn any_decimal() -> impl Strategy<Value = Decimal> {
        let units = prop_oneof![
            -12_i128..13,
            any::<i64>().prop_map(i128::from),
            Decimal::MIN.units()..=Decimal::MAX.units(),
            Just(Decimal::MIN.units()),
            Just(Decimal::MAX.units()),
        ];
        units.prop_map(|units| Decimal::from_units(units).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn rises_with_the_balance(
            floor in any_decimal(),
            ceiling in any_decimal(),
            one in any_decimal(),
            other in any_decimal(),
        ) {
            let limits = Limits { floor, ceiling };
            let place = |balance| match limits.state(balance) {
                Some(Blocked) => 0,
                Some(NearFloor) => 1,
                None => 2,
                Some(NearCeiling) => 3,
                Some(AtCeiling) => 4,
            };
            prop_assert!(place(one.min(other)) <= place(one.max(other)));
        }

        #[test]
        fn calls_pass_exactly_between_the_limits(
            floor in any_decimal(),
            ceiling in any_decimal(),
            balance in any_decimal(),
        ) {
            let state = Limits { floor, ceiling }.state(balance);
            prop_assert_eq!(state == Some(Blocked), balance <= floor);
            prop_assert_eq!(state == Some(AtCeiling), balance >= ceiling && balance > floor);
        }

        #[test]
        fn seen_from_above_floor_and_ceiling_change_places(
            floor in any_decimal(),
            ceiling in any_decimal(),
            balance in any_decimal(),
        ) {
            let mirrored = Limits { floor: -ceiling, ceiling: -floor }.state(-balance);
            let expected = match (Limits { floor, ceiling }).state(balance) {
                Some(Blocked) if balance >= ceiling => Some(Blocked),
                Some(Blocked) => Some(AtCeiling),
                Some(NearFloor) => Some(NearCeiling),
                Some(NearCeiling) => Some(NearFloor),
                Some(AtCeiling) => Some(Blocked),
                None => None,
            };
            prop_assert_eq!(mirrored, expected);
        }
    }
}
