//! The program of `cargo xtask soak`: everything that can go wrong at once, and a count of what did.
//!
//! One process has the clients, and starts another one with the servers. It can be run by hand as well:
//!
//! ```text
//! degu-soak [SECONDS] [--seed N]          the soak
//! degu-soak server FOLDER TARGET...       serves until stdin ends; FOLDER has the files of a temporary PKI
//! ```
//!
//! | file | what it is about |
//! | --- | --- |
//! | `target.rs`, `content.rs` | the servers and their addresses; bodies that both ends can make |
//! | `serve.rs`, `app.rs`, `control.rs` | the server's process, what it serves, and how it is told and asked |
//! | `ask.rs`, `ends.rs`, `work.rs` | an exchange with what must come of it, both clients, and who asks when |
//! | `raw.rs`, `socket.rs` | octets that no client of ours would send: pipelines, and requests that must be refused |
//! | `relay.rs` | faults between client and server |
//! | `mischief.rs`, `process.rs` | faults of processes: descriptors, certificates; what a process holds |
//! | `tally.rs`, `run.rs`, `verdict.rs` | what is counted, the order of a run, and what was wrong |

mod app;
mod ask;
mod content;
mod control;
mod ends;
mod mischief;
mod process;
mod raw;
mod relay;
mod run;
mod serve;
mod socket;
mod tally;
mod target;
mod verdict;
mod work;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use lexopt::{Arg, Parser, ValueExt};
use peak_alloc::PeakAlloc;

/// Counts what is allocated: what is left when nothing goes on is known to the octet, where the memory that the system
/// gave shows a leak only once it is large.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What every part of this program returns: a fault is printed and ends the process.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: cargo xtask soak [SECONDS] [--seed N]";

/// Long enough for each kind of fault to come a few times.
const SECONDS: u64 = 60;

fn main() -> ExitCode {
    match dispatch(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("degu-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut arguments: Parser) -> Result {
    let (mut words, mut seed) = (Vec::new(), None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(word) => words.push(word.string()?),
            Arg::Short('h') | Arg::Long("help") => {
                println!("{USAGE}");
                return Ok(());
            }
            Arg::Long("seed") => seed = Some(arguments.value()?.parse()?),
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run::run(Duration::from_secs(SECONDS), seed.unwrap_or_else(any_seed)),
        ["server", folder, ref targets @ ..] => serve::run(Path::new(folder), targets),
        [seconds] => run::run(Duration::from_secs(seconds.parse()?), seed.unwrap_or_else(any_seed)),
        _ => Err(USAGE.into()),
    }
}

/// Short enough to be typed again.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) % 1_000_000
}
