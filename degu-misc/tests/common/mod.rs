//! The examples as programs that run beside a test.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn program(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let folder: PathBuf = tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples");
    // `cargo test` of the whole package builds them; a single test needs `cargo build --examples` before.
    Command::new(folder.join(name))
}

/// An example that serves, which is killed if a test fails.
pub(crate) struct Serving {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Serving {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut serving = Self { child, output, address: String::new() };
        serving.address = serving.next_address();
        serving
    }

    /// Starts a server that does not say where it listens, and waits until its Unix socket takes connections.
    pub(crate) fn start_at(command: &mut Command, socket: &Path) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let serving = Self { child, output, address: format!("unix:{}", socket.display()) };
        let end = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(socket).is_err() {
            assert!(Instant::now() < end, "nothing listens at {}", serving.address);
            std::thread::yield_now();
        }
        serving
    }

    /// Reads the next line that it prints.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Of a server on several addresses, the next.
    pub(crate) fn next_address(&mut self) -> String {
        self.next_line().trim_end().strip_prefix("listening on ").unwrap().to_owned()
    }

    /// Takes its standard error, if that was piped.
    pub(crate) fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Ends it as a service manager would.
    pub(crate) fn stop(self, signal: &str) {
        self.signal(signal);
        self.ended();
    }

    /// Waits until it has ended without an error.
    pub(crate) fn ended(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
