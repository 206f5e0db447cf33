//! The line of operations that wait for a write lane.

use std::collections::VecDeque;
use std::ops::AsyncFn;
use std::pin::Pin;

use futures_util::pending;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::error::StoreError;
use crate::fetch::Needs;
use crate::tx::Tx;
use crate::tx::ahead::Followers;

/// Operations that share one commit at most.
const BATCH_MAX: usize = 256;
/// Operations that go together even if they are more than half of a crowd: a commit has its price.
const SHARE_MIN: usize = 16;

/// An operation that waits for its transaction.
pub trait Job: Send {
    /// Runs it; what it returns waits with it.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

    /// Tells its caller how it ended, now that the fate of the transaction is known.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Waiting<T, E, F> {
    operation: F,
    /// What came of it when it ran last.
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Waiting<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: AsyncFn(&mut Tx) -> Result<T, E> + Send,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        Box::pin(async {
            self.result = Some(tx.attempt(&self.operation).await);
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        // It may hold the last reference to the store, which must not be let go of here.
        drop(self.operation);
        let result = match committed {
            Ok(()) => self.result.unwrap_or_else(|| Err(E::from(StoreError::Closed))),
            // What it has found holds no more than what it did.
            Err(error) => Err(E::from(error)),
        };
        // A caller that went away has no use for the answer.
        let _ = self.answer.send(result);
    }
}

/// A job, what it needs, and where its caller waits.
pub struct Queued {
    pub job: Box<dyn Job>,
    needs: Needs,
    runtime: Handle,
}

impl Queued {
    /// An operation whose caller waits for `answer` in this runtime.
    pub fn new<T, E, F>(needs: Needs, operation: F, answer: oneshot::Sender<Result<T, E>>) -> Self
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T, E> + Send + 'static,
    {
        let job = Box::new(Waiting { operation, result: None, answer });
        Self { job, needs, runtime: Handle::current() }
    }
}

/// Operations in the order in which they came.
pub struct Line {
    waiting: VecDeque<Queued>,
    jobs: mpsc::Receiver<Queued>,
    /// Whether some may run while those before them are written.
    runs_ahead: bool,
    /// So many left it last.
    left: usize,
}

impl Line {
    pub fn new(jobs: mpsc::Receiver<Queued>, runs_ahead: bool) -> Self {
        Self { waiting: VecDeque::with_capacity(BATCH_MAX), jobs, runs_ahead, left: 0 }
    }

    /// Waits until somebody waits; false when nobody ever will again.
    pub async fn has_some(&mut self) -> bool {
        if self.waiting.is_empty() {
            self.waiting.extend(self.jobs.recv().await);
        }
        !self.waiting.is_empty()
    }

    /// Takes in who has come in the meantime.
    pub fn receive(&mut self) {
        while self.waiting.len() < BATCH_MAX
            && let Ok(next) = self.jobs.try_recv()
        {
            self.waiting.push_back(next);
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Queued> {
        self.waiting.iter_mut()
    }

    /// How many of those that wait go together, behind so many that are under way. Of those who all
    /// want one row, it is half of all: while these are written, the others run ahead.
    pub fn share(&self, under_way: usize) -> usize {
        let half = (under_way + self.len()).div_ceil(2).max(SHARE_MIN);
        let row = |queued: &Queued| queued.needs.target.map(|row| (row.resource.kind, row.id));
        let first = self.waiting.front().and_then(row);
        let is_crowd = self.runs_ahead && half < self.len() && first.is_some();
        if is_crowd && self.waiting.iter().all(|queued| row(queued) == first) {
            half
        } else {
            self.len()
        }
    }

    /// What all that wait need.
    pub fn wanted(&self) -> impl Iterator<Item = &Needs> {
        self.waiting.iter().map(|queued| &queued.needs)
    }

    /// The first so many leave the line.
    pub fn leave(&mut self, count: usize) -> Vec<Queued> {
        self.left = count;
        self.waiting.drain(..count).collect()
    }

    /// Those who left it are its first again.
    pub fn put_back(&mut self, batch: Vec<Queued>) {
        batch.into_iter().rev().for_each(|queued| self.waiting.push_front(queued));
    }
}

impl Followers for Line {
    /// Where nobody waits now, it is until somebody comes whose rows are at hand: to begin for one
    /// who comes by himself would keep those apart who come with him.
    async fn arrive(&mut self, is_at_hand: &dyn Fn(&Needs) -> bool) {
        if !self.waiting.is_empty() {
            return;
        }
        while self.waiting.len() < BATCH_MAX
            && let Some(queued) = self.jobs.recv().await
        {
            let ends = is_at_hand(&queued.needs);
            self.waiting.push_back(queued);
            if ends {
                return self.receive();
            }
        }
        std::future::pending::<()>().await;
    }

    fn needs(&self) -> impl ExactSizeIterator<Item = &Needs> {
        let share = self.share(self.left);
        self.waiting.iter().take(share).map(|queued| &queued.needs)
    }

    async fn run_ahead(&mut self, tx: &mut Tx) {
        // What was asked is on its way before anything else is done here.
        yield_now().await;
        let mut done = 0;
        loop {
            self.receive();
            let share = self.share(self.left);
            while done < share
                && let Some(Queued { job, needs, .. }) = self.waiting.get_mut(done)
            {
                if !tx.run_ahead(needs, async |tx| job.run(tx).await).await {
                    return std::future::pending().await;
                }
                done += 1;
            }
            // The next time that the database answers anything: who comes wakes nobody here, which
            // would take more time than it gains.
            pending!();
        }
    }
}

/// Tells those of a batch how it ended.
pub fn answer(batch: Vec<Queued>, committed: Result<(), StoreError>) {
    let Some(runtime) = batch.first().map(|queued| queued.runtime.clone()) else { return };
    let is_lone = batch.len() == 1;
    let answer_all = move || {
        for queued in batch {
            queued.job.answer(committed.as_ref().copied().map_err(StoreError::repeated));
        }
    };
    if is_lone {
        answer_all();
    } else {
        // To wake each caller from here would take time from the next batch.
        runtime.spawn(async { answer_all() });
    }
}

#[cfg(test)]
mod tests {
    use jsonapi::Resource;

    use super::*;
    use crate::fetch::Target;

    static ACCOUNTS: Resource = Resource { kind: "accounts", ..Resource::PLAIN };

    #[tokio::test]
    async fn half_of_a_crowd_goes_first() {
        let share = |runs_ahead, under_way, ids: &[i64]| {
            let mut line = Line::new(mpsc::channel(1).1, runs_ahead);
            let queued = |id: &i64| {
                let target = Some(Target { resource: &ACCOUNTS, id: *id });
                let operation = async |_: &mut Tx| Ok::<(), StoreError>(());
                Queued::new(Needs { target, answer: None }, operation, oneshot::channel().0)
            };
            line.put_back(ids.iter().map(queued).collect());
            line.share(under_way)
        };
        assert_eq!(share(true, 0, &[1; 32]), 16);
        assert_eq!(share(true, 0, &[1; 101]), 51);
        // The other half is under way.
        assert_eq!(share(true, 16, &[1; 16]), 16);
        // Nearly all have come back while a few were under way.
        assert_eq!(share(true, 3, &[1; 61]), 32);
        // Too few to be two crowds.
        assert_eq!(share(true, 0, &[1; 16]), 16);
        assert_eq!(share(true, 0, &[1; 20]), 16);
        assert_eq!(share(true, 0, &[1; 9]), 9);
        // Not all want the same row, or none can run while others are written.
        assert_eq!(share(true, 0, &[[1; 16], [2; 16]].concat()), 32);
        assert_eq!(share(false, 0, &[1; 32]), 32);
        assert_eq!(share(true, 0, &[]), 0);
    }
}
