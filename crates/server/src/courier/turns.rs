//! Asks whether errands may be run: whoever asks while a question is under way asks with the next.
//! On a busy node, many do.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError};

use jsonapi::Record;
use store::{AskedErrand, Errand, StoreError, Turn};
use tokio::sync::oneshot;

use crate::app::App;
use crate::outbox::{WEBHOOKS, webhook_line};

/// Whether an errand may be run; if so, to which webhook, unless that is gone.
type Answer = Result<(Turn, Option<Arc<Record>>), StoreError>;

/// Who waits for an answer.
type Waiting = (AskedErrand, oneshot::Sender<Answer>);

/// What is asked, and by whom.
#[derive(Debug, Default)]
pub struct Turns {
    waiting: std::sync::Mutex<Vec<Waiting>>,
    /// Held by whoever asks for all that wait.
    asking: tokio::sync::Mutex<()>,
}

impl Turns {
    /// Whether an errand may be run now. None of its account to its webhook is older than `oldest`.
    pub async fn ask(&self, app: &App, errand: &Arc<Errand>, oldest: i64) -> Answer {
        let line = webhook_line(errand.webhook(), errand.event.links[0]);
        let asked = AskedErrand { errand: Arc::clone(errand), line, oldest };
        let (waiting, answered) = oneshot::channel();
        self.with_waiting(|all| all.push((asked, waiting)));
        let asking = self.asking.lock().await;
        // Whoever asked last may have asked for this one, too.
        let (asked, waiting): (Vec<_>, Vec<_>) =
            self.with_waiting(std::mem::take).into_iter().unzip();
        if !asked.is_empty() {
            for (waiting, answer) in waiting.into_iter().zip(answers(app, &asked).await) {
                // Who has gone away has no use for it.
                let _ = waiting.send(answer);
            }
        }
        drop(asking);
        answered.await.map_err(|_| StoreError::Closed)?
    }

    fn with_waiting<T>(&self, change: impl FnOnce(&mut Vec<Waiting>) -> T) -> T {
        // No change of it can be interrupted half done.
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answers(app: &App, asked: &[AskedErrand]) -> Vec<Answer> {
    let turns = match app.store.errand_turns(asked, app.now()).await {
        Ok(turns) => turns,
        Err(error) => return asked.iter().map(|_| Err(error.repeated())).collect(),
    };
    let mut webhooks = HashMap::new();
    let mut answers = Vec::with_capacity(asked.len());
    for (turn, AskedErrand { errand, .. }) in turns.into_iter().zip(asked) {
        if turn != Turn::Now {
            answers.push(Ok((turn, None)));
            continue;
        }
        let webhook = match webhooks.entry(errand.webhook()) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(unknown) => {
                // With its secrets, which no client is shown.
                let found = app.store.find(&WEBHOOKS, errand.webhook()).await;
                unknown.insert(found.map(|found| found.map(Arc::new)))
            }
        };
        answers.push(match webhook {
            Ok(webhook) => Ok((turn, webhook.clone())),
            Err(error) => Err(error.repeated()),
        });
    }
    answers
}
