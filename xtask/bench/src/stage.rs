//! The setup that the suites share: the processes of clients and servers, certificates, and addresses.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use degu_misc::TempPki;
use tempfile::TempDir;

use crate::child::{self, START, Server};
use crate::contestants::PEERS;
use crate::machine;
use crate::{Options, Result};

/// The environment of a run.
#[derive(Debug)]
pub(crate) struct Stage<'o> {
    pub(crate) options: &'o Options,
    pub(crate) folder: TempDir,
    pki: OnceLock<TempPki>,
    peers: OnceLock<String>,
}

/// The settings of an end, which is the process of a client, a server or a load. `ends.rs` has the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End<'e> {
    /// The cores to which the process is pinned. If there are none, it is not pinned.
    pub(crate) cores: &'e [usize],
    pub(crate) tls: bool,
    /// The number of threads. 0 means one thread for each core.
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) trips: Option<u64>,
    /// The duration of the measurement, without its warm-up.
    pub(crate) time: Duration,
    /// A tool that runs the process, for example valgrind, and the options of this tool.
    pub(crate) tool: &'e [String],
}

impl<'e> End<'e> {
    /// Returns the settings of an end that is pinned to these cores.
    pub(crate) fn on(cores: &'e [usize]) -> Self {
        Self { cores, ..Self::default() }
    }
}

/// The longest time that the process may take in addition to its measurement: long enough for valgrind, and for
/// thousands of connections.
const LIMIT: Duration = Duration::from_secs(120);

impl<'o> Stage<'o> {
    pub(crate) fn new(options: &'o Options) -> Result<Self> {
        Ok(Self { options, folder: TempDir::new()?, pki: OnceLock::new(), peers: OnceLock::new() })
    }

    /// Returns the duration of one measurement, without its warm-up.
    pub(crate) fn time(&self, usual: Duration) -> Duration {
        if self.options.quick { usual / 8 } else { usual }
    }

    /// Returns an address of this kind on which no process listens.
    pub(crate) fn address(&self, kind: &str) -> String {
        match kind {
            "unix" => {
                let path = self.folder.path().join("socket");
                // The last server may have left its socket file.
                let _ = fs::remove_file(&path);
                format!("unix:{}", path.display())
            }
            "abstract" => format!("unix:@degu-bench-{}", std::process::id()),
            "ipv4" => "127.0.0.1:0".into(),
            _ => "[::1]:0".into(),
        }
    }

    /// Returns the arguments of `taskset`: the cores, and the command line of the process. `words` are the role, the
    /// address and the contestant.
    fn arguments(&self, words: &[&str], end: End<'_>) -> Result<Vec<String>> {
        let program = match words.get(2) {
            Some(&DEGU_018) => [program(DEGU_018).display().to_string(), DEGU_018_ENDS.into()],
            Some(contestant) if PEERS.contains(contestant) => [self.peers()?.into(), "end".into()],
            _ => [env::current_exe()?.display().to_string(), "end".into()],
        };
        let mut arguments = vec!["-c".to_owned(), pinned(end.cores)?];
        arguments.extend(end.tool.iter().cloned().chain(program));
        arguments.extend(words.iter().map(|&word| word.to_owned()));
        arguments.extend([
            format!("--threads={}", if end.threads > 0 { end.threads } else { end.cores.len().max(1) }),
            format!("--connections={}", end.connections.max(1)),
            format!("--depth={}", end.depth.max(1)),
            format!("--millis={}", end.time.as_millis()),
        ]);
        arguments.extend(end.trips.map(|trips| format!("--trips={trips}")));
        let pki = end.tls.then(|| self.pki.get_or_init(TempPki::new).folder());
        arguments.extend(pki.map(|folder| format!("--pki={}", folder.display())));
        Ok(arguments)
    }

    /// Returns the path of the program with the contestants [`PEERS`]. Builds it first, if this run has not built it
    /// yet.
    fn peers(&self) -> Result<&str> {
        if self.peers.get().is_none() {
            let folder = target().join("peers").display().to_string();
            cargo(MANIFEST, "build", &["--release", "--features=peers", "--target-dir", &folder])?;
            let _ = self.peers.set(format!("{folder}/release/degu-bench"));
        }
        Ok(self.peers.get().map_or("", String::as_str))
    }

    /// Starts a process that listens, and waits until it does.
    pub(crate) fn start(&self, words: &[&str], end: End<'_>) -> Result<Server> {
        let listening = |line: &str| line.strip_prefix("listening on ").map(str::to_owned);
        Server::start_within(Path::new("taskset"), &self.arguments(words, end)?, LIMIT, listening)
    }

    /// Starts the server of a contestant on an address of this kind.
    pub(crate) fn serve(&self, contestant: &str, kind: &str, end: End<'_>) -> Result<Server> {
        match contestant {
            NGINX => self.nginx(end.cores),
            _ => self.start(&["serve", &self.address(kind), contestant], end),
        }
    }

    /// Keeps these cores busy until the returned processes are dropped.
    pub(crate) fn busy(&self, cores: &[usize]) -> Result<Vec<Server>> {
        cores.chunks(1).map(|core| self.start(&["busy"], End::on(core))).collect()
    }

    /// Runs a client to its end. Returns the number of round trips or runs, and the time that they took.
    pub(crate) fn measure(&self, words: &[&str], end: End<'_>) -> Result<(f64, Duration)> {
        let output = child::run(Path::new("taskset"), &self.arguments(words, end)?, end.time * 4 + LIMIT)?;
        let figures = output.split_once(' ').and_then(|(times, time)| Some((times.parse().ok()?, time.parse().ok()?)));
        match figures {
            Some((times, nanos)) if times > 0.0 => Ok((times, Duration::from_nanos(nanos))),
            _ => Err(format!("{}: printed no figures, but {output:?}", words.join(" ")).into()),
        }
    }

    /// Starts nginx with a worker on each of these cores. nginx answers as the other servers do, and adds some fields.
    fn nginx(&self, cores: &[usize]) -> Result<Server> {
        let folder = self.folder.path().display().to_string();
        // nginx cannot report a port that the kernel chose, so a free port is chosen here. If another process takes the
        // port before nginx does, the run fails.
        let address = TcpListener::bind("[::1]:0")?.local_addr()?.to_string();
        let config = CONFIG.replace("FOLDER", &folder).replace("ADDRESS", &address);
        fs::write(self.folder.path().join("nginx.conf"), config.replace("WORKERS", &cores.len().max(1).to_string()))?;
        // The workers of nginx outlive a killed master process. So a shell waits for EOF on stdin, and then stops
        // nginx.
        let script = format!(
            "{} -e stderr -p {folder} -c nginx.conf 2>&1 & nginx=$!; trap 'kill $nginx' EXIT; read -r x",
            program(NGINX).display()
        );
        let arguments = ["-c", &pinned(cores)?, "/bin/sh", "-c", &script].map(str::to_owned);
        Server::start_within(Path::new("taskset"), &arguments, START, move |line| {
            line.contains("start worker process ").then(|| address.clone())
        })
    }
}

/// The contestants that are not part of this program.
pub(crate) const NGINX: &str = "nginx";
pub(crate) const DEGU_018: &str = "degu-0.18";

const CONFIG: &str = include_str!("../nginx.conf");

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

const DEGU_018_ENDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/degu018.py");

/// Runs cargo, and returns its stdout. A build takes minutes.
pub(crate) fn cargo(manifest: &str, command: &str, options: &[&str]) -> Result<String> {
    let all = [&[command, "--quiet", "--manifest-path", manifest], options].concat();
    child::run(Path::new("cargo"), &all.into_iter().map(str::to_owned).collect::<Vec<_>>(), Duration::from_secs(3600))
}

/// Returns whether a tool or a contestant is installed.
pub(crate) fn is_there(name: &str) -> bool {
    Command::new(program(name)).arg("-h").output().is_ok_and(|output| output.status.success())
}

/// Returns the program of a tool or of a contestant that is not part of this program.
fn program(name: &str) -> PathBuf {
    match name {
        // Debian installs nginx in this folder, which is not in every PATH.
        NGINX => "/usr/sbin/nginx".into(),
        // `cargo xtask interop --install` installs Degu 0.18 with this Python.
        DEGU_018 => target().join("interop").join(DEGU_018).join("bin/python3"),
        _ => name.into(),
    }
}

/// Returns the folder of build results, which has this program in its folder `release`.
fn target() -> PathBuf {
    env::current_exe().unwrap_or_default().ancestors().nth(2).unwrap_or(Path::new("")).to_owned()
}

/// Returns a list of cores for `taskset`. If `cores` is empty, these are all cores.
pub(crate) fn pinned(cores: &[usize]) -> Result<String> {
    let all = if cores.is_empty() { machine::cores()? } else { cores.to_vec() };
    Ok(all.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
}
