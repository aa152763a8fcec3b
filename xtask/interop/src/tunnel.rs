//! Tunnels to the example `terminal`, directly and through a proxy, by both of our clients.

use std::path::Path;

use degu_client::{BoxError, Client, Headers, Method};
use xshell::cmd;

use crate::child::Server;
use crate::ends::{Content, End};
use crate::exchanges::{large, same, wanted};
use crate::matrix::{Matrix, Outcome};
use crate::peer::{Bench, tied};
use crate::steps::{Step, columns, perform as perform_steps};
use crate::{Result, target};

const STEPS: &[Step<End>] = &[("bytes", bytes), ("half-close", half_close), ("declined", declined)];

/// Starts the example `terminal` on an address.
pub(crate) fn terminal(bench: &Bench<'_>, address: &str) -> Result<Server> {
    cmd!(bench.shell, "cargo build --quiet --package degu-misc --example terminal").quiet().run()?;
    let program = target().join("debug/examples/terminal");
    let (shell, line) = tied(&format!("{} {address}", program.display()));
    Server::start(Path::new(&shell), &line)
}

/// Performs the exchanges with `terminal`, and adds a row for each of our clients. `half_close` says why the tunnel's end of
/// input is not passed on, where it is not.
pub(crate) fn perform(server: &str, address: &str, half_close: Option<&str>, matrix: &mut Matrix) -> Result {
    for (client, blocking) in [("Degu, async", false), ("Degu, blocking", true)] {
        let behind: degu_client::Address = address.parse()?;
        let mut outcomes = perform_steps(STEPS, move || End::new(Client::new(behind), blocking));
        if let Some(why) = half_close {
            // It was tried, so that a proxy that has learned it is noticed.
            outcomes[1] = match &outcomes[1] {
                Outcome::Ok => Outcome::Failed("it half-closes after all".into()),
                _ => Outcome::Skipped(why.into()),
            };
        }
        matrix.add_row(columns(STEPS), client, server, address, outcomes);
    }
    Ok(())
}

/// 1 MiB each way.
fn bytes(end: &mut End) -> std::result::Result<(), BoxError> {
    let large = large();
    let switch = end.switch("/attach", &Headers::new(), Vec::new(), &large, Some(large.len()))?;
    wanted(switch.status == 101, || format!("status {}", switch.status))?;
    same("output", &switch.output, &large)
}

/// The server sends on after the end of its input.
fn half_close(end: &mut End) -> std::result::Result<(), BoxError> {
    let switch = end.switch("/attach", &Headers::new(), Vec::new(), b"some text", None)?;
    same("output", &switch.output, b"some textbye")
}

/// A response that declines leaves the connection to further requests.
fn declined(end: &mut End) -> std::result::Result<(), BoxError> {
    let switch = end.switch("/missing", &Headers::new(), Vec::new(), b"", None)?;
    wanted(switch.status == 404, || format!("status {}", switch.status))?;
    wanted(end.is_open(), || "the connection is closed".into())?;
    let whole = end.perform(Method::Get, "/attach", &Headers::new(), Content::Nothing)?;
    wanted(whole.status == 405, || format!("status {}", whole.status))
}
