//! From addresses to what sockets take, without waiting for anybody.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::time::Instant;

use degu_wire::{Address, AddressError, AddressFault, AddressKind, Zone};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::{Cause, Deadline};

/// Where a socket can connect to.
pub(crate) enum Target<'a> {
    Ip(SocketAddr),
    Unix(SocketAddrUnix),
    Name { host: &'a str, port: u16 },
}

/// Resolves what needs no name server: zones by the name of their interface.
pub(crate) fn target(address: &Address) -> Result<Target<'_>, Cause> {
    Ok(match address.kind() {
        AddressKind::V4(address) => Target::Ip(address.into()),
        AddressKind::V6 { ip, zone, port } => {
            let zone = match zone {
                Zone::None if ip.is_unicast_link_local() => {
                    return Err(AddressError::from(AddressFault::ZoneMissing).into());
                }
                Zone::None => 0,
                Zone::Index(index) => index,
                Zone::Name(name) => zone_index(ip, name)?,
            };
            Target::Ip(SocketAddrV6::new(ip, port, 0, zone).into())
        }
        AddressKind::Path(path) => {
            address.check()?;
            Target::Unix(SocketAddrUnix::new(path)?)
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        AddressKind::Abstract(name) => Target::Unix(SocketAddrUnix::new_abstract_name(name)?),
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        AddressKind::Abstract(_) => return Err(Cause::Address(AddressFault::AbstractUnsupported.into())),
        AddressKind::Name { host, port } => Target::Name { host, port },
        // The kernel chooses when a server binds.
        _ => return Err(Cause::Address(AddressFault::NotBound.into())),
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn zone_index(_: Ipv6Addr, name: &str) -> Result<u32, Cause> {
    use rustix::net::{SocketFlags, netdevice::name_to_index, socket_with};
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(name_to_index(&socket, name)?)
}

/// Where rustix has no such call the resolver knows interfaces by their names.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn zone_index(ip: Ipv6Addr, name: &str) -> Result<u32, Cause> {
    use std::net::ToSocketAddrs;
    let found = (format!("{ip}%{name}").as_str(), 0).to_socket_addrs()?.find_map(|found| match found {
        SocketAddr::V6(found) => Some(found.scope_id()),
        SocketAddr::V4(_) => None,
    });
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no interface of that name").into())
}

/// A Unix stream socket that children do not inherit.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn unix_socket(nonblocking: bool) -> Result<OwnedFd, Cause> {
    use rustix::net::{SocketFlags, socket_with};
    let flags = if nonblocking { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | flags, None)?)
}

/// A Unix stream socket that children do not inherit, but for one that is made right now.
#[cfg(target_vendor = "apple")]
pub(crate) fn unix_socket(nonblocking: bool) -> Result<OwnedFd, Cause> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, nonblocking)?;
    Ok(socket)
}

/// The addresses of a name in the order in which they are tried: the families in turn, the one that the resolver put
/// first first (RFC 8305 §4), so that a family without a route costs one attempt.
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
    pub(crate) limit: Option<std::time::Duration>,
    start: Instant,
}

impl Until {
    pub(crate) fn new(limit: Option<std::time::Duration>) -> Self {
        Self { limit, start: Instant::now() }
    }

    /// What is left: `None` without a limit, an error when nothing is.
    pub(crate) fn left(&self) -> Result<Option<std::time::Duration>, Cause> {
        let Some(limit) = self.limit else { return Ok(None) };
        match limit.checked_sub(self.start.elapsed()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(Deadline::Connect(limit).into()),
        }
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
