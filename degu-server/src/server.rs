//! The type [`Server`], which binds sockets and serves an app on them.

use std::fmt;
use std::io;
use std::sync::Arc;

use degu_wire::Address;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::dispatch::Dispatcher;
#[cfg(feature = "signal")]
use crate::future::first;
use crate::handle::Handle;
use crate::listen::{Accepted, Accepting, Listener};
use crate::state::{BeginOnDrop, Phase};
use crate::stream::Socket;
use crate::worker::{Alongside, Worker};
use crate::{App, Options};

/// A server whose sockets are bound and listen. Clients can already connect, but wait until one of the `serve` methods
/// or [`spawn`](Self::spawn) is called.
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
///
/// | method | serves | until |
/// | --- | --- | --- |
/// | [`serve_forever`](Self::serve_forever) | on threads of its own, and blocks the caller | the process ends |
/// | `serve_until_signal` | on threads of its own, and blocks the caller | SIGTERM or SIGINT |
/// | [`spawn`](Self::spawn) | on threads of its own | the [`Handle`] shuts it down |
/// | [`serve_local`](Self::serve_local) | on the current `LocalRuntime` | the future is dropped |
///
/// `hyper::serve` serves a tower service on the current runtime.
pub struct Server<A> {
    /// The listening sockets, at least one.
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
    /// Binds an address, and listens, with the default options.
    ///
    /// For port 0 and for [`Address::ABSTRACT`] the kernel chooses the port or the name. [`address`](Self::address) returns it.
    /// The name `localhost` stands for 127.0.0.1 and `[::1]`, if the machine has both, otherwise for one of them. `[::]` also
    /// accepts IPv4 clients, unless [`ipv6_only`](Options::ipv6_only) is set.
    ///
    /// A stale file of a Unix socket, on which no server listens, is replaced. The file is unlinked when the server is
    /// shut down or dropped. While a server replaces or unlinks the file, the server holds a lock on the file
    /// `<path>.lock`, if the file system has locks. Meanwhile no other server of this crate can replace or unlink the
    /// file.
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

    /// Returns the bound address. If there are several, returns the first.
    pub fn address(&self) -> &Address {
        self.listeners[0].address()
    }

    /// Returns every bound address.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().flat_map(Listener::addresses)
    }

    /// Serves until the process ends, on threads of its own. The calling thread blocks.
    ///
    /// This method handles no signals. If a signal ends the process, exchanges in progress are cut, and the file of a Unix socket
    /// stays. The next server replaces that file. For a graceful shutdown use `serve_until_signal` of the feature `signal`.
    ///
    /// # Errors
    ///
    /// A thread could not be started, or the server's thread panicked.
    pub fn serve_forever(self) -> io::Result<()> {
        self.spawn()?.join()
    }

    /// Serves until the process gets SIGTERM or SIGINT, and then shuts down gracefully: see [`Handle::shutdown`]. A second signal
    /// aborts the remaining exchanges. The calling thread blocks until the server has ended.
    ///
    /// ```no_run
    /// use degu_server::{Address, Request, Server, Session};
    ///
    /// let server = Server::bind(Address::unix("/run/app.sock"), async |_: &mut Session, _: Request<'_>| "hello")?;
    /// server.serve_until_signal()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// After this method has returned, SIGTERM and SIGINT no longer end the process.
    ///
    /// # Errors
    ///
    /// A thread could not be started, a signal could not be caught, or the server's thread panicked.
    ///
    /// # Panics
    ///
    /// If it is called in a task of a tokio runtime, because such a task must not block. Use [`spawn`](Self::spawn) there.
    #[cfg(feature = "signal")]
    pub fn serve_until_signal(self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            // The signals are caught before the server starts, so no signal ends the process while a connection is open.
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

    /// Serves on the current runtime until the future is dropped. The server has no thread of its own. On Linux, deadlines follow
    /// the kernel's clock, even if the clock of the runtime is paused.
    ///
    /// # Errors
    ///
    /// A socket could not be registered with the runtime, or a task of the server panicked.
    ///
    /// # Panics
    ///
    /// If it is called outside of a `tokio::runtime::LocalRuntime` (or a `LocalSet`) with its drivers enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins a graceful shutdown. A local task finishes the exchanges in progress, so keep the runtime (or
    /// the `LocalSet`) running for that time.
    pub async fn serve_local(self) -> io::Result<()> {
        let (worker, accepted, dispatch) = Self { options: self.options.workers(1), ..self }.into_worker();
        let _ended = BeginOnDrop(worker.server.clone(), Phase::Draining);
        // The worker is a task, so it can finish its exchanges after this future is dropped.
        let work =
            tokio::task::spawn_local(async move { worker.work::<Socket>(0, accepted, dispatch).await.map(drop) });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Returns the first worker, its queue, and a function. The thread of the first worker calls the function, which
    /// starts the dispatcher there.
    fn into_worker(
        self,
    ) -> (Arc<Worker<A>>, UnboundedReceiver<Accepted>, impl FnOnce() -> io::Result<Alongside> + Send) {
        let options = Arc::new(self.options);
        let server = Arc::new(options.state());
        let worker = Arc::new(Worker { server, options, app: Arc::new(self.app) });
        let (queue, accepted) = unbounded_channel();
        let (first, listeners) = (worker.clone(), self.listeners);
        let dispatch = move || -> io::Result<Alongside> {
            let sockets = Accepting::register(listeners)?;
            Ok(Box::pin(Dispatcher::new(first, queue).run(sockets)))
        };
        (worker, accepted, dispatch)
    }

    /// Starts the server on threads of its own, and returns a handle that shuts it down.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub fn spawn(self) -> io::Result<Handle> {
        let addresses = self.addresses().cloned().collect();
        let (worker, accepted, dispatch) = self.into_worker();
        let state = worker.server.clone();
        let thread = worker.start(0, accepted, Box::new(dispatch))?;
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

/// The methods that bind sockets with these options.
impl Options {
    /// Binds an address, and listens: see [`Server::bind`].
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`].
    pub fn bind<A: App>(self, address: impl Into<Address>, app: A) -> io::Result<Server<A>> {
        let listener = self.listener(address)?;
        self.listen([listener], app)
    }

    /// Binds an address, and returns the listening socket, for [`listen`](Self::listen) or `hyper::serve`. Only the options for
    /// sockets apply: [`socket_mode`](Self::socket_mode), [`socket_owner`](Self::socket_owner) and
    /// [`ipv6_only`](Self::ipv6_only).
    ///
    /// ```
    /// use degu_server::{Address, BoxError, Request, Server, Session};
    ///
    /// let options = Server::options().socket_mode(0o600);
    /// let listeners = [Address::IPV6_LOOPBACK, Address::ABSTRACT].map(|address| options.listener(address));
    /// let listeners: Vec<_> = listeners.into_iter().collect::<Result<_, _>>()?;
    /// let server = options.listen(listeners, async |_: &mut Session, _: Request<'_>| "hello")?;
    /// assert_eq!(server.addresses().count(), 2);
    /// # Ok::<(), BoxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`].
    pub fn listener(&self, address: impl Into<Address>) -> io::Result<Listener> {
        Listener::bind(&address.into(), &self.socket)
    }

    /// Returns a server for sockets that already listen.
    ///
    /// # Errors
    ///
    /// `listeners` is empty, or an option of a socket cannot be set.
    pub fn listen<A: App>(self, listeners: impl IntoIterator<Item = Listener>, app: A) -> io::Result<Server<A>> {
        let listeners: Vec<_> = listeners.into_iter().collect();
        if listeners.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a server needs an address to listen on"));
        }
        listeners.iter().try_for_each(|listener| listener.detect_dead_peers(&self.deadlines))?;
        Ok(Server { listeners, options: self, app })
    }
}
