//! valgrind and strace: what they are asked, and what they answer.

use std::process::Command;

/// Something that counts what a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Instructions in user space.
    Callgrind,
    /// Allocations, of which a larger one in place of a smaller one is one too.
    Memcheck,
    /// System calls, without those in which the program only rests.
    Strace,
}

impl Tool {
    const fn program(self) -> &'static str {
        match self {
            Self::Callgrind | Self::Memcheck => "valgrind",
            Self::Strace => "strace",
        }
    }

    pub(super) fn is_there(self) -> bool {
        Command::new(self.program()).arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// The command, up to where the counted program's own begins; the answer goes to a file.
    pub(super) fn command(self, file: &str) -> (&'static str, Vec<String>) {
        let arguments: &[&str] = match self {
            Self::Callgrind => &["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file=FILE"],
            Self::Memcheck => &["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no", "--log-file=FILE"],
            Self::Strace => &["-f", "-c", "-e", "trace=!clock_nanosleep,nanosleep", "-o", "FILE"],
        };
        (self.program(), arguments.iter().map(|argument| argument.replace("FILE", file)).collect())
    }

    /// The count in an answer.
    pub(super) fn count(self, answer: &str) -> Option<u64> {
        match self {
            Self::Callgrind => answer.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok()),
            Self::Memcheck => {
                let usage = answer.lines().find_map(|line| line.split_once("total heap usage: "))?.1;
                usage.split_once(" allocs")?.0.replace(',', "").parse().ok()
            }
            // Columns: % of time, seconds, µs a call, calls, errors where there were any, name.
            Self::Strace => {
                let total = answer.lines().find(|line| line.ends_with(" total"))?;
                total.split_whitespace().nth(3)?.parse().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let log = "==12== Callgrind\n==12== Events    : Ir\n==12== Collected : 123456\n==12==";
        assert_eq!(Tool::Callgrind.count(log), Some(123_456));
        let log = "==7== HEAP SUMMARY:\n==7==   total heap usage: 1,234 allocs, 1,230 frees, 99,999 bytes allocated\n";
        assert_eq!(Tool::Memcheck.count(log), Some(1234));
        let log = "% time seconds usecs/call calls errors syscall\n 50.00 0.000008 0 20 1 read\n\
                   100.00    0.000017           0        29         1 total\n";
        assert_eq!(Tool::Strace.count(log), Some(29));
        for tool in [Tool::Callgrind, Tool::Memcheck, Tool::Strace] {
            assert_eq!(tool.count(""), None);
        }
    }

    #[test]
    fn the_answer_goes_to_a_file() {
        for tool in [Tool::Callgrind, Tool::Memcheck, Tool::Strace] {
            assert!(tool.command("/x").1.iter().any(|argument| argument.ends_with("/x")), "{tool:?}");
        }
    }
}
