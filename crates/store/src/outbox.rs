//! Lines of deliveries: what goes one after another, and who delivers it until when.
//!
//! A line is there while deliveries wait in it. Whoever claims one may deliver until it is due
//! again, and then lets it go: at once, later, or for good. A claim saves work, and guards
//! nothing: a node that was frozen may deliver what another one has delivered meanwhile.

use jiff::Timestamp;
use jsonapi::{Record, Resource, Value};

use crate::error::StoreError;
use crate::row::Row;
use crate::statement::Statement;
use crate::store::Store;
use crate::tx::Tx;

/// More waiting deliveries are not counted, and no more errands.
const BACKLOG_COUNTED_MAX: i64 = 100_000;
/// Slow receivers that one look finds; others are found when these have been served.
const TARGETS_MAX: usize = 1_000;

const JOIN: &str = "INSERT INTO delivery_lines (name, target, due_at, failures, joined) \
    VALUES ($1, $2, $3, $4, 1) \
    ON CONFLICT (name) DO UPDATE SET joined = delivery_lines.joined + 1";
const HURRY: &str = "UPDATE delivery_lines SET due_at = $1 \
    WHERE name = $2 AND due_at > $1 AND holder IS NULL";
const HURRY_TARGET: &str = "UPDATE delivery_lines SET due_at = $1 \
    WHERE target = $2 AND due_at > $1 AND holder IS NULL";
const CLAIM: &str = "UPDATE delivery_lines SET due_at = $1, holder = $2 \
    WHERE name = $3 AND due_at <= $4";
const CLOSE: &str = "DELETE FROM delivery_lines WHERE name = $1 AND holder = $2 AND joined = $3";
const RETURN: &str = "UPDATE delivery_lines SET due_at = $1, failures = $2, holder = NULL \
    WHERE name = $3 AND holder = $4";
const FIRST_TARGET: &str = "SELECT target FROM delivery_lines WHERE target > $1 \
    ORDER BY target LIMIT 1";
const DUE: &str = "SELECT name FROM delivery_lines \
    WHERE target = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3";
const CLAIMED: &str = "SELECT name, failures, joined FROM delivery_lines \
    WHERE target = $1 AND due_at = $2 AND holder = $3";
const JOINED: &str = "SELECT joined FROM delivery_lines WHERE name = $1";
const COUNT: &str = "SELECT \
    (SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'pending' LIMIT $1) AS waiting) + \
    (SELECT count(*) FROM (SELECT 1 FROM errands LIMIT $1) AS untried)";
const NTH_LATEST_MAIL: &str = "SELECT sent_at FROM email_logs \
    WHERE contact_id = $1 AND sent_at IS NOT NULL ORDER BY sent_at DESC LIMIT 1 OFFSET $2";
const OLDEST: &str = "SELECT queued_at FROM deliveries WHERE state = 'pending' \
    ORDER BY queued_at LIMIT 1";

/// A line as it was when it was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Attempts in a row that have failed.
    pub failures: i64,
    /// How often something had joined it.
    pub joined: i64,
}

/// How a line is left by whoever held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing waits in it, unless something has joined it meanwhile.
    Empty,
    /// Something waits in it.
    Waiting {
        /// When to go on.
        due: Timestamp,
        /// Attempts in a row that have failed.
        failures: i64,
    },
}

/// What waits to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// How many deliveries and errands; no more than 100,000 are counted of either.
    pub waiting: i64,
    /// Since when the oldest of the deliveries waits.
    pub oldest: Option<Timestamp>,
}

impl Tx {
    /// Puts a delivery that this transaction inserts into its line, which is due at `due` after so
    /// many failures, if it is new. Whoever waits at [`Store::stirred`] hears of it.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn join_line(
        &mut self,
        line: &str,
        target: &str,
        due: Timestamp,
        failures: i64,
    ) -> Result<(), StoreError> {
        self.stir();
        let params =
            vec![Value::text(line), Value::text(target), Value::Time(due), Value::Int(failures)];
        self.leave(Statement::new(JOIN, params)).await
    }

    /// Makes a line due now that waits for a later time, unless somebody holds it.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn hurry_line(&mut self, line: &str, now: Timestamp) -> Result<(), StoreError> {
        self.stir();
        self.leave(Statement::new(HURRY, vec![Value::Time(now), Value::text(line)])).await
    }

    /// As [`Self::hurry_line`], with all lines of a target.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn hurry_target(&mut self, target: &str, now: Timestamp) -> Result<(), StoreError> {
        self.stir();
        self.leave(Statement::new(HURRY_TARGET, vec![Value::Time(now), Value::text(target)])).await
    }

    /// Takes lines that are due, until `until`. Which of them are the holder's is known after the
    /// commit: [`Store::claimed_lines`].
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn claim_lines(
        &mut self,
        names: &[String],
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        for name in names {
            let params =
                vec![Value::Time(until), Value::text(holder), Value::text(name), Value::Time(now)];
            self.leave(Statement::new(CLAIM, params)).await?;
        }
        Ok(())
    }

    /// Leaves a line that the holder has claimed, unless it is another's by now. `now` is when a
    /// line is due that was to be empty and is not.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn leave_line(
        &mut self,
        line: &Line,
        holder: &str,
        left: Left,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (due, failures) = match left {
            Left::Waiting { due, failures } => (due, failures),
            Left::Empty => (now, 0),
        };
        let (name, holder) = (Value::text(&line.name), Value::text(holder));
        let params = vec![Value::Time(due), Value::Int(failures), name.clone(), holder.clone()];
        let back = Statement::new(RETURN, params);
        if left == Left::Empty {
            let params = vec![name, holder, Value::Int(line.joined)];
            self.leave(Statement::new(CLOSE, params)).await?;
            return self.leave(back.or_else()).await;
        }
        self.leave(back).await
    }
}

impl Store {
    /// Ends when a transaction of this process has put something into a line, which may have been
    /// before the call.
    pub async fn stirred(&self) {
        self.handover.lines.notified().await;
    }

    /// Every target that has lines, up to a thousand of those behind `after`.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn line_targets(&self, after: &str) -> Result<Vec<String>, StoreError> {
        self.reading(async |session| {
            let mut targets: Vec<String> = Vec::new();
            // A walk from one target to the next: the lines between them are stepped over.
            while targets.len() < TARGETS_MAX {
                let last = targets.last().map_or(after, String::as_str);
                let params = [Value::text(last)];
                match session.read_one(FIRST_TARGET, &params, |row| row.text(0)).await? {
                    Some(next) => targets.push(next),
                    None => break,
                }
            }
            Ok(targets)
        })
        .await
    }

    /// Up to `limit` lines of a target that are due, the longest due first.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn due_lines(
        &self,
        target: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = [Value::text(target), Value::Time(now), Value::Int(limit)];
        self.reading(async |session| {
            let mut names = Vec::new();
            let visit = |row: Row<'_>| {
                names.push(row.text(0)?);
                Ok(())
            };
            session.read(DUE, &params, visit).await?;
            Ok(names)
        })
        .await
    }

    /// The lines of a target that the holder has claimed until `until`, which no other claim of its
    /// ends at.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn claimed_lines(
        &self,
        target: &str,
        holder: &str,
        until: Timestamp,
    ) -> Result<Vec<Line>, StoreError> {
        let params = [Value::text(target), Value::Time(until), Value::text(holder)];
        self.reading(async |session| {
            let mut lines = Vec::new();
            let visit = |row: Row<'_>| {
                lines.push(Line { name: row.text(0)?, failures: row.int(1)?, joined: row.int(2)? });
                Ok(())
            };
            session.read(CLAIMED, &params, visit).await?;
            Ok(lines)
        })
        .await
    }

    /// How often something has joined a line by now; `None` where there is no such line.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn line_joined(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let params = [Value::text(name)];
        self.reading(async |session| session.read_one(JOINED, &params, |row| row.int(0)).await)
            .await
    }

    /// The first deliveries that wait in a line behind the event and the delivery `after`, in the
    /// order of their events, up to `limit`, each with the record of `others` that its first
    /// relationship, the event, names, unless that is gone.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn waiting_in_line(
        &self,
        deliveries: &'static Resource,
        others: &'static Resource,
        line: &str,
        after: (i64, i64),
        limit: u32,
    ) -> Result<Vec<(Record, Option<Record>)>, StoreError> {
        let numbers = [after.0, after.1, i64::from(limit)].map(Value::Int);
        let params = [&[Value::text(line)], numbers.as_slice()].concat();
        self.reading(async |session| {
            let table = self.tables().of(deliveries);
            let sql = format!(
                "{} WHERE line = $1 AND state = 'pending' AND (event_id, id) > ($2, $3) \
                 ORDER BY event_id, id LIMIT $4",
                table.select
            );
            let mut waiting = Vec::new();
            let visit = |row: Row<'_>| {
                waiting.push(table.record(row)?);
                Ok(())
            };
            session.read(&sql, &params, visit).await?;
            let others = self.tables().of(others);
            let mut found = Vec::with_capacity(waiting.len());
            for delivery in waiting {
                let key = [delivery.links[0].map_or(Value::Null, Value::Int)];
                let read = |row: Row<'_>| others.record(row);
                let other = session.read_one(&others.select_one, &key, read).await?;
                found.push((delivery, other));
            }
            Ok(found)
        })
        .await
    }

    /// When the `nth` mail to a contact was sent, counted back from the latest, which is the first.
    /// `None` when there are not so many, and for 0.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn nth_latest_mail(
        &self,
        contact: i64,
        nth: u32,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Some(skipped) = nth.checked_sub(1) else { return Ok(None) };
        let params = [Value::Int(contact), Value::Int(i64::from(skipped))];
        self.reading(async |session| {
            session.read_one(NTH_LATEST_MAIL, &params, |row| row.time(0)).await
        })
        .await
    }

    /// What waits to be delivered.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.reading(async |session| {
            let most = [Value::Int(BACKLOG_COUNTED_MAX)];
            let waiting = session.read_one(COUNT, &most, |row| row.int(0)).await?;
            let oldest = session.read_one(OLDEST, &[], |row| row.time(0)).await?;
            Ok(Backlog { waiting: waiting.unwrap_or_default(), oldest })
        })
        .await
    }
}
