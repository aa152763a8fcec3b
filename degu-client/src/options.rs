//! The options of a client, next to its address.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use degu_wire::{Address, Headers, Limits, LocalError, Spin};

use crate::peer::Peer;
use crate::whole::Whole;

/// Options of a client: how to connect, and what to send with every request. They are made by `Client::options()` and
/// turned into a client by [`client`](Self::client).
///
/// `D` is the driver of the client that comes out, an async one or a
/// [`blocking::Client`](crate::blocking::Client). One can be made into the other at no cost.
///
/// ```
/// use std::time::Duration;
/// use degu_client::{Address, blocking::Client};
///
/// let client = Client::options()
///     .head_timeout(Some(Duration::from_secs(5)))
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

/// The address and the settings of a client, shared by its copies and its connections.
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

    /// Sets the Host field, in place of the one that the address has: the host without its zone, and the port unless it
    /// is 80 (443 under TLS); `localhost` for a Unix socket, since some servers refuse an empty one. A malformed one is
    /// an error of each request.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.settings.host = Some(host.into().into());
        self
    }

    /// Sets the Authorization field of every request (RFC 9110 §11.6.2), such as `Bearer …`.
    ///
    /// # Errors
    ///
    /// As [`header`](Self::header).
    pub fn authorization(self, credentials: impl fmt::Display) -> Result<Self, LocalError> {
        self.header("authorization", credentials)
    }

    /// Sets a field of every request, in place of any that was set with this name. A request that sets the field itself
    /// sends its own instead.
    ///
    /// # Errors
    ///
    /// As [`Headers::set`].
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Result<Self, LocalError> {
        self.settings.headers.set(name, value)?;
        Ok(self)
    }

    /// Sets the fields of every request, in place of all that were set.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.settings.headers = headers;
        self
    }

    /// Removes the fields of this name that were set.
    pub fn without_header(mut self, name: &str) -> Self {
        self.settings.headers.remove(name);
        self
    }

    /// Sets how long a whole exchange may take, whatever it does meanwhile: from the call that sends the request until the
    /// response's body has been read to its end, the caller's own pauses included. Making a connection may take no longer
    /// either. [`set_timeout`](crate::ConnectionOf::set_timeout) of a connection changes it for the requests that follow.
    ///
    /// The other timeouts, for the phases of an exchange, apply as well: the one that passes first is the error. A tunnel
    /// has no such limit, and a blocking client cannot interrupt what the caller brings: the source of a request's body, or
    /// a stream of its own.
    ///
    /// Default none (curl, Go, reqwest: none). A blocking client makes one system call more for each wait if it is set.
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.settings.timeout = limit;
        self
    }

    /// Sets how long it may take to make a connection, in total: looking the name up, every address of it, `on_connect`. A
    /// blocking client cannot interrupt the system's look-up, and notices only after it.
    ///
    /// Default 10 s (curl: 5 minutes, Go: 30 s in its default transport). `None` leaves it to the system.
    pub fn connect_timeout(mut self, limit: Option<Duration>) -> Self {
        self.settings.connect = limit;
        self
    }

    /// Sets how long the server may take to answer, in total: from the end of the request to the end of the response's head,
    /// however many reads that takes.
    ///
    /// Default 60 s (nginx's proxy: 60 s for each read; curl and Go: none).
    pub fn head_timeout(mut self, limit: Option<Duration>) -> Self {
        self.settings.head = limit;
        self
    }

    /// Sets how a connection waits for the head of a response. It may spin, reading its socket for some microseconds before
    /// it blocks, which makes a round trip between two cores as fast as one on the same core. An async connection keeps its
    /// thread meanwhile; the runtime's other tasks get it back after 32 responses or 50 µs.
    ///
    /// Default: [`Spin::Adaptive`].
    pub fn spin(mut self, spin: Spin) -> Self {
        self.settings.spin = spin;
        self
    }

    /// Sets how long a body may stand still: the response's while its next bytes are awaited, and the request's while the
    /// server takes nothing of it. Bytes that are framing do not count as progress. A request's body that waits for its
    /// own source is not held against the server.
    ///
    /// Default 60 s (nginx's proxy: 60 s). `None` for feeds that may be silent for long.
    pub fn body_timeout(mut self, limit: Option<Duration>) -> Self {
        self.settings.body_timeout = limit;
        self
    }

    /// Sets how many connections a [pool](crate::PoolOf) has at most, those in use included. Beyond that requests wait.
    /// Counts of 0 are taken as 1.
    ///
    /// Default 16 (undici and Go: no limit; urllib3: 10, kept ones only).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Sets how long a connection of a [pool](crate::PoolOf) may be idle. It should be less than the server waits before it
    /// closes one, because a request may be on its way then. A server that says how long it waits (`Keep-Alive: timeout=N`)
    /// makes it shorter, by a second less than N, or half of N if that is more; and never longer.
    ///
    /// Default 4 s, which is below the 5 s of Node, Apache and uvicorn (undici: 4 s, Go and hyper-util: 90 s). `None` keeps
    /// connections until the server closes them.
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.settings.idle_timeout = limit;
        self
    }

    /// Sets how much the server may send, and in how many pieces.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = Arc::new(limits);
        self
    }

    /// Sets a function that is called with every new connection, before its first request. If it returns `false` the
    /// connection is closed, and connecting fails.
    ///
    /// It checks the server: over a Unix socket, whether the process is the one that is meant; under TLS, which CA
    /// vouched for it (`peer.identity()`).
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
    /// Connects with TLS, by this policy; [`Connection::identity`](crate::ConnectionOf::identity) says who answered.
    ///
    /// Where the policy checks the name of the server, that is the name or the IP address that is connected to, or
    /// [`server_name`](Self::server_name). The handshake is part of the [`connect_timeout`](Self::connect_timeout).
    ///
    /// Under TLS 1.3 a server may refuse a client after the handshake: the error comes in place of the first response
    /// then ([`ErrorKind::Tls`](crate::ErrorKind::Tls)), names the alert, and is not retryable.
    ///
    /// ```no_run
    /// use degu_client::{Address, blocking::Client};
    /// use degu_tls::{Cas, ClientTls};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = ClientTls::private(Cas::from_pem_file("servers.pem")?).build()?;
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

    /// Sets the name or IP address that the server's certificate must be for, in place of the one of the address.
    /// Needed where the policy checks the name and the address has none: Unix sockets, and addresses with a zone.
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
    /// Returns the end of an exchange that begins now.
    pub(crate) fn whole(&self) -> Option<Whole> {
        self.timeout.and_then(|limit| Whole::new(limit, Instant::now()))
    }

    /// Returns the port that Host leaves out.
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
