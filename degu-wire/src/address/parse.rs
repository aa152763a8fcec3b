//! Parses addresses. The offset of an error is an offset in the caller's text, in bytes.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use percent_encoding::percent_decode_str;

use super::{Address, AddressError, AddressFault, Repr, Zone};
use crate::abnf::decimal;

impl FromStr for Address {
    type Err = AddressError;

    /// Reads the [text](Address#text) of an address.
    ///
    /// # Errors
    ///
    /// The text is not an address. The offset of the error is an offset in `text`, in bytes.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressFault::Empty.into());
        }
        if let Some(rest) = text.strip_prefix("unix:") {
            return unix(rest).map_err(|error| error.shifted("unix:".len()));
        }
        // A text such as `http://host:80` or `http+unix://%2Frun%2Fx.sock` is a URI, not an address.
        if let Some(at) = text.find("://") {
            return Err(AddressError::at(AddressFault::Scheme, at));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressFault::HostMissing.into());
        }
        let end = if text.starts_with('[') {
            // A `]` in a zone is percent-encoded, so the first `]` closes the bracket.
            text.find(']').ok_or(AddressError::at(AddressFault::Brackets, text.len()))? + 1
        } else {
            text.rfind(':').ok_or(AddressError::at(AddressFault::PortMissing, text.len()))?
        };
        let (head, rest) = text.split_at(end);
        if matches!(head, "" | "*") {
            return Err(AddressFault::HostMissing.into());
        }
        if !head.starts_with('[') && head.contains(':') {
            return Err(AddressFault::Brackets.into());
        }
        let digits = rest.strip_prefix(':').ok_or(AddressError::at(AddressFault::PortMissing, end))?;
        let port = decimal(digits.as_bytes()).and_then(|port| u16::try_from(port).ok());
        Self::from_host(head, port.ok_or(AddressError::at(AddressFault::Port, end + 1))?)
    }
}

impl Address {
    /// Returns the address of a host and a port. If the host is an IPv4 or IPv6 address, the result is an IP address;
    /// otherwise it is a DNS name. Brackets and a zone are allowed.
    ///
    /// A name consists of labels with dots between them. A label has 1 to 63 letters, digits, hyphens and underscores,
    /// and does not begin or end with a hyphen (RFC 1123 §2.1; local resolvers use the underscore). A name has at most
    /// 253 bytes, and may end with a dot. Names beyond ASCII must be in their `xn--` form.
    ///
    /// ```
    /// use degu_wire::{Address, AddressFault};
    ///
    /// assert_eq!(Address::from_host("::1", 80)?, "[::1]:80".parse()?);
    /// assert_eq!(Address::from_host("Example.ORG", 80)?.to_string(), "example.org:80");
    /// assert_eq!(Address::from_host("127.1", 80).unwrap_err().fault, AddressFault::Ipv4);
    /// # Ok::<(), degu_wire::AddressError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The host is neither an IP address nor a DNS name. The offset of the error is an offset in `host`, in
    /// bytes.
    pub fn from_host(host: &str, port: u16) -> Result<Self, AddressError> {
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(AddressError::at(AddressFault::Brackets, host.len()))?;
            return ipv6(inner, port).map_err(|error| error.shifted(1));
        }
        if host.contains(':') {
            return ipv6(host, port);
        }
        let relative = host.strip_suffix('.').unwrap_or(host);
        if is_number(relative.rsplit('.').next().unwrap_or_default()) {
            let ip: Ipv4Addr = host.parse().map_err(|_| AddressFault::Ipv4)?;
            return Ok((ip, port).into());
        }
        name(relative)?;
        match host.to_ascii_lowercase() {
            host if host == "unix" => Err(AddressFault::HostReserved.into()),
            host => Ok(Self(Repr::Name { host: host.into(), port })),
        }
    }
}

/// Parses the text after `unix:`.
fn unix(text: &str) -> Result<Address, AddressError> {
    if let Some(name) = text.strip_prefix('@') {
        return match name {
            "" => Ok(Address::ABSTRACT),
            // The name may be percent-encoded in the text, so the offset at which it becomes too long is not known. The
            // error points at the beginning of the name.
            _ => Address::abstract_name(decode(name).map_err(|error| error.shifted(1))?)
                .map_err(|error| error.fault.into()),
        };
    }
    Address::unix_bytes(decode(text)?).map_err(|error| match error.fault {
        // The text could be decoded, so every `%` in it begins an escape, and the first `%00` is the first NUL.
        AddressFault::PathNul => AddressError::at(error.fault, text.find("%00").unwrap_or(0)),
        _ => error.fault.into(),
    })
}

/// Returns whether a label is a decimal, octal or hexadecimal number, which a resolver would read as a part of an IPv4
/// address.
fn is_number(label: &str) -> bool {
    match label.as_bytes() {
        [] => false,
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// Checks a DNS name, without its final dot.
fn name(name: &str) -> Result<(), AddressError> {
    if let Some(at) = name.bytes().position(|byte| !matches!(byte, b'-' | b'_' | b'.') && !byte.is_ascii_alphanumeric())
    {
        return Err(AddressError::at(AddressFault::HostCharacter, at));
    }
    if name.len() > Address::MAX_NAME {
        return Err(AddressError::at(AddressFault::HostTooLong, Address::MAX_NAME));
    }
    let mut at = 0;
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
            return Err(AddressError::at(AddressFault::HostLabel, at));
        }
        at += label.len() + 1;
    }
    Ok(())
}

/// Parses an IPv6 address without brackets, with an optional zone.
fn ipv6(text: &str, port: u16) -> Result<Address, AddressError> {
    let (ip, zone) = text.split_once('%').unzip();
    let ip: Ipv6Addr = ip.unwrap_or(text).parse().map_err(|_| AddressFault::Ipv6)?;
    let Some(zone) = zone else { return Ok((ip, port).into()) };
    zoned(ip, zone, port).map_err(|error| error.shifted(text.len() - zone.len()))
}

fn zoned(ip: Ipv6Addr, zone: &str, port: u16) -> Result<Address, AddressError> {
    if !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_digit()) {
        let index = if zone.starts_with('0') { None } else { zone.parse().ok() };
        return Address::ipv6(ip, Zone::Index(index.ok_or(AddressFault::Zone)?), port);
    }
    let bytes = decode(zone)?;
    let name = core::str::from_utf8(&bytes).map_err(|_| AddressFault::Zone)?;
    Address::ipv6(ip, Zone::Name(name), port)
}

/// Decodes percent-encoding. Only control characters and `%` must be encoded.
fn decode(text: &str) -> Result<Vec<u8>, AddressError> {
    for (at, byte) in text.bytes().enumerate() {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if byte == b'%' && !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(AddressError::at(AddressFault::Escape, at));
        }
        if byte.is_ascii_control() {
            return Err(AddressError::at(AddressFault::Control, at));
        }
    }
    Ok(percent_decode_str(text).collect())
}
