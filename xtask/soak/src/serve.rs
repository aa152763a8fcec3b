//! Starts the servers of a run.

use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use degu_server::{Handle, Options, Server};
use degu_tls::{CaSet, Identity, ServerTls};

use crate::Result;
use crate::app::{Counters, Planned, app};
use crate::target::{TARGETS, Target, addresses};

/// The number of workers of each server. There are several, so the connections of a server are on different workers.
pub(crate) const WORKERS: usize = 2;

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
