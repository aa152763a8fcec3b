//! The effect of spinning before blocking: round trips with it by round trips without, in every placement, on idle cores and on
//! busy ones, with both ends ours or one; p99 of another connection of the same worker; CPU time and wake-ups of a server that
//! is rarely asked.

use std::thread;
use std::time::{Duration, Instant};

use super::{Pair, each, names_of, trip};
use crate::Result;
use crate::contestants::OFF;
use crate::machine::{self, Placement};
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage};

/// Both ends ours, and then one of them with another that may wait in its own way.
const PAIRS: &[Pair<'_>] = &[
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("raw", "degu"),
    ("hyper", "degu"),
    ("degu", "raw"),
    ("degu-blocking", "raw"),
    ("degu", "hyper"),
];
const OURS: usize = 2;

/// Where every core is busy, two ends stay as near to each other as the scheduler put them when they began, which counts more
/// than all else. So a sample is of several pairs then.
const LOADED_TURNS: usize = 4;

/// How long a neighbour asks, so that several of its requests are slower than 99 of 100; and how long requests come rarely.
const NEIGHBOUR: Duration = Duration::from_secs(4);
const RARELY: Duration = Duration::from_secs(2);

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let mut report = trips(stage)?;
    // Each takes so long.
    let few = stage.options.rounds().min(3);
    for other in [neighbour(stage, few)?, rarely(stage, few)?] {
        report.add(other);
    }
    report.about =
        "the time of a sequential round trip by that of the same pair without spinning; and what the spinning of \
                    one worker means for its other connections and its CPU time"
            .into();
    Ok(report)
}

/// Round trips with spinning by round trips without.
fn trips(stage: &Stage<'_>) -> Result<Report> {
    let (mut places, mut conditions) = (Vec::new(), Vec::new());
    for (name, address) in [("Unix", "unix"), ("IPv6", "ipv6")] {
        for (at, loaded) in machine::placements()?.into_iter().flat_map(|at| [(at.clone(), false), (at, true)]) {
            conditions.push(Condition {
                name: format!("{name}, {}{}", at.name, if loaded { ", every core busy" } else { "" }),
                contestants: names_of(&PAIRS[..if address == "unix" && !loaded { PAIRS.len() } else { OURS }]),
                references: Vec::new(),
            });
            places.push((address, at, loaded));
        }
    }
    let time = stage.time(Duration::from_millis(250));
    Ok(plan::run("polling", stage.options.rounds(), &conditions, &[("", Unit::Times)], |place, pair| {
        let ((address, at, loaded), (client, server)) = (&places[place], PAIRS[pair]);
        let _busy = if *loaded { stage.busy()? } else { Vec::new() };
        let off = |name: &str| if name.starts_with("degu") { format!("{name}{OFF}") } else { name.to_owned() };
        let (mut spun, mut blocked) = (0.0, 0.0);
        for _ in 0..if *loaded { LOADED_TURNS } else { 1 } {
            spun += trip(stage, at, (client, server), address, false, time)?;
            blocked += trip(stage, at, (&off(client), &off(server)), address, false, time)?;
        }
        Ok(vec![spun / blocked])
    }))
}

fn end(cores: &[usize]) -> End<'_> {
    End { cores, ..End::default() }
}

/// How long one connection waits for its answers while another one of the same worker has a request after the other.
fn neighbour(stage: &Stage<'_>, rounds: usize) -> Result<Report> {
    let servers = ["degu-off", "degu"];
    let conditions = [Condition {
        name: "a request each 10 ms next to a busy connection: p99".into(),
        contestants: servers.map(String::from).into(),
        references: vec![servers[0]],
    }];
    let (Placement { client, server: cores, .. }, time) = (machine::apart()?, stage.time(NEIGHBOUR));
    Ok(plan::run("polling", rounds, &conditions, &[("", Unit::Microseconds)], |_, number| {
        let server = stage.serve(servers[number], "unix", end(&cores))?;
        let busy = ["degu-blocking-off", "degu-blocking"][number];
        let words = ["client", busy, server.address()];
        thread::scope(|scope| {
            // It warms up for a quarter of its time, and outlasts the other.
            let busy = scope.spawn(|| stage.measure(&words, end(&client), time + Duration::from_millis(200)));
            let paced = stage.measure(&["paced", "raw", server.address()], End::default(), time);
            busy.join().map_err(|_| "a thread of the suite panicked")??;
            Ok(vec![each(paced?)])
        })
    }))
}

fn rarely(stage: &Stage<'_>, rounds: usize) -> Result<Report> {
    let servers = ["hyper", "degu", "degu-off"];
    let conditions = [Condition {
        name: "100 requests a second".into(),
        contestants: servers.map(String::from).into(),
        references: vec![servers[0]],
    }];
    let figures = [("server's CPU time", Unit::Percent), ("wake-ups a second when they have ended", Unit::Count)];
    let (at, time) = (machine::apart()?, stage.time(RARELY));
    Ok(plan::run("polling", rounds, &conditions, &figures, |_, number| {
        let server = stage.serve(servers[number], "unix", end(&at.server))?;
        let (before, start) = (machine::cpu_time(server.id())?, Instant::now());
        stage.measure(&["paced", "raw", server.address()], end(&at.client), time)?;
        let took = machine::cpu_time(server.id())?.saturating_sub(before);
        let share = 100.0 * took.as_secs_f64() / start.elapsed().as_secs_f64();
        let _held = stage.start(&["hold", server.address()], End::default())?;
        let (before, start) = (machine::wake_ups(server.id())?, Instant::now());
        thread::sleep(time);
        let woken = machine::wake_ups(server.id())?.saturating_sub(before);
        Ok(vec![share, woken as f64 / start.elapsed().as_secs_f64()])
    }))
}
