//! A balance drawn between its floor and its ceiling, with the thresholds as ticks.
//!
//! Where something is on the drawing is a share of its width in thousandths, from exact decimals.

use std::fmt::Write as _;

use billing::limits::{LimitState, Limits};
use decimal::Decimal;
use serde_json::Value as Json;

use super::cells::grouped;

/// Thousandths of the width.
const WHOLE: i128 = 1000;

/// A drawing. All numbers are thousandths of the width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Where 0 is, if it is within.
    pub zero: Option<i128>,
    /// Where the coloured part begins.
    pub from: i128,
    /// How wide it is; never nothing.
    pub width: i128,
    /// Where the balance is.
    pub at: i128,
    /// Thresholds.
    pub ticks: Vec<i128>,
    /// How it stands: a word of the style sheet.
    pub class: &'static str,
    /// The same as a sign, for those who do not see colours.
    pub sign: &'static str,
    /// All of it in words.
    pub words: String,
}

impl Bar {
    /// The drawing of an account, as the API tells it.
    #[must_use]
    pub fn of(attributes: &Json) -> Self {
        let decimal =
            |name: &str| attributes[name].as_str().and_then(|text| Decimal::parse(text).ok());
        let or_zero = |name| decimal(name).unwrap_or(Decimal::ZERO);
        let (balance, floor) = (or_zero("balance"), or_zero("min-balance"));
        let ceiling = or_zero("max-balance");
        let (low, high) = (decimal("balance-low-threshold"), decimal("balance-high-threshold"));
        let scale = Scale { floor, span: ceiling.units() - floor.units() };
        let at = scale.place(balance);
        let is_zero_inside = floor < Decimal::ZERO && Decimal::ZERO < ceiling;
        let zero = is_zero_inside.then(|| scale.place(Decimal::ZERO));
        // What there is, or what is owed: from 0 where it is within, else from the floor.
        let origin = zero.unwrap_or_default();
        let (class, sign) = standing(balance, floor, ceiling, low, high);
        let shown = |decimal: Decimal| grouped(&decimal.to_string());
        let (here, least, most) = (shown(balance), shown(floor), shown(ceiling));
        let mut words = format!("Balance {here} between {least} and {most}");
        for (name, threshold) in [("low", low), ("high", high)] {
            if let Some(threshold) = threshold {
                // Whatever is written to a string is written.
                let _ = write!(words, ", {name} threshold {}", shown(threshold));
            }
        }
        let _ = write!(words, ": {}.", class.replace('-', " "));
        Self {
            zero,
            from: origin.min(at),
            width: (origin - at).abs().max(WHOLE / 125),
            at,
            ticks: [low, high]
                .into_iter()
                .flatten()
                .map(|threshold| scale.place(threshold))
                .collect(),
            class,
            sign,
            words,
        }
    }
}

struct Scale {
    floor: Decimal,
    span: i128,
}

impl Scale {
    /// Where a value is, within the drawing.
    fn place(&self, value: Decimal) -> i128 {
        let above = value.units() - self.floor.units();
        if self.span <= 0 {
            return if above > 0 { WHOLE } else { 0 };
        }
        // The range of decimals leaves no room for a factor of a thousand: the span gets smaller.
        let (mut above, mut span) = (above.clamp(0, self.span), self.span);
        while span > i128::MAX / WHOLE / 2 {
            (above, span) = (above / 2, span / 2);
        }
        above * WHOLE / span
    }
}

/// How a balance stands, in a word and in a sign of its own shape.
fn standing(
    balance: Decimal,
    floor: Decimal,
    ceiling: Decimal,
    low: Option<Decimal>,
    high: Option<Decimal>,
) -> (&'static str, &'static str) {
    let state = Limits { floor, ceiling }.state(balance);
    match state {
        Some(LimitState::Blocked) => ("at-the-floor", "■"),
        _ if low.is_some_and(|low| balance < low) => ("below-threshold", "▼"),
        Some(LimitState::AtCeiling) => ("at-the-ceiling", "◆"),
        _ if high.is_some_and(|high| balance > high) => ("above-threshold", "▲"),
        _ => ("within", "●"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bar(balance: &str, floor: &str, ceiling: &str) -> Bar {
        Bar::of(&json!({"balance": balance, "min-balance": floor, "max-balance": ceiling,
            "balance-low-threshold": "-50.0", "balance-high-threshold": null}))
    }

    #[test]
    fn a_balance_is_drawn_to_scale() {
        let drawn = bar("50", "-100", "100");
        assert_eq!((drawn.zero, drawn.from, drawn.width, drawn.at), (Some(500), 500, 250, 750));
        assert_eq!((drawn.ticks, drawn.class), (vec![250], "within"));
        let owed = bar("-75", "-100", "100");
        assert_eq!((owed.from, owed.width, owed.class), (125, 375, "below-threshold"));
        assert_eq!(bar("-500", "-100", "100").at, 0);
        assert_eq!(bar("500", "-100", "100").at, 1000);
    }

    #[test]
    fn the_ends_of_all_money_can_be_drawn() {
        let most = "99999999999999999999999999.999999999999";
        let drawn = bar("0", &format!("-{most}"), most);
        assert_eq!(drawn.at, 500);
        assert_eq!(bar("0", "0", "0").class, "at-the-floor");
    }
}
