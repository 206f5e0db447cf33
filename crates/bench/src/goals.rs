//! What the product promises of its speed, as ratios of one run, and whether this run keeps it.

use std::fmt;

use crate::figures::{Deliveries, Journal, Limits, Measurement, Report};
use crate::scenarios::{CONSTANT, CREATE, GET_ONE, HOT_PAYMENTS, LIST, SPREAD_PAYMENTS};

/// Connections that most goals are set for.
const CONNECTIONS: usize = 64;
const MEGABYTES_OF_MEBIBYTE: f64 = 1.048_576;
/// What is made a second, less what the end of a measurement cuts off.
const EVENTS_PER_SEC: f64 = 990.0;
/// How many times as much two nodes are to do as one.
const TWO_NODES: f64 = 1.3;

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
    /// Why the figure proves nothing on this machine.
    pub hidden: Option<String>,
}

impl Outcome {
    fn new(what: &'static str, figure: f64, bound: Bound) -> Self {
        Self { what, figure, bound, hidden: None }
    }

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
        let verdict = match &self.hidden {
            Some(reason) if !self.met() => reason,
            _ if self.met() => "met",
            _ => "missed",
        };
        let digits = if bound < 10.0 { 2 } else { 0 };
        let (what, figure) = (self.what, self.figure);
        write!(f, "goal  {what:<58} {figure:>9.digits$} {sign} {bound:.digits$}  {verdict}")
    }
}

/// A goal of a scenario: its figure may compare it with other measurements of the report.
struct Goal {
    what: &'static str,
    scenario: &'static str,
    connections: usize,
    nodes: usize,
    bound: Bound,
    figure: fn(&Report, &Measurement) -> f64,
}

const SQLITE: [Goal; 7] = [
    Goal {
        figure: |report, one| report.to_other(one, CONSTANT),
        ..Goal::new("GET one ÷ A", GET_ONE, Bound::AtLeast(0.4))
    },
    Goal {
        figure: |report, list| report.to_other(list, CONSTANT),
        ..Goal::new("list page of 50 ÷ A", LIST, Bound::AtLeast(0.1))
    },
    FLAT_LISTS,
    Goal::new("POST create ÷ G", CREATE, Bound::AtLeast(0.5)),
    Goal {
        figure: |_, create| f64::from(create.p99_micros) / 1000.0,
        ..Goal::new("POST create, p99 in ms", CREATE, Bound::AtMost(25.0))
    },
    Goal::new("POST payment, 10k accounts ÷ G", SPREAD_PAYMENTS, Bound::AtLeast(0.4)),
    Goal {
        figure: |report, payment| report.to_other(payment, SPREAD_PAYMENTS),
        ..Goal::new("POST payment, one account ÷ 10k accounts", HOT_PAYMENTS, Bound::AtLeast(0.8))
    },
];

const POSTGRES: [Goal; 7] = [
    Goal::new("GET one, 64 connections ÷ P select", GET_ONE, GET_ONE_OF_P),
    Goal::new("POST create, 64 connections ÷ P insert", CREATE, CREATE_OF_P),
    Goal::new("POST payment, one account, 64 connections ÷ P hot", HOT_PAYMENTS, HOT_OF_P),
    FLAT_LISTS,
    Goal::two_nodes("two nodes ÷ one, GET one", GET_ONE),
    Goal::two_nodes("two nodes ÷ one, POST create", CREATE),
    Goal::two_nodes("two nodes ÷ one, POST payment, 10k accounts", SPREAD_PAYMENTS),
];

const GET_ONE_OF_P: Bound = Bound::AtLeast(0.5);
const CREATE_OF_P: Bound = Bound::AtLeast(0.7);
const HOT_OF_P: Bound = Bound::AtLeast(5.0);

/// Goals of scenarios that were measured in turns with P, at as many connections.
const TURNS: [(&str, &str, Bound); 3] = [
    ("GET one in turns with P select, 8 connections", GET_ONE, GET_ONE_OF_P),
    ("POST create in turns with P insert, 32 connections", CREATE, CREATE_OF_P),
    ("POST payment, one account, in turns with P hot, 32", HOT_PAYMENTS, HOT_OF_P),
];

const FLAT_LISTS: Goal = Goal {
    figure: |report, list| {
        let smallest = report.like(list).min_by_key(|other| other.accounts);
        let smallest = smallest.map_or(list.p50_micros, |other| other.p50_micros);
        f64::from(list.p50_micros) / f64::from(smallest)
    },
    ..Goal::new("list page of 50, p50 ÷ p50 in the smallest database", LIST, Bound::AtMost(1.3))
};

/// Every goal that this run has the figures for.
pub fn outcomes(report: &Report) -> Vec<Outcome> {
    let goals = match report.limits {
        Limits::Sqlite(_) => SQLITE.as_slice(),
        Limits::Postgres(_) => POSTGRES.as_slice(),
    };
    let mut outcomes: Vec<Outcome> = goals.iter().filter_map(|goal| goal.outcome(report)).collect();
    for (what, name, bound) in TURNS {
        let turns = report.turns.iter().filter(|turns| turns.scenario.name == name);
        let worst = turns.map(|turns| turns.ratio).min_by(f64::total_cmp);
        outcomes.extend(worst.map(|worst| Outcome::new(what, worst, bound)));
    }
    if let Some(Deliveries { per_sec, of_alone, .. }) = report.deliveries {
        let what = "webhook deliveries a second, beside payments";
        outcomes.push(Outcome::new(what, per_sec, Bound::AtLeast(EVENTS_PER_SEC)));
        let what = "payments beside them ÷ payments without";
        outcomes.push(Outcome::new(what, of_alone, Bound::AtLeast(0.9)));
    }
    let slowest = report.views.iter().map(|view| view.p95.as_secs_f64() * 1000.0);
    if let (Limits::Sqlite(_), Some(slowest)) = (&report.limits, slowest.max_by(f64::total_cmp)) {
        let what = "console's accounts, slowest view, p95 in ms";
        outcomes.push(Outcome::new(what, slowest, Bound::AtMost(50.0)));
    }
    match (&report.limits, report.journal) {
        (Limits::Sqlite(_), Some(Journal { verified_per_sec, statement, .. })) => {
            let verified = Bound::AtLeast(300_000.0);
            outcomes.push(Outcome::new("verify, entries a second", verified_per_sec, verified));
            let what = "statement of 10k entries, first bytes ÷ whole time";
            let figure = statement.first_bytes.as_secs_f64() / statement.whole.as_secs_f64();
            outcomes.push(Outcome::new(what, figure, Bound::AtMost(0.5)));
        }
        (Limits::Sqlite(_), None) => {}
        (Limits::Postgres(_), _) => {
            let most = report.peak_memory_mib.iter().map(|(_, mib)| *mib).max();
            let most = most.and_then(|mib| u32::try_from(mib).ok()).map(f64::from);
            let outcome = |mib| {
                let what = "most memory of a node, in MB";
                Outcome::new(what, mib * MEGABYTES_OF_MEBIBYTE, Bound::AtMost(150.0))
            };
            outcomes.extend(most.map(outcome));
        }
    }
    outcomes
}

impl Goal {
    /// The scenario's rate as a part of what the database can do by itself.
    const fn new(what: &'static str, scenario: &'static str, bound: Bound) -> Self {
        let figure: fn(&Report, &Measurement) -> f64 = Report::to_limit;
        Self { what, scenario, connections: CONNECTIONS, nodes: 1, bound, figure }
    }

    const fn two_nodes(what: &'static str, scenario: &'static str) -> Self {
        Self {
            nodes: 2,
            figure: |report, two| report.to_other(two, two.scenario.name),
            ..Self::new(what, scenario, Bound::AtLeast(TWO_NODES))
        }
    }

    fn outcome(&self, report: &Report) -> Option<Outcome> {
        let measured = report.measurements.iter().filter(|measurement| {
            measurement.scenario.name == self.scenario
                && measurement.connections == self.connections
                && measurement.nodes == self.nodes
        });
        let figures = measured.map(|measurement| ((self.figure)(report, measurement), measurement));
        let figures = figures.filter(|(figure, _)| !figure.is_nan());
        let (figure, worst) = match self.bound {
            Bound::AtLeast(_) => figures.min_by(|(one, _), (other, _)| one.total_cmp(other)),
            Bound::AtMost(_) => figures.max_by(|(one, _), (other, _)| one.total_cmp(other)),
        }?;
        let hidden = if self.nodes > 1 { hidden(report, worst) } else { None };
        Some(Outcome { hidden, ..Outcome::new(self.what, figure, self.bound) })
    }
}

/// Whether one node leaves another one too little of the processors, which all share here.
fn hidden(report: &Report, two: &Measurement) -> Option<String> {
    let idle = report.of_one_node(two, two.scenario.name)?.cpu.idle_part();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (idle < 1.0 - 1.0 / TWO_NODES)
        .then(|| format!("hidden: beside one node {:.0} % of {cores} cores are idle", idle * 100.0))
}
