//! The processes of a measurement. A suite starts each side of a connection as an end: a process that runs `degu-bench
//! end ROLE ...`. A developer can start an end too, for example under a profiler.
//!
//! ```text
//! serve CONTESTANT ADDRESS      serves connections, on --threads
//! client CONTESTANT ADDRESS     prints `TRIPS NANOSECONDS`; with --trips makes this number of round trips
//! load ADDRESS                  prints `REQUESTS NANOSECONDS`; sends --depth requests at once on each of
//!                               --connections, on --threads
//! hold ADDRESS                  opens --connections, sends one request on each, and keeps them open
//! busy                          keeps a core busy
//! codec TASK CONTESTANT         prints `TIMES NANOSECONDS`; with --trips does the task this number of times
//! ```
//!
//! The roles `serve`, `hold` and `busy` first print `listening on ADDRESS`. They end at EOF on stdin.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::contestants::{Setup, Trips, find, split};
use crate::message::{Get, get};
use crate::socket::{Stream, connect, into_tokio};
use crate::{Result, codec};

#[derive(Clone, Debug, Parser)]
pub(crate) struct End {
    words: Vec<String>,
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
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    depth: usize,
}

pub(crate) fn run(end: &End) -> Result {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let setup = |name: &str, address: &str| {
        let (address, pki, spin) = (address.to_owned(), end.pki.clone(), split(name).1);
        Setup { address, pki, threads: end.threads, spin }
    };
    let (times, took) = match end.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
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
            let setup = setup("", address);
            let _held = setup.runtime(false)?.block_on(hold(&setup, end.connections))?;
            announce(end.connections)?;
            until_stdin_ends();
            return Ok(());
        }
        ["client", name, address] => {
            let client = find(name)?.client.ok_or_else(|| format!("{name} has no client"))?;
            measure(client(&setup(name, address))?, end)?
        }
        ["codec", task, contestant] => measure(codec::find(task, contestant)?, end)?,
        ["load", address] => setup("", address).runtime(false)?.block_on(load(address, end))?,
        _ => return Err("unknown role (xtask/bench/src/ends.rs lists the roles)".into()),
    };
    println!("{times} {}", took.as_nanos());
    Ok(())
}

/// Ends this process at EOF on stdin.
fn end_with_stdin() {
    thread::spawn(|| {
        until_stdin_ends();
        std::process::exit(0);
    });
}

/// Waits for EOF on stdin. The parent process holds the other side of the pipe, so EOF comes when the parent ends, for
/// whatever reason.
fn until_stdin_ends() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

fn announce(what: impl Display) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {what}")?;
    Ok(out.flush()?)
}

/// Calls `run` for `--trips` runs. Without this option, it warms up for a quarter of `--millis`, and then calls `run`
/// for about `--millis`. Returns the number of runs and their time. With `--trips` the time is not measured, and is 0.
///
/// The clock is read once for each batch of runs. A batch takes a twentieth of `--millis`, so the time for reading the
/// clock does not matter.
fn measure(mut run: Trips, end: &End) -> Result<(u64, Duration)> {
    if let Some(trips) = end.trips {
        return run(trips).map(|()| (trips, Duration::ZERO));
    }
    let time = Duration::from_millis(end.millis);
    let (mut batch, start) = (8, Instant::now());
    while start.elapsed() < time / 4 {
        let before = Instant::now();
        run(batch)?;
        let took = before.elapsed().max(Duration::from_nanos(1));
        let fitting = (time / 20).as_nanos() * u128::from(batch) / took.as_nanos();
        // The first batches are slow, so a batch is at most four times as large as the batch before.
        batch = (fitting as u64).clamp(4, batch * 4);
    }
    let (mut times, start) = (0, Instant::now());
    while start.elapsed() < time {
        run(batch)?;
        times += batch;
    }
    Ok((times, start.elapsed()))
}

/// Opens this number of connections, and sends one request on each.
async fn hold(setup: &Setup, connections: usize) -> Result<Vec<Stream>> {
    let (tls, mut held) = (setup.connector()?, Vec::new());
    for number in 0..connections {
        let mut stream = into_tokio(connect(&setup.address)?)?;
        if let Some((connector, name)) = &tls {
            stream = Box::new(connector.connect(name.clone(), stream).await?);
        }
        ask_once(&mut stream, get(number)).await?;
        held.push(stream);
    }
    Ok(held)
}

/// Sends one request. The response has the target as its body. Returns the length of the response's head.
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

/// Sends `--depth` requests at once on each of `--connections`. After all responses have arrived, it sends the same
/// number again.
async fn load(address: &str, end: &End) -> Result<(u64, Duration)> {
    let streams = (0..end.connections).map(|_| into_tokio(connect(address)?));
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let (start, time) = (Instant::now(), Duration::from_millis(end.millis));
    let ask = |stream| tokio::spawn(ask(stream, end.depth, start + time));
    let (tasks, mut all) = (streams.into_iter().map(ask).collect::<Vec<_>>(), 0);
    for task in tasks {
        all += task.await??;
    }
    Ok((all, start.elapsed()))
}

async fn ask(mut stream: Stream, depth: usize, end: Instant) -> Result<u64> {
    let (mut buffer, mut requests, mut next) = (vec![0; 64 * 1024], Vec::new(), 1);
    let head = ask_once(&mut stream, get(0)).await?;
    while Instant::now() < end {
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
                count => wanted = wanted.checked_sub(count).ok_or("a head is longer than the first head")?,
            }
        }
        next = batch.end;
    }
    Ok(next as u64)
}
