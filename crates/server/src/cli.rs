//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Settings;

/// Billing accounts for voice carriers, behind the YETI admin API.
///
/// Without a command, tollkeeper serves. On an empty database it creates the first operator,
/// `admin`, and prints a random password once (or takes `TOLLKEEPER_ADMIN_PASSWORD`).
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Settings are taken from flags, then TOLLKEEPER_* variables, then \
                  tollkeeper.toml, then defaults. Two are never flags, so that they do not show \
                  in process lists: TOLLKEEPER_SECRET (key of the tokens) and \
                  TOLLKEEPER_ADMIN_PASSWORD."
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file [default: tollkeeper.toml, if it exists]
    #[arg(long, global = true, env = "TOLLKEEPER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings
    #[command(flatten)]
    pub settings: Settings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the database up to date and serve (the default)
    Serve {
        /// Fill an empty database with sample data first
        #[arg(long)]
        demo: bool,
    },
    /// Operators: the people and programs that sign in
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Print a token for an operator, for scripts
    Token {
        /// Name of the operator
        name: String,
    },
    /// Take records in from files, or from a database of YETI
    #[command(subcommand)]
    Import(ImportCommand),
    /// Prove every balance from the journal; exits with 1 and names each fault, if there is any
    Verify {
        /// Only the account with this id
        #[arg(long, value_name = "ID")]
        account: Option<i64>,
    },
    /// Copy a whole installation into an empty database, of the same kind or of the other
    ///
    /// The server is down meanwhile. Afterwards all rows of both databases are compared, and every
    /// balance of the copy is proved from its journal; exits with 1 and names each table that
    /// differs, if there is any. Broken off, the same command goes on where it was. Addresses that
    /// hold passwords are better given by the environment.
    Copy {
        /// Database to copy; it is not changed
        #[arg(long, env = "TOLLKEEPER_COPY_FROM", hide_env_values = true, value_name = "URL")]
        from: String,
        /// Database to fill; made if it is a file that is not there
        #[arg(long, env = "TOLLKEEPER_COPY_TO", hide_env_values = true, value_name = "URL")]
        to: String,
    },
    /// Print the OpenAPI 3.1 document
    Openapi,
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What to do with operators. Passwords come from a prompt, from standard input or from
/// `TOLLKEEPER_PASSWORD`, never from an argument.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Add an operator
    Add {
        /// Name to sign in with
        name: String,
        /// Networks they may come from; anywhere if none is given
        #[arg(long, value_name = "CIDR", value_delimiter = ',')]
        allow: Vec<String>,
    },
    /// Give an operator a new password; their older tokens end
    Passwd {
        /// Name of the operator
        name: String,
    },
    /// Let an operator in no more; their tokens end within seconds
    Disable {
        /// Name of the operator
        name: String,
    },
    /// Let a disabled operator in again
    Enable {
        /// Name of the operator
        name: String,
    },
    /// Restrict the networks an operator may come from
    Allow {
        /// Name of the operator
        name: String,
        /// Addresses or networks; none lifts the restriction
        #[arg(value_name = "CIDR")]
        networks: Vec<String>,
    },
    /// List operators
    List,
}

/// What to take in.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Post the payments of a CSV file
    ///
    /// The first line names the columns: account-id or account-external-id, amount, and perhaps
    /// notes, private-notes, external-id. Rows that are refused are printed with their line, the
    /// others are posted. With external ids, a file may be imported again: what is there already
    /// is not posted twice. Exits with 1 when rows were refused.
    Payments {
        /// The file; - is standard input
        file: PathBuf,
        /// Do everything, but keep nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take over what a database of YETI holds
    ///
    /// Mail servers, invoice templates, contractors, contacts, accounts with their balances, and
    /// payments come with their ids. The database is only read. What does not come over is told on
    /// standard output. A second run takes what was missing. Exits with 1 when rows were left out.
    Yeti {
        /// Address of YETI's primary database; in the variable, a password does not show in
        /// process lists
        #[arg(
            long,
            env = "TOLLKEEPER_YETI_URL",
            hide_env_values = true,
            value_name = "postgres://USER@HOST/DATABASE"
        )]
        from: String,
        /// Read and check everything, but write nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and print what would be used, secrets hidden
    Check,
}
