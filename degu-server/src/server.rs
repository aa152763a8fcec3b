//! The type [`Server`]: it binds its sockets, serves an app on them, and returns when it is shut down.

use std::fmt;
use std::io;
use std::sync::Arc;

use degu_wire::Address;
use tokio::sync::mpsc::unbounded_channel;

use crate::dispatch::Dispatcher;
#[cfg(feature = "signal")]
use crate::future::first;
use crate::handle::Handle;
use crate::listen::{Accepting, Listener};
use crate::state::{BeginOnDrop, Phase};
use crate::stream::Socket;
use crate::worker::{Alongside, Worker};
use crate::{App, Options};

/// A server whose sockets are bound and listen. Clients can connect already, and wait until one of the `serve` methods runs.
///
/// ```
/// use degu_server::{Address, Method, Request, Response, Server, Session};
///
/// async fn app(_: &mut Session, request: Request<'_>) -> Response {
///     match (request.method(), request.segments()) {
///         (Method::Get | Method::Head, ["example"]) => "hello, world".into(),
///         (Method::Get | Method::Head, _) => 404.into(),
///         _ => (405, [("allow", "GET, HEAD")], ()).into(),
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
    /// At least one.
    listeners: Vec<Listener>,
    options: Options,
    app: A,
}

impl Server<()> {
    /// Returns the default options, which the caller can change.
    pub fn options() -> Options {
        Options::new()
    }
}

impl<A: App> Server<A> {
    /// Binds an address, and listens.
    ///
    /// For port 0 and [`Address::ABSTRACT`] the kernel chooses the port or the name, which [`address`](Self::address) returns. The
    /// name `localhost` stands for 127.0.0.1 and `[::1]`, as far as the machine has both. `[::]` accepts IPv4 clients too,
    /// unless [`ipv6_only`](Options::ipv6_only) is set.
    ///
    /// The file of a Unix socket is replaced if no server listens on it, and unlinked when the server is shut down or
    /// dropped. During these steps, a file next to it with the same name and `.lock` at its end is locked, if the file system
    /// has locks.
    ///
    /// # Errors
    ///
    /// An error of the system, with the address in the message:
    ///
    /// - The address is in use, does not belong to this machine, or may not be used by this process.
    /// - Another process holds the lock on a Unix socket's file for over a second.
    /// - A stale file of a Unix socket cannot be removed.
    /// - The address is a DNS name other than `localhost`.
    pub fn bind(address: impl Into<Address>, app: A) -> io::Result<Self> {
        Options::new().bind(address, app)
    }

    pub(crate) const fn new(listeners: Vec<Listener>, options: Options, app: A) -> Self {
        Self { listeners, options, app }
    }

    /// Returns the address that the kernel bound. If there are several, returns the first.
    pub fn address(&self) -> &Address {
        self.listeners[0].address()
    }

    /// Returns every address that the kernel bound.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().flat_map(Listener::addresses)
    }

    /// Serves until the process ends, on threads of its own. The calling thread blocks.
    ///
    /// This method handles no signals. A signal that ends the process cuts the exchanges in progress. It leaves the file of a Unix
    /// socket, which the next server replaces. `serve_until_signal`, of the feature `signal`, ends cleanly.
    ///
    /// # Errors
    ///
    /// A thread could not be started, or the server's thread panicked.
    pub fn serve_forever(self) -> io::Result<()> {
        self.spawn()?.join()
    }

    /// Serves until the process gets SIGTERM or SIGINT, and then shuts down gracefully as [`Handle::shutdown`] does. A second
    /// signal aborts the remaining exchanges. The calling thread blocks, and returns when the address is free.
    ///
    /// ```no_run
    /// use degu_server::{Address, Request, Server, Session};
    ///
    /// let server = Server::bind(Address::unix("/run/app.sock"), async |_: &mut Session, _: Request<'_>| "hello")?;
    /// server.serve_until_signal()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// The two signals stay caught after the return, so they no longer end the process.
    ///
    /// # Errors
    ///
    /// A thread could not be started, a signal could not be caught, or the server's thread panicked.
    ///
    /// # Panics
    ///
    /// If it is called in a task of a tokio runtime, because such a task must not block. Use [`serve`](Self::serve) there.
    #[cfg(feature = "signal")]
    pub fn serve_until_signal(self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            // The signals are caught before there is a connection that a signal could cut.
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let mut handle = self.spawn()?;
            for end in [Handle::begin_shutdown, Handle::abort] {
                let signalled = first(terminate.recv(), interrupt.recv());
                if first(handle.ended(), signalled).await.is_ok() {
                    break;
                }
                end(&handle);
            }
            handle.ended().await;
            handle.join()
        })
    }

    /// Serves until the future is dropped, which begins a graceful shutdown. The server has threads of its own, so the future
    /// works in any runtime.
    ///
    /// # Errors
    ///
    /// A thread could not be started, or the server's thread panicked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins the graceful shutdown, and does not wait for its end. A [`Handle`] can also wait for the end.
    pub async fn serve(self) -> io::Result<()> {
        let mut handle = self.spawn()?;
        handle.ended().await;
        handle.join()
    }

    /// Serves on the current runtime, without a thread of its own, until the future is dropped. The drop begins a graceful
    /// shutdown. A local task finishes the exchanges in progress, so keep the runtime (or the `LocalSet`) running for them. On
    /// Linux deadlines follow the kernel's clock, even if the clock of the runtime is paused.
    ///
    /// # Errors
    ///
    /// A socket could not be registered with the runtime.
    ///
    /// # Panics
    ///
    /// If it is called outside of a `tokio::runtime::LocalRuntime` (or a `LocalSet`) with its drivers enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins the graceful shutdown.
    pub async fn serve_local(self) -> io::Result<()> {
        let (listeners, worker) = Self { options: self.options.workers(1), ..self }.into_worker();
        let _ended = BeginOnDrop(worker.server.clone(), Phase::Draining);
        let sockets = Accepting::register(listeners)?;
        // A task of its own can finish its exchanges after this future is dropped.
        let work = tokio::task::spawn_local(async move {
            let (queue, accepted) = unbounded_channel();
            let first = worker.clone();
            worker.work::<Socket>(accepted, || Ok(Box::pin(Dispatcher::new(first, queue).run(sockets)))).await.map(drop)
        });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Returns the sockets, and the first worker.
    fn into_worker(self) -> (Vec<Listener>, Worker<A>) {
        let options = Arc::new(self.options);
        let server = Arc::new(options.state());
        (self.listeners, Worker { server, options, app: Arc::new(self.app), index: 0 })
    }

    /// Starts the server on threads of its own, and returns a handle that shuts it down.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub fn spawn(self) -> io::Result<Handle> {
        let addresses = self.addresses().cloned().collect();
        let (listeners, worker) = self.into_worker();
        let state = worker.server.clone();
        let (queue, accepted) = unbounded_channel();
        let first = worker.clone();
        let dispatch = move || -> io::Result<Alongside> {
            let sockets = Accepting::register(listeners)?;
            Ok(Box::pin(Dispatcher::new(first, queue).run(sockets)))
        };
        let thread = worker.start(accepted, Box::new(dispatch))?;
        Ok(Handle::new(addresses, state, thread))
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listeners", &self.listeners)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Makes a server with these options.
impl Options {
    /// Binds an address, and listens: see [`Server::bind`].
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`].
    pub fn bind<A: App>(self, address: impl Into<Address>, app: A) -> io::Result<Server<A>> {
        self.bind_all([address.into()], app)
    }

    /// Binds several addresses for one server.
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`], or there is no address.
    pub fn bind_all<A: App>(self, addresses: impl IntoIterator<Item = Address>, app: A) -> io::Result<Server<A>> {
        let listeners = addresses.into_iter().map(|address| self.listener(address)).collect::<io::Result<Vec<_>>>()?;
        self.listen(listeners, app)
    }

    /// Returns a socket that listens on an address, for [`listen`](Self::listen) or `hyper::serve`. Only the options for sockets
    /// apply to it: [`socket_mode`](Self::socket_mode), [`socket_owner`](Self::socket_owner) and
    /// [`ipv6_only`](Self::ipv6_only).
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`].
    pub fn listener(&self, address: impl Into<Address>) -> io::Result<Listener> {
        Listener::bind_with(&address.into(), &self.socket)
    }

    /// Returns a server for sockets that listen already.
    ///
    /// # Errors
    ///
    /// There is no socket, or the system reports an error about one.
    pub fn listen<A: App>(self, listeners: impl IntoIterator<Item = Listener>, app: A) -> io::Result<Server<A>> {
        let listeners: Vec<_> = listeners.into_iter().collect();
        if listeners.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a server needs an address to listen on"));
        }
        listeners.iter().try_for_each(|listener| listener.detect_dead_peers(&self.deadlines))?;
        Ok(Server::new(listeners, self, app))
    }
}
