//! The connection machines: HTTP/1.1 between two byte streams, with no socket and no clock.
//!
//! A [`Connection`] is one end of one connection, in the role of [`Server`] or [`Client`]. A connection owns its
//! buffers, decides which message or part may come next, and handles heads, bodies, keep-alive, pipelining, `100
//! Continue` and half-closed connections. A driver owns the socket and the deadlines, and makes these calls:
//!
//! ```text
//!             read into receive_buffer() ───▶ ┌────────────┐ ───▶ poll_request() / poll_response(), poll_part()
//!   socket    receive_eof()                   │ Connection │                                            application
//!             write pending(), transmitted() ◀─── └────────────┘ ◀─── respond() / request(), send_part(), finish_body()
//! ```
//!
//! Three rules cover every call:
//!
//! 1. `Poll::Pending` means that more bytes are needed. Write the [pending](Connection::pending) bytes first, then
//!    read. Otherwise both ends may wait forever, because the peer may wait for the pending bytes (for example `100
//!    Continue`).
//! 2. A [`RemoteError`](crate::RemoteError) ends the connection: a server [refuses](Connection::refuse), then closes.
//! 3. A call that returns a [`LocalError`](crate::LocalError) has written nothing.
//!
//! The states of an exchange on each side:
//!
//! ```text
//!          server                                          client
//!   ┌─▶ Idle ── poll_request ──▶ Requested          ┌─▶ Idle ── request ──▶ Requested
//!   │                               │               │                          │ poll_response
//!   │                            respond            │                          ▼
//!   │                               ▼               │                      Responding
//!   └── both bodies done ──── Responding            └── both bodies done ──────┘
//!         │ not persistent                                │ not persistent
//!         ▼                                               ▼
//!       Closed                                          Closed
//! ```
//!
//! A client may offer another protocol with its request, and the server may accept with 101 (RFC 9110 §7.8): see
//! [`Connection::upgrade`] and [`Connection::switch`]. After that, the machines exchange no more messages.
//!
//! Two machines joined in memory:
//!
//! ```
//! use core::task::Poll;
//! use degu_wire::machine::{Client, Connection, Content, Server};
//! use degu_wire::{Headers, Limits, Method, Part};
//!
//! /// Moves the pending bytes of one end to the other end.
//! fn carry<A, B>(from: &mut Connection<A>, to: &mut Connection<B>) {
//!     for piece in from.pending() {
//!         to.receive_buffer().extend_from_slice(piece);
//!     }
//!     from.transmitted(from.pending().bytes());
//! }
//!
//! let mut client = Connection::<Client>::new(Limits::default());
//! let mut server = Connection::<Server>::new(Limits::default());
//!
//! client.request(Method::Post, "/shout", "localhost", &Headers::new(), Content::Bytes("hello".into()))?;
//! carry(&mut client, &mut server);
//!
//! let Poll::Ready(Some(request)) = server.poll_request()? else { panic!("the whole head is there") };
//! assert_eq!((request.method(), request.path()), (Method::Post, "/shout"));
//! let Poll::Ready(Some(Part::Data(text))) = server.poll_part()? else { panic!("so is the body") };
//! server.respond(200, "OK", &Headers::new(), Content::Bytes(text.to_ascii_uppercase().into()), None)?;
//! carry(&mut server, &mut client);
//!
//! let Poll::Ready(response) = client.poll_response()? else { panic!("the response is there") };
//! assert_eq!((response.status(), response.reason().as_str()), (200, "OK"));
//! let Poll::Ready(Some(Part::Data(text))) = client.poll_part()? else { panic!("and its body") };
//! assert_eq!(&text[..], b"HELLO");
//! assert!(client.poll_part()?.is_ready() && client.is_reusable());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod connection;
mod head;
mod outgoing;
mod receiver;
mod sender;
mod server;

pub use client::Client;
pub use connection::Connection;
pub use head::{Reason, RequestHead, ResponseHead};
pub use outgoing::Pending;
pub use server::{Awaits, Server};

pub use crate::body::Content;
