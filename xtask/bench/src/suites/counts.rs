//! The cost of a round trip for client and server in instructions, allocations and system calls. Other load on the
//! machine does not change these numbers. The difference between a long and a short run is the cost of the additional
//! round trips.

use std::fs;
use std::time::Duration;

use super::Pair;
use crate::Result;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage, is_there};

/// The numbers of round trips of the short run and of the long run.
const FEW: u64 = 100;
const MANY: u64 = 600;

/// The time in which a server has to end under a tool.
const LIMIT: Duration = Duration::from_secs(120);

/// The clients and servers that are counted, each with the process at the other side. A quick run counts only the first
/// three. Degu does not spin here, because the number of calls of a spinning process depends on the time.
const CLIENTS: &[Pair] = &[
    ("hyper", "raw"),
    ("degu-off", "raw"),
    ("degu-blocking-off", "raw"),
    ("raw", "raw"),
    ("raw-tokio", "raw"),
    ("degu-pool-off", "raw"),
    ("degu-blocking-pool-off", "raw"),
    ("hyper-util", "axum"),
    ("reqwest", "axum"),
    ("ureq", "axum"),
    ("tonic", "tonic"),
    ("tarpc", "tarpc"),
];
const SERVERS: &[Pair] = &[
    ("hyper", "raw"),
    ("degu-off", "raw"),
    ("raw", "raw"),
    ("raw-tokio", "raw"),
    ("axum", "hyper-util"),
    ("tonic", "tonic"),
    ("tarpc", "tarpc"),
];
const QUICK: usize = 3;

/// A count, the tool that determines it, the options of the tool, and a function that finds the count in its output.
struct Counter {
    name: &'static str,
    tool: &'static str,
    options: &'static [&'static str],
    count: fn(&str) -> Option<u64>,
}

pub(super) const INSTRUCTIONS: usize = 0;

const COUNTERS: [Counter; 3] = [
    Counter {
        name: "instructions",
        tool: "valgrind",
        options: &["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file=FILE"],
        count: |said| said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok()),
    },
    Counter {
        name: "allocations",
        tool: "valgrind",
        options: &["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no", "--log-file=FILE"],
        count: |said| {
            let usage = said.lines().find_map(|line| line.split_once("total heap usage: "))?.1;
            usage.split_once(" allocs")?.0.replace(',', "").parse().ok()
        },
    },
    Counter {
        name: "system calls",
        tool: "strace",
        options: &["-f", "-c", "-o", "FILE"],
        count: |said| said.lines().find(|line| line.ends_with(" total"))?.split_whitespace().nth(3)?.parse().ok(),
    },
];

/// Runs a process under a tool, and returns the number that the tool has counted. `run` gets the program and the options
/// of the tool, puts them in front of the command line of the process, and waits until the process has ended.
pub(super) fn count(stage: &Stage<'_>, counter: usize, run: impl FnOnce(&[String]) -> Result) -> Result<u64> {
    let (counter, file) = (&COUNTERS[counter], stage.folder.path().join("count").display().to_string());
    let options = counter.options.iter().map(|option| option.replace("FILE", &file));
    run(&[counter.tool.to_owned()].into_iter().chain(options).collect::<Vec<_>>())?;
    let said = fs::read_to_string(&file)?;
    (counter.count)(&said).ok_or_else(|| format!("{} printed no count, but {said:?}", counter.tool).into())
}

/// Returns the count for one round trip: the difference between a long and a short run, divided by the number of
/// additional round trips.
pub(super) fn difference(count: impl Fn(u64) -> Result<u64>) -> Result<f64> {
    let few = count(FEW)?;
    Ok(count(MANY)?.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let (mut what, mut conditions, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for (number, counter) in COUNTERS.iter().enumerate() {
        if !is_there(counter.tool) {
            notes.push(format!("{} not counted, because {} is not installed", counter.name, counter.tool));
            continue;
        }
        for (side, all) in [("client", CLIENTS), ("server", SERVERS)] {
            let all = if stage.options.quick { &all[..QUICK] } else { all };
            let names = all.iter().map(|pair| pair.0);
            conditions.push(Condition::new(format!("{}, {side}", counter.name), names, &["hyper"]));
            what.push((number, side == "server", all));
        }
    }
    let mut report = plan::run("counts", 1, &conditions, &[("", Unit::Count)], |condition, contestant| {
        let (counter, server, all) = what[condition];
        Ok(vec![difference(|trips| trips_of(stage, counter, server, all[contestant], trips))?])
    });
    report.notes.extend(notes);
    report.about = format!(
        "a POST round trip over a Unix socket (ureq: TCP), each side with blocking sockets without HTTP on the other (axum and \
         hyper-util, tonic, tarpc: with each other, reqwest and ureq: with axum); the difference of {MANY} and {FEW} trips; \
         instructions in user space"
    );
    Ok(report)
}

/// Runs a client and a server, one of them under the tool. Returns the number that the tool has counted.
fn trips_of(stage: &Stage<'_>, counter: usize, server: bool, (name, peer): Pair, trips: u64) -> Result<u64> {
    let kind = if name == "ureq" { "ipv4" } else { "unix" };
    let plain = End { trips: Some(trips), ..End::default() };
    count(stage, counter, |tool| {
        let counted = End { tool, ..plain };
        let (client, client_end, server, server_end) =
            if server { (peer, plain, name, counted) } else { (name, counted, peer, plain) };
        let server = stage.serve(server, kind, server_end)?;
        stage.measure(&["client", client, server.address()], client_end)?;
        // The tool prints the count when its program ends.
        server.end(LIMIT)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_what_the_tools_say() {
        let said = [
            "==12== Callgrind\n==12== Collected : 123456\n==12==",
            "==7== HEAP SUMMARY:\n==7==   total heap usage: 1,234 allocs, 1,230 frees, 99,999 bytes allocated\n",
            " 50.00 0.000008 0 20 1 read\n100.00    0.000017           0        29         1 total\n",
        ];
        let counts: Vec<_> = COUNTERS.iter().zip(said).map(|(counter, said)| (counter.count)(said)).collect();
        assert_eq!(counts, [Some(123_456), Some(1234), Some(29)]);
        assert!(COUNTERS.iter().all(|counter| (counter.count)("").is_none()));
    }
}
