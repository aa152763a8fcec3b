//! An HTTP/1.1 server for programs that talk to each other: over Unix sockets on one machine, or over TLS between known
//! devices.
//!
//! An [`Address`] says where the server listens. An address is an IPv4 address, an IPv6 address (with the network interface, if
//! it is link-local), the path of a Unix socket, or an abstract name. An [`App`] is an async function. It gets a [`Session`]
//! and a [`Request`], and returns a [`Response`]. The future of an app need not be `Send`, because each connection stays on one
//! of the server's threads.
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
//! An app may also return text, a tuple, or a `Result` of these. An [`Error`] in the `Result` determines the response.
//! Any other error becomes status 500. The field [`Request::body`](Request#structfield.body) reads the body. The session
//! identifies the client by its [address](Session::address), and on Unix sockets also by its
//! [credentials](Session::credentials). This daemon accepts only processes of its own user:
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
//! - [`applib`] has a router, filters for methods and [hosts](applib::Hosts), a validator of responses, and a proxy.
//! - [`blocking()`] makes an app from an ordinary function that may block.
//! - [`sse::response`] makes a response of server-sent events.
//! - [`Request::upgrade`] returns the client's offer to switch to another protocol, if there is one.
//! - [`Options`] has every limit, deadline and switch of a server. [`Server::options`] returns the default options.
//! - [`Server::spawn`] starts the server on threads of its own. It returns a [`Handle`], which shuts the server down.
//! - [`degu_wire`] parses requests, and refuses malformed ones. Its [`Limits`] bound the size of a request.
//!
//! # Features
//!
//! `io` and `signal` are on by default. A program that does not need them builds faster without them.
//!
//! | feature | adds |
//! | --- | --- |
//! | `io` | bodies from the files and readers of tokio, such as `Body::from_file` |
//! | `signal` | `Server::serve_until_signal` |
//! | `tls` | `Options::tls`, with a policy of degu-tls, and `Session::identity` |
//! | `proxy` | `applib::ProxyApp`, and the dependency on degu-client |
//! | `json` | `Json`, which makes a body from a serializable value, and `Incoming::json`, which parses a body |
//! | `http` | conversions from and to the types of the crates `http` and `http-body`, and apps that return these types |
//! | `hyper` | `hyper::serve`, which serves a tower service (an axum router, for example) with Degu's sockets, TLS and deadlines |
//!
//! # What does an operator see?
//!
//! The server emits events of the crate `tracing`, and counts in [`Stats`]. A request that is answered without an error
//! is not logged. An access log can be written by [`Options::on_response`].
//!
//! | level | message | fields |
//! | --- | --- | --- |
//! | `DEBUG` | connection opened | `peer`: its address |
//! | `INFO` if the peer was refused, `ERROR` if the app is at fault, otherwise `DEBUG` | connection ends | `peer`; `requests`: the number of requests; `reason`, with the fault or the app's error; for a fault of the peer also `fault`, and `offset`: the offending byte, counted from the start of the head, chunk line or trailers |
//! | `ERROR` for a status from 500 on, otherwise `DEBUG` | the server sent an error response | `peer`, `status`, `error`: the app's [`Error`], with its source |
//! | `INFO` | connection ends | `peer`, `reason`: the certificate of the client was revoked |
//! | `INFO` | connection refused: `max_connections` or the limit of descriptors is reached, and no connection is idle | `peer` |
//! | `WARN` | cannot accept connections for now | `error`, for example no descriptors left; one line until accepting works again |
//! | `WARN` | cannot serve an accepted connection | `error` of the runtime; the connection is closed |
//! | `WARN` | cannot start another worker | `error`; the running workers get all connections |
//! | `WARN` | cannot forward the request; cannot forward the response | `upstream`: the address of the server to which the proxy forwards; `error` |
//! | `WARN` | the text of a warning about the TLS policy | |
//!
//! A peer could otherwise fill the log. Lines about refused peers, failed accepts, responses with 503 and messages that a
//! proxy cannot forward therefore have a common limit: ten lines at once, then one line each second. The lines over the
//! limit are written at `DEBUG`, and the next line within the limit has their number in the field `suppressed_lines`. Lines
//! over the limit about failed accepts, and about connections that a full server refuses, are not written at all.
//! Lines about revoked certificates are limited only under `hyper::serve`.
//!
//! # What it never does
//!
//! - It adds no fields to a response, except the framing fields, `connection`, `upgrade` (in a 101), and
//!   [`date`](Options::date) if that option is on. It adds a content-type only to error texts, JSON and events.
//! - It writes no error into a response that has begun. If such a response fails, the connection is cut.
//! - It moves no connection from one worker to another.
//! - It needs no async runtime of the program, except for `Server::serve_local` and `hyper::serve`.
//! - It does not speak HTTP/2.

mod admission;
mod alarm;
mod app;
pub mod applib;
mod atomic;
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
