//! The exchanges through a tunnel with the example `terminal`, directly or through a proxy.

use degu_client::{Headers, Method};
use degu_simulation::Message;
use xshell::cmd;

use crate::child::Server;
use crate::exchanges::{large, same, wanted};
use crate::ours::{Ours, declined};
use crate::peer::{Bench, TIED, Where};
use crate::steps::{Step, Unsupported, perform as perform_steps};
use crate::{Result, target, websocket};

const STEPS: &[Step<()>] = &[("bytes", bytes), ("half-close", half_close), ("declined", decline)];

/// Starts the example `terminal` on an address of this kind.
pub(crate) fn terminal(bench: &mut Bench<'_>, kind: Where) -> Result<Server> {
    cmd!(bench.shell, "cargo build --quiet --package degu-misc --example terminal").quiet().run()?;
    let program = target().join("debug/examples/terminal");
    let line = format!("{TIED} {} {}", program.display(), bench.address(kind));
    bench.start(&line)
}

/// Performs the exchanges through a tunnel, and the exchanges of WebSocket, with both of our clients.
pub(crate) fn perform(bench: &mut Bench<'_>, server: &str, address: &str, unsupported: Unsupported) -> Result {
    perform_steps(STEPS, unsupported, server, address, &mut bench.matrix, |_, _| Ok(()))?;
    websocket::perform(bench, &format!("{server}, WebSocket"), address)
}

/// Offers to switch to `tcp` at `/attach`, and exchanges bytes through the tunnel.
fn attach(ours: &mut Ours, input: &[u8], wanted: Option<usize>) -> Result<Vec<u8>> {
    let switch = ours.upgrade(Method::Post, "/attach", "tcp", Headers::new(), Some(Vec::new()))?;
    switch.map_err(declined)?.1.exchange(input, wanted)
}

/// Sends 1 MiB in each direction.
fn bytes(ours: &mut Ours, (): &mut ()) -> Result {
    let large = large();
    same("output", &attach(ours, &large, Some(large.len()))?, &large)
}

/// Checks that the server continues to send after the client has half-closed the tunnel.
fn half_close(ours: &mut Ours, (): &mut ()) -> Result {
    same("output", &attach(ours, b"some text", None)?, b"some textbye")
}

/// Checks that the connection can be used again after the server has declined an offer.
fn decline(ours: &mut Ours, (): &mut ()) -> Result {
    let switch = ours.upgrade(Method::Post, "/missing", "tcp", Headers::new(), Some(Vec::new()))?;
    wanted(matches!(switch, Err(404)), || format!("status {:?}", switch.err()))?;
    wanted(ours.is_open(), || "the connection is closed".into())?;
    let answer = ours.perform(Method::Get, "/attach", &Headers::new(), &Message::none())?;
    wanted(answer.status == 405, || format!("status {}", answer.status))
}
