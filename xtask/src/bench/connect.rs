//! The suite `connect`: connections that are made, used for one request, and closed; and what `tls` does in the same way.

use std::time::Duration;

use super::cores::{Halves, ONE_CORE};
use super::plan::{self, Condition, Figure, Outcome};
use super::report::Report;
use super::rounds::time_each;
use super::stage::{End, Stage};
use super::unit::Unit;
use super::usage;
use crate::Result;

/// How long one measurement takes.
const TIME: Duration = Duration::from_millis(500);

/// Client and server.
const PAIRS: [(&str, &str); 6] = [
    ("raw-tokio", "raw-tokio"),
    ("hyper", "hyper"),
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("raw-tokio", "degu"),
    ("degu", "raw-tokio"),
];

const FIGURES: [Figure; 2] = [
    Figure { name: "connections a second", unit: Unit::PerSecond },
    Figure { name: "server's CPU time a connection", unit: Unit::Microseconds },
];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let Some(halves) = Halves::choose()? else { return Ok(Report::left_out("connect", ONE_CORE)) };
    let time = time_for(stage, "connect", 2);
    let addresses = [("Unix socket", "unix"), ("::1", "ipv6")];
    let outcome = connections(stage, "connect", &addresses, None, &halves, time)?;
    Ok(Report {
        suite: "connect".into(),
        about: about(stage, &halves, time, "a connection, one POST with 108 octets of body each way, and its end"),
        failures: outcome.failures.len(),
        notes: outcome.failures,
        groups: outcome.groups,
    })
}

pub(super) fn time_for(stage: &Stage<'_>, suite: &str, conditions: usize) -> Duration {
    let measurements = conditions * PAIRS.len() * stage.options.rounds();
    time_each(stage.options.quick(suite), TIME, Duration::from_millis(60), measurements)
}

pub(super) fn about(stage: &Stage<'_>, halves: &Halves, time: Duration, what: &str) -> String {
    format!(
        "{what}; {} rounds of {} ms; a pair is client → server where they differ; clients as many as cores; {}",
        stage.options.rounds(),
        time.as_millis(),
        halves.describe()
    )
}

/// Measures all pairs over these addresses (the name, and what [`Stage::address`] calls it); with TLS, if there is a folder
/// of certificates.
pub(super) fn connections(
    stage: &Stage<'_>,
    suite: &str,
    addresses: &[(&str, &str)],
    pki: Option<&str>,
    halves: &Halves,
    time: Duration,
) -> Result<Outcome> {
    stage.program()?;
    let condition = |(name, _): &(&str, &str)| Condition {
        name: (*name).into(),
        contestants: PAIRS.iter().map(|pair| pair_name(pair.0, pair.1)).collect(),
        references: vec!["raw-tokio".into(), "hyper".into()],
    };
    let conditions: Vec<Condition> = addresses.iter().map(condition).collect();
    Ok(plan::run(suite, stage.options.rounds(), &conditions, &FIGURES, |condition, pair| {
        let (client, server) = PAIRS[pair];
        let address = stage.address(addresses[condition].1)?;
        let threads = |cores: &[usize]| [format!("--threads={}", cores.len())];
        let more = threads(&halves.server);
        let server = stage.serve("crowd", server, &address, End { cores: &halves.server, pki, more: &more })?;
        let more = threads(&halves.load);
        let before = usage::cpu_time(server.id())?;
        let end = End { cores: &halves.load, pki, more: &more };
        let (count, took) = stage.measure(&["connect", client, server.address()], end, time)?;
        let cpu = usage::cpu_time(server.id())?.saturating_sub(before);
        Ok(vec![count / took.as_secs_f64(), cpu.as_nanos() as f64 / count])
    }))
}

/// A pair as the table calls it.
pub(super) fn pair_name(client: &str, server: &str) -> String {
    if client == server { client.into() } else { format!("{client} → {server}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pairs() {
        assert_eq!(pair_name("raw", "raw"), "raw");
        assert_eq!(pair_name("hyper", "raw"), "hyper → raw");
    }
}
