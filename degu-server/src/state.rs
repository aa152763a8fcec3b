//! The state that all threads of a server share.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::Stats;
use crate::alarm::Alarm;
use crate::atomic::AtomicU64;
use crate::log_limit::LogLimit;
use crate::stats::Counters;

/// The phases of a server, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// The server shuts down. It answers requests that have already arrived, and closes connections that wait for a request.
    Draining,
    /// The server drops all connections.
    Aborting,
    /// All threads have ended.
    Ended,
}

/// Open connections by number, each with its alarm and the handle that aborts its task. Connections of `hyper::serve` have no
/// handle, because they end their tasks themselves. The hash function needs no secret, because the server chooses the numbers.
pub(crate) type Connections = HashMap<u64, (Arc<Alarm>, Option<AbortHandle>), BuildHasherDefault<DefaultHasher>>;

/// The state that all threads of a server share. It does not depend on the app.
#[derive(Debug)]
pub(crate) struct ServerState {
    /// The counters of each worker, including workers that have not started.
    pub(crate) counters: Box<[Counters]>,
    /// The open connections of each worker.
    connections: Box<[Mutex<Connections>]>,
    /// Wakes each worker after one of its connections was added, has sent its last response, or has ended.
    changed: Box<[Notify]>,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    max_connections: usize,
    /// True if the process has had no free descriptor for a while. The server then counts as full, even below
    /// `max_connections`.
    is_out_of_descriptors: AtomicBool,
    phase: watch::Sender<Phase>,
    /// True if [`phase`](Self::phase) is not `Running`. Every request reads this flag, and not the phase, because reading the
    /// flag needs no lock.
    is_stopping: AtomicBool,
    /// The limit on the log lines that peers can cause.
    log_limit: Mutex<LogLimit>,
    /// Wakes the acceptor when there may be room for another connection.
    room: Notify,
}

impl ServerState {
    pub(crate) fn new(workers: usize, max_connections: usize) -> Self {
        Self {
            counters: (0..workers).map(|_| Counters::default()).collect(),
            connections: (0..workers).map(|_| Mutex::default()).collect(),
            changed: (0..workers).map(|_| Notify::new()).collect(),
            max_connections,
            is_out_of_descriptors: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            phase: watch::Sender::new(Phase::Running),
            is_stopping: AtomicBool::new(false),
            log_limit: Mutex::new(LogLimit::new(Instant::now())),
            room: Notify::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns whether a shutdown has begun: the phase is not [`Phase::Running`].
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Relaxed)
    }

    /// Begins a phase. Does nothing if this phase or a later phase has already begun.
    pub(crate) fn begin(&self, next: Phase) {
        self.is_stopping.store(true, Relaxed);
        self.phase.send_if_modified(|phase| {
            let later = (*phase as u8) < (next as u8);
            if later {
                *phase = next;
            }
            later
        });
    }

    /// Waits until this phase or a later phase has begun. The future borrows nothing.
    pub(crate) fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut phases = self.phase.subscribe();
        async move {
            // If the sender was dropped, the server has ended.
            let _ = phases.wait_for(|reached| *reached as u8 >= phase as u8).await;
        }
    }

    /// Returns the number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.counters.iter().map(|worker| worker.open.load(Relaxed)).sum()
    }

    /// Returns whether the server has no room for another connection: `max_connections` are open, or the process is out of
    /// descriptors.
    pub(crate) fn is_full(&self) -> bool {
        self.is_out_of_descriptors.load(Relaxed) || self.open() >= self.max_connections
    }

    /// Sets whether the process has had no free descriptor for a while. Returns the previous value.
    pub(crate) fn set_out_of_descriptors(&self, is_out: bool) -> bool {
        self.is_out_of_descriptors.swap(is_out, Relaxed)
    }

    /// Returns the open connections of a worker.
    pub(crate) fn connections(&self, worker: usize) -> MutexGuard<'_, Connections> {
        // No code panics while it holds the lock.
        self.connections[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a connection of this worker was added, has sent its last response, or has ended. An event between this call
    /// and the first poll of the future is not lost.
    pub(crate) fn changed(&self, worker: usize) -> Notified<'_> {
        self.changed[worker].notified()
    }

    /// Waits until every connection of this worker has sent its last response or has ended.
    pub(crate) async fn drained(&self, worker: usize) {
        loop {
            let changed = self.changed(worker);
            if self.connections(worker).values().all(|(alarm, _)| alarm.lingers()) {
                return;
            }
            changed.await;
        }
    }

    /// Adds a connection to the list of this worker.
    pub(crate) fn add(&self, worker: usize, number: u64, alarm: Arc<Alarm>, task: Option<AbortHandle>) {
        self.connections(worker).insert(number, (alarm, task));
        self.changed[worker].notify_waiters();
    }

    /// Notes that a connection of this worker has sent its last response. Wakes the shutdown of the worker, which waits
    /// until every connection has sent its last response. Also wakes the acceptor, if the acceptor waits for room.
    pub(crate) fn linger(&self, worker: usize) {
        self.changed[worker].notify_waiters();
        self.notify_room();
    }

    /// Counts a connection of this worker as ended. If the connection was added to the list, removes the connection
    /// from the list.
    pub(crate) fn leave(&self, worker: usize, number: u64) {
        self.connections(worker).remove(&number);
        self.counters[worker].open.fetch_sub(1, Relaxed);
        self.notify_room();
        self.changed[worker].notify_waiters();
    }

    /// Wakes the acceptor, if the acceptor waits for room. The acceptor checks for room again. This method is called when a
    /// connection has ended, has sent its last response, or was asked to close but stays open, except after a TLS handshake.
    pub(crate) fn notify_room(&self) {
        self.room.notify_waiters();
    }

    /// Asks the connection with the lowest rank to close, if any connection can be closed to make room.
    pub(crate) fn ask_for_room(&self) {
        let ranks = self.counters.iter().enumerate().filter_map(|(worker, counters)| {
            let second = counters.second.load(Relaxed);
            let connections = self.connections(worker);
            let ranks = connections.values().filter_map(|(alarm, _)| Some((alarm.rank(second)?, alarm)));
            ranks.min_by_key(|(rank, _)| *rank).map(|(rank, alarm)| (rank, alarm.clone()))
        });
        if let Some((_, alarm)) = ranks.min_by_key(|(rank, _)| *rank) {
            alarm.ask();
        }
    }

    /// Waits for the next call of [`notify_room`](Self::notify_room), after which the acceptor checks again for room. A
    /// call between this method and the first poll of the future is not lost.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Decides whether a log line that peers can cause may be written. These are lines about refused peers, failed
    /// accepts, responses with 503, and messages that a proxy cannot forward. The result is described at
    /// [`LogLimit::pass`].
    pub(crate) fn may_log(&self) -> Option<Option<u64>> {
        self.log_limit.lock().unwrap_or_else(PoisonError::into_inner).pass(Instant::now())
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats::sum(self.accepted.load(Relaxed), self.refused.load(Relaxed), &self.counters)
    }
}

/// A guard that begins a phase when it is dropped, even during a panic.
pub(crate) struct BeginOnDrop(pub(crate) Arc<ServerState>, pub(crate) Phase);

impl Drop for BeginOnDrop {
    fn drop(&mut self) {
        self.0.begin(self.1);
    }
}
