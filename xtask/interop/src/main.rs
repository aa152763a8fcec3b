//! `cargo xtask interop`: tests Degu with other programs.
//!
//! Degu's clients perform exchanges with other servers, and other clients perform exchanges with Degu's server. Each
//! outcome is a cell of a matrix. A failed exchange makes the run fail. If a peer is not installed on this machine, it
//! is left out, and the matrix shows this. Everything happens on loopback, on Unix sockets in a temporary folder, and
//! on abstract sockets.
//!
//! | file | content |
//! | --- | --- |
//! | `main.rs`, `matrix.rs` | the options and the peers; the outcomes as tables |
//! | `exchanges.rs`, `steps.rs` | the exchanges of HTTP; how exchanges are performed within a time limit |
//! | `ours.rs`, `server.rs` | both of our clients; our server |
//! | `scripted.rs` | peers that run a script of `peers/` |
//! | `nginx.rs`, `haproxy.rs`, `systemd.rs` | peers with the configuration from the page about deployment |
//! | `http10.rs`, `events.rs` | clients that speak HTTP/1.0; readers of server-sent events |
//! | `tunnel.rs`, `websocket.rs`, `autobahn.rs`, `engine.rs` | peers that switch protocols: proxies of a tunnel, WebSocket, container engines |
//! | `peer.rs`, `child.rs` | addresses, configurations and versions; processes |

mod autobahn;
mod child;
mod engine;
mod events;
mod exchanges;
mod haproxy;
mod http10;
mod matrix;
mod nginx;
mod ours;
mod peer;
mod scripted;
mod server;
mod steps;
mod systemd;
mod tunnel;
mod websocket;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use xshell::{Shell, cmd};

use matrix::Matrix;
use peer::{Bench, installed, interpreter, version};
use scripted::{Part, VENV, VENV_018};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Tests Degu's clients and server with other programs, and prints a matrix.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask interop")]
struct Options {
    /// Installs the peers that are missing, with apt-get (as root), pip and npm (into target/interop); needs the network.
    #[arg(long)]
    install: bool,
    /// Lists the peers with their versions.
    #[arg(long)]
    list: bool,
    /// Writes the matrix and a short version of it into docs/interop.md, if no peer is missing and every exchange
    /// succeeded.
    #[arg(long)]
    write: bool,
    /// Only serves requests. The listening socket is the standard input.
    #[arg(long, hide = true)]
    activated: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if options.activated { server::serve_stdin() } else { run(&options) };
    done.map_or_else(
        |error| {
            eprintln!("degu-interop: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// A peer and its test.
struct Peer {
    name: &'static str,
    find: Find,
    run: Run,
}

/// The way in which a peer is found. The result is its version, or the reason why it is left out.
enum Find {
    /// A program, and the option with which it prints its version.
    Program(&'static str, &'static str),
    /// A Python interpreter, and code that imports a package under the name `found`. Its `__version__` is the version.
    Python(&'static str, &'static str),
    /// A package of npm.
    Npm(&'static str),
    Other(fn(&Shell) -> std::result::Result<String, String>),
}

/// The test of a peer.
enum Run {
    Scripts(&'static [Part]),
    /// The second argument is the version.
    Other(fn(&Bench<'_>, &str, &mut Matrix) -> Result),
}

const fn peer(name: &'static str, find: Find, run: Run) -> Peer {
    Peer { name, find, run }
}

const PEERS: &[Peer] = &[
    peer("nginx", Find::Program(nginx::PROGRAM, "-v"), Run::Other(nginx::run)),
    peer("HAProxy", Find::Program(haproxy::PROGRAM, "-v"), Run::Other(haproxy::run)),
    peer("ab", Find::Program("ab", "-V"), Run::Other(http10::run_ab)),
    peer("MicroPython's requests", Find::Other(|_| Ok("written here".into())), Run::Other(http10::run_micropython)),
    peer("Podman", Find::Other(engine::find_podman), Run::Other(engine::run_podman)),
    peer("Docker", Find::Other(engine::find_docker), Run::Other(engine::run_docker)),
    peer("systemd", Find::Program(systemd::PROGRAM, "--version"), Run::Other(systemd::run)),
    peer("Python", Find::Program("python3", "--version"), Run::Scripts(scripted::PYTHON)),
    peer(
        "requests",
        Find::Python(VENV, "import requests_unixsocket, requests as found"),
        Run::Scripts(scripted::REQUESTS),
    ),
    peer("aiohttp", Find::Python(VENV, "import aiohttp as found"), Run::Scripts(scripted::AIOHTTP)),
    peer("Node", Find::Program("node", "--version"), Run::Scripts(scripted::NODE)),
    peer("undici", Find::Npm("undici"), Run::Scripts(scripted::UNDICI)),
    peer("websockets", Find::Python(VENV, "import websockets as found"), Run::Other(websocket::run_python)),
    peer("Autobahn", Find::Other(autobahn::find), Run::Other(autobahn::run)),
    peer("ws", Find::Npm("ws"), Run::Other(websocket::run_node)),
    peer("Degu 0.18", Find::Python(VENV_018, "import degu.base, degu as found"), Run::Scripts(scripted::DEGU_018)),
    peer("curl", Find::Program("curl", "--version"), Run::Scripts(scripted::CURL)),
    peer("curl, events", Find::Program("curl", "--version"), Run::Other(events::run_curl)),
    peer("sseclient", Find::Python(VENV, "import sseclient as found"), Run::Other(events::run_python)),
    peer("Chromium", Find::Program("chromium", "--version"), Run::Other(events::run_chromium)),
];

impl Find {
    fn find(&self, shell: &Shell) -> std::result::Result<String, String> {
        match self {
            Self::Program(program, option) => version(shell, program, option),
            Self::Python(python, code) => {
                let (program, code) = (interpreter(python), format!("{code}; print(found.__version__)"));
                let version = cmd!(shell, "{program} -c {code}").quiet().ignore_stderr().read();
                version.map_err(|_| "it is not installed".into())
            }
            Self::Npm(name) => {
                let package = shell.read_file(installed(&format!("node/node_modules/{name}/package.json")));
                let package = package.map_err(|_| "it is not installed")?;
                let package: serde_json::Value = serde_json::from_str(&package).map_err(|error| error.to_string())?;
                package["version"].as_str().map(str::to_owned).ok_or_else(|| "its package has no version".into())
            }
            Self::Other(find) => find(shell),
        }
    }
}

fn run(options: &Options) -> Result {
    let shell = &Shell::new()?;
    shell.change_dir(root());
    if options.install {
        let (script, folder) = (root().join("xtask/interop/install.sh"), installed(""));
        cmd!(shell, "{script} {folder}").run()?;
    }
    if options.list {
        for peer in PEERS {
            println!("{}: {}", peer.name, peer.find.find(shell).unwrap_or_else(|missing| missing));
        }
        return Ok(());
    }
    let folder = shell.create_temp_dir()?;
    let bench = Bench::new(shell, folder.path())?;
    let mut matrix = Matrix::default();
    for peer in PEERS {
        let version = match peer.find.find(shell) {
            Ok(version) => version,
            Err(missing) => {
                matrix.leave_out(peer.name, &missing);
                continue;
            }
        };
        let done = match peer.run {
            Run::Scripts(parts) => scripted::run(&bench, parts, &version, &mut matrix),
            Run::Other(run) => run(&bench, &version, &mut matrix),
        };
        if let Err(error) = done {
            matrix.break_off(peer.name, &error);
        }
    }
    print!("{matrix}\n{}", matrix.condensed());
    match matrix.failed() {
        0 if options.write && !matrix.is_whole() => Err("nothing is written, because peers are missing".into()),
        0 if options.write => write(shell, &matrix),
        0 => Ok(()),
        failed => Err(format!("{failed} exchanges failed").into()),
    }
}

/// Returns the folder of Degu's workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the folder of build results.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Writes the matrix and its short version into the page about interoperability.
fn write(shell: &Shell, matrix: &Matrix) -> Result {
    const PAGE: &str = "docs/interop.md";
    let text = format!("{}\n{matrix}", matrix.condensed());
    let shown = show(&shell.read_file(PAGE)?, &text).ok_or_else(|| format!("{PAGE} has no place for a matrix"))?;
    Ok(shell.write_file(PAGE, shown)?)
}

/// Replaces the text between the two marks of the page. Returns `None` if a mark is missing.
fn show(page: &str, text: &str) -> Option<String> {
    const BEGIN: &str = "<!-- cargo xtask interop --write -->\n";
    const END: &str = "<!-- until here -->\n";
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_matrix() {
        let page = "a\n<!-- cargo xtask interop --write -->\nold\n<!-- until here -->\nb\n";
        let shown = show(page, "new\n").unwrap();
        assert_eq!(shown, "a\n<!-- cargo xtask interop --write -->\n\nnew\n\n<!-- until here -->\nb\n");
        assert_eq!(show(&shown, "new\n").unwrap(), shown);
        assert_eq!(show("a\n", "new\n"), None);
    }
}
