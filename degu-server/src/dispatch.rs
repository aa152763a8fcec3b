//! Assigns each accepted connection to the worker with the fewest connections, and starts workers.
//!
//! The dispatcher is a task of the first worker, so a server with one worker has only one thread. SO_REUSEPORT would distribute
//! connections without a dispatcher. But Unix sockets do not have it, and on TCP the backlog of a closed socket is lost.

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

/// The dispatcher, with a queue to each worker that has been started.
pub(crate) struct Dispatcher<A> {
    state: Arc<ServerState>,
    options: Arc<Options>,
    app: Arc<A>,
    queues: Vec<UnboundedSender<Accepted>>,
    threads: Vec<JoinHandle<()>>,
    /// True if no more workers will be started.
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

    /// Accepts connections until the server shuts down, and then waits for the threads of the other workers.
    pub(crate) async fn run(mut self, sockets: Vec<Accepting>) {
        Admission::new(sockets, self.state.clone(), self.options.clone())
            .run(|accepted| self.hand_over(accepted))
            .await;
        // When their queues are gone, the workers finish their connections and end.
        self.queues.clear();
        let threads = self.threads;
        if !threads.is_empty() {
            // Joining blocks, so another thread does it. This thread still has connections to finish.
            let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
            let _ = tokio::task::spawn_blocking(join).await;
        }
    }

    fn hand_over(&mut self, accepted: Accepted) {
        let counters = &self.state.counters;
        // There is always at least one worker.
        let load = |worker: &usize| counters[*worker].open.load(Relaxed);
        let worker = (0..self.queues.len()).min_by_key(load).unwrap_or(0);
        let open = &counters[worker].open;
        open.fetch_add(1, Relaxed);
        if self.queues[worker].send(accepted).is_err() {
            open.fetch_sub(1, Relaxed);
        }
        // The other workers start with the first connection, because more connections are likely to follow.
        while !self.complete {
            self.complete = self.queues.len() == self.state.counters.len() || !self.start_worker();
        }
    }

    /// Starts one more worker, and returns whether the system allowed it. Otherwise the running workers get all connections.
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
