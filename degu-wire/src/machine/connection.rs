//! One end of a connection: the methods of both roles.

use alloc::sync::Arc;
use core::fmt;

use bytes::{Bytes, BytesMut};

use super::outgoing::{Outgoing, Pending};
use super::receiver::Receiver;
use super::sender::Sender;
use crate::body::Part;
use crate::framing::Framing;
use crate::{Headers, Limits, LocalError};

/// One end of a connection, in the role of [`Server`](super::Server) or [`Client`](super::Client): see the
/// [module](super).
pub struct Connection<R> {
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
    pub(super) state: State,
    pub(super) role: R,
}

/// The progress of an exchange. The steps are the same for both roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Idle,
    /// The request's head was received or sent, and no final response has begun.
    Requested,
    /// A final response has begun.
    Responding,
    /// The connection has switched to another protocol.
    Switched,
    Closed,
}

/// Writes the number of received and of pending bytes, but not the content, because it may be secret.
impl<R> fmt::Debug for Connection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("buffered", &self.buffered().len())
            .field("pending", &self.pending().bytes())
            .finish_non_exhaustive()
    }
}

impl<R> Connection<R> {
    pub(super) fn with_role(role: R, limits: Arc<Limits>) -> Self {
        Self { receiver: Receiver::new(limits), sender: Sender::default(), state: State::Idle, role }
    }

    /// Returns the bounds on the messages that this end reads.
    pub fn limits(&self) -> &Limits {
        &self.receiver.limits
    }

    /// Returns the buffer to which the driver appends received bytes. At least 2 KiB of its capacity are free, and more
    /// while a large body arrives.
    pub fn receive_buffer(&mut self) -> &mut BytesMut {
        self.receiver.make_room();
        &mut self.receiver.buffer
    }

    /// Returns the bytes that have been received and not been parsed yet.
    pub fn buffered(&self) -> &[u8] {
        &self.receiver.buffer
    }

    /// Takes the bytes that have been received and not been parsed yet. After a switch these are the first bytes of the
    /// new protocol.
    pub fn take_buffered(&mut self) -> Bytes {
        core::mem::take(&mut self.receiver.buffer).freeze()
    }

    /// Notes that the peer will send no more bytes: the driver has read EOF.
    pub fn receive_eof(&mut self) {
        self.receiver.eof = true;
    }

    /// Returns the bytes that have to be written, in order. After a write the driver calls
    /// [`transmitted`](Self::transmitted) with the number of bytes.
    #[inline]
    pub fn pending(&self) -> Pending<'_> {
        self.sender.out.pending()
    }

    /// Notes that this number of the pending bytes has been written.
    pub fn transmitted(&mut self, bytes: usize) {
        self.sender.out.sent(bytes);
    }

    /// Returns whether all pending bytes have been written.
    pub fn is_flushed(&self) -> bool {
        self.sender.out.is_flushed()
    }

    /// Returns whether the driver may call [`send_part`](Self::send_part) again before the pending bytes are written.
    /// A part of up to 4 KiB is short. Returns false in three cases:
    ///
    /// - The pending heads and short parts have a total of at least 64 KiB.
    /// - Eight longer parts are pending.
    /// - A longer part is pending, and all pending bytes have a total of at least 448 KiB.
    ///
    /// The part that reaches a bound is accepted whole. A driver that sends parts after `false` uses memory without a
    /// bound.
    pub fn has_room(&self) -> bool {
        self.sender.out.has_room()
    }

    /// Returns whether this end must still send parts of its message's body.
    pub fn is_sending(&self) -> bool {
        self.sender.body != Framing::None
    }

    /// Returns whether the peer's message has a body that has not been read to its end.
    pub fn is_receiving(&self) -> bool {
        !self.receiver.body.has_ended()
    }

    /// Returns the number of bytes of the peer's body that have not been returned yet; `None` if the number is not
    /// known before the end.
    pub fn body_remaining(&self) -> Option<u64> {
        self.receiver.body.remaining()
    }

    /// Sends a part of the body of this end's message.
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooLong`], [`LocalError::ChunkLength`] or [`LocalError::ChunkExtension`] if the part does not
    /// fit the announced body, and [`LocalError::State`] if the part is for another kind of body. Then the message
    /// cannot be completed, and the driver has to close the connection.
    pub fn send_part(&mut self, part: Part) -> Result<(), LocalError> {
        self.sender.send_part(part)
    }

    /// Ends the body of this end's message. Does nothing if the announced length or a [`Part::Last`] has been sent.
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooShort`] or [`LocalError::ChunkLength`] if the body has fewer bytes than announced.
    pub fn finish_body(&mut self) -> Result<(), LocalError> {
        self.sender.finish()
    }

    /// Returns whether the connection has switched to another protocol. Then the bytes that have been
    /// [received](Self::take_buffered), and all later bytes in both directions, belong to the new protocol.
    pub fn has_switched(&self) -> bool {
        self.state == State::Switched
    }

    /// Returns whether the last message has left large buffers. Before a connection becomes idle, a driver can then call
    /// [`release_buffers`](Self::release_buffers).
    pub fn has_large_buffers(&self) -> bool {
        self.receiver.has_grown() || self.sender.out.is_large()
    }

    /// Frees the memory of empty buffers, for a connection that may be idle for a long time.
    pub fn release_buffers(&mut self) {
        self.receiver.release_buffer();
        if self.is_flushed() {
            self.sender.out = Outgoing::default();
        }
    }
}

/// Returns a copy of the headers with one more field: Upgrade, with `protocol` as its value.
pub(super) fn with_upgrade(headers: &Headers, protocol: &str) -> Result<Headers, LocalError> {
    if headers.contains("upgrade") {
        return Err(LocalError::FieldNotAllowed);
    }
    let mut headers = headers.clone();
    headers.append("upgrade", protocol)?;
    Ok(headers)
}
