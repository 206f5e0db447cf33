//! The console's pages of accounts, one after the other in one browser's place: how long somebody
//! waits who looks at them.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::client::Connection;
use crate::figures::View;
use crate::server::ServerProcess;

/// The password of the operator that [`crate::fill`] adds.
pub const PASSWORD: &str = "benchmark";
/// How often each view is asked for.
const TIMES: usize = 60;

/// What is looked at: a name and an address.
const VIEWS: [(&str, &str); 13] = [
    ("first page", "/accounts"),
    ("page 200", "/accounts?page[number]=200"),
    ("by name", "/accounts?sort=name"),
    ("by balance, descending", "/accounts?sort=-balance"),
    ("blocked", "/accounts?filter[limit-state_eq]=blocked"),
    ("near the floor", "/accounts?filter[limit-state_eq]=near-floor"),
    ("below a threshold", "/accounts?filter[threshold-state_eq]=1"),
    ("of a contractor", "/accounts?filter[contractor.id]=7"),
    (
        "of a contractor, blocked",
        "/accounts?filter[contractor.id]=7&filter[limit-state_eq]=blocked",
    ),
    ("balance above 1", "/accounts?filter[balance_gt]=1"),
    ("name contains 77", "/accounts?filter[name_cont]=77"),
    ("search: account 77", "/accounts?q=account%2077"),
    ("search: tractor 7", "/accounts?q=tractor%207"),
];

/// Asks for each view, many times.
pub async fn measure(node: &ServerProcess, accounts: u64) -> anyhow::Result<Vec<View>> {
    let mut connection = Connection::open(node.address).await?;
    let form = format!("name=bench&password={PASSWORD}");
    let length = form.len();
    let sign_in = format!(
        "POST /sign-in HTTP/1.1\r\nhost: example.org\r\ncontent-length: {length}\r\n\r\n{form}"
    );
    let head = connection.exchange(sign_in.as_bytes(), b"303").await?;
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.and_then(|line| line.split(';').next()).context("there is no cookie")?;
    let cookie = cookie.to_owned();
    let mut views = Vec::new();
    for (name, path) in VIEWS {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: example.org\r\ncookie: {cookie}\r\n\r\n");
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..TIMES {
            let sent = Instant::now();
            connection
                .exchange(request.as_bytes(), b"200")
                .await
                .with_context(|| format!("the console's view {name:?}"))?;
            times.push(sent.elapsed());
        }
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        views.push(View { accounts, name, p50: at(50), p95: at(95) });
    }
    Ok(views)
}
