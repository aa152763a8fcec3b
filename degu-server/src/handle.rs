//! The type [`Handle`], which shuts a running server down.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use degu_wire::Address;

use crate::Stats;
use crate::state::{Phase, ServerState};

/// A handle on a running server. Dropping the handle begins a graceful shutdown, and does not wait for its end.
///
/// [`shutdown`](Self::shutdown) works in any async runtime. [`shutdown_blocking`](Self::shutdown_blocking) needs none.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct Handle {
    addresses: Vec<Address>,
    state: Arc<ServerState>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Handle {
    pub(crate) const fn new(
        addresses: Vec<Address>,
        state: Arc<ServerState>,
        thread: JoinHandle<io::Result<()>>,
    ) -> Self {
        Self { addresses, state, thread: Some(thread) }
    }

    /// Returns the bound address. If there are several, returns the first.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    /// Returns every bound address.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Returns the counters of the server.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Shuts the server down gracefully, and waits for the end:
    ///
    /// 1. The server accepts the connections that the kernel has queued, for at most 4 s, and then no more. The limit
    ///    [`max_connections`](crate::Options::max_connections) still applies. The server closes connections between two requests.
    /// 2. On each connection, the server completes a response that has begun. The server then answers at most one more request,
    ///    if at least a part of its head was received. This response has `connection: close`. Later requests that the client
    ///    has pipelined are not answered.
    /// 3. The server cuts exchanges that are not done within
    ///    [`Options::shutdown_grace`](crate::Options::shutdown_grace).
    /// 4. The address is free.
    ///
    /// A response is done when the kernel has taken all of its bytes. The kernel delivers these bytes even after the process
    /// has ended. The client may lose the response only if it still sends, for example a body that the handler did not read.
    /// Such data resets the closed connection, and the client then loses the bytes that it has not read (RFC 9112 §9.6). A
    /// running server prevents this, because it reads for up to 30 s after the last response of a connection. A shutdown does
    /// not wait for these reads.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. The shutdown then begins or continues without a task that waits for it.
    pub async fn shutdown(self) {
        self.begin_shutdown();
        self.ended().await;
    }

    /// Shuts down as [`shutdown`](Self::shutdown) does, and blocks the calling thread until the end.
    pub fn shutdown_blocking(self) {
        self.begin_shutdown();
        self.wait();
    }

    /// Begins the [`shutdown`](Self::shutdown), and does not wait for its end.
    pub(crate) fn begin_shutdown(&self) {
        self.state.begin(Phase::Draining);
    }

    /// Begins to close all connections and the listening sockets. Exchanges in progress are cut. Does not wait for the end.
    pub fn abort(&self) {
        self.state.begin(Phase::Aborting);
    }

    /// Blocks the thread until the server has ended for any reason.
    pub fn wait(mut self) {
        // If the server panicked, the panic hook has already printed the message.
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

    /// Waits until the server has ended for any reason.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. A later call waits for the same event.
    pub async fn ended(&self) {
        self.state.reached(Phase::Ended).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.begin_shutdown();
    }
}

/// Waits for the end of a thread of the server. A panic of the thread becomes an error.
pub(crate) fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the server's thread panicked")))
}
