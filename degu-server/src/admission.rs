//! Accepts connections, up to `max_connections`. At that limit an idle connection is closed for each new connection. If all
//! connections are busy, the new connection waits for up to two seconds, and is then refused.

use std::future::poll_fn;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use nix::libc::{EMFILE, ENFILE, MSG_NOSIGNAL};
use socket2::SockRef;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::Options;
use crate::alarm::HANDSHAKE_GRACE;
use crate::future::first;
use crate::listen::{Accepted, Accepting};
use crate::report::Report;
use crate::response::{last_response, refusal};
use crate::state::{Phase, ServerState};

/// The pause after a failed accept, if neither the client nor a lack of descriptors is the cause.
const PAUSE: Duration = Duration::from_millis(250);
/// The time for which the acceptor waits after it has asked an idle connection to close. After this time the acceptor
/// asks another connection.
const TURN: Duration = Duration::from_millis(50);
/// The time for which the process must have had no free descriptor before an idle connection is closed. Most shortages are
/// shorter.
const SHORTAGE: Duration = Duration::from_millis(100);
/// The time for which a new connection waits for room before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);
// The acceptor asks for room every `TURN`. So a stalled handshake makes room before a new connection is refused.
const _: () = assert!(HANDSHAKE_GRACE.as_millis() + TURN.as_millis() < PATIENCE.as_millis());
/// The maximum time for which connections are still accepted after a shutdown has begun. It is longer than [`PATIENCE`]. If the
/// server stays full, the waiting connections are therefore refused in time, and not reset.
const LAST: Duration = Duration::from_secs(4);

/// The acceptor: the listening sockets of a server, and its limit on connections.
pub(crate) struct Admission {
    sockets: Vec<Accepting>,
    /// The index of the socket that is polled first. The index changes with each accept, so a busy socket does not starve the
    /// other sockets.
    turn: usize,
    /// A connection that was accepted, and waits for room. If a shutdown ends the wait, [`drain`](Self::drain) admits
    /// this connection.
    newcomer: Option<Accepted>,
    state: Arc<ServerState>,
    options: Arc<Options>,
}

impl Admission {
    pub(crate) const fn new(sockets: Vec<Accepting>, state: Arc<ServerState>, options: Arc<Options>) -> Self {
        Self { sockets, turn: 0, newcomer: None, state, options }
    }

    /// Accepts connections until the server shuts down, and passes each to `hand_over`.
    pub(crate) async fn run(mut self, mut hand_over: impl FnMut(Accepted)) {
        let stopping = self.state.reached(Phase::Draining);
        let _ = first(stopping, self.accept(&mut hand_over)).await;
        self.sockets.iter_mut().for_each(Accepting::unlink);
        // Clients that connected before the shutdown are still served. More clients may connect while the sockets are open, so
        // this phase ends after `LAST`.
        let aborting = self.state.reached(Phase::Aborting);
        let _ = first(aborting, timeout(LAST, self.drain(&mut hand_over))).await;
    }

    /// Admits the connections that wait in the backlogs. If the server stays full, refuses them. All these connections share one
    /// time limit for the wait, [`PATIENCE`].
    async fn drain(&mut self, hand_over: &mut impl FnMut(Accepted)) {
        let began = Instant::now();
        loop {
            match self.newcomer.take().map_or_else(|| self.waiting(), Ok) {
                Ok(newcomer) => {
                    self.newcomer = Some(newcomer);
                    // This accept has found a descriptor, so a shortage has ended.
                    self.state.set_out_of_descriptors(false);
                    self.admit(PATIENCE.saturating_sub(began.elapsed()), hand_over).await;
                }
                Err(_) if !self.has_newcomer() => return,
                Err(error) if is_shortage(&error) => {
                    self.state.set_out_of_descriptors(true);
                    self.ask_for_room().await;
                }
                // For example, the client closed the connection before it was accepted. The next accept may succeed.
                Err(_) => {}
            }
            // The connections of this thread must not wait until the backlogs are empty.
            yield_now().await;
        }
    }

    /// Accepts connections and admits them, also after errors. Never returns: [`run`](Self::run) drops the future when the
    /// server shuts down.
    async fn accept(&mut self, hand_over: &mut impl FnMut(Accepted)) {
        let mut failing_since = None;
        loop {
            match self.next().await {
                Ok(accepted) => {
                    // If the server was out of descriptors, this accept uses the descriptor of an idle connection that was
                    // closed. The shortage may go on. `failing_since` is then kept, so the next failure writes no new log line.
                    if !self.state.set_out_of_descriptors(false) {
                        failing_since = None;
                    }
                    self.newcomer = Some(accepted);
                    self.admit(PATIENCE, hand_over).await;
                }
                // The client closed the connection before it was accepted. The next accept may succeed, so there is no pause.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let is_shortage = is_shortage(&error);
                    if is_shortage && !self.has_newcomer() {
                        failing_since = None;
                        tokio::time::sleep(SHORTAGE).await;
                        continue;
                    }
                    // A shortage may begin and end again with every connection, so the log lines are limited.
                    if failing_since.is_none()
                        && let Some(suppressed_lines) = self.state.may_log()
                    {
                        tracing::warn!(%error, suppressed_lines, "cannot accept connections for now");
                    }
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    match is_shortage {
                        // The app also opens descriptors, so the process may run out of them below `max_connections`. Closing an
                        // idle connection frees a descriptor.
                        true if since.elapsed() >= SHORTAGE => {
                            self.state.set_out_of_descriptors(true);
                            self.ask_for_room().await;
                        }
                        true => tokio::time::sleep(SHORTAGE).await,
                        false => tokio::time::sleep(PAUSE).await,
                    }
                }
            }
        }
    }

    /// Passes the new connection to `hand_over` when there is room. If there is no room within `patience`, refuses the new
    /// connection, and then the connections in the backlog, because each of them would otherwise wait for `patience` again. If
    /// there is room before the backlog is empty, passes the next connection to `hand_over`, and leaves the rest.
    async fn admit(&mut self, patience: Duration, hand_over: &mut impl FnMut(Accepted)) {
        if self.state.is_full() {
            // Idle connections are asked to close, one at a time, until there is room.
            let make_room = async {
                while self.state.is_full() {
                    self.ask_for_room().await;
                }
            };
            let _ = timeout(patience, make_room).await;
        }
        let mut asked = Instant::now();
        while let Some(newcomer) = self.newcomer.take().or_else(|| self.waiting().ok()) {
            self.state.accepted.fetch_add(1, Relaxed);
            // A connection may have ended in the meantime, so the limit is checked again.
            if !self.state.is_full() {
                return hand_over(newcomer);
            }
            self.state.refused.fetch_add(1, Relaxed);
            if let Some(suppressed_lines) = self.state.may_log() {
                tracing::info!(peer = %newcomer.peer.address, suppressed_lines, "connection refused: `max_connections` or the limit of descriptors is reached, and no connection is idle");
            }
            refuse(&newcomer, &self.options);
            yield_now().await;
            // Refused clients may connect again at once, and so keep the acceptor in this loop. The acceptor therefore also asks
            // idle connections to close here.
            if asked.elapsed() >= TURN {
                self.state.ask_for_room();
                asked = Instant::now();
            }
        }
    }

    /// If the server is full, asks an idle connection to close, and waits until there may be room, for at most [`TURN`]. Also
    /// waits if no connection is idle.
    async fn ask_for_room(&self) {
        let room = self.state.room();
        if self.state.is_full() {
            self.state.ask_for_room();
            let _ = timeout(TURN, room).await;
        }
    }

    /// Waits for the next connection on any of the sockets, and accepts it.
    async fn next(&mut self) -> io::Result<Accepted> {
        let count = self.sockets.len();
        self.turn = (self.turn + 1) % count.max(1);
        poll_fn(|cx| {
            let polled = (0..count).map(|n| self.sockets[(self.turn + n) % count].poll_accept(cx));
            polled.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }

    /// Accepts a connection that waits in a backlog. If no connection waits there or can be accepted, returns the error of the
    /// last socket.
    fn waiting(&self) -> io::Result<Accepted> {
        let none = Err(io::ErrorKind::WouldBlock.into());
        self.sockets.iter().fold(none, |accepted, socket| accepted.or_else(|_| socket.accept_now()))
    }

    /// Returns whether a connection waits in a backlog, even if the connection cannot be accepted.
    fn has_newcomer(&self) -> bool {
        self.sockets.iter().any(Accepting::has_newcomer)
    }
}

/// Returns whether an accept failed because the process or the system has no free descriptor.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// Refuses a connection without waiting: sends a 503, and half-closes the socket. Under TLS no response is sent,
/// because a response would need a handshake. Reads up to 4,096 bytes of the available input first, because closing a
/// socket with unread input would reset the connection. The client could then lose the response.
fn refuse(accepted: &Accepted, options: &Arc<Options>) {
    let socket = SockRef::from(&accepted.fd);
    let mut input = [0; 4096];
    let read = (&*socket).read(&mut input).unwrap_or(0);
    if !options.is_secure() {
        let is_head = input[..read].trim_ascii_start().starts_with(b"HEAD ");
        let text = refusal(503, "the server cannot take another connection now: try again later");
        let (response, body_bytes) = last_response(options, 503, text, is_head);
        let is_sent = socket.send_with_flags(&response, MSG_NOSIGNAL).is_ok_and(|sent| sent == response.len());
        if is_sent && let Some(on_response) = &options.on_response {
            Report::without_head(on_response, accepted.peer.clone()).refuse(503, body_bytes);
        }
    }
    let _ = socket.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use degu_wire::Address;

    use super::*;
    use crate::alarm::{Alarm, Spare};

    #[tokio::test]
    async fn a_shutdown_after_a_shortage_admits_the_backlog() {
        let options = Arc::new(Options::new());
        let listener = options.listener(Address::IPV4_LOOPBACK).unwrap();
        let address = std::net::SocketAddr::try_from(listener.address()).unwrap();
        let _peer = std::net::TcpStream::connect(address).unwrap();
        let state = Arc::new(options.state());
        state.set_out_of_descriptors(true);
        state.begin(Phase::Draining);
        let mut admitted = 0;
        let sockets = Accepting::register(vec![listener]).unwrap();
        Admission::new(sockets, state, options).run(|_| admitted += 1).await;
        assert_eq!(admitted, 1);
    }

    /// `on_response` blocks the thread, so each refusal takes longer than a turn of the acceptor.
    #[tokio::test]
    async fn a_slow_refusal_of_the_backlog_goes_on_and_asks_for_room() {
        let options = Arc::new(Options::new().max_connections(1).on_response(|_| std::thread::sleep(TURN)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = options.listener(Address::unix(&path)).unwrap();
        let _peers = [(); 3].map(|()| std::os::unix::net::UnixStream::connect(&path).unwrap());
        let state = Arc::new(options.state());
        state.counters[0].open.fetch_add(1, Relaxed);
        let idle = [1, 2].map(|number| {
            let alarm = Arc::new(Alarm::new(false));
            alarm.set_spare(Spare::Idle, 1, || 1);
            state.add(0, number, alarm.clone(), None);
            alarm
        });
        let mut admission = Admission::new(Accepting::register(vec![listener]).unwrap(), state.clone(), options);
        admission.admit(Duration::ZERO, &mut |_| unreachable!("the server is full")).await;
        assert_eq!(state.refused.load(Relaxed), 3);
        // The acceptor asks one connection before it refuses the backlog, and the other one meanwhile.
        assert!(idle.iter().all(|alarm| alarm.is_asked()));
    }

    /// After shutdown(2) on a listening socket, poll(2) returns an event, and accept(2) fails.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_failed_accept_of_a_shutdown_is_no_shortage() {
        let options = Arc::new(Options::new());
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = crate::Listener::try_from(std::os::fd::OwnedFd::from(socket.try_clone().unwrap())).unwrap();
        SockRef::from(&socket).shutdown(Shutdown::Both).unwrap();
        let state = Arc::new(options.state());
        let mut admission = Admission::new(Accepting::register(vec![listener]).unwrap(), state.clone(), options);
        assert!(admission.has_newcomer());
        let turns = async {
            for _ in 0..10 {
                yield_now().await;
            }
        };
        let _ = first(turns, admission.drain(&mut |_| {})).await;
        assert!(!state.is_full());
    }

    /// The limit on descriptors applies to a whole process, so the test runs in a process of its own.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_shutdown_during_a_shortage_admits_the_backlog() {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};

        const LIMITED: &str = "DEGU_TEST_SHUTDOWN_WITHOUT_DESCRIPTORS";
        if std::env::var_os(LIMITED).is_none() {
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let name = "admission::tests::a_shutdown_during_a_shortage_admits_the_backlog";
            let output = alone.args(["--exact", name]).env(LIMITED, "").output().unwrap();
            assert!(output.status.success(), "{output:?}");
            return;
        }
        let options = Arc::new(Options::new());
        let listener = options.listener(Address::IPV4_LOOPBACK).unwrap();
        let address = std::net::SocketAddr::try_from(listener.address()).unwrap();
        let _peers = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
        let state = Arc::new(options.state());
        let mut admitted = 0;
        let mut admission = Admission::new(Accepting::register(vec![listener]).unwrap(), state.clone(), options);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // poll(2) fails if the limit is less than its number of descriptors.
        setrlimit(Resource::RLIMIT_NOFILE, 1, hard).unwrap();
        let shortage_ends = async {
            while !state.is_full() {
                yield_now().await;
            }
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
            std::future::pending::<()>().await;
        };
        // The time limit of `run` could end the shutdown on a slow machine.
        assert!(first(admission.drain(&mut |_| admitted += 1), shortage_ends).await.is_ok());
        assert_eq!(admitted, 2);
    }
}
