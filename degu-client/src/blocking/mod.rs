//! The blocking client. It needs no runtime and starts no thread. A small exchange takes three system calls.
//!
//! Names and behaviour are the same as in the async client, without `await`. An async client can be converted into a
//! blocking [`Client`] and back, at no cost.
//!
//! ```no_run
//! use degu_client::{Address, blocking::Client};
//!
//! let mut connection = Client::new(Address::unix("/run/app.sock")).connect()?;
//! let mut response = connection.get("/example")?;
//! assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
//! assert_eq!(response.body.read_all(1024)?, "hello, world");
//! # Ok::<(), degu_client::Error>(())
//! ```
//!
//! An exchange is full duplex here, too. If a request's body cannot be sent at once, the thread waits until the socket
//! can be read or written (`poll(2)`). If the reader or the iterator of a [`Body`] blocks, the exchange blocks.
//!
//! A program with two exchanges at once on a connection does not compile:
//!
//! ```compile_fail,E0499
//! # fn example(mut connection: degu_client::blocking::Connection) -> Result<(), degu_client::Error> {
//! let mut first = connection.get("/1")?;
//! let second = connection.get("/2")?;
//! first.body.read_all(1024)?;
//! # Ok(())
//! # }
//! ```

mod dial;
mod driver;
mod interrupter;
mod pool;
#[cfg(feature = "tls")]
pub(crate) mod secure;
pub(crate) mod stream;
mod tunnel;

use std::{
    io::{self, BufRead, Read, Write},
    sync::Arc,
};

pub use degu_wire::BlockingBody as Body;
use degu_wire::{BoxError, Part};
pub use driver::Blocking;

use crate::client::ClientOf;
use crate::connection::{ConnectionOf, requests};
pub use crate::error::Error;
use crate::incoming::{IncomingOf, Lent, ResponseOf};
use crate::options::OptionsOf;
use crate::pool::{PoolOf, pooled_requests};
use crate::reader::Reader;
use crate::reads::reads;
use crate::stream::Scratch;
use crate::tunnel::{TunnelOf, UpgradeOf};
use driver::wait;
pub use interrupter::Interrupter;
use pool::queue;
use stream::Foreign;
pub use tunnel::{ReadHalf, WriteHalf};

/// A blocking [client](ClientOf).
pub type Client = ClientOf<Blocking>;

/// The [options](OptionsOf) of a blocking client.
pub type Options = OptionsOf<Blocking>;

/// A blocking [connection](ConnectionOf).
///
/// ```no_run
/// use degu_client::{Method, blocking::Connection};
///
/// # fn example(connection: &mut Connection) -> Result<(), degu_client::Error> {
/// let response = connection.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note")?;
/// let found = connection.request("PROPFIND", "/notes/", [("depth", 1)], ())?;
/// # Ok(())
/// # }
/// ```
pub type Connection = ConnectionOf<Blocking>;

/// A blocking [pool](PoolOf).
///
/// ```no_run
/// use degu_client::{Method, blocking::Pool};
///
/// # fn example(pool: &Pool) -> Result<(), degu_client::Error> {
/// let response = pool.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note")?;
/// # Ok(())
/// # }
/// ```
pub type Pool = PoolOf<Blocking>;

/// A [response](ResponseOf) of the blocking client.
///
/// ```no_run
/// # fn example(connection: &mut degu_client::blocking::Connection) -> Result<(), degu_client::Error> {
/// match connection.get("/notes/1")?.success() {
///     Ok(mut response) => println!("{} bytes", response.body.read_all(64 * 1024)?.len()),
///     Err(error) if error.status() == Some(404) => println!("no note yet"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub type Response<'c> = ResponseOf<Incoming<'c>>;

/// The [body](IncomingOf) of a response of the blocking client.
///
#[cfg_attr(feature = "json", doc = "```no_run")]
#[cfg_attr(not(feature = "json"), doc = "```ignore")]
/// # fn example(connection: &mut degu_client::blocking::Connection) -> Result<(), degu_client::Error> {
/// let mut response = connection.get("/numbers")?.success()?;
/// let numbers: Vec<u32> = response.body.json(64 * 1024)?;
/// # Ok(())
/// # }
/// ```
pub type Incoming<'c> = IncomingOf<Blocking, Lent<'c, Blocking>, Source>;

/// The [answer](UpgradeOf) to an offer of the blocking client.
///
/// ```no_run
/// use std::io::{copy, stdin, stdout};
///
/// use degu_client::{BoxError, Method, blocking::{Connection, Upgrade}};
///
/// # fn example(connection: &mut Connection) -> Result<(), BoxError> {
/// match connection.upgrade(Method::Post, "/containers/1/attach?stream=1&stdin=1", "tcp", (), ())? {
///     Upgrade::Switched { tunnel, .. } => {
///         let (mut from, mut to) = tunnel.split()?;
///         let input = std::thread::spawn(move || copy(&mut stdin(), &mut to).and_then(|_| to.shutdown_write()));
///         copy(&mut from, &mut stdout())?;
///     }
///     Upgrade::Declined(response) => eprintln!("declined with {}", response.status),
/// }
/// # Ok(())
/// # }
/// ```
pub type Upgrade<'c> = UpgradeOf<Tunnel, Incoming<'c>>;

/// The [byte stream](TunnelOf) of a blocking connection that has switched to another protocol.
///
/// [`shutdown_write`](TunnelOf::shutdown_write) half-closes the connection: the server reads EOF, and can still send.
/// [`split`](TunnelOf::split) splits the tunnel into two halves.
pub type Tunnel = TunnelOf<Blocking>;

/// The source of a request's body.
type Source = dyn Iterator<Item = Result<Part, BoxError>> + Unpin;

impl ClientOf<Blocking> {
    /// Makes a connection.
    ///
    /// The client tries the addresses of a DNS name one after the other. IPv6 and IPv4 take turns. Each attempt has an
    /// equal share of the remaining time. The client uses the first address that accepts the connection. The client
    /// cannot interrupt the system while the system resolves the name. So connecting may take longer than
    /// [`connect_timeout`](OptionsOf::connect_timeout).
    ///
    /// # Errors
    ///
    /// The address cannot be used, the system cannot connect to it, the handshake of TLS failed, a timeout expired, or
    /// `on_connect` refused the server.
    pub fn connect(&self) -> Result<Connection, Error> {
        self.connect_interruptible(&Interrupter::new())
    }

    /// Makes a connection that this handle can interrupt, both while the connection is made and while it is used.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect), and [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted).
    pub fn connect_interruptible(&self, interrupter: &Interrupter) -> Result<Connection, Error> {
        let (stream, address) = dial::dial(&self.base, self.base.settings.total_deadline(), interrupter)?;
        Ok(Connection::over(stream, Arc::clone(&self.base), address))
    }
}

impl ConnectionOf<Blocking> {
    /// Makes a connection over any stream that is already connected, with the options, the Host field and the address
    /// of `base`. The options for connecting have no effect.
    ///
    /// The client can only read and write such a stream; it cannot wait for both. So it sends the whole request before
    /// it reads the response, and does not wait for `100 Continue`. A wait ends only at the stream's own timeout. If a
    /// server answers before it has read a large request, client and server may wait for each other forever. Use a
    /// socket for such an exchange. The client cannot check such a stream before a request, so it notices unsolicited
    /// data only when it reads a response.
    pub fn new(io: impl Read + Write + Send + 'static, base: &Client) -> Self {
        let stream = Foreign { stream: io, scratch: Scratch::default() };
        Self::over(Box::new(stream), Arc::clone(&base.base), base.address().clone())
    }

    /// Returns the handle that interrupts the waits of this connection. `None` if the connection is closed, or runs
    /// over a stream that the caller brought.
    pub fn interrupter(&mut self) -> Option<Interrupter> {
        self.link().stream.as_ref()?.socket_and_interrupter().map(|(_, interrupter)| interrupter.clone())
    }
}

requests!(Blocking, Source, wait, [], []);

pooled_requests!(Blocking, Source, wait, queue, dial::dial_pooled, Fn, Result<Response<'static>, Error>, [], []);

reads!(Blocking, wait, [], []);

impl BufRead for Reader<'_, Incoming<'_>> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        wait(|cx| self.0.poll_shown(cx).map_ok(|_| ()))?;
        Ok(self.0.shown())
    }

    fn consume(&mut self, bytes: usize) {
        self.0.consume(bytes);
    }
}

impl Read for Reader<'_, Incoming<'_>> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}
