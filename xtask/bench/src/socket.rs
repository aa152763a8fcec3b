//! Sockets for every kind of address. They do not use Degu's crates, because the contestants without HTTP are a lower
//! bound for these crates.

use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::Result;
use crate::contestants::Ready;
use crate::ends::End;

/// A connection on a tokio runtime: a socket, with or without TLS.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// A connection of any kind.
pub(crate) type Stream = Box<dyn Connection>;

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Parses `unix:PATH`, `unix:@NAME` or an IP address with a port.
fn parse(text: &str) -> Result<SockAddr> {
    Ok(match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('@') => SockAddr::unix(path.replacen('@', "\0", 1))?,
        Some(path) => SockAddr::unix(path)?,
        None => text.parse::<SocketAddr>().map_err(|error| format!("{text}: {error}"))?.into(),
    })
}

fn new(address: &SockAddr) -> Result<Socket> {
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    if address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

/// Listens on an address. Returns the socket, and the address to which the kernel bound it. Accepted sockets inherit
/// `TCP_NODELAY`.
pub(crate) fn listen(address: &str) -> Result<(Socket, String)> {
    let wanted = parse(address)?;
    let socket = new(&wanted)?;
    socket.bind(&wanted)?;
    socket.listen(4096)?;
    let bound = socket.local_addr()?.as_socket().map_or_else(|| address.to_owned(), |bound| bound.to_string());
    Ok((socket, bound))
}

/// Connects a blocking socket.
pub(crate) fn connect(address: &str) -> Result<Socket> {
    let address = parse(address)?;
    let socket = new(&address)?;
    socket.connect(&address)?;
    Ok(socket)
}

/// Converts a socket for the current tokio runtime.
pub(crate) fn into_tokio(socket: Socket) -> Result<Stream> {
    socket.set_nonblocking(true)?;
    Ok(match socket.domain()? {
        Domain::UNIX => Box::new(UnixStream::from_std(socket.into())?),
        _ => Box::new(TcpStream::from_std(socket.into())?),
    })
}

/// Accepts connections, with TLS if the end has certificates. Each connection is served by a call of `answer` in a
/// task of its own.
pub(crate) fn serve_each<F: Future<Output = Result> + Send + 'static>(
    end: &End,
    ready: &mut Ready<'_>,
    answer: impl Fn(Stream) -> F + Copy + Send + Sync + 'static,
) -> Result {
    let tls = end.acceptor()?;
    let (listener, bound) = listen(&end.address)?;
    listener.set_nonblocking(true)?;
    end.runtime(false)?.block_on(async {
        let listener = match listener.domain()? {
            Domain::UNIX => Listener::Unix(UnixListener::from_std(listener.into())?),
            _ => Listener::Tcp(TcpListener::from_std(listener.into())?),
        };
        ready(bound)?;
        loop {
            let stream: Stream = match &listener {
                Listener::Tcp(listener) => Box::new(listener.accept().await?.0),
                Listener::Unix(listener) => Box::new(listener.accept().await?.0),
            };
            // An error ends only its own connection.
            match tls.clone() {
                Some(tls) => tokio::spawn(async move { answer(Box::new(tls.accept(stream).await?)).await }),
                None => tokio::spawn(answer(stream)),
            };
        }
    })
}
