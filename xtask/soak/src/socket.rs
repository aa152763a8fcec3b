//! Bare sockets of every kind of address, for what is no client or server of ours.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::time::Duration;

use degu_client::Address;

/// A socket that is connected.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        match SocketAddr::try_from(address) {
            Ok(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Err(_) => Ok(Self::Unix(UnixStream::connect_addr(&unix(address)?)?)),
        }
    }

    pub(crate) fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }
}

impl Listening {
    /// Listens, and says where.
    pub(crate) fn bind(address: &Address) -> io::Result<(Self, Address)> {
        match SocketAddr::try_from(address) {
            Ok(address) => {
                let listener = TcpListener::bind(address)?;
                let bound = listener.local_addr()?.into();
                Ok((Self::Tcp(listener), bound))
            }
            Err(_) => Ok((Self::Unix(UnixListener::bind_addr(&unix(address)?)?), address.clone())),
        }
    }
}

fn unix(address: &Address) -> io::Result<net::SocketAddr> {
    net::SocketAddr::try_from(address).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(octets),
            Self::Unix(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
