//! Every option of a server, with its default and the reason for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use degu_wire::{Limits, Method, Spin};
use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit};

use crate::exchange::{Exchange, OnResponse};
use crate::session::Session;
use crate::state::ServerState;

/// The response that the peer gets for its fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorReply {
    /// The status of the fault, and a line of text that names the rule that was broken, with nothing of the request in it:
    /// a client's developer sees what went wrong, and a stranger learns nothing new. There is no text for HEAD.
    #[default]
    Minimal,
    /// Nothing: the connection is closed. Degu 0.18 does so.
    Silent,
}

/// The least pace of a body or of a response: so many bytes in every window of so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u32,
    pub(crate) window: u32,
}

impl Progress {
    pub(crate) fn new(bytes: u64, window: Option<Duration>) -> Self {
        // 4 GiB in a window are more than anything that would have to be bounded.
        Self { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), window: seconds(window) }
    }
}

/// The deadlines in seconds, as the worker counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    #[cfg(feature = "tls")]
    pub(crate) handshake: u32,
    pub(crate) head: u32,
    pub(crate) idle: u32,
    pub(crate) progress: Progress,
    /// The window of time in which a peer that still sends after the last response has to get on.
    pub(crate) linger: u32,
    pub(crate) handler: u32,
    pub(crate) half_close: u32,
    pub(crate) tunnel: u32,
}

/// The options of listening sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketOptions {
    /// The mode of a Unix socket's file.
    pub(crate) mode: Option<u32>,
    /// The owner of a Unix socket's file, in the form that chown(1) takes.
    pub(crate) owner: Option<String>,
    pub(crate) ipv6_only: bool,
}

type OnConnect = Box<dyn for<'f> Fn(&'f mut Session) -> Pin<Box<dyn Future<Output = bool> + 'f>> + Send + Sync>;

/// The options of a server, which come before its socket.
///
/// The defaults suit a server that strangers can reach. Deadlines are checked once a second, so that they are late by up to
/// a second; they are rounded up to whole seconds.
///
/// ```
/// use std::time::Duration;
///
/// use degu_server::{Address, Limits, Request, Server, Session};
///
/// let server = Server::options()
///     .limits(Limits { max_head: 8 * 1024, ..Limits::default() })
///     .idle_timeout(Duration::from_secs(300))
///     .bind(Address::IPV6_LOOPBACK, async |_: &mut Session, _: Request<'_>| "hello")?;
/// println!("listening on {}", server.address());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Options {
    pub(crate) limits: Arc<Limits>,
    pub(crate) deadlines: Deadlines,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<degu_tls::ServerTls>,
    #[cfg(feature = "tls")]
    pub(crate) max_handshakes: usize,
    #[cfg(feature = "tls")]
    pub(crate) close_revoked: bool,
    pub(crate) grace: Duration,
    pub(crate) spin: Spin,
    pub(crate) workers: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_requests: u64,
    pub(crate) date: bool,
    pub(crate) error_reply: ErrorReply,
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) on_connect: Option<OnConnect>,
    pub(crate) on_response: Option<OnResponse>,
    pub(crate) socket: SocketOptions,
}

impl Options {
    pub(crate) fn new() -> Self {
        Self {
            limits: Arc::new(Limits::DEFAULT),
            deadlines: Deadlines {
                #[cfg(feature = "tls")]
                handshake: 10,
                head: 10,
                idle: 75,
                progress: Progress { bytes: 20 * 1024, window: 20 },
                // As nginx has it (`lingering_timeout`).
                linger: 5,
                handler: u32::MAX,
                half_close: 3,
                tunnel: u32::MAX,
            },
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            max_handshakes: 256,
            #[cfg(feature = "tls")]
            close_revoked: true,
            grace: Duration::from_secs(30),
            spin: Spin::Adaptive,
            workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            max_connections: connections_by_descriptors(),
            max_requests: u64::MAX,
            date: false,
            error_reply: ErrorReply::Minimal,
            methods: Vec::new(),
            on_connect: None,
            on_response: None,
            socket: SocketOptions::default(),
        }
    }

    /// Sets the bounds of what is read, and the switches of the grammar. Default: [`Limits::DEFAULT`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// Sets whether requests of HTTP/1.0 are served: without chunks and without `100 Continue`, over a connection that
    /// is kept only where the client asks for it and the length of the response is known. They need no Host, so that an
    /// app that checks the [authority](crate::Request::authority) of a request has to refuse an empty one. A body of
    /// unknown length ends with the connection; one that is cut ends with a reset over TCP and without close_notify
    /// under TLS, but a Unix socket has neither of these. Where this is off, a request of HTTP/1.0 gets 505.
    ///
    /// Default: on, because nginx, `ab`, HAProxy's health checks and MicroPython send such requests as they come.
    #[must_use]
    pub fn allow_http10(mut self, allow: bool) -> Self {
        Arc::make_mut(&mut self.limits).allow_http10 = allow;
        self
    }

    /// Sets the time for a whole head, from its first byte: not for a read, because a client that drips a byte now and then
    /// would never be late. Then it gets 408. Default: 10 s, in which the slowest link delivers 32 KiB.
    #[must_use]
    pub fn head_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.head = seconds(timeout.into());
        self
    }

    /// Sets how long a connection may wait for its first or next request. Then it is closed without a response.
    /// Default: 75 s, as in nginx.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.idle = seconds(timeout.into());
        self
    }

    /// Sets how slowly a request's body may come, and a response may be taken: `bytes` in every `window`, where only
    /// time counts in which the peer is waited for. A body that is slower gets 408; a response is cut. Windows follow
    /// each other, so that a peer that falls silent after enough bytes in one is noticed at the end of the next: two windows
    /// later at most, each late by up to a second. Default: 20 KiB in 20 s, which is slower than any line that is
    /// alive, and bounds what a stalled peer costs.
    ///
    /// A handler can set another pace for the body of its request:
    /// [`Incoming::set_progress`](crate::Incoming::set_progress).
    #[must_use]
    pub fn progress(mut self, bytes: u64, window: impl Into<Option<Duration>>) -> Self {
        self.deadlines.progress = Progress::new(bytes, window.into());
        self
    }

    /// Sets how long a handler may take for one request, waiting for the body included, until its response begins. Then the
    /// peer gets 503 and the handler's future is dropped. Default: none, because a request may wait for an event.
    #[must_use]
    pub fn handler_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.handler = seconds(timeout.into());
        self
    }

    /// Sets how long an exchange goes on without a byte either way after the client has ended its side of a TCP connection,
    /// by FIN or, under TLS, by close_notify. Then the handler and the response's body are dropped, and the connection is
    /// closed without a response.
    ///
    /// A client that closes its socket sends nothing else, so that it cannot be told from one that has half-closed the
    /// connection and reads on, as `nc -N` does: without a limit, every feed that a client leaves would keep its
    /// connection. Time in which the client is waited for to take a response does not count: that is what
    /// [`progress`](Self::progress) is for. On a Unix socket a close shows at once and a half-close has no limit, and a
    /// reset ends an exchange on every kind of socket.
    ///
    /// Default: 3 s (hyper drops the request at once). Raise it for clients that half-close and wait longer than that for
    /// an answer. `None` waits forever.
    #[must_use]
    pub fn half_close_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.half_close = seconds(timeout.into());
        self
    }

    /// Sets how long a connection that has [switched](crate::Request::upgrade) to another protocol may go without a
    /// byte either way. Then its handler is dropped, and the connection is closed as after a failure. Default: `None`,
    /// because a terminal may well be silent for hours.
    #[must_use]
    pub fn tunnel_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.tunnel = seconds(timeout.into());
        self
    }

    /// Sets how many connections may be open at once, at least one. At the cap a connection is closed to make room for each
    /// new one: first one that has had its last response, then one that has not sent a request, then the one that has been
    /// idle longest and has sent nothing since. Only where all are busy a new one waits, for up to two seconds; then it
    /// gets 503, or is closed under TLS. Default: 1,024, or what the limit of
    /// descriptors leaves if that is less: 64 under it, or half of it if it is very low, so that the app can still open
    /// files.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Sets after how many requests a connection is closed, at least one. Default: `None`, because connections cost
    /// more than requests do; set it where a balancer is to spread clients again.
    #[must_use]
    pub fn max_requests(mut self, requests: Option<u64>) -> Self {
        self.max_requests = requests.map_or(u64::MAX, |requests| requests.max(1));
        self
    }

    /// Sets how long a graceful shutdown waits for exchanges under way before it cuts them. Default: 30 s, within what
    /// service managers wait before they kill.
    #[must_use]
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how many threads serve connections, at least one. The first starts with the server, the others with its first
    /// connection. Default: one for each core, and at most four, because HTTP is rarely the main load of a machine.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets how a worker waits for the next request of a connection that has just been answered. It may spin, reading the
    /// socket for some microseconds before it blocks, which makes a round trip between two cores as fast as one on the
    /// same core. The worker's other busy connections get the thread at each yield, idle ones and the acceptor after 32
    /// requests or 50 µs. Where more than four connections of a worker are busy, none spins.
    ///
    /// Default: [`Spin::Adaptive`].
    #[must_use]
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Sends `date` with every response that has none. Default: off, because between processes and devices it is not
    /// read. Turn it on where caches are: RFC 9110 §6.6.1 asks it of a server that has a clock.
    #[must_use]
    pub fn date(mut self, on: bool) -> Self {
        self.date = on;
        self
    }

    /// Sets what the peer gets for its fault. Default: [`ErrorReply::Minimal`].
    #[must_use]
    pub fn error_reply(mut self, reply: ErrorReply) -> Self {
        self.error_reply = reply;
        self
    }

    /// Lets requests with these methods reach the app, in addition to GET, HEAD, PUT, POST, DELETE, PATCH and OPTIONS.
    /// All others get 501. CONNECT and TRACE cannot be listed: both act on the connection, which the server owns.
    ///
    /// Default: none, so that an app need not handle methods that it does not know.
    #[must_use]
    pub fn methods<M: Into<Box<str>>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the mode of a Unix socket's file before anyone can connect: `0o600` lets in this user only. The folder's
    /// mode counts too. Default: as the process' umask has it.
    #[must_use]
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket.mode = Some(mode);
        self
    }

    /// Gives a Unix socket's file to a user or a group, before anyone can connect: `user`, `user:group` or `:group`, each a
    /// name or a number, as chown(1) takes them. `":www-data"` with the [mode](Self::socket_mode) `0o660` lets in a proxy
    /// of that group. Only root can give a file to another user; a process can give it to any group that it is in.
    /// Default: the user and group of the process.
    #[must_use]
    pub fn socket_owner(mut self, owner: impl Into<String>) -> Self {
        self.socket.owner = Some(owner.into());
        self
    }

    /// Lets a socket on `[::]` take clients of IPv6 alone. Default: off, so that it takes those of IPv4 too, whose
    /// address is then `[::ffff:192.0.2.1]`, whatever `net.ipv6.bindv6only` says. To bind `0.0.0.0` and `[::]` to the
    /// same port, switch it on.
    #[must_use]
    pub fn ipv6_only(mut self, only: bool) -> Self {
        self.socket.ipv6_only = only;
        self
    }

    /// Asks before the first request of a connection whether it is wanted: by its address, or its credentials. One that
    /// is not is closed without a response. It comes after the app's own [`on_connect`](crate::App::on_connect), for apps
    /// that are functions. Default: every connection is wanted.
    #[must_use]
    pub fn on_connect(mut self, wanted: impl AsyncFn(&mut Session) -> bool + Send + Sync + 'static) -> Self {
        let wanted = std::sync::Arc::new(wanted);
        self.on_connect = Some(Box::new(move |session| {
            let wanted = wanted.clone();
            Box::pin(async move { wanted(session).await })
        }));
        self
    }

    /// Calls `report` at the end of each exchange, when the kernel has taken the last byte of a response or it is known that
    /// there will be none: for an access log or metrics. It is called once for every request that the app got, cancelled
    /// ones included, and once for each that the server [refused by itself](ErrorReply).
    ///
    /// ```
    /// use degu_server::{Address, Request, Server, Session};
    ///
    /// let server = Server::options()
    ///     .on_response(|exchange| println!("{exchange}"))
    ///     .bind(Address::ABSTRACT, async |_: &mut Session, _: Request<'_>| "hello")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// An exchange that switches to another protocol ends with that protocol's handler: the bytes that went to the client
    /// are its body. A connection that is closed before a request has begun, by `on_connect` or in the handshake, is no
    /// exchange.
    ///
    /// `report` runs on the connection's task, so that it must not block for long. If it panics, the connection goes on. While
    /// it is set, responses to pipelined requests are written one by one. Default: none.
    #[must_use]
    pub fn on_response(mut self, report: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        self.on_response = Some(Arc::new(report));
        self
    }

    pub(crate) fn allows(&self, method: Method<'_>) -> bool {
        match method {
            Method::Extension(name) => self.methods.iter().any(|listed| **listed == *name),
            Method::Connect | Method::Trace => false,
            _ => true,
        }
    }

    /// Returns whether connections are TLS.
    pub(crate) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        let secure = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let secure = false;
        secure
    }

    /// Returns the state of a server with these options.
    pub(crate) fn state(&self) -> ServerState {
        ServerState::new(
            self.workers,
            self.max_connections,
            #[cfg(feature = "tls")]
            self.max_handshakes,
        )
    }

    pub(crate) fn answers_faults(&self) -> bool {
        self.error_reply == ErrorReply::Minimal
    }
}

#[cfg(feature = "tls")]
impl Options {
    /// Serves TLS, on every address, by this policy: [`Session::identity`] is the client's identity. A clone of the policy
    /// that is kept can be reloaded or replaced, for new connections. Default: no TLS.
    ///
    /// A peer that is refused is told by an alert; the log says why in a sentence ([`explain`](degu_tls::Error::explain)).
    /// The server ends a connection with close_notify. A client may end one without, where no request has begun or the whole
    /// of it has come.
    ///
    /// ```no_run
    /// use degu_server::{Address, Request, Server, Session};
    /// use degu_tls::{Cas, Identity, PeerIdentity, ServerTls};
    ///
    /// async fn app(session: &mut Session, _: Request<'_>) -> String {
    ///     format!("vouched for by {:?}\n", session.identity().and_then(PeerIdentity::ca))
    /// }
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let identity = Identity::from_pem_files("server.pem", "server.key")?;
    /// let tls = ServerTls::builder(identity).require_clients(Cas::from_pem_file("clients.pem")?).build()?;
    /// Server::options().tls(tls).bind(Address::IPV6_LOOPBACK.with_port(4433), app)?.serve_forever()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tls(mut self, policy: degu_tls::ServerTls) -> Self {
        self.tls = Some(policy);
        self
    }

    /// Sets how long a handshake may take, from the accepted connection on, with the wait for its turn
    /// ([`max_handshakes`](Self::max_handshakes)). Default: 10 s (nginx: 60 s, Go: none).
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.handshake = seconds(timeout.into());
        self
    }

    /// Sets how many handshakes may be under way at once in the whole server, at least one; others wait for their turn. A
    /// client that connects and sends nothing takes none. Default: 256, a quarter of the connections: so clients that have
    /// proved nothing yet cannot take all that the server has.
    #[must_use]
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// Closes an open connection within two seconds after [`reload`](degu_tls::ServerTls::reload) or
    /// [`replace`](degu_tls::ServerTls::replace) if a revocation list names a certificate of its client. An exchange under
    /// way, or a tunnel, is cut. Default: on, because a client that was revoked could otherwise keep its connection for days.
    #[must_use]
    #[cfg(feature = "tls")]
    pub fn close_revoked(mut self, close: bool) -> Self {
        self.close_revoked = close;
        self
    }
}

fn connections_by_descriptors() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(rlim_t::MAX, |(soft, _)| soft);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(64).max(limit / 2).clamp(1, 1024)
}

/// Returns a deadline in whole seconds; `None` is one that never comes.
fn seconds(deadline: Option<Duration>) -> u32 {
    let Some(deadline) = deadline else { return u32::MAX };
    let whole = deadline.as_secs() + u64::from(deadline.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("deadlines", &self.deadlines)
            .field("grace", &self.grace)
            .field("spin", &self.spin)
            .field("workers", &self.workers)
            .field("max_connections", &self.max_connections)
            .field("max_requests", &self.max_requests)
            .field("date", &self.date)
            .field("error_reply", &self.error_reply)
            .field("methods", &self.methods)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
