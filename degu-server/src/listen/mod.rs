//! Listening sockets over every kind of address.

mod accept;
mod unix;

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::Duration;

use degu_wire::{Address, AddressError, AddressFault, SocketName};
use nix::libc::EAFNOSUPPORT;
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

pub(crate) use accept::{Accepted, Accepting, register};
use unix::{BACKLOG, SocketFile};

use crate::options::{Deadlines, SocketOptions};

/// The TCP keep-alive: the kernel sends 3 probes after 30 s without input, one every 15 s, and then gives up.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(15)).with_retries(3);

/// The number of attempts to bind `localhost` with port 0. An attempt fails if the port that the kernel has chosen for IPv4 is
/// in use for IPv6.
const TRIES: u32 = 16;

/// A listening socket. It was bound by [`Options::listener`](crate::Options::listener), or inherited from a parent process.
///
/// ```no_run
/// use std::os::fd::AsFd;
///
/// use degu_server::{Address, Listener, Request, Server, Session};
///
/// // Socket activation of inetd, or of systemd with `StandardInput=socket`: the standard input is the socket.
/// let activated = Listener::try_from(std::io::stdin().as_fd().try_clone_to_owned()?)?;
/// let options = Server::options().socket_mode(0o660);
/// let beside = options.listener(Address::unix("/run/beside.sock"))?;
/// let app = async |_: &mut Session, _: Request<'_>| "hello";
/// options.listen([activated, beside], app)?.serve_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    /// One socket, or two for `localhost`.
    sockets: Vec<Bound>,
}

/// A listening socket, with its address. A Unix socket that this process has bound also has a file.
#[derive(Debug)]
struct Bound {
    /// The file of a Unix socket, if this process has bound the socket. Dropping the [`SocketFile`] unlinks the file. This
    /// field is declared before `socket`, so the file is unlinked before the socket is closed.
    file: Option<SocketFile>,
    socket: Socket,
    address: Address,
}

impl Listener {
    pub(crate) fn bind(address: &Address, options: &SocketOptions) -> io::Result<Self> {
        match Bound::all(address, options) {
            Ok(sockets) => Ok(Self { sockets }),
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))),
        }
    }

    /// Sets the socket options by which the kernel detects TCP peers that vanish without FIN or RST, for example because a cable
    /// was pulled. Accepted connections inherit these options.
    ///
    /// Keep-alive probes detect such peers on idle connections. The TCP user timeout detects them if sent bytes are not
    /// acknowledged. The TCP user timeout also runs while a living peer has no room for more bytes. This timeout must
    /// therefore be at least as long as the server waits for a write: two windows of the minimum rate, and up to a
    /// second more for each window.
    pub(crate) fn detect_dead_peers(&self, deadlines: &Deadlines) -> io::Result<()> {
        for Bound { socket, .. } in self.sockets.iter().filter(|bound| !bound.address.is_unix()) {
            socket.set_tcp_keepalive(&KEEPALIVE)?;
            #[cfg(any(target_os = "android", target_os = "linux"))]
            if deadlines.progress.window < u32::MAX {
                let timeout = Duration::from_secs(2 * (u64::from(deadlines.progress.window) + 1));
                // The kernel refuses longer times.
                let timeout = timeout.min(Duration::from_millis(i32::MAX as u64));
                socket.set_tcp_user_timeout(Some(timeout))?;
            }
            let _ = deadlines;
        }
        Ok(())
    }

    /// Returns the bound address, with the port or the name that the kernel chose. If there are several (`localhost`), returns
    /// the first.
    pub fn address(&self) -> &Address {
        &self.sockets[0].address
    }

    /// Returns every bound address: `localhost` has one for IPv4 and one for IPv6.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.sockets.iter().map(|bound| &bound.address)
    }
}

impl Bound {
    /// Binds the sockets of an address, at least one.
    fn all(address: &Address, options: &SocketOptions) -> io::Result<Vec<Self>> {
        let bound = match address.to_socket(interface_index)? {
            SocketName::Ip(ip) => Self::ip(ip, options),
            SocketName::Unix(name) => Self::unix(address, &name, options),
            SocketName::Dns { host: "localhost" | "localhost.", port } => return Self::localhost(port, options),
            SocketName::Dns { .. } => Err(invalid(
                "a server cannot listen on a DNS name: give an IP address, `localhost` or a Unix socket (`[::]` is every \
                 address of this machine, `0.0.0.0` every IPv4 address)",
            )),
        };
        Ok(vec![bound?])
    }

    fn ip(ip: SocketAddr, options: &SocketOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(ip), Type::STREAM, None)?;
        // Without this option, binding would fail while connections of a previous server are in TIME-WAIT.
        socket.set_reuse_address(true)?;
        if ip.is_ipv6() {
            // The option is always set, because the system's default (`net.ipv6.bindv6only`) may differ between machines.
            socket.set_only_v6(options.ipv6_only)?;
        }
        socket.bind(&ip.into())?;
        socket.listen(BACKLOG)?;
        Self::new(socket, None)
    }

    fn unix(address: &Address, name: &OsStr, options: &SocketOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let Some(path) = address.as_path() else {
            socket.bind(&SockAddr::unix(name)?)?;
            socket.listen(BACKLOG)?;
            return Self::new(socket, None);
        };
        let file = SocketFile::listen(&socket, path, options)?;
        Self::new(socket, Some(file))
    }

    /// Binds the IPv4 and the IPv6 loopback address with the same port. For port 0 the kernel chooses the port.
    fn localhost(port: u16, options: &SocketOptions) -> io::Result<Vec<Self>> {
        for _ in 1..TRIES {
            match Self::loopbacks(port, options) {
                // The port that the kernel chose for IPv4 is in use for IPv6.
                Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                bound => return bound,
            }
        }
        Self::loopbacks(port, options)
    }

    /// Binds the loopback addresses of the machine. At least one of IPv4 and IPv6 must exist.
    fn loopbacks(mut port: u16, options: &SocketOptions) -> io::Result<Vec<Self>> {
        let (mut bound, mut absent) = (Vec::new(), None);
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            match Self::ip((ip, port).into(), options) {
                Ok(socket) => {
                    port = socket.address.port().unwrap_or(port);
                    bound.push(socket);
                }
                Err(error) if is_absent(&error) => absent = Some(error),
                Err(error) => return Err(io::Error::new(error.kind(), format!("{ip}: {error}"))),
            }
        }
        match absent {
            Some(error) if bound.is_empty() => Err(error),
            _ => Ok(bound),
        }
    }

    fn new(socket: Socket, file: Option<SocketFile>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        if !address.is_unix() {
            // Accepted sockets inherit TCP_NODELAY. Each write contains all ready bytes, so the kernel need not wait for more.
            socket.set_tcp_nodelay(true)?;
        }
        let address = address_of(&address).ok_or(AddressError::from(AddressFault::Unnamed))?;
        Ok(Self { file, socket, address })
    }
}

/// Converts a listening socket that another process, or another part of the program, has bound. When the
/// server ends, it does not remove the file of such a Unix socket.
///
/// # Errors
///
/// The descriptor is not a listening stream socket, or its address cannot be represented as an [`Address`].
impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        if socket.r#type().ok() != Some(Type::STREAM) || !is_listening(&socket)? {
            return Err(invalid("the descriptor is not a listening stream socket"));
        }
        Ok(Self { sockets: vec![Bound::new(socket, None)?] })
    }
}

/// Returns the index of a network interface. The function asks the system's resolver for an IP address with this zone. The
/// resolver finds the index without a name server.
fn interface_index(name: &str) -> io::Result<u32> {
    match (format!("fe80::1%{name}"), 0).to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(SocketAddr::V6(address))) => Ok(address.scope_id()),
        _ => Err(invalid("the zone is not a network interface of this machine")),
    }
}

/// Returns whether a stream socket listens. On systems that do not report this, every socket that is not connected counts as
/// listening.
fn is_listening(socket: &Socket) -> io::Result<bool> {
    #[cfg(any(target_os = "android", target_os = "freebsd", target_os = "linux"))]
    {
        socket.is_listener()
    }
    #[cfg(not(any(target_os = "android", target_os = "freebsd", target_os = "linux")))]
    {
        Ok(socket.peer_addr().is_err())
    }
}

/// Returns whether an error means that the machine does not have the address or its address family.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Returns the address of one end of a socket, or `None` for a Unix socket without a name. Most clients have no name.
fn address_of(address: &SockAddr) -> Option<Address> {
    match (address.as_socket(), address.as_pathname()) {
        (Some(ip), _) => Some(ip.into()),
        (_, Some(path)) => Some(Address::unix(path)),
        _ => Address::abstract_name(address.as_abstract_namespace()?).ok(),
    }
}

fn invalid(fault: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_notice_a_pulled_cable() {
        let options = crate::Server::options().progress(1024, Duration::from_secs(60));
        let listener = options.listener(Address::IPV4_LOOPBACK).unwrap();
        listener.detect_dead_peers(&options.deadlines).unwrap();
        let address = std::net::SocketAddr::try_from(listener.address()).unwrap();
        let _peer = std::net::TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.sockets[0].socket.accept().unwrap();
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        #[cfg(any(target_os = "android", target_os = "linux"))]
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(Duration::from_secs(122)));
    }

    #[test]
    fn a_rate_over_weeks_can_be_set() {
        let options = crate::Server::options().progress(1, Duration::from_secs(60 * 86_400));
        let listener = options.listener(Address::IPV4_LOOPBACK).unwrap();
        listener.detect_dead_peers(&options.deadlines).unwrap();
    }
}
