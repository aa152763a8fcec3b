//! The suite `stream`: one large body after the other over one connection, each end a process of its own.

use std::time::Duration;

use super::connect::pair_name;
use super::cores::{Cores, Placement};
use super::plan::{self, Condition, Figure};
use super::report::Report;
use super::stage::{End, Stage};
use super::unit::Unit;
use crate::Result;

/// What a server writes at once: 64 KiB.
const PIECE: usize = 64 * 1024;

/// How many pieces a body has: 1 GiB, or 48 MiB in a quick run.
const PIECES: usize = 16 * 1024;
const QUICK_PIECES: usize = 768;

/// How long one of them may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Client and server.
const PAIRS: [(&str, &str); 4] =
    [("raw-copy", "raw-copy"), ("hyper", "hyper"), ("degu", "degu"), ("degu-blocking", "degu")];

/// In the table, and as the target of the request.
const FRAMINGS: [(&str, &str); 2] = [("length", "length"), ("chunks of 64 KiB", "chunks")];
const ADDRESSES: [(&str, &str); 2] = [("Unix", "unix"), ("IPv6", "ipv6")];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let pieces = if stage.options.quick { QUICK_PIECES } else { PIECES };
    let rounds = stage.options.rounds();
    let cores = Cores::choose()?;
    let placement = if cores.placements().contains(&Placement::Apart) { Placement::Apart } else { Placement::Same };
    let (client_core, server_core) = cores.of(placement);
    let places: Vec<_> = ADDRESSES.into_iter().flat_map(|address| FRAMINGS.map(|framing| (address, framing))).collect();
    let condition = |((address, _), (framing, _)): &((&str, &str), (&str, &str))| Condition {
        name: format!("{address}, {framing}"),
        contestants: PAIRS.iter().map(|(client, server)| pair_name(client, server)).collect(),
        references: vec!["raw-copy".into(), "hyper".into()],
    };
    let conditions: Vec<Condition> = places.iter().map(condition).collect();
    let figure = Figure { name: "", unit: Unit::Megabytes };
    stage.program()?;
    let outcome = plan::run("stream", rounds, &conditions, &[figure], |place, pair| {
        let (((_, address), (_, framing)), (client, server)) = (places[place], PAIRS[pair]);
        let end = End { cores: server_core.as_slice(), ..End::default() };
        let server = stage.serve("stream", server, &stage.address(address)?, end)?;
        let end = End { cores: client_core.as_slice(), ..End::default() };
        let target = format!("/{framing}/{pieces}");
        let (octets, took) = stage.measure(&["fetch", client, server.address(), &target], end, LIMIT)?;
        Ok(vec![octets / took.as_secs_f64()])
    });
    Ok(Report {
        suite: "stream".into(),
        about: format!(
            "a body of {} MiB from server to client, in writes of 64 KiB; {rounds} rounds; {}",
            (pieces * PIECE) >> 20,
            cores.describe(placement)
        ),
        failures: outcome.failures.len(),
        notes: outcome.failures,
        groups: outcome.groups,
    })
}
