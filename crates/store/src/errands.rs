//! Errands: events on their way to a webhook that nobody has tried to post yet.
//!
//! Nearly all deliveries are taken at the first attempt. Such a one is written once, with what has
//! become of it; until then a short row stands for it. Whoever has written the event runs the
//! errand until a time that the row tells. After that, whoever finds the row makes a delivery of
//! it that waits in its line.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use jsonapi::{Record, Value};

use crate::error::StoreError;
use crate::handover::{Errand, Room, account};
use crate::row::Row;
use crate::session::Dialect;
use crate::statement::Statement;
use crate::store::Store;
use crate::tx::Tx;

/// How long an errand is its writer's.
const OWNED: SignedDuration = SignedDuration::from_secs(30);

const ADD: &str = "INSERT INTO errands (webhook_id, account_id, event_id, until) \
    VALUES ($1, $2, $3, $4)";
const ADD_ALL: &str = "INSERT INTO errands (webhook_id, account_id, event_id, until) \
    SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), \
    unnest($4::timestamptz[])";
const END: &str = "DELETE FROM errands WHERE webhook_id = $1 AND account_id = $2 AND event_id = $3";
const END_ALL: &str = "DELETE FROM errands WHERE (webhook_id, account_id, event_id) IN \
    (SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]))";
const LEAVE: &str = "UPDATE errands SET until = $1 \
    WHERE webhook_id = $2 AND account_id = $3 AND event_id = $4";
const LEAVE_ALL: &str = "UPDATE errands SET until = $1 WHERE until > $1";
const DROP: &str = "DELETE FROM errands WHERE webhook_id = $1";
/// Not before an older one of the same account that is still its writer's.
const OVERDUE: &str = "DELETE FROM errands WHERE (webhook_id, account_id, event_id) IN \
    (SELECT late.webhook_id, late.account_id, late.event_id FROM errands AS late LEFT JOIN \
    (SELECT webhook_id, account_id, min(event_id) AS first FROM errands WHERE until > $1 \
    GROUP BY webhook_id, account_id) AS owned \
    ON owned.webhook_id = late.webhook_id AND owned.account_id = late.account_id \
    WHERE late.until <= $2 AND (owned.first IS NULL OR late.event_id < owned.first) \
    ORDER BY late.event_id LIMIT $3) RETURNING event_id, webhook_id, account_id";
const ANY_OVERDUE: &str = "SELECT event_id FROM errands WHERE until <= $1 LIMIT 1";
const OF_ACCOUNT: &str = "SELECT event_id, until FROM errands \
    WHERE webhook_id = $1 AND account_id = $2 AND event_id >= $3 ORDER BY event_id LIMIT $4";
const TAKE: &str = "DELETE FROM errands WHERE webhook_id = $1 AND account_id = $2 \
    AND event_id >= $3 AND event_id <= $4 RETURNING event_id";
const HAS_LINE: &str = "SELECT 1 FROM delivery_lines WHERE name = $1";

/// Whether an errand may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing stands before it.
    Now,
    /// Another one does, of the same account, that somebody is going to run.
    NotYet,
    /// Deliveries wait in the line that it belongs to, or what is going to: it has to wait there,
    /// too.
    InLine,
    /// It is an errand no more.
    Never,
}

/// An errand whose turn is asked for.
#[derive(Clone, Debug)]
pub struct AskedErrand {
    /// Which one.
    pub errand: Arc<Errand>,
    /// The line that it belongs to.
    pub line: String,
    /// No errand of its account to its webhook is of an older event: what has ended leaves its trace
    /// in the database until that is swept, and what holds a broom back, such as a backup, must not
    /// hold the errands back.
    pub oldest: i64,
}

impl AskedErrand {
    /// Asks for the first errand of the account, then for the line: one that has become a delivery
    /// meanwhile is seen in it.
    fn queries(&self) -> [Statement; 2] {
        let Self { errand, line, oldest } = self;
        let oldest = errand.event.key().min(*oldest);
        let of_account = [errand.webhook(), errand.account(), oldest, 1].map(Value::Int);
        [
            Statement::new(OF_ACCOUNT, of_account.into()),
            Statement::new(HAS_LINE, vec![Value::text(line)]),
        ]
    }

    /// What the answers make of it: event and end of the first errand, and whether there is a line.
    fn turn(&self, first: Option<(i64, Timestamp)>, has_line: bool, now: Timestamp) -> Turn {
        let event = self.errand.event.key();
        match first {
            Some((first, until)) if first < event && until > now => Turn::NotYet,
            Some((first, _)) if first < event || (first == event && has_line) => Turn::InLine,
            Some((first, _)) if first == event => Turn::Now,
            _ => Turn::Never,
        }
    }
}

impl Tx {
    /// Makes an errand of an event that this transaction inserts, which this process is to run
    /// after the commit; whether it could: not if nobody runs errands here.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn add_errand(
        &mut self,
        webhook: i64,
        event: &Arc<Record>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // Where there is no room, whoever looks next makes a delivery of it.
        let (place, until) = match self.room(webhook) {
            Room::Nobody => return Ok(false),
            Room::Full => (None, now),
            Room::Free(place) => (Some(place), now + OWNED),
        };
        let key = key(webhook, event);
        self.leave_row(ADD, ADD_ALL, [key, vec![Value::Time(until)]].concat()).await?;
        if let Some(place) = place {
            self.hand_over(Errand { event: Arc::clone(event), until, place });
        }
        Ok(true)
    }

    /// Ends an errand.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn end_errand(&mut self, errand: &Errand) -> Result<(), StoreError> {
        self.leave_row(END, END_ALL, key(errand.webhook(), &errand.event)).await
    }

    /// Leaves an errand to whoever looks next.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn leave_errand(
        &mut self,
        errand: &Errand,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let params = [vec![Value::Time(now)], key(errand.webhook(), &errand.event)].concat();
        self.leave(Statement::new(LEAVE, params)).await
    }

    /// Leaves errands to whoever looks next that processes have not run which are gone. SQLite has
    /// one server, which calls this before it runs any; elsewhere nobody knows who is gone.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn leave_forsaken_errands(&mut self, now: Timestamp) -> Result<(), StoreError> {
        match self.session.dialect() {
            Dialect::Sqlite => self.leave(Statement::new(LEAVE_ALL, vec![Value::Time(now)])).await,
            Dialect::Postgres => Ok(()),
        }
    }

    /// Ends all errands to a webhook.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn drop_errands(&mut self, webhook: i64) -> Result<(), StoreError> {
        self.leave(Statement::new(DROP, vec![Value::Int(webhook)])).await
    }

    /// Ends errands of one account to one webhook, in the order of their events from `oldest` on, up
    /// to the first that is another process's: those that are `mine`, and what nobody has run in
    /// time. Up to `limit` of them: their events.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn take_errands(
        &mut self,
        (webhook, account): (i64, i64),
        oldest: i64,
        mine: &BTreeSet<i64>,
        (now, limit): (Timestamp, u32),
    ) -> Result<Vec<i64>, StoreError> {
        let of_account = [webhook, account, oldest, i64::from(limit)].map(Value::Int);
        let (mut last, mut is_over) = (None, false);
        let visit = |row: Row<'_>| {
            let (event, until) = (row.int(0)?, row.time(1)?);
            is_over |= until > now && !mine.contains(&event);
            last = if is_over { last } else { Some(event) };
            Ok(())
        };
        let read = self.session.read(OF_ACCOUNT, &of_account, visit).await;
        self.noted(read)?;
        let Some(last) = last else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        let visit = |row: Row<'_>| {
            taken.push(row.int(0)?);
            Ok(())
        };
        self.change(TAKE, &[webhook, account, oldest, last].map(Value::Int), visit).await?;
        taken.sort_unstable();
        Ok(taken)
    }

    /// Ends errands that their writers have not run in time, up to `limit`: event, webhook
    /// and account (0 without one) of each, in the order of the events.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn take_overdue_errands(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<[i64; 3]>, StoreError> {
        let mut taken = Vec::new();
        let visit = |row: Row<'_>| {
            taken.push([row.int(0)?, row.int(1)?, row.int(2)?]);
            Ok(())
        };
        let params = [Value::Time(now), Value::Time(now), Value::Int(i64::from(limit))];
        self.change(OVERDUE, &params, visit).await?;
        taken.sort_unstable();
        Ok(taken)
    }
}

impl Store {
    /// From here on, errands are run in this process, or wait until somebody makes deliveries of
    /// them. Before the first call, this process makes no errands.
    pub fn run_errands(&self, runs: bool) {
        self.handover.run_errands(runs);
    }

    /// The errands that were handed over since the last call, as soon as there are any.
    pub async fn errands(&self) -> Vec<Errand> {
        self.handover.errands().await
    }

    /// The errands that were handed over and that nobody will take any more.
    pub fn untaken_errands(&self) -> Vec<Errand> {
        self.handover.untaken_errands()
    }

    /// Whether each of these errands may be run.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn errand_turns(
        &self,
        asked: &[AskedErrand],
        now: Timestamp,
    ) -> Result<Vec<Turn>, StoreError> {
        let queries: Vec<Statement> = asked.iter().flat_map(AskedErrand::queries).collect();
        let mut seen = vec![(None, false); asked.len()];
        self.reading(async |session| {
            let visit = |query: usize, row: Row<'_>| {
                let (first, has_line) = &mut seen[query / 2];
                match query % 2 {
                    0 => *first = Some((row.int(0)?, row.time(1)?)),
                    _ => *has_line = true,
                }
                Ok(())
            };
            session.read_all(&queries, visit).await
        })
        .await?;
        let turn = |(asked, (first, has_line)): (&AskedErrand, _)| asked.turn(first, has_line, now);
        Ok(asked.iter().zip(seen).map(turn).collect())
    }

    /// Whether there are errands that their writers have not run in time.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn has_overdue_errands(&self, now: Timestamp) -> Result<bool, StoreError> {
        let params = [Value::Time(now)];
        let read = |row: Row<'_>| row.int(0);
        let found =
            self.reading(async |session| session.read_one(ANY_OVERDUE, &params, read).await);
        Ok(found.await?.is_some())
    }
}

/// The parameters that say which one.
fn key(webhook: i64, event: &Record) -> Vec<Value> {
    [webhook, account(event), event.key()].map(Value::Int).into()
}
