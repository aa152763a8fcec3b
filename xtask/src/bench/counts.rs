//! The suite `counts`: what a round trip costs each side in instructions, system calls and allocations, which no other
//! load on the machine disturbs. The difference of a long and a short run has nothing but the trips in it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use super::progress::Progress;
use super::report::{Entry, Group, Report};
use super::stage::Stage;
use super::tools::Tool;
use super::unit::Unit;
use crate::Result;
use crate::child::{self, Server};

/// Trips of the short and of the long run.
const FEW: u64 = 100;
const MANY: u64 = 600;

/// How long a program may take under a tool to start, to make its trips, and to end.
const LIMIT: Duration = Duration::from_secs(120);

/// The other end of each that is counted.
const PEER: &str = "raw";

/// And the other end of those whose names end so: no head that it sends is the one before it again.
const VARIED_PEER: &str = "raw-varied";
const VARIED: &str = ", heads that change";

/// What the others are compared with.
const REFERENCE: &str = "hyper";

/// Those that are counted. Polling makes as many calls as it has time for, so that ours are counted without.
const CLIENTS: [&str; 8] = [
    "raw",
    "raw-tokio",
    "httparse",
    REFERENCE,
    "degu-off",
    "degu-off, heads that change",
    "degu-blocking-off",
    "degu-blocking-off, heads that change",
];
const SERVERS: [&str; 6] = ["raw", "raw-tokio", "httparse", REFERENCE, "degu-off", "degu-off, heads that change"];

/// Those of a quick run.
const QUICK: [&str; 3] = [REFERENCE, "degu-off", "degu-blocking-off"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// A group of the report.
#[derive(Clone, Copy, Debug)]
struct Count {
    name: &'static str,
    tool: Tool,
    side: Side,
    /// With 2 ms between two trips.
    pause: bool,
}

const COUNTS: [Count; 8] = [
    Count { name: "instructions, client", tool: Tool::Callgrind, side: Side::Client, pause: false },
    Count { name: "instructions, server", tool: Tool::Callgrind, side: Side::Server, pause: false },
    Count { name: "allocations, client", tool: Tool::Memcheck, side: Side::Client, pause: false },
    Count { name: "allocations, server", tool: Tool::Memcheck, side: Side::Server, pause: false },
    Count { name: "system calls, client", tool: Tool::Strace, side: Side::Client, pause: false },
    Count { name: "system calls, server", tool: Tool::Strace, side: Side::Server, pause: false },
    Count { name: "system calls, client, 2 ms apart", tool: Tool::Strace, side: Side::Client, pause: true },
    Count { name: "system calls, server, 2 ms apart", tool: Tool::Strace, side: Side::Server, pause: true },
];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let mut notes = Vec::new();
    for (tool, name) in [(Tool::Callgrind, "valgrind"), (Tool::Strace, "strace")] {
        if !tool.is_there() {
            notes.push(format!("without {name}, which is not installed"));
        }
    }
    let counts: Vec<Count> = COUNTS.into_iter().filter(|count| count.tool.is_there()).collect();
    let quick = stage.options.quick;
    let takes_part = |name: &&str| !quick || QUICK.contains(name);
    let jobs: Vec<(usize, &str)> = counts
        .iter()
        .enumerate()
        .flat_map(|(number, count)| {
            let all = if count.side == Side::Client { &CLIENTS[..] } else { &SERVERS };
            // They make no other calls and allocations.
            let counts = |name: &&str| count.tool == Tool::Callgrind || !name.ends_with(VARIED);
            all.iter().copied().filter(takes_part).filter(counts).map(move |name| (number, name))
        })
        .collect();
    let counted = count_all(stage, &counts, &jobs)?;
    let mut groups: Vec<Group> = Vec::new();
    for (number, count) in counts.iter().enumerate() {
        let mut entries = Vec::new();
        for ((_, name), outcome) in jobs.iter().zip(&counted).filter(|((of, _), _)| *of == number) {
            match outcome {
                Ok(count) => entries.push(Entry::new((*name).into(), vec![*count])),
                Err(error) => notes.push(format!("{}, {name} failed: {error}", count.name)),
            }
        }
        groups.push(Group { name: count.name.into(), unit: Unit::Count, references: vec![REFERENCE.into()], entries });
    }
    Ok(Report {
        suite: "counts".into(),
        about: format!(
            "a POST round trip over a Unix socket, each side beside blocking sockets without HTTP on the other; the \
             difference of {MANY} and {FEW} trips; instructions in user space"
        ),
        failures: counted.iter().filter(|outcome| outcome.is_err()).count(),
        notes,
        groups,
    })
}

/// Counts do not disturb each other, so that some are taken at once.
fn count_all(stage: &Stage<'_>, counts: &[Count], jobs: &[(usize, &str)]) -> Result<Vec<Result<f64>>> {
    let (program, folder) = (stage.program()?, stage.folder());
    let next = AtomicUsize::new(0);
    let progress = Mutex::new(Progress::new(jobs.len()));
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some((number, (count, name))) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(number).map(|(count, name)| (number, (&counts[*count], *name)))
        } {
            let what = format!("counts, {}, {name}", count.name);
            progress.lock().unwrap_or_else(PoisonError::into_inner).step(&what);
            let outcome = per_trip(program, folder, number, count, name);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(number, _)| *number);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

fn per_trip(program: &Path, folder: &Path, number: usize, count: &Count, name: &str) -> Result<f64> {
    let (few, many) = (run_counted(program, folder, number, count, name, FEW)?, {
        run_counted(program, folder, number, count, name, MANY)?
    });
    Ok(many.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

/// Runs both ends, one of them under the tool, and returns its count.
fn run_counted(program: &Path, folder: &Path, number: usize, count: &Count, name: &str, trips: u64) -> Result<u64> {
    let file = |kind: &str| folder.join(format!("count-{number}-{trips}.{kind}")).display().to_string();
    let (socket, answer) = (file("socket"), file("log"));
    let counted = |words: &[String]| {
        let (tool, mut arguments) = count.tool.command(&answer);
        arguments.push(program.display().to_string());
        arguments.extend_from_slice(words);
        (Path::new(tool), arguments)
    };
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<String>>();
    let listening = |line: &str| line.strip_prefix("listening on ").map(str::to_owned);
    let address = format!("unix:{socket}");
    let (name, peer) = name.strip_suffix(VARIED).map_or((name, PEER), |name| (name, VARIED_PEER));
    let (server, client) = if count.side == Side::Server { (name, peer) } else { (peer, name) };
    let mut client_words = words(&["client", client, &address, &format!("--trips={trips}")]);
    client_words.extend(count.pause.then(|| "--pause".into()));
    let server_words = words(&["server", server, &address]);
    if count.side == Side::Server {
        let (tool, arguments) = counted(&server_words);
        let server = Server::start_within(tool, &arguments, LIMIT, listening)?;
        child::run(program, &client_words, LIMIT)?;
        server.end(LIMIT)?;
    } else {
        let _server = Server::start(program, &server_words)?;
        let (tool, arguments) = counted(&client_words);
        child::run(tool, &arguments, LIMIT)?;
    }
    let answer = fs::read_to_string(&answer)?;
    count.tool.count(&answer).ok_or_else(|| format!("{:?} does not say a count, but {answer:?}", count.tool).into())
}
