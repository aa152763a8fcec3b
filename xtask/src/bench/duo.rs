//! The suite `duo`: one connection, small POST requests one after the other, each end a process of its own.

use std::time::Duration;

use super::connect::pair_name;
use super::cores::{Cores, Placement};
use super::options::Options;
use super::plan::{self, Condition, Figure};
use super::report::Report;
use super::rounds::time_each;
use super::stage::{self, End, Stage, each};
use super::unit::Unit;
use crate::Result;
use crate::child;
use crate::interop::degu018;

/// The pairs that the others are compared with: the floor that the kernel sets, and the best known peer.
const REFERENCES: [&str; 2] = ["raw", "hyper"];

/// How long one measurement takes, its warm-up not counted.
const TIME: Duration = Duration::from_millis(300);

/// Kinds of addresses: in the table, and on the command line.
const ADDRESSES: [(&str, &str); 4] = [("Unix", "unix"), ("abstract", "abstract"), ("IPv4", "ipv4"), ("IPv6", "ipv6")];

/// Those of a quick run, in which the others would tell little new.
const QUICK_ADDRESSES: [&str; 2] = ["unix", "ipv6"];

/// Pairs of a quick run: the floors, the references and ours.
const QUICK_PAIRS: [&str; 7] =
    ["raw", "raw-poll", "hyper", "degu", "degu-blocking → degu", "degu-off", stage::DEGU_018];

/// A client and a server.
type Pair = (String, String);

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let options = stage.options;
    let mut notes = Vec::new();
    let pairs = pairs(stage, &mut notes)?;
    let cores = Cores::choose()?;
    let placements = placements(cores, options)?;
    let places = places(&placements, options);
    let rounds = options.rounds();
    let time = time_each(options.quick("duo"), TIME, Duration::from_millis(30), places.len() * pairs.len() * rounds);

    let condition = |place: &Place| Condition {
        name: format!("{}, {}{}", place.name, place.placement.name(), if options.load { ", loaded" } else { "" }),
        contestants: pairs.iter().map(|(client, server)| pair_name(client, server)).collect(),
        references: REFERENCES.map(String::from).into(),
    };
    let conditions: Vec<Condition> = places.iter().map(condition).collect();
    let _busy = if options.load { stage.busy()? } else { Vec::new() };
    let figure = Figure { name: "", unit: Unit::Microseconds };
    let outcome = plan::run("duo", rounds, &conditions, &[figure], |place, pair| {
        let (place, (client, server)) = (&places[place], &pairs[pair]);
        Ok(vec![trip(stage, cores, place.placement, place.address, client, server, time)?])
    });
    Ok(Report {
        suite: "duo".into(),
        about: format!(
            "one connection, sequential POST requests with 108 octets of body each way; {rounds} rounds of {} ms; a pair \
             is client → server where they differ; {}",
            time.as_millis(),
            placements.iter().map(|&placement| cores.describe(placement)).collect::<Vec<_>>().join(", ")
        ),
        failures: outcome.failures.len(),
        notes: notes.into_iter().chain(outcome.failures).collect(),
        groups: outcome.groups,
    })
}

/// The nanoseconds of a round trip between a client and a server of these names, over this kind of address.
pub(super) fn trip(
    stage: &Stage<'_>,
    cores: Cores,
    placement: Placement,
    address: &str,
    client: &str,
    server: &str,
    time: Duration,
) -> Result<f64> {
    let (client_core, server_core) = cores.of(placement);
    let end = End { cores: server_core.as_slice(), ..End::default() };
    let server = stage.serve("server", server, &stage.address(address)?, end)?;
    let end = End { cores: client_core.as_slice(), ..End::default() };
    match stage.measure(&["client", client, server.address()], end, time) {
        Ok(figures) => Ok(each(figures)),
        Err(error) => Err(server.explain(error)),
    }
}

/// What all pairs are measured under.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: &'static str,
    address: &'static str,
    placement: Placement,
}

fn placements(cores: Cores, options: &Options) -> Result<Vec<Placement>> {
    let chosen = |placement: &&Placement| options.placement.as_deref().is_none_or(|name| name == placement.name());
    let placements: Vec<Placement> = cores.placements().iter().filter(chosen).copied().collect();
    if placements.is_empty() {
        return Err("on one core there is no placement but `same`".into());
    }
    Ok(placements)
}

fn places(placements: &[Placement], options: &Options) -> Vec<Place> {
    let chosen = |kind: &str| match options.address.as_deref() {
        Some(one) => one == kind,
        None => !options.quick || QUICK_ADDRESSES.contains(&kind),
    };
    let addresses = ADDRESSES.into_iter().filter(|(_, kind)| chosen(kind));
    let each = |(name, address)| placements.iter().map(move |&placement| Place { name, address, placement });
    addresses.flat_map(each).collect()
}

/// The pairs of the command line with the references before them, or else all that the program lists.
fn pairs(stage: &Stage<'_>, notes: &mut Vec<String>) -> Result<Vec<Pair>> {
    let options = stage.options;
    if !options.pairs.is_empty() {
        let mut pairs: Vec<Pair> = REFERENCES.map(|name| (name.into(), name.into())).into();
        let known = |(client, server): &&Pair| REFERENCES.contains(&pair_name(client, server).as_str());
        pairs.extend(options.pairs.iter().filter(|pair| !known(pair)).cloned());
        return Ok(pairs);
    }
    let list = child::run(stage.program()?, &["pairs".into()], Duration::from_secs(10))?;
    let pair = |line: &str| line.split_once(' ').map(|(client, server)| (client.to_owned(), server.to_owned()));
    let pairs: Option<Vec<Pair>> = list.lines().map(pair).collect();
    let mut pairs = pairs.ok_or_else(|| format!("degu-bench does not list pairs, but {list:?}"))?;
    match degu018::find(stage.shell) {
        Ok(_) => pairs.push((stage::DEGU_018.into(), stage::DEGU_018.into())),
        Err(missing) => {
            notes.push(format!("without Degu 0.18: {missing}; `cargo xtask interop --install` installs it"))
        }
    }
    pairs.retain(|(client, server)| !options.quick || QUICK_PAIRS.contains(&pair_name(client, server).as_str()));
    Ok(pairs)
}
