//! The handle on a running server.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use degu_wire::Address;

use crate::Stats;
use crate::state::{Phase, ServerState};

/// A handle on a running server. Dropping the handle begins a graceful shutdown, and does not wait for its end.
///
/// [`shutdown`](Self::shutdown) works in any runtime, and [`shutdown_blocking`](Self::shutdown_blocking) without a runtime.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct Handle {
    addresses: Vec<Address>,
    state: Arc<ServerState>,
    thread: Option<JoinHandle<io::Result<()>>>,
    detached: bool,
}

impl Handle {
    pub(crate) const fn new(
        addresses: Vec<Address>,
        state: Arc<ServerState>,
        thread: JoinHandle<io::Result<()>>,
    ) -> Self {
        Self { addresses, state, thread: Some(thread), detached: false }
    }

    /// Returns the address that the kernel bound. If there are several, returns the first.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    /// Returns every address that the kernel bound.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Returns the counters of the server.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Shuts the server down gracefully, and waits for the end. The server accepts no more connections. Every request whose whole
    /// head was received is answered with `connection: close`, and connections between two requests are closed. Exchanges that
    /// are not done within [`Options::shutdown_grace`](crate::Options::shutdown_grace) are cut. After that the address is free.
    ///
    /// A response is done when the kernel has taken all of it. The kernel delivers it even after the process has ended.
    /// The response may still be lost if the client is sending, for example a body that the handler did not read. Data that
    /// arrives at a closed socket resets the connection, and the client then loses the bytes that it has not read (RFC 9112
    /// §9.6). To prevent this, a running server reads for up to 30 s after its last response. A shutdown does not wait for
    /// that.
    ///
    /// # Cancel safety
    ///
    /// Once the future has been polled, the shutdown goes on even if it is dropped.
    pub async fn shutdown(self) {
        self.begin_shutdown();
        self.ended().await;
    }

    /// Shuts down as [`shutdown`](Self::shutdown) does, and blocks the calling thread until the end.
    pub fn shutdown_blocking(self) {
        self.begin_shutdown();
        self.wait();
    }

    /// Begins the [`shutdown`](Self::shutdown), and does not wait for it.
    pub(crate) fn begin_shutdown(&self) {
        self.state.begin(Phase::Draining);
    }

    /// Closes every connection and the listening sockets at once, and does not wait until that is done.
    pub fn abort(&self) {
        self.state.begin(Phase::Aborting);
    }

    /// Blocks the thread until the server has ended, for whatever reason.
    pub fn wait(mut self) {
        // The message of a panic was printed.
        let _ = self.join();
    }

    /// Blocks the thread until the server has ended.
    ///
    /// # Errors
    ///
    /// The server could not start, or its thread panicked.
    pub(crate) fn join(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        join(thread)
    }

    /// Waits until the server has ended, for whatever reason.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and made again at any time.
    pub async fn ended(&self) {
        self.state.reached(Phase::Ended).await;
    }

    /// Lets the server run until the process ends, without a handle.
    pub fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.detached {
            self.begin_shutdown();
        }
    }
}

/// Waits for the end of a thread of the server.
pub(crate) fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the server's thread panicked")))
}
