//! Addresses to listen on and to connect to: one type for every kind of address.

mod convert;
mod error;
mod parse;
#[cfg(all(feature = "std", unix))]
mod socket;
#[cfg(test)]
mod tests;
mod text;

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub use error::{AddressError, AddressFault};
#[cfg(all(feature = "std", unix))]
pub use socket::SocketName;

/// An address: IPv4, IPv6 with its zone, the path of a Unix socket, a name in Linux's abstract namespace, or a DNS
/// name.
///
/// This type resolves nothing. The code that opens the socket resolves a DNS name, and a zone that is the name of an
/// interface. The flow label of IPv6 is not part of the value.
///
/// # Text
///
/// [`FromStr`](core::str::FromStr) parses the text that [`Display`](core::fmt::Display) writes:
///
/// | text | address |
/// | --- | --- |
/// | `127.0.0.1:80`, `[::1]:80` | an IP address and a port |
/// | `[fe80::1%3]:80` | the zone is the interface with index 3 |
/// | `[fe80::1%eth0]:80` | the zone is the interface with that name |
/// | `unix:/run/x.sock` | a Unix socket in the file system |
/// | `unix:@name` | a Unix socket in the abstract namespace of Linux |
/// | `unix:@` | a name in the abstract namespace, which the kernel chooses when the socket is bound |
/// | `example.org:80` | a DNS name, in lower case, and a port |
///
/// Paths, abstract names and zones are percent-encoded: brackets, `%` itself, and all bytes that are not visible ASCII
/// are written as `%` and two hexadecimal digits. So an address is always one word of ASCII. The parser also accepts
/// spaces and characters beyond ASCII without this encoding, but no control characters.
///
/// A path that does not begin with `/` is kept as it is. For system calls it is relative to the working directory of
/// the process. An absolute path means the same to every process. A path that begins with `@` is written `unix:%40…`.
/// `unix:` always begins a Unix address, so the host name `unix` has to be written `unix.`, with a final dot.
///
/// If the last label of a host is a number, the host must be an IPv4 address in four decimal parts. `10.1` and `0x7f.1`
/// are errors, because programs disagree about their meaning.
///
/// ```
/// use degu_wire::{Address, AddressKind, Zone};
///
/// let address: Address = "[fe80::1%eth0]:80".parse()?;
/// assert!(matches!(address.kind(), AddressKind::V6 { zone: Zone::Name("eth0"), port: 80, .. }));
/// assert_eq!(address.to_string(), "[fe80::1%eth0]:80");
/// assert_eq!(address.host().to_string(), "[fe80::1]");
///
/// assert_eq!(Address::abstract_name(b"a\0b")?.to_string(), "unix:@a%00b");
/// # Ok::<(), degu_wire::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Repr);

/// The content of an address. The type is private, so every name and every zone in an address has been checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    /// An IP address, and the name of its zone. The scope id is the index of the zone, or 0 if the zone is a name. The
    /// flow label is 0.
    Ip(SocketAddr, Option<Box<str>>),
    Path(Box<[u8]>),
    /// A name in the abstract namespace of Linux, or `None` if the kernel chooses the name.
    Abstract(Option<Box<[u8]>>),
    Name {
        host: Box<str>,
        port: u16,
    },
}

/// The kind and the parts of an [`Address`], returned by [`Address::kind`] for code that opens the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressKind<'a> {
    /// An IPv4 address and a port.
    V4(SocketAddrV4),
    /// An IPv6 address with its zone, and a port.
    V6 {
        /// The address.
        ip: Ipv6Addr,
        /// The interface on which the address is valid (RFC 4007 §11).
        zone: Zone<'a>,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket, without the final NUL. [`Address::check`] tells whether a socket can have this path.
    Path(&'a [u8]),
    /// A name in the abstract namespace of Linux, without the NUL before it: 1 to 107 bytes.
    Abstract(&'a [u8]),
    /// A name in the abstract namespace that the kernel chooses when the socket is bound.
    KernelChosen,
    /// A DNS name and a port. The name has not been resolved.
    Name {
        /// The name, in lower case.
        host: &'a str,
        /// The port.
        port: u16,
    },
}

/// The zone of a scoped IPv6 address (RFC 4007 §11): the interface on which a link-local address is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Zone<'a> {
    /// The address has no zone.
    #[default]
    None,
    /// The index of an interface. For [`Address::ipv6`] the index 0 means no zone, as in system calls.
    Index(u32),
    /// The name of an interface: 1 to 15 bytes, without `/`, `:`, whitespace and control characters. Digits alone are
    /// an index, not a name.
    Name(&'a str),
}

impl Address {
    /// 127.0.0.1, on a port that the kernel chooses.
    pub const IPV4_LOOPBACK: Self = Self::of_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    /// Every IPv4 address of the host, on a port that the kernel chooses.
    pub const IPV4_ANY: Self = Self::of_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    /// ::1, on a port that the kernel chooses.
    pub const IPV6_LOOPBACK: Self = Self::of_ip(IpAddr::V6(Ipv6Addr::LOCALHOST));
    /// Every IPv6 address of the host, on a port that the kernel chooses.
    pub const IPV6_ANY: Self = Self::of_ip(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    /// A name in the abstract namespace of Linux. The kernel chooses the name when the socket is bound.
    pub const ABSTRACT: Self = Self(Repr::Abstract(None));

    /// The longest path of a Unix socket on Linux, in bytes, without the final NUL. On macOS and the BSDs the longest
    /// path has 103 bytes; there a longer path is an error when the address is used.
    pub const MAX_PATH: usize = 107;
    /// The longest abstract name, in bytes.
    pub const MAX_ABSTRACT: usize = 107;
    /// The longest DNS name, in bytes, without a final dot (RFC 1035 §2.3.4 counts 255 bytes for the same name in a DNS
    /// message).
    pub const MAX_NAME: usize = 253;
    /// The longest name of an interface, in bytes.
    pub const MAX_ZONE: usize = 15;

    const fn of_ip(ip: IpAddr) -> Self {
        Self(Repr::Ip(SocketAddr::new(ip, 0), None))
    }

    /// Returns the address of a Unix socket in the file system.
    ///
    /// The path is not checked here, so the call needs no `?`. A path that no socket can have is an error when the
    /// address is used; [`check`](Self::check) finds the error earlier.
    ///
    /// ```
    /// use degu_wire::Address;
    ///
    /// assert_eq!(Address::unix("/run/my app.sock").to_string(), "unix:/run/my%20app.sock");
    /// ```
    #[cfg(all(feature = "std", unix))]
    pub fn unix(path: impl AsRef<std::path::Path>) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self(Repr::Path(path.as_ref().as_os_str().as_bytes().into()))
    }

    /// Returns the address of a Unix socket in the file system, from the bytes of its path. This function is for code
    /// without std, and for systems other than Unix.
    ///
    /// # Errors
    ///
    /// The errors of [`check`](Self::check).
    pub fn unix_bytes(path: impl Into<Box<[u8]>>) -> Result<Self, AddressError> {
        let address = Self(Repr::Path(path.into()));
        address.check().map(|()| address)
    }

    /// Returns the address of a Unix socket in the abstract namespace of Linux. The name may hold any byte, NUL
    /// included. To let the kernel choose the name, use [`ABSTRACT`](Self::ABSTRACT).
    ///
    /// # Errors
    ///
    /// The name is empty, or has more than 107 bytes.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Result<Self, AddressError> {
        let name = name.as_ref();
        match name.len() {
            0 => Err(AddressFault::AbstractEmpty.into()),
            1..=Self::MAX_ABSTRACT => Ok(Self(Repr::Abstract(Some(name.into())))),
            _ => Err(AddressError::at(AddressFault::AbstractTooLong, Self::MAX_ABSTRACT)),
        }
    }

    /// Returns an IPv6 address with a zone and a port.
    ///
    /// # Errors
    ///
    /// The zone is a name that no interface can have.
    pub fn ipv6(ip: Ipv6Addr, zone: Zone<'_>, port: u16) -> Result<Self, AddressError> {
        let (index, name) = match zone {
            Zone::None => (0, None),
            Zone::Index(index) => (index, None),
            Zone::Name(name) if is_interface(name) => (0, Some(name.into())),
            Zone::Name(_) => return Err(AddressFault::Zone.into()),
        };
        Ok(Self(Repr::Ip(SocketAddrV6::new(ip, port, 0, index).into(), name)))
    }

    /// Returns the kind of the address.
    pub fn kind(&self) -> AddressKind<'_> {
        match &self.0 {
            Repr::Ip(SocketAddr::V4(address), _) => AddressKind::V4(*address),
            Repr::Ip(SocketAddr::V6(address), name) => {
                let zone = match (name, address.scope_id()) {
                    (Some(name), _) => Zone::Name(name),
                    (None, 0) => Zone::None,
                    (None, index) => Zone::Index(index),
                };
                AddressKind::V6 { ip: *address.ip(), zone, port: address.port() }
            }
            Repr::Path(path) => AddressKind::Path(path),
            Repr::Abstract(Some(name)) => AddressKind::Abstract(name),
            Repr::Abstract(None) => AddressKind::KernelChosen,
            Repr::Name { host, port } => AddressKind::Name { host, port: *port },
        }
    }

    /// Checks the path of a Unix socket. Only an address made by `Address::unix` can fail this check, because all other
    /// constructors check the path. An address that passes the check can be written as text and parsed again without a
    /// change.
    ///
    /// # Errors
    ///
    /// The path is empty, contains NUL, or has more than [`MAX_PATH`](Self::MAX_PATH) bytes. The offset is an offset in
    /// the path.
    pub fn check(&self) -> Result<(), AddressError> {
        let Repr::Path(path) = &self.0 else { return Ok(()) };
        match path.iter().position(|&byte| byte == 0) {
            _ if path.is_empty() => Err(AddressFault::PathEmpty.into()),
            Some(at) => Err(AddressError::at(AddressFault::PathNul, at)),
            None if path.len() > Self::MAX_PATH => Err(AddressError::at(AddressFault::PathTooLong, Self::MAX_PATH)),
            None => Ok(()),
        }
    }

    /// Returns whether this is the address of a Unix socket, with a path or an abstract name.
    pub const fn is_unix(&self) -> bool {
        matches!(self.0, Repr::Path(_) | Repr::Abstract(_))
    }

    /// Returns the IP address; `None` for other kinds.
    pub const fn ip(&self) -> Option<IpAddr> {
        if let Repr::Ip(address, _) = &self.0 { Some(address.ip()) } else { None }
    }

    /// Returns the port; `None` for a Unix socket.
    pub const fn port(&self) -> Option<u16> {
        match &self.0 {
            Repr::Ip(address, _) => Some(address.port()),
            Repr::Name { port, .. } => Some(*port),
            Repr::Path(_) | Repr::Abstract(_) => None,
        }
    }

    /// Returns the same address with another port. The address of a Unix socket has no port, and is returned unchanged.
    ///
    /// ```
    /// use degu_wire::Address;
    ///
    /// assert_eq!(Address::IPV6_ANY.with_port(8080).to_string(), "[::]:8080");
    /// ```
    #[must_use]
    pub fn with_port(mut self, new: u16) -> Self {
        match &mut self.0 {
            Repr::Ip(address, _) => address.set_port(new),
            Repr::Name { port, .. } => *port = new,
            Repr::Path(_) | Repr::Abstract(_) => {}
        }
        self
    }

    /// Returns the path of a Unix socket; `None` for other kinds.
    #[cfg(all(feature = "std", unix))]
    pub fn as_path(&self) -> Option<&std::path::Path> {
        use std::os::unix::ffi::OsStrExt;
        if let Repr::Path(path) = &self.0 { Some(std::ffi::OsStr::from_bytes(path).as_ref()) } else { None }
    }

    /// Returns the address to which clients connect if a server listens on this address. A wildcard address becomes the
    /// loopback address of its family. Every other address is returned unchanged.
    ///
    /// ```
    /// use degu_wire::Address;
    ///
    /// assert_eq!(Address::IPV4_ANY.with_port(8080).to_connect().to_string(), "127.0.0.1:8080");
    /// assert_eq!(Address::IPV6_ANY.with_port(8080).to_connect().to_string(), "[::1]:8080");
    /// ```
    #[must_use]
    pub fn to_connect(&self) -> Self {
        match &self.0 {
            Repr::Ip(address, _) if address.ip().is_unspecified() => {
                let loopback = if address.is_ipv4() { Self::IPV4_LOOPBACK } else { Self::IPV6_LOOPBACK };
                loopback.with_port(address.port())
            }
            _ => self.clone(),
        }
    }
}

/// Returns whether an interface may have this name. A name of digits alone is refused, because it would be read as an
/// index.
fn is_interface(name: &str) -> bool {
    let forbidden = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
    name.len() <= Address::MAX_ZONE && !name.contains(forbidden) && !name.bytes().all(|byte| byte.is_ascii_digit())
}
