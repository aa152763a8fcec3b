//! Many workers share one pool: `workers [--blocking] [--threads N] [--requests N] [--method M] ADDRESS TARGET`.
//!
//! The program sends `--requests` requests (default 10,000) from `--threads` tasks (default 8), or threads of the
//! blocking client, and prints the outcomes as a line of JSON. The body of a POST or a PUT is the number of the
//! request, so the server can tell whether a request came twice. A worker that could not connect pauses before its next
//! request, because a server that restarts cannot be reached for a moment.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use degu_client::{Address, BodyOf, BoxError, Client, Error, ErrorKind, Method, Pool, Stats, blocking};
use lexopt::{Arg, ValueExt};
use serde_json::json;
use tokio::task::JoinSet;

const USAGE: &str = "usage: workers [--blocking] [--threads N] [--requests N] [--method M] ADDRESS TARGET";
const PAUSE: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest response that the program reads, in bytes.
const LIMIT: usize = 1 << 20;

/// The requests of all workers. Each worker takes the next request again and again.
struct Work {
    blocking: bool,
    threads: usize,
    requests: usize,
    method: String,
    address: Address,
    target: String,
    /// The number of the next request.
    next: AtomicUsize,
    /// The numbers of requests by their outcome: `ok`, or the kind of failure.
    outcomes: Mutex<BTreeMap<&'static str, usize>>,
}

impl Work {
    fn take(&self) -> Option<usize> {
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < self.requests)
    }

    fn body<S: ?Sized>(&self, number: usize) -> BodyOf<S> {
        if Method::from(&*self.method).expects_content() { number.to_string().into() } else { BodyOf::none() }
    }

    fn count(&self, result: &Result<(), Error>) {
        let outcome = result.as_ref().err().map_or("ok", kind);
        *self.outcomes.lock().unwrap().entry(outcome).or_default() += 1;
    }
}

fn kind(error: &Error) -> &'static str {
    match error.kind() {
        _ if error.is_timeout() => "timeout",
        _ if error.is_connect() => "connect",
        ErrorKind::Remote(_) => "remote",
        ErrorKind::Local(_) => "local",
        ErrorKind::System(_) => "system",
        ErrorKind::Status(_) => "status",
        ErrorKind::Closed => "closed",
        _ => "other",
    }
}

fn work_blocking(work: &Work, pool: &blocking::Pool) {
    let ask = |number| {
        let response = pool.request(&*work.method, &work.target, (), work.body(number))?;
        response.success()?.body.read_all(LIMIT).map(drop)
    };
    while let Some(number) = work.take() {
        let result = ask(number);
        work.count(&result);
        if result.is_err_and(|error| error.is_connect()) {
            thread::sleep(PAUSE);
        }
    }
}

async fn work_async(work: Arc<Work>, pool: Pool) {
    let ask = async |number| {
        let response = pool.request(&*work.method, &work.target, (), work.body(number)).await?;
        response.success().await?.body.read_all(LIMIT).await.map(drop)
    };
    while let Some(number) = work.take() {
        let result = ask(number).await;
        work.count(&result);
        if result.is_err_and(|error| error.is_connect()) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn run_blocking(work: &Work) -> Stats {
    let pool = blocking::Client::options().timeout(TIMEOUT).client(&work.address).pool();
    thread::scope(|scope| {
        for _ in 0..work.threads {
            scope.spawn(|| work_blocking(work, &pool));
        }
    });
    pool.stats()
}

#[tokio::main]
async fn run_async(work: &Arc<Work>) -> Stats {
    let pool = Client::options().timeout(TIMEOUT).client(&work.address).pool();
    let workers: JoinSet<()> = (0..work.threads).map(|_| work_async(work.clone(), pool.clone())).collect();
    workers.join_all().await;
    pool.stats()
}

fn work() -> Result<Work, BoxError> {
    let (mut blocking, mut threads, mut requests, mut method) = (false, 8, 10_000, "GET".to_owned());
    let mut values = Vec::new();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("blocking") => blocking = true,
            Arg::Long("threads") => threads = arguments.value()?.parse()?,
            Arg::Long("requests") => requests = arguments.value()?.parse()?,
            Arg::Long("method") => method = arguments.value()?.string()?,
            Arg::Value(value) => values.push(value.string()?),
            _ => return Err(USAGE.into()),
        }
    }
    let [address, target] = &values[..] else { return Err(USAGE.into()) };
    let (address, target) = (address.parse()?, target.clone());
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::default());
    Ok(Work { blocking, threads, requests, method, address, target, next, outcomes })
}

fn run() -> Result<(), BoxError> {
    let work = Arc::new(work()?);
    let stats = if work.blocking { run_blocking(&work) } else { run_async(&work) };
    let mut failed = mem::take(&mut *work.outcomes.lock().unwrap());
    let ok = failed.remove("ok").unwrap_or(0);
    let Stats { open, idle, waiting, dialled, reused, stale, retried, .. } = stats;
    let stats = json!({
        "open": open, "idle": idle, "waiting": waiting,
        "dialled": dialled, "reused": reused, "stale": stale, "retried": retried,
    });
    println!("{}", json!({ "sent": work.requests, "ok": ok, "failed": failed, "retried": retried, "stats": stats }));
    Ok(())
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("workers: {error}");
        std::process::exit(1)
    });
}
