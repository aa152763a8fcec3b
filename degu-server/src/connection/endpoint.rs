//! The part of a connection that exists even while the connection is idle: the stream, the deadline, and the connection's
//! [`Place`] in the list of its worker.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::close::CloseReason;
use super::deadline::{Deadline, LINGER_IN_ALL, Wait};
use crate::report::Report;
use crate::stats::add;
use crate::stream::{PeerState, Stream, Transport};
use crate::worker_state::Place;

/// The part of a connection that exists even while the connection is idle.
///
/// Rust drops the fields in the order of their declaration. The socket is therefore closed before `place` is dropped,
/// which makes room for another connection.
pub(super) struct Endpoint<T: Transport> {
    pub(super) stream: Stream<T>,
    pub(super) deadline: Deadline,
    pub(super) place: Place,
    pub(super) is_eof: bool,
    /// True while only the end of the connection shows the peer that the data is complete: in a response without a
    /// length, and in another protocol. A connection that is dropped while this is true must be reset.
    pub(super) is_unframed: bool,
    /// The report of the exchange in progress, if the server has an `on_response`.
    pub(super) report: Option<Box<Report>>,
}

pub(super) type Moved = Result<(), CloseReason>;

impl<T: Transport> Drop for Endpoint<T> {
    /// Resets the connection if its data is incomplete, and a normal close would tell the peer that the data is complete.
    fn drop(&mut self) {
        if self.is_unframed {
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
            report: None,
        }
    }

    /// Records that the connection does not wait for the peer now, so it is not closed to make room for another
    /// connection.
    pub(super) fn work(&mut self) {
        self.deadline.set_wait(Wait::Handler, self.place.worker.seconds());
        self.place.alarm.set_busy();
    }

    /// Records the event for which the connection's task is about to wait, and sets the alarm. Does not wait.
    pub(super) fn set_wait(&mut self, wait: Wait) {
        let Place { worker, alarm, .. } = &self.place;
        self.deadline.set_wait(wait, worker.seconds());
        alarm.set(self.deadline.due(&worker.options.deadlines));
        match wait {
            Wait::Request | Wait::Idle => self.place.set_spare(),
            Wait::Linger => {}
            _ => alarm.set_busy(),
        }
    }

    /// Returns whether the exchange must be [ended](Self::end_exchange) when its response was written: it has a report, or only
    /// the end of the connection shows the peer that it has all data.
    pub(super) const fn observes_end(&self) -> bool {
        self.is_unframed || self.report.is_some()
    }

    /// Ends an exchange whose response was written as a whole.
    pub(super) fn end_exchange(&mut self) {
        self.is_unframed = false;
        if let Some(report) = self.report.take() {
            report.end();
        }
    }

    /// Counts received bytes. 0 bytes are the end of the input.
    pub(super) fn received(&mut self, bytes: usize) {
        self.is_eof |= bytes == 0;
        add(&self.place.worker.counters().received, bytes as u64);
    }

    /// Records that bytes were received from the peer or sent to it. These bytes count for the minimum rate.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.deadline.moved(bytes, self.place.worker.seconds());
    }

    /// Asks the kernel about a peer from which nothing is read now. Returns an error if the peer is gone.
    pub(super) fn check_peer(&mut self) -> Moved {
        match self.stream.peer(self.is_eof) {
            PeerState::Present => Ok(()),
            PeerState::HalfClosed => {
                self.deadline.half_close(self.place.worker.seconds());
                Ok(())
            }
            PeerState::Gone => Err(CloseReason::Gone(None)),
        }
    }

    /// Returns an error if a deadline has expired, or if the connection must close to make room for another connection.
    pub(super) fn check_alarm(&mut self) -> Moved {
        let Place { worker, alarm, .. } = &self.place;
        if worker.seconds() < alarm.due() { Ok(()) } else { self.judge() }
    }

    /// Handles an alarm that is due, or a request to make room: see [`check_alarm`](Self::check_alarm).
    #[cold]
    fn judge(&mut self) -> Moved {
        let Place { worker, alarm, .. } = &self.place;
        if self.place.is_asked_for_room() {
            // If input has arrived since the connection was asked to close, the connection stays open. The acceptor is woken,
            // and asks another connection if there still is no room.
            if alarm.lingers() || !self.stream.has_input() {
                return Err(CloseReason::Room);
            }
            worker.server.notify_room();
        }
        let expired = self.deadline.expired(worker.seconds(), &worker.options.deadlines);
        alarm.set(self.deadline.due(&worker.options.deadlines));
        expired.map_or(Ok(()), |wait| Err(CloseReason::Deadline(wait)))
    }

    /// Waits for input while the connection is idle. Returns without input if the server shuts down.
    pub(super) async fn readable(&mut self) -> Moved {
        self.stream.rest()?;
        poll_fn(|cx| {
            self.check_alarm()?;
            if self.is_too_late() {
                return Poll::Ready(Ok(()));
            }
            if self.stream.poll_readable(cx)?.is_pending() {
                self.set_wait(Wait::Idle);
                return Poll::Pending;
            }
            // `work` does not reset the idle deadline, because the bytes may be only a part of a TLS record.
            self.work();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Returns whether the server shuts down and there is no input. The connection then reads no more requests.
    pub(super) fn is_too_late(&mut self) -> bool {
        self.place.worker.is_stopping() && !self.stream.has_input()
    }

    /// Half-closes the connection, then reads and drops further input until the peer closes its side. Closing a socket with
    /// unread input would reset the connection, and the peer could lose the last response (RFC 9112 §9.6). Ends after
    /// [`LINGER_IN_ALL`] seconds, or earlier if the peer sends too slowly.
    pub(super) async fn linger(&mut self) -> Moved {
        self.place.linger();
        let end = self.place.worker.seconds() + LINGER_IN_ALL;
        poll_fn(|cx| {
            self.check_alarm()?;
            self.set_wait(Wait::Linger);
            Pin::new(&mut self.stream).poll_shutdown(cx).map_err(CloseReason::from)
        })
        .await?;
        poll_fn(|cx| {
            while !self.is_eof && self.place.worker.seconds() < end {
                self.check_alarm()?;
                let read = ready!(self.poll_discard(cx))?;
                self.moved(read);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Reads and drops input. Returns the number of bytes, which is 0 at the end of the input.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let read = ready!(self.stream.poll_read_slice(cx, &mut self.place.worker.scratch()))?;
        self.received(read);
        Poll::Ready(Ok(read))
    }

    /// Sends the bytes that the handler of another protocol has written and that TLS has not sent yet. The peer must
    /// receive these bytes at the minimum rate of a response.
    pub(super) async fn flush_tunnel(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check_alarm()?;
            self.set_wait(Wait::Write);
            Pin::new(&mut self.stream).poll_flush(cx).map_err(CloseReason::from)
        })
        .await
    }
}
