//! What all accounts and their journals come to, added up exactly: for people who watch over them.

use std::cmp::Reverse;
use std::collections::HashMap;

use decimal::Decimal;

/// A sum of any number of decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum(Option<Decimal>);

impl Default for Sum {
    fn default() -> Self {
        Self(Some(Decimal::ZERO))
    }
}

impl Sum {
    /// Adds one more.
    pub fn add(&mut self, amount: Decimal) {
        self.0 = self.0.and_then(|sum| sum.checked_add(amount));
    }

    /// The sum; `None` when it is, or was on the way, beyond what a decimal can be.
    #[must_use]
    pub const fn exact(self) -> Option<Decimal> {
        self.0
    }
}

/// What accounts hold and owe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Accounts that were added up.
    pub accounts: u64,
    /// Accounts with a balance above zero.
    pub holding: u64,
    /// What they hold.
    pub held: Sum,
    /// Accounts with a balance below zero.
    pub owing: u64,
    /// What they owe; not above zero.
    pub owed: Sum,
    /// How far they may go: their floors, as far as these are credit; not above zero.
    pub credit: Sum,
}

impl Holdings {
    /// Adds an account.
    pub fn add(&mut self, balance: Decimal, floor: Decimal) {
        self.accounts += 1;
        if balance > Decimal::ZERO {
            self.holding += 1;
            self.held.add(balance);
        }
        if balance < Decimal::ZERO {
            self.owing += 1;
            self.owed.add(balance);
            self.credit.add(floor.min(Decimal::ZERO));
        }
    }
}

/// What came in and went out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Entries that were added up.
    pub entries: u64,
    /// Amounts above zero.
    pub came: Sum,
    /// Amounts below zero; not above zero.
    pub went: Sum,
}

impl Flow {
    /// Adds an entry of a journal.
    pub fn add(&mut self, amount: Decimal) {
        self.entries += 1;
        let sum = if amount < Decimal::ZERO { &mut self.went } else { &mut self.came };
        sum.add(amount);
    }
}

/// How much accounts have moved.
#[derive(Clone, Debug, Default)]
pub struct Movers {
    by_account: HashMap<i64, Flow>,
}

impl Movers {
    /// Adds an entry of an account's journal.
    pub fn add(&mut self, account: i64, amount: Decimal) {
        self.by_account.entry(account).or_default().add(amount);
    }

    /// Those that have moved most in either direction, and then those with the lower id.
    #[must_use]
    pub fn most(&self, count: usize) -> Vec<(i64, Flow)> {
        let mut movers: Vec<(i64, Flow)> =
            self.by_account.iter().map(|(account, flow)| (*account, *flow)).collect();
        let moved = |flow: &Flow| {
            let (came, went) = (flow.came.exact()?, flow.went.exact()?);
            came.checked_sub(went)
        };
        // What is too much to be summed up is the most.
        movers.sort_unstable_by_key(|(account, flow)| {
            (Reverse(moved(flow).unwrap_or(Decimal::MAX)), *account)
        });
        movers.truncate(count);
        movers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn credit_stands_against_what_is_owed_and_nothing_else() {
        let mut holdings = Holdings::default();
        for (balance, floor) in [("0.1", "-100"), ("0.2", "0"), ("-5.5", "-10"), ("-1", "3")] {
            holdings.add(decimal(balance), decimal(floor));
        }
        holdings.add(Decimal::ZERO, decimal("-7"));
        let exact = |sum: Sum| sum.exact().unwrap().to_string();
        assert_eq!((holdings.accounts, holdings.holding, holdings.owing), (5, 2, 2));
        assert_eq!(exact(holdings.held), "0.3");
        assert_eq!(exact(holdings.owed), "-6.5");
        assert_eq!(exact(holdings.credit), "-10.0");
    }

    #[test]
    fn money_in_and_out_is_not_set_off() {
        let mut flow = Flow::default();
        for amount in ["10", "-4", "0.000000000001"] {
            flow.add(decimal(amount));
        }
        assert_eq!(flow.entries, 3);
        assert_eq!(flow.came.exact(), Some(decimal("10.000000000001")));
        assert_eq!(flow.went.exact(), Some(decimal("-4")));
    }

    #[test]
    fn a_sum_out_of_range_stays_unknown() {
        let mut sum = Sum::default();
        sum.add(Decimal::MAX);
        sum.add(decimal("1"));
        sum.add(decimal("-1"));
        assert_eq!(sum.exact(), None);
    }

    #[test]
    fn who_moves_to_and_fro_moves_much() {
        let mut movers = Movers::default();
        for (account, amount) in [(3, "5"), (3, "-5"), (2, "9"), (1, "-9"), (4, "1")] {
            movers.add(account, decimal(amount));
        }
        let most: Vec<i64> = movers.most(3).into_iter().map(|(account, _)| account).collect();
        assert_eq!(most, [3, 1, 2]);
    }
}
