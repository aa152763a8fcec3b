//! What the parts of one connection tell each other: its octets, its exchanges, and the task that counts seconds.
//!
//! hyper owns the octets and calls the service, so that none of the three sees what the others do. Together they know
//! what a connection waits for, which is what a deadline is about:
//!
//! | an exchange is under way | and | it waits for |
//! | --- | --- | --- |
//! | no | nothing has come | a request |
//! | no | octets have come | the rest of a head |
//! | yes | the service polls a body that has nothing | more of the body |
//! | yes | it does not | the service: nobody is late but itself |
//! | either | a write found no room | the peer to take what is written |
//!
//! The bodies of an exchange may be polled in any task, so a lock is taken: for a few instructions, and hardly ever by two.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use tokio::sync::Notify;

use crate::alarm::{Alarm, Spare};
use crate::connection::{Deadline, Wait};
use crate::options::{Deadlines, Progress};
use crate::stream::{Socket, Stream};

/// How many connections have begun to wait for a request.
static TURN: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
pub(super) struct Pulse {
    alarm: Arc<Alarm>,
    state: Mutex<State>,
    /// Where hyper's side puts the socket when it is done with it.
    returned: Mutex<Option<Stream<Socket>>>,
    gone: Notify,
}

#[derive(Debug, Default)]
struct State {
    deadline: Deadline,
    /// The seconds that were counted.
    seconds: u32,
    /// The service has taken too long.
    is_late: bool,
    /// How many exchanges have begun.
    exchanges: u64,
    /// What is still there of the last one: its future or the body of its response, and the body of its request.
    held: u32,
    /// The head of its response was made.
    responded: bool,
    /// The body of its request is waited for.
    wanted: bool,
    /// Octets of a head have come.
    begun: bool,
    /// A write found no room.
    blocked: bool,
    /// The socket may go back to waiting for input alone.
    rests: bool,
    /// A second is over, and nobody has asked since whether the peer is still there.
    second: bool,
    stopping: bool,
    /// The connection is asked to make room for another.
    leaving: bool,
    cut: bool,
    /// Who reads after an upgrade, when nobody else is woken.
    reader: Option<Waker>,
}

impl State {
    /// Something has changed that says what is waited for.
    fn note(&mut self, alarm: &Alarm) {
        let wait = match self.held > 0 {
            _ if self.blocked => Wait::Write,
            true if self.wanted => Wait::Body,
            true => Wait::Handler,
            false if self.begun => Wait::Head,
            false => Wait::Request,
        };
        self.deadline.wait(wait, self.seconds);
        match (wait, self.exchanges) {
            (Wait::Request, 0) => rest(alarm, Spare::Fresh),
            (Wait::Request, _) => rest(alarm, Spare::Idle),
            _ => alarm.work(),
        }
    }
}

/// What was the case when a connection ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    /// An exchange was under way.
    pub(super) under_way: bool,
    /// Some of its response may have gone out, or some of an earlier one may not.
    pub(super) amid_output: bool,
    pub(super) requests: u64,
}

/// Notes that a connection can be spared from now on, unless it could be before.
pub(super) fn rest(alarm: &Alarm, spare: Spare) {
    if !alarm.rests() {
        alarm.rest(spare, 0, TURN.fetch_add(1, Relaxed));
    }
}

impl Pulse {
    pub(super) fn new(alarm: Arc<Alarm>) -> Self {
        Self { alarm, state: Mutex::default(), returned: Mutex::default(), gone: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // For the octets.

    pub(super) fn received(&self, octets: usize) {
        let mut state = self.lock();
        let now = state.seconds;
        state.deadline.moved(octets, now);
        state.begun |= state.held == 0;
    }

    /// A read found nothing. `true` if it is not worth waiting: the server stops, or needs room, and no request has begun.
    pub(super) fn starves(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        match &mut state.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        state.note(&self.alarm);
        (state.stopping || state.leaving) && state.held == 0 && !state.begun
    }

    /// A write took so many octets, or found no room for any.
    pub(super) fn wrote(&self, octets: Option<usize>) {
        let mut state = self.lock();
        state.blocked = octets.is_none();
        let now = state.seconds;
        state.deadline.moved(octets.unwrap_or(0), now);
        state.note(&self.alarm);
    }

    /// Whether the socket may go back to waiting for input alone, which is said once after each exchange.
    pub(super) fn rests(&self) -> bool {
        std::mem::take(&mut self.lock().rests)
    }

    /// Returns whether an exchange is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.lock().held > 0
    }

    /// Returns whether to ask if the peer is still there, which is so once a second.
    pub(super) fn looks(&self) -> bool {
        std::mem::take(&mut self.lock().second)
    }

    /// Notes that the peer has ended its side: it may have closed its socket.
    pub(super) fn half_close(&self) {
        let mut state = self.lock();
        let now = state.seconds;
        state.deadline.half_close(now);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.lock().cut
    }

    pub(super) fn give_back(&self, socket: Stream<Socket>) {
        *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        self.gone.notify_one();
    }

    // For the exchanges.

    /// A request has come: an exchange is under way until the last hold on it is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Hold {
        let state = &mut *self.lock();
        state.deadline.restart();
        state.deadline.begin_handler(state.seconds);
        state.is_late = false;
        state.exchanges += 1;
        (state.held, state.responded, state.wanted) = (1, false, false);
        state.leaving = false;
        self.alarm.work();
        Hold { pulse: self.clone(), exchange: state.exchanges }
    }

    // For the task.

    /// A second is over. Says what has waited too long; the service's own lateness is answered where it is called.
    pub(super) fn second(&self, deadlines: &Deadlines) -> Option<Wait> {
        let mut state = self.lock();
        state.second = true;
        state.seconds += 1;
        let now = state.seconds;
        let expired = state.deadline.expired(now, deadlines);
        state.is_late = expired == Some(Wait::Handler);
        expired.filter(|_| !state.is_late)
    }

    /// The server stops.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
    }

    /// The connection is asked to make room for another, which it does unless a request has begun.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.leaving = state.held == 0;
    }

    pub(super) fn last(&self) -> Last {
        let state = self.lock();
        let under_way = state.held > 0;
        Last { under_way, amid_output: state.blocked || under_way && state.responded, requests: state.exchanges }
    }

    /// The socket, if hyper is done with it. It is not after an upgrade.
    pub(super) fn take_socket(&self) -> Option<Stream<Socket>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends when the socket has been given back.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }

    /// Ends reading and writing after an upgrade.
    pub(super) fn cut(&self) {
        let mut state = self.lock();
        state.cut = true;
        if let Some(reader) = state.reader.take() {
            drop(state);
            reader.wake();
        }
    }
}

/// As long as one of them is there, an exchange is under way.
#[derive(Debug)]
pub(super) struct Hold {
    pulse: Arc<Pulse>,
    exchange: u64,
}

impl Hold {
    /// Which exchange of its connection this is, counted from 1.
    pub(super) const fn exchange(&self) -> u64 {
        self.exchange
    }

    /// The body of the request is waited for, or is not any more.
    pub(super) fn wants(&self, wanted: bool) {
        if let Some(mut state) = self.current()
            && state.wanted != wanted
        {
            state.wanted = wanted;
            state.note(&self.pulse.alarm);
        }
    }

    /// Says how slowly the body of the request may come.
    pub(super) fn set_progress(&self, progress: Progress) {
        if let Some(mut state) = self.current() {
            state.deadline.set_body_progress(Some(progress));
        }
    }

    /// Whether the service has had its time.
    pub(super) fn is_late(&self) -> bool {
        self.current().is_some_and(|state| state.is_late)
    }

    /// There is a response. Says whether it is to be the last because the server stops.
    pub(super) fn respond(&self) -> bool {
        let Some(mut state) = self.current() else { return true };
        state.deadline.end_handler();
        state.responded = true;
        state.stopping
    }

    /// `None` if another exchange has begun since: this one's request was kept beyond its end.
    fn current(&self) -> Option<MutexGuard<'_, State>> {
        Some(self.pulse.lock()).filter(|state| state.exchanges == self.exchange)
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        if let Some(mut state) = self.current() {
            state.held += 1;
        }
        Self { pulse: self.pulse.clone(), exchange: self.exchange }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(mut state) = self.current() {
            state.held -= 1;
            if state.held == 0 {
                state.deadline.end_handler();
                state.deadline.restart();
                (state.begun, state.wanted, state.rests) = (false, false, true);
            }
        }
    }
}
