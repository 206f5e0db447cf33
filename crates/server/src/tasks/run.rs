//! Carries tasks out, beside the requests.
//!
//! Every node has a runner. It takes tasks by their lease, and goes through a task slice by slice,
//! some rows at a time. A slice is written down when all of it is done, so a node that dies leaves a
//! slice that the next one does again: the rows have keys ([`IDEMPOTENCY_KEY`]), and what was done
//! is answered, not done twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use jiff::SignedDuration;
use serde_json::Value as Json;
use store::{StoreError, Task, TaskFailure, TaskState, TaskStep};
use tokio::sync::watch;
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::work::Work;
use crate::app::App;
use crate::auth::Caller;
use crate::export::Export;
use crate::inside::{Answer, Inside, Wrong};
use crate::journal::{Range, verify_slice};
use crate::rest::IDEMPOTENCY_KEY;

/// Tasks that a node runs at once.
const TASKS_MAX: usize = 4;
/// Tasks that one look finds.
const LOOK_MAX: u32 = 100;
/// Rows of a task that are under way at once. A lane takes many times as many, so that what
/// matters more is not held up.
const ROWS_IN_FLIGHT: usize = 32;
/// For how long a node takes a task: so long does nobody run it when the node dies.
const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// Time between two looks whether the task is still to be run, and by this node.
const LEASE_ASKED: Duration = Duration::from_secs(5);
/// Time between two looks for tasks of other nodes.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// First and longest pause after a request for which the server had no room.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a task rests when the database has failed it.
const REST: Duration = Duration::from_secs(10);
/// How long the tasks may take to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// Characters of a message that are kept: some repeat what was sent.
const MESSAGE_CHARS_MAX: usize = 500;

/// The runner of a running server.
#[derive(Debug)]
pub struct Runner {
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Runner {
    /// Starts to run tasks.
    #[must_use]
    pub fn start(app: &Arc<App>, inside: Inside) -> Self {
        let (stop, stopped) = watch::channel(false);
        let round = Round {
            app: Arc::clone(app),
            inside,
            serving: JoinSet::new(),
            served: HashMap::new(),
            stopped,
            is_failing: false,
        };
        Self { stop, running: tokio::spawn(round.run()) }
    }

    /// Leaves all tasks where they are, for whoever comes next.
    pub async fn stop(self) {
        // One that has ended does not listen.
        let _ = self.stop.send(true);
        if tokio::time::timeout(STOP_TIME_MAX, self.running).await.is_err() {
            tracing::warn!("a task did not stop in time: its lease runs out by itself");
        }
    }
}

/// A runner on its way.
struct Round {
    app: Arc<App>,
    inside: Inside,
    serving: JoinSet<()>,
    served: HashMap<Id, i64>,
    stopped: watch::Receiver<bool>,
    is_failing: bool,
}

impl Round {
    async fn run(mut self) {
        let mut looks = every(LOOK_PAUSE);
        loop {
            tokio::select! {
                biased;
                () = told_to_stop(&mut self.stopped) => break,
                Some(ended) = self.serving.join_next_with_id() => {
                    let id = match ended {
                        Ok((id, ())) => id,
                        // The panic has been told.
                        Err(error) => error.id(),
                    };
                    self.served.remove(&id);
                }
                () = self.app.task_bell.notified() => {}
                _ = looks.tick() => {}
            }
            let looked = self.look().await;
            if let Err(error) = &looked
                && !self.is_failing
            {
                tracing::warn!(%error, "tasks cannot be looked for");
            }
            self.is_failing = looked.is_err();
        }
        while self.serving.join_next().await.is_some() {}
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        if self.serving.len() >= TASKS_MAX {
            return Ok(());
        }
        for task in self.app.store.unfinished_tasks(LOOK_MAX).await? {
            if self.serving.len() >= TASKS_MAX {
                break;
            }
            if self.served.values().any(|served| *served == task.id) {
                continue;
            }
            let lease = format!("task-{}", task.id);
            let (app, now) = (&self.app, self.app.now());
            if !app.store.lease(&lease, &app.node, now, now + LEASE).await? {
                continue;
            }
            let turn = Turn {
                app: Arc::clone(app),
                inside: self.inside.clone(),
                asks: every(LEASE_ASKED),
                stopped: self.stopped.clone(),
                lease,
                id: task.id,
            };
            self.served.insert(self.serving.spawn(turn.run()).id(), task.id);
        }
        Ok(())
    }
}

fn every(pause: Duration) -> Interval {
    let mut interval = interval(pause);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // Without a sender nobody waits for the end.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// A task while this node has it.
struct Turn {
    app: Arc<App>,
    inside: Inside,
    id: i64,
    lease: String,
    asks: Interval,
    stopped: watch::Receiver<bool>,
}

impl Turn {
    async fn run(mut self) {
        if let Err(error) = self.go_through().await {
            tracing::warn!(%error, task = self.id, "a task rests: the database failed");
            tokio::select! {
                () = told_to_stop(&mut self.stopped) => {}
                () = sleep(REST) => {}
            }
        }
        // It runs out by itself, if the database cannot be told.
        let _ = self.app.store.release(&self.lease, &self.app.node).await;
    }

    /// Goes on behind what was written down, to the end or until it is somebody else's.
    async fn go_through(&mut self) -> Result<(), StoreError> {
        let (id, now) = (self.id, self.app.now());
        if !self
            .app
            .store
            .write::<_, StoreError, _>(async move |tx| tx.start_task(id, now).await)
            .await?
        {
            return Ok(());
        }
        // It may have got on since it was found.
        let Some(mut task) = self.app.store.task(id).await? else { return Ok(()) };
        let work = match Work::of(&task) {
            Ok(work) => Arc::new(work),
            Err(error) => return self.end(TaskState::Failed, Some(format!("{error:#}"))).await,
        };
        loop {
            let Some(operator) =
                self.app.operators.with_id(&self.app.store, task.operator_id).await?
            else {
                let why = format!("{} may not come in any more", task.operator_name);
                return self.end(TaskState::Failed, Some(why)).await;
            };
            let caller = Caller {
                operator: Some(operator),
                address: task.ip.as_ref().and_then(|ip| ip.parse().ok()),
                request_id: Some(format!("task {id}")),
            };
            let step = step(Arc::clone(&self.app), self.inside.clone(), caller, &task, &work);
            let Some(step) = self.while_ours(step).await else { return Ok(()) };
            let Some(step) = step? else { return self.end(TaskState::Done, None).await };
            task.position = step.to;
            (task.done, task.failed) = (task.done + step.done, task.failed + step.failed);
            let advanced: Result<Option<TaskState>, StoreError> =
                self.app.store.write(async move |tx| tx.advance_task(id, &step).await).await;
            if advanced? != Some(TaskState::Running) {
                return Ok(());
            }
        }
    }

    async fn end(&self, state: TaskState, error: Option<String>) -> Result<(), StoreError> {
        let (id, now) = (self.id, self.app.now());
        let ended: Result<bool, StoreError> = self
            .app
            .store
            .write(async move |tx| tx.end_task(id, state, error.as_deref(), now).await)
            .await;
        ended.map(|_| ())
    }

    /// Does a part of the task and keeps the lease meanwhile; breaks it off when the task is not to
    /// be run any more, or not by this node.
    async fn while_ours<T>(&mut self, part: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(part);
        loop {
            tokio::select! {
                biased;
                () = told_to_stop(&mut self.stopped) => return None,
                done = &mut part => return Some(done),
                _ = self.asks.tick() => {
                    let (store, now) = (&self.app.store, self.app.now());
                    let is_ours = store.lease(&self.lease, &self.app.node, now, now + LEASE).await;
                    let task = store.task(self.id).await;
                    // What cannot be asked may still be so: a step that is taken twice does no harm.
                    let goes_on = |task: Option<Task>| {
                        task.is_some_and(|task| task.state == TaskState::Running)
                    };
                    if !is_ours.unwrap_or(true) || !task.map_or(true, goes_on) {
                        return None;
                    }
                }
            }
        }
    }
}

/// The next slice of a task; `None` behind the last.
async fn step(
    app: Arc<App>,
    inside: Inside,
    caller: Caller,
    task: &Task,
    work: &Arc<Work>,
) -> Result<Option<TaskStep>, StoreError> {
    match &**work {
        Work::Verify => return verify_step(&app, task).await,
        Work::Export(export) => return export_step(&inside, &caller, task, export).await,
        _ => {}
    }
    let Some((first, rows)) = app.store.task_input(task.id, task.position).await? else {
        return Ok(None);
    };
    let malformed = |_| StoreError::Malformed("row_list".to_owned());
    let rows: Vec<Json> = serde_json::from_str(&rows).map_err(malformed)?;
    let places: Vec<String> = rows.iter().map(|row| work.place(row)).collect();
    let refused = in_flight(rows.into_iter().zip(first..).map(|(row, number)| {
        let (inside, caller, work) = (inside.clone(), caller.clone(), Arc::clone(work));
        let key = format!("task-{}-{number}", task.id);
        async move { carry_out(&inside, &caller, &work, &row, &key).await }
    }))
    .await;
    let count = i64::try_from(refused.len()).unwrap_or_default();
    let failures: Vec<TaskFailure> = refused
        .into_iter()
        .zip(first..)
        .zip(places)
        .filter_map(|((refusal, number), place)| {
            refusal.map(|message| TaskFailure { number, place, message })
        })
        .collect();
    let failed = i64::try_from(failures.len()).unwrap_or_default();
    let to = first + count - 1;
    let done = count - failed;
    Ok(Some(TaskStep { from: task.position, to, done, failures, failed, made: None }))
}

/// Makes the request of a row; returns why it is refused. Waits as long as the server has no room.
async fn carry_out(
    inside: &Inside,
    caller: &Caller,
    work: &Work,
    row: &Json,
    key: &str,
) -> Option<String> {
    let request = match work.request(row) {
        Ok(request) => request,
        Err(why) => return Some(why),
    };
    let (mut pause, longest) = PAUSES;
    loop {
        let (method, body) = (request.method.clone(), request.body.as_ref());
        let headers = [(IDEMPOTENCY_KEY, key)];
        let answer = inside.ask(caller, method, &request.target, body, &headers).await;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            return refusal(&answer);
        }
        sleep(pause).await;
        pause = (2 * pause).min(longest);
    }
}

/// What is wrong, of a refusal: at least something.
pub(super) fn refusals(answer: &Answer) -> Vec<Wrong> {
    let errors = answer.errors();
    if answer.status.is_success() || !errors.is_empty() {
        return errors;
    }
    let status = format!("answered {}", answer.status);
    vec![Wrong { member: None, message: status.clone(), detail: status }]
}

fn refusal(answer: &Answer) -> Option<String> {
    if answer.status.is_success() {
        return None;
    }
    let details: Vec<String> = refusals(answer).into_iter().map(|wrong| wrong.detail).collect();
    Some(details.join("; ").chars().take(MESSAGE_CHARS_MAX).collect())
}

/// Proves the balances of some accounts; the position is the last account that is done with.
async fn verify_step(app: &App, task: &Task) -> Result<Option<TaskStep>, StoreError> {
    let from = task.position;
    if from == Range::ALL.last {
        return Ok(None);
    }
    let (checked, rest) = verify_slice(&app.store, Range { after: from, ..Range::ALL }).await?;
    let told = checked.findings.into_iter().zip(task.failed + 1..);
    let failures: Vec<TaskFailure> = told
        .map(|(finding, number)| TaskFailure {
            number,
            place: format!("account {}", finding.account),
            message: finding.message.chars().take(MESSAGE_CHARS_MAX).collect(),
        })
        .collect();
    let untold = i64::try_from(checked.untold).unwrap_or_default();
    let failed = i64::try_from(failures.len()).unwrap_or_default() + untold;
    let done = i64::try_from(checked.journals).unwrap_or_default();
    let to = rest.map_or(Range::ALL.last, |rest| rest.after);
    Ok(Some(TaskStep { from, to, done, failures, failed, made: None }))
}

/// Makes some lines of a file. What the API refuses is told as a failure, and is the end.
async fn export_step(
    inside: &Inside,
    caller: &Caller,
    task: &Task,
    export: &Export,
) -> Result<Option<TaskStep>, StoreError> {
    const END: i64 = i64::MAX;
    let from = task.position;
    if from == END {
        return Ok(None);
    }
    let (mut pause, longest) = PAUSES;
    loop {
        match export.part(inside, caller, from).await {
            Ok(part) => {
                let lines = String::from_utf8_lossy(&part.lines).into_owned();
                return Ok(Some(TaskStep {
                    from,
                    to: part.next.unwrap_or(END),
                    done: part.count,
                    failures: Vec::new(),
                    failed: 0,
                    made: Some((task.done + 1, lines)),
                }));
            }
            Err(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                sleep(pause).await;
                pause = (2 * pause).min(longest);
            }
            Err(answer) => {
                let message = refusal(&answer).unwrap_or_default();
                let place = format!("behind {} rows", task.done);
                let failures = vec![TaskFailure { number: task.failed + 1, place, message }];
                let step = TaskStep { from, to: END, done: 0, failures, failed: 1, made: None };
                return Ok(Some(step));
            }
        }
    }
}

/// Waits for all of them, of which no more than [`ROWS_IN_FLIGHT`] are under way at once.
pub(super) async fn in_flight<T, F>(all: impl Iterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut ended: Vec<(usize, T)> = Vec::new();
    for (number, one) in all.enumerate() {
        if running.len() >= ROWS_IN_FLIGHT {
            ended.extend(next_of(&mut running).await);
        }
        running.spawn(async move { (number, one.await) });
    }
    while let Some(one) = next_of(&mut running).await {
        ended.push(one);
    }
    ended.sort_unstable_by_key(|(number, _)| *number);
    ended.into_iter().map(|(_, one)| one).collect()
}

async fn next_of<T: Send + 'static>(running: &mut JoinSet<T>) -> Option<T> {
    match running.join_next().await? {
        Ok(one) => Some(one),
        // A panic goes up; nobody breaks these off but whoever waits here.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
