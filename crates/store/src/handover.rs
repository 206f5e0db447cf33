//! What the commits of this process hand over to whoever delivers in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jsonapi::Record;
use tokio::sync::Notify;

/// Errands to one webhook that are handed over and have not ended. They take memory, and must not
/// wait for longer than they are whoever's who wrote them.
const UNENDED_MAX: usize = 256;

/// An event that is to be posted to a webhook by the process that has written it.
#[derive(Debug)]
pub struct Errand {
    /// The event, which those to other webhooks share.
    pub event: Arc<Record>,
    /// Until when nobody else sees to it.
    pub until: Timestamp,
    /// Its place among those that have not ended.
    pub(crate) place: Place,
}

impl Errand {
    /// The webhook's id.
    #[must_use]
    pub fn webhook(&self) -> i64 {
        self.place.webhook
    }

    /// The account of the event; 0 without one. Errands of one account go one after another.
    #[must_use]
    pub fn account(&self) -> i64 {
        account(&self.event)
    }
}

/// The account that an event is of; 0 without one.
pub fn account(event: &Record) -> i64 {
    event.links.first().copied().flatten().unwrap_or_default()
}

/// A place among the errands to a webhook that have not ended, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    handover: Arc<Handover>,
    webhook: i64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.handover.state();
        if let Some(unended) = state.unended.get_mut(&self.webhook) {
            *unended -= 1;
            if *unended == 0 {
                state.unended.remove(&self.webhook);
            }
        }
    }
}

/// Whether errands are run in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Runs {
    /// By nobody.
    #[default]
    Never,
    /// Not yet, or not any more.
    Later,
    Now,
}

/// Whether an errand can be handed over.
#[derive(Debug)]
pub enum Room {
    /// There are no errands in this process.
    Nobody,
    /// It has to wait.
    Full,
    /// At once.
    Free(Place),
}

/// What is handed over.
#[derive(Debug, Default)]
pub struct Handover {
    /// Told when something is put into a line of deliveries.
    pub lines: Notify,
    /// Told when there are errands.
    errands: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    runs: Runs,
    /// Not taken yet.
    errands: Vec<Errand>,
    /// Not ended yet, by webhook.
    unended: HashMap<i64, usize>,
}

impl Handover {
    fn state(&self) -> MutexGuard<'_, State> {
        // No change of it can be interrupted half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on, errands are run in this process, or wait.
    pub fn run_errands(&self, runs: bool) {
        self.state().runs = if runs { Runs::Now } else { Runs::Later };
    }

    /// A place for an errand to this webhook.
    pub fn room(self: &Arc<Self>, webhook: i64) -> Room {
        let mut state = self.state();
        match state.runs {
            Runs::Never => Room::Nobody,
            Runs::Later => Room::Full,
            Runs::Now => {
                let unended = state.unended.entry(webhook).or_default();
                if *unended >= UNENDED_MAX {
                    return Room::Full;
                }
                *unended += 1;
                Room::Free(Place { handover: Arc::clone(self), webhook })
            }
        }
    }

    /// Hands errands over that are committed.
    pub fn hand_over(&self, errands: Vec<Errand>) {
        if errands.is_empty() {
            return;
        }
        self.state().errands.extend(errands);
        self.errands.notify_one();
    }

    /// The errands that were handed over since the last call, as soon as there are any.
    pub async fn errands(&self) -> Vec<Errand> {
        loop {
            let errands = self.untaken_errands();
            if !errands.is_empty() {
                return errands;
            }
            self.errands.notified().await;
        }
    }

    /// Those of them that were handed over and not taken.
    pub fn untaken_errands(&self) -> Vec<Errand> {
        std::mem::take(&mut self.state().errands)
    }
}
