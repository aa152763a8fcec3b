//! The handle on a running server.

use std::sync::Arc;
use std::thread::JoinHandle;

use degu_wire::Address;

use crate::Stats;
use crate::state::{Phase, ServerState};

/// A running server. Dropping the handle begins a graceful shutdown, and does not wait for its end.
///
/// It is not tied to a runtime: [`shutdown`](Self::shutdown) works in any, and
/// [`shutdown_blocking`](Self::shutdown_blocking) without one.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct Handle {
    addresses: Vec<Address>,
    state: Arc<ServerState>,
    thread: Option<JoinHandle<()>>,
    detached: bool,
}

impl Handle {
    pub(crate) const fn new(addresses: Vec<Address>, state: Arc<ServerState>, thread: JoinHandle<()>) -> Self {
        Self { addresses, state, thread: Some(thread), detached: false }
    }

    /// Returns the address, as the kernel bound it; the first one, if there are several.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    /// Returns every address, as the kernel bound them.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Returns the counters of the server.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Stops gracefully, and waits for the end: no connection is accepted any more, every request whose whole head was
    /// read is answered with `connection: close`, connections between two requests are closed, and what is not done
    /// within [`Options::shutdown_grace`](crate::Options::shutdown_grace) is cut. Then the address is free.
    ///
    /// A response counts as done when the system has taken all of it, which delivers it also after the process has ended.
    /// To a peer that is still sending then, for example a body that the handler did not read, the response may be lost
    /// all the same: data that arrives at a closed socket resets the connection, and the peer loses what it has not read (RFC
    /// 9112 §9.6). A running
    /// server reads on for up to 30 s after its last response; a shutdown does not wait for that.
    ///
    /// # Cancel safety
    ///
    /// Once it has been polled the shutdown goes on, also when the future is dropped.
    pub async fn shutdown(self) {
        self.state.begin(Phase::Draining);
        self.ended().await;
    }

    /// Shuts down as [`shutdown`](Self::shutdown) does, on a thread that may block.
    pub fn shutdown_blocking(self) {
        self.state.begin(Phase::Draining);
        self.wait();
    }

    /// Begins what [`shutdown`](Self::shutdown) waits for.
    #[cfg(unix)]
    pub(crate) fn begin_shutdown(&self) {
        self.state.begin(Phase::Draining);
    }

    /// Drops every connection and the listening socket, and does not wait for it.
    pub fn abort(&self) {
        self.state.begin(Phase::Aborting);
    }

    /// Blocks the thread until the server has ended, for whatever reason.
    pub fn wait(mut self) {
        self.join();
    }

    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It panics only where we are wrong; the message was printed there.
            let _ = thread.join();
        }
    }

    /// Waits until the server has ended, for whatever reason.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again at any time.
    pub async fn ended(&self) {
        self.state.reached(Phase::Ended).await;
    }

    /// Lets the server run for as long as the process does, without a handle.
    pub fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.detached {
            self.state.begin(Phase::Draining);
        }
    }
}
