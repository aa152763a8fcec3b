//! The async driver: an exchange over a stream that does not block, in a task that is woken.

use std::{
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use degu_wire::{Source, Step as Spinning};
use tokio::task::yield_now;

use crate::error::Error;
use crate::exchange::Want;
use crate::link::{Driver, Line, SourceOf, Step};
use crate::stream::AsyncStream;
use crate::timer::Timer;

/// The async driver, which a connection of the async client has: its timer, and whether it spins.
#[derive(Debug)]
pub struct Async {
    timer: Timer,
    /// The wait for a head that was polled last spins.
    spins: bool,
    /// Where the spinner's clock begins.
    epoch: Instant,
}

impl Default for Async {
    fn default() -> Self {
        Self { timer: Timer::default(), spins: false, epoch: Instant::now() }
    }
}

impl Driver for Async {
    type Stream = dyn AsyncStream;
    type Source = dyn Source + Send;
    const SOURCES_BLOCK: bool = false;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
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
                Want::Write => match line.poll_write(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => {
                        line.exchange.stop_sending();
                        *source = None;
                    }
                    Poll::Pending => line.exchange.stuck().write = true,
                },
                Want::Give => {
                    if let Some(given) = line.exchange.give(step)? {
                        return Poll::Ready(Ok(given));
                    }
                }
                Want::Read => {
                    let read = match ready!(line.poll_spin(cx))? {
                        Some(read) => Poll::Ready(read),
                        None => line.stream.poll_read(cx, line.exchange.receive_buffer()),
                    };
                    match read {
                        Poll::Ready(Ok(octets)) => line.exchange.received(octets),
                        Poll::Ready(Err(error)) => line.exchange.read_failed(error)?,
                        Poll::Pending => line.exchange.stuck().read = true,
                    }
                }
                Want::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Want::Wait => {
                    // The runtime runs other tasks meanwhile.
                    line.spinner.end_turn();
                    ready!(line.poll_expired(cx))?;
                }
            }
        }
    }
}

impl Line<'_, Async> {
    /// Writes what is pending; if there is nothing, flushes what the stream holds back.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, exchange, .. } = self;
        if let Some(pending) = exchange.pending(stream.has_records()) {
            let octets = ready!(pending.write_with(|pieces| stream.poll_write(cx, pieces)))?;
            exchange.transmitted(octets);
        } else {
            ready!(stream.poll_flush(cx))?;
            exchange.flushed();
        }
        Poll::Ready(Ok(()))
    }

    /// Spins for the head of a response, as long as the spinner says: reads without waiting. It is pending while other
    /// tasks have their turn.
    fn poll_spin(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<io::Result<usize>>, Error>> {
        if self.exchange.begins_wait() && self.exchange.awaits_head() && self.stream.socket().is_some() {
            self.driver.spins = self.spinner.begin();
            self.exchange.deadline();
        }
        let epoch = self.driver.epoch;
        while self.driver.spins && self.exchange.awaits_head() {
            match self.spinner.step(|| epoch.elapsed()) {
                Spinning::Block => break,
                Spinning::Read => {}
                Spinning::Yield => std::thread::yield_now(),
                Spinning::GiveWay => {
                    // A spin may last longer than the deadline.
                    if let Poll::Ready(expired) = self.poll_expired(cx) {
                        return Poll::Ready(expired.map(|()| None));
                    }
                    // Polled once, it asks the runtime to come back after the other tasks.
                    let _ = pin!(yield_now()).poll(cx);
                    return Poll::Pending;
                }
            }
            if let Some(read) = self.stream.try_read(self.exchange.receive_buffer()).transpose() {
                self.driver.spins = false;
                self.spinner.found(|| epoch.elapsed());
                self.spinner.message();
                return Poll::Ready(Ok(Some(read)));
            }
        }
        self.driver.spins = false;
        Poll::Ready(Ok(None))
    }

    /// Ready when the deadline of the wait under way has passed: with an error, or with another thing to try.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(deadline) = self.exchange.deadline() else { return Poll::Pending };
        // A socket belongs to the runtime that it was made in; a stream of the caller's may be used in another.
        let moves = self.stream.socket().is_none();
        self.driver.timer.poll(cx, deadline, moves).map(|()| self.exchange.expired())
    }
}
