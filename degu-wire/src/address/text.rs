//! Writes addresses as text.

use core::fmt;
use core::net::SocketAddr;

use percent_encoding::{AsciiSet, CONTROLS, PercentEncode, percent_encode};

use super::{Address, Repr};

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Ip(address, None) => write!(f, "{address}"),
            Repr::Ip(address, Some(zone)) => {
                write!(f, "[{}%{}]:{}", address.ip(), encode(zone.as_bytes()), address.port())
            }
            Repr::Path(path) => match path.split_first() {
                // A `@` at the beginning of a path would begin an abstract name.
                Some((b'@', rest)) => write!(f, "unix:%40{}", encode(rest)),
                _ => write!(f, "unix:{}", encode(path)),
            },
            Repr::Abstract(name) => write!(f, "unix:@{}", encode(name.as_deref().unwrap_or_default())),
            Repr::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Writes `Address(127.0.0.1:80)`, for example.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Returns the text of the bytes. `%`, brackets and all bytes that are not visible ASCII are percent-encoded. Brackets
/// are encoded because they enclose an IPv6 address.
fn encode(bytes: &[u8]) -> PercentEncode<'_> {
    const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'%').add(b'[').add(b']');
    percent_encode(bytes, &ENCODED)
}

impl Address {
    /// Returns the value of the Host field of a request over plain HTTP to this address (RFC 9110 §7.2): the host, and
    /// the port unless it is 80. The zone is left out, because a zone means nothing to other hosts (RFC 6874 §4). For a
    /// Unix socket the value is `localhost`, because many servers refuse an empty Host.
    ///
    /// ```
    /// use degu_wire::Address;
    ///
    /// let host = |text: &str| text.parse::<Address>().map(|address| address.host().to_string());
    /// assert_eq!(host("example.org:80")?, "example.org");
    /// assert_eq!(host("[fe80::1%eth0]:8080")?, "[fe80::1]:8080");
    /// assert_eq!(host("unix:/run/x.sock")?, "localhost");
    /// # Ok::<(), degu_wire::AddressError>(())
    /// ```
    pub fn host(&self) -> impl fmt::Display {
        self.host_with_default(80)
    }

    /// Returns the value of the Host field as [`host`](Self::host) does, but leaves out the port if it is `default`.
    /// For HTTP over TLS the default port is 443 (RFC 9110 §4.2.2).
    ///
    /// ```
    /// use degu_wire::Address;
    ///
    /// let address = Address::from_host("example.org", 443)?;
    /// assert_eq!(address.host_with_default(443).to_string(), "example.org");
    /// assert_eq!(address.host().to_string(), "example.org:443");
    /// # Ok::<(), degu_wire::AddressError>(())
    /// ```
    pub fn host_with_default(&self, default: u16) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            match &self.0 {
                Repr::Ip(SocketAddr::V4(address), _) => write!(f, "{}", address.ip())?,
                Repr::Ip(SocketAddr::V6(address), _) => write!(f, "[{}]", address.ip())?,
                Repr::Name { host, .. } => f.write_str(host)?,
                Repr::Path(_) | Repr::Abstract(_) => f.write_str("localhost")?,
            }
            match self.port() {
                Some(port) if port != default => write!(f, ":{port}"),
                _ => Ok(()),
            }
        })
    }
}
