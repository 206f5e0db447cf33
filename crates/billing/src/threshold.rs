//! When an account's balance has crossed a threshold that somebody wants to hear of (contract,
//! resources 20). The reference looks once a minute; [`pass`] is that look as a pure step, to be
//! taken whenever the balance or a threshold changes.

use decimal::Decimal;

/// Which threshold the account is beyond, as far as has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ThresholdState {
    /// Neither.
    #[default]
    None,
    /// The low one, until the balance is above it.
    Low,
    /// The high one, until the balance is below it.
    High,
}

/// The balances at which somebody is told. Neither need be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// Reached by a balance below it.
    pub low: Option<Decimal>,
    /// Reached by a balance above it.
    pub high: Option<Decimal>,
}

/// What is told: a row of the log and an event (contract, resources 20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crossing {
    /// The balance is above the low threshold again, or that threshold is gone.
    LowCleared,
    /// The balance is below the high threshold again, or that threshold is gone.
    HighCleared,
    /// The balance is below the low threshold.
    LowReached,
    /// The balance is above the high threshold.
    HighReached,
}

/// What one look at a balance finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The threshold that the account is no longer beyond; told first.
    pub cleared: Option<Crossing>,
    /// The threshold that it is beyond now.
    pub fired: Option<Crossing>,
    /// The state from here on.
    pub state: ThresholdState,
}

impl ThresholdState {
    /// The state with this id, 0 to 2.
    #[must_use]
    pub const fn from_id(id: i64) -> Option<ThresholdState> {
        match id {
            0 => Some(ThresholdState::None),
            1 => Some(ThresholdState::Low),
            2 => Some(ThresholdState::High),
            _ => None,
        }
    }

    /// The state's id, 0 to 2.
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            ThresholdState::None => 0,
            ThresholdState::Low => 1,
            ThresholdState::High => 2,
        }
    }

    const fn clearing(self) -> Option<Crossing> {
        match self {
            ThresholdState::None => None,
            ThresholdState::Low => Some(Crossing::LowCleared),
            ThresholdState::High => Some(Crossing::HighCleared),
        }
    }

    const fn reaching(self) -> Option<Crossing> {
        match self {
            ThresholdState::None => None,
            ThresholdState::Low => Some(Crossing::LowReached),
            ThresholdState::High => Some(Crossing::HighReached),
        }
    }
}

impl Thresholds {
    /// The threshold that a balance reaches, strictly; the low one first.
    fn reached(self, balance: Decimal) -> ThresholdState {
        if self.low.is_some_and(|low| balance < low) {
            ThresholdState::Low
        } else if self.high.is_some_and(|high| balance > high) {
            ThresholdState::High
        } else {
            ThresholdState::None
        }
    }

    /// Whether a balance keeps the account beyond the threshold of `state`. A balance on the
    /// threshold does, although it would not have brought the account there.
    fn hold(self, state: ThresholdState, balance: Decimal) -> bool {
        match state {
            ThresholdState::None => false,
            ThresholdState::Low => self.low.is_some_and(|low| balance <= low),
            ThresholdState::High => self.high.is_some_and(|high| balance >= high),
        }
    }
}

impl Crossing {
    /// The event id in the log, 1 to 4.
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            Crossing::LowCleared => 1,
            Crossing::HighCleared => 2,
            Crossing::LowReached => 3,
            Crossing::HighReached => 4,
        }
    }

    /// The event's name as the reference spells it, without an "r".
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Crossing::LowCleared => "AccountLowThesholdCleared",
            Crossing::HighCleared => "AccountHighThesholdCleared",
            Crossing::LowReached => "AccountLowThesholdReached",
            Crossing::HighReached => "AccountHighThesholdReached",
        }
    }

    /// The event's name spelled right, for those who ask for it by that.
    #[must_use]
    pub const fn event_type_alias(self) -> &'static str {
        match self {
            Crossing::LowCleared => "AccountLowThresholdCleared",
            Crossing::HighCleared => "AccountHighThresholdCleared",
            Crossing::LowReached => "AccountLowThresholdReached",
            Crossing::HighReached => "AccountHighThresholdReached",
        }
    }
}

impl Pass {
    /// What is to be told, in order: at most one clear, then at most one fire.
    pub fn crossings(self) -> impl Iterator<Item = Crossing> {
        self.cleared.into_iter().chain(self.fired)
    }
}

/// Looks at a balance once. Looking again finds nothing more, so a state is what the thresholds and
/// the balance make of it exactly when there are no [`Pass::crossings`].
#[must_use]
pub fn pass(state: ThresholdState, thresholds: Thresholds, balance: Decimal) -> Pass {
    if thresholds.hold(state, balance) {
        return Pass { cleared: None, fired: None, state };
    }
    let reached = thresholds.reached(balance);
    Pass { cleared: state.clearing(), fired: reached.reaching(), state: reached }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use Crossing::{HighCleared, HighReached, LowCleared, LowReached};
    use ThresholdState::{High, Low, None as Neither};

    const STATES: [ThresholdState; 3] = [Neither, Low, High];
    const CROSSINGS: [Crossing; 4] = [LowCleared, HighCleared, LowReached, HighReached];

    fn between(low: impl Into<Option<i64>>, high: impl Into<Option<i64>>) -> Thresholds {
        let bound = |whole: Option<i64>| whole.map(Decimal::from_int);
        Thresholds { low: bound(low.into()), high: bound(high.into()) }
    }

    #[track_caller]
    fn finds(
        (state, thresholds, balance): (ThresholdState, Thresholds, &str),
        crossings: &[Crossing],
        next: ThresholdState,
    ) {
        let pass = pass(state, thresholds, balance.parse().unwrap());
        assert_eq!(
            (pass.crossings().collect::<Vec<_>>().as_slice(), pass.state),
            (crossings, next)
        );
    }

    #[test]
    fn a_balance_beyond_a_threshold_is_told_once() {
        finds((Neither, between(10, 90), "9.999999999999"), &[LowReached], Low);
        finds((Neither, between(10, 90), "90.000000000001"), &[HighReached], High);
        finds((Low, between(10, 90), "-5"), &[], Low);
        finds((High, between(10, 90), "500"), &[], High);
    }

    #[test]
    fn a_balance_on_a_threshold_neither_fires_nor_clears() {
        for (state, balance) in [(Neither, "10"), (Low, "10"), (Neither, "90"), (High, "90")] {
            finds((state, between(10, 90), balance), &[], state);
        }
    }

    #[test]
    fn a_balance_back_between_the_thresholds_clears() {
        finds((Low, between(10, 90), "10.000000000001"), &[LowCleared], Neither);
        finds((High, between(10, 90), "89.999999999999"), &[HighCleared], Neither);
        finds((Neither, between(10, 90), "50"), &[], Neither);
    }

    #[test]
    fn a_balance_on_the_other_threshold_clears_and_does_not_fire() {
        finds((Low, between(10, 90), "90"), &[LowCleared], Neither);
        finds((High, between(10, 90), "10"), &[HighCleared], Neither);
    }

    #[test]
    fn from_one_threshold_to_the_other_is_a_clear_and_then_a_fire() {
        finds((Low, between(10, 90), "91"), &[LowCleared, HighReached], High);
        finds((High, between(10, 90), "9"), &[HighCleared, LowReached], Low);
    }

    #[test]
    fn a_threshold_that_is_gone_clears_its_state_only() {
        for balance in ["5", "50"] {
            finds((Low, between(None, 90), balance), &[LowCleared], Neither);
            finds((Low, between(10, None), "5"), &[], Low);
        }
        for balance in ["95", "50"] {
            finds((High, between(10, None), balance), &[HighCleared], Neither);
            finds((High, between(None, 90), "95"), &[], High);
        }
        finds((Low, between(None, 90), "95"), &[LowCleared, HighReached], High);
        finds((High, between(10, None), "5"), &[HighCleared, LowReached], Low);
        finds((Neither, between(None, None), "0"), &[], Neither);
    }

    #[test]
    fn a_moved_threshold_counts_with_its_new_number() {
        finds((Low, between(4, 90), "5"), &[LowCleared], Neither);
        finds((Low, between(20, 90), "5"), &[], Low);
        finds((Low, between(5, 90), "5"), &[], Low);
        finds((Low, between(1, 4), "5"), &[LowCleared, HighReached], High);
        finds((Neither, between(20, 90), "15"), &[LowReached], Low);
    }

    #[test]
    fn the_low_threshold_goes_first_where_both_are_reached() {
        finds((Neither, between(90, 10), "50"), &[LowReached], Low);
    }

    /// Contract, resources 29, check 9, as one account lives through it.
    #[test]
    fn acceptance_check_9() {
        let mut state = Neither;
        let mut told = |balance: &str| {
            let pass = pass(state, between(10, 90), balance.parse().unwrap());
            state = pass.state;
            pass.crossings().map(Crossing::id).collect::<Vec<_>>()
        };
        assert_eq!(told("10"), [0_i64; 0], "balance = low does not fire");
        assert_eq!(told("9"), [3], "below fires");
        assert_eq!(told("8"), [0_i64; 0], "once");
        assert_eq!(told("10"), [0_i64; 0], "back to = low does not clear");
        assert_eq!(told("11"), [1], "above clears");
        assert_eq!(told("9"), [3]);
        assert_eq!(told("91"), [1, 4], "low to high gives two log rows");
        assert_eq!(told("9"), [2, 3], "and so does high to low");
    }

    #[test]
    fn ids_and_names_are_the_contracts() {
        assert_eq!(STATES.map(ThresholdState::id), [0, 1, 2]);
        assert_eq!(STATES.map(|state| ThresholdState::from_id(state.id())), STATES.map(Some));
        for id in [i64::MIN, -1, 3, i64::MAX] {
            assert_eq!(ThresholdState::from_id(id), None);
        }
        assert_eq!(CROSSINGS.map(Crossing::id), [1, 2, 3, 4]);
        assert_eq!(
            CROSSINGS.map(Crossing::event_type),
            [
                "AccountLowThesholdCleared",
                "AccountHighThesholdCleared",
                "AccountLowThesholdReached",
                "AccountHighThesholdReached",
            ]
        );
        for crossing in CROSSINGS {
            let alias = crossing.event_type_alias();
            assert_eq!(alias.replace("Threshold", "Theshold"), crossing.event_type());
            assert!(alias.contains("Threshold"), "{alias}");
        }
    }

    /// The job of the contract word for word, to check the step against.
    fn word_for_word(state: ThresholdState, thresholds: Thresholds, balance: Decimal) -> Pass {
        let Thresholds { low, high } = thresholds;
        let low_reached = low.is_some() && balance < low.unwrap();
        let high_reached = high.is_some() && balance > high.unwrap();
        let picked = match state {
            Low => low.is_none() || balance > low.unwrap(),
            High => high.is_none() || balance < high.unwrap(),
            Neither => low_reached || high_reached,
        };
        let mut pass = Pass { cleared: None, fired: None, state };
        if !picked {
            return pass;
        }
        if state == Low && !low_reached {
            pass.cleared = Some(LowCleared);
        } else if state == High && !high_reached {
            pass.cleared = Some(HighCleared);
        }
        if state != Low && low_reached {
            pass.fired = Some(LowReached);
        } else if state != High && high_reached {
            pass.fired = Some(HighReached);
        }
        pass.state = match (low_reached, high_reached) {
            (true, _) => Low,
            (false, true) => High,
            (false, false) => Neither,
        };
        pass
    }

    /// Few numbers, so that they often meet; crossed thresholds too, which no account has.
    fn any_look() -> impl Strategy<Value = (ThresholdState, Thresholds, Decimal)> {
        let bound = || option::of(0_i64..6);
        let thresholds = (bound(), bound()).prop_map(|(low, high)| between(low, high));
        (prop::sample::select(&STATES), thresholds, (-1_i64..7).prop_map(Decimal::from_int))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn the_step_is_the_job_of_the_contract((state, thresholds, balance) in any_look()) {
            prop_assert_eq!(
                pass(state, thresholds, balance),
                word_for_word(state, thresholds, balance)
            );
        }

        #[test]
        fn looking_again_finds_nothing_more((state, thresholds, balance) in any_look()) {
            let state = pass(state, thresholds, balance).state;
            let again = pass(state, thresholds, balance);
            prop_assert_eq!(again, Pass { cleared: None, fired: None, state });
        }
    }
}
