//! What PostgreSQL can do on this machine without anything of ours: pgbench's rates (P), with
//! statements that the server prepares, too.

use std::fmt;

use anyhow::Context;

use crate::cluster::{Cluster, run};

/// What pgbench does that is compared with a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Reads one account.
    Select,
    /// Inserts the rows of one `POST create`.
    Insert,
    /// Changes the balance of the same account.
    HotUpdate,
}

/// Transactions per second of each [`Limit`], with its [`Limit::clients`].
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    select: f64,
    insert: f64,
    hot_update: f64,
}

/// Clients that read.
const SELECT_CLIENTS: usize = 8;
/// Clients that write.
const WRITE_CLIENTS: usize = 32;

const SELECT: &str = "\\set id random(1, :accounts)\nSELECT * FROM accounts WHERE id = :id;\n";
const HOT_UPDATE: &str = "UPDATE accounts SET balance = balance + 1 WHERE id = 1;\n";
/// What `POST create` of the founding document leaves in the database.
const INSERT: &str = include_str!("../pgbench/insert.sql");

impl Limit {
    fn script(self) -> &'static str {
        match self {
            Self::Select => SELECT,
            Self::Insert => INSERT,
            Self::HotUpdate => HOT_UPDATE,
        }
    }

    /// Clients that it is set with.
    pub fn clients(self) -> usize {
        match self {
            Self::Select => SELECT_CLIENTS,
            Self::Insert | Self::HotUpdate => WRITE_CLIENTS,
        }
    }

    /// Transactions per second, for so many seconds, on a database with so many accounts.
    pub async fn per_sec(
        self,
        cluster: &Cluster,
        database: &str,
        accounts: u64,
        seconds: f64,
    ) -> anyhow::Result<f64> {
        let (clients, secs) = (self.clients(), seconds.round().max(1.0));
        let mut pgbench = cluster.program("pgbench");
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--file=-", "--jobs=2"]);
        pgbench.arg(format!("--client={clients}")).arg(format!("--time={secs}"));
        pgbench.arg(format!("--define=accounts={accounts}")).arg(database);
        tps(&run(pgbench, self.script()).await?)
    }
}

impl Rates {
    /// Measures all of them, each for so many seconds, on a database with so many accounts.
    pub async fn measure(
        cluster: &Cluster,
        database: &str,
        accounts: u64,
        seconds: f64,
    ) -> anyhow::Result<Self> {
        let rate = async |limit: Limit| limit.per_sec(cluster, database, accounts, seconds).await;
        Ok(Self {
            select: rate(Limit::Select).await?,
            insert: rate(Limit::Insert).await?,
            hot_update: rate(Limit::HotUpdate).await?,
        })
    }

    /// That of this limit.
    pub fn of(&self, limit: Limit) -> f64 {
        match limit {
            Limit::Select => self.select,
            Limit::Insert => self.insert,
            Limit::HotUpdate => self.hot_update,
        }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { select, insert, hot_update } = self;
        write!(f, "select {select:.0}/s ({SELECT_CLIENTS} clients), insert {insert:.0}/s and ")?;
        write!(f, "hot-row update {hot_update:.0}/s ({WRITE_CLIENTS} clients)")
    }
}

/// The rate that pgbench tells last, without the time to connect.
fn tps(told: &str) -> anyhow::Result<f64> {
    let rate = told.lines().rev().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rate| rate.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench tells no rate: {told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_old_and_new_versions_tell() {
        let new = "latency average = 0.1 ms\ntps = 44605.917211 (without initial connection time)";
        let old = "tps = 9.5 (including connections establishing)\n\
                   tps = 12.5 (excluding connections establishing)";
        assert!((tps(new).unwrap() - 44_605.917_211).abs() < 1e-6);
        assert!((tps(old).unwrap() - 12.5).abs() < 1e-6);
        assert!(tps("number of failed transactions: 0").is_err());
    }
}
