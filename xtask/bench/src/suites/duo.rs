//! Round trips over one connection: small POST requests one after another. Client and server are separate processes.

use std::time::Duration;

use super::{Pair, name_of, trip};
use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{DEGU_018, Stage, is_degu_018_there};

/// The contestants with which the others are compared: the lower bounds that the kernel sets, and hyper, the best known
/// library.
const REFERENCES: [&str; 3] = ["raw-poll", "raw", "hyper"];

/// The pairs that both suites measure. A quick run measures only these pairs. The chart shows the fifth pair as
/// "degu-blocking → degu".
const BOTH: &[Pair] = &[
    ("raw-poll", "raw-poll"),
    ("raw", "raw"),
    ("hyper", "hyper"),
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("degu-off", "degu-off"),
];

/// The other pairs of `duo`. Most have Degu at one side, and another program at the other side.
const DUO: &[Pair] = &[
    ("degu-blocking-off", "degu-off"),
    ("raw-tokio", "raw-tokio"),
    ("degu", "hyper"),
    ("hyper", "degu"),
    ("raw", "degu"),
    ("degu", "raw"),
    ("degu-blocking", "raw"),
];

/// The libraries that a program would use instead of Degu.
const PEERS: &[Pair] = &[
    ("degu-pool", "degu"),
    ("hyper-util", "axum"),
    ("degu-pool", "axum"),
    ("reqwest", "axum"),
    ("ureq", "axum"),
    ("tonic", "tonic"),
    ("tarpc", "tarpc"),
    (DEGU_018, DEGU_018),
    ("degu", "axum"),
    ("degu-blocking", "axum"),
    ("reqwest", "degu"),
    ("ureq", "degu"),
];

/// The kinds of addresses, in the table and on the command line. `peers` and a quick run use only the first two.
const ADDRESSES: [(&str, &str); 4] = [("Unix", "unix"), ("IPv6", "ipv6"), ("abstract", "abstract"), ("IPv4", "ipv4")];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let (others, kinds) = if stage.options.quick { (&[][..], 2) } else { (DUO, ADDRESSES.len()) };
    round_trips(stage, "duo", others, &ADDRESSES[..kinds])
}

pub(super) fn run_peers(stage: &Stage<'_>) -> Result<Report> {
    let mut report = round_trips(stage, "peers", PEERS, &ADDRESSES[..2])?;
    report.notes.extend((!is_degu_018_there()).then(|| "without Degu 0.18 (cargo xtask interop --install)".into()));
    report.about += "; hyper-util, reqwest, ureq and axum add fields of their own, tonic sends protobuf over HTTP/2, and tarpc bincode";
    Ok(report)
}

fn round_trips(stage: &Stage<'_>, suite: &str, others: &[Pair], addresses: &[(&str, &str)]) -> Result<Report> {
    let (options, is_degu_018_there) = (stage.options, is_degu_018_there());
    let (mut places, mut conditions) = (Vec::new(), Vec::new());
    for (name, kind) in addresses.iter().filter(|(_, kind)| options.address.as_deref().is_none_or(|it| it == *kind)) {
        let takes_part = |pair: &&Pair| match pair.0 {
            // ureq does not support Unix sockets. tonic and tarpc are measured only over Unix sockets.
            "ureq" => *kind != "unix",
            "tonic" | "tarpc" => *kind == "unix",
            DEGU_018 => is_degu_018_there,
            _ => true,
        };
        let pairs: Vec<&Pair> = BOTH.iter().chain(others.iter().filter(takes_part)).collect();
        for at in machine::placements()? {
            if options.placement.as_deref().is_none_or(|wanted| wanted == at.name) {
                let names = pairs.iter().map(|pair| name_of(pair));
                conditions.push(Condition::new(format!("{name}, {}", at.name), names, &REFERENCES));
                places.push((kind, at, pairs.clone()));
            }
        }
    }
    let (rounds, time) = (options.rounds(), stage.time(Duration::from_millis(300)));
    let report = plan::run(suite, rounds, &conditions, &[("", Unit::Microseconds)], |place, pair| {
        let (kind, at, pairs) = &places[place];
        let &(client, server) = pairs[pair];
        Ok(vec![trip(stage, at, client, server, kind, time)?])
    });
    let about = format!(
        "one connection, POST requests of about 180 bytes one after the other, and responses of about 150; {rounds} rounds \
         of {} ms; different programs are written client → server",
        time.as_millis()
    );
    Ok(Report { about, ..report })
}
