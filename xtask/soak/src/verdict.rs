//! The end of a run: the resources that are held in addition, the comparison of the counts of both sides, and the
//! report.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::Result;
use crate::held::Held;
use crate::serve::Served;
use crate::tally::{FAULTS, NO_DESCRIPTORS, STALE};
use crate::work::World;

/// So much more may be allocated at the end than after warming up: caches of TLS sessions fill up to their bound. In a run of
/// minutes a leak of one byte a connection or of one word a hundred requests is more.
const HEAP: u64 = 1 << 20;

/// The most idle connections that a server closes while there is no descriptor, for 800 ms at the longest: one in 50 ms.
const MOST_STALE: u64 = 16;

/// The results to judge.
#[derive(Debug)]
pub(crate) struct Outcome<'r> {
    pub(crate) world: &'r World,
    pub(crate) servers: &'r [Served],
    /// Resources held after warming up, and at the end.
    pub(crate) warm: Held,
    pub(crate) end: Held,
    pub(crate) time: Duration,
}

impl Outcome<'_> {
    /// Prints the report.
    ///
    /// # Errors
    ///
    /// Something was wrong.
    pub(crate) fn conclude(self) -> Result {
        let tally = &self.world.tally;
        self.servers.iter().for_each(|served| self.compare(served));
        println!("\n{}", tally.lines().join("\n"));
        let (exchanges, bytes) = (self.world.exchanges(), tally.sum(&["bytes"]) >> 20);
        println!("\n{exchanges} exchanges and {bytes} MiB of bodies known to be right, in {} s", self.time.as_secs());
        println!("warm: {:?}\nat the end: {:?}", self.warm, self.end);
        leaks(self.warm, self.end).into_iter().for_each(|what| tally.wrong(what));
        match tally.wrongs() {
            0 => Ok(()),
            wrong => Err(format!("{wrong} things were wrong; --seed {} does the same again", self.world.seed).into()),
        }
    }

    /// Checks that a server counted what its clients counted.
    fn compare(&self, served: &Served) {
        let (tally, target, stats) = (&self.world.tally, served.target, served.handle.stats());
        let count = |name: &'static str| tally.get(target.name(), name);
        let (seen, summed) = (served.seen.requests.load(Relaxed), served.seen.bytes.load(Relaxed));
        let mut expected = vec![
            ("accepted", stats.accepted, count("connections")),
            ("refused", stats.refused, 0),
            // Below zero would be as wrong as above.
            ("alive", served.seen.alive.load(Relaxed).unsigned_abs(), 0),
            // What the app saw, which is not the same counter.
            ("seen", seen, stats.requests),
        ];
        let starved = tally.get(FAULTS, NO_DESCRIPTORS);
        if count(STALE) > starved * MOST_STALE {
            tally.wrong(format!("{}: {} connections closed while idle", target.name(), count(STALE)));
        }
        if target.is_faulty() {
            // A request that was answered has been seen; one that was not begun has not.
            let (right, attempts) = (count("right"), count("attempts"));
            if !(right..=attempts).contains(&stats.requests) {
                let what = format!("{right} answered, {} seen by the server, {attempts} begun", stats.requests);
                tally.wrong(format!("{}: {what}", target.name()));
            }
            if summed < count("summed") {
                tally.wrong(format!("{}: more bytes were summed than arrived", target.name()));
            }
        } else {
            expected.extend([
                ("requests", stats.requests, count("attempts")),
                ("bytes", summed, count("summed")),
                ("deadlines", stats.deadlines, 0),
                ("failures", stats.failures, count("failures")),
                ("faults", stats.faults().map(|(_, count)| count).sum(), 0),
                ("handshake failures", stats.handshake_failures, 0),
            ]);
        }
        for (name, server, clients) in expected.into_iter().filter(|(_, server, clients)| server != clients) {
            tally.wrong(format!("{}: {name}: {server} of the server, {clients}", target.name()));
        }
    }
}

/// Returns the resources that are held at the end and were not held before.
fn leaks(warm: Held, end: Held) -> Vec<String> {
    let bounds = [
        ("bytes allocated", warm.heap, end.heap, HEAP),
        ("descriptors", warm.descriptors, end.descriptors, 0),
        ("threads", warm.threads, end.threads, 0),
        ("tasks", warm.tasks, end.tasks, 0),
    ];
    let more = bounds.into_iter().filter(|(_, warm, end, allowed)| *end > warm + allowed);
    more.map(|(what, warm, end, _)| format!("{warm} {what} after warming up, {end} at the end")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_before_is_a_leak() {
        let warm = Held { heap: 1000, descriptors: 20, threads: 9, tasks: 12 };
        assert_eq!(leaks(warm, Held { heap: 2000, descriptors: 19, ..warm }), Vec::<String>::new());
        let more = Held { heap: 2 << 20, descriptors: 21, threads: 10, tasks: 13 };
        assert_eq!(leaks(warm, more).len(), 4);
    }
}
