//! The cost of a round trip for client and server in instructions, allocations and system calls. Other load on the
//! machine does not change these numbers. The difference between a long and a short run is the cost of the additional
//! round trips.

use std::fs;
use std::time::Duration;

use crate::Result;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage, is_there};

/// The numbers of round trips of the short run and of the long run.
const FEW: u64 = 100;
const MANY: u64 = 600;

/// The time in which a server has to end under a tool.
const LIMIT: Duration = Duration::from_secs(120);

/// The clients and servers that are counted. A quick run counts only the first three. Degu does not spin here, because
/// the number of calls of a spinning process depends on the time.
const CLIENTS: &[&str] = &[
    "hyper",
    "degu-off",
    "degu-blocking-off",
    "raw",
    "raw-tokio",
    "degu-pool-off",
    "degu-blocking-pool-off",
    "hyper-util",
    "reqwest",
    "ureq",
    "tonic",
    "tarpc",
];
const SERVERS: &[&str] = &["hyper", "degu-off", "raw", "raw-tokio", "axum", "tonic", "tarpc"];
const QUICK: usize = 3;

/// Returns the contestant at the other side of a counted client or server.
fn other_side(name: &'static str) -> &'static str {
    match name {
        "hyper-util" | "reqwest" | "ureq" => "axum",
        "axum" => "hyper-util",
        "tonic" | "tarpc" => name,
        _ => "raw",
    }
}

/// A count, the tool that determines it, the options of the tool, and a function that finds the count in its output.
pub(super) struct Counter {
    name: &'static str,
    pub(super) tool: &'static str,
    options: &'static [&'static str],
    count: fn(&str) -> Option<u64>,
}

pub(super) static COUNTERS: [Counter; 3] = [
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

/// Returns the count for one round trip: the difference between a long and a short run, divided by the number of
/// additional round trips. `run` starts the counted process with the given tool and number of round trips, and waits until
/// the process has ended.
pub(super) fn count_per_trip(stage: &Stage<'_>, counter: &Counter, run: impl Fn(End<'_>) -> Result) -> Result<f64> {
    let file = stage.folder.path().join("count").display().to_string();
    let tool: Vec<_> =
        [&counter.tool].into_iter().chain(counter.options).map(|word| word.replace("FILE", &file)).collect();
    let count = |trips| {
        run(End { trips: Some(trips), tool: &tool, ..End::default() })?;
        let said = fs::read_to_string(&file)?;
        let count = (counter.count)(&said);
        Result::Ok(count.ok_or_else(|| format!("{} printed no count, but {said:?}", counter.tool))?)
    };
    let few = count(FEW)?;
    Ok(count(MANY)?.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let (mut conditions, mut notes) = (Vec::new(), Vec::new());
    for counter in &COUNTERS {
        if !is_there(counter.tool) {
            notes.push(format!("{} not counted, because {} is not installed", counter.name, counter.tool));
            continue;
        }
        for (side, names) in [("client", CLIENTS), ("server", SERVERS)] {
            let names = names.iter().copied().take(if stage.options.quick { QUICK } else { names.len() });
            let name = format!("{}, {side}", counter.name);
            conditions.push(Condition::new(name, names, &["hyper"], (counter, side == "server")));
        }
    }
    let mut report = plan::run("counts", 1, &conditions, &[("", Unit::Count)], |&(counter, is_server), name| {
        Ok(vec![count_per_trip(stage, counter, |counted| trips(stage, name, is_server, counted))?])
    });
    report.notes.extend(notes);
    report.about = format!(
        "a POST round trip over a Unix socket (ureq: TCP), each side with blocking sockets without HTTP on the other (axum and \
         hyper-util, tonic, tarpc: with each other, reqwest and ureq: with axum); the difference of {MANY} and {FEW} trips; \
         instructions in user space"
    );
    Ok(report)
}

/// Runs the counted client or server, with the contestant at the other side.
fn trips(stage: &Stage<'_>, name: &'static str, is_server: bool, counted: End<'_>) -> Result {
    let kind = if name == "ureq" { "ipv4" } else { "unix" };
    let (counted, other) = ((name, counted), (other_side(name), End { trips: counted.trips, ..End::default() }));
    let (client, server) = if is_server { (other, counted) } else { (counted, other) };
    let server = stage.serve(server.0, kind, server.1)?;
    stage.measure(&["client", server.address(), client.0], client.1)?;
    // The tool prints the count when its program ends.
    server.end(LIMIT)
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
