//! The setup that the suites share: this program as an end, other programs as ends, certificates, addresses.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;

use crate::child::{self, START, Server};
use crate::contestants::PEERS;
use crate::machine;
use crate::{Options, Result};

/// The environment of a run.
#[derive(Debug)]
pub(crate) struct Stage<'o> {
    pub(crate) options: &'o Options,
    pub(crate) program: PathBuf,
    pub(crate) folder: TempDir,
    pki: OnceLock<Server>,
    peers: OnceLock<PathBuf>,
}

/// The way in which one program of a measurement is run, the server or the client: its cores and threads, with or without TLS.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End<'e> {
    /// Empty: unpinned.
    pub(crate) cores: &'e [usize],
    /// With TLS.
    pub(crate) tls: bool,
    pub(crate) threads: usize,
    /// Other options.
    pub(crate) more: &'e [String],
}

impl<'o> Stage<'o> {
    pub(crate) fn new(options: &'o Options) -> Result<Self> {
        Ok(Self {
            options,
            program: env::current_exe()?,
            folder: TempDir::new()?,
            pki: OnceLock::new(),
            peers: OnceLock::new(),
        })
    }

    /// The program that has this contestant.
    pub(crate) fn program_of(&self, contestant: &str) -> Result<&Path> {
        if !PEERS.contains(&contestant) {
            return Ok(&self.program);
        }
        if self.peers.get().is_none() {
            let target = target()?.join("peers");
            let options =
                ["build", "--quiet", "--release", "--features=peers", "--manifest-path", MANIFEST, "--target-dir"];
            let options = options.into_iter().map(str::to_owned).chain([target.display().to_string()]);
            child::run(Path::new("cargo"), &options.collect::<Vec<_>>(), Duration::from_secs(3600))?;
            let _ = self.peers.set(target.join("release/degu-bench"));
        }
        Ok(self.peers.get().unwrap_or(&self.program))
    }

    /// Returns the duration of one measurement without its warm-up.
    pub(crate) fn time(&self, usual: Duration) -> Duration {
        if self.options.quick { usual / 8 } else { usual }
    }

    /// An address of this kind, on which nothing listens.
    pub(crate) fn address(&self, kind: &str) -> String {
        match kind {
            "unix" => {
                let path = self.folder.path().join("socket");
                // The last server may have left it.
                let _ = fs::remove_file(&path);
                format!("unix:{}", path.display())
            }
            "abstract" => format!("unix:@degu-bench-{}", std::process::id()),
            "ipv4" => "127.0.0.1:0".into(),
            _ => "[::1]:0".into(),
        }
    }

    /// The arguments of an end.
    fn arguments(&self, words: &[&str], end: End<'_>) -> Result<Vec<String>> {
        let mut arguments: Vec<String> = ["end"].iter().chain(words).map(|&word| word.to_owned()).collect();
        if !end.cores.is_empty() {
            arguments.push(format!("--cores={}", joined(end.cores)));
        }
        if end.tls {
            if self.pki.get().is_none() {
                let _ = self.pki.set(Server::start(&self.program, &["end".into(), "pki".into()])?);
            }
            arguments.extend(self.pki.get().map(|pki| format!("--pki={}", pki.address())));
        }
        arguments.push(format!("--threads={}", end.threads.max(1)));
        arguments.extend(self.options.spin.iter().map(|spin| format!("--spin={spin}")));
        arguments.extend_from_slice(end.more);
        Ok(arguments)
    }

    /// Starts an end that listens.
    pub(crate) fn start(&self, words: &[&str], end: End<'_>) -> Result<Server> {
        // Thousands of connections are made before one that holds them says so.
        let listening = |line: &str| line.strip_prefix("listening on ").map(str::to_owned);
        let program = self.program_of(words.get(1).unwrap_or(&""))?;
        Server::start_within(program, &self.arguments(words, end)?, Duration::from_secs(120), listening)
    }

    /// Starts a server on an address of this kind, or nginx.
    pub(crate) fn serve(&self, contestant: &str, kind: &str, end: End<'_>) -> Result<Server> {
        match contestant {
            NGINX => self.nginx(end.cores),
            DEGU_018 => {
                Server::start(Path::new("taskset"), &degu_018(&["serve", contestant, &self.address(kind)], end)?)
            }
            _ => self.start(&["serve", contestant, &self.address(kind)], end),
        }
    }

    /// Keeps these cores busy until what is returned is dropped.
    pub(crate) fn busy(&self, cores: &[usize]) -> Result<Vec<Server>> {
        let start = |core: &usize| self.start(&["busy"], End { cores: &[*core], ..End::default() });
        cores.iter().map(start).collect()
    }

    /// Runs a client to its end. Returns the number of times that it performed its role, and the time that this took.
    pub(crate) fn measure(&self, words: &[&str], end: End<'_>, time: Duration) -> Result<(f64, Duration)> {
        let limit = time * 4 + Duration::from_secs(30);
        let output = if words.get(1) == Some(&DEGU_018) {
            let seconds = time.as_secs_f64().to_string();
            child::run(Path::new("taskset"), &degu_018(&[words, &[&seconds]].concat(), end)?, limit)?
        } else {
            let mut arguments = self.arguments(words, end)?;
            arguments.push(format!("--millis={}", time.as_millis()));
            child::run(self.program_of(words[1])?, &arguments, limit)?
        };
        let figures = output.split_once(' ').and_then(|(times, time)| Some((times.parse().ok()?, time.parse().ok()?)));
        match figures {
            Some((times, nanos)) if times > 0.0 => Ok((times, Duration::from_nanos(nanos))),
            _ => Err(format!("{}: no figures, but {output:?}", words.join(" ")).into()),
        }
    }

    /// nginx with a worker on each of these cores, which answers as the other servers do and adds fields of its own.
    fn nginx(&self, cores: &[usize]) -> Result<Server> {
        let folder = self.folder.path().display().to_string();
        // nginx cannot report a port that the kernel chose, so a free port is chosen here. If another process takes
        // this port in between, the run fails.
        let address = TcpListener::bind("[::1]:0")?.local_addr()?.to_string();
        let config = CONFIG.replace("FOLDER", &folder).replace("ADDRESS", &address);
        fs::write(self.folder.path().join("nginx.conf"), config.replace("WORKERS", &cores.len().max(1).to_string()))?;
        // The workers of nginx outlive a killed master process. So a shell waits for EOF on stdin, and then stops
        // nginx.
        let cores = pinned(cores)?;
        let script = format!(
            "taskset -c {cores} /usr/sbin/nginx -e stderr -p {folder} -c nginx.conf 2>&1 & nginx=$!; trap 'kill $nginx' EXIT; read -r x"
        );
        Server::start_within(Path::new("/bin/sh"), &["-c".into(), script], START, move |line| {
            line.contains("start worker process ").then(|| address.clone())
        })
    }
}

/// The contestants that are programs of others.
pub(crate) const NGINX: &str = "nginx";
pub(crate) const DEGU_018: &str = "degu-0.18";

const CONFIG: &str = include_str!("../nginx.conf");

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Returns whether a program is installed.
pub(crate) fn is_there(program: &str) -> bool {
    let option = if program.ends_with(NGINX) { "-v" } else { "--version" };
    Command::new(program).arg(option).output().is_ok_and(|output| output.status.success())
}

/// Returns whether nginx is installed, and `taskset` to pin it to cores. Debian installs nginx in /usr/sbin, which is
/// not in every PATH.
pub(crate) fn is_nginx_there() -> bool {
    is_there("/usr/sbin/nginx") && is_there("taskset")
}

/// Returns the Python with which `cargo xtask interop --install` installs Degu 0.18.
fn python() -> Result<PathBuf> {
    Ok(target()?.join("interop").join(DEGU_018).join("bin/python3"))
}

/// The folder of build results: this program is in its `release`.
fn target() -> Result<PathBuf> {
    Ok(env::current_exe()?.ancestors().nth(2).map(Path::to_owned).unwrap_or_default())
}

/// Returns whether Degu 0.18 is installed.
pub(crate) fn is_degu_018_there() -> bool {
    python().is_ok_and(|python| python.exists()) && is_there("taskset")
}

/// Degu 0.18 as an end, for `taskset`.
fn degu_018(words: &[&str], end: End<'_>) -> Result<Vec<String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/degu018.py").to_owned();
    let mut arguments = vec!["-c".to_owned(), pinned(end.cores)?, python()?.display().to_string(), script];
    arguments.extend(words.iter().map(|&word| word.to_owned()));
    Ok(arguments)
}

/// These cores for `taskset`, or all of them for a process that is not to be pinned.
pub(crate) fn pinned(cores: &[usize]) -> Result<String> {
    if cores.is_empty() { Ok(joined(&machine::cores()?)) } else { Ok(joined(cores)) }
}

/// Cores as programs take them: `0,1`.
fn joined(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}
