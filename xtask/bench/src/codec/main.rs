//! The codecs of `cargo xtask bench wire`: Degu's, httparse, picohttpparser, and the plain copies that are their floor,
//! each doing the same work in a loop.
//!
//! `cargo xtask bench` builds and runs this program, twice because httparse has two builds. It can be run by hand as well:
//!
//! ```text
//! degu-bench-codec list                                   a line for each: TASK, CONTESTANT, API, separated by tabs
//! degu-bench-codec run TASK CONTESTANT [--core N] --millis N    prints `TIMES NANOSECONDS`
//! degu-bench-codec run TASK CONTESTANT --times N          does it so many times, for a counter of instructions
//! ```
//!
//! Each contestant checks once, before it is measured, that it understands or makes what all others do.

mod chunks;
mod encode;
mod heads;
mod inputs;

// Shared with the contestants that talk over sockets.
#[path = "../core.rs"]
mod core;
#[path = "../measure.rs"]
mod measure;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

/// What every part of this program returns: a fault is printed and ends the process.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Does its work as many times as it is told.
type Run = Box<dyn FnMut(u64) -> Result>;

/// One contestant at one task.
struct Entry {
    task: &'static str,
    contestant: &'static str,
    /// Which functions of the contestant are called.
    api: &'static str,
    /// Allocates what the work needs, and checks that it is done right.
    prepare: fn() -> Result<Run>,
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    [heads::ENTRIES, chunks::ENTRIES, encode::ENTRIES].into_iter().flatten()
}

fn main() -> ExitCode {
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("degu-bench-codec: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Parser) -> Result {
    let mut words = Vec::new();
    let (mut times, mut millis) = (None, 100);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(word) => words.push(word.string()?),
            Arg::Long("core") => core::pin(&[arguments.value()?.parse()?])?,
            Arg::Long("millis") => millis = arguments.value()?.parse()?,
            Arg::Long("times") => times = Some(arguments.value()?.parse::<u64>()?),
            other => return Err(other.unexpected().into()),
        }
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            let mut out = io::stdout().lock();
            for Entry { task, contestant, api, .. } in entries() {
                writeln!(out, "{task}\t{contestant}\t{api}")?;
            }
            Ok(())
        }
        ["run", task, contestant] => {
            let entry = entries().find(|entry| (entry.task, entry.contestant) == (task, contestant));
            let entry = entry.ok_or_else(|| format!("nobody is called {contestant} in {task}"))?;
            let mut run = (entry.prepare)()?;
            if let Some(times) = times {
                return run(times);
            }
            let (times, time) = measure::measure(run, Duration::from_millis(millis))?;
            println!("{times} {}", time.as_nanos());
            Ok(())
        }
        _ => Err("usage: degu-bench-codec list | run TASK CONTESTANT".into()),
    }
}

/// `Ok` if a contestant understood what it should have.
fn check(holds: bool) -> Result {
    if holds { Ok(()) } else { Err("does not do what the others do".into()) }
}
