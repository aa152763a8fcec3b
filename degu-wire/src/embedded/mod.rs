//! A server and a client for microcontrollers: over any [`Read`](embedded_io_async::Read) and
//! [`Write`](embedded_io_async::Write), in buffers of the caller, without an allocator and without an operating system.
//!
//! This driver uses the [core](crate#core-a-request-from-a-slice-a-response-into-a-slice) of the codec, as degu-server
//! does. The core decides about grammar, framing, limits, refusals and their statuses. So this server refuses the same
//! input as degu-server.
//!
//! ```text
//!                       ┌───────────────── Buffers ─────────────────┐
//!   io ── read ──▶ input │ head of this exchange │ unread input       │ ──▶ handler: body
//!                       ├────────────────────────────────────────────┤
//!   io ◀─ write ─ output │ head, chunk lines, small data             │ ◀── handler: respond, response_body
//!                       ├────────────────────────────────────────────┤
//!                fields │ positions of fields in head and trailers   │
//!                       └────────────────────────────────────────────┘
//! ```
//!
//! # Memory
//!
//! The buffers belong to the caller. [`Memory`] has buffers of fixed sizes. The driver uses no other memory. While the
//! handler runs, the head of a request stays at the front of `input`, because paths and fields are views into it. The
//! body and the next request are read into the rest of `input`. A head may fill at most three quarters of `input`, and
//! at most [`max_head`](crate::Limits::max_head). So at least a quarter is left for a chunk line or for trailers.
//! Longer elements are refused with the same status as by degu-server: 431 for a head or trailers, 414 for a request
//! target that alone exceeds the limit of a head, 400 for a chunk line. `fields` has the positions of all fields of one
//! message, in the head and in the trailers.
//!
//! # Time
//!
//! The caller provides a [`Clock`], which has one method. Every wait for the peer has a limit ([`Options`]). If the
//! time runs out within a request, the server answers with 408. If the time runs out between two requests, the server
//! ends the connection.
//!
//! # The end of a connection
//!
//! [`Server::serve`] returns when the connection is over. If it returns [`End`], the caller closes the connection. If
//! it returns an [`Error`], the caller aborts the connection. The traits [`Read`](embedded_io_async::Read) and
//! [`Write`](embedded_io_async::Write) have no half-close. If a client may still be sending after the last response,
//! the server therefore reads and drops input for a short time: see [`Options::linger`].
//!
//! A serial line has no EOF. [`Line`] treats a pause as EOF.
//!
//! ```
//! use degu_wire::Framing;
//! use degu_wire::embedded::{Error, Memory, Options, Request, Server};
//! # use core::{future::Future, time::Duration};
//! # struct Clock;
//! # impl degu_wire::embedded::Clock for Clock {
//! #     async fn limit<F: Future>(&self, _: &mut Duration, future: F) -> Option<F::Output> { Some(future.await) }
//! # }
//! # struct Uart { input: &'static [u8], output: Vec<u8> }
//! # impl embedded_io_async::ErrorType for Uart { type Error = core::convert::Infallible; }
//! # impl embedded_io_async::Read for Uart {
//! #     async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> { self.input.read(buffer).await.map_err(|_| unreachable!()) }
//! # }
//! # impl embedded_io_async::Write for Uart {
//! #     async fn write(&mut self, data: &[u8]) -> Result<usize, Self::Error> { self.output.extend_from_slice(data); Ok(data.len()) }
//! #     async fn flush(&mut self) -> Result<(), Self::Error> { Ok(()) }
//! # }
//!
//! async fn device<S, C>(request: &mut Request<'_, S, C>) -> Result<(), Error<S::Error>>
//! where
//!     S: embedded_io_async::Read + embedded_io_async::Write,
//!     C: degu_wire::embedded::Clock,
//! {
//!     let head = request.head();
//!     match (head.method().as_str(), head.path()) {
//!         ("GET", "/temperature") => request.reply(200, &[("content-type", "text/plain")], b"21.5").await,
//!         ("PUT", "/display") => {
//!             let mut text = [0; 32];
//!             let text = request.body().read_all(&mut text).await?;
//!             // ... show it ...
//!             request.reply(204, &[], b"").await
//!         }
//!         _ => request.reply(404, &[], b"").await,
//!     }
//! }
//!
//! # let mut uart = Uart { input: b"GET /temperature HTTP/1.1\r\nHost: d\r\n\r\n", output: Vec::new() };
//! # futures_executor(async {
//! let mut memory = Memory::<2048, 24, 512>::new();
//! let mut server = Server::new(memory.buffers(), &Options::DEFAULT);
//! server.serve(&mut uart, &Clock, device).await
//! # }).unwrap();
//! # assert!(uart.output.starts_with(b"HTTP/1.1 200 OK\r\n") && uart.output.ends_with(b"\r\n\r\n21.5"));
//! # fn futures_executor<F: Future>(future: F) -> F::Output {
//! #     let mut future = core::pin::pin!(future);
//! #     let mut context = core::task::Context::from_waker(core::task::Waker::noop());
//! #     loop { if let core::task::Poll::Ready(output) = future.as_mut().poll(&mut context) { return output } }
//! # }
//! ```

mod buffers;
mod client;
mod clock;
mod error;
mod incoming;
mod line;
mod link;
mod reader;
mod server;
mod writer;

pub use buffers::{Buffers, Memory};
pub use client::{Call, Client, Response};
pub use clock::{Clock, Options};
pub use error::Error;
pub use line::Line;
pub use reader::BodyReader;
pub use server::{End, Request, Server};
pub use writer::BodyWriter;
