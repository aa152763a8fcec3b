//! A server that lives as long as a test.

use degu_server::{Address, App, Handle, Options, Server};

/// A server on threads of its own, gone when dropped: its connections are cut, and its address is free again.
///
/// Each test has its own: with the port 0, [`Address::ABSTRACT`] or a path in a temporary folder, any number of them run
/// in parallel.
#[derive(Debug)]
pub struct TempServer {
    /// There until the drop.
    handle: Option<Handle>,
    address: Address,
}

impl TempServer {
    /// Serves `app` at an address, on one thread.
    ///
    /// # Panics
    ///
    /// If the address cannot be bound: a test can do nothing else about it.
    pub fn new(address: impl Into<Address>, app: impl App) -> Self {
        Self::with_options(Server::options().workers(1), address, app)
    }

    /// Starts a server as [`new`](Self::new) does, with options of the test's choice.
    ///
    /// # Panics
    ///
    /// If the address cannot be bound.
    pub fn with_options(options: Options, address: impl Into<Address>, app: impl App) -> Self {
        let address = address.into();
        let started = options.bind(address.clone(), app).and_then(Server::spawn);
        let handle = started.unwrap_or_else(|error| panic!("no server at {address}: {error}"));
        Self { address: handle.address().clone(), handle: Some(handle) }
    }

    /// Returns the address, as the kernel bound it.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns a blocking client for it: tests need no runtime.
    pub fn client(&self) -> degu_client::blocking::Client {
        degu_client::blocking::Client::new(self.address())
    }

    /// Returns an async client for it.
    pub fn async_client(&self) -> degu_client::Client {
        degu_client::Client::new(self.address())
    }

    /// Shuts down as a production server does, instead of cutting connections: returns when every request that was
    /// read has been answered.
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
