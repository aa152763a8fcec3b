//! Latency at fixed rates (an open loop): requests are due at times of their own, however long the server takes for those before,
//! and a latency counts from the time at which its request was due.
//!
//! The load is of programs that others wrote: oha, and for one rate h2load. Each costs more CPU time than any server here, so that
//! its own floor is in every table: `raw-tokio` answers without HTTP. The rates are parts of what hyper's server reaches with the
//! same program over the same connections in a closed loop.

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

/// Also what the curves of the chart are drawn through.
pub(crate) const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99];

const FIGURES: [Figure; 7] = [
    ("p50", Unit::Microseconds),
    ("p75", Unit::Microseconds),
    ("p90", Unit::Microseconds),
    ("p99", Unit::Microseconds),
    ("p99.9", Unit::Microseconds),
    ("p99.99", Unit::Microseconds),
    ("server's CPU time a request", Unit::Microseconds),
];

/// Another load on the server's core.
#[derive(Clone, Copy, PartialEq)]
enum Neighbour {
    None,
    /// A process that does not sleep.
    Core,
    /// Another client of the same server, with a request after the other.
    Connection,
}

/// The loads. Each has the program that generates it, the kind of address, the rate in percent of what hyper's server reaches,
/// and another load on the server's core. A quick run measures only the first load.
const LOADS: &[(&str, &str, u32, Neighbour)] = &[
    ("oha", "unix", 50, Neighbour::None),
    ("oha", "unix", 1, Neighbour::None),
    ("oha", "unix", 10, Neighbour::None),
    ("oha", "unix", 80, Neighbour::None),
    ("oha", "unix", 10, Neighbour::Core),
    ("oha", "unix", 50, Neighbour::Core),
    ("oha", "unix", 1, Neighbour::Connection),
    ("h2load", "unix", 50, Neighbour::None),
    ("oha", "ipv4", 1, Neighbour::None),
    ("oha", "ipv4", 10, Neighbour::None),
    ("oha", "ipv4", 50, Neighbour::None),
    ("oha", "ipv4", 80, Neighbour::None),
];

const SERVERS: [&str; 7] = ["raw-tokio", "hyper", "axum", "degu", "degu-off", "degu-fixed", NGINX];

/// The time for which a server is observed while its connections wait.
const IDLE: Duration = Duration::from_secs(1);

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let missing: Vec<_> = ["oha", "h2load"].into_iter().filter(|tool| !is_there(tool)).collect();
    let mut loads: Vec<_> = LOADS.iter().filter(|load| !missing.contains(&load.0)).collect();
    loads.truncate(if stage.options.quick { 1 } else { LOADS.len() });
    let condition = |&&(tool, kind, percent, neighbour): &&(&str, &str, u32, Neighbour)| Condition {
        name: format!(
            "{}, {percent} % by {tool}{}",
            if kind == "unix" { "Unix" } else { "TCP" },
            match neighbour {
                Neighbour::None => "",
                Neighbour::Core => ", a busy process on the server's core",
                Neighbour::Connection => ", a busy connection to the server",
            }
        ),
        contestants: contestants(stage, kind),
        references: vec!["hyper"],
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
    // Each takes so long.
    let rounds = stage.options.rounds().min(3);
    let mut report = plan::run("open", rounds, &conditions, &FIGURES, |number, contestant| {
        let (tool, kind, percent, neighbour) = loads[number];
        let server = serve(stage, &at, &conditions[number].contestants[contestant], kind)?;
        let _busy = if *neighbour == Neighbour::Core { stage.busy(&at.server)? } else { Vec::new() };
        let ask = || ask(tool, &server, Some(capacities[&(*tool, *kind)] * f64::from(*percent) / 100.0));
        let before = machine::cpu_time(server.id())?;
        if *neighbour == Neighbour::Connection {
            let (words, end) = (["client", "hyper", server.address()], End { cores: &at.client, ..End::default() });
            return thread::scope(|scope| {
                // It warms up for a quarter of its time, and outlasts the other.
                let busy = scope.spawn(|| stage.measure(&words, end, time + Duration::from_millis(500)));
                let asked = ask();
                busy.join().map_err(|_| "a thread of the suite panicked")??;
                // The CPU time is that of both.
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
    report.notes.push(format!("100 % is what hyper's server reaches in a closed loop: {capacities}"));
    report.notes.extend(missing.iter().map(|tool| format!("without {tool}, which is not installed")));
    report.about = format!(
        "GET requests at fixed rates over {CONNECTIONS} connections, {} s each; a latency counts from the time at which its \
         request was due (h2load: was sent)",
        time.as_secs_f64()
    );
    Ok(report)
}

fn contestants(stage: &Stage<'_>, kind: &str) -> Vec<String> {
    let takes_part = |name: &&str| match *name {
        NGINX => kind != "unix" && is_nginx_there(),
        name => !stage.options.quick || !PEERS.contains(&name),
    };
    SERVERS.into_iter().filter(takes_part).map(String::from).collect()
}

fn serve(stage: &Stage<'_>, at: &Placement, name: &str, kind: &str) -> Result<Server> {
    stage.serve(name, kind, End { cores: &at.server, threads: at.server.len(), ..End::default() })
}

/// Measures the use of the CPU by a server while all of its connections wait.
fn idle(stage: &Stage<'_>, at: &Placement, rounds: usize) -> Report {
    let names = contestants(stage, "ipv4");
    let name = format!("{CONNECTIONS} connections that wait");
    let conditions = [Condition { name, contestants: names.clone(), references: vec![] }];
    let figures = [("server's CPU time a second", Unit::Microseconds), ("wake-ups a second", Unit::Count)];
    plan::run("open", rounds, &conditions, &figures, |_, contestant| {
        let server = serve(stage, at, &names[contestant], "ipv4")?;
        let more = [format!("--connections={CONNECTIONS}")];
        let _held =
            stage.start(&["hold", server.address()], End { cores: &at.client, more: &more, ..End::default() })?;
        let used = || Result::Ok((machine::cpu_time(server.id())?, machine::wake_ups(server.id())?));
        // What follows a request is over then.
        thread::sleep(IDLE / 4);
        let (before, start) = (used()?, Instant::now());
        thread::sleep(IDLE);
        let (after, took) = (used()?, start.elapsed().as_secs_f64());
        Ok(vec![(after.0 - before.0).as_nanos() as f64 / took, (after.1 - before.1) as f64 / took])
    })
}

/// Loads a server in an open loop, or without a rate in a closed one; returns the number of requests, their time, and the
/// latencies of `PERCENTILES` in nanoseconds.
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
    let number = |part: &str, name: &str| said[part][name].as_f64().ok_or_else(|| format!("oha says no {part} {name}"));
    // Those that are on their way when the time is over are no failures.
    let failed =
        said["errorDistribution"].as_object().is_some_and(|all| all.keys().any(|error| !error.contains("deadline")));
    let requests = number("statusCodeDistribution", "200")?;
    if failed || said["statusCodeDistribution"].as_object().is_some_and(|all| all.len() > 1) {
        return Err(format!("oha: {}, {}", said["statusCodeDistribution"], said["errorDistribution"]).into());
    }
    let latencies = PERCENTILES.iter().map(|p| Ok(number("latencyPercentiles", &format!("p{p}"))? * 1e9));
    Ok((requests, Duration::from_secs_f64(number("summary", "total")?), latencies.collect::<Result<_>>()?))
}

/// Reads a log: when a request was sent, its status, and its microseconds.
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
