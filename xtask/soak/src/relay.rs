//! Faults between client and server: a relay that passes on what arrives, until its plan says otherwise.
//!
//! Both ends have real sockets, so they see the same as with a bad network or a peer that dies. Every connection has a
//! plan of its own, which the seed and its number decide, and two threads, one for each direction.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use degu_client::Address;
use fastrand::Rng;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::Result;
use crate::tally::FAULTS;
use crate::target::{Kind, Target};
use crate::work::World;

/// Longer than the server and the clients of a relay wait for each other.
const STALL: Duration = Duration::from_secs(4);

/// After this number of bytes, a connection with short writes continues with long writes, so that it ends in time.
const SHORT: u64 = 4096;

/// A relay in front of a server.
#[derive(Debug)]
pub(crate) struct Relay {
    listener: Socket,
    target: Target,
    server: Address,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Both sockets are reset in the middle.
    Reset,
    /// Both are closed in the middle.
    Cut,
    /// One direction ends in the middle, the other one goes on.
    HalfClose,
    /// Nothing is passed on for longer than anyone waits.
    Stall,
}

/// The faults of one direction of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Once so many bytes have passed.
    fault: Option<(u64, Fault)>,
    /// So many bytes a write, at first.
    short: Option<usize>,
    /// Before every piece.
    delay: Option<Duration>,
}

impl Relay {
    /// Listens on an address of this kind, for connections to the server at `server`; and says where.
    pub(crate) fn bind(folder: &Path, kind: Kind, target: Target, server: &Address) -> Result<(Self, Address)> {
        let wanted = kind.address(folder, &format!("{}-relay", target.name()))?;
        let (listener, address) = socket(&wanted)?;
        listener.bind(&address)?;
        listener.listen(1024)?;
        let address = listener.local_addr()?.as_socket().map_or(wanted, Address::from);
        let number = (target as u64) << 40 | (kind as u64) << 36;
        Ok((Self { listener, target, server: server.clone(), number }, address))
    }

    /// Relays forever; `alive` is how many connections there are.
    pub(crate) fn run(self, world: &Arc<World>, alive: &Arc<AtomicU64>) {
        for number in self.number.. {
            let Ok((client, _)) = self.listener.accept() else {
                // No descriptors are left. Clients that connect wait in the backlog.
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            // One that cannot be passed on is closed.
            let connect =
                || socket(&self.server).and_then(|(socket, address)| socket.connect(&address).map(|()| socket));
            let Ok(server) = connect() else { continue };
            world.tally.add(self.target.name(), "connections", 1);
            alive.fetch_add(1, Relaxed);
            let (world, alive) = (world.clone(), alive.clone());
            thread::spawn(move || {
                let (broken, mut rng) = (AtomicBool::new(false), world.rng(number));
                let (up, down) = (Plan::any(&world, &mut rng), Plan::any(&world, &mut rng));
                thread::scope(|scope| {
                    scope.spawn(|| carry(&world, [&client, &server], up, &broken));
                    carry(&world, [&server, &client], down, &broken);
                });
                drop((client, server));
                alive.fetch_sub(1, Relaxed);
            });
        }
    }
}

/// A socket of the kind of an address, and the address as the system takes it.
fn socket(address: &Address) -> io::Result<(Socket, SockAddr)> {
    let address = match (SocketAddr::try_from(address), address.to_string().strip_prefix("unix:")) {
        (Ok(address), _) => address.into(),
        (Err(_), path) => SockAddr::unix(path.unwrap_or_default().replacen('@', "\0", 1))?,
    };
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    if address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    Ok((socket, address))
}

impl Plan {
    fn any(world: &World, rng: &mut Rng) -> Self {
        let mut plan = Self::default();
        match rng.u32(..10) {
            0 => {
                plan.short = Some(rng.usize(1..16));
                world.tally.add(FAULTS, "short writes (connections)", 1);
            }
            1 => {
                plan.delay = Some(Duration::from_micros(rng.u64(100..5000)));
                world.tally.add(FAULTS, "delays (connections)", 1);
            }
            _ => {}
        }
        let fault = match rng.u32(..100) {
            0..12 => Fault::Reset,
            12..24 => Fault::Cut,
            24..34 => Fault::HalfClose,
            34..36 => Fault::Stall,
            _ => return plan,
        };
        // In the first head, in the first bodies, or long after them.
        let most = [100, 5_000, 500_000][rng.usize(..3)];
        plan.fault = Some((rng.u64(..most), fault));
        plan
    }

    /// Returns how many of so many bytes are passed on in one write.
    fn piece(&self, passed: u64, bytes: usize) -> usize {
        let short = self.short.filter(|_| passed < SHORT).unwrap_or(bytes).min(bytes);
        match self.fault {
            Some((at, _)) => usize::try_from(at - passed).unwrap_or(short).min(short),
            None => short,
        }
    }
}

/// Passes on one direction to its end, or to that of both: the other one then has nothing more to read and no room to write.
fn carry(world: &World, ends: [&Socket; 2], plan: Plan, broken: &AtomicBool) {
    if pass(world, ends, plan, broken).is_none() {
        broken.store(true, Relaxed);
        for end in ends {
            // Nothing is sent: what the peers see is how the sockets are closed.
            let _ = end.shutdown(Shutdown::Read);
            let _ = end.set_write_timeout(Some(Duration::from_millis(1)));
        }
    }
}

/// `None`: both directions are broken.
fn pass(world: &World, [mut from, mut to]: [&Socket; 2], mut plan: Plan, broken: &AtomicBool) -> Option<()> {
    let (mut buffer, mut passed) = (vec![0; 16 * 1024], 0);
    // A peer that does not read gives up, and so does this.
    to.set_write_timeout(Some(STALL)).ok()?;
    loop {
        let bytes = from.read(&mut buffer).ok()?;
        if broken.load(Relaxed) {
            return None;
        }
        if bytes == 0 {
            return to.shutdown(Shutdown::Write).ok();
        }
        let mut rest = &buffer[..bytes];
        while !rest.is_empty() {
            if let Some((_, fault)) = plan.fault.take_if(|(at, _)| *at == passed) {
                world.tally.add(FAULTS, format!("{fault:?}"), 1);
                match fault {
                    Fault::Stall => thread::sleep(STALL),
                    Fault::HalfClose => return to.shutdown(Shutdown::Write).ok(),
                    Fault::Cut => return None,
                    Fault::Reset => {
                        // On a Unix socket there is no such thing.
                        let _ = (from.set_linger(Some(Duration::ZERO)), to.set_linger(Some(Duration::ZERO)));
                        return None;
                    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_piece_goes_beyond_a_fault() {
        let plan = Plan { fault: Some((10, Fault::Cut)), short: Some(4), delay: None };
        assert_eq!(plan.piece(0, 100), 4);
        assert_eq!(plan.piece(8, 100), 2);
        assert_eq!(Plan { short: None, ..plan }.piece(3, 100), 7);
        assert_eq!(Plan::default().piece(3, 100), 100);
        assert_eq!(Plan { short: Some(4), ..Plan::default() }.piece(SHORT, 100), 100);
    }
}
