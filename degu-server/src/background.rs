//! The type [`BackgroundServer`].

use std::io;
use std::ops::Deref;

use degu_wire::Address;

use crate::{App, Handle, Options, Server};

/// A server for an application without an async runtime. The server has threads of its own. Dropping the value shuts the server
/// down gracefully, and waits for the end of the shutdown.
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
#[derive(Debug)]
pub struct BackgroundServer(Handle);

impl BackgroundServer {
    /// Binds the address, and starts a server with the default options.
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`], or a thread could not be started.
    pub fn start(address: impl Into<Address>, app: impl App) -> io::Result<Self> {
        Self::with_options(Server::options(), address, app)
    }

    /// Binds the address, and starts a server with these options.
    ///
    /// # Errors
    ///
    /// The errors of [`start`](Self::start).
    pub fn with_options(options: Options, address: impl Into<Address>, app: impl App) -> io::Result<Self> {
        Ok(Self(options.bind(address, app)?.spawn()?))
    }
}

/// Gives access to the methods of [`Handle`] that take `&self`.
impl Deref for BackgroundServer {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.0
    }
}

impl Drop for BackgroundServer {
    fn drop(&mut self) {
        self.0.begin_shutdown();
        // If the server panicked, the panic hook has already printed the message.
        let _ = self.0.join();
    }
}
