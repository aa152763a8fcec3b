//! The accounts of a pool: which connections are idle, who waits, and who gets the next one. No socket and no clock: time
//! is passed in, and connections to be closed are handed out, so that nothing is closed under the pool's lock.

use std::{
    collections::BTreeMap,
    mem,
    task::Waker,
    time::{Duration, Instant},
};

use super::Stats;
use crate::error::Error;

/// A connection, as the state of the pool sees it.
pub(super) trait Member {
    /// The place where the connection can be used: the runtime that its socket is registered with.
    type Home: Copy + PartialEq;

    fn home(&self) -> Self::Home;

    /// Returns the connection's place in the order in which connections were made.
    fn number(&self) -> u64;

    /// Returns how long it may be idle.
    fn idle_timeout(&self) -> Option<Duration>;
}

/// The permission that a request gets when its turn comes.
#[derive(Debug)]
pub(super) enum Grant<T> {
    /// A connection that was used before.
    Kept(T),
    /// The right to make one.
    Dial,
    /// The reason why there is none.
    Fail(Error),
}

#[derive(Debug)]
pub(super) struct State<T: Member> {
    max: usize,
    /// The connection that was returned last is the last one.
    idle: Vec<Idle<T>>,
    /// The shortest idle timeout of all connections.
    shortest: Option<Duration>,
    /// The time before which no connection has been idle for too long.
    next_end: Option<Instant>,
    /// The connections that are to be closed when the pool's lock has been released.
    closed: Vec<T>,
    /// The requests that wait, by ticket: tickets grow, so that the first is the one that has waited longest.
    waiting: BTreeMap<u64, (Waker, T::Home)>,
    /// Permissions that were given to requests, and that these have not taken yet.
    granted: BTreeMap<u64, Grant<T>>,
    tickets: u64,
    /// The number of connections, idle or in use.
    made: usize,
    /// The number of rights to make a connection ([`Grant::Dial`]) that have been given, and neither used nor returned.
    making: usize,
    dialled: u64,
    reused: u64,
    stale: u64,
    retried: u64,
}

#[derive(Debug)]
struct Idle<T> {
    connection: T,
    since: Instant,
}

impl<T: Member> State<T> {
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
            dialled: 0,
            reused: 0,
            stale: 0,
            retried: 0,
        }
    }

    /// Takes the idle connection that was used last, or the right to make one: `None` if there are `max`.
    #[inline]
    pub(super) fn take(&mut self, home: T::Home, now: Instant) -> Option<Grant<T>> {
        self.expire(now);
        if let Some(idle) = self.idle.pop_if(|idle| idle.connection.home() == home) {
            self.reused += 1;
            return Some(Grant::Kept(idle.connection));
        }
        self.take_other(home)
    }

    #[cold]
    fn take_other(&mut self, home: T::Home) -> Option<Grant<T>> {
        if let Some(kept) = self.take_idle(home) {
            return Some(Grant::Kept(kept));
        }
        // A connection that cannot be used here makes room.
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

    fn take_idle(&mut self, home: T::Home) -> Option<T> {
        let at = self.idle.iter().rposition(|idle| idle.connection.home() == home)?;
        self.reused += 1;
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
        // A connection that is in use now is returned later.
        let next_returned = self.shortest.and_then(|timeout| now.checked_add(timeout));
        self.next_end = ends.chain(next_returned).min();
    }

    /// Notes the idle timeout of a connection that is in use.
    pub(super) fn note_idle_timeout(&mut self, timeout: Option<Duration>, now: Instant) {
        self.shortest = self.shortest.into_iter().chain(timeout).min();
        let end = timeout.and_then(|timeout| now.checked_add(timeout));
        self.next_end = self.next_end.into_iter().chain(end).min();
    }

    fn close_idle(&mut self, is_closed: impl Fn(&Idle<T>) -> bool) {
        let before = self.idle.len();
        for idle in mem::take(&mut self.idle) {
            match is_closed(&idle) {
                true => self.closed.push(idle.connection),
                false => self.idle.push(idle),
            }
        }
        self.made -= before - self.idle.len();
    }

    /// Joins the queue.
    pub(super) fn join(&mut self, waker: Waker, home: T::Home) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, (waker, home));
        self.tickets
    }

    /// Takes what the holder of this ticket was given, or notes which task to wake.
    pub(super) fn collect(&mut self, ticket: u64, waker: &Waker) -> Option<Grant<T>> {
        if let Some((known, _)) = self.waiting.get_mut(&ticket) {
            known.clone_from(waker);
        }
        self.granted.remove(&ticket)
    }

    /// Leaves the queue. What the holder of the ticket was given already is returned, to be passed on.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Grant<T>> {
        self.waiting.remove(&ticket);
        let grant = self.granted.remove(&ticket);
        // It was not used.
        self.reused -= u64::from(matches!(grant, Some(Grant::Kept(_))));
        grant
    }

    /// Notes that a connection was made, with the right that was given for it, maybe to send a request again. Returns its
    /// number.
    pub(super) fn dialled(&mut self, is_retry: bool, idle_timeout: Option<Duration>, now: Instant) -> u64 {
        self.note_idle_timeout(idle_timeout, now);
        self.retried += u64::from(is_retry);
        self.making -= 1;
        self.made += 1;
        self.dialled += 1;
        self.dialled
    }

    /// Takes back the right to make a connection. The request that has waited longest gets it, and its task is to be woken.
    pub(super) fn release(&mut self) -> Option<Waker> {
        self.making -= 1;
        let (ticket, (waker, _)) = self.waiting.pop_first()?;
        self.making += 1;
        self.granted.insert(ticket, Grant::Dial);
        Some(waker)
    }

    /// Fails all waiting requests with the reason for which a connection could not be made, if there is no other
    /// connection: otherwise each of them would try in vain, one after the other.
    pub(super) fn fail_waiting(&mut self, error: &Error) -> Vec<Waker> {
        let waiting = if self.made == 0 { mem::take(&mut self.waiting) } else { BTreeMap::new() };
        let failed = waiting.into_iter().map(|(ticket, (waker, _))| {
            self.granted.insert(ticket, Grant::Fail(error.to_another()));
            waker
        });
        failed.collect()
    }

    /// Takes back a connection that can carry another request. The request that has waited longest gets it, and its task
    /// is to be woken.
    #[inline]
    pub(super) fn give_back(&mut self, connection: T, now: Instant) -> Option<Waker> {
        let Some((ticket, (waker, home))) = self.next_waiting() else {
            self.expire(now);
            self.idle.push(Idle { connection, since: now });
            return None;
        };
        let grant = if connection.home() == home {
            self.reused += 1;
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
    fn next_waiting(&mut self) -> Option<(u64, (Waker, T::Home))> {
        // Nearly always no request waits.
        if self.waiting.is_empty() { None } else { self.waiting.pop_first() }
    }

    /// Notes that a connection has been closed after it was used. Its place is the right to make another one.
    pub(super) fn lost(&mut self) {
        self.made -= 1;
        self.making += 1;
    }

    /// Notes that a kept connection was found closed, and takes the next one. `None` leaves the right to make one.
    pub(super) fn replace(&mut self, home: T::Home) -> Option<T> {
        self.stale += 1;
        self.reused -= 1;
        let next = self.take_idle(home);
        self.lost();
        if next.is_some() {
            self.making -= 1;
        }
        next
    }

    /// Notes that a request is to be sent again, because the connection with this number was closed before it was answered. Idle
    /// connections that are as old are taken for closed, too: a server that was restarted has closed all.
    pub(super) fn retry(&mut self, number: u64) {
        let before = self.idle.len();
        self.close_idle(|idle| idle.connection.number() <= number);
        self.stale += 1 + (before - self.idle.len()) as u64;
        self.lost();
    }

    pub(super) const fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Takes the connections that are to be closed.
    pub(super) fn closed(&mut self) -> Vec<T> {
        mem::take(&mut self.closed)
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            open: self.made,
            idle: self.idle.len(),
            waiting: self.waiting.len(),
            dialled: self.dialled,
            reused: self.reused,
            stale: self.stale,
            retried: self.retried,
        }
    }
}

impl<T: Member> Idle<T> {
    /// Returns the end of the idle time, unless it has none, or the clock cannot represent it.
    fn end(&self) -> Option<Instant> {
        self.since.checked_add(self.connection.idle_timeout()?)
    }
}
