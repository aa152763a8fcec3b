//! What all threads of a server share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::sync::{Notify, watch};

use crate::stats::Counters;
use crate::{Options, Stats};

/// How far a server is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Exchanges under way are finished, nothing new is begun.
    Draining,
    /// Everything is dropped.
    Aborting,
    /// All threads are done.
    Ended,
}

/// What all threads of a server share, whatever its app.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) options: Options,
    /// One for each worker that there may be.
    pub(crate) counters: Box<[Counters]>,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    phase: watch::Sender<Phase>,
    /// The phase is not the first any more: what every request asks.
    stopping: AtomicBool,
    /// What handshakes need one of each.
    #[cfg(feature = "tls")]
    pub(crate) handshakes: tokio::sync::Semaphore,
    /// A connection has ended, and somebody may care because there were too many.
    room: Notify,
}

impl ServerState {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            counters: (0..options.workers).map(|_| Counters::default()).collect(),
            #[cfg(feature = "tls")]
            handshakes: tokio::sync::Semaphore::new(options.max_handshakes),
            options,
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            phase: watch::Sender::new(Phase::Running),
            stopping: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// A phase is never left for an earlier one.
    pub(crate) fn begin(&self, next: Phase) {
        self.stopping.store(true, Relaxed);
        self.phase.send_if_modified(|phase| {
            let later = (*phase as u8) < (next as u8);
            if later {
                *phase = next;
            }
            later
        });
    }

    /// Ends when this phase has come, or a later one. It borrows nothing.
    pub(crate) fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut phases = self.phase.subscribe();
        async move {
            // A sender that is gone means a server that is gone.
            let _ = phases.wait_for(|reached| *reached as u8 >= phase as u8).await;
        }
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.counters.iter().map(|worker| worker.open.load(Relaxed)).sum()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open() >= self.options.max_connections
    }

    /// A connection of this worker has ended.
    pub(crate) fn leave(&self, worker: usize) {
        // Only at the cap may somebody be waiting. It is looked at afterwards: whoever finds no room finds it later.
        self.counters[worker].open.fetch_sub(1, Relaxed);
        if self.open() + 1 >= self.options.max_connections {
            self.room.notify_one();
        }
    }

    /// Ends when a connection has ended at the cap.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats::sum(self.accepted.load(Relaxed), self.refused.load(Relaxed), self.counters.iter())
    }
}
