//! Servers in Python, for what another language is to say about ours.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::target_directory;

/// How long a line is waited for.
const LINE_TIME_MAX: Duration = Duration::from_secs(30);

/// A script that runs, and what it prints.
pub struct Python {
    process: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

fn interpreter() -> PathBuf {
    let python = target_directory().join("python/bin/python");
    assert!(python.exists(), "there is no {}: run scripts/test-python", python.display());
    python
}

impl Python {
    /// Runs a script, with arguments.
    pub fn run(script: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(interpreter())
            .args(["-u", "-c", script])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let stdout = process.stdout.take().expect("its output");
        let stdin = process.stdin.take().expect("its input");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, stdin, lines }
    }

    /// The next line that it prints.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(LINE_TIME_MAX).expect("a line from Python in time")
    }

    /// What it has printed and nobody has read, after so long without a line.
    pub fn lines_until_quiet(&self, quiet: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(quiet) {
            lines.push(line);
        }
        lines
    }

    /// Tells it something.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("Python listens");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
