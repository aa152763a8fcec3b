//! Where and how to connect, without a socket.

use std::{fmt, sync::Arc};

use degu_wire::Address;

use crate::options::Base;
use crate::{Connection, Error, OptionsOf};

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
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Base>);

impl Client {
    /// A client with the default [options](OptionsOf) for the server at `address`. A wildcard address, such as a server
    /// may say it listens on, means the loopback of its family.
    pub fn new(address: impl Into<Address>) -> Self {
        Self::options().client(address)
    }

    /// The options, to change some.
    pub fn options() -> crate::Options {
        OptionsOf::new()
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// The Host field that requests have.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Makes a connection.
    ///
    /// The addresses of a DNS name are tried in the manner of RFC 8305: both families in turn, the next one 250 ms after
    /// the last or as soon as it fails; the first that answers is taken.
    ///
    /// # Errors
    ///
    /// The address can not be used, the system can not connect to it, time is over, or `on_connect` refused.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(&self) -> Result<Connection, Error> {
        Connection::dial(Arc::clone(&self.0)).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.0.address).field("options", &self.0.settings).finish()
    }
}
