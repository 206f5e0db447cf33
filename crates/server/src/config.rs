//! One typed configuration: flags over environment over file over defaults.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use ipnet::IpNet;
use jiff::SignedDuration;
use serde::Deserialize;
use store::Database;

use crate::app::{Delivering, Staying};

/// Read when `--config` names no other; missing is fine.
const FILE: &str = "tollkeeper.toml";

/// Settings as they may be given: as flags, in the environment, or in the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address and port to serve [default: 127.0.0.1:3000]
    #[arg(long, global = true, env = "TOLLKEEPER_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// Database [default: sqlite:data/tollkeeper.db]
    #[arg(
        long,
        global = true,
        env = "TOLLKEEPER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<String>,
    /// Read-only copy of a PostgreSQL database, for lists and reports
    #[arg(
        long,
        global = true,
        env = "TOLLKEEPER_REPLICA_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    replica_url: Option<String>,
    /// Writing connections to PostgreSQL [default: 4]
    #[arg(long, global = true, env = "TOLLKEEPER_DATABASE_LANES", value_name = "COUNT")]
    database_lanes: Option<usize>,
    /// Reading connections to PostgreSQL [default: 16]
    #[arg(long, global = true, env = "TOLLKEEPER_DATABASE_READERS", value_name = "COUNT")]
    database_readers: Option<usize>,
    /// Seconds that a statement may run at PostgreSQL [default: 10]
    #[arg(long, global = true, env = "TOLLKEEPER_STATEMENT_TIMEOUT_SECS", value_name = "SECONDS")]
    statement_timeout_secs: Option<u32>,
    /// Key of the tokens; never a flag, so that it does not show in process lists
    #[arg(skip)]
    secret: Option<String>,
    /// Seconds until a token expires; 0 is never [default: 600]
    #[arg(long, global = true, env = "TOLLKEEPER_TOKEN_LIFETIME_SECS", value_name = "SECONDS")]
    token_lifetime_secs: Option<u32>,
    /// Password of the first operator, when there is none yet; never a flag
    #[arg(skip)]
    admin_password: Option<String>,
    /// What to log: error, warn, info, debug, or directives by module [default: info]
    #[arg(long, global = true, env = "TOLLKEEPER_LOG", value_name = "LEVEL")]
    log: Option<String>,
    /// Certificate chain in PEM form; with a key, the port speaks HTTPS
    #[arg(long, global = true, env = "TOLLKEEPER_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key in PEM form
    #[arg(long, global = true, env = "TOLLKEEPER_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Networks whose X-Forwarded-* and X-Real-IP headers are believed
    #[arg(
        long,
        global = true,
        env = "TOLLKEEPER_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    trusted_proxies: Option<Vec<String>>,
    /// Connections at once [default: 10000]
    #[arg(long, global = true, env = "TOLLKEEPER_CONNECTIONS_MAX", value_name = "COUNT")]
    connections_max: Option<usize>,
    /// Days that the log of balance notifications is kept; 0 is forever [default: 30]
    #[arg(long, global = true, env = "TOLLKEEPER_BALANCE_NOTIFICATIONS_DAYS", value_name = "DAYS")]
    balance_notifications_days: Option<u16>,
    /// Seconds to go on serving after SIGTERM, with /readyz failing, before connections are
    /// refused: longer than a balancer takes to notice [default: 0]
    #[arg(long, global = true, env = "TOLLKEEPER_DRAIN_SECS", value_name = "SECONDS")]
    drain_secs: Option<u16>,
    /// Whether webhooks may be at private, loopback and link-local addresses [default: false]
    #[arg(long, global = true, env = "TOLLKEEPER_WEBHOOK_ALLOW_PRIVATE", value_name = "BOOL")]
    webhook_allow_private: Option<bool>,
    /// Whether an account's own contacts are mailed of its balance [default: true]
    #[arg(long, global = true, env = "TOLLKEEPER_ACCOUNT_NOTIFICATIONS", value_name = "BOOL")]
    account_notifications: Option<bool>,
    /// Mails to one contact within an hour; what is more comes as one mail. 0 is no limit
    /// [default: 20]
    #[arg(long, global = true, env = "TOLLKEEPER_MAILS_PER_HOUR", value_name = "COUNT")]
    mails_per_hour: Option<u32>,
    /// Days that ended deliveries and the log of mails are kept; 0 is forever [default: 30]
    #[arg(long, global = true, env = "TOLLKEEPER_DELIVERIES_DAYS", value_name = "DAYS")]
    deliveries_days: Option<u16>,
    /// Minutes without a request after which the console asks to sign in again [default: 30]
    #[arg(long, global = true, env = "TOLLKEEPER_CONSOLE_IDLE_MINUTES", value_name = "MINUTES")]
    console_idle_minutes: Option<u16>,
    /// Hours after which the console asks to sign in again, whatever happens [default: 12]
    #[arg(long, global = true, env = "TOLLKEEPER_CONSOLE_HOURS", value_name = "HOURS")]
    console_hours: Option<u16>,
}

/// The configuration that a process runs with.
#[derive(Clone)]
pub struct Config {
    /// Where to serve.
    pub listen: SocketAddr,
    /// The database.
    pub database: Database,
    /// Key of the tokens; generated when missing.
    pub secret: Option<String>,
    /// Seconds until a token expires; 0 is never.
    pub token_lifetime_secs: u32,
    /// Password of the first operator; random when missing.
    pub admin_password: Option<String>,
    /// Log directives.
    pub log: String,
    /// Certificate and key, when the port speaks HTTPS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Proxies whose word is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at once.
    pub connections_max: usize,
    /// Days that the log of balance notifications is kept; 0 is forever.
    pub balance_notifications_days: u16,
    /// Seconds between the wish to stop and the end of new connections, for a balancer to notice.
    /// 0 unless set: without a balancer it would only keep the terminal, and how long one takes to
    /// notice nobody knows but who set it up.
    pub drain_secs: u16,
    /// How events are delivered.
    pub delivering: Delivering,
    /// Days that ended deliveries and the log of mails are kept; 0 is forever.
    pub deliveries_days: u16,
    /// How long people stay signed in to the console.
    pub staying: Staying,
}

impl Config {
    /// Puts together what flags and environment say, what the file says, and the defaults.
    ///
    /// # Errors
    /// One line that names what is wrong.
    pub fn load(given: Settings, file: Option<&Path>) -> anyhow::Result<Self> {
        let kept = read_file(file)?;
        let listen = given.listen.or(kept.listen).unwrap_or_else(|| "127.0.0.1:3000".into());
        let proxies = given.trusted_proxies.or(kept.trusted_proxies).unwrap_or_default();
        let tls_cert = given.tls_cert.or(kept.tls_cert);
        let tls = match (tls_cert, given.tls_key.or(kept.tls_key)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => bail!("tls_cert and tls_key go together: one of them is missing"),
        };
        let text = |given: Option<String>, kept: Option<String>| {
            given.or(kept).filter(|text| !text.is_empty())
        };
        let usual = Delivering::default();
        Ok(Self {
            listen: listen
                .parse()
                .with_context(|| format!("listen: {listen:?} is not an ADDRESS:PORT"))?,
            database: Database {
                url: text(given.database_url, kept.database_url)
                    .unwrap_or_else(|| "sqlite:data/tollkeeper.db".into()),
                replica_url: text(given.replica_url, kept.replica_url),
                lanes: at_least_one(
                    "database_lanes",
                    given.database_lanes.or(kept.database_lanes).unwrap_or(Database::LANES),
                )?,
                readers: at_least_one(
                    "database_readers",
                    given.database_readers.or(kept.database_readers).unwrap_or(Database::READERS),
                )?,
                statement_timeout: Duration::from_secs(u64::from(
                    given
                        .statement_timeout_secs
                        .or(kept.statement_timeout_secs)
                        .unwrap_or(Database::STATEMENT_TIMEOUT_SECS),
                )),
            },
            secret: text(environment("TOLLKEEPER_SECRET")?, kept.secret),
            token_lifetime_secs: given
                .token_lifetime_secs
                .or(kept.token_lifetime_secs)
                .unwrap_or(600),
            admin_password: text(environment("TOLLKEEPER_ADMIN_PASSWORD")?, kept.admin_password),
            log: text(given.log, kept.log).unwrap_or_else(|| "info".into()),
            tls,
            trusted_proxies: proxies
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| {
                    crate::auth::parse_network(text)
                        .with_context(|| format!("trusted_proxies: {text:?} is not a network"))
                })
                .collect::<anyhow::Result<_>>()?,
            connections_max: at_least_one(
                "connections_max",
                given.connections_max.or(kept.connections_max).unwrap_or(10_000),
            )?,
            balance_notifications_days: given
                .balance_notifications_days
                .or(kept.balance_notifications_days)
                .unwrap_or(30),
            drain_secs: given.drain_secs.or(kept.drain_secs).unwrap_or(0),
            delivering: Delivering {
                webhook_allow_private: given
                    .webhook_allow_private
                    .or(kept.webhook_allow_private)
                    .unwrap_or(usual.webhook_allow_private),
                account_notifications: given
                    .account_notifications
                    .or(kept.account_notifications)
                    .unwrap_or(usual.account_notifications),
                mails_per_hour: given
                    .mails_per_hour
                    .or(kept.mails_per_hour)
                    .unwrap_or(usual.mails_per_hour),
                ..usual
            },
            deliveries_days: given.deliveries_days.or(kept.deliveries_days).unwrap_or(30),
            staying: Staying {
                idle: SignedDuration::from_mins(
                    given.console_idle_minutes.or(kept.console_idle_minutes).unwrap_or(30).into(),
                ),
                longest: SignedDuration::from_hours(
                    given.console_hours.or(kept.console_hours).unwrap_or(12).into(),
                ),
            },
        })
    }

    /// The configuration in the form of the file, secrets hidden.
    #[must_use]
    pub fn shown(&self) -> String {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "(set, hidden)".to_owned());
        let proxies: Vec<String> =
            self.trusted_proxies.iter().map(|network| format!("\"{network}\"")).collect();
        let lines = [
            ("listen", Some(format!("{:?}", self.listen.to_string()))),
            ("database_url", Some(format!("{:?}", without_password(&self.database.url)))),
            (
                "replica_url",
                self.database
                    .replica_url
                    .as_ref()
                    .map(|url| format!("{:?}", without_password(url))),
            ),
            ("database_lanes", Some(self.database.lanes.to_string())),
            ("database_readers", Some(self.database.readers.to_string())),
            ("statement_timeout_secs", Some(self.database.statement_timeout.as_secs().to_string())),
            ("secret", hidden(&self.secret)),
            ("token_lifetime_secs", Some(self.token_lifetime_secs.to_string())),
            ("admin_password", hidden(&self.admin_password)),
            ("log", Some(format!("{:?}", self.log))),
            ("tls_cert", self.tls.as_ref().map(|(cert, _)| quoted(cert))),
            ("tls_key", self.tls.as_ref().map(|(_, key)| quoted(key))),
            ("trusted_proxies", Some(format!("[{}]", proxies.join(", ")))),
            ("connections_max", Some(self.connections_max.to_string())),
            ("balance_notifications_days", Some(self.balance_notifications_days.to_string())),
            ("drain_secs", Some(self.drain_secs.to_string())),
            ("webhook_allow_private", Some(self.delivering.webhook_allow_private.to_string())),
            ("account_notifications", Some(self.delivering.account_notifications.to_string())),
            ("mails_per_hour", Some(self.delivering.mails_per_hour.to_string())),
            ("deliveries_days", Some(self.deliveries_days.to_string())),
            ("console_idle_minutes", Some(self.staying.idle.as_mins().to_string())),
            ("console_hours", Some(self.staying.longest.as_hours().to_string())),
        ];
        let mut out = String::new();
        for (name, value) in lines {
            // Writing to a string cannot fail.
            let _ = match value {
                Some(value) if value.starts_with('(') => writeln!(out, "# {name} {value}"),
                Some(value) => writeln!(out, "{name} = {value}"),
                None => writeln!(out, "# {name} is not set"),
            };
        }
        out
    }
}

/// A secret that only the environment may give; empty counts as unset.
fn environment(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).with_context(|| name.to_owned()),
    }
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

fn at_least_one(name: &str, count: usize) -> anyhow::Result<usize> {
    if count == 0 {
        bail!("{name}: 0 would let nobody in");
    }
    Ok(count)
}

/// A database address without the password that it may hold, before the host or as a parameter.
fn without_password(url: &str) -> String {
    let (url, params) = url.split_once('?').unwrap_or((url, ""));
    let params: Vec<&str> = params
        .split('&')
        .map(|param| if param.starts_with("password=") { "password=(hidden)" } else { param })
        .collect();
    let params = params.join("&");
    let mark = if params.is_empty() { "" } else { "?" };
    let bare = match url
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?)))
    {
        Some((scheme, (user, host))) => {
            let name = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{name}:(hidden)@{host}")
        }
        None => url.to_owned(),
    };
    format!("{bare}{mark}{params}")
}

fn read_file(named: Option<&Path>) -> anyhow::Result<Settings> {
    let path = named.unwrap_or(Path::new(FILE));
    if named.is_none() && !path.exists() {
        return Ok(Settings::default());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let line = 1 + error.span().map_or(0, |span| text[..span.start].matches('\n').count());
        anyhow::anyhow!("{}, line {line}: {}", path.display(), error.message().replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> anyhow::Result<Config> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("tollkeeper.toml");
        std::fs::write(&path, text)?;
        Config::load(Settings { log: Some("warn".into()), ..Settings::default() }, Some(&path))
    }

    #[test]
    fn given_settings_win_over_the_file_and_the_file_over_defaults() {
        let config = file("log = \"debug\"\ntoken_lifetime_secs = 0").unwrap();
        assert_eq!((config.log.as_str(), config.token_lifetime_secs), ("warn", 0));
        assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    }

    #[test]
    fn mistakes_are_named_in_one_line() {
        for (text, said) in [
            ("lisen = \"x\"", "line 1: unknown field `lisen`"),
            ("\nlisten = \"x\"", "listen: \"x\" is not an ADDRESS:PORT"),
            ("tls_cert = \"x\"", "one of them is missing"),
            ("trusted_proxies = [\"10.0.0.0/99\"]", "is not a network"),
        ] {
            let error = file(text).err().map(|error| format!("{error:#}")).unwrap();
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let config = file("secret = \"s3cret\"\nadmin_password = \"pa55\"").unwrap();
        let shown = config.shown();
        assert!(!shown.contains("s3cret") && !shown.contains("pa55"), "{shown}");
        assert_eq!(without_password("postgres://u:pw@h/db"), "postgres://u:(hidden)@h/db");
    }
}
