//! Blocking sockets for every kind of address, without Degu's crates, because the contestants without HTTP are a lower
//! bound for these crates. The program of `cargo xtask soak` shares this file.

use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::Result;

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
