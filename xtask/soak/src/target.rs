//! The servers of a run, and the addresses on which they listen.

use std::path::Path;
use std::time::Duration;

use degu_client::{Address, Spin};

use crate::Result;

/// A server of a run.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// True if server and clients use mutual TLS.
    pub(crate) is_secure: bool,
    /// True if exchanges may fail, because clients reach the server through relays that inject faults, or abandon
    /// exchanges. Even then, an exchange must never succeed with a wrong result. With other servers, every exchange
    /// succeeds, and both sides count the same.
    pub(crate) is_faulty: bool,
    /// The way in which server and clients wait. Each way is tested with faults and without faults.
    pub(crate) spin: Spin,
}

const FIXED: Spin = Spin::Fixed(Duration::from_micros(50));

pub(crate) const TARGETS: &[Target] = &[
    Target { name: "direct", is_secure: false, is_faulty: false, spin: Spin::Adaptive },
    Target { name: "direct-tls", is_secure: true, is_faulty: false, spin: Spin::Off },
    Target { name: "faulty", is_secure: false, is_faulty: true, spin: FIXED },
    Target { name: "faulty-tls", is_secure: true, is_faulty: true, spin: Spin::Adaptive },
];

/// Returns an address of each kind to listen on. The addresses differ between runs, because `folder` differs. `name`
/// must differ for each server and relay of a run.
pub(crate) fn addresses(folder: &Path, name: &str) -> Result<[Address; 4]> {
    let run = folder.file_name().unwrap_or_default().to_string_lossy();
    Ok([
        "127.0.0.1:0".parse()?,
        Address::IPV6_LOOPBACK,
        Address::unix(folder.join(format!("{name}.sock"))),
        Address::abstract_name(format!("degu-soak-{run}-{name}"))?,
    ])
}
