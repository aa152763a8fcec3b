//! The suites, and what several of them do: round trips of a pair over an address.

mod connect;
mod counts;
mod duo;
mod idle;
mod open;
mod polling;
mod pool;
mod size;
mod stream;
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
    ("stream", stream::run),
    ("connect", connect::run),
    ("tls", connect::run_tls),
    ("idle", idle::run),
    ("counts", counts::run),
    ("wire", wire::run),
    ("size", size::run),
];

/// A client and a server.
type Pair<'p> = (&'p str, &'p str);

/// A pair as the tables call it.
fn name_of((client, server): Pair<'_>) -> String {
    if client == server { client.into() } else { format!("{client} → {server}") }
}

fn names_of(pairs: &[Pair<'_>]) -> Vec<String> {
    pairs.iter().copied().map(name_of).collect()
}

/// The nanoseconds of one of these times.
fn each((times, time): (f64, Duration)) -> f64 {
    time.as_nanos() as f64 / times
}

/// The nanoseconds of a round trip of a pair over this kind of address.
fn trip(
    stage: &Stage<'_>,
    at: &Placement,
    (client, server): Pair<'_>,
    address: &str,
    tls: bool,
    time: Duration,
) -> Result<f64> {
    let server = stage.serve(server, address, End { cores: &at.server, tls, ..End::default() })?;
    let end = End { cores: &at.client, tls, ..End::default() };
    Ok(each(stage.measure(&["client", client, server.address()], end, time)?))
}
