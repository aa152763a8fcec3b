//! Child processes with time limits. A process ends when its owner is dropped.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::Result;

/// The longest time until a server prints the address on which it listens.
pub(crate) const START: Duration = Duration::from_secs(10);

/// The interval at which a process is checked for its exit.
const STEP: Duration = Duration::from_millis(5);

/// The longest time that a server may take to exit after its stdin has ended.
const PATIENCE: Duration = Duration::from_millis(500);

/// A server in a process of its own, or another program. Its stdin is open until this value is dropped. A server ends at
/// EOF on its stdin, so it also ends if this process is killed.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.await_end(PATIENCE).is_err() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

#[allow(dead_code, reason = "the benchmark shares this file, and uses other parts of it")]
impl Server {
    /// Starts `program` and waits for its first line, `listening on ADDRESS`.
    ///
    /// # Errors
    ///
    /// The line does not arrive. The error contains the output on stderr.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Result<Self> {
        Self::start_within(program, arguments, START, |line| line.strip_prefix("listening on ").map(str::to_owned))
    }

    /// Starts `program` and waits until `found` returns an address for a line of its stdout.
    ///
    /// # Errors
    ///
    /// No such line arrives within `limit`. The error contains the output on stderr.
    pub(crate) fn start_within(
        program: &Path,
        arguments: &[String],
        limit: Duration,
        found: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Result<Self> {
        let mut server = spawn(program, arguments)?;
        let stdout = server.process.stdout.take();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let Some(mut stdout) = stdout.map(BufReader::new) else { return };
            if let Some(address) = stdout.by_ref().lines().map_while(io::Result::ok).find_map(|line| found(&line)) {
                let _ = sender.send(address);
                // The rest of the output is read and dropped. Otherwise the pipe would fill, and the server would
                // block.
                let _ = io::copy(&mut stdout, &mut io::sink());
            }
        });
        let Ok(address) = receiver.recv_timeout(limit) else {
            return Err(format!("{}: does not listen: {}", arguments.join(" "), server.last_words()).into());
        };
        server.address = address;
        Ok(server)
    }

    /// Returns the address that `found` returned, with the port that the kernel chose, if the server prints this port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Closes the server's stdin, and waits until the server ends.
    ///
    /// # Errors
    ///
    /// The server did not end within `limit`, and was killed.
    pub(crate) fn end(mut self, limit: Duration) -> Result {
        self.await_end(limit)
    }

    fn await_end(&mut self, limit: Duration) -> Result {
        drop(self.process.stdin.take());
        let mut left = limit;
        while self.process.try_wait()?.is_none() {
            left = left.checked_sub(STEP).ok_or("a server did not end in time after its stdin was closed")?;
            thread::sleep(STEP);
        }
        Ok(())
    }

    /// Ends the server. Returns its output on stderr, and its exit status if it had ended before.
    fn last_words(mut self) -> String {
        let ended = self.process.try_wait().ok().flatten();
        let stderr = self.process.stderr.take();
        drop(self);
        let ended = ended.map_or_else(String::new, |status| format!("it ended with {status} "));
        format!("{ended}{}", read(stderr)).trim_end().to_owned()
    }
}

/// Runs `program` to its end and returns its stdout.
///
/// # Errors
///
/// The program fails or takes longer than `limit`. The error contains the output on stderr.
pub(crate) fn run(program: &Path, arguments: &[String], limit: Duration) -> Result<String> {
    let Server { process, .. } = &mut spawn(program, arguments)?;
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let (found, output) = mpsc::channel();
    thread::spawn(move || found.send((read(stdout), read(stderr))));
    let what = arguments.join(" ");
    let Ok((stdout, stderr)) = output.recv_timeout(limit) else {
        return Err(format!("{what}: took longer than {} s", limit.as_secs()).into());
    };
    let status = process.wait()?;
    if status.success() { Ok(stdout) } else { Err(format!("{what}: {status}, {stderr}").into()) }
}

fn spawn(program: &Path, arguments: &[String]) -> Result<Server> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(Server { process, address: String::new() })
}

/// Reads a pipe to its end. Returns the text without leading and trailing white space.
fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // After an error, the text consists of the bytes that were read before.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "/bin/sh";
    const LONG: Duration = Duration::from_secs(60);

    fn script(text: &str) -> Vec<String> {
        vec!["-c".into(), text.into()]
    }

    #[test]
    fn a_program_that_ends() {
        assert_eq!(run(Path::new(SHELL), &script("echo 5"), LONG).unwrap(), "5");
        let failed = run(Path::new(SHELL), &script("echo why >&2; exit 3"), LONG).unwrap_err().to_string();
        assert!(failed.ends_with("exit status: 3, why"), "{failed}");
    }

    #[test]
    fn a_program_that_does_not_end() {
        let failed = run(Path::new(SHELL), &script("exec sleep 1000"), Duration::ZERO).unwrap_err().to_string();
        assert!(failed.ends_with("took longer than 0 s"), "{failed}");
    }

    #[test]
    fn a_server_that_listens() {
        let server = Server::start(Path::new(SHELL), &script("echo listening on unix:/x; exec sleep 1000")).unwrap();
        assert_eq!(server.address(), "unix:/x");
    }

    #[test]
    fn a_server_that_is_told_to_end() {
        let server = Server::start(Path::new(SHELL), &script("echo listening on x; read -r line")).unwrap();
        server.end(LONG).unwrap();
        let deaf = Server::start(Path::new(SHELL), &script("echo listening on x; exec sleep 1000")).unwrap();
        assert!(deaf.end(Duration::ZERO).is_err());
    }

    #[test]
    fn a_server_that_fails() {
        let failed = Server::start(Path::new(SHELL), &script("echo no >&2; exit 1")).unwrap_err().to_string();
        assert!(failed.contains("does not listen") && failed.ends_with("no"), "{failed}");
    }
}
