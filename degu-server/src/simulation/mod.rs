//! A simulation of the driver. A whole worker serves connections in memory, and a seed determines the run.
//!
//! The worker and its connections are real. Only the sockets are [simulated](degu_simulation). The [plan](plan) of a
//! run has the requests of each peer, the answers of the app, and the faults. The [app](app) and the [peers](peer)
//! follow the plan, and [check](judge) everything that they receive. One thing happens in each step. Then the tasks
//! that were woken run until all of them wait.

mod app;
mod judge;
mod peer;
mod plan;
mod responses;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use degu_simulation::{Dice, Pipe, patiently, pipe, seeds, tell};
use degu_wire::{Address, Method, Spin};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::options::ErrorReply;
use crate::report::Peer as Client;
use crate::seconds::Seconds;
use crate::state::{Phase, ServerState};
use crate::stream::{PeerState, Transport};
use crate::worker::Worker;
use crate::{Handle, Server};
use app::{Shared, Simulated};
use judge::allow;
use peer::{Conditions, Peer};
use plan::{Plan, Stop};

impl Transport for Pipe {
    type Accepted = Self;

    fn seconds() -> Seconds {
        Seconds::Runtime
    }

    fn register(accepted: Self) -> io::Result<(Self, Client)> {
        Ok((accepted, Client::new(Address::IPV6_LOOPBACK, None)))
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_readable(cx)
    }

    fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(bytes);
        tokio::io::AsyncRead::poll_read(Pin::new(self), cx, &mut buffer).map_ok(|()| buffer.filled().len())
    }

    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.try_read(bytes)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write_pieces(cx, pieces)
    }

    #[cfg(feature = "tls")]
    fn try_write(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        unreachable!("the simulation has no TLS")
    }

    fn rest(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn peer(&self, is_eof: bool) -> PeerState {
        match self.is_hung_up() {
            true => PeerState::Gone,
            false if self.has_half_closed(is_eof) => PeerState::HalfClosed,
            false => PeerState::Present,
        }
    }

    fn has_input(&self) -> bool {
        self.peek() != (0, None)
    }

    fn shut_down_writing(&self) {
        self.shut_down_writing();
    }

    fn reset_on_close(&self) {
        self.reset_on_close();
    }
}

/// The longest duration of a run on the simulated clock. It is longer than the sum of all deadlines.
const LATEST: Duration = Duration::from_secs(120);

/// If no step was possible in this number of turns, all tasks wait. A driver that busy-polls needs more than one turn.
const IDLE_TURNS: usize = 20;
/// The largest number of steps of a run. A run with more steps is in an endless loop.
const MOST_STEPS: usize = 3_000_000;

#[test]
fn simulation() {
    seeds(("degu-server", "simulation"), 1_000, |seed| simulate(seed, Plan::without_clock).map(drop));
}

#[test]
fn simulation_of_deadlines() {
    seeds(("degu-server", "simulation_of_deadlines"), 300, |seed| simulate(seed, Plan::of_deadlines).map(drop));
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..50 {
        // The duration of a busy-poll depends on other processes, and not on the seed.
        let plan = |dice: &mut Dice| Plan { spins: false, ..Plan::without_clock(dice) };
        let [first, second] = [(); 2].map(|()| simulate(seed, plan));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Performs a run. Returns the final state of the dice.
fn simulate(seed: u64, plan: impl FnOnce(&mut Dice) -> Plan) -> Result<u64, String> {
    let mut dice = Dice::new(seed);
    let plan = plan(&mut dice);
    tell(|| format!("{plan:?}"));
    let mut runtime = Builder::new_current_thread();
    // Without this interval, a task that yields could be polled again before tasks that were woken earlier.
    let runtime =
        runtime.event_interval(u32::MAX).enable_time().start_paused(true).build_local(LocalOptions::default());
    runtime.map_err(|error| error.to_string())?.block_on(run(Shared::new(plan), dice))
}

async fn run(shared: Shared, dice: Dice) -> Result<u64, String> {
    let shared = Arc::new(shared);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let reply = if shared.plan.silent { ErrorReply::Silent } else { ErrorReply::Minimal };
    let options = Server::options().workers(1).error_reply(reply).head_timeout(seconds(2)).idle_timeout(seconds(3));
    // With such a short window, a wait spins only until the driver reads the clock for the second time.
    let spin = if shared.plan.spins { Spin::Fixed(Duration::from_nanos(1)) } else { Spin::Off };
    let options = options.progress(2048, seconds(2)).half_close_timeout(seconds(1)).spin(spin);
    let mut options = options.tunnel_idle_timeout(seconds(2));
    if shared.plan.reports {
        let shared = shared.clone();
        options = options.on_response(move |exchange| shared.report(exchange));
    }
    let options = Arc::new(options);
    let state = Arc::new(options.state());

    let (sender, queue) = unbounded_channel();
    let jobs = Rc::new(RefCell::new(Some(sender)));
    // This future takes the place of the acceptor, and drops the sender of connections when the server stops.
    let (stopping, held) = (state.reached(Phase::Draining), jobs.clone());
    let beside = async move {
        stopping.await;
        drop(held.take());
        Vec::new()
    };
    let app = Arc::new(Simulated(shared.clone()));
    let worker = Worker { server: state.clone(), options, app };
    let work = tokio::task::spawn_local(async move { worker.work::<Pipe>(0, queue, || Ok(Box::pin(beside))).await });
    yield_now().await;

    let (peers, began, steps) = (Vec::new(), Instant::now(), 0);
    let handle = Some(Handle::new(vec![Address::IPV6_LOOPBACK], state.clone(), std::thread::spawn(|| Ok(()))));
    let mut world = World { shared: &shared, state: &state, jobs, peers, dice, began, steps, handle, stopped: None };
    world.run_until(World::is_done).await?;
    world.stop(Stop::Drain);
    world.run_until(|_| work.is_finished()).await.map_err(|error| format!("the worker does not end: {error}"))?;
    // The thread of a server begins this phase after its workers have ended.
    state.begin(Phase::Ended);
    let told = |world: &World<'_>| world.stopped.iter().all(tokio::task::JoinHandle::is_finished);
    world.run_until(told).await.map_err(|error| format!("a task that waits for the end is not woken: {error}"))?;
    world.run_until(|world| world.shared.gates.clones() == 0).await.map_err(|error| format!("leaked: {error}"))?;
    world.count()?;
    world.check_reports()?;
    Ok(world.dice.digest())
}

/// The parts of a run other than the worker.
struct World<'w> {
    shared: &'w Shared,
    state: &'w ServerState,
    jobs: Rc<RefCell<Option<UnboundedSender<Pipe>>>>,
    peers: Vec<Peer<'w>>,
    dice: Dice,
    began: Instant,
    steps: usize,
    /// The handle that stops the server. `None` after the stop.
    handle: Option<Handle>,
    /// The task that waits for the server's end.
    stopped: Option<tokio::task::JoinHandle<()>>,
}

impl World<'_> {
    /// Takes steps until the condition holds.
    async fn run_until(&mut self, is_reached: impl Fn(&Self) -> bool) -> Result<(), String> {
        let mut idle = 0;
        while !is_reached(self) {
            let mut moved = false;
            for _ in 0..=self.dice.below(4) {
                moved |= self.step()?;
                self.steps += 1;
            }
            let plan = &self.shared.plan;
            let stop = plan.stop.filter(|_| self.handle.is_some());
            // If the clock can advance, time may pass before the server stops, so idle connections free their buffers.
            if let Some((_, stop)) = stop.filter(|(after, _)| *after < self.steps || idle > IDLE_TURNS && !plan.waits) {
                // Stopping the server is a step, too.
                moved = true;
                self.stop(stop);
            }
            yield_now().await;
            self.shared.complaint()?;
            if self.steps > MOST_STEPS {
                return Err("the run does not end".into());
            }
            idle = if moved { 0 } else { idle + 1 };
            if idle > IDLE_TURNS && (plan.waits || stop.is_none()) {
                self.wait().await?;
            }
        }
        Ok(())
    }

    /// Returns whether every peer has done what its plan says.
    fn is_done(&self) -> bool {
        let all = self.state.is_stopping() || self.peers.len() == self.shared.plan.callers.len();
        all && self.peers.iter().all(Peer::is_done)
    }

    /// Stops the server, if it has not been stopped. Drops the sender of connections before that, because the order in
    /// which a phase wakes the tasks is not defined.
    fn stop(&mut self, stop: Stop) {
        let Some(handle) = self.handle.take() else { return };
        drop(self.jobs.take());
        if stop == Stop::Abort {
            return handle.abort();
        }
        // The shutdown continues after its future is dropped, even if the future was never polled.
        let polls = if self.dice.one_in(2) { self.dice.below(3) } else { usize::MAX };
        let late = self.dice.one_in(2);
        self.stopped = Some(tokio::task::spawn_local(async move {
            let _ = patiently(polls, late, handle.shutdown()).await;
        }));
    }

    /// Advances the clock when no step is possible.
    ///
    /// # Errors
    ///
    /// The plan does not allow this, or the clock is beyond all deadlines.
    async fn wait(&self) -> Result<(), String> {
        let fars: Vec<_> = self.peers.iter().filter(|peer| !peer.is_done()).map(|peer| &peer.far).collect();
        if !self.shared.plan.waits {
            return Err(format!("all tasks wait, so a wake-up was lost: {fars:?}"));
        }
        if self.began.elapsed() > LATEST {
            return Err(format!("no deadline has ended the wait: {fars:?}"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    }

    /// Takes one step. Returns `false` if no step is possible.
    fn step(&mut self) -> Result<bool, String> {
        for turn in self.dice.turns(2 * self.peers.len() + 2) {
            let moved = match turn {
                0 => self.shared.gates.open(&mut self.dice),
                1 => self.connect()?,
                _ => {
                    let conditions = self.conditions();
                    let peer = &mut self.peers[(turn - 2) / 2];
                    if self.shared.plan.nudges && self.dice.one_in(40) {
                        peer.far.nudge();
                    }
                    if turn % 2 == 0 { peer.far.advance() } else { peer.step(&mut self.dice, conditions)? }
                }
            };
            if moved {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn conditions(&self) -> Conditions {
        Conditions {
            draining: self.state.is_stopping(),
            aborting: self.state.phase() == Phase::Aborting,
            silent: self.shared.plan.silent,
            late: self.began.elapsed() > Duration::ZERO,
        }
    }

    /// Connects the next peer. Returns `false` if there is none.
    fn connect(&mut self) -> Result<bool, String> {
        let number = self.peers.len();
        let jobs = self.jobs.borrow();
        let (Some(caller), Some(jobs)) = (self.shared.plan.callers.get(number), &*jobs) else { return Ok(false) };
        let (near, far) = pipe(&mut self.dice, caller.transport, caller.most);
        self.state.counters[0].open.fetch_add(1, Relaxed);
        jobs.send(near).map_err(|_| "the worker is gone")?;
        self.peers.push(Peer::new(number, caller, far));
        Ok(true)
    }

    /// Checks that the server has counted what the peers and the app have counted.
    fn count(&self) -> Result<(), String> {
        let stats = self.state.stats();
        let moved = self.peers.iter().map(|peer| peer.far.moved());
        let (received, sent) = moved.fold((0, 0), |(up, down), moved| (up + moved.0, down + moved.1));
        let requests = self.shared.requests.load(Relaxed);
        let counted = (stats.open, stats.requests, stats.received, stats.sent);
        let seen = (0, requests, received, sent);
        allow(counted == seen, || {
            format!("the server counted {counted:?} instead of {seen:?} (open, requests, received, sent)")
        })
    }

    /// Checks that each request that the app got was reported once, and each response that a peer got as complete.
    fn check_reports(&self) -> Result<(), String> {
        let reports = self.shared.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for peer in self.peers.iter().filter(|_| self.shared.plan.reports) {
            for (number, exchange) in peer.caller.exchanges.iter().enumerate() {
                let target = format!("/{}/{number}", peer.number);
                let reported: Vec<_> = reports.iter().filter(|report| report.0 == target).collect();
                let is_right = match (&reported[..], exchange.expected()) {
                    ([(_, Some(status), bytes, is_cut)], Some((expected, message)))
                        if number < peer.answered && *status == expected =>
                    {
                        let length = if exchange.method == Method::Head { 0 } else { message.length() };
                        !is_cut && *bytes == length
                    }
                    _ => reported.len() == usize::from(exchange.is_handled()),
                };
                allow(is_right, || format!("{target} has the reports {reported:?}"))?;
            }
        }
        Ok(())
    }
}
