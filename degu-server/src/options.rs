//! Every option of a server, with its default and the reason for it.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use degu_wire::{Headers, Limits, Method, Spin};
use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit};

use crate::error::TEXT;
use crate::report::{Exchange, OnResponse};
use crate::session::Session;
use crate::state::ServerState;

/// The most bytes of a body that [`Options::error_body`] may return. So many fit into the send buffer of a new socket. The
/// acceptor needs that, because it does not wait when it refuses a connection.
const MAX_ERROR_BODY: usize = 8 * 1024;

/// The way in which the server answers a client that breaks the protocol or a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorReply {
    /// The status of the fault, and one line of text that names the rule that was broken. The line helps the developer of a
    /// client, and contains nothing of the request. A response to HEAD has no text.
    #[default]
    Minimal,
    /// No response: the connection is closed. Degu 0.18 does this.
    Silent,
}

/// The minimum rate of a body or of a response: a number of bytes in every window of a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u32,
    pub(crate) window: u32,
}

impl Progress {
    pub(crate) fn new(bytes: u64, window: Option<Duration>) -> Self {
        // A rate of over 4 GiB in a window is not a useful minimum.
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
    /// The window of the minimum rate for a peer that still sends after the last response.
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

type ErrorBody = Box<dyn Fn(u16, &str) -> (&'static str, String) + Send + Sync>;

type OnConnect = Box<dyn for<'f> Fn(&'f mut Session) -> Pin<Box<dyn Future<Output = bool> + 'f>> + Send + Sync>;

/// The options of a server. They are set before its sockets are bound.
///
/// The defaults suit a server that strangers can reach. Deadlines are rounded up to whole seconds and checked once a second, so
/// they may be late by up to a second.
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
#[must_use = "options have no effect until `bind` or `listen`"]
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
    pub(crate) error_body: Option<ErrorBody>,
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
            error_body: None,
            methods: Vec::new(),
            on_connect: None,
            on_response: None,
            socket: SocketOptions::default(),
        }
    }

    /// Sets the limits for requests, and the two switches that widen the grammar. Default: [`Limits::DEFAULT`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// Sets whether requests of HTTP/1.0 are served. If this is off, such a request gets 505.
    ///
    /// They are answered without chunks and without `100 Continue`. The connection is kept only if the client asks for it and
    /// the length of the response is known. HTTP/1.0 requests need no Host: an app that checks the
    /// [authority](crate::Request::authority) of a request must therefore refuse an empty authority. A response body of unknown
    /// length ends with the connection. If it is cut, a TCP connection is reset, and under TLS close_notify is not sent; on a
    /// Unix socket the client cannot detect the cut.
    ///
    /// Default: on, because nginx, `ab`, HAProxy's health checks and MicroPython send such requests by default.
    pub fn allow_http10(mut self, allow: bool) -> Self {
        Arc::make_mut(&mut self.limits).allow_http10 = allow;
        self
    }

    /// Sets the time for a whole head, from its first byte. A client that takes longer gets 408. The time is not for each read,
    /// because then a client that sends one byte from time to time would never be late. Default: 10 s, in which even a slow link
    /// delivers 32 KiB.
    pub fn head_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.head = seconds(timeout.into());
        self
    }

    /// Sets how long a connection may wait for its first or its next request. After that it is closed without a response.
    /// Default: 75 s, as in nginx.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.idle = seconds(timeout.into());
        self
    }

    /// Sets the minimum rate at which a client must send a request's body and take a response: `bytes` in every `window`. Time
    /// counts only while the server waits for the client. A request whose body is slower gets 408, and a response that is
    /// taken more slowly is cut.
    ///
    /// Windows follow each other without overlap. If a client stops after it has moved enough bytes in one window, the server
    /// notices that at the end of the next window, so at most two windows later. Each window may be late by up to a second.
    ///
    /// Default: 20 KiB in 20 s. Any working link is faster, and a stalled client does not hold its connection for long.
    ///
    /// A handler can set another rate for the body of its request:
    /// [`Incoming::set_progress`](crate::Incoming::set_progress).
    pub fn progress(mut self, bytes: u64, window: impl Into<Option<Duration>>) -> Self {
        self.deadlines.progress = Progress::new(bytes, window.into());
        self
    }

    /// Sets how long a handler may take for one request until its response begins. This time includes waiting for the body. After
    /// that the client gets 503, and the handler's future is dropped. Default: none, because a handler may wait for an event.
    pub fn handler_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.handler = seconds(timeout.into());
        self
    }

    /// Sets how long an exchange may go on, without a byte in either direction, after the client has ended its side of a TCP
    /// connection (by FIN, or under TLS by close_notify). After that the handler and the response's body are dropped, and the
    /// connection is closed without a response.
    ///
    /// A client that closes its socket looks like a client that has half-closed it and still reads, as `nc -N` does: both send
    /// a FIN and nothing else. Without this limit, an endless response would keep its connection after the client has closed
    /// it. The time in which the client takes a response does not count, because [`progress`](Self::progress) limits that.
    ///
    /// On a Unix socket a close is noticed at once, and a half-close has no limit. On every kind of socket, a reset ends the
    /// exchange.
    ///
    /// Default: 3 s (hyper drops the request at once). Set a longer time for clients that half-close and then wait longer for the
    /// response. `None` waits forever.
    pub fn half_close_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.half_close = seconds(timeout.into());
        self
    }

    /// Sets how long a connection that has [switched](crate::Request::upgrade) to another protocol may be without a byte in either
    /// direction. After that its handler is dropped, and the connection is reset, so that the peer does not take the data for
    /// complete. Default: `None`, because a terminal may be silent for hours.
    pub fn tunnel_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.tunnel = seconds(timeout.into());
        self
    }

    /// Sets the maximum number of open connections, at least one.
    ///
    /// At the maximum, an idle connection is closed to make room for each new one: first a connection that has had its last
    /// response, then one that has not sent a request yet, then the one that has been idle longest and has sent nothing
    /// since. If all connections are busy, the new one waits for up to two seconds; then it gets 503, or is closed under TLS.
    ///
    /// Default: 1,024. If the process may open few file descriptors, the default is their number minus 64, or half of a very low
    /// number. The app can then still open files.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Sets the number of requests after which a connection is closed, at least one. Default: `None`, because a new connection
    /// costs more than a request. Set it if a load balancer should distribute clients again from time to time.
    pub fn max_requests(mut self, requests: Option<u64>) -> Self {
        self.max_requests = requests.map_or(u64::MAX, |requests| requests.max(1));
        self
    }

    /// Sets how long a graceful shutdown waits for exchanges in progress before it cuts them. Default: 30 s, which is less than
    /// the time that service managers wait before they kill a process.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the number of threads that serve connections (workers), at least one. The first starts with the server, the others
    /// with the first connection. Default: one for each core, and at most four, because HTTP is rarely the main load of a machine.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets how a worker waits for the next request of a connection that has just been answered. It may spin: it polls the socket
    /// for some microseconds before it blocks. A round trip between two cores is then as fast as one on the same core. While the
    /// worker spins, its other busy connections run at each yield. Its idle connections and the acceptor run after 32 requests or
    /// 50 µs. If more than four connections of a worker are busy, none spins.
    ///
    /// Default: [`Spin::Adaptive`].
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Sends `date` with every response that has no such field. Default: off, because processes and devices do not read it. RFC
    /// 9110 §6.6.1 requires it of a server that has a clock; switch it on if there are caches.
    pub fn date(mut self, on: bool) -> Self {
        self.date = on;
        self
    }

    /// Sets the response to a client that breaks the protocol or a limit. Default: [`ErrorReply::Minimal`].
    pub fn error_reply(mut self, reply: ErrorReply) -> Self {
        self.error_reply = reply;
        self
    }

    /// Sets the form of the bodies of error responses, so the clients of an API get one form of error. `body` is called with the
    /// status and with the text that the response would otherwise have, without its line end. It returns a media type and the
    /// body.
    ///
    /// ```
    /// use degu_server::{Address, Error, Request, Server, Session, reason_phrase};
    /// use serde_json::json;
    ///
    /// async fn app(_: &mut Session, _: Request<'_>) -> Error {
    ///     Error::new(404, "there is no such note")
    /// }
    ///
    /// let server = Server::options()
    ///     .error_body(|status, text| {
    ///         let problem = json!({ "status": status, "title": reason_phrase(status), "detail": text });
    ///         ("application/problem+json", problem.to_string())
    ///     })
    ///     .bind(Address::IPV6_LOOPBACK, app)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// Error responses are:
    ///
    /// - The responses that the server makes by itself: to a fault of a request, to an expired deadline, to a connection for which
    ///   there is no room, and if the app failed or panicked. The text is that of [`ErrorReply::Minimal`].
    /// - The responses that the app makes from an [`Error`](crate::Error), also by
    ///   [`Response::from_error`](crate::Response::from_error). The text is that of the error. If the app gives the response
    ///   another content-type than `text/plain`, it is not changed.
    /// - The 421 and the 403 of [`Hosts`](crate::applib::Hosts), and the 503 of [`blocking`](crate::blocking()).
    ///
    /// A response without a text, such as the 404 of a [`Router`](crate::applib::Router), gets no body. The function does not
    /// change status and framing, and a response to HEAD has no body. The text is sent if `body` panics, returns more than 8 KiB,
    /// or returns a media type without `/` or with a byte that a field cannot have. `body` must not block, because it is called in
    /// the task of a connection or of the acceptor. Default: none.
    pub fn error_body(mut self, body: impl Fn(u16, &str) -> (&'static str, String) + Send + Sync + 'static) -> Self {
        self.error_body = Some(Box::new(body));
        self
    }

    /// Lets requests with these methods reach the app, in addition to GET, HEAD, PUT, POST, DELETE, PATCH and OPTIONS.
    /// Requests with other methods get 501. CONNECT and TRACE cannot be listed, because both act on the connection, which belongs
    /// to the server.
    ///
    /// Default: none. An app then need not handle methods that it does not know.
    pub fn methods<M: Into<Box<str>>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the mode of a Unix socket's file, before any client can connect. `0o600` allows only this user to connect. The mode of
    /// the folder counts too. Default: the mode that the umask of the process gives.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket.mode = Some(mode);
        self
    }

    /// Sets the owner of a Unix socket's file, before any client can connect. The forms are those of chown(1): `user`,
    /// `user:group` or `:group`, each a name or a number. For example, `":www-data"` with the [mode](Self::socket_mode) `0o660`
    /// allows a proxy of that group to connect. Only root can set another user; a process can set any group that it is in.
    /// Default: the user and group of the process.
    pub fn socket_owner(mut self, owner: impl Into<String>) -> Self {
        self.socket.owner = Some(owner.into());
        self
    }

    /// Sets whether a socket on `[::]` accepts only IPv6 clients. Default: off, whatever the sysctl `net.ipv6.bindv6only` says: the
    /// socket accepts IPv4 clients too, with addresses such as `[::ffff:192.0.2.1]`. Switch it on to bind `0.0.0.0` and `[::]` to
    /// the same port.
    pub fn ipv6_only(mut self, only: bool) -> Self {
        self.socket.ipv6_only = only;
        self
    }

    /// Sets a function that decides, before the first request of a connection, whether the connection is served: by its address
    /// or credentials, for example. If it returns `false`, the connection is closed without a response. It is called after the app's
    /// own [`on_connect`](crate::App::on_connect), which apps that are functions do not have. Default: every connection is
    /// served.
    pub fn on_connect(mut self, wanted: impl AsyncFn(&mut Session) -> bool + Send + Sync + 'static) -> Self {
        let wanted = std::sync::Arc::new(wanted);
        self.on_connect = Some(Box::new(move |session| {
            let wanted = wanted.clone();
            Box::pin(async move { wanted(session).await })
        }));
        self
    }

    /// Calls `report` at the end of each exchange, for an access log or metrics. An exchange ends when the kernel has taken the last
    /// byte of the response, or when it is known that there will be no response. `report` is called once for every request that
    /// the app got, even if its handler was cancelled, and once for every request that the server [refused itself](ErrorReply).
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
    /// An exchange that switches to another protocol ends when that protocol's handler returns; the bytes sent to the client count
    /// as its body. A connection that is closed before its first request, by `on_connect` or in the handshake, is not an
    /// exchange.
    ///
    /// `report` runs in the task of the connection, so it must not block for long. If it panics, the connection goes on. While
    /// it is set, responses to pipelined requests are written one by one. Default: none.
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
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
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

    /// Returns the media type and the body of an error response with this text.
    pub(crate) fn body_of_error(&self, status: u16, text: String) -> (&'static str, String) {
        // The panic hook has printed a panic of the function already.
        let make = |make: &ErrorBody| catch_unwind(AssertUnwindSafe(|| make(status, text.trim_end()))).ok();
        self.error_body
            .as_ref()
            .and_then(make)
            .filter(|(_, body)| body.len() <= MAX_ERROR_BODY)
            .filter(|(media_type, _)| {
                media_type.contains('/') && Headers::new().set("content-type", media_type).is_ok()
            })
            .unwrap_or((TEXT, text))
    }
}

#[cfg(feature = "tls")]
impl Options {
    /// Serves TLS with this policy on every address. [`Session::identity`] is then the identity of the client. A clone of the
    /// policy can be reloaded or replaced later, for new connections. Default: no TLS.
    ///
    /// A client that is refused gets an alert, and the log has the reason in a sentence ([`explain`](degu_tls::Error::explain)).
    /// The server ends a connection with close_notify. A client may end its connection without close_notify, if no request
    /// has begun or the whole request has been received.
    ///
    /// ```no_run
    /// use degu_server::{Address, Request, Server, Session};
    /// use degu_tls::{Cas, Identity, PeerIdentity, ServerTls};
    ///
    /// async fn app(session: &mut Session, _: Request<'_>) -> String {
    ///     format!("your certificate leads to the CA {:?}\n", session.identity().and_then(PeerIdentity::ca))
    /// }
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let identity = Identity::from_pem_files("server.pem", "server.key")?;
    /// let tls = ServerTls::builder(identity).require_clients(Cas::from_pem_file("clients.pem")?).build()?;
    /// Server::options().tls(tls).bind(Address::IPV6_LOOPBACK.with_port(4433), app)?.serve_forever()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls(mut self, policy: degu_tls::ServerTls) -> Self {
        self.tls = Some(policy);
        self
    }

    /// Sets how long a handshake may take, from the moment when the connection is accepted. It includes the wait for its turn
    /// ([`max_handshakes`](Self::max_handshakes)). Default: 10 s (nginx: 60 s, Go: none).
    pub fn handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.handshake = seconds(timeout.into());
        self
    }

    /// Sets the maximum number of handshakes in progress in the whole server, at least one; others wait for their turn. A
    /// connection on which the client has sent nothing does not count. Default: 256, a quarter of the connections. Clients that
    /// have not proved their identity yet can then not use all of the server.
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// Sets whether open connections of revoked clients are closed. After [`reload`](degu_tls::ServerTls::reload) or
    /// [`replace`](degu_tls::ServerTls::replace), a connection is closed within two seconds if a revocation list contains a
    /// certificate of its client. An exchange in progress, or a tunnel, is cut. Default: on, because a revoked client could
    /// otherwise keep its connection for days.
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

/// Returns a deadline in whole seconds, rounded up. `None` becomes a deadline that never expires.
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
