//! The exchanges through a tunnel with the example `terminal`, directly or through a proxy.

use std::path::Path;

use degu_client::{BoxError, Headers, Method};
use xshell::cmd;

use crate::child::Server;
use crate::exchanges::{large, same, wanted};
use crate::matrix::Matrix;
use crate::ours::{Content, Ours};
use crate::peer::{Bench, tied};
use crate::steps::{Step, Unsupported, perform as perform_steps};
use crate::{Result, target};

const STEPS: &[Step<()>] = &[("bytes", bytes), ("half-close", half_close), ("declined", declined)];

/// Starts the example `terminal` on an address.
pub(crate) fn terminal(bench: &Bench<'_>, address: &str) -> Result<Server> {
    cmd!(bench.shell, "cargo build --quiet --package degu-misc --example terminal").quiet().run()?;
    let program = target().join("debug/examples/terminal");
    let (shell, line) = tied(&format!("{} {address}", program.display()));
    Server::start(Path::new(&shell), &line)
}

/// Performs the exchanges with both of our clients.
pub(crate) fn perform(server: &str, address: &str, unsupported: Unsupported, matrix: &mut Matrix) -> Result {
    perform_steps(STEPS, unsupported, server, address, matrix, |_, _| Ok(()))
}

/// Offers to switch to `tcp` at `/attach`, and exchanges bytes through the tunnel.
fn attach(ours: &mut Ours, input: &[u8], wanted: Option<usize>) -> std::result::Result<Vec<u8>, BoxError> {
    let switch = ours.upgrade(Method::Post, "/attach", "tcp", Headers::new(), Some(Vec::new()))?;
    let tunnel = switch.tunnel.ok_or_else(|| format!("status {}", switch.status))?;
    tunnel.exchange(input, wanted)
}

/// Sends 1 MiB in each direction.
fn bytes(ours: &mut Ours, (): &mut ()) -> std::result::Result<(), BoxError> {
    let large = large();
    same("output", &attach(ours, &large, Some(large.len()))?, &large)
}

/// Checks that the server continues to send after the client has half-closed the tunnel.
fn half_close(ours: &mut Ours, (): &mut ()) -> std::result::Result<(), BoxError> {
    same("output", &attach(ours, b"some text", None)?, b"some textbye")
}

/// Checks that the connection can be used again after the server has declined an offer.
fn declined(ours: &mut Ours, (): &mut ()) -> std::result::Result<(), BoxError> {
    let switch = ours.upgrade(Method::Post, "/missing", "tcp", Headers::new(), Some(Vec::new()))?;
    wanted(switch.status == 404, || format!("status {}", switch.status))?;
    wanted(ours.is_open(), || "the connection is closed".into())?;
    let whole = ours.perform(Method::Get, "/attach", &Headers::new(), Content::Nothing)?;
    wanted(whole.status == 405, || format!("status {}", whole.status))
}
