//! The blocking driver: its thread waits for the stream, in a blocking read or in `poll(2)`.

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
#[derive(Debug, Default)]
pub struct Blocking;

impl Driver for Blocking {
    type Stream = dyn BlockingStream;
    type Home = ();
    type Source = dyn Iterator<Item = Result<Part, BoxError>> + Unpin;
    const BLOCKS: bool = true;

    fn now() -> Instant {
        Instant::now()
    }

    fn home() {}

    #[inline(always)]
    fn poll_read(line: &mut Line<'_, Self>, _: &mut Context<'_>) -> Poll<Result<io::Result<usize>, Error>> {
        line.read()
    }

    fn poll_wait(line: &mut Line<'_, Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(line.wait())
    }
}

impl Line<'_, Blocking> {
    /// Reads the bytes that have been received. The read blocks if three things are true: the request has been sent,
    /// the wait for the response begins with this call, and the exchange as a whole has no deadline. If no bytes come,
    /// the socket's own timeout ends the read, without a further system call. The socket's timeout is the shorter of
    /// `head_timeout` and `body_timeout`, so no read lasts too long.
    #[inline(always)]
    fn read(&mut self) -> Poll<Result<io::Result<usize>, Error>> {
        let is_socket = self.exchange.is_socket;
        if !is_socket && !self.exchange.is_sent() {
            // A read from a stream of the caller could last forever, because the server may wait for the rest of the
            // request. So the whole request is sent before the first read, without a wait for `100 Continue`.
            self.exchange.machine.send_body_anyway();
            return Poll::Pending;
        }
        let begins = self.exchange.begins_to_wait();
        let read = if begins && is_socket && self.exchange.awaits_head() && self.exchange.spinner.begin() {
            self.spin_until_deadline()
        } else {
            let blocks = begins && self.exchange.until.is_none();
            self.stream.read(self.exchange.machine.receive_buffer(), blocks)
        };
        match read.as_ref().map_err(io::Error::kind) {
            Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) if !is_socket => {
                Poll::Ready(Err(self.exchange.error(Timeout::Stream)))
            }
            // No bytes came in time, a signal interrupted the read, or a TLS record is not complete or has no data.
            Err(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Poll::Pending,
            _ => Poll::Ready(Ok(read)),
        }
    }

    /// Spins for the head of a response. The spin ends with the result of a read. If no bytes come, the spinner or the
    /// deadline ends the spin with `WouldBlock`.
    fn spin_until_deadline(&mut self) -> io::Result<usize> {
        let deadline = self.exchange.deadline();
        loop {
            match self.spin() {
                Ok(read) => return read,
                Err(Step::RunOthers) if deadline.is_none_or(|deadline| Instant::now() < deadline) => yield_now(),
                Err(_) => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }

    /// Waits until the stream is ready, and then calls [`retry`](crate::exchange::Exchange::retry). If the deadline
    /// passes first, ends the current wait.
    fn wait(&mut self) -> Result<(), Error> {
        let left = self.exchange.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let stuck = self.exchange.stuck;
        match self.stream.wait(stuck.read, stuck.write, left) {
            Ok(true) => self.exchange.retry(),
            Ok(false) => self.exchange.end_wait(),
            Err(error) => Err(self.exchange.error(error)),
        }
    }
}

/// Polls until there is a result. The loop does not busy-poll, because the blocking driver blocks in each poll.
pub(crate) fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(done) = poll(&mut cx) {
            return done;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::time::Duration;

    use bytes::BytesMut;
    use degu_wire::machine::Content;
    use degu_wire::{Address, Headers, Method, Spin};

    use super::*;
    use crate::blocking::Client;
    use crate::link::{Link, SourceOf};
    use crate::stream::Stream;

    /// A socket that takes up to 1 MiB in each write. The response can be read after the first wait for the socket.
    struct Roomy {
        is_answered: bool,
    }

    impl Stream for Roomy {
        fn is_socket(&self) -> bool {
            true
        }

        fn read(&mut self, buffer: &mut BytesMut, _: bool) -> io::Result<usize> {
            if !self.is_answered {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let head = b"HTTP/1.1 204 No Content\r\n\r\n";
            buffer.extend_from_slice(head);
            Ok(head.len())
        }

        fn poll_write(&mut self, _: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum::<usize>().min(1024 * 1024)))
        }
    }

    impl BlockingStream for Roomy {
        fn wait(&mut self, _: bool, _: bool, limit: Option<Duration>) -> io::Result<bool> {
            self.is_answered = true;
            Ok(limit.is_some_and(|limit| !limit.is_zero()))
        }
    }

    #[test]
    fn wait_for_a_head_begins_after_a_long_request() {
        const LIMIT: Duration = Duration::from_secs(10);
        let client = Client::options().spin(Spin::Off).head_timeout(LIMIT).client(Address::ABSTRACT);
        let mut link = Link::<Blocking>::new(Box::new(Roomy { is_answered: false }), client.base);
        let body = Content::Bytes(vec![0; 4 * 1024 * 1024].into());
        let began = Instant::now().checked_sub(LIMIT).unwrap();
        link.exchange.prepare(None, Some(began));
        link.exchange.begin(Method::Put, "/", &Headers::new(), &body, None).unwrap();
        let mut source: SourceOf<<Blocking as Driver>::Source> = None;
        wait(|cx| link.poll_head(cx, &mut source)).unwrap();
        assert_eq!(link.take_head().unwrap().status(), 204);
    }
}
