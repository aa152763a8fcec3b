//! The state that the connections of a worker share: the list of connections, the seconds, and the counters.

use std::cell::{Cell, Ref, RefCell, RefMut};
#[cfg(feature = "tls")]
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "tls")]
use degu_wire::Address;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::alarm::{Alarm, Spare};
use crate::options::Options;
#[cfg(feature = "tls")]
use crate::revocation::{REVOKED, Vetted};
use crate::state::{Connections, ServerState};
use crate::stats::Counters;

/// The number of busy connections up to which a connection spins for its next request.
const SPINNING: usize = 4;
/// The number of connections of a worker that may keep their buffers between two requests. The buffers are about 11 KiB each.
pub(crate) const KEPT: usize = 128;
/// The size of the buffer for small reads. A larger request that is received while spinning takes several reads.
const SCRATCH: usize = 16 * 1024;

/// The state that the connections of a worker share.
#[derive(Debug)]
pub(crate) struct WorkerState {
    pub(crate) options: Arc<Options>,
    pub(crate) server: Arc<ServerState>,
    index: usize,
    /// The peers that have shown a certificate, which can be revoked, and their addresses. The keys are the numbers of the
    /// connections.
    #[cfg(feature = "tls")]
    vetted: RefCell<BTreeMap<u64, (Vetted, Address)>>,
    /// The number of times that a connection has begun to wait for a request.
    turn: Cell<u32>,
    /// Wakes the worker after a connection has come, has ended, or has had its last response.
    changed: Notify,
    /// The number of connections that hold buffers.
    busy: Cell<usize>,
    /// The seconds since the worker started.
    seconds: Cell<u32>,
    /// The text of `date`, updated once a second.
    date: RefCell<String>,
    scratch: RefCell<Box<[u8]>>,
    began: Instant,
}

/// A connection's place in its worker, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) worker: Rc<WorkerState>,
    pub(crate) alarm: Arc<Alarm>,
    number: u64,
    /// The reason for which the connection can be closed to make room while it waits.
    spare: Spare,
}

impl Place {
    /// Ends the connection when the certificate of this peer is revoked.
    #[cfg(feature = "tls")]
    pub(crate) fn watch(&self, peer: Vetted, address: &Address) {
        self.worker.vetted.borrow_mut().insert(self.number, (peer, address.clone()));
    }

    /// Records that a request has come.
    pub(crate) const fn begin_request(&mut self) {
        self.spare = Spare::Idle;
    }

    /// Records that the connection has had its last response. A shutdown then does not wait for it, and it is closed to make room
    /// before any connection of another kind.
    pub(crate) fn linger(&mut self) {
        self.alarm.set_busy();
        self.spare = Spare::Done;
        self.set_spare();
        self.worker.changed.notify_waiters();
        self.worker.server.notify_room(0);
    }

    /// Records that the connection can be closed to make room from now on. Does nothing if that was the case before.
    pub(crate) fn set_spare(&self) {
        if !self.alarm.can_be_spared() {
            let turn = self.worker.turn.get().wrapping_add(1);
            self.worker.turn.set(turn);
            self.alarm.set_spare(self.spare, self.worker.seconds(), turn);
        }
    }

    /// Returns whether the connection was asked to make room for another one, and room is still needed.
    pub(crate) fn is_asked_for_room(&self) -> bool {
        self.alarm.is_asked() && self.alarm.can_be_spared() && self.worker.server.is_full()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.worker;
        #[cfg(feature = "tls")]
        worker.vetted.borrow_mut().remove(&self.number);
        worker.connections().remove(&self.number);
        worker.leave();
        worker.changed.notify_waiters();
    }
}

impl WorkerState {
    pub(crate) fn new(server: Arc<ServerState>, options: Arc<Options>, index: usize) -> Self {
        Self {
            options,
            server,
            index,
            #[cfg(feature = "tls")]
            vetted: RefCell::default(),
            turn: Cell::new(0),
            changed: Notify::new(),
            busy: Cell::new(0),
            seconds: Cell::new(0),
            date: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            began: Instant::now(),
        }
    }

    /// Returns the place of a new connection. The caller then [adds](Self::add) its task.
    pub(crate) fn place(self: &Rc<Self>, number: u64) -> Place {
        Place {
            worker: self.clone(),
            alarm: Arc::new(Alarm::new(self.options.is_secure())),
            number,
            spare: Spare::Fresh,
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.server.connections(self.index)
    }

    /// Adds the task of a new connection.
    pub(crate) fn add(&self, number: u64, alarm: Arc<Alarm>, task: AbortHandle) {
        self.connections().insert(number, (alarm, Some(task)));
        self.changed.notify_waiters();
    }

    /// Counts a connection of this worker as ended.
    pub(crate) fn leave(&self) {
        self.server.leave(self.index);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections().is_empty()
    }

    /// Waits until a connection has come, has ended, or has had its last response.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until all remaining connections only linger.
    pub(crate) async fn drained(&self) {
        while self.connections().values().any(|(alarm, _)| !alarm.lingers()) {
            self.changed().await;
        }
    }

    /// Wakes every connection, which then notices that the server shuts down.
    pub(crate) fn wake_all(&self) {
        self.connections().values().for_each(|(alarm, _)| alarm.wake());
    }

    /// Aborts the task of every connection.
    pub(crate) fn abort_all(&self) {
        let connections = std::mem::take(&mut *self.connections());
        for (_, task) in connections.into_values() {
            task.inspect(AbortHandle::abort);
        }
    }

    /// Counts a second, and wakes the connections whose alarm is due.
    pub(crate) fn count_second(&self) {
        let now = self.seconds.get() + 1;
        self.seconds.set(now);
        self.counters().second.store(now, Relaxed);
        self.set_date();
        self.connections().values().filter(|(alarm, _)| alarm.due() <= now).for_each(|(alarm, _)| alarm.wake());
        #[cfg(feature = "tls")]
        self.end_revoked();
    }

    /// Aborts the connections whose peer's certificate was revoked by a reload.
    #[cfg(feature = "tls")]
    fn end_revoked(&self) {
        for (number, (peer, address)) in &*self.vetted.borrow() {
            if peer.is_revoked() {
                tracing::info!(peer = %address, reason = REVOKED, "connection ends");
                if let Some((_, Some(task))) = self.connections().get(number) {
                    task.abort();
                }
            }
        }
    }

    /// Updates the text of `date`.
    pub(crate) fn set_date(&self) {
        if self.options.date {
            *self.date.borrow_mut() = httpdate::fmt_http_date(SystemTime::now());
        }
    }

    /// Returns the seconds since the worker started.
    pub(crate) const fn seconds(&self) -> u32 {
        self.seconds.get()
    }

    /// Returns the text of `date`, if that field is switched on.
    pub(crate) fn date(&self) -> Option<Ref<'_, str>> {
        self.options.date.then(|| Ref::map(self.date.borrow(), String::as_str))
    }

    /// Returns the buffer through which small reads go.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// Returns the time since the worker began.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.server.counters[self.index]
    }

    /// Returns whether the server shuts down. The current response of each connection is then its last.
    pub(crate) fn is_stopping(&self) -> bool {
        self.server.is_stopping()
    }

    /// Counts a connection as busy until the guard is dropped.
    pub(crate) fn make_busy(&self) -> Busy<'_> {
        self.busy.set(self.busy.get() + 1);
        Busy(&self.busy)
    }

    #[cfg(test)]
    pub(crate) const fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Returns whether another connection is busy too. A connection that spins then lets it run at each yield.
    pub(crate) const fn has_others_busy(&self) -> bool {
        self.busy.get() > 1
    }

    /// Returns whether a connection may spin (poll its socket without sleeping) for its next request. It may not if more than
    /// [`SPINNING`] connections of this worker are busy, because then the thread always has something else to do.
    pub(crate) const fn may_spin(&self) -> bool {
        self.busy.get() <= SPINNING
    }

    /// Returns whether a connection should give up its buffers as soon as it waits for a request, and not only after a second.
    /// Otherwise, requests that come on many connections in one second would cost a set of buffers for each connection.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.busy.get() > KEPT
    }
}

/// A guard that counts a connection as busy as long as it lives.
#[derive(Debug)]
pub(crate) struct Busy<'w>(&'w Cell<usize>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
