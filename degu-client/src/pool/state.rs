//! The state of a pool: the idle connections, the requests that wait, and the counters.
//!
//! A place is free if its connection is idle, or if its connection may still be made. Requests that wait get places in
//! the order of their tickets: if two places are free, the first two requests have their turn. Every call that frees a
//! place returns the waker of the request whose turn has come.
//!
//! The state performs no I/O and reads no clock. The caller passes the time. After it has released the pool's lock, the
//! caller wakes the request whose turn has come, and drops the connections in [`State::closed`].

use std::{
    collections::BTreeMap,
    mem,
    task::{Poll, Waker},
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
    /// The time at which the connection was made, or was returned last.
    pub(super) since: Instant,
}

/// The place of a request: a connection that was used before, or `None` for the right to make a connection.
pub(super) type Place<D> = Option<Box<Pooled<D>>>;

pub(super) struct State<D: Driver> {
    max: usize,
    /// The idle connections, in the order in which they were returned.
    idle: Vec<Box<Pooled<D>>>,
    /// The shortest idle timeout of all connections since the pool was made. No connection that is in use now can expire
    /// before this time has passed.
    shortest: Option<Duration>,
    /// The time of the next search for idle connections that have to be closed. The time may be too early, so a search
    /// may find none.
    next_end: Option<Instant>,
    /// The connections that are to be closed when the pool's lock has been released.
    pub(super) closed: Vec<Box<Pooled<D>>>,
    /// The wakers of the requests that wait, by ticket. Tickets grow, so the request with the first ticket has waited
    /// longest.
    waiting: BTreeMap<u64, Waker>,
    tickets: u64,
    /// The latest error that failed all waiting requests, and the highest ticket among these requests.
    failure: Option<(u64, Error)>,
    /// The number of connections, idle or in use.
    made: usize,
    /// The number of rights to make a connection that have been neither used nor returned.
    making: usize,
    /// The number of consecutive failed attempts to connect while the pool had no connection. Reset when a connection
    /// is made, and when a request begins to wait and no other request waits.
    failed: usize,
    /// The totals since the pool was made. The counters of the current state are not kept here.
    totals: Stats,
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
            tickets: 0,
            failure: None,
            made: 0,
            making: 0,
            failed: 0,
            totals: Stats::default(),
        }
    }

    /// Takes a place for a request that has not waited. Returns `None` if the request has to wait.
    #[inline]
    pub(super) fn take(&mut self, home: D::Home, now: Instant) -> Option<Place<D>> {
        self.expire(now);
        // Nearly always no request waits, and the connection that was returned last can be used.
        if self.waiting.is_empty()
            && let Some(kept) = self.idle.pop_if(|idle| idle.home == home)
        {
            self.totals.reused += 1;
            return Some(Some(kept));
        }
        self.take_other(home)
    }

    /// Takes a free place, if more places are free than requests wait. Otherwise returns `None`.
    #[cold]
    fn take_other(&mut self, home: D::Home) -> Option<Place<D>> {
        (self.waiting.len() < self.free()).then(|| self.take_free(home))
    }

    /// Takes a place for a request that waits, if the request has its turn. Otherwise stores the waker. The request
    /// gets a ticket at its first call. Returns an error if [`fail_waiting`](Self::fail_waiting) has failed the request
    /// since the first call.
    pub(super) fn poll_turn(
        &mut self,
        ticket: &mut Option<u64>,
        waker: &Waker,
        home: D::Home,
        now: Instant,
    ) -> Poll<Result<Place<D>, Error>> {
        let number = *ticket.get_or_insert_with(|| {
            self.tickets += 1;
            self.tickets
        });
        if let Some((last, error)) = &self.failure
            && number <= *last
        {
            return Poll::Ready(Err(error.clone()));
        }
        self.expire(now);
        let free = self.free();
        if self.waiting.range(..number).take(free).count() < free {
            self.waiting.remove(&number);
            return Poll::Ready(Ok(self.take_free(home)));
        }
        if self.waiting.is_empty() {
            self.failed = 0;
        }
        self.waiting.insert(number, waker.clone());
        Poll::Pending
    }

    /// Returns the number of free places. A place is still free while the request that has its turn has not taken the
    /// place.
    fn free(&self) -> usize {
        self.max - (self.made - self.idle.len()) - self.making
    }

    /// Takes a free place: the idle connection of this runtime that was returned last, or the right to make a
    /// connection.
    fn take_free(&mut self, home: D::Home) -> Place<D> {
        if let Some(at) = self.idle.iter().rposition(|idle| idle.home == home) {
            self.totals.reused += 1;
            return Some(self.idle.remove(at));
        }
        // If no further connection may be made, the free place is an idle connection of another runtime. This
        // connection is closed, to allow a new connection in this runtime.
        if self.made + self.making == self.max {
            self.closed.push(self.idle.remove(0));
            self.made -= 1;
        }
        self.making += 1;
        None
    }

    /// Closes idle connections whose idle timeout has passed, if `next_end` says that there may be any.
    #[inline(always)]
    fn expire(&mut self, now: Instant) {
        if self.next_end.is_some_and(|end| end <= now) {
            self.close_expired(now);
        }
    }

    /// Closes the idle connections whose idle timeout has passed, and sets the time of the next search.
    #[cold]
    fn close_expired(&mut self, now: Instant) {
        self.close_idle(|idle| idle.end().is_some_and(|end| end <= now));
        let ends = self.idle.iter().filter_map(|idle| idle.end());
        // A connection that is in use becomes idle after `now`, so its idle time ends after this time.
        let next_returned = self.shortest.and_then(|timeout| now.checked_add(timeout));
        self.next_end = ends.chain(next_returned).min();
    }

    /// Records the idle timeout of a connection that is in use.
    pub(super) fn note_idle_timeout(&mut self, timeout: Option<Duration>, now: Instant) {
        self.shortest = self.shortest.into_iter().chain(timeout).min();
        let end = timeout.and_then(|timeout| now.checked_add(timeout));
        self.next_end = self.next_end.into_iter().chain(end).min();
    }

    /// Moves each idle connection to `closed` if `is_closed` returns `true` for it.
    fn close_idle(&mut self, is_closed: impl Fn(&Pooled<D>) -> bool) {
        let before = self.closed.len();
        self.closed.extend(self.idle.extract_if(.., |idle| is_closed(idle)));
        self.made -= self.closed.len() - before;
    }

    /// Removes a request from the queue, because its caller has stopped waiting. Returns the waker of the request whose
    /// turn may have come.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Waker> {
        self.waiting.remove(&ticket);
        self.next_turn()
    }

    /// Returns the waker of the request that has its turn because a place has just become free; `None` if no request waits
    /// for this place.
    fn next_turn(&self) -> Option<Waker> {
        self.waiting.values().nth(self.free().checked_sub(1)?).cloned()
    }

    /// Records that a request has used its right to make a connection. `is_retry` is true if the request is sent a
    /// second time. Returns the number of the connection.
    pub(super) fn dialled(&mut self, is_retry: bool, idle_timeout: Option<Duration>, now: Instant) -> u64 {
        self.note_idle_timeout(idle_timeout, now);
        self.totals.retried += u64::from(is_retry);
        self.making -= 1;
        self.made += 1;
        self.failed = 0;
        self.totals.dialled += 1;
        self.totals.dialled
    }

    /// Takes back a place without a connection. `is_made` is true if the connection was made, and has been closed.
    /// Returns the waker of the request whose turn has come.
    pub(super) fn release(&mut self, is_made: bool) -> Option<Waker> {
        *(if is_made { &mut self.made } else { &mut self.making }) -= 1;
        self.next_turn()
    }

    /// Records that an attempt to connect has failed with this error. If the pool has no connection, and `max` attempts
    /// in a row have failed, fails all waiting requests with this error. Without this, each request would in turn try
    /// to connect, and fail as well. Returns the wakers of the requests.
    pub(super) fn fail_waiting(&mut self, error: &Error) -> impl Iterator<Item = Waker> + use<D> {
        self.failed = if self.made == 0 { self.failed + 1 } else { 0 };
        let failed = if self.failed >= self.max { mem::take(&mut self.waiting) } else { BTreeMap::new() };
        if !failed.is_empty() {
            self.failure = Some((self.tickets, error.clone()));
        }
        failed.into_values()
    }

    /// Takes back a connection that can carry another request. Returns the waker of the request whose turn has come.
    #[inline]
    pub(super) fn give_back(&mut self, mut connection: Box<Pooled<D>>, now: Instant) -> Option<Waker> {
        if !self.idle.is_empty() {
            self.expire(now);
        }
        connection.since = now;
        self.idle.push(connection);
        // Nearly always no request waits.
        if self.waiting.is_empty() { None } else { self.next_turn() }
    }

    /// Records that a kept connection cannot be used, and takes another place instead.
    pub(super) fn replace(&mut self, home: D::Home) -> Place<D> {
        self.totals.stale += 1;
        self.totals.reused -= 1;
        self.made -= 1;
        self.take_free(home)
    }

    /// Records that a request is sent again, because the connection with this number ended before a response came. Also
    /// closes the idle connections that were made before that connection, because a server that was restarted has
    /// closed all of them. The request then has the right to make a connection.
    pub(super) fn retry(&mut self, number: u64) {
        let before = self.made;
        self.close_idle(|idle| idle.number <= number);
        self.made -= 1;
        self.making += 1;
        self.totals.stale += (before - self.made) as u64;
    }

    pub(super) fn stats(&self) -> Stats {
        // Requests that have their turn count as if they had taken their places.
        let turns = self.free().min(self.waiting.len());
        let kept = turns.min(self.idle.len());
        Stats {
            open: self.made,
            idle: self.idle.len() - kept,
            waiting: self.waiting.len() - turns,
            reused: self.totals.reused + kept as u64,
            ..self.totals
        }
    }
}

impl<D: Driver> Pooled<D> {
    /// Returns the end of the idle time; `None` without a limit, or if the clock cannot represent the end.
    fn end(&self) -> Option<Instant> {
        self.since.checked_add(self.idle_timeout?)
    }
}
