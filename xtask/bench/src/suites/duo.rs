//! One connection, small POST requests one after the other, each end a process of its own.

use std::time::Duration;

use super::{Pair, name_of, names_of, trip};
use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{DEGU_018, Stage, is_degu_018_there};

/// The references of the comparison: the floors that the kernel sets, and the best known peer.
const REFERENCES: [&str; 3] = ["raw-poll", "raw", "hyper"];

const PAIRS: &[Pair<'_>] = &[
    ("raw-poll", "raw-poll"),
    ("raw", "raw"),
    ("hyper", "hyper"),
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("degu-off", "degu-off"),
    ("degu-blocking-off", "degu-off"),
    ("raw-tokio", "raw-tokio"),
    // Each of our ends with one that is not ours.
    ("degu", "hyper"),
    ("hyper", "degu"),
    ("raw", "degu"),
    ("degu", "raw"),
    ("degu-blocking", "raw"),
];

/// The number of them, from the first, in a quick run.
const QUICK: usize = 6;

/// Kinds of addresses, in the table and on the command line. A quick run has only the marked kinds.
const ADDRESSES: [(&str, &str, bool); 4] =
    [("Unix", "unix", true), ("abstract", "abstract", false), ("IPv4", "ipv4", false), ("IPv6", "ipv6", true)];

/// The libraries that a program would use instead. Those with a protocol of their own speak it over Unix sockets, which ureq
/// does not support.
const UNIX_PEERS: &[Pair<'_>] = &[
    ("raw-poll", "raw-poll"),
    ("raw", "raw"),
    ("hyper", "hyper"),
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("degu-off", "degu-off"),
    ("degu-pool", "degu"),
    ("hyper-util", "axum"),
    ("degu-pool", "axum"),
    ("reqwest", "axum"),
    ("tonic", "tonic"),
    ("tarpc", "tarpc"),
    (DEGU_018, DEGU_018),
    ("degu", "axum"),
    ("reqwest", "degu"),
];
const TCP_PEERS: &[Pair<'_>] = &[
    ("raw-poll", "raw-poll"),
    ("raw", "raw"),
    ("hyper", "hyper"),
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("hyper-util", "axum"),
    ("reqwest", "axum"),
    ("ureq", "axum"),
    (DEGU_018, DEGU_018),
    ("degu-blocking", "axum"),
    ("ureq", "degu"),
];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let options = stage.options;
    let mut pairs = PAIRS[..if options.quick { QUICK } else { PAIRS.len() }].to_vec();
    if !options.pair.is_empty() {
        pairs.truncate(REFERENCES.len());
        for pair in &options.pair {
            pairs.push(pair.split_once(':').ok_or("--pair takes CLIENT:SERVER")?);
        }
    }
    debug_assert_eq!(name_of(PAIRS[4]), "degu-blocking → degu", "the chart knows it by this name");
    round_trips(stage, "duo", |_| pairs.clone())
}

pub(super) fn run_peers(stage: &Stage<'_>) -> Result<Report> {
    let is_there = is_degu_018_there();
    let mut report = round_trips(stage, "peers", |kind| {
        let all = match kind {
            "unix" => UNIX_PEERS,
            "ipv6" => TCP_PEERS,
            _ => &[],
        };
        all.iter().copied().filter(|pair| is_there || pair.0 != DEGU_018).collect()
    })?;
    report.notes.extend((!is_there).then(|| "without Degu 0.18 (cargo xtask interop --install)".into()));
    report.about += "; hyper-util, reqwest, ureq and axum add fields of their own, tonic speaks protobuf over HTTP/2, and tarpc bincode";
    Ok(report)
}

fn round_trips<'p>(stage: &Stage<'_>, suite: &str, pairs: impl Fn(&str) -> Vec<Pair<'p>>) -> Result<Report> {
    let (options, mut places) = (stage.options, Vec::new());
    for (name, kind, quick) in ADDRESSES {
        let pairs = pairs(kind);
        if !pairs.is_empty() && options.address.as_deref().map_or(quick || !options.quick, |wanted| wanted == kind) {
            for at in machine::placements()? {
                if options.placement.as_deref().is_none_or(|wanted| wanted == at.name) {
                    places.push((format!("{name}, {}", at.name), kind, at, pairs.clone()));
                }
            }
        }
    }
    let condition = |(name, _, _, pairs): &(String, _, _, Vec<Pair<'_>>)| Condition {
        name: name.clone(),
        contestants: names_of(pairs),
        references: REFERENCES.to_vec(),
    };
    let conditions: Vec<Condition> = places.iter().map(condition).collect();
    let (rounds, time) = (options.rounds(), stage.time(Duration::from_millis(300)));
    let report = plan::run(suite, rounds, &conditions, &[("", Unit::Microseconds)], |place, pair| {
        let (_, kind, at, pairs) = &places[place];
        Ok(vec![trip(stage, at, pairs[pair], kind, false, time)?])
    });
    let about = format!(
        "one connection, sequential POST requests of about 180 bytes, answered with about 150; {rounds} rounds of {} ms; a \
         pair is client → server where they differ",
        time.as_millis()
    );
    Ok(Report { about, ..report })
}
