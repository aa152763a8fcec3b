//! The state of a connection under `hyper::serve`, which determines the deadline that applies.
//!
//! hyper owns the byte stream and calls the service, so no part of the code sees the whole connection. The byte stream, the
//! exchanges and the connection's task therefore record events in this state:
//!
//! | an exchange is in progress | and | the connection waits for |
//! | --- | --- | --- |
//! | no | no byte was received | a request |
//! | no | bytes were received | the rest of a head |
//! | yes | the service has polled the body, and there was no data | more of the body |
//! | yes | the service does not poll the body | the service, so the client cannot be late |
//! | yes or no | the last write found no room | room to write, which the client makes by reading |
//!
//! The bodies of an exchange may be polled in any task, so a lock protects the state. Two tasks rarely compete for the lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use hyper::StatusCode;

use crate::connection::{CloseReason, Deadline, Wait};
use crate::report::Report;
use crate::stream::{PeerState, Socket, Stream};

/// The most bytes of one read that hyper did not ask for.
const READ_AHEAD: usize = 4096;

/// The state that the task of a connection, its byte stream and its exchanges share.
#[derive(Default)]
pub(super) struct Shared(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    /// The byte stream, while hyper or the service uses it. `None` during the handshake, and after the last response.
    pub(super) stream: Option<Stream<Socket>>,
    /// Input that was read while the service works. Reading this input detects the end of the peer's input.
    pub(super) ahead: BytesMut,
    /// True if the end of the input has been read.
    pub(super) is_eof: bool,
    /// The second, counted since the connection began, in which the kernel was last asked whether the peer is present.
    asked: u32,
    pub(super) deadline: Deadline,
    /// The seconds since the connection began.
    pub(super) seconds: u32,
    /// The reason for which the server refuses the request of the current exchange. When the earlier responses are written, the
    /// connection's task sends the refusal and ends the connection.
    pub(super) end: Option<CloseReason>,
    /// The number of exchanges that have begun.
    pub(super) exchanges: u64,
    /// The number of parts of the last exchange that still exist. An exchange has two parts: the body of the request,
    /// and the response, which is first a future and then a body.
    pub(super) held: u32,
    pub(super) stage: Stage,
    /// True if the service has dropped the body of the request before its end, and hyper will not read the rest. The connection
    /// then ends after the response.
    pub(super) has_left_body: bool,
    /// True if the service waits for the body of the request.
    pub(super) is_wanted: bool,
    /// True if bytes of the next request's head were received.
    has_begun: bool,
    /// True if hyper's last read found no input, so hyper has no complete request in its buffer.
    pub(super) is_starved: bool,
    /// True if the method of the request is HEAD, or if the received bytes may be the beginning of this method. A refusal of the
    /// request then has no body.
    pub(super) is_head: bool,
    /// True if the last write found no room.
    pub(super) is_blocked: bool,
    /// The report of the last exchange, until it is reported.
    pub(super) report: Option<Report>,
    /// The wakers of the tasks that last read and wrote after an upgrade. A cut of the connection wakes these tasks.
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// The stage of the last response.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Stage {
    /// The service has not made the response yet.
    #[default]
    Awaited,
    /// The head of the response was made.
    Begun,
    /// The body of the response failed, so the response is cut.
    Failed,
    /// A response with status 101 was made.
    Switching,
    /// The response with status 101 was written.
    Switched,
}

impl State {
    /// Returns the event that the connection waits for.
    pub(super) const fn wait(&self) -> Wait {
        match self.held > 0 {
            _ if self.is_blocked => Wait::Write,
            true if self.is_wanted => Wait::Body,
            true => Wait::Handler,
            false if self.has_begun => Wait::Head,
            false if self.is_starved => Wait::Request,
            // hyper still has requests in its buffer.
            false => Wait::Handler,
        }
    }

    /// Records that hyper has received these bytes.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.moved(bytes.len());
        // Empty lines between two requests do not begin a request (RFC 9112 §2.2).
        let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        if let Some(first) = first
            && self.held == 0
            && !self.has_begun
        {
            // The read of the previous request may have taken the beginning of this head. `begun` is then from the middle of the
            // head, and may begin with `H` as in `Host`. The whole method is therefore compared.
            let begun = &bytes[first..];
            (self.has_begun, self.is_head) = (true, begun.starts_with(b"HEAD ") || b"HEAD ".starts_with(begun));
        }
    }

    /// Records that bytes were received or sent.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.deadline.moved(bytes, self.seconds);
    }

    /// Returns whether the connection has switched to another protocol.
    pub(super) const fn is_upgraded(&self) -> bool {
        matches!(self.stage, Stage::Switching | Stage::Switched)
    }

    /// Returns whether a response has begun and is incomplete.
    pub(super) fn is_incomplete(&self) -> bool {
        self.is_blocked || self.stage == Stage::Failed || self.stage == Stage::Begun && self.held > 0
    }

    /// Takes the report of the last exchange out of the state, if the kernel has taken the whole response.
    pub(super) fn take_ended(&mut self) -> Option<Report> {
        let is_ended = self.held == 0 && self.stage == Stage::Begun && !self.is_blocked;
        is_ended.then(|| self.report.take()).flatten()
    }

    /// Returns an error if the peer is gone, and records a half-close. The task calls this method while the service
    /// works. hyper does not read at that time, so this method reads and stores some input. Until hyper has taken this
    /// input, the method only asks the kernel once a second whether the peer is gone.
    pub(super) fn check_peer(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let read = self.poll_read_ahead(cx);
        if read.is_ready() || self.asked != self.seconds {
            self.asked = self.seconds;
            match self.stream.as_ref().map(|stream| stream.peer(self.is_eof)) {
                Some(PeerState::Gone) => return Err(CloseReason::Gone(None)),
                Some(PeerState::HalfClosed) => self.deadline.half_close(self.seconds),
                _ => {}
            }
        }
        if let Poll::Ready(read) = read { Ok(read?) } else { Ok(()) }
    }

    /// Reads input into `ahead`, if `ahead` is empty.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.is_eof && self.ahead.is_empty()) else {
            return Poll::Pending;
        };
        ready!(stream.poll_readable(cx))?;
        let mut bytes = [0; READ_AHEAD];
        let read = ready!(stream.poll_read_slice(cx, &mut bytes))?;
        self.ahead.extend_from_slice(&bytes[..read]);
        self.is_eof = read == 0;
        Poll::Ready(Ok(()))
    }
}

impl Shared {
    /// Locks the state. While the caller holds the lock, it must not call the service or a function of the options.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that an exchange has begun. The exchange is in progress until its last [`Hold`] is dropped.
    pub(super) fn begin(self: &Arc<Self>, is_head: bool, report: Option<Report>) -> Hold {
        let mut state = self.lock();
        // hyper has taken the whole last response. The kernel may not have taken all of it yet.
        let ended = std::mem::replace(&mut state.report, report);
        state.deadline.restart();
        state.deadline.handler = Some(state.seconds);
        state.exchanges += 1;
        (state.held, state.stage, state.is_head) = (1, Stage::Awaited, is_head);
        (state.is_wanted, state.has_left_body, state.is_starved) = (false, false, false);
        let exchange = state.exchanges;
        drop(state);
        ended.into_iter().for_each(Report::end);
        Hold { shared: self.clone(), exchange }
    }
}

/// A reference to an exchange. The exchange is in progress while a reference to it exists.
pub(super) struct Hold {
    shared: Arc<Shared>,
    exchange: u64,
}

impl Hold {
    /// Returns the number of the exchange on its connection, counted from 1.
    pub(super) const fn exchange(&self) -> u64 {
        self.exchange
    }

    /// Reads or changes the state of the exchange. Does nothing and returns the default if a later exchange has begun,
    /// because the service has kept a request after the end of its exchange.
    pub(super) fn with<T: Default>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.lock();
        if state.exchanges == self.exchange { access(&mut state) } else { T::default() }
    }

    /// Records that a response with this status has begun.
    pub(super) fn respond(&self, status: StatusCode) {
        self.with(|state| {
            state.deadline.handler = None;
            state.stage = Stage::Begun;
            if status == StatusCode::SWITCHING_PROTOCOLS {
                state.deadline.restart();
                state.stage = Stage::Switching;
            }
            if let Some(report) = &mut state.report {
                report.respond(status.as_u16());
            }
        });
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.with(|state| state.held += 1);
        Self { shared: self.shared.clone(), exchange: self.exchange }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.with(|state| {
            state.held -= 1;
            if state.held == 0 {
                state.deadline.restart();
                (state.has_begun, state.is_wanted) = (false, false);
            }
        });
    }
}
