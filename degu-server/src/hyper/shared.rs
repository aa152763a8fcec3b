//! The state of a connection under `hyper::serve`, which determines the deadline that applies, and how the connection ends.
//!
//! hyper owns the byte stream and calls the service, so no part of the code sees the whole connection. The byte stream
//! ([`Io`](super::io::Io)), the exchange and the connection's task therefore record events in [`State`].
//!
//! [`State::wait`] is the event that the connection waits for. It begins as `Handler`:
//!
//! | wait | set by | when |
//! | --- | --- | --- |
//! | `Handler` | the exchange | the exchange begins; the service finds data in the request's body, or drops the body |
//! | `Body` | the exchange | the service finds no data in the request's body |
//! | `Request` | `Io` | hyper finds no input between two exchanges |
//! | `Head` | `Io` | hyper receives the first byte of a head, and the byte cannot be of an earlier body ([`State::has_dropped_body`]) |
//!
//! If the last write found no room ([`State::is_blocked`]), the connection waits for room in place of this event. The client
//! makes room by reading.
//!
//! [`State::stage`] is the stage of the last response. It begins as `Done`:
//!
//! | stage | set by | when |
//! | --- | --- | --- |
//! | `Awaited` | the exchange | the exchange begins |
//! | `Late` | the connection's task | `handler_timeout` has expired. The exchange then drops the service's future |
//! | `Begun` or `Switching` | the exchange | the service has returned the response |
//! | `Done` | the exchange | hyper has taken the whole response that had `Begun`, and drops it |
//! | `Switched` | `Io` | the response with status 101 was written |
//!
//! The service may use the bodies of an exchange in any task, so a lock protects the state. Two tasks rarely compete for the
//! lock. Reports and errors of the service are not in the state, because dropping them runs code of the program. Each of them is
//! in a [`Slot`]. Only two wakers are dropped under the lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;

use super::room::Room;
use crate::connection::{CloseReason, Deadline, Wait};
use crate::report::{Peer, Report};
#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::stream::{PeerState, Socket, Stream};

/// The maximum number of bytes that the server reads before hyper asks for input.
const READ_AHEAD: usize = 4096;

/// The values of a connection that its task shares with its byte stream and its service.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
    #[cfg(feature = "tls")]
    pub(super) vetted: Option<Vetted>,
    pub(super) room: Room,
}

/// The part of a connection that a request may keep after its exchange.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The reason for which the server refuses the request of the current exchange. When the earlier responses are written, the
    /// connection's task sends the refusal and ends the connection.
    pub(super) refusal: Slot<CloseReason>,
    /// The report of the last response, from the drop of the response until the exchange is reported.
    pub(super) report: Slot<Report>,
}

/// A place for a value whose destructor or methods may run code of the program. The value can only be moved in and out, so no
/// such code runs while a lock is held.
pub(super) struct Slot<T>(Mutex<Option<T>>);

#[derive(Default)]
pub(super) struct State {
    /// The byte stream, while hyper or the service uses it. `None` during the handshake, and after the last response.
    pub(super) stream: Option<Stream<Socket>>,
    /// Input that was read while the service works. Reading this input detects the end of the peer's input.
    pub(super) ahead: BytesMut,
    /// True if the end of the input has been read.
    pub(super) is_eof: bool,
    pub(super) deadline: Deadline,
    /// The seconds since the connection began.
    pub(super) seconds: u32,
    /// The number of exchanges that have begun.
    pub(super) exchanges: u64,
    /// The event that the connection waits for, unless the last write found no room.
    pub(super) wait: Wait,
    /// True if the last write found no room.
    pub(super) is_blocked: bool,
    pub(super) stage: Stage,
    /// True if the service holds the body of the request, and has not read it to its end. The exchange is then in progress,
    /// even if the response is done.
    pub(super) has_body: bool,
    /// True after the service has dropped the body of the request before its end. hyper may then read the rest of the body, so
    /// input does not begin a head. Cleared when hyper finds no input between two exchanges, and when an exchange begins.
    pub(super) has_dropped_body: bool,
    /// True if the service has dropped the body of the request before its end, and hyper will not read the rest. The connection
    /// then ends after the response.
    pub(super) has_left_body: bool,
    /// True if the method of the request is HEAD, or if the received bytes may be the beginning of this method. A refusal of the
    /// request then has no body.
    pub(super) is_head: bool,
    /// The number of bytes that the service has written after an upgrade.
    pub(super) tunneled: u64,
    /// The wakers of the tasks that last read and wrote after an upgrade. A cut of the connection wakes these tasks.
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// The stage of the last response.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Stage {
    /// hyper has taken the whole response, or there was no exchange yet.
    #[default]
    Done,
    /// The service has not made the response yet.
    Awaited,
    /// The service has not made the response in time.
    Late,
    /// The head of the response was made.
    Begun,
    /// A response with status 101 was made.
    Switching,
    /// The response with status 101 was written.
    Switched,
}

impl State {
    /// Returns whether an exchange is in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.has_body || self.stage != Stage::Done
    }

    /// Records that hyper has received these bytes.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.moved(bytes.len());
        // Empty lines between two requests do not begin a request (RFC 9112 §2.2).
        let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        if let Some(first) = first
            && !self.is_busy()
            && !self.has_dropped_body
            && self.wait != Wait::Head
        {
            // The read of the previous request may have taken the beginning of this head. `begun` is then from the middle of the
            // head, and may begin with `H` as in `Host`. The whole method is therefore compared.
            let begun = &bytes[first..];
            (self.wait, self.is_head) = (Wait::Head, begun.starts_with(b"HEAD ") || b"HEAD ".starts_with(begun));
        }
    }

    /// Records that bytes were received or sent.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.deadline.moved(bytes, self.seconds);
    }

    /// Returns an error if the peer is gone, and records a half-close.
    pub(super) fn check_peer(&mut self) -> Result<(), CloseReason> {
        match self.stream.as_ref().map(|stream| stream.peer(self.is_eof)) {
            Some(PeerState::Gone) => return Err(CloseReason::Gone(None)),
            Some(PeerState::HalfClosed) => self.deadline.half_close(self.seconds),
            _ => {}
        }
        Ok(())
    }

    /// Reads input into `ahead` during an exchange, if `ahead` is empty. While the service works, hyper does not read, and
    /// does not notice the end of the input.
    pub(super) fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let may_read = self.is_busy() && !self.is_eof && self.ahead.is_empty();
        let Some(stream) = self.stream.as_mut().filter(|_| may_read) else { return Poll::Pending };
        ready!(stream.poll_readable(cx))?;
        let mut bytes = [0; READ_AHEAD];
        let read = ready!(stream.poll_read_slice(cx, &mut bytes));
        self.is_eof = matches!(read, Ok(0));
        self.check_peer()?;
        self.ahead.extend_from_slice(&bytes[..read?]);
        Poll::Ready(Ok(()))
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Records that an exchange has begun. `report` is its report.
    pub(super) fn begin(self: &Arc<Self>, is_head: bool, report: Option<Report>) -> Reply {
        // hyper has taken the whole last response. The kernel may not have taken all of it yet.
        self.report.take().into_iter().for_each(Report::end);
        let mut state = self.lock();
        state.deadline.restart();
        state.exchanges += 1;
        (state.wait, state.stage, state.is_head) = (Wait::Handler, Stage::Awaited, is_head);
        (state.has_body, state.has_dropped_body, state.has_left_body) = (false, false, false);
        Reply { access: Access { shared: self.clone(), number: state.exchanges }, report }
    }
}

/// The access of an exchange to the state of its connection.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) shared: Arc<Shared>,
    /// The number of the exchange on its connection, counted from 1.
    pub(super) number: u64,
}

impl Access {
    /// Reads or changes the state of the exchange. Does nothing and returns the default if a later exchange has begun,
    /// because the service has kept a request after the end of its exchange.
    pub(super) fn with<T: Default>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.lock();
        if state.exchanges == self.number { access(&mut state) } else { T::default() }
    }
}

/// The response of an exchange: first a future, and then a body. hyper drops it after it has taken the whole response.
pub(super) struct Reply {
    pub(super) access: Access,
    pub(super) report: Option<Report>,
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.access.with(|state| {
            if state.stage == Stage::Begun {
                state.stage = Stage::Done;
            }
        });
        if let Some(report) = self.report.take() {
            // hyper may begin the next exchange before it drops the last part of this response.
            let has_next = self.access.shared.lock().exchanges > self.access.number;
            if has_next { report.end() } else { self.access.shared.report.put(report) }
        }
    }
}

impl<T> Slot<T> {
    /// Stores a value. Drops the value that it replaces.
    pub(super) fn put(&self, value: T) {
        let replaced = lock(&self.0).replace(value);
        drop(replaced);
    }

    pub(super) fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
