//! Making a blocking connection.

use std::{ffi::OsStr, io, net::SocketAddr, net::TcpStream, net::ToSocketAddrs, os::unix::net::UnixStream, sync::Arc};

use degu_wire::{Address, SocketName};

use super::Connection;
use super::stream::Stream;
use crate::options::Base;
use crate::resolve::{Until, interleave, target, unix_socket};
use crate::{Cause, Deadline, Error};

impl Connection {
    pub(super) fn dial(base: Arc<Base>) -> Result<Self, Error> {
        let until = Until::new(base.settings.connect);
        let address = base.address.to_connect();
        dial(&base, &address, until)
            .and_then(|(stream, peer)| Self::over(stream, base, peer).admit())
            // `on_connect` may have taken what was left.
            .and_then(|connection| until.left().map(|_| connection))
            .map_err(|cause| Error::connecting(cause, &address))
    }
}

/// A connection to this address, and with the handshake that it needs.
#[cfg(feature = "tls")]
fn dial(base: &Base, address: &Address, until: Until) -> Result<(Stream, Address), Cause> {
    let Some(handshake) = base.settings.handshake(address)? else { return open(address, until) };
    let (stream, peer) = open(address, until)?;
    Ok((stream.secure(handshake, until)?, peer))
}

#[cfg(not(feature = "tls"))]
fn dial(_: &Base, address: &Address, until: Until) -> Result<(Stream, Address), Cause> {
    open(address, until)
}

fn open(address: &Address, until: Until) -> Result<(Stream, Address), Cause> {
    match target(address)? {
        SocketName::Ip(ip) => Ok((Stream::Tcp(tcp(ip, until, 1)?), address.clone())),
        SocketName::Unix(name) => Ok((Stream::Unix(unix(&name, until)?), address.clone())),
        SocketName::Dns { host, port } => {
            let (stream, ip) = first(&interleave((host, port).to_socket_addrs()?), until)?;
            Ok((Stream::Tcp(stream), ip.into()))
        }
    }
}

/// `share` says for how many attempts the time that is left must do.
fn tcp(address: SocketAddr, until: Until, share: u32) -> Result<TcpStream, Cause> {
    let connected = match until.left()? {
        Some(left) => TcpStream::connect_timeout(&address, (left / share).max(std::time::Duration::from_millis(1))),
        None => TcpStream::connect(address),
    };
    let stream = connected.map_err(|error| late(error, until))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The first of these that can be connected to.
fn first(addresses: &[SocketAddr], until: Until) -> Result<(TcpStream, SocketAddr), Cause> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address").into();
    for (share, &address) in (1..=addresses.len() as u32).rev().zip(addresses) {
        match tcp(address, until, share) {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn unix(name: &OsStr, until: Until) -> Result<UnixStream, Cause> {
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

/// A socket that gave up because its time was over.
fn late(error: io::Error, until: Until) -> Cause {
    match (error.kind(), until.limit) {
        (io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock, Some(limit)) => Deadline::Connect(limit).into(),
        _ => error.into(),
    }
}
