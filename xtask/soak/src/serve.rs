//! The server's process: a server for each target, each on every kind of address, and a conversation with its parent.
//!
//! It says `TARGET ADDRESS` for each address, then `ready`; then it answers each line of stdin with one line:
//!
//! - `report`: numbers, as `NAME=NUMBER` between spaces;
//! - `reload`: `ok`, once the certificates have been read again, or what is wrong with them.
//!
//! It ends when stdin does, so that it is gone even if its parent was killed.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use degu_server::{Handle, Options, Server};
use degu_tls::{Cas, Identity, ServerTls};

use crate::app::{AsAsked, Seen, app};
use crate::target::{Kind, Target};
use crate::{HEAP, Result};

/// A few threads for each server: connections of one are on several workers.
const WORKERS: usize = 2;

pub(crate) fn run(folder: &Path, targets: &[&str]) -> Result {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<AsAsked>() {
            print(info);
        }
    }));

    let tls = tls(folder)?;
    let mut servers = Vec::new();
    for name in targets {
        let target = Target::find(name)?;
        let addresses = Kind::ALL.iter().map(|kind| kind.address(folder, name)).collect::<Result<Vec<_>>>()?;
        let seen = Arc::new(Seen::default());
        let handle = options(target, &tls).bind_all(addresses, app(seen.clone()))?.spawn()?;
        for address in handle.addresses() {
            say(&format!("{name} {address}"))?;
        }
        servers.push((target, handle, seen));
    }
    say("ready")?;

    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "report" => say(&report(&servers))?,
            "reload" => say(&tls.reload().map_or_else(|error| error.to_string(), |()| "ok".into()))?,
            other => return Err(format!("what is {other}?").into()),
        }
    }
    for (_, handle, _) in servers {
        handle.shutdown_blocking();
    }
    Ok(())
}

/// Faulty clients are not waited for as long as others: a run is to see many of them.
fn options(target: Target, tls: &ServerTls) -> Options {
    let second = Duration::from_secs(1);
    let mut options = Server::options().workers(WORKERS).spin(target.spin()).shutdown_grace(second);
    if target.is_faulty() {
        options = options.head_deadline(Some(2 * second)).idle(Some(5 * second)).progress(2048, Some(2 * second));
    }
    if target.is_secure() { options.tls(tls.clone()) } else { options }
}

/// Of files, which the parent renews.
fn tls(folder: &Path) -> Result<ServerTls> {
    let identity = Identity::from_pem_files(folder.join("server.pem"), folder.join("server.key"))?;
    let clients = Cas::from_pem_file(folder.join("client-ca.pem"))?.with_crl_file(folder.join("client-ca.crl"))?;
    Ok(ServerTls::builder(identity).require_clients(clients).build()?)
}

fn report(servers: &[(Target, Handle, Arc<Seen>)]) -> String {
    let mut line = format!("heap={}", HEAP.current_usage());
    for (target, handle, seen) in servers {
        let stats = handle.stats();
        let faults: u64 = stats.faults().map(|(_, count)| count).sum();
        for (name, number) in [
            ("open", stats.open as u64),
            ("accepted", stats.accepted),
            ("refused", stats.refused),
            ("requests", stats.requests),
            ("received", stats.received),
            ("sent", stats.sent),
            ("deadlines", stats.deadlines),
            ("gone", stats.gone),
            ("failures", stats.failures),
            ("handshake-failures", stats.handshake_failures),
            ("faults", faults),
            ("seen", seen.requests.load(Relaxed)),
            ("octets", seen.octets.load(Relaxed)),
            // Below zero would be as wrong as above.
            ("alive", seen.alive.load(Relaxed).unsigned_abs()),
        ] {
            // Writing to a string does not fail.
            let _ = write!(line, " {}.{name}={number}", target.name());
        }
    }
    line
}

fn say(line: &str) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
