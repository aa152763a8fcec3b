//! The suite `polling`: what looking before sleeping changes. It is to win where it can, and to lose nothing elsewhere: not
//! where both ends share a core, where other work wants every core, or where only one end is ours; nor for another
//! connection of the same worker, nor for who counts watts.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::connect::pair_name;
use super::cores::{Cores, Placement, joined};
use super::duo;
use super::plan::{self, Condition, Figure, Outcome};
use super::report::Report;
use super::stage::{End, Stage, each};
use super::unit::Unit;
use super::usage;
use crate::Result;
use crate::child;

/// Both ends ours, and then one of them beside another that may wait in its own way.
const PAIRS: [(&str, &str); 7] = [
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("raw", "degu"),
    ("hyper", "degu"),
    ("degu", "raw"),
    ("degu-blocking", "raw"),
    ("degu", "hyper"),
];
const OURS: usize = 2;

/// What stands after the name of one of ours that does not poll.
const OFF: &str = "-off";

/// How long one measurement takes, its warm-up not counted; a sample is two of them.
const TIME: Duration = Duration::from_millis(250);

/// Where every core is busy two ends stay as near to each other, or as far, as the scheduler put them when they began, which
/// counts more than all else. So a sample is of several pairs then.
const LOADED_TURNS: usize = 4;

/// How long a neighbour asks, so that several of its requests are slower than 99 of 100; and how often in all, since each
/// takes so long.
const NEIGHBOUR: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

/// How long requests come now and then, and none.
const SELDOM: Duration = Duration::from_secs(2);

/// Who serves those that ask seldom. The last two serve them beside a busy connection, too.
const SERVERS: [&str; 3] = ["hyper", "degu", "degu-off"];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    if stage.options.quick {
        return Ok(Report::left_out("polling", "it takes minutes; duo has our pairs with polling and without"));
    }
    let (cores, rounds) = (Cores::choose()?, stage.options.rounds());
    let few = rounds.min(ROUNDS);
    let mut outcomes = [trips(stage, cores, rounds)?, neighbour(stage, cores, few)?, seldom(stage, cores, few)?];
    let failures: Vec<String> = outcomes.iter_mut().flat_map(|outcome| std::mem::take(&mut outcome.failures)).collect();
    Ok(Report {
        suite: "polling".into(),
        about: format!(
            "the time of a sequential round trip, of that of the same pair without polling, {rounds} rounds; and what one \
             worker's polling means for its other connections and for its CPU time"
        ),
        failures: failures.len(),
        notes: failures,
        groups: outcomes.into_iter().flat_map(|outcome| outcome.groups).collect(),
    })
}

/// Where two ends make their trips.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: &'static str,
    address: &'static str,
    placement: Placement,
    loaded: bool,
}

impl Place {
    fn condition(&self) -> Condition {
        let loaded = if self.loaded { ", every core busy" } else { "" };
        let pairs = if self.address == "unix" && !self.loaded { PAIRS.len() } else { OURS };
        Condition {
            name: format!("{}, {}{loaded}", self.name, self.placement.name()),
            contestants: PAIRS[..pairs].iter().map(|(client, server)| pair_name(client, server)).collect(),
            references: Vec::new(),
        }
    }
}

/// Round trips with polling by round trips without.
fn trips(stage: &Stage<'_>, cores: Cores, rounds: usize) -> Result<Outcome> {
    let mut places = Vec::new();
    for (name, address) in [("Unix", "unix"), ("IPv6", "ipv6")] {
        for &placement in cores.placements() {
            places.extend([false, true].map(|loaded| Place { name, address, placement, loaded }));
        }
    }
    let conditions: Vec<Condition> = places.iter().map(Place::condition).collect();
    stage.program()?;
    let figure = Figure { name: "", unit: Unit::Times };
    Ok(plan::run("polling", rounds, &conditions, &[figure], |place, pair| {
        let (place, (client, server)) = (places[place], PAIRS[pair]);
        let _busy = if place.loaded { stage.busy()? } else { Vec::new() };
        let trip =
            |client: &str, server: &str| duo::trip(stage, cores, place.placement, place.address, client, server, TIME);
        let (mut polled, mut slept) = (0.0, 0.0);
        for _ in 0..if place.loaded { LOADED_TURNS } else { 1 } {
            polled += trip(client, server)?;
            slept += trip(&off(client), &off(server))?;
        }
        Ok(vec![polled / slept])
    }))
}

/// The name of the same end without polling.
fn off(name: &str) -> String {
    if name.starts_with("degu") { format!("{name}{OFF}") } else { name.into() }
}

/// How long one connection waits for its answers while another one of the same worker has a request after the other.
fn neighbour(stage: &Stage<'_>, cores: Cores, rounds: usize) -> Result<Outcome> {
    let conditions = [Condition {
        name: "a request each 10 ms beside a busy connection".into(),
        contestants: SERVERS[1..].iter().map(|&name| name.into()).collect(),
        references: vec![SERVERS[2].into()],
    }];
    let figure = Figure { name: "99 of 100 stay within", unit: Unit::Microseconds };
    let program = stage.program()?;
    Ok(plan::run("polling", rounds, &conditions, &[figure], |_, number| {
        let name = SERVERS[number + 1];
        let (client, server) = cores.of(apart(cores));
        let server = stage.serve("crowd", name, &stage.address("unix")?, end(server.as_slice()))?;
        let busy_client = if name.ends_with(OFF) { "degu-blocking-off" } else { "degu-blocking" };
        // It warms up for a quarter of its time, and outlasts the other.
        let time = format!("--millis={}", (NEIGHBOUR + Duration::from_millis(200)).as_millis());
        let mut busy: Vec<String> = ["client", busy_client, server.address(), &time].map(String::from).into();
        busy.extend(client.map(|core| format!("--cores={}", joined(&[core]))));
        thread::scope(|scope| {
            let busy = scope.spawn(|| run_busy(program, &busy));
            let paced = stage.measure(&["paced", "raw", server.address()], End::default(), NEIGHBOUR);
            busy.join().map_err(|_| "a thread of the suite panicked")??;
            Ok(vec![each(paced?)])
        })
    }))
}

fn run_busy(program: &Path, arguments: &[String]) -> Result {
    child::run(program, arguments, NEIGHBOUR * 4).map(drop)
}

/// What a server takes that is seldom asked, and how often it wakes when nobody asks.
fn seldom(stage: &Stage<'_>, cores: Cores, rounds: usize) -> Result<Outcome> {
    let conditions = [Condition {
        name: "100 requests a second".into(),
        contestants: SERVERS.map(String::from).into(),
        references: vec![SERVERS[0].into()],
    }];
    let figures = [
        Figure { name: "server's CPU time", unit: Unit::Percent },
        Figure { name: "wake-ups a second when they have ended", unit: Unit::Count },
    ];
    Ok(plan::run("polling", rounds, &conditions, &figures, |_, number| {
        let (client, server) = cores.of(apart(cores));
        let server = stage.serve("crowd", SERVERS[number], &stage.address("unix")?, end(server.as_slice()))?;
        let (before, start) = (usage::cpu_time(server.id())?, Instant::now());
        stage.measure(&["paced", "raw", server.address()], end(client.as_slice()), SELDOM)?;
        let took = usage::cpu_time(server.id())?.saturating_sub(before);
        let share = 100.0 * took.as_secs_f64() / start.elapsed().as_secs_f64();
        let _held = stage.hold(server.address(), 1, None)?;
        let (before, start) = (usage::wake_ups(server.id())?, Instant::now());
        thread::sleep(SELDOM);
        let woken = usage::wake_ups(server.id())?.saturating_sub(before);
        Ok(vec![share, woken as f64 / start.elapsed().as_secs_f64()])
    }))
}

/// Two cores where there are two.
fn apart(cores: Cores) -> Placement {
    if cores.placements().contains(&Placement::Apart) { Placement::Apart } else { Placement::Same }
}

fn end(cores: &[usize]) -> End<'_> {
    End { cores, ..End::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ours_can_be_without_polling() {
        assert_eq!(
            ["degu", "degu-blocking", "raw", "hyper"].map(off),
            ["degu-off", "degu-blocking-off", "raw", "hyper"]
        );
        assert!(PAIRS[..OURS].iter().all(|(client, server)| off(client) != *client && off(server) != *server));
        assert!(PAIRS.iter().all(|(client, server)| off(client) != *client || off(server) != *server));
    }
}
