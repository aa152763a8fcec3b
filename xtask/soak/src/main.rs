//! The program of `cargo xtask soak` and `cargo xtask netns`.
//!
//! A soak is a mixed load under many faults at the same time. Servers, clients and the relays between them run in one
//! process. Every body is compared byte by byte. The counts of the servers are compared with the counts of the clients.
//! At the end, the process must not hold more resources than after the warm-up.
//!
//! | file | content |
//! | --- | --- |
//! | `run.rs`, `worker.rs` | the order of a run; the loop of a worker |
//! | `servers.rs`, `app.rs` | the servers, their addresses and options; their app |
//! | `exchange.rs`, `clients.rs` | an exchange, its outcomes and its generated bodies; both clients |
//! | `faults.rs` | the faults of connections; the faults of the process |
//! | `tally.rs`, `report.rs` | the counts; their comparison, and the search for leaks |
//! | `netns.rs` | the server and the clients of `cargo xtask netns` |

mod app;
#[path = "../../bench/src/blocking_socket.rs"]
mod blocking_socket;
mod clients;
mod exchange;
mod faults;
mod netns;
mod report;
mod run;
mod servers;
mod tally;
mod worker;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use peak_alloc::PeakAlloc;

/// The allocator that counts the allocated bytes. The count is exact if no connection is open. The resident memory of
/// the process would show only large leaks.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The default duration, in which each kind of fault happens several times.
const TIME: Duration = Duration::from_secs(60);

const USAGE: &str = "usage: cargo xtask soak [SECONDS] [--seed N]";

fn main() -> ExitCode {
    match run_command(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("degu-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(mut arguments: Parser) -> Result {
    // The default seed is a small number, so that a developer can type it again.
    let (mut words, mut seed) = (Vec::new(), fastrand::u64(..1_000_000));
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(word) => words.push(word.string()?),
            Arg::Long("seed") => seed = arguments.value()?.parse()?,
            other => return Err(format!("{}; {USAGE}", other.unexpected()).into()),
        }
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["server", address] => netns::serve(address.parse()?),
        ["exchanges", address] => netns::perform_exchanges(address.parse()?),
        ["stall", way, client, address] => netns::stall(way, client, address.parse()?),
        [] => run::soak(TIME, seed),
        [seconds] => run::soak(Duration::from_secs(seconds.parse()?), seed),
        _ => Err(USAGE.into()),
    }
}
