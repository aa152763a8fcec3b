//! Sockets on tokio, with or without TLS.

use socket2::{Domain, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::Result;
use crate::blocking_socket::listen;
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
