//! The processes of a measurement. A suite starts each side of a connection as an end: a process that runs `degu-bench
//! end ROLE ...`. A developer can start an end too, for example under a profiler.
//!
//! ```text
//! serve ADDRESS CONTESTANT      serves connections, on --threads
//! client ADDRESS CONTESTANT     prints `TRIPS NANOSECONDS`; with --trips makes this number of round trips
//! load ADDRESS                  prints `REQUESTS NANOSECONDS`; sends --depth requests at once on each of
//!                               --connections, on --threads
//! hold ADDRESS                  opens --connections, sends one request on each, and keeps them open
//! busy                          keeps a core busy
//! busy ADDRESS CONTESTANT       makes round trips with a client, one after another
//! codec TASK CONTESTANT         prints `TIMES NANOSECONDS`; with --trips does the task this number of times
//! ```
//!
//! With `--trips`, the time is not measured, and NANOSECONDS is 0. The roles `serve`, `hold` and `busy` print one line when
//! they are ready: `listening on ADDRESS`, `listening on N connections` or `listening on nothing`. They end at EOF on stdin.

use std::hint::spin_loop;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::blocking_socket::connect;
use crate::contestants::{Trips, find};
use crate::message::get;
use crate::socket::{Stream, into_tokio};
use crate::suites::find_codec;

/// The command line of an end.
#[derive(Clone, Debug, Parser)]
pub(crate) struct End {
    role: String,
    /// For the role `codec`, this is the task.
    #[arg(default_value = "")]
    pub(crate) address: String,
    #[arg(default_value = "")]
    pub(crate) contestant: String,
    /// The duration of the measurement.
    #[arg(long, default_value_t = 300)]
    millis: u64,
    #[arg(long)]
    trips: Option<u64>,
    /// The folder of the certificates. If this option is set, client and server use TLS, and both show a certificate.
    #[arg(long)]
    pub(crate) pki: Option<PathBuf>,
    /// The number of threads of the process.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    depth: usize,
}

impl End {
    /// Builds a runtime, which lives until the process ends. The runtime has timers only if `timers` is set, because
    /// checking timers costs a little time.
    pub(crate) fn runtime(&self, timers: bool) -> Result<&'static Runtime> {
        let mut builder = if self.threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        let builder = if timers { builder.enable_all() } else { builder.enable_io() };
        Ok(Box::leak(Box::new(builder.worker_threads(self.threads).build()?)))
    }
}

pub(crate) fn run(end: &End) -> Result {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let name = &end.contestant;
    let client = || find(name)?.client.ok_or_else(|| format!("{name} has no client"))?(end);
    let (times, took) = match end.role.as_str() {
        "serve" => {
            end_with_stdin();
            let server = find(name)?.server.ok_or_else(|| format!("{name} has no server"))?;
            return server(end, &mut announce);
        }
        "busy" => {
            let spin = |times| {
                (0..times).for_each(|_| spin_loop());
                Ok(())
            };
            let mut run: Trips = if name.is_empty() { Box::new(spin) } else { client()? };
            announce("nothing".into())?;
            end_with_stdin();
            loop {
                run(100)?;
            }
        }
        "hold" => {
            let _held = end.runtime(false)?.block_on(hold(end))?;
            announce(format!("{} connections", end.connections))?;
            until_stdin_ends();
            return Ok(());
        }
        "client" => measure(client()?, end)?,
        "codec" => measure(find_codec(&end.address, name)?, end)?,
        "load" => end.runtime(false)?.block_on(load(end))?,
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

fn announce(what: String) -> Result {
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

/// Opens `--connections`, and sends one request on each. Returns the streams, each with the length of the response's
/// head.
async fn hold(end: &End) -> Result<Vec<(Stream, usize)>> {
    let (tls, mut held) = (end.connector()?, Vec::new());
    for get in (0..end.connections).map(get) {
        let mut stream = into_tokio(connect(&end.address)?)?;
        if let Some((connector, name)) = &tls {
            stream = Box::new(connector.connect(name.clone(), stream).await?);
        }
        stream.write_all(&get.request).await?;
        stream.flush().await?;
        let mut received = Vec::new();
        // The response has the target as its body.
        while !received.ends_with(get.target.as_bytes()) {
            if stream.read_buf(&mut received).await? == 0 {
                return Err("the server closed a connection".into());
            }
        }
        held.push((stream, received.len() - get.target.len()));
    }
    Ok(held)
}

/// Sends one request on each of `--connections`. For `--millis` it then sends `--depth` requests at once on each, and the
/// same number again after all responses have arrived. The result includes the first requests and their time.
async fn load(end: &End) -> Result<(u64, Duration)> {
    let (start, held) = (Instant::now(), hold(end).await?);
    let until = Instant::now() + Duration::from_millis(end.millis);
    let ask = |(stream, head)| tokio::spawn(ask(stream, head, end.depth, until));
    let tasks: Vec<_> = held.into_iter().map(ask).collect();
    let mut all = tasks.len();
    for task in tasks {
        all += task.await??;
    }
    Ok((all as u64, start.elapsed()))
}

/// Loads one connection. `head` is the length of the head of each response.
async fn ask(mut stream: Stream, head: usize, depth: usize, until: Instant) -> Result<usize> {
    let (mut buffer, mut requests, mut sent) = (vec![0; 64 * 1024], Vec::new(), 0);
    while Instant::now() < until {
        let mut wanted = 0;
        requests.clear();
        for get in (sent..sent + depth).map(get) {
            requests.extend_from_slice(&get.request);
            wanted += head + get.target.len();
        }
        stream.write_all(&requests).await?;
        while wanted > 0 {
            match stream.read(&mut buffer).await? {
                0 => return Err("the server closed a connection".into()),
                count => {
                    wanted = wanted.checked_sub(count).ok_or(
                        "the head of a response is longer than the head of the first response on this connection",
                    )?
                }
            }
        }
        sent += depth;
    }
    Ok(sent)
}
