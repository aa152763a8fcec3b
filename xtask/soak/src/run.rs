//! The order of a run: start, warm up, look what is held when nothing goes on, go on, and look again.

use std::io::{self, IsTerminal};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use degu_client::{Client, Options, blocking};
use degu_misc::TempPki;
use degu_tls::ClientTls;
use tokio::runtime::{self, Runtime};

use crate::control::Control;
use crate::ends::{Async, Blocking, at_once};
use crate::process::Held;
use crate::relay::Relay;
use crate::tally::Tally;
use crate::target::{Kind, Target};
use crate::verdict::Outcome;
use crate::work::{Role, World, work};
use crate::{HEAP, Result, mischief, raw};

/// How long it may take until nothing goes on any more.
const QUIET: Duration = Duration::from_secs(30);

pub(crate) fn run(time: Duration, seed: u64) -> Result {
    println!("seed {seed}, {} s", time.as_secs());
    let pki = TempPki::new();
    let server = Control::start(pki.folder(), &Target::ALL)?;
    let soak = Soak::new(&pki, &server, seed)?;
    let begin = Instant::now();
    // Long enough for everything that is made once and kept.
    soak.phase(0, (time / 6).clamp(Duration::from_secs(1), Duration::from_secs(60)), begin)?;
    let warm = soak.quiet()?;
    soak.phase(1, time.saturating_sub(begin.elapsed()), begin)?;
    let end = soak.quiet()?;
    let outcome = Outcome { world: &soak.world, report: server.report()?, warm, end, time: begin.elapsed() };
    outcome.conclude()
}

/// What a run is made of.
struct Soak<'r> {
    pki: &'r TempPki,
    server: &'r Control,
    world: Arc<World>,
    runtime: Runtime,
    /// Connections of the relays.
    relayed: Arc<AtomicU64>,
}

impl<'r> Soak<'r> {
    fn new(pki: &'r TempPki, server: &'r Control, seed: u64) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let tls = pki.client_tls();
        let (mut near, mut far, mut relays) = (Vec::new(), Vec::new(), Vec::new());
        for target in Target::ALL {
            for (kind, address) in Kind::ALL.into_iter().zip(server.addresses(target)) {
                let options = options(target, &tls);
                near.push((target, options.clone().client(address)));
                if target.is_faulty() {
                    let (relay, before) = Relay::bind(pki.folder(), kind, target, address)?;
                    far.push((target, options.client(before)));
                    relays.push(relay);
                }
            }
        }
        let (tally, stopping) = (Tally::default(), Default::default());
        let world = Arc::new(World { seed, tally, near, far, stopping });
        let relayed = Arc::new(AtomicU64::new(0));
        for relay in relays {
            let (world, relayed) = (world.clone(), relayed.clone());
            thread::spawn(move || relay.run(&world, &relayed));
        }
        Ok(Self { pki, server, world, runtime, relayed })
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
            for _ in 0..2 {
                let number = number();
                scope.spawn(move || raw::work(world, number));
            }
            let number = number();
            scope.spawn(move || mischief::work(world, self.server, self.pki, number));
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

    /// What both sides hold when nothing goes on any more.
    fn quiet(&self) -> Result<[Held; 2]> {
        self.settle()?;
        let tasks = self.tasks()?;
        self.settle()?;
        let heap = self.server.report()?["heap"];
        let server = Held { heap, tasks, ..Held::of(self.server.id())? };
        let tasks = self.runtime.metrics().num_alive_tasks() as u64;
        let client = Held { heap: HEAP.current_usage() as u64, tasks, ..Held::of(process::id())? };
        Ok([server, client])
    }

    /// Waits until every connection is closed.
    fn settle(&self) -> Result {
        let begin = Instant::now();
        loop {
            let report = self.server.report()?;
            let open: u64 = Target::ALL.iter().map(|target| report[&format!("{}.open", target.name())]).sum();
            let relayed = self.relayed.load(Relaxed);
            if open == 0 && relayed == 0 {
                return Ok(());
            }
            if begin.elapsed() > QUIET {
                self.world
                    .tally
                    .wrong(format!("{open} connections of the server and {relayed} relayed ones do not end"));
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many tasks the workers of the server have: each of two connections at once is on another worker.
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

/// Those who talk to faulty peers do not wait as long as others, so that a run sees many of them.
fn options(target: Target, tls: &ClientTls) -> Options {
    let mut options = Client::options().spin(target.spin());
    if target.is_faulty() {
        let limit = Some(Duration::from_secs(3));
        options = options.connect_timeout(limit).head_timeout(limit).body_idle(limit);
    }
    if target.is_secure() { options.tls(tls.clone()).server_name("localhost") } else { options }
}
