//! What the product promises of its speed, as ratios of one run, and whether this run keeps it.

use std::fmt;

use crate::figures::{Journal, Measurement, Report};
use crate::scenarios::{CONSTANT, HOT_PAYMENTS, SPREAD_PAYMENTS};

/// Connections that the goals are set for.
const CONNECTIONS: usize = 64;

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A goal and the figure of this run, in the round that did worst.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is measured, and in which unit.
    pub what: &'static str,
    /// The figure.
    pub figure: f64,
    bound: Bound,
}

impl Outcome {
    /// Whether the goal is reached.
    pub fn met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.figure >= bound,
            Bound::AtMost(bound) => self.figure <= bound,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => ('≥', bound),
            Bound::AtMost(bound) => ('≤', bound),
        };
        let verdict = if self.met() { "met" } else { "missed" };
        let digits = if bound < 10.0 { 2 } else { 0 };
        let (what, figure) = (self.what, self.figure);
        write!(f, "goal  {what:<58} {figure:>9.digits$} {sign} {bound:.digits$}  {verdict}")
    }
}

/// A goal of a scenario: its figure may compare it with other measurements of the report.
struct Goal {
    what: &'static str,
    scenario: &'static str,
    bound: Bound,
    figure: fn(&Report, &Measurement) -> f64,
}

const GOALS: [Goal; 7] = [
    Goal {
        what: "GET one ÷ A",
        scenario: "GET one",
        bound: Bound::AtLeast(0.4),
        figure: |report, one| report.to_other(one, CONSTANT),
    },
    Goal {
        what: "list page of 50 ÷ A",
        scenario: "list page of 50",
        bound: Bound::AtLeast(0.1),
        figure: |report, list| report.to_other(list, CONSTANT),
    },
    Goal {
        what: "list page of 50, p50 ÷ p50 in the smallest database",
        scenario: "list page of 50",
        bound: Bound::AtMost(1.3),
        figure: |report, list| {
            let smallest = report.like(list).min_by_key(|other| other.accounts);
            let smallest = smallest.map_or(list.p50_micros, |other| other.p50_micros);
            f64::from(list.p50_micros) / f64::from(smallest)
        },
    },
    Goal {
        what: "POST create ÷ G",
        scenario: "POST create",
        bound: Bound::AtLeast(0.5),
        figure: |report, create| report.to_insert_limit(create),
    },
    Goal {
        what: "POST create, p99 in ms",
        scenario: "POST create",
        bound: Bound::AtMost(25.0),
        figure: |_, create| f64::from(create.p99_micros) / 1000.0,
    },
    Goal {
        what: "POST payment, 10k accounts ÷ G",
        scenario: SPREAD_PAYMENTS,
        bound: Bound::AtLeast(0.4),
        figure: |report, payment| report.to_insert_limit(payment),
    },
    Goal {
        what: "POST payment, one account ÷ 10k accounts",
        scenario: HOT_PAYMENTS,
        bound: Bound::AtLeast(0.8),
        figure: |report, payment| report.to_other(payment, SPREAD_PAYMENTS),
    },
];

/// Every goal that this run has the figures for.
pub fn outcomes(report: &Report) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = GOALS.iter().filter_map(|goal| goal.outcome(report)).collect();
    if let Some(Journal { verified_per_sec, statement, .. }) = report.journal {
        outcomes.push(Outcome {
            what: "verify, entries a second",
            figure: verified_per_sec,
            bound: Bound::AtLeast(300_000.0),
        });
        outcomes.push(Outcome {
            what: "statement of 10k entries, first bytes ÷ whole time",
            figure: statement.first_bytes.as_secs_f64() / statement.whole.as_secs_f64(),
            bound: Bound::AtMost(0.5),
        });
    }
    outcomes
}

impl Goal {
    fn outcome(&self, report: &Report) -> Option<Outcome> {
        let measured = report.measurements.iter().filter(|measurement| {
            measurement.scenario.name == self.scenario && measurement.connections == CONNECTIONS
        });
        let figures = measured.map(|measurement| (self.figure)(report, measurement));
        let figures = figures.filter(|figure| !figure.is_nan());
        let worst = match self.bound {
            Bound::AtLeast(_) => figures.reduce(f64::min),
            Bound::AtMost(_) => figures.reduce(f64::max),
        };
        worst.map(|figure| Outcome { what: self.what, figure, bound: self.bound })
    }
}
