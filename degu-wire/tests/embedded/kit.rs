//! A peer with a script, a clock that knows no time but what the peer takes, and an executor.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use degu_wire::embedded::{Clock, Memory, Options};
use embedded_io_async::{ErrorType, Read, Write};

/// The next step of a peer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Lets a second pass.
    Pause,
    /// Lets time pass until this has been sent to it.
    Until(&'static str),
    /// Read nothing more, so there is no room for a write.
    Full,
    /// Have no room for one write.
    Busy,
}

/// The other end of a connection, which ends its side after its last step.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    steps: VecDeque<Step>,
    /// The most bytes of one read, and of one write.
    most: usize,
    pub(crate) received: Vec<u8>,
    /// The number of bytes of `received` that have been flushed.
    flushed: usize,
}

impl Peer {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), most: usize::MAX, received: Vec::new(), flushed: 0 }
    }

    /// A peer that sends this at once.
    pub(crate) fn sending(bytes: impl AsRef<[u8]>) -> Self {
        Self::new([Step::Send(bytes.as_ref().to_vec())])
    }

    pub(crate) fn at_most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Returns the bytes that it received, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Returns whether it has sent all that it had to.
    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty()
    }

    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<Result<usize, Infallible>> {
        loop {
            match self.steps.front_mut() {
                None => return Poll::Ready(Ok(0)),
                Some(Step::Send(bytes)) if bytes.is_empty() => drop(self.steps.pop_front()),
                Some(Step::Send(bytes)) => {
                    let length = bytes.len().min(buffer.len()).min(self.most);
                    buffer[..length].copy_from_slice(&bytes[..length]);
                    bytes.drain(..length);
                    if bytes.is_empty() {
                        self.steps.pop_front();
                    }
                    return Poll::Ready(Ok(length));
                }
                Some(Step::Pause) => {
                    self.steps.pop_front();
                    return Poll::Pending;
                }
                Some(Step::Full | Step::Busy) => return Poll::Pending,
                // What was not flushed has not arrived.
                Some(Step::Until(text)) => {
                    let arrived = String::from_utf8_lossy(&self.received[..self.flushed]);
                    if !arrived.contains(*text) {
                        return Poll::Pending;
                    }
                    self.steps.pop_front();
                }
            }
        }
    }
}

impl ErrorType for Peer {
    type Error = Infallible;
}

impl Read for Peer {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        assert!(!buffer.is_empty(), "a read without room");
        poll_fn(|_| self.poll_read(buffer)).await
    }
}

impl Write for Peer {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Infallible> {
        if self.steps.pop_front_if(|step| matches!(step, Step::Busy)).is_some()
            || matches!(self.steps.front(), Some(Step::Full))
        {
            pending::<()>().await;
        }
        let length = data.len().min(self.most);
        self.received.extend_from_slice(&data[..length]);
        Ok(length)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        self.flushed = self.received.len();
        Ok(())
    }
}

/// Time passes only where something is waited for: a second for each poll that finds nothing.
pub(crate) struct Seconds;

impl Clock for Seconds {
    async fn limit<F: Future>(&self, left: &mut Duration, future: F) -> Option<F::Output> {
        const SECOND: Duration = Duration::from_secs(1);
        let mut future = pin!(future);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Some(output));
                }
                if *left < SECOND {
                    *left = Duration::ZERO;
                    return Poll::Ready(None);
                }
                *left -= SECOND;
            }
        })
        .await
    }
}

/// The buffers of most tests.
pub(crate) type Sizes = Memory<1024, 16, 256>;

pub(crate) const OPTIONS: Options = Options::DEFAULT;

/// Runs a future that never waits but for [`Seconds`].
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("something was waited for without a limit"),
    }
}
