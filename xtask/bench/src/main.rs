//! The contestants of `cargo xtask bench`, each a client, a server, or both, which all speak the same bytes.
//!
//! `cargo xtask bench` builds this program and runs it as the ends of every measurement, so that each end is a process of
//! its own. It can be run by hand as well:
//!
//! ```text
//! degu-bench pairs                                  the pairs that are measured by default
//! degu-bench verify                                 do all contestants send the same bytes?
//! degu-bench pki                                    makes certificates, prints `listening on FOLDER`, until stdin ends
//! degu-bench server CONTESTANT ADDRESS              prints `listening on ADDRESS`, serves one connection after the
//!                                                   other until stdin ends
//! degu-bench crowd CONTESTANT ADDRESS [--flush]     as `server`, many connections at once, on `--threads`
//! degu-bench client CONTESTANT ADDRESS              prints `TRIPS NANOSECONDS`
//! degu-bench client CONTESTANT ADDRESS --trips N    so many and no more, for a counter of instructions or calls;
//!                                                   `--pause` rests 2 ms after each
//! degu-bench paced CONTESTANT ADDRESS               one trip every 10 ms for `--millis`, prints `1 NANOSECONDS`: what 99
//!                                                   of 100 trips stay within
//! degu-bench connect CONTESTANT ADDRESS             prints `CONNECTIONS NANOSECONDS`, from `--threads` at once
//! degu-bench load ADDRESS --connections N --depth N prints `REQUESTS NANOSECONDS`, from `--threads`
//! degu-bench hold ADDRESS --connections N           prints `listening on N`, keeps them open until stdin ends
//! degu-bench stream CONTESTANT ADDRESS              as `server`, for large bodies
//! degu-bench fetch CONTESTANT ADDRESS TARGET        prints `OCTETS NANOSECONDS`; `/length/N` or `/chunks/N` are N times
//!                                                   64 KiB
//! degu-bench busy                                   keeps a core busy until stdin ends, prints `listening on nothing`
//! ```
//!
//! `ADDRESS` is `unix:PATH`, `unix:@NAME`, or an IP address with a port. All but the first three take `--cores N,N`, which
//! pins the process, and `--pki FOLDER`, with which they speak TLS. `--millis N` says how long a client measures. Ours take
//! `--polling off|adaptive|MICROSECONDS`; `-off` after their name is off in any case.

mod connect;
mod contestants;
mod core;
mod hold;
mod load;
mod measure;
mod message;
mod paced;
mod setup;
mod socket;
mod stream;
mod tls;
mod verify;

use std::error::Error;
use std::fmt::Display;
use std::hint;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use degu_misc::TempPki;
use degu_server::Spin;
use lexopt::{Arg, Parser, ValueExt};

use crate::contestants::Server;
use crate::setup::Setup;
use crate::stream::Wanted;

/// What every part of this program returns: a fault is printed and ends the process.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How long a client rests between trips that are to find the server asleep.
const PAUSE: Duration = Duration::from_millis(2);
fn main() -> ExitCode {
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("degu-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is on the command line beside the words.
struct Options {
    cores: Option<Vec<usize>>,
    trips: Option<u64>,
    pause: bool,
    time: Duration,
    pki: Option<PathBuf>,
    threads: usize,
    flush: bool,
    polling: Spin,
    connections: usize,
    depth: usize,
}

impl Options {
    fn parse(mut arguments: Parser) -> Result<(Vec<String>, Self)> {
        let mut words = Vec::new();
        let mut options = Self {
            cores: None,
            trips: None,
            pause: false,
            time: Duration::from_millis(300),
            pki: None,
            threads: 1,
            flush: false,
            polling: Spin::default(),
            connections: 1,
            depth: 1,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(word) => words.push(word.string()?),
                Arg::Long("cores") => {
                    let cores = arguments.value()?.string()?;
                    options.cores = Some(cores.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?);
                }
                Arg::Long("trips") => options.trips = Some(arguments.value()?.parse()?),
                Arg::Long("pause") => options.pause = true,
                Arg::Long("millis") => options.time = Duration::from_millis(arguments.value()?.parse()?),
                Arg::Long("pki") => options.pki = Some(arguments.value()?.into()),
                Arg::Long("threads") => options.threads = arguments.value()?.parse::<usize>()?.max(1),
                Arg::Long("polling") => options.polling = polling(&arguments.value()?.string()?)?,
                Arg::Long("flush") => options.flush = true,
                Arg::Long("connections") => options.connections = arguments.value()?.parse::<usize>()?.max(1),
                Arg::Long("depth") => options.depth = arguments.value()?.parse::<usize>()?.max(1),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok((words, options))
    }

    /// The setup of a contestant of this name.
    fn setup(&self, name: &str, address: &str) -> Result<Setup> {
        let &Self { threads, flush, polling, .. } = self;
        let polling = if name.ends_with(contestants::OFF) { Spin::Off } else { polling };
        Ok(Setup { address: address.parse()?, pki: self.pki.clone(), threads, flush, polling })
    }
}

fn run(arguments: Parser) -> Result {
    let (words, options) = Options::parse(arguments)?;
    if let Some(cores) = &options.cores {
        core::pin(cores)?;
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pairs"] => {
            for (client, server) in contestants::PAIRS {
                println!("{client} {server}");
            }
            Ok(())
        }
        ["verify"] => verify::verify(),
        ["pki"] => {
            let pki = TempPki::new();
            announce(pki.folder().display())?;
            until_stdin_ends();
            Ok(())
        }
        ["server", name, address] => serve(contestants::find(name)?.server, name, &options.setup(name, address)?),
        ["stream", name, address] => serve(contestants::find(name)?.stream, name, &options.setup(name, address)?),
        ["fetch", name, address, target] => {
            let wanted = Wanted::parse(target).ok_or("a target is /length/N or /chunks/N")?;
            print(stream::fetch(contestants::find(name)?, &options.setup(name, address)?, wanted)?);
            Ok(())
        }
        ["busy"] => {
            announce("nothing")?;
            end_with_stdin();
            loop {
                hint::spin_loop();
            }
        }
        ["crowd", name, address] => serve(contestants::find(name)?.crowd, name, &options.setup(name, address)?),
        ["client", name, address] => {
            let mut client = contestants::find(name)?.dial(&options.setup(name, address)?)?()?;
            if let Some(trips) = options.trips {
                for _ in 0..if options.pause { trips } else { 1 } {
                    client.trips(if options.pause { 1 } else { trips })?;
                    if options.pause {
                        thread::sleep(PAUSE);
                    }
                }
            } else {
                print(measure::measure(|count| client.trips(count), options.time)?);
            }
            client.close()
        }
        ["paced", name, address] => {
            let mut client = contestants::find(name)?.dial(&options.setup(name, address)?)?()?;
            print((1, paced::paced(&mut *client, options.time)?));
            client.close()
        }
        ["connect", name, address] => {
            print(connect::connect(contestants::find(name)?, &options.setup(name, address)?, options.time)?);
            Ok(())
        }
        ["load", address] => {
            print(load::load(&options.setup("", address)?, options.connections, options.depth, options.time)?);
            Ok(())
        }
        ["hold", address] => {
            setup::raise_descriptors()?;
            let _held = hold::hold(&options.setup("", address)?, options.connections)?;
            announce(options.connections)?;
            until_stdin_ends();
            Ok(())
        }
        _ => Err(
            "usage: degu-bench pairs | verify | pki | server CONTESTANT ADDRESS | crowd CONTESTANT ADDRESS | client \
                  CONTESTANT ADDRESS | paced CONTESTANT ADDRESS | connect CONTESTANT ADDRESS | load ADDRESS \
                  | hold ADDRESS | stream CONTESTANT ADDRESS | fetch CONTESTANT ADDRESS TARGET | busy"
                .into(),
        ),
    }
}

fn polling(text: &str) -> Result<Spin> {
    Ok(match text {
        "off" => Spin::Off,
        "adaptive" => Spin::Adaptive,
        micros => Spin::Fixed(Duration::from_micros(micros.parse()?)),
    })
}

fn serve(server: Option<Server>, name: &str, setup: &Setup) -> Result {
    let server = server.ok_or_else(|| format!("{name} has no such server"))?;
    setup::raise_descriptors()?;
    end_with_stdin();
    server(setup, &mut announce)
}

/// Ends this process when stdin does.
fn end_with_stdin() {
    thread::spawn(|| {
        until_stdin_ends();
        std::process::exit(0);
    });
}

/// Whoever started this process holds the other end of stdin: when that process is gone, however it went, so is this one.
fn until_stdin_ends() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

fn announce(what: impl Display) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {what}")?;
    out.flush()?;
    Ok(())
}

fn print((count, time): (u64, Duration)) {
    println!("{count} {}", time.as_nanos());
}
