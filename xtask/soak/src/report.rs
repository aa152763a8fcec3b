//! The end of a run: it compares the counts of servers and clients, looks for leaks, and prints the report.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{array, fs};

use crate::run::Run;
use crate::servers::Served;
use crate::tally::{FAULTS, NO_DESCRIPTORS, STALE};
use crate::{HEAP, Result};

/// The largest growth of the heap, in bytes, that is not a leak. Caches of TLS sessions, for example, grow to their
/// bound. In a run of minutes, the heap grows more if one byte leaks in each connection, or one word in a hundred
/// requests.
const HEAP_GROWTH: u64 = 1 << 20;

/// The largest number of idle connections that a server closes while the process has no free descriptor: one in 50 ms,
/// for at most 800 ms.
const MOST_STALE: u64 = 16;

/// The resources that the process must not leak, and the growth that is allowed for each. The counted tasks are those
/// of the servers' runtimes and of the async clients' runtime.
const RESOURCES: [(&str, u64); 4] =
    [("bytes allocated", HEAP_GROWTH), ("descriptors", 0), ("threads", 0), ("tasks", 0)];

/// The amount of each of the [`RESOURCES`].
pub(crate) type Held = [u64; 4];

/// Measures the resources that the process holds now. `tasks` is the number of tasks, which the caller has counted.
pub(crate) fn measure(tasks: u64) -> Result<Held> {
    let threads = fs::read_dir("/proc/self/task")?.count() as u64;
    Ok([HEAP.current_usage() as u64, descriptors()?, threads, tasks])
}

pub(crate) fn descriptors() -> Result<u64> {
    Ok(fs::read_dir("/proc/self/fd")?.count() as u64)
}

/// Compares the counts and prints the report. `warm` was measured after the warm-up, and `end` at the end of the run.
///
/// # Errors
///
/// The run has found a mistake.
pub(crate) fn conclude(run: &Run, servers: &[Served], warm: Held, end: Held, time: Duration) -> Result {
    let tally = &run.tally;
    servers.iter().for_each(|served| compare(run, served));
    println!("\n{}", tally.lines().join("\n"));
    let (exchanges, bytes) = (tally.exchanges(), tally.get("all", "bytes") >> 20);
    println!("\n{exchanges} exchanges and {bytes} MiB of bodies known to be right, in {} s", time.as_secs());
    for (line, is_leak) in growth(warm, end) {
        println!("{line}");
        if is_leak {
            tally.mistake(line);
        }
    }
    match tally.mistakes() {
        0 => Ok(()),
        mistakes => Err(format!("{mistakes} mistakes; to repeat the run, add --seed {}", run.seed).into()),
    }
}

/// Checks that a server and its clients have counted the same.
fn compare(run: &Run, served: &Served) {
    let (tally, target, stats) = (&run.tally, served.target, served.handle.stats());
    let count = |name: &'static str| tally.get(target.name, name);
    let (requests, taken) = (served.counters.requests.load(Relaxed), served.counters.bytes.load(Relaxed));
    let mut expected = vec![
        ("accepted", stats.accepted, count("connections")),
        ("refused", stats.refused, 0),
        ("handlers, sessions and bodies alive", Arc::strong_count(&served.counters.alive) as u64, 1),
        // The app and the server count requests separately.
        ("requests of the app", requests, stats.requests),
    ];
    if count(STALE) > tally.get(FAULTS, NO_DESCRIPTORS) * MOST_STALE {
        let what = "connections were closed while idle, more than the lack of descriptors explains";
        tally.mistake(format!("{}: {} {what}", target.name, count(STALE)));
    }
    if target.is_faulty {
        // The server has counted every request that got a right response, and not more requests than the clients have
        // begun.
        let (right, attempts) = (count("right"), count("attempts"));
        if !(right..=attempts).contains(&stats.requests) {
            let range = format!("{right} (right responses) to {attempts} (begun requests)");
            tally.mistake(format!("{}: the server counted {} requests, not {range}", target.name, stats.requests));
        }
        if taken < count("taken") {
            tally.mistake(format!("{}: /take has accepted more bytes than it received", target.name));
        }
    } else {
        expected.extend([
            ("requests", stats.requests, count("attempts")),
            ("bytes", taken, count("taken")),
            ("deadlines", stats.deadlines, 0),
            ("failures", stats.failures, count("failures")),
            ("faults", stats.faults().map(|(_, count)| count).sum(), 0),
            ("handshake failures", stats.handshake_failures, 0),
        ]);
    }
    for (name, server, clients) in expected.into_iter().filter(|(_, server, clients)| server != clients) {
        tally.mistake(format!("{}: {name}: the server counted {server}, expected {clients}", target.name));
    }
}

/// Describes each resource. Also returns whether the resource has grown beyond its bound.
fn growth(warm: Held, end: Held) -> [(String, bool); 4] {
    array::from_fn(|at| {
        let ((name, growth), warm, end) = (RESOURCES[at], warm[at], end[at]);
        (format!("{name}: {warm} after the warm-up, {end} at the end"), end > warm + growth)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_before_is_a_leak() {
        let warm = [1000, 20, 9, 12];
        assert!(growth(warm, [2000, 19, 9, 12]).iter().all(|(_, is_leak)| !is_leak));
        assert!(growth(warm, [2 << 20, 21, 10, 13]).iter().all(|(_, is_leak)| *is_leak));
    }
}
