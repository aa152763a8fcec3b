//! Listening sockets over every kind of address.

mod accept;
mod unix;

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::os::unix::net::UnixListener;

use degu_wire::{Address, AddressError, AddressFault, AddressKind, Zone};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SendFlags, SocketType, bind, getsockname, listen, sockopt};

pub(crate) use accept::{Accepted, Accepting};
use unix::SocketFile;

/// How many connections may wait to be accepted. The kernel cuts it to `net.core.somaxconn`, 4,096 on Linux.
const BACKLOG: i32 = 4096;

/// A socket that listens: bound here, or handed in by whoever started the process.
///
/// ```no_run
/// use std::os::fd::AsFd;
///
/// use degu_server::{Address, Listener, Request, Server, Session};
///
/// // Socket activation as of inetd, or of systemd with `StandardInput=socket`: the socket is the standard input.
/// let activated = Listener::try_from(std::io::stdin().as_fd().try_clone_to_owned()?)?;
/// let beside = Listener::bind(Address::unix("/run/beside.sock"), Some(0o660))?;
/// let app = async |_: &mut Session, _: Request<'_>| "hello";
/// Server::options().listen([activated, beside], app)?.serve_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    /// Unlinks the file of a Unix socket when it is dropped. It goes before the socket: see [`SocketFile`].
    file: Option<SocketFile>,
    fd: OwnedFd,
    address: Address,
}

impl Listener {
    /// Binds an address, and listens: see [`Server::bind`](crate::Server::bind). `mode` is that of a Unix socket's file,
    /// and has no meaning for the other kinds.
    ///
    /// # Errors
    ///
    /// What the system says, with the address in the message.
    pub fn bind(address: impl Into<Address>, mode: Option<u32>) -> io::Result<Self> {
        let address = address.into();
        let bound = match address.kind() {
            AddressKind::V4(address) => Self::bind_ip(address.into()),
            AddressKind::V6 { ip, zone, port } => match zone {
                Zone::None if ip.is_unicast_link_local() => Err(invalid(AddressError::from(AddressFault::ZoneMissing))),
                Zone::None => Ok(0),
                Zone::Index(index) => Ok(index),
                Zone::Name(name) => zone_index(ip, name),
            }
            .and_then(|scope| Self::bind_ip(SocketAddrV6::new(ip, port, 0, scope).into())),
            AddressKind::Path(_) => Self::bind_path(&address, mode),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            AddressKind::Abstract(name) => Self::bind_unix(&rustix::net::SocketAddrUnix::new_abstract_name(name)?),
            // The unnamed address is what asks the kernel for a name; an empty abstract name would be one for all.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            AddressKind::KernelChosen => Self::bind_unix(&rustix::net::SocketAddrUnix::new_unnamed()),
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            AddressKind::Abstract(_) | AddressKind::KernelChosen => {
                Err(invalid(AddressError::from(AddressFault::AbstractUnsupported)))
            }
            _ => Err(invalid("a server binds an IP address or a Unix socket, not a DNS name")),
        };
        bound.map_err(|error| io::Error::new(error.kind(), format!("can not listen on {address}: {error}")))
    }

    /// As the kernel bound it: with the port or the name that it chose.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    fn bind_ip(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let fd = stream_socket(family)?;
        // The address of a server that has just ended is still held by its connections in TIME-WAIT.
        sockopt::set_socket_reuseaddr(&fd, true)?;
        // Accepted sockets inherit it. Every write is a whole message or as much as there is: nothing to wait for.
        sockopt::set_tcp_nodelay(&fd, true)?;
        bind(&fd, &address)?;
        listen(&fd, BACKLOG)?;
        Self::of_ip(fd)
    }

    fn of_ip(fd: OwnedFd) -> io::Result<Self> {
        let listener = TcpListener::from(fd);
        let address = listener.local_addr()?.into();
        Ok(Self { fd: listener.into(), address, file: None })
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn bind_unix(address: &rustix::net::SocketAddrUnix) -> io::Result<Self> {
        let fd = stream_socket(AddressFamily::UNIX)?;
        bind(&fd, address)?;
        listen(&fd, BACKLOG)?;
        Self::of_unix(fd)
    }

    fn of_unix(fd: OwnedFd) -> io::Result<Self> {
        let listener = UnixListener::from(fd);
        let address = Address::try_from(listener.local_addr()?).map_err(invalid)?;
        Ok(Self { fd: listener.into(), address, file: None })
    }

    fn bind_path(address: &Address, mode: Option<u32>) -> io::Result<Self> {
        address.check().map_err(invalid)?;
        let path = address.as_path().ok_or_else(|| invalid(AddressError::from(AddressFault::NotUnix)))?;
        let fd = stream_socket(AddressFamily::UNIX)?;
        let file = SocketFile::listen(&fd, path, mode, BACKLOG)?;
        Ok(Self { fd, address: address.clone(), file: Some(file) })
    }
}

/// A socket that somebody else bound, and that listens. The file of a Unix socket is left when the server ends: it belongs
/// to whoever made it.
///
/// # Errors
///
/// It is not a stream socket that listens, or its address is none that we know.
impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        // Where it can not be asked, accepting will tell.
        #[cfg(not(target_vendor = "apple"))]
        let listens = sockopt::socket_acceptconn(&fd)?;
        #[cfg(target_vendor = "apple")]
        let listens = true;
        if sockopt::socket_type(&fd)? != SocketType::STREAM || !listens {
            return Err(invalid("the descriptor is not a stream socket that listens"));
        }
        rustix::io::ioctl_fionbio(&fd, true)?;
        match getsockname(&fd)?.address_family() {
            AddressFamily::UNIX => Self::of_unix(fd),
            _ => {
                // As those that we make: see there.
                sockopt::set_tcp_nodelay(&fd, true)?;
                Self::of_ip(fd)
            }
        }
    }
}

/// What a write does when the peer is gone: an error, and no signal. Where the flag is missing it is Rust's runtime that
/// ignores SIGPIPE.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::empty();

/// A socket that never waits, and that children do not inherit.
#[cfg(not(target_vendor = "apple"))]
fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, socket_with};
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

/// A socket that never waits, and that children do not inherit, but for one that is made right now.
#[cfg(target_vendor = "apple")]
fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    as_ours(&socket)?;
    Ok(socket)
}

/// The flags that other systems set when a socket is made.
#[cfg(target_vendor = "apple")]
fn as_ours(socket: &OwnedFd) -> io::Result<()> {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok(rustix::io::ioctl_fionbio(socket, true)?)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn zone_index(_: Ipv6Addr, name: &str) -> io::Result<u32> {
    Ok(rustix::net::netdevice::name_to_index(stream_socket(AddressFamily::INET6)?, name)?)
}

/// Where rustix has no such call the resolver knows interfaces by their names.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn zone_index(ip: Ipv6Addr, name: &str) -> io::Result<u32> {
    use std::net::ToSocketAddrs;
    let found = (format!("{ip}%{name}").as_str(), 0).to_socket_addrs()?.find_map(|found| match found {
        SocketAddr::V6(found) => Some(found.scope_id()),
        SocketAddr::V4(_) => None,
    });
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no interface of that name"))
}

fn invalid(fault: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, fault)
}
