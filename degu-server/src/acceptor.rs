//! The one that accepts, and hands each connection to the worker that has the fewest.
//!
//! It is a task of the first worker, so a server of one thread has one thread. SO_REUSEPORT would share the work without
//! it, but does not exist for Unix sockets, and on TCP drops the backlog of a socket that is closed.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use degu_wire::Address;
use rustix::fd::OwnedFd;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::listen::{Listener, SocketFile};
use crate::server::{Phase, first};
use crate::worker;
use crate::{App, Options};

/// How long accepting rests after an error that is not the fault of the connection, such as no descriptors left.
const REST: Duration = Duration::from_millis(250);

/// What all threads of a server share.
#[derive(Debug)]
pub(crate) struct Shared<A> {
    pub(crate) options: Arc<Options>,
    pub(crate) app: Arc<A>,
    pub(crate) phase: Arc<watch::Sender<Phase>>,
    /// How many connections each worker has.
    pub(crate) loads: Box<[Arc<AtomicUsize>]>,
}

impl<A> Shared<A> {
    pub(crate) fn new(options: Options, app: A, phase: Arc<watch::Sender<Phase>>) -> Self {
        let loads = (0..options.workers).map(|_| Arc::default()).collect();
        Self { options: Arc::new(options), app: Arc::new(app), phase, loads }
    }
}

/// A connection on its way to its worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) fd: OwnedFd,
    pub(crate) address: Address,
    pub(crate) is_unix: bool,
}

/// The workers: one task queue for each that has been started.
struct Workers<A> {
    shared: Arc<Shared<A>>,
    queues: Vec<UnboundedSender<Accepted>>,
    threads: Vec<JoinHandle<()>>,
}

/// Accepts until the server stops; then waits for the threads of the other workers.
pub(crate) async fn run<A: App>(listener: Accepting, shared: Arc<Shared<A>>, first_queue: UnboundedSender<Accepted>) {
    let mut phase = shared.phase.subscribe();
    let mut workers = Workers { shared, queues: vec![first_queue], threads: Vec::new() };
    let stopping = async {
        // A server whose sender is gone is over.
        let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
    };
    let _ = first(stopping, workers.accept(&listener)).await;
    workers.take_backlog(&listener).await;
    drop(listener);
    // Without queues the workers finish what they have.
    workers.queues.clear();
    let threads = workers.threads;
    if !threads.is_empty() {
        // Joining blocks, and this thread has connections to finish too.
        let _ = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
    }
}

impl<A: App> Workers<A> {
    async fn accept(&mut self, listener: &Accepting) {
        let mut failing = false;
        loop {
            match poll_fn(|cx| listener.poll_accept(cx)).await {
                Ok(accepted) => {
                    failing = false;
                    self.hand_over(accepted);
                }
                // Its client gave up, which is no reason to rest.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // It may go on for long: one line for all of it.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "can not accept connections for now");
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Those who connected before the server stopped are served, or at least hear of it.
    async fn take_backlog(&mut self, listener: &Accepting) {
        if *self.shared.phase.borrow() != Phase::Draining {
            return;
        }
        let next = || {
            poll_fn(|cx| match listener.poll_accept(cx) {
                Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
            })
        };
        while let Some(accepted) = next().await {
            self.hand_over(accepted);
        }
    }

    fn hand_over(&mut self, accepted: Accepted) {
        let (running, loads) = (self.queues.len(), &self.shared.loads);
        let load = |worker: &usize| loads[*worker].load(Ordering::Relaxed);
        // The first of those that have the fewest; there is always the first worker.
        let mut worker = (0..running).min_by_key(load).unwrap_or(0);
        if running < loads.len() && load(&worker) > 0 {
            worker = self.start_worker().unwrap_or(worker);
        }
        let load = &self.shared.loads[worker];
        load.fetch_add(1, Ordering::Relaxed);
        if self.queues[worker].send(accepted).is_err() {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// One more worker, if the system allows it: those that are there do without otherwise.
    fn start_worker(&mut self) -> Option<usize> {
        let index = self.queues.len();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name(format!("degu-{index}")).spawn(move || {
            let ended = worker::run(&shared, index, |jobs| {
                let _ = started.send(jobs);
                Ok(std::future::ready(()))
            });
            if let Err(error) = ended {
                tracing::warn!(%error, "can not start another worker");
            }
        });
        let queue = start.recv().ok()?;
        self.threads.push(thread.ok()?);
        self.queues.push(queue);
        Some(index)
    }
}

/// A listening socket that a runtime waits for.
#[derive(Debug)]
pub(crate) struct Accepting {
    socket: ListeningSocket,
    /// Unlinks the file of a Unix socket, after the socket is closed.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// To be called within the runtime.
    pub(crate) fn new(listener: Listener) -> io::Result<Self> {
        let is_unix = listener.is_unix();
        let (fd, file) = listener.into_parts();
        let socket = match is_unix {
            true => ListeningSocket::Unix(UnixListener::from_std(fd.into())?),
            false => ListeningSocket::Tcp(TcpListener::from_std(fd.into())?),
        };
        Ok(Self { socket, _file: file })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        // Which runtime the connection will belong to is not known yet.
        Poll::Ready(Ok(match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, address) = ready!(listener.poll_accept(cx))?;
                Accepted { fd: stream.into_std()?.into(), address: address.into(), is_unix: false }
            }
            ListeningSocket::Unix(listener) => {
                let (stream, address) = ready!(listener.poll_accept(cx))?;
                // Most clients on Unix sockets have bound no address.
                let address = Address::try_from(std::os::unix::net::SocketAddr::from(address));
                let address = address.unwrap_or(Address::ABSTRACT);
                Accepted { fd: stream.into_std()?.into(), address, is_unix: true }
            }
        }))
    }
}
