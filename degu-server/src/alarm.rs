//! The alarm of a connection: the part of the connection's state that other tasks read.
//!
//! Two other tasks read the alarm. The worker wakes the connection's task when a deadline may have expired. The acceptor asks a
//! connection to close when there are too many connections. Only the connection's task decides what to do.

use std::cmp::Reverse;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::atomic::AtomicU64;

/// The time for which a new connection is not closed to make room, because its first request may be on its way.
const GRACE: Duration = Duration::from_millis(100);
/// The time for which a new TLS connection is not closed to make room. The time is long, because the handshake takes
/// several round trips.
pub(crate) const HANDSHAKE_GRACE: Duration = Duration::from_millis(1500);

/// The reason for which a connection may be closed to make room for another connection. The acceptor closes connections in the
/// order of these reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spare {
    /// The last response of the connection has been sent.
    Done = 1,
    /// The client has not sent a request yet.
    Fresh,
    /// The connection waits for its next request.
    Idle,
}

/// The rank of a connection that may be closed to make room. The connection with the lowest rank is closed first. The fields
/// are the reason, the seconds for which the connection has waited, and a number that orders waits of the same second.
pub(crate) type Rank = (u64, Reverse<u32>, u32);

/// The part of a connection's state that other tasks read.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The second of the worker's clock in which the worker wakes the connection's task. `u32::MAX` means that no alarm is set.
    /// 0 asks the connection to close. The worker's clock is [`WorkerState::seconds`](crate::worker_state::WorkerState::seconds).
    due: AtomicU32,
    /// The reason for which the connection may be closed to make room (the 2 highest bits), the second in which the
    /// connection began to wait (30 bits), and a number that orders waits of the same second (32 bits). 0 while the
    /// connection is busy.
    spare: AtomicU64,
    task: OnceLock<Waker>,
    /// The end of the time in which a new connection, before its first request, is not closed to make room.
    grace: Instant,
}

impl Alarm {
    /// Returns the alarm of a new connection. No second is set. `is_secure` is true for a connection with TLS, whose grace is
    /// longer.
    pub(crate) fn new(is_secure: bool) -> Self {
        let grace = if is_secure { HANDSHAKE_GRACE } else { GRACE };
        Self {
            due: AtomicU32::new(u32::MAX),
            spare: AtomicU64::new(0),
            task: OnceLock::new(),
            grace: Instant::now() + grace,
        }
    }

    /// Stores the waker of the connection's task. Only the first call has an effect, because a task of tokio keeps its waker
    /// during its whole life.
    pub(crate) fn set_task(&self, task: &Waker) {
        let _ = self.task.set(task.clone());
    }

    /// Sets the second of the worker's clock in which the worker wakes the task, at least 1; `u32::MAX` sets no alarm.
    /// The call withdraws an earlier request to close the connection.
    pub(crate) fn set(&self, due: u32) {
        self.due.store(due, Relaxed);
    }

    /// Returns the second of the worker's clock in which the worker wakes the task. `u32::MAX` means that no alarm is set, and
    /// 0 means that the connection is asked to close.
    pub(crate) fn due(&self) -> u32 {
        self.due.load(Relaxed)
    }

    /// Wakes the connection's task. Does nothing before [`set_task`](Self::set_task).
    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Marks the connection as busy, so it is not closed to make room.
    pub(crate) fn set_busy(&self) {
        self.spare.store(0, Relaxed);
    }

    /// Records why the connection may be closed to make room. Does nothing if a reason is already recorded. `second` is
    /// the second in which the connection began to wait. `turn` returns a number that orders waits of the same second:
    /// the wait with the lower number began first.
    pub(crate) fn set_spare(&self, spare: Spare, second: u32, turn: impl FnOnce() -> u32) {
        if !self.can_be_spared() {
            let packed = (spare as u64) << 62 | u64::from(second & 0x3fff_ffff) << 32 | u64::from(turn());
            self.spare.store(packed, Relaxed);
        }
    }

    /// Returns whether the connection waits for a request, or has sent its last response. Unlike [`rank`](Self::rank),
    /// this method ignores the grace of a new connection, and an earlier request to close.
    pub(crate) fn can_be_spared(&self) -> bool {
        self.spare.load(Relaxed) != 0
    }

    /// Returns whether the last response of the connection has been sent.
    pub(crate) fn lingers(&self) -> bool {
        self.spare.load(Relaxed) >> 62 == Spare::Done as u64
    }

    /// Returns the connection's rank. `second` is the current second of the connection's worker. Returns `None` if the
    /// connection is busy, is too new, or was already asked to close.
    pub(crate) fn rank(&self, second: u32) -> Option<Rank> {
        let packed = self.spare.load(Relaxed);
        let (spare, since, turn) = (packed >> 62, (packed >> 32) as u32 & 0x3fff_ffff, packed as u32);
        let is_young = spare == Spare::Fresh as u64 && Instant::now() < self.grace;
        (spare != 0 && !is_young && !self.is_asked()).then(|| (spare, Reverse(second.saturating_sub(since)), turn))
    }

    /// Asks the connection to close, and wakes its task. A connection that is busy when its task is woken stays open.
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
            alarm.set_spare(spare, second, || turn);
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
        alarm.set_spare(Spare::Fresh, 1, || 1);
        assert_eq!(alarm.rank(1), None);
        alarm.set_busy();
        alarm.set_spare(Spare::Idle, 1, || 1);
        assert!(alarm.rank(1).is_some());
        alarm.ask();
        assert_eq!(alarm.rank(1), None);
        alarm.set(5);
        assert!(alarm.rank(1).is_some());
    }
}
