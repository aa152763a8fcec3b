//! Latency at fixed rates (an open loop). Each request is due at a fixed time, even if earlier requests have not been
//! answered. A latency counts from the time at which the request was due.
//!
//! Other programs generate the load: oha, and h2load for one rate. Each of these programs uses more CPU time than any
//! server here, and causes a part of each latency itself. Every table includes `raw-tokio`, a server without HTTP. The
//! latency of `raw-tokio` is the lower bound for this load generator.
//!
//! The rates are given in percent. 100 % is the rate that hyper's server reaches in a closed loop, with the same load
//! generator and the same number of connections. In a closed loop, a connection sends its next request when the response
//! has arrived.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::Result;
use crate::child::{self, Server};
use crate::contestants::PEERS;
use crate::machine::{self, Placement};
use crate::message::{GETS, TRACE};
use crate::plan::{self, Condition, Figure};
use crate::report::{Report, Unit};
use crate::stage::{End, NGINX, Stage, is_there, pinned};

const CONNECTIONS: usize = 16;

/// The percentiles of a latency, which are also the points of the chart's curves.
pub(crate) const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99];

/// The figures of each load: a latency for each percentile, and the CPU time.
const FIGURES: [Figure; 7] = [
    ("p50", Unit::Microseconds),
    ("p75", Unit::Microseconds),
    ("p90", Unit::Microseconds),
    ("p99", Unit::Microseconds),
    ("p99.9", Unit::Microseconds),
    ("p99.99", Unit::Microseconds),
    ("server's CPU time a request", Unit::Microseconds),
];

// Other loads on the server's core, as suffixes of the names of conditions.
const NOTHING: &str = "";
/// A process that never sleeps.
const CORE: &str = ", a busy process on the server's core";
/// Another client of the same server, which sends one request after another.
const CONNECTION: &str = ", a busy connection to the server";

/// The loads: the program that generates the load, the kind of address, the rate in percent, and another load on the
/// server's core. A quick run measures only the first.
const LOADS: &[(&str, &str, u32, &str)] = &[
    ("oha", "unix", 50, NOTHING),
    ("oha", "unix", 1, NOTHING),
    ("oha", "unix", 10, NOTHING),
    ("oha", "unix", 80, NOTHING),
    ("oha", "unix", 10, CORE),
    ("oha", "unix", 50, CORE),
    ("oha", "unix", 1, CONNECTION),
    ("h2load", "unix", 50, NOTHING),
    ("oha", "ipv4", 1, NOTHING),
    ("oha", "ipv4", 10, NOTHING),
    ("oha", "ipv4", 50, NOTHING),
    ("oha", "ipv4", 80, NOTHING),
];

const SERVERS: [&str; 7] = ["raw-tokio", "hyper", "axum", "degu", "degu-off", "degu-fixed", NGINX];

/// The time for which a server with idle connections is observed.
const IDLE: Duration = Duration::from_secs(1);

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let missing: Vec<_> = ["oha", "h2load"].into_iter().filter(|tool| !is_there(tool)).collect();
    let loads = LOADS.iter().filter(|load| !missing.contains(&load.0));
    let (at, time) = (machine::halves()?, stage.time(Duration::from_secs(3)));
    let ask = |tool: &str, server: &Server, rate| load(stage, tool, &at.client, server.address(), rate, time);
    let (mut capacities, mut conditions) = (BTreeMap::new(), Vec::new());
    for &(tool, kind, percent, neighbour) in loads.take(if stage.options.quick { 1 } else { LOADS.len() }) {
        if let Entry::Vacant(unknown) = capacities.entry((tool, kind)) {
            let (requests, took, _) = ask(tool, &stage.serve("hyper", kind, End::on(&at.server))?, None)?;
            unknown.insert(requests / took.as_secs_f64());
        }
        let place = if kind == "unix" { "Unix" } else { "TCP" };
        let name = format!("{place}, {percent} % by {tool}{neighbour}");
        let rate = capacities[&(tool, kind)] * f64::from(percent) / 100.0;
        conditions.push(Condition::new(name, contestants(stage, kind), &["hyper"], (tool, kind, rate, neighbour)));
    }
    // More rounds would take too long.
    let rounds = stage.options.rounds().min(3);
    let mut report = plan::run("open", rounds, &conditions, &FIGURES, |&(tool, kind, rate, neighbour), name| {
        let server = stage.serve(name, kind, End::on(&at.server))?;
        let client = End { threads: 1, ..End::on(&at.client) };
        let _busy = match neighbour {
            CORE => stage.busy(&at.server)?,
            CONNECTION => vec![stage.start(&["busy", server.address(), "hyper"], client)?],
            _ => Vec::new(),
        };
        let before = machine::cpu_time(server.id())?;
        let (requests, _, mut figures) = ask(tool, &server, Some(rate))?;
        // Next to a busy client there is no figure for the CPU time, because it would include this client's requests.
        if neighbour != CONNECTION {
            let cpu = machine::cpu_time(server.id())?.saturating_sub(before);
            figures.push(cpu.as_nanos() as f64 / requests);
        }
        Ok(figures)
    });
    report.add(idle(stage, &at, if stage.options.quick { 1 } else { rounds }));
    let capacities = capacities.iter().map(|((tool, kind), rate)| format!("{rate:.0}/s by {tool} over {kind}"));
    let capacities = capacities.collect::<Vec<_>>().join(", ");
    report.notes.push(format!("100 % is the rate that hyper's server reaches in a closed loop: {capacities}"));
    report.notes.extend(missing.iter().map(|tool| format!("no loads by {tool}, because it is not installed")));
    report.about = format!(
        "GET requests at fixed rates over {CONNECTIONS} connections, {} s each; a latency counts from the time at which its \
         request was due (h2load: was sent)",
        time.as_secs_f64()
    );
    Ok(report)
}

/// Returns the servers that are measured over this kind of address.
fn contestants(stage: &Stage<'_>, kind: &str) -> Vec<&'static str> {
    let takes_part = |name: &&str| match *name {
        NGINX => kind != "unix" && is_there(NGINX),
        name => !stage.options.quick || !PEERS.contains(&name),
    };
    SERVERS.into_iter().filter(takes_part).collect()
}

/// Measures the CPU time and the wake-ups of a server while all of its connections are idle.
fn idle(stage: &Stage<'_>, at: &Placement, rounds: usize) -> Report {
    let name = format!("{CONNECTIONS} idle connections");
    let conditions = [Condition::new(name, contestants(stage, "ipv4"), &[], ())];
    let figures = [("server's CPU time a second", Unit::Microseconds), ("wake-ups a second", Unit::Count)];
    plan::run("open", rounds, &conditions, &figures, |(), name| {
        let server = stage.serve(name, "ipv4", End::on(&at.server))?;
        let end = End { connections: CONNECTIONS, ..End::on(&at.client) };
        let _held = stage.start(&["hold", server.address()], end)?;
        let used = || Result::Ok((machine::cpu_time(server.id())?, machine::wake_ups(server.id())?));
        // After this pause, the server has finished its work for the requests.
        thread::sleep(IDLE / 4);
        let (before, start) = (used()?, Instant::now());
        thread::sleep(IDLE);
        let (after, took) = (used()?, start.elapsed().as_secs_f64());
        Ok(vec![(after.0 - before.0).as_nanos() as f64 / took, (after.1 - before.1) as f64 / took])
    })
}

/// Loads a server at this rate; without a rate, in a closed loop. Returns the number of requests, their time, and the
/// latencies for [`PERCENTILES`] in nanoseconds.
fn load(
    stage: &Stage<'_>,
    tool: &str,
    cores: &[usize],
    address: &str,
    rate: Option<f64>,
    time: Duration,
) -> Result<(f64, Duration, Vec<f64>)> {
    let [urls, log] = ["urls", "log"].map(|name| stage.folder.path().join(name).display().to_string());
    let path = address.strip_prefix("unix:");
    let host = path.map_or(address, |_| "localhost");
    fs::write(&urls, GETS.iter().map(|get| format!("http://{host}{}\n", get.target)).collect::<String>())?;
    let mut line = format!("-c {} {tool} -c {CONNECTIONS} -H {TRACE}:0123abcd", pinned(cores)?);
    let millis = time.as_millis();
    if tool == "oha" {
        line += &format!(" -z {millis}ms --output-format json --no-tui --urls-from-file {urls}");
        line.extend(path.map(|path| format!(" --unix-socket {path}")));
        line.extend(rate.map(|rate| format!(" -q {rate:.0} --latency-correction")));
    } else {
        line += &format!(" -D {millis}ms --h1 --log-file {log} -i {urls}");
        line.extend(path.map(|path| format!(" -B unix:{path}")));
        line.extend(rate.map(|rate| format!(" --rps {:.2}", rate / CONNECTIONS as f64)));
    }
    let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let said = child::run(Path::new("taskset"), &line, time * 2 + Duration::from_secs(10))?;
    if tool == "oha" { by_oha(&said) } else { by_h2load(&fs::read_to_string(&log)?, time) }
}

fn by_oha(said: &str) -> Result<(f64, Duration, Vec<f64>)> {
    let said: Value = serde_json::from_str(said)?;
    let number =
        |part: &str, name: &str| said[part][name].as_f64().ok_or_else(|| format!("oha printed no {part} {name}"));
    // A request that has no response when the time is over is not a failure.
    let failed =
        said["errorDistribution"].as_object().is_some_and(|all| all.keys().any(|error| !error.contains("deadline")));
    let requests = number("statusCodeDistribution", "200")?;
    if failed || said["statusCodeDistribution"].as_object().is_some_and(|all| all.len() > 1) {
        return Err(format!("oha: {}, {}", said["statusCodeDistribution"], said["errorDistribution"]).into());
    }
    let latencies = PERCENTILES.iter().map(|p| Ok(number("latencyPercentiles", &format!("p{p}"))? * 1e9));
    Ok((requests, Duration::from_secs_f64(number("summary", "total")?), latencies.collect::<Result<_>>()?))
}

/// Parses the log of h2load. Each line has the time at which a request was sent, the status, and the latency in
/// microseconds.
fn by_h2load(log: &str, time: Duration) -> Result<(f64, Duration, Vec<f64>)> {
    let mut micros = Vec::new();
    for line in log.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "200", took, ..] => micros.push(took.parse::<u64>()?),
            _ => return Err(format!("h2load: {line}").into()),
        }
    }
    micros.sort_unstable();
    let at = |p: f64| Some(*micros.get((micros.len() as f64 * p / 100.0) as usize)? as f64 * 1000.0);
    let latencies = PERCENTILES.into_iter().map(at).collect::<Option<_>>().ok_or("h2load made no request")?;
    Ok((micros.len() as f64, time, latencies))
}
