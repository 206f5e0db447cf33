//! What a batch of operations is going to need beside what they say, told from those before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fetch::{Fetch, Needs};
use crate::statement::Statement;
use crate::table::Tables;

/// The part of a batch that may join on top of what is usual.
const HEADROOM_PART: usize = 4;
/// Batches that ids are taken for at once, where one follows another on the same rows.
const AHEAD_BATCHES: usize = 4;

/// Batches of late, to tell what the next one needs beside what its operations say.
#[derive(Debug)]
pub struct Outlook {
    pub tables: Arc<Tables>,
    /// Ids that the last one gave out, by type.
    pub given: BTreeMap<&'static str, usize>,
    /// Ids that it leaves, by type.
    pub left: BTreeMap<&'static str, usize>,
    /// Its operations.
    pub before: usize,
    /// Those of the largest.
    pub usual: usize,
}

impl Outlook {
    /// What to read for so many operations. More may join: whatever is missing then, all of them
    /// wait for, while ids that are left over are a gap. Where one comes at a time, there is none.
    /// Whose rows are all at hand run ahead with the ids that were left, so there should be as many
    /// again for those who do so after them.
    pub fn fetch<'a>(
        &self,
        operations: usize,
        needs: impl Iterator<Item = &'a Needs>,
        are_at_hand: bool,
    ) -> (Fetch, Vec<Statement>) {
        let usual = operations.max(self.usual);
        let expected = usual + usual / HEADROOM_PART;
        let ids = self.given.iter().filter(|_| usual > 1).map(|(kind, given)| {
            let needed = (given * expected).div_ceil(self.before);
            let left = self.left.get(kind).copied().unwrap_or_default();
            let is_queue = self.tables.named(kind).resource.is_queue;
            let count = if !are_at_hand || is_queue {
                needed
            } else if left < 2 * needed {
                AHEAD_BATCHES * needed
            } else {
                0
            };
            (*kind, count)
        });
        let ids: Vec<_> = ids.filter(|(_, count)| *count > 0).collect();
        Fetch::new(&self.tables, needs, &ids)
    }
}
