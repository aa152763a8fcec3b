//! The task of a connection under `hyper::serve`, which runs on the runtime of the program.
//!
//! The task polls the handshake, then hyper, and then reads the rest of the peer's input. [`Task::watch`] ends each of these
//! when a deadline expires. If the server refuses a request, the task drops hyper and sends the response itself, because hyper
//! answers only requests whose whole head was received.

use std::error::Error;
use std::future::poll_fn;
use std::mem::take;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use degu_wire::{BoxError, Fault, Limits};
use http_body::Body;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tower_service::Service;

use super::body::RequestBody;
use super::io::Io;
use super::room::Room;
use super::service::Exchanges;
use super::shared::{Stage, State, Task};
use crate::alarm::Spare;
use crate::connection::{CloseReason, LINGER_IN_ALL, Wait, caught};
use crate::future::first;
use crate::listen::Accepted;
use crate::report::{Peer, Report};
use crate::response::last_response;
#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::state::Phase;
use crate::stream::{Socket, Stream, Transport};

/// The maximum size in bytes of hyper's buffers for a head, for a body that the service does not read, and for a
/// response that the peer does not read.
const BUFFER: usize = 64 * 1024;

const SECOND: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve<S, B>(accepted: Accepted, room: Room, service: S)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (socket, peer) = match Socket::register(accepted) {
        Ok(registered) => registered,
        Err(error) => return tracing::warn!(%error, "cannot serve an accepted connection"),
    };
    tracing::debug!(peer = %peer.address, "connection opened");
    let task = Task {
        shared: Arc::default(),
        peer: Arc::new(peer),
        #[cfg(feature = "tls")]
        vetted: None,
        room,
    };
    let stream = Stream::new(socket);
    #[cfg(feature = "tls")]
    let (mut task, mut stream) = (task, stream);
    #[cfg(feature = "tls")]
    if let Err(reason) = task.secure(&mut stream).await {
        reason.log(&task.room.server, &task.peer.address, 0);
        return task.linger(stream, &[], || {}).await;
    }
    task.shared.lock().stream = Some(stream);
    let task = Arc::new(task);
    let service = Exchanges { service: TowerToHyperService::new(service), task: task.clone() };
    let io = Io { task: task.clone(), is_upgraded: false };
    let options = &task.room.options;
    let hyper = http1::Builder::new()
        .auto_date_header(options.date)
        // With `half_close`, hyper does not end the connection when the peer ends its side. The task detects that the peer is
        // gone.
        .half_close(true)
        // hyper allocates memory for `max_headers` fields. A field line with CRLF has at least four bytes, so a head within the
        // limits has no more fields than this.
        .max_headers(options.limits.max_fields.min(Limits::MAX_HEAD / 4))
        .max_header_size(options.limits.max_head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let (ended, state) = {
        let mut hyper = pin!(hyper);
        let ended = task.watch(hyper.as_mut()).await;
        let is_upgraded = matches!(ended, Ok(Ok(()))) && task.shared.lock().stage == Stage::Switched;
        // The state is taken before hyper is dropped, because the drop would change the stage of a response.
        (ended, (!is_upgraded).then(|| take(&mut *task.shared.lock())))
    };
    match state {
        Some(state) => task.finish(ended, state).await,
        None => task.tunnel().await,
    }
}

impl Task {
    /// Makes the TLS handshake, if the server has TLS.
    #[cfg(feature = "tls")]
    async fn secure(&mut self, stream: &mut Stream<Socket>) -> Result<(), CloseReason> {
        let Some(tls) = self.room.options.tls.clone() else { return Ok(()) };
        let changes = tls.changes();
        self.shared.lock().deadline.set_wait(Wait::Handshake, 0);
        self.room.alarm.set_spare(Spare::Fresh, 0, next_turn);
        // A shutdown does not wait for a peer that has sent nothing.
        let check = |socket: &Socket| match self.room.server.is_stopping() && !socket.has_input() {
            true => Err(CloseReason::Shutdown),
            false => Ok(()),
        };
        let identity = self.watch(stream.secure(&tls, check)).await??;
        self.vetted = Vetted::new(&self.room.options, identity.as_ref(), changes);
        Arc::make_mut(&mut self.peer).identity = identity;
        Ok(())
    }

    /// Polls a future of the connection until it is done, or until a deadline, a shutdown, a revocation or a request to make room
    /// ends it. A timer, which ticks once a second, wakes the task for these checks.
    async fn watch<F: Future>(&self, part: F) -> Result<F::Output, CloseReason> {
        let (alarm, server) = (&self.room.alarm, &self.room.server);
        let mut part = pin!(part);
        let mut seconds = interval_at(Instant::now() + SECOND, SECOND);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut aborting = pin!(server.reached(Phase::Aborting));
        poll_fn(|cx| {
            alarm.set_task(cx.waker());
            // This future wakes the task when any phase begins.
            if aborting.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(CloseReason::Shutdown));
            }
            // The reason to end the connection if it is idle.
            let mut leaves = server.is_stopping().then_some(CloseReason::Shutdown);
            let is_asked = alarm.is_asked();
            if is_asked {
                alarm.set(u32::MAX);
                leaves = server.is_full().then_some(CloseReason::Room).or(leaves);
            }
            while seconds.poll_tick(cx).is_ready() {
                match self.second() {
                    Some(CloseReason::Deadline(Wait::Request)) => leaves = Some(CloseReason::Deadline(Wait::Request)),
                    Some(reason) => return Poll::Ready(Err(reason)),
                    None => {}
                }
            }
            // The body of a response may panic, and so may the destructor of a value of the service.
            if let Poll::Ready(done) = caught(|| part.as_mut().poll(cx))? {
                return Poll::Ready(Ok(done));
            }
            if let Some(reason) = self.settle(cx, leaves) {
                return Poll::Ready(Err(reason));
            }
            if is_asked {
                // The connection stays open. The acceptor is woken, and asks another connection if there still is no room.
                server.notify_room();
            }
            Poll::Pending
        })
        .await
    }

    /// Counts a second. Returns the reason for which the connection must end, if there is one.
    fn second(&self) -> Option<CloseReason> {
        #[cfg(feature = "tls")]
        if self.vetted.as_ref().is_some_and(Vetted::is_revoked) {
            return Some(CloseReason::Revoked);
        }
        let state = &mut *self.shared.lock();
        state.seconds += 1;
        if state.is_busy()
            && let Err(reason) = state.check_peer()
        {
            return Some(reason);
        }
        match state.deadline.expired(state.seconds, &self.room.options.deadlines)? {
            Wait::Handler => {
                state.stage = Stage::Late;
                None
            }
            wait => Some(CloseReason::Deadline(wait)),
        }
    }

    /// Updates the deadline and the alarm after the connection was polled. Returns the reason for which the connection ends now,
    /// if there is one. `leaves` is a reason to end an idle connection.
    fn settle(&self, cx: &mut Context<'_>, leaves: Option<CloseReason>) -> Option<CloseReason> {
        let state = &mut *self.shared.lock();
        let Some(stream) = &mut state.stream else {
            // During a handshake and after the last response, the connection ends only to make room.
            return leaves.filter(|reason| matches!(reason, CloseReason::Room));
        };
        let wait = if state.is_blocked { Wait::Write } else { state.wait };
        state.deadline.set_wait(wait, state.seconds);
        let alarm = &self.room.alarm;
        match (wait, state.exchanges) {
            // The kernel is asked for input, because the runtime may not know of new input yet.
            (Wait::Request, _) if leaves.is_some() && !stream.has_input() => return leaves,
            (Wait::Request, 0) => alarm.set_spare(Spare::Fresh, 0, next_turn),
            (Wait::Request, _) => alarm.set_spare(Spare::Idle, 0, next_turn),
            _ => alarm.set_busy(),
        }
        if !state.is_blocked
            && let Some(reason) = self.shared.refusal.take()
        {
            return Some(reason);
        }
        let Poll::Ready(read) = state.poll_read_ahead(cx) else { return None };
        read.err()
    }

    /// Waits until the service drops the byte stream of another protocol. Returns up to a second later. A shutdown or a
    /// revocation cuts the connection earlier.
    async fn tunnel(&self) {
        let server = &self.room.server;
        let ends = async {
            while self.shared.lock().stream.is_some() {
                #[cfg(feature = "tls")]
                if self.vetted.as_ref().is_some_and(Vetted::is_revoked) {
                    return CloseReason::Revoked;
                }
                sleep(SECOND).await;
            }
            CloseReason::Tunnel
        };
        let reason = first(ends, server.reached(Phase::Aborting)).await.unwrap_or(CloseReason::Shutdown);
        let State { stream, exchanges, tunneled, reader, writer, .. } = take(&mut *self.shared.lock());
        if let Some(mut stream) = stream {
            // The other protocol may have no other sign that its data is incomplete.
            stream.reset_on_close();
        }
        [reader, writer].into_iter().flatten().for_each(Waker::wake);
        reason.log(server, &self.peer.address, exchanges);
        if let Some(mut report) = self.shared.report.take() {
            report.add(tunneled);
            match reason {
                CloseReason::Tunnel => report.end(),
                reason => report.cut(&reason, 0),
            }
        }
    }

    /// Ends a connection after hyper was dropped. If the server refuses the last request, sends the response. Reports the last
    /// exchange.
    async fn finish(&self, ended: Result<Result<(), hyper::Error>, CloseReason>, state: State) {
        let (server, peer) = (&self.room.server, &self.peer.address);
        let State { stream, exchanges: requests, is_eof, is_head, stage, is_blocked, .. } = state;
        let Some(mut stream) = stream else { return };
        let mut report = self.shared.report.take();
        // The connection may end while a refusal waits for the rest of an earlier response. The reason of the refusal is then
        // logged and reported.
        let ended = self.shared.refusal.take().map_or(ended, Err);
        if matches!(&ended, Ok(ended) if ended.as_ref().err().is_none_or(hyper::Error::is_parse)) {
            // hyper has sent the whole last response.
            report.take().into_iter().for_each(Report::end);
        }
        let reason = match ended {
            Err(reason) => reason,
            Ok(Ok(())) if is_eof => CloseReason::Client,
            Ok(Ok(())) => CloseReason::LastResponse,
            // hyper sends no response to the preface of HTTP/2.
            Ok(Err(error)) if error.is_parse_version_h2() => CloseReason::Peer(Fault::VersionNotSupported.into()),
            Ok(Err(error)) if error.is_parse() => {
                match server.may_log() {
                    Some(suppressed_lines) => {
                        tracing::info!(%peer, requests, reason = %error, suppressed_lines, "connection ends")
                    }
                    None => tracing::debug!(%peer, requests, reason = %error, "connection ends"),
                }
                self.report_refusal(None, if error.is_parse_too_large() { 431 } else { 400 }, 0);
                return self.linger(stream, &[], || {}).await;
            }
            Ok(Err(error)) if error.is_user() => {
                CloseReason::Body(error.source().map_or_else(|| error.to_string(), ToString::to_string).into())
            }
            Ok(Err(error)) => CloseReason::Gone(Some(std::io::Error::other(error))),
        };
        reason.log(server, peer, requests);
        // If a head is late or refused, `stage` is the stage of the response to an earlier request.
        let may_answer = matches!(stage, Stage::Awaited | Stage::Late)
            || matches!(reason, CloseReason::Peer(_) | CloseReason::Deadline(Wait::Head));
        let may_answer = may_answer && !is_blocked && (reason.is_ours() || self.room.options.answers_faults());
        if let Some(status) = reason.status().filter(|_| may_answer) {
            let (response, body_bytes) = last_response(&self.room.options, status, reason.text(status), is_head);
            let sent = || self.report_refusal(report.take(), status, body_bytes);
            self.linger(stream, &response, sent).await;
            return report.into_iter().for_each(|report| report.cut(&reason, 0));
        }
        report.into_iter().for_each(|report| report.cut(&reason, 0));
        let is_incomplete = is_blocked
            || matches!(stage, Stage::Begun | Stage::Switching | Stage::Switched)
            || matches!(reason, CloseReason::Body(_));
        let lingers = match reason {
            CloseReason::Client | CloseReason::LastResponse => true,
            // After a refusal without a response, the client may still read earlier responses.
            CloseReason::Peer(_) | CloseReason::Deadline(Wait::Head | Wait::Body) => requests > 0 && !is_incomplete,
            CloseReason::Deadline(Wait::Request) | CloseReason::Room | CloseReason::Shutdown => !is_incomplete,
            _ => false,
        };
        if lingers {
            self.linger(stream, &[], || {}).await;
        } else if is_incomplete {
            // A reset shows the peer that the response is incomplete.
            stream.reset_on_close();
        }
    }

    /// Reports that a request was refused by a whole response with this status. Without a report, the request's head
    /// was not received in full.
    fn report_refusal(&self, report: Option<Report>, status: u16, body_bytes: usize) {
        let without_head =
            || Some(Report::without_head(self.room.options.on_response.as_ref()?, Peer::clone(&self.peer)));
        if let Some(report) = report.or_else(without_head) {
            report.refuse(status, body_bytes);
        }
    }

    /// Sends the bytes of a response, calls `sent`, and half-closes the connection. Then reads and drops further input, because
    /// closing a socket with unread input would reset the connection (RFC 9112 §9.6). Returns when the input ends, after a
    /// maximum time, or if the peer sends too slowly.
    async fn linger(&self, mut stream: Stream<Socket>, response: &[u8], sent: impl FnOnce()) {
        let set_wait = |wait| {
            let state = &mut *self.shared.lock();
            state.deadline.set_wait(wait, state.seconds);
        };
        set_wait(Wait::Write);
        self.room.alarm.set_busy();
        self.room.alarm.set_spare(Spare::Done, 0, next_turn);
        self.room.server.linger(0);
        let ends = async {
            stream.write_all(response).await?;
            stream.flush().await?;
            sent();
            stream.shutdown().await?;
            set_wait(Wait::Linger);
            // The buffer is on the stack, so an idle connection needs no memory for it.
            poll_fn(|cx| {
                loop {
                    let mut input = [0; 4096];
                    match ready!(stream.poll_read_slice(cx, &mut input))? {
                        0 => return Poll::Ready(Ok::<(), std::io::Error>(())),
                        read => self.shared.lock().moved(read),
                    }
                }
            })
            .await
        };
        let _ = timeout(SECOND * LINGER_IN_ALL, self.watch(ends)).await;
    }
}

/// Returns a number that orders connections by the time at which they began to wait for a request.
fn next_turn() -> u32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    TURN.fetch_add(1, Relaxed)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use degu_wire::Address;

    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn connection_that_stays_open_wakes_the_acceptor() {
        let options = Arc::new(Options::new().max_connections(1));
        let server = Arc::new(options.state());
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let accepted = Accepted { fd: near.into(), peer: Peer::new(Address::ABSTRACT, None) };
        let (socket, peer) = Socket::register(accepted).unwrap();
        let task = Task {
            shared: Arc::default(),
            peer: Arc::new(peer),
            #[cfg(feature = "tls")]
            vetted: None,
            room: Room::take(server.clone(), options, 1),
        };
        task.shared.lock().stream = Some(Stream::new(socket));
        let (mut room, mut watch) = (pin!(server.room()), pin!(task.watch(pending::<()>())));
        task.room.alarm.ask();
        poll_fn(|cx| {
            // The service is still running, so the connection stays open.
            assert!(watch.as_mut().poll(cx).is_pending());
            assert!(room.as_mut().poll(cx).is_ready());
            Poll::Ready(())
        })
        .await;
    }
}
