//! One line on a terminal that is written anew while long work goes on. Nobody may be watching,
//! or any more, which is no reason to stop.

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// The line, on standard error; nothing where that is no terminal.
#[derive(Debug)]
pub struct Progress {
    is_terminal: bool,
}

impl Progress {
    /// A line that is not yet there.
    #[must_use]
    pub fn start() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    /// Shows how far the work has come.
    pub fn show(&self, text: fmt::Arguments<'_>) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// Makes room for other lines.
    pub fn clear(&self) {
        self.show(format_args!(""));
    }
}
