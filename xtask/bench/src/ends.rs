//! The ends of a measurement, each a process of its own: `degu-bench end ROLE ...`, which the suites start. It can be run by
//! hand as well, under a profiler for instance.
//!
//! ```text
//! pki                           makes certificates, prints `listening on FOLDER`
//! serve CONTESTANT ADDRESS      serves connections, on --threads
//! client CONTESTANT ADDRESS     prints `TRIPS NANOSECONDS`; with --trips makes so many and no more
//! connect CONTESTANT ADDRESS    prints `CONNECTIONS NANOSECONDS`, from --threads at once
//! fetch CONTESTANT ADDRESS TARGET     prints `BYTES NANOSECONDS`; /length/N and /chunks/N are N times 64 KiB
//! load ADDRESS                  prints `REQUESTS NANOSECONDS`, over --connections, --depth requests at once, on --threads
//! hold ADDRESS                  keeps --connections open after one request on each
//! busy                          keeps a core busy
//! codec TASK CONTESTANT         prints `TIMES NANOSECONDS`, or does it --trips times
//! ```
//!
//! An end that serves, holds connections or keeps cores busy first prints `listening on ADDRESS`. It ends at EOF on
//! stdin.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use degu_misc::TempPki;
use degu_server::Spin;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::contestants::{Setup, client_runtime, dial, find, split};
use crate::message::{Get, get};
use crate::socket::{Stream, connect_tokio};
use crate::{Result, codec};

/// The most connections that one thread makes, because the kernel keeps the port of each for a minute.
const MOST: u64 = 10_000;

#[derive(Clone, Debug, Parser)]
pub(crate) struct End {
    words: Vec<String>,
    /// Pins the process to these cores.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    /// The duration of the measurement.
    #[arg(long, default_value_t = 300)]
    millis: u64,
    #[arg(long)]
    trips: Option<u64>,
    /// The folder of certificates, for TLS.
    #[arg(long)]
    pki: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// The way in which Degu's ends wait: off, adaptive, or spinning for a number of microseconds.
    #[arg(long, value_parser = spin, default_value = "adaptive")]
    spin: Spin,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    depth: usize,
}

/// Parses the way in which Degu's ends wait.
pub(crate) fn spin(text: &str) -> std::result::Result<Spin, std::num::ParseIntError> {
    Ok(match text {
        "off" => Spin::Off,
        "adaptive" => Spin::Adaptive,
        micros => Spin::Fixed(Duration::from_micros(micros.parse()?)),
    })
}

pub(crate) fn run(end: &End) -> Result {
    if !end.cores.is_empty() {
        let mut set = CpuSet::new();
        end.cores.iter().for_each(|core| set.set(*core));
        sched_setaffinity(None, &set)?;
    }
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let setup = |name: &str, address: &str| {
        let spin = split(name).1.unwrap_or(end.spin);
        Setup { address: address.to_owned(), pki: end.pki.clone(), threads: end.threads, spin }
    };
    let time = Duration::from_millis(end.millis);
    let figures = match end.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pki"] => {
            let pki = TempPki::new();
            announce(pki.folder().display())?;
            until_stdin_ends();
            return Ok(());
        }
        ["serve", name, address] => {
            end_with_stdin();
            let server = find(name)?.server.ok_or_else(|| format!("{name} has no server"))?;
            return server(&setup(name, address), &mut |address| announce(address));
        }
        ["busy"] => {
            announce("nothing")?;
            end_with_stdin();
            loop {
                std::hint::spin_loop();
            }
        }
        ["hold", address] => {
            let _held = client_runtime(false)?.block_on(hold(&setup("", address), end.connections))?;
            announce(end.connections)?;
            until_stdin_ends();
            return Ok(());
        }
        ["client", name, address] => {
            let mut client = dial(name, &setup(name, address))?()?;
            let figures = match end.trips {
                Some(trips) => {
                    client.trips(trips)?;
                    (trips, Duration::ZERO)
                }
                None => measure(|count| client.trips(count), time)?,
            };
            client.close()?;
            figures
        }
        ["connect", name, address] => at_once(end.threads, |_| connect(name, &setup(name, address), time))?,
        ["fetch", name, address, target] => {
            let mut client = dial(name, &setup(name, address))?()?;
            client.fetch(if target.contains("chunks") { "/chunks/16" } else { "/length/16" })?;
            let start = Instant::now();
            (client.fetch(target)?, start.elapsed())
        }
        ["load", address] => at_once(end.threads.min(end.connections), |number| {
            let share = end.connections / end.threads + usize::from(number < end.connections % end.threads);
            client_runtime(false)?.block_on(load(address, share.max(1), end.depth, time))
        })?,
        ["codec", task, contestant] => {
            let mut run = codec::find(task, contestant)?;
            match end.trips {
                Some(trips) => (trips, codec::repeat(&mut run, trips)?),
                None => measure(|count| codec::repeat(&mut run, count).map(drop), time)?,
            }
        }
        _ => return Err("no such end; xtask/bench/src/ends.rs lists them".into()),
    };
    println!("{} {}", figures.0, figures.1.as_nanos());
    Ok(())
}

/// Ends this process at EOF on stdin.
fn end_with_stdin() {
    thread::spawn(|| {
        until_stdin_ends();
        std::process::exit(0);
    });
}

/// The parent process holds the other end of stdin. When the parent ends, in whichever way, this process ends too.
fn until_stdin_ends() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

fn announce(what: impl Display) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {what}")?;
    Ok(out.flush()?)
}

/// Warms up for a quarter of `time`, then runs for about `time`. Returns the number of runs and the time that they
/// took.
///
/// The clock is read once for each batch, which takes a twentieth of `time`. So reading it costs nothing in comparison.
fn measure(mut run: impl FnMut(u64) -> Result, time: Duration) -> Result<(u64, Duration)> {
    let (mut batch, start) = (8, Instant::now());
    while start.elapsed() < time / 4 {
        let before = Instant::now();
        run(batch)?;
        let took = before.elapsed().max(Duration::from_nanos(1));
        let fitting = (time / 20).as_nanos() * u128::from(batch) / took.as_nanos();
        // The first batches are slow, so the size grows step by step.
        batch = (fitting as u64).clamp(4, batch * 4);
    }
    let (mut times, start) = (0, Instant::now());
    while start.elapsed() < time {
        run(batch)?;
        times += batch;
    }
    Ok((times, start.elapsed()))
}

/// Runs on this number of threads. Returns the sum of their results, and the time of the slowest thread.
fn at_once(threads: usize, run: impl Fn(usize) -> Result<(u64, Duration)> + Sync) -> Result<(u64, Duration)> {
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads.max(1))
            .map(|number| {
                scope.spawn({
                    let run = &run;
                    move || run(number)
                })
            })
            .collect();
        started.into_iter().try_fold((0, Duration::ZERO), |(all, longest), thread| {
            let (count, time) = thread.join().map_err(|_| "a thread panicked")??;
            Ok((all + count, longest.max(time)))
        })
    })
}

/// Makes connections one after the other, with one request on each.
fn connect(name: &str, setup: &Setup, time: Duration) -> Result<(u64, Duration)> {
    let mut dial = dial(name, setup)?;
    let mut once = || {
        let mut client = dial()?;
        client.trips(1)?;
        client.close()
    };
    once()?;
    let (mut count, start) = (0, Instant::now());
    while start.elapsed() < time && count < MOST {
        once()?;
        count += 1;
    }
    Ok((count, start.elapsed()))
}

/// Opens this number of connections, and sends one request on each.
async fn hold(setup: &Setup, connections: usize) -> Result<Vec<Stream>> {
    let (tls, mut held) = (setup.connector()?, Vec::new());
    for number in 0..connections {
        let mut stream = connect_tokio(&setup.address, &tls).await?;
        ask_once(&mut stream, get(number)).await?;
        held.push(stream);
    }
    Ok(held)
}

/// Makes one request, which is answered with its target, and returns the length of the response's head.
async fn ask_once(stream: &mut Stream, get: &Get) -> Result<usize> {
    stream.write_all(&get.request).await?;
    stream.flush().await?;
    let mut received = Vec::new();
    while !received.ends_with(get.target.as_bytes()) {
        if stream.read_buf(&mut received).await? == 0 {
            return Err("the server closed a connection".into());
        }
    }
    Ok(received.len() - get.target.len())
}

/// Sends this number of requests at once on each connection. When all are answered, it sends the same number again.
async fn load(address: &str, connections: usize, depth: usize, time: Duration) -> Result<(u64, Duration)> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(connect_tokio(address, &None).await?);
    }
    let start = Instant::now();
    let tasks: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(ask(stream, depth, start + time))).collect();
    let mut all = 0;
    for task in tasks {
        all += task.await??;
    }
    Ok((all, start.elapsed()))
}

async fn ask(mut stream: Stream, depth: usize, end: Instant) -> Result<u64> {
    let (mut buffer, mut requests, mut next) = (vec![0; 64 * 1024], Vec::new(), 1);
    let head = ask_once(&mut stream, get(0)).await?;
    // At least once, even if the other threads have delayed this thread.
    while next == 1 || Instant::now() < end {
        let (batch, mut wanted) = (next..next + depth, 0);
        requests.clear();
        for get in batch.clone().map(get) {
            requests.extend_from_slice(&get.request);
            wanted += head + get.target.len();
        }
        stream.write_all(&requests).await?;
        while wanted > 0 {
            match stream.read(&mut buffer).await? {
                0 => return Err("the server closed a connection".into()),
                count => wanted = wanted.checked_sub(count).ok_or("a longer response than the first")?,
            }
        }
        next = batch.end;
    }
    Ok(next as u64)
}
