//! Assigns each accepted connection to the worker with the fewest connections, and starts workers.
//!
//! The dispatcher is a task of the first worker, so a server with one worker has only one thread. The socket option
//! SO_REUSEPORT would distribute connections without a dispatcher. But this option does not work for Unix sockets, and
//! on TCP the connections in the backlog of a closed socket are lost.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::App;
use crate::admission::Admission;
use crate::listen::{Accepted, Accepting};
use crate::worker::{Threads, Worker};

/// The dispatcher, with a queue of accepted connections to each running worker.
pub(crate) struct Dispatcher<A> {
    worker: Arc<Worker<A>>,
    queues: Vec<UnboundedSender<Accepted>>,
    /// The threads of the other workers.
    threads: Threads,
    /// True if all workers have started, or one could not be started. No more workers are started then.
    is_complete: bool,
}

impl<A: App> Dispatcher<A> {
    pub(crate) fn new(worker: Arc<Worker<A>>, queue: UnboundedSender<Accepted>) -> Self {
        Self { worker, queues: vec![queue], threads: Vec::new(), is_complete: false }
    }

    /// Accepts connections until the server shuts down. Returns the threads of the other workers, which then finish their
    /// connections and end.
    pub(crate) async fn run(mut self, sockets: Vec<Accepting>) -> Threads {
        Admission::new(sockets, self.worker.server.clone(), self.worker.options.clone())
            .run(|accepted| self.hand_over(accepted))
            .await;
        self.threads
    }

    /// Passes the connection to the worker with the fewest connections. The first call also starts the other workers.
    fn hand_over(&mut self, accepted: Accepted) {
        let counters = &self.worker.server.counters;
        let load = |worker: &usize| counters[*worker].open.load(Relaxed);
        // The queue of a worker is closed if its thread has panicked. The dispatcher runs on the thread of the first worker, so
        // this thread has not panicked. All queues are closed only if the server is aborted.
        let is_alive = |worker: &usize| !self.queues[*worker].is_closed();
        let worker = (0..self.queues.len()).filter(is_alive).min_by_key(load).unwrap_or(0);
        let open = &counters[worker].open;
        open.fetch_add(1, Relaxed);
        if self.queues[worker].send(accepted).is_err() {
            open.fetch_sub(1, Relaxed);
        }
        // The other workers start with the first connection, because more connections are likely to follow.
        while !self.is_complete {
            self.is_complete = self.queues.len() == self.worker.server.counters.len() || !self.start_worker();
        }
    }

    /// Starts another worker. If the worker cannot be started, logs the error and returns `false`.
    fn start_worker(&mut self) -> bool {
        let (queue, accepted) = unbounded_channel();
        let (worker, index) = (self.worker.clone(), self.queues.len());
        match worker.start(index, accepted, Box::new(|| Ok(Box::pin(std::future::ready(Vec::new()))))) {
            Ok(thread) => {
                self.threads.push(thread);
                self.queues.push(queue);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot start another worker");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use degu_wire::Address;

    use super::*;
    use crate::report::Peer;
    use crate::{Options, Request, Session};

    #[test]
    fn worker_whose_thread_has_panicked_gets_no_connection() {
        let options = Arc::new(Options::new().workers(2));
        let server = Arc::new(options.state());
        let app = Arc::new(async |_: &mut Session, _: Request<'_>| "fine");
        let (queue, mut accepted) = unbounded_channel();
        let mut dispatcher = Dispatcher::new(Arc::new(Worker { server, options, app }), queue);
        // The queue of the second worker has no receiver.
        dispatcher.queues.push(unbounded_channel().0);
        for _ in 0..3 {
            let (near, _far) = UnixStream::pair().unwrap();
            dispatcher.hand_over(Accepted { fd: near.into(), peer: Peer::new(Address::ABSTRACT, None) });
            accepted.try_recv().unwrap();
        }
    }
}
