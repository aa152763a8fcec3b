//! The options of a client, next to its address.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use degu_wire::{Address, Headers, Limits, LocalError, Spin};

use crate::deadline::Deadline;
use crate::error::Timeout;
use crate::peer::Peer;

/// The options of a client: how it connects, and which fields it sends with every request. `Client::options()` makes
/// them, and [`client`](Self::client) turns them into a client. A time is a `Duration`, or `None` for no limit.
///
/// `D` is the driver of the client: async, or blocking as in [`blocking::Client`](crate::blocking::Client). An async
/// client can be converted into a blocking client and back at no cost.
///
/// ```
/// use std::time::Duration;
/// use degu_client::{Address, blocking::Client};
///
/// let client = Client::options()
///     .head_timeout(Duration::from_secs(5))
///     .header("user-agent", "example/1")?
///     .client(Address::unix("/run/app.sock"));
/// # Ok::<(), degu_client::LocalError>(())
/// ```
#[must_use]
pub struct OptionsOf<D> {
    settings: Settings,
    driver: PhantomData<fn() -> D>,
}

/// The values of the options.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    host: Option<Box<str>>,
    pub(crate) headers: Headers,
    pub(crate) timeout: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) head: Option<Duration>,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) max_connections: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) spin: Spin,
    pub(crate) limits: Arc<Limits>,
    pub(crate) on_connect: Option<OnConnect>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<degu_tls::ClientTls>,
    #[cfg(feature = "tls")]
    pub(crate) server_name: Option<Box<str>>,
}

pub(crate) type OnConnect = Arc<dyn Fn(&Peer<'_>) -> bool + Send + Sync>;

/// The address and the settings of a client. The client's clones, connections and pools share them.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) address: Address,
    pub(crate) host: Box<str>,
    pub(crate) settings: Settings,
}

impl<D> OptionsOf<D> {
    pub(crate) fn of(settings: Settings) -> Self {
        Self { settings, driver: PhantomData }
    }

    /// Sets the Host field.
    ///
    /// Default: the host of the address without its zone, and the port unless it is 80 (443 under TLS); for a Unix
    /// socket `localhost`, because some servers refuse an empty Host. If the Host is malformed, each request returns an
    /// error.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.settings.host = Some(host.into().into());
        self
    }

    /// Sets the Authorization field of every request (RFC 9110 §11.6.2), such as `Bearer …`.
    ///
    /// # Errors
    ///
    /// The errors of [`header`](Self::header).
    pub fn authorization(self, credentials: impl fmt::Display) -> Result<Self, LocalError> {
        self.header("authorization", credentials)
    }

    /// Sets a field of every request, and replaces a field with the same name. If a request sets the field itself, the
    /// field of the request is sent instead.
    ///
    /// # Errors
    ///
    /// The errors of [`Headers::set`].
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Result<Self, LocalError> {
        self.settings.headers.set(name, value)?;
        Ok(self)
    }

    /// Sets the fields of every request, and removes all fields that were set before.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.settings.headers = headers;
        self
    }

    /// Removes the fields of this name that were set.
    pub fn without_header(mut self, name: &str) -> Self {
        self.settings.headers.remove(name);
        self
    }

    /// Sets how long a whole exchange may take: from the call that sends the request until the response's body has been
    /// read to its end. The time includes pauses of the caller. Making a connection has this limit too, for itself: a
    /// connection and one exchange may together take twice as long. A request of a [pool](crate::PoolOf) has the limit
    /// once, for both.
    /// [`set_timeout`](crate::ConnectionOf::set_timeout) of a connection changes the limit for the requests that
    /// follow.
    ///
    /// The timeouts for the phases of an exchange apply as well; the first timeout that passes becomes the error. A
    /// tunnel has no such limit. A blocking client cannot interrupt the caller's source of a request's body, or the
    /// caller's own stream.
    ///
    /// Default none (curl, Go, reqwest: none). With a limit, a blocking client makes one more system call for each
    /// wait.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.timeout = limit.into();
        self
    }

    /// Sets how long it may take to make a connection, in total: resolving the name, trying its addresses, the
    /// handshake, `on_connect`. A blocking client cannot interrupt the resolution of a name, so it notices only after
    /// the resolution that the time is over.
    ///
    /// Default 10 s (curl: 5 minutes, Go: 30 s in its default transport). With `None` the limits of the system apply.
    pub fn connect_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.connect = limit.into();
        self
    }

    /// Sets how long the server may take to answer, in total: from the end of the request to the end of the response's
    /// head. The number of reads does not matter.
    ///
    /// Default 60 s (nginx's proxy: 60 s for each read; curl and Go: none).
    pub fn head_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.head = limit.into();
        self
    }

    /// Sets how a connection waits for the head of a response. The connection may spin: it busy-polls its socket for
    /// some microseconds before it blocks. Spinning makes a round trip between two cores as fast as a round trip on one
    /// core. While an async connection spins, it keeps its thread; the other tasks of the runtime get the thread back
    /// after 32 responses or 50 µs.
    ///
    /// Default: [`Spin::Adaptive`].
    pub fn spin(mut self, spin: Spin) -> Self {
        self.settings.spin = spin;
        self
    }

    /// Sets how long a body may make no progress: the response's body while the client waits for its next bytes, and
    /// the request's body while the server takes no bytes. Bytes of framing do not count as progress. The time in which
    /// the client waits for the caller's source of the request's body does not count.
    ///
    /// Default 60 s (nginx's proxy: 60 s). Use `None` for feeds that may be silent for longer. A server that sends its
    /// events by `degu_server::sse::response` is never silent for more than 15 s.
    pub fn body_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.body_timeout = limit.into();
        self
    }

    /// Sets how many connections a [pool](crate::PoolOf) has at most, those in use included. Further requests wait. A
    /// count of 0 means 1.
    ///
    /// Default 16 (undici and Go: no limit; urllib3: 10, kept ones only).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Sets how long a connection of a [pool](crate::PoolOf) may be idle. The time should be shorter than the server's
    /// own idle timeout, because the server may close the connection while a request is on its way. If the server
    /// announces its timeout (`Keep-Alive: timeout=N`), the limit is the smaller of this value and the larger of N - 1
    /// seconds and half of N.
    ///
    /// Default 4 s, which is below the 5 s of Node, Apache and uvicorn (undici: 4 s, Go and hyper-util: 90 s). `None`
    /// keeps connections until the server closes them.
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = limit.into();
        self
    }

    /// Sets the bounds of the messages that the server sends. Default: [`Limits::DEFAULT`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = Arc::new(limits);
        self
    }

    /// Sets a function that the client calls for every new connection, before the first request. If the function
    /// returns `false`, the client closes the connection, and connecting fails with
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused).
    ///
    /// The function can check the server: over a Unix socket its process and user, under TLS the CA that vouched for it
    /// (`peer.identity()`). Default: every server is accepted.
    ///
    /// ```
    /// use degu_client::{Address, blocking::Client};
    ///
    /// let client = Client::options()
    ///     .on_connect(|peer| peer.credentials().is_some_and(|daemon| daemon.uid == 0))
    ///     .client(Address::unix("/run/daemon.sock"));
    /// ```
    pub fn on_connect(mut self, check: impl Fn(&Peer<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.on_connect = Some(Arc::new(check));
        self
    }
}

#[cfg(feature = "tls")]
impl<D> OptionsOf<D> {
    /// Sets TLS, with this policy. [`Connection::identity`](crate::ConnectionOf::identity) is then the identity of the
    /// server.
    ///
    /// If the policy checks the name of the server, it checks the name or the IP address of the client's address, or
    /// [`server_name`](Self::server_name). The handshake is a part of the [`connect_timeout`](Self::connect_timeout).
    ///
    /// Under TLS 1.3 a server may refuse a client after the handshake. Then the first request returns the error
    /// ([`ErrorKind::Tls`](crate::ErrorKind::Tls)), which names the alert and is not retryable.
    ///
    /// ```no_run
    /// use degu_client::{Address, blocking::Client};
    /// use degu_tls::{CaSet, ClientTls};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = ClientTls::private(CaSet::from_pem_file("servers.pem")?).build()?;
    /// let client = Client::options().tls(tls).client(Address::from_host("device.example", 443)?);
    /// let connection = client.connect()?;
    /// println!("talking to {:?}", connection.identity());
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls(mut self, policy: degu_tls::ClientTls) -> Self {
        self.settings.tls = Some(policy);
        self
    }

    /// Sets the name or IP address that the server's certificate must contain, instead of the name of the address. It
    /// is needed if the policy checks the name and the address has no name to check: for Unix sockets, and for
    /// addresses with a zone.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.settings.server_name = Some(name.into().into());
        self
    }
}

impl Base {
    /// Combines the options with the address of the server.
    pub(crate) fn new<D>(address: Address, options: OptionsOf<D>) -> Self {
        let settings = options.settings;
        let host = settings.host.clone();
        let host = host.unwrap_or_else(|| address.host_with_default(settings.default_port()).to_string().into());
        Self { address, host, settings }
    }
}

impl Settings {
    /// Returns the deadline for a connection that is made from now on, outside of an exchange.
    pub(crate) fn to_exchange(&self) -> Option<Deadline> {
        Deadline::new(Timeout::Exchange, self.timeout, Instant::now)
    }

    /// Returns the deadline for a connection that is made from now on, in an exchange that has this deadline.
    pub(crate) fn to_connect(&self, until: Option<Deadline>) -> Option<Deadline> {
        Deadline::first(Deadline::new(Timeout::Connect, self.connect, Instant::now), until)
    }

    /// Returns the default port, which the Host field does not contain.
    fn default_port(&self) -> u16 {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return 443;
        }
        80
    }
}

impl<D> Clone for OptionsOf<D> {
    fn clone(&self) -> Self {
        Self::of(self.settings.clone())
    }
}

impl<D> Default for OptionsOf<D> {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        let settings = Settings {
            connect: Some(10 * second),
            head: Some(60 * second),
            body_timeout: Some(60 * second),
            max_connections: 16,
            idle_timeout: Some(4 * second),
            ..Settings::default()
        };
        Self::of(settings)
    }
}

impl<D> fmt::Debug for OptionsOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl fmt::Debug for Settings {
    /// Writes only the names of headers, because values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect)
            .field("head_timeout", &self.head)
            .field("body_timeout", &self.body_timeout)
            .field("max_connections", &self.max_connections)
            .field("idle_timeout", &self.idle_timeout)
            .field("spin", &self.spin)
            .field("on_connect", &self.on_connect.is_some())
            .finish_non_exhaustive()
    }
}
