//! The suite `idle`: what a server keeps in memory for a connection that waits for its next request.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::cores::{Cores, Placement};
use super::plan::{self, Condition, Figure};
use super::report::Report;
use super::stage::{End, Stage, each};
use super::unit::Unit;
use super::{nginx, usage};
use crate::Result;

/// Connections before those that are counted, so that what a server allocates once is there already.
const FIRST: usize = 50;

/// How many wait: plain, and with TLS, whose handshakes take time.
const PLAIN: usize = 10_000;
const TLS: usize = 2000;

/// A server may give back what it needs no longer within this time: ours does so once a connection has been idle for a
/// second, which it finds out once a second.
const SETTLE: Duration = Duration::from_millis(2400);

/// How long round trips of another connection are measured.
const TRIPS: Duration = Duration::from_millis(200);

const FIGURES: [Figure; 3] = [
    Figure { name: "memory of each", unit: Unit::Kibibytes },
    Figure { name: "a round trip beside them", unit: Unit::Microseconds },
    Figure { name: "that by a round trip before they were there", unit: Unit::Times },
];

/// More rounds than this tell nothing new of memory.
const ROUNDS: usize = 3;

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let options = stage.options;
    let pki = stage.pki()?;
    let rounds = if options.quick { 1 } else { options.rounds().min(ROUNDS) };
    let mut notes = Vec::new();
    let count = |usual: usize| {
        let wanted = options.connections.unwrap_or(if options.quick { usual / 10 } else { usual });
        wanted.min(descriptors().saturating_sub(FIRST + 100))
    };
    let (plain, tls) = (count(PLAIN), count(options.connections.map_or(TLS, |connections| connections.min(TLS))));
    let mut servers = vec!["raw-tokio", "hyper", "degu"];
    let condition = |name: String, servers: &[&str]| Condition {
        name,
        contestants: servers.iter().map(|&name| name.into()).collect(),
        references: vec!["raw-tokio".into(), "hyper".into()],
    };
    let with_tls = condition(format!("{tls} connections, TLS"), &servers);
    if nginx::is_there() {
        servers.push("nginx");
    } else {
        notes.push("without nginx, or taskset".into());
    }
    let conditions = [condition(format!("{plain} connections"), &servers), with_tls];
    let outcome = plan::run("idle", rounds, &conditions, &FIGURES, |condition, number| {
        let (connections, pki) = if condition == 0 { (plain, None) } else { (tls, Some(pki)) };
        measure(stage, servers[number], connections, pki)
    });
    let failures = outcome.failures.len();
    notes.extend(outcome.failures);
    Ok(Report {
        suite: "idle".into(),
        about: format!(
            "resident memory of the server in user space, for each connection over ::1 that waits after one request; one \
             thread; and round trips over another connection, both ends on one core; {rounds} rounds"
        ),
        notes,
        failures,
        groups: outcome.groups,
    })
}

/// The descriptors that a process can be allowed.
fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    hard_limit(&limits).unwrap_or(1024)
}

/// The hard limit of proc(5), which each end raises its own one to.
fn hard_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn measure(stage: &Stage<'_>, server: &str, connections: usize, pki: Option<&str>) -> Result<Vec<f64>> {
    // Both ends of the trips on one core, where nobody has to be woken, and little else makes a difference.
    let (core, _) = Cores::choose()?.of(Placement::Same);
    let core = core.as_slice();
    let server = match server {
        "nginx" => nginx::start(stage, core)?,
        _ => stage.serve("crowd", server, &stage.address("ipv6")?, End { pki, cores: core, more: &[] })?,
    };
    let hold = |connections: usize| stage.hold(server.address(), connections, pki);
    let _first = hold(FIRST)?;
    let trip = || -> Result<f64> {
        // A load of one connection is as good a client, and takes what nginx answers too; but it has no TLS.
        let words: &[&str] = if pki.is_some() { &["client", "raw-tokio"] } else { &["load"] };
        let time = if stage.options.quick { TRIPS / 4 } else { TRIPS };
        Ok(each(stage.measure(&[words, &[server.address()]].concat(), End { pki, cores: core, more: &[] }, time)?))
    };
    let before = settled(server.id())?;
    let trip_before = trip()?;
    let _held = hold(connections)?;
    // They are idle when they have settled, and not when they have just been answered.
    let after = settled(server.id())?;
    let trip_beside = trip()?;
    Ok(vec![after.saturating_sub(before) as f64 / connections as f64, trip_beside, trip_beside / trip_before])
}

/// The memory of a process once it has given back what it needs no longer: the least within a time.
fn settled(process: u32) -> Result<u64> {
    let (mut least, start) = (usage::resident(process)?, Instant::now());
    while start.elapsed() < SETTLE {
        thread::sleep(SETTLE / 6);
        least = least.min(usage::resident(process)?);
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288  files\n";
        assert_eq!(hard_limit(limits), Some(524_288));
        assert_eq!(hard_limit(""), None);
    }
}
