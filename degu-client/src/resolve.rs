//! The part of connecting that the async and the blocking client share.

use std::net::SocketAddr;

use degu_wire::{Address, AddressError, AddressFault, SocketName};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind};
use crate::link::{Connected, Driver};
use crate::options::{Base, OnConnect};
use crate::peer::Peer;

/// Returns the name to which a socket connects: an IP address, the name of a Unix socket, or a DNS name. Looks up the
/// number of a zone, but does not resolve a DNS name, so this function does not wait.
pub(crate) fn target(address: &Address) -> Result<SocketName<'_>, ErrorKind> {
    match address.to_socket(|name| if_nametoindex(name).map_err(|errno| ErrorKind::System(errno.into())))? {
        // `unix:@` has no name to connect to: the kernel chooses the name when a server binds the address.
        SocketName::Unix(name) if name.is_empty() => Err(AddressError::from(AddressFault::NotBound).into()),
        target => Ok(target),
    }
}

/// Returns a new Unix socket, and the address to which the caller connects the socket.
pub(crate) fn unix_socket(name: &std::ffi::OsStr) -> Result<(Socket, SockAddr), ErrorKind> {
    Ok((Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(name)?))
}

/// Calls `on_connect` for a new connection. Returns the connection, or the error if connecting failed, `on_connect`
/// refused the server, or the deadline has passed.
pub(crate) fn admit<D: Driver>(
    base: &Base,
    address: &Address,
    until: Option<Deadline>,
    made: Result<Connected<D>, ErrorKind>,
) -> Result<Connected<D>, Error> {
    let admitted = made.and_then(|(stream, answered)| {
        if let Some(OnConnect(check)) = &base.settings.on_connect
            && !Peer::of(&answered, &*stream).is_some_and(|peer| check(&peer))
        {
            return Err(ErrorKind::Refused);
        }
        // `on_connect` may have taken the rest of the time.
        until.map(Deadline::left).transpose()?;
        Ok((stream, answered))
    });
    admitted.map_err(|kind| Error::connecting(kind, address))
}

/// Returns the addresses of a name in the order in which they are tried (RFC 8305 §4). IPv6 and IPv4 take turns, so a
/// family without a route costs only one attempt. The address that the resolver returned first stays first.
pub(crate) fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let found: Vec<_> = found.collect();
    let (first, second): (Vec<_>, Vec<_>) =
        found.iter().copied().partition(|address| address.is_ipv6() == found[0].is_ipv6());
    let mut second = second.into_iter();
    let mut all: Vec<_> = first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    all.extend(second);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = all(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let tried = all(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(interleave(found.into_iter()), tried);
        let found = all(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(interleave(found.clone().into_iter()), found);
    }
}
