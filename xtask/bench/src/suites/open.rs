//! Latency at fixed rates (an open loop). Each request is due at a fixed time, even if earlier requests have not been
//! answered. A latency counts from the time at which the request was due.
//!
//! Other programs generate the load: oha, and h2load for one rate. Each of them uses more CPU time than any server
//! here. Therefore every table includes `raw-tokio`, which answers without HTTP, as the lower bound for the program.
//! 100 % is the rate that hyper's server reaches in a closed loop, with the same program and the same number of
//! connections.

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
use crate::stage::{End, NGINX, Stage, is_nginx_there, is_there, pinned};

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
    let mut loads: Vec<_> = LOADS.iter().filter(|load| !missing.contains(&load.0)).collect();
    loads.truncate(if stage.options.quick { 1 } else { LOADS.len() });
    let condition = |&&(tool, kind, percent, neighbour): &&(&str, &str, u32, &str)| {
        let place = if kind == "unix" { "Unix" } else { "TCP" };
        Condition::new(format!("{place}, {percent} % by {tool}{neighbour}"), contestants(stage, kind), &["hyper"])
    };
    let conditions: Vec<_> = loads.iter().map(condition).collect();
    let (at, time) = (machine::halves()?, stage.time(Duration::from_secs(3)));
    let ask = |tool: &str, server: &Server, rate| load(stage, tool, &at.client, server.address(), rate, time);
    let mut capacities = BTreeMap::new();
    for (tool, kind, ..) in &loads {
        if let Entry::Vacant(unknown) = capacities.entry((*tool, *kind)) {
            let (requests, took, _) = ask(tool, &serve(stage, &at, "hyper", kind)?, None)?;
            unknown.insert(requests / took.as_secs_f64());
        }
    }
    // More rounds would take too long.
    let rounds = stage.options.rounds().min(3);
    let mut report = plan::run("open", rounds, &conditions, &FIGURES, |number, contestant| {
        let (tool, kind, percent, neighbour) = loads[number];
        let server = serve(stage, &at, &conditions[number].contestants[contestant], kind)?;
        let _busy = if *neighbour == CORE { stage.busy(&at.server)? } else { Vec::new() };
        let ask = || ask(tool, &server, Some(capacities[&(*tool, *kind)] * f64::from(*percent) / 100.0));
        let before = machine::cpu_time(server.id())?;
        if *neighbour == CONNECTION {
            let end = End { cores: &at.client, time: time + Duration::from_millis(500), ..End::default() };
            return thread::scope(|scope| {
                // The busy client warms up for a quarter of its time, and ends after the load.
                let busy = scope.spawn(|| stage.measure(&["client", "hyper", server.address()], end));
                let asked = ask();
                busy.join().map_err(|_| "a thread of the suite panicked")??;
                // This has no figure for the CPU time, because it would include the requests of the busy client.
                Ok(asked?.2)
            });
        }
        let (requests, _, latencies) = ask()?;
        let cpu = machine::cpu_time(server.id())?.saturating_sub(before);
        Ok(latencies.into_iter().chain([cpu.as_nanos() as f64 / requests]).collect())
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

fn contestants<'s>(stage: &'s Stage<'_>, kind: &'s str) -> impl Iterator<Item = &'static str> + 's {
    SERVERS.into_iter().filter(move |name| match *name {
        NGINX => kind != "unix" && is_nginx_there(),
        name => !stage.options.quick || !PEERS.contains(&name),
    })
}

fn serve(stage: &Stage<'_>, at: &Placement, name: &str, kind: &str) -> Result<Server> {
    stage.serve(name, kind, End { cores: &at.server, threads: at.server.len(), ..End::default() })
}

/// Measures the CPU time and the wake-ups of a server while all of its connections are idle.
fn idle(stage: &Stage<'_>, at: &Placement, rounds: usize) -> Report {
    let conditions = [Condition::new(format!("{CONNECTIONS} idle connections"), contestants(stage, "ipv4"), &[])];
    let figures = [("server's CPU time a second", Unit::Microseconds), ("wake-ups a second", Unit::Count)];
    plan::run("open", rounds, &conditions, &figures, |_, contestant| {
        let server = serve(stage, at, &conditions[0].contestants[contestant], "ipv4")?;
        let end = End { cores: &at.client, connections: CONNECTIONS, ..End::default() };
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
    let (urls, log) = (stage.folder.path().join("urls"), stage.folder.path().join("log"));
    let path = address.strip_prefix("unix:");
    let host = path.map_or(address, |_| "localhost");
    fs::write(&urls, GETS.iter().map(|get| format!("http://{host}{}\n", get.target)).collect::<String>())?;
    let mut line = vec!["-c".to_owned(), pinned(cores)?, tool.to_owned()];
    let mut add = |option: &str, value: String| line.extend([option.to_owned(), value]);
    add("-c", CONNECTIONS.to_string());
    add("-H", format!("{TRACE}: 0123abcd"));
    if tool == "oha" {
        add("-z", format!("{}ms", time.as_millis()));
        path.into_iter().for_each(|path| add("--unix-socket", path.to_owned()));
        rate.into_iter().for_each(|rate| add("-q", format!("{rate:.0}")));
        add("--output-format", "json".into());
        line.extend(rate.map(|_| "--latency-correction".into()));
        line.extend(["--no-tui".into(), "--urls-from-file".into(), urls.display().to_string()]);
    } else {
        add("-D", format!("{}ms", time.as_millis()));
        path.into_iter().for_each(|path| add("-B", format!("unix:{path}")));
        rate.into_iter().for_each(|rate| add("--rps", format!("{:.2}", rate / CONNECTIONS as f64)));
        add("-i", urls.display().to_string());
        add("--log-file", log.display().to_string());
        line.push("--h1".into());
    }
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
