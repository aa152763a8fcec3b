//! A connection, from its first byte to its last: one value, owned by one task.
//!
//! What HTTP demands is decided in the machine of `degu_wire`. This module moves: bytes between the machine and the stream
//! ([`Wire`](wire::Wire)), requests to the app, responses back; and it decides what is done when something ends early.
//!
//! ```text
//!   Connection { wire: { stream, machine, deadline, place }, session, app }       plain fields, `&mut self`
//!
//!   idle ── readable ──▶ busy: read ─▶ request ─▶ app ─▶ response ─▶ (write when nothing more has arrived) ─┐
//!    ▲                     ▲                                                                                │
//!    │                     └────────────────────────────────────────────────────────────────────────────────┤
//!    └──────────────── no request for a second: buffers and futures are given up ───────────────────────────┘
//! ```
//!
//! The task polls the handler. Where the handler waits for a part of the request's body, the task takes one from the
//! machine, puts it into the [channel](crate::body_channel), and polls the handler again. A body that came with its head
//! is handed over as it is, without a channel.
//!
//! Everything that an exchange needs, the handler's future included, is in one box, which is made when bytes arrive and
//! kept as long as they keep arriving: a busy connection allocates nothing for it, and an idle one holds nothing. Where very
//! many are busy at once, all but some give up what they hold as soon as they wait.

mod close;
mod deadline;
mod wire;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use degu_wire::machine::{Connection as Machine, Content, RequestHead, Server};
use degu_wire::{Fault, Method, Source, Spinner};
use tokio::task::yield_now;

pub(crate) use close::CloseReason;
use close::caught;
#[cfg(feature = "hyper")]
pub(crate) use deadline::Deadline;
#[cfg(any(feature = "hyper", test))]
pub(crate) use deadline::LINGER_IN_ALL;
pub(crate) use deadline::Wait;

use crate::body_channel::Supplier;
use crate::exchange::Report;
use crate::request::{Segments, split_path};
use crate::response::{Blame, Cause};
#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::stream::Transport;
use crate::tunnel::{Switch, Traffic, Tunnel};
use crate::worker_state::{Place, WorkerState};
use crate::{App, Request, Response, Session};
use wire::{DRAIN, Wire};

/// A response's body that comes from a source.
struct Streamed {
    source: Pin<Box<dyn Source>>,
    is_chunked: bool,
}

/// The next step of a connection that was busy.
enum Next {
    /// Requests pause.
    Rest,
    /// A request was answered with another protocol.
    Tunnel(Box<Switch>),
    End(CloseReason),
}

/// The end of a connection's last response.
enum Last {
    Whole,
    Cut,
    /// Nothing is to be written that the peer could lose.
    Nothing,
}

/// A connection that is served by an app.
#[derive(Debug)]
pub(crate) struct Connection<T: Transport, A> {
    wire: Wire<T>,
    session: Session,
    app: Arc<A>,
}

impl<T: Transport, A> Drop for Connection<T, A> {
    /// Counts what has not been counted, however the task ends.
    fn drop(&mut self) {
        self.wire.count_bytes();
        if self.wire.is_unframed {
            // Dropped within a body that only the end of the connection ends.
            self.wire.stream.reset_on_close();
        }
    }
}

impl<T: Transport, A: App> Connection<T, A> {
    pub(crate) fn new(transport: T, place: Place, session: Session, app: Arc<A>) -> Self {
        Self { wire: Wire::new(transport, place), session, app }
    }

    fn worker(&self) -> &Rc<WorkerState> {
        &self.wire.place.worker
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(&mut self) {
        poll_fn(|cx| {
            self.wire.place.alarm.set_task(cx.waker());
            Poll::Ready(())
        })
        .await;
        let reason = match self.run().await {
            Ok(reason) | Err(reason) => reason,
        };
        reason.count(self.worker().counters());
        reason.log(&self.worker().server, self.session.address(), self.session.requests);
        // In a box for its time, as below. How it goes is of no interest any more.
        let _ = Box::pin(self.finish(&reason)).await;
    }

    async fn run(&mut self) -> Result<CloseReason, CloseReason> {
        // In boxes for their time, so that they cost the connection nothing later.
        #[cfg(feature = "tls")]
        if self.worker().options.tls.is_some() {
            Box::pin(self.secure()).await?;
        }
        if !Box::pin(self.is_wanted()).await? {
            return Ok(CloseReason::Unwanted);
        }
        loop {
            self.wire.readable().await?;
            match Box::pin(self.busy()).await? {
                Next::Rest => self.wire.rest()?,
                Next::Tunnel(switch) => return Box::pin(self.tunnel(switch)).await,
                Next::End(reason) => return Ok(reason),
            }
        }
    }

    /// Makes the TLS handshake.
    #[cfg(feature = "tls")]
    async fn secure(&mut self) -> Result<(), CloseReason> {
        let worker = self.worker().clone();
        let Some(policy) = &worker.options.tls else { return Ok(()) };
        let changes = policy.changes();
        self.wire.wait(Wait::Handshake);
        let Wire { stream, deadline, place, .. } = &mut self.wire;
        place.set_spare();
        let mut handshake = pin!(stream.secure(policy, &worker.server.handshakes, || worker.is_stopping()));
        let peer = poll_fn(|cx| match deadline.expired(worker.seconds(), &worker.options.deadlines) {
            Some(wait) => Poll::Ready(Err(CloseReason::Deadline(wait))),
            None if place.is_asked_for_room() => Poll::Ready(Err(CloseReason::Room)),
            None => handshake.as_mut().poll(cx).map_err(CloseReason::from),
        })
        .await?;
        place.alarm.set_busy();
        place.alarm.set(u32::MAX);
        deadline.restart();
        if let Some(vetted) = Vetted::new(&worker.options, peer.as_ref(), changes) {
            place.watch(vetted, self.session.address());
        }
        self.session.peer = peer;
        Ok(())
    }

    /// Asks the app, and then the `on_connect` of the options, whether the peer is accepted.
    async fn is_wanted(&mut self) -> Result<bool, CloseReason> {
        let worker = self.worker().clone();
        let Self { wire, session, app } = self;
        if !wire.drive(None, pin!(caught(|| app.on_connect(session))?)).await? {
            return Ok(false);
        }
        match &worker.options.on_connect {
            Some(on_connect) => wire.drive(None, caught(|| on_connect(session))?.as_mut()).await,
            None => Ok(true),
        }
    }

    /// Serves requests as long as they keep coming.
    async fn busy(&mut self) -> Result<Next, CloseReason> {
        let worker = self.worker().clone();
        let _busy = worker.make_busy();
        let mut spinner = Spinner::new(worker.options.spin);
        // The input that woke the connection has arrived already.
        let mut spins = false;
        loop {
            match self.wire.machine.poll_request() {
                Ok(Poll::Ready(Some(head))) => {
                    if let Some(switch) = self.exchange(&head, &worker).await? {
                        return Ok(Next::Tunnel(switch));
                    }
                    spins = true;
                    if spinner.message() {
                        // A peer that sends hundreds of requests at once is not alone.
                        self.wire.flush().await?;
                        yield_now().await;
                        self.wire.check()?;
                    }
                }
                Ok(Poll::Ready(None)) => return Ok(Next::End(self.end())),
                Err(fault) => return Err(CloseReason::Peer(fault)),
                Ok(Poll::Pending) => {
                    let found = spins && self.wire.spin(&worker, &mut spinner).await?;
                    if !found && !self.wire.more(&worker, &mut spinner).await? {
                        return Ok(Next::Rest);
                    }
                }
            }
        }
    }

    /// Returns why there will be no more requests.
    fn end(&self) -> CloseReason {
        match self.wire.machine.is_persistent() {
            _ if self.worker().is_stopping() => CloseReason::Shutdown,
            true => CloseReason::Client,
            false => CloseReason::LastResponse,
        }
    }

    /// Passes one request to the app, and sends its response. Returns what is to follow a response that switches to another
    /// protocol.
    async fn exchange(&mut self, head: &RequestHead, worker: &WorkerState) -> Result<Option<Box<Switch>>, CloseReason> {
        let Self { wire, session, app } = self;
        let reports = worker.options.on_response.is_some();
        if let Some(on_response) = &worker.options.on_response {
            let peer = session.reported_peer();
            session.set_report(Some(Report::begin(on_response, head.method().as_str(), head.target(), peer)));
        }
        if !worker.options.allows(head.method()) {
            return Err(CloseReason::Peer(Fault::MethodNotImplemented.into()));
        }
        session.requests += 1;
        wire.place.begin_request();
        if session.requests >= worker.options.max_requests {
            wire.machine.stop();
        }
        let (received, sent) = wire.take_counts();
        worker.counters().add_request(received, sent);
        wire.deadline.restart();
        wire.deadline.begin_handler(worker.seconds());
        wire.wait(Wait::Handler);

        let (body, supplier) = wire.incoming(head);
        let mut response = {
            let mut path = Segments::new();
            split_path(head.path(), &mut path);
            let handler = pin!(caught(|| app.handle(session, Request::new(head, &path, body)))?);
            wire.drive(supplier.as_ref(), handler).await?
        };
        if let Some(switch) = response.switch.take().filter(|_| response.status == 101) {
            drop(supplier);
            Box::pin(wire.switch(head, &switch.protocol, &response.headers)).await?;
            if let Some(report) = session.report() {
                report.respond(101);
            }
            return Ok(Some(switch));
        }
        let end = end_after(&mut response, session);
        match end.as_deref() {
            Some(CloseReason::Peer(fault)) if !worker.options.answers_faults() => {
                return Err(CloseReason::Peer(*fault));
            }
            Some(_) => wire.machine.stop(),
            None => {}
        }
        // Of a request that ends its connection no more is read.
        let reads = end.is_none();
        let is_head = head.method() == Method::Head;
        let (status, length) = (response.status, response.body.length().filter(|_| !is_head));
        let streamed = answer(&mut wire.machine, is_head, supplier.as_ref().filter(|_| reads), worker, response)?;
        wire.deadline.end_handler();
        if let Some(report) = if reports { session.report() } else { None } {
            report.respond(status);
            report.add(length.filter(|_| streamed.is_none()).unwrap_or(0));
        }
        if let Some(Streamed { source, is_chunked }) = streamed {
            wire.is_unframed = is_chunked && head.is_http10();
            wire.send(supplier.as_ref(), source, session.report()).await?;
            if wire.is_unframed {
                wire.flush().await?;
                wire.is_unframed = false;
            }
        }
        drop(supplier);
        if reports {
            wire.flush().await?;
            session.take_report().into_iter().for_each(Report::end);
        }
        if let Some(end) = end {
            return Err(*end);
        }
        wire.deadline.restart();
        wire.wait(Wait::Handler);
        if wire.machine.is_receiving() && wire.machine.is_persistent() && !wire.drain(DRAIN).await? {
            return Err(CloseReason::LastResponse);
        }
        // Responses to pipelined requests are collected and written together, up to a bound.
        if !wire.machine.has_room() {
            wire.flush().await?;
        }
        Ok(None)
    }

    /// Runs the handler of another protocol, without the buffers of HTTP and without its deadlines.
    async fn tunnel(&mut self, switch: Box<Switch>) -> Result<CloseReason, CloseReason> {
        let Self { wire, session, .. } = self;
        let Wire { stream, machine, deadline, place, is_unframed, .. } = wire;
        let (worker, alarm) = (place.worker.clone(), &place.alarm);
        let first = machine.take_buffered();
        machine.release_buffers();
        // A handler that fails, or is dropped, has not said all.
        *is_unframed = true;
        let _open = worker.counters().open_tunnel();
        let traffic = Traffic::default();
        let mut report = session.take_report();
        let mut handler = caught(|| (*switch).handle(session, Tunnel::new(stream, first, &traffic)))?;
        deadline.restart();
        let done = poll_fn(|cx| {
            let done = caught(|| handler.as_mut().poll(cx));
            let (received, sent) = (traffic.received.take(), traffic.sent.take());
            if received + sent > 0 {
                worker.counters().add_bytes(received, sent);
                deadline.restart();
            }
            if let Some(report) = &mut report {
                report.add(sent);
            }
            deadline.wait(Wait::Tunnel, worker.seconds());
            let expired = deadline.expired(worker.seconds(), &worker.options.deadlines);
            alarm.set(deadline.due(&worker.options.deadlines));
            match done {
                Ok(Poll::Pending) => {
                    expired.map_or(Poll::Pending, |wait| Poll::Ready(Err(CloseReason::Deadline(wait))))
                }
                Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
                Err(panicked) => Poll::Ready(Err(panicked)),
            }
        })
        .await;
        drop(handler);
        session.set_report(report);
        done?
            .map_err(|error| if traffic.is_broken.get() { CloseReason::Gone(None) } else { CloseReason::App(error) })?;
        wire.flush_tunnel().await?;
        wire.is_unframed = false;
        Ok(CloseReason::Tunnel)
    }

    /// Writes the error that the peer is owed, if it is, and what is pending of earlier responses; then closes.
    async fn finish(&mut self, reason: &CloseReason) -> Result<(), CloseReason> {
        let mut report = self.last_report(reason);
        let ended = self.send_last(reason, report.as_mut()).await;
        if let Some(report) = report {
            let unsent = self.wire.machine.pending().bytes();
            match &ended {
                Ok(Last::Whole) => report.end(),
                Ok(_) => report.cut(reason, unsent),
                Err(reason) => report.cut(reason, unsent),
            }
        }
        // Where nothing was ever answered nothing can be lost.
        if matches!(ended?, Last::Nothing) {
            return Ok(());
        }
        self.wire.place.linger();
        self.wire.linger().await
    }

    /// Returns the report of the exchange that has not ended, or of a request that is refused without a head.
    fn last_report(&mut self, reason: &CloseReason) -> Option<Report> {
        let on_response = self.wire.place.worker.options.on_response.as_ref();
        let is_refusal = reason.status().is_some() && !self.wire.machine.has_responded();
        self.session.take_report().or_else(|| {
            let on_response = on_response.filter(|_| is_refusal)?;
            Some(Report::without_head(on_response, self.session.reported_peer()))
        })
    }

    /// Writes the error that the peer is owed, if it is, and what is pending of earlier responses.
    async fn send_last(&mut self, reason: &CloseReason, report: Option<&mut Report>) -> Result<Last, CloseReason> {
        let wire = &mut self.wire;
        if wire.is_unframed {
            return Ok(Last::Nothing);
        }
        let is_silent = !wire.place.worker.options.answers_faults() && !reason.is_ours();
        let mut last = Last::Cut;
        match (reason, reason.status()) {
            (CloseReason::Gone(_) | CloseReason::Deadline(Wait::Write | Wait::HalfClosed), _) => {
                return Ok(Last::Nothing);
            }
            // Nothing is written into a response that has begun.
            (_, Some(status)) if !is_silent => {
                if let Some(length) = wire.machine.refuse(status, "text/plain", &reason.text(status)) {
                    last = Last::Whole;
                    if let Some(report) = report {
                        report.respond(status);
                        report.add(length as u64);
                    }
                }
            }
            _ => wire.machine.cut(),
        }
        if matches!(reason, CloseReason::Tunnel) {
            last = Last::Whole;
        }
        wire.deadline.end_handler();
        wire.deadline.restart();
        wire.wait(Wait::Handler);
        wire.flush().await?;
        wire.count_bytes();
        let is_unanswered = is_silent && reason.status().is_some() && self.session.requests == 0;
        Ok(if is_unanswered { Last::Nothing } else { last })
    }
}

/// Returns the reason for which the connection ends after a response, if the response was made from an error that ends it.
/// An error that the app answered itself is logged.
fn end_after(response: &mut Response, session: &Session) -> Option<Box<CloseReason>> {
    let Cause { error, blame } = *response.take_error()?;
    let error: &(dyn std::error::Error + 'static) = match blame {
        Blame::App => return Some(Box::new(CloseReason::App(error))),
        Blame::Peer(fault) => return Some(Box::new(CloseReason::Peer(fault))),
        Blame::Nobody => &*error,
    };
    let (peer, status) = (session.address(), response.status);
    if status < 500 {
        tracing::debug!(%peer, status, error, "answered with an error");
    } else {
        tracing::error!(%peer, status, error, "answered with an error");
    }
    None
}

/// Writes the app's response into the machine: all of it but a body that comes from a source, which it returns.
fn answer(
    machine: &mut Machine<Server>,
    is_head: bool,
    request_body: Option<&Supplier>,
    worker: &WorkerState,
    response: Response,
) -> Result<Option<Streamed>, CloseReason> {
    let Response { status, reason, headers, body, .. } = response;
    let (content, source) = body.split();
    // A source that is not sent is dropped before it is decided what becomes of the request's body, which it may be.
    let source = source.filter(|_| !is_head && !matches!(content, Content::Length(0)));
    let is_chunked = matches!(content, Content::Chunked);
    // Asked as late as possible: a shutdown may have begun while the app worked.
    if worker.is_stopping() {
        machine.stop();
    }
    match request_body {
        // Nothing after it can be understood, whatever the app made of it.
        Some(body) if body.fault().is_some() => machine.abandon_request_body(0),
        // The body is still to be read.
        Some(body) if !body.is_abandoned() => machine.request_body(),
        _ => machine.abandon_request_body(DRAIN as u64),
    }
    let date = worker.date();
    machine.respond(status, reason, &headers, content, date.as_deref()).map_err(CloseReason::Response)?;
    Ok(source.map(|source| Streamed { source, is_chunked }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Alarm;
    use crate::stream::{Socket, Stream};

    /// Tests the size of an idle connection. The parts that only exchanges need are in a box, which an idle one has not.
    #[test]
    fn an_idle_connection_is_small() {
        async fn app(_: &mut Session, _: Request<'_>) -> Response {
            let large = [0_u8; 4096];
            std::future::pending::<()>().await;
            large.to_vec().into()
        }
        fn size_of_task<A: App>(_: A) -> usize {
            fn size<D, F: Future>(_: impl Fn(D) -> F) -> usize {
                size_of::<F>()
            }
            size(|mut connection: Connection<Socket, A>| async move { connection.serve().await })
        }
        let task = size_of_task(app);
        let alarm = size_of::<Alarm>();
        println!("the task {task}, of that the machine {}, the alarm {alarm}", size_of::<Machine<Server>>());
        println!("the stream {}, the session {}", size_of::<Stream<Socket>>(), size_of::<Session>());
        // The runtime allocates in steps of 128 bytes, and takes 104 for itself.
        assert!(task <= 768 - 104, "{task} bytes");
        assert!(alarm <= 64, "{alarm} bytes");
    }
}
