//! GET requests over many connections. Server and load have separate cores. The number of requests in a second shows
//! the capacity of a server on a machine without other work. The server's CPU time for a request shows how
//! much time the server takes from other programs.

use std::time::Duration;

use crate::Result;
use crate::machine;
use crate::plan::{self, Condition, Figure};
use crate::report::{Report, Unit};
use crate::stage::{End, NGINX, Stage, is_there};

/// The time for which a server is loaded before it is measured.
const WARM_UP: Duration = Duration::from_millis(50);

/// The loads: the number of connections, the number of requests at once on each, and whether a quick run has this load.
const LOADS: [(usize, usize, bool); 5] =
    [(64, 1, true), (64, 16, true), (1, 1, false), (16, 1, false), (256, 1, false)];

/// The servers. Each has a thread for each of its cores.
const CONTESTANTS: [&str; 5] = ["raw-tokio", "hyper", "hyper-flush", "degu", NGINX];

const FIGURES: [Figure; 2] =
    [("requests a second", Unit::PerSecond), ("server's CPU time a request", Unit::Microseconds)];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let (at, nginx, quick) = (machine::halves()?, is_there(NGINX), stage.options.quick);
    let loads = LOADS.into_iter().filter(|load| load.2 || !quick);
    let condition = |(connections, depth, _)| {
        let takes_part = |name: &&str| match *name {
            // This option has an effect only on pipelined requests.
            "hyper-flush" => depth > 1,
            NGINX => nginx,
            _ => true,
        };
        let deep = if depth > 1 { format!(", {depth} deep") } else { String::new() };
        let references: &'static [&'static str] = if depth > 1 { &["hyper-flush", "hyper"] } else { &["hyper"] };
        let contestants = CONTESTANTS.into_iter().filter(takes_part);
        Condition::new(format!("{connections} connections{deep}"), contestants, references, (connections, depth))
    };
    let conditions: Vec<_> = loads.map(condition).collect();
    let measured = stage.time(Duration::from_secs(1));
    let mut report =
        plan::run("throughput", stage.options.rounds(), &conditions, &FIGURES, |&(connections, depth), name| {
            let server = stage.serve(name, "ipv6", End::on(&at.server))?;
            let load = |time| {
                stage.measure(&["load", server.address()], End { connections, depth, time, ..End::on(&at.client) })
            };
            load(WARM_UP)?;
            let before = machine::cpu_time(server.id())?;
            let (requests, took) = load(measured)?;
            let cpu = machine::cpu_time(server.id())?.saturating_sub(before);
            Ok(vec![requests / took.as_secs_f64(), cpu.as_nanos() as f64 / requests])
        });
    report.notes.extend((!nginx).then(|| "nginx not measured, because it is not installed".into()));
    report.about = "GET requests over ::1, answered with their target; the benchmark itself generates the load".into();
    Ok(report)
}

/// Measures blocking clients: threads that share a pool, threads with a connection each, and threads without HTTP. If
/// eight threads with a connection each are not faster than eight threads with one pool, the pool is not a bottleneck.
/// The threads without HTTP show the limit that the server and the kernel set.
pub(super) fn run_pool(stage: &Stage<'_>) -> Result<Report> {
    let at = machine::halves()?;
    let conditions = [("one thread", 1), ("eight threads", 8)].map(|(name, threads)| {
        Condition::new(name, ["degu-blocking-pool", "degu-blocking", "raw"], &["degu-blocking"], threads)
    });
    let time = stage.time(Duration::from_secs(1));
    let report = plan::run("pool", stage.options.rounds(), &conditions, &[("", Unit::PerSecond)], |&threads, name| {
        let server = stage.serve("degu", "unix", End::on(&at.server))?;
        let end = End { threads, time, ..End::on(&at.client) };
        let (trips, took) = stage.measure(&["client", server.address(), name], end)?;
        Ok(vec![trips / took.as_secs_f64()])
    });
    let about =
        "requests a second over a Unix socket to Degu's server; all threads share one pool, or each has a connection";
    Ok(Report { about: about.into(), ..report })
}
