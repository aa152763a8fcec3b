//! TLS over a blocking socket: the handshake, and waiting for the socket.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use degu_tls::drive::{Handshake, Progress};

use super::interrupter::Interrupter;
use super::stream::{BlockingStream, Socket};
use crate::deadline::Deadline;
use crate::error::ErrorKind;
use crate::stream::Stream;
use crate::tls::{Direct, Tls};

/// Makes the handshake over the socket.
pub(crate) fn secure(
    mut socket: Socket,
    mut handshake: Handshake,
    until: Option<Deadline>,
) -> Result<Tls<Socket>, ErrorKind> {
    while handshake.advance(&mut Direct { socket: socket.socket(), blocks: false })? == Progress::Blocked {
        let writes = handshake.wants_write();
        socket.wait(!writes, writes, until.map(Deadline::left).transpose()?)?;
    }
    Ok(Tls { socket, secured: handshake.secure()? })
}

impl BlockingStream for Tls<Socket> {
    fn socket_and_interrupter(&self) -> Option<(&Arc<OwnedFd>, &Interrupter)> {
        self.socket.socket_and_interrupter()
    }

    fn wait(&mut self, reads: bool, writes: bool, limit: Option<Duration>) -> io::Result<bool> {
        // TLS may already have read bytes, an EOF or a fault from the socket. The socket would not report them again.
        if reads && self.secured.has_input() { Ok(true) } else { self.socket.wait(reads, writes, limit) }
    }
}
