//! A worker: a thread with a runtime of its own. The connections of a worker stay on its thread.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_blocking;

use crate::connection::Connection;
use crate::future::first;
use crate::handle::join;
use crate::listen::Accepted;
use crate::seconds::Seconds;
use crate::state::{BeginOnDrop, Phase, ServerState};
use crate::stream::{Socket, Transport};
use crate::worker_state::WorkerState;
use crate::{App, Options, Session};

/// The parts of a server that each of its workers needs: the app, the options and the state of the server.
pub(crate) struct Worker<A> {
    pub(crate) server: Arc<ServerState>,
    pub(crate) options: Arc<Options>,
    pub(crate) app: Arc<A>,
}

/// The threads of all workers except the first. The first worker joins them before it ends.
pub(crate) type Threads = Vec<JoinHandle<io::Result<()>>>;

/// A future that runs on a worker's thread next to the tasks of its connections. The future returns the threads of
/// other workers, which the worker's thread then joins. In the first worker, the future accepts connections. In the
/// other workers, the future is ready at once and returns no threads.
pub(crate) type Alongside = Pin<Box<dyn Future<Output = Threads>>>;

impl<A: App> Worker<A> {
    /// Starts the worker with this number on a thread and a runtime of its own. The worker serves the connections that
    /// arrive in `queue`, and runs the future that `alongside` returns. When `alongside` has returned on the new
    /// thread, this method returns the thread's handle.
    ///
    /// # Errors
    ///
    /// The thread or its runtime could not be started, or `alongside` failed.
    pub(crate) fn start(
        self: Arc<Self>,
        index: usize,
        queue: UnboundedReceiver<Accepted>,
        alongside: Box<dyn FnOnce() -> io::Result<Alongside> + Send>,
    ) -> io::Result<JoinHandle<io::Result<()>>> {
        // The worker writes a byte into the pipe when it has started. If the start fails, the pipe ends without a byte. A
        // channel of std would add 11,000 lines of LLVM IR to every program.
        let (mut start, mut started) = io::pipe()?;
        let thread = thread::Builder::new().name(format!("degu-{index}")).spawn(move || {
            // The first worker ends after all other workers, so the end of its thread is the end of the server.
            let _ended = (index == 0).then(|| BeginOnDrop(self.server.clone(), Phase::Ended));
            // `worker` is declared after `_ended`, so the worker and its app are dropped before `_ended` begins the phase
            // `Ended`.
            let worker = self;
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
            let ended = runtime.block_on(async {
                let start = move || alongside().and_then(|future| started.write_all(&[0]).map(|()| future));
                join_all(worker.work::<Socket>(index, queue, start).await?).await
            });
            // The worker does not wait for jobs of apps on the runtime's blocking threads.
            runtime.shutdown_background();
            ended
        })?;
        match start.read_exact(&mut [0]) {
            Ok(()) => Ok(thread),
            Err(error) => Err(join(thread).err().unwrap_or(error)),
        }
    }

    /// Runs the worker with this number and, on the same thread, the future that `alongside` returns. When the queue has ended,
    /// waits until all connections have sent their last response, for at most the grace period. [`Phase::Aborting`] ends the
    /// worker earlier. Then aborts the connections that are still open, waits for the future of `alongside`, and returns the
    /// future's output.
    ///
    /// # Errors
    ///
    /// `alongside` failed, or its future panicked.
    pub(crate) async fn work<T: Transport>(
        &self,
        index: usize,
        queue: UnboundedReceiver<T::Accepted>,
        alongside: impl FnOnce() -> io::Result<Alongside>,
    ) -> io::Result<Threads> {
        let state = Rc::new(WorkerState::new(self.server.clone(), self.options.clone(), index));
        let queue = Queue(queue, &state);
        let alongside = tokio::task::spawn_local(alongside()?);
        let served = first(self.server.reached(Phase::Aborting), self.serve::<T>(&state, queue));
        let _ = first(served, count_seconds(&state, T::seconds())).await;
        state.abort_all();
        alongside.await.map_err(io::Error::other)
    }

    /// Starts the task of each connection in the queue, until the queue ends. Then waits until all connections have sent their
    /// last response, for at most the grace period. Connections may still be open when this method returns.
    async fn serve<T: Transport>(&self, state: &Rc<WorkerState>, mut queue: Queue<'_, T::Accepted>) {
        let mut number = 0;
        while let Some(accepted) = queue.0.recv().await {
            adopt::<T, A>(state, number, accepted, self.app.clone());
            number += 1;
        }
        state.wake_all();
        let _ = tokio::time::timeout(self.options.grace, state.server.drained(state.index)).await;
    }
}

/// The queue of a worker. When this value is dropped, even during a panic, the connections that are still in the queue are
/// counted as ended.
struct Queue<'w, T>(UnboundedReceiver<T>, &'w WorkerState);

impl<T> Drop for Queue<'_, T> {
    fn drop(&mut self) {
        let Self(queue, worker) = self;
        queue.close();
        while queue.try_recv().is_ok() {
            // The connection has no number yet.
            worker.server.leave(worker.index, u64::MAX);
        }
    }
}

/// Waits for the threads of other workers. Meanwhile this worker runs the tasks that the app has left on it, because
/// exchanges of the other workers may need these tasks. Returns the first error of a thread.
async fn join_all(threads: Threads) -> io::Result<()> {
    if threads.is_empty() {
        return Ok(());
    }
    let joined = spawn_blocking(|| threads.into_iter().map(join).fold(Ok(()), Result::and));
    joined.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Starts the task of an accepted connection. If the socket cannot be registered with the runtime, logs this, and counts the
/// connection as ended.
fn adopt<T: Transport, A: App>(state: &Rc<WorkerState>, number: u64, accepted: T::Accepted, app: Arc<A>) {
    // If this function returns early or panics, dropping the place counts the connection as ended.
    let place = state.place(number);
    let (transport, peer) = match T::register(accepted) {
        Ok(registered) => registered,
        Err(error) => return tracing::warn!(%error, "cannot serve an accepted connection"),
    };
    tracing::debug!(peer = %peer.address, "connection opened");
    let session = Session::new(peer, state.server.clone());
    let alarm = place.alarm.clone();
    let task = tokio::task::spawn_local(Connection::new(transport, place, session, app).serve());
    state.server.add(state.index, number, alarm, Some(task.abort_handle()));
}

/// Counts the worker's seconds while it has connections. Never returns.
async fn count_seconds(state: &WorkerState, mut seconds: Seconds) {
    loop {
        while state.is_empty() {
            state.changed().await;
        }
        state.set_date();
        while !state.is_empty() {
            seconds.next().await;
            state.count_second();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use degu_wire::{Address, Spin};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::connection::{LINGER_IN_ALL, LINGER_WINDOW};
    use crate::report::Peer;
    use crate::worker_state::KEPT;
    use crate::{Error, Request, Server};

    /// Runs a test on the thread of a worker that counts no seconds and whose connections do not spin.
    fn on_worker(test: impl AsyncFnOnce(&Rc<WorkerState>)) {
        on_worker_with(Server::options(), test);
    }

    fn on_worker_with(options: Options, test: impl AsyncFnOnce(&Rc<WorkerState>)) {
        // The server is full with one connection, so a connection that is asked to make room closes.
        let options = Arc::new(options.workers(1).max_connections(1).spin(Spin::Off));
        let worker = Rc::new(WorkerState::new(Arc::new(options.state()), options, 0));
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.unwrap().block_on(test(&worker));
    }

    /// Opens a connection to this worker, and returns the client's end.
    fn connect(worker: &Rc<WorkerState>, number: u64) -> UnixStream {
        connect_to(worker, number, Arc::new(app))
    }

    fn connect_to(worker: &Rc<WorkerState>, number: u64, app: Arc<impl App>) -> UnixStream {
        let (near, far) = UnixStream::pair().unwrap();
        adopt_near(worker, number, near, app);
        far
    }

    /// Serves the connection whose server's end is `near`.
    fn adopt_near(worker: &Rc<WorkerState>, number: u64, near: UnixStream, app: Arc<impl App>) {
        worker.server.counters[0].open.fetch_add(1, Relaxed);
        let peer = Peer::new(Address::unix("/unnamed"), None);
        let accepted = Accepted { fd: near.into_std().unwrap().into(), peer };
        adopt::<Socket, _>(worker, number, accepted, app);
    }

    async fn app(_: &mut Session, request: Request<'_>) -> Result<&'static str, Error> {
        match request.path() {
            "/" => Ok("fine"),
            status => Err(Error::new(status[1..].parse().unwrap(), "an error of the app")),
        }
    }

    /// Runs the tasks of the connections until they wait.
    async fn run_others() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn exchange(peer: &mut UnixStream) {
        peer.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut response = *b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
        let expected = response;
        peer.read_exact(&mut response).await.unwrap();
        assert_eq!(response, expected);
    }

    #[test]
    fn many_connections_are_served_and_a_few_keep_their_buffers() {
        on_worker(async |worker| {
            let mut peers: Vec<_> = (0..KEPT + 20).map(|number| connect(worker, number as u64)).collect();
            for round in 0..3 {
                for (served, peer) in peers.iter_mut().enumerate() {
                    exchange(peer).await;
                    let kept = if round == 0 { KEPT.min(served + 1) } else { KEPT };
                    assert_eq!(worker.busy(), kept, "round {round}, connection {served}");
                }
            }
        });
    }

    #[test]
    fn a_connection_whose_request_has_come_does_not_make_room() {
        on_worker(async |worker| {
            let mut peer = connect(worker, 1);
            exchange(&mut peer).await;
            let ask = || worker.server.connections(0)[&1].0.ask();
            let leaves_others = async || {
                while worker.busy() > 0 {
                    worker.changed().await;
                }
            };
            // The kernel has the request, but the connection does not know it yet.
            peer.try_write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            ask();
            let mut response = [0; 42];
            peer.read_exact(&mut response).await.unwrap();
            ask();
            leaves_others().await;
            assert_eq!(peer.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        });
    }

    #[test]
    fn a_shutdown_closes_a_connection_that_has_freed_its_buffers() {
        // A task that does not notice the shutdown never yields. The test therefore runs on another thread.
        let (ended, end) = std::sync::mpsc::channel();
        thread::spawn(move || {
            on_worker(async |worker| {
                let mut peer = connect(worker, 1);
                exchange(&mut peer).await;
                for _ in 0..4 {
                    worker.count_second();
                    run_others().await;
                }
                assert_eq!(worker.busy(), 0);
                worker.server.begin(Phase::Draining);
                worker.wake_all();
                assert_eq!(peer.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            });
            ended.send(()).unwrap();
        });
        end.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_handshake_whose_room_is_not_needed_can_be_asked_again() {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let identity = degu_tls::Identity::from_pem(certified.cert.pem(), certified.signing_key.serialize_pem());
        let tls = degu_tls::ServerTls::builder(identity.unwrap()).allow_unauthenticated_clients().build().unwrap();
        on_worker_with(Server::options().tls(tls), async |worker| {
            let mut peer = connect(worker, 1);
            let (alarm, open) = (worker.server.connections(0)[&1].0.clone(), &worker.server.counters[0].open);
            run_others().await;
            assert!(alarm.can_be_spared());
            // Another connection has ended meanwhile.
            open.fetch_sub(1, Relaxed);
            alarm.ask();
            run_others().await;
            assert!(!alarm.is_asked());
            open.fetch_add(1, Relaxed);
            alarm.ask();
            assert_eq!(peer.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        });
    }

    /// The client sends its first message and an invalid record in one write, and reads nothing. The answer of the server has a
    /// long list of certificates, for which the socket has no room, so the alert after it has no room either.
    #[cfg(feature = "tls")]
    #[test]
    fn an_alert_without_room_is_not_waited_for_forever() {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let chain = certified.cert.pem().repeat(50);
        let identity = degu_tls::Identity::from_pem(chain, certified.signing_key.serialize_pem()).unwrap();
        let tls = degu_tls::ServerTls::builder(identity).allow_unauthenticated_clients().build().unwrap();
        let client = degu_tls::ClientTls::pinned([degu_tls::SpkiPin::from_sha256([0; 32])]).build();
        let mut first_flight = io::Cursor::new(Vec::new());
        let mut handshake = client.unwrap().connect(Some("localhost"), "the server").unwrap().handshake().unwrap();
        handshake.flush(&mut first_flight).unwrap();
        let hello = [first_flight.into_inner(), b"\x16\x03\x03\x00\x04abcd".to_vec()].concat();
        on_worker_with(Server::options().tls(tls), async |worker| {
            let (near, mut far) = UnixStream::pair().unwrap();
            socket2::SockRef::from(&near).set_send_buffer_size(4096).unwrap();
            adopt_near(worker, 1, near, Arc::new(app));
            far.write_all(&hello).await.unwrap();
            let mut seconds = 0;
            while !worker.is_empty() {
                assert!(seconds <= 10 + LINGER_WINDOW + 2, "{seconds} s");
                worker.count_second();
                seconds += 1;
                run_others().await;
            }
        });
    }

    #[test]
    fn panic_of_another_worker_reaches_the_first() {
        let options = Arc::new(Server::options());
        let server = Arc::new(options.state());
        let app = Arc::new(async |_: &mut Session, _: Request<'_>| "fine");
        let worker = Arc::new(Worker { server, options, app });
        let others = || vec![thread::spawn(|| panic!("this worker")), thread::spawn(|| Ok(()))];
        // The queue has no sender.
        let (_, queue) = tokio::sync::mpsc::unbounded_channel();
        let thread = worker.start(0, queue, Box::new(move || Ok(Box::pin(std::future::ready(others())))));
        assert_eq!(join(thread.unwrap()).unwrap_err().to_string(), "the server's thread panicked");
    }

    #[test]
    fn panic_of_a_worker_ends_the_connections_in_its_queue() {
        let options = Arc::new(Server::options());
        let server = Arc::new(options.state());
        let (sender, queue) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..3 {
            let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
            server.counters[0].open.fetch_add(1, Relaxed);
            let sent = sender.send(Accepted { fd: near.into(), peer: Peer::new(Address::ABSTRACT, None) });
            assert!(sent.is_ok());
        }
        let worker = Worker { server: server.clone(), options, app: Arc::new(app) };
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        // The worker logs a line when it takes a connection. See `log_of_100`.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        let subscriber = subscriber.with_writer(|| -> io::Sink { panic!("this log") }).finish();
        let work = std::panic::AssertUnwindSafe(|| {
            let alongside = || -> io::Result<Alongside> { Ok(Box::pin(std::future::ready(Vec::new()))) };
            let work = worker.work::<Socket>(0, queue, alongside);
            tracing::subscriber::with_default(subscriber, || runtime.block_on(work))
        });
        assert!(std::panic::catch_unwind(work).is_err());
        assert_eq!(server.open(), 0);
    }

    /// The log of a test.
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Opens 100 connections, and sends this request on each. The response must end the connection. Returns the log lines at
    /// `INFO` and above.
    fn log_of_100(app: impl App, request: &str, expected: &str) -> Vec<String> {
        let app = Arc::new(app);
        let log = Log::default();
        let writer = log.clone();
        // If there is only one subscriber, the first thread that reaches a log line decides for all threads whether that line is
        // logged. Threads of other tests have no subscriber.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
        tracing::subscriber::with_default(subscriber.with_writer(move || writer.clone()).finish(), || {
            on_worker(async |worker| {
                for number in 0..100 {
                    let mut peer = connect_to(worker, number, app.clone());
                    peer.write_all(request.as_bytes()).await.unwrap();
                    let mut response = String::new();
                    peer.read_to_string(&mut response).await.unwrap();
                    assert!(response.contains(expected), "{response}");
                }
            });
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    #[test]
    fn refusal_is_logged_with_fault_offset_and_peer_but_no_flood() {
        let lines = log_of_100(app, "GET / HTTP/1.1\r\nhost: a b\r\n\r\n", "\r\n\r\nBad Request: a malformed Host");
        assert!((10..50).contains(&lines.len()), "{lines:?}");
        for part in
            ["INFO", "connection ends", "peer=unix:/unnamed", "requests=0", "fault=Host", "offset=22", "malformed"]
        {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
    }

    #[test]
    fn every_error_of_the_app_is_logged_but_no_flood_of_503() {
        let lines = |status| {
            let request = format!("GET /{status} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            log_of_100(app, &request, "\r\n\r\nan error of the app")
        };
        assert!(lines(404).is_empty());
        assert_eq!(lines(500).len(), 100);
        let lines = lines(503);
        assert!((10..50).contains(&lines.len()), "{lines:?}");
        for part in ["ERROR", "the server sent an error response", "peer=unix:/unnamed", "status=503", "of the app"] {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn request_that_cannot_be_forwarded_is_logged_but_no_flood() {
        let proxy = crate::applib::ProxyApp::new(degu_client::Client::new(Address::unix("/no/such/socket")));
        let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let lines = log_of_100(proxy, request, "HTTP/1.1 502 Bad Gateway\r\n");
        assert!((10..50).contains(&lines.len()), "{lines:?}");
        for part in ["WARN", "cannot forward the request", "upstream=unix:/no/such/socket"] {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
    }

    /// Returns the seconds from a last response to the end of the connection, if the peer sends this number of bytes each second.
    async fn lingers(worker: &Rc<WorkerState>, bytes: usize) -> u32 {
        let mut peer = connect(worker, 1);
        peer.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        peer.read_to_end(&mut Vec::new()).await.unwrap();
        let began = worker.seconds();
        while !worker.is_empty() {
            let _ = peer.write_all(&vec![b'x'; bytes]).await;
            worker.count_second();
            run_others().await;
        }
        worker.seconds() - began
    }

    #[test]
    fn bytes_after_the_last_response_are_bounded_in_time_and_rate() {
        on_worker(async |worker| {
            // The first second may have been shorter.
            let window = LINGER_WINDOW + 1;
            assert_eq!(lingers(worker, 0).await, window);
            assert_eq!(lingers(worker, 100).await, window);
            assert_eq!(lingers(worker, 2000).await, LINGER_IN_ALL);
            assert_eq!(lingers(worker, 100_000).await, LINGER_IN_ALL);
        });
    }

    #[test]
    fn a_connection_yields_to_the_runtime_while_others_are_busy() {
        on_worker(async |worker| {
            let mut first = connect(worker, 1);
            exchange(&mut first).await;
            let mut second = connect(worker, 2);
            assert!(!worker.has_others_busy(), "the second has had no request");
            exchange(&mut second).await;
            assert!(worker.has_others_busy());
            drop(second);
            while worker.has_others_busy() {
                worker.changed().await;
            }
        });
    }
}
