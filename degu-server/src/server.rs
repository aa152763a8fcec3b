//! A server, from its socket to its end.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use degu_wire::Address;

use crate::dispatch::Dispatcher;
#[cfg(unix)]
use crate::future::first;
use crate::handle::Handle;
use crate::listen::{Accepting, Listener};
use crate::state::{BeginOnDrop, Phase};
use crate::stream::Socket;
use crate::worker::Worker;
use crate::{App, Options};

/// A bound and listening server: clients can connect already, and wait until it is served.
///
/// ```
/// use degu_server::{Address, Method, Request, Response, Server, Session};
///
/// async fn app(_: &mut Session, request: Request<'_>) -> Response {
///     match (request.method(), request.segments()) {
///         (Method::Get, ["example"]) => "hello, world".into(),
///         (Method::Get, _) => 404.into(),
///         _ => (405, [("allow", "GET")], ()).into(),
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
    /// The sockets: at least one.
    listeners: Vec<Listener>,
    options: Options,
    app: A,
}

impl Server<()> {
    /// Returns the default options, to change some.
    pub fn options() -> Options {
        Options::new()
    }
}

impl<A: App> Server<A> {
    /// Binds an address, and listens.
    ///
    /// The port 0 and [`Address::ABSTRACT`] leave the choice to the kernel: [`address`](Self::address) says what it was. The
    /// name `localhost` stands for 127.0.0.1 and `[::1]`, as far as the machine has both; `[::]` takes IPv4 clients too,
    /// unless [`ipv6_only`](Options::ipv6_only) is set.
    ///
    /// The file of a Unix socket is replaced if no server listens on it, and unlinked when the server is shut down or
    /// dropped. While it is bound and unlinked, a file of the same name with `.lock` at its end is locked next to it,
    /// where the file system has locks.
    ///
    /// # Errors
    ///
    /// What the system says, with the address in the message: the address is in use, or is not one of this machine, or
    /// the process may not use it; another process holds the lock on a Unix socket's file for over a second; a stale file
    /// cannot be removed. No other DNS name than `localhost` can be bound.
    pub fn bind(address: impl Into<Address>, app: A) -> io::Result<Self> {
        Options::new().bind(address, app)
    }

    pub(crate) const fn new(listeners: Vec<Listener>, options: Options, app: A) -> Self {
        Self { listeners, options, app }
    }

    /// Returns the address, as the kernel bound it; the first one, if there are several.
    pub fn address(&self) -> &Address {
        self.listeners[0].address()
    }

    /// Returns every address, as the kernel bound them.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().flat_map(Listener::addresses)
    }

    /// Serves until the process ends, on threads of its own; the calling thread waits.
    ///
    /// It handles no signals: one that ends the process cuts what is under way, and leaves the file of a Unix socket, which
    /// the next server replaces. [`serve_until_signal`](Self::serve_until_signal) ends cleanly.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub fn serve_forever(self) -> io::Result<()> {
        self.spawn()?.wait();
        Ok(())
    }

    /// Serves until the process gets SIGTERM or SIGINT, then shuts down gracefully as [`Handle::shutdown`] does. A second
    /// signal aborts what is left. The calling thread waits, and returns when the address is free.
    ///
    /// ```no_run
    /// use degu_server::{Address, Request, Server, Session};
    ///
    /// let server = Server::bind(Address::unix("/run/app.sock"), async |_: &mut Session, _: Request<'_>| "hello")?;
    /// server.serve_until_signal()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// The two signals stay caught for the rest of the process: after the return they end it no more.
    ///
    /// # Errors
    ///
    /// A thread could not be started, or a signal could not be caught.
    ///
    /// # Panics
    ///
    /// In a task of a tokio runtime, which must not block: [`serve`](Self::serve) works there.
    #[cfg(unix)]
    pub fn serve_until_signal(self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            // Caught before there is a connection that a signal could cut.
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
            handle.join();
            Ok(())
        })
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
        self.spawn()?.ended().await;
        Ok(())
    }

    /// Serves on the runtime that it is called in, without a thread of its own, until the future is dropped: which begins
    /// a graceful shutdown, for as long as the runtime lives on. On Linux deadlines follow the kernel's clock, also where
    /// that of the runtime is paused.
    ///
    /// # Errors
    ///
    /// A socket could not be registered with the runtime.
    ///
    /// # Panics
    ///
    /// Outside of a `tokio::runtime::LocalRuntime` (or a `LocalSet`) with its drivers enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping it is how to stop.
    pub async fn serve_local(self) -> io::Result<()> {
        let options = Arc::new(self.options.workers(1));
        let server = Arc::new(options.state());
        let _ended = BeginOnDrop(server.clone(), Phase::Draining);
        let sockets = Accepting::register(self.listeners)?;
        let app = Arc::new(self.app);
        // A task, so that it can finish what it has when this future is dropped.
        let work = tokio::task::spawn_local(async move {
            let worker = Worker { server: server.clone(), options: options.clone(), app: app.clone(), index: 0 };
            worker.work::<Socket, _>(|queue| Ok(Dispatcher::new(server, options, app, queue).run(sockets))).await
        });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Serves on threads of its own.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub fn spawn(self) -> io::Result<Handle> {
        let addresses = self.addresses().cloned().collect();
        let options = Arc::new(self.options);
        let state = Arc::new(options.state());
        let (listeners, app) = (self.listeners, Arc::new(self.app));
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let server = state.clone();
        let thread = thread::Builder::new().name("degu-0".into()).spawn(move || {
            let _ended = BeginOnDrop(server.clone(), Phase::Ended);
            let worker = Worker { server: server.clone(), options: options.clone(), app: app.clone(), index: 0 };
            let ended = worker.run::<Socket, _>(|queue| {
                let sockets = Accepting::register(listeners)?;
                let _ = started.send(Ok(()));
                Ok(Dispatcher::new(server.clone(), options, app, queue).run(sockets))
            });
            if let Err(error) = ended {
                // Once it has started no caller waits for this any more, and there is no error after that.
                let _ = started.send(Err(error));
            }
        })?;
        let handle = Handle::new(addresses, state, thread);
        match start.recv() {
            Ok(Ok(())) => Ok(handle),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the server's thread ended before it began")),
        }
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
    /// What the system says, with the address in the message.
    pub fn bind<A: App>(self, address: impl Into<Address>, app: A) -> io::Result<Server<A>> {
        self.bind_all([address.into()], app)
    }

    /// Binds several addresses for one server.
    ///
    /// # Errors
    ///
    /// What the system says, with the address in the message; or there is no address.
    pub fn bind_all<A: App>(self, addresses: impl IntoIterator<Item = Address>, app: A) -> io::Result<Server<A>> {
        let listeners = addresses.into_iter().map(|address| self.listener(address)).collect::<io::Result<Vec<_>>>()?;
        self.listen(listeners, app)
    }

    /// Binds an address, and listens, for [`listen`](Self::listen) or `hyper::serve`. Of the options, those of sockets
    /// apply: [`socket_mode`](Self::socket_mode), [`socket_owner`](Self::socket_owner) and
    /// [`ipv6_only`](Self::ipv6_only).
    ///
    /// # Errors
    ///
    /// What the system says, with the address in the message.
    pub fn listener(&self, address: impl Into<Address>) -> io::Result<Listener> {
        Listener::bind_with(&address.into(), &self.socket)
    }

    /// Serves on sockets that listen already.
    ///
    /// # Errors
    ///
    /// There is no socket, or what the system says of one.
    pub fn listen<A: App>(self, listeners: impl IntoIterator<Item = Listener>, app: A) -> io::Result<Server<A>> {
        let listeners: Vec<_> = listeners.into_iter().collect();
        if listeners.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a server needs an address to listen on"));
        }
        listeners.iter().try_for_each(|listener| listener.detect_dead_peers(&self.deadlines))?;
        Ok(Server::new(listeners, self, app))
    }
}
