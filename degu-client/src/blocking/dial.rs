//! Making a blocking connection.

use std::{
    ffi::OsStr, io, net::SocketAddr, net::TcpStream, net::ToSocketAddrs, os::fd::OwnedFd, os::unix::net::UnixStream,
};

use degu_wire::{Address, SocketName};

use super::stream::{BlockingStream, Socket};
use crate::error::{Error, ErrorKind};
use crate::options::Base;
use crate::resolve::{Until, admit, interleave, target, unix_socket};

/// Connects, with the handshake that the address needs, and asks `on_connect`.
pub(super) fn dial(base: &Base) -> Result<(Box<dyn BlockingStream>, Address), Error> {
    let until = Until::new(&base.settings);
    let address = base.address.to_connect();
    let made = establish(base, &address, until);
    admit(base, &address, until, made)
}

fn establish(base: &Base, address: &Address, until: Until) -> Result<(Box<dyn BlockingStream>, Address), ErrorKind> {
    #[cfg(feature = "tls")]
    let handshake = base.settings.handshake(address)?;
    let (socket, answered): (OwnedFd, _) = match target(address)? {
        SocketName::Ip(ip) => (tcp(ip, until, 1)?.into(), address.clone()),
        SocketName::Unix(name) => (unix(&name, until)?.into(), address.clone()),
        SocketName::Dns { host, port } => {
            let (stream, ip) = first(&interleave((host, port).to_socket_addrs()?), until)?;
            (stream.into(), ip.into())
        }
    };
    // The shortest deadline bounds each read.
    let timeout = [base.settings.head, base.settings.body_timeout].into_iter().flatten().min();
    let socket = Socket::new(socket, timeout)?;
    #[cfg(feature = "tls")]
    if let Some(handshake) = handshake {
        return Ok((Box::new(super::secure::secure(socket, handshake, until)?), answered));
    }
    Ok((Box::new(socket), answered))
}

/// Connects to an IP address. `share` says for how many attempts the time that is left must do.
fn tcp(address: SocketAddr, until: Until, share: u32) -> Result<TcpStream, ErrorKind> {
    let connected = match until.left()? {
        Some(left) => TcpStream::connect_timeout(&address, (left / share).max(std::time::Duration::from_millis(1))),
        None => TcpStream::connect(address),
    };
    let stream = connected.map_err(|error| late(error, until))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to the first of these addresses that accepts.
fn first(addresses: &[SocketAddr], until: Until) -> Result<(TcpStream, SocketAddr), ErrorKind> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address").into();
    for (share, &address) in (1..=addresses.len() as u32).rev().zip(addresses) {
        match tcp(address, until, share) {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn unix(name: &OsStr, until: Until) -> Result<UnixStream, ErrorKind> {
    let (socket, address) = unix_socket(name)?;
    loop {
        // Connecting waits for room in the server's backlog: after a signal, for as long as is left.
        socket.set_write_timeout(until.left()?)?;
        match socket.connect(&address) {
            Ok(()) => return Ok(socket.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(late(error, until)),
        }
    }
}

/// Returns the kind of error of a failed call of a socket, which may be that its time was over.
fn late(error: io::Error, until: Until) -> ErrorKind {
    match (error.kind(), until.limit) {
        (io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock, Some(limit)) => until.passed(limit),
        _ => error.into(),
    }
}
