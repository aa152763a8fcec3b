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

/// The most bytes of a body that [`Options::error_body`] may return. When the acceptor refuses a
/// connection, it does not wait until the response can be written. So the response must fit into the send buffer of a new
/// socket.
const MAX_ERROR_BODY: usize = 8 * 1024;

/// The response to a client that breaks the protocol or exceeds a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorReply {
    /// A response with the status of the fault, and with a line of text for the client's developer. The text names the
    /// broken rule, and contains nothing of the request. A response to HEAD has no text.
    #[default]
    Minimal,
    /// No response: the connection is closed. Degu 0.18 does this.
    Silent,
}

/// The minimum rate of a body or of a response: `bytes` in every `window` of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u32,
    pub(crate) window: u32,
}

impl Progress {
    pub(crate) fn new(bytes: u64, window: Option<Duration>) -> Self {
        // A minimum of over 4 GiB in a window is not useful.
        Self { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), window: seconds(window) }
    }
}

/// The deadlines, in whole seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    #[cfg(feature = "tls")]
    pub(crate) handshake: u32,
    pub(crate) head: u32,
    pub(crate) idle: u32,
    pub(crate) progress: Progress,
    pub(crate) handler: u32,
    pub(crate) half_close: u32,
    pub(crate) tunnel: u32,
}

/// The options of listening sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketOptions {
    /// The mode of a Unix socket's file.
    pub(crate) mode: Option<u32>,
    /// The owner of a Unix socket's file, in the syntax of chown(1).
    pub(crate) owner: Option<String>,
    pub(crate) ipv6_only: bool,
}

type ErrorBody = Box<dyn Fn(u16, &str) -> (&'static str, String) + Send + Sync>;

type OnConnect = Box<dyn for<'f> Fn(&'f mut Session) -> Pin<Box<dyn Future<Output = bool> + 'f>> + Send + Sync>;

/// The options of a server, which are set before the server's sockets are bound.
///
/// The defaults are safe for a server that strangers can reach. Deadlines are rounded up to whole seconds, and checked
/// once a second. So each deadline may be late by up to a second. A deadline of `None` never expires.
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
                handler: u32::MAX,
                half_close: 3,
                tunnel: u32::MAX,
            },
            #[cfg(feature = "tls")]
            tls: None,
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

    /// Sets the limits for requests, such as the maximum size of a head. A request over a limit is refused, and its connection
    /// is closed. Default: [`Limits::DEFAULT`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// Sets whether HTTP/1.0 requests are served. If the option is off, these requests get 505.
    ///
    /// An HTTP/1.0 request may have no Host. An app that checks the [authority](crate::Request::authority) must therefore
    /// refuse an empty authority. The response has no chunks, and there is no `100 Continue`. The connection is kept only if
    /// the client asks for keep-alive and the length of the response is known. The end of the connection marks the end of a
    /// body of unknown length. If the server cuts such a body, it resets the TCP connection, or under TLS sends no
    /// close_notify. On a Unix socket the client cannot detect the cut.
    ///
    /// Default: on, because these clients send HTTP/1.0 by default: `ab`, HAProxy's health checks, nginx before 1.29.7, and older
    /// versions of MicroPython's module `requests`.
    pub fn allow_http10(mut self, allow: bool) -> Self {
        Arc::make_mut(&mut self.limits).allow_http10 = allow;
        self
    }

    /// Sets the maximum time from the first to the last byte of a request's head. A slower client gets 408. The time does not
    /// start again with each read, so sending single bytes does not extend it. Default: 10 s. Even a slow link delivers 32 KiB
    /// in that time.
    pub fn head_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.head = seconds(timeout.into());
        self
    }

    /// Sets the maximum time for which a connection waits for its first or its next request. After this time the
    /// connection is closed without a response. Default: 75 s (nginx: 60 s for the first request, 75 s for the next).
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.idle = seconds(timeout.into());
        self
    }

    /// Sets the minimum rate at which a client must send a request's body and receive a response: `bytes` in every
    /// `window`. Time counts only while the server waits for the client. If the client sends a body more slowly, it
    /// gets 408. If the client receives a response more slowly, the response is cut.
    ///
    /// Windows follow each other without overlap. A client that stops just after it has moved enough bytes is detected
    /// at the end of the next window. So detection can take almost two windows, and up to a second more for each
    /// window.
    ///
    /// Default: 20 KiB in 20 s. Any working link is faster. A stalled client loses its connection within about 40 s.
    ///
    /// A handler can set another rate for the body of its request by
    /// [`Incoming::set_progress`](crate::Incoming::set_progress).
    pub fn progress(mut self, bytes: u64, window: impl Into<Option<Duration>>) -> Self {
        self.deadlines.progress = Progress::new(bytes, window.into());
        self
    }

    /// Sets the maximum time from the end of a request's head to the beginning of its response. The time includes
    /// reading the body. After this time the handler's future is dropped, and the client gets 503. Default: `None`,
    /// because a handler may wait for an event.
    pub fn handler_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.handler = seconds(timeout.into());
        self
    }

    /// Sets the maximum time for which an exchange continues after the client has ended its side of a TCP connection, by a FIN
    /// or under TLS by close_notify. Each byte in either direction restarts the time. When the time expires, the handler and
    /// the body of the response are dropped, and the connection is closed without a response.
    ///
    /// The server cannot tell whether the client has closed its socket, or has half-closed it and still reads, as
    /// `nc -N` does. Both send only a FIN. Without this limit, a handler that waits for an event would still wait
    /// after the client has closed its socket. While a write waits for the client, only [`progress`](Self::progress)
    /// applies.
    ///
    /// On a Unix socket the server detects a close at once, and a half-close has no limit. A reset ends the exchange on every
    /// kind of socket.
    ///
    /// Default: 3 s (hyper drops the request at once). Set a longer time for clients that half-close and then wait
    /// longer for their response.
    pub fn half_close_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.half_close = seconds(timeout.into());
        self
    }

    /// Sets the maximum time without a byte in either direction, for a connection that has
    /// [switched](crate::Request::upgrade) to another protocol. After this time the handler of the protocol is dropped.
    /// The connection is reset, so the peer sees that the data is incomplete. Default: `None`, because a terminal may
    /// be silent for hours.
    pub fn tunnel_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.tunnel = seconds(timeout.into());
        self
    }

    /// Sets the maximum number of open connections, at least one.
    ///
    /// At the maximum, the server closes an idle connection for each new connection. Idle connections are closed in this order:
    ///
    /// 1. Connections that have had their last response, but that the client has not closed yet.
    /// 2. Connections on which the client has not sent a request yet.
    /// 3. Connections that wait for their next request. The connection that has been idle longest is first.
    ///
    /// If all connections are busy, the new connection waits for up to two seconds. If there is still no room, the new
    /// connection gets 503. Under TLS the new connection is closed without a response.
    ///
    /// At the maximum, each new connection costs a search through all open connections. With very many connections, leave enough
    /// room between the usual number and the maximum.
    ///
    /// Default: 1,024. If the process may open fewer than 1,088 file descriptors, the default is this limit minus 64.
    /// If the limit is below 128, the default is half of the limit. So the app can still open files.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Sets the maximum number of requests of a connection, at least one. The last response has `connection: close`. Set a
    /// maximum if a load balancer should distribute clients again from time to time. Default: `None`, because a new connection
    /// costs more than a request.
    pub fn max_requests(mut self, requests: Option<u64>) -> Self {
        self.max_requests = requests.map_or(u64::MAX, |requests| requests.max(1));
        self
    }

    /// Sets the maximum time for which a graceful shutdown waits for exchanges in progress. After this time the
    /// exchanges are cut. Default: 30 s. The service manager must wait longer before it kills the process: systemd
    /// waits for 90 s by default, Docker for only 10 s.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the number of workers, at least one. A worker is a thread that serves connections. The first worker starts with the
    /// server, the others start with the first connection. Default: one for each core, at most four, because HTTP is rarely
    /// the main load of a machine.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets the way in which a worker waits for the next request after a response. A worker may spin, which means that it polls
    /// the socket for some microseconds before it blocks. If client and server run on different cores, spinning makes a round
    /// trip as fast as on one core.
    ///
    /// While a connection spins, it yields after every few polls, and the other busy connections of its worker run. Idle
    /// connections and the acceptor run when the connection has answered 32 requests or has spun for 50 µs, whichever comes
    /// first. No connection spins if more than four connections of its worker are busy.
    ///
    /// Default: [`Spin::Adaptive`].
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Sets whether the field `date` is added to every final response that has none. RFC 9110 §6.6.1 requires `date` of
    /// a server that has a clock. Switch the option on if there are caches between client and server. Default: off,
    /// because the clients of this server, which are other processes and devices, do not read `date`.
    pub fn date(mut self, on: bool) -> Self {
        self.date = on;
        self
    }

    /// Sets the response to a client that breaks the protocol or exceeds a limit. Default: [`ErrorReply::Minimal`].
    pub fn error_reply(mut self, reply: ErrorReply) -> Self {
        self.error_reply = reply;
        self
    }

    /// Sets a function that makes the bodies of error responses. All errors of an API can then have one format. The arguments
    /// of `body` are the status and the default text of the response, without its line end. `body` returns a media type and the
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
    /// `body` is called for these responses:
    ///
    /// - Responses that the server makes itself: a request was refused, a deadline expired, there was no room for the connection,
    ///   or the app failed or panicked. The default text is the line of [`ErrorReply::Minimal`].
    /// - Responses that the app makes from an [`Error`](crate::Error), also by
    ///   [`Response::from_error`](crate::Response::from_error). The default text is the text of the error. If the app changes the
    ///   content-type from `text/plain` to another, `body` is not called.
    /// - The 421 and the 403 of [`Hosts`](crate::applib::Hosts), and the 503 of [`blocking`](crate::blocking()).
    ///
    /// `body` is not called for a response without a text, such as the 404 of a [`Router`](crate::applib::Router). The status
    /// stays the same. A response to HEAD has no body. If `body` panics, returns over 8 KiB, or returns a malformed media type,
    /// the default text is sent. `body` must not block, because the task of a connection or of the acceptor calls it. Default:
    /// none.
    pub fn error_body(mut self, body: impl Fn(u16, &str) -> (&'static str, String) + Send + Sync + 'static) -> Self {
        self.error_body = Some(Box::new(body));
        self
    }

    /// Sets the methods that reach the app in addition to GET, HEAD, PUT, POST, DELETE, PATCH and OPTIONS. A request
    /// with any other method gets 501. CONNECT and TRACE always get 501: CONNECT is for forward proxies, and the
    /// response to TRACE could contain secrets of the request (RFC 9110 §9.3.8).
    ///
    /// Default: none, so an app need not handle unknown methods.
    pub fn methods<M: Into<Box<str>>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the mode of a Unix socket's file, before any client can connect. `0o600` allows only the owner of the file, and
    /// root, to connect. A client must also have access to the folder. Default: the umask of the process determines the mode.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket.mode = Some(mode);
        self
    }

    /// Sets the owner of a Unix socket's file, before any client can connect. The syntax is as in chown(1): `user`,
    /// `user:group` or `:group`. Users and groups have names or numbers. For example, `":www-data"` with the
    /// [mode](Self::socket_mode) `0o660` allows a proxy of that group to connect. Only root can set another user. A
    /// process can set any group that it is in. Default: the user and the group of the process.
    pub fn socket_owner(mut self, owner: impl Into<String>) -> Self {
        self.socket.owner = Some(owner.into());
        self
    }

    /// Sets whether a socket on `[::]` accepts only IPv6 clients. Switch the option on to bind `0.0.0.0` and `[::]` to the same
    /// port. Default: off. The socket then accepts IPv4 clients too, with addresses such as `[::ffff:192.0.2.1]`. The sysctl
    /// `net.ipv6.bindv6only` has no effect.
    pub fn ipv6_only(mut self, only: bool) -> Self {
        self.socket.ipv6_only = only;
        self
    }

    /// Sets a function that accepts or refuses each connection before its first request, for example by the address or
    /// the credentials of the client. If the function returns `false`, the connection is closed without a response. If
    /// the app has an [`on_connect`](crate::App::on_connect) itself, the method of the app is called first. Default:
    /// every connection is accepted.
    pub fn on_connect(mut self, wanted: impl AsyncFn(&mut Session) -> bool + Send + Sync + 'static) -> Self {
        let wanted = std::sync::Arc::new(wanted);
        self.on_connect = Some(Box::new(move |session| {
            let wanted = wanted.clone();
            Box::pin(async move { wanted(session).await })
        }));
        self
    }

    /// Sets a function that is called at the end of each exchange, for an access log or metrics. An exchange ends when
    /// the kernel has taken the last byte of the response, or when the response is cut or cannot be sent. `report` is
    /// called once for every request that the app got, even if its handler was cancelled, and once for every request
    /// that the server [refused itself](ErrorReply).
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
    /// An exchange that switches to another protocol ends when the handler of that protocol returns.
    /// [`Exchange::body_bytes`] is then the number of bytes of the new protocol that were sent to the client. A connection that
    /// `on_connect` or the handshake refused has no exchange.
    ///
    /// `report` runs in the task of the connection, so it must not block for long. If it panics, the connection continues. With
    /// this option, responses to pipelined requests are written one by one. Default: none.
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

    /// Returns whether connections use TLS.
    pub(crate) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Returns the state of a server with these options.
    pub(crate) fn state(&self) -> ServerState {
        ServerState::new(self.workers, self.max_connections)
    }

    pub(crate) fn answers_faults(&self) -> bool {
        self.error_reply == ErrorReply::Minimal
    }

    /// Returns the media type and the body of an error response with this text.
    pub(crate) fn body_of_error(&self, status: u16, text: String) -> (&'static str, String) {
        // If the function panics, the panic hook has already printed the message.
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
    /// Sets a TLS policy, which applies to every address of the server. [`Session::identity`] then identifies the client. The
    /// app can keep a clone of the policy, and reload or replace the policy for new connections. Default: no TLS.
    ///
    /// A client that is refused gets an alert. The log has the reason ([`explain`](degu_tls::Error::explain)). The server ends
    /// each connection with close_notify. A client may omit close_notify between two requests, or after a whole request.
    ///
    /// ```no_run
    /// use degu_server::{Address, Request, Server, Session};
    /// use degu_tls::{CaSet, Identity, PeerIdentity, ServerTls};
    ///
    /// async fn app(session: &mut Session, _: Request<'_>) -> String {
    ///     format!("your certificate leads to the CA {:?}\n", session.identity().and_then(PeerIdentity::ca))
    /// }
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let identity = Identity::from_pem_files("server.pem", "server.key")?;
    /// let tls = ServerTls::builder(identity).require_clients(CaSet::from_pem_file("clients.pem")?).build()?;
    /// Server::options().tls(tls).bind(Address::IPV6_LOOPBACK.with_port(4433), app)?.serve_forever()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls(mut self, policy: degu_tls::ServerTls) -> Self {
        self.tls = Some(policy);
        self
    }

    /// Sets the maximum time of a TLS handshake, from the moment when the connection is accepted. After this time the
    /// connection is closed. If there are [`max_connections`](Self::max_connections) connections, the server may close
    /// a connection whose handshake takes over 1.5 s, to make room for a new connection. Default: 10 s (nginx: 60 s, Go:
    /// none).
    pub fn handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.deadlines.handshake = seconds(timeout.into());
        self
    }

    /// Sets whether the open connections of a client are closed when the client's certificate is revoked. They are
    /// closed within two seconds after [`reload`](degu_tls::ServerTls::reload) or
    /// [`replace`](degu_tls::ServerTls::replace) has loaded a revocation list with a certificate of the client. An
    /// exchange in progress, or a tunnel, is cut. Default: on, because a revoked client could otherwise keep its
    /// connection for days.
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

/// Returns a deadline in whole seconds, rounded up. `None` becomes `u32::MAX`, which never expires.
fn seconds(deadline: Option<Duration>) -> u32 {
    let Some(deadline) = deadline else { return u32::MAX };
    let whole = deadline.as_secs().saturating_add(u64::from(deadline.subsec_nanos() > 0));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_too_long_for_its_type_never_expires() {
        let millisecond = Duration::from_millis(1);
        assert_eq!([millisecond, Duration::MAX].map(|deadline| seconds(Some(deadline))), [1, u32::MAX]);
    }
}
