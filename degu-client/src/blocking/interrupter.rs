//! A handle with which one thread interrupts another thread that waits.

use std::{
    io::{self, ErrorKind},
    net::Shutdown,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use socket2::SockRef;

/// A handle that interrupts a thread while this thread waits in a method of a blocking connection. Any other thread can
/// use the handle.
///
/// Get the handle before the thread begins to wait, from [`Connection::interrupter`](crate::ConnectionOf::interrupter) or
/// [`Tunnel::interrupter`](crate::TunnelOf::interrupter). To interrupt connecting too, make the handle with
/// [`new`](Self::new) and pass it to [`Client::connect_interruptible`](super::Client::connect_interruptible). Clones
/// are the same handle. A handle does not keep its connection open.
///
/// ```
/// use std::thread;
/// use degu_client::{Address, ErrorKind, blocking::Client};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("socket");
/// // A server that accepts connections, but never answers.
/// let listener = std::os::unix::net::UnixListener::bind(&path)?;
/// let mut connection = Client::new(Address::unix(&path)).connect()?;
/// let interrupter = connection.interrupter().unwrap();
/// let waiting = thread::spawn(move || connection.get("/feed").map(drop));
/// interrupter.interrupt();
/// let error = waiting.join().unwrap().unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::Interrupted));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interrupter(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    interrupted: AtomicBool,
    /// The socket of the connection, while the connection is open.
    socket: Mutex<Weak<OwnedFd>>,
}

impl Interrupter {
    /// Returns a handle that belongs to no connection yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the current wait of the connection, or its next wait, with
    /// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted), and shuts down the socket. The server reads EOF, and
    /// the connection cannot be used again.
    ///
    /// Steps that do not wait for the socket are not interrupted: the resolution of a name, `on_connect`, the source of
    /// a request's body. After such a step, the next wait returns the error. A response that has been received in full
    /// can still be read.
    pub fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::Release);
        let socket = self.0.socket.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(socket) = socket {
            // The shutdown fails if the socket is no longer connected. Then no thread waits for the socket.
            let _ = SockRef::from(&socket).shutdown(Shutdown::Both);
        }
    }

    /// Makes this socket the socket that an interruption shuts down. The socket need not be connected yet.
    ///
    /// # Errors
    ///
    /// The handle has been interrupted before.
    pub(crate) fn attach(&self, socket: impl Into<OwnedFd>) -> io::Result<Arc<OwnedFd>> {
        let socket = Arc::new(socket.into());
        *self.0.socket.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&socket);
        if self.is_interrupted() { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(socket) }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Acquire)
    }
}
