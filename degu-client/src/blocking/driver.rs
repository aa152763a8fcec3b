//! The blocking driver: its thread waits for the stream, by a read that blocks or by `poll(2)`.

use std::{
    io,
    task::{Context, Poll},
    thread::yield_now,
    time::Instant,
};

use degu_wire::{BoxError, Part, Step};

use super::stream::BlockingStream;
use crate::error::{Error, Timeout};
use crate::link::{Driver, Line};

/// The driver of a connection of the blocking client.
#[derive(Debug)]
pub struct Blocking {
    /// The start of the spinner's clock.
    epoch: Instant,
}

impl Default for Blocking {
    fn default() -> Self {
        Self { epoch: Instant::now() }
    }
}

impl Driver for Blocking {
    type Stream = dyn BlockingStream;
    type Home = ();
    type Source = dyn Iterator<Item = Result<Part, BoxError>> + Unpin;
    const SOURCES_BLOCK: bool = true;

    fn now() -> Instant {
        Instant::now()
    }

    fn home() {}

    fn poll_read(line: &mut Line<'_, Self>, _: &mut Context<'_>) -> Poll<Result<io::Result<usize>, Error>> {
        line.read()
    }

    fn poll_yield(_: &mut Line<'_, Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn poll_wait(line: &mut Line<'_, Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(line.wait())
    }
}

impl Line<'_, Blocking> {
    /// Reads what was received. Where nothing else can be done, and all of the time is left, the read blocks: the socket's
    /// own timeout, which is the shortest deadline, bounds it at no cost. It does not where the exchange as a whole has a
    /// deadline, of which any part may be left.
    fn read(&mut self) -> Poll<Result<io::Result<usize>, Error>> {
        let is_socket = self.is_socket;
        if !is_socket && self.exchange.awaits_continue() {
            // Such a stream has no timeouts: the wait for `100 Continue` ends at once.
            return self.exchange.expired().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending);
        }
        let begins = self.exchange.begins_to_wait();
        let read = if begins && is_socket && self.exchange.awaits_head() && self.spinner.begin() {
            let deadline = self.exchange.deadline();
            self.spin(deadline)
        } else {
            let blocks = begins && !self.exchange.has_timeout();
            self.stream.read(self.exchange.receive_buffer(), blocks)
        };
        match read.as_ref().map_err(io::Error::kind) {
            Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) if !is_socket => {
                Poll::Ready(Err(self.exchange.error(Timeout::Stream)))
            }
            // Nothing was received in time; a signal came; or a record is not complete.
            Err(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Poll::Pending,
            _ => Poll::Ready(Ok(read)),
        }
    }

    /// Spins for the head of a response, as long as the spinner and the deadline say.
    fn spin(&mut self, deadline: Option<Instant>) -> io::Result<usize> {
        let epoch = self.driver.epoch;
        loop {
            match self.spinner.step(|| epoch.elapsed()) {
                Step::Block => return Err(io::ErrorKind::WouldBlock.into()),
                Step::Read => {}
                Step::Yield => yield_now(),
                Step::GiveWay if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Step::GiveWay => yield_now(),
            }
            match self.stream.read(self.exchange.receive_buffer(), false) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                read => {
                    self.spinner.found(|| epoch.elapsed());
                    return read;
                }
            }
        }
    }

    /// Waits for the stream until the deadline.
    fn wait(&mut self) -> Result<(), Error> {
        let left = self.exchange.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let stuck = *self.exchange.stuck();
        match self.stream.wait(stuck.read, stuck.write, left) {
            Ok(true) => self.exchange.retry(),
            Ok(false) => self.exchange.expired(),
            Err(error) => Err(self.exchange.error(error)),
        }
    }
}

/// Returns the result of a poll that is never pending, because a blocking driver waits by itself.
pub(crate) fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(done) = poll(&mut cx) {
            return done;
        }
    }
}
