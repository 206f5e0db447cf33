//! Takes what is to be delivered to the receivers, beside the requests.
//!
//! Every node has a courier. It runs the errands that the node's own commits hand over to it, and
//! serves the lines in which all else waits, wherever it comes from.

mod errands;
mod lines;
mod turns;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;

/// How long deliveries that have begun may take to end.
const STOP_TIME_MAX: Duration = Duration::from_secs(15);

/// The courier of a running server.
#[derive(Debug)]
pub struct Courier {
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Courier {
    /// Starts to deliver.
    #[must_use]
    pub fn start(app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(false);
        // What was left before has its turn first.
        app.store.run_errands(false);
        let errands = errands::run(Arc::clone(app), stopped.clone());
        let overdue = errands::look_after_overdue(Arc::clone(app), stopped.clone());
        let lines = lines::run(Arc::clone(app), stopped);
        let running = tokio::spawn(async move {
            tokio::join!(errands, overdue, lines);
        });
        Self { stop, running }
    }

    /// Stops to take anything on, and waits a little for what has begun.
    pub async fn stop(self) {
        // One that has ended does not listen.
        let _ = self.stop.send(true);
        if tokio::time::timeout(STOP_TIME_MAX, self.running).await.is_err() {
            tracing::warn!("a delivery did not end in time: it may come twice");
        }
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // Without a sender nobody waits for the end.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// 0 to 1023.
fn chance() -> u32 {
    u32::try_from(RandomState::new().hash_one(()) % 1024).unwrap_or_default()
}
