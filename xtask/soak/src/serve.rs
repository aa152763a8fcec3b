//! Starts the servers of a soak: one for each target, each on every kind of address.

use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use degu_server::{Handle, Options, Server};
use degu_tls::{Cas, Identity, ServerTls};

use crate::Result;
use crate::app::{AsAsked, Seen, app};
use crate::target::{Kind, Target};

/// More than one thread for each server, so that its connections are on several workers.
const WORKERS: usize = 2;

/// A running server, and what its app has seen.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) target: Target,
    pub(crate) handle: Handle,
    pub(crate) seen: Arc<Seen>,
}

/// Starts the servers. The folder has the files of a temporary PKI and gets the sockets.
pub(crate) fn start(folder: &Path, tls: &ServerTls) -> Result<Vec<Served>> {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<AsAsked>() {
            print(info);
        }
    }));
    let serve = |target: Target| {
        let addresses = Kind::ALL.iter().map(|kind| kind.address(folder, target.name())).collect::<Result<Vec<_>>>()?;
        let seen = Arc::new(Seen::default());
        let handle = options(target, tls).bind_all(addresses, app(seen.clone()))?.spawn()?;
        Ok(Served { target, handle, seen })
    };
    Target::ALL.into_iter().map(serve).collect()
}

/// Faulty clients are not waited for as long as others, so that a run sees many of them.
fn options(target: Target, tls: &ServerTls) -> Options {
    let second = Duration::from_secs(1);
    let mut options = Server::options().workers(WORKERS).spin(target.spin()).shutdown_grace(second);
    if target.is_faulty() {
        options = options.head_timeout(2 * second).idle_timeout(5 * second).progress(2048, Some(2 * second));
    }
    if target.is_secure() { options.tls(tls.clone()) } else { options }
}

/// The servers' policy, from files that are renewed during the run.
pub(crate) fn tls(folder: &Path) -> Result<ServerTls> {
    let identity = Identity::from_pem_files(folder.join("server.pem"), folder.join("server.key"))?;
    let clients = Cas::from_pem_file(folder.join("client-ca.pem"))?.with_crl_file(folder.join("client-ca.crl"))?;
    Ok(ServerTls::builder(identity).require_clients(clients).build()?)
}
