//! Says on stderr how far a long run is.

use std::io::{self, IsTerminal, Write};

/// One line, written over and over on a terminal; elsewhere, one line for each tenth of the work.
#[derive(Debug)]
pub(super) struct Progress {
    done: usize,
    total: usize,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        Self { done: 0, total, terminal: io::stderr().is_terminal() }
    }

    /// One more step of the total begins.
    pub(super) fn step(&mut self, what: &str) {
        let line = format!("[{}/{}] {what}", self.done, self.total);
        // Nobody is to fail because nobody reads this.
        let _ = if self.terminal {
            write!(io::stderr(), "\r\x1b[K{line}")
        } else if self.done * 10 / self.total.max(1) != (self.done + 1) * 10 / self.total.max(1) {
            writeln!(io::stderr(), "{line}")
        } else {
            Ok(())
        };
        self.done += 1;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
