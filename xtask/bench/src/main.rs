//! The contestants of `cargo xtask bench`, each a client, a server, or both, which all speak the same bytes.
//!
//! `cargo xtask bench` builds this program and runs it as the two ends of every measurement, so that each end is a
//! process of its own. It can be run by hand as well:
//!
//! ```text
//! degu-bench pairs                                          the pairs that are measured by default
//! degu-bench verify                                         do all contestants send the same bytes?
//! degu-bench server CONTESTANT ADDRESS [--core N]           prints `listening on ADDRESS`, serves until stdin ends
//! degu-bench client CONTESTANT ADDRESS [--core N] --millis N    prints `TRIPS NANOSECONDS`
//! degu-bench client CONTESTANT ADDRESS [--core N] --trips N     so many and no more, for a counter of instructions or calls
//! ```
//!
//! `ADDRESS` is `unix:PATH`, or an IP address with a port. `--core` pins the process to one core.

mod contestants;
mod core;
mod measure;
mod message;
mod socket;
mod verify;

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::contestants::Contestant;
use crate::socket::Address;

/// What every part of this program returns: a fault is printed and ends the process.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("degu-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Parser) -> Result {
    let mut words = Vec::new();
    let (mut core, mut trips, mut millis) = (None, None, 300);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(word) => words.push(word.string()?),
            Arg::Long("core") => core = Some(arguments.value()?.parse::<usize>()?),
            Arg::Long("trips") => trips = Some(arguments.value()?.parse::<u64>()?),
            Arg::Long("millis") => millis = arguments.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(core) = core {
        core::pin(core)?;
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pairs"] => {
            for (client, server) in contestants::PAIRS {
                println!("{client} {server}");
            }
            Ok(())
        }
        ["verify"] => verify::verify(),
        ["server", name, address] => serve(contestants::find(name)?, &address.parse()?),
        ["client", name, address] => {
            let connect = contestants::find(name)?.client.ok_or_else(|| format!("{name} has no client"))?;
            let mut client = connect(&address.parse()?)?;
            if let Some(trips) = trips {
                return client.trips(trips);
            }
            let (trips, time) = measure::measure(|count| client.trips(count), Duration::from_millis(millis))?;
            println!("{trips} {}", time.as_nanos());
            Ok(())
        }
        _ => Err("usage: degu-bench pairs | verify | server CONTESTANT ADDRESS | client CONTESTANT ADDRESS".into()),
    }
}

fn serve(contestant: &Contestant, address: &Address) -> Result {
    let server = contestant.server.ok_or_else(|| format!("{} has no server", contestant.name))?;
    // Whoever started this process holds the other end of stdin: when that process is gone, however it went, so is
    // this one.
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    server(address, &mut |bound| {
        let mut out = io::stdout().lock();
        writeln!(out, "listening on {bound}")?;
        out.flush()?;
        Ok(())
    })
}
