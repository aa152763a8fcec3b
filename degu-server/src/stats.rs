//! The counters of a server.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use degu_wire::Fault;

use crate::atomic::AtomicU64;

/// The counters of a worker. Only the worker's thread writes them, except `open`. The function [`add`] therefore needs
/// no atomic addition. Each worker's counters have their own cache lines, so cores do not compete for a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Connections that were assigned to the worker and have not ended. The acceptor writes this counter too.
    pub(crate) open: AtomicUsize,
    pub(crate) tunnels: AtomicUsize,
    /// The seconds that the worker has counted. A worker counts only while it has connections.
    pub(crate) second: AtomicU32,
    pub(crate) requests: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) deadlines: AtomicU64,
    pub(crate) gone: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) handshake_failures: AtomicU64,
    faults: Faults,
}

#[derive(Debug)]
struct Faults([AtomicU64; Fault::ALL.len()]);

impl Default for Faults {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Fault::ALL.len()])
    }
}

impl Counters {
    /// Returns the counter of the connections that ended because of this fault.
    pub(crate) fn fault(&self, fault: Fault) -> &AtomicU64 {
        // `Fault::ALL` has every fault, so the default 0 is never used.
        let place = Fault::ALL.iter().position(|listed| *listed == fault).unwrap_or(0);
        &self.faults.0[place]
    }

    /// Counts an open tunnel until the returned guard is dropped.
    pub(crate) fn open_tunnel(&self) -> OpenTunnel<'_> {
        self.tunnels.fetch_add(1, Relaxed);
        OpenTunnel(&self.tunnels)
    }
}

/// A guard that counts an open tunnel until it is dropped.
pub(crate) struct OpenTunnel<'c>(&'c AtomicUsize);

impl Drop for OpenTunnel<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Adds to a counter. Only the thread of the counter's worker may call this function.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// A snapshot of the counters of a server since its start. The counters are not read at exactly the same moment, so they may
/// differ by a few requests.
///
/// ```
/// use degu_server::{Address, Request, Server, Session};
///
/// // An app that returns the counters in the text format of Prometheus.
/// let server = Server::bind(Address::ABSTRACT, async |session: &mut Session, _: Request<'_>| {
///     let stats = session.stats();
///     let mut text = format!("requests_total {}\nconnections {}\n", stats.requests, stats.open);
///     for (fault, count) in stats.faults() {
///         text += &format!("faults_total{{kind=\"{fault:?}\"}} {count}\n");
///     }
///     text
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open now.
    pub open: usize,
    /// Open connections that have switched to another protocol.
    pub tunnels: usize,
    /// Connections that were accepted, including those in `refused`.
    pub accepted: u64,
    /// Connections that were refused because the server was full and all open connections were busy.
    pub refused: u64,
    /// Requests that reached the app.
    pub requests: u64,
    /// Bytes that were received.
    pub received: u64,
    /// Bytes that were sent.
    pub sent: u64,
    /// Connections that a deadline ended, including idle connections. A half-close timeout counts as `gone` instead.
    pub deadlines: u64,
    /// Connections whose peer went away in the middle of an exchange, or that
    /// [`half_close_timeout`](crate::Options::half_close_timeout) ended.
    pub gone: u64,
    /// Connections that ended because the app failed or panicked, because the body of its response failed, or because its
    /// response cannot be sent.
    pub failures: u64,
    /// TLS handshakes that failed. For example, one side refused the other, client and server had no TLS version or cipher
    /// suite in common, or the client closed the connection during the handshake.
    pub handshake_failures: u64,
    faults: Vec<(Fault, u64)>,
}

impl Stats {
    pub(crate) fn sum(accepted: u64, refused: u64, workers: &[Counters]) -> Self {
        let sum =
            |counter: fn(&Counters) -> &AtomicU64| workers.iter().map(|worker| counter(worker).load(Relaxed)).sum();
        let open =
            |counter: fn(&Counters) -> &AtomicUsize| workers.iter().map(|worker| counter(worker).load(Relaxed)).sum();
        let faults = Fault::ALL
            .iter()
            .map(|&fault| (fault, workers.iter().map(|worker| worker.fault(fault).load(Relaxed)).sum()));
        Self {
            open: open(|worker| &worker.open),
            tunnels: open(|worker| &worker.tunnels),
            accepted,
            refused,
            requests: sum(|worker| &worker.requests),
            received: sum(|worker| &worker.received),
            sent: sum(|worker| &worker.sent),
            deadlines: sum(|worker| &worker.deadlines),
            gone: sum(|worker| &worker.gone),
            failures: sum(|worker| &worker.failures),
            handshake_failures: sum(|worker| &worker.handshake_failures),
            faults: faults.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Returns each fault of clients that has ended a connection, with the number of connections that it ended.
    pub fn faults(&self) -> impl Iterator<Item = (Fault, u64)> {
        self.faults.iter().copied()
    }
}
