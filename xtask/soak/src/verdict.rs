//! The end of a run: what is held that was not held before, whether both sides counted the same, and the report.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::Result;
use crate::control::Report;
use crate::process::Held;
use crate::tally::{Counts, Fault, Tally};
use crate::target::Target;
use crate::work::World;

/// So much more may be allocated at the end than after warming up: caches of TLS sessions fill up to their bound. In a
/// run of minutes a leak of one octet a connection or of one word a hundred requests is more.
const HEAP: u64 = 1 << 20;

/// So much more memory may be held from the system: what is free is not given back page by page.
const RESIDENT: u64 = 24 << 20;

/// What there is to judge.
#[derive(Debug)]
pub(crate) struct Outcome<'r> {
    pub(crate) world: &'r World,
    /// What the server counted.
    pub(crate) report: Report,
    /// What the server and the clients held after warming up.
    pub(crate) warm: [Held; 2],
    /// What they held at the end.
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
        self.compare_counts();
        for (who, warm, end) in self.holders() {
            for what in leaks(warm, end) {
                self.tally().wrong(format!("{who}: {what}"));
            }
        }
        self.print();
        match self.tally().wrongs().len() {
            0 => Ok(()),
            wrong => Err(format!("{wrong} things were wrong; --seed {} does the same again", self.world.seed).into()),
        }
    }

    fn tally(&self) -> &Tally {
        &self.world.tally
    }

    fn holders(&self) -> impl Iterator<Item = (&'static str, Held, Held)> {
        let pairs = self.warm.into_iter().zip(self.end);
        ["server", "clients"].into_iter().zip(pairs).map(|(who, (warm, end))| (who, warm, end))
    }

    fn server(&self, target: Target, name: &str) -> u64 {
        self.report.get(&format!("{}.{name}", target.name())).copied().unwrap_or_default()
    }

    /// Both sides have seen the same.
    fn compare_counts(&self) {
        for target in Target::LASTING {
            let counts = self.tally().of(target);
            let is = |name: &str, clients: u64| {
                let server = self.server(target, name);
                if server != clients {
                    self.tally().wrong(format!("{}: {name}: {server} of the server, {clients}", target.name()));
                }
            };
            is("accepted", counts.connections.load(Relaxed));
            is("refused", 0);
            is("handshake-failures", if target.is_faulty() { self.server(target, "handshake-failures") } else { 0 });
            is("alive", 0);
            // What the app saw, which is in the same process, but not the same counter.
            is("requests", self.server(target, "seen"));
            if target.is_faulty() {
                self.compare_faulty(target, counts);
                continue;
            }
            is("requests", counts.attempts.load(Relaxed));
            is("octets", counts.summed.load(Relaxed));
            is("failures", counts.failures.load(Relaxed));
            is("faults", counts.hostile.load(Relaxed));
            is("deadlines", 0);
        }
    }

    /// A request that was answered has been seen; one that was not begun has not.
    fn compare_faulty(&self, target: Target, counts: &Counts) {
        let requests = self.server(target, "requests");
        let (right, attempts) = (counts.right.load(Relaxed), counts.attempts.load(Relaxed));
        if !(right..=attempts).contains(&requests) {
            let what = format!("{right} answered, {requests} seen by the server, {attempts} begun");
            self.tally().wrong(format!("{}: {what}", target.name()));
        }
        if self.server(target, "octets") < counts.summed.load(Relaxed) {
            self.tally().wrong(format!("{}: more octets were summed than came", target.name()));
        }
    }

    fn print(&self) {
        let tally = self.tally();
        println!("\n              connections  requests  answered   refused    failed      left   seen by the server");
        for target in Target::LASTING.into_iter().chain([Target::Victim]) {
            let counts = tally.of(target);
            print!("{:12}", target.name());
            let columns = [&counts.connections, &counts.attempts, &counts.right, &counts.refused, &counts.failed];
            for (column, width) in columns.into_iter().chain([&counts.left]).zip([13, 10, 10, 10, 10, 10]) {
                print!("{:width$}", column.load(Relaxed));
            }
            match target {
                Target::Victim => println!("                    -"),
                _ => println!("{:21}", self.server(target, "requests")),
            }
        }
        let octets = tally.octets.load(Relaxed);
        println!("\n{} exchanges and {} MiB of bodies known to be right, in {} s", tally.exchanges(), octets >> 20, {
            self.time.as_secs()
        });
        let wire = |name| Target::LASTING.iter().map(|target| self.server(*target, name)).sum::<u64>() >> 20;
        println!("the server read {} MiB and wrote {} MiB", wire("received"), wire("sent"));
        println!("{} connections were not made for want of a descriptor", tally.starved.load(Relaxed));

        println!("\nfaults");
        for (fault, name) in Fault::ALL {
            println!("{:8} {name}", tally.fault(fault));
        }
        println!("\nerrors where faults were injected");
        for (error, count) in tally.errors() {
            println!("{count:8} {error}");
        }
        println!("\n              allocated    resident  descriptors  threads  tasks");
        for (who, warm, end) in self.holders() {
            for (when, held) in [("warm", warm), ("end", end)] {
                let Held { heap, resident, descriptors, threads, tasks } = held;
                let (heap, resident) = (heap >> 10, resident >> 10);
                println!("{who:8} {when:5}{heap:6} KiB{resident:8} KiB{descriptors:13}{threads:9}{tasks:7}");
            }
        }
        let wrongs = tally.wrongs();
        println!("\n{} wrong", wrongs.len());
        for wrong in wrongs {
            println!("WRONG: {wrong}");
        }
    }
}

/// What is held at the end that was not held before.
fn leaks(warm: Held, end: Held) -> Vec<String> {
    let bounds = [
        ("octets allocated", warm.heap, end.heap, HEAP),
        ("octets resident", warm.resident, end.resident, RESIDENT),
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
    fn what_is_a_leak() {
        let warm = Held { heap: 1000, resident: 1 << 20, descriptors: 20, threads: 9, tasks: 12 };
        assert_eq!(leaks(warm, Held { heap: 2000, resident: 2 << 20, descriptors: 19, ..warm }), Vec::<String>::new());
        let more = Held { heap: 2 << 20, resident: 1 << 30, descriptors: 21, threads: 10, tasks: 13 };
        assert_eq!(leaks(warm, more).len(), 5);
    }
}
