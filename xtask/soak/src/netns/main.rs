//! Both ends of `cargo xtask netns`, each for a namespace of its own.
//!
//! ```text
//! degu-netns server ADDRESS               prints `listening on ADDRESS`, serves until stdin ends
//! degu-netns exchanges ADDRESS            exchanges of each kind with both clients; what is wrong is an error
//! degu-netns stall WAY CLIENT ADDRESS     prints `begun`, and `MILLISECONDS ERROR` once the exchange has failed
//! degu-netns last ADDRESS                 prints how such exchanges ended for the server
//! ```
//!
//! `WAY` is `upload` or `download`, `CLIENT` is `async` or `blocking`. The milliseconds are those from the last byte that
//! got on to the error.

mod client;
mod server;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The result of every part of this program: a fault is printed and ends the process.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The longest time that either end waits for bytes. `cargo xtask netns` knows it too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

const USAGE: &str = "usage: degu-netns server ADDRESS | exchanges ADDRESS | stall WAY CLIENT ADDRESS | last ADDRESS";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("degu-netns: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", address] => server::run(address.parse()?),
        ["exchanges", address] => client::exchanges(address.parse()?),
        ["stall", way, "async", address] => client::stall(way, address.parse()?),
        ["stall", way, "blocking", address] => client::stall_blocking(way, address.parse()?),
        ["last", address] => client::last(address.parse()?),
        _ => Err(USAGE.into()),
    }
}

/// Writes a line to stdout and flushes it.
pub(crate) fn say(line: &str) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
