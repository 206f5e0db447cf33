//! A PostgreSQL cluster of the benchmark's own: new, durable, and gone with the run.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

/// Where Debian's packages put the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// What differs from PostgreSQL's own choice. It listens on a socket in its directory alone, so
/// that no port can be another's.
const SETTINGS: [&str; 5] = [
    "listen_addresses=",
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=512MB",
    "max_connections=200",
];
/// How often a starting cluster is asked whether it is ready.
const ASK_AFTER: Duration = Duration::from_millis(50);
/// How often before it counts as broken: half a minute.
const ASKED_MAX: u32 = 600;

/// A running cluster, stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    directory: TempDir,
    owner: Option<Owner>,
    postmaster: Child,
}

/// Who runs PostgreSQL, which refuses to run as root.
#[derive(Clone, Copy, Debug)]
struct Owner {
    user: u32,
    group: u32,
}

impl Cluster {
    /// The folder of PostgreSQL's programs: Debian's newest, else where the path leads.
    pub fn programs() -> Option<PathBuf> {
        let complete = |folder: &PathBuf| {
            ["initdb", "postgres", "pgbench"].iter().all(|program| folder.join(program).exists())
        };
        let version = |folder: &PathBuf| {
            let name = folder.parent()?.file_name()?.to_str()?;
            name.parse::<u32>().ok()
        };
        let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let debian = versions.map(|version| version.path().join("bin")).filter(complete);
        debian.max_by_key(version).or_else(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).find(complete)
        })
    }

    /// Starts a cluster.
    pub async fn start(programs: PathBuf) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let owner = Owner::needed()?;
        if let Some(Owner { user, group }) = owner {
            chown(directory.path(), Some(user), Some(group))?;
        }
        let data = directory.path().join("data");
        let mut initdb = as_owner(owner, &programs.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        initdb.arg("--pgdata").arg(&data);
        run(initdb, "").await?;
        let log = fs::File::create(directory.path().join("log"))?;
        let mut postgres = as_owner(owner, &programs.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(directory.path());
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        let postmaster = postgres.stdout(Stdio::null()).stderr(log).spawn()?;
        let mut cluster = Self { programs, directory, owner, postmaster };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        for _ in 0..ASKED_MAX {
            if self.postmaster.try_wait()?.is_some() {
                break;
            }
            if self.program("pg_isready").arg("--quiet").status()?.success() {
                return Ok(());
            }
            sleep(ASK_AFTER).await;
        }
        let log = fs::read_to_string(self.directory.path().join("log"))?;
        bail!("PostgreSQL does not start: {log}");
    }

    /// The process whose children serve the connections.
    pub fn postmaster(&self) -> u32 {
        self.postmaster.id()
    }

    /// The address of a database on it.
    pub fn url(&self, database: &str) -> String {
        let socket = self.directory.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}/{database}")
    }

    /// A client program that is told where the cluster is.
    pub fn program(&self, name: &str) -> Command {
        let mut program = Command::new(self.programs.join(name));
        program.arg("-h").arg(self.directory.path()).args(["-U", "postgres"]);
        program
    }

    /// Runs statements, each a transaction of its own; answers the rows of the last as text.
    pub async fn execute(&self, database: &str, statements: &str) -> anyhow::Result<String> {
        let mut psql = self.program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args(["--set", "ON_ERROR_STOP=1", database]);
        run(psql, statements).await
    }

    /// Drops a database, whoever is connected to it.
    pub fn drop_database(&self, database: &str) {
        // It goes with the cluster at last.
        let _ = self.program("dropdb").args(["--force", database]).output();
    }
}

impl Drop for Cluster {
    /// Nothing in it is needed any more, so it need not tidy up.
    fn drop(&mut self) {
        let mut stop = as_owner(self.owner, &self.programs.join("pg_ctl"));
        stop.args(["stop", "-m", "immediate", "-D"]).arg(self.directory.path().join("data"));
        // It has stopped by itself when the same Ctrl-C has reached it.
        let _ = stop.output();
        let _ = self.postmaster.wait();
    }
}

impl Owner {
    /// Nobody else, where this process is not root.
    fn needed() -> anyhow::Result<Option<Self>> {
        if fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let postgres = fields.into_iter().find(|fields| fields.first() == Some(&"postgres"));
        let postgres = postgres.context("there is no user postgres to run PostgreSQL as")?;
        let id = |at: usize| anyhow::Ok(postgres.get(at).context("a user without ids")?.parse()?);
        Ok(Some(Self { user: id(2)?, group: id(3)? }))
    }
}

/// A program that runs as the owner, and ends when this process does, however that happens.
fn as_owner(owner: Option<Owner>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(Owner { user, group }) = owner {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
        command.arg("--clear-groups");
    }
    // The owner may not look into the directory that this was called from.
    command.args(["--pdeathsig", "INT"]).arg(program).current_dir("/");
    command
}

/// Runs a program to its end; answers what it says.
pub async fn run(command: Command, input: &str) -> anyhow::Result<String> {
    let what = command.get_program().display().to_string();
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("cannot run {what}"))?;
    child.stdin.take().context("its input is piped")?.write_all(input.as_bytes()).await?;
    let output = child.wait_with_output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {complaint}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
