//! Requests of ours to addresses that others have chosen. They reach the open internet alone,
//! unless more is allowed: an address is looked at when it is connected to, so that a name cannot
//! mean another one by then.

use std::error::Error;
use std::iter::successors;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::addresses::is_public;

/// How much of an answer is read, in bytes.
const BEGINNING_BYTES_MAX: usize = 1024;
/// Connections to one host that wait for the next request.
const IDLE_MAX: usize = 16;
/// How long they wait.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// Posts to addresses that others have chosen.
#[derive(Debug)]
pub struct Outbound {
    client: Client,
    allow_private: bool,
    time_max: Duration,
}

/// What was answered to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The beginning of the body, 1 KB at most: what is no UTF-8 is replaced, NUL left out.
    pub beginning: String,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The address cannot be read.
    #[error("the address is invalid")]
    Invalid,
    /// What is there is none of the sender's business.
    #[error("the address is not one of the open internet")]
    NotPublic,
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TooLate(Duration),
    /// There was no connection.
    #[error("cannot connect: {0}")]
    Unconnected(String),
    /// The connection was there, and did not hold or was not understood.
    #[error("the connection failed: {0}")]
    Broken(String),
}

impl Outbound {
    /// What posts, giving up after `time_max`: name, connection, request and answer together.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(allow_private: bool, time_max: Duration) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        // Without any, https fails and says so; http works.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .dns_resolver(Resolver { allow_private })
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .timeout(time_max)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIME_MAX)
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { client, allow_private, time_max })
    }

    /// Posts a body, and reads the beginning of what is answered.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, Unanswered> {
        let url = Url::parse(url).map_err(|_| Unanswered::Invalid)?;
        // An address that is written out does not come to the resolver.
        let written_out = url.host_str().and_then(|host| {
            host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()
        });
        if written_out.is_some_and(|address| !self.allow_private && !is_public(address)) {
            return Err(Unanswered::NotPublic);
        }
        let sent = self.client.post(url).headers(headers).body(body).send().await;
        let response = sent.map_err(|error| self.reason(&error))?;
        let status = response.status().as_u16();
        Ok(Answer { status, beginning: beginning(response).await })
    }

    fn reason(&self, error: &reqwest::Error) -> Unanswered {
        let causes = || {
            let first: Option<&(dyn Error + 'static)> = error.source();
            successors(first, |cause: &&(dyn Error + 'static)| (*cause).source())
        };
        if causes().any(<dyn Error>::is::<Unanswered>) {
            return Unanswered::NotPublic;
        }
        if error.is_timeout() {
            return Unanswered::TooLate(self.time_max);
        }
        // The last cause is what the system, or TLS, has said; those before it say where.
        let last = causes().last().map(ToString::to_string).unwrap_or_default();
        if error.is_connect() { Unanswered::Unconnected(last) } else { Unanswered::Broken(last) }
    }
}

/// Who asks.
const USER_AGENT: &str = concat!("tollkeeper/", env!("CARGO_PKG_VERSION"));

/// The first bytes of a body, as text. The answer is the status: a body that breaks off, or does
/// not come to its end, is as long as it was.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < BEGINNING_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(BEGINNING_BYTES_MAX);
    let mut text = String::from_utf8_lossy(&bytes).replace('\0', "");
    text.truncate(text.floor_char_boundary(BEGINNING_BYTES_MAX));
    text
}

/// Finds the addresses of a name, and keeps to itself those that are not to be reached.
struct Resolver {
    allow_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            if !allow_private && is_local(name.as_str()) {
                return Err(Unanswered::NotPublic.into());
            }
            // The port is that of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good = admissible(found, allow_private)?;
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a name that may be connected to, if there are any.
fn admissible(
    found: impl Iterator<Item = SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, Unanswered> {
    let good: Vec<SocketAddr> =
        found.filter(|found| allow_private || is_public(found.ip())).collect();
    if good.is_empty() { Err(Unanswered::NotPublic) } else { Ok(good) }
}

/// Names of this machine, whatever they resolve to (RFC 6761, 6.3).
fn is_local(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_with_addresses_inside_and_outside_only_the_latter_are_used() {
        let all = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"].map(|address| address.parse().unwrap());
        assert_eq!(admissible(all.into_iter(), true).unwrap(), all);
        assert_eq!(admissible(all.into_iter(), false).unwrap(), all[1..2]);
        assert_eq!(admissible(all.into_iter().skip(2), false), Err(Unanswered::NotPublic));
    }

    #[test]
    fn names_of_this_machine_are_known() {
        for local in ["localhost", "LOCALHOST.", "a.b.localhost"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["localhost.example.org", "notlocalhost", "example.org"] {
            assert!(!is_local(other), "{other}");
        }
    }
}
