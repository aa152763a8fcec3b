//! Listening sockets over every kind of address.

mod unix;

use std::io;
use std::net::{SocketAddr, SocketAddrV6, TcpListener};
use std::os::unix::net::UnixListener;

use degu_wire::{Address, AddressError, AddressFault, AddressKind, Zone};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, netdevice::name_to_index, socket_with,
    sockopt,
};

pub(crate) use unix::SocketFile;

/// How many connections may wait to be accepted. The kernel cuts it to `net.core.somaxconn`, 4,096 on Linux.
const BACKLOG: i32 = 4096;

/// A socket that listens, and what goes with it.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    address: Address,
    /// Unlinks the file of a Unix socket when it is dropped.
    file: Option<SocketFile>,
}

impl Listener {
    /// Binds and listens. `mode` is that of a Unix socket's file, and has no meaning for the other kinds.
    pub(crate) fn bind(address: Address, mode: Option<u32>) -> io::Result<Self> {
        let bound = match address.kind() {
            AddressKind::V4(address) => Self::bind_ip(address.into()),
            AddressKind::V6 { ip, zone, port } => {
                zone_index(zone).and_then(|scope| Self::bind_ip(SocketAddrV6::new(ip, port, 0, scope).into()))
            }
            AddressKind::Path(_) => Self::bind_path(&address, mode),
            AddressKind::Abstract(name) => Self::bind_unix(&SocketAddrUnix::new_abstract_name(name)?),
            // The unnamed address is what asks the kernel for a name; an empty abstract name would be one for all.
            AddressKind::KernelChosen => Self::bind_unix(&SocketAddrUnix::new_unnamed()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server binds an IP address or a Unix socket, not a DNS name",
            )),
        };
        bound.map_err(|error| io::Error::new(error.kind(), format!("can not listen on {address}: {error}")))
    }

    /// As the kernel bound it: with the port or the name that it chose.
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) const fn is_unix(&self) -> bool {
        self.address.is_unix()
    }

    pub(crate) fn into_parts(self) -> (OwnedFd, Option<SocketFile>) {
        (self.fd, self.file)
    }

    fn bind_ip(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let fd = stream_socket(family)?;
        // The address of a server that has just ended is still held by its connections in TIME-WAIT.
        sockopt::set_socket_reuseaddr(&fd, true)?;
        // Accepted sockets inherit it. Every write is a whole message or as much as there is: nothing to wait for.
        sockopt::set_tcp_nodelay(&fd, true)?;
        bind(&fd, &address)?;
        listen(&fd, BACKLOG)?;
        let listener = TcpListener::from(fd);
        let address = listener.local_addr()?.into();
        Ok(Self { fd: listener.into(), address, file: None })
    }

    fn bind_unix(address: &SocketAddrUnix) -> io::Result<Self> {
        let fd = stream_socket(AddressFamily::UNIX)?;
        bind(&fd, address)?;
        listen(&fd, BACKLOG)?;
        let listener = UnixListener::from(fd);
        let address = Address::try_from(listener.local_addr()?).map_err(invalid)?;
        Ok(Self { fd: listener.into(), address, file: None })
    }

    fn bind_path(address: &Address, mode: Option<u32>) -> io::Result<Self> {
        address.check().map_err(invalid)?;
        let path = address.as_path().ok_or_else(|| invalid(AddressError::from(AddressFault::NotUnix)))?;
        let fd = stream_socket(AddressFamily::UNIX)?;
        let file = SocketFile::listen(&fd, path, mode, BACKLOG)?;
        Ok(Self { fd, address: address.clone(), file: Some(file) })
    }
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

fn zone_index(zone: Zone<'_>) -> io::Result<u32> {
    match zone {
        Zone::None => Ok(0),
        Zone::Index(index) => Ok(index),
        Zone::Name(name) => Ok(name_to_index(stream_socket(AddressFamily::INET6)?, name)?),
    }
}

fn invalid(fault: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, fault)
}
