//! Faults between client and server: a relay that passes on what comes, until its plan says otherwise.
//!
//! Both ends have real sockets, so that they see what a bad network or a peer that dies would show them. Every
//! connection has a plan of its own, which the seed and its number decide.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use degu_client::Address;
use fastrand::Rng;
use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;

use crate::Result;
use crate::socket::{Listening, Socket};
use crate::tally::Fault;
use crate::target::{Kind, Target};
use crate::work::World;

/// Longer than the server and the clients of a relay wait for each other.
const STALL: Duration = Duration::from_secs(4);

/// After so many octets a connection with short writes gets on as others do, so that it comes to an end.
const SHORT: u64 = 4096;

/// A relay before a server.
#[derive(Debug)]
pub(crate) struct Relay {
    listener: Listening,
    target: Target,
    server: Address,
    number: u64,
}

/// What is done to one direction of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Once so many octets have passed.
    fault: Option<(u64, Fault)>,
    /// So many octets a write, at first.
    short: Option<usize>,
    /// Before every piece.
    delay: Option<Duration>,
}

/// The connection is over.
struct Broken;

impl Relay {
    /// Listens on an address of this kind, for connections to the server at `server`; and says where.
    pub(crate) fn bind(folder: &Path, kind: Kind, target: Target, server: &Address) -> Result<(Self, Address)> {
        let name = format!("{}-relay", target.name());
        let (listener, address) = Listening::bind(&kind.address(folder, &name)?)?;
        let number = (target as u64) << 40 | (kind as u64) << 36;
        Ok((Self { listener, target, server: server.clone(), number }, address))
    }

    /// Relays for ever; `alive` is how many connections there are.
    pub(crate) async fn run(self, world: Arc<World>, alive: Arc<AtomicU64>) -> Result {
        let listener = Listener::new(self.listener)?;
        for number in self.number.. {
            let client = match listener.accept().await {
                Ok(client) => client,
                Err(_) => {
                    // No descriptors left: those who connect wait.
                    sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            alive.fetch_add(1, Relaxed);
            let (world, alive) = (world.clone(), alive.clone());
            let (target, server) = (self.target, self.server.clone());
            tokio::spawn(async move {
                // One that can not be passed on is closed.
                if let Ok(server) = Socket::connect(&server).and_then(Stream::new) {
                    world.tally.of(target).connections.fetch_add(1, Relaxed);
                    relay(&world, &client, &server, world.rng(number)).await;
                }
                drop(client);
                alive.fetch_sub(1, Relaxed);
            });
        }
        Ok(())
    }
}

async fn relay(world: &World, client: &Stream, server: &Stream, mut rng: Rng) {
    let (up, down) = (Plan::any(world, &mut rng), Plan::any(world, &mut rng));
    // Either is over when both directions have ended, or one of them is broken.
    let _ = tokio::try_join!(carry(world, client, server, up), carry(world, server, client, down));
}

impl Plan {
    fn any(world: &World, rng: &mut Rng) -> Self {
        let mut plan = Self::default();
        match rng.u32(..10) {
            0 => {
                plan.short = Some(rng.usize(1..16));
                world.tally.add_fault(Fault::ShortWrites);
            }
            1 => {
                plan.delay = Some(Duration::from_micros(rng.u64(100..5000)));
                world.tally.add_fault(Fault::Delays);
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
        // In the first head, in the first bodies, or far behind.
        let most = [100, 5_000, 500_000][rng.usize(..3)];
        plan.fault = Some((rng.u64(..most), fault));
        plan
    }

    /// How many of so many octets are passed on in one write.
    fn piece(&self, passed: u64, octets: usize) -> usize {
        let short = self.short.filter(|_| passed < SHORT).unwrap_or(octets).min(octets);
        match self.fault {
            Some((at, _)) => usize::try_from(at - passed).unwrap_or(short).min(short),
            None => short,
        }
    }
}

/// Passes on one direction to its end.
async fn carry(world: &World, from: &Stream, to: &Stream, mut plan: Plan) -> std::result::Result<(), Broken> {
    let (mut buffer, mut passed) = (vec![0; 16 * 1024], 0);
    loop {
        let octets = from.read(&mut buffer).await.map_err(|_| Broken)?;
        if octets == 0 {
            to.end();
            return Ok(());
        }
        let mut rest = &buffer[..octets];
        while !rest.is_empty() {
            if let Some((_, fault)) = plan.fault.take_if(|(at, _)| *at == passed) {
                world.tally.add_fault(fault);
                match fault {
                    Fault::Stall => sleep(STALL).await,
                    Fault::HalfClose => {
                        to.end();
                        return Ok(());
                    }
                    Fault::Reset => {
                        from.reset_on_close();
                        to.reset_on_close();
                        return Err(Broken);
                    }
                    _ => return Err(Broken),
                }
            }
            if let Some(delay) = plan.delay {
                sleep(delay).await;
            }
            let (piece, later) = rest.split_at(plan.piece(passed, rest.len()));
            to.write_all(piece).await.map_err(|_| Broken)?;
            passed += piece.len() as u64;
            rest = later;
        }
    }
}

/// A socket of the runtime that is read and written through a shared reference.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Self::Tcp(TcpStream::from_std(stream)?)
            }
            Socket::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Self::Unix(UnixStream::from_std(stream)?)
            }
        })
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.readable().await.and_then(|()| stream.try_read(buffer)),
                Self::Unix(stream) => stream.readable().await.and_then(|()| stream.try_read(buffer)),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    async fn write_all(&self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let written = match self {
                Self::Tcp(stream) => stream.writable().await.and_then(|()| stream.try_write(octets)),
                Self::Unix(stream) => stream.writable().await.and_then(|()| stream.try_write(octets)),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => octets = &octets[written?..],
            }
        }
        Ok(())
    }

    /// Nothing more is written. A peer that is gone need not be told.
    fn end(&self) {
        let _ = match self {
            Self::Tcp(stream) => shutdown(stream, Shutdown::Write),
            Self::Unix(stream) => shutdown(stream, Shutdown::Write),
        };
    }

    /// Closing it will say RST where there is such a thing.
    fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(listening: Listening) -> io::Result<Self> {
        Ok(match listening {
            Listening::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            Listening::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(listener)?)
            }
        })
    }

    async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Self::Unix(listener) => Stream::Unix(listener.accept().await?.0),
        })
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
