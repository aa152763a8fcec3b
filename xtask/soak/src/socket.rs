//! Bare sockets of every kind of address, for what is no client or server of ours.

use std::io;
use std::net::SocketAddr;

use degu_client::Address;
use socket2::{Domain, SockAddr, Socket, Type};

fn new(address: &Address) -> io::Result<(Socket, SockAddr)> {
    let address = match (SocketAddr::try_from(address), address.to_string().strip_prefix("unix:")) {
        (Ok(address), _) => address.into(),
        (Err(_), Some(path)) if path.starts_with('@') => SockAddr::unix(path.replacen('@', "\0", 1))?,
        (Err(_), path) => SockAddr::unix(path.unwrap_or_default())?,
    };
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    if address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    Ok((socket, address))
}

pub(crate) fn connect(address: &Address) -> io::Result<Socket> {
    let (socket, address) = new(address)?;
    socket.connect(&address)?;
    Ok(socket)
}

/// Listens, and says where.
pub(crate) fn listen(address: &Address) -> io::Result<(Socket, Address)> {
    let (socket, wanted) = new(address)?;
    socket.bind(&wanted)?;
    socket.listen(1024)?;
    let bound = socket.local_addr()?.as_socket().map_or_else(|| address.clone(), Address::from);
    Ok((socket, bound))
}
