//! The state of a pool: the idle connections, the requests that wait, and the counters.
//!
//! The state performs no I/O and reads no clock. The caller passes the time. After it has released the pool's lock, the
//! caller closes the connections that [`State::closed`] has returned.

use std::{
    collections::BTreeMap,
    mem,
    task::Waker,
    time::{Duration, Instant},
};

use super::Stats;
use crate::error::Error;
use crate::link::{Driver, Link};

/// A connection of a pool.
pub(crate) struct Pooled<D: Driver> {
    pub(super) link: Link<D>,
    /// The runtime that the socket is registered with.
    pub(super) home: D::Home,
    /// The position of the connection in the order in which connections were made.
    pub(super) number: u64,
    pub(super) idle_timeout: Option<Duration>,
}

/// The permission that a request gets when its turn comes.
pub(super) enum Grant<D: Driver> {
    /// A connection that was used before.
    Kept(Box<Pooled<D>>),
    /// The right to make a connection.
    Dial,
    /// The reason why no connection can be made.
    Fail(Error),
}

pub(super) struct State<D: Driver> {
    max: usize,
    /// The idle connections, in the order in which they were returned.
    idle: Vec<Idle<D>>,
    /// The shortest idle timeout that a connection has had.
    shortest: Option<Duration>,
    /// The earliest time at which an idle connection may have to be closed. If this time is too early, no connection is
    /// closed.
    next_end: Option<Instant>,
    /// The connections that are to be closed when the pool's lock has been released.
    closed: Vec<Box<Pooled<D>>>,
    /// The requests that wait, by ticket. Tickets grow, so the request with the first ticket has waited longest.
    waiting: BTreeMap<u64, (Waker, D::Home)>,
    /// The permissions of requests that have been woken, by ticket. A request takes its permission when it polls.
    granted: BTreeMap<u64, Grant<D>>,
    tickets: u64,
    /// The number of connections, idle or in use.
    made: usize,
    /// The number of rights to make a connection ([`Grant::Dial`]) that have been neither used nor returned.
    making: usize,
    /// The totals since the pool was made. The other counters, which describe the current state of the pool, are not
    /// kept up to date here.
    totals: Stats,
}

struct Idle<D: Driver> {
    connection: Box<Pooled<D>>,
    since: Instant,
}

impl<D: Driver> State<D> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            idle: Vec::new(),
            shortest: None,
            next_end: None,
            closed: Vec::new(),
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
            tickets: 0,
            made: 0,
            making: 0,
            totals: Stats::default(),
        }
    }

    /// Takes the idle connection that was returned last, or the right to make a connection. Returns `None` if there are
    /// `max` connections already.
    #[inline]
    pub(super) fn take(&mut self, home: D::Home, now: Instant) -> Option<Grant<D>> {
        self.expire(now);
        if let Some(idle) = self.idle.pop_if(|idle| idle.connection.home == home) {
            self.totals.reused += 1;
            return Some(Grant::Kept(idle.connection));
        }
        self.take_other(home)
    }

    #[cold]
    fn take_other(&mut self, home: D::Home) -> Option<Grant<D>> {
        if let Some(kept) = self.take_idle(home) {
            return Some(Grant::Kept(kept));
        }
        // An idle connection of another runtime is closed, to allow a new connection in this runtime.
        if self.made + self.making >= self.max {
            if self.idle.is_empty() {
                return None;
            }
            self.closed.push(self.idle.remove(0).connection);
            self.made -= 1;
        }
        self.making += 1;
        Some(Grant::Dial)
    }

    fn take_idle(&mut self, home: D::Home) -> Option<Box<Pooled<D>>> {
        let at = self.idle.iter().rposition(|idle| idle.connection.home == home)?;
        self.totals.reused += 1;
        Some(self.idle.remove(at).connection)
    }

    #[inline(always)]
    fn expire(&mut self, now: Instant) {
        if self.next_end.is_some_and(|end| end <= now) {
            self.close_expired(now);
        }
    }

    #[cold]
    fn close_expired(&mut self, now: Instant) {
        self.close_idle(|idle| idle.end().is_some_and(|end| end <= now));
        let ends = self.idle.iter().filter_map(Idle::end);
        // A connection that is in use becomes idle later, so its idle time ends no earlier than this.
        let next_returned = self.shortest.and_then(|timeout| now.checked_add(timeout));
        self.next_end = ends.chain(next_returned).min();
    }

    /// Records the idle timeout of a connection that is in use.
    pub(super) fn note_idle_timeout(&mut self, timeout: Option<Duration>, now: Instant) {
        self.shortest = self.shortest.into_iter().chain(timeout).min();
        let end = timeout.and_then(|timeout| now.checked_add(timeout));
        self.next_end = self.next_end.into_iter().chain(end).min();
    }

    fn close_idle(&mut self, is_closed: impl Fn(&Idle<D>) -> bool) {
        let before = self.idle.len();
        for idle in mem::take(&mut self.idle) {
            match is_closed(&idle) {
                true => self.closed.push(idle.connection),
                false => self.idle.push(idle),
            }
        }
        self.made -= before - self.idle.len();
    }

    /// Adds a request to the queue, and returns its ticket.
    pub(super) fn join(&mut self, waker: Waker, home: D::Home) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, (waker, home));
        self.tickets
    }

    /// Returns the permission of the request with this ticket. If the request still has to wait, stores the waker,
    /// which is called when the request gets a permission.
    pub(super) fn collect(&mut self, ticket: u64, waker: &Waker) -> Option<Grant<D>> {
        if let Some((known, _)) = self.waiting.get_mut(&ticket) {
            known.clone_from(waker);
        }
        self.granted.remove(&ticket)
    }

    /// Removes a request from the queue. Returns the permission that the request has got already. The caller gives this
    /// permission to another request.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Grant<D>> {
        self.waiting.remove(&ticket);
        let grant = self.granted.remove(&ticket);
        // The connection was counted when the request got the permission, but the request did not use it.
        self.totals.reused -= u64::from(matches!(grant, Some(Grant::Kept(_))));
        grant
    }

    /// Records that a request has used its right to make a connection. `is_retry` is true if the request is sent a
    /// second time. Returns the number of the connection.
    pub(super) fn dialled(&mut self, is_retry: bool, idle_timeout: Option<Duration>, now: Instant) -> u64 {
        self.note_idle_timeout(idle_timeout, now);
        self.totals.retried += u64::from(is_retry);
        self.making -= 1;
        self.made += 1;
        self.totals.dialled += 1;
        self.totals.dialled
    }

    /// Takes back a right to make a connection, and gives it to the request that has waited longest. Returns the waker of
    /// that request.
    pub(super) fn release(&mut self) -> Option<Waker> {
        self.making -= 1;
        let (ticket, (waker, _)) = self.waiting.pop_first()?;
        self.making += 1;
        self.granted.insert(ticket, Grant::Dial);
        Some(waker)
    }

    /// Fails all waiting requests with this error, if the pool has no connection. Otherwise each request would in turn
    /// try to connect, and fail as well. Returns the wakers of the requests.
    pub(super) fn fail_waiting(&mut self, error: &Error) -> Vec<Waker> {
        let waiting = if self.made == 0 { mem::take(&mut self.waiting) } else { BTreeMap::new() };
        let failed = waiting.into_iter().map(|(ticket, (waker, _))| {
            self.granted.insert(ticket, Grant::Fail(error.clone()));
            waker
        });
        failed.collect()
    }

    /// Takes back a connection that can carry another request, and gives it to the request that has waited longest.
    /// Returns the waker of that request.
    #[inline]
    pub(super) fn give_back(&mut self, connection: Box<Pooled<D>>, now: Instant) -> Option<Waker> {
        let Some((ticket, (waker, home))) = self.next_waiting() else {
            self.expire(now);
            self.idle.push(Idle { connection, since: now });
            return None;
        };
        let grant = if connection.home == home {
            self.totals.reused += 1;
            Grant::Kept(connection)
        } else {
            self.closed.push(connection);
            self.made -= 1;
            self.making += 1;
            Grant::Dial
        };
        self.granted.insert(ticket, grant);
        Some(waker)
    }

    /// Takes the request that has waited longest out of the queue.
    #[inline]
    fn next_waiting(&mut self) -> Option<(u64, (Waker, D::Home))> {
        // Nearly always no request waits.
        if self.waiting.is_empty() { None } else { self.waiting.pop_first() }
    }

    /// Records that a connection in use has been closed. Its place is then a right to make a connection.
    pub(super) fn lost(&mut self) {
        self.made -= 1;
        self.making += 1;
    }

    /// Records that a kept connection cannot be used, and takes the next idle connection. If there is none, returns
    /// `None`, and the request has the right to make a connection.
    pub(super) fn replace(&mut self, home: D::Home) -> Option<Box<Pooled<D>>> {
        self.totals.stale += 1;
        self.totals.reused -= 1;
        let next = self.take_idle(home);
        self.lost();
        if next.is_some() {
            self.making -= 1;
        }
        next
    }

    /// Records that a request is sent again, because the connection with this number ended before a response came. Also
    /// closes the idle connections that were made before that connection, because a server that was restarted has
    /// closed all of them.
    pub(super) fn retry(&mut self, number: u64) {
        let before = self.idle.len();
        self.close_idle(|idle| idle.connection.number <= number);
        self.totals.stale += 1 + (before - self.idle.len()) as u64;
        self.lost();
    }

    pub(super) const fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Takes the connections that are to be closed.
    pub(super) fn closed(&mut self) -> Vec<Box<Pooled<D>>> {
        mem::take(&mut self.closed)
    }

    pub(super) fn stats(&self) -> Stats {
        Stats { open: self.made, idle: self.idle.len(), waiting: self.waiting.len(), ..self.totals }
    }
}

impl<D: Driver> Idle<D> {
    /// Returns the end of the idle time; `None` without a limit, or if the clock cannot represent the end.
    fn end(&self) -> Option<Instant> {
        self.since.checked_add(self.connection.idle_timeout?)
    }
}
