//! An HTTP/1.1 server for programs that talk to each other: over Unix sockets on one machine, or over TLS between known
//! devices.
//!
//! An [`Address`] says where the server listens: IPv4, IPv6 with a zone (the interface of a link-local address), the
//! path of a Unix socket, or an abstract name. An [`App`] is an async function from a [`Session`] and a [`Request`] to
//! a [`Response`]. Its futures need not be `Send`, because the server has its own threads and a connection never leaves
//! its thread.
//!
//! ```no_run
//! use degu_server::{Address, Method, Request, Response, Server, Session};
//!
//! async fn app(_: &mut Session, request: Request<'_>) -> Response {
//!     match (request.method(), request.segments()) {
//!         (Method::Get | Method::Head, ["example"]) => "hello, world".into(),
//!         (Method::Get | Method::Head, _) => 404.into(),
//!         _ => (405, [("allow", "GET, HEAD")], ()).into(),
//!     }
//! }
//!
//! let server = Server::bind(Address::IPV6_LOOPBACK, app)?;
//! println!("listening on {}", server.address());
//! server.serve_forever()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! An app may also return text, a tuple, or a `Result` of these. If the error of the `Result` is an [`Error`], it
//! determines the response; any other error becomes 500. The request's body is the field
//! [`Request::body`](Request#structfield.body). The session says who is calling: [`Session::address`], and on Unix
//! sockets [`Session::credentials`]. This daemon accepts only processes of its own user:
//!
//! ```no_run
//! use degu_server::{Address, Error, Request, Response, Server, Session, own_credentials};
//!
//! async fn shout(_: &mut Session, mut request: Request<'_>) -> Result<Response, Error> {
//!     let text = request.body.read_all(64 * 1024).await?;
//!     Ok((200, text.to_ascii_uppercase()).into())
//! }
//!
//! let me = own_credentials().uid;
//! Server::options()
//!     .socket_mode(0o600)
//!     .on_connect(async move |session: &mut Session| session.credentials().is_some_and(|peer| peer.uid == me))
//!     .bind(Address::unix("/run/shout.sock"), shout)?
//!     .serve_forever()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - [`applib`] has apps made of apps: a router, filters for methods and [hosts](applib::Hosts), a validator, a proxy.
//! - [`blocking()`] makes an app from an ordinary function that may block.
//! - [`sse::response`] makes a response of server-sent events.
//! - [`Request::upgrade`] begins the switch to another protocol.
//! - [`Server::options`] has everything that can be set. [`Server::spawn`] returns a [`Handle`], which shuts the server
//!   down.
//! - [`BackgroundServer`] is a server inside an application that has no runtime.
//! - [`degu_wire`] decides which input is refused, and with which status. Its [`Limits`] bound the input.
//!
//! # Features
//!
//! Features only add. `io` and `signal` are on by default; without them, a program builds faster.
//!
//! | feature | adds |
//! | --- | --- |
//! | `io` | bodies from the files and readers of tokio, such as `Body::from_file` |
//! | `signal` | `Server::serve_until_signal` |
//! | `tls` | `Options::tls`, with a policy of degu-tls, and `Session::identity` |
//! | `proxy` | `applib::ProxyApp`, and the dependency on degu-client |
//! | `json` | `Json`, which makes a body from any value of serde, and `Incoming::json`, which parses one |
//! | `http` | conversions from and to the types of the crates `http` and `http-body`, and apps that return these types |
//! | `hyper` | `hyper::serve`: any tower service, such as a router of axum, with this server's sockets, TLS and deadlines |
//!
//! # What does an operator see?
//!
//! The server emits events of `tracing`, and counts in [`Stats`]. It logs nothing for a request that is answered
//! without an error; [`Options::on_response`] can log each exchange in a line.
//!
//! | level | message | fields |
//! | --- | --- | --- |
//! | `DEBUG` | connection opened | `peer`: its address |
//! | `INFO` if the peer was refused, `ERROR` if the app is at fault, otherwise `DEBUG` | connection ends | `peer`; `requests`: how many the peer sent; `reason`: why the connection ended, with the fault or the app's error; for a fault also `fault` and `offset` |
//! | `ERROR` for a status from 500 on, otherwise `DEBUG` | the server sent an error response | `peer`, `status`, `error`: the app's [`Error`], with its source |
//! | `INFO` | connection ends | `peer`, `reason`: the certificate of the client was revoked |
//! | `INFO` | connection refused: all connections are busy | `peer` |
//! | `WARN` | cannot accept connections for now | `error`, such as no descriptors left; one line until accepting works again |
//! | `WARN` | cannot serve an accepted connection | `error` of the runtime; the connection is closed |
//! | `WARN` | cannot start another worker | `error`; the other workers take its connections |
//! | `WARN` | cannot forward the request; cannot forward the response | `upstream`: the address of the server to which the proxy forwards; `error` |
//! | `WARN` | a warning of the TLS policy, in full | |
//!
//! A peer could fill the log, so lines about refused peers and failed accepts are limited together: ten lines at once,
//! and one each second after that. The next line that is written says in `held_back` how many lines were not. A
//! "connection ends" that was held back is written at `DEBUG`; the other lines are only counted. Lines about revoked
//! certificates have no limit, except under `hyper::serve`.
//!
//! # What it never does
//!
//! - The server adds no fields to those of the app, except framing, `connection`, and `date` if the option is on. A text
//!   that the server sends by itself or for an error has a content-type, and so has a body of JSON or of events.
//! - The server writes nothing else into a response that has begun. A later failure cuts the connection.
//! - It moves no connection between threads.
//! - It needs no runtime of the program.
//! - It speaks no HTTP/2.

mod admission;
mod alarm;
mod app;
pub mod applib;
mod atomic;
mod background;
mod blocking;
mod body_channel;
mod connection;
mod credentials;
mod dispatch;
mod error;
mod future;
mod handle;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "hyper")]
pub mod hyper;
mod incoming;
mod listen;
mod log_limit;
mod options;
mod reader;
mod report;
mod request;
mod response;
#[cfg(feature = "tls")]
mod revocation;
mod seconds;
mod server;
mod session;
#[cfg(test)]
mod simulation;
pub mod sse;
mod state;
mod stats;
mod stream;
mod tunnel;
mod upgrade;
mod worker;
mod worker_state;

pub use app::{App, BoxedApp};
pub use background::BackgroundServer;
pub use blocking::{Blocking, BlockingRequest, blocking};
pub use credentials::{Credentials, own_credentials};
pub use error::Error;
pub use handle::Handle;
pub use incoming::Incoming;
pub use listen::Listener;
pub use options::{ErrorReply, Options};
pub use reader::Reader;
pub use report::Exchange;
pub use request::{OwnedRequest, Request};
pub use response::{IntoResponse, Response};
pub use server::Server;
pub use session::Session;
pub use stats::Stats;
pub use tunnel::Tunnel;
pub use upgrade::Offer;

pub use bytes::Bytes;
pub use degu_wire::machine::Reason;
pub use degu_wire::{
    Address, AddressError, AddressFault, AddressKind, BodyDropped, BodySender, BoxError, ByteRange, Chunk,
    ChunkExtensions, ContentRange, Fault, Framing, Headers, IntoBody, Limits, LocalBody as Body, LocalError, Method,
    Part, RangeError, RemoteError, Source, Spin, Trailers, Zone, decode_segment, reason_phrase, status,
};
#[cfg(feature = "json")]
pub use degu_wire::{Json, JsonError};
