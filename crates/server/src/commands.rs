//! What the commands do: start the server, look after operators, take files in.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::SignedDuration;
use store::{Operator, Store, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::accounts::judge_older;
use crate::api::API;
use crate::app::{App, Options};
use crate::auth::{Caller, random_password};
use crate::cli::{AdminCommand, ImportCommand};
use crate::config::Config;
use crate::courier::Courier;
use crate::demo;
use crate::http::{Limits, Listener, Service, install_recorder, serve as serve_http};
use crate::inside::Inside;
use crate::jobs::{Jobs, Kept};
use crate::journal::{Finding, Range, open_books, verify_slice};
use crate::operators::{self, Change, check_password, network_list, new_operator};
use crate::payments::{Import, Tally};
use crate::progress::Progress;
use crate::router::router;
use crate::tasks::Runner;
use crate::yeti::Takeover;

/// Name of the operator that an empty database gets.
const FIRST_OPERATOR: &str = "admin";
/// An import that refused rows exits with this.
const ROWS_REFUSED: u8 = 1;

async fn open(config: &Config) -> anyhow::Result<Arc<App>> {
    prepare(config, Store::open(config.database.clone(), API).await?).await
}

/// Makes the application over an open database, whose books are open then too, and whose accounts
/// are judged.
async fn prepare(config: &Config, store: Store) -> anyhow::Result<Arc<App>> {
    let options = Options {
        secret: config.secret.clone(),
        token_lifetime_secs: config.token_lifetime_secs,
        delivering: config.delivering,
        staying: config.staying,
        ..Options::default()
    };
    let app = App::new(store, options).await?;
    open_books(&app.store, app.moment()).await?;
    judge_older(&app).await?;
    Ok(app)
}

/// Serves until a signal says stop.
///
/// # Errors
/// One line that says why the server cannot start.
pub async fn serve(config: Config, with_demo: bool) -> anyhow::Result<()> {
    let tcp = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let tls = config.tls.as_ref().map(|(cert, key)| tls_acceptor(cert, key)).transpose()?;
    install_recorder()?;
    let app = open(&config).await?;
    if with_demo {
        demo::fill(&app).await?;
    }
    welcome_first_operator(&app, config.admin_password.as_deref()).await?;
    // More connections than the usual 1024 files; without the right to raise it, the limit stays.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let spare = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(128).max(64);
    let connections_max = config.connections_max.min(spare);
    let limits = Limits { connections_max, ..Limits::default() };
    let signals = Signals::new()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("tollkeeper {} serves {scheme}://{}", env!("CARGO_PKG_VERSION"), tcp.local_addr()?);
    let days = |days: u16| (days > 0).then(|| SignedDuration::from_hours(24 * i64::from(days)));
    let kept = Kept {
        notifications: days(config.balance_notifications_days),
        deliveries: days(config.deliveries_days),
    };
    let jobs = Jobs::start(&app, kept);
    let courier = Courier::start(&app);
    let api = router(&app);
    let tasks = Runner::start(&app, Inside::new(api.clone()));
    let service = Service::new(api, &config.trusted_proxies).closing_when(Arc::clone(&app.leaving));
    let (close, closed) = oneshot::channel();
    let serving = serve_http(Listener { tcp, tls }, service, limits, async {
        let _ = closed.await;
    });
    let drain = Duration::from_secs(config.drain_secs.into());
    tokio::select! {
        () = serving => tracing::info!("stopped"),
        () = lead_out(&app, signals, drain, close) => tracing::warn!("stopped at once: answers in progress are lost"),
    }
    tokio::join!(jobs.stop(), courier.stop(), tasks.stop());
    Ok(())
}

/// At the first signal, tells everybody to go elsewhere for so long, and then closes the port. Ends at
/// the second signal: somebody is in a hurry.
async fn lead_out(app: &App, mut signals: Signals, drain: Duration, close: oneshot::Sender<()>) {
    signals.next().await;
    app.leave();
    tracing::info!(drain_secs = drain.as_secs(), "stopping");
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        () = signals.next() => return,
    }
    // Only a server that has stopped does not hear it.
    let _ = close.send(());
    signals.next().await;
}

/// The signals that say stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

fn tls_acceptor(cert: &std::path::Path, key: &std::path::Path) -> anyhow::Result<TlsAcceptor> {
    let unreadable = |path: &std::path::Path| format!("cannot read {}", path.display());
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable(cert))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", cert.display());
    }
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and its key do not fit")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Creates the first operator and, unless a password was configured, prints a random one: the
/// only time that it can be seen. Of nodes that start together, one does.
async fn welcome_first_operator(app: &Arc<App>, configured: Option<&str>) -> anyhow::Result<()> {
    let has_operators: bool =
        app.store.write::<_, StoreError, _>(async |tx| tx.has_operators().await).await?;
    if has_operators {
        return Ok(());
    }
    let password = match configured {
        Some(password) => password.to_owned(),
        None => random_password()?,
    };
    let new = new_operator(app, FIRST_OPERATOR, &password, None).await?;
    let added: Result<bool, StoreError> = app
        .store
        .write(async move |tx| {
            if tx.has_operators().await? {
                return Ok(false);
            }
            tx.insert_operator(&new).await.map(|_| true)
        })
        .await;
    let added = match added {
        Err(StoreError::Conflict) => false,
        other => other?,
    };
    if added && configured.is_none() {
        eprintln!("The first operator is {FIRST_OPERATOR:?}, with the password (shown only now):");
        eprintln!("\n    {password}\n");
    }
    Ok(())
}

/// Adds an operator who may sign in.
///
/// # Errors
/// When the name or the password will not do, or the name is taken.
pub async fn add_operator(
    app: &Arc<App>,
    name: &str,
    password: &str,
    allowed_ips: Option<String>,
) -> anyhow::Result<()> {
    Ok(operators::add(app, &Caller::default(), name, password, allowed_ips).await?)
}

/// Looks after operators.
///
/// # Errors
/// One line that says what is wrong.
pub async fn admin(config: Config, command: AdminCommand) -> anyhow::Result<()> {
    let app = open(&config).await?;
    match command {
        AdminCommand::Add { name, allow } => {
            if name.trim().is_empty() {
                bail!("the name is empty");
            }
            let allowed_ips = network_list(&allow)?;
            add_operator(&app, &name, &read_password()?, allowed_ips).await?;
            println!("Added {name:?}.");
        }
        AdminCommand::Passwd { name } => {
            change_operator(&app, &name, Change::Password(read_password()?)).await?;
            println!("Changed the password of {name:?}; older tokens have ended.");
        }
        AdminCommand::Disable { name } => {
            change_operator(&app, &name, Change::Enabled(false)).await?;
            println!("Disabled {name:?}.");
        }
        AdminCommand::Enable { name } => {
            change_operator(&app, &name, Change::Enabled(true)).await?;
            println!("Enabled {name:?}.");
        }
        AdminCommand::Allow { name, networks } => {
            let allowed_ips = network_list(&networks)?;
            let shown = allowed_ips.clone().unwrap_or_else(|| "anywhere".to_owned());
            change_operator(&app, &name, Change::Networks(allowed_ips)).await?;
            println!("{name:?} may come from: {shown}.");
        }
        AdminCommand::List => print_operators(&app.store.operators().await?),
    }
    Ok(())
}

fn print_operators(operators: &[Operator]) {
    println!("{:>4}  {:<24} {:<9} {:<21} ALLOWED FROM", "ID", "NAME", "STATE", "CREATED");
    for operator in operators {
        println!(
            "{:>4}  {:<24} {:<9} {:<21} {}",
            operator.id,
            operator.name,
            if operator.enabled { "enabled" } else { "disabled" },
            operator.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            operator.allowed_ips.as_deref().unwrap_or("anywhere"),
        );
    }
}

/// Prints a token of the configured lifetime.
///
/// # Errors
/// When there is no such operator, or they are disabled.
pub async fn token(config: Config, name: &str) -> anyhow::Result<()> {
    let app = open(&config).await?;
    let operator = app
        .operators
        .named(&app.store, name)
        .await?
        .with_context(|| format!("there is no operator {name:?}"))?;
    if !operator.enabled {
        bail!("{name:?} is disabled");
    }
    println!("{}", app.tokens.issue(operator.id, operator.tokens_valid_from_secs, app.now())?);
    Ok(())
}

/// Checks the journal of one account, or of all, and says what is wrong with it. Fails with 1 when
/// anything is.
///
/// # Errors
/// When the database cannot be read, or there is no such account.
pub async fn verify(config: Config, account: Option<i64>) -> anyhow::Result<ExitCode> {
    let app = prepare(&config, Store::open_existing(config.database.clone(), API).await?).await?;
    let (journals, faults) = prove(&app.store, account.map_or(Range::ALL, Range::of)).await?;
    if let (Some(account), 0, 0) = (account, journals, faults) {
        bail!("there is no account {account}, and there was none with a journal");
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks journals and prints what is wrong with them; returns how many journals and faults there
/// were.
///
/// # Errors
/// When the database cannot be read.
pub async fn prove(store: &Store, range: Range) -> anyhow::Result<(u64, u64)> {
    let progress = Progress::start();
    let (mut journals, mut entries, mut faults) = (0, 0, 0);
    let is_one = range.after.saturating_add(1) == range.last;
    let mut range = Some(range);
    while let Some(left) = range {
        let (checked, rest) = verify_slice(store, left).await?;
        progress.clear();
        for Finding { account, message } in &checked.findings {
            println!("account {account}: {message}");
        }
        if checked.untold > 0 {
            println!("… and {} more", checked.untold);
        }
        journals += checked.journals;
        entries += checked.entries;
        faults += checked.findings.len() as u64 + checked.untold;
        progress.show(format_args!("{journals} journals, {entries} entries …"));
        range = rest;
    }
    progress.clear();
    if !is_one || journals > 0 || faults > 0 {
        println!(
            "Checked {entries} entries in the journals of {journals} accounts: {faults} faults."
        );
    }
    Ok((journals, faults))
}

/// Takes records in. The exit code tells whether all of them were taken.
///
/// # Errors
/// One line that says why it cannot begin, or had to stop.
pub async fn import(config: Config, command: ImportCommand) -> anyhow::Result<ExitCode> {
    let all_taken = match command {
        ImportCommand::Payments { file, dry_run } => {
            import_payments(&config, &file, dry_run).await?
        }
        ImportCommand::Yeti { from, dry_run } => import_yeti(&config, &from, dry_run).await?,
    };
    Ok(if all_taken { ExitCode::SUCCESS } else { ExitCode::from(ROWS_REFUSED) })
}

/// Posts the payments of a file, `-` being standard input; says whether all were taken.
async fn import_payments(config: &Config, file: &Path, dry_run: bool) -> anyhow::Result<bool> {
    let (name, source): (_, Box<dyn Read>) = if file.as_os_str() == "-" {
        ("standard input".into(), Box::new(io::stdin()))
    } else {
        let source = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        (file.file_name().unwrap_or_default().to_string_lossy(), Box::new(source))
    };
    // The header first: a file that cannot be meant leaves even a missing database alone.
    let mut import = Import::begin(&name, source, dry_run)?;
    let app = open(config).await?;
    let ended = import.run(&app).await;
    println!("{}", summary(&import.tally, dry_run));
    ended?;
    Ok(import.tally.refused == 0)
}

/// Takes a database of YETI over; says whether all rows are there now.
async fn import_yeti(config: &Config, from: &str, dry_run: bool) -> anyhow::Result<bool> {
    // Theirs first: an address that cannot be meant leaves even a missing database alone.
    let mut import = Takeover::begin(from, dry_run).await?;
    let app = open(config).await?;
    import.run(&app).await
}

fn summary(tally: &Tally, dry_run: bool) -> String {
    let Tally { posted, there_already, refused } = tally;
    let (would_be, were) = if dry_run { ("would be ", "would be") } else { ("", "were") };
    let mut summary = format!("{posted} payments {would_be}posted");
    if *there_already > 0 {
        write!(summary, ", {there_already} rows {were} there already").expect("text takes text");
    }
    write!(summary, ", {refused} rows {would_be}refused").expect("text takes text");
    summary
}

async fn change_operator(app: &Arc<App>, name: &str, change: Change) -> anyhow::Result<()> {
    Ok(operators::change(app, &Caller::default(), name, change).await?)
}

/// From the environment, from a prompt, or the first line of standard input.
fn read_password() -> anyhow::Result<String> {
    let password = if let Ok(password) = std::env::var("TOLLKEEPER_PASSWORD") {
        password
    } else if io::stdin().is_terminal() {
        io::stderr().flush()?;
        let password = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Once more: ")? != password {
            bail!("the two passwords differ");
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    check_password(&password)?;
    Ok(password)
}
