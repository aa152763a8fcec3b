//! What the suites share: the contestants' program, certificates, sockets, cores.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::{Shell, cmd};

use super::cores::{self, joined};
use super::options::Options;
use crate::Result;
use crate::child::{self, Server};
use crate::interop::degu018;

/// The original, as a contestant.
pub(super) const DEGU_018: &str = "degu-0.18";

/// How long all connections that are held may take to be made.
const HOLD: Duration = Duration::from_secs(120);

/// Where a run happens.
#[derive(Debug)]
pub(super) struct Stage<'s> {
    pub(super) shell: &'s Shell,
    pub(super) options: &'s Options,
    folder: Folder,
    program: OnceCell<PathBuf>,
    pki: OnceCell<Server>,
}

/// How one end is run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End<'e> {
    /// Empty: unpinned.
    pub(super) cores: &'e [usize],
    /// The folder of the certificates, for TLS.
    pub(super) pki: Option<&'e str>,
    /// Other options.
    pub(super) more: &'e [String],
}

impl<'s> Stage<'s> {
    pub(super) fn new(shell: &'s Shell, options: &'s Options) -> Result<Self> {
        let (program, pki) = (OnceCell::new(), OnceCell::new());
        Ok(Self { shell, options, folder: Folder::new()?, program, pki })
    }

    /// The contestants' program, built, and found to send the same bytes whoever is asked.
    pub(super) fn program(&self) -> Result<&Path> {
        if self.program.get().is_none() {
            let program = build(self.shell, "degu-bench", "contestants", &[])?;
            child::run(&program, &["verify".into()], Duration::from_secs(30))?;
            let _ = self.program.set(program);
        }
        self.program.get().map(PathBuf::as_path).ok_or_else(|| "degu-bench is not built".into())
    }

    /// The folder of certificates that are made for this run.
    pub(super) fn pki(&self) -> Result<&str> {
        if self.pki.get().is_none() {
            let _ = self.pki.set(Server::start(self.program()?, &["pki".into()])?);
        }
        self.pki.get().map(Server::address).ok_or_else(|| "there are no certificates".into())
    }

    /// The folder of this run.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// An address of a kind that the suites name, on which nothing listens.
    pub(super) fn address(&self, kind: &str) -> Result<String> {
        Ok(match kind {
            "unix" => {
                let path = self.folder.0.join("socket");
                if path.exists() {
                    fs::remove_file(&path)?;
                }
                format!("unix:{}", path.display())
            }
            "abstract" => format!("unix:@degu-bench-{}", std::process::id()),
            "ipv4" => "127.0.0.1:0".into(),
            _ => "[::1]:0".into(),
        })
    }

    /// Starts a server: `role` is `server` or `crowd`.
    pub(super) fn serve(&self, role: &str, contestant: &str, address: &str, end: End<'_>) -> Result<Server> {
        let (program, arguments) = self.command(&[role, contestant, address], end)?;
        Server::start(&program, &arguments)
    }

    /// Opens so many connections to a server, and keeps each open after one request, until what is returned is dropped.
    pub(super) fn hold(&self, address: &str, connections: usize, pki: Option<&str>) -> Result<Server> {
        let more = [format!("--connections={connections}")];
        let (program, arguments) = self.command(&["hold", address], End { pki, more: &more, ..End::default() })?;
        let holds = |line: &str| line.strip_prefix("listening on ").map(str::to_owned);
        Server::start_within(&program, &arguments, HOLD, holds)
    }

    /// Keeps every core busy until what is returned is dropped.
    pub(super) fn busy(&self) -> Result<Vec<Server>> {
        let start = |core: usize| {
            let end = End { cores: &[core], ..End::default() };
            Server::start(self.program()?, &arguments(&["busy"], end))
        };
        cores::allowed()?.into_iter().map(start).collect()
    }

    /// Runs a client of this role to its end, and returns how often it did what its role is, and how long that took. The
    /// server has to have ended its work within a bound far above `time`.
    pub(super) fn measure(&self, words: &[&str], end: End<'_>, time: Duration) -> Result<(f64, Duration)> {
        let (program, mut arguments) = self.command(words, end)?;
        arguments.push(format!("--millis={}", time.as_millis()));
        figures(&arguments, &child::run(&program, &arguments, time * 4 + Duration::from_secs(30))?)
    }

    /// Degu 0.18 is a script that takes the same arguments.
    fn command(&self, words: &[&str], end: End<'_>) -> Result<(PathBuf, Vec<String>)> {
        let mut arguments = arguments(words, end);
        if !words.contains(&DEGU_018) {
            arguments.extend(self.options.polling.iter().map(|polling| format!("--polling={polling}")));
            return Ok((self.program()?.to_owned(), arguments));
        }
        arguments.insert(0, crate::root().join("xtask/bench/peers/degu_018.py").display().to_string());
        Ok((degu018::installed(), arguments))
    }
}

fn arguments(words: &[&str], end: End<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    if !end.cores.is_empty() {
        arguments.push(format!("--cores={}", joined(end.cores)));
    }
    arguments.extend(end.pki.map(|folder| format!("--pki={folder}")));
    arguments.extend_from_slice(end.more);
    arguments
}

/// Builds a program of the contestants as it would be shipped, and returns where it is.
pub(super) fn build(shell: &Shell, program: &str, features: &str, arguments: &[String]) -> Result<PathBuf> {
    let target = crate::target();
    let messages = cmd!(
        shell,
        "cargo build --release --manifest-path xtask/bench/Cargo.toml --target-dir {target} --bin {program} --features {features} {arguments...}
        --message-format json-render-diagnostics"
    )
    .quiet()
    .read()?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo did not say where {program} is").into())
}

/// The `TIMES NANOSECONDS` that a program with these arguments has printed.
pub(super) fn figures(arguments: &[String], output: &str) -> Result<(f64, Duration)> {
    let figures =
        output.split_once(' ').and_then(|(times, time)| Some((times.parse::<f64>().ok()?, time.parse().ok()?)));
    match figures {
        Some((times, time)) if times > 0.0 => Ok((times, Duration::from_nanos(time))),
        _ => Err(format!("{}: no figures, but {output:?}", arguments.join(" ")).into()),
    }
}

/// The nanoseconds of one of these times.
pub(super) fn each((times, time): (f64, Duration)) -> f64 {
    time.as_nanos() as f64 / times
}

/// A folder that is gone when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("degu-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_program() {
        assert_eq!(each(figures(&[], "4 100").unwrap()), 25.0);
        assert!(figures(&[], "0 100").is_err());
        assert!(figures(&[], "").is_err());
    }

    #[test]
    fn options_of_an_end() {
        let end = End { cores: &[2, 3], pki: Some("/x"), more: &["--flush".into()] };
        assert_eq!(arguments(&["crowd", "degu"], end), ["crowd", "degu", "--cores=2,3", "--pki=/x", "--flush"]);
        assert_eq!(arguments(&["pairs"], End::default()), ["pairs"]);
    }
}
