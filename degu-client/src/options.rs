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

/// The options of a client: how it connects, and which fields it sends with every request. `Client::options()` returns
/// the defaults, and [`client`](Self::client) makes a client with the options. A timeout is a `Duration`, or `None` for
/// no limit.
///
/// The parameter `D` is the driver of the client: async, or blocking as in
/// [`blocking::Client`](crate::blocking::Client). An async client can be converted into a blocking client and back at
/// no cost.
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
#[derive(Debug)]
#[must_use]
pub struct OptionsOf<D> {
    settings: Settings,
    driver: PhantomData<fn() -> D>,
}

/// The values of the options.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    host: Option<Box<str>>,
    pub(crate) headers: Headers,
    pub(crate) timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) head_timeout: Option<Duration>,
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

/// The function that is called for every new connection. If the function returns `false`, the connection is closed.
#[derive(Clone)]
pub(crate) struct OnConnect(pub(crate) Arc<dyn Fn(&Peer<'_>) -> bool + Send + Sync>);

impl fmt::Debug for OnConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnConnect")
    }
}

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

    /// Sets the Host field of each request that has no Host field of its own. If the target of the request is a whole
    /// URI, the authority of the URI is sent instead (RFC 9112 §3.2).
    ///
    /// Default: the host of the address without its zone, and the port if it is not the default port (80, or 443 under
    /// TLS). For a Unix socket the default is `localhost`, because some servers refuse an empty Host. If the value is
    /// malformed, each request returns an error.
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

    /// Sets a header field of every request. The field replaces an earlier field with the same name. If a request
    /// itself has a field with this name, only the field of the request is sent.
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

    /// Removes the fields with this name from every request.
    pub fn without_header(mut self, name: &str) -> Self {
        self.settings.headers.remove(name);
        self
    }

    /// Sets how long a whole exchange may take: from the call that sends the request until the response's body has been
    /// read to its end. Pauses of the caller count. After this time the exchange fails with [`Timeout::Exchange`].
    ///
    /// The same limit applies separately to making a connection. So a connection and its first exchange may together
    /// take twice as long. For a request of a [pool](crate::PoolOf) one limit covers connecting and the exchange.
    /// [`set_timeout`](crate::ConnectionOf::set_timeout) of a connection changes the limit for later requests.
    ///
    /// The timeouts for the phases of an exchange apply as well. The error names the timeout that expired first. The
    /// limit does not apply to a tunnel. A blocking client cannot interrupt the caller's source of a request's body, or
    /// a stream that the caller brought.
    ///
    /// Default: none (curl, Go, reqwest: none). With a limit, a blocking client makes one more system call for each
    /// wait.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.timeout = limit.into();
        self
    }

    /// Sets how long it may take to make a connection, in total: resolving the name, trying its addresses, the TLS
    /// handshake, and `on_connect`. After this time connecting fails with [`Timeout::Connect`]. A blocking client
    /// cannot interrupt the resolution of a name. If the time ends during the resolution, connecting fails after the
    /// resolution.
    ///
    /// Default: 10 s (curl: 5 minutes, Go's default transport: 30 s). With `None`, only the limits of the system apply.
    pub fn connect_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.connect_timeout = limit.into();
        self
    }

    /// Sets how long the server may take to answer: from the end of the request to the end of the response's head. The
    /// limit is for the whole head, and not for each read. After this time the exchange fails with [`Timeout::Head`].
    ///
    /// Default: 60 s (nginx's proxy: 60 s for each read; curl and Go: none).
    pub fn head_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.head_timeout = limit.into();
        self
    }

    /// Sets how a connection waits for the head of a response. The connection may spin: it busy-polls its socket for
    /// some microseconds before it blocks. Spinning makes a round trip between two cores as fast as a round trip on one
    /// core. While an async connection spins, other tasks of the runtime cannot use the thread of its task. The other
    /// tasks get the thread after 32 responses or 50 µs, whichever comes first.
    ///
    /// Default: [`Spin::Adaptive`].
    pub fn spin(mut self, spin: Spin) -> Self {
        self.settings.spin = spin;
        self
    }

    /// Sets how long a body may make no progress. A response's body makes no progress while the client waits for its
    /// next bytes. A request's body makes no progress while the server takes no bytes. An incomplete chunk line is not
    /// progress, and neither are incomplete trailers. Time in which the client waits for the caller's source of the
    /// request's body does not count. After this time the exchange fails with [`Timeout::Body`].
    ///
    /// Default: 60 s (nginx's proxy: 60 s). Use `None` for a stream of events that may be silent for longer.
    /// `degu_server::sse::response` is never silent for more than 15 s.
    pub fn body_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.body_timeout = limit.into();
        self
    }

    /// Sets how many connections a [pool](crate::PoolOf) has at most, idle or in use. If all are in use, further
    /// requests wait. 0 means 1.
    ///
    /// Default: 16 (undici and Go: no limit; urllib3: 10, idle connections only).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Sets how long a connection of a [pool](crate::PoolOf) may be idle. After this time the pool does not use the
    /// connection again. The pool closes the connection when the next request begins or the next response ends. The
    /// time should be shorter than the server's own idle timeout. Otherwise the server may close the connection while a
    /// request is on its way. If the server announces a timeout of N seconds (`Keep-Alive: timeout=N`), the limit is at
    /// most N - 1 seconds, or N / 2 seconds if that is longer.
    ///
    /// Default: 4 s, which is below the 5 s of Node, Apache and uvicorn (undici: 4 s; Go and hyper-util: 90 s). With
    /// `None`, connections are kept until the server closes them.
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = limit.into();
        self
    }

    /// Sets the limits for responses, such as the size of a head. A response that exceeds a limit is an error of the
    /// server ([`ErrorKind::Remote`](crate::ErrorKind::Remote)), and the connection is closed. Default:
    /// [`Limits::DEFAULT`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = Arc::new(limits);
        self
    }

    /// Sets a function that the client calls for every new connection, before the first request. If the function
    /// returns `false`, the client closes the connection, and connecting fails with
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused).
    ///
    /// Over a Unix socket the function can check the process and the user of the server. Under TLS it can check the
    /// server's certificate and CA (`peer.identity()`). Default: every server is accepted.
    ///
    /// ```
    /// use degu_client::{Address, blocking::Client};
    ///
    /// let client = Client::options()
    ///     .on_connect(|peer| peer.credentials().is_some_and(|daemon| daemon.uid == 0))
    ///     .client(Address::unix("/run/daemon.sock"));
    /// ```
    pub fn on_connect(mut self, check: impl Fn(&Peer<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.on_connect = Some(OnConnect(Arc::new(check)));
        self
    }
}

#[cfg(feature = "tls")]
impl<D> OptionsOf<D> {
    /// Turns on TLS, with this policy. [`Connection::identity`](crate::ConnectionOf::identity) then returns the
    /// identity of the server. Default: no TLS.
    ///
    /// If the policy checks names, the server's certificate must contain the name or the IP address of the client's
    /// address. [`server_name`](Self::server_name) sets another name to check. The
    /// [`connect_timeout`](Self::connect_timeout) includes the handshake.
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

    /// Sets the name or IP address that the server's certificate must contain, instead of the name of the address. This
    /// option is needed if the policy checks names, and the address is a Unix socket or has a zone, because such an
    /// address has no name to check.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.settings.server_name = Some(name.into().into());
        self
    }
}

impl Base {
    /// Combines the options with the address of the server.
    pub(crate) fn new<D>(address: Address, options: OptionsOf<D>) -> Self {
        let settings = options.settings;
        #[cfg(feature = "tls")]
        let default_port = if settings.tls.is_some() { 443 } else { 80 };
        #[cfg(not(feature = "tls"))]
        let default_port = 80;
        let host = settings.host.clone();
        let host = host.unwrap_or_else(|| address.host_with_default(default_port).to_string().into());
        Self { address, host, settings }
    }
}

impl Settings {
    /// Returns the deadline of a call of `connect` that begins now: the end of [`timeout`](OptionsOf::timeout). `None`
    /// if there is no such limit.
    pub(crate) fn total_deadline(&self) -> Option<Deadline> {
        Deadline::new(Timeout::Exchange, self.timeout, Instant::now)
    }

    /// Returns the deadline of an attempt to connect that begins now: the end of `connect_timeout`, or `until` if
    /// `until` is earlier. `None` if there is neither.
    pub(crate) fn connect_deadline(&self, until: Option<Deadline>) -> Option<Deadline> {
        let connect = Deadline::new(Timeout::Connect, self.connect_timeout, Instant::now);
        connect.into_iter().chain(until).min_by_key(|deadline| deadline.end)
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
            connect_timeout: Some(10 * second),
            head_timeout: Some(60 * second),
            body_timeout: Some(60 * second),
            max_connections: 16,
            idle_timeout: Some(4 * second),
            ..Settings::default()
        };
        Self::of(settings)
    }
}
