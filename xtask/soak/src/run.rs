//! The phases of a run: start, warm up, measure the resources without open connections, load, measure again, compare.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use degu_client::{Address, Client, Options, blocking};
use degu_misc::TempPki;
use degu_tls::{ClientTls, ServerTls};
use fastrand::Rng;
use tokio::runtime::{self, Runtime};

use crate::report::{Held, conclude, measure};
use crate::servers::{self, Served, Target};
use crate::tally::Tally;
use crate::worker::{Clients, Role, work};
use crate::{Result, faults};

/// The longest time until all connections are closed after a load.
const SETTLE: Duration = Duration::from_secs(30);

/// The numbers of async and of blocking workers in each role.
const WORKERS: [(Role, usize, usize); 3] = [(Role::Direct, 8, 4), (Role::Relayed, 9, 5), (Role::Abandoning, 3, 1)];

/// The state that workers, relays and faults share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) tally: Tally,
    /// The number of open connections of the relays.
    pub(crate) relayed: AtomicU64,
    stopping: AtomicBool,
}

impl Run {
    /// Returns a random sequence. The seed of the run and `number` determine it.
    pub(crate) fn rng(&self, number: u64) -> Rng {
        Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

pub(crate) fn soak(time: Duration, seed: u64) -> Result {
    println!("seed {seed}, {} s", time.as_secs());
    let pki = TempPki::new();
    let tls = servers::tls(pki.folder())?;
    let servers = servers::start(pki.folder(), &tls)?;
    let soak = Soak::new(&pki, &tls, &servers, seed)?;
    let begin = Instant::now();
    // The warm-up is long enough for all allocations that are made once and kept.
    soak.load(0, (time / 6).clamp(Duration::from_secs(1), Duration::from_secs(60)), begin);
    let warm = soak.settle_and_measure()?;
    soak.load(1, time.saturating_sub(begin.elapsed()), begin);
    let end = soak.settle_and_measure()?;
    conclude(&soak.run, &servers, warm, end, begin.elapsed())?;
    servers.into_iter().for_each(|served| served.handle.shutdown_blocking());
    Ok(())
}

/// The parts of a run that exist once.
struct Soak<'r> {
    pki: &'r TempPki,
    tls: &'r ServerTls,
    servers: &'r [Served],
    run: Arc<Run>,
    /// The clients for each role.
    clients: Arc<[Clients; 3]>,
    runtime: Runtime,
}

impl<'r> Soak<'r> {
    /// Starts the relays and makes the clients.
    fn new(pki: &'r TempPki, tls: &'r ServerTls, servers: &'r [Served], seed: u64) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let run = Run { seed, tally: Tally::default(), relayed: Default::default(), stopping: Default::default() };
        let (run, mut clients, client_tls) = (Arc::new(run), [const { Clients::new() }; 3], pki.client_tls());
        for &Served { target, ref handle, .. } in servers {
            let options = options(target, &client_tls);
            let role = if target.is_faulty { Role::Abandoning } else { Role::Direct };
            let client = |address: &Address| (target, options.clone().client(address));
            clients[role as usize].extend(handle.addresses().iter().map(client));
            if target.is_faulty {
                let relays = faults::start_relays(&run, pki.folder(), target, handle.addresses())?;
                clients[Role::Relayed as usize].extend(relays.iter().map(client));
            }
        }
        Ok(Self { pki, tls, servers, run, clients: Arc::new(clients), runtime })
    }

    /// Runs all workers and injects faults into the process. Ends after this time, or at the first mistake.
    fn load(&self, phase: u64, time: Duration, begin: Instant) {
        let (run, end) = (&self.run, Instant::now() + time);
        run.stopping.store(false, Relaxed);
        let (mut numbers, mut tasks) = (phase << 32.., Vec::new());
        thread::scope(|scope| {
            for (role, async_workers, blocking_workers) in WORKERS {
                let work = |number, is_blocking| work(run.clone(), self.clients.clone(), role, number, is_blocking);
                tasks
                    .extend(numbers.by_ref().take(async_workers).map(|number| self.runtime.spawn(work(number, false))));
                for worker in numbers.by_ref().take(blocking_workers).map(|number| work(number, true)) {
                    scope.spawn(move || self.runtime.block_on(worker));
                }
            }
            let number = numbers.next().unwrap_or_default();
            scope.spawn(move || faults::inject(run, self.tls, self.pki, number));
            while Instant::now() < end && run.tally.mistakes() == 0 {
                thread::sleep((end - Instant::now()).min(Duration::from_millis(500)));
                if io::stderr().is_terminal() {
                    let (seconds, exchanges) = (begin.elapsed().as_secs(), run.tally.exchanges());
                    eprint!("\r[{seconds} s] {exchanges} exchanges, {} mistakes", run.tally.mistakes());
                }
            }
            run.stopping.store(true, Relaxed);
        });
        for task in tasks {
            // An error means that the worker has panicked.
            if let Err(error) = self.runtime.block_on(task) {
                run.tally.mistake(format!("a worker: {error}"));
            }
        }
    }

    /// Waits until every connection is closed, and measures the resources of the process.
    fn settle_and_measure(&self) -> Result<Held> {
        let count = || -> Result<u64> {
            self.settle();
            Ok(self.count_tasks()? + self.runtime.metrics().num_alive_tasks() as u64)
        };
        // A task may end a moment after its connection. So the lower of two counts is taken.
        let tasks = count()?.min(count()?);
        self.settle();
        measure(tasks)
    }

    /// Waits until every connection is closed.
    fn settle(&self) {
        let begin = Instant::now();
        loop {
            let open: usize = self.servers.iter().map(|served| served.handle.stats().open).sum();
            let relayed = self.run.relayed.load(Relaxed);
            if open == 0 && relayed == 0 {
                return;
            }
            if begin.elapsed() > SETTLE {
                let what = format!("{open} connections of the servers and {relayed} of the relays are still open");
                return self.run.tally.mistake(what);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks every worker of every server for the number of its tasks. Returns the sum.
    fn count_tasks(&self) -> Result<u64> {
        let (mut tasks, client_tls, tally) = (0, self.pki.client_tls(), &self.run.tally);
        for Served { target, handle, .. } in self.servers {
            let connect = |address| blocking::Client::from(options(target, &client_tls).client(address)).connect();
            // Two connections that are open at the same time belong to different workers.
            let connections: std::result::Result<Vec<_>, _> =
                handle.addresses().iter().take(servers::WORKERS).map(connect).collect();
            for mut connection in connections? {
                let text = connection.get("/tasks")?.body.read_all(100)?;
                tasks += std::str::from_utf8(&text)?.parse::<u64>()?;
                for name in ["connections", "attempts", "right"] {
                    tally.add(target.name, name, 1);
                }
            }
        }
        Ok(tasks)
    }
}

/// Returns the options for the clients of a server. The clients of a faulty server have short timeouts, so many faults
/// happen in a run.
fn options(target: &Target, tls: &ClientTls) -> Options {
    let mut options = Client::options().spin(target.spin);
    if target.is_faulty {
        let limit = Some(Duration::from_secs(3));
        options = options.connect_timeout(limit).head_timeout(limit).body_timeout(limit);
    }
    if target.is_secure { options.tls(tls.clone()).server_name("localhost") } else { options }
}
