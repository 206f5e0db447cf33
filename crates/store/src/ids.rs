//! Ids that are ours to give out.

use std::collections::VecDeque;
use std::ops::Range;

/// Ids of one type that no record has or had, in the order in which they are given out.
#[derive(Debug, Default)]
pub struct Ids {
    runs: VecDeque<Range<i64>>,
}

impl Ids {
    /// Every id from this one on.
    pub fn from(first: i64) -> Self {
        Self { runs: std::iter::once(first..i64::MAX).collect() }
    }

    /// What a sequence gave. Others may have taken from it in between.
    pub fn taken(ids: &[i64]) -> Self {
        let runs = ids.chunk_by(|id, next| id + 1 == *next);
        let runs = runs.filter_map(|run| Some(*run.first()?..run.last()? + 1));
        Self { runs: runs.collect() }
    }

    pub fn give(&mut self) -> Option<i64> {
        let run = self.runs.front_mut()?;
        let id = run.next();
        if run.is_empty() {
            self.runs.pop_front();
        }
        id
    }

    /// Takes back the id that was given out last, if it is the one; any other stays a gap.
    pub fn take_back(&mut self, id: i64) {
        if let Some(run) = self.runs.front_mut()
            && run.start == id + 1
        {
            run.start = id;
        }
    }

    /// Gives out none up to this one.
    pub fn pass(&mut self, id: i64) {
        self.runs.retain(|run| run.end > id.saturating_add(1));
        for run in &mut self.runs {
            run.start = run.start.max(id.saturating_add(1));
        }
    }

    /// Gives out those of `others` after its own.
    pub fn append(&mut self, mut others: Self) {
        self.runs.append(&mut others.runs);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let length = |run: &Range<i64>| usize::try_from(run.end - run.start).unwrap_or_default();
        self.runs.iter().map(length).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(mut ids: Ids) -> Vec<i64> {
        std::iter::from_fn(|| ids.give()).collect()
    }

    #[test]
    fn all_that_was_taken_is_given_out_in_its_order() {
        let mut ids = Ids::taken(&[3, 4, 7, 9, 10]);
        ids.append(Ids::taken(&[12]));
        assert_eq!(ids.count(), 6);
        assert_eq!(rest(ids), [3, 4, 7, 9, 10, 12]);
        assert_eq!(Ids::taken(&[]).give(), None);
    }

    #[test]
    fn what_comes_back_is_given_out_again_if_it_was_the_last() {
        let mut ids = Ids::taken(&[3, 4, 5, 9]);
        assert_eq!([ids.give(), ids.give()], [Some(3), Some(4)]);
        ids.take_back(3);
        assert_eq!(ids.count(), 2);
        ids.take_back(4);
        ids.take_back(3);
        assert_eq!(rest(ids), [3, 4, 5, 9]);
    }

    #[test]
    fn nothing_is_given_out_up_to_an_id_that_is_there() {
        let mut ids = Ids::taken(&[3, 4, 8, 9, 12]);
        ids.pass(8);
        assert_eq!(rest(ids), [9, 12]);
        let mut all = Ids::from(1);
        all.pass(6);
        assert_eq!(all.give(), Some(7));
        all.pass(2);
        assert_eq!(all.give(), Some(8));
    }
}
