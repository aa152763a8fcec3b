//! `cargo xtask interop`: tests Degu with other programs.
//!
//! Degu's clients perform exchanges with other servers, and other clients perform exchanges with Degu's server. Each
//! outcome is a cell of a matrix. A failed exchange makes the run fail. If a peer is not installed on this machine, it
//! is left out, and the matrix shows this. Everything happens on loopback, on Unix sockets in a temporary folder, and
//! on abstract sockets.
//!
//! | file | content |
//! | --- | --- |
//! | `main.rs`, `peers.rs`, `matrix.rs` | the options; the peers; the outcomes as tables |
//! | `exchanges.rs`, `steps.rs` | the exchanges of HTTP; how exchanges are performed within a time limit |
//! | `ours.rs`, `server.rs` | both of our clients; our server |
//! | `deployment.rs` | peers with the configuration from the page about deployment |
//! | `events.rs` | our server for readers of server-sent events |
//! | `tunnel.rs`, `websocket.rs`, `autobahn.rs`, `engine.rs` | peers that switch protocols: proxies of a tunnel, WebSocket, container engines |
//! | `peer.rs`, `child.rs` | addresses, configurations and versions; processes |

mod autobahn;
mod child;
#[path = "../../soak/src/clients.rs"]
mod clients;
mod deployment;
mod engine;
mod events;
mod exchanges;
mod matrix;
mod ours;
mod peer;
mod peers;
mod server;
mod steps;
mod tunnel;
mod websocket;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use xshell::{Shell, cmd};

use matrix::Matrix;
use peer::{Bench, installed, version};
use peers::PEERS;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

/// Tests Degu's clients and server with other programs, and prints a matrix.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask interop")]
struct Options {
    /// Installs the peers that are missing, with apt-get (as root), pip and npm (into target/interop); needs the network.
    #[arg(long)]
    install: bool,
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

fn run(options: &Options) -> Result {
    let shell = &Shell::new()?;
    shell.change_dir(root());
    if options.install {
        let (script, folder) = (root().join("xtask/interop/install.sh"), installed());
        cmd!(shell, "{script} {folder}").run()?;
    }
    let folder = shell.create_temp_dir()?;
    let mut bench = Bench::new(shell, folder.path())?;
    for peer @ (name, command, _) in PEERS {
        let name = name.replace(" {}", "");
        let done = match version(&bench, command) {
            Ok(version) => peers::test(&mut bench, peer, &version),
            Err(missing) => {
                bench.matrix.leave_out(&name, &missing);
                continue;
            }
        };
        if let Err(error) = done {
            bench.matrix.break_off(&name, &error);
        }
    }
    let matrix = &bench.matrix;
    print!("{matrix}\n{}", matrix.condensed());
    match matrix.failed() {
        0 if options.write && !matrix.is_whole() => Err("nothing is written, because peers are missing".into()),
        0 if options.write => write(shell, matrix),
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
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Writes the matrix and its short version into the page about interoperability.
fn write(shell: &Shell, matrix: &Matrix) -> Result {
    const PAGE: &str = "docs/interop.md";
    let text = format!("{}\n{matrix}", matrix.condensed());
    let shown = show(&shell.read_file(PAGE)?, &text)
        .ok_or_else(|| format!("{PAGE} lacks one of the two comments between which the matrix belongs"))?;
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
