//! What the connections of a worker share: the list of them, the seconds, and the counters.

use std::cell::{Cell, OnceCell, Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "tls")]
use degu_wire::Address;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::options::Options;
#[cfg(feature = "tls")]
use crate::revocation::{REVOKED, Vetted};
use crate::state::ServerState;
use crate::stats::Counters;

/// Where more connections than this are busy none of them spins for its next request.
const SPINNING: usize = 4;
/// The number of connections of a worker that may keep their buffers between two requests: about 11 KiB each.
pub(crate) const KEPT: usize = 128;
/// The size of the buffer for small reads. A larger request that is found by spinning takes several.
const SCRATCH: usize = 16 * 1024;

/// What the connections of a worker share.
#[derive(Debug)]
pub(crate) struct WorkerState {
    pub(crate) options: Arc<Options>,
    pub(crate) server: Arc<ServerState>,
    index: usize,
    /// Every open connection, by its number.
    connections: RefCell<BTreeMap<u64, (Rc<Alarm>, AbortHandle)>>,
    /// How many of them only wait for the peer to close.
    lingering: Cell<usize>,
    /// A first connection has come, or one has gone.
    changed: Notify,
    /// How many connections hold buffers.
    busy: Cell<usize>,
    /// The seconds that the worker has counted.
    seconds: Cell<u32>,
    /// The text of `date`, made once a second.
    date: RefCell<String>,
    scratch: RefCell<Box<[u8]>>,
    began: Instant,
}

/// What the worker knows of a connection: when to wake it. The connection judges by itself what is to be done then.
#[derive(Debug)]
pub(crate) struct Alarm {
    due: Cell<u32>,
    task: OnceCell<Waker>,
    /// The peer, if its certificate can be revoked, and its address.
    #[cfg(feature = "tls")]
    vetted: OnceCell<Box<(Vetted, Address)>>,
}

impl Alarm {
    /// Returns an alarm that is not set.
    pub(crate) const fn new() -> Self {
        Self {
            due: Cell::new(u32::MAX),
            task: OnceCell::new(),
            #[cfg(feature = "tls")]
            vetted: OnceCell::new(),
        }
    }

    /// Names the task to wake. A task has the same waker for as long as it lives.
    pub(crate) fn set_task(&self, task: &Waker) {
        let _ = self.task.set(task.clone());
    }

    /// Sets the second from which on the task is woken.
    pub(crate) fn set(&self, due: u32) {
        self.due.set(due);
    }

    /// Returns the second from which on the task is woken.
    pub(crate) const fn due(&self) -> u32 {
        self.due.get()
    }

    /// Ends the connection once this peer is revoked.
    #[cfg(feature = "tls")]
    pub(crate) fn watch(&self, peer: Vetted, address: &Address) {
        let _ = self.vetted.set(Box::new((peer, address.clone())));
    }

    fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

/// A connection's place in its worker, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) worker: Rc<WorkerState>,
    pub(crate) alarm: Rc<Alarm>,
    number: u64,
    lingers: bool,
}

impl Place {
    /// Notes that the connection has had its last word: a shutdown need not wait for it.
    pub(crate) fn linger(&mut self) {
        if !std::mem::replace(&mut self.lingers, true) {
            self.worker.lingering.set(self.worker.lingering.get() + 1);
            self.worker.changed.notify_waiters();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.connections.borrow_mut().remove(&self.number);
        if self.lingers {
            worker.lingering.set(worker.lingering.get() - 1);
        }
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
            connections: RefCell::default(),
            lingering: Cell::new(0),
            changed: Notify::new(),
            busy: Cell::new(0),
            seconds: Cell::new(0),
            date: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            began: Instant::now(),
        }
    }

    /// Returns the place of a new connection: the one whose task is [added](Self::add) next.
    pub(crate) fn place(self: &Rc<Self>, number: u64) -> Place {
        Place { worker: self.clone(), alarm: Rc::new(Alarm::new()), number, lingers: false }
    }

    /// Adds the task of a new connection.
    pub(crate) fn add(&self, number: u64, alarm: Rc<Alarm>, task: AbortHandle) {
        self.connections.borrow_mut().insert(number, (alarm, task));
        self.changed.notify_waiters();
    }

    /// Counts a connection of this worker as ended.
    pub(crate) fn leave(&self) {
        self.server.leave(self.index);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }

    /// Waits until a connection has come or gone.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until no connection is left but those that linger.
    pub(crate) async fn drained(&self) {
        while self.connections.borrow().len() > self.lingering.get() {
            self.changed().await;
        }
    }

    /// Wakes every connection, so that it sees that the server is stopping.
    pub(crate) fn wake_all(&self) {
        self.connections.borrow().values().for_each(|(alarm, _)| alarm.wake());
    }

    /// Drops every connection as it is.
    pub(crate) fn abort_all(&self) {
        for (_, task) in self.connections.take().into_values() {
            task.abort();
        }
    }

    /// Counts a second, and wakes the connections whose alarm is due.
    pub(crate) fn count_second(&self) {
        let now = self.seconds.get() + 1;
        self.seconds.set(now);
        self.set_date();
        self.connections.borrow().values().filter(|(alarm, _)| alarm.due() <= now).for_each(|(alarm, _)| alarm.wake());
        #[cfg(feature = "tls")]
        self.end_revoked();
    }

    /// Drops the connections whose peer's certificate was revoked by a reload.
    #[cfg(feature = "tls")]
    fn end_revoked(&self) {
        for (alarm, task) in self.connections.borrow().values() {
            if let Some((peer, address)) = alarm.vetted.get().map(|vetted| &**vetted)
                && peer.is_revoked()
            {
                tracing::info!(peer = %address, reason = REVOKED, "connection ends");
                task.abort();
            }
        }
    }

    /// Makes the text of `date` anew.
    pub(crate) fn set_date(&self) {
        if self.options.date {
            *self.date.borrow_mut() = httpdate::fmt_http_date(SystemTime::now());
        }
    }

    /// Returns the seconds that were counted.
    pub(crate) const fn seconds(&self) -> u32 {
        self.seconds.get()
    }

    /// Returns the text for `date`, if it is switched on.
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

    /// Returns whether the response under way is to be the last of its connection.
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

    /// Returns whether another connection is busy too. One that spins then lets it have the thread at each yield.
    pub(crate) const fn has_others_busy(&self) -> bool {
        self.busy.get() > 1
    }

    /// Returns whether a connection may spin for its next request: where many are busy there is always something else to do.
    pub(crate) const fn may_spin(&self) -> bool {
        self.busy.get() <= SPINNING
    }

    /// Returns whether a connection that pauses should give up its buffers at once, instead of when it has been idle for a
    /// while: many that come at about the same time must not cost more than as many as are busy in truth.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.busy.get() > KEPT
    }
}

/// As long as it lives a connection holds buffers.
#[derive(Debug)]
pub(crate) struct Busy<'w>(&'w Cell<usize>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
