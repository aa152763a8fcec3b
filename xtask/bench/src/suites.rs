//! The suites, and the parts that several of them share: round trips of a pair over an address.

mod counts;
mod duo;
mod idle;
mod open;
mod polling;
mod pool;
mod size;
mod throughput;
mod wire;

use std::time::Duration;

use crate::Result;
use crate::machine::Placement;
use crate::report::Report;
use crate::stage::{End, Stage};

pub(crate) use open::PERCENTILES;

type Suite = fn(&Stage<'_>) -> Result<Report>;

/// All suites, in the order in which they run.
pub(crate) const ALL: &[(&str, Suite)] = &[
    ("duo", duo::run),
    ("peers", duo::run_peers),
    ("polling", polling::run),
    ("pool", pool::run),
    ("open", open::run),
    ("throughput", throughput::run),
    ("idle", idle::run),
    ("counts", counts::run),
    ("wire", wire::run),
    ("size", size::run),
];

/// A client and a server.
type Pair = (&'static str, &'static str);

/// Returns the name of a pair in the tables.
fn name_of(&(client, server): &Pair) -> String {
    if client == server { client.into() } else { format!("{client} → {server}") }
}

/// Returns the nanoseconds of one run, from the number of runs and the time that they took.
fn each((times, time): (f64, Duration)) -> f64 {
    time.as_nanos() as f64 / times
}

/// Measures round trips of a pair over this kind of address. Returns the nanoseconds of one round trip.
fn trip(stage: &Stage<'_>, at: &Placement, client: &str, server: &str, kind: &str, time: Duration) -> Result<f64> {
    let server = stage.serve(server, kind, End { cores: &at.server, ..End::default() })?;
    let end = End { cores: &at.client, time, ..End::default() };
    Ok(each(stage.measure(&["client", client, server.address()], end)?))
}
