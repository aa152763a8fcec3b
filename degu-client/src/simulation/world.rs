//! The environment of the client: the servers to which it has connected, the bytes on their way, and the events.

use std::convert::Infallible;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use degu_simulation::{Dice, Gates, Pipe, pipe};
use degu_wire::Fault;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::peer::Peer;
use super::plan::Plan;
use crate::asynchronous::stream::AsyncStream;
use crate::blocking::stream::BlockingStream;
use crate::error;
use crate::stream::Stream;

/// The state that changes while the client waits. Clones share it.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<Moving>>);

pub(super) struct Moving {
    pub(super) plan: Arc<Plan>,
    pub(super) dice: Dice,
    pub(super) gates: Gates,
    /// The server's end of each connection.
    pub(super) peers: Vec<Peer>,
    failure: Option<String>,
}

/// No deadline of a run is longer than this.
const LATEST: Duration = Duration::from_secs(60);

/// If no step was possible in this number of turns, the client waits. A stream that is pending without a reason needs more
/// than one turn.
const IDLE_TURNS: usize = 20;

/// The largest number of steps of a run. A run with more steps is in an endless loop.
const MOST_STEPS: usize = 3_000_000;

impl World {
    pub(super) fn new(plan: Arc<Plan>, dice: Dice) -> Self {
        let gates = Gates::default();
        Self(Arc::new(Mutex::new(Moving { plan, dice, gates, peers: Vec::new(), failure: None })))
    }

    pub(super) fn moving(&self) -> MutexGuard<'_, Moving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection. Returns the client's end.
    pub(super) fn connect(&self) -> Line {
        let moving = &mut *self.moving();
        let (pipe, far) = pipe(&mut moving.dice, moving.plan.transport, moving.plan.most);
        moving.peers.push(Peer::new(moving.plan.clone(), far));
        Line { pipe, world: self.clone(), idle: 0 }
    }

    /// Runs a future, which is polled only after its waker was called. Takes steps of the servers between the polls.
    pub(super) async fn drive<F: Future>(&self, future: F) -> Result<F::Output, String> {
        let mut future = FuturesUnordered::from_iter([future]);
        tokio::select! {
            biased;
            Some(output) = future.next() => Ok(output),
            failure = self.take_steps() => match failure? {},
        }
    }

    /// Takes steps, and advances the clock when no step is possible and the plan allows this.
    async fn take_steps(&self) -> Result<Infallible, String> {
        let (began, mut idle) = (Instant::now(), 0);
        for _ in 0..MOST_STEPS {
            idle = if self.moving().step()? { 0 } else { idle + 1 };
            let is_late = began.elapsed() > LATEST;
            if idle > IDLE_TURNS && (is_late || !self.moving().plan.waits) {
                return Err(format!("the client waits, and no step or deadline ends this: {}", self.moving().state()));
            }
            if idle > IDLE_TURNS {
                sleep(Duration::from_millis(100)).await;
            }
            // A task that has been woken need not run next.
            if idle > 0 || self.moving().dice.one_in(2) {
                yield_now().await;
            }
        }
        Err("the future did not end within the largest number of steps".into())
    }

    /// Takes steps until all bytes have arrived.
    pub(super) fn settle(&self) -> Result<(), String> {
        for _ in 0..MOST_STEPS {
            if !self.moving().step()? {
                return Ok(());
            }
        }
        Err("the servers did not end within the largest number of steps".into())
    }
}

impl Moving {
    /// Takes one step, if a step is possible. Returns whether it took a step.
    fn step(&mut self) -> Result<bool, String> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        for turn in self.dice.turns(2 * self.peers.len() + 1) {
            let moved = match turn.checked_sub(1) {
                None => self.gates.open(&mut self.dice),
                Some(turn) if turn % 2 == 0 => self.peers[turn / 2].far.advance(),
                Some(turn) => self.peers[turn / 2].step(&mut self.dice)?,
            };
            if moved {
                if self.plan.nudges && self.dice.one_in(20) {
                    self.peers.iter().for_each(|peer| peer.far.nudge());
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Describes the newest connection.
    fn state(&self) -> String {
        format!("{:?}", self.peers.last().map(|peer| &peer.far))
    }
}

/// The client's end of a connection. It behaves like a socket. While a blocking client waits for this end, the servers
/// take their steps.
pub(super) struct Line {
    pub(super) pipe: Pipe,
    world: World,
    /// The number of waits in a row without a step.
    idle: usize,
}

impl Line {
    fn wait<T>(&mut self, mut poll: impl FnMut(&mut Pipe, &mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = poll(&mut self.pipe, &mut cx) {
                return done;
            }
            let mut moving = self.world.moving();
            match moving.step() {
                Ok(moved) => self.idle = if moved { 0 } else { self.idle + 1 },
                Err(failure) => {
                    moving.failure = Some(failure);
                    return Err(ErrorKind::Other.into());
                }
            }
            // Sometimes the stream is pending without a reason.
            if self.idle > 50 {
                moving.failure = Some(format!("client and server wait for each other: {}", moving.state()));
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

impl Stream for Line {
    fn check(&mut self) -> Result<(), error::ErrorKind> {
        match self.pipe.peek() {
            (0, None) => Ok(()),
            (0, Some(_)) => Err(error::ErrorKind::Closed),
            _ => Err(Fault::UnsolicitedBytes.into()),
        }
    }

    fn is_socket(&self) -> bool {
        true
    }

    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        if blocks {
            return self.wait(|pipe, cx| pipe.poll_read_buffer(cx, buffer));
        }
        match self.pipe.poll_read_buffer(&mut Context::from_waker(Waker::noop()), buffer) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.pipe.poll_write_pieces(cx, pieces)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.shut_down_writing();
        Poll::Ready(Ok(()))
    }
}

impl AsyncStream for Line {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.pipe.poll_read_buffer(cx, buffer)
    }
}

impl BlockingStream for Line {
    fn wait(&mut self, _: bool, _: bool, _: Option<Duration>) -> io::Result<bool> {
        // A wait may end without a reason.
        let mut waits = true;
        Self::wait(self, |_, _| if std::mem::take(&mut waits) { Poll::Pending } else { Poll::Ready(Ok(true)) })
    }
}

/// A blocking client that was given this stream can only read and write.
impl Read for Line {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.wait(|pipe, cx| {
            let mut room = ReadBuf::new(bytes);
            Pin::new(pipe).poll_read(cx, &mut room).map_ok(|()| room.filled().len())
        })
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|pipe, cx| pipe.poll_write_pieces(cx, &[IoSlice::new(bytes)]))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
