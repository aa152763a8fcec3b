//! The servers that are talked to, and the kinds of address that each of them listens on.

use std::path::Path;
use std::time::Duration;

use degu_client::{Address, Spin};

use crate::Result;

/// A server, by what its clients may expect of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Clients reach it directly and misbehave never: every exchange succeeds, and both sides count the same.
    Direct,
    /// `Direct` under mutual TLS.
    DirectTls,
    /// After relays that break things, and with clients that leave: an exchange succeeds or fails, and is never wrong.
    Faulty,
    /// `Faulty` under mutual TLS.
    FaultyTls,
}

impl Target {
    pub(crate) const ALL: [Self; 4] = [Self::Direct, Self::DirectTls, Self::Faulty, Self::FaultyTls];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectTls => "direct-tls",
            Self::Faulty => "faulty",
            Self::FaultyTls => "faulty-tls",
        }
    }

    pub(crate) const fn is_secure(self) -> bool {
        matches!(self, Self::DirectTls | Self::FaultyTls)
    }

    /// Returns the waiting mode of both ends: each mode is soaked, with and without faults.
    pub(crate) const fn spin(self) -> Spin {
        match self {
            Self::Direct | Self::FaultyTls => Spin::Adaptive,
            Self::Faulty => Spin::Fixed(Duration::from_micros(50)),
            Self::DirectTls => Spin::Off,
        }
    }

    /// Returns whether exchanges may fail.
    pub(crate) const fn is_faulty(self) -> bool {
        matches!(self, Self::Faulty | Self::FaultyTls)
    }
}

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipv4,
    Ipv6,
    Unix,
    Abstract,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Ipv4, Self::Ipv6, Self::Unix, Self::Abstract];

    /// An address of this kind to listen on. The folder's name tells runs apart, and `name` listeners.
    pub(crate) fn address(self, folder: &Path, name: &str) -> Result<Address> {
        let run = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(match self {
            Self::Ipv4 => "127.0.0.1:0".parse()?,
            Self::Ipv6 => Address::IPV6_LOOPBACK,
            Self::Unix => Address::unix(folder.join(format!("{name}.sock"))),
            Self::Abstract => Address::abstract_name(format!("degu-soak-{run}-{name}"))?,
        })
    }
}
