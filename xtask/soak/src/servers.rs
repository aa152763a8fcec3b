//! The servers of a run: their addresses, their options, and how they start.

use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use degu_client::{Address, Spin};
use degu_server::{Handle, Options, Server};
use degu_tls::{CaSet, Identity, ServerTls};

use crate::Result;
use crate::app::{Counters, Planned, app};

/// The number of workers of each server. There are several, so the connections of a server are on different workers.
pub(crate) const WORKERS: usize = 2;

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

/// A running server with the counters of its app.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) target: &'static Target,
    pub(crate) handle: Handle,
    pub(crate) counters: Arc<Counters>,
}

/// Starts the servers, each on every kind of address. The folder contains the files of a temporary PKI. The sockets are
/// created in it.
pub(crate) fn start(folder: &Path, tls: &ServerTls) -> Result<Vec<Served>> {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Planned>() {
            print(info);
        }
    }));
    let serve = |target: &'static Target| {
        let counters = Arc::new(Counters::default());
        let options = options(target, tls);
        let listeners = addresses(folder, target.name)?.into_iter().map(|address| options.listener(address));
        let listeners = listeners.collect::<std::io::Result<Vec<_>>>()?;
        let server = options.listen(listeners, app(counters.clone()))?;
        Ok(Served { target, handle: server.spawn()?, counters })
    };
    TARGETS.iter().map(serve).collect()
}

/// Returns the options of a server. A faulty server has short timeouts, so many faults happen in a run.
fn options(target: &Target, tls: &ServerTls) -> Options {
    let second = Duration::from_secs(1);
    let mut options = Server::options().workers(WORKERS).spin(target.spin).shutdown_grace(second);
    if target.is_faulty {
        options = options.head_timeout(2 * second).idle_timeout(5 * second).progress(2048, Some(2 * second));
    }
    if target.is_secure { options.tls(tls.clone()) } else { options }
}

/// Returns the TLS policy of the servers. Its files are renewed during the run.
pub(crate) fn tls(folder: &Path) -> Result<ServerTls> {
    let identity = Identity::from_pem_files(folder.join("server.pem"), folder.join("server.key"))?;
    let clients = CaSet::from_pem_file(folder.join("client-ca.pem"))?.with_crl_file(folder.join("client-ca.crl"))?;
    Ok(ServerTls::builder(identity).require_clients(clients).build()?)
}

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
