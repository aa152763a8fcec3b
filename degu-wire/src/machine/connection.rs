//! One end of a connection: what both roles have.

use core::fmt;

use bytes::{Bytes, BytesMut};

use super::outgoing::Pending;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::body::Part;
use crate::framing::Framing;
use crate::{Limits, LocalError};

/// One end of a connection, in the role of [`Server`](super::Server) or [`Client`](super::Client): see the [module](super).
pub struct Connection<R> {
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
    pub(super) role: R,
}

/// Shows how much waits to be read and to be written, and nothing of its content, which may be secret.
impl<R> fmt::Debug for Connection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("buffered", &self.buffered().len())
            .field("pending", &self.pending().bytes())
            .finish_non_exhaustive()
    }
}

impl<R> Connection<R> {
    /// Returns the bounds under which this end reads.
    pub fn limits(&self) -> &Limits {
        &self.receiver.limits
    }

    /// Returns the buffer to which received bytes are appended. There is room for at least 2 KiB, and more while a
    /// large body comes in.
    pub fn receive_buffer(&mut self) -> &mut BytesMut {
        self.receiver.buffer()
    }

    /// Returns what has been received and not been understood yet.
    pub fn buffered(&self) -> &[u8] {
        &self.receiver.buffer
    }

    /// Takes what has been received and not been understood yet: after a switch, the first bytes of the new protocol.
    pub fn take_buffered(&mut self) -> Bytes {
        core::mem::take(&mut self.receiver.buffer).freeze()
    }

    /// Notes that the peer will send no more bytes.
    pub fn receive_eof(&mut self) {
        self.receiver.eof = true;
    }

    /// Returns what waits to be written, in order. The caller notes with [`transmitted`](Self::transmitted) what it has
    /// written.
    #[inline]
    pub fn pending(&self) -> Pending<'_> {
        self.sender.out.pending()
    }

    /// Notes that so many bytes of what was pending have been written.
    pub fn transmitted(&mut self, bytes: usize) {
        self.sender.out.sent(bytes);
    }

    /// Returns whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        self.sender.out.is_flushed()
    }

    /// Returns whether another part may be given to [`send_part`](Self::send_part) before what is pending is written.
    /// It may while less than 64 KiB waits of heads and parts of up to 4 KiB; and where there are longer parts, while
    /// there are fewer than eight of them, and less than 448 KiB waits in all. The last one may go beyond. Parts that
    /// are given in spite of it are collected, without a bound.
    pub fn has_room(&self) -> bool {
        self.sender.out.has_room()
    }

    /// Returns whether our message's body still wants parts.
    pub fn is_sending(&self) -> bool {
        self.sender.body != Framing::None
    }

    /// Returns whether the peer's message has a body that has not been read to its end.
    pub fn is_receiving(&self) -> bool {
        self.receiver.body != Framing::None
    }

    /// Returns the number of bytes of the peer's body that have not been given yet: `None` where only its end will tell.
    pub fn body_remaining(&self) -> Option<u64> {
        self.receiver.body_remaining()
    }

    /// Sends a part of our message's body.
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooLong`], [`LocalError::ChunkLength`] or [`LocalError::ChunkExtension`] where the part does not
    /// fit what was announced, and [`LocalError::State`] where it is of another kind of body. The message cannot be
    /// completed then; the connection is to be closed.
    pub fn send_part(&mut self, part: Part) -> Result<(), LocalError> {
        self.sender.send_part(part)
    }

    /// Ends our message's body. After the announced length, or a [`Part::Last`], nothing is left to do.
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
        self.sender.out.release();
    }
}
