//! An HTTP/1.1 client over IPv4, IPv6, Unix sockets and abstract ones, async on tokio or [blocking] without a runtime.
//!
//! A [`Client`] is an address and options; [`connect`](Client::connect) makes a [`Connection`], which carries one
//! exchange at a time; a [`Response`] borrows it until its body has been read or dropped:
//!
//! ```no_run
//! use degu_client::{Address, Client};
//!
//! # async fn example() -> Result<(), degu_client::Error> {
//! let client = Client::new(Address::IPV6_LOOPBACK.with_port(8080));
//! let mut connection = client.connect().await?;
//! let response = connection.post("/shout", "hello").await?;
//! assert_eq!(response.status, 200);
//! assert_eq!(response.body.read_all(1024).await?, "HELLO");
//! # Ok(())
//! # }
//! ```
//!
//! Two exchanges at once do not compile:
//!
//! ```compile_fail,E0499
//! # async fn example(mut connection: degu_client::Connection) -> Result<(), degu_client::Error> {
//! let first = connection.get("/1").await?;
//! let second = connection.get("/2").await?;
//! first.body.read_all(1024).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::options`] sets what differs from the default: Host, fields of every request, deadlines, `on_connect`.
//!
//! # Features
//!
//! Both are off by default, and only add:
//!
//! | feature | adds |
//! | --- | --- |
//! | `tls` | `Options::tls`, with a policy of degu-tls, and `Connection::identity` |
//! | `hyper-util` | `Connector`, with which hyper-util's pooled client dials every address of Degu |
//!
//! # Guarantees
//!
//! - A body that ends before its framing says so is an error, in every way of reading it; so is a response that came in
//!   part. What is read without an error is whole.
//! - Unsolicited data closes the connection, and does not become an answer: the socket is checked before every
//!   request. What arrives after that check cannot be told from the answer.
//! - What devices send against the rules is read where it cannot change the end of a response: a folded field, a space before
//!   a colon, blanks after a chunk size, a field twice. Where it can, the response is an error.
//! - A request that cannot be sent is refused before anything of it is written. The error names the field and the rule, and
//!   the connection is as it was.
//! - After any other error the connection is closed, and [`Error::is_retryable`] says whether the request may be sent again.
//! - An exchange is full duplex: the response is given as soon as its head has come, and the request's body goes on being
//!   sent while the response is read. Sending stops where the server says that it does not read: with a 4xx or 5xx status
//!   or `connection: close` (RFC 9112 §9.5).
//!
//! # What it never does
//!
//! It sends no request twice by itself, follows no redirect, keeps no cookies, decompresses nothing and has no pool. It
//! sends no field that was not set, but framing and Host. It reads no body without a limit.

#![allow(private_bounds, reason = "the type parameter of a connection is one of our two drivers: there is no third")]

pub mod blocking;
pub mod body;
mod client;
mod connection;
#[cfg(feature = "hyper-util")]
mod connector;
mod dial;
mod driver;
mod error;
mod exchange;
mod incoming;
mod link;
mod options;
mod owned;
mod peer;
mod reader;
mod resolve;
#[cfg(test)]
mod simulation;
mod stream;
mod success;
mod timer;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod tunnel;

pub use bytes::Bytes;
pub use client::{Client, ClientOf};
pub use connection::{Connection, ConnectionOf};
#[cfg(feature = "hyper-util")]
pub use connector::{Connector, Dialled};
pub use degu_wire::machine::Reason;
pub use degu_wire::{
    Address, AddressError, AddressFault, AddressKind, Body, BodyOf, BoxError, ByteRange, Chunk, ChunkExtensions,
    ContentRange, Credentials, Fault, FieldError, Headers, Limits, LocalBody, LocalError, Method, Part, RangeError,
    RemoteError, Source, Spin, Trailers, Zone,
};
pub use driver::Async;
pub use error::{Error, ErrorKind, Phase, Timeout};
pub use incoming::{Incoming, IncomingOf, Response, ResponseOf};
pub use options::OptionsOf;
pub use owned::{OwnedIncoming, OwnedResponse};
pub use peer::Peer;
pub use reader::{Reader, ReaderOf};
pub use tunnel::{Tunnel, TunnelOf, Upgrade, UpgradeOf};

/// The options of an async [`Client`].
pub type Options = OptionsOf<Async>;
