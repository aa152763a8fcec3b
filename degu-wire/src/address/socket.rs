//! Converts an address to the name of a socket.

use alloc::borrow::Cow;
use core::net::SocketAddr;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Address, AddressError, AddressFault, Repr};

/// The name to which a socket binds or connects, returned by [`Address::to_socket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketName<'a> {
    /// An IP address, with the index of its zone, and a port.
    Ip(SocketAddr),
    /// The content of `sun_path` without a final NUL: a path, or an abstract name after a NUL. If this content is
    /// empty, the kernel chooses a name when the socket is bound.
    Unix(Cow<'a, OsStr>),
    /// A DNS name, which the caller must resolve first.
    Dns {
        /// The name, in lower case.
        host: &'a str,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// Returns the name of this address for the system calls `bind` and `connect`. If the zone of the address is a
    /// name, this method calls `interface_index`, which converts the name of an interface to its index, like
    /// `if_nametoindex(3)`.
    ///
    /// ```
    /// use degu_wire::{Address, AddressError, SocketName};
    ///
    /// let address: Address = "[fe80::1%eth0]:80".parse()?;
    /// let name = address.to_socket(|name| if name == "eth0" { Ok::<_, AddressError>(2) } else { Ok(0) })?;
    /// assert_eq!(name, SocketName::Ip("[fe80::1%2]:80".parse().unwrap()));
    /// # Ok::<(), AddressError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// No socket can have this path, a link-local address has no zone, or the system has no abstract namespace. Also
    /// the errors of `interface_index`.
    pub fn to_socket<E: From<AddressError>>(
        &self,
        interface_index: impl FnOnce(&str) -> Result<u32, E>,
    ) -> Result<SocketName<'_>, E> {
        let fault = |fault: AddressFault| E::from(AddressError::from(fault));
        Ok(match &self.0 {
            Repr::Ip(address, zone) => {
                let mut address = *address;
                if let SocketAddr::V6(address) = &mut address {
                    if let Some(name) = zone {
                        address.set_scope_id(interface_index(name)?);
                    } else if address.scope_id() == 0 && address.ip().is_unicast_link_local() {
                        return Err(fault(AddressFault::ZoneMissing));
                    }
                }
                SocketName::Ip(address)
            }
            Repr::Path(path) => {
                self.check()?;
                SocketName::Unix(OsStr::from_bytes(path).into())
            }
            Repr::Abstract(_) if !cfg!(any(target_os = "linux", target_os = "android")) => {
                return Err(fault(AddressFault::AbstractUnsupported));
            }
            Repr::Abstract(Some(name)) => SocketName::Unix(OsString::from_vec([b"\0", &**name].concat()).into()),
            Repr::Abstract(None) => SocketName::Unix(OsStr::new("").into()),
            Repr::Name { host, port } => SocketName::Dns { host, port: *port },
        })
    }
}
