//! Who used the processors meanwhile: the client, the nodes, or the database.

use std::fs;

use anyhow::Context;

use crate::cluster::Cluster;
use crate::server::ServerProcess;

/// Ticks a second in what Linux tells of processes, on every machine (`USER_HZ`).
const TICKS_PER_SEC: u64 = 100;

/// Processor time in ticks, since the machine and the processes began, or between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    /// The benchmark itself.
    pub client: u64,
    /// All servers under test.
    pub nodes: u64,
    /// PostgreSQL; SQLite is a part of its node.
    pub database: u64,
    /// Nobody, not even a program that has nothing to do with this.
    pub idle: u64,
    /// All there was.
    pub all: u64,
}

impl Ticks {
    /// What they are now.
    pub fn now(nodes: &[&ServerProcess], cluster: Option<&Cluster>) -> anyhow::Result<Self> {
        let mut ticks = Self { client: of_process("self")?, ..Self::default() };
        for node in nodes {
            ticks.nodes += of_process(&node.id()?.to_string())?;
        }
        if let Some(cluster) = cluster {
            ticks.database = of_family(cluster.postmaster())?;
        }
        let machine = fs::read_to_string("/proc/stat")?;
        let all = machine.lines().next().context("the system does not tell its time")?;
        // user, nice, system, idle, waiting for disks, interrupts, soft ones, stolen
        let all: Vec<u64> = all.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
        ticks.idle = all.iter().skip(3).take(2).sum();
        ticks.all = all.iter().sum();
        Ok(ticks)
    }

    /// What has been used since then.
    pub fn since(self, then: Self) -> Self {
        Self {
            client: self.client.saturating_sub(then.client),
            nodes: self.nodes.saturating_sub(then.nodes),
            database: self.database.saturating_sub(then.database),
            idle: self.idle.saturating_sub(then.idle),
            all: self.all.saturating_sub(then.all),
        }
    }

    /// The part of all processors that nobody used, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn idle_part(self) -> f64 {
        self.idle as f64 / self.all as f64
    }
}

/// Microseconds of processor time for each of so many requests.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
pub fn micros_each(ticks: u64, requests: u64) -> f64 {
    (ticks * (1_000_000 / TICKS_PER_SEC)) as f64 / requests as f64
}

/// Of a process with all its threads.
fn of_process(id: &str) -> anyhow::Result<u64> {
    let own = stat(id).with_context(|| format!("the system does not tell the time of {id}"))?;
    Ok(own.own)
}

/// Of a process and its children, those that have ended included.
fn of_family(parent: u32) -> anyhow::Result<u64> {
    let whole = stat(&parent.to_string()).context("the database has ended")?;
    let mut sum = whole.own + whole.ended_children;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // A process may end while the list is read.
        let process = name.to_str().filter(|name| name.starts_with(|c: char| c.is_ascii_digit()));
        sum +=
            process.and_then(stat).filter(|stat| stat.parent == parent).map_or(0, |stat| stat.own);
    }
    Ok(sum)
}

struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

/// `/proc/ID/stat`: behind the name in parentheses, fields are counted from 3 (proc(5)).
fn stat(id: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(14)? + ticks(15)?,
        ended_children: ticks(16)? + ticks(17)?,
    })
}
