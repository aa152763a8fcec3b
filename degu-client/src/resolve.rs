//! The part of connecting that the async and the blocking client share.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use degu_wire::{Address, AddressError, AddressFault, SocketName};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{Error, ErrorKind, Timeout};
use crate::options::{Base, Settings};
use crate::peer::Peer;
use crate::transport::Transport;
use crate::whole::Whole;

/// Returns what a socket connects to, without waiting: a DNS name stays one, a zone is looked up.
pub(crate) fn target(address: &Address) -> Result<SocketName<'_>, ErrorKind> {
    match address.to_socket(|name| if_nametoindex(name).map_err(|errno| ErrorKind::System(errno.into())))? {
        // The kernel chooses a name when a server binds.
        SocketName::Unix(name) if name.is_empty() => Err(AddressError::from(AddressFault::NotBound).into()),
        target => Ok(target),
    }
}

/// Makes a Unix socket, and the address that it is to connect to.
pub(crate) fn unix_socket(name: &std::ffi::OsStr) -> Result<(Socket, SockAddr), ErrorKind> {
    Ok((Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(name)?))
}

/// Asks `on_connect` about a connection that was made to this address, unless making it failed.
pub(crate) fn admit<S: Transport + ?Sized>(
    base: &Base,
    address: &Address,
    until: Until,
    made: Result<(Box<S>, Address), ErrorKind>,
) -> Result<(Box<S>, Address), Error> {
    let admitted = made.and_then(|(stream, answered)| {
        let peer = Peer::of(&answered, &*stream);
        if let (Some(check), Some(peer)) = (&base.settings.on_connect, peer)
            && !check(&peer)
        {
            return Err(ErrorKind::Refused);
        }
        // `on_connect` may have taken what was left.
        until.left()?;
        Ok((stream, answered))
    });
    admitted.map_err(|kind| Error::connecting(kind, address))
}

/// Returns the addresses of a name in the order in which they are tried: the families in turn, beginning with that of
/// the first address that the resolver returned (RFC 8305 §4), so that a family without a route costs one attempt.
pub(crate) fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for address in found {
        let same = first.first().is_none_or(|other: &SocketAddr| other.is_ipv6() == address.is_ipv6());
        if same { &mut first } else { &mut second }.push(address);
    }
    let mut second = second.into_iter();
    let mut all: Vec<_> = first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    all.extend(second);
    all
}

/// A deadline for making a connection.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    /// The timeout that passes first, and its end.
    first: Option<(Timeout, Instant)>,
}

impl Until {
    /// Returns the deadline of a connection that is made from now on, for an exchange that may have an end of its own.
    pub(crate) fn new(settings: &Settings, whole: Option<Whole>) -> Self {
        let connect = settings.connect.and_then(|limit| Whole::new(limit, Instant::now()));
        let connect = connect.map(|Whole { limit, end }| (Timeout::Connect(limit), end));
        let whole = whole.map(|Whole { limit, end }| (Timeout::Exchange(limit), end));
        Self { first: connect.into_iter().chain(whole).min_by_key(|(_, end)| *end) }
    }

    /// Returns the time that is left: `None` without a limit, an error when none is.
    pub(crate) fn left(&self) -> Result<Option<Duration>, ErrorKind> {
        let Some((timeout, end)) = self.first else { return Ok(None) };
        match end.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(timeout.into()),
        }
    }

    /// Returns the error for a deadline that has passed. Without one, it is the system's.
    pub(crate) fn passed(&self, error: io::Error) -> ErrorKind {
        self.first.map_or_else(|| error.into(), |(timeout, _)| timeout.into())
    }
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
