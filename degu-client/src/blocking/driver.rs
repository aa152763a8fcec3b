//! The blocking driver: an exchange in a thread that waits for its stream, by a read that blocks or by `poll(2)`.

use std::{
    io,
    task::{Context, Poll},
    thread::yield_now,
    time::Instant,
};

use degu_wire::{Source, Step as Spinning};

use super::stream::BlockingStream;
use crate::error::{Deadline, Error};
use crate::exchange::Want;
use crate::link::{Driver, Line, SourceOf, Step};

/// The blocking driver, which a connection of the blocking client has.
#[derive(Debug)]
pub struct Blocking {
    /// Where the spinner's clock begins.
    epoch: Instant,
}

impl Default for Blocking {
    fn default() -> Self {
        Self { epoch: Instant::now() }
    }
}

impl Driver for Blocking {
    type Stream = dyn BlockingStream;
    type Source = dyn Source;
    const SOURCES_BLOCK: bool = true;

    fn now() -> Instant {
        Instant::now()
    }

    fn poll<S: Source + ?Sized, T>(
        line: &mut Line<'_, Self>,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
        step: Step<T>,
    ) -> Poll<Result<T, Error>> {
        line.exchange.retry();
        loop {
            match line.exchange.want()? {
                Want::Source => match source.as_mut().map(|source| source.as_mut().poll_part(cx)) {
                    Some(Poll::Ready(part)) => {
                        let part = part.transpose().map_err(|error| line.exchange.error(error))?;
                        line.exchange.send_part(part)?;
                        source.take_if(|_| !line.exchange.needs_source());
                    }
                    _ => line.exchange.stuck().source = true,
                },
                Want::Write => match line.write() {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && line.stream.socket().is_some() => {
                        line.exchange.stuck().write = true;
                    }
                    Err(_) => {
                        line.exchange.stop_sending();
                        *source = None;
                    }
                },
                Want::Give => {
                    if let Some(given) = line.exchange.give(step)? {
                        return Poll::Ready(Ok(given));
                    }
                }
                Want::Read => line.read()?,
                Want::Yield => line.exchange.retry(),
                Want::Wait => line.wait()?,
            }
        }
    }
}

impl Line<'_, Blocking> {
    /// Writes what is pending; if there is nothing, flushes what the stream holds back.
    fn write(&mut self) -> io::Result<()> {
        let Self { stream, exchange, .. } = self;
        if let Some(pending) = exchange.pending(stream.has_records()) {
            let octets = pending.write_with(|pieces| stream.write(pieces))?;
            exchange.transmitted(octets);
        } else {
            stream.flush()?;
            exchange.flushed();
        }
        Ok(())
    }

    /// Reads what was received. Where nothing else can be done, and all of the time is left, the read blocks: the socket's
    /// own timeout, which is the shortest deadline, bounds it at no cost.
    fn read(&mut self) -> Result<(), Error> {
        let is_socket = self.stream.socket().is_some();
        if !is_socket && self.exchange.awaits_continue() {
            // Such a stream knows no time: what needs one is given up.
            return self.exchange.expired();
        }
        let begins = self.exchange.is_sent() && self.exchange.begins_wait();
        let mut read = None;
        if begins && is_socket {
            let deadline = self.exchange.deadline();
            if self.exchange.awaits_head() && self.spinner.begin() {
                read = Some(self.spin(deadline));
            }
        }
        let read = read.unwrap_or_else(|| self.stream.read(self.exchange.receive_buffer(), begins));
        match read {
            Ok(octets) => self.exchange.received(octets),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if !is_socket => {
                    return Err(self.exchange.error(Deadline::Stream));
                }
                // Nothing was received in time; a signal came; or a record is not complete.
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => self.exchange.stuck().read = true,
                _ => self.exchange.read_failed(error)?,
            },
        }
        Ok(())
    }

    /// Spins for the head of a response, as long as the spinner and the deadline say.
    fn spin(&mut self, deadline: Option<Instant>) -> io::Result<usize> {
        let epoch = self.driver.epoch;
        loop {
            match self.spinner.step(|| epoch.elapsed()) {
                Spinning::Block => return Err(io::ErrorKind::WouldBlock.into()),
                Spinning::Read => {}
                Spinning::Yield => yield_now(),
                Spinning::GiveWay if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Spinning::GiveWay => yield_now(),
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
            Ok(false) => self.exchange.expired()?,
            Err(error) => return Err(self.exchange.error(error)),
        }
        Ok(())
    }
}

/// Returns what is never pending: a blocking driver waits by itself.
pub(crate) fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(done) = poll(&mut cx) {
            return done;
        }
    }
}
