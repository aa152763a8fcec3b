//! A client: an address and the options of its connections, without a socket.

use std::{marker::PhantomData, sync::Arc};

use degu_wire::Address;

use crate::link::Driver;
use crate::options::{Base, OptionsOf};
use crate::pool::PoolOf;

/// A client: the address of a server, and the options for its connections. A client has no open socket. Clones are
/// cheap, and any thread may use them.
///
/// ```no_run
/// use degu_client::{Address, blocking::Client};
///
/// let client = Client::new(Address::unix("/run/app.sock"));
/// let mut connection = client.connect()?;
/// let mut response = connection.get("/example")?;
/// assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
/// let text = response.body.read_all(1024)?;
/// # Ok::<(), degu_client::Error>(())
/// ```
#[derive(Debug)]
pub struct ClientOf<D: Driver> {
    pub(crate) base: Arc<Base>,
    driver: PhantomData<fn() -> D>,
}

impl<D: Driver> ClientOf<D> {
    /// Returns a client with the default [options](OptionsOf) for the server at `address`. A wildcard address
    /// (`0.0.0.0`, `[::]`) means the loopback address of the same family.
    pub fn new(address: impl Into<Address>) -> Self {
        Self::options().client(address)
    }

    /// Returns the default options. Change some, and call [`client`](OptionsOf::client).
    pub fn options() -> OptionsOf<D> {
        OptionsOf::default()
    }

    pub(crate) fn of(base: Arc<Base>) -> Self {
        Self { base, driver: PhantomData }
    }

    /// Returns the options of this client, to make another client from them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use degu_client::{Address, blocking::Client};
    ///
    /// let client = Client::options().host("example.org").client(Address::unix("/run/app.sock"));
    /// let patient = client.to_options().head_timeout(Duration::from_secs(300)).client(client.address());
    /// assert_eq!(patient.host(), "example.org");
    /// ```
    pub fn to_options(&self) -> OptionsOf<D> {
        OptionsOf::of(self.base.settings.clone())
    }

    /// Returns a pool of connections to the server. The pool makes no connection before the first request.
    pub fn pool(&self) -> PoolOf<D> {
        PoolOf::new(&self.base)
    }

    /// Returns the address of the server.
    pub fn address(&self) -> &Address {
        &self.base.address
    }

    /// Returns the value that the client sends as Host if a request has no Host field, and its target is not a whole
    /// URI.
    pub fn host(&self) -> &str {
        &self.base.host
    }
}

impl<D: Driver> OptionsOf<D> {
    /// Makes a client with these options for the server at `address`. Opens no socket.
    pub fn client(self, address: impl Into<Address>) -> ClientOf<D> {
        ClientOf::of(Arc::new(Base::new(address.into(), self)))
    }
}

impl<D: Driver> Clone for ClientOf<D> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.base))
    }
}
