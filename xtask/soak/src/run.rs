//! The order of a run: start, warm up, measure the held resources while no exchange is in progress, continue, and
//! measure again.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use degu_client::{Client, Options, blocking};
use degu_misc::TempPki;
use degu_tls::{ClientTls, ServerTls};
use tokio::runtime::{self, Runtime};

use crate::ends::{Async, Blocking, at_once};
use crate::held::Held;
use crate::relay::Relay;
use crate::serve::{self, Served};
use crate::tally::Tally;
use crate::target::{Kind, Target};
use crate::verdict::Outcome;
use crate::work::{Role, World, work};
use crate::{Result, mischief};

/// The longest time until every connection is closed.
const QUIET: Duration = Duration::from_secs(30);

pub(crate) fn run(time: Duration, seed: u64) -> Result {
    println!("seed {seed}, {} s", time.as_secs());
    let pki = TempPki::new();
    let tls = serve::tls(pki.folder())?;
    let servers = serve::start(pki.folder(), &tls)?;
    let soak = Soak::new(&pki, &tls, &servers, seed)?;
    let begin = Instant::now();
    // Long enough for everything that is made once and kept.
    soak.phase(0, (time / 6).clamp(Duration::from_secs(1), Duration::from_secs(60)), begin)?;
    let warm = soak.quiet()?;
    soak.phase(1, time.saturating_sub(begin.elapsed()), begin)?;
    let end = soak.quiet()?;
    Outcome { world: &soak.world, servers: &servers, warm, end, time: begin.elapsed() }.conclude()?;
    servers.into_iter().for_each(|served| served.handle.shutdown_blocking());
    Ok(())
}

/// The parts of a run.
struct Soak<'r> {
    pki: &'r TempPki,
    tls: &'r ServerTls,
    servers: &'r [Served],
    world: Arc<World>,
    runtime: Runtime,
    /// Connections of the relays.
    relayed: Arc<AtomicU64>,
}

impl<'r> Soak<'r> {
    fn new(pki: &'r TempPki, tls: &'r ServerTls, servers: &'r [Served], seed: u64) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (client_tls, mut near, mut far, mut relays) = (pki.client_tls(), Vec::new(), Vec::new(), Vec::new());
        for &Served { target, ref handle, .. } in servers {
            for (kind, address) in Kind::ALL.into_iter().zip(handle.addresses()) {
                let options = options(target, &client_tls);
                near.push((target, options.clone().client(address)));
                if target.is_faulty() {
                    let (relay, before) = Relay::bind(pki.folder(), kind, target, address)?;
                    far.push((target, options.client(before)));
                    relays.push(relay);
                }
            }
        }
        let world = Arc::new(World { seed, tally: Tally::default(), near, far, stopping: Default::default() });
        let relayed = Arc::new(AtomicU64::new(0));
        for relay in relays {
            let (world, relayed) = (world.clone(), relayed.clone());
            thread::spawn(move || relay.run(&world, &relayed));
        }
        Ok(Self { pki, tls, servers, world, runtime, relayed })
    }

    /// Everything at once, for so long.
    fn phase(&self, phase: u64, time: Duration, begin: Instant) -> Result {
        let end = Instant::now() + time;
        let world = &self.world;
        world.stopping.store(false, Relaxed);
        let mut numbers = phase << 32..;
        let mut number = move || numbers.next().unwrap_or_default();
        let tasks = Role::each(&Role::ASYNC).map(|role| {
            let (world, number) = (world.clone(), number());
            self.runtime.spawn(async move { work::<Async>(&world, role, number).await })
        });
        let tasks: Vec<_> = tasks.collect();
        thread::scope(|scope| {
            for role in Role::each(&Role::BLOCKING) {
                let number = number();
                scope.spawn(move || at_once(work::<Blocking>(world, role, number)));
            }
            let number = number();
            scope.spawn(move || mischief::work(world, self.tls, self.pki, number));
            while Instant::now() < end && world.tally.wrongs() == 0 {
                thread::sleep((end - Instant::now()).min(Duration::from_millis(500)));
                if io::stderr().is_terminal() {
                    eprint!(
                        "\r[{} s] {} exchanges, {} wrong",
                        begin.elapsed().as_secs(),
                        world.exchanges(),
                        world.tally.wrongs()
                    );
                }
            }
            world.stopping.store(true, Relaxed);
        });
        for task in tasks {
            // It panicked, which is as wrong as anything.
            if let Err(error) = self.runtime.block_on(task) {
                world.tally.wrong(format!("a worker: {error}"));
            }
        }
        Ok(())
    }

    /// Measures what is held once every connection is closed.
    fn quiet(&self) -> Result<Held> {
        self.settle();
        let tasks = self.tasks()? + self.runtime.metrics().num_alive_tasks() as u64;
        self.settle();
        Held::now(tasks)
    }

    /// Waits until every connection is closed.
    fn settle(&self) {
        let begin = Instant::now();
        loop {
            let open: usize = self.servers.iter().map(|served| served.handle.stats().open).sum();
            let relayed = self.relayed.load(Relaxed);
            if open == 0 && relayed == 0 {
                return;
            }
            if begin.elapsed() > QUIET {
                let what = format!("{open} connections of the servers and {relayed} relayed ones do not end");
                return self.world.tally.wrong(what);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the number of tasks of the server's workers: each of two connections at once is on another worker.
    fn tasks(&self) -> Result<u64> {
        let mut tasks = 0;
        for target in Target::ALL {
            let clients = self.world.near.iter().filter(|(known, _)| *known == target);
            let (mut connections, tally) = (Vec::new(), &self.world.tally);
            for (_, client) in clients.take(2) {
                connections.push(blocking::Client::from(client.clone()).connect()?);
                tally.add(target.name(), "connections", 1);
            }
            for connection in &mut connections {
                tally.add(target.name(), "attempts", 1);
                let text = connection.get("/tasks")?.body.read_all(100)?;
                tally.add(target.name(), "right", 1);
                tasks += std::str::from_utf8(&text)?.parse::<u64>()?;
            }
        }
        Ok(tasks)
    }
}

/// Clients of faulty servers do not wait as long as others, so that a run sees many faults.
fn options(target: Target, tls: &ClientTls) -> Options {
    let mut options = Client::options().spin(target.spin());
    if target.is_faulty() {
        let limit = Some(Duration::from_secs(3));
        options = options.connect_timeout(limit).head_timeout(limit).body_timeout(limit);
    }
    if target.is_secure() { options.tls(tls.clone()).server_name("localhost") } else { options }
}
