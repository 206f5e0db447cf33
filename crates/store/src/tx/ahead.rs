//! Operations of the next transaction run while the database commits those before them, on the
//! rows as these leave them.

use std::ops::AsyncFnOnce;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;
use jsonapi::Record;
use tokio::sync::oneshot;

use super::{Fate, Standing, Tx};
use crate::error::StoreError;
use crate::fetch::{Fetch, Needs, Target};
use crate::ids::Ids;
use crate::postgres::session::Next;
use crate::row::Row;
use crate::session::{Dialect, Session};
use crate::statement::Statement;
use crate::work::{Known, Work};

/// Operations that wait for the transaction after this one.
pub trait Followers {
    /// Waits until there are some whom it pays to begin for; `is_at_hand` says of whose rows this
    /// transaction knows how it leaves them.
    async fn arrive(&mut self, is_at_hand: &dyn Fn(&Needs) -> bool);

    /// What each of them needs.
    fn needs(&self) -> impl ExactSizeIterator<Item = &Needs>;

    /// Runs them before the database has answered, one after another and as they come, up to the
    /// first that [`Tx::run_ahead`] does not run. Ends only by being dropped, between two of them.
    async fn run_ahead(&mut self, tx: &mut Tx);
}

/// The transaction that has begun for those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// For so many of them.
    pub operations: usize,
    /// So many of which have run in it.
    pub done: usize,
}

/// What operations run ahead on.
struct Foreseen {
    standing: Standing,
    work: Work,
}

/// Whether nothing has to be read for these needs.
fn has_all(work: &Work, needs: &Needs) -> bool {
    needs.answer.is_none() && needs.target.is_none_or(|target| has_row(work, target))
}

/// Whether it is known how the row stands.
fn has_row(work: &Work, target: Target) -> bool {
    !matches!(work.held((target.resource.kind, target.id)), Known::Not)
}

impl Tx {
    /// Runs an operation of the next transaction, for which nothing has been read yet, on the rows
    /// as this transaction leaves them. Says whether it could be run, to its end or to a refusal:
    /// not if it would have to ask the database anything. Then nothing of it is left.
    pub(crate) async fn run_ahead(
        &mut self,
        needs: &Needs,
        operation: impl AsyncFnOnce(&mut Tx),
    ) -> bool {
        if !needs.target.is_some_and(|target| has_row(&self.work, target)) {
            return false;
        }
        let mark = self.work.mark();
        self.under_way = Some(mark);
        operation(self).await;
        self.under_way = None;
        let has_run = self.fate == Fate::Good && !self.session.is_useless();
        if has_run {
            self.ahead += 1;
        } else {
            self.undo(mark);
        }
        has_run
    }

    /// What those that have run decided, if that can be written before it is known whether all was
    /// as foreseen.
    fn take_ahead(&mut self) -> Vec<Statement> {
        if let Some(mark) = self.under_way.take() {
            self.undo(mark);
        }
        if self.ahead == 0 || !self.foresees {
            return Vec::new();
        }
        self.work.take(Dialect::Postgres, &self.tables, Some(self.slot))
    }

    /// Takes what was read and locked for so many operations, some of which have run already, on
    /// what was to be found. If something else was found, none of them has.
    async fn confirm(&mut self, operations: usize, fetch: Fetch, foreseen: &Foreseen) -> Begun {
        let stands = |(kind, all): (&&str, &Arc<[Record]>)| {
            fetch.standing.get(kind).is_some_and(|read| **read == **all)
        };
        let are_standing = foreseen.standing.iter().all(stands);
        let Some(is_all) = foreseen.work.found(&fetch.work).filter(|_| are_standing) else {
            let is_written = self.ahead > 0 && self.foresees;
            self.foresees = false;
            if is_written {
                // It fails only where the session is lost, too; what was committed stays so.
                let _ = self.rollback().await;
                return Begun::default();
            }
            self.open(false, operations, fetch);
            return Begun { operations, done: 0 };
        };
        self.foresees = true;
        if !is_all {
            // Others may have had the rows that nobody knew.
            self.ids.clear();
        }
        // Nothing else was locked, even if somebody has tried.
        self.locked = fetch.locked;
        for (kind, ids) in &fetch.ids {
            self.ids.entry(kind).or_default().append(Ids::taken(ids));
        }
        self.work.take_over(fetch.work);
        self.fate = Fate::Good;
        let operations = operations.max(self.ahead);
        self.expect(operations);
        Begun { operations, done: self.ahead }
    }

    /// Whether an operation that needs this has nothing to wait for.
    pub(crate) fn has(&self, needs: &Needs) -> bool {
        self.session.dialect() == Dialect::Sqlite || has_all(&self.work, needs)
    }

    /// Writes what was decided, and commits. Begins the transaction for the next operations before
    /// the answer to this one is there, if `followers` arrive before that, and lets them run ahead.
    /// When the answer is there, `committed` is called. Says for how many operations the next
    /// transaction has begun.
    pub(crate) async fn commit_and_begin(
        &mut self,
        followers: &mut impl Followers,
        committed: impl FnOnce(),
    ) -> Result<Begun, StoreError> {
        let statements = self.last_statements()?;
        let (outlook, tables) = (self.outlook(), Arc::clone(&self.tables));
        let (handover, errands) = (Arc::clone(&self.handover), self.work.take_errands());
        let is_stirring = std::mem::take(&mut self.is_stirring);
        let committed = || {
            if is_stirring {
                handover.lines.notify_one();
            }
            handover.hand_over(errands);
            committed();
        };
        let session = std::mem::replace(&mut self.session, Session::nowhere());
        let tx = &mut *self;
        let next = async {
            let has = |needs: &Needs| has_all(&tx.work, needs);
            followers.arrive(&has).await;
            let are_at_hand = followers
                .needs()
                .all(|needs| needs.target.is_none_or(|target| has_row(&tx.work, target)));
            let operations = followers.needs().len();
            let (fetch, queries) = outlook.fetch(operations, followers.needs(), are_at_hand);
            // Of a queue, others may have added to the end and left the rows as they were.
            tx.ids.retain(|kind, _| !tx.tables.named(kind).resource.is_queue);
            tx.standing.retain(|kind, _| fetch.standing.contains_key(kind));
            let foreseen =
                Foreseen { standing: tx.standing.clone(), work: tx.work.foreseen(&fetch.work) };
            tx.start(false, operations, tx.work.foreseen(&fetch.work), fetch.locked);
            let (answered, is_answered) = oneshot::channel();
            let ahead = async move {
                let _ = select(is_answered, pin!(followers.run_ahead(tx))).await;
                tx.take_ahead()
            };
            Next { begun: (operations, fetch, foreseen), queries, ahead, answered }
        };
        let visit = |(_, fetch, _): &mut (usize, Fetch, Foreseen),
                     position: usize,
                     row: Row<'_>| { fetch.take(&tables, position, row) };
        let begun = session.commit_and_begin(statements, next, committed, visit).await;
        self.session = session;
        match begun? {
            Some(((operations, fetch, foreseen), Ok(()))) => {
                Ok(self.confirm(operations, fetch, &foreseen).await)
            }
            Some((_, Err(_))) => {
                // It fails only where the session is lost, too; what was committed stays so.
                let _ = self.rollback().await;
                Ok(Begun::default())
            }
            None => Ok(Begun::default()),
        }
    }
}
