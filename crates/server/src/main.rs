//! `tollkeeper`: reads the command line, runs one command, says in one line what went wrong.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tollkeeper::cli::{Cli, Command, ConfigCommand};
use tollkeeper::config::Config;
use tollkeeper::{commands, copy, openapi, runtime};
use tracing_subscriber::EnvFilter;

/// How long work that was left behind may take to end with the process.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(1);
/// A command that cannot start, or had to stop, exits with this.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tollkeeper: {error:#}");
            ExitCode::from(CANNOT_START)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let command = cli.command.unwrap_or(Command::Serve { demo: false });
    if matches!(command, Command::Openapi) {
        say(&openapi::document())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(cli.settings, cli.config.as_deref())?;
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| anyhow::anyhow!("log: {:?} is not understood: {error}", config.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let runtime = runtime::build()?;
    let ended = runtime.block_on(async {
        match command {
            Command::Serve { demo } => commands::serve(config, demo).await?,
            Command::Admin(command) => commands::admin(config, command).await?,
            Command::Token { name } => commands::token(config, &name).await?,
            Command::Import(command) => return commands::import(config, command).await,
            Command::Verify { account } => return commands::verify(config, account).await,
            Command::Copy { from, to } => return copy::copy(&from, &to).await,
            Command::Config(ConfigCommand::Check) => say(&config.shown())?,
            Command::Openapi => {}
        }
        Ok(ExitCode::SUCCESS)
    });
    // Whoever is in a hurry does not wait for a long list that nobody will read.
    runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
    ended
}

/// Prints a document; a reader who has seen enough (`tollkeeper openapi | head`) is no fault.
fn say(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
