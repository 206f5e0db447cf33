//! Scenarios in turns with pgbench: the machine is not as fast at one time as at another, so that
//! figures of different minutes say little of each other.

use std::time::Duration;

use crate::client::{self, Load};
use crate::database::Database;
use crate::figures::{Turns, middle};
use crate::scenarios::{CREATE, GET_ONE, HOT_PAYMENTS, Scenario};
use crate::server::ServerProcess;

/// What is compared.
const COMPARED: [&str; 3] = [GET_ONE, HOT_PAYMENTS, CREATE];
/// How often.
const ROUNDS: usize = 15;
/// How long each turn takes at most, and pgbench's, which knows whole seconds only.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Those of `chosen` that are compared, on a database with so many accounts.
pub async fn measure(
    database: &Database<'_>,
    node: &ServerProcess,
    (accounts, time): (u64, Duration),
    chosen: impl Iterator<Item = Scenario>,
) -> anyhow::Result<Vec<Turns>> {
    let mut measured = Vec::new();
    let Some((cluster, name)) = database.on_cluster() else { return Ok(measured) };
    for scenario in chosen.filter(|scenario| COMPARED.contains(&scenario.name)) {
        eprintln!("{} in turns with pgbench …", scenario.name);
        let limit = scenario.limit;
        let load = Load { scenario, accounts, connections: limit.clients(), nodes: &[node] };
        let mut ratios = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let of_node = client::run(load, time.min(TURN_MAX)).await?.per_sec;
            let alone = limit.per_sec(cluster, name, accounts, TURN_MAX.as_secs_f64()).await?;
            ratios.push(of_node / alone);
        }
        measured.push(Turns { scenario, accounts, ratio: middle(ratios.into_iter()) });
    }
    Ok(measured)
}
