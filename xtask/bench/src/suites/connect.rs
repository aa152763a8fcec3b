//! Connections that are opened, used for one request, and closed: without TLS, and with full handshakes of mutual TLS.
//! Also round trips over TLS.

use std::time::Duration;

use super::{Pair, names_of, trip};
use crate::Result;
use crate::machine;
use crate::plan::{self, Condition, Figure};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage};

const PAIRS: &[Pair<'_>] = &[
    ("raw-tokio", "raw-tokio"),
    ("hyper", "hyper"),
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("hyper", "degu"),
    ("degu", "hyper"),
];

const FIGURES: [Figure; 2] =
    [("connections a second", Unit::PerSecond), ("server's CPU time a connection", Unit::Microseconds)];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let report = connections(stage, "connect", &[("Unix socket", "unix"), ("::1", "ipv6")], false)?;
    let about = "a connection, one POST request, and its end; clients as many as cores".into();
    Ok(Report { about, ..report })
}

pub(super) fn run_tls(stage: &Stage<'_>) -> Result<Report> {
    let mut report = connections(stage, "tls", &[("handshakes", "ipv6")], true)?;
    let placements = machine::placements()?;
    let conditions: Vec<_> = placements.iter().map(|at| condition(format!("round trips, {}", at.name))).collect();
    let time = stage.time(Duration::from_millis(300));
    let trips = plan::run("tls", stage.options.rounds(), &conditions, &[("", Unit::Microseconds)], |at, pair| {
        Ok(vec![trip(stage, &placements[at], PAIRS[pair], "ipv6", true, time)?])
    });
    report.add(trips);
    report.about =
        "mutual TLS over ::1, ring, P-256: full handshakes with one POST request each, and round trips over one \
                    connection"
            .into();
    Ok(report)
}

fn condition(name: String) -> Condition {
    Condition { name, contestants: names_of(PAIRS), references: vec!["raw-tokio", "hyper"] }
}

fn connections(stage: &Stage<'_>, suite: &str, addresses: &[(&str, &str)], tls: bool) -> Result<Report> {
    let (at, time) = (machine::halves()?, stage.time(Duration::from_millis(500)));
    let conditions: Vec<Condition> = addresses.iter().map(|(name, _)| condition((*name).into())).collect();
    Ok(plan::run(suite, stage.options.rounds(), &conditions, &FIGURES, |address, pair| {
        let (client, server) = PAIRS[pair];
        let end = End { cores: &at.server, tls, threads: at.server.len(), more: &[] };
        let server = stage.serve(server, addresses[address].1, end)?;
        let before = machine::cpu_time(server.id())?;
        let end = End { cores: &at.client, tls, threads: at.client.len(), more: &[] };
        let (count, took) = stage.measure(&["connect", client, server.address()], end, time)?;
        let cpu = machine::cpu_time(server.id())?.saturating_sub(before);
        Ok(vec![count / took.as_secs_f64(), cpu.as_nanos() as f64 / count])
    }))
}
