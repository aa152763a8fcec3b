//! The suite `duo`: one connection, small POST requests one after the other, each end a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cores::{Cores, Placement};
use super::progress::Progress;
use super::report::{Entry, Group, Report, Unit};
use super::rounds::{interleave, time_each};
use super::{Options, machine, nanoseconds};
use crate::Result;
use crate::child;
use crate::child::Server;

/// The pairs that the others are compared with: the floor that the kernel sets, and the best known peer.
const REFERENCES: [&str; 2] = ["raw", "hyper"];

/// How long one measurement takes, its warm-up not counted.
const TIME: Duration = Duration::from_millis(300);

/// A client and a server.
type Pair = (String, String);

pub(super) fn run(program: &Path, options: &Options) -> Result<Report> {
    child::run(program, &["verify".into()], Duration::from_secs(30))?;
    let pairs = pairs(program, options)?;
    let cores = Cores::choose()?;
    let placements = placements(cores, options)?;
    let mut groups = conditions(cores, &placements, options);
    let rounds = options.rounds();
    let total = groups.len() * pairs.len() * rounds;
    let time = time_each(options.quick, TIME, total);

    let folder = Folder::new()?;
    let machine = machine::describe();
    let mut progress = Progress::new(total);
    for condition in &mut groups {
        condition.samples = vec![Vec::with_capacity(rounds); pairs.len()];
    }
    let entries = vec![pairs.len(); groups.len()];
    interleave(rounds, &entries, |round, group, number| {
        let (condition, pair) = (&mut groups[group], &pairs[number]);
        progress.step(&format!("round {} of {rounds}, {}, {}", round + 1, condition.name, name(pair)));
        let sample = measure(program, pair, condition, &folder, time)?;
        condition.samples[number].push(sample);
        Ok(())
    })?;
    drop(progress);

    let groups = groups.into_iter().map(|condition| {
        let entries = pairs.iter().map(name).zip(condition.samples);
        Group {
            name: condition.name,
            references: REFERENCES.map(String::from).into(),
            entries: entries.map(|(name, samples)| Entry::new(name, samples)).collect(),
        }
    });
    Ok(Report {
        suite: "duo".into(),
        about: format!(
            "one connection, sequential POST requests with 108 octets of body each way; {rounds} rounds of {} ms; \
             a pair is client → server where they differ; {}",
            time.as_millis(),
            placements.iter().map(|&placement| cores.describe(placement)).collect::<Vec<_>>().join(", ")
        ),
        machine,
        unit: Unit::Microseconds,
        groups: groups.collect(),
    })
}

/// What all pairs are measured under, and what came out.
struct Condition {
    name: String,
    unix: bool,
    client: Option<usize>,
    server: Option<usize>,
    /// For each pair, in nanoseconds a round trip, one a round.
    samples: Vec<Vec<f64>>,
}

fn placements(cores: Cores, options: &Options) -> Result<Vec<Placement>> {
    let chosen = |placement: &&Placement| options.placement.as_deref().is_none_or(|name| name == placement.name());
    let placements: Vec<Placement> = cores.placements().iter().filter(chosen).copied().collect();
    if placements.is_empty() {
        return Err("on one core there is no placement but `same`".into());
    }
    Ok(placements)
}

fn conditions(cores: Cores, placements: &[Placement], options: &Options) -> Vec<Condition> {
    let addresses =
        ["unix", "tcp"].into_iter().filter(|name| options.address.as_deref().is_none_or(|one| one == *name));
    let condition = |address: &str, placement: Placement| {
        let unix = address == "unix";
        let (client, server) = cores.of(placement);
        let socket = if unix { "Unix" } else { "::1" };
        let name = format!("{socket}, {}", placement.name());
        Condition { name, unix, client, server, samples: Vec::new() }
    };
    addresses.flat_map(|address| placements.iter().map(move |&placement| condition(address, placement))).collect()
}

/// The pairs of the command line with the references before them, or else all that the program lists.
fn pairs(program: &Path, options: &Options) -> Result<Vec<Pair>> {
    if !options.pairs.is_empty() {
        let mut pairs: Vec<Pair> = REFERENCES.map(|name| (name.into(), name.into())).into();
        pairs.extend(options.pairs.iter().filter(|pair| !REFERENCES.contains(&name(pair).as_str())).cloned());
        return Ok(pairs);
    }
    let list = child::run(program, &["pairs".into()], Duration::from_secs(10))?;
    let pair = |line: &str| line.split_once(' ').map(|(client, server)| (client.to_owned(), server.to_owned()));
    let pairs: Option<Vec<Pair>> = list.lines().map(pair).collect();
    pairs.ok_or_else(|| format!("degu-bench does not list pairs, but {list:?}").into())
}

fn name((client, server): &Pair) -> String {
    if client == server { client.clone() } else { format!("{client} → {server}") }
}

/// Nanoseconds a round trip of one pair.
fn measure(program: &Path, pair: &Pair, condition: &Condition, folder: &Folder, time: Duration) -> Result<f64> {
    let address = if condition.unix { folder.socket()? } else { "[::1]:0".into() };
    let arguments = |role: &str, contestant: &str, address: &str, core: Option<usize>| {
        let mut arguments = vec![role.to_owned(), contestant.to_owned(), address.to_owned()];
        arguments.extend(core.map(|core| format!("--core={core}")));
        arguments
    };
    let server = Server::start(program, &arguments("server", &pair.1, &address, condition.server))?;
    let mut client = arguments("client", &pair.0, server.address(), condition.client);
    client.push(format!("--millis={}", time.as_millis()));
    let output = server.measure(program, &client, time * 4 + Duration::from_secs(30))?;
    nanoseconds(&client, &output)
}

/// A folder for sockets, gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("degu-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// The address of a Unix socket that does not exist yet.
    fn socket(&self) -> Result<String> {
        let path = self.0.join("socket");
        if path.exists() {
            fs::remove_file(&path)?;
        }
        Ok(format!("unix:{}", path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pairs() {
        assert_eq!(name(&("raw".into(), "raw".into())), "raw");
        assert_eq!(name(&("hyper".into(), "raw".into())), "hyper → raw");
    }
}
