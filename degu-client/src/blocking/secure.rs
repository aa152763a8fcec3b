//! TLS over a blocking socket: the handshake, and the bytes inside of it.

use std::{
    io::{self, IoSlice},
    time::Duration,
};

use bytes::BytesMut;
use degu_tls::drive::{Handshake, Progress};

use super::stream::{BlockingStream, Socket};
use crate::error::Cause;
use crate::resolve::Until;
use crate::tls::{Direct, Tls, append};
use crate::transport::Transport;

/// Makes the handshake.
pub(crate) fn secure(mut socket: Socket, mut handshake: Handshake, until: Until) -> Result<Tls<Socket>, Cause> {
    while handshake.advance(&mut Direct { socket: socket.socket(), blocks: false })? == Progress::Blocked {
        let writes = handshake.wants_write();
        socket.wait(!writes, writes, until.left()?)?;
    }
    Tls::new(socket, handshake)
}

impl BlockingStream for Tls<Socket> {
    /// After a single read of the socket, [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted) says that a record is not
    /// complete, or not for the caller.
    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        self.secured.read(&mut Direct { socket: self.socket.socket(), blocks }, append(buffer))
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.secured.write(&mut Direct { socket: self.socket.socket(), blocks: false }, pieces)
    }

    fn wait(&mut self, reads: bool, writes: bool, limit: Option<Duration>) -> io::Result<bool> {
        // The socket knows nothing of an end or a fault that came with the bytes before it.
        if reads && self.secured.has_input() { Ok(true) } else { self.socket.wait(reads, writes, limit) }
    }
}
