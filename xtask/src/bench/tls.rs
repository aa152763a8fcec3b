//! The suite `tls`: mutual TLS, with the same certificates, provider and suites for all, and full handshakes only.

use std::time::Duration;

use super::connect::{about, connections, pair_name, time_for};
use super::cores::{Cores, Halves, ONE_CORE, Placement};
use super::plan::{self, Condition, Figure};
use super::report::Report;
use super::rounds::time_each;
use super::stage::{End, Stage, each};
use super::unit::Unit;
use crate::Result;

/// How long one measurement of round trips takes, its warm-up not counted.
const TIME: Duration = Duration::from_millis(300);

/// Client and server of the round trips.
const PAIRS: [(&str, &str); 5] =
    [("raw-tokio", "raw-tokio"), ("hyper", "hyper"), ("degu", "degu"), ("degu-blocking", "degu"), ("hyper", "degu")];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let Some(halves) = Halves::choose()? else { return Ok(Report::left_out("tls", ONE_CORE)) };
    let pki = stage.pki()?;
    // Handshakes take half of the time of a quick run, and trips the other half.
    let time = time_for(stage, "tls", 2);
    let mut outcome = connections(stage, "tls", &[("handshakes", "ipv6")], Some(pki), &halves, time)?;

    let cores = Cores::choose()?;
    let rounds = stage.options.rounds();
    let condition = |placement: &Placement| Condition {
        name: format!("round trips, {}", placement.name()),
        contestants: PAIRS.iter().map(|pair| pair_name(pair.0, pair.1)).collect(),
        references: vec!["raw-tokio".into(), "hyper".into()],
    };
    let placements = cores.placements();
    let conditions: Vec<Condition> = placements.iter().map(condition).collect();
    let measurements = conditions.len() * PAIRS.len() * rounds;
    let quick = stage.options.quick("tls").map(|quick| quick / 2);
    let trip_time = time_each(quick, TIME, Duration::from_millis(30), measurements);
    let figure = Figure { name: "", unit: Unit::Microseconds };
    let trips = plan::run("tls", rounds, &conditions, &[figure], |condition, pair| {
        let (client, server) = PAIRS[pair];
        let (client_cores, server_cores) = cores.of(placements[condition]);
        let end = |cores| End { cores, pki: Some(pki), more: &[] };
        let server = stage.serve("crowd", server, &stage.address("ipv6")?, end(server_cores.as_slice()))?;
        Ok(vec![each(stage.measure(&["client", client, server.address()], end(client_cores.as_slice()), trip_time)?)])
    });
    outcome.groups.extend(trips.groups);
    outcome.failures.extend(trips.failures);
    Ok(Report {
        suite: "tls".into(),
        about: format!(
            "{}; round trips are POST requests over one connection, {} ms, {}",
            about(
                stage,
                &halves,
                time,
                "mutual TLS over ::1, ring, P-256, full handshakes, one POST on each connection"
            ),
            trip_time.as_millis(),
            placements.iter().map(|&placement| cores.describe(placement)).collect::<Vec<_>>().join(", ")
        ),
        failures: outcome.failures.len(),
        notes: outcome.failures,
        groups: outcome.groups,
    })
}
