//! The faults of connections, which relays between clients and servers inject, and the faults of the process.
//!
//! Clients and servers have real sockets. So they see the same events as on a bad network, or with a peer that dies.
//! The seed of the run and the number of a connection determine the faults of the connection. Each connection has two
//! threads, one for each direction.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use degu_client::Address;
use degu_misc::{Leaf, TempPki};
use degu_simulation::Fault;
use degu_tls::ServerTls;
use fastrand::Rng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::Socket;

use crate::Result;
use crate::blocking_socket::{connect, listen};
use crate::report::descriptors;
use crate::run::Run;
use crate::servers::{Target, addresses};
use crate::tally::{FAULTS, NO_DESCRIPTORS};

/// The length of a stall: longer than the timeouts of a faulty server and its clients.
const STALL: Duration = Duration::from_secs(4);

/// The number of bytes that a connection forwards in short writes, if its plan has short writes. After them, it
/// forwards long writes, because a large body would take too long.
const SHORT: u64 = 4096;

/// The faults of one direction of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// The fault, and the number of bytes that are forwarded before it. `Finish` ends only this direction, and `Stall`
    /// forwards nothing in this direction for [`STALL`].
    fault: Option<(u64, Fault)>,
    /// The largest number of bytes in a write, for the first [`SHORT`] bytes.
    short: Option<usize>,
    /// The pause before every write.
    delay: Option<Duration>,
}

/// Starts a relay for each address of a server. The relay listens on an address of the same kind. Returns the addresses
/// of the relays.
pub(crate) fn start_relays(
    run: &Arc<Run>,
    folder: &Path,
    target: &'static Target,
    servers: &[Address],
) -> Result<Vec<Address>> {
    let wanted = addresses(folder, &format!("{}-relay", target.name))?;
    let relays = wanted.into_iter().zip(servers).enumerate().map(|(kind, (wanted, server))| {
        let (listener, address) = listen(&wanted.to_string())?;
        let (run, server) = (run.clone(), server.to_string());
        // Each connection gets a number that no other connection of any relay has in this run.
        let first = u64::from(target.is_secure) << 40 | (kind as u64 + 1) << 36;
        thread::spawn(move || relay(&run, &listener, target, &server, first));
        Ok(address.parse()?)
    });
    relays.collect()
}

/// Accepts connections forever, and forwards them to the server.
fn relay(run: &Arc<Run>, listener: &Socket, target: &Target, server: &str, first: u64) {
    for number in first.. {
        let Ok((client, _)) = listener.accept() else {
            // The process has no free descriptor. New clients wait in the backlog.
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        // If the relay cannot connect to the server, it closes the client's connection.
        let Ok(server) = connect(server) else { continue };
        run.tally.add(target.name, "connections", 1);
        run.relayed.fetch_add(1, Relaxed);
        let run = run.clone();
        thread::spawn(move || {
            let (is_broken, mut rng) = (AtomicBool::new(false), run.rng(number));
            let (up, down) = (Plan::any(&run, &mut rng), Plan::any(&run, &mut rng));
            thread::scope(|scope| {
                scope.spawn(|| carry(&run, [&client, &server], up, &is_broken));
                carry(&run, [&server, &client], down, &is_broken);
            });
            drop((client, server));
            run.relayed.fetch_sub(1, Relaxed);
        });
    }
}

impl Plan {
    fn any(run: &Run, rng: &mut Rng) -> Self {
        let mut plan = Self::default();
        match rng.u32(..10) {
            0 => {
                plan.short = Some(rng.usize(1..16));
                run.tally.add(FAULTS, "short writes (connections)", 1);
            }
            1 => {
                plan.delay = Some(Duration::from_micros(rng.u64(100..5000)));
                run.tally.add(FAULTS, "delays (connections)", 1);
            }
            _ => {}
        }
        let fault = match rng.u32(..100) {
            0..12 => Fault::Reset,
            12..24 => Fault::Close,
            24..34 => Fault::Finish,
            34..36 => Fault::Stall,
            _ => return plan,
        };
        // The fault happens in the first head, in the first bodies, or anywhere.
        let most = [100, 5_000, 500_000][rng.usize(..3)];
        plan.fault = Some((rng.u64(..most), fault));
        plan
    }

    /// Returns the number of bytes to forward in one write. `bytes` are available, and `passed` were forwarded before.
    fn piece(&self, passed: u64, bytes: usize) -> usize {
        let short = self.short.filter(|_| passed < SHORT).unwrap_or(bytes).min(bytes);
        match self.fault {
            Some((at, _)) => usize::try_from(at - passed).unwrap_or(short).min(short),
            None => short,
        }
    }
}

/// Forwards one direction until it ends. If the whole connection has to end, also makes the other direction end: its
/// reads return EOF, and its writes fail.
fn carry(run: &Run, sockets: [&Socket; 2], plan: Plan, is_broken: &AtomicBool) {
    if forward(run, sockets, plan, is_broken).is_none() {
        is_broken.store(true, Relaxed);
        for socket in sockets {
            // These calls send nothing to the peers. The peers see only that the sockets are closed.
            let _ = socket.shutdown(Shutdown::Read);
            let _ = socket.set_write_timeout(Some(Duration::from_millis(1)));
        }
    }
}

/// Forwards one direction until it ends. Returns `None` if both directions have to end.
fn forward(run: &Run, [mut from, mut to]: [&Socket; 2], mut plan: Plan, is_broken: &AtomicBool) -> Option<()> {
    let (mut buffer, mut passed) = (vec![0; 16 * 1024], 0);
    // If the receiver reads nothing for this time, the sender has given up, too.
    to.set_write_timeout(Some(STALL)).ok()?;
    loop {
        let bytes = from.read(&mut buffer).ok()?;
        if is_broken.load(Relaxed) {
            return None;
        }
        if bytes == 0 {
            return to.shutdown(Shutdown::Write).ok();
        }
        let mut rest = &buffer[..bytes];
        while !rest.is_empty() {
            if let Some((_, fault)) = plan.fault.take_if(|(at, _)| *at == passed) {
                run.tally.add(FAULTS, format!("{fault:?}"), 1);
                match fault {
                    Fault::Stall => thread::sleep(STALL),
                    Fault::Finish => return to.shutdown(Shutdown::Write).ok(),
                    Fault::Reset => {
                        // This has no effect on a Unix socket.
                        let _ = (from.set_linger(Some(Duration::ZERO)), to.set_linger(Some(Duration::ZERO)));
                        return None;
                    }
                    _ => return None,
                }
            }
            plan.delay.into_iter().for_each(thread::sleep);
            let (piece, later) = rest.split_at(plan.piece(passed, rest.len()));
            to.write_all(piece).ok()?;
            passed += piece.len() as u64;
            rest = later;
        }
    }
}

/// Injects faults of the process, one after another, until the workers stop: certificates are renewed, and for less than a
/// second the process can open at most three more descriptors.
pub(crate) fn inject(run: &Run, tls: &ServerTls, pki: &TempPki, number: u64) {
    let mut rng = run.rng(number);
    while !run.is_stopping() {
        let (fault, injected) = if rng.bool() {
            pki.renew(Leaf::Server);
            ("certificates renewed", tls.reload().map(drop).map_err(Into::into))
        } else {
            (NO_DESCRIPTORS, starve(rng.u64(..4), Duration::from_millis(rng.u64(50..800))))
        };
        match injected {
            Ok(()) => run.tally.add(FAULTS, fault, 1),
            // The next fault would fail, too.
            Err(error) => return run.tally.mistake(format!("{fault}: {error}")),
        }
        thread::sleep(Duration::from_millis(rng.u64(20..200)));
    }
}

/// Lowers the limit on descriptors for `time`. The process can then open only `spare` more descriptors.
fn starve(spare: u64, time: Duration) -> Result {
    let before = getrlimit(Resource::Nofile);
    let most = descriptors()? + spare;
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..before })?;
    thread::sleep(time);
    // Any process may raise its soft limit to the hard limit, which has not changed.
    Ok(setrlimit(Resource::Nofile, before)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_piece_goes_beyond_a_fault() {
        let plan = Plan { fault: Some((10, Fault::Close)), short: Some(4), delay: None };
        assert_eq!(plan.piece(0, 100), 4);
        assert_eq!(plan.piece(8, 100), 2);
        assert_eq!(Plan { short: None, ..plan }.piece(3, 100), 7);
        assert_eq!(Plan::default().piece(3, 100), 100);
        assert_eq!(Plan { short: Some(4), ..Plan::default() }.piece(SHORT, 100), 100);
    }
}
