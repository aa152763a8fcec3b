//! The type [`BackgroundServer`].

use std::fmt;
use std::io;
use std::ops::Deref;

use degu_wire::Address;

use crate::{App, Handle, Options, Server};

/// A server for an application without a runtime. It serves on threads of its own until the value is dropped; the drop waits for
/// the graceful shutdown.
///
/// ```
/// use degu_server::{Address, BackgroundServer, Request, Session};
///
/// let status = async |_: &mut Session, _: Request<'_>| "all is well";
/// let server = BackgroundServer::start(Address::ABSTRACT, status)?;
/// println!("ask {}", server.address());
/// // ... the application does its work ...
/// drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BackgroundServer {
    /// `None` only during the drop.
    handle: Option<Handle>,
}

impl BackgroundServer {
    /// Binds the address, and starts to serve.
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`], or a thread could not be started.
    pub fn start(address: impl Into<Address>, app: impl App) -> io::Result<Self> {
        Self::with_options(Server::options(), address, app)
    }

    /// Starts a server with options.
    ///
    /// # Errors
    ///
    /// The errors of [`start`](Self::start).
    pub fn with_options(options: Options, address: impl Into<Address>, app: impl App) -> io::Result<Self> {
        Ok(Self { handle: Some(options.bind(address, app)?.spawn()?) })
    }
}

/// Gives access to the methods of [`Handle`] that borrow it: the address, the counters, and `abort`.
impl Deref for BackgroundServer {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        // Only the drop takes it.
        self.handle.as_ref().expect("the handle is there until the drop")
    }
}

impl Drop for BackgroundServer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.shutdown_blocking();
        }
    }
}

impl fmt::Debug for BackgroundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackgroundServer").field(self.address()).finish()
    }
}
