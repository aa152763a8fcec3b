//! The order of a run: start, warm up, look what is held when nothing goes on, go on, and look again.

use std::io::{self, IsTerminal, Write};
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
use crate::mischief::Mischief;
use crate::process::{Held, descriptors};
use crate::relay::Relay;
use crate::tally::Tally;
use crate::target::{Kind, Target};
use crate::verdict::Outcome;
use crate::work::{Role, World, work};
use crate::{HEAP, Result, raw};

/// How long it may take until nothing goes on any more.
const QUIET: Duration = Duration::from_secs(30);

pub(crate) fn run(time: Duration, seed: u64) -> Result {
    println!("seed {seed}, {} s", time.as_secs());
    let pki = TempPki::new();
    let server = Control::start(pki.folder(), &Target::LASTING)?;
    let soak = Soak::new(&pki, &server, seed)?;
    let begin = Instant::now();
    let mut victim = None;
    // Long enough for everything that is made once and kept.
    soak.phase(0, (time / 6).clamp(Duration::from_secs(1), Duration::from_secs(60)), begin, &mut victim)?;
    let warm = soak.quiet()?;
    soak.phase(1, time.saturating_sub(begin.elapsed()), begin, &mut victim)?;
    drop(victim);
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
        for target in Target::LASTING {
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
        let (tally, victims, stopping) = (Tally::default(), Default::default(), Default::default());
        let world = Arc::new(World { seed, tally, near, far, victims, stopping });
        let relayed = Arc::new(AtomicU64::new(0));
        for relay in relays {
            let (world, relayed) = (world.clone(), relayed.clone());
            runtime.spawn(async move {
                if let Err(error) = relay.run(world.clone(), relayed).await {
                    world.tally.wrong(format!("a relay: {error}"));
                }
            });
        }
        Ok(Self { pki, server, world, runtime, relayed })
    }

    /// Everything at once, for so long.
    fn phase(&self, phase: u64, time: Duration, begin: Instant, victim: &mut Option<Control>) -> Result {
        let end = Instant::now() + time;
        let world = &self.world;
        let options = options(Target::Victim, &self.pki.client_tls());
        let mischief = Mischief { world, server: self.server, pki: self.pki, options };
        if victim.is_none() {
            mischief.start_victim(victim, self.pki.folder())?;
        }
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
            scope.spawn(move || mischief.run(victim, number));
            let mut progress = Progress::new();
            while Instant::now() < end && world.tally.wrongs().is_empty() {
                thread::sleep((end - Instant::now()).min(Duration::from_millis(500)));
                progress.show(begin, world, self.server);
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
            let open: u64 = Target::LASTING.iter().map(|target| report[&format!("{}.open", target.name())]).sum();
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
        for target in Target::LASTING {
            let clients = self.world.near.iter().filter(|(known, _)| *known == target);
            let (mut connections, counts) = (Vec::new(), self.world.tally.of(target));
            for (_, client) in clients.take(2) {
                connections.push(blocking::Client::from(client.clone()).connect()?);
                counts.connections.fetch_add(1, Relaxed);
            }
            for connection in &mut connections {
                counts.attempts.fetch_add(1, Relaxed);
                let text = connection.get("/tasks")?.body.read_all(100)?;
                counts.right.fetch_add(1, Relaxed);
                tasks += std::str::from_utf8(&text)?.parse::<u64>()?;
            }
        }
        Ok(tasks)
    }
}

/// Those who talk to faulty peers do not wait as long as others, so that a run sees many of them.
fn options(target: Target, tls: &ClientTls) -> Options {
    let mut options = Client::options().spin(target.polling());
    if target.is_faulty() {
        let limit = Some(Duration::from_secs(3));
        options = options.connect_timeout(limit).head_timeout(limit).body_idle(limit);
    }
    if target.is_secure() { options.tls(tls.clone()).server_name("localhost") } else { options }
}

/// A line about how far a run is: over and over on a terminal, elsewhere every ten seconds.
struct Progress {
    terminal: bool,
    next: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), next: Instant::now() }
    }

    fn show(&mut self, begin: Instant, world: &World, server: &Control) {
        if !self.terminal && Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + Duration::from_secs(10);
        // While there are no descriptors left not even this can be found out.
        let (Ok(held), Ok(descriptors)) = (Held::of(server.id()), descriptors(process::id())) else { return };
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // Nobody is to fail because nobody reads this.
        let _ = write!(
            io::stderr(),
            "{start}[{} s] {} exchanges, {} MiB, {} faults, {} wrong; server {} MiB, {} descriptors; clients {}{end}",
            begin.elapsed().as_secs(),
            world.tally.exchanges(),
            world.tally.octets.load(Relaxed) >> 20,
            world.tally.all_faults(),
            world.tally.wrongs().len(),
            held.resident >> 20,
            held.descriptors,
            descriptors,
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
