//! Where and how to connect, without a socket.

use std::{fmt, future::poll_fn, marker::PhantomData, sync::Arc};

use degu_wire::Address;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::{ConnectionOf, requests};
use crate::dial::dial;
use crate::driver::Async;
use crate::error::Error;
use crate::incoming::reads;
use crate::link::Driver;
use crate::options::{Base, OptionsOf};
use crate::stream::Foreign;
use crate::success::success;
use crate::{Body, Connection, Incoming, Response, Upgrade};

/// A server's address and how to talk to it. No socket is open; copies are cheap and may be used by any thread.
///
/// ```no_run
/// use degu_client::{Address, Client};
///
/// # async fn example() -> Result<(), degu_client::Error> {
/// let client = Client::new(Address::unix("/run/app.sock"));
/// let mut connection = client.connect().await?;
/// let response = connection.get("/example").await?;
/// assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
/// let text = response.body.read_all(1024).await?;
/// # Ok(())
/// # }
/// ```
pub struct ClientOf<D: Driver> {
    pub(crate) base: Arc<Base>,
    driver: PhantomData<fn() -> D>,
}

/// An async [client](ClientOf).
pub type Client = ClientOf<Async>;

impl<D: Driver> ClientOf<D> {
    /// Returns a client with the default [options](OptionsOf) for the server at `address`. A wildcard address, such as a
    /// server may say it listens on, means the loopback of its family.
    pub fn new(address: impl Into<Address>) -> Self {
        Self::options().client(address)
    }

    /// Returns the default options, to change some.
    pub fn options() -> OptionsOf<D> {
        OptionsOf::default()
    }

    pub(crate) fn of(base: Arc<Base>) -> Self {
        Self { base, driver: PhantomData }
    }

    /// Returns the options of this client, to make another one of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use degu_client::{Address, Client};
    ///
    /// let client = Client::options().host("example.org").client(Address::unix("/run/app.sock"));
    /// let patient = client.to_options().head_timeout(Some(Duration::from_secs(300))).client(client.address());
    /// assert_eq!(patient.host(), "example.org");
    /// ```
    pub fn to_options(&self) -> OptionsOf<D> {
        OptionsOf::of(self.base.settings.clone())
    }

    /// Returns the address of the server.
    pub fn address(&self) -> &Address {
        &self.base.address
    }

    /// Returns the Host field of the requests.
    pub fn host(&self) -> &str {
        &self.base.host
    }
}

impl ClientOf<Async> {
    /// Makes a connection.
    ///
    /// The addresses of a DNS name are tried in the manner of RFC 8305: both families in turn, the next one 250 ms after
    /// the last or as soon as it fails; the first that answers is taken.
    ///
    /// # Errors
    ///
    /// The address cannot be used, the system cannot connect to it, time is over, or `on_connect` refused.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let (stream, address) = dial(&self.base).await?;
        Ok(Connection::over(stream, Arc::clone(&self.base), address))
    }
}

impl ConnectionOf<Async> {
    /// Makes a connection over any stream, with the options of `base`, and its Host field, address and nothing else of it:
    /// the stream is connected already. Unsolicited data is noticed when it comes with a response, not before a request.
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

requests!(Async, Body, poll_fn, [async], [.await], "```no_run
use degu_client::{Body, Connection, Method};

# async fn example(connection: &mut Connection) -> Result<(), degu_client::Error> {
let response = connection.request(Method::Put, \"/notes/1\", [(\"content-type\", \"text/plain\")], \"a note\").await?;
let found = connection.request(\"PROPFIND\", \"/notes/\", [(\"depth\", 1)], ()).await?;
# Ok(())
# }
```", "```no_run
use degu_client::{BoxError, Connection, Method, Upgrade};

# async fn example(connection: &mut Connection) -> Result<(), BoxError> {
match connection.upgrade(Method::Post, \"/containers/1/attach?stream=1&stdin=1\", \"tcp\", (), ()).await? {
    Upgrade::Switched { tunnel, .. } => {
        let (mut from, mut to) = tokio::io::split(tunnel);
        tokio::io::copy(&mut from, &mut to).await?;
    }
    Upgrade::Declined(response) => eprintln!(\"declined with {}\", response.status),
}
# Ok(())
# }
```");

reads!(Async, poll_fn, [async], [.await]);

success!(Async, poll_fn, [async], [.await], "```no_run
# async fn example(connection: &mut degu_client::Connection) -> Result<(), degu_client::Error> {
match connection.get(\"/notes/1\").await?.success().await {
    Ok(response) => println!(\"{} bytes\", response.body.read_all(64 * 1024).await?.len()),
    Err(error) if error.status() == Some(404) => println!(\"no note yet\"),
    Err(error) => return Err(error),
}
# Ok(())
# }
```");

impl<D: Driver> OptionsOf<D> {
    /// Makes a client with these options, for a server at `address`. Nothing is opened.
    pub fn client(self, address: impl Into<Address>) -> ClientOf<D> {
        ClientOf::of(Arc::new(Base::new(address.into(), self)))
    }
}

impl<D: Driver> Clone for ClientOf<D> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.base))
    }
}

impl<D: Driver> fmt::Debug for ClientOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.base.address).field("options", &self.base.settings).finish()
    }
}
