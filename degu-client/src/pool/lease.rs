//! A place in a pool, which a request or its response holds.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use degu_wire::machine::ResponseHead;

use super::state::{Place, Pooled, State};
use crate::deadline::Deadline;
use crate::error::{Error, Phase, Timeout};
use crate::link::{Driver, Link};
use crate::options::Base;

/// The state that all clones of a pool share.
pub(crate) struct Shared<D: Driver> {
    pub(crate) base: Arc<Base>,
    state: Mutex<State<D>>,
}

impl<D: Driver> Shared<D> {
    pub(super) fn new(base: Arc<Base>) -> Self {
        let state = Mutex::new(State::new(base.settings.max_connections));
        Self { base, state }
    }

    #[inline]
    pub(super) fn state(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `change` while the state is locked, and returns its result. Closes the connections that `change` has
    /// removed after the lock is released, because closing a socket takes system calls.
    #[inline(always)]
    fn change<T>(&self, change: impl FnOnce(&mut State<D>) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        if !state.closed.is_empty() {
            let closed = mem::take(&mut state.closed);
            drop(state);
            drop(closed);
        }
        changed
    }

    /// Calls a `change` that frees a place. Then wakes the request whose turn has come.
    #[inline(always)]
    fn free(&self, change: impl FnOnce(&mut State<D>) -> Option<Waker>) {
        if let Some(waker) = self.change(change) {
            waker.wake();
        }
    }

    /// Takes a place in the pool; `None` if no place is free. Returns an error if the deadline of the request has
    /// passed.
    #[inline(always)]
    pub(crate) fn take(self: &Arc<Self>, until: Option<Deadline>, now: Instant) -> Result<Option<Lease<D>>, Error> {
        if let Some(passed) = until.filter(|deadline| deadline.end <= now) {
            return Err(Error::connecting(passed.timeout, &self.base.address));
        }
        let home = D::home();
        let place = self.change(|state| state.take(home, now));
        Ok(place.map(|place| self.lease(place)))
    }

    /// Returns the place as a lease. If the place has a connection that the server has closed, or over which the server
    /// has sent unsolicited data, replaces the connection.
    #[inline(always)]
    fn lease(self: &Arc<Self>, connection: Place<D>) -> Lease<D> {
        let mut lease = Lease { shared: Arc::clone(self), connection };
        while lease.link().is_some_and(|link| !link.check()) {
            lease.replace();
        }
        lease
    }

    /// Returns the error of a request that did not get its turn before this deadline of its exchange.
    pub(crate) fn no_turn(&self, deadline: Deadline) -> Error {
        let timeout = match deadline.timeout {
            Timeout::Exchange(limit) => Timeout::Pool(limit),
            other => other,
        };
        Error::connecting(timeout, &self.base.address)
    }
}

/// A place in a pool: a connection that is in use, or the right to make a connection. When the place is dropped, the
/// connection goes back to the pool if it can carry another request, and is closed otherwise.
pub(crate) struct Lease<D: Driver> {
    shared: Arc<Shared<D>>,
    connection: Place<D>,
}

impl<D: Driver> Lease<D> {
    /// Returns the link of the connection; `None` if the connection has not been made.
    pub(crate) fn link(&mut self) -> Option<&mut Link<D>> {
        self.connection.as_mut().map(|connection| &mut connection.link)
    }

    /// Puts a new connection in the place. `is_retry` is true if the request is sent a second time.
    pub(crate) fn put(&mut self, stream: Box<D::Stream>, is_retry: bool, now: Instant) -> &mut Link<D> {
        let Self { shared, connection } = self;
        let idle_timeout = shared.base.settings.idle_timeout;
        let number = shared.state().dialled(is_retry, idle_timeout, now);
        let link = Link::new(stream, Arc::clone(&shared.base));
        let pooled = Pooled { link, home: D::home(), number, idle_timeout, since: now };
        &mut connection.insert(Box::new(pooled)).link
    }

    /// Returns the error of a request for which no connection could be made. `sent` is the phase in which the first
    /// attempt failed, if this was the second attempt. Unless the error is the timeout of this request, passes it to
    /// [`State::fail_waiting`].
    pub(crate) fn failed(&self, error: Error, sent: Option<Phase>) -> Error {
        if !matches!(error.timeout(), Some(Timeout::Exchange(_))) {
            let woken = self.shared.state().fail_waiting(&error);
            woken.for_each(Waker::wake);
        }
        error.in_phase(sent)
    }

    /// Closes the connection, because the request is sent again over a new connection.
    pub(crate) fn retry(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.shared.change(|state| state.retry(connection.number));
        }
    }

    /// Closes the connection, and takes the next idle connection in its place. If there is none, the lease becomes the
    /// right to make a connection.
    #[cold]
    fn replace(&mut self) {
        let next = self.shared.state().replace(D::home());
        self.connection = next;
    }

    /// Lowers the idle timeout to the timeout that the server announces.
    #[inline(always)]
    pub(crate) fn note(&mut self, head: &ResponseHead) {
        if head.has_keep_alive() {
            self.lower_idle_timeout(head);
        }
    }

    #[cold]
    fn lower_idle_timeout(&mut self, head: &ResponseHead) {
        if let Some(timeout) = head.headers().get_bytes("keep-alive").and_then(keep_alive_timeout)
            && let Some(connection) = &mut self.connection
            && connection.idle_timeout.is_none_or(|known| timeout < known)
        {
            connection.idle_timeout = Some(timeout);
            self.shared.state().note_idle_timeout(Some(timeout), D::now());
        }
    }
}

impl<D: Driver> Drop for Lease<D> {
    fn drop(&mut self) {
        let is_made = self.connection.is_some();
        if let Some(connection) = &mut self.connection {
            connection.link.settle();
        }
        match self.connection.take_if(|connection| !connection.link.is_closed()) {
            Some(mut connection) => {
                connection.link.release_buffers();
                let now = D::now();
                self.shared.free(|state| state.give_back(connection, now));
            }
            None => self.shared.free(|state| state.release(is_made)),
        }
    }
}

/// The wait of a request for its turn. When the `Turn` is dropped, the request leaves the queue.
pub(crate) struct Turn<'p, D: Driver> {
    shared: &'p Arc<Shared<D>>,
    until: Option<Deadline>,
    ticket: Option<u64>,
}

impl<'p, D: Driver> Turn<'p, D> {
    pub(crate) const fn new(shared: &'p Arc<Shared<D>>, until: Option<Deadline>) -> Self {
        Self { shared, until, ticket: None }
    }

    /// Polls for a place. Returns an error if the deadline of the request has passed, or if no connection can be made.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lease<D>, Error>> {
        let Self { shared, until, ticket } = self;
        let now = D::now();
        if let Some(passed) = until.filter(|deadline| deadline.end <= now) {
            return Poll::Ready(Err(shared.no_turn(passed)));
        }
        let place = ready!(shared.change(|state| state.poll_turn(ticket, cx.waker(), D::home(), now)));
        *ticket = None;
        Poll::Ready(place.map(|place| shared.lease(place)))
    }
}

impl<D: Driver> Drop for Turn<'_, D> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.free(|state| state.leave(ticket));
        }
    }
}

/// Returns the idle timeout for a server's `Keep-Alive` field; `None` if the field has no valid timeout. If the field
/// says N seconds, the idle timeout is N - 1 seconds, or N / 2 seconds if that is longer. The idle timeout is shorter
/// than N, so the pool stops using the connection before the server closes it. A request that is on its way when the
/// server closes the connection would fail.
fn keep_alive_timeout(field: &[u8]) -> Option<Duration> {
    let field = std::str::from_utf8(field).ok()?;
    let mut parameters = field.split(',').filter_map(|parameter| parameter.split_once('='));
    let (_, seconds) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    let timeout = Duration::from_secs(seconds.trim().trim_matches('"').parse().ok()?);
    Some(timeout.saturating_sub(Duration::from_secs(1)).max(timeout / 2))
}
