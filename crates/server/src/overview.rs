//! What everything comes to: read from the database in slices, each a look of its own, so that
//! nobody waits for it. It is for people who watch, and says of what time it is.

use std::collections::{BTreeMap, VecDeque};

use billing::overview::{Flow, Holdings, Movers};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use jsonapi::{Resource, Value};
use store::{Backlog, Store, StoreError};

use crate::accounts::ACCOUNTS;
use crate::alerts::BALANCE_ALERTS;
use crate::journal::JOURNAL_ENTRIES;

/// Days of the flow of money, this one among them.
pub const DAYS: usize = 14;
/// Rows of one look.
const SLICE: u32 = 2_000;
/// Accounts, and alerts, that are read.
const RECORDS_MAX: u64 = 2_000_000;
/// Entries that are read each time.
pub const ENTRIES_MAX: u64 = 200_000;
/// Movers and raised alerts that are named.
const NAMED_MAX: usize = 8;
/// For how long accounts are looked at that move most.
const MOVING: SignedDuration = SignedDuration::from_hours(24);
/// A day that has been over for so long gets no more entries: an operation is written long before.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// What everything comes to.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Of what time this is.
    pub as_of: Timestamp,
    /// Balances of all accounts.
    pub holdings: Holdings,
    /// Alerts that are raised.
    pub raised: u64,
    /// Those raised last, the latest first.
    pub raised_last: Vec<i64>,
    /// Whether there are more accounts or alerts than were read.
    pub is_cut: bool,
    /// The last days, the latest last.
    pub days: Vec<Day>,
    /// Accounts that moved most within a day.
    pub movers: Vec<(i64, Flow)>,
    /// Since when.
    pub moved_since: Timestamp,
    /// What waits to be delivered.
    pub backlog: Backlog,
}

/// What came and went on a day of UTC.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// Which.
    pub date: Date,
    /// What was read of it.
    pub flow: Flow,
    /// From when on it was read, where that is not its beginning.
    pub read_from: Option<Timestamp>,
}

/// The first moment of a day of UTC.
#[must_use]
pub fn start_of(date: Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX)
}

/// Reads overviews, and remembers days that do not change any more.
#[derive(Debug, Default)]
pub struct Reader {
    settled: BTreeMap<Date, Flow>,
}

impl Reader {
    /// Reads how everything is at `now`.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn read(&mut self, store: &Store, now: Timestamp) -> Result<Overview, StoreError> {
        let (holdings, accounts_cut) = holdings(store).await?;
        let (raised, mut raised_last, alerts_cut) = raised(store).await?;
        raised_last.make_contiguous().sort_unstable();
        let mut walk = Walk { store, left: ENTRIES_MAX, movers: Movers::default(), now };
        let mut days = Vec::with_capacity(DAYS);
        let mut moved_since = now.checked_sub(MOVING).unwrap_or(Timestamp::MIN);
        for back in 0..DAYS {
            let day = self.day(&mut walk, back, moved_since).await?;
            if let Some(read_from) = day.read_from {
                moved_since = moved_since.max(read_from.min(now));
            }
            days.push(day);
        }
        days.reverse();
        self.settled.retain(|date, _| days.first().is_some_and(|first| *date >= first.date));
        Ok(Overview {
            as_of: now,
            holdings,
            raised,
            raised_last: raised_last.into_iter().rev().map(|(_, id)| id).collect(),
            is_cut: accounts_cut || alerts_cut,
            days,
            movers: walk.movers.most(NAMED_MAX),
            moved_since,
            backlog: store.backlog().await?,
        })
    }

    /// The day so many days ago.
    async fn day(
        &mut self,
        walk: &mut Walk<'_>,
        back: usize,
        moving_since: Timestamp,
    ) -> Result<Day, StoreError> {
        let today = TimeZone::UTC.to_datetime(walk.now).date();
        let date = today.saturating_sub(i64::try_from(back).unwrap_or_default().days());
        let (begin, end) = (start_of(date), start_of(date.saturating_add(1.day())));
        let settled = self.settled.get(&date).copied();
        if let Some(flow) = settled.filter(|_| end <= moving_since) {
            return Ok(Day { date, flow, read_from: None });
        }
        let (flow, read_from) = walk.read(begin, end, moving_since).await?;
        match (settled, read_from) {
            (Some(flow), _) => Ok(Day { date, flow, read_from: None }),
            (None, None) => {
                if walk.now.duration_since(end) >= SETTLED_AFTER {
                    self.settled.insert(date, flow);
                }
                Ok(Day { date, flow, read_from })
            }
            (None, Some(_)) => Ok(Day { date, flow, read_from }),
        }
    }
}

/// A walk through the journals of all accounts, from now back.
struct Walk<'a> {
    store: &'a Store,
    /// Entries that may still be read.
    left: u64,
    movers: Movers,
    now: Timestamp,
}

impl Walk<'_> {
    /// Adds up the entries from `begin` until before `end`, the latest first; says from when on, if
    /// not from `begin`.
    async fn read(
        &mut self,
        begin: Timestamp,
        end: Timestamp,
        moving_since: Timestamp,
    ) -> Result<(Flow, Option<Timestamp>), StoreError> {
        let mut flow = Flow::default();
        let mut before = (end, i64::MIN);
        while self.left > 0 {
            let limit = SLICE.min(u32::try_from(self.left).unwrap_or(SLICE));
            let slice = self.store.look_any(async move |snapshot| {
                let mut entries = Vec::new();
                let members = ["created-at", "amount", "account"];
                let read = |id, values: &[Value]| {
                    if let [Value::Time(at), Value::Decimal(amount), Value::Int(account)] = values {
                        entries.push((id, *at, *amount, *account));
                    }
                };
                let bounds = (begin, before);
                snapshot
                    .glance_back(&JOURNAL_ENTRIES, &members, "created-at", bounds, limit, read)
                    .await?;
                Ok(entries)
            });
            let slice = slice.await?;
            for (id, at, amount, account) in &slice {
                flow.add(*amount);
                if *at >= moving_since {
                    self.movers.add(*account, *amount);
                }
                before = (*at, *id);
            }
            if slice.len() < limit as usize {
                return Ok((flow, None));
            }
            self.left -= slice.len() as u64;
            tokio::task::yield_now().await;
        }
        Ok((flow, Some(before.0)))
    }
}

async fn holdings(store: &Store) -> Result<(Holdings, bool), StoreError> {
    let mut holdings = Holdings::default();
    let members = ["balance", "min-balance"];
    let is_cut = each(store, &ACCOUNTS, members, |_, values| {
        if let [Value::Decimal(balance), floor] = values {
            holdings.add(*balance, floor.as_decimal().unwrap_or_default());
        }
    })
    .await?;
    Ok((holdings, is_cut))
}

/// How many alerts are raised, and when the latest of them was.
async fn raised(
    store: &Store,
) -> Result<(u64, VecDeque<(Option<Timestamp>, i64)>, bool), StoreError> {
    let (mut raised, mut last) = (0, VecDeque::new());
    let members = ["raised", "changed-at"];
    let is_cut = each(store, &BALANCE_ALERTS, members, |id, values| {
        if let [Value::Bool(true), changed_at] = values {
            raised += 1;
            last.push_back((changed_at.as_time(), id));
            if last.len() > NAMED_MAX {
                let first = last.iter().enumerate().min_by_key(|(_, raised)| **raised);
                let first = first.map_or(0, |(at, _)| at);
                last.remove(first);
            }
        }
    })
    .await?;
    Ok((raised, last, is_cut))
}

/// Visits two members of all records, up to a bound; whether there are more.
async fn each(
    store: &Store,
    resource: &'static Resource,
    members: [&'static str; 2],
    mut visit: impl FnMut(i64, &[Value; 2]),
) -> Result<bool, StoreError> {
    let (mut after, mut seen) = (0, 0);
    while seen < RECORDS_MAX {
        let slice = store.look_any(async move |snapshot| {
            let mut rows = Vec::new();
            let read = |id, values: &[Value]| {
                if let [one, other] = values {
                    rows.push((id, [one.clone(), other.clone()]));
                }
            };
            snapshot.glance(resource, &members, after, SLICE, read).await?;
            Ok(rows)
        });
        let slice = slice.await?;
        for (id, values) in &slice {
            visit(*id, values);
            after = *id;
        }
        if slice.len() < SLICE as usize {
            return Ok(false);
        }
        seen += slice.len() as u64;
        tokio::task::yield_now().await;
    }
    Ok(true)
}
