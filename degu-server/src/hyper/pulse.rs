//! The state of a connection under `hyper::serve`. It determines the deadline that applies.
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
//! The bodies of an exchange may be polled in any task, so a lock protects the state. A task holds the lock for only a few
//! instructions, and two tasks rarely compete for the lock.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[cfg(feature = "tls")]
use degu_tls::PeerIdentity;
use hyper::StatusCode;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::alarm::{Alarm, Spare};
use crate::connection::{CloseReason, Deadline, LINGER_IN_ALL, Wait};
use crate::options::Options;
use crate::report::{Peer, Report};
use crate::response::last_response;
#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::state::{Phase, ServerState};

const SECOND: Duration = Duration::from_secs(1);

/// The part of a connection that its task, its byte stream and its exchanges share: the peer, and the state that
/// determines the deadline.
pub(super) struct Pulse {
    pub(super) server: Arc<ServerState>,
    pub(super) options: Arc<Options>,
    alarm: Arc<Alarm>,
    pub(super) peer: Arc<Peer>,
    #[cfg(feature = "tls")]
    vetted: Option<Vetted>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) deadline: Deadline,
    /// The seconds since the connection began.
    seconds: u32,
    /// The reason for which the connection ends soon. A new exchange removes the reason.
    pub(super) end: Option<CloseReason>,
    /// The number of exchanges that have begun.
    pub(super) exchanges: u64,
    /// The number of parts of the last exchange that still exist. An exchange has two parts: the body of the request,
    /// and the response, which is first a future and then a body.
    held: u32,
    stage: Stage,
    /// True if the service has dropped the body of the request before its end, and hyper will not read the rest.
    pub(super) has_left_body: bool,
    /// True if the service waits for the body of the request.
    is_wanted: bool,
    /// True if bytes of the next request's head were received.
    has_begun: bool,
    /// True if the method of the request is HEAD, or if the received bytes may be the beginning of this method.
    is_head: bool,
    /// True if the last write found no room.
    is_blocked: bool,
    /// The second, counted since the start of the connection, in which the connection sent its last byte. `None` before that.
    lingers: Option<u32>,
    /// True if the byte stream was dropped.
    pub(super) is_gone: bool,
    /// The report of the last exchange, until it is reported.
    report: Option<Report>,
    /// The task that last waited for input.
    pub(super) reader: Option<Waker>,
    /// The task that waits for room to write after an upgrade.
    pub(super) writer: Option<Waker>,
}

/// The stage of the last response.
#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    /// The service, or the server, has not made the response yet.
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
    /// hyper has refused a request that the service did not get, and the refusal is reported.
    Refused,
}

/// The part of the state that [`Io`](super::io::Io) reads.
#[derive(Clone, Copy)]
pub(super) struct Status {
    pub(super) is_under_way: bool,
    /// True if the connection ends without hyper: see [`Pulse::last_response`].
    pub(super) ends: bool,
    pub(super) is_upgraded: bool,
    pub(super) second: u32,
}

impl State {
    /// Updates the event that the connection waits for, after the state has changed. Also marks the connection as busy, or as
    /// one that may be closed to make room for another connection.
    fn note(&mut self, alarm: &Alarm) {
        if self.lingers.is_some() || self.is_upgraded() {
            return;
        }
        let wait = match self.held > 0 {
            _ if self.is_blocked => Wait::Write,
            true if self.is_wanted => Wait::Body,
            true => Wait::Handler,
            false if self.has_begun => Wait::Head,
            false => Wait::Request,
        };
        self.deadline.set_wait(wait, self.seconds);
        match (wait, self.exchanges) {
            (Wait::Request, 0) => alarm.set_spare(Spare::Fresh, 0, next_turn),
            (Wait::Request, _) => alarm.set_spare(Spare::Idle, 0, next_turn),
            _ => alarm.set_busy(),
        }
    }

    /// Returns the report of the last exchange, if hyper has taken the whole response.
    fn take_ended(&mut self) -> Option<Report> {
        if self.held == 0 && self.stage == Stage::Begun { self.report.take() } else { None }
    }

    /// Returns whether the connection has switched to another protocol.
    pub(super) const fn is_upgraded(&self) -> bool {
        matches!(self.stage, Stage::Switching | Stage::Switched)
    }

    /// Returns whether the connection accepts no more requests, because it was idle for too long or makes room for another
    /// connection.
    const fn leaves(&self) -> bool {
        matches!(self.end, Some(CloseReason::Deadline(Wait::Request) | CloseReason::Room))
    }

    /// Returns whether the client sent the head or the body of a request too slowly.
    const fn is_late(&self) -> bool {
        matches!(self.end, Some(CloseReason::Deadline(Wait::Head | Wait::Body)))
    }

    fn moved(&mut self, bytes: usize) {
        self.deadline.moved(bytes, self.seconds);
    }
}

/// Returns a number that orders connections by the time at which they began to wait for a request.
fn next_turn() -> u32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    TURN.fetch_add(1, Relaxed)
}

/// The methods for the connection's byte stream, which is [`Io`](super::io::Io).
impl Pulse {
    pub(super) fn status(&self) -> io::Result<Status> {
        let state = self.lock();
        let (is_under_way, is_upgraded) = (state.held > 0, state.is_upgraded());
        if is_upgraded && state.end.is_some() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let ends = state.is_late() || matches!(state.end, Some(CloseReason::Peer(_)));
        Ok(Status { is_under_way, ends, is_upgraded, second: state.seconds })
    }

    pub(super) fn received(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.moved(bytes.len());
        // Empty lines between two requests do not begin a request (RFC 9112 §2.2).
        let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        if let Some(first) = first
            && state.held == 0
            && !state.has_begun
        {
            // If an earlier read took the beginning of the head together with the previous request, these bytes are from the
            // middle of the head. They may begin with `H`, as in `Host`, so the whole method is compared.
            let begun = &bytes[first..];
            (state.has_begun, state.is_head) = (true, begun.starts_with(b"HEAD ") || b"HEAD ".starts_with(begun));
        }
    }

    /// Records that a read found nothing. Returns whether the connection ends now. The connection ends if no request has begun,
    /// and no more requests are accepted.
    pub(super) fn read_nothing(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.reader = Some(cx.waker().clone());
        state.note(&self.alarm);
        (self.server.is_stopping() || state.leaves()) && state.held == 0 && !state.has_begun
    }

    /// Records a write and the number of bytes that it took, or `None` if the write found no room.
    pub(super) fn wrote(&self, pieces: &[IoSlice<'_>], bytes: Option<usize>) {
        let mut state = self.lock();
        state.is_blocked = bytes.is_none();
        state.moved(bytes.unwrap_or(0));
        state.note(&self.alarm);
        // Every exchange has a report until its last byte is written. These bytes belong to no exchange, so they are
        // hyper's refusal of a request.
        if self.options.on_response.is_some()
            && state.held == 0
            && state.report.is_none()
            && bytes == Some(pieces.iter().map(|piece| piece.len()).sum())
            && let Some(status) = pieces.first().and_then(|piece| status_of(piece))
        {
            state.stage = Stage::Refused;
            drop(state);
            self.report_refusal(status, 0);
        }
    }

    /// Records the number of bytes that a write took after an upgrade.
    pub(super) fn wrote_upgraded(&self, bytes: usize) {
        let mut state = self.lock();
        if state.stage == Stage::Switched
            && let Some(report) = &mut state.report
        {
            report.add(bytes as u64);
        }
    }

    /// Records that the kernel has taken all bytes that hyper wrote. Reports the last exchange if this exchange is over.
    pub(super) fn flushed(&self) {
        if self.options.on_response.is_some() {
            let mut state = self.lock();
            if state.stage == Stage::Switching {
                state.stage = Stage::Switched;
            }
            let ended = state.take_ended();
            drop(state);
            ended.into_iter().for_each(Report::end);
        }
    }

    /// Returns the response that the byte stream sends without hyper at the end of the connection, and the length of
    /// its body. If the client sent a request too slowly, the response is a 408. hyper cannot send it, because hyper
    /// answers only after it has read the whole head. Otherwise the response is empty.
    pub(super) fn last_response(&self) -> (Vec<u8>, usize) {
        let (is_late, is_head) = {
            let state = self.lock();
            (state.is_late(), state.is_head)
        };
        // `last_response` may call a function of the options, so the lock was released before.
        match is_late {
            true => last_response(&self.options, 408, "the client sent the request too slowly", is_head),
            false => Default::default(),
        }
    }

    /// Reports that the last exchange was refused with this status. If there is no unreported exchange, reports a request
    /// without a head.
    pub(super) fn report_refusal(&self, status: u16, body_bytes: usize) {
        let report = self.take_report();
        let without_head = || Some(Report::without_head(self.options.on_response.as_ref()?, Peer::clone(&self.peer)));
        if let Some(report) = report.or_else(without_head) {
            report.refuse(status, body_bytes);
        }
    }

    /// Records that the last byte was sent, and that the connection only waits for the end of the peer's input. Does nothing if
    /// that is already recorded.
    pub(super) fn linger(&self) {
        let state = &mut *self.lock();
        if state.lingers.is_none() {
            state.lingers = Some(state.seconds);
            state.deadline.handler = None;
            state.deadline.restart();
            state.deadline.set_wait(Wait::Linger, state.seconds);
            self.alarm.set_busy();
            self.alarm.set_spare(Spare::Done, 0, next_turn);
            self.server.linger(0);
        }
    }

    /// Records that the byte stream was dropped. Returns whether a response may be incomplete.
    pub(super) fn leave_io(&self) -> bool {
        let mut state = self.lock();
        state.is_gone = true;
        match state.stage {
            Stage::Switching | Stage::Switched => false,
            Stage::Failed => true,
            Stage::Begun => state.is_blocked || state.held > 0,
            Stage::Awaited | Stage::Refused => state.is_blocked,
        }
    }
}

/// The methods for the connection's task.
impl Pulse {
    pub(super) fn new(server: Arc<ServerState>, options: Arc<Options>, alarm: Arc<Alarm>, peer: Peer) -> Self {
        Self {
            server,
            options,
            alarm,
            peer: Arc::new(peer),
            #[cfg(feature = "tls")]
            vetted: None,
            state: Mutex::default(),
        }
    }

    /// Polls a future of the connection until it is done, or until a deadline, a shutdown, a revocation or a request to make room
    /// ends it. The timer of this method, which ticks once a second, is the only timer of a connection.
    pub(super) async fn watch<F: Future>(&self, part: F) -> Result<F::Output, CloseReason> {
        let mut part = pin!(part);
        let mut seconds = interval_at(Instant::now() + SECOND, SECOND);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut aborting = pin!(self.server.reached(Phase::Aborting));
        let ended = poll_fn(|cx| {
            self.alarm.set_task(cx.waker());
            // This future wakes the task when any phase begins. After the phase `Draining` has begun, `Io::poll_read` ends an
            // idle connection.
            if aborting.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(CloseReason::Shutdown));
            }
            if self.alarm.is_asked() && self.makes_room() {
                return Poll::Ready(Err(CloseReason::Room));
            }
            while seconds.poll_tick(cx).is_ready() {
                if let Some(wait) = self.second() {
                    return Poll::Ready(Err(CloseReason::Deadline(wait)));
                }
                #[cfg(feature = "tls")]
                if self.vetted.as_ref().is_some_and(Vetted::is_revoked) {
                    return Poll::Ready(Err(CloseReason::Revoked));
                }
            }
            part.as_mut().poll(cx).map(Ok)
        })
        .await;
        // The future may have ended without an error although a request was late or refused.
        self.lock().end.take().map_or(ended, Err)
    }

    /// Locks the state. While the caller holds the lock, it must not call the service or a function of the options.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "tls")]
    pub(super) fn begin_handshake(&self) {
        self.lock().deadline.set_wait(Wait::Handshake, 0);
        self.alarm.set_spare(Spare::Fresh, 0, next_turn);
    }

    /// Records the end of a handshake. `changes` is the number of changes of the policy before the handshake.
    #[cfg(feature = "tls")]
    pub(super) fn end_handshake(&mut self, identity: Option<Arc<PeerIdentity>>, changes: u64) {
        self.lock().deadline.restart();
        self.vetted = Vetted::new(&self.options, identity.as_ref(), changes);
        Arc::make_mut(&mut self.peer).identity = identity;
    }

    /// Counts a second. If a deadline has expired and the connection must end at once, returns the wait that took too
    /// long.
    ///
    /// If the connection need not end at once, this method stores the wait in `end`. If the service is late,
    /// [`Exchanges`](super::service::Exchanges) makes the response. If a request is late and its response has not
    /// begun, [`Io`](super::io::Io) sends 408 while it flushes. If the connection was idle for too long,
    /// [`Io`](super::io::Io) ends the connection while it reads.
    fn second(&self) -> Option<Wait> {
        let mut state = self.lock();
        state.seconds += 1;
        let now = state.seconds;
        if state.is_upgraded() {
            return None;
        }
        if state.lingers.is_some_and(|since| now - since > LINGER_IN_ALL) {
            return Some(Wait::Linger);
        }
        let wait = state.deadline.expired(now, &self.options.deadlines)?;
        let is_answered = match wait {
            Wait::Handler | Wait::Request => true,
            Wait::Head => self.options.answers_faults(),
            Wait::Body => self.options.answers_faults() && state.stage == Stage::Awaited,
            _ => false,
        };
        if !is_answered {
            return Some(wait);
        }
        state.end = Some(CloseReason::Deadline(wait));
        None
    }

    /// Handles a request to make room. If room is still needed and no exchange is in progress, the connection ends. Returns
    /// whether the connection can be dropped at once. Otherwise [`Io`](super::io::Io) ends the connection while it reads.
    fn makes_room(&self) -> bool {
        self.alarm.set(u32::MAX);
        let mut state = self.lock();
        let is_needed = self.server.is_full();
        if is_needed && state.held == 0 {
            state.end.get_or_insert(CloseReason::Room);
        }
        is_needed && (state.lingers.is_some() || state.exchanges == 0 && state.reader.is_none())
    }

    /// Takes the report of the last exchange, if it was not reported yet.
    pub(super) fn take_report(&self) -> Option<Report> {
        self.lock().report.take()
    }

    /// Returns whether hyper's refusal of a request is still to be reported.
    pub(super) fn owes_refusal(&self) -> bool {
        let state = self.lock();
        state.report.is_none() && state.stage != Stage::Refused
    }

    /// Makes all further reads and writes of an upgraded connection return errors.
    pub(super) fn cut(&self) {
        let mut state = self.lock();
        state.end = Some(CloseReason::Shutdown);
        let tasks = [state.reader.take(), state.writer.take()];
        drop(state);
        tasks.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The methods for exchanges.
impl Pulse {
    /// Records that an exchange has begun. The exchange is in progress until its last [`Hold`] is dropped.
    pub(super) fn begin(self: &Arc<Self>, is_head: bool, report: Option<Report>) -> Hold {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.is_head = is_head;
        // hyper may read the next request before it has written the whole last response.
        let ended = state.take_ended();
        state.report = report;
        state.deadline.restart();
        state.deadline.handler = Some(state.seconds);
        state.exchanges += 1;
        (state.held, state.stage, state.end) = (1, Stage::Awaited, None);
        (state.is_wanted, state.has_left_body) = (false, false);
        self.alarm.set_busy();
        let exchange = state.exchanges;
        drop(guard);
        ended.into_iter().for_each(Report::end);
        Hold { pulse: self.clone(), exchange }
    }
}

/// A reference to an exchange. The exchange is in progress as long as there is a reference to it.
pub(super) struct Hold {
    pulse: Arc<Pulse>,
    exchange: u64,
}

impl Hold {
    /// Returns the number of the exchange on its connection, counted from 1.
    pub(super) const fn exchange(&self) -> u64 {
        self.exchange
    }

    /// Reads or changes the state of the exchange. If a later exchange has begun, does nothing and returns the default.
    /// This happens if the service keeps a request after the end of its exchange.
    pub(super) fn with<T: Default>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.pulse.lock();
        if state.exchanges == self.exchange { access(&mut state) } else { T::default() }
    }

    /// Records whether the service waits for the body of the request.
    pub(super) fn wants(&self, is_wanted: bool) {
        self.with(|state| {
            if state.is_wanted != is_wanted {
                state.is_wanted = is_wanted;
                state.note(&self.pulse.alarm);
            }
        });
    }

    /// Records that a response with this status has begun.
    pub(super) fn respond(&self, status: StatusCode) {
        self.with(|state| {
            state.deadline.handler = None;
            state.stage = if status == StatusCode::SWITCHING_PROTOCOLS { Stage::Switching } else { Stage::Begun };
            if let Some(report) = &mut state.report {
                report.respond(status.as_u16());
            }
        });
    }

    /// Records that the body of the response has failed.
    pub(super) fn fail(&self) {
        self.with(|state| {
            if state.stage == Stage::Begun {
                state.stage = Stage::Failed;
            }
        });
    }

    /// Adds to the number of bytes of the response's body.
    pub(super) fn sent(&self, bytes: usize) {
        if self.pulse.options.on_response.is_some() {
            self.with(|state| state.report.iter_mut().for_each(|report| report.add(bytes as u64)));
        }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.with(|state| state.held += 1);
        Self { pulse: self.pulse.clone(), exchange: self.exchange }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.with(|state| {
            state.held -= 1;
            if state.held == 0 && state.lingers.is_none() {
                state.deadline.handler = None;
                state.deadline.restart();
                (state.has_begun, state.is_wanted) = (false, false);
            }
        });
    }
}

/// Returns the status of a response that begins with these bytes, unless it is an interim response.
fn status_of(response: &[u8]) -> Option<u16> {
    let status = str::from_utf8(response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?;
    status.parse().ok().filter(|status| *status >= 200)
}
