//! The same client over plain sockets: no runtime, no thread, and in a row of exchanges two system calls for each.
//!
//! Names and behaviour are those of the async client, `await` aside. Options and addresses are shared: a [`Client`] is
//! made from an async one, and the other way round, at no cost.
//!
//! ```no_run
//! use degu_client::{Address, blocking::Client};
//!
//! let mut connection = Client::new(Address::unix("/run/app.sock")).connect()?;
//! let response = connection.get("/example")?;
//! assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
//! assert_eq!(response.body.read_all(1024)?, "hello, world");
//! # Ok::<(), degu_client::Error>(())
//! ```
//!
//! An exchange is full duplex here, too: where a request's body does not go out at once, the connection waits for both
//! directions (`poll(2)`). A [`Body`] that blocks, in its reader or iterator, blocks the exchange.
//!
//! Two exchanges at once do not compile:
//!
//! ```compile_fail,E0499
//! # fn example(mut connection: degu_client::blocking::Connection) -> Result<(), degu_client::Error> {
//! let first = connection.get("/1")?;
//! let second = connection.get("/2")?;
//! first.body.read_all(1024)?;
//! # Ok(())
//! # }
//! ```

mod body;
mod connection;
mod dial;
mod incoming;
mod link;
mod reader;
pub(crate) mod stream;

use std::{fmt, sync::Arc};

pub use body::Body;
pub use connection::Connection;
pub use incoming::{Incoming, Response};
pub use reader::Reader;

pub use crate::Error;
use crate::options::Base;
use crate::{Address, OptionsOf};

/// The options of a blocking [`Client`].
pub type Options = OptionsOf<Client>;

/// A server's address and how to talk to it, without a runtime: see [`crate::Client`].
#[derive(Clone)]
pub struct Client(Arc<Base>);

impl Client {
    /// A client with the default [options](OptionsOf) for the server at `address`. A wildcard address, such as a server
    /// may say it listens on, means the loopback of its family.
    pub fn new(address: impl Into<Address>) -> Self {
        Self::options().client(address)
    }

    /// The options, to change some.
    pub fn options() -> Options {
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
    /// The addresses of a DNS name are tried one after the other, both families in turn, each with an equal share of the
    /// time that is left. The look-up itself is the system's and can not be interrupted: it may take longer than
    /// [`connect_timeout`](OptionsOf::connect_timeout).
    ///
    /// # Errors
    ///
    /// The address can not be used, the system can not connect to it, time is over, or `on_connect` refused.
    pub fn connect(&self) -> Result<Connection, Error> {
        Connection::dial(Arc::clone(&self.0))
    }
}

impl From<crate::Client> for Client {
    fn from(client: crate::Client) -> Self {
        Self(client.0)
    }
}

impl From<Client> for crate::Client {
    fn from(client: Client) -> Self {
        Self(client.0)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::Client::from(self.clone()).fmt(f)
    }
}
