//! Sockets on tokio, with or without TLS.
//!
//! Degu's contestants use Degu's TLS policies. All others use the rustls configurations of these policies, so all have the
//! same certificates, provider (ring) and cipher suites. Each handshake is a full handshake, with certificates on both sides.

use std::net::SocketAddr;

use degu_tls::{CaSet, ClientTls, Identity, ServerTls};
use socket2::{Domain, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

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

impl End {
    /// Returns Degu's policy for a server, or `None` without TLS.
    pub(crate) fn server_policy(&self) -> Result<Option<ServerTls>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("server.pem"), folder.join("server.key"))?;
        let clients = CaSet::from_pem_file(folder.join("client-ca.pem"))?;
        Ok(Some(ServerTls::builder(identity).require_clients(clients).sessions(0).build()?))
    }

    /// Returns the acceptor for another server, or `None` without TLS.
    pub(crate) fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        Ok(self.server_policy()?.map(|policy| policy.accept().config.into()))
    }

    /// Returns the connector for a client, and the name that the client checks. Returns `None` without TLS.
    pub(crate) fn connector(&self) -> Result<Option<(TlsConnector, ServerName<'static>)>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("client.pem"), folder.join("client.key"))?;
        let servers = CaSet::from_pem_file(folder.join("server-ca.pem"))?;
        let policy = ClientTls::private(servers).identity(identity).sessions(0).build()?;
        let name = self.address.parse::<SocketAddr>()?.ip().to_string();
        let connect = policy.connect(Some(&name), &self.address)?;
        Ok(Some((connect.config.into(), connect.name)))
    }
}
