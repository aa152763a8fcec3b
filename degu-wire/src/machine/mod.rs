//! The connection machines: HTTP/1.1 between two octet streams, with no socket and no clock.
//!
//! A [`Connection`] is one end of one connection, in the role of [`Server`] or [`Client`]. It owns its buffers and
//! decides what follows what: heads, bodies, keep-alive, pipelining, `100 Continue`, half-closed ends. A driver owns the
//! socket and the deadlines, and does four things:
//!
//! ```text
//!             read into receive_buffer() ───▶ ┌────────────┐ ───▶ poll_request() / poll_response(), poll_part()
//!   socket    receive_eof()                   │ Connection │                                            application
//!             write pending(), transmitted() ◀─── └────────────┘ ◀─── respond() / request(), send_part(), finish_body()
//! ```
//!
//! Three rules cover every call:
//!
//! 1. `Poll::Pending` means that more octets are needed: write what is [pending](Connection::pending), then read. A
//!    driver that waits for the peer without writing first may wait for ever, since what it holds back is what the peer
//!    waits for (`100 Continue`, for one).
//! 2. A [`RemoteError`](crate::RemoteError) ends the connection: a server [refuses](Connection::refuse), then closes.
//! 3. A [`LocalError`] has written nothing.
//!
//! An exchange, as each side sees it:
//!
//! ```text
//!          server                                          client
//!   ┌─▶ Idle ── poll_request ──▶ Requested          ┌─▶ Idle ── request ──▶ Waiting
//!   │                               │               │                         │ poll_response
//!   │                            respond            │                         ▼
//!   │                               ▼               │                      Reading
//!   └── both bodies done ──── Responding            └── both bodies done ─────┘
//!         │ not persistent                                │ not persistent
//!         ▼                                               ▼
//!       Closed                                          Closed
//! ```
//!
//! Two machines joined in memory:
//!
//! ```
//! use core::task::Poll;
//! use degu_wire::machine::{Client, Connection, Content, Server};
//! use degu_wire::{Headers, Limits, Method, Part};
//!
//! /// Moves what waits to be written by one end into the other.
//! fn carry<A, B>(from: &mut Connection<A>, to: &mut Connection<B>) {
//!     for piece in from.pending() {
//!         to.receive_buffer().extend_from_slice(piece);
//!     }
//!     from.transmitted(from.pending().octets());
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
mod head;
mod receiver;
mod sender;
mod server;
mod start;

use core::fmt;

use bytes::BytesMut;

pub use client::Client;
pub use head::{Reason, RequestHead, ResponseHead};
pub use sender::{Content, Pending};
pub use server::{Awaits, Server};

use crate::body::Part;
use crate::{Limits, LocalError};
use receiver::Receiver;
use sender::Sender;

/// One end of a connection, in the role of [`Server`] or [`Client`]: see the [module](self).
pub struct Connection<R> {
    receiver: Receiver,
    sender: Sender,
    role: R,
}

/// How much waits to be read and to be written, and nothing of what it is: it may be secrets.
impl<R> fmt::Debug for Connection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("buffered", &self.buffered().len())
            .field("pending", &self.pending().octets())
            .finish_non_exhaustive()
    }
}

impl<R> Connection<R> {
    /// The bounds under which this end reads.
    pub fn limits(&self) -> &Limits {
        self.receiver.limits()
    }

    /// Where received octets go: append to it. There is room for at least 2 KiB, and more while a large body comes in.
    pub fn receive_buffer(&mut self) -> &mut BytesMut {
        self.receiver.buffer()
    }

    /// What has been received and not been understood yet.
    pub fn buffered(&self) -> &[u8] {
        self.receiver.buffered()
    }

    /// The peer will send no more octets.
    pub fn receive_eof(&mut self) {
        self.receiver.set_eof();
    }

    /// What waits to be written, in order; what of it was written is told to [`transmitted`](Self::transmitted).
    #[inline]
    pub fn pending(&self) -> Pending<'_> {
        self.sender.pending()
    }

    /// So many octets of what was pending have been written.
    pub fn transmitted(&mut self, octets: usize) {
        self.sender.sent(octets);
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        self.sender.is_flushed()
    }

    /// Whether another part may be given to [`send_part`](Self::send_part) before what is pending is written. It may while
    /// less than 64 KiB waits of heads and parts of up to 4 KiB; and where there are longer parts, while there are fewer
    /// than eight of them, and less than 448 KiB waits in all. The last one may go beyond. Parts that are given in spite of
    /// it are collected, without a bound.
    pub fn has_room(&self) -> bool {
        self.sender.has_room()
    }

    /// Whether our message's body still wants parts.
    pub fn is_sending(&self) -> bool {
        !self.sender.is_body_done()
    }

    /// Whether the peer's message has a body that has not been read to its end.
    pub fn is_receiving(&self) -> bool {
        !self.receiver.is_body_done()
    }

    /// Octets of the peer's body that have not been given yet: `None` where only its end will tell.
    pub fn body_remaining(&self) -> Option<u64> {
        self.receiver.body_remaining()
    }

    /// Sends a part of our message's body.
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooLong`], [`LocalError::ChunkLength`] or [`LocalError::ChunkExtension`] where the part does not
    /// fit what was announced, and [`LocalError::State`] where it is of another kind of body. The message can not be
    /// completed then; the connection is to be closed.
    pub fn send_part(&mut self, part: Part) -> Result<(), LocalError> {
        self.sender.send_part(part)
    }

    /// Our message's body ends here. After the announced length, or a [`Part::Last`], nothing is left to do.
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooShort`] or [`LocalError::ChunkLength`] where less came than was announced.
    pub fn finish_body(&mut self) -> Result<(), LocalError> {
        self.sender.finish()
    }

    /// Gives up the buffers that are empty, for a connection that is about to wait long.
    pub fn release_buffers(&mut self) {
        self.receiver.release_buffers();
        self.sender.release_buffers();
    }
}
