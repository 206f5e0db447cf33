//! Short runs of the whole benchmark, on both databases. PostgreSQL must be installed.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for everything that a run makes, open to whoever runs PostgreSQL.
fn folder() -> TempDir {
    let open = Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(open).tempdir().expect("a folder")
}

fn bench(folder: &Path, arguments: &[&str]) -> Command {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.env("TMPDIR", folder).args(["--seconds", "0.1", "--entries", "0"]).args(arguments);
    bench
}

/// Files in the folder, and processes that were told of it.
fn left_in(folder: &Path) -> Vec<String> {
    let entries =
        |folder: &Path| fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let (files, processes) = (entries(folder), entries(Path::new("/proc")));
    let commands = processes.filter_map(|path| fs::read_to_string(path.join("cmdline")).ok());
    let told = commands.filter(|command| command.contains(&*folder.to_string_lossy()));
    files.map(|file| file.display().to_string()).chain(told).collect()
}

#[test]
fn a_run_measures_both_databases_and_leaves_nothing_behind() {
    let (folder, results) = (folder(), tempfile::tempdir().unwrap());
    let out = results.path().join("bench.json");
    let arguments = ["--database=both", "--accounts=10000", "--connections=8,64", "--out"];
    let run = bench(folder.path(), &arguments).arg(&out).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(left_in(folder.path()), Vec::<String>::new());

    let sqlite: Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    let postgres = &sqlite["postgres"];
    let scenarios = |figures: &Value, nodes: u64| {
        let measurements = figures["measurements"].as_array().unwrap().clone();
        let measured = measurements.iter().filter(|one| one["nodes"] == nodes);
        let answered = measured.filter(|one| one["requests_per_sec"].as_f64().unwrap() > 0.0);
        answered.map(|one| one["scenario"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(scenarios(&sqlite, 1).len(), 2 * 9);
    assert_eq!(scenarios(postgres, 1), scenarios(&sqlite, 1));
    assert_eq!(scenarios(postgres, 2).len(), 3);
    for rate in ["selects_per_sec", "inserts_per_sec", "hot_updates_per_sec"] {
        assert!(postgres["pgbench"][0][rate].as_f64().unwrap() > 0.0, "{rate}");
    }
    let turns = postgres["turns_with_pgbench"].as_array().unwrap();
    assert_eq!(turns.len(), 1);
    assert!(turns[0]["ratio_to_pgbench"].as_f64().unwrap() > 0.0);
    // Without those of 32 connections, and of journals.
    assert_eq!(sqlite["goals"].as_array().unwrap().len(), 10);
    let views = sqlite["console"].as_array().unwrap();
    assert!(views.len() > 10 && views.iter().all(|view| view["p95_secs"].as_f64() > Some(0.0)));
    assert_eq!(postgres["goals"].as_array().unwrap().len(), 11);
    for figures in [&sqlite, postgres] {
        assert!(figures["deliveries"]["events_per_sec"].as_f64().unwrap() > 0.0, "{figures}");
    }
}

#[test]
fn a_terminated_run_leaves_nothing_behind() {
    let folder = folder();
    let arguments = ["--database=postgres", "--accounts=1000000"];
    let mut bench = bench(folder.path(), &arguments);
    let mut run = bench.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // The first line is the version, which a running cluster tells.
    let mut version = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut version).unwrap();
    assert!(version.starts_with("PostgreSQL"), "{version:?}");
    let kill = format!("kill -TERM {}", run.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert_eq!(left_in(folder.path()), Vec::<String>::new());
}
