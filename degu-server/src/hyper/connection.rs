//! A connection from the first octet to the last: a task of the runtime that called.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, ready};
use std::time::Duration;

use degu_wire::BoxError;
use http_body::Body;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tower_service::Service;

use super::body::RequestBody;
use super::caller::Origin;
use super::io::Io;
use super::pulse::{Last, Pulse, rest};
use super::service::Exchanges;
use crate::alarm::{Alarm, Spare};
use crate::connection::{CloseReason, Deadline, LINGER_IN_ALL, Wait};
use crate::future::first;
use crate::listen::Accepted;
use crate::options::Options;
#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::state::{Phase, ServerState};
use crate::stream::{Socket, Stream, Transport};

const SECOND: Duration = Duration::from_secs(1);
/// So much is kept of a head or of a body that nobody reads, and of a response that nobody takes.
const BUFFER: usize = 64 * 1024;
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain\r\ncontent-length: 45\r\n\
    connection: close\r\n\r\nRequest Timeout: the request came too slowly\n";

/// A connection that was accepted, and takes room for one.
pub(super) struct Taken {
    accepted: Accepted,
    room: Room,
    options: Arc<Options>,
    /// A shutdown waits until all of them are dropped.
    alive: mpsc::Sender<Infallible>,
}

/// Room for a connection, until it is dropped.
struct Room {
    server: Arc<ServerState>,
    alarm: Arc<Alarm>,
    number: u64,
}

impl Room {
    /// Returns whether the connection is asked to make room for another, and there still is none.
    fn is_asked_for(&self) -> bool {
        self.alarm.is_asked() && {
            self.alarm.set(u32::MAX);
            self.server.is_full()
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.server.connections(0).remove(&self.number);
        self.server.leave(0);
    }
}

/// How a connection ended.
enum End {
    /// By what hyper read, or by a response that was the last.
    Done(hyper::Result<()>),
    /// The peer was too slow.
    Deadline(Wait),
    /// A shutdown's grace is over.
    Grace,
    /// The peer's certificate was revoked.
    Revoked,
}

impl Taken {
    pub(super) fn new(
        accepted: Accepted,
        number: u64,
        server: Arc<ServerState>,
        options: Arc<Options>,
        alive: mpsc::Sender<Infallible>,
    ) -> Self {
        server.counters[0].open.fetch_add(1, Relaxed);
        let alarm = Arc::new(Alarm::new(options.is_secure()));
        server.connections(0).insert(number, (alarm.clone(), None));
        Self { accepted, room: Room { server, alarm, number }, options, alive }
    }

    /// Serves the connection until it ends.
    pub(super) async fn serve<S, B>(self, service: S)
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let Self { accepted, room, options, alive } = self;
        let server = &room.server;
        poll_fn(|cx| {
            room.alarm.set_task(cx.waker());
            Poll::Ready(())
        })
        .await;
        let (socket, address, credentials) = match Socket::register(accepted) {
            Ok(registered) => registered,
            Err(error) => return tracing::warn!(%error, "can not wait for a connection"),
        };
        let mut socket = Stream::new(socket);
        tracing::debug!(peer = %address, "connection opened");
        let secured = secure(&mut socket, &room, &options).await;
        let origin = Arc::new(match secured {
            #[cfg(feature = "tls")]
            Ok((peer, vetted)) => Origin { address, credentials, peer, vetted, server: server.clone(), options },
            #[cfg(not(feature = "tls"))]
            Ok(()) => Origin { address, credentials, server: server.clone(), options },
            Err(reason) => {
                reason.log(server, &address, 0);
                drop(alive);
                return linger(socket, &room, &options, b"").await;
            }
        });

        let pulse = Arc::new(Pulse::new(room.alarm.clone()));
        let (end, last) = drive(socket, service, &pulse, &room, &origin).await;
        let (peer, requests) = (&origin.address, last.requests);
        let held_back = match &end {
            End::Done(Err(error)) if error.is_parse() => server.may_log(),
            _ => None,
        };
        match (&end, held_back) {
            (End::Deadline(wait), _) => CloseReason::Deadline(*wait).log(server, peer, requests),
            (End::Revoked, _) => tracing::info!(%peer, requests, reason = %end, "connection ends"),
            (_, Some(held_back)) => tracing::info!(%peer, requests, reason = %end, held_back, "connection ends"),
            _ => tracing::debug!(%peer, requests, reason = %end, "connection ends"),
        }
        let Some(mut socket) = pulse.take_socket() else { return upgraded(&pulse, &origin).await };
        drop(alive);
        let cut = match &end {
            End::Done(Ok(())) => false,
            // hyper has answered.
            End::Done(Err(error)) => !error.is_parse(),
            End::Deadline(wait) => matches!(wait, Wait::Write | Wait::HalfClosed) || last.amid_output,
            End::Grace | End::Revoked => last.under_way,
        };
        if cut {
            return socket.reset_on_close();
        }
        let word = match end {
            End::Deadline(Wait::Head | Wait::Body) if !origin.options.answers_faults() => return,
            End::Deadline(Wait::Head | Wait::Body) => TOO_LATE,
            _ => b"",
        };
        linger(socket, &room, &origin.options, word).await;
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(Ok(())) => f.write_str("the client closed, the last response was sent, or room was needed"),
            Self::Done(Err(error)) => error.fmt(f),
            Self::Deadline(wait) => CloseReason::Deadline(*wait).fmt(f),
            Self::Grace => CloseReason::Shutdown.fmt(f),
            Self::Revoked => f.write_str("the certificate of the client was revoked"),
        }
    }
}

/// Who the peer is, and what tells that its certificate was revoked.
#[cfg(feature = "tls")]
type Peer = (Option<Arc<degu_tls::PeerIdentity>>, Option<Vetted>);

/// Makes the handshake, and says who the peer is.
#[cfg(feature = "tls")]
async fn secure(socket: &mut Stream<Socket>, room: &Room, options: &Options) -> Result<Peer, CloseReason> {
    let Some(tls) = &options.tls else { return Ok((None, None)) };
    let changes = tls.changes();
    rest(&room.alarm, Spare::Fresh);
    let server = &room.server;
    let mut handshake = pin!(socket.secure(tls, &server.handshakes, || server.is_stopping()));
    let deadline = Duration::from_secs(options.deadlines.handshake.into());
    let mut late = pin!(sleep(deadline));
    let mut stopping = pin!(server.reached(Phase::Draining));
    let mut stops = false;
    let peer = poll_fn(|cx| {
        // It wakes the handshake, which looks once more whether the peer has said something.
        stops = stops || stopping.as_mut().poll(cx).is_ready();
        if late.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(CloseReason::Deadline(Wait::Handshake)));
        }
        if room.is_asked_for() {
            return Poll::Ready(Err(CloseReason::Room));
        }
        handshake.as_mut().poll(cx).map_err(CloseReason::from)
    })
    .await?;
    let vetted = Vetted::new(options, peer.as_ref(), changes);
    Ok((peer, vetted))
}

#[cfg(not(feature = "tls"))]
async fn secure(_: &mut Stream<Socket>, _: &Room, _: &Options) -> Result<(), CloseReason> {
    Ok(())
}

/// Lets hyper serve until there is an end. Afterwards the socket is where the pulse has it.
///
/// Seconds are counted here, a tick for each connection: no message touches a timer.
async fn drive<S, B>(
    socket: Stream<Socket>,
    service: S,
    pulse: &Arc<Pulse>,
    room: &Room,
    origin: &Arc<Origin>,
) -> (End, Last)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (server, options) = (&origin.server, &origin.options);
    let io = TokioIo::new(Io::new(socket, pulse.clone()));
    let service = Exchanges::new(service, pulse.clone(), origin.clone());
    let connection = http1::Builder::new()
        .auto_date_header(options.date)
        // Whether the peer is gone for good is looked at by `Io`.
        .half_close(true)
        .max_headers(options.limits.max_fields)
        .max_header_size(options.limits.max_head)
        .max_buf_size(BUFFER)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut seconds = interval_at(Instant::now() + SECOND, SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = pin!(server.reached(Phase::Draining));
    let mut grace = None;
    let end = poll_fn(|cx| {
        if grace.is_none() && stopping.as_mut().poll(cx).is_ready() {
            pulse.stop();
            grace = Some(Box::pin(sleep(options.grace)));
        }
        if room.is_asked_for() {
            pulse.leave();
        }
        if grace.as_mut().is_some_and(|grace| grace.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(End::Grace);
        }
        while seconds.poll_tick(cx).is_ready() {
            if let Some(wait) = pulse.second(&options.deadlines) {
                return Poll::Ready(End::Deadline(wait));
            }
            if origin.is_revoked() {
                return Poll::Ready(End::Revoked);
            }
        }
        connection.as_mut().poll(cx).map(End::Done)
    })
    .await;
    (end, pulse.last())
}

/// The bytes are not HTTP any more, and belong to the service, until a shutdown's grace is over or the peer is revoked.
async fn upgraded(pulse: &Pulse, origin: &Origin) {
    let over = async {
        origin.server.reached(Phase::Draining).await;
        sleep(origin.options.grace).await;
    };
    let revoked = async {
        while !origin.is_revoked() {
            sleep(SECOND).await;
        }
    };
    if first(pulse.gone(), first(over, revoked)).await.is_err() {
        pulse.cut();
    }
}

/// Says a last word, and reads and drops what still comes, within bounds of time and rate: a socket that is closed with
/// input unread takes back what it has sent (RFC 9112 §9.6).
async fn linger(mut socket: Stream<Socket>, room: &Room, options: &Options, mut word: &[u8]) {
    room.alarm.work();
    rest(&room.alarm, Spare::Done);
    room.server.notify_room(0);
    let mut scratch = [0; 4096];
    let (mut deadline, mut now) = (Deadline::default(), 0);
    deadline.wait(Wait::Linger, now);
    let mut seconds = interval_at(Instant::now() + SECOND, SECOND);
    let mut is_shut_down = false;
    poll_fn(|cx| {
        if room.is_asked_for() {
            return Poll::Ready(());
        }
        while seconds.poll_tick(cx).is_ready() {
            now += 1;
            if now > LINGER_IN_ALL || deadline.expired(now, &options.deadlines).is_some() {
                return Poll::Ready(());
            }
        }
        while !word.is_empty() {
            match ready!(socket.poll_write(cx, &[IoSlice::new(word)])) {
                Ok(written) => word = &word[written..],
                Err(_) => return Poll::Ready(()),
            }
        }
        if !is_shut_down {
            ready!(socket.poll_shut_down_writing(cx));
            is_shut_down = true;
        }
        loop {
            match ready!(socket.poll_read_slice(cx, &mut scratch)) {
                Ok(read) if read > 0 => deadline.moved(read, now),
                _ => return Poll::Ready(()),
            }
        }
    })
    .await;
}
