//! What is wrong with an address, and where.

use core::fmt;

/// An address that can not be: what is wrong with it, and where.
///
/// ```
/// use degu_wire::{Address, AddressFault};
///
/// let error = "127.0.0.1:http".parse::<Address>().unwrap_err();
/// assert_eq!((error.fault, error.offset), (AddressFault::Port, 10));
/// assert_eq!(error.to_string(), "the port is not a number from 0 to 65535 (at octet 10)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AddressError {
    /// What is wrong.
    pub fault: AddressFault,
    /// The offset of the offending octet in what was given; 0 where no single octet is at fault.
    pub offset: u32,
}

/// What can be wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressFault {
    /// The text is empty.
    Empty,
    /// There is no `:` and port after the host.
    PortMissing,
    /// The port is not a decimal number of 16 bits.
    Port,
    /// An IPv6 address without brackets, or without the closing one.
    Brackets,
    /// A host whose last label is a number, and that is not four decimal numbers from 0 to 255.
    Ipv4,
    /// What stands in brackets is not an IPv6 address (RFC 4291 §2.2).
    Ipv6,
    /// The zone is neither an index of 32 bits, from 1 and without leading zeros, nor the name of an interface.
    Zone,
    /// A host name has a character that is not a letter, a digit, a hyphen, an underscore or a dot.
    HostCharacter,
    /// A label of a host name is empty, over 63 octets, or has a hyphen at an end.
    HostLabel,
    /// A host name is over 253 octets.
    HostTooLong,
    /// The host name `unix`, which would read as a Unix socket.
    HostReserved,
    /// The path of a Unix socket is empty.
    PathEmpty,
    /// The path of a Unix socket has a NUL.
    PathNul,
    /// The path of a Unix socket is over what the system has room for: 107 octets on Linux.
    PathTooLong,
    /// An abstract name is empty.
    AbstractEmpty,
    /// An abstract name is over 107 octets.
    AbstractTooLong,
    /// `%` is not followed by two hexadecimal digits.
    Escape,
    /// A control character that is not percent-encoded.
    Control,
    /// An IP address is needed, and this is a name or a Unix socket.
    NotIp,
    /// The index of the zone is needed, and this is the name of an interface, to be looked up first.
    ZoneUnresolved,
    /// A link-local address without its zone, which says nothing of the link (RFC 4007 §6).
    ZoneMissing,
    /// A Unix socket is needed, and this is none.
    NotUnix,
    /// The name is the kernel's choice: there is none before the socket is bound.
    NotBound,
    /// The socket has no name: nobody can connect to it.
    Unnamed,
    /// This system has no abstract namespace.
    AbstractUnsupported,
}

impl AddressFault {
    /// What is wrong, and what to do about it.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::Empty => "the address is empty",
            Self::PortMissing => "the port is missing: an address is `host:port`, `unix:/path` or `unix:@name`",
            Self::Port => "the port is not a number from 0 to 65535",
            Self::Brackets => "an IPv6 address stands in brackets before its port, and there is no scheme but `unix:`",
            Self::Ipv4 => "an IPv4 address is four decimal numbers from 0 to 255",
            Self::Ipv6 => "the brackets hold no IPv6 address",
            Self::Zone => "the zone is neither the index nor the name of an interface",
            Self::HostCharacter => "a host name has a character that is not a letter, digit, hyphen, underscore or dot",
            Self::HostLabel => "a label of a host name is empty, over 63 octets, or has a hyphen at an end",
            Self::HostTooLong => "the host name is over 253 octets",
            Self::HostReserved => "the host name `unix` is written `unix.`, to tell it from a Unix socket",
            Self::PathEmpty => "the path of the Unix socket is empty",
            Self::PathNul => "the path of the Unix socket has a NUL",
            Self::PathTooLong => "the path of the Unix socket is longer than the system takes (107 octets on Linux)",
            Self::AbstractEmpty => "the abstract name is empty: the kernel's choice is `Address::ABSTRACT`",
            Self::AbstractTooLong => "the abstract name is over 107 octets",
            Self::Escape => "`%` is not followed by two hexadecimal digits",
            Self::Control => "a control character that is not percent-encoded",
            Self::NotIp => "the address is not an IP address",
            Self::ZoneUnresolved => "the zone is the name of an interface, which must be looked up first",
            Self::ZoneMissing => "a link-local address needs its zone, as in `[fe80::1%eth0]:80`",
            Self::NotUnix => "the address is not a Unix socket",
            Self::NotBound => "the kernel chooses the name when the socket is bound; there is none yet",
            Self::Unnamed => "the Unix socket has no name",
            Self::AbstractUnsupported => "this system has no abstract namespace",
        }
    }
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain())
    }
}

impl AddressError {
    /// A fault at an octet. An offset past 32 bits is only ever that of an absurd input.
    pub(super) fn at(fault: AddressFault, offset: usize) -> Self {
        Self { fault, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }

    /// The same error in a text in which what was looked at begins `octets` later.
    pub(super) fn shifted(self, octets: usize) -> Self {
        Self::at(self.fault, octets.saturating_add(self.offset as usize))
    }
}

impl From<AddressFault> for AddressError {
    fn from(fault: AddressFault) -> Self {
        Self { fault, offset: 0 }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.explain())?;
        if self.offset > 0 {
            write!(f, " (at octet {})", self.offset)?;
        }
        Ok(())
    }
}

impl core::error::Error for AddressError {}

/// What a `bind` or `connect` of an unusable address reports.
#[cfg(feature = "std")]
impl From<AddressError> for std::io::Error {
    fn from(error: AddressError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}
