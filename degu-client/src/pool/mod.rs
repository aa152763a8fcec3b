//! A pool of connections to one server, for both clients.
//!
//! ```text
//!                  Turn                            Lease                                  Incoming
//! request() ──▶ take or wait ──▶ a kept connection, checked ──┐                   ┌──▶ the response ──▶ its end, or dropped
//!                  ▲       └───▶ the right to make one ─ dial ┴─▶ one exchange ───┤                           │
//!                  │                      ▲                                       └──▶ an error               │
//!                  │                      └── retry: once, if the connection was kept ─────┘                  │
//!                  └──────────────────────── given back, or closed ◀──────────────────────────────────────────┘
//! ```
//!
//! [`state`] keeps the idle connections, the queue and the counters. A [`Lease`] is a place in the pool. A request
//! holds the lease, and passes it to its response. When the lease is dropped, the place goes to the request that has
//! waited longest. A waker wakes the waiting request: the waker of its task, or in the blocking client a waker of its
//! thread.

mod lease;
mod state;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use degu_wire::Address;

pub(crate) use lease::{Lease, Shared, Turn};

use crate::deadline::Deadline;
use crate::error::Timeout;
use crate::link::Driver;
use crate::options::Base;

/// A pool of connections to one server, for any number of tasks or threads. Clones share the connections.
///
/// ```no_run
/// use std::time::Duration;
/// use degu_client::{Address, blocking::Client};
///
/// let client = Client::options().timeout(Duration::from_secs(2)).client(Address::unix("/run/app.sock"));
/// let pool = client.pool();
/// std::thread::scope(|scope| {
///     for worker in 0..8 {
///         let pool = &pool;
///         scope.spawn(move || pool.post("/count", format!("{worker}"))?.body.read_all(1024));
///     }
/// });
/// println!("{:?}", pool.stats());
/// ```
///
/// # What it promises
///
/// 1. There are at most [`max_connections`](crate::OptionsOf::max_connections) connections at once, 16 by default, idle
///    or in use. Further requests wait, and get their turn in the order of their arrival. The pool makes a connection
///    only for a request that has its turn.
/// 2. The connection that was returned last is used first. A connection that has been idle for
///    [`idle_timeout`](crate::OptionsOf::idle_timeout), 4 s by default, is closed by the next request or response. A
///    server's `Keep-Alive: timeout=N` makes this time shorter, never longer. The pool has no task, thread or timer.
/// 3. A kept connection is a connection that was used before. The pool checks a kept connection before it sends a
///    request. If the check finds EOF, an error or unsolicited data, the pool closes the connection and tries the next
///    one.
/// 4. A request is sent at most twice. The second attempt is over a new connection, and is made only if all of these
///    are true:
///    - The first connection was a kept connection, and ended before a byte of a response came.
///    - No byte of the request was sent, or the method is idempotent ([`Error::is_retryable`]).
///    - The body can be sent again: no body, bytes in memory, or [`Body::from_fn`](degu_wire::BodyOf::from_fn).
///
///    Before the second attempt, the pool also closes the idle connections that were made before the connection that
///    ended, because a server that was restarted has closed all of them.
/// 5. A request that is not idempotent, such as a POST, is never sent again after a byte of it was sent. The error is
///    then not [retryable](crate::Error::is_retryable).
/// 6. A connection goes back to the pool when the body of the response has been read to its end, or when the response
///    is dropped after its whole body has been received. The connection is closed if the response is dropped before its
///    whole body has been received, after most errors, and after `connection: close`. A request that the client refuses
///    to send closes no connection.
/// 7. [`timeout`](crate::OptionsOf::timeout) bounds the sum of waiting, connecting, both attempts, and reading the
///    body.
/// 8. [`stats`](Self::stats) counts connections and requests.
///
/// If a connection cannot be made, the request fails at once, with the reason. If `max_connections` attempts in a row
/// fail while the pool has no connection and requests wait, all waiting requests fail with the same reason. An attempt
/// that ends because of the `timeout` of its request does not count.
///
/// # What it does not promise
///
/// A server may close a kept connection after the check, while a request is on its way. A POST then fails, and only the
/// caller can know whether the POST may be sent again. A response whose body has not been read keeps its connection, so
/// other requests may have to wait. There is no retry after a status (503, 429), and no pause after a failed attempt to
/// connect. The pool writes no log: errors say what happened, and `stats` counts the connections that were stale.
///
/// A pool has no method `upgrade`. Use a separate connection to switch to another protocol.
///
/// A blocking pool has no [`Interrupter`](crate::blocking::Interrupter), because requests share its connections. Only
/// `timeout` ends a request. If another thread has to be able to end a request, send the request over a separate
/// [connection](crate::blocking::Client::connect_interruptible).
///
/// # Cancel safety
///
/// If the future of a request is dropped, the request leaves the queue. If the request has been sent, its connection is
/// closed.
///
/// # Panics
///
/// Requests of an async pool panic outside of a tokio runtime with I/O and time enabled. Each runtime uses only the
/// connections that were made in it.
///
/// [`Error::is_retryable`]: crate::Error::is_retryable
pub struct PoolOf<D: Driver> {
    pub(crate) shared: Arc<Shared<D>>,
    timeout: Option<Duration>,
}

/// The counters of a pool: its current state, and totals since it was made.
///
/// A request uses a new connection, or a kept connection, which was used before. A request that is sent twice uses
/// both. So `dialled + reused - retried` is the number of requests that got a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of open connections, idle or in use.
    pub open: usize,
    /// The number of open connections that no request uses.
    pub idle: usize,
    /// The number of requests that wait for their turn.
    pub waiting: usize,
    /// The number of connections that the pool has made.
    pub dialled: u64,
    /// The number of requests that used a kept connection. Second attempts do not count.
    pub reused: u64,
    /// The number of kept connections that were of no use. The server had closed them or had sent unsolicited data, or
    /// the pool closed them before a second attempt.
    pub stale: u64,
    /// The number of requests that were sent a second time.
    pub retried: u64,
}

impl<D: Driver> PoolOf<D> {
    pub(crate) fn new(base: &Arc<Base>) -> Self {
        Self { shared: Arc::new(Shared::new(Arc::clone(base))), timeout: base.settings.timeout }
    }

    /// Returns a handle to the same pool. Each request of the handle may take this long as a whole, instead of
    /// [`timeout`](crate::OptionsOf::timeout) of the options. `None` means no limit.
    ///
    /// ```no_run
    /// # fn example(pool: &degu_client::blocking::Pool) -> Result<(), degu_client::Error> {
    /// let soon = std::time::Duration::from_millis(200);
    /// let status = pool.with_timeout(soon).get("/status")?.status;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_timeout(&self, limit: impl Into<Option<Duration>>) -> Self {
        Self { shared: Arc::clone(&self.shared), timeout: limit.into() }
    }

    /// Returns the address of the server.
    pub fn address(&self) -> &Address {
        &self.shared.base.address
    }

    /// Returns the counters of the pool.
    pub fn stats(&self) -> Stats {
        self.shared.state().stats()
    }

    /// Returns the deadline of a request that begins now, and the current time.
    pub(crate) fn begin(&self) -> (Option<Deadline>, Instant) {
        let now = D::now();
        (Deadline::new(Timeout::Exchange, self.timeout, || now), now)
    }
}

impl<D: Driver> Clone for PoolOf<D> {
    fn clone(&self) -> Self {
        self.with_timeout(self.timeout)
    }
}

impl<D: Driver> fmt::Debug for PoolOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = &self.shared.base;
        f.debug_struct("Pool")
            .field("address", &base.address)
            .field("max_connections", &base.settings.max_connections)
            .field("idle_timeout", &base.settings.idle_timeout)
            .field("timeout", &self.timeout)
            .field("stats", &self.stats())
            .finish()
    }
}

/// Defines the methods that send a request over a pool: with `async` and `.await` for the async client, without them
/// for the blocking client.
macro_rules! pooled_requests {
    ($driver:ty, $source:ty, $wait:path, $queue:path, $dial:path, $fn:ident, $answer:ty, [$($async:tt)?], [$($await:tt)*]) => {
        impl crate::pool::PoolOf<$driver> {
            /// Sends a request over a connection of the pool, and returns the response as soon as its head has been
            /// received. The response keeps the connection until its body has been read to its end, or until the
            /// response is dropped.
            ///
            /// Everything else is as for [`request`](crate::ConnectionOf::request) of a connection.
            ///
            /// # Errors
            ///
            /// Any error of the exchange, or of making a connection. After two attempts, this is the error of the
            /// second attempt. If the second attempt made no connection, the error has the phase of the first attempt.
            /// [`Timeout::Pool`](crate::Timeout::Pool) if the timeout expired before the request got its turn.
            pub fn request<'m>(
                &self,
                method: impl Into<crate::Method<'m>>,
                uri: &str,
                headers: impl TryInto<crate::Headers, Error: Into<crate::Error>>,
                body: impl crate::IntoBody<$source>,
            ) -> $answer {
                self.perform(method.into(), uri, headers, body, $dial)
            }

            /// Sends a request. If the pool has no idle connection, `dial` makes a connection.
            #[inline]
            pub(crate) $($async)? fn perform(
                &self,
                method: crate::Method<'_>,
                uri: &str,
                headers: impl TryInto<crate::Headers, Error: Into<crate::Error>>,
                body: impl crate::IntoBody<$source>,
                dial: impl $fn(
                    &crate::options::Base,
                    Option<crate::deadline::Deadline>,
                ) -> Result<crate::link::Connected<$driver>, crate::Error>,
            ) -> Result<Response<'static>, crate::Error> {
                let (headers, mut body) = crate::link::prepare(&self.shared.base, headers, body)?;
                let (until, mut now) = self.begin();
                // Nearly always a place is free.
                let mut lease = match self.shared.take(until, now)? {
                    Some(lease) => lease,
                    None => {
                        let lease = $queue(&self.shared, until) $($await)* ?;
                        now = <$driver as crate::link::Driver>::now();
                        lease
                    }
                };
                // The phase in which the first attempt failed.
                let mut sent = None;
                loop {
                    // Only an attempt over a kept connection may be followed by a second attempt.
                    let (link, is_kept) = match lease.link() {
                        Some(link) => (link, true),
                        None => match dial(&self.shared.base, until) $($await)* {
                            Ok((stream, _)) => {
                                now = <$driver as crate::link::Driver>::now();
                                (lease.put(stream, sent.is_some(), now), false)
                            }
                            Err(error) => return Err(lease.failed(error, sent)),
                        },
                    };
                    let (content, source) = body.parts();
                    link.exchange.prepare(until, Some(now));
                    let head = match link.exchange.begin(method, uri, &headers, content, None) {
                        Ok(()) => $wait(|cx| link.poll_head(cx, source)) $($await)*,
                        Err(error) => Err(error),
                    };
                    let error = match head {
                        Ok(()) => {
                            let head = link.take_head()?;
                            lease.note(&head);
                            let lent = lease.lend();
                            let source = source.take();
                            return Ok(Response::new(head, |head| Incoming::new(lent, source, head)));
                        }
                        Err(error) => error,
                    };
                    if !(is_kept && error.is_retryable() && body.renew()) {
                        return Err(error);
                    }
                    lease.retry();
                    sent = Some(error.phase());
                }
            }
        }

        crate::short_forms::short_forms!(
            crate::pool::PoolOf<$driver>, [&], Response<'static>, $source, [$($async)?], [$($await)*]
        );
    };
}

pub(crate) use pooled_requests;
