//! The part of a connection that other tasks read: when to wake it, and whether it can be closed to make room.
//!
//! A connection belongs to its task. Two other tasks read its alarm: its worker wakes it when a deadline may have expired, and
//! the acceptor asks a connection to close when there are too many. Both only wake the connection's task, which decides
//! what to do.

use std::cmp::Reverse;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::atomic::AtomicU64;

/// The time for which a new connection is not closed to make room although it has sent nothing. Its request may be on its way.
const GRACE: Duration = Duration::from_millis(100);
/// The same for a connection that begins with a handshake, which takes several round trips.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(2);

/// The reason for which a connection can be closed to make room. Connections with the first reason are closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spare {
    /// Its last response has been sent.
    Done = 1,
    /// It has not sent a request yet.
    Fresh,
    /// It waits for its next request.
    Idle,
}

/// The rank of a connection among those that can be closed to make room: the reason, the number of seconds since it holds, and
/// the turn of its worker since which it holds.
pub(crate) type Rank = (u64, Reverse<u32>, u32);

/// The state of a connection that other tasks read.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The second from which on the task is woken; 0 if it is asked to close.
    due: AtomicU32,
    /// The reason for which the connection can be closed to make room, in the two highest bits, then the second (30 bits) and the
    /// turn (32 bits) from which on this holds. 0 while the connection is busy.
    spare: AtomicU64,
    task: OnceLock<Waker>,
    /// The time until which a connection without a request is not closed to make room.
    grace: Instant,
}

impl Alarm {
    /// Returns an alarm that is not set, for a connection that has just been accepted.
    pub(crate) fn new(is_secure: bool) -> Self {
        let grace = if is_secure { HANDSHAKE_GRACE } else { GRACE };
        Self {
            due: AtomicU32::new(u32::MAX),
            spare: AtomicU64::new(0),
            task: OnceLock::new(),
            grace: Instant::now() + grace,
        }
    }

    /// Sets the task to wake. A task has the same waker during its whole life.
    pub(crate) fn set_task(&self, task: &Waker) {
        let _ = self.task.set(task.clone());
    }

    /// Sets the second from which on the task is woken, at least 1. This also withdraws a request to close.
    pub(crate) fn set(&self, due: u32) {
        self.due.store(due, Relaxed);
    }

    /// Returns the second from which on the task is woken.
    pub(crate) fn due(&self) -> u32 {
        self.due.load(Relaxed)
    }

    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Sets that the connection cannot be closed to make room.
    pub(crate) fn set_busy(&self) {
        self.spare.store(0, Relaxed);
    }

    /// Sets that the connection can be closed to make room, from this second and turn on.
    pub(crate) fn set_spare(&self, spare: Spare, second: u32, turn: u32) {
        self.spare.store((spare as u64) << 62 | u64::from(second & 0x3fff_ffff) << 32 | u64::from(turn), Relaxed);
    }

    /// Returns whether the connection can be closed to make room.
    pub(crate) fn can_be_spared(&self) -> bool {
        self.spare.load(Relaxed) != 0
    }

    /// Returns whether the connection has had its last response.
    pub(crate) fn lingers(&self) -> bool {
        self.spare.load(Relaxed) >> 62 == Spare::Done as u64
    }

    /// Returns the connection's rank in this second of its worker. `None` if the connection cannot be closed to make room, is new,
    /// or has been asked already.
    pub(crate) fn rank(&self, second: u32) -> Option<Rank> {
        let packed = self.spare.load(Relaxed);
        let (spare, since, turn) = (packed >> 62, (packed >> 32) as u32 & 0x3fff_ffff, packed as u32);
        let is_young = spare == Spare::Fresh as u64 && Instant::now() < self.grace;
        (spare != 0 && !is_young && !self.is_asked()).then(|| (spare, Reverse(second.saturating_sub(since)), turn))
    }

    /// Asks the connection to close. The connection does not close if it has become busy meanwhile.
    pub(crate) fn ask(&self) {
        self.set(0);
        self.wake();
    }

    /// Returns whether the connection is asked to close.
    pub(crate) fn is_asked(&self) -> bool {
        self.due() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_is_spared_most_easily_has_the_first_rank() {
        let alarm = |spare, second, turn| {
            let alarm = Alarm { grace: Instant::now(), ..Alarm::new(false) };
            alarm.set_spare(spare, second, turn);
            alarm
        };
        let order = [
            alarm(Spare::Done, 7, 9),
            alarm(Spare::Fresh, 2, 3),
            alarm(Spare::Fresh, 7, 1),
            alarm(Spare::Idle, 3, 5),
            alarm(Spare::Idle, 4, 2),
            alarm(Spare::Idle, 4, 4),
        ];
        let ranks = order.each_ref().map(|alarm| alarm.rank(8).unwrap());
        assert!(ranks.is_sorted(), "{ranks:?}");
    }

    #[test]
    fn busy_new_and_already_asked_connections_are_not_asked() {
        let alarm = Alarm::new(true);
        assert_eq!(alarm.rank(1), None);
        alarm.set_spare(Spare::Fresh, 1, 1);
        assert_eq!(alarm.rank(1), None);
        alarm.set_busy();
        alarm.set_spare(Spare::Idle, 1, 1);
        assert!(alarm.rank(1).is_some());
        alarm.ask();
        assert_eq!(alarm.rank(1), None);
        alarm.set(5);
        assert!(alarm.rank(1).is_some());
    }
}
