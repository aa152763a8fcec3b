//! The async client on tokio: its driver, its type aliases, and the methods that the blocking client does not have.

#[cfg(feature = "hyper-util")]
mod connector;
mod dial;
mod driver;
mod owned;
mod pool;
mod reader;
#[cfg(feature = "tls")]
pub(crate) mod secure;
pub(crate) mod stream;
mod timer;
mod tunnel;

use std::{future::poll_fn, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::blocking;
use crate::client::ClientOf;
use crate::connection::{ConnectionOf, requests};
use crate::error::Error;
use crate::incoming::{IncomingOf, Lent, ResponseOf};
use crate::options::OptionsOf;
use crate::pool::{PoolOf, pooled_requests};
use crate::reads::reads;
use crate::tunnel::{TunnelOf, UpgradeOf};
#[cfg(feature = "hyper-util")]
pub use connector::Connector;
use dial::dial;
pub use driver::Async;
pub use owned::{OwnedIncoming, OwnedResponse};
use pool::queue;
use stream::Foreign;

/// An async [client](ClientOf).
///
/// ```no_run
/// use degu_client::{Address, Client};
///
/// # async fn example() -> Result<(), degu_client::Error> {
/// let client = Client::new(Address::unix("/run/app.sock"));
/// let mut connection = client.connect().await?;
/// let mut response = connection.get("/example").await?;
/// assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
/// let text = response.body.read_all(1024).await?;
/// # Ok(())
/// # }
/// ```
pub type Client = ClientOf<Async>;

/// The [options](OptionsOf) of an async client.
pub type Options = OptionsOf<Async>;

/// An async [connection](ConnectionOf).
///
/// ```no_run
/// use degu_client::{Connection, Method};
///
/// # async fn example(connection: &mut Connection) -> Result<(), degu_client::Error> {
/// let response = connection.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note").await?;
/// let found = connection.request("PROPFIND", "/notes/", [("depth", 1)], ()).await?;
/// # Ok(())
/// # }
/// ```
pub type Connection = ConnectionOf<Async>;

/// An async [pool](PoolOf).
///
/// ```no_run
/// use degu_client::{Method, Pool};
///
/// # async fn example(pool: &Pool) -> Result<(), degu_client::Error> {
/// let response = pool.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note").await?;
/// # Ok(())
/// # }
/// ```
pub type Pool = PoolOf<Async>;

/// A [response](ResponseOf) of the async client.
///
/// ```no_run
/// # async fn example(connection: &mut degu_client::Connection) -> Result<(), degu_client::Error> {
/// match connection.get("/notes/1").await?.success().await {
///     Ok(mut response) => println!("{} bytes", response.body.read_all(64 * 1024).await?.len()),
///     Err(error) if error.status() == Some(404) => println!("no note yet"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub type Response<'c> = ResponseOf<Incoming<'c>>;

/// The [body](IncomingOf) of a response of the async client. The body is also a `Stream` of the pieces that `next_data`
/// returns.
///
#[cfg_attr(feature = "json", doc = "```no_run")]
#[cfg_attr(not(feature = "json"), doc = "```ignore")]
/// # async fn example(connection: &mut degu_client::Connection) -> Result<(), degu_client::Error> {
/// let mut response = connection.get("/numbers").await?.success().await?;
/// let numbers: Vec<u32> = response.body.json(64 * 1024).await?;
/// # Ok(())
/// # }
/// ```
pub type Incoming<'c> = IncomingOf<Async, Lent<'c, Async>, Source>;

/// The [answer](UpgradeOf) to an offer of the async client.
///
/// ```no_run
/// use degu_client::{BoxError, Connection, Method, Upgrade};
///
/// # async fn example(connection: &mut Connection) -> Result<(), BoxError> {
/// match connection.upgrade(Method::Post, "/containers/1/attach?stream=1&stdin=1", "tcp", (), ()).await? {
///     Upgrade::Switched { tunnel, .. } => {
///         let (mut from, mut to) = tokio::io::split(tunnel);
///         tokio::io::copy(&mut from, &mut to).await?;
///     }
///     Upgrade::Declined(response) => eprintln!("declined with {}", response.status),
/// }
/// # Ok(())
/// # }
/// ```
pub type Upgrade<'c> = UpgradeOf<Tunnel, Incoming<'c>>;

/// The [byte stream](TunnelOf) of an async connection that has switched to another protocol.
///
/// Shutting down the tunnel half-closes the connection: the server reads EOF, and can still send. Under TLS,
/// close_notify is sent first. `tokio::io::split` splits the tunnel into two halves.
pub type Tunnel = TunnelOf<Async>;

/// The source of a request's body.
type Source = dyn degu_wire::Source + Send;

impl ClientOf<Async> {
    /// Makes a connection.
    ///
    /// The client tries the addresses of a DNS name as RFC 8305 describes. IPv6 and IPv4 take turns. If an attempt has
    /// no result after 250 ms, the next attempt begins in parallel. If an attempt fails, the next attempt begins at
    /// once. The client uses the first address that accepts the connection.
    ///
    /// # Errors
    ///
    /// The address cannot be used, the system cannot connect to it, the handshake of TLS failed, a timeout expired, or
    /// `on_connect` refused the server.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the sockets that were opened.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let (stream, address) = dial(&self.base, self.base.settings.total_deadline()).await?;
        Ok(Connection::over(stream, Arc::clone(&self.base), address))
    }
}

impl ConnectionOf<Async> {
    /// Makes a connection over any stream that is already connected, with the options, the Host field and the address
    /// of `base`. The options for connecting have no effect. The client cannot check such a stream before a request, so
    /// it notices unsolicited data only when it reads a response.
    ///
    /// ```
    /// use degu_client::{Address, Client, Connection};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (near, mut far) = tokio::io::duplex(1024);
    /// let mut connection = Connection::new(near, &Client::new(Address::from_host("example.org", 80)?));
    /// far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    /// assert_eq!(connection.get("/").await?.status, 204);
    ///
    /// let mut request = [0; 37];
    /// far.read_exact(&mut request).await?;
    /// assert_eq!(&request, b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n".as_slice());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, base: &Client) -> Self {
        Self::over(Box::new(Foreign(io)), Arc::clone(&base.base), base.address().clone())
    }
}

requests!(Async, Source, poll_fn, [async], [.await]);

pooled_requests!(
    Async,
    Source,
    poll_fn,
    queue,
    dial,
    AsyncFn,
    impl Future<Output = Result<Response<'static>, Error>>,
    [async],
    [.await]
);

reads!(Async, poll_fn, [async], [.await]);

impl From<Client> for blocking::Client {
    fn from(client: Client) -> Self {
        Self::of(client.base)
    }
}

impl From<blocking::Client> for Client {
    fn from(client: blocking::Client) -> Self {
        Self::of(client.base)
    }
}
