//! An HTTP/1.1 client over IPv4, IPv6, Unix sockets and abstract sockets, async on tokio or [blocking] without a
//! runtime.
//!
//! A [client](ClientOf) is an address and options. Its method `connect` makes a [connection](ConnectionOf), which
//! carries one exchange at a time: a request and its [response](ResponseOf). The response borrows the connection until
//! its body has been read or dropped:
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
//! So two exchanges at once do not compile:
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
//! The async and the blocking client have the same types with another parameter, their driver. `Client` is
//! `ClientOf<Async>`, and `blocking::Client` is `ClientOf<Blocking>`. The documentation of both is on the types whose
//! names end in `Of`.
//!
//! - [`ClientOf::options`] sets options: Host, fields of every request, timeouts, `on_connect`.
//! - [`ClientOf::pool`] makes a [pool](PoolOf) of connections for many tasks or threads.
//! - `success()` of a response turns a status of 400 or more into an error.
//! - An [`Error`] says what happened ([`kind`](Error::kind)), in which [`phase`](Error::phase), and whether the request
//!   may be [sent again](Error::is_retryable).
//! - [`Target`] builds a request target from segments and queries, percent-encoded.
//!
//! # Features
//!
//! Features only add. `async` and `io` are on by default; without them, the blocking client builds without tokio.
//!
//! | feature | adds |
//! | --- | --- |
//! | `async` | the async client |
//! | `io` | `async`, and bodies from the files and readers of tokio, such as `Body::from_file` |
//! | `tls` | `Options::tls`, with a policy of degu-tls, and `Connection::identity` |
//! | `json` | `Json`, which makes a request's body from any value of serde, and the method `json` of bodies, which parses one |
//! | `hyper-util` | `async`, and `Connector`, with which hyper-util's pooled client connects to every address of Degu |
//!
//! # Guarantees
//!
//! - A body that ends before its framing allows is an error, in every way of reading it. So is a response that arrived
//!   in part. A body that is read without an error is whole.
//! - Unsolicited data closes the connection, and does not become a response. The client checks the socket before every
//!   request. It cannot distinguish data that arrives after the check from the response.
//! - Devices send responses that break rules. The client reads such a response if the violation cannot change where the
//!   response ends: a folded field, a space before a colon, blanks after a chunk size, a field twice. Otherwise the
//!   response is an error.
//! - A request that cannot be sent is refused before a byte of it is written. The error names the field and the rule,
//!   and the connection is still usable.
//! - After any other error the connection is closed, and [`Error::is_retryable`] says whether the request may be sent
//!   again.
//! - An exchange is full duplex. The client returns the response as soon as its head has arrived, and continues to send
//!   the request's body while the response is read. It stops sending if the server shows that it does not read: by a
//!   4xx or 5xx status, or by `connection: close` (RFC 9112 §9.5).
//!
//! # What it never does
//!
//! The client follows no redirect, keeps no cookies and decompresses nothing. A [`Connection`](ConnectionOf) sends no
//! request twice, and a [pool](PoolOf) does so only by the rules in its documentation. The client sends only fields
//! that you set, and framing and Host. Methods that read a whole body take a limit.

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
