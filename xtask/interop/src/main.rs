//! `cargo xtask interop`: does Degu work with other programs?
//!
//! Degu's clients perform exchanges with other servers, and other clients perform them with Degu's server. Each result
//! is a cell of a matrix. A failed exchange is an error. A peer that is not installed on this machine is left out, and
//! the matrix shows this. Everything happens on loopback, on Unix sockets in a temporary folder, and on abstract
//! sockets.
//!
//! | file | its job |
//! | --- | --- |
//! | `main.rs`, `matrix.rs` | the peers and the options; what came of the exchanges, as tables |
//! | `exchanges.rs`, `ends.rs`, `server.rs` | the exchanges; both of our clients; our server |
//! | `nginx.rs`, `haproxy.rs`, `systemd.rs` | peers that need a configuration, which the page about deployment has |
//! | `http10.rs` | clients that speak HTTP/1.0 |
//! | `events.rs` | readers of server-sent events |
//! | `tunnel.rs`, `websocket.rs`, `autobahn.rs`, `engine.rs`, `steps.rs` | peers that switch protocols: the example `terminal` behind proxies, WebSocket, container engines; a bound for each exchange |
//! | `scripted.rs` | peers that run a script of `peers/` |
//! | `peer.rs`, `child.rs` | what these share: addresses, configurations, versions; processes |

mod autobahn;
mod child;
mod ends;
mod engine;
mod events;
mod exchanges;
mod haproxy;
mod http10;
mod matrix;
mod nginx;
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
use peer::{Bench, installed, version};
use scripted::{find_node_package, find_python, python, run as run_script};

/// The result of every part of this program: the error is printed, and the exit code is 1.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Tests Degu's clients and server with other programs, and prints a matrix.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask interop")]
struct Options {
    /// Installs the peers that are missing, with apt-get (as root), pip and npm (into target/interop); needs the network.
    #[arg(long)]
    install: bool,
    /// Lists the peers, and whether they are installed.
    #[arg(long)]
    list: bool,
    /// Writes the matrix and a short version of it into docs/interop.md, if every peer was there and every exchange
    /// succeeded.
    #[arg(long)]
    write: bool,
    /// Only serves, on the socket that is its standard input.
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

/// A kind of peer: its name, whether it is here, and what it does.
struct Kind {
    name: &'static str,
    /// Returns the version, or why the peer is missing.
    find: fn(&Shell) -> std::result::Result<String, String>,
    run: fn(&Bench<'_>, &str, &mut Matrix) -> Result,
}

const KINDS: &[Kind] = &[
    Kind { name: "nginx", find: nginx::find, run: nginx::run },
    Kind { name: "HAProxy", find: haproxy::find, run: haproxy::run },
    Kind { name: "ab", find: http10::find_ab, run: http10::run_ab },
    Kind { name: "MicroPython's requests", find: |_| Ok("written here".into()), run: http10::run_micropython },
    Kind { name: "Podman", find: engine::find_podman, run: engine::run_podman },
    Kind { name: "Docker", find: engine::find_docker, run: engine::run_docker },
    Kind { name: "systemd", find: systemd::find, run: systemd::run },
    Kind {
        name: "Python",
        find: |shell| version(shell, "python3", "--version"),
        run: |bench, version, matrix| run_script(bench, Path::new("python3"), scripted::PYTHON, version, matrix),
    },
    Kind {
        name: "requests",
        find: |shell| find_python(shell, "python", "import requests_unixsocket, requests as found"),
        run: |bench, version, matrix| run_script(bench, &python("python"), scripted::REQUESTS, version, matrix),
    },
    Kind {
        name: "aiohttp",
        find: |shell| find_python(shell, "python", "import aiohttp as found"),
        run: |bench, version, matrix| run_script(bench, &python("python"), scripted::AIOHTTP, version, matrix),
    },
    Kind {
        name: "Node",
        find: |shell| version(shell, "node", "--version"),
        run: |bench, version, matrix| run_script(bench, Path::new("node"), scripted::NODE, version, matrix),
    },
    Kind {
        name: "undici",
        find: |shell| find_node_package(shell, "undici"),
        run: |bench, version, matrix| run_script(bench, Path::new("node"), scripted::UNDICI, version, matrix),
    },
    Kind {
        name: "websockets",
        find: |shell| find_python(shell, "python", "import websockets as found"),
        run: websocket::run_python,
    },
    Kind { name: "Autobahn", find: autobahn::find, run: autobahn::run },
    Kind { name: "ws", find: websocket::find_node, run: websocket::run_node },
    Kind {
        name: "Degu 0.18",
        find: |shell| find_python(shell, "degu-0.18", "import degu.base, degu as found"),
        run: |bench, version, matrix| run_script(bench, &python("degu-0.18"), scripted::DEGU_018, version, matrix),
    },
    Kind {
        name: "curl",
        find: |shell| version(shell, "curl", "--version"),
        run: |bench, version, matrix| {
            run_script(bench, Path::new("bash"), scripted::CURL, version, matrix)?;
            events::run_curl(bench, version, matrix)
        },
    },
    Kind {
        name: "sseclient",
        find: |shell| find_python(shell, "python", "import sseclient as found"),
        run: events::run_python,
    },
    Kind { name: "Chromium", find: |shell| version(shell, "chromium", "--version"), run: events::run_chromium },
];

fn run(options: &Options) -> Result {
    let shell = &Shell::new()?;
    shell.change_dir(root());
    if options.install {
        let (script, folder) = (root().join("xtask/interop/install.sh"), installed(""));
        cmd!(shell, "{script} {folder}").run()?;
    }
    if options.list {
        KINDS
            .iter()
            .for_each(|kind| println!("{}: {}", kind.name, (kind.find)(shell).unwrap_or_else(|missing| missing)));
        return Ok(());
    }
    let folder = shell.create_temp_dir()?;
    let bench = Bench::new(shell, folder.path())?;
    let mut matrix = Matrix::default();
    for kind in KINDS {
        match (kind.find)(shell) {
            Ok(version) => {
                // The other peers are still of interest.
                if let Err(error) = (kind.run)(&bench, &version, &mut matrix) {
                    matrix.break_off(kind.name, &error);
                }
            }
            Err(missing) => matrix.leave_out(kind.name, &missing),
        }
    }
    print!("{matrix}\n{}", matrix.condensed());
    match matrix.failed() {
        0 if options.write && !matrix.is_whole() => Err("nothing is written, since peers are missing".into()),
        0 if options.write => write(shell, &matrix),
        0 => Ok(()),
        failed => Err(format!("{failed} exchanges failed").into()),
    }
}

/// The folder of Degu's workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of build results.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Puts the matrix where it is shown, after a shorter one.
fn write(shell: &Shell, matrix: &Matrix) -> Result {
    const PAGE: &str = "docs/interop.md";
    let text = format!("{}\n{matrix}", matrix.condensed());
    let shown = show(&shell.read_file(PAGE)?, &text).ok_or_else(|| format!("{PAGE} has no place for a matrix"))?;
    Ok(shell.write_file(PAGE, shown)?)
}

/// The page with the text between its two marks.
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
