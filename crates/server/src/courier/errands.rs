//! Runs errands: posts events for the first time, on the node that has written them.
//!
//! Errands of one account to one webhook go one after another, and so do those that other nodes
//! have written. What a node has not begun in time, because it died or because a receiver is slow,
//! becomes a delivery that waits in its line; any node sees to that.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jsonapi::Record;
use store::{Errand, StoreError, Turn, Tx};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::turns::Turns;
use super::{chance, told_to_stop};
use crate::app::App;
use crate::outbox::deliver_to_webhook;
use crate::webhooks;

/// Accounts whose errands to one webhook are run at once.
const SLOTS: usize = 16;
/// An errand is not begun when less is left of the time for which it is the node's: longer than
/// the longest post.
const SPARE: SignedDuration = SignedDuration::from_secs(15);
/// Time until an errand is looked at again that stands behind another node's.
const WAIT: Duration = Duration::from_millis(50);
/// Time until it is tried again to write down what became of a post.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);
/// Time between two looks for what others have not run in time: so many times as long as the look
/// took, within these bounds.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(5);
const LOOK_PART: u32 = 10;
/// Deliveries that are made of errands in one transaction.
const MOVED_AT_ONCE: u32 = 200;
/// Places of which it is remembered how far errands have been run.
const REACHED_MAX: usize = 4_096;

/// A webhook and an account.
type Place = (i64, i64);

/// How far errands of one account have been run.
struct Ran {
    left: VecDeque<Arc<Errand>>,
    /// None of them is of an older event than this one, whoever's it is.
    oldest: i64,
    /// Why not all, if it is the database.
    result: Result<(), StoreError>,
}

/// Errands that are not run yet, or not all of them.
#[derive(Default)]
struct Queue {
    /// By account, in their order; empty while they are being run.
    errands: HashMap<i64, VecDeque<Arc<Errand>>>,
    /// The accounts that are next.
    next: VecDeque<i64>,
    /// How many are served.
    taken: usize,
}

struct Round {
    app: Arc<App>,
    turns: Arc<Turns>,
    stopped: watch::Receiver<bool>,
    /// By webhook.
    queues: HashMap<i64, Queue>,
    running: JoinSet<Ran>,
    /// Where each task runs errands.
    served: HashMap<Id, Place>,
    /// What stands behind others, and until when it is left alone.
    postponed: VecDeque<(Instant, Place)>,
    /// The oldest event that an errand may be of.
    reached: HashMap<Place, i64>,
    is_failing: bool,
}

/// Runs errands until it is told to stop, and waits for those that it has begun.
pub async fn run(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    begin(&app).await;
    let mut round = Round {
        app: Arc::clone(&app),
        turns: Arc::default(),
        stopped: stopped.clone(),
        queues: HashMap::new(),
        running: JoinSet::new(),
        served: HashMap::new(),
        postponed: VecDeque::new(),
        reached: HashMap::new(),
        is_failing: false,
    };
    loop {
        let ripe = round.postponed.front().map_or_else(Instant::now, |(ripe, _)| *ripe);
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            Some(ended) = round.running.join_next_with_id() => round.end(ended),
            handed = app.store.errands() => round.take(handed),
            () = sleep_until(ripe), if !round.postponed.is_empty() => round.go_on(),
        }
    }
    app.store.run_errands(false);
    round.stop().await;
}

/// Makes deliveries of errands that nobody has run in time, until it is told to stop.
pub async fn look_after_overdue(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let (mut pause, mut is_failing) = (Duration::ZERO, false);
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            () = sleep(pause) => {}
        }
        let began = Instant::now();
        let queued = queue_overdue(&app).await;
        pause = (began.elapsed() * LOOK_PART).clamp(LOOK_PAUSE, LOOK_PAUSE_MAX);
        if let Err(error) = &queued
            && !is_failing
        {
            tracing::warn!(%error, "errands wait for longer than they should");
        }
        is_failing = queued.is_err();
    }
}

/// Has errands handed over, after what was left before.
async fn begin(app: &App) {
    let now = app.now();
    let leave = async move |tx: &mut Tx| tx.leave_forsaken_errands(now).await;
    if let Err::<(), StoreError>(error) = app.store.write(leave).await {
        tracing::warn!(%error, "errands that were left before wait until they are late");
    }
    app.store.run_errands(true);
}

impl Round {
    /// Takes errands on.
    fn take(&mut self, handed: Vec<Errand>) {
        for errand in handed {
            let (webhook, account) = (errand.webhook(), errand.account());
            let queue = self.queues.entry(webhook).or_default();
            let errands = queue.errands.entry(account).or_insert_with(|| {
                queue.next.push_back(account);
                VecDeque::new()
            });
            errands.push_back(Arc::new(errand));
            self.start(webhook);
        }
    }

    /// Begins as many errands to a webhook as there are slots for.
    fn start(&mut self, webhook: i64) {
        let Some(queue) = self.queues.get_mut(&webhook) else { return };
        while queue.taken < SLOTS
            && let Some(account) = queue.next.pop_front()
        {
            let errands = queue.errands.get_mut(&account).map(std::mem::take).unwrap_or_default();
            queue.taken += 1;
            let (app, stopped) = (Arc::clone(&self.app), self.stopped.clone());
            let (turns, place) = (Arc::clone(&self.turns), (webhook, account));
            let oldest = self.reached.get(&place).copied().unwrap_or_default();
            let ran = Ran { left: errands, oldest, result: Ok(()) };
            let task = self
                .running
                .spawn(async move { run_all(&app, &turns, place, ran, &stopped).await });
            self.served.insert(task.id(), place);
        }
        if queue.errands.is_empty() {
            self.queues.remove(&webhook);
        }
    }

    /// Goes on with what has come meanwhile, or was left.
    fn end(&mut self, ended: Result<(Id, Ran), JoinError>) {
        // A panic has been told. What was in hand is late, and a delivery is made of it.
        let nothing = Ran { left: VecDeque::new(), oldest: 0, result: Ok(()) };
        let (id, ran) = ended.unwrap_or_else(|error| (error.id(), nothing));
        let Ran { left, oldest, result } = ran;
        if let Err(error) = &result
            && !self.is_failing
        {
            tracing::warn!(%error, "errands cannot be run");
        }
        self.is_failing = result.is_err();
        let Some((webhook, account)) = self.served.remove(&id) else { return };
        if self.reached.len() >= REACHED_MAX {
            self.reached.clear();
        }
        self.reached.insert((webhook, account), oldest);
        let Some(queue) = self.queues.get_mut(&webhook) else { return };
        queue.taken -= 1;
        let Some(errands) = queue.errands.get_mut(&account) else { return };
        if left.is_empty() && errands.is_empty() {
            queue.errands.remove(&account);
        } else if left.is_empty() {
            queue.next.push_back(account);
        } else {
            for errand in left.into_iter().rev() {
                errands.push_front(errand);
            }
            self.postponed.push_back((Instant::now() + WAIT, (webhook, account)));
        }
        self.start(webhook);
    }

    /// Waits for what has begun, and leaves all else to others.
    async fn stop(mut self) {
        let mut left: Vec<Arc<Errand>> = Vec::new();
        while let Some(ended) = self.running.join_next().await {
            left.extend(ended.map(|ran| ran.left).unwrap_or_default());
        }
        left.extend(self.queues.into_values().flat_map(|queue| queue.errands).flat_map(|(_, e)| e));
        left.extend(self.app.store.untaken_errands().into_iter().map(Arc::new));
        let now = self.app.now();
        let leave = async move |tx: &mut Tx| {
            for errand in &left {
                tx.leave_errand(errand, now).await?;
            }
            Ok(())
        };
        if let Err::<(), StoreError>(error) = self.app.store.write(leave).await {
            tracing::warn!(%error, "errands wait until they are late");
        }
    }

    /// Looks again at what was postponed.
    fn go_on(&mut self) {
        let now = Instant::now();
        while let Some((ripe, (webhook, account))) = self.postponed.front().copied()
            && ripe <= now
        {
            self.postponed.pop_front();
            if let Some(queue) = self.queues.get_mut(&webhook) {
                queue.next.push_back(account);
            }
            self.start(webhook);
        }
    }
}

/// Runs errands of one account in their order, up to the first that has to wait, or until it is
/// told to stop.
async fn run_all(
    app: &App,
    turns: &Turns,
    place: Place,
    mut ran: Ran,
    stopped: &watch::Receiver<bool>,
) -> Ran {
    while !*stopped.borrow()
        && let Some(errand) = ran.left.front().map(Arc::clone)
    {
        match run_one(app, turns, place, &errand, &mut ran).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                ran.result = Err(error);
                break;
            }
        }
    }
    ran
}

/// Runs the first errand; whether it has ended for this node. It has to wait for older ones, and
/// what has failed comes again.
async fn run_one(
    app: &App,
    turns: &Turns,
    place: Place,
    errand: &Arc<Errand>,
    ran: &mut Ran,
) -> Result<bool, StoreError> {
    let now = app.now();
    if now + SPARE > errand.until {
        // It is late, and a delivery is made of it.
        ran.left.pop_front();
        return Ok(true);
    }
    let (turn, webhook) = turns.ask(app, errand, ran.oldest).await?;
    match turn {
        Turn::Now => post(app, errand, webhook.as_deref()).await?,
        Turn::InLine => return queue_all(app, place, ran).await,
        Turn::NotYet => return Ok(false),
        Turn::Never => {}
    }
    ran.left.pop_front();
    ran.oldest = errand.event.key().max(ran.oldest);
    Ok(true)
}

/// Makes deliveries of the errands of an account, as many as stand behind no other node's; whether
/// there were any.
async fn queue_all(app: &App, place: Place, ran: &mut Ran) -> Result<bool, StoreError> {
    let mine: BTreeSet<i64> = ran.left.iter().map(|errand| errand.event.key()).collect();
    let oldest = mine.first().map_or(ran.oldest, |first| ran.oldest.min(*first));
    let (now, (webhook, account)) = (app.now(), place);
    let operation = async move |tx: &mut Tx| {
        let events = tx.take_errands(place, oldest, &mine, (now, MOVED_AT_ONCE)).await?;
        let account = Some(account).filter(|account| *account != 0);
        for event in &events {
            deliver_to_webhook(tx, webhook, (*event, account), now).await?;
        }
        Ok(events)
    };
    let events = app.store.write::<_, StoreError, _>(operation).await?;
    let Some(last) = events.last() else { return Ok(false) };
    ran.left.retain(|errand| !events.contains(&errand.event.key()));
    ran.oldest = ran.oldest.max(*last);
    Ok(true)
}

/// Posts the event, and writes down what became of that: as soon as it can, so that it need not be
/// posted again.
async fn post(app: &App, errand: &Arc<Errand>, webhook: Option<&Record>) -> Result<(), StoreError> {
    let tried = Arc::new(webhooks::run(app, errand, webhook).await);
    let (moment, chance) = (app.moment(), chance());
    loop {
        let (errand, settled) = (Arc::clone(errand), Arc::clone(&tried));
        let until = errand.until;
        let operation = async move |tx: &mut Tx| settled.settle(tx, &errand, chance, moment).await;
        let written = app.store.write::<_, StoreError, _>(operation).await;
        // One that may have been committed is looked for first.
        let is_known = !matches!(written, Err(StoreError::Unknown));
        if written.is_ok() || !is_known || app.now() > until {
            written?;
            tried.count();
            return Ok(());
        }
        tokio::time::sleep(SETTLE_PAUSE).await;
    }
}

/// Makes deliveries of errands that were not run in time.
async fn queue_overdue(app: &App) -> Result<(), StoreError> {
    let now = app.now();
    while app.store.has_overdue_errands(now).await? {
        let taken: usize = app
            .store
            .write::<_, StoreError, _>(async move |tx: &mut Tx| {
                let overdue = tx.take_overdue_errands(now, MOVED_AT_ONCE).await?;
                for [event, webhook, account] in &overdue {
                    let account = Some(*account).filter(|account| *account != 0);
                    deliver_to_webhook(tx, *webhook, (*event, account), now).await?;
                }
                Ok(overdue.len())
            })
            .await?;
        if taken == 0 {
            break;
        }
    }
    Ok(())
}
