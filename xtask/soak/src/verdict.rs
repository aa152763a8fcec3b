//! The end of a run: what is held that was not held before, whether both sides counted the same, and the report.

use std::time::Duration;

use crate::Result;
use crate::control::Report;
use crate::process::Held;
use crate::target::Target;
use crate::work::World;

/// So much more may be allocated at the end than after warming up: caches of TLS sessions fill up to their bound. In a run of
/// minutes a leak of one byte a connection or of one word a hundred requests is more.
const HEAP: u64 = 1 << 20;

/// So much more memory may be held from the system: what is free is not given back page by page.
const RESIDENT: u64 = 24 << 20;

/// What there is to judge.
#[derive(Debug)]
pub(crate) struct Outcome<'r> {
    pub(crate) world: &'r World,
    /// What the server counted.
    pub(crate) report: Report,
    /// What the server and the clients held after warming up, and at the end.
    pub(crate) warm: [Held; 2],
    pub(crate) end: [Held; 2],
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
        Target::ALL.into_iter().for_each(|target| self.compare(target));
        println!("\n{}", tally.lines().join("\n"));
        let octets = tally.sum(&["octets"]) >> 20;
        println!("\n{} exchanges and {octets} MiB of bodies known to be right, in {} s", self.world.exchanges(), {
            self.time.as_secs()
        });
        for (who, (warm, end)) in ["server", "clients"].into_iter().zip(self.warm.into_iter().zip(self.end)) {
            println!("{who}, warm: {warm:?}\n{who}, at the end: {end:?}");
            for what in leaks(warm, end) {
                tally.wrong(format!("{who}: {what}"));
            }
        }
        match tally.wrongs() {
            0 => Ok(()),
            wrong => Err(format!("{wrong} things were wrong; --seed {} does the same again", self.world.seed).into()),
        }
    }

    /// Both sides have seen the same.
    fn compare(&self, target: Target) {
        let tally = &self.world.tally;
        let server = |name: &str| self.report.get(&format!("{}.{name}", target.name())).copied().unwrap_or_default();
        let count = |name: &'static str| tally.get(target.name(), name);
        let mut expected = vec![
            ("accepted", count("connections")),
            ("refused", 0),
            ("alive", 0),
            // What the app saw, which is in the same process, but not the same counter.
            ("seen", server("requests")),
        ];
        if target.is_faulty() {
            // A request that was answered has been seen; one that was not begun has not.
            let (right, requests, attempts) = (count("right"), server("requests"), count("attempts"));
            if !(right..=attempts).contains(&requests) {
                let what = format!("{right} answered, {requests} seen by the server, {attempts} begun");
                tally.wrong(format!("{}: {what}", target.name()));
            }
            if server("octets") < count("summed") {
                tally.wrong(format!("{}: more bytes were summed than arrived", target.name()));
            }
        } else {
            expected.extend([("requests", count("attempts")), ("octets", count("summed")), ("deadlines", 0)]);
            expected.extend([("failures", count("failures")), ("faults", count("hostile")), ("handshake-failures", 0)]);
        }
        for (name, clients) in expected {
            if server(name) != clients {
                tally.wrong(format!("{}: {name}: {} of the server, {clients}", target.name(), server(name)));
            }
        }
    }
}

/// What is held at the end that was not held before.
fn leaks(warm: Held, end: Held) -> Vec<String> {
    let bounds = [
        ("bytes allocated", warm.heap, end.heap, HEAP),
        ("bytes resident", warm.resident, end.resident, RESIDENT),
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
        let warm = Held { heap: 1000, resident: 1 << 20, descriptors: 20, threads: 9, tasks: 12 };
        assert_eq!(leaks(warm, Held { heap: 2000, resident: 2 << 20, descriptors: 19, ..warm }), Vec::<String>::new());
        let more = Held { heap: 2 << 20, resident: 1 << 30, descriptors: 21, threads: 10, tasks: 13 };
        assert_eq!(leaks(warm, more).len(), 5);
    }
}
