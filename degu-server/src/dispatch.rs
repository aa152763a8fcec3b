//! Assigns each accepted connection to the worker with the fewest connections, and starts workers.
//!
//! The dispatcher is a task of the first worker, so a server with one worker has only one thread. SO_REUSEPORT would distribute
//! connections without a dispatcher. But Unix sockets do not have it, and on TCP the backlog of a closed socket is lost.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::App;
use crate::admission::Admission;
use crate::listen::{Accepted, Accepting};
use crate::stream::Socket;
use crate::worker::Worker;

/// The dispatcher, with a queue to each worker that has been started.
pub(crate) struct Dispatcher<A> {
    /// The first worker, on whose thread the dispatcher runs.
    first: Worker<A>,
    queues: Vec<UnboundedSender<Accepted>>,
    /// The threads of the other workers.
    threads: Vec<JoinHandle<()>>,
    /// True if no more workers will be started.
    is_complete: bool,
}

impl<A: App> Dispatcher<A> {
    pub(crate) fn new(first: Worker<A>, queue: UnboundedSender<Accepted>) -> Self {
        Self { first, queues: vec![queue], threads: Vec::new(), is_complete: false }
    }

    /// Accepts connections until the server shuts down, and then waits for the threads of the other workers.
    ///
    /// # Errors
    ///
    /// A thread panicked.
    pub(crate) async fn run(mut self, sockets: Vec<Accepting>) -> io::Result<()> {
        Admission::new(sockets, self.first.server.clone(), self.first.options.clone())
            .run(|accepted| self.hand_over(accepted))
            .await;
        // Without their queues, the workers finish their connections and end.
        self.queues.clear();
        let threads = self.threads;
        if !threads.is_empty() {
            // Joining blocks, so another thread does it. This thread still has connections to finish.
            let join = move || threads.into_iter().map(JoinHandle::join).fold(Ok(()), Result::and);
            let joined = tokio::task::spawn_blocking(join).await?;
            return joined.map_err(|_| io::Error::other("a thread of the server panicked"));
        }
        Ok(())
    }

    fn hand_over(&mut self, accepted: Accepted) {
        let counters = &self.first.server.counters;
        // There is always at least one worker.
        let load = |worker: &usize| counters[*worker].open.load(Relaxed);
        let worker = (0..self.queues.len()).min_by_key(load).unwrap_or(0);
        let open = &counters[worker].open;
        open.fetch_add(1, Relaxed);
        if self.queues[worker].send(accepted).is_err() {
            open.fetch_sub(1, Relaxed);
        }
        // The other workers start with the first connection, because more connections are likely to follow.
        while !self.is_complete {
            self.is_complete = self.queues.len() == self.first.server.counters.len() || !self.start_worker();
        }
    }

    /// Starts one more worker. Returns `false` if the system does not allow that. The running workers then get all connections.
    fn start_worker(&mut self) -> bool {
        let (queue, connections) = unbounded_channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let worker = Worker { index: self.queues.len(), ..self.first.clone() };
        let thread = thread::Builder::new().name(format!("degu-{}", worker.index)).spawn(move || {
            let begin = async move {
                let _ = started.send(());
                Ok(())
            };
            if let Err(error) = worker.run::<Socket>(connections, begin) {
                tracing::warn!(%error, "cannot start another worker");
            }
        });
        match (thread, start.recv()) {
            (Ok(thread), Ok(())) => {
                self.threads.push(thread);
                self.queues.push(queue);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::state::Phase;
    use crate::{Request, Server, Session};

    #[test]
    fn panic_of_another_worker_reaches_the_dispatcher() {
        let options = Arc::new(Server::options());
        let server = Arc::new(options.state());
        server.begin(Phase::Draining);
        let app = Arc::new(async |_: &mut Session, _: Request<'_>| "fine");
        let mut dispatcher = Dispatcher::new(Worker { server, options, app, index: 0 }, unbounded_channel().0);
        dispatcher.threads = vec![thread::spawn(|| panic!("this worker")), thread::spawn(|| ())];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ended = runtime.block_on(dispatcher.run(Vec::new()));
        assert_eq!(ended.unwrap_err().to_string(), "a thread of the server panicked");
    }
}
