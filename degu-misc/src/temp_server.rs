//! A server that lives as long as a test.

use degu_server::{Address, App, Handle, Options, Server};

/// A server on its own threads. Dropping it closes its connections at once, and frees its address.
///
/// Each test can have its own server. With the port 0, [`Address::ABSTRACT`] or a path in a temporary folder, any
/// number of servers can run in parallel.
#[derive(Debug)]
pub struct TempServer {
    /// The handle of the running server. `None` after a shutdown.
    handle: Option<Handle>,
    address: Address,
}

impl TempServer {
    /// Serves `app` at an address, on one thread.
    ///
    /// # Panics
    ///
    /// If the server cannot be started, for example because the address is in use. The test cannot go on then.
    pub fn new(address: impl Into<Address>, app: impl App) -> Self {
        Self::with_options(Server::options().workers(1), address, app)
    }

    /// Starts a server as [`new`](Self::new) does, with these options.
    ///
    /// # Panics
    ///
    /// If the server cannot be started, for example because the address is in use.
    pub fn with_options(options: Options, address: impl Into<Address>, app: impl App) -> Self {
        let address = address.into();
        let started = options.bind(address.clone(), app).and_then(Server::spawn);
        let handle = started.unwrap_or_else(|error| panic!("cannot start a server at {address}: {error}"));
        Self { address: handle.address().clone(), handle: Some(handle) }
    }

    /// Returns the address, with the port or the name that the kernel chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns a blocking client for the server. The client needs no runtime.
    pub fn client(&self) -> degu_client::blocking::Client {
        degu_client::blocking::Client::new(self.address())
    }

    /// Returns an async client for the server.
    pub fn async_client(&self) -> degu_client::Client {
        degu_client::Client::new(self.address())
    }

    /// Shuts down gracefully, as a production server does. Returns when every request that was read has been answered.
    pub fn shutdown(mut self) {
        if let Some(handle) = self.handle.take() {
            handle.shutdown_blocking();
        }
    }
}

impl Drop for TempServer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.abort();
            handle.wait();
        }
    }
}
