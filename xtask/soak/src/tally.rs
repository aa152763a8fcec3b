//! What the clients count: exchanges by server and by what came of them, faults by kind, and what was wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::ask::Verdict;
use crate::target::Target;

/// No more of what is wrong is kept: one is enough.
const MOST_WRONGS: usize = 20;

/// A fault that was injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Both sockets are reset in the middle.
    Reset,
    /// Both are closed in the middle.
    Cut,
    /// One direction ends in the middle, the other one goes on.
    HalfClose,
    /// Nothing is passed on for longer than anyone waits.
    Stall,
    /// Writes are cut to a few octets each.
    ShortWrites,
    /// Every piece is late.
    Delays,
    /// The client does not read the whole response.
    Left,
    /// The future of an exchange is dropped.
    Cancelled,
    /// A request that has to be refused.
    Hostile,
    /// Certificates are renewed and read again.
    Reload,
    /// The server has no descriptors left.
    ServerDescriptors,
    /// The clients have none.
    ClientDescriptors,
    /// The server gets little memory beyond what it has.
    Memory,
    /// A client's process is killed in the middle of a request.
    KilledClient,
    /// A server's process is killed.
    KilledServer,
}

impl Fault {
    pub(crate) const ALL: [(Self, &str); 15] = [
        (Self::Reset, "resets"),
        (Self::Cut, "cuts"),
        (Self::HalfClose, "half-closes"),
        (Self::Stall, "stalls"),
        (Self::ShortWrites, "short writes (connections)"),
        (Self::Delays, "delays (connections)"),
        (Self::Left, "responses left"),
        (Self::Cancelled, "exchanges cancelled"),
        (Self::Hostile, "hostile requests"),
        (Self::Reload, "certificates renewed"),
        (Self::ServerDescriptors, "server without descriptors"),
        (Self::ClientDescriptors, "clients without descriptors"),
        (Self::Memory, "server short of memory"),
        (Self::KilledClient, "clients killed"),
        (Self::KilledServer, "servers killed"),
    ];
}

/// What is counted for one server.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Connections that were made to it.
    pub(crate) connections: AtomicU64,
    /// Requests that were begun.
    pub(crate) attempts: AtomicU64,
    pub(crate) right: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) left: AtomicU64,
    /// Of those that were right: the app was asked to fail.
    pub(crate) failures: AtomicU64,
    /// Requests that were refused as they have to be, before the app saw them.
    pub(crate) hostile: AtomicU64,
    /// Octets that `/sum` was sent, where that was right.
    pub(crate) summed: AtomicU64,
}

/// All that is counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: [Counts; 5],
    faults: [AtomicU64; Fault::ALL.len()],
    /// Connections that could not be made for want of a descriptor.
    pub(crate) starved: AtomicU64,
    /// Octets of bodies that were sent or received and are known to be right.
    pub(crate) octets: AtomicU64,
    wrongs: Mutex<Vec<String>>,
    /// How often each error came up where errors are nothing to wonder about.
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    pub(crate) fn of(&self, target: Target) -> &Counts {
        &self.counts[target as usize]
    }

    pub(crate) fn add_fault(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn fault(&self, fault: Fault) -> u64 {
        self.faults[fault as usize].load(Relaxed)
    }

    /// Notes what came of an exchange.
    pub(crate) fn note(&self, target: Target, verdict: Verdict, what: &str) {
        let counts = self.of(target);
        let counter = match verdict {
            Verdict::Right => &counts.right,
            Verdict::Left => &counts.left,
            Verdict::Starved => &self.starved,
            Verdict::Refused(status) => {
                if !target.is_faulty() {
                    self.wrong(format!("{}, {what}: status {status}", target.name()));
                }
                self.error(format!("status {status}"));
                &counts.refused
            }
            Verdict::Failed(error) => {
                if !target.is_faulty() {
                    self.wrong(format!("{}, {what}: {error}", target.name()));
                }
                self.error(error);
                &counts.failed
            }
            Verdict::Wrong(how) => return self.wrong(format!("{}, {what}: {how}", target.name())),
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Something is not as it must be.
    pub(crate) fn wrong(&self, what: String) {
        let mut wrongs = self.wrongs.lock().unwrap_or_else(PoisonError::into_inner);
        if wrongs.len() < MOST_WRONGS {
            // At once: a run may be long, and may not come to its end.
            eprintln!("\rWRONG: {what}");
            wrongs.push(what);
        }
    }

    pub(crate) fn wrongs(&self) -> Vec<String> {
        self.wrongs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn error(&self, error: String) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(error).or_default() += 1;
    }

    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Exchanges that came to some end.
    pub(crate) fn exchanges(&self) -> u64 {
        let ends =
            |counts: &Counts| [&counts.right, &counts.refused, &counts.failed, &counts.left].map(|n| n.load(Relaxed));
        self.counts.iter().flat_map(ends).sum()
    }

    pub(crate) fn all_faults(&self) -> u64 {
        self.faults.iter().map(|count| count.load(Relaxed)).sum()
    }
}
