//! The counters of a server.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use degu_wire::Fault;

use crate::atomic::AtomicU64;

/// The counters of one worker. Only that worker writes them. An addition is therefore a load and a store, and cores do not
/// compete for a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Connections that were assigned to the worker and have not ended. The acceptor writes it too.
    pub(crate) open: AtomicUsize,
    pub(crate) tunnels: AtomicUsize,
    /// The seconds since the worker started.
    second: AtomicU32,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    deadlines: AtomicU64,
    gone: AtomicU64,
    failures: AtomicU64,
    handshake_failures: AtomicU64,
    faults: Faults,
}

struct Faults([AtomicU64; Fault::ALL.len()]);

impl Default for Faults {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Fault::ALL.len()])
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl Counters {
    /// Returns the seconds since the worker started.
    pub(crate) fn second(&self) -> u32 {
        self.second.load(Relaxed)
    }

    pub(crate) fn set_second(&self, second: u32) {
        self.second.store(second, Relaxed);
    }

    /// Adds a request, and the bytes that were received and sent since the last request.
    pub(crate) fn add_request(&self, received: u64, sent: u64) {
        add(&self.requests, 1);
        self.add_bytes(received, sent);
    }

    pub(crate) fn add_bytes(&self, received: u64, sent: u64) {
        add(&self.received, received);
        add(&self.sent, sent);
    }

    /// Counts an open tunnel until the returned guard is dropped.
    pub(crate) fn open_tunnel(&self) -> OpenTunnel<'_> {
        self.tunnels.fetch_add(1, Relaxed);
        OpenTunnel(&self.tunnels)
    }

    pub(crate) fn add_deadline(&self) {
        add(&self.deadlines, 1);
    }

    pub(crate) fn add_gone(&self) {
        add(&self.gone, 1);
    }

    pub(crate) fn add_failure(&self) {
        add(&self.failures, 1);
    }

    #[cfg(feature = "tls")]
    pub(crate) fn add_handshake_failure(&self) {
        add(&self.handshake_failures, 1);
    }

    pub(crate) fn add_fault(&self, fault: Fault) {
        let place = Fault::ALL.iter().position(|listed| *listed == fault);
        if let Some(counter) = place.and_then(|place| self.faults.0.get(place)) {
            add(counter, 1);
        }
    }
}

/// A guard that counts an open tunnel until it is dropped.
pub(crate) struct OpenTunnel<'c>(&'c AtomicUsize);

impl Drop for OpenTunnel<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// The counters of a server since it started, at one moment. Counters of different threads may differ by a few requests.
///
/// ```
/// use degu_server::{Address, Request, Server, Session};
///
/// // Prometheus' text format, from within an app.
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
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open now.
    pub open: usize,
    /// Open connections that have switched to another protocol.
    pub tunnels: usize,
    /// Connections that were accepted, including those that were refused afterwards.
    pub accepted: u64,
    /// Connections that were refused because too many were open.
    pub refused: u64,
    /// Requests that reached the app.
    pub requests: u64,
    /// Bytes that were received. The bytes of a connection are added when its next request comes, and when it ends.
    pub received: u64,
    /// Bytes that were sent. They are added like received bytes.
    pub sent: u64,
    /// Connections that ended because the peer, or the app, was too slow.
    pub deadlines: u64,
    /// Connections whose peer went away in the middle of an exchange.
    pub gone: u64,
    /// Connections that ended because the app failed, panicked, or returned a response that cannot be sent.
    pub failures: u64,
    /// TLS handshakes that failed: the client was refused, the client refused the server, or they had no TLS version or cipher
    /// suite in common.
    pub handshake_failures: u64,
    faults: [u64; Fault::ALL.len()],
}

impl Stats {
    pub(crate) fn sum<'c>(accepted: u64, refused: u64, workers: impl Iterator<Item = &'c Counters>) -> Self {
        let none = Self {
            open: 0,
            tunnels: 0,
            accepted,
            refused,
            requests: 0,
            received: 0,
            sent: 0,
            deadlines: 0,
            gone: 0,
            failures: 0,
            handshake_failures: 0,
            faults: [0; Fault::ALL.len()],
        };
        workers.fold(none, |mut sum, worker| {
            sum.open += worker.open.load(Relaxed);
            sum.tunnels += worker.tunnels.load(Relaxed);
            for (sum, counter) in [
                (&mut sum.requests, &worker.requests),
                (&mut sum.received, &worker.received),
                (&mut sum.sent, &worker.sent),
                (&mut sum.deadlines, &worker.deadlines),
                (&mut sum.gone, &worker.gone),
                (&mut sum.failures, &worker.failures),
                (&mut sum.handshake_failures, &worker.handshake_failures),
            ] {
                *sum += counter.load(Relaxed);
            }
            for (sum, counter) in sum.faults.iter_mut().zip(&worker.faults.0) {
                *sum += counter.load(Relaxed);
            }
            sum
        })
    }

    /// Returns the faults of clients that ended connections, each with the number of connections that it ended. Faults that did
    /// not occur are left out. Faults that did not
    /// occur are left out.
    pub fn faults(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.iter().copied().zip(self.faults).filter(|(_, count)| *count > 0)
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("open", &self.open)
            .field("tunnels", &self.tunnels)
            .field("accepted", &self.accepted)
            .field("refused", &self.refused)
            .field("requests", &self.requests)
            .field("received", &self.received)
            .field("sent", &self.sent)
            .field("deadlines", &self.deadlines)
            .field("gone", &self.gone)
            .field("failures", &self.failures)
            .field("handshake_failures", &self.handshake_failures)
            .field("faults", &self.faults().collect::<Vec<_>>())
            .finish()
    }
}
