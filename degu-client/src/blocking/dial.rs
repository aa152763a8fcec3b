//! Connecting in the blocking client. The client tries the addresses of a DNS name one after the other, and an
//! interrupter can end the attempts.

use std::{
    ffi::OsStr,
    io,
    net::{SocketAddr, ToSocketAddrs},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use degu_wire::{Address, SocketName};
use socket2::{Domain, SockRef, Type};

use super::driver::Blocking;
use super::interrupter::Interrupter;
use super::stream::Socket;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::link::Connected;
use crate::options::Base;
use crate::resolve::{admit, interleave, target, unix_socket};

/// The time between two checks of the interrupter while the backlog of a Unix socket is full. The checks are needed
/// because shutting down the socket does not end a wait for the backlog.
const SLICE: Duration = Duration::from_millis(100);

/// Connects for a pool, whose caller cannot interrupt the attempt.
pub(super) fn dial_pooled(base: &Base, until: Option<Deadline>) -> Result<Connected<Blocking>, Error> {
    dial(base, until, &Interrupter::new())
}

/// Connects, makes the TLS handshake if the options turn TLS on, and calls `on_connect`.
pub(super) fn dial(
    base: &Base,
    until: Option<Deadline>,
    interrupter: &Interrupter,
) -> Result<Connected<Blocking>, Error> {
    let until = base.settings.connect_deadline(until);
    let address = base.address.to_connect();
    let made = establish(base, &address, until, interrupter);
    // An interruption shuts down the socket, so it may have caused the error.
    let made = made.map_err(|kind| if interrupter.is_interrupted() { ErrorKind::Interrupted } else { kind });
    admit::<Blocking>(base, &address, until, made)
}

fn establish(
    base: &Base,
    address: &Address,
    until: Option<Deadline>,
    interrupter: &Interrupter,
) -> Result<Connected<Blocking>, ErrorKind> {
    #[cfg(feature = "tls")]
    let handshake = base.settings.handshake(address)?;
    let (socket, answered) = match target(address)? {
        SocketName::Ip(ip) => (tcp(ip, until, 1, interrupter)?, address.clone()),
        SocketName::Unix(name) => (unix(&name, until, interrupter)?, address.clone()),
        SocketName::Dns { host, port } => {
            let (socket, ip) = first(&interleave((host, port).to_socket_addrs()?), until, interrupter)?;
            (socket, ip.into())
        }
    };
    // A blocking read ends after the shorter of these timeouts. If the current wait may last longer, the driver then
    // waits for the rest of the time.
    let timeout = [base.settings.head_timeout, base.settings.body_timeout].into_iter().flatten().min();
    let socket = Socket::new(socket, interrupter.clone(), timeout)?;
    #[cfg(feature = "tls")]
    if let Some(handshake) = handshake {
        return Ok((Box::new(super::secure::secure(socket, handshake, until)?), answered));
    }
    Ok((Box::new(socket), answered))
}

/// Connects to an IP address. `share` is the number of addresses that are still to be tried, including this one. The
/// attempt may take this fraction of the time until the deadline.
fn tcp(
    address: SocketAddr,
    until: Option<Deadline>,
    share: u32,
    interrupter: &Interrupter,
) -> Result<Arc<OwnedFd>, ErrorKind> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    let socket = interrupter.attach(socket)?;
    // Without a deadline, only the timeout of the system applies. socket2's `connect_timeout` is called nevertheless,
    // with the longest timeout, because socket2's `connect` fails if a signal interrupts it.
    let left = until.map(Deadline::left).transpose()?;
    let left = left.map_or(Duration::MAX, |left| (left / share).max(Duration::from_millis(1)));
    match SockRef::from(&socket).connect_timeout(&address.into(), left) {
        Ok(()) => Ok(socket),
        Err(error) => Err(failure(error, until)),
    }
}

/// Returns the reason for which socket2's `connect_timeout` failed. If the reason is the timeout of `until`, the error
/// of socket2 has no OS error code. A timeout of the system has `ETIMEDOUT`.
fn failure(error: io::Error, until: Option<Deadline>) -> ErrorKind {
    match until {
        Some(deadline) if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() => {
            deadline.timeout.into()
        }
        _ => error.into(),
    }
}

/// Tries these addresses one after the other, and returns the first connection that is made. Each attempt may take an
/// equal share of the remaining time.
fn first(
    addresses: &[SocketAddr],
    until: Option<Deadline>,
    interrupter: &Interrupter,
) -> Result<(Arc<OwnedFd>, SocketAddr), ErrorKind> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host name has no IP address").into();
    for (share, &address) in (1..=addresses.len() as u32).rev().zip(addresses) {
        match tcp(address, until, share, interrupter) {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Connects to a Unix socket. Waits while the server's backlog is full.
fn unix(name: &OsStr, until: Option<Deadline>, interrupter: &Interrupter) -> Result<Arc<OwnedFd>, ErrorKind> {
    let (socket, address) = unix_socket(name)?;
    loop {
        let left = until.map(Deadline::left).transpose()?;
        // For the system, a timeout of zero means no timeout.
        let slice = left.map_or(SLICE, |left| left.clamp(Duration::from_millis(1), SLICE));
        socket.set_write_timeout(Some(slice))?;
        match socket.connect(&address) {
            Ok(()) => return Ok(interrupter.attach(socket)?),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error.into()),
        }
        if interrupter.is_interrupted() {
            return Err(ErrorKind::Interrupted);
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::error::Timeout;

    #[test]
    fn timeout_of_the_system_is_not_the_connect_timeout() {
        let limit = Some(Duration::from_secs(300));
        let until = Deadline::new(Timeout::Connect, limit, std::time::Instant::now);
        assert!(matches!(failure(Errno::ETIMEDOUT.into(), until), ErrorKind::System(_)));
        assert!(matches!(failure(io::ErrorKind::TimedOut.into(), until), ErrorKind::Timeout(Timeout::Connect(_))));
    }
}
