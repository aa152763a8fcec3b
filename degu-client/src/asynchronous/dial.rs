//! Connecting in the async client. The client tries the addresses of a DNS name in parallel, and never blocks the
//! thread.

use std::{ffi::OsStr, io, net::SocketAddr, time::Duration};

use degu_wire::{Address, SocketName};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::driver::Async;
use super::stream::Socket;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::link::Connected;
use crate::options::Base;
use crate::resolve::{admit, interleave, target, unix_socket};

/// The time after which the next address of a DNS name is tried too, while the earlier attempts go on (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects, makes the TLS handshake if the options turn TLS on, and calls `on_connect`.
pub(crate) async fn dial(base: &Base, until: Option<Deadline>) -> Result<Connected<Async>, Error> {
    let until = base.settings.connect_deadline(until);
    let address = base.address.to_connect();
    let made = match until {
        None => establish(base, &address).await,
        Some(deadline) => match deadline.left() {
            Ok(left) => timeout(left, establish(base, &address)).await.unwrap_or_else(|_| Err(deadline.timeout.into())),
            Err(over) => Err(over.into()),
        },
    };
    admit::<Async>(base, &address, until, made)
}

async fn establish(base: &Base, address: &Address) -> Result<Connected<Async>, ErrorKind> {
    #[cfg(not(feature = "tls"))]
    let _ = base;
    #[cfg(feature = "tls")]
    let handshake = base.settings.handshake(address)?;
    let (socket, answered) = match target(address)? {
        SocketName::Ip(ip) => (Socket::new(tcp(ip).await?.into_std()?)?, address.clone()),
        SocketName::Unix(name) => (unix(&name).await?, address.clone()),
        SocketName::Dns { host, port } => {
            let (stream, ip) = first(interleave(lookup_host((host, port)).await?)).await?;
            (Socket::new(stream.into_std()?)?, ip.into())
        }
    };
    #[cfg(feature = "tls")]
    if let Some(handshake) = handshake {
        return Ok((Box::new(super::secure::secure(socket, handshake).await?), answered));
    }
    Ok((Box::new(socket), answered))
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Tries these addresses in order, and returns the first connection that is made. If no attempt succeeds or fails
/// within [`ATTEMPT_DELAY`], the next attempt begins in parallel. If an attempt fails, the next attempt begins at once.
async fn first(addresses: Vec<SocketAddr>) -> io::Result<(TcpStream, SocketAddr)> {
    let mut addresses = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host name has no IP address");
    loop {
        let next = addresses.next();
        let more = next.is_some();
        if let Some(address) = next {
            attempts.spawn(async move { (tcp(address).await, address) });
        }
        let joined = match more {
            true => timeout(ATTEMPT_DELAY, attempts.join_next()).await.unwrap_or(None),
            false => attempts.join_next().await,
        };
        match joined {
            Some(Ok((Ok(stream), address))) => return Ok((stream, address)),
            Some(Ok((Err(error), _))) => failure = error,
            Some(Err(error)) => failure = error.into(),
            None if more => {}
            None => return Err(failure),
        }
    }
}

/// Connects to a Unix socket. While the server's backlog is full, connecting fails at once, and the kernel does not
/// report when there is room. Therefore this function tries again after pauses of 1 ms to 100 ms.
async fn unix(name: &OsStr) -> Result<Socket, ErrorKind> {
    let (socket, address) = unix_socket(name)?;
    socket.set_nonblocking(true)?;
    let mut pause = Duration::from_millis(1);
    loop {
        match socket.connect(&address) {
            Ok(()) => return Ok(Socket::new(socket)?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            Err(error) => return Err(error.into()),
        }
        pause = (2 * pause).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_address_that_answers_is_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // This socket is bound, but does not listen. Connections to its address are therefore refused.
        let bound = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        bound.bind(&SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0)).into()).unwrap();
        let closed = bound.local_addr().unwrap().as_socket().unwrap();

        for addresses in [vec![open], vec![closed, open], vec![open, closed], vec![closed, closed, open]] {
            assert_eq!(first(addresses).await.unwrap().1, open);
        }
        let error = first(vec![closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
