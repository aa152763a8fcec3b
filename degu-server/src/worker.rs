//! A worker: a thread with a runtime of its own, and the connections that never leave it.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::connection::{Driver, Link, Socket};
use crate::listen::Accepted;
use crate::seconds::Seconds;
use crate::server::first;
use crate::state::{Phase, ServerState};
use crate::stats::Counters;
use crate::{App, Options, Session, credentials};

/// Where more connections than this are busy none of them spins for its next request.
const SPINNING: usize = 4;
/// How many connections of a worker may keep their buffers between two requests: about 11 KiB each.
const KEPT: usize = 128;
/// A request that is larger is not found by looking in one read.
const SCRATCH: usize = 16 * 1024;

/// What the connections of a worker share.
#[derive(Debug)]
pub(crate) struct Worker {
    state: Arc<ServerState>,
    index: usize,
    /// Every open connection; each knows its place.
    links: RefCell<Vec<Rc<Link>>>,
    /// How many of them only wait for the peer to hear their last word.
    lingering: Cell<usize>,
    /// A first connection has come, or one has gone.
    changed: Notify,
    /// How many connections hold what they need for exchanges.
    busy: Cell<usize>,
    /// The text of `date`, made by the sweep.
    date: RefCell<String>,
    /// What is read by looking goes through here: messages that are worth it are small.
    scratch: RefCell<Box<[u8]>>,
    began: Instant,
}

/// Runs a worker on this thread, in a runtime of its own: see [`work`].
pub(crate) fn run<A: App, F: Future<Output = ()> + 'static>(
    state: &Arc<ServerState>,
    app: &Arc<A>,
    index: usize,
    beside: impl FnOnce(UnboundedSender<Accepted>) -> io::Result<F>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let ended = runtime.block_on(work(state, app, index, beside));
    // What apps have left running in the pool of blocking threads is not ours to wait for.
    runtime.shutdown_background();
    ended
}

/// Runs a worker until the senders of its queue are gone and its connections are done. `beside` runs beside it, and gets
/// a sender; the worker ends when that future has.
pub(crate) async fn work<A: App, F: Future<Output = ()> + 'static>(
    state: &Arc<ServerState>,
    app: &Arc<A>,
    index: usize,
    beside: impl FnOnce(UnboundedSender<Accepted>) -> io::Result<F>,
) -> io::Result<()> {
    let worker = Rc::new(Worker::new(state.clone(), index));
    let (sender, jobs) = unbounded_channel();
    let beside = tokio::task::spawn_local(beside(sender)?);
    let sweep = tokio::task::spawn_local(worker.clone().sweep());
    let _ = first(state.reached(Phase::Aborting), worker.serve(jobs, app)).await;
    sweep.abort();
    for link in worker.links.take() {
        link.abort();
    }
    let _ = beside.await;
    Ok(())
}

impl Worker {
    fn new(state: Arc<ServerState>, index: usize) -> Self {
        Self {
            state,
            index,
            links: RefCell::default(),
            lingering: Cell::new(0),
            changed: Notify::new(),
            busy: Cell::new(0),
            date: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            began: Instant::now(),
        }
    }

    /// Takes connections until there will be none, and waits for the end of those that are open.
    async fn serve<A: App>(self: &Rc<Self>, mut jobs: UnboundedReceiver<Accepted>, app: &Arc<A>) {
        while let Some(accepted) = jobs.recv().await {
            self.adopt(accepted, app.clone());
        }
        for link in self.links.borrow().iter() {
            link.stop();
        }
        let done = async {
            while self.links.borrow().len() > self.lingering.get() {
                self.changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(self.state.options.grace, done).await;
    }

    fn adopt<A: App>(self: &Rc<Self>, accepted: Accepted, app: Arc<A>) {
        let credentials = accepted.is_unix.then(|| credentials::of_peer(&accepted.fd)).flatten();
        let socket = match Socket::new(accepted.fd, accepted.is_unix) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "can not wait for a connection");
                return self.state.leave(self.index);
            }
        };
        tracing::debug!(peer = %accepted.address, "connection opened");
        let session = Session::new(accepted.address, credentials, self.state.clone());
        let link = Rc::new(Link::new(self.state.options.limits.clone()));
        self.add(&link);
        let mut driver = Driver::new(socket, link.clone(), session, self.clone(), app);
        let task = tokio::task::spawn_local(async move { driver.serve().await });
        link.set_abort(task.abort_handle());
    }

    fn add(&self, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        link.place.set(links.len());
        links.push(link.clone());
        if links.len() == 1 {
            self.changed.notify_waiters();
        }
    }

    /// A connection has ended.
    pub(crate) fn remove(&self, link: &Link) {
        let mut links = self.links.borrow_mut();
        let place = link.place.get();
        // When everything is aborted the list is gone already.
        if place < links.len() {
            links.swap_remove(place);
            if let Some(moved) = links.get(place) {
                moved.place.set(place);
            }
        }
        if link.lingers.get() {
            self.lingering.set(self.lingering.get() - 1);
        }
        self.state.leave(self.index);
        self.changed.notify_waiters();
    }

    /// A connection has had its last word: a shutdown need not wait for it.
    pub(crate) fn linger(&self, link: &Link) {
        if !link.lingers.replace(true) {
            self.lingering.set(self.lingering.get() + 1);
            self.changed.notify_waiters();
        }
    }

    /// Once a second, as long as there are connections: charges each for what it waits for.
    async fn sweep(self: Rc<Self>) {
        // Kept without connections too: otherwise a worker's descriptors were one fewer up to a second after its last one.
        let mut seconds = Seconds::new();
        loop {
            while self.links.borrow().is_empty() {
                self.changed.notified().await;
            }
            self.set_date();
            while !self.links.borrow().is_empty() {
                seconds.next().await;
                self.set_date();
                for link in self.links.borrow().iter() {
                    if link.watch.sweep(&self.state.options.deadlines) {
                        link.wake();
                    }
                }
            }
        }
    }

    fn set_date(&self) {
        if self.state.options.date {
            *self.date.borrow_mut() = httpdate::fmt_http_date(SystemTime::now());
        }
    }

    /// The text for `date`, if it is switched on.
    pub(crate) fn date(&self) -> Option<Ref<'_, str>> {
        self.state.options.date.then(|| Ref::map(self.date.borrow(), String::as_str))
    }

    /// Returns whether another connection is busy too. One that spins then lets it have the thread at each yield.
    pub(crate) fn has_others_busy(&self) -> bool {
        self.busy.get() > 1
    }

    /// Where octets are read to by a look.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// The time since some moment.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.state.options
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.state.counters[self.index]
    }

    #[cfg(feature = "tls")]
    pub(crate) fn handshakes(&self) -> &tokio::sync::Semaphore {
        &self.state.handshakes
    }

    /// Whether the response under way is to be the last of its connection.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.is_stopping()
    }

    /// A connection takes what it needs for exchanges, and counts as busy until the guard is dropped.
    pub(crate) fn make_busy(&self) -> Busy<'_> {
        self.busy.set(self.busy.get() + 1);
        Busy(&self.busy)
    }

    /// Returns whether a connection may spin for its next request: where many are busy there is always something else to do.
    pub(crate) fn may_spin(&self) -> bool {
        self.busy.get() <= SPINNING
    }

    /// Whether a connection that pauses should give up what it holds at once, instead of when it has been idle for a
    /// while: many that come at about the same time must not cost more than as many as are busy in truth.
    pub(crate) fn is_crowded(&self) -> bool {
        self.busy.get() > KEPT
    }
}

/// As long as it lives a connection holds buffers.
#[derive(Debug)]
pub(crate) struct Busy<'w>(&'w Cell<usize>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use degu_wire::{Address, Spin};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::{Request, Server};

    /// Runs this on the thread of a worker without a sweep, whose connections do not look for requests.
    fn on_worker(test: impl AsyncFnOnce(&Rc<Worker>)) {
        let state = Arc::new(ServerState::new(Server::options().workers(1).spin(Spin::Off)));
        let worker = Rc::new(Worker::new(state, 0));
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.unwrap().block_on(test(&worker));
    }

    /// A connection of this worker, seen from the other end.
    fn connect(worker: &Rc<Worker>) -> UnixStream {
        let (near, far) = UnixStream::pair().unwrap();
        worker.state.counters[0].open.fetch_add(1, Relaxed);
        let accepted =
            Accepted { fd: near.into_std().unwrap().into(), address: Address::unix("/unnamed"), is_unix: true };
        worker.adopt(accepted, Arc::new(async |_: &mut Session, _: Request<'_>| "fine"));
        far
    }

    async fn exchange(peer: &mut UnixStream) {
        peer.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut response = *b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
        let expected = response;
        peer.read_exact(&mut response).await.unwrap();
        assert_eq!(response, expected);
    }

    #[test]
    fn of_many_connections_some_keep_what_exchanges_need_and_all_are_served() {
        on_worker(async |worker| {
            let mut peers: Vec<_> = (0..KEPT + 20).map(|_| connect(worker)).collect();
            for round in 0..3 {
                for (served, peer) in peers.iter_mut().enumerate() {
                    exchange(peer).await;
                    let kept = if round == 0 { KEPT.min(served + 1) } else { KEPT };
                    assert_eq!(worker.busy.get(), kept, "round {round}, connection {served}");
                }
            }
        });
    }

    #[test]
    fn a_connection_yields_to_the_runtime_while_others_are_busy() {
        on_worker(async |worker| {
            let mut first = connect(worker);
            exchange(&mut first).await;
            let mut second = connect(worker);
            assert!(!worker.has_others_busy(), "the second has had no request");
            exchange(&mut second).await;
            assert!(worker.has_others_busy());
            drop(second);
            while worker.links.borrow().len() > 1 {
                worker.changed.notified().await;
            }
            assert!(!worker.has_others_busy());
        });
    }
}
