//! A server, from its socket to its end.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::{self, JoinHandle};

use degu_wire::Address;
use tokio::sync::watch;

use crate::acceptor::{self, Accepting, Shared};
use crate::listen::Listener;
use crate::worker;
use crate::{App, Options};

/// How far a server is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Exchanges under way are finished, nothing new is begun.
    Draining,
    /// Everything is dropped.
    Aborting,
    /// All threads are done.
    Ended,
}

/// A bound and listening server: clients can connect already, and wait until it is served.
///
/// ```
/// use degu_server::{Address, IntoResponse, Method, Request, Response, Server, Session};
///
/// async fn app(_: &mut Session, request: Request<'_>) -> Response {
///     match (request.method(), request.path()) {
///         (Method::Get, ["example"]) => (200, "OK", "hello, world").into_response(),
///         (Method::Get, _) => (404, "Not Found", ()).into_response(),
///         _ => (405, "Method Not Allowed", ()).into_response(),
///     }
/// }
///
/// let server = Server::bind(Address::IPV6_LOOPBACK, app)?;
/// println!("listening on {}", server.address());
/// let handle = server.spawn()?;
/// handle.shutdown_blocking();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Server<A> {
    listener: Listener,
    options: Options,
    app: A,
}

impl Server<()> {
    /// The options, for a server that is to differ from the default.
    pub fn options() -> Options {
        Options::new()
    }
}

impl<A: App> Server<A> {
    /// Binds an address, and listens.
    ///
    /// The port 0 and [`Address::ABSTRACT`] leave the choice to the kernel: [`address`](Self::address) says what it was.
    /// The file of a Unix socket is replaced if nobody listens behind it, and unlinked when the server ends. While it is
    /// bound and unlinked, a file of the same name with `.lock` at its end stands beside it.
    ///
    /// # Errors
    ///
    /// What the system says, with the address in the message: the address is in use, or is not one of this machine, or
    /// the process may not use it. A DNS name can not be bound.
    pub fn bind(address: impl Into<Address>, app: A) -> io::Result<Self> {
        Options::new().bind(address, app)
    }

    pub(crate) const fn new(listener: Listener, options: Options, app: A) -> Self {
        Self { listener, options, app }
    }

    /// The address, as the kernel bound it.
    pub const fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Serves until the process ends, on threads of its own; the calling thread waits.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub fn serve_forever(self) -> io::Result<()> {
        self.spawn()?.wait();
        Ok(())
    }

    /// Serves until the future is dropped, which begins a graceful shutdown. It works on threads of its own, so any
    /// runtime will do.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    ///
    /// # Cancel safety
    ///
    /// Dropping it is how to stop: see [`Handle`], which can wait for the end.
    pub async fn serve(self) -> io::Result<()> {
        let handle = self.spawn()?;
        handle.ended().await;
        Ok(())
    }

    /// Serves on threads of its own.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub fn spawn(self) -> io::Result<Handle> {
        let address = self.address().clone();
        let (phase, _) = watch::channel(Phase::Running);
        let phase = Arc::new(phase);
        let shared = Arc::new(Shared::new(self.options, self.app, phase.clone()));
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let listener = self.listener;
        let thread = thread::Builder::new().name("degu-0".into()).spawn(move || {
            let _ended = Ended(shared.phase.clone());
            worker::run(&shared, 0, |jobs| {
                let listener = Accepting::new(listener)?;
                let _ = started.send(Ok(()));
                Ok(acceptor::run(listener, shared.clone(), jobs))
            })
            .unwrap_or_else(|error| {
                // Where it has started nobody waits for this any more, and there is no error after that.
                let _ = started.send(Err(error));
            });
        })?;
        let handle = Handle { address, phase, thread: Some(thread), detached: AtomicBool::new(false) };
        match start.recv() {
            Ok(Ok(())) => Ok(handle),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the server's thread ended before it began")),
        }
    }
}

/// Says that all threads are done, also if one of ours should panic.
struct Ended(Arc<watch::Sender<Phase>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_replace(Phase::Ended);
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", self.listener.address())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A running server. Dropping the handle begins a graceful shutdown, and does not wait for its end.
///
/// It is not tied to a runtime: [`shutdown`](Self::shutdown) works in any, and
/// [`shutdown_blocking`](Self::shutdown_blocking) without one.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct Handle {
    address: Address,
    phase: Arc<watch::Sender<Phase>>,
    thread: Option<JoinHandle<()>>,
    detached: AtomicBool,
}

impl Handle {
    /// The address, as the kernel bound it.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Stops gracefully, and waits for the end: no connection is accepted any more, every request whose whole head was
    /// read is answered with `connection: close`, connections between two requests are closed, and what is not done
    /// within [`Options::shutdown_grace`] is cut. Then the address is free.
    ///
    /// # Cancel safety
    ///
    /// Once it has been polled the shutdown goes on, also when the future is dropped.
    pub async fn shutdown(self) {
        self.begin(Phase::Draining);
        self.ended().await;
    }

    /// As [`shutdown`](Self::shutdown), on a thread that may block.
    pub fn shutdown_blocking(self) {
        self.begin(Phase::Draining);
        self.wait();
    }

    /// Drops every connection and the listening socket, and does not wait for it.
    pub fn abort(&self) {
        self.begin(Phase::Aborting);
    }

    /// Blocks the thread until the server has ended, for whatever reason.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // It panics only where we are wrong; the message was printed there.
            let _ = thread.join();
        }
    }

    /// Lets the server run for as long as the process does, without a handle.
    pub fn detach(self) {
        self.detached.store(true, Ordering::Relaxed);
    }

    /// Ends when the server has ended, for whatever reason.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again at any time.
    pub async fn ended(&self) {
        let mut phase = self.phase.subscribe();
        // The sender is ours, so it is there.
        let _ = phase.wait_for(|phase| *phase == Phase::Ended).await;
    }

    /// A phase is never left for an earlier one.
    fn begin(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = (*phase as u8) < (next as u8);
            if later {
                *phase = next;
            }
            later
        });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !*self.detached.get_mut() {
            self.begin(Phase::Draining);
        }
    }
}

/// Which of two futures is ready first: the first, if both are.
pub(crate) async fn first<A: Future, B: Future>(a: A, b: B) -> Result<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(output) = a.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        b.as_mut().poll(cx).map(Err)
    })
    .await
}
