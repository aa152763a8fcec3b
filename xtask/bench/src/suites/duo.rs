//! Round trips over one connection: small POST requests one after another. Client and server are separate processes.

use std::time::Duration;

use super::each;
use crate::Result;
use crate::machine::{self, Placement};
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{DEGU_018, End, Stage, is_there};

/// The contestants with which the others are compared: the lower bounds that the kernel sets, and hyper, the best known
/// library.
const REFERENCES: &[&str] = &["raw-poll", "raw", "hyper"];

/// The pairs that both suites measure. A quick run measures only these pairs.
const BOTH: &[&str] = &["raw-poll", "raw", "hyper", "degu", "degu-blocking → degu", "degu-off"];

/// The other pairs of `duo`. Most have Degu at one side, and another program at the other side.
const DUO: &[&str] = &[
    "degu-blocking-off → degu-off",
    "raw-tokio",
    "degu → hyper",
    "hyper → degu",
    "raw → degu",
    "degu → raw",
    "degu-blocking → raw",
];

/// The libraries that a program would use instead of Degu.
const PEERS: &[&str] = &[
    "degu-pool → degu",
    "hyper-util → axum",
    "degu-pool → axum",
    "reqwest → axum",
    "ureq → axum",
    "tonic",
    "tarpc",
    DEGU_018,
    "degu → axum",
    "degu-blocking → axum",
    "reqwest → degu",
    "ureq → degu",
];

/// The pairs of `polling`. The first two have Degu at both sides, and the others have it at one side.
const POLLING: [&str; 7] =
    ["degu", "degu-blocking → degu", "raw → degu", "hyper → degu", "degu → raw", "degu-blocking → raw", "degu → hyper"];
const OURS: usize = 2;

/// The number of times that a pair is started for one sample while every core is busy. Client and server then stay on
/// the cores on which the scheduler has started them, and the distance between these cores determines the time.
const LOADED_TURNS: usize = 4;

/// The kinds of addresses: the name in the table, and the word for it elsewhere in this program. `peers` and a quick run use only the first two.
const ADDRESSES: [(&str, &str); 4] = [("Unix", "unix"), ("IPv6", "ipv6"), ("abstract", "abstract"), ("IPv4", "ipv4")];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let (others, kinds) = if stage.options.quick { (&[][..], 2) } else { (DUO, ADDRESSES.len()) };
    round_trips(stage, "duo", others, &ADDRESSES[..kinds])
}

pub(super) fn run_peers(stage: &Stage<'_>) -> Result<Report> {
    let mut report = round_trips(stage, "peers", PEERS, &ADDRESSES[..2])?;
    report.notes.extend((!is_there(DEGU_018)).then(|| "without Degu 0.18 (cargo xtask interop --install)".into()));
    report.about += "; hyper-util, reqwest, ureq and axum add fields of their own, tonic sends protobuf over HTTP/2, and tarpc bincode";
    Ok(report)
}

fn round_trips(stage: &Stage<'_>, suite: &str, others: &[&'static str], addresses: &[(&str, &str)]) -> Result<Report> {
    let (options, is_degu_018_there) = (stage.options, is_there(DEGU_018));
    let mut conditions = Vec::new();
    for (name, kind) in addresses {
        let takes_part = |pair: &&str| match split_pair(pair).0 {
            // ureq does not support Unix sockets. tonic and tarpc are measured only over Unix sockets.
            "ureq" => *kind != "unix",
            "tonic" | "tarpc" => *kind == "unix",
            DEGU_018 => is_degu_018_there,
            _ => true,
        };
        for at in machine::placements()? {
            let pairs = [BOTH, others].concat().into_iter().filter(takes_part);
            conditions.push(Condition::new(format!("{name}, {}", at.name), pairs, REFERENCES, (kind, at)));
        }
    }
    let (rounds, time) = (options.rounds(), stage.time(Duration::from_millis(300)));
    let report = plan::run(suite, rounds, &conditions, &[("", Unit::Microseconds)], |(kind, at), pair| {
        Ok(vec![trip(stage, at, split_pair(pair), kind, time)?])
    });
    let about = format!(
        "one connection, POST requests of about 180 bytes one after the other, and responses of about 150; {rounds} rounds \
         of {} ms; different programs are written client → server",
        time.as_millis()
    );
    Ok(Report { about, ..report })
}

/// Measures the effect of spinning before blocking, in every placement, on idle and on busy cores: the time of round
/// trips with spinning, divided by their time without spinning.
pub(super) fn run_polling(stage: &Stage<'_>) -> Result<Report> {
    let mut conditions = Vec::new();
    for (name, kind) in [("Unix", "unix"), ("IPv6", "ipv6")] {
        for (at, loaded) in machine::placements()?.into_iter().flat_map(|at| [(at.clone(), false), (at, true)]) {
            let pairs = POLLING.into_iter().take(if kind == "unix" && !loaded { POLLING.len() } else { OURS });
            let name = format!("{name}, {}{}", at.name, if loaded { ", every core busy" } else { "" });
            conditions.push(Condition::new(name, pairs, &[], (kind, at, loaded)));
        }
    }
    let time = stage.time(Duration::from_millis(250));
    let figures = [("", Unit::Times)];
    let report = plan::run("polling", stage.options.rounds(), &conditions, &figures, |(kind, at, loaded), pair| {
        let (client, server) = split_pair(pair);
        let _busy = if *loaded { stage.busy(&machine::cores()?)? } else { Vec::new() };
        let off = |name: &str| if name.starts_with("degu") { format!("{name}-off") } else { name.to_owned() };
        let (mut spun, mut blocked) = (0.0, 0.0);
        for _ in 0..if *loaded { LOADED_TURNS } else { 1 } {
            spun += trip(stage, at, (client, server), kind, time)?;
            blocked += trip(stage, at, (&off(client), &off(server)), kind, time)?;
        }
        Ok(vec![spun / blocked])
    });
    let about = "the time of a round trip divided by the time of the same pair without spinning".into();
    Ok(Report { about, ..report })
}

/// Splits the name of a pair in the tables into the names of the client and the server. The name of a pair is `CLIENT →
/// SERVER`, or only one name if this contestant is client and server.
fn split_pair(name: &str) -> (&str, &str) {
    name.split_once(" → ").unwrap_or((name, name))
}

/// Measures round trips of a pair over this kind of address. Returns the nanoseconds of one round trip.
fn trip(stage: &Stage<'_>, at: &Placement, (client, server): (&str, &str), kind: &str, time: Duration) -> Result<f64> {
    let server = stage.serve(server, kind, End::on(&at.server))?;
    Ok(each(stage.measure(&["client", server.address(), client], End { time, ..End::on(&at.client) })?))
}
