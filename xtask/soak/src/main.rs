//! `cargo xtask soak`: a mixed load with faults of all kinds at once, and a check of everything that comes of it.
//!
//! Servers, clients and the relays between them are one process. Every body is checked to the byte, what the servers count is
//! compared with what the clients count, and at the end the process must hold no more than it held after warming up.
//!
//! | file | its job |
//! | --- | --- |
//! | `target.rs`, `content.rs` | the servers and their addresses; bodies that both ends can make from a number |
//! | `serve.rs`, `app.rs` | starts the servers; what they serve, and what their apps count |
//! | `ask.rs`, `ends.rs`, `work.rs` | an exchange and its right outcome, both clients, and which worker asks what |
//! | `relay.rs` | faults between client and server |
//! | `mischief.rs`, `held.rs` | faults of the process: descriptors, certificates; what it holds |
//! | `tally.rs`, `run.rs`, `verdict.rs` | what is counted, the order of a run, and what was wrong |

mod app;
mod ask;
mod content;
mod ends;
mod held;
mod mischief;
mod relay;
mod run;
mod serve;
mod tally;
mod target;
mod verdict;
mod work;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use peak_alloc::PeakAlloc;

/// Counts what is allocated. What is left when no connection is open is known to the byte, while the process's resident
/// memory shows a leak only once it is large.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The result of every part of this program: the error is printed, and the exit code is 1.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Long enough for each kind of fault to come a few times.
const SECONDS: u64 = 60;

fn main() -> ExitCode {
    match arguments().and_then(|(time, seed)| run::run(time, seed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("degu-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads `[SECONDS] [--seed N]`. A seed of its own is short enough to be typed again.
fn arguments() -> Result<(Duration, u64)> {
    let (mut seconds, mut seed, mut arguments) = (SECONDS, fastrand::u64(..1_000_000), Parser::from_env());
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(word) => seconds = word.parse()?,
            Arg::Long("seed") => seed = arguments.value()?.parse()?,
            other => return Err(format!("{}; usage: cargo xtask soak [SECONDS] [--seed N]", other.unexpected()).into()),
        }
    }
    Ok((Duration::from_secs(seconds), seed))
}
