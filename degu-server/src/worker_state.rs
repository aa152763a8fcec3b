//! The state that all connections of a worker share: the list of connections, the clock, and the counters.

use std::cell::{Cell, Ref, RefCell, RefMut};
#[cfg(feature = "tls")]
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "tls")]
use degu_wire::Address;
use tokio::sync::futures::Notified;
use tokio::task::AbortHandle;

use crate::alarm::{Alarm, Spare};
use crate::options::Options;
#[cfg(feature = "tls")]
use crate::revocation::{REVOKED, Vetted};
use crate::state::{Connections, ServerState};
use crate::stats::Counters;

/// A connection spins for its next request only while at most this number of connections of its worker are busy.
const SPINNING: usize = 4;
/// The number of connections of a worker that may keep their buffers between two requests. The buffers of a connection have about
/// 11 KiB, so a worker keeps about 4 MiB. If a connection frees its buffers after each request, a request costs 50 % more
/// instructions.
pub(crate) const KEPT: usize = 384;
/// The size in bytes of the buffer for small reads. A connection that spins reads at most this much at once.
const SCRATCH: usize = 16 * 1024;

/// The state that the connections of a worker share.
pub(crate) struct WorkerState {
    pub(crate) options: Arc<Options>,
    pub(crate) server: Arc<ServerState>,
    pub(crate) index: usize,
    /// The peers whose certificates are checked for revocation while their connections are open, and the addresses of these
    /// peers. The key is the number of the connection.
    #[cfg(feature = "tls")]
    vetted: RefCell<BTreeMap<u64, (Vetted, Address)>>,
    /// A counter that grows when a connection begins to wait for a request. The counter orders the waits of the same
    /// second.
    turn: Cell<u32>,
    /// The number of connections that are busy. A busy connection holds buffers.
    busy: Cell<usize>,
    /// The seconds that the worker has counted. A worker counts only while it has connections.
    seconds: Cell<u32>,
    /// The text of `date`, updated once a second.
    date: RefCell<String>,
    scratch: RefCell<Box<[u8]>>,
    began: Instant,
}

/// The place of a connection in the list of its worker. When this value is dropped, the connection is removed from the
/// list and counted as ended.
pub(crate) struct Place {
    pub(crate) worker: Rc<WorkerState>,
    pub(crate) alarm: Arc<Alarm>,
    number: u64,
    /// The reason that [`set_spare`](Self::set_spare) records when the connection begins to wait: `Fresh` until the first
    /// request, then `Idle`, and `Done` after the last response.
    pub(crate) spare: Spare,
}

impl Place {
    /// Lets the worker end the connection when the certificate of this peer is revoked.
    #[cfg(feature = "tls")]
    pub(crate) fn watch(&self, peer: Vetted, address: &Address) {
        self.worker.vetted.borrow_mut().insert(self.number, (peer, address.clone()));
    }

    /// Records that the last response of the connection has been sent. From now on, a shutdown does not wait for this
    /// connection. If the server needs room for a new connection, the server closes connections in this state first.
    pub(crate) fn linger(&mut self) {
        self.alarm.set_busy();
        self.spare = Spare::Done;
        self.set_spare();
        self.worker.server.linger(self.worker.index);
    }

    /// Records why the connection may be closed from now on to make room for another connection. Does nothing if a
    /// reason is already recorded.
    pub(crate) fn set_spare(&self) {
        let Self { worker, spare, .. } = self;
        self.alarm.set_spare(*spare, worker.seconds(), || {
            worker.turn.update(|turn| turn.wrapping_add(1));
            worker.turn.get()
        });
    }

    /// Returns whether the connection was asked to make room for another connection, and the room is still needed.
    pub(crate) fn is_asked_for_room(&self) -> bool {
        self.alarm.is_asked() && self.alarm.can_be_spared() && self.worker.server.is_full()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.worker;
        #[cfg(feature = "tls")]
        worker.vetted.borrow_mut().remove(&self.number);
        worker.server.leave(worker.index, self.number);
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
            busy: Cell::new(0),
            seconds: Cell::new(0),
            date: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            began: Instant::now(),
        }
    }

    /// Returns the place of a new connection. The caller then calls [`ServerState::add`] with the connection's task, because
    /// only this call adds the connection to the list.
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

    pub(crate) fn is_empty(&self) -> bool {
        self.connections().is_empty()
    }

    /// Waits until a connection was added, has sent its last response, or has ended.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.server.changed(self.index)
    }

    /// Wakes the task of every connection. Each task then notices that the server shuts down.
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

    /// Aborts the connections of peers whose certificate has been revoked since their handshake.
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

    /// Returns the seconds that the worker has counted since it started. A worker counts only while it has connections.
    pub(crate) const fn seconds(&self) -> u32 {
        self.seconds.get()
    }

    /// Returns the text of the field `date`; `None` if the option [`date`](Options::date) is off.
    pub(crate) fn date(&self) -> Option<Ref<'_, str>> {
        self.options.date.then(|| Ref::map(self.date.borrow(), String::as_str))
    }

    /// Returns the buffer for small reads.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// Returns the time since the worker started.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.server.counters[self.index]
    }

    /// Returns whether the server shuts down. Each connection then ends after its current response.
    pub(crate) fn is_stopping(&self) -> bool {
        self.server.is_stopping()
    }

    /// Counts a connection as busy until the guard is dropped.
    pub(crate) fn make_busy(&self) -> Busy<'_> {
        self.busy.update(|busy| busy + 1);
        Busy(&self.busy)
    }

    #[cfg(test)]
    pub(crate) const fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Returns whether several connections are busy. A connection that spins then lets the other connections run each time it
    /// yields.
    pub(crate) const fn has_others_busy(&self) -> bool {
        self.busy.get() > 1
    }

    /// Returns whether a connection may spin for its next request, which means that it polls its socket without
    /// sleeping. Spinning is not useful if over [`SPINNING`] connections of this worker are busy, because the thread
    /// then has other work.
    pub(crate) const fn may_spin(&self) -> bool {
        self.busy.get() <= SPINNING
    }

    /// Returns whether a connection should free its buffers as soon as it waits for a request, and not only after a
    /// second. Freeing early saves memory if thousands of connections get a request in the same second.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.busy.get() > KEPT
    }
}

/// A guard that counts a connection as busy until it is dropped.
pub(crate) struct Busy<'w>(&'w Cell<usize>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.update(|busy| busy - 1);
    }
}
