//! Addresses, listeners and streams over TCP and Unix sockets, without any crate of ours: the raw contestants are a
//! floor for those crates.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::Result;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// An IP address and a port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The name of an abstract Unix socket, written `unix:@NAME`.
    Abstract(String),
}

impl FromStr for Address {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(match path.strip_prefix('@') {
                Some(name) => Address::Abstract(name.into()),
                None => Address::Unix(path.into()),
            }),
            None => Ok(Address::Tcp(text.parse().map_err(|error| format!("{text}: {error}"))?)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

fn abstract_address(name: &str) -> io::Result<unix::SocketAddr> {
    unix::SocketAddr::from_abstract_name(name)
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds `address` and returns it as the kernel bound it.
    pub(crate) fn bind(address: &Address) -> Result<(Self, Address)> {
        let unix = match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                let bound = Address::Tcp(listener.local_addr()?);
                return Ok((Listener::Tcp(listener), bound));
            }
            Address::Unix(path) => UnixListener::bind(path)?,
            Address::Abstract(name) => UnixListener::bind_addr(&abstract_address(name)?)?,
        };
        Ok((Listener::Unix(unix), address.clone()))
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => Stream::tcp(listener.accept()?.0),
            Listener::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }

    /// The same socket for a tokio runtime, inside of which this must be called.
    pub(crate) fn into_tokio(self) -> io::Result<TokioListener> {
        Ok(match self {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TokioListener::Tcp(tokio::net::TcpListener::from_std(listener)?)
            }
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                TokioListener::Unix(tokio::net::UnixListener::from_std(listener)?)
            }
        })
    }
}

/// A listening socket of a tokio runtime.
#[derive(Debug)]
pub(crate) enum TokioListener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl TokioListener {
    pub(crate) async fn accept(&self) -> io::Result<TokioStream> {
        Ok(match self {
            TokioListener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                TokioStream::Tcp(stream)
            }
            TokioListener::Unix(listener) => TokioStream::Unix(listener.accept().await?.0),
        })
    }
}

/// A connected socket; over TCP, with `TCP_NODELAY`.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Stream::tcp(TcpStream::connect(address)?),
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path)?)),
            Address::Abstract(name) => Ok(Stream::Unix(UnixStream::connect_addr(&abstract_address(name)?)?)),
        }
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(true),
            Stream::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    pub(crate) fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }

    /// The same socket for a tokio runtime, inside of which this must be called.
    pub(crate) fn into_tokio(self) -> io::Result<TokioStream> {
        self.set_nonblocking()?;
        Ok(match self {
            Stream::Tcp(stream) => TokioStream::Tcp(tokio::net::TcpStream::from_std(stream)?),
            Stream::Unix(stream) => TokioStream::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(octets),
            Stream::Unix(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connected socket of a tokio runtime. A contestant matches on it once, and is generic over what is inside.
#[derive(Debug)]
pub(crate) enum TokioStream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}
