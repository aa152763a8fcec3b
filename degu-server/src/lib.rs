//! An HTTP/1.1 server for programs that talk to each other: over Unix sockets on one machine, or over TLS between known devices.
//!
//! One address value says where it listens: IPv4, IPv6 with a zone, the path of a Unix socket, an abstract name. An [`App`] is an
//! async function from a [`Session`] and a [`Request`] to a [`Response`]; its futures need not be `Send`, because the
//! server has threads of its own and a connection never leaves its thread.
//!
//! ```no_run
//! use degu_server::{Address, Method, Request, Response, Server, Session};
//!
//! async fn app(_: &mut Session, request: Request<'_>) -> Response {
//!     match (request.method(), request.segments()) {
//!         (Method::Get, ["example"]) => "hello, world".into(),
//!         (Method::Get, _) => 404.into(),
//!         _ => (405, [("allow", "GET")], ()).into(),
//!     }
//! }
//!
//! let server = Server::bind(Address::IPV6_LOOPBACK, app)?;
//! println!("listening on {}", server.address());
//! server.serve_until_signal()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! An app may also return text, a tuple, or a `Result` of any of these. Its error has an answer too: an [`Error`] its own, any
//! other 500. The body is the field [`Request::body`](Request#structfield.body). Who calls is in the session:
//! [`Session::address`], and on Unix sockets [`Session::credentials`]. A daemon for the processes of its own user:
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
//! [`applib`] has apps made of apps: a router, filters of methods and [hosts](applib::Hosts), a validator, a proxy. [`blocking()`]
//! makes an app of an ordinary function that may block, and [`sse::response`] a response of server-sent events.
//! [`EmbeddedServer`] is a server inside an application that has no runtime.
//!
//! # Features
//!
//! All are off by default, and only add:
//!
//! | feature | adds |
//! | --- | --- |
//! | `tls` | `Options::tls`, with a policy of degu-tls, and `Session::identity` |
//! | `proxy` | `applib::ProxyApp`, and with it degu-client |
//! | `json` | `Json`, a body out of any value of serde, and `Incoming::json`, which parses one |
//! | `http` | conversions from and to the types of the crates `http` and `http-body`, and apps that answer with those |
//! | `hyper` | `hyper::serve`: any tower service, a router of axum for example, on these sockets, this TLS and these deadlines |
//!
//! # What an operator sees
//!
//! Events of `tracing`, and [`Stats`]. Nothing is logged for a request that is answered without an error:
//! [`Options::on_response`] does that in a line.
//!
//! | level | message | fields |
//! | --- | --- | --- |
//! | `DEBUG` | connection opened | `peer`: its address |
//! | `INFO` where the peer was refused, `ERROR` where the app is at fault, otherwise `DEBUG` | connection ends | `peer`, `requests`: how many it sent, `reason`: why, with the fault or the app's error; of a fault also `fault` and `offset` |
//! | `ERROR` for a status from 500 on, otherwise `DEBUG` | answered with an error | `peer`, `status`, `error`: the app's own [`Error`], with its source |
//! | `INFO` | connection ends | `peer`, `reason`: the certificate of the client was revoked |
//! | `INFO` | connection refused: all connections are busy | `peer` |
//! | `WARN` | cannot accept connections for now | `error`, such as no descriptors left; once until it is over, and rarely if it comes and goes |
//! | `WARN` | cannot wait for a connection | `error` of the runtime; the connection is closed |
//! | `WARN` | cannot start another worker | `error`; those that run take its connections |
//! | `WARN` | cannot forward the request; cannot forward the response | `behind`: the proxy's target, `error` |
//! | `WARN` | a warning of the TLS policy, in full | |
//!
//! Of the lines at `INFO` about refused peers ten are written at once, and one each second after that: `held_back` says how many
//! were not. The others are written at `DEBUG`.
//!
//! # What it never does
//!
//! It sends no field that the app did not set, but framing and `connection`, and `date` where that is switched on. (The
//! responses that it makes by itself, and out of errors, have a text, and its content-type; a body of JSON or of events has its
//! own.) It writes nothing into a response that has
//! begun: what fails later cuts the connection. It moves no connection between threads, and needs no runtime of
//! the program. It speaks no HTTP/2.
//!
//! # Where the rest is
//!
//! [`Server::options`] has everything that can be set; [`Server::spawn`] returns a [`Handle`] that shuts down. What is
//! refused, and how it is answered, is decided in [`degu_wire`], whose [`Limits`] bound it. [`Request::upgrade`] begins a switch
//! to another protocol.

mod admission;
mod alarm;
mod app;
pub mod applib;
mod blocking;
mod body_channel;
mod connection;
mod credentials;
mod dispatch;
mod embedded;
mod error;
mod exchange;
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
pub use embedded::EmbeddedServer;
pub use error::Error;
pub use exchange::Exchange;
pub use handle::Handle;
pub use incoming::Incoming;
pub use listen::Listener;
pub use options::{ErrorReply, Options};
pub use reader::Reader;
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
