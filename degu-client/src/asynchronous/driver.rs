//! The async driver: it reads a stream that does not block, and its task is woken.

use std::{
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use degu_wire::{Source, Step};
use tokio::task::yield_now;

use super::stream::AsyncStream;
use super::timer::Timer;
use crate::error::Error;
use crate::link::{Driver, Line};

/// The driver of a connection of the async client: its timer, and whether it spins.
#[derive(Debug)]
pub struct Async {
    timer: Timer,
    /// The wait for a head that was polled last spins.
    spins: bool,
    /// The start of the spinner's clock.
    epoch: Instant,
}

impl Default for Async {
    fn default() -> Self {
        Self { timer: Timer::default(), spins: false, epoch: Instant::now() }
    }
}

impl Driver for Async {
    type Stream = dyn AsyncStream;
    type Home = tokio::runtime::Id;
    type Source = dyn Source + Send;
    const SOURCES_BLOCK: bool = false;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn home() -> Self::Home {
        tokio::runtime::Handle::current().id()
    }

    fn poll_read(line: &mut Line<'_, Self>, cx: &mut Context<'_>) -> Poll<Result<io::Result<usize>, Error>> {
        if line.is_socket && line.exchange.awaits_head() && line.exchange.begins_to_wait() {
            line.driver.spins = line.spinner.begin();
        }
        if line.driver.spins
            && let Some(read) = ready!(line.poll_spin(cx))?
        {
            return Poll::Ready(Ok(read));
        }
        line.stream.poll_read(cx, line.exchange.receive_buffer()).map(Ok)
    }

    fn poll_yield(_: &mut Line<'_, Self>, cx: &mut Context<'_>) -> Poll<()> {
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_wait(line: &mut Line<'_, Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // The runtime runs other tasks meanwhile.
        line.spinner.end_turn();
        line.poll_expired(cx)
    }
}

impl Line<'_, Async> {
    /// Spins for the head of a response, as long as the spinner says: reads without waiting. It is pending while other
    /// tasks have their turn.
    fn poll_spin(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<io::Result<usize>>, Error>> {
        let epoch = self.driver.epoch;
        while self.exchange.awaits_head() {
            match self.spinner.step(|| epoch.elapsed()) {
                Step::Block => break,
                Step::Read => {}
                Step::Yield => std::thread::yield_now(),
                Step::GiveWay => {
                    // A spin may last longer than the deadline.
                    if let Poll::Ready(expired) = self.poll_expired(cx) {
                        return Poll::Ready(expired.map(|()| None));
                    }
                    // Polled once, it asks the runtime to come back after the other tasks.
                    let _ = pin!(yield_now()).poll(cx);
                    return Poll::Pending;
                }
            }
            match self.stream.read(self.exchange.receive_buffer(), false) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                read => {
                    self.driver.spins = false;
                    self.spinner.found(|| epoch.elapsed());
                    self.spinner.message();
                    return Poll::Ready(Ok(Some(read)));
                }
            }
        }
        self.driver.spins = false;
        Poll::Ready(Ok(None))
    }

    /// Waits until the deadline of the wait under way has passed: returns an error, or what else to try.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(deadline) = self.exchange.deadline() else { return Poll::Pending };
        // A socket belongs to the runtime that it was made in; a stream of the caller's may be used in another.
        let moves = !self.is_socket;
        self.driver.timer.poll(cx, deadline, moves).map(|()| self.exchange.expired())
    }
}
