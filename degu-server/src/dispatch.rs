//! Hands each accepted connection to the worker that has the fewest, and starts workers.
//!
//! The dispatcher is a task of the first worker, so a server of one thread has one thread. SO_REUSEPORT would share the
//! work without it, but does not exist for Unix sockets, and on TCP drops the backlog of a socket that is closed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::UnboundedSender;

use crate::admission::Admission;
use crate::listen::{Accepted, Accepting};
use crate::state::ServerState;
use crate::stream::Socket;
use crate::worker::Worker;
use crate::{App, Options};

/// A queue to each worker that has been started.
pub(crate) struct Dispatcher<A> {
    state: Arc<ServerState>,
    options: Arc<Options>,
    app: Arc<A>,
    queues: Vec<UnboundedSender<Accepted>>,
    threads: Vec<JoinHandle<()>>,
    /// All workers that there can be have been started.
    complete: bool,
}

impl<A: App> Dispatcher<A> {
    pub(crate) fn new(
        state: Arc<ServerState>,
        options: Arc<Options>,
        app: Arc<A>,
        first_queue: UnboundedSender<Accepted>,
    ) -> Self {
        Self { state, options, app, queues: vec![first_queue], threads: Vec::new(), complete: false }
    }

    /// Accepts until the server stops; then waits for the threads of the other workers.
    pub(crate) async fn run(mut self, sockets: Vec<Accepting>) {
        Admission::new(sockets, self.state.clone(), self.options.clone())
            .run(|accepted| self.hand_over(accepted))
            .await;
        // Without queues the workers finish what they have.
        self.queues.clear();
        let threads = self.threads;
        if !threads.is_empty() {
            // Joining blocks, and this thread has connections to finish too.
            let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
            let _ = tokio::task::spawn_blocking(join).await;
        }
    }

    fn hand_over(&mut self, accepted: Accepted) {
        let counters = &self.state.counters;
        // The first of those that have the fewest; there is always the first worker.
        let load = |worker: &usize| counters[*worker].open.load(Relaxed);
        let worker = (0..self.queues.len()).min_by_key(load).unwrap_or(0);
        let open = &counters[worker].open;
        open.fetch_add(1, Relaxed);
        if self.queues[worker].send(accepted).is_err() {
            open.fetch_sub(1, Relaxed);
        }
        // A server without connections has one thread; after the first connection others are to be expected.
        while !self.complete {
            self.complete = self.queues.len() == self.state.counters.len() || !self.start_worker();
        }
    }

    /// Starts one more worker, if the system allows it, and returns whether it did. Otherwise the others take all
    /// connections.
    fn start_worker(&mut self) -> bool {
        let index = self.queues.len();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let (server, options) = (self.state.clone(), self.options.clone());
        let worker = Worker { server, options, app: self.app.clone(), index };
        let thread = thread::Builder::new().name(format!("degu-{index}")).spawn(move || {
            let ended = worker.run::<Socket, _>(|queue| {
                let _ = started.send(queue);
                Ok(std::future::ready(()))
            });
            if let Err(error) = ended {
                tracing::warn!(%error, "cannot start another worker");
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
