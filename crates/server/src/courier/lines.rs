//! Serves lines of deliveries: claims them for 90 seconds, serves each on its own, and lets go of
//! it. Receivers have slots of their own, so that a slow one waits for itself alone. What a node
//! that died had claimed is due again when that time is over: a delivery may come twice then, under
//! the same id.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use store::{Line, StoreError, Tx};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::{chance, told_to_stop};
use crate::app::App;
use crate::events::EVENTS;
use crate::http::show_backlog;
use crate::mail;
use crate::outbox::{DELIVERIES, Due, EMAIL, Served, leave};
use crate::webhooks::{self, Tried};

/// How long a line is claimed for: a turn, and the longest delivery that may begin at its end.
const CLAIM: SignedDuration = SignedDuration::from_secs(90);
/// How long a line is served before the others have their turn. Well below [`CLAIM`].
const TURN: Duration = Duration::from_secs(20);
/// Deliveries of a line that are read at once.
const DUE_AT_ONCE: u32 = 20;
/// Lines of one receiver that are served at once, by one node.
const SLOTS: usize = 16;
/// Time between two looks for what other nodes have put into lines, and for what is due again.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Time between two looks at how much waits.
const BACKLOG_PAUSE: Duration = Duration::from_secs(5);
/// Serves lines until it is told to stop, and waits for those that it has claimed.
pub async fn run(app: Arc<App>, stopped: watch::Receiver<bool>) {
    let round = Round {
        app,
        stopped,
        serving: JoinSet::new(),
        served: HashMap::new(),
        taken: HashMap::new(),
        until: Timestamp::MIN,
        is_failing: false,
    };
    round.run().await;
}

/// A courier on its way.
struct Round {
    app: Arc<App>,
    stopped: watch::Receiver<bool>,
    serving: JoinSet<()>,
    /// Whom each task serves.
    served: HashMap<Id, String>,
    /// Slots taken, by receiver.
    taken: HashMap<String, usize>,
    /// When the last claim ends.
    until: Timestamp,
    is_failing: bool,
}

/// A task that has ended.
type Ended = Result<(Id, ()), JoinError>;

impl Round {
    async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        let every = |pause| {
            let mut interval = interval(pause);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (mut looks, mut counts) = (every(LOOK_PAUSE), every(BACKLOG_PAUSE));
        loop {
            // None of them before the others: there is always something that ends.
            let looked = tokio::select! {
                () = told_to_stop(&mut stopped) => break,
                Some(ended) = self.serving.join_next_with_id() => self.look_behind(ended).await,
                () = self.app.store.stirred() => self.look().await,
                _ = looks.tick() => self.look().await,
                _ = counts.tick() => {
                    self.count().await;
                    continue;
                }
            };
            self.log_change(&looked);
        }
        while self.serving.join_next().await.is_some() {}
    }

    /// Claims what is due of the receivers that have a slot again.
    async fn look_behind(&mut self, ended: Ended) -> Result<(), StoreError> {
        let mut targets = BTreeSet::from_iter(self.free(ended));
        while let Some(ended) = self.serving.try_join_next_with_id() {
            targets.extend(self.free(ended));
        }
        for target in targets {
            self.claim(&target).await?;
        }
        Ok(())
    }

    /// Gives a receiver its slot back: which one.
    fn free(&mut self, ended: Ended) -> Option<String> {
        let id = match ended {
            Ok((id, ())) => id,
            // The panic has been told.
            Err(error) => error.id(),
        };
        let target = self.served.remove(&id)?;
        if let Entry::Occupied(mut taken) = self.taken.entry(target.clone()) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
        Some(target)
    }

    /// Claims what is due, of every receiver as much as it has slots for.
    async fn look(&mut self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let targets = self.app.store.line_targets(&after).await?;
            let Some(last) = targets.last() else { return Ok(()) };
            after.clone_from(last);
            for target in targets {
                self.claim(&target).await?;
            }
        }
    }

    async fn claim(&mut self, target: &str) -> Result<(), StoreError> {
        let taken = self.taken.get(target).copied().unwrap_or_default();
        let free = SLOTS.saturating_sub(taken);
        if free == 0 {
            return Ok(());
        }
        let (store, now) = (&self.app.store, self.app.now());
        let due = store.due_lines(target, now, free).await?;
        if due.is_empty() {
            return Ok(());
        }
        // What was claimed is told from other claims by its end.
        let until = (now + CLAIM).max(self.until + SignedDuration::from_micros(1));
        self.until = until;
        let node = self.app.node.clone();
        let operation = async move |tx: &mut Tx| tx.claim_lines(&due, &node, now, until).await;
        store.write::<_, StoreError, _>(operation).await?;
        for line in store.claimed_lines(target, &self.app.node, until).await? {
            *self.taken.entry(target.to_owned()).or_default() += 1;
            let task = self.serving.spawn(serve(Arc::clone(&self.app), line, self.stopped.clone()));
            self.served.insert(task.id(), target.to_owned());
        }
        Ok(())
    }

    async fn count(&self) {
        if let Ok(backlog) = self.app.store.backlog().await {
            let age = backlog.oldest.map(|oldest| self.app.now().duration_since(oldest));
            show_backlog(backlog.waiting, age.unwrap_or_default());
        }
    }

    /// Tells an outage once, not each time.
    fn log_change(&mut self, looked: &Result<(), StoreError>) {
        match looked {
            Err(error) if !self.is_failing => tracing::warn!(%error, "nothing can be delivered"),
            Ok(()) if self.is_failing => tracing::info!("deliveries go on"),
            _ => {}
        }
        self.is_failing = looked.is_err();
    }
}

/// Serves a line for a turn, or until it is told to stop, and lets go of it. The last attempt at a
/// webhook is written down with that: most lines have one delivery.
async fn serve(app: Arc<App>, mut line: Line, stopped: watch::Receiver<bool>) {
    let (served, last) = match serve_turn(&app, &mut line, &stopped).await {
        Ok(served) => served,
        Err(error) => {
            // What was delivered and could not be written down comes again, after the claim.
            tracing::warn!(%error, line = line.name, "a delivery could not be written down");
            return;
        }
    };
    let chance = chance();
    let (node, moment, last) = (app.node.clone(), app.moment(), Arc::new(last));
    let needs = last.as_ref().as_ref().map(Tried::needs).unwrap_or_default();
    let written = Arc::clone(&last);
    let left = app
        .store
        .write_with(needs, async move |tx| {
            if let Some(tried) = written.as_ref() {
                tried.write(tx, moment).await?;
            }
            leave(tx, &line, &node, served, chance, moment.now).await
        })
        .await;
    match (left, last.as_ref()) {
        (Ok(()), Some(tried)) => tried.count(),
        (Ok(()), None) => {}
        (Err::<(), StoreError>(error), _) => {
            tracing::warn!(%error, "a line is held until its claim ends");
        }
    }
}

async fn serve_turn(
    app: &Arc<App>,
    line: &mut Line,
    stopped: &watch::Receiver<bool>,
) -> Result<(Served, Option<Tried>), StoreError> {
    let began = tokio::time::Instant::now();
    // What has been delivered leaves its trace in the database until that is swept: it is stepped
    // over. What is delivered anew stands before that, so at last all is looked through again.
    let beginning = (0, 0);
    let (mut anew, mut after, mut has_joined) = (false, beginning, false);
    loop {
        let waiting =
            app.store.waiting_in_line(&DELIVERIES, &EVENTS, &line.name, after, DUE_AT_ONCE).await?;
        let Some((first, _)) = waiting.first() else {
            if !has_joined {
                return Ok((Served::All, None));
            }
            (after, has_joined) = (beginning, false);
            continue;
        };
        let last_place = waiting
            .last()
            .map_or(after, |(delivery, _)| (delivery.links[0].unwrap_or_default(), delivery.key()));
        let is_mail = DELIVERIES.value(first, "channel").as_text() == Some(EMAIL);
        // What joins the line from now on is seen when the line is left.
        let are_all = waiting.len() < DUE_AT_ONCE as usize;
        let due = waiting.into_iter().map(|(delivery, event)| Due { delivery, event }).collect();
        let (served, last) = if is_mail {
            (mail::serve(app, due).await?, None)
        } else {
            webhooks::serve(app, due).await?
        };
        let is_over = began.elapsed() >= TURN || *stopped.borrow();
        match served {
            Served::All if are_all && !is_over => {
                // Where nobody can be asked, the attempt has to be written down all the same.
                let joined = app.store.line_joined(&line.name).await.ok().flatten();
                let joined = joined.unwrap_or(line.joined);
                if joined != line.joined {
                    (after, has_joined, line.joined) = (last_place, true, joined);
                } else if has_joined {
                    (after, has_joined) = (beginning, false);
                } else {
                    return Ok((Served::All, last));
                }
                anew = true;
            }
            Served::All if are_all && !has_joined => return Ok((Served::All, last)),
            Served::All | Served::Some if is_over => return Ok((Served::Some, last)),
            Served::All => (anew, after) = (true, last_place),
            Served::Some => anew = true,
            Served::Failed { anew: just_now } => {
                return Ok((Served::Failed { anew: anew || just_now }, last));
            }
            Served::Until(_) => return Ok((served, last)),
        }
        if let Some(tried) = last {
            tried.write_down(app).await?;
        }
    }
}
