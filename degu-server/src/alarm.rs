//! The part of a connection that other tasks see: when to wake it, and whether it can be spared.
//!
//! A connection belongs to its task. Two others look at it from outside: its worker wakes it when a deadline may have
//! passed, and the acceptor asks one to leave when there are too many. Both only wake the task, which decides what is
//! to be done.

use std::cmp::Reverse;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use portable_atomic::AtomicU64;

/// The time for which a new connection may send nothing and is not spared: its request may be on its way.
const GRACE: Duration = Duration::from_millis(100);
/// The same for a connection that begins with a handshake, which takes several round trips.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(2);

/// The reason for which a connection can be spared; the first of these leave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spare {
    /// Its last response has been sent.
    Done = 1,
    /// It has not sent a request yet.
    Fresh,
    /// It waits for its next request.
    Idle,
}

/// The place of a connection among those that can be spared: why, for how many seconds, and since which turn of its worker.
pub(crate) type Rank = (u64, Reverse<u32>, u32);

/// The state of a connection that other tasks see.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The second from which on the task is woken; 0 if it is asked to leave.
    due: AtomicU32,
    /// From which second and turn on the connection can be spared, and why; 0 while it works.
    spare: AtomicU64,
    task: OnceLock<Waker>,
    /// Until then a connection without a request is not spared.
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

    /// Names the task to wake. A task has the same waker for as long as it lives.
    pub(crate) fn set_task(&self, task: &Waker) {
        let _ = self.task.set(task.clone());
    }

    /// Sets the second from which on the task is woken, which is 1 at least. It is not asked to leave any more.
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

    /// Notes that the connection cannot be spared.
    pub(crate) fn set_busy(&self) {
        self.spare.store(0, Relaxed);
    }

    /// Notes that the connection can be spared from this second and turn on, unless it could be before.
    pub(crate) fn set_spare(&self, spare: Spare, second: u32, turn: u32) {
        if !self.can_be_spared() {
            self.spare.store((spare as u64) << 62 | u64::from(second & 0x3fff_ffff) << 32 | u64::from(turn), Relaxed);
        }
    }

    /// Returns whether the connection can be spared.
    pub(crate) fn can_be_spared(&self) -> bool {
        self.spare.load(Relaxed) != 0
    }

    /// Returns the connection's rank in this second of its worker, or `None` if it cannot be spared or has been asked.
    pub(crate) fn rank(&self, second: u32) -> Option<Rank> {
        let packed = self.spare.load(Relaxed);
        let (spare, since, turn) = (packed >> 62, (packed >> 32) as u32 & 0x3fff_ffff, packed as u32);
        let is_young = spare == Spare::Fresh as u64 && Instant::now() < self.grace;
        (spare != 0 && !is_young && !self.is_asked()).then(|| (spare, Reverse(second.saturating_sub(since)), turn))
    }

    /// Asks the connection to leave, which it does if it still can.
    pub(crate) fn ask(&self) {
        self.set(0);
        self.wake();
    }

    /// Returns whether the connection is asked to leave.
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
