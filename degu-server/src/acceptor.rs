//! The one that accepts, and hands each connection to the worker that has the fewest.
//!
//! It is a task of the first worker, so a server of one thread has one thread. SO_REUSEPORT would share the work without
//! it, but does not exist for Unix sockets, and on TCP drops the backlog of a socket that is closed.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::App;
use crate::listen::{Accepted, Accepting, NO_SIGNAL};
use crate::server::first;
use crate::state::{Phase, ServerState};
use crate::worker;

/// How long accepting rests after an error that is not the fault of the connection, such as no descriptors left.
const REST: Duration = Duration::from_millis(250);
/// How long those who connect wait for room before they are refused.
const PATIENCE: Duration = Duration::from_secs(2);
/// What those who are refused hear.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The sockets, and a queue to each worker that has been started.
pub(crate) struct Acceptor<A> {
    sockets: Vec<Accepting>,
    /// Which socket is asked first: each in turn, so that a busy one starves none.
    turn: usize,
    state: Arc<ServerState>,
    app: Arc<A>,
    queues: Vec<UnboundedSender<Accepted>>,
    threads: Vec<JoinHandle<()>>,
    /// All workers that there can be have been started.
    complete: bool,
}

impl<A: App> Acceptor<A> {
    pub(crate) fn new(
        sockets: Vec<Accepting>,
        state: Arc<ServerState>,
        app: Arc<A>,
        first_queue: UnboundedSender<Accepted>,
    ) -> Self {
        Self { sockets, turn: 0, state, app, queues: vec![first_queue], threads: Vec::new(), complete: false }
    }

    /// Accepts until the server stops; then waits for the threads of the other workers.
    pub(crate) async fn run(mut self) {
        let stopping = self.state.reached(Phase::Draining);
        let _ = first(stopping, self.accept()).await;
        self.sockets.iter_mut().for_each(Accepting::unlink);
        // Those who connected before are served, or at least hear of it.
        while self.state.phase() == Phase::Draining
            && let Some(accepted) = self.waiting()
        {
            self.hand_over(accepted);
        }
        self.sockets.clear();
        // Without queues the workers finish what they have.
        self.queues.clear();
        let threads = self.threads;
        if !threads.is_empty() {
            // Joining blocks, and this thread has connections to finish too.
            let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
            let _ = tokio::task::spawn_blocking(join).await;
        }
    }

    async fn accept(&mut self) {
        let mut failing = false;
        loop {
            while self.state.is_full() {
                self.wait_for_room().await;
            }
            match self.next().await {
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

    /// At the cap: those who connect wait in the backlog for a while, and are refused then.
    async fn wait_for_room(&mut self) {
        let waited = timeout(PATIENCE, self.state.room()).await;
        if waited.is_err() && self.state.is_full() {
            while let Some(accepted) = self.waiting() {
                // Somebody may have left while others were refused.
                if !self.state.is_full() {
                    return self.hand_over(accepted);
                }
                self.state.accepted.fetch_add(1, Relaxed);
                self.state.refused.fetch_add(1, Relaxed);
                refuse(&accepted, self.state.options.is_secure());
            }
        }
    }

    /// The next connection of any socket.
    async fn next(&mut self) -> io::Result<Accepted> {
        let count = self.sockets.len();
        self.turn = (self.turn + 1) % count.max(1);
        poll_fn(|cx| {
            let polled = (0..count).map(|n| self.sockets[(self.turn + n) % count].poll_accept(cx));
            polled.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }

    /// A connection that waits already, if there is one.
    fn waiting(&self) -> Option<Accepted> {
        self.sockets.iter().find_map(Accepting::try_accept)
    }

    fn hand_over(&mut self, accepted: Accepted) {
        let counters = &self.state.counters;
        // The first of those that have the fewest; there is always the first worker.
        let load = |worker: &usize| counters[*worker].open.load(Relaxed);
        let worker = (0..self.queues.len()).min_by_key(load).unwrap_or(0);
        self.state.accepted.fetch_add(1, Relaxed);
        let open = &counters[worker].open;
        open.fetch_add(1, Relaxed);
        if self.queues[worker].send(accepted).is_err() {
            open.fetch_sub(1, Relaxed);
        }
        // A server that nobody talks to has one thread; once there is a connection, others are to be expected.
        while !self.complete {
            self.complete = self.queues.len() == self.state.counters.len() || !self.start_worker();
        }
    }

    /// One more worker, if the system allows it: those that are there do without otherwise.
    fn start_worker(&mut self) -> bool {
        let index = self.queues.len();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let (state, app) = (self.state.clone(), self.app.clone());
        let thread = thread::Builder::new().name(format!("degu-{index}")).spawn(move || {
            let ended = worker::run(&state, &app, index, |jobs| {
                let _ = started.send(jobs);
                Ok(std::future::ready(()))
            });
            if let Err(error) = ended {
                tracing::warn!(%error, "can not start another worker");
            }
        });
        match (thread, start.recv()) {
            (Ok(thread), Ok(queue)) => {
                self.threads.push(thread);
                self.queues.push(queue);
                true
            }
            _ => false,
        }
    }
}

/// Says no, without waiting for anything. What has come already is read, because closing would cut the answer otherwise.
fn refuse(accepted: &Accepted, secure: bool) {
    let fd = &accepted.fd;
    let mut scratch = [0; 4096];
    let _ = recv(fd, &mut scratch[..], RecvFlags::DONTWAIT);
    // Under TLS there is nobody yet to say it to.
    if !secure {
        let _ = send(fd, REFUSAL, SendFlags::DONTWAIT | NO_SIGNAL);
    }
    let _ = shutdown(fd, Shutdown::Write);
}
