//! The server's process, as its parent sees it.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use degu_client::Address;

use crate::Result;
use crate::target::Target;

/// A server in a process of its own, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    child: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    addresses: Vec<(Target, Address)>,
}

/// What the server counts, by name.
pub(crate) type Report = HashMap<String, u64>;

impl Control {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// It can not be started, or ends before it is ready; it has said on stderr why.
    pub(crate) fn start(folder: &Path, targets: &[Target]) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("server")
            // The system's allocator keeps large blocks for later once it has seen a few come and go. Given back at
            // once, what is resident follows what is held.
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .arg(folder)
            .args(targets.iter().map(|target| target.name()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or("a child without pipes")?;
        let mut server = Self { child, talk: Mutex::new((stdin, BufReader::new(stdout))), addresses: Vec::new() };
        loop {
            let line = server.hear()?;
            if line == "ready" {
                return Ok(server);
            }
            let (target, address) = line.split_once(' ').ok_or_else(|| format!("a server says {line}"))?;
            server.addresses.push((Target::find(target)?, address.parse()?));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where a target listens, in the order of the kinds.
    pub(crate) fn addresses(&self, target: Target) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |(known, _)| *known == target).map(|(_, address)| address)
    }

    /// What it has counted.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub(crate) fn report(&self) -> Result<Report> {
        let line = self.ask("report")?;
        let numbers = line.split(' ').filter_map(|word| word.split_once('='));
        numbers.map(|(name, number)| Ok((name.to_owned(), number.parse()?))).collect()
    }

    /// Has it read its certificates again.
    ///
    /// # Errors
    ///
    /// It did not like them, or the process is gone.
    pub(crate) fn reload(&self) -> Result {
        match self.ask("reload")?.as_str() {
            "ok" => Ok(()),
            error => Err(format!("reload: {error}").into()),
        }
    }

    fn ask(&self, what: &str) -> Result<String> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(talk.0, "{what}")?;
        talk.0.flush()?;
        line(&mut talk.1)
    }

    fn hear(&mut self) -> Result<String> {
        line(&mut self.talk.get_mut().unwrap_or_else(PoisonError::into_inner).1)
    }
}

fn line(pipe: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    match pipe.read_line(&mut line)? {
        0 => Err("the server's process has ended".into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
