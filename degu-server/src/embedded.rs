//! A server as a value.

use std::fmt;
use std::io;
use std::ops::Deref;

use degu_wire::Address;

use crate::{App, Handle, Options, Server};

/// A server as a value, for an application without a runtime: it serves on threads of its own from the moment it is made
/// until it is dropped, and the drop waits for the graceful shutdown.
///
/// ```
/// use degu_server::{Address, EmbeddedServer, Request, Session};
///
/// let status = async |_: &mut Session, _: Request<'_>| "all is well";
/// let server = EmbeddedServer::start(Address::ABSTRACT, status)?;
/// println!("ask {}", server.address());
/// // ... the application does what it is there for ...
/// drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EmbeddedServer {
    /// `None` only within the drop.
    handle: Option<Handle>,
}

impl EmbeddedServer {
    /// Binds the address, and serves.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`], or a thread could not be started.
    pub fn start(address: impl Into<Address>, app: impl App) -> io::Result<Self> {
        Self::with_options(Server::options(), address, app)
    }

    /// Starts a server as [`start`](Self::start) does, with options.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn with_options(options: Options, address: impl Into<Address>, app: impl App) -> io::Result<Self> {
        Ok(Self { handle: Some(options.bind(address, app)?.spawn()?) })
    }
}

/// Gives the address, the counters, and a stop without waiting.
impl Deref for EmbeddedServer {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        // It is taken by the drop alone.
        self.handle.as_ref().expect("the handle is there until the drop")
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.shutdown_blocking();
        }
    }
}

impl fmt::Debug for EmbeddedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbeddedServer").field(self.address()).finish()
    }
}
