//! The suite `throughput`: GET requests over many connections, the server on its cores and the load on others. Requests a
//! second say what a server can do when it is all that the machine is for; its CPU time a request says what it takes from
//! others the rest of the time.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::cores::{Halves, ONE_CORE, joined};
use super::plan::{self, Condition, Figure};
use super::report::Report;
use super::rounds::time_each;
use super::stage::{End, Stage};
use super::unit::Unit;
use super::{nginx, usage};
use crate::Result;
use crate::child::{self, Server};

/// How long one measurement takes. wrk knows whole seconds only.
const TIME: Duration = Duration::from_secs(1);

/// How long a server is loaded before.
const WARM_UP: Duration = Duration::from_millis(50);

/// Connections, and requests at once on each.
const LOADS: [(usize, usize); 5] = [(1, 1), (16, 1), (64, 1), (256, 1), (64, 16)];
const QUICK_LOADS: [(usize, usize); 2] = [(64, 1), (64, 16)];

/// A server, and how it is run.
#[derive(Clone, Copy, Debug)]
struct Contender {
    /// In the table.
    name: &'static str,
    /// As the contestants' program calls it, or nginx.
    program: &'static str,
    /// One thread rather than one for each core of the server's.
    one: bool,
    /// Keeps responses back until all requests that have come are answered: for hyper, an option.
    flush: bool,
}

const CONTENDERS: &[Contender] = &[
    Contender { name: "raw-tokio", program: "raw-tokio", one: false, flush: false },
    Contender { name: HYPER, program: "hyper", one: false, flush: false },
    Contender { name: HYPER_FLUSH, program: "hyper", one: false, flush: true },
    Contender { name: "degu", program: "degu", one: false, flush: false },
    Contender { name: "hyper, 1 thread", program: "hyper", one: true, flush: false },
    Contender { name: "hyper, 1 thread, flush", program: "hyper", one: true, flush: true },
    Contender { name: "degu, 1 thread", program: "degu", one: true, flush: false },
    Contender { name: NGINX, program: NGINX, one: false, flush: false },
];

const HYPER: &str = "hyper";
const HYPER_FLUSH: &str = "hyper, flush";
const NGINX: &str = "nginx";

const FIGURES: [Figure; 2] = [
    Figure { name: "requests a second", unit: Unit::PerSecond },
    Figure { name: "server's CPU time a request", unit: Unit::Microseconds },
];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let Some(halves) = Halves::choose()? else { return Ok(Report::left_out("throughput", ONE_CORE)) };
    let options = stage.options;
    let mut notes = Vec::new();
    let wrk = !options.quick && is_wrk_there();
    if !wrk && !options.quick {
        notes.push("without wrk or taskset: the load is our own".into());
    }
    let nginx = nginx::is_there();
    if !nginx {
        notes.push("without nginx, or taskset to pin it".into());
    }
    let takes_part = |contender: &&Contender, depth: usize| {
        // Without pipelining the option changes nothing; on one core one thread is all; a quick run has not the time.
        (depth > 1 || !contender.flush)
            && !(contender.one && (halves.server.len() == 1 || options.quick))
            && (nginx || contender.program != NGINX)
    };
    let loads = if options.quick { &QUICK_LOADS[..] } else { &LOADS };
    let lists: Vec<Vec<&Contender>> = loads
        .iter()
        .map(|&(_, depth)| CONTENDERS.iter().filter(|contender| takes_part(contender, depth)).collect())
        .collect();
    let conditions: Vec<Condition> = loads
        .iter()
        .zip(&lists)
        .map(|(&(connections, depth), list)| Condition {
            name: name(connections, depth),
            contestants: list.iter().map(|contender| contender.name.into()).collect(),
            references: if depth > 1 { vec![HYPER_FLUSH.into(), HYPER.into()] } else { vec![HYPER.into()] },
        })
        .collect();

    let rounds = options.rounds();
    let measurements = lists.iter().map(Vec::len).sum::<usize>() * rounds;
    let time = time_each(options.quick("throughput"), TIME, Duration::from_millis(120), measurements);
    stage.program()?;
    let outcome = plan::run("throughput", rounds, &conditions, &FIGURES, |condition, number| {
        let (contender, load) = (lists[condition][number], loads[condition]);
        measure(stage, contender, &halves, load, wrk, time)
    });
    let failures = outcome.failures.len();
    notes.extend(outcome.failures);
    Ok(Report {
        suite: "throughput".into(),
        about: format!(
            "GET with a body of 12 octets in the response, over ::1; {rounds} rounds of {} ms; {}; load by {}",
            time.as_millis(),
            halves.describe(),
            if wrk { "wrk" } else { "degu-bench" }
        ),
        notes,
        failures,
        groups: outcome.groups,
    })
}

fn name(connections: usize, depth: usize) -> String {
    let connections = if connections == 1 { "1 connection".into() } else { format!("{connections} connections") };
    if depth == 1 { connections } else { format!("{connections}, {depth} deep") }
}

/// Requests a second, and nanoseconds of the server's CPU time a request.
fn measure(
    stage: &Stage<'_>,
    contender: &Contender,
    halves: &Halves,
    (connections, depth): (usize, usize),
    wrk: bool,
    time: Duration,
) -> Result<Vec<f64>> {
    let server = start(stage, contender, &halves.server)?;
    own_load(stage, halves, &server, connections, depth, WARM_UP)?;
    let before = usage::cpu_time(server.id())?;
    let (requests, took) = if wrk {
        wrk_load(stage, halves, &server, connections, depth, time)?
    } else {
        own_load(stage, halves, &server, connections, depth, time)?
    };
    let cpu = usage::cpu_time(server.id())?.saturating_sub(before);
    Ok(vec![requests / took.as_secs_f64(), cpu.as_nanos() as f64 / requests])
}

fn start(stage: &Stage<'_>, contender: &Contender, cores: &[usize]) -> Result<Server> {
    if contender.program == NGINX {
        return nginx::start(stage, cores);
    }
    let mut more = vec![format!("--threads={}", if contender.one { 1 } else { cores.len() })];
    more.extend(contender.flush.then(|| "--flush".into()));
    stage.serve("crowd", contender.program, &stage.address("ipv6")?, End { cores, more: &more, pki: None })
}

fn own_load(
    stage: &Stage<'_>,
    halves: &Halves,
    server: &Server,
    connections: usize,
    depth: usize,
    time: Duration,
) -> Result<(f64, Duration)> {
    let more = [
        format!("--threads={}", halves.load.len()),
        format!("--connections={connections}"),
        format!("--depth={depth}"),
    ];
    let end = End { cores: &halves.load, more: &more, pki: None };
    stage.measure(&["load", server.address()], end, time)
}

fn is_wrk_there() -> bool {
    // It says its version as a failure.
    let runs = |program: &str, option: &str| Command::new(program).arg(option).output().is_ok();
    runs("wrk", "--version") && runs("taskset", "--version")
}

fn wrk_load(
    stage: &Stage<'_>,
    halves: &Halves,
    server: &Server,
    connections: usize,
    depth: usize,
    time: Duration,
) -> Result<(f64, Duration)> {
    let script = stage.folder().join(format!("pipeline-{depth}.lua"));
    stage.shell.write_file(&script, PIPELINE.replace("DEPTH", &depth.to_string()))?;
    let threads = halves.load.len().min(connections);
    let mut arguments = vec!["--cpu-list".into(), joined(&halves.load), "wrk".into()];
    arguments.push(format!("--duration={}s", time.as_secs().max(1)));
    arguments.push(format!("--connections={connections}"));
    arguments.push(format!("--threads={threads}"));
    if depth > 1 {
        arguments.push(format!("--script={}", script.display()));
    }
    arguments.push(format!("http://{}/hello", server.address()));
    answered(&child::run(Path::new("taskset"), &arguments, time + Duration::from_secs(30))?)
}

/// All of a row of requests in one write.
const PIPELINE: &str = "
init = function(args)
  local requests = {}
  for number = 1, DEPTH do requests[number] = wrk.format() end
  all = table.concat(requests)
end
request = function() return all end
";

/// How many requests were answered by wrk's report, and how long that took.
fn answered(report: &str) -> Result<(f64, Duration)> {
    let fault = report.lines().find(|line| line.contains("Socket errors") || line.contains("Non-2xx"));
    if let Some(fault) = fault {
        return Err(format!("wrk says: {}", fault.trim()).into());
    }
    let requests = report.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests = requests.and_then(|(requests, _)| requests.parse::<f64>().ok()).filter(|requests| *requests > 0.0);
    // The duration is printed with two digits, the rate with more.
    let rate = report.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse::<f64>().ok());
    match (requests, rate) {
        (Some(requests), Some(rate)) if rate > 0.0 => Ok((requests, Duration::from_secs_f64(requests / rate))),
        _ => Err(format!("wrk does not say how many were answered, but {report:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_wrk() {
        let report = "Running 1s test\n  2 threads\n  3000 requests in 1.10s, 5.00MB read\nRequests/sec:   2500.00\n";
        assert_eq!(answered(report).unwrap(), (3000.0, Duration::from_millis(1200)));
        assert!(answered(&format!("{report}  Socket errors: connect 0, read 5, write 0, timeout 0\n")).is_err());
        assert!(answered(&format!("{report}  Non-2xx or 3xx responses: 5\n")).is_err());
        assert!(answered("").is_err());
    }

    #[test]
    fn names_of_loads() {
        assert_eq!(name(1, 1), "1 connection");
        assert_eq!(name(64, 16), "64 connections, 16 deep");
    }
}
