//! Conversions between addresses and types of the standard library.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{Address, AddressError, AddressFault, Repr};

/// Converts an address of the standard library. The scope id becomes the zone, and the flow label is dropped.
impl From<SocketAddr> for Address {
    fn from(mut address: SocketAddr) -> Self {
        if let SocketAddr::V6(address) = &mut address {
            address.set_flowinfo(0);
        }
        Self(Repr::Ip(address, None))
    }
}

macro_rules! from_std {
    ($($address:ty),*) => {$(
        impl From<$address> for Address {
            fn from(address: $address) -> Self {
                SocketAddr::from(address).into()
            }
        }
    )*};
}

from_std!(SocketAddrV4, SocketAddrV6, (Ipv4Addr, u16), (Ipv6Addr, u16), (IpAddr, u16));

/// Clones the address, so functions that take `impl Into<Address>` also take `server.address()`.
impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

/// Converts an IP address to the address of a socket. The index of the zone becomes the scope id.
///
/// # Errors
///
/// [`AddressFault::NotIp`] for a DNS name or a Unix socket, [`AddressFault::ZoneUnresolved`] for a zone that is the
/// name of an interface.
impl TryFrom<&Address> for SocketAddr {
    type Error = AddressError;

    fn try_from(address: &Address) -> Result<Self, AddressError> {
        match &address.0 {
            Repr::Ip(address, None) => Ok(*address),
            Repr::Ip(_, Some(_)) => Err(AddressFault::ZoneUnresolved.into()),
            Repr::Path(_) | Repr::Abstract(_) | Repr::Name { .. } => Err(AddressFault::NotIp.into()),
        }
    }
}

#[cfg(all(feature = "std", unix))]
mod unix {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    use super::{Address, AddressError, AddressFault, Repr};

    /// Converts the address of a Unix socket from the type of std, [`std::os::unix::net::SocketAddr`].
    ///
    /// # Errors
    ///
    /// [`AddressFault::Unnamed`] for a socket that was never bound. Most clients have such a socket.
    /// [`AddressFault::AbstractEmpty`] for the empty abstract name, which is not an [`Address`].
    impl TryFrom<&SocketAddr> for Address {
        type Error = AddressError;

        fn try_from(address: &SocketAddr) -> Result<Self, AddressError> {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            if let Some(name) = address.as_abstract_name() {
                return Self::abstract_name(name);
            }
            let path = address.as_pathname().ok_or(AddressFault::Unnamed)?;
            let address = Self::unix(path);
            address.check().map(|()| address)
        }
    }

    /// Converts the address of a Unix socket to the type of std, [`std::os::unix::net::SocketAddr`].
    ///
    /// # Errors
    ///
    /// [`AddressFault::NotUnix`] for the other kinds of address. An error of [`Address::check`] for a path that no
    /// socket can have. [`AddressFault::NotBound`] for [`Address::ABSTRACT`], which std cannot express.
    /// [`AddressFault::AbstractUnsupported`] for an abstract name on a system other than Linux and Android.
    impl TryFrom<&Address> for SocketAddr {
        type Error = AddressError;

        fn try_from(address: &Address) -> Result<Self, AddressError> {
            match &address.0 {
                Repr::Path(_) => {
                    address.check()?;
                    let path = address.as_path().ok_or(AddressFault::NotUnix)?;
                    // The path has been checked, but some systems allow fewer bytes than Linux.
                    Self::from_pathname(path).map_err(|_| AddressFault::PathTooLong.into())
                }
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Repr::Abstract(Some(name)) => {
                    Self::from_abstract_name(name).map_err(|_| AddressFault::AbstractTooLong.into())
                }
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                Repr::Abstract(Some(_)) => Err(AddressFault::AbstractUnsupported.into()),
                Repr::Abstract(None) => Err(AddressFault::NotBound.into()),
                Repr::Ip(..) | Repr::Name { .. } => Err(AddressFault::NotUnix.into()),
            }
        }
    }
}
