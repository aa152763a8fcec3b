//! An HTTP/1.1 client over IPv4, IPv6, Unix sockets and abstract sockets. It is async on tokio, or [blocking] without a
//! runtime.
//!
//! A [client](ClientOf) has the address of a server and options. The client's method `connect` makes a
//! [connection](ConnectionOf). A connection carries one exchange at a time. An exchange is a request and its
//! [response](ResponseOf). The response borrows the connection:
//!
#![cfg_attr(feature = "async", doc = "```no_run")]
#![cfg_attr(not(feature = "async"), doc = "```ignore")]
//! use degu_client::{Address, Client};
//!
//! # async fn example() -> Result<(), degu_client::Error> {
//! let client = Client::new(Address::IPV6_LOOPBACK.with_port(8080));
//! let mut connection = client.connect().await?;
//! let mut response = connection.post("/shout", "hello").await?;
//! assert_eq!(response.status, 200);
//! assert_eq!(response.body.read_all(1024).await?, "HELLO");
//! # Ok(())
//! # }
//! ```
//!
//! Therefore a program with two exchanges at once on a connection does not compile:
//!
//! ```compile_fail,E0499
//! # async fn example(mut connection: degu_client::Connection) -> Result<(), degu_client::Error> {
//! let mut first = connection.get("/1").await?;
//! let second = connection.get("/2").await?;
//! first.body.read_all(1024).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The async client and the blocking client have the same types. The types have the driver as a parameter: `Client` is
//! `ClientOf<Async>`, and `blocking::Client` is `ClientOf<Blocking>`. The types whose names end in `Of` have the
//! documentation for both clients.
//!
//! - [`ClientOf::options`] sets options: the Host field, fields of every request, timeouts, `on_connect`.
//! - [`ClientOf::pool`] makes a [pool](PoolOf) of connections for many tasks or threads.
//! - `success()` of a response turns a status other than 2xx into an error.
//! - An [`Error`] says what happened ([`kind`](Error::kind)), in which [`phase`](Error::phase), and whether the request
//!   may be [sent again](Error::is_retryable).
//! - [`Target`] builds a request target from the segments of a path and from query parameters. It percent-encodes them.
//!
//! # Features
//!
//! A feature only adds items. `async` and `io` are on by default. Without them, the crate is the blocking client alone,
//! and does not need tokio.
//!
//! | feature | adds |
//! | --- | --- |
//! | `async` | the async client |
//! | `io` | `async`, and bodies from the files and readers of tokio, such as `Body::from_file` |
//! | `tls` | `Options::tls`, with a policy of degu-tls, and `Connection::identity` |
//! | `json` | `Json`, which makes a request's body from any value of serde, and the method `json` of bodies, which parses a body |
//! | `hyper-util` | `async`, and `Connector`, with which hyper-util's pooled client connects to every address of Degu |
//!
//! # Guarantees
//!
//! - If a response ends too early, every method that reads it returns an error. A body that was read to its end without
//!   an error is complete. There is one exception: without TLS, the client cannot tell whether a body without a length
//!   and without chunks is complete, because such a body ends with the connection.
//! - The client checks the socket before every request. If the server has sent data that no request asked for, the
//!   client closes the connection, and does not take the data for a response. It cannot distinguish data that arrives
//!   after the check from the response.
//! - Some devices send responses that break rules of HTTP. The client accepts violations that cannot change where the
//!   response ends: a folded field, a space before a colon, blanks after a chunk size, a field that is repeated
//!   although it may occur only once (but not Content-Length, Transfer-Encoding or Content-Range). Every other
//!   violation is an error.
//! - A request that cannot be sent is refused before a byte of it is written. The error names the rule and the field,
//!   if there is one. The connection can still be used.
//! - After most other errors the connection is closed. [`Error::is_retryable`] says whether the request may be sent
//!   again.
//! - An exchange is full duplex. The client returns the response as soon as its head has arrived, and continues to send
//!   the request's body while the response is read. The client stops sending if the response shows that the
//!   server does not read the rest of the body. This is so if the response has a status of 400 or more, ends the
//!   connection (`connection: close`), or comes instead of `100 Continue` (RFC 9112 §9.5).
//!
//! # What it never does
//!
//! The client does not follow redirects, keep cookies or decompress bodies. A [`Connection`](ConnectionOf) never sends
//! a request twice. A [pool](PoolOf) does so only by the rules in its documentation. Besides the fields that you set,
//! the client sends only Host, the fields for framing, and fields that a method or a body needs, such as `range`,
//! `upgrade` or the `content-type` of JSON. Every method that reads a whole body takes a limit.

#![allow(private_bounds, reason = "the type parameter of a connection is one of our two drivers: there is no third")]

#[cfg(feature = "async")]
mod asynchronous;
pub mod blocking;
mod client;
mod connection;
mod deadline;
mod error;
mod exchange;
mod incoming;
mod link;
mod options;
mod peer;
mod pool;
mod reader;
mod reads;
mod resolve;
mod short_forms;
#[cfg(all(test, feature = "async"))]
mod simulation;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod tunnel;

#[cfg(feature = "hyper-util")]
pub use asynchronous::Connector;
#[cfg(feature = "async")]
pub use asynchronous::{
    Async, Client, Connection, Incoming, Options, OwnedIncoming, OwnedResponse, Pool, Response, Tunnel, Upgrade,
};
pub use bytes::Bytes;
pub use client::ClientOf;
pub use connection::ConnectionOf;
pub use degu_wire::machine::Reason;
pub use degu_wire::{
    Address, AddressError, AddressFault, AddressKind, Body, BodyOf, BoxError, ByteRange, Chunk, ChunkExtensions,
    ContentRange, Credentials, Fault, FieldError, Framing, Headers, IntoBody, Limits, Lines, LocalBody, LocalError,
    Method, Part, RangeError, RemoteError, Source, Spin, Target, Trailers, Zone, sse, status,
};
#[cfg(feature = "async")]
pub use degu_wire::{BodyDropped, BodySender};
#[cfg(feature = "json")]
pub use degu_wire::{Json, JsonError};
pub use error::{Error, ErrorKind, Phase, Timeout};
pub use incoming::{IncomingOf, Lent, ResponseOf};
pub use options::OptionsOf;
pub use peer::Peer;
pub use pool::{PoolOf, Stats};
pub use reader::Reader;
pub use tunnel::{TunnelOf, UpgradeOf};
