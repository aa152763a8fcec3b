//! The errors of an address, each with its offset.

use core::fmt;

use crate::error::{debug_as_display, explained, write_at};

/// The error for an invalid address: the fault and its offset.
///
/// ```
/// use degu_wire::{Address, AddressFault};
///
/// let error = "127.0.0.1:http".parse::<Address>().unwrap_err();
/// assert_eq!((error.fault, error.offset), (AddressFault::Port, 10));
/// assert_eq!(error.to_string(), "the port is not a number from 0 to 65535 (at byte 10)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AddressError {
    /// The fault.
    pub fault: AddressFault,
    /// The offset of the wrong byte in the input; 0 if no single byte is wrong.
    pub offset: u32,
}

explained! {
    /// The faults that an address can have.
    #[derive(Debug)]
    pub enum AddressFault {
        /// The text is empty.
        Empty "the address is empty",
        /// There is no `:` and port after the host.
        PortMissing "the port is missing: an address is `host:port`, `unix:/path` or `unix:@name`",
        /// There is only a port, or `*` and a port.
        HostMissing "the host is missing: write `[::]:PORT` for every address of this machine, `0.0.0.0:PORT` for IPv4 alone, or `localhost:PORT`",
        /// The text is a URI, or has a scheme other than `unix:`.
        Scheme "the address has a scheme or a path: write `host:port`, or `unix:/path` for a Unix socket",
        /// The port is not a decimal number of 16 bits.
        Port "the port is not a number from 0 to 65535",
        /// An IPv6 address has no brackets, or no closing bracket.
        Brackets "an IPv6 address must be in brackets, as in `[::1]:80`",
        /// The last label of the host is a number, but the host is not four decimal numbers from 0 to 255.
        Ipv4 "the host looks like an IPv4 address, but is not four decimal numbers from 0 to 255",
        /// The host is in brackets or has a colon, but is not an IPv6 address (RFC 4291 §2.2).
        Ipv6 "the host is in brackets or has a colon, but is not an IPv6 address",
        /// The zone cannot be the name of an interface, and is not an index: a number from 1 to 2³² − 1 without leading
        /// zeros.
        Zone "the zone is neither a valid index nor a valid name of an interface",
        /// A host name has a character that is not a letter, a digit, a hyphen, an underscore or a dot.
        HostCharacter "a host name has a character that is not a letter, digit, hyphen, underscore or dot",
        /// A label of a host name is empty, over 63 bytes, or begins or ends with a hyphen.
        HostLabel "a label of the host name (the text between two dots) is empty, is over 63 bytes, or begins or ends with a hyphen",
        /// A host name is over 253 bytes.
        HostTooLong "the host name is over 253 bytes",
        /// The host name is `unix`, which would be parsed as a Unix socket.
        HostReserved "the text `unix:` begins the address of a Unix socket: write the host name `unix` with a final dot, as in `unix.:80`",
        /// The path of a Unix socket is empty.
        PathEmpty "the path of the Unix socket is empty",
        /// The path of a Unix socket has a NUL byte.
        PathNul "the path of the Unix socket has a NUL byte",
        /// The path of a Unix socket is longer than the system allows: 107 bytes on Linux.
        PathTooLong "the path of the Unix socket is longer than the system allows (107 bytes on Linux)",
        /// An abstract name is empty. A name that the kernel chooses is
        /// [`Address::ABSTRACT`](super::Address::ABSTRACT).
        AbstractEmpty "the abstract name is empty: use `Address::ABSTRACT` to let the kernel choose a name",
        /// An abstract name is over 107 bytes.
        AbstractTooLong "the abstract name is over 107 bytes",
        /// `%` is not followed by two hexadecimal digits.
        Escape "`%` is not followed by two hexadecimal digits: write `%` itself as `%25`",
        /// A control character is not percent-encoded.
        Control "the address has a control character: percent-encode it",
        /// An IP address is needed, but the address is a name or a Unix socket.
        NotIp "the address is not an IP address",
        /// The index of the zone is needed, but the zone is the name of an interface.
        ZoneUnresolved "the zone is the name of an interface: look up its index first",
        /// A link-local IPv6 address has no zone, so its network link is not known (RFC 4007 §6).
        ZoneMissing "a link-local address needs its zone, as in `[fe80::1%eth0]:80`",
        /// A Unix socket is needed, but the address is of another kind.
        NotUnix "the address is not a Unix socket",
        /// The address is [`Address::ABSTRACT`](super::Address::ABSTRACT). This address has no name until the kernel
        /// chooses a name, when the socket is bound.
        NotBound "the address has no name yet: the kernel chooses it when the socket is bound",
        /// The Unix socket was never bound. The socket has no name, so no client can connect to it.
        Unnamed "the Unix socket has no name, so no client can connect to it",
        /// This system has no abstract namespace for Unix sockets. Only Linux and Android have such a namespace.
        AbstractUnsupported "this system has no abstract Unix sockets: use a path",
    }
}

impl AddressError {
    /// Returns the error for a fault at this offset. An offset over 32 bits becomes `u32::MAX`.
    pub(super) fn at(fault: AddressFault, offset: usize) -> Self {
        Self { fault, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }

    /// Adds `bytes` to the offset: the length of the text before the part that was parsed.
    pub(super) fn shifted(self, bytes: usize) -> Self {
        Self::at(self.fault, bytes.saturating_add(self.offset as usize))
    }
}

impl From<AddressFault> for AddressError {
    fn from(fault: AddressFault) -> Self {
        Self { fault, offset: 0 }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, self.fault.explain(), self.offset)
    }
}

impl core::error::Error for AddressError {}

debug_as_display!(AddressError);

/// Converts to the error that `bind` and `connect` return for an unusable address.
#[cfg(feature = "std")]
impl From<AddressError> for std::io::Error {
    fn from(error: AddressError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}
