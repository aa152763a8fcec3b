//! The part of a connection that an idle one keeps.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::close::CloseReason;
use super::deadline::{Deadline, LINGER_IN_ALL, Wait};
use crate::stream::{Stream, Transport};
use crate::worker_state::Place;

/// The stream of a connection, its deadline and its place.
///
/// Fields are dropped in this order: the socket is closed before the connection gives up its place.
#[derive(Debug)]
pub(super) struct Endpoint<T: Transport> {
    pub(super) stream: Stream<T>,
    pub(super) deadline: Deadline,
    pub(super) place: Place,
    pub(super) is_eof: bool,
    /// A response, or another protocol, is under way that only the end of the connection ends.
    pub(super) is_unframed: bool,
    /// Bytes that have not been counted yet.
    pub(super) received: u64,
    pub(super) sent: u64,
}

pub(super) type Moved = Result<(), CloseReason>;

pub(super) const fn gone(error: io::Error) -> CloseReason {
    CloseReason::Gone(Some(error))
}

impl<T: Transport> Drop for Endpoint<T> {
    /// Counts what has not been counted, however the task ends.
    fn drop(&mut self) {
        self.count_bytes();
        if self.is_unframed {
            // Dropped within a body that only the end of the connection ends.
            self.stream.reset_on_close();
        }
    }
}

impl<T: Transport> Endpoint<T> {
    pub(super) fn new(transport: T, place: Place) -> Self {
        Self {
            stream: Stream::new(transport),
            deadline: Deadline::default(),
            place,
            is_eof: false,
            is_unframed: false,
            received: 0,
            sent: 0,
        }
    }

    /// Adds the bytes that came and went to the server's counters.
    pub(super) fn count_bytes(&mut self) {
        let (received, sent) = self.take_counts();
        self.place.worker.counters().add_bytes(received, sent);
    }

    /// Returns how many bytes came and went since the last call.
    pub(super) const fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::replace(&mut self.received, 0), std::mem::replace(&mut self.sent, 0))
    }

    /// Notes that the connection has something to do, and waits for nothing of the peer.
    pub(super) fn work(&mut self) {
        self.deadline.wait(Wait::Handler, self.place.worker.seconds());
        self.place.alarm.set_busy();
    }

    /// Notes what the connection waits for, and sets the alarm. To be called whenever the task goes to sleep.
    pub(super) fn wait(&mut self, wait: Wait) {
        let Place { worker, alarm, .. } = &self.place;
        self.deadline.wait(wait, worker.seconds());
        alarm.set(self.deadline.due(&worker.options.deadlines));
        match wait {
            Wait::Request | Wait::Idle => self.place.set_spare(),
            Wait::Linger => {}
            _ => alarm.set_busy(),
        }
    }

    /// Notes that bytes came or went.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.deadline.moved(bytes, self.place.worker.seconds());
    }

    /// Judges the deadline, where there is something to judge.
    pub(super) fn check(&mut self) -> Moved {
        let Place { worker, alarm, .. } = &self.place;
        if worker.seconds() < alarm.due() { Ok(()) } else { self.judge() }
    }

    #[cold]
    fn judge(&mut self) -> Moved {
        let Place { worker, alarm, .. } = &self.place;
        if self.place.is_asked_for_room() {
            // A peer that has said something since is answered, and another connection asked.
            if self.place.lingers() || !self.stream.has_input() {
                return Err(CloseReason::Room);
            }
            worker.server.notify_room(0);
        }
        let expired = self.deadline.expired(worker.seconds(), &worker.options.deadlines);
        alarm.set(self.deadline.due(&worker.options.deadlines));
        expired.map_or(Ok(()), |wait| Err(CloseReason::Deadline(wait)))
    }

    /// Waits for input between two requests.
    pub(super) async fn readable(&mut self) -> Moved {
        self.stream.rest().map_err(gone)?;
        poll_fn(|cx| {
            self.check()?;
            if self.is_too_late() {
                return Poll::Ready(Ok(()));
            }
            if self.stream.poll_readable(cx).map_err(gone)?.is_pending() {
                self.wait(Wait::Idle);
                return Poll::Pending;
            }
            // Perhaps not of a request, but of a TLS record: the time goes on.
            self.work();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Returns whether the server is stopping and nothing has come: then there will be no request.
    pub(super) fn is_too_late(&mut self) -> bool {
        self.place.worker.is_stopping() && !self.stream.has_input()
    }

    /// Half-closes the connection, then reads and drops what still comes, so that the peer gets to read the last response:
    /// closing a socket with unread input resets the connection (RFC 9112 §9.6). A peer that sends all of its request
    /// first may send much. It is bounded by a rate and by [`LINGER_IN_ALL`], and nothing of it is kept.
    pub(super) async fn linger(&mut self) -> Moved {
        self.place.linger();
        let end = self.place.worker.seconds() + LINGER_IN_ALL;
        poll_fn(|cx| {
            self.check()?;
            self.wait(Wait::Linger);
            self.stream.poll_shut_down_writing(cx).map(Ok::<_, CloseReason>)
        })
        .await?;
        poll_fn(|cx| {
            while !self.is_eof && self.place.worker.seconds() < end {
                self.check()?;
                let read = ready!(self.poll_discard(cx))?;
                self.moved(read);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Reads and drops what has come.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let read = ready!(self.stream.poll_read_slice(cx, &mut self.place.worker.scratch())).map_err(gone)?;
        self.is_eof |= read == 0;
        self.received += read as u64;
        Poll::Ready(Ok(read))
    }

    /// Sends what a tunnel has written and TLS still holds, under the deadline of a response.
    pub(super) async fn flush_tunnel(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check()?;
            self.wait(Wait::Write);
            self.stream.poll_flush(cx).map_err(gone)
        })
        .await
    }
}
