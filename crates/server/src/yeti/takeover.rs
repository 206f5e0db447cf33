//! The way through YETI's tables: in the order in which rows point at each other, slice by slice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::yeti::{
    YetiAccount, YetiContact, YetiContractor, YetiInvoiceTemplate, YetiPayment, YetiSmtpConnection,
    YetiSource,
};
use store::{StoreError, Tx};

use super::admit::{Outcome, admit};
use super::arrivals::{Absent, Arrival, Arrives, Surroundings};
use super::report::Report;
use crate::app::App;
use crate::clock::Moment;
use crate::error::ApiError;

/// Rows of one operation.
const SLICE_ROWS: usize = 200;
/// Longest pause after a slice.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often a slice is tried while the database is unavailable. A try waits for a lock for
/// seconds.
const TRIES_MAX: usize = 12;

/// An import whose source is open, ready to run.
#[derive(Debug)]
pub struct Takeover {
    source: YetiSource,
    dry_run: bool,
    absent: Absent,
    report: Report,
}

impl Takeover {
    /// Opens the database of YETI at `url`, to take it as it is now.
    ///
    /// # Errors
    /// One line that says why it cannot be read.
    pub async fn begin(url: &str, dry_run: bool) -> anyhow::Result<Self> {
        let source = YetiSource::open(url).await?;
        Ok(Self { source, dry_run, absent: Absent::default(), report: Report::new(dry_run) })
    }

    /// Takes every row that may be taken, and prints what became of all. Says whether every row is
    /// here now, or would be.
    ///
    /// # Errors
    /// When YETI's database cannot be read any more, or ours stays unavailable. What was taken
    /// until then stays.
    pub async fn run(&mut self, app: &Arc<App>) -> anyhow::Result<bool> {
        let ended = self.run_tables(app).await;
        let left_behind = match ended {
            Ok(()) => self.source.left_behind().await,
            Err(_) => Ok(Vec::new()),
        };
        self.report.finish(left_behind.as_deref().unwrap_or_default());
        ended?;
        left_behind?;
        Ok(self.report.is_complete())
    }

    async fn run_tables(&mut self, app: &Arc<App>) -> anyhow::Result<()> {
        self.take::<YetiSmtpConnection>(app).await?;
        self.take::<YetiInvoiceTemplate>(app).await?;
        self.take::<YetiContractor>(app).await?;
        self.take::<YetiContact>(app).await?;
        self.take::<YetiAccount>(app).await?;
        self.take::<YetiPayment>(app).await
    }

    /// Takes the rows of one table.
    async fn take<R: Arrives>(&mut self, app: &Arc<App>) -> anyhow::Result<()> {
        let mut rows = self.source.rows::<R>().await?;
        self.report.begin(R::TABLE);
        loop {
            let rows = rows.next(SLICE_ROWS).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let (moment, started) = (app.moment(), Instant::now());
            let here = Surroundings { app, moment, absent: &self.absent };
            let arrivals = rows.into_iter().map(|row| row.arrive(here));
            let arrivals = Arc::new(arrivals.collect::<Result<Vec<_>, _>>()?);
            let outcomes = write(app, &arrivals, moment, self.dry_run).await?;
            for (arrival, outcome) in arrivals.iter().zip(outcomes) {
                self.report.tell(arrival.id, &outcome, &arrival.changes);
                if matches!(outcome, Outcome::Conflict(_) | Outcome::LeftOut(_)) {
                    self.absent.add(R::RESOURCE.kind, arrival.id);
                } else if let Some(balance) = arrival.balance() {
                    self.report.add_balance(balance);
                }
            }
            self.report.show_progress();
            // Another process, the server above all, gets the database for as long.
            tokio::time::sleep(started.elapsed().min(PAUSE_MAX)).await;
        }
    }
}

/// Lets a slice in, in one transaction, and again while another process holds the database.
async fn write(
    app: &App,
    arrivals: &Arc<Vec<Arrival>>,
    moment: Moment,
    dry_run: bool,
) -> Result<Vec<Outcome>, ApiError> {
    let mut tries = 1;
    loop {
        let arrivals = Arc::clone(arrivals);
        let operation = async move |tx: &mut Tx| admit(tx, &arrivals, moment, dry_run).await;
        match app.store.write(operation).await {
            Err(ApiError::Store(StoreError::Unavailable(_))) if tries < TRIES_MAX => tries += 1,
            ended => return ended,
        }
    }
}
