//! The async driver. The driver never blocks the thread, and the runtime wakes the driver's task.

use std::{
    io, mem,
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

/// The driver of a connection of the async client.
#[derive(Debug, Default)]
pub struct Async {
    timer: Timer,
    /// True if the next read spins: at the beginning of a spin, and after the spin has let other tasks run.
    spins: bool,
}

impl Driver for Async {
    type Stream = dyn AsyncStream;
    type Home = tokio::runtime::Id;
    type Source = dyn Source + Send;
    const BLOCKS: bool = false;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn home() -> Self::Home {
        tokio::runtime::Handle::current().id()
    }

    #[inline(always)]
    fn poll_read(line: &mut Line<'_, Self>, cx: &mut Context<'_>) -> Poll<Result<io::Result<usize>, Error>> {
        let Line { exchange, driver, .. } = line;
        if !exchange.is_waiting() && exchange.is_socket && exchange.awaits_head() {
            driver.spins = exchange.spinner.begin();
        }
        // `spins` is true in a later poll, too, if other tasks had their turn during the spin.
        if mem::take(&mut driver.spins)
            && let Some(read) = ready!(line.poll_spin(cx))?
        {
            return Poll::Ready(Ok(read));
        }
        line.stream.poll_read(cx, line.exchange.machine.receive_buffer()).map(Ok)
    }

    #[inline(always)]
    fn poll_wait(line: &mut Line<'_, Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // While this task waits, the runtime runs other tasks, so the spinner's turn is over.
        line.exchange.spinner.end_turn();
        line.poll_deadline(cx)
    }
}

impl Line<'_, Async> {
    /// Busy-polls for the head of a response. Pending while other tasks have their turn; `None` if the spin ends
    /// without input.
    fn poll_spin(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<io::Result<usize>>, Error>> {
        match self.spin() {
            Ok(read) => {
                self.exchange.spinner.message();
                Poll::Ready(Ok(Some(read)))
            }
            Err(Step::RunOthers) => {
                // The deadline may pass during the spin.
                if let Poll::Ready(over) = self.poll_deadline(cx) {
                    return Poll::Ready(over.map(|()| None));
                }
                self.driver.spins = true;
                // One poll of `yield_now` asks the runtime to poll this task again after the other tasks.
                let _ = pin!(yield_now()).poll(cx);
                Poll::Pending
            }
            Err(_) => Poll::Ready(Ok(None)),
        }
    }

    /// Waits until the deadline of the current wait. Then ends this wait, as `Exchange::end_wait` describes.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(deadline) = self.exchange.deadline() else { return Poll::Pending };
        self.driver.timer.poll(cx, deadline).map(|()| self.exchange.end_wait())
    }
}
